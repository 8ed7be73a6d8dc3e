// Package collector is the contract between mackerel-plugin-wasm and its collectors, for collectors in Go.
//
// A collector says what it is, which graphs it has, and reads one target. The host does all the rest: it finds containers and their
// ports, calls the collector for each of them, turns counters into rates, and speaks Mackerel's plugin protocol. The folder wit of this
// project is the contract in full.
//
// A collector reaches its one target and nothing else: by HTTP with [Get] or [Do], or with an http.Client by the package transport; and
// what a container uses with [ReadStats]. There are no files, no environment, and no other address. A fresh instance serves every call, so
// nothing that is kept in a variable is there at the next.
package collector

import "time"

// A Collector reads one kind of target. It is registered by [Register].
type Collector interface {
	// Describe says what the collector is. It gives the same at every call.
	Describe() Description

	// Graphs gives the graphs that these options have. The same options give the same graphs; no target is there. The error is for
	// options that make no sense; the operator reads it, and no target is asked.
	Graphs(Options) ([]Graph, error)

	// Collect reads one target. The operator reads its error on one line behind the target's name and address: it says what was
	// expected and what came. Errors of Get and Do are handed on as they came; see also [Unexpected].
	Collect(Target, Options) (*Report, error)
}

// A Description is what a collector says of itself.
type Description struct {
	// Name is the first word of every metric, of a-z, 0-9 and -.
	Name string
	// Version is the collector's own.
	Version string
	// Summary is what it collects, in one line.
	Summary string
	// Scope is what one target is.
	Scope Scope
	// Options are those that it takes, in the order in which help shows them.
	Options []Option
}

// A Scope is what one target of a collector is.
type Scope uint8

const (
	// Endpoint is a port of a container, or an address that the operator gave. Target.Host and Target.Port are always there.
	Endpoint Scope = iota
	// WholeContainer is a container. Target.Container is always there, and an address never.
	WholeContainer
)

// An Option is a command-line flag of a collector, --NAME VALUE.
type Option struct {
	// Name is the flag's name without the dashes, of a-z, 0-9 and -.
	Name string
	// Help is what it sets, in one line.
	Help string
	// Kind is what values it takes.
	Kind OptionKind
	// Choices are the words of a Choice.
	Choices []string
	// Default is the value where the operator gives none. Empty is none.
	Default string
}

// An OptionKind is what values an option takes.
type OptionKind uint8

const (
	// Text is any text, once.
	Text OptionKind = iota
	// Choice is one of the option's Choices, once.
	Choice
	// Many is any text, as often as the operator likes.
	Many
	// Secret is read from a file, --NAME-file PATH, and shown nowhere.
	Secret
	// Flag takes no value: given, it is "true".
	Flag
)

// Options are the values of a collector's options: what the operator gave, else the defaults.
type Options []OptionValue

// An OptionValue is one value of an option.
type OptionValue struct {
	Name, Value string
}

// Get gives an option's value, "" where it has none.
func (options Options) Get(name string) string {
	for _, option := range options {
		if option.Name == name {
			return option.Value
		}
	}
	return ""
}

// All gives all values of a Many, in the order of the command line.
func (options Options) All(name string) []string {
	var values []string
	for _, option := range options {
		if option.Name == name {
			values = append(values, option.Value)
		}
	}
	return values
}

// A Graph is a graph definition, as Mackerel knows it.
type Graph struct {
	// Key is where its metrics stand below the prefix: components of -a-zA-Z0-9_, joined by dots. Exactly one is #, the place of the
	// target's name: "#.jobs". Further ones may be *.
	Key string
	// Label is its title, without the collector's name.
	Label string
	// Unit is the unit of all its metrics.
	Unit Unit
	// Metrics are its lines, in the order in which they are drawn.
	Metrics []Metric
}

// A Unit is one of Mackerel's units.
type Unit uint8

// Mackerel's units.
const (
	Float Unit = iota
	Integer
	Percentage
	Seconds
	Milliseconds
	Bytes
	BytesPerSecond
	BitsPerSecond
	IOPS
)

// A Metric is one line of a graph.
type Metric struct {
	// Name is the last component of its name, of -a-zA-Z0-9_, or * for names that only the target knows.
	Name string
	// Label is its name in the legend.
	Label string
	// Kind is what the values mean.
	Kind MetricKind
	// Stacked is whether lines are stacked upon each other.
	Stacked bool
}

// A MetricKind is what the values of a metric mean.
type MetricKind uint8

const (
	// Gauge is a value of the moment, shown as it is.
	Gauge MetricKind = iota
	// CounterPerSecond is a count that only grows, handed over as it was read. The host shows its growth per second.
	CounterPerSecond
	// CounterPerMinute is the same, shown per minute.
	CounterPerMinute
)

// A Target is what a collector is run against.
type Target struct {
	// Host is its address: IPv4 or IPv6 without brackets, or a host name.
	Host string
	// Port is its port.
	Port uint16
	// Container is the container behind it. It is nil for an address that the operator gave.
	Container *Container
}

// A Container is what the engine tells of a container.
type Container struct {
	// ID is the full id, 64 hexadecimal digits.
	ID string
	// Name is the name, without a slash in front.
	Name string
	// Image is the image as it was named when the container was made.
	Image string
	// ImageID is the image's id, with its algorithm in front.
	ImageID string
	// Labels are its labels.
	Labels map[string]string
	// Port is the port inside the container that the target's leads to, 0 where there is none.
	Port uint16
}

// A Report is what one Collect found.
type Report struct {
	// Samples are the values. What the target does not tell is left out: absent is never zero.
	Samples []Sample
	// Time is when the target took the values, where it tells. Rates are then exact.
	Time time.Time
}

// Add appends a sample.
func (report *Report) Add(graph, metric string, value float64) {
	report.Samples = append(report.Samples, Sample{graph, metric, value})
}

// AddKnown appends a sample of a number that may not be known: nil is left out.
func (report *Report) AddKnown(graph, metric string, value *uint64) {
	if value != nil {
		report.Add(graph, metric, float64(*value))
	}
}

// A Sample is one value.
type Sample struct {
	// Graph is the key of a graph as Graphs gave it, with its # and with a * filled in.
	Graph string
	// Metric is the name of one of its metrics.
	Metric string
	// Value is the value in the graph's unit; of a counter, the count as it was read.
	Value float64
}
