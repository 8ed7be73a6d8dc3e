//! Graphs as tables of constants.

use crate::{Graph, Metric, MetricKind, Period, Unit};

/// A graph whose key, label and metrics are known when the collector is written.
#[derive(Debug, Clone, Copy)]
pub struct GraphRow {
    /// Where its metrics stand: components joined by dots, of which one is `#`, the place of the target's name.
    pub key: &'static str,
    /// Its title, without the collector's name.
    pub label: &'static str,
    /// The unit of all its metrics.
    pub unit: Unit,
    /// Its metrics, in the order in which they are drawn.
    pub metrics: &'static [MetricRow],
}

/// A metric of a [`GraphRow`].
#[derive(Debug, Clone, Copy)]
pub struct MetricRow {
    /// Its name, in the characters `-a-zA-Z0-9_`, or `*` for names that only the target knows.
    pub name: &'static str,
    /// Its name in the legend.
    pub label: &'static str,
    /// What the collector's values mean.
    pub kind: MetricKind,
    /// Whether it is drawn upon the metrics before it.
    pub stacked: bool,
}

impl GraphRow {
    /// A row of a table.
    pub const fn new(key: &'static str, label: &'static str, unit: Unit, metrics: &'static [MetricRow]) -> GraphRow {
        GraphRow { key, label, unit, metrics }
    }
}

impl MetricRow {
    /// A value of the moment.
    pub const fn gauge(name: &'static str, label: &'static str) -> MetricRow {
        MetricRow { name, label, kind: MetricKind::Gauge, stacked: false }
    }

    /// A count that only grows, given as it is read; the host shows its growth per second.
    pub const fn per_second(name: &'static str, label: &'static str) -> MetricRow {
        MetricRow { name, label, kind: MetricKind::Counter(Period::Second), stacked: false }
    }

    /// A count that only grows, given as it is read; the host shows its growth per minute.
    pub const fn per_minute(name: &'static str, label: &'static str) -> MetricRow {
        MetricRow { name, label, kind: MetricKind::Counter(Period::Minute), stacked: false }
    }

    /// The same, drawn upon the metrics before it.
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
