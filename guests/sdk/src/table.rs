//! Graph definitions as constant tables.

use crate::{Graph, Metric, MetricKind, Period, Unit};

/// A graph definition that does not depend on options.
#[derive(Debug, Clone, Copy)]
pub struct GraphRow {
    /// The prefix of the metrics' names: components joined by dots. One of them is `#`, which stands for the target's
    /// name.
    pub key: &'static str,
    /// The graph's title, without the collector's name.
    pub label: &'static str,
    /// The unit of all its metrics.
    pub unit: Unit,
    /// The metrics, in the order in which they are drawn. At least one.
    pub metrics: &'static [MetricRow],
}

/// A metric of a [`GraphRow`].
#[derive(Debug, Clone, Copy)]
pub struct MetricRow {
    /// The metric's name, in the characters `-a-zA-Z0-9_`, or `*` if only the target knows the names.
    pub name: &'static str,
    /// The name shown in the legend. `%1` stands for the text that the first wildcard of the full name matched.
    pub label: &'static str,
    /// The meaning of the metric's values.
    pub kind: MetricKind,
    /// True if the line is stacked on the lines before it.
    pub stacked: bool,
}

impl GraphRow {
    /// A graph with this key, title, unit and metrics.
    pub const fn new(key: &'static str, label: &'static str, unit: Unit, metrics: &'static [MetricRow]) -> GraphRow {
        GraphRow { key, label, unit, metrics }
    }
}

impl MetricRow {
    /// A current value, shown as it is.
    pub const fn gauge(name: &'static str, label: &'static str) -> MetricRow {
        MetricRow { name, label, kind: MetricKind::Gauge, stacked: false }
    }

    /// A counter, reported as read. The host shows its growth per second.
    pub const fn per_second(name: &'static str, label: &'static str) -> MetricRow {
        MetricRow { name, label, kind: MetricKind::Counter(Period::Second), stacked: false }
    }

    /// A counter, reported as read. The host shows its growth per minute.
    pub const fn per_minute(name: &'static str, label: &'static str) -> MetricRow {
        MetricRow { name, label, kind: MetricKind::Counter(Period::Minute), stacked: false }
    }

    /// The same metric, stacked on the lines before it.
    #[must_use]
    pub const fn stacked(self) -> MetricRow {
        MetricRow { stacked: true, ..self }
    }
}

impl From<&GraphRow> for Graph {
    fn from(row: &GraphRow) -> Graph {
        Graph {
            key: row.key.to_owned(),
            label: row.label.to_owned(),
            unit: row.unit,
            metrics: row.metrics.iter().map(Metric::from).collect(),
        }
    }
}

impl From<&MetricRow> for Metric {
    fn from(row: &MetricRow) -> Metric {
        Metric { name: row.name.to_owned(), label: row.label.to_owned(), stacked: row.stacked, kind: row.kind }
    }
}
