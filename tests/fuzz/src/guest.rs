//! Results of a collector: anyone can write one. They are given as JSON, so that an input is readable. Missing values
//! and values of another type count as empty, because a sandbox returns only complete values.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;

use clap::Args;
use mackerel_plugin_wasm::internals::{
    Cause, Clock, CollectError, Definitions, Denied, Description, Error, Failure, Foreign, Graph, HttpError, Metric,
    MetricKind, OptionKind, OptionSpec, Options, Output, Period, Point, Prefix, Reading, Sample, Scope, Selection,
    Series, Span, Subcommand, Target, Total, Unit, Uses, Value as Line, check_description, escape, foreign,
    format_definitions, format_values,
};
use serde_json::Value;

use crate::rules::{assert_diagnostic, assert_lines, assert_one_line, assert_values, is_legal_component, text};

/// `describe`: a valid description makes a command line that can be parsed, with help.
pub fn description(bytes: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else { return };
    let description = to_description(&json);
    if let Err(why) = check_description(&description) {
        return assert_diagnostic("describe", &Cause::Contract(foreign(&why.to_string())).to_string());
    }
    assert!(is_legal_component(&description.name) && description.name.parse::<Prefix>().is_ok());
    for word in ["", "--help", "-h", "--unknown", "--filter=a=b", "--instance-name=label:app"] {
        let words: Vec<OsString> = [description.name.as_str(), word].into_iter().map(OsString::from).collect();
        let words = if word.is_empty() { &words[..1] } else { &words[..] };
        let run = Subcommand::new("run");
        let asks = json["asks"] == true;
        let uses = Uses { stats: asks, http: asks, tls: asks };
        let parsed = Options::parse::<NoOptions>(&run, &BTreeSet::new(), words, &description, uses);
        match parsed.map_err(Error::from) {
            Ok((options, NoOptions {})) => {
                let declared: HashSet<&str> = description.options.iter().map(|option| option.name.as_str()).collect();
                assert!(options.collector.values().iter().all(|option| declared.contains(option.name.as_str())));
                assert_eq!(options.output.prefix.to_string(), description.name);
            }
            // Without arguments, no error is the operator's.
            Err(error) if word.is_empty() => assert!(matches!(error, Error::Failed(_)), "{error}"),
            Err(Error::Clap(text)) => assert_lines(&text.render().to_string()),
            Err(error) => assert_one_line(&escape(&error.to_string())),
        }
    }
}

/// `graphs` and `collect`: the output has Mackerel's form, whatever was declared and reported.
pub fn report(bytes: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else { return };
    let prefix: Prefix = "prefix".parse().expect("a legal prefix");
    let definitions = match Definitions::new(list(&json, "graphs").map(to_graph).collect()) {
        Ok(definitions) => definitions,
        Err(why) => return assert_diagnostic("graphs", &Cause::Contract(foreign(&why.to_string())).to_string()),
    };
    let each = Output {
        prefix,
        selection: Selection::default(),
        totals: Vec::new(),
        each_target: true,
        targets_graph: false,
        has_names: true,
        max_metrics: None,
    };
    let graphs = each.graphs(&definitions).expect("nothing is chosen");
    assert_definitions(&format_definitions(&graphs), definitions.graphs().len(), 1);
    let totals = vec![Total::Sum, Total::Avg, Total::Max, Total::Min];
    let total = Output { totals, each_target: false, ..each.clone() };
    match total.graphs(&definitions) {
        Ok(graphs) => {
            let defined = graphs.iter().filter(|graph| graph.defined().next().is_some()).count();
            assert_definitions(&format_definitions(&graphs), defined, 0);
        }
        Err(error) => assert_one_line(&error.to_string()),
    }

    let samples: Vec<Sample> = list(&json, "samples").map(to_sample).collect();
    let (points, dropped) = definitions.points(&samples, 10);
    // One for each reason: not declared, not finite, repeated.
    assert!(dropped.warnings().count() <= 3, "{dropped:?}");
    for warning in dropped.warnings().chain(dropped.explain(|key| definitions.nearest(key))) {
        assert_diagnostic("api-1 (127.0.0.1:32768)", &warning);
    }
    let keys: HashSet<&str> = points.iter().map(|point| point.key.as_str()).collect();
    assert_eq!(keys.len(), points.len(), "a repeated point");
    let finite: HashSet<(String, u64)> = samples
        .iter()
        .filter(|sample| sample.value.is_finite())
        .map(|sample| (format!("{}.{}", sample.graph, sample.metric), sample.value.to_bits()))
        .collect();
    assert!(points.iter().all(|point| finite.contains(&(point.key.clone(), point.value.to_bits()))));
    assert_printed(&points, &each, json["time"].as_u64().unwrap_or(1));
    let target = target();
    let twice = [Some("1"), None].map(|name| series(&target, name, points.clone()));
    assert_values(&format_values(&total.values(&twice, 0), 1), 1);
}

/// Asserts that `text` has the form of definitions for mackerel-agent, with `count` graphs and `hashes` times `#` in
/// each.
fn assert_definitions(text: &str, count: usize, hashes: usize) {
    let Some(("# mackerel-agent-plugin", json)) = text.split_once('\n') else { panic!("no heading: {text:?}") };
    assert!(json.ends_with('\n') && json.matches('\n').count() == 1, "one line: {json:?}");
    let json: Value = serde_json::from_str(json).expect("definitions are JSON");
    let defined = json["graphs"].as_object().expect("graphs have keys");
    assert_eq!(defined.len(), count, "no graph hides another");
    for (key, graph) in defined {
        let parts: Vec<&str> = key.split('.').collect();
        assert!(parts.iter().all(|part| matches!(*part, "#" | "*") || is_legal_component(part)), "{key}");
        assert_eq!(parts.iter().filter(|part| **part == "#").count(), hashes, "{key}");
        assert!(hashes > 0 || !key.contains('*'), "a total has no wildcard: {key}");
        let metrics = graph["metrics"].as_array().expect("a graph has metrics");
        let names: HashSet<&str> = metrics.iter().filter_map(|metric| metric["name"].as_str()).collect();
        assert!(names.len() == metrics.len() && !names.is_empty(), "{key}");
        assert!(names.iter().all(|name| hashes > 0 && *name == "*" || is_legal_component(name)), "{key}");
    }
}

/// A subcommand without options.
#[derive(Debug, Args)]
struct NoOptions {}

fn target() -> Target {
    Target::fixed("127.0.0.1:32768".parse().expect("an address"))
}

fn series<'a>(target: &'a Target, name: Option<&str>, points: Vec<Point>) -> Series<'a> {
    Series { position: 0, target, name: name.map(str::to_owned), points, reading: None }
}

/// Asserts that all values of `points` are printed in Mackerel's form: gauges as they are, counters as growth since a
/// minute before, and since a nanosecond before.
fn assert_printed(points: &[Point], output: &Output, time: u64) {
    let reading = |time: u64, share: f64| Reading {
        start: None,
        time,
        clock: Clock::Host,
        read: Some(Span { begin: time, end: time }),
        source: None,
        counters: points.iter().map(|point| (point.key.clone(), point.value * share)).collect::<BTreeMap<_, _>>(),
    };
    for last in [time.saturating_sub(60_000_000_000), time.saturating_sub(1), time] {
        let (last, now) = (reading(last, 0.5), reading(time, 1.0));
        let target = target();
        let mut one = Series { reading: Some(now), ..series(&target, Some("32768"), points.to_vec()) };
        one.rate(Some(&last));
        let lines: Vec<Line> = output.values(&[one], 0);
        // A prefix, a graph's key and a metric's name have 255 characters each.
        assert!(lines.iter().all(|line| line.key.len() <= 3 * 255 + 2), "{lines:?}");
        let text = format_values(&lines, time / 1_000_000_000);
        assert_values(&text, time / 1_000_000_000);
        assert_eq!(text.lines().count(), lines.len());
        let gauges = points.iter().filter(|point| point.kind == MetricKind::Gauge).count();
        assert!((gauges..=points.len()).contains(&lines.len()));
        for (line, printed) in lines.iter().zip(text.lines()) {
            let value = printed.split('\t').nth(1).and_then(|value| value.parse::<f64>().ok());
            assert_eq!(value, Some(line.value), "{printed}");
        }
    }
}

/// The text of a collector that failed, in all places that can hold it.
pub fn failure(bytes: &[u8]) {
    let text = text(bytes);
    let target = text.clone();
    let causes = [
        Cause::Collector(CollectError::Other(text.clone())),
        Cause::Collector(CollectError::Unexpected(text.clone())),
        Cause::Collector(CollectError::Http(HttpError::InvalidRequest(text.clone()))),
        Cause::Collector(CollectError::Http(HttpError::Connect(text.clone()))),
        Cause::Collector(CollectError::Http(HttpError::Protocol(text.clone()))),
        Cause::Collector(CollectError::Status(
            bytes.iter().fold(0, |status: u16, b| status.wrapping_mul(31).wrapping_add(u16::from(*b))),
        )),
        Cause::Lookup { host: foreign(&text), source: std::io::Error::other("no such name") },
        Cause::Contract(foreign(&text)),
        Cause::Trap(foreign(&text)),
    ];
    for cause in causes {
        let denied = Denied::default();
        denied.add(&text);
        assert_diagnostic(
            &target,
            &Failure {
                cause,
                stderr: text.clone(),
                denied,
                remark: None,
                http: None,
                hints: vec!["a hint".to_owned()],
            }
            .to_string(),
        );
    }
    assert_diagnostic(&target, &format!("collector stderr: {}", Foreign::ends(&text)));
    assert_one_line(&escape(&foreign(&text).to_string()));
}

fn list<'a>(json: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    json[key].as_array().into_iter().flatten()
}

fn string(json: &Value, key: &str) -> String {
    json[key].as_str().unwrap_or_default().to_owned()
}

fn to_description(json: &Value) -> Description {
    Description {
        name: string(json, "name"),
        version: string(json, "version"),
        summary: string(json, "summary"),
        scope: if json["scope"] == "container" { Scope::Container } else { Scope::Endpoint },
        options: list(json, "options").map(to_option).collect(),
    }
}

fn to_option(json: &Value) -> OptionSpec {
    let kind = match json["kind"].as_str() {
        Some("many") => OptionKind::Many,
        Some("secret") => OptionKind::Secret,
        Some("flag") => OptionKind::Flag,
        Some("choice") => {
            OptionKind::Choice(list(json, "words").filter_map(Value::as_str).map(str::to_owned).collect())
        }
        _ => OptionKind::Text,
    };
    let default = json["default"].as_str().map(str::to_owned);
    OptionSpec { name: string(json, "name"), help: string(json, "help"), kind, default }
}

fn to_graph(json: &Value) -> Graph {
    let metric = |json: &Value| Metric {
        name: string(json, "name"),
        label: string(json, "label"),
        stacked: json["stacked"] == true,
        kind: match json["kind"].as_str() {
            Some("second") => MetricKind::Counter(Period::Second),
            Some("minute") => MetricKind::Counter(Period::Minute),
            _ => MetricKind::Gauge,
        },
    };
    let unit = if json["unit"] == "integer" { Unit::Integer } else { Unit::Float };
    Graph {
        key: string(json, "key"),
        label: string(json, "label"),
        unit,
        metrics: list(json, "metrics").map(metric).collect(),
    }
}

/// A value can also be a text, because JSON has no infinity.
fn to_sample(json: &Value) -> Sample {
    let value = &json["value"];
    let value = value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(f64::NAN);
    Sample { graph: string(json, "graph"), metric: string(json, "metric"), value }
}
