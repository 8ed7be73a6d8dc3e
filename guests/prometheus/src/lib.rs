//! Collector for selected metrics in Prometheus' text format.
//!
//! Only the target's response contains the type of a metric, but mackerel-agent requests graph definitions without a
//! target. So each metric has two graphs, and its type selects one of them: the metric's own for gauges, and `rate`
//! below it for counters. The unit comes from the metric's name.

mod name;
mod selector;

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use mackerel_collector::prometheus::{Kind, Sample, parse as samples};
use mackerel_collector::{
    CollectError, Collector, Graph, Metric, MetricRow, OptionSpec, Options, Report, Target, Unit, http, notes,
};

pub use selector::Selector;

/// The limit of series per target: the number of metrics that Mackerel accepts from a standard host.
const SERIES: usize = 200;

/// The number of names that a hint lists.
const LISTED: usize = 3;

/// The preferred format. Without it, some targets respond in a binary one.
const ACCEPT: &str = "text/plain;version=0.0.4, */*;q=0.1";

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
        let body = match get.clone().header("accept", ACCEPT).body() {
            Err(CollectError::Status(406)) => get.body()?,
            body => body?,
        };
        let Page { report, notes, unmatched } = read(&body, &selectors(options)?)?;
        for note in notes {
            eprintln!("{note}");
        }
        for Unmatched { selector, hint } in unmatched {
            notes::unmatched("metric", &selector, &hint);
        }
        Ok(report)
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

/// The selected series of a page.
#[derive(Debug, PartialEq)]
pub struct Page {
    /// The series.
    pub report: Report,
    /// Notes about skipped lines, for the operator.
    pub notes: Vec<String>,
    /// The selectors that match no series.
    pub unmatched: Vec<Unmatched>,
}

/// A selector that matches no series.
#[derive(Debug, PartialEq)]
pub struct Unmatched {
    /// The selector as the operator wrote it.
    pub selector: String,
    /// Other metrics of the page.
    pub hint: String,
}

/// Parses a page and reports the selected series. A malformed line affects no other line.
///
/// # Errors
/// If no line is in Prometheus' text format, or if the selectors match more than 200 series.
pub fn read(body: &[u8], selectors: &[Selector]) -> Result<Page, CollectError> {
    let (mut selected, mut names) = (Vec::new(), BTreeSet::new());
    let (mut malformed, mut first_malformed) = (0, None);
    let mut is_matched = vec![false; selectors.len()];
    for sample in samples(body) {
        let sample = match sample {
            Ok(sample) => sample,
            Err(error) => {
                malformed += 1;
                first_malformed.get_or_insert(error);
                continue;
            }
        };
        names.insert(sample.name.clone());
        let mut is_selected = false;
        for (selector, is_matched) in selectors.iter().zip(&mut is_matched) {
            let selects = selector.selects(&sample);
            *is_matched |= selects;
            is_selected |= selects;
        }
        if is_selected {
            selected.push(sample);
        }
    }
    match first_malformed {
        Some(error) if names.is_empty() => return Err(error.into()),
        None if body.trim_ascii().is_empty() => return Err(CollectError::unexpected("an empty page")),
        _ => {}
    }
    let selected = newest(selected);
    if selected.len() > SERIES {
        return Err(too_many(&selected).into());
    }
    let (report, mut notes) = report(&selected);
    notes.extend(first_malformed.map(|first| match malformed {
        1 => format!("skipped a malformed line: {first}"),
        _ => format!("skipped {malformed} malformed lines, first: {first}"),
    }));
    let unmatched = selectors.iter().zip(is_matched).filter(|(_, is_matched)| !is_matched);
    let unmatched =
        unmatched.map(|(selector, _)| Unmatched { selector: selector.text.clone(), hint: hint(selector, &names) });
    Ok(Page { report, notes, unmatched: unmatched.collect() })
}

/// Keeps the newest sample of each series. One without a time is current; of equally old ones, the first is kept.
fn newest(samples: Vec<Sample>) -> Vec<Sample> {
    let age = |sample: &Sample| sample.time.unwrap_or(f64::INFINITY);
    let mut series: BTreeMap<String, Sample> = BTreeMap::new();
    for sample in samples {
        match series.entry(name::identity(&sample)) {
            Entry::Vacant(entry) => {
                entry.insert(sample);
            }
            Entry::Occupied(mut entry) if age(&sample) > age(entry.get()) => {
                entry.insert(sample);
            }
            Entry::Occupied(_) => {}
        }
    }
    series.into_values().collect()
}

/// Reports the series, each under a name that no other has, and returns notes about names.
fn report(selected: &[Sample]) -> (Report, Vec<String>) {
    let mut names: BTreeMap<(String, String), Vec<&Sample>> = BTreeMap::new();
    for sample in selected {
        names.entry((graph(sample), name::series(&sample.labels))).or_default().push(sample);
    }
    let (mut report, mut notes) = (Report::new(), Vec::new());
    for ((graph, metric), series) in names {
        let is_shared = series.len() > 1;
        if is_shared {
            notes.push(format!(
                "{} series have the same name {graph}.{metric}; appended a suffix to each",
                series.len()
            ));
        }
        for sample in series {
            let metric = if is_shared { name::with_suffix(&metric, &name::identity(sample)) } else { metric.clone() };
            // NaN is a quantile without observations, and Mackerel does not accept infinity.
            report.push(graph.as_str(), metric, Some(sample.value).filter(|value| value.is_finite()));
        }
    }
    (report, notes)
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

/// Lists metrics that are similar to an unmatched selector, or else some of all metrics.
fn hint(selector: &Selector, names: &BTreeSet<Cow<str>>) -> String {
    if let Some(name) = names.iter().find(|name| selector.has_name(name)) {
        return format!("{name} has other labels");
    }
    // A likely mistake is the name of a histogram without the suffix of one of its parts.
    let similar: Vec<&str> = names.iter().map(|name| &**name).filter(|name| selector.is_similar(name)).collect();
    let some = |names: &[&str]| names.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    let all: Vec<&str> = names.iter().map(|name| &**name).collect();
    match (&similar[..], &all[..]) {
        ([], []) => "the page has no metrics".to_owned(),
        ([], all) if all.len() <= LISTED => format!("available: {}", some(all)),
        ([], all) => format!("{} metrics are available, such as {}", all.len(), some(all)),
        (similar, _) => format!("similar: {}", some(similar)),
    }
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
