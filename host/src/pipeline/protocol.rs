//! The protocol: Mackerel's plugin format on stdout.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::error::Error;
use crate::pipeline::output::{PostedGraph, Value};
use crate::sandbox::{Metric, Unit};

/// Formats one `KEY<TAB>VALUE<TAB>EPOCH` line for each value. `time` is in seconds since 1970. No value has an
/// exponent, and none is rounded.
pub fn format_values(values: &[Value], time: u64) -> String {
    format_values_by(exact, values, time)
}

/// As [`format_values`], but `number` formats the values.
pub fn format_values_by(number: fn(&Value) -> String, values: &[Value], time: u64) -> String {
    let mut lines = String::with_capacity(values.len() * 64);
    for value in values {
        let _ = writeln!(lines, "{}\t{}\t{time}", value.key, number(value));
    }
    lines
}

/// Formats a value in full.
pub fn exact(value: &Value) -> String {
    // Adding zero makes -0 a plain 0.
    (value.value + 0.0).to_string()
}

/// Formats the graph definitions. A graph without a metric that can be defined is left out: Mackerel creates it from
/// its values.
pub fn format_definitions(graphs: &[PostedGraph]) -> String {
    let graphs = graphs.iter().map(|graph| {
        let metric = |metric: &Metric| MetricJson {
            name: metric.name.clone(),
            label: metric.label.clone(),
            stacked: metric.stacked,
        };
        let (label, unit) = (graph.label.clone(), unit(graph.unit));
        (graph.key.clone(), GraphJson { label, unit, metrics: graph.defined().map(metric).collect() })
    });
    let meta = MetaJson { graphs: graphs.filter(|(_, graph)| !graph.metrics.is_empty()).collect() };
    // Strings, a bool and a map with keys of text: this cannot fail.
    format!("# mackerel-agent-plugin\n{}\n", serde_json::to_string(&meta).unwrap_or_default())
}

/// A failure to write to stdout, such as a closed pipe.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to stdout: {0}")]
pub struct StdoutError(#[from] io::Error);

impl From<StdoutError> for Error {
    fn from(error: StdoutError) -> Error {
        Error::failed(error)
    }
}

/// Writes text to stdout and flushes it.
///
/// # Errors
/// If stdout cannot be written.
pub fn print(text: &str) -> Result<(), StdoutError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

#[derive(Serialize)]
struct MetaJson {
    graphs: BTreeMap<String, GraphJson>,
}

#[derive(Serialize)]
struct GraphJson {
    label: String,
    unit: &'static str,
    metrics: Vec<MetricJson>,
}

#[derive(Serialize)]
struct MetricJson {
    name: String,
    label: String,
    stacked: bool,
}

/// Returns Mackerel's name of a unit.
pub fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Float => "float",
        Unit::Integer => "integer",
        Unit::Percentage => "percentage",
        Unit::Seconds => "seconds",
        Unit::Milliseconds => "milliseconds",
        Unit::Bytes => "bytes",
        Unit::BytesPerSecond => "bytes/sec",
        Unit::BitsPerSecond => "bits/sec",
        Unit::Iops => "iops",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_in_full_without_an_exponent() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e-9, "0.000000001"),
            (1e21, "1000000000000000000000"),
            (9_007_199_254_740_991.0, "9007199254740991"),
        ] {
            let value = Value { key: "a.b".to_owned(), value };
            assert_eq!(format_values(&[value], 1_700_000_000), format!("a.b\t{text}\t1700000000\n"));
        }
    }
}
