//! Collector: the runtime statistics of a Go program that serves golang-stats-api-handler's JSON, under the names of
//! mackerel-plugin-gostats.

mod bindings {
    //! The contract, as `wit/` has it.
    #![allow(missing_docs, unsafe_code, clippy::pedantic)]
    #[cfg(target_arch = "wasm32")]
    use super::Gostats;
    wit_bindgen::generate!({ path: "../../wit", world: "plugin" });
    // Its symbols are no names for a native linker; natively only the unit tests are built.
    #[cfg(target_arch = "wasm32")]
    export!(Gostats);
}

use bindings::exports::mackerel::collector::metrics::Guest;
use bindings::mackerel::collector::http::{self, Request, Scheme};
use bindings::mackerel::collector::types::{
    CollectError, Description, Graph, Metric, MetricKind, OptionKind, OptionSpec, OptionValue, Period, Report, Sample,
    Scope, Target, Unit,
};
use serde_json::Value;

use MetricKind::{Counter, Gauge};
use Period::Minute;

/// Of a metric the name, which is also the field of the JSON, the label, and the kind.
type MetricRow = (&'static str, &'static str, MetricKind);

/// All graphs: key, label, unit and metrics.
const GRAPHS: &[(&str, &str, Unit, &[MetricRow])] = &[
    (
        "#.runtime",
        "Runtime",
        Unit::Integer,
        &[("goroutine_num", "Goroutine Num", Gauge), ("cgo_call_num", "CGO Call Num", Counter(Minute))],
    ),
    (
        "#.memory",
        "Memory",
        Unit::Bytes,
        &[("memory_alloc", "Alloc", Gauge), ("memory_sys", "Sys", Gauge), ("memory_stack", "Stack In Use", Gauge)],
    ),
    (
        "#.operation",
        "Operation",
        Unit::Integer,
        &[
            ("memory_lookups", "Pointer Lookups", Counter(Minute)),
            ("memory_mallocs", "Mallocs", Counter(Minute)),
            ("memory_frees", "Frees", Counter(Minute)),
        ],
    ),
    (
        "#.heap",
        "Heap",
        Unit::Bytes,
        &[
            ("heap_sys", "Sys", Gauge),
            ("heap_idle", "Idle", Gauge),
            ("heap_inuse", "In Use", Gauge),
            ("heap_released", "Released", Counter(Minute)),
        ],
    ),
    (
        "#.gc",
        "GC",
        Unit::Float,
        &[
            ("gc_num", "GC Num", Counter(Minute)),
            ("gc_per_second", "GC Per Second", Gauge),
            ("gc_pause_per_second", "GC Pause Per Second", Gauge),
        ],
    ),
];

/// The collector.
pub struct Gostats;

impl Guest for Gostats {
    fn describe() -> Description {
        let option = |name: &str, help: &str, kind, default: &str| OptionSpec {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
            default: Some(default.to_owned()),
        };
        let schemes = OptionKind::Choice(vec!["http".to_owned(), "https".to_owned()]);
        Description {
            name: "gostats".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Go runtime statistics, as golang-stats-api-handler serves them".to_owned(),
            scope: Scope::Endpoint,
            options: vec![
                option("path", "The path of the handler", OptionKind::Text, "/api/stats"),
                option("scheme", "The protocol that the target speaks", schemes, "http"),
            ],
        }
    }

    fn graphs(options: Vec<OptionValue>) -> Result<Vec<Graph>, String> {
        let path = value(&options, "path");
        if !path.starts_with('/') {
            return Err(format!("--path '{path}' does not begin with '/'"));
        }
        let metric = |&(name, label, kind): &MetricRow| Metric {
            name: name.to_owned(),
            label: label.to_owned(),
            stacked: false,
            kind,
        };
        let graph = |&(key, label, unit, metrics): &(&str, &str, Unit, &[MetricRow])| Graph {
            key: key.to_owned(),
            label: label.to_owned(),
            unit,
            metrics: metrics.iter().map(metric).collect(),
        };
        Ok(GRAPHS.iter().map(graph).collect())
    }

    fn collect(_target: Target, options: Vec<OptionValue>) -> Result<Report, CollectError> {
        let request = Request {
            scheme: if value(&options, "scheme") == "https" { Scheme::Https } else { Scheme::Http },
            path: value(&options, "path").to_owned(),
            headers: Vec::new(),
        };
        let response = http::get(&request).map_err(CollectError::Http)?;
        if response.status != 200 {
            return Err(CollectError::Status(response.status));
        }
        parse(&response.body).map_err(CollectError::Unexpected)
    }
}

/// The value of an option: all have defaults.
fn value<'a>(options: &'a [OptionValue], name: &str) -> &'a str {
    options.iter().find(|option| option.name == name).map_or("", |option| &option.value)
}

/// Reads the handler's JSON. A field that the handler's version lacks is left out; one that is no number makes the whole answer
/// one that cannot be trusted.
///
/// # Errors
/// What the body is instead, in the words of one line.
pub fn parse(body: &[u8]) -> Result<Report, String> {
    let fields = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => fields,
        Ok(other) => return Err(format!("{} instead of golang-stats-api-handler's JSON object", kind(&other))),
        Err(error) if body.is_empty() || error.is_eof() => return Err("JSON that ends too early".to_owned()),
        Err(error) => {
            let begin: String = String::from_utf8_lossy(body).chars().take(40).collect();
            return Err(format!("no readable JSON ({error}): {begin}"));
        }
    };
    let mut samples = Vec::new();
    for (graph, _, _, metrics) in GRAPHS {
        for (metric, _, _) in *metrics {
            let Some(field) = fields.get(*metric) else { continue };
            let value = field.as_f64().ok_or_else(|| format!("{metric} is {}, not a number", kind(field)))?;
            samples.push(Sample { graph: (*graph).to_owned(), metric: (*metric).to_owned(), value });
        }
    }
    if samples.is_empty() {
        return Err("a JSON object without any field of golang-stats-api-handler".to_owned());
    }
    let time = fields.get("time").and_then(Value::as_u64).filter(|time| *time > 0);
    Ok(Report { samples, time })
}

/// What a JSON value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_field_becomes_a_sample_and_the_rest_is_passed_over() {
        let body =
            br#"{"time":1700000000000000001,"go_version":"go1.26","goroutine_num":7,"gc_num":3,"gc_per_second":0.5,
            "gc_pause":[0.1,0.2],"heap_released":9007199254740991}"#;
        let report = parse(body).unwrap();
        assert_eq!(report.time, Some(1_700_000_000_000_000_001));
        let samples: Vec<(&str, f64)> = report.samples.iter().map(|s| (s.metric.as_str(), s.value)).collect();
        assert_eq!(
            samples,
            [
                ("goroutine_num", 7.0),
                ("heap_released", 9_007_199_254_740_991.0),
                ("gc_num", 3.0),
                ("gc_per_second", 0.5)
            ]
        );
    }

    #[test]
    fn an_answer_of_another_kind_is_refused_with_what_it_is() {
        let cases = [
            (r#"{"goroutine_num":"7"}"#, "goroutine_num is a string, not a number"),
            (r#"{"goroutine_num":null}"#, "goroutine_num is null, not a number"),
            (r#"{"gc_num":[1]}"#, "gc_num is an array, not a number"),
            ("{}", "a JSON object without any field of golang-stats-api-handler"),
            (r#"{"status":"ok"}"#, "a JSON object without any field of golang-stats-api-handler"),
            ("[1]", "an array instead of golang-stats-api-handler's JSON object"),
            ("", "JSON that ends too early"),
            (r#"{"gc_num":"#, "JSON that ends too early"),
            ("<html>", "no readable JSON (expected value at line 1 column 1): <html>"),
            (r#"{"gc_num":1e999}"#, r#"no readable JSON (number out of range at line 1 column 15): {"gc_num":1e999}"#),
            (r#"{"gc_num":NaN}"#, r#"no readable JSON (expected value at line 1 column 11): {"gc_num":NaN}"#),
        ];
        for (body, expected) in cases {
            assert_eq!(parse(body.as_bytes()).unwrap_err(), expected, "{body}");
        }
    }

    #[test]
    fn a_time_that_is_none_is_left_out() {
        for time in ["0", "-1", "\"now\"", "1.5", "null"] {
            let report = parse(format!(r#"{{"gc_num":1,"time":{time}}}"#).as_bytes()).unwrap();
            assert_eq!(report.time, None, "{time}");
        }
    }
}
