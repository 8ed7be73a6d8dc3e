//! Graph definitions: what a collector declares, checked once; every sample is then held against it.
//!
//! Follows Mackerel's rules for custom metric names: components in `-a-zA-Z0-9_` joined by dots, a wildcard is a whole
//! component, and `#` appears once.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use crate::limits;
use crate::sandbox::{Description, Graph, Metric, MetricKind, OptionKind, OptionSpec, Sample};
use crate::text::{escape, foreign};

/// What all metric names of a run begin with: one or more legal components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// The prefix as labels show it: every word with a capital letter, as the Go plugins write it. A word begins at the
    /// start and behind a `-`, with its first letter: `web.go` is `Web.go`, `my-api_v2` is `My-Api_v2`.
    pub fn title(&self) -> String {
        let mut in_word = false;
        let capital = |c: char| {
            let first = c.is_ascii_alphabetic() && !in_word;
            in_word = c != '-' && (in_word || first);
            if first { c.to_ascii_uppercase() } else { c }
        };
        self.0.chars().map(capital).collect()
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('#') || text.contains('*') {
            return Err("wildcards do not belong here: the place of the target's name is put in by itself".to_owned());
        }
        if text.len() > limits::KEY_LENGTH || !text.split('.').all(is_component) {
            return Err(format!(
                "expected words of the characters a-z, A-Z, 0-9, - and _, joined by dots, {} characters at most",
                limits::KEY_LENGTH
            ));
        }
        Ok(Prefix(text.to_owned()))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `text` is a component of a metric name that is no wildcard.
pub fn is_component(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Checks what a collector says of itself: its name becomes part of metric names and of a file's name, its options' names become
/// flags, and their defaults and words are shown as they are.
///
/// # Errors
/// What is wrong. It is the collector's fault, never the operator's.
pub fn check(description: &Description) -> Result<(), String> {
    let is_word = |text: &str| {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        text.len() <= limits::KEY_LENGTH && text.bytes().all(legal) && !text.trim_matches('-').is_empty()
    };
    let Description { name, version, summary, options, .. } = description;
    if !is_word(name) {
        return Err(format!("its name '{name}' is not made of a-z, 0-9 and -"));
    }
    is_short("its version", version)?;
    is_short("its summary", summary)?;
    if options.len() > limits::OPTIONS {
        return Err(format!("it has {} options, {} are the limit", options.len(), limits::OPTIONS));
    }
    let mut names = HashSet::new();
    for OptionSpec { name, help, kind, default } in options {
        if !is_word(name) {
            return Err(format!("the option's name '{name}' is not made of a-z, 0-9 and -"));
        }
        if !names.insert(name) {
            return Err(format!("the option '{name}' is declared twice"));
        }
        is_short(&format!("the help of the option '{name}'"), help)?;
        let words = if let OptionKind::Choice(words) = kind { words.as_slice() } else { &[] };
        if words.len() > limits::OPTIONS {
            return Err(format!("the option '{name}' allows {} words, {} are the limit", words.len(), limits::OPTIONS));
        }
        if matches!(kind, OptionKind::Choice(_)) && default.as_ref().is_some_and(|default| !words.contains(default)) {
            return Err(format!("the default of the option '{name}' is none of its words"));
        }
        for text in words.iter().chain(default) {
            is_short(&format!("a word or default of the option '{name}'"), text)?;
            if escape(text) != *text {
                return Err(format!("the option '{name}' has a word or default that cannot be shown: '{text}'"));
            }
        }
    }
    Ok(())
}

fn is_short(what: &str, text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if length <= limits::FOREIGN_TEXT {
        return Ok(());
    }
    Err(format!("{what} has {length} characters, {} are the limit", limits::FOREIGN_TEXT))
}

/// A name within a graph's key without the place of the target's: `memory.rss` of `memory.#.rss`.
pub fn bare(key: &str) -> String {
    key.split('.').filter(|part| *part != "#").collect::<Vec<_>>().join(".")
}

/// All graphs of a collector, checked, in the collector's order.
#[derive(Debug, Clone)]
pub struct Definitions(Vec<Graph>);

/// A sample that a definition covers.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The places of graph and metric among the definitions: what output is ordered by.
    pub order: (usize, usize),
    /// The graph's key with its `#` still in place, and the metric's name, joined by a dot.
    pub key: String,
    /// What the value means.
    pub kind: MetricKind,
    /// The value as collected: finite.
    pub value: f64,
}

impl Definitions {
    /// Checks what a collector declares.
    ///
    /// # Errors
    /// What is wrong, with the graph and the name. It is the collector's fault, never the operator's.
    pub fn new(graphs: Vec<Graph>) -> Result<Definitions, String> {
        if graphs.len() > limits::GRAPHS {
            return Err(format!("it has {} graphs, {} are the limit", graphs.len(), limits::GRAPHS));
        }
        let metrics: usize = graphs.iter().map(|graph| graph.metrics.len()).sum();
        if metrics > limits::METRICS {
            return Err(format!("its graphs have {metrics} metrics, {} are the limit", limits::METRICS));
        }
        let mut keys = HashSet::new();
        for graph in &graphs {
            let key = &graph.key;
            if key.len() > limits::KEY_LENGTH {
                return Err(format!("a graph's key has {} bytes, {} are the limit", key.len(), limits::KEY_LENGTH));
            }
            if !key.split('.').all(|part| is_component(part) || part == "#" || part == "*") {
                return Err(format!("the graph's key '{key}' is not made of legal components"));
            }
            if key.split('.').filter(|part| *part == "#").count() != 1 {
                return Err(format!("the graph's key '{key}' does not hold '#' exactly once"));
            }
            if !keys.insert(key) {
                return Err(format!("the graph '{key}' is declared twice"));
            }
            if graph.metrics.is_empty() {
                return Err(format!("the graph '{key}' has no metrics"));
            }
            let labels = graph.metrics.iter().map(|metric| &metric.label).chain([&graph.label]);
            if let Some(long) = labels.map(String::len).find(|length| *length > limits::KEY_LENGTH) {
                return Err(format!(
                    "a label of the graph '{key}' has {long} bytes, {} are the limit",
                    limits::KEY_LENGTH
                ));
            }
            let mut names = HashSet::new();
            for Metric { name, .. } in &graph.metrics {
                if name.len() > limits::KEY_LENGTH || !(is_component(name) || name == "*") {
                    return Err(format!("the metric '{name}' of the graph '{key}' is not a legal name"));
                }
                if !names.insert(name) {
                    return Err(format!("the metric '{name}' of the graph '{key}' is declared twice"));
                }
            }
        }
        Ok(Definitions(graphs))
    }

    /// The graphs in the collector's order.
    pub fn graphs(&self) -> &[Graph] {
        &self.0
    }

    /// All declared metrics: the graph's key without its `#`, and the metric's name.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let of = |graph: &Graph, metric: &Metric| bare(&format!("{}.{}", graph.key, metric.name));
        self.0.iter().flat_map(move |graph| graph.metrics.iter().map(move |metric| of(graph, metric)))
    }

    /// The graph's key and label as Mackerel gets them under `prefix`.
    pub fn title(graph: &Graph, prefix: &Prefix) -> (String, String) {
        let instance = if graph.key.starts_with('#') { ".#" } else { "" };
        (format!("{prefix}.{}", graph.key), format!("{}{instance} {}", prefix.title(), graph.label))
    }

    /// Holds one target's samples against the definitions: the points in the definitions' order, and a warning for each
    /// kind of sample that had to be left out.
    pub fn points(&self, samples: &[Sample]) -> (Vec<Point>, Vec<String>) {
        let mut points: Vec<Point> = Vec::with_capacity(samples.len());
        let mut refused = Refused::default();
        for sample in samples {
            let key = || format!("{}.{}", sample.graph, sample.metric);
            match self.find(sample) {
                None => refused.add("that no graph declares", key),
                Some(_) if !sample.value.is_finite() => refused.add("whose value is not a finite number", key),
                Some(order) => {
                    let kind = self.0[order.0].metrics[order.1].kind;
                    points.push(Point { order, key: key(), kind, value: sample.value });
                }
            }
        }
        points.sort_by(|a, b| (a.order, &a.key).cmp(&(b.order, &b.key)));
        // The sort is stable, so the first of two stays.
        points.dedup_by(|later, first| {
            let twice = later.key == first.key;
            if twice {
                refused.add("that came before in the same report", || later.key.clone());
            }
            twice
        });
        (points, refused.warnings())
    }

    /// The graph and the metric that a sample belongs to: the first declared that fit.
    fn find(&self, sample: &Sample) -> Option<(usize, usize)> {
        self.0.iter().enumerate().filter(|(_, graph)| fits(&graph.key, &sample.graph)).find_map(|(g, graph)| {
            let m = graph.metrics.iter().position(|metric| fits(&metric.name, &sample.metric))?;
            Some((g, m))
        })
    }
}

/// Whether a sample's name fits a declared one, and is no longer than one may be.
fn fits(declared: &str, given: &str) -> bool {
    given.len() <= limits::KEY_LENGTH && fits_pattern(declared, given)
}

/// Whether a name fits a pattern: component by component, where `*` stands for any legal component.
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

/// Samples that were left out, counted by the reason.
#[derive(Default)]
struct Refused(Vec<(&'static str, String, usize)>);

impl Refused {
    /// Of each reason the first key is kept, as it is shown.
    fn add(&mut self, why: &'static str, key: impl Fn() -> String) {
        match self.0.iter_mut().find(|(known, ..)| *known == why) {
            Some((.., count)) => *count += 1,
            None => self.0.push((why, foreign(&key()).to_string(), 1)),
        }
    }

    fn warnings(self) -> Vec<String> {
        let warning = |(why, key, count)| match count {
            1 => format!("left out a sample {why}: {key}"),
            _ => format!("left out {count} samples {why}: {key}, …"),
        };
        self.0.into_iter().map(warning).collect()
    }
}

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
    fn a_label_writes_the_prefix_as_the_go_plugins_do() {
        // What the Go plugins' title case gives for the same prefixes.
        let cases = [
            ("gostats", "Gostats"),
            ("web.go", "Web.go"),
            ("my-api_v2", "My-Api_v2"),
            ("web2.go", "Web2.go"),
            ("2go", "2Go"),
            ("_x", "_X"),
            ("-9z", "-9Z"),
            ("x_-y", "X_-Y"),
            ("go2.3x", "Go2.3x"),
            ("3.d", "3.D"),
            ("a.1.b", "A.1.b"),
            ("ABC.def", "ABC.def"),
            ("a--b", "A--B"),
            ("1a.b2c", "1A.b2c"),
            ("foo.Bar-baz_qux.9z", "Foo.Bar-Baz_qux.9z"),
            ("a_.b", "A_.b"),
        ];
        for (prefix, title) in cases {
            assert_eq!(prefix.parse::<Prefix>().unwrap().title(), title);
        }
    }

    #[test]
    fn the_label_names_the_instance_where_the_key_begins_with_it() {
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
    fn a_prefix_is_made_of_legal_components() {
        for text in ["", ".", "a.", ".a", "a..b", "a b", "a/b", "ü", "a.#", "*", &"a".repeat(256)] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_declaration_that_mackerel_would_refuse_is_refused_by_name() {
        let cases = [
            (graph("load", &["a"]), "the graph's key 'load' does not hold '#' exactly once"),
            (graph("#.#", &["a"]), "the graph's key '#.#' does not hold '#' exactly once"),
            (graph("#.lo ad", &["a"]), "the graph's key '#.lo ad' is not made of legal components"),
            (graph("#..x", &["a"]), "the graph's key '#..x' is not made of legal components"),
            (graph("x#", &["a"]), "the graph's key 'x#' is not made of legal components"),
            (graph("#.load", &[]), "the graph '#.load' has no metrics"),
            (graph("#.load", &["a.b"]), "the metric 'a.b' of the graph '#.load' is not a legal name"),
            (graph("#.load", &["#"]), "the metric '#' of the graph '#.load' is not a legal name"),
            (graph("#.load", &["a", "a"]), "the metric 'a' of the graph '#.load' is declared twice"),
        ];
        for (graph, expected) in cases {
            assert_eq!(Definitions::new(vec![graph]).unwrap_err(), expected);
        }
        let twice = Definitions::new(vec![graph("#.load", &["a"]), graph("#.load", &["b"])]);
        assert_eq!(twice.unwrap_err(), "the graph '#.load' is declared twice");
    }

    #[test]
    fn names_that_would_become_paths_or_no_flags_are_refused() {
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
        let (points, warnings) = definitions.points(&samples);
        let keys: Vec<&str> = points.iter().map(|point| point.key.as_str()).collect();
        assert_eq!(keys, ["#.load.one", "#.load.two", "disk.#.sda.read", "disk.#.sdb.read"]);
        assert_eq!(warnings, [""; 0]);
    }

    #[test]
    fn what_no_graph_covers_is_left_out_with_one_warning_for_each_reason() {
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
        let (points, warnings) = definitions.points(&samples);
        assert_eq!(points.len(), 1);
        assert_eq!(
            warnings,
            [
                "left out a sample whose value is not a finite number: #.load.one",
                "left out 5 samples that no graph declares: load.one, …",
                "left out a sample that came before in the same report: #.load.one",
            ]
        );
    }
}
