//! Writing: Mackerel's plugin protocol on stdout.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;

use crate::error::Error;
use crate::pipeline::output::PostedGraph;
use crate::sandbox::{Metric, Unit};

/// A value, ready to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The full name, in legal characters, without `custom.` in front.
    pub key: String,
    /// The value: finite.
    pub value: f64,
}

/// One `KEY<TAB>VALUE<TAB>EPOCH` line for each value. `time` is in seconds since 1970. No value has an exponent, and none
/// is rounded.
pub fn values(values: &[Value], time: u64) -> String {
    let mut lines = String::with_capacity(values.len() * 64);
    for Value { key, value } in values {
        // Adding zero makes -0 a plain 0.
        let _ = writeln!(lines, "{key}\t{}\t{time}", value + 0.0);
    }
    lines
}

/// The definitions as mackerel-agent asks for them. A graph of which nothing can be defined is left to Mackerel.
pub fn definitions(graphs: &[PostedGraph]) -> String {
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

/// Hands text to whoever reads stdout.
///
/// # Errors
/// Where nobody does.
pub fn print(text: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| Error::failed(format!("cannot write to stdout: {error}")))
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

/// Mackerel's word for a unit.
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
            assert_eq!(values(&[value], 1_700_000_000), format!("a.b\t{text}\t1700000000\n"));
        }
    }
}
