package collector

import (
	"errors"
	"fmt"
	"strings"

	exports "mackerel/collector/internal/bindings/export_mackerel_collector_metrics"
	binding "mackerel/collector/internal/bindings/mackerel_collector_types"
	_ "mackerel/collector/internal/bindings/wit_exports"
	"mackerel/collector/internal/current"
	witTypes "mackerel/collector/internal/wit/types"
)

// Register exports a collector from the component. Call it in an init function of the package main.
func Register(collector Collector) {
	exports.Describe = func() binding.Description {
		return description(collector.Describe())
	}
	exports.Graphs = func(options []binding.OptionValue) witTypes.Result[[]binding.Graph, string] {
		graphs, err := collector.Graphs(values(options))
		if err != nil {
			return witTypes.Err[[]binding.Graph, string](text(err.Error()))
		}
		return witTypes.Ok[[]binding.Graph, string](all(graphs, graph))
	}
	exports.Collect = func(bound binding.Target, options []binding.OptionValue) witTypes.Result[binding.Report, binding.CollectError] {
		target := targetOf(bound)
		current.Host, current.Port = target.Host, target.Port
		report, err := collect(collector, target, values(options))
		switch {
		case err != nil:
			return witTypes.Err[binding.Report, binding.CollectError](collectError(err))
		case report == nil:
			return witTypes.Ok[binding.Report, binding.CollectError](binding.Report{Time: witTypes.None[uint64]()})
		default:
			return witTypes.Ok[binding.Report, binding.CollectError](reportOf(report))
		}
	}
}

// collect turns a panic into an error, because the operator reads one line and Go's report of a panic has many.
func collect(collector Collector, target Target, options Options) (report *Report, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			report, err = nil, fmt.Errorf("the collector panicked: %v", cause)
		}
	}()
	return collector.Collect(target, options)
}

func collectError(err error) binding.CollectError {
	var http httpError
	var container containerError
	var status StatusError
	var response unexpected
	switch {
	case errors.As(err, &http):
		return binding.MakeCollectErrorHttp(http.cause)
	case errors.As(err, &container):
		return binding.MakeCollectErrorContainer(container.cause)
	case errors.As(err, &status):
		return binding.MakeCollectErrorStatus(uint16(status))
	case errors.As(err, &response):
		return binding.MakeCollectErrorUnexpected(text(err.Error()))
	default:
		return binding.MakeCollectErrorOther(text(err.Error()))
	}
}

func description(of Description) binding.Description {
	return binding.Description{
		Name:    text(of.Name),
		Version: text(of.Version),
		Summary: text(of.Summary),
		Scope:   binding.Scope(of.Scope),
		Options: all(of.Options, option),
	}
}

func option(of Option) binding.OptionSpec {
	var kind binding.OptionKind
	switch of.Kind {
	case Choice:
		kind = binding.MakeOptionKindChoice(all(of.Choices, text))
	case Many:
		kind = binding.MakeOptionKindMany()
	case Secret:
		kind = binding.MakeOptionKindSecret()
	case Flag:
		kind = binding.MakeOptionKindFlag()
	default:
		kind = binding.MakeOptionKindText()
	}
	spec := binding.OptionSpec{Name: text(of.Name), Help: text(of.Help), Kind: kind, Default: witTypes.None[string]()}
	if of.Default != "" {
		spec.Default = witTypes.Some(text(of.Default))
	}
	return spec
}

func graph(of Graph) binding.Graph {
	return binding.Graph{Key: text(of.Key), Label: text(of.Label), Unit: binding.Unit(of.Unit), Metrics: all(of.Metrics, metric)}
}

func metric(of Metric) binding.Metric {
	kind := binding.MakeMetricKindGauge()
	switch of.Kind {
	case CounterPerSecond:
		kind = binding.MakeMetricKindCounter(binding.PeriodSecond)
	case CounterPerMinute:
		kind = binding.MakeMetricKindCounter(binding.PeriodMinute)
	}
	return binding.Metric{Name: text(of.Name), Label: text(of.Label), Stacked: of.Stacked, Kind: kind}
}

func reportOf(of *Report) binding.Report {
	report := binding.Report{Samples: all(of.Samples, sample), Time: witTypes.None[uint64]()}
	if !of.Time.IsZero() {
		report.Time = witTypes.Some(uint64(of.Time.UnixNano()))
	}
	return report
}

func sample(of Sample) binding.Sample {
	return binding.Sample{Graph: text(of.Graph), Metric: text(of.Metric), Value: of.Value}
}

func targetOf(of binding.Target) Target {
	var target Target
	if of.Endpoint.IsSome() {
		endpoint := of.Endpoint.Some()
		target.Host, target.Port = endpoint.Host, endpoint.Port
	}
	if of.Container.IsSome() {
		container := of.Container.Some()
		target.Container = &Container{
			ID:      container.Id,
			Name:    container.Name,
			Image:   container.Image,
			ImageID: container.ImageId,
			Labels:  map[string]string{},
			Port:    container.Port.SomeOr(0),
		}
		for _, label := range container.Labels {
			target.Container.Labels[label.F0] = label.F1
		}
	}
	return target
}

func values(of []binding.OptionValue) Options {
	return all(of, func(value binding.OptionValue) OptionValue { return OptionValue{value.Name, value.Value} })
}

func all[From, To any](of []From, convert func(From) To) []To {
	converted := make([]To, 0, len(of))
	for _, each := range of {
		converted = append(converted, convert(each))
	}
	return converted
}

// text converts a string for the bindings, which need valid UTF-8 and an address even for an empty string.
func text(of string) string {
	if of == "" {
		return "-"[:0]
	}
	return strings.ToValidUTF8(of, "\uFFFD")
}
