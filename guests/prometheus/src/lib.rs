//! Collector for selected metrics in Prometheus' text format.
//!
//! Only the target's response contains the type of a metric, but mackerel-agent requests graph definitions without a
//! target. So each metric has two graphs, and its type selects one of them: the metric's own for gauges, and `rate`
//! below it for counters. The unit comes from the metric's name.

mod name;
mod selector;

use std::collections::{BTreeMap, BTreeSet};

use mackerel_collector::prometheus::{Kind, Sample, parse as samples};
use mackerel_collector::{
    CollectError, Collector, Graph, Metric, MetricRow, OptionSpec, Options, Report, Target, Unit, http,
};

pub use selector::Selector;

/// The limit of series per target: the number of metrics that Mackerel accepts from a standard host.
const SERIES: usize = 200;

/// The number of names that an error lists.
const LISTED: usize = 3;

/// The collector.
pub struct Prometheus;

impl Collector for Prometheus {
    const NAME: &str = "prometheus";
    const SUMMARY: &str = "Selected metrics in Prometheus' text format";
    const OPTIONS: &[OptionSpec] = &[
        OptionSpec::many(
            "metric",
            "Metrics to show: a name, or a prefix and '*'; labels can follow, as in 'requests_total{code=\"200\"}'",
        ),
        OptionSpec::text("path", "The path of the metrics").default("/metrics"),
        http::SCHEME,
    ];

    fn graphs(options: &Options) -> Result<Vec<Graph>, String> {
        options.path("path")?;
        let mut selectors = selectors(options)?;
        // The host uses the first graph that matches a series, so full names come before prefixes.
        selectors.sort_by_key(|selector| selector.name.is_none());
        let mut graphs: Vec<Graph> = Vec::new();
        for selector in selectors {
            for graph in graphs_of(&selector) {
                if graphs.iter().all(|known| known.key != graph.key) {
                    graphs.push(graph);
                }
            }
        }
        Ok(graphs)
    }

    fn collect(_target: &Target, options: &Options) -> Result<Report, CollectError> {
        let get = http::Get::new(options.text("path")).scheme_of(options);
        // Without this header, some targets respond in a binary format.
        let body = get.header("accept", "text/plain;version=0.0.4").body()?;
        read(&body, &selectors(options)?)
    }
}

mackerel_collector::export!(Prometheus);

/// Returns the selectors of all `--metric` options.
fn selectors(options: &Options) -> Result<Vec<Selector>, String> {
    let selectors: Vec<Selector> = options.all("metric").map(str::parse).collect::<Result<_, _>>()?;
    if selectors.is_empty() {
        return Err(
            "--metric is required, once or more: a name such as go_goroutines, or a prefix such as 'go_*'".to_owned()
        );
    }
    Ok(selectors)
}

/// Returns a selector's graph for gauges and its graph for counters.
fn graphs_of(selector: &Selector) -> [Graph; 2] {
    // Each line of the graph is a series. The first wildcard of its name is the target.
    let line = |metric: MetricRow| vec![Metric::from(&metric)];
    let (component, label, [unit, rate]) = match &selector.name {
        Some(name) => (name::component(name), ["", " per Second"].map(|end| format!("{name}{end}")), units(name)),
        None => ("*".to_owned(), ["Gauges", "Rates per Second"].map(str::to_owned), [Unit::Float; 2]),
    };
    let series = if selector.name.is_some() { "%2" } else { "%2 %3" };
    let [label, rate_label] = label.map(|label| name::truncate(&label));
    [
        Graph { key: format!("#.{component}"), label, unit, metrics: line(MetricRow::gauge("*", series)) },
        Graph {
            key: format!("#.{component}.rate"),
            label: rate_label,
            unit: rate,
            metrics: line(MetricRow::per_second("*", series)),
        },
    ]
}

/// The units of a metric's values and of its rate per second, by the conventional suffixes of metric names.
fn units(name: &str) -> [Unit; 2] {
    let name = name.strip_suffix("_total").or_else(|| name.strip_suffix("_sum")).unwrap_or(name);
    match name.rsplit('_').next() {
        Some("bytes") => [Unit::Bytes, Unit::BytesPerSecond],
        Some("seconds") => [Unit::Seconds, Unit::Float],
        Some("milliseconds") => [Unit::Milliseconds, Unit::Float],
        _ => [Unit::Float; 2],
    }
}

/// Parses a page and reports the selected series.
///
/// # Errors
/// If the page is not in Prometheus' text format, or if the selectors match no series or more than 200.
pub fn read(body: &[u8], selectors: &[Selector]) -> Result<Report, CollectError> {
    let page = std::str::from_utf8(body).map_err(|_| CollectError::unexpected("a body that is not UTF-8"))?;
    let (mut selected, mut others) = (Vec::new(), BTreeMap::new());
    for sample in samples(page) {
        let sample = sample.map_err(CollectError::Unexpected)?;
        if selectors.iter().any(|selector| selector.selects(&sample)) {
            selected.push(sample);
        } else {
            *others.entry(sample.name).or_insert(0_usize) += 1;
        }
    }
    if selected.is_empty() {
        return Err(no_match(selectors, others.keys().map(|name| &**name)).into());
    }
    if selected.len() > SERIES {
        return Err(too_many(&selected).into());
    }
    Ok(report(&selected))
}

/// Reports each series once, under a name that no other series has.
fn report(selected: &[Sample]) -> Report {
    let mut names: BTreeMap<(String, String), BTreeMap<String, &Sample>> = BTreeMap::new();
    for sample in selected {
        let series = names.entry((graph(sample), name::series(&sample.labels))).or_default();
        series.entry(name::identity(sample)).or_insert(sample);
    }
    let mut report = Report::new();
    for ((graph, metric), series) in names {
        let is_shared = series.len() > 1;
        if is_shared {
            eprintln!("{} series have the same name {graph}.{metric}; appended a suffix to each", series.len());
        }
        for (identity, sample) in series {
            let metric = if is_shared { name::with_suffix(&metric, &identity) } else { metric.clone() };
            // NaN is a quantile without observations, and Mackerel does not accept infinity.
            report.push(graph.as_str(), metric, Some(sample.value).filter(|value| value.is_finite()));
        }
    }
    report
}

/// Returns the key of a sample's graph. A sample without a type is a counter if its name is that of a counter.
fn graph(sample: &Sample) -> String {
    let is_counter = match sample.kind {
        Kind::Counter => true,
        Kind::Gauge => false,
        Kind::Untyped => sample.name.ends_with("_total"),
    };
    format!("#.{}{}", name::component(&sample.name), if is_counter { ".rate" } else { "" })
}

/// The error if no series matches: lists similar metrics, or else some of all metrics.
fn no_match<'a>(selectors: &[Selector], names: impl Iterator<Item = &'a str> + Clone) -> String {
    let selected: Vec<&str> = selectors.iter().map(|selector| selector.text.as_str()).collect();
    // A likely mistake is the name of a histogram without the suffix of one of its parts.
    let is_similar = |name: &&str| selectors.iter().any(|selector| selector.is_similar(name));
    let similar: Vec<&str> = names.clone().filter(is_similar).take(LISTED).collect();
    let (all, some): (usize, Vec<&str>) = (names.clone().count(), names.take(LISTED).collect());
    let alternatives = match (&similar[..], all) {
        ([], 0) => "the page has no metrics".to_owned(),
        ([], _) if all <= LISTED => format!("available: {}", some.join(", ")),
        ([], _) => format!("{all} metrics are available, such as {}", some.join(", ")),
        (similar, _) => format!("similar: {}", similar.join(", ")),
    };
    format!("no metric matches {} (--metric); {alternatives}", selected.join(" or "))
}

/// The error if too many series match: names the metric with the most series, and a narrower selector.
fn too_many(selected: &[Sample]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for sample in selected {
        *counts.entry(&sample.name).or_default() += 1;
    }
    let (name, count) = counts.iter().max_by_key(|(_, count)| **count).map_or(("", 0), |(name, count)| (*name, *count));
    let narrower = match widest_label(selected.iter().filter(|sample| sample.name == name)) {
        Some((label, value)) => format!("--metric '{name}{{{label}={value:?}}}'"),
        None => format!("--metric {name}"),
    };
    format!(
        "--metric matches {} series (limit {SERIES}), {count} of them of {name}: select fewer, such as {narrower}",
        selected.len()
    )
}

/// Returns the label with the most values, and one of its values.
fn widest_label<'a>(samples: impl Iterator<Item = &'a Sample<'a>>) -> Option<(&'a str, &'a str)> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (label, value) in samples.flat_map(|sample| &sample.labels) {
        values.entry(label).or_default().insert(value);
    }
    let (label, values) = values.into_iter().max_by_key(|(_, values)| values.len())?;
    Some((label, values.first()?))
}

#[cfg(test)]
mod tests;
