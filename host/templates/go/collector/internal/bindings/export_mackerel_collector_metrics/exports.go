// Package export_mackerel_collector_metrics has the functions that the generated bindings call. The package collector
// sets them.
package export_mackerel_collector_metrics

import (
	"mackerel/collector/internal/bindings/mackerel_collector_types"
	witTypes "mackerel/collector/internal/wit/types"
)

var (
	// Describe describes the collector.
	Describe func() mackerel_collector_types.Description
	// Graphs returns the collector's graphs.
	Graphs func([]mackerel_collector_types.OptionValue) witTypes.Result[[]mackerel_collector_types.Graph, string]
	// Collect reads one target.
	Collect func(mackerel_collector_types.Target, []mackerel_collector_types.OptionValue) witTypes.Result[mackerel_collector_types.Report, mackerel_collector_types.CollectError]
)
