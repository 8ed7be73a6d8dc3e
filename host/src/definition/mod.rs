//! Graph definitions: the declarations of a collector, checked once. Every sample is then matched with them.
//!
//! Follows Mackerel's rules for custom metric names: components in `-a-zA-Z0-9_` joined by dots, a wildcard is a whole
//! component, and `#` appears once.

pub mod dropped;
mod prefix;

use std::collections::HashSet;

use self::dropped::{Dropped, UNDECLARED};
pub use self::prefix::{Prefix, PrefixError};
use crate::limits;
use crate::sandbox::{Description, Graph, Metric, MetricKind, OptionKind, OptionSpec, Sample};
use crate::text::{Foreign, escape, foreign, is_name, is_word};

/// A declaration that breaks the contract: the collector's fault, never the operator's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The collector's name cannot be a file name and a part of metric names.
    #[error("name '{0}' contains characters other than a-z, 0-9 and -")]
    Name(Foreign),
    /// The name stands for something else on the command line.
    #[error("name '{RESERVED_NAME}' is reserved for mackerel-plugin-wasm run {RESERVED_NAME}: choose another name")]
    ReservedName,
    /// An option's name cannot be a flag.
    #[error("option name '{0}' contains characters other than a-z, 0-9 and -, or begins with -")]
    OptionName(Foreign),
    /// There are too many of something.
    #[error("{count} {of}, limit {limit}")]
    TooMany {
        /// The number.
        count: usize,
        /// The counted things.
        of: String,
        /// The limit.
        limit: usize,
    },
    /// A name is declared twice.
    #[error("{what} '{name}' is declared twice")]
    Twice {
        /// The kind of thing, with its graph.
        what: String,
        /// The name.
        name: Foreign,
    },
    /// The default of an option is not one of its words.
    #[error("default of option '{0}' is not one of its words")]
    Default(Foreign),
    /// A word or default of an option has control characters or other invisible ones.
    #[error("option '{option}' has a word or default with invisible characters: '{text}'")]
    Invisible {
        /// The option.
        option: Foreign,
        /// The text.
        text: Foreign,
    },
    /// A graph's key has illegal components.
    #[error("graph key '{0}' has components that Mackerel does not allow")]
    Key(Foreign),
    /// A graph's key has no place for the target's name, or several.
    #[error("graph key '{0}' must contain '#' exactly once")]
    Instance(Foreign),
    /// A graph has no metrics.
    #[error("graph '{0}' has no metrics")]
    NoMetrics(Foreign),
    /// A metric's name is illegal.
    #[error("metric '{name}' of graph '{graph}' has a name that Mackerel does not allow")]
    MetricName {
        /// The name.
        name: Foreign,
        /// The graph's key.
        graph: Foreign,
    },
}

/// Returns true for a component of a metric name that is not a wildcard.
pub fn is_component(text: &str) -> bool {
    is_name(text)
}

/// Checks a collector's description: its name becomes part of metric names and file names, the names of its options
/// become flags, and their defaults and words are printed as they are.
///
/// # Errors
/// The first fault.
pub fn check(description: &Description) -> Result<(), Error> {
    let is_legal = |text: &str| text.len() <= limits::KEY_LENGTH && is_word(text);
    let Description { name, version, summary, options, .. } = description;
    if !is_legal(name) || name.trim_matches('-').is_empty() {
        return Err(Error::Name(foreign(name)));
    }
    if name == RESERVED_NAME {
        return Err(Error::ReservedName);
    }
    at_most(version.chars().count(), limits::FOREIGN_TEXT, || "characters in the version".to_owned())?;
    at_most(summary.chars().count(), limits::FOREIGN_TEXT, || "characters in the summary".to_owned())?;
    at_most(options.len(), limits::OPTIONS, || "options".to_owned())?;
    let mut names = HashSet::new();
    for option in options {
        if !is_legal(&option.name) || option.name.starts_with('-') {
            return Err(Error::OptionName(foreign(&option.name)));
        }
        if !names.insert(&option.name) {
            return Err(Error::Twice { what: "option".to_owned(), name: foreign(&option.name) });
        }
        check_option(option)?;
    }
    Ok(())
}

fn check_option(OptionSpec { name, help, kind, default }: &OptionSpec) -> Result<(), Error> {
    let shown = || foreign(name);
    at_most(help.chars().count(), limits::FOREIGN_TEXT, || format!("characters in the help of option '{}'", shown()))?;
    let words = if let OptionKind::Choice(words) = kind { words.as_slice() } else { &[] };
    at_most(words.len(), limits::OPTIONS, || format!("words for option '{}'", shown()))?;
    if matches!(kind, OptionKind::Choice(_)) && default.as_ref().is_some_and(|default| !words.contains(default)) {
        return Err(Error::Default(shown()));
    }
    for text in words.iter().chain(default) {
        let of = || format!("characters in a word or default of option '{}'", shown());
        at_most(text.chars().count(), limits::FOREIGN_TEXT, of)?;
        if escape(text) != *text {
            return Err(Error::Invisible { option: shown(), text: foreign(text) });
        }
    }
    Ok(())
}

fn at_most(count: usize, limit: usize, of: impl FnOnce() -> String) -> Result<(), Error> {
    if count <= limit { Ok(()) } else { Err(Error::TooMany { count, of: of(), limit }) }
}

/// The word in place of a collector's name that lets labels of containers choose collectors.
pub const RESERVED_NAME: &str = "labels";

/// Removes the component of the target's name: `memory.#.rss` becomes `memory.rss`.
pub fn bare(key: &str) -> String {
    key.split('.').filter(|part| *part != "#").collect::<Vec<_>>().join(".")
}

/// All graphs of a collector, checked, in their declared order.
#[derive(Debug, Clone)]
pub struct Definitions(Vec<Graph>);

/// A sample with its definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The positions of graph and metric among the definitions; output is sorted by them.
    pub order: (usize, usize),
    /// The graph's key, with its `#`, and the metric's name, joined by a dot.
    pub key: String,
    /// Gauge or counter.
    pub kind: MetricKind,
    /// The value as collected: finite.
    pub value: f64,
}

impl Point {
    /// Returns the memory that it takes, in bytes.
    pub fn size(&self) -> u64 {
        (size_of::<Point>() + self.key.len()) as u64
    }
}

impl Definitions {
    /// Checks a collector's graphs.
    ///
    /// # Errors
    /// The first fault.
    pub fn new(graphs: Vec<Graph>) -> Result<Definitions, Error> {
        at_most(graphs.len(), limits::GRAPHS, || "graphs".to_owned())?;
        let metrics = graphs.iter().map(|graph| graph.metrics.len()).sum();
        at_most(metrics, limits::METRICS, || "metrics of all graphs".to_owned())?;
        let mut keys = HashSet::new();
        for graph in &graphs {
            check_graph(graph)?;
            if !keys.insert(&graph.key) {
                return Err(Error::Twice { what: "graph".to_owned(), name: foreign(&graph.key) });
            }
        }
        Ok(Definitions(graphs))
    }

    /// The graphs in the collector's order.
    pub fn graphs(&self) -> &[Graph] {
        &self.0
    }

    /// The names of all declared metrics: the graph's key without its `#`, and the metric's name.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let of = |graph: &Graph, metric: &Metric| bare(&format!("{}.{}", graph.key, metric.name));
        self.0.iter().flat_map(move |graph| graph.metrics.iter().map(move |metric| of(graph, metric)))
    }

    /// Returns the key and the label of a graph under `prefix`, as Mackerel gets them.
    pub fn title(graph: &Graph, prefix: &Prefix) -> (String, String) {
        let instance = if graph.key.starts_with('#') { ".#" } else { "" };
        (format!("{prefix}.{}", graph.key), format!("{}{instance} {}", prefix.title(), graph.label))
    }

    /// Matches the samples of one target with the definitions. Returns the points in the definitions' order, and the
    /// samples that were dropped, up to `named` of each reason by name.
    pub fn points(&self, samples: &[Sample], named: usize) -> (Vec<Point>, Dropped) {
        let mut points: Vec<Point> = Vec::with_capacity(samples.len());
        let mut dropped = Dropped::new(named);
        for sample in samples {
            let key = || format!("{}.{}", sample.graph, sample.metric);
            match self.find(sample) {
                None => dropped.add(UNDECLARED, key),
                Some(_) if !sample.value.is_finite() => dropped.add("with a value that is not finite", key),
                Some(order) => {
                    let kind = self.0[order.0].metrics[order.1].kind;
                    points.push(Point { order, key: key(), kind, value: sample.value });
                }
            }
        }
        points.sort_by(|a, b| (a.order, &a.key).cmp(&(b.order, &b.key)));
        // The sort is stable, so the first of two is kept.
        points.dedup_by(|later, first| {
            let twice = later.key == first.key;
            if twice {
                dropped.add("with the key of an earlier one", || later.key.clone());
            }
            twice
        });
        (points, dropped)
    }

    /// Returns the declared name that is most similar to `key`, or `None` if none is.
    pub fn nearest(&self, key: &str) -> Option<String> {
        let name = |graph: &Graph, metric: &Metric| format!("{}.{}", graph.key, metric.name);
        let names = self.0.iter().flat_map(|graph| graph.metrics.iter().map(move |metric| name(graph, metric)));
        let key = key.to_lowercase();
        let similarity = |name: &str| strsim::normalized_damerau_levenshtein(&key, &name.to_lowercase());
        let similar = names.map(|name| (similarity(&name), name));
        let (_, name) = similar.filter(|(score, _)| *score >= SIMILAR).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
        Some(name)
    }

    /// Returns the positions of the first graph and metric that match a sample.
    fn find(&self, sample: &Sample) -> Option<(usize, usize)> {
        self.0.iter().enumerate().filter(|(_, graph)| fits(&graph.key, &sample.graph)).find_map(|(g, graph)| {
            let m = graph.metrics.iter().position(|metric| fits(&metric.name, &sample.metric))?;
            Some((g, m))
        })
    }
}

fn check_graph(graph: &Graph) -> Result<(), Error> {
    let key = &graph.key;
    let shown = || foreign(key);
    at_most(key.len(), limits::KEY_LENGTH, || "bytes in a graph key".to_owned())?;
    if !key.split('.').all(|part| is_component(part) || part == "#" || part == "*") {
        return Err(Error::Key(shown()));
    }
    if key.split('.').filter(|part| *part == "#").count() != 1 {
        return Err(Error::Instance(shown()));
    }
    if graph.metrics.is_empty() {
        return Err(Error::NoMetrics(shown()));
    }
    for label in graph.metrics.iter().map(|metric| &metric.label).chain([&graph.label]) {
        at_most(label.len(), limits::KEY_LENGTH, || format!("bytes in a label of graph '{}'", shown()))?;
    }
    let mut names = HashSet::new();
    for Metric { name, .. } in &graph.metrics {
        if name.len() > limits::KEY_LENGTH || !(is_component(name) || name == "*") {
            return Err(Error::MetricName { name: foreign(name), graph: shown() });
        }
        if !names.insert(name) {
            return Err(Error::Twice { what: format!("metric of graph '{}'", shown()), name: foreign(name) });
        }
    }
    Ok(())
}

/// Returns true if a sample's name matches a declared one and is not too long.
fn fits(declared: &str, given: &str) -> bool {
    given.len() <= limits::KEY_LENGTH && fits_pattern(declared, given)
}

/// Returns true if a name matches a pattern, component by component. `*` matches any legal component.
pub fn fits_pattern(declared: &str, given: &str) -> bool {
    let (mut declared, mut given) = (declared.split('.'), given.split('.'));
    loop {
        match (declared.next(), given.next()) {
            (None, None) => return true,
            (Some("*"), Some(part)) if is_component(part) => {}
            (Some(part), Some(same)) if part != "*" && part == same => {}
            _ => return false,
        }
    }
}

/// The similarity from which a name is suggested instead of another: one edit for every three characters.
const SIMILAR: f64 = 0.66;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Period, Unit};

    fn graph(key: &str, metrics: &[&str]) -> Graph {
        let metric = |name: &&str| Metric {
            name: (*name).to_owned(),
            label: (*name).to_owned(),
            stacked: false,
            kind: MetricKind::Counter(Period::Minute),
        };
        Graph {
            key: key.to_owned(),
            label: "Load".to_owned(),
            unit: Unit::Float,
            metrics: metrics.iter().map(metric).collect(),
        }
    }

    fn sample(graph: &str, metric: &str, value: f64) -> Sample {
        Sample { graph: graph.to_owned(), metric: metric.to_owned(), value }
    }

    #[test]
    fn the_label_names_the_instance_if_the_key_begins_with_it() {
        let prefix = "web".parse().unwrap();
        assert_eq!(
            Definitions::title(&graph("#.load", &[]), &prefix),
            ("web.#.load".to_owned(), "Web.# Load".to_owned())
        );
        assert_eq!(
            Definitions::title(&graph("load.#", &[]), &prefix),
            ("web.load.#".to_owned(), "Web Load".to_owned())
        );
    }

    #[test]
    fn a_declaration_that_mackerel_would_reject_is_rejected_by_name() {
        let cases = [
            (graph("load", &["a"]), "graph key 'load' must contain '#' exactly once"),
            (graph("#.#", &["a"]), "graph key '#.#' must contain '#' exactly once"),
            (graph("#.lo ad", &["a"]), "graph key '#.lo ad' has components that Mackerel does not allow"),
            (graph("#..x", &["a"]), "graph key '#..x' has components that Mackerel does not allow"),
            (graph("x#", &["a"]), "graph key 'x#' has components that Mackerel does not allow"),
            (graph("#.load", &[]), "graph '#.load' has no metrics"),
            (graph("#.load", &["a.b"]), "metric 'a.b' of graph '#.load' has a name that Mackerel does not allow"),
            (graph("#.load", &["#"]), "metric '#' of graph '#.load' has a name that Mackerel does not allow"),
            (graph("#.load", &["a", "a"]), "metric of graph '#.load' 'a' is declared twice"),
        ];
        for (graph, expected) in cases {
            assert_eq!(Definitions::new(vec![graph]).unwrap_err().to_string(), expected);
        }
        let twice = Definitions::new(vec![graph("#.load", &["a"]), graph("#.load", &["b"])]);
        assert_eq!(twice.unwrap_err().to_string(), "graph '#.load' is declared twice");
    }

    #[test]
    fn names_that_would_become_paths_or_bad_flags_are_rejected() {
        use crate::sandbox::{OptionKind, OptionSpec, Scope};
        let description = |name: &str, option: &str| Description {
            name: name.to_owned(),
            version: String::new(),
            summary: String::new(),
            scope: Scope::Endpoint,
            options: vec![OptionSpec {
                name: option.to_owned(),
                help: String::new(),
                kind: OptionKind::Flag,
                default: None,
            }],
        };
        assert_eq!(check(&description("my-collector2", "some-option")), Ok(()));
        for name in ["", "-", "../../etc/x", "a/b", "a.b", "A", "a b", "a\0", "日本", &"a".repeat(256)] {
            assert!(check(&description(name, "ok")).is_err(), "{name:?}");
            assert!(check(&description("ok", name)).is_err(), "{name:?}");
        }
    }

    #[test]
    fn points_come_in_the_order_of_the_definitions() {
        let definitions = Definitions::new(vec![graph("#.load", &["one", "two"]), graph("disk.#.*", &["*"])]).unwrap();
        let samples = [
            sample("disk.#.sdb", "read", 1.0),
            sample("#.load", "two", 2.0),
            sample("disk.#.sda", "read", 3.0),
            sample("#.load", "one", 4.0),
        ];
        let (points, dropped) = definitions.points(&samples, 1);
        let keys: Vec<&str> = points.iter().map(|point| point.key.as_str()).collect();
        assert_eq!(keys, ["#.load.one", "#.load.two", "disk.#.sda.read", "disk.#.sdb.read"]);
        assert_eq!(dropped.warnings().count(), 0);
    }

    #[test]
    fn undeclared_samples_are_dropped_with_one_warning_per_reason() {
        let definitions = Definitions::new(vec![graph("#.load", &["one"]), graph("#.*", &["*"])]).unwrap();
        let samples = [
            sample("#.load", "one", f64::NAN),
            sample("#.load", "one", 1.0),
            sample("#.load", "one", 2.0),
            sample("load", "one", 1.0),
            sample("#.a.b", "one", 1.0),
            sample("#.*", "one", 1.0),
            sample("#.load", "*", 1.0),
            sample("#.new\nline", "one", 1.0),
        ];
        let (points, dropped) = definitions.points(&samples, 1);
        assert_eq!(points.len(), 1);
        assert_eq!(
            dropped.warnings().collect::<Vec<_>>(),
            [
                "dropped a sample with a value that is not finite: #.load.one",
                "dropped 5 samples without a declared graph: load.one, …",
                "dropped a sample with the key of an earlier one: #.load.one",
            ]
        );
    }

    #[test]
    fn dropped_samples_are_explained_by_the_nearest_declared_name() {
        let definitions = Definitions::new(vec![graph("#.load", &["one", "waiting"]), graph("#.*", &["*"])]).unwrap();
        let dropped = |graph: &str, metric: &str| {
            let samples = [sample(graph, metric, 1.0), sample("a", "b", 1.0), sample("c", "d", f64::NAN)];
            definitions.points(&samples, 2).1.explain(|key| definitions.nearest(key))
        };
        assert_eq!(
            dropped("load", "waitin"),
            [
                "dropped a sample without a declared graph: load.waitin; did you mean #.load.waiting?",
                "dropped a sample without a declared graph: a.b",
                "dropped 1 more samples without a declared graph",
            ]
        );
    }
}
