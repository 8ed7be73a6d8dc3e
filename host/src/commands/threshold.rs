//! Thresholds of `check`: metrics, a comparison and a value, such as `memory.memory_sys>512MiB`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bytesize::ByteSize;

use crate::definition::{Definitions, Point, bare};
use crate::pipeline::protocol::unit as unit_name;
use crate::pipeline::select::{Pattern, available};
use crate::sandbox::{Metric, MetricKind, Unit};
use crate::text::{Expected, Foreign, foreign};

/// A threshold, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threshold {
    pattern: Pattern,
    operator: Operator,
    value: String,
}

/// The comparison for which a value crosses a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// The operators by their signs. A sign that begins with another one comes first.
const OPERATORS: [(&str, Operator); 4] =
    [(">=", Operator::AtLeast), (">", Operator::Above), ("<=", Operator::AtMost), ("<", Operator::Below)];

impl Operator {
    fn sign(self) -> &'static str {
        OPERATORS.iter().find(|(_, operator)| *operator == self).map_or("", |(sign, _)| sign)
    }

    fn is_upper(self) -> bool {
        matches!(self, Operator::Above | Operator::AtLeast)
    }

    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Operator::Above => value > limit,
            Operator::AtLeast => value >= limit,
            Operator::Below => value < limit,
            Operator::AtMost => value <= limit,
        }
    }
}

impl FromStr for Threshold {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Threshold, Expected> {
        let wrong = || Expected("GRAPH.METRIC, one of > >= < <=, and a value, such as 'memory.memory_sys>512MiB'");
        let place = text.find(['<', '>']).ok_or_else(wrong)?;
        let (pattern, rest) = text.split_at(place);
        let (operator, value) =
            OPERATORS.iter().find_map(|(sign, op)| Some((*op, rest.strip_prefix(sign)?.trim()))).ok_or_else(wrong)?;
        let pattern = pattern.trim().parse().map_err(|_| wrong())?;
        if value.is_empty() {
            return Err(wrong());
        }
        Ok(Threshold { pattern, operator, value: value.to_owned() })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.pattern, self.operator.sign(), self.value)
    }
}

/// A threshold that does not fit the collector's metrics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// Its pattern matches no declared metric.
    #[error("{option} {threshold}: {pattern} matches no metric; available: {available}")]
    NoMatch {
        /// The option.
        option: &'static str,
        /// The threshold.
        threshold: Foreign,
        /// Its pattern.
        pattern: String,
        /// The declared metrics.
        available: String,
    },
    /// Its value is not one of the metric's unit.
    #[error("{option} {threshold}: expected {expected}; the unit of {metric} is {unit}")]
    Value {
        /// The option.
        option: &'static str,
        /// The threshold.
        threshold: Foreign,
        /// The forms of a value.
        expected: &'static str,
        /// A metric that the pattern matches.
        metric: String,
        /// Its unit.
        unit: &'static str,
    },
}

/// A threshold with its value in the unit of each graph.
#[derive(Debug)]
pub struct Bound {
    threshold: Threshold,
    /// The limits and units by the positions of graphs.
    graphs: BTreeMap<usize, (f64, Unit)>,
    /// True if it can be about counters.
    pub has_counters: bool,
}

impl Threshold {
    /// Reads the value in the units of all metrics that the pattern matches. `option` is for errors.
    ///
    /// # Errors
    /// If it matches no metric, or the value does not fit a unit.
    pub fn bound(&self, option: &'static str, definitions: &Definitions) -> Result<Bound, ThresholdError> {
        let threshold = || foreign(&self.to_string());
        let (mut graphs, mut has_counters) = (BTreeMap::new(), false);
        for (place, graph) in definitions.graphs().iter().enumerate() {
            let name = |metric: &Metric| bare(&format!("{}.{}", graph.key, metric.name));
            for metric in graph.metrics.iter().filter(|metric| self.pattern.meets(&name(metric))) {
                let limit = parse(&self.value, graph.unit).ok_or_else(|| ThresholdError::Value {
                    option,
                    threshold: threshold(),
                    expected: forms(graph.unit),
                    metric: name(metric),
                    unit: unit_name(graph.unit),
                })?;
                graphs.insert(place, (limit, graph.unit));
                has_counters |= metric.kind != MetricKind::Gauge;
            }
        }
        if graphs.is_empty() {
            let names: Vec<String> = definitions.names().collect();
            let (pattern, available) = (self.pattern.to_string(), available(&names));
            return Err(ThresholdError::NoMatch { option, threshold: threshold(), pattern, available });
        }
        Ok(Bound { threshold: self.clone(), graphs, has_counters })
    }
}

impl Bound {
    /// Returns the metrics that it is about, as typed.
    pub fn pattern(&self) -> &Pattern {
        &self.threshold.pattern
    }

    /// Returns the condition, as typed: an operator and a value.
    pub fn condition(&self) -> String {
        format!("{} {}", self.threshold.operator.sign(), self.threshold.value)
    }

    /// Returns the word for the value that is the nearest to crossing the threshold.
    pub fn extreme(&self) -> &'static str {
        if self.threshold.operator.is_upper() { "highest" } else { "lowest" }
    }

    /// Returns true if `value` is nearer to crossing the threshold than `other`.
    pub fn is_nearer(&self, value: f64, other: f64) -> bool {
        if self.threshold.operator.is_upper() { value > other } else { value < other }
    }

    /// Returns true if the threshold is about this point.
    pub fn covers(&self, point: &Point) -> bool {
        self.graphs.contains_key(&point.order.0) && self.threshold.pattern.covers(&bare(&point.key))
    }

    /// Returns true if a point that it covers crosses the threshold.
    pub fn is_crossed(&self, point: &Point) -> bool {
        let limit = self.graphs.get(&point.order.0);
        limit.is_some_and(|(limit, _)| self.threshold.operator.holds(point.value, *limit))
    }

    /// Formats the name and the value of a point that it covers, with the unit.
    pub fn format(&self, point: &Point) -> String {
        let unit = self.graphs.get(&point.order.0).map_or(Unit::Float, |(_, unit)| *unit);
        format!("{} {}", bare(&point.key), format_value(point.value, unit))
    }
}

/// Parses a value of a unit: a number, or with the unit that people write.
fn parse(text: &str, unit: Unit) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return Some(number).filter(|number| number.is_finite());
    }
    let seconds = || humantime::parse_duration(text).ok().map(|time| time.as_secs_f64());
    match unit {
        // A float has all sizes of up to 8 PiB exactly.
        #[allow(clippy::cast_precision_loss)]
        Unit::Bytes | Unit::BytesPerSecond => text.parse::<ByteSize>().ok().map(|size| size.as_u64() as f64),
        Unit::Seconds => seconds(),
        Unit::Milliseconds => seconds().map(|seconds| seconds * 1e3),
        Unit::Percentage => text.strip_suffix('%').and_then(|number| parse(number.trim_end(), Unit::Float)),
        Unit::Float | Unit::Integer | Unit::BitsPerSecond | Unit::Iops => None,
    }
}

/// Returns the forms of a value of a unit.
fn forms(unit: Unit) -> &'static str {
    match unit {
        Unit::Bytes | Unit::BytesPerSecond => "a number or a size such as 512MiB",
        Unit::Seconds | Unit::Milliseconds => "a number or a time such as 500ms",
        Unit::Percentage => "a number, with or without %",
        Unit::Float | Unit::Integer | Unit::BitsPerSecond | Unit::Iops => "a number",
    }
}

/// Formats a value for people.
fn format_value(value: f64, unit: Unit) -> String {
    let rounded = (value * 1e3).round() / 1e3;
    // A small value is shown in full.
    let number = if rounded == 0.0 { value + 0.0 } else { rounded };
    match unit {
        Unit::Bytes | Unit::BytesPerSecond if value >= 0.0 => {
            // A value of more than 16 EiB is cut to that.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let size = ByteSize::b(value as u64).display().iec();
            format!("{size}{}", if unit == Unit::Bytes { "" } else { "/s" })
        }
        Unit::Percentage => format!("{number}%"),
        Unit::Seconds => format!("{number} s"),
        Unit::Milliseconds => format!("{number} ms"),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Graph, Period};

    fn definitions() -> Definitions {
        let graph = |key: &str, unit, metrics: &[(&str, MetricKind)]| Graph {
            key: key.to_owned(),
            label: "Load".to_owned(),
            unit,
            metrics: metrics
                .iter()
                .map(|(name, kind)| Metric {
                    name: (*name).to_owned(),
                    label: (*name).to_owned(),
                    stacked: false,
                    kind: *kind,
                })
                .collect(),
        };
        Definitions::new(vec![
            graph("#.memory", Unit::Bytes, &[("sys", MetricKind::Gauge), ("rss", MetricKind::Gauge)]),
            graph("#.gc", Unit::Float, &[("num", MetricKind::Counter(Period::Minute)), ("pause", MetricKind::Gauge)]),
            graph("lag.#", Unit::Seconds, &[("*", MetricKind::Gauge)]),
            graph("cpu.#", Unit::Percentage, &[("user", MetricKind::Gauge)]),
        ])
        .unwrap()
    }

    fn bound(text: &str) -> Result<Bound, ThresholdError> {
        text.parse::<Threshold>().unwrap().bound("--critical", &definitions())
    }

    #[test]
    fn threshold_has_metrics_a_comparison_and_a_value() {
        for (text, shown) in [
            ("memory.sys>512MiB", "memory.sys>512MiB"),
            (" memory.* >= 1 ", "memory.*>=1"),
            ("*.sys < -2.5", "*.sys<-2.5"),
            ("lag.*<=500ms", "lag.*<=500ms"),
        ] {
            assert_eq!(text.parse::<Threshold>().unwrap().to_string(), shown);
        }
        for text in ["", "memory.sys", "memory.sys=1", ">1", "memory.sys>", "memory.sys>=", "memory sys>1", "<"] {
            assert!(text.parse::<Threshold>().is_err(), "{text}");
        }
    }

    #[test]
    fn value_is_read_in_the_unit_of_the_graph() {
        for (text, limit) in [
            ("memory.sys>512MiB", 536_870_912.0_f64),
            ("memory.sys>1kB", 1000.0),
            ("memory.sys>1e3", 1000.0),
            ("lag.*>1m", 60.0),
            ("lag.slave0_lag>500ms", 0.5),
            ("lag.*>2", 2.0),
            ("cpu.user>80%", 80.0),
            ("cpu.user>80 %", 80.0),
            ("gc.num>-1", -1.0),
        ] {
            let limits: Vec<u64> = bound(text).unwrap().graphs.values().map(|(limit, _)| limit.to_bits()).collect();
            assert_eq!(limits, [limit.to_bits()], "{text}");
        }
        let errors =
            ["memory.sys>5s", "gc.num>1MiB", "lag.*>1MiB", "cpu.user>much", "*>1MiB", "memory.sys>NaN", "gc.x>1"];
        let errors = errors.map(|text| bound(text).unwrap_err().to_string());
        assert_eq!(
            errors,
            [
                "--critical memory.sys>5s: expected a number or a size such as 512MiB; the unit of memory.sys is bytes",
                "--critical gc.num>1MiB: expected a number; the unit of gc.num is float",
                "--critical lag.*>1MiB: expected a number or a time such as 500ms; the unit of lag.* is seconds",
                "--critical cpu.user>much: expected a number, with or without %; the unit of cpu.user is percentage",
                "--critical *>1MiB: expected a number; the unit of gc.num is float",
                "--critical memory.sys>NaN: expected a number or a size such as 512MiB; the unit of memory.sys is bytes",
                "--critical gc.x>1: gc.x matches no metric; available: memory.sys, memory.rss, gc.num, gc.pause, lag.*, \
                 cpu.user",
            ]
        );
    }

    #[test]
    fn threshold_is_crossed_beyond_its_value_and_at_it_only_with_an_equals_sign() {
        let point = |value| Point { order: (0, 0), key: "#.memory.sys".to_owned(), kind: MetricKind::Gauge, value };
        for (operator, below, at, above) in
            [(">", false, false, true), (">=", false, true, true), ("<", true, false, false), ("<=", true, true, false)]
        {
            let bound = bound(&format!("memory.sys{operator}2")).unwrap();
            let crossed = [1.0, 2.0, 3.0].map(|value| bound.is_crossed(&point(value)));
            assert_eq!(crossed, [below, at, above], "{operator}");
        }
        let rss = Point { key: "#.memory.rss".to_owned(), order: (0, 1), ..point(1.0) };
        assert!(bound("memory.sys>2").unwrap().covers(&point(1.0)) && !bound("memory.sys>2").unwrap().covers(&rss));
        assert!(bound("*>2").unwrap().covers(&rss) && bound("gc.*>2").is_ok_and(|bound| bound.has_counters));
    }

    #[test]
    fn value_is_shown_with_its_unit() {
        for (value, unit, shown) in [
            (629_145_600.0, Unit::Bytes, "600.0 MiB"),
            (12.0, Unit::Bytes, "12 B"),
            (-12.0, Unit::Bytes, "-12"),
            (2048.0, Unit::BytesPerSecond, "2.0 KiB/s"),
            (49.6, Unit::Percentage, "49.6%"),
            (0.25, Unit::Seconds, "0.25 s"),
            (1.5, Unit::Milliseconds, "1.5 ms"),
            (12.345_678, Unit::Float, "12.346"),
            (0.000_001, Unit::Float, "0.000001"),
            (0.0, Unit::Integer, "0"),
        ] {
            assert_eq!(format_value(value, unit), shown);
        }
    }
}
