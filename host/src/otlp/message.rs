//! Messages: the values of a run as metrics of OTLP.
//!
//! | in the run | in OTLP |
//! |---|---|
//! | a gauge | a gauge |
//! | a counter as read | a cumulative, monotonic sum since the start of the container, if that is known |
//! | a total, a number of targets | a gauge, as it is printed |
//!
//! The name is `PREFIX.GRAPH.METRIC` without wildcards. The words that wildcards stand for are the attribute `series`,
//! also of totals.

use std::ptr;

use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use super::resource::{attribute, text};
use crate::definition::{Definitions, Point};
use crate::limits;
use crate::pipeline::output::{Output, PostedGraph, Value};
use crate::pipeline::series::Series;
use crate::sandbox::{MetricKind, Period, Unit};
use crate::version::VERSION;

/// The attribute with the words that wildcards of a name stand for.
pub const SERIES: &str = "series";

/// Joins parts of keys to the name of a metric: without wildcards.
pub fn metric_name<'a>(keys: impl IntoIterator<Item = &'a str>) -> String {
    let parts = keys.into_iter().flat_map(|key| key.split('.')).filter(|part| !matches!(*part, "#" | "*"));
    parts.collect::<Vec<_>>().join(".")
}

/// Returns the metrics of a target, in parts that fit into a request each. Counters are as collected. `time` is in
/// nanoseconds since 1970.
pub fn of_target(
    resource: &Resource,
    output: &Output,
    definitions: &Definitions,
    series: &Series<'_>,
    time: u64,
) -> Vec<ResourceMetrics> {
    let start = series.reading.as_ref().and_then(|reading| nanoseconds(reading.start.as_deref()?));
    // The start must not be later than the values, even if the container was started during the run.
    let start = start.unwrap_or_default().min(time);
    let points: Vec<&Point> = output.kept(series).collect();
    let parts = points.chunks(limits::OTLP_VALUES);
    parts.map(|part| part_of(resource.clone(), metrics(output, definitions, part, start, time))).collect()
}

/// Groups points, which are in the order of the definitions, by their metrics.
fn metrics(output: &Output, definitions: &Definitions, points: &[&Point], start: u64, time: u64) -> Vec<Metric> {
    let of_one = points.chunk_by(|one, next| one.order == next.order);
    let metric = |points: &[&Point]| {
        let first = points.first()?;
        let graph = definitions.graphs().get(first.order.0)?;
        let declared = graph.metrics.get(first.order.1)?;
        let pattern = || graph.key.split('.').chain([declared.name.as_str()]);
        let name = metric_name([&output.prefix.to_string(), graph.key.as_str(), &declared.name]);
        let data_point = |point: &&Point| number(words(pattern(), &point.key), point.value, time);
        let data_points = points.iter().map(data_point);
        let (data, unit) = match declared.kind {
            MetricKind::Gauge => (Data::Gauge(Gauge { data_points: data_points.collect() }), unit(graph.unit)),
            MetricKind::Counter(period) => {
                let since = |point| NumberDataPoint { start_time_unix_nano: start, ..point };
                let sum = Sum {
                    data_points: data_points.map(since).collect(),
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                    is_monotonic: true,
                };
                (Data::Sum(sum), unit_of_counter(graph.unit, period))
            }
        };
        Some(Metric { name, unit: unit.to_owned(), data: Some(data), ..Metric::default() })
    };
    of_one.filter_map(metric).collect()
}

/// Returns the metrics of values that are not of one target, as they are printed.
pub fn of_values(resource: &Resource, graphs: &[PostedGraph], values: &[Value], time: u64) -> Vec<ResourceMetrics> {
    let declared = Declared::all(graphs);
    let values: Vec<Named<'_>> =
        values.iter().map(|value| (value, declared.iter().find(|declared| declared.is_of(&value.key)))).collect();
    let metric = |values: &[Named<'_>]| {
        let (first, declared) = values.first()?;
        let data_point = |(value, declared): &Named<'_>| {
            let attributes = declared.map(|of| words(of.pattern.iter().copied(), &value.key)).unwrap_or_default();
            number(attributes, value.value, time)
        };
        let data = Data::Gauge(Gauge { data_points: values.iter().map(data_point).collect() });
        let name = declared.map_or_else(|| first.key.clone(), |of| metric_name(of.pattern.iter().copied()));
        let unit = declared.map_or("", |of| unit(of.unit)).to_owned();
        Some(Metric { name, unit, data: Some(data), ..Metric::default() })
    };
    let parts = values.chunks(limits::OTLP_VALUES);
    // The values of one metric are neighbours.
    let is_one =
        |one: &Named<'_>, next: &Named<'_>| one.1.is_some_and(|of| next.1.is_some_and(|other| ptr::eq(of, other)));
    parts.map(|part| part_of(resource.clone(), part.chunk_by(is_one).filter_map(metric).collect())).collect()
}

/// A value with its metric, if that is declared.
type Named<'v> = (&'v Value, Option<&'v Declared<'v>>);

/// A metric of a graph that Mackerel gets.
struct Declared<'a> {
    /// The parts of its name, with wildcards.
    pattern: Vec<&'a str>,
    unit: Unit,
}

impl<'a> Declared<'a> {
    /// Returns all metrics. Those with fewer wildcards come first: a word that a target chose can be that of another
    /// metric.
    fn all(graphs: &'a [PostedGraph]) -> Vec<Declared<'a>> {
        let of = |graph: &'a PostedGraph| {
            graph.metrics.iter().map(|metric| {
                let pattern = graph.key.split('.').chain([metric.name.as_str()]).collect();
                Declared { pattern, unit: graph.unit }
            })
        };
        let mut all: Vec<Declared<'_>> = graphs.iter().flat_map(of).collect();
        all.sort_by_key(|declared| declared.pattern.iter().filter(|part| **part == "*").count());
        all
    }

    fn is_of(&self, key: &str) -> bool {
        let mut parts = key.split('.');
        self.pattern.iter().all(|of| parts.next().is_some_and(|part| *of == "*" || *of == part))
            && parts.next().is_none()
    }
}

/// Returns the attribute with the words of `key` that wildcards of `pattern` stand for, if there are any.
fn words<'a>(pattern: impl Iterator<Item = &'a str>, key: &str) -> Vec<KeyValue> {
    let words: Vec<&str> = pattern.zip(key.split('.')).filter(|(part, _)| *part == "*").map(|(_, word)| word).collect();
    if words.is_empty() { Vec::new() } else { vec![attribute(SERIES.to_owned(), text(&words.join(".")))] }
}

fn number(attributes: Vec<KeyValue>, value: f64, time: u64) -> NumberDataPoint {
    // Adding zero makes -0 a plain 0, as it is printed.
    let value = Some(Number::AsDouble(value + 0.0));
    NumberDataPoint { attributes, time_unix_nano: time, value, ..NumberDataPoint::default() }
}

fn part_of(resource: Resource, metrics: Vec<Metric>) -> ResourceMetrics {
    let scope = InstrumentationScope {
        name: "mackerel-plugin-wasm".to_owned(),
        version: VERSION.to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
    ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() }
}

/// Returns the number of values in metrics.
pub fn count(parts: &[ResourceMetrics]) -> usize {
    let metrics = parts.iter().flat_map(|part| &part.scope_metrics).flat_map(|scope| &scope.metrics);
    let of = |metric: &Metric| match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        _ => 0,
    };
    metrics.map(of).sum()
}

/// Distributes metrics over requests of limited size.
pub fn requests(parts: Vec<ResourceMetrics>) -> Vec<ExportMetricsServiceRequest> {
    // The tag and the length of a part take less than this.
    const OVERHEAD: usize = 10;
    let (mut requests, mut left) = (Vec::new(), 0);
    let mut resource_metrics = Vec::new();
    for part in parts {
        let size = part.encoded_len() + OVERHEAD;
        if size > left && !resource_metrics.is_empty() {
            requests.push(ExportMetricsServiceRequest { resource_metrics: std::mem::take(&mut resource_metrics) });
        }
        if resource_metrics.is_empty() {
            left = limits::OTLP_REQUEST;
        }
        left = left.saturating_sub(size);
        resource_metrics.push(part);
    }
    if !resource_metrics.is_empty() {
        requests.push(ExportMetricsServiceRequest { resource_metrics });
    }
    requests
}

/// Reads the start time of a container, as its engine formats it.
fn nanoseconds(time: &str) -> Option<u64> {
    u64::try_from(time.parse::<Timestamp>().ok()?.as_nanosecond()).ok()
}

/// Returns the unit by the Unified Code for Units of Measure (<https://ucum.org>).
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Float | Unit::Integer => "1",
        Unit::Percentage => "%",
        Unit::Seconds => "s",
        Unit::Milliseconds => "ms",
        Unit::Bytes => "By",
        Unit::BytesPerSecond => "By/s",
        Unit::BitsPerSecond => "bit/s",
        Unit::Iops => "{operation}/s",
    }
}

/// Returns the unit of a counter, whose growth in `period` has the unit `of_rate`. Mackerel shows a growth in bytes in
/// the unit bytes.
fn unit_of_counter(of_rate: Unit, period: Period) -> &'static str {
    match (of_rate, period) {
        (Unit::BytesPerSecond, Period::Second) => "By",
        (Unit::BitsPerSecond, Period::Second) => "bit",
        (Unit::Iops, Period::Second) => "{operation}",
        // A counter of CPU time: one second of a core is 100 percent for a second.
        (Unit::Percentage, Period::Second) => "%.s",
        (Unit::Percentage, Period::Minute) => "%.min",
        (other, _) => unit(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::output::Of;
    use crate::pipeline::rate::{Clock, Reading};
    use crate::pipeline::select::Selection;
    use crate::pipeline::target::Target;
    use crate::pipeline::total::Total;
    use crate::sandbox::{Graph, Metric as DeclaredMetric};

    fn output() -> Output {
        Output {
            prefix: "web.app".parse().unwrap(),
            selection: Selection { select: Vec::new(), exclude: Vec::new() },
            totals: Vec::new(),
            each_target: true,
            targets_graph: false,
            has_names: true,
            max_metrics: None,
        }
    }

    fn metric(name: &str, kind: MetricKind) -> DeclaredMetric {
        DeclaredMetric { name: name.to_owned(), label: String::new(), stacked: false, kind }
    }

    fn definitions() -> Definitions {
        let graph = |key: &str, unit, metrics| Graph { key: key.to_owned(), label: String::new(), unit, metrics };
        let counter = MetricKind::Counter(Period::Second);
        Definitions::new(vec![
            graph("#.memory", Unit::Bytes, vec![metric("sys", MetricKind::Gauge)]),
            graph("disk.#.*", Unit::BytesPerSecond, vec![metric("read", counter), metric("*", counter)]),
        ])
        .unwrap()
    }

    fn reading(start: Option<&str>) -> Reading {
        let start = start.map(str::to_owned);
        Reading {
            start,
            time: 0,
            clock: Clock::Host,
            read: None,
            source: None,
            counters: std::collections::BTreeMap::new(),
        }
    }

    /// Formats the data points of the metrics of these points.
    fn shown(points: &[((usize, usize), &str, f64)], start: Option<&str>) -> Vec<String> {
        let (output, definitions, target) = (output(), definitions(), Target::default());
        let point = |(order, key, value): &((usize, usize), &str, f64)| {
            let kind = definitions.graphs()[order.0].metrics[order.1].kind;
            Point { order: *order, key: (*key).to_owned(), kind, value: *value }
        };
        let points = points.iter().map(point).collect();
        let series = Series { position: 0, target: &target, name: None, points, reading: Some(reading(start)) };
        show(of_target(&Resource::default(), &output, &definitions, &series, 2_000_000_000))
    }

    /// Formats metrics with their data points.
    fn show(parts: Vec<ResourceMetrics>) -> Vec<String> {
        let metrics = parts.into_iter().flat_map(|part| part.scope_metrics).flat_map(|scope| scope.metrics);
        let show = |Metric { name, unit, data, .. }: Metric| {
            let (kind, points) = match data {
                Some(Data::Gauge(gauge)) => ("gauge", gauge.data_points),
                Some(Data::Sum(sum)) if sum.is_monotonic && sum.aggregation_temporality == 2 => {
                    ("sum", sum.data_points)
                }
                other => panic!("{other:?}"),
            };
            let point = |point: NumberDataPoint| {
                let (start, time) = (point.start_time_unix_nano, point.time_unix_nano);
                let series: Vec<_> =
                    point.attributes.into_iter().map(|of| (of.key, of.value.and_then(|of| of.value))).collect();
                format!("{:?} {start}..{time} {series:?}", point.value)
            };
            let points: Vec<String> = points.into_iter().map(point).collect();
            format!("{name} [{unit}] {kind} {}", points.join(", "))
        };
        metrics.map(show).collect()
    }

    #[test]
    fn words_of_wildcards_are_an_attribute_and_not_a_part_of_the_name() {
        let points = [
            ((0, 0), "#.memory.sys", 1.5),
            ((1, 0), "disk.#.sda.read", 7.0),
            ((1, 0), "disk.#.sdb.read", 8.0),
            ((1, 1), "disk.#.sda.trim", 9.0),
        ];
        let expected = [
            "web.app.memory.sys [By] gauge Some(AsDouble(1.5)) 0..2000000000 []",
            "web.app.disk.read [By] sum Some(AsDouble(7.0)) 1000000000..2000000000 \
             [(\"series\", Some(StringValue(\"sda\")))], Some(AsDouble(8.0)) 1000000000..2000000000 \
             [(\"series\", Some(StringValue(\"sdb\")))]",
            "web.app.disk [By] sum Some(AsDouble(9.0)) 1000000000..2000000000 \
             [(\"series\", Some(StringValue(\"sda.trim\")))]",
        ];
        assert_eq!(shown(&points, Some("1970-01-01T00:00:01Z")), expected);
    }

    #[test]
    fn a_counter_begins_at_an_unknown_time_or_not_after_its_value() {
        let of = |start| shown(&[((1, 0), "disk.#.sda.read", 0.0)], start).concat();
        assert!(of(None).contains(" 0..2000000000 "), "{}", of(None));
        assert!(of(Some("yesterday")).contains(" 0..2000000000 "));
        assert!(of(Some("1970-01-01T00:00:09Z")).contains(" 2000000000..2000000000 "));
    }

    #[test]
    fn totals_of_a_wildcard_share_a_metric_and_have_its_unit() {
        let metric = |name| metric(name, MetricKind::Gauge);
        let graph = |key: &str, unit, metrics| PostedGraph {
            of: Of::Total(0, Total::Sum),
            key: key.to_owned(),
            label: String::new(),
            unit,
            metrics,
        };
        let graphs = [
            graph("web_sum.disk.*", Unit::Bytes, vec![metric("*"), metric("read")]),
            graph("web_sum.cpu", Unit::Percentage, vec![metric("user")]),
        ];
        let value = |key: &str| Value { key: key.to_owned(), value: 1.0 };
        let keys =
            ["web_sum.disk.sda.trim", "web_sum.disk.sdb.trim", "web_sum.disk.sda.read", "web_sum.cpu.user", "x.y"];
        let shown = show(of_values(&Resource::default(), &graphs, &keys.map(value), 2));
        let expected = [
            "web_sum.disk [By] gauge Some(AsDouble(1.0)) 0..2 [(\"series\", Some(StringValue(\"sda.trim\")))], \
             Some(AsDouble(1.0)) 0..2 [(\"series\", Some(StringValue(\"sdb.trim\")))]",
            "web_sum.disk.read [By] gauge Some(AsDouble(1.0)) 0..2 [(\"series\", Some(StringValue(\"sda\")))]",
            "web_sum.cpu.user [%] gauge Some(AsDouble(1.0)) 0..2 []",
            "x.y [] gauge Some(AsDouble(1.0)) 0..2 []",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn requests_stay_below_the_limit_and_lose_nothing() {
        let name = "x".repeat(limits::KEY_LENGTH);
        let value = |n: usize| Value { key: format!("{n}{name}{name}"), value: 0.5 };
        let values: Vec<Value> = (0..20_000).map(value).collect();
        let parts = of_values(&Resource::default(), &[], &values, 1);
        let requests = requests(parts);
        assert!(requests.len() > 3 && requests.iter().all(|request| request.encoded_len() <= limits::OTLP_REQUEST));
        assert_eq!(requests.iter().map(|request| count(&request.resource_metrics)).sum::<usize>(), 20_000);
    }
}
