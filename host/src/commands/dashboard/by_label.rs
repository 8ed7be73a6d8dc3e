//! Graphs of labelled metrics (`--otlp`), by queries in the PromQL that Mackerel supports
//! (<https://mackerel.io/docs/entry/howto/labeled-metrics/promql>).
//!
//! A line is a target: its host and its instance name, which a container with the same name or slot has after a
//! deployment too. Attributes of single containers, such as `container.id`, would begin a new line each time.

use super::section::{Drawn, title};
use super::widget::Graph;
use crate::address::Address;
use crate::options::Options;
use crate::otlp;
use crate::pipeline::output::{Of, PostedGraph};
use crate::sandbox::{Metric, MetricKind, Period};

/// Draws a graph metric by metric.
pub fn drawn(posted: &PostedGraph, options: &Options) -> Vec<Drawn> {
    let key = otlp::metric_name([posted.key.as_str()]);
    let drawn =
        |metric| Drawn { title: title(posted, metric), key: key.clone(), graph: query(posted, metric, options) };
    posted.metrics.iter().map(drawn).collect()
}

fn query(posted: &PostedGraph, metric: &Metric, options: &Options) -> Graph {
    let mut attributes = match posted.of {
        Of::EachTarget(_) => of_targets(options),
        Of::Total(..) | Of::Targets => vec!["host.name"],
    };
    if posted.key.split('.').chain([metric.name.as_str()]).any(|part| part == "*") {
        attributes.push(otlp::SERIES);
    }
    let selected = selector(&otlp::metric_name([posted.key.as_str(), metric.name.as_str()]));
    // Totals are printed as rates, and sent so.
    let kind = if matches!(posted.of, Of::EachTarget(_)) { metric.kind } else { MetricKind::Gauge };
    // Mackerel has no `rate`.
    let (values, factor) = match kind {
        MetricKind::Gauge => (selected, ""),
        MetricKind::Counter(Period::Second) => (format!("irate({selected}[$__rate_interval])"), ""),
        MetricKind::Counter(Period::Minute) => (format!("irate({selected}[$__rate_interval])"), " * 60"),
    };
    let legend: Vec<String> = attributes.iter().map(|key| format!("{{{{{key}}}}}")).collect();
    // While a container replaces another one, both have the attributes: a sum would be twice the value.
    Graph::Query { query: format!("max by ({}) ({values}){factor}", attributes.join(", ")), legend: legend.join(" ") }
}

/// Returns the attributes that distinguish targets and stay across deployments.
fn of_targets(options: &Options) -> Vec<&'static str> {
    let fixed = &options.discovery.fixed;
    // Of the targets of `--target`, only those on this machine have its name.
    let is_here = fixed.is_empty() || fixed.iter().any(|target| Address::is_here(&target.host));
    let mut attributes = vec![if is_here { "host.name" } else { "server.address" }];
    let has_service = options.otlp.as_ref().is_some_and(|otlp| otlp.service_label.is_some());
    attributes.extend((has_service && fixed.is_empty()).then_some("service.name"));
    attributes.extend(options.output.has_names.then_some("instance"));
    attributes
}

/// Returns the selector of a metric. Names with dots are written as they are, others that PromQL could misread in
/// quotes: a `-` would be a subtraction.
fn selector(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    if name.chars().all(is_plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        name.to_owned()
    } else {
        format!("{{__name__=\"{name}\"}}")
    }
}
