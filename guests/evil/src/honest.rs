//! The collector without an attack: reads the target's `/stats`, a JSON object of numbers.

use serde_json::Value;

use crate::Outcome;
use crate::bindings::mackerel::collector::http::{self, Request, Scheme};
use crate::bindings::mackerel::collector::types::{
    CollectError, Graph, Metric, MetricKind, Period, Report, Sample, Unit,
};

/// The fields to read.
const FIELDS: [&str; 4] = ["goroutine_num", "heap_sys", "memory_sys", "memory_mallocs"];

pub(crate) fn graphs() -> Vec<Graph> {
    let total = Metric { kind: MetricKind::Counter(Period::Minute), ..gauge("total") };
    vec![graph("#.evil", vec![gauge("one"), gauge("two"), total]), graph("#.stats", FIELDS.map(gauge).to_vec())]
}

pub(crate) fn graph(key: &str, metrics: Vec<Metric>) -> Graph {
    Graph { key: key.to_owned(), label: "Evil".to_owned(), unit: Unit::Float, metrics }
}

pub(crate) fn gauge(name: &str) -> Metric {
    Metric { name: name.to_owned(), label: name.to_owned(), stacked: false, kind: MetricKind::Gauge }
}

pub(crate) fn collect() -> Outcome {
    let stats = stats()?;
    let sample = |name: &&str| {
        let value = stats[*name].as_f64()?;
        Some(Sample { graph: "#.stats".to_owned(), metric: (*name).to_owned(), value })
    };
    Ok(Report { samples: FIELDS.iter().filter_map(sample).collect(), time: None })
}

/// Requests the target's `/stats`.
pub(crate) fn stats() -> Result<Value, CollectError> {
    let request = Request { scheme: Scheme::Http, path: "/stats".to_owned(), headers: Vec::new() };
    let response = http::get(&request).map_err(CollectError::Http)?;
    match response.status {
        200 => serde_json::from_slice(&response.body).map_err(|error| CollectError::Unexpected(error.to_string())),
        status => Err(CollectError::Status(status)),
    }
}
