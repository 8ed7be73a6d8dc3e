//! The output: the graphs and values that Mackerel gets, of each target and of all together.
//!
//! Definitions and values both come from here, so that every posted metric is defined.
//!
//! | values | key | example with `gostats` and `#.memory` |
//! |---|---|---|
//! | of each target | `PREFIX.GRAPH.METRIC`, the target's name instead of `#` | `gostats.32768.memory.memory_sys` |
//! | totals (`--total`) | `PREFIX_TOTAL.GRAPH.METRIC`, without the `#` | `gostats_sum.memory.memory_sys` |
//! | counts of targets (`--targets-graph`) | `PREFIX_targets.METRIC` | `gostats_targets.failed` |
//!
//! With `--instance-name none`, the only target's keys have no component for its name: `gostats.memory.memory_sys`.
//! These and the latter two have no wildcard, so Mackerel offers them as role graphs. A metric that is declared as `*`
//! has no definition as a total: Mackerel makes a graph of its values.

use std::collections::{BTreeMap, HashSet};

use crate::definition::{Definitions, Point, Prefix, bare};
use crate::pipeline::select::{Selection, SelectionError};
use crate::pipeline::series::Series;
use crate::pipeline::total::Total;
use crate::sandbox::{Metric, MetricKind, Unit};

/// The options of the output.
#[derive(Debug, Clone)]
pub struct Output {
    /// The prefix of all keys.
    pub prefix: Prefix,
    /// The selected metrics.
    pub selection: Selection,
    /// The totals, in their order, each once.
    pub totals: Vec<Total>,
    /// True to print the values of each target.
    pub each_target: bool,
    /// True to print the numbers of collected and failed targets.
    pub targets_graph: bool,
    /// True if keys have a component for the target's name.
    pub has_names: bool,
    /// The largest number of metrics of a run, or `None` if there is no limit (see [`budget`](super::budget)).
    pub max_metrics: Option<usize>,
}

/// The metrics of the graph of the numbers of targets.
pub const TARGETS_METRICS: usize = 2;

/// A graph, as Mackerel gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct PostedGraph {
    /// The values that it shows.
    pub of: Of,
    /// The key without `custom.`, with `#` for the target's name.
    pub key: String,
    /// The title.
    pub label: String,
    /// The unit of all its metrics.
    pub unit: Unit,
    /// Its metrics; `*` covers names that only the targets know.
    pub metrics: Vec<Metric>,
}

/// The values that a graph shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Each target's, of the collector's graph at this position.
    EachTarget(usize),
    /// A total over all targets, of the collector's graph at this position.
    Total(usize, Total),
    /// The numbers of targets.
    Targets,
}

/// Options that give no consistent output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// The patterns select nothing.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// Two graphs would have one key without the target's name.
    #[error("two graphs would both be '{key}' without the target's name: --exclude one of {first} and {second}")]
    SameGraph {
        /// The key.
        key: String,
        /// The key of the first graph, with the target's name.
        first: String,
        /// The key of the second graph.
        second: String,
    },
    /// The totals of two graphs would have one key.
    #[error("the totals of two graphs would both be '{key}': --exclude one of {first} and {second}")]
    SameTotal {
        /// The key.
        key: String,
        /// The name of the first graph.
        first: String,
        /// The key of the second graph.
        second: String,
    },
}

impl PostedGraph {
    /// The metrics that a definition can contain: for totals only those without a wildcard.
    pub fn defined(&self) -> impl Iterator<Item = &Metric> {
        let all = matches!(self.of, Of::EachTarget(_));
        let is_open = self.key.contains('*');
        self.metrics.iter().filter(move |metric| all || !is_open && metric.name != "*")
    }

    /// Returns the name of a metric for Mackerel's expressions, with `*` for names that only a run knows.
    pub fn pattern(&self, metric: &str) -> String {
        format!("custom.{}.{metric}", self.key.replacen('#', "*", 1))
    }
}

/// A value, ready to be printed.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The full name, in legal characters, without `custom.` in front.
    pub key: String,
    /// The value: finite.
    pub value: f64,
}

impl Output {
    /// Returns the graphs, in the collector's order: that of each target, then its totals.
    ///
    /// # Errors
    /// If patterns match nothing, or two graphs would have the same totals.
    pub fn graphs(&self, definitions: &Definitions) -> Result<Vec<PostedGraph>, OutputError> {
        self.selection.check(definitions)?;
        let mut graphs = Vec::new();
        if self.targets_graph {
            graphs.push(self.targets());
        }
        let mut keys = HashSet::new();
        for (place, graph) in definitions.graphs().iter().enumerate() {
            let name = |metric: &Metric| bare(&format!("{}.{}", graph.key, metric.name));
            let defined = graph.metrics.iter().filter(|metric| self.selection.defines(&name(metric)));
            let metrics: Vec<Metric> = defined.cloned().collect();
            if metrics.is_empty() {
                continue;
            }
            for total in &self.totals {
                let key = self.total_key(*total, &bare(&graph.key));
                if !keys.insert(key.clone()) {
                    let (first, second) = (bare(&graph.key), graph.key.clone());
                    return Err(OutputError::SameTotal { key, first, second });
                }
                let stack =
                    |metric: &Metric| Metric { stacked: metric.stacked && total.is_stackable(), ..metric.clone() };
                graphs.push(PostedGraph {
                    of: Of::Total(place, *total),
                    key,
                    label: format!("{} {} ({})", self.prefix.title(), graph.label, total.word()),
                    unit: graph.unit,
                    metrics: metrics.iter().map(stack).collect(),
                });
            }
            if self.each_target {
                let of = Of::EachTarget(place);
                let (key, label, metrics) = if self.has_names {
                    let (key, label) = Definitions::title(graph, &self.prefix);
                    (key, label, metrics)
                } else {
                    let key = self.key_without_name(&bare(&graph.key));
                    let metrics = metrics.into_iter().map(|metric| unnumbered(&graph.key, metric)).collect();
                    (key, format!("{} {}", self.prefix.title(), graph.label), metrics)
                };
                if let Some(PostedGraph { of: Of::EachTarget(other), key, .. }) =
                    graphs.iter().find(|other| other.key == key && matches!(other.of, Of::EachTarget(_)))
                {
                    let (first, second) = (definitions.graphs()[*other].key.clone(), graph.key.clone());
                    return Err(OutputError::SameGraph { key: key.clone(), first, second });
                }
                graphs.push(PostedGraph { of, key, label, unit: graph.unit, metrics });
            }
        }
        Ok(graphs)
    }

    /// Returns the values: of each target, the totals, and the numbers of targets.
    pub fn values(&self, series: &[Series<'_>], failed: usize) -> Vec<Value> {
        let mut values = self.values_of_targets(series);
        values.extend(self.values_of_all(series, failed));
        values
    }

    /// Returns the values of each target that has a name.
    pub fn values_of_targets(&self, series: &[Series<'_>]) -> Vec<Value> {
        let mut values = Vec::new();
        for one in series.iter().filter(|_| self.each_target) {
            let Some(name) = &one.name else { continue };
            let key = |point: &Point| {
                if self.has_names {
                    // A key has '#' once, and no name has it.
                    format!("{}.{}", self.prefix, point.key.replacen('#', name, 1))
                } else {
                    self.key_without_name(&bare(&point.key))
                }
            };
            values.extend(self.kept(one).map(|point| Value { key: key(point), value: point.value }));
        }
        values
    }

    /// Returns the values of all targets together: the totals, and the numbers of targets.
    pub fn values_of_all(&self, series: &[Series<'_>], failed: usize) -> Vec<Value> {
        let total = |(total, metric, value): (_, String, _)| Value { key: self.total_key(total, &metric), value };
        let mut values: Vec<Value> = self.totals(series).into_iter().map(total).collect();
        if self.targets_graph {
            // A float counts the targets of a run exactly.
            #[allow(clippy::cast_precision_loss)]
            let counts = [series.len(), failed].map(|count| count as f64);
            let metrics = self.targets().metrics.into_iter().zip(counts);
            let key = |metric: &Metric| format!("{}_targets.{}", self.prefix, metric.name);
            values.extend(metrics.map(|(metric, value)| Value { key: key(&metric), value }));
        }
        values
    }

    /// Returns the totals, in the order of the options, each with the bare name of its metric.
    pub fn totals(&self, series: &[Series<'_>]) -> Vec<(Total, String, f64)> {
        if self.totals.is_empty() {
            return Vec::new();
        }
        let mut all: BTreeMap<((usize, usize), &str), Vec<f64>> = BTreeMap::new();
        for point in series.iter().flat_map(|one| self.kept(one)) {
            all.entry((point.order, &point.key)).or_default().push(point.value);
        }
        let of = |total: Total| all.iter().filter_map(move |((_, key), all)| Some((total, bare(key), total.of(all)?)));
        self.totals.iter().copied().flat_map(of).collect()
    }

    /// Returns the points of a target that are selected.
    pub fn kept<'s>(&self, series: &'s Series<'_>) -> impl Iterator<Item = &'s Point> {
        let keeps = |point: &&Point| self.selection.is_empty() || self.selection.keeps(&bare(&point.key));
        series.points.iter().filter(keeps)
    }

    /// Returns the values of a run without a list of containers: the whole of it counts as one failed target.
    pub fn values_without_engine(&self) -> Vec<Value> {
        let mut values = self.values(&[], 1);
        if self.max_metrics.is_some_and(|max| max < values.len()) {
            values.clear();
        }
        values
    }

    /// Returns the graph of the numbers of targets. They are lines: an alert looks at one of them.
    fn targets(&self) -> PostedGraph {
        let metric = |name: &str, label: &str| Metric {
            name: name.to_owned(),
            label: label.to_owned(),
            stacked: false,
            kind: MetricKind::Gauge,
        };
        PostedGraph {
            of: Of::Targets,
            key: format!("{}_targets", self.prefix),
            label: format!("{} Targets", self.prefix.title()),
            unit: Unit::Integer,
            metrics: vec![metric("collected", "Collected"), metric("failed", "Failed")],
        }
    }

    /// Returns the key of the only target's graph or metric. `name` is its key without its `#`, which can be empty.
    fn key_without_name(&self, name: &str) -> String {
        let dot = if name.is_empty() { "" } else { "." };
        format!("{}{dot}{name}", self.prefix)
    }

    /// Returns the key of a total. `name` is the graph's key without its `#`, which can be empty.
    fn total_key(&self, total: Total, name: &str) -> String {
        let dot = if name.is_empty() { "" } else { "." };
        format!("{}_{}{dot}{name}", self.prefix, total.word())
    }
}

/// Renumbers the wildcards in the label of a metric, because the `#` of its graph's key is removed: `%2` becomes `%1`.
fn unnumbered(key: &str, metric: Metric) -> Metric {
    let removed = key.split('.').take_while(|part| *part != "#").filter(|part| *part == "*").count() + 1;
    let mut label = String::with_capacity(metric.label.len());
    let mut rest = metric.label.as_str();
    while let Some((before, after)) = rest.split_once('%') {
        let end = after.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = after.split_at(end);
        label.push_str(before);
        match number.parse::<usize>() {
            Ok(number) if number == removed => {}
            Ok(number) if number > removed => label.extend(["%", (number - 1).to_string().as_str()]),
            _ => label.extend(["%", number]),
        }
        rest = after;
    }
    label.push_str(rest);
    Metric { label, ..metric }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::target::Target;
    use crate::sandbox::Graph;

    fn definitions(graphs: &[(&str, &[&str])]) -> Definitions {
        let metric = |name: &&str| Metric {
            name: (*name).to_owned(),
            label: (*name).to_owned(),
            stacked: true,
            kind: MetricKind::Gauge,
        };
        let graph = |(key, metrics): &(&str, &[&str])| Graph {
            key: (*key).to_owned(),
            label: "Load".to_owned(),
            unit: Unit::Float,
            metrics: metrics.iter().map(metric).collect(),
        };
        Definitions::new(graphs.iter().map(graph).collect()).unwrap()
    }

    fn sums() -> Output {
        Output {
            prefix: "web".parse().unwrap(),
            selection: Selection::default(),
            totals: vec![Total::Sum],
            each_target: false,
            targets_graph: false,
            has_names: true,
            max_metrics: None,
        }
    }

    #[test]
    fn graphs_with_one_total_key_are_rejected_until_one_is_excluded() {
        let definitions = definitions(&[("#.load", &["a"]), ("load.#", &["b"]), ("#.other", &["a"])]);
        let error = sums().graphs(&definitions).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the totals of two graphs would both be 'web_sum.load': --exclude one of load and load.#"
        );
        let exclude = vec!["load.b".parse().unwrap()];
        let fewer = Output { selection: Selection { exclude, ..Selection::default() }, ..sums() };
        assert_eq!(fewer.graphs(&definitions).unwrap().len(), 2);
    }

    #[test]
    fn a_total_is_defined_without_wildcards() {
        let definitions = definitions(&[("#", &["a"]), ("#.some", &["a", "*"]), ("#.all", &["*"]), ("#.x.*", &["a"])]);
        let defined = sums().graphs(&definitions).unwrap();
        let defined = defined.iter().map(|graph| (graph.key.as_str(), graph.defined().count()));
        let expected = [("web_sum", 1), ("web_sum.some", 1), ("web_sum.all", 0), ("web_sum.x.*", 0)];
        assert_eq!(defined.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn graphs_of_the_only_target_have_no_wildcard_for_its_name() {
        let only = Output { totals: Vec::new(), each_target: true, has_names: false, ..sums() };
        let graphs = only.graphs(&definitions(&[("#", &["a"]), ("#.lag", &["*"]), ("io.*.#", &["b"])])).unwrap();
        let graphs = graphs.iter().map(|graph| (graph.key.as_str(), graph.label.as_str()));
        assert_eq!(
            graphs.collect::<Vec<_>>(),
            [("web", "Web Load"), ("web.lag", "Web Load"), ("web.io.*", "Web Load")]
        );
        let error = only.graphs(&definitions(&[("#.load", &["a"]), ("load.#", &["b"])])).unwrap_err();
        let expected =
            "two graphs would both be 'web.load' without the target's name: --exclude one of #.load and load.#";
        assert_eq!(error.to_string(), expected);
        for (key, label, expected) in [
            ("#.lag", "%2 of %1", "%1 of "),
            ("io.*.#", "%1 and %3, 50% of %", "%1 and %2, 50% of %"),
            ("#", "100%", "100%"),
        ] {
            let metric =
                Metric { name: "*".to_owned(), label: label.to_owned(), stacked: false, kind: MetricKind::Gauge };
            assert_eq!(unnumbered(key, metric).label, expected);
        }
    }

    #[test]
    fn a_target_without_a_name_only_counts_in_totals() {
        let point = |value| Point { order: (0, 0), key: "#.load.a".to_owned(), kind: MetricKind::Gauge, value };
        let (one, two) = (point(1.0), point(2.0));
        let target = Target::fixed("127.0.0.1:1".parse().unwrap());
        let series = |(position, name, point): (usize, Option<&str>, Point)| Series {
            position,
            target: &target,
            name: name.map(str::to_owned),
            points: vec![point],
            reading: None,
        };
        let targets = [(0, Some("1"), one), (1, None, two)].map(series);
        let all = Output { each_target: true, targets_graph: true, ..sums() };
        let values = all.values(&targets, 3);
        let values: Vec<(&str, f64)> = values.iter().map(|value| (value.key.as_str(), value.value)).collect();
        let expected = [
            ("web.1.load.a", 1.0),
            ("web_sum.load.a", 3.0),
            ("web_targets.collected", 2.0),
            ("web_targets.failed", 3.0),
        ];
        assert_eq!(values, expected);
    }
}
