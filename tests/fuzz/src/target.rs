//! Responses of targets to the built-in collectors.

use std::collections::HashSet;

use mackerel_collector as guest;
use mackerel_plugin_wasm::internals::{Cause, CollectError};
use serde_json::Value;

use crate::rules::{assert_diagnostic, is_legal_component, text};

/// The fields of golang-stats-api-handler that mackerel-plugin-gostats shows, and their graphs.
const FIELDS: [(&str, &str); 15] = [
    ("goroutine_num", "#.runtime"),
    ("cgo_call_num", "#.runtime"),
    ("memory_alloc", "#.memory"),
    ("memory_sys", "#.memory"),
    ("memory_stack", "#.memory"),
    ("memory_lookups", "#.operation"),
    ("memory_mallocs", "#.operation"),
    ("memory_frees", "#.operation"),
    ("heap_sys", "#.heap"),
    ("heap_idle", "#.heap"),
    ("heap_inuse", "#.heap"),
    ("heap_released", "#.heap"),
    ("gc_num", "#.gc"),
    ("gc_per_second", "#.gc"),
    ("gc_pause_per_second", "#.gc"),
];

/// A body of golang-stats-api-handler: exactly the known fields become values.
pub fn gostats(bytes: &[u8]) {
    let report = match gostats::parse(bytes) {
        Ok((report, _)) => report,
        Err(error) => return assert_told(error),
    };
    let raw = guest::json::read(bytes, "an object").expect("what is no JSON gives no report");
    let field = |name: &str| raw.field(name).expect("a path of one field");
    let expected: Vec<(&str, &str, f64)> =
        FIELDS.iter().filter_map(|(name, graph)| Some((*graph, *name, field(name)?.as_f64()?))).collect();
    let samples: Vec<(&str, &str, f64)> =
        report.samples.iter().map(|of| (of.graph.as_str(), of.metric.as_str(), of.value)).collect();
    assert!(!samples.is_empty());
    assert!(samples.iter().all(|(.., value)| value.is_finite()));
    assert_eq!(samples, expected);
    assert_eq!(report.time, field("time").and_then(Value::as_u64).filter(|time| *time > 0));
}

/// A page of Prometheus: all printed names are valid and distinct, whatever the names of metrics and labels.
pub fn prometheus(bytes: &[u8]) {
    let all = "*".parse().expect("what selects all");
    let report = match prometheus::read(bytes, &[all]) {
        Ok(page) => page.report,
        Err(error) => return assert_told(error),
    };
    let mut names = HashSet::new();
    for guest::Sample { graph, metric, value } in report.samples {
        let (target, name) = graph.split_once('.').expect("a graph of two components at least");
        let name = name.strip_suffix(".rate").unwrap_or(name);
        assert!(target == "#" && is_legal_component(name) && is_legal_component(&metric), "{graph}.{metric}");
        assert!(name.len().max(metric.len()) <= 100, "{graph}.{metric}");
        assert!(value.is_finite(), "{graph}.{metric} is {value}");
        assert!(names.insert((graph, metric)), "a repeated name");
    }
    assert!(names.len() <= 200, "{}", names.len());
}

/// The response of Redis to `INFO`: only numbers are printed, and replicas with any name.
pub fn redis(bytes: &[u8]) {
    let text = text(bytes);
    let report = match redis::read(&text, &text, redis::Limits::Reported) {
        Ok(report) => report,
        Err(error) => return assert_told(error),
    };
    for guest::Sample { graph, metric, value } in report.samples {
        assert!(is_legal_component(&metric), "{graph}.{metric}");
        assert!(value.is_finite(), "{graph}.{metric} is {value}");
    }
}

/// Asserts that a collector's error about a response is one line.
fn assert_told(error: guest::CollectError) {
    let error = match error {
        guest::CollectError::Unexpected(why) => CollectError::Unexpected(why),
        guest::CollectError::Other(why) => CollectError::Other(why),
        other => panic!("no word on the answer: {other}"),
    };
    assert_diagnostic("api-1 (127.0.0.1:32768)", &Cause::Collector(error).to_string());
}
