// Package collector is the SDK for collectors of mackerel-plugin-wasm in Go.
//
// A collector describes itself and its graphs, and reads one target. The host does the rest: it finds containers and
// their ports, calls the collector for each of them, turns counters into rates, and speaks Mackerel's plugin protocol.
// The contract between them is in the project's folder wit.
//
// A collector can reach only its target: over HTTP with [Get] or [Do], or with an http.Client and the package
// transport, and over TCP with [Target.Connect]. [ReadStats] and [ReadState] report on the target's container. There
// are no files, no environment variables, and no other addresses. The host makes every call in a fresh instance, so
// variables do not keep their values between calls.
package collector

import "time"

// A Collector reads one kind of target. [Register] registers it.
type Collector interface {
	// Describe describes the collector. It must return the same description every time.
	Describe() Description

	// Graphs returns the graphs for these options. It must return the same graphs for the same options. There is no
	// target, and all requests fail. It returns an error, in one line, if the options do not fit together or a value is
	// malformed; the error ends the run as a usage error, before the host calls Collect.
	Graphs(Options) ([]Graph, error)

	// Collect reads one target. It may take as long as the operator's --timeout, 5 s by default. The operator reads its
	// error on one line after the target's name and address, so the error should contain what was expected and what was
	// received. Return errors of Get and Do unchanged or wrapped; see also [Unexpected].
	Collect(Target, Options) (*Report, error)
}

// A Description is a collector's name, version, scope and options.
type Description struct {
	// Name is the first component of every metric name by default, in the characters a-z, 0-9 and -.
	Name string
	// Version is the collector's own version.
	Version string
	// Summary is a summary of the metrics, in one line.
	Summary string
	// Scope is the kind of target.
	Scope Scope
	// Options are the options that the collector takes, in the order shown in help texts.
	Options []Option
}

// A Scope is the kind of target that a collector reads.
type Scope uint8

const (
	// Endpoint is a port of a container, or an address given with --target. Target.Host and Target.Port are always set.
	Endpoint Scope = iota
	// WholeContainer is a container. Target.Container is always set, Target.Host and Target.Port never.
	WholeContainer
)

// An Option is a command-line flag of a collector, --NAME VALUE.
type Option struct {
	// Name is the flag's name without the dashes, in the characters a-z, 0-9 and -.
	Name string
	// Help is the help text, in one line.
	Help string
	// Kind is the kind of value that the option takes.
	Kind OptionKind
	// Choices are the allowed words of an option of kind Choice.
	Choices []string
	// Default is the value if the operator gives none. Empty means no default.
	Default string
}

// An OptionKind is the kind of value that an option takes.
type OptionKind uint8

const (
	// Text is any text, at most once.
	Text OptionKind = iota
	// Choice is one of the option's Choices, at most once.
	Choice
	// Many is any text, any number of times.
	Many
	// Secret is read from a file, --NAME-file PATH, and never shown.
	Secret
	// Flag takes no value. If it is given, its value is "true".
	Flag
)

// Options are the values of a collector's options: those that the operator gave, and the defaults of all others.
type Options []OptionValue

// An OptionValue is one value of an option.
type OptionValue struct {
	Name, Value string
}

// Get returns an option's value, or "" if it has none.
func (options Options) Get(name string) string {
	for _, option := range options {
		if option.Name == name {
			return option.Value
		}
	}
	return ""
}

// All returns all values of an option of kind Many, in the order of the command line.
func (options Options) All(name string) []string {
	var values []string
	for _, option := range options {
		if option.Name == name {
			values = append(values, option.Value)
		}
	}
	return values
}

// A Graph is a graph definition of Mackerel.
type Graph struct {
	// Key is the prefix of the metrics' names: components in the characters -a-zA-Z0-9_, joined by dots. Exactly one is #,
	// which stands for the target's name: "#.jobs". Others may be *.
	Key string
	// Label is the graph's title, without the collector's name.
	Label string
	// Unit is the unit of all its metrics.
	Unit Unit
	// Metrics are the metrics, in the order in which they are drawn. At least one.
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
	// Name is the last component of the metric's name, in the characters -a-zA-Z0-9_, or * if only the target knows the
	// names.
	Name string
	// Label is the name shown in the legend.
	Label string
	// Kind is the meaning of the values.
	Kind MetricKind
	// Stacked is true if the line is stacked on the lines before it.
	Stacked bool
}

// A MetricKind is the meaning of a metric's values.
type MetricKind uint8

const (
	// Gauge is a current value, shown as it is.
	Gauge MetricKind = iota
	// CounterPerSecond is a count that only grows, reported as read. The host shows its growth per second.
	CounterPerSecond
	// CounterPerMinute is a count that only grows, reported as read. The host shows its growth per minute.
	CounterPerMinute
)

// A Target is the target of one call of Collect.
type Target struct {
	// Host is the target's address: IPv4, IPv6 without brackets, or a host name.
	Host string
	// Port is the target's port, as seen from the host.
	Port uint16
	// Container is the container behind the target, or nil if the operator gave an address with --target.
	Container *Container
}

// A Container is a container, as the engine or the ECS task metadata lists it.
type Container struct {
	// ID is the full id: 64 hexadecimal digits with Docker and Podman, 32 digits, "-" and a number on Fargate.
	ID string
	// Name is the name, without a leading slash.
	Name string
	// Image is the name of the image that the container was created from.
	Image string
	// ImageID is the image's id, prefixed with its algorithm.
	ImageID string
	// Labels are the container's labels.
	Labels map[string]string
	// Port is the port inside the container that the target's port leads to, or 0 if there is none.
	Port uint16
}

// A Report is the result of one call of Collect.
type Report struct {
	// Samples are the values, at most 10,000. A value that the target does not report must be omitted, never zero.
	Samples []Sample
	// Time is the time at which the target took the values, for exact rates. If it is zero, the host uses the time of the
	// call.
	Time time.Time
}

// Add appends a sample.
func (report *Report) Add(graph, metric string, value float64) {
	report.Samples = append(report.Samples, Sample{graph, metric, value})
}

// AddKnown appends a sample, unless the value is nil.
func (report *Report) AddKnown(graph, metric string, value *uint64) {
	if value != nil {
		report.Add(graph, metric, float64(*value))
	}
}

// A Sample is one value.
type Sample struct {
	// Graph is the key of a graph as Graphs returned it, including the #, with every * replaced.
	Graph string
	// Metric is the name of one of the graph's metrics, or any legal name if that metric's name is *.
	Metric string
	// Value is the value in the graph's unit. For a counter, it is the count as read.
	Value float64
}
