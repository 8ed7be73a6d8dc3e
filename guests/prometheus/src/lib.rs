//! Collector: chosen metrics of anything that serves the text form of Prometheus.
//!
//! What a metric means is known only when the target has told its type, and definitions are asked for when there is no target. So each
//! metric has two graphs, of which the type then chooses one: its own for values of the moment, and `rate` below it for counts. The
//! name tells only the unit.

mod name;
mod selector;

use std::collections::{BTreeMap, BTreeSet};

use mackerel_collector::prometheus::{Kind, Sample, parse as samples};
use mackerel_collector::{
    CollectError, Collector, Graph, Metric, MetricRow, OptionSpec, Options, Report, Target, Unit, http,
};

pub use selector::Selector;

/// How many series of one target are shown: as many metrics as Mackerel takes from a standard host.
const SERIES: usize = 200;

/// How many names an error lists.
const LISTED: usize = 3;

/// The collector.
pub struct Prometheus;

impl Collector for Prometheus {
    const NAME: &str = "prometheus";
    const SUMMARY: &str = "Chosen metrics of what serves the text form of Prometheus";
    const OPTIONS: &[OptionSpec] = &[
        OptionSpec::many(
            "metric",
            "What is shown: a metric's name, or its beginning and '*'; labels can follow, as in 'requests_total{code=\"200\"}'",
        ),
        OptionSpec::text("path", "The path of the metrics").default("/metrics"),
        http::SCHEME,
    ];

    fn graphs(options: &Options) -> Result<Vec<Graph>, String> {
        options.path("path")?;
        let mut selectors = selectors(options)?;
        // Of the graphs that a series fits, the host takes the first.
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
        // Some would else answer in a form that is no text.
        let body = get.header("accept", "text/plain;version=0.0.4").body()?;
        read(&body, &selectors(options)?)
    }
}

mackerel_collector::export!(Prometheus);

/// What the operator chose.
fn selectors(options: &Options) -> Result<Vec<Selector>, String> {
    let selectors: Vec<Selector> = options.all("metric").map(str::parse).collect::<Result<_, _>>()?;
    if selectors.is_empty() {
        return Err(
            "--metric is missing, as often as needed: a name such as go_goroutines, or a beginning such as 'go_*'"
                .to_owned(),
        );
    }
    Ok(selectors)
}

/// The graph for values of the moment and the one for counts.
fn graphs_of(selector: &Selector) -> [Graph; 2] {
    // A line of the graph stands for a series. The first wildcard is the target.
    let line = |metric: MetricRow| vec![Metric::from(&metric)];
    let (component, label, [unit, rate]) = match &selector.name {
        Some(name) => (name::component(name), ["", " per Second"].map(|end| format!("{name}{end}")), units(name)),
        None => ("*".to_owned(), ["Gauges", "Rates per Second"].map(str::to_owned), [Unit::Float; 2]),
    };
    let series = if selector.name.is_some() { "%2" } else { "%2 %3" };
    let [label, rate_label] = label.map(|label| name::cut(&label));
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

/// The unit of a metric's values, and that of its growth per second, by what names of metrics end with.
fn units(name: &str) -> [Unit; 2] {
    let name = name.strip_suffix("_total").or_else(|| name.strip_suffix("_sum")).unwrap_or(name);
    match name.rsplit('_').next() {
        Some("bytes") => [Unit::Bytes, Unit::BytesPerSecond],
        Some("seconds") => [Unit::Seconds, Unit::Float],
        Some("milliseconds") => [Unit::Milliseconds, Unit::Float],
        _ => [Unit::Float; 2],
    }
}

/// Reads a page.
///
/// # Errors
/// Where it is no page of Prometheus, where nothing of it is selected, or too much.
pub fn read(body: &[u8], selectors: &[Selector]) -> Result<Report, CollectError> {
    let page = std::str::from_utf8(body).map_err(|_| CollectError::unexpected("a body that is no text"))?;
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
        return Err(nothing(selectors, others.keys().map(|name| &**name)).into());
    }
    if selected.len() > SERIES {
        return Err(too_many(&selected).into());
    }
    Ok(report(&selected))
}

fn report(selected: &[Sample]) -> Report {
    let mut names: BTreeMap<(String, String), BTreeMap<String, &Sample>> = BTreeMap::new();
    for sample in selected {
        let series = names.entry((graph(sample), name::series(&sample.labels))).or_default();
        series.entry(name::in_full(sample)).or_insert(sample);
    }
    let mut report = Report::new();
    for ((graph, metric), series) in names {
        let is_shared = series.len() > 1;
        if is_shared {
            eprintln!("{} series would all be {graph}.{metric}, so each has a suffix of its own", series.len());
        }
        for (in_full, sample) in series {
            let metric = if is_shared { name::with_suffix(&metric, &in_full) } else { metric.clone() };
            // NaN is a quantile of nothing, and Mackerel has no infinity.
            report.push(graph.as_str(), metric, Some(sample.value).filter(|value| value.is_finite()));
        }
    }
    report
}

/// The graph of a sample: that of counts where its type says so, and where there is no type but a counter's name.
fn graph(sample: &Sample) -> String {
    let is_count = match sample.kind {
        Kind::Counter => true,
        Kind::Gauge => false,
        Kind::Untyped => sample.name.ends_with("_total"),
    };
    format!("#.{}{}", name::component(&sample.name), if is_count { ".rate" } else { "" })
}

/// Says what there is instead of what is selected.
fn nothing<'a>(selectors: &[Selector], names: impl Iterator<Item = &'a str> + Clone) -> String {
    let chosen: Vec<&str> = selectors.iter().map(|selector| selector.text.as_str()).collect();
    // The parts of a histogram are the likely mistake.
    let is_near = |name: &&str| selectors.iter().any(|selector| selector.is_near(name));
    let near: Vec<&str> = names.clone().filter(is_near).take(LISTED).collect();
    let (all, some): (usize, Vec<&str>) = (names.clone().count(), names.take(LISTED).collect());
    let instead = match (&near[..], all) {
        ([], 0) => "there are no metrics at all".to_owned(),
        ([], _) if all <= LISTED => format!("there are only {}", some.join(", ")),
        ([], _) => format!("there are {all} metrics, such as {}", some.join(", ")),
        (near, _) => format!("there is {}", near.join(", ")),
    };
    format!("nothing is {} (--metric); {instead}", chosen.join(" or "))
}

/// Says how many series are selected, which metric has the most, and how to choose fewer.
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
        "--metric selects {} series, {SERIES} are the limit; {name} has most of them, {count}: choose fewer, such as by {narrower}",
        selected.len()
    )
}

/// The label that has the most values, and one of them.
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
