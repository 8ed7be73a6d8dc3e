//! Construction of a [`Report`].

use crate::{CollectError, GraphRow, MetricRow, Report, Sample};

impl Report {
    /// A report without samples and without a time.
    pub fn new() -> Report {
        Report { samples: Vec::new(), time: None }
    }

    /// Builds a report with one sample for each metric of the table, and without a time.
    ///
    /// `value` returns the metric's value in its graph's unit, or `None` to omit the metric.
    ///
    /// # Errors
    /// The first error that `value` returns.
    pub fn of_table(
        graphs: &[GraphRow],
        mut value: impl FnMut(&MetricRow) -> Result<Option<f64>, CollectError>,
    ) -> Result<Report, CollectError> {
        let mut report = Report::new();
        for graph in graphs {
            for metric in graph.metrics {
                report.push(graph.key, metric.name, value(metric)?);
            }
        }
        Ok(report)
    }

    /// Adds a sample, unless the value is `None`. A value that the target does not report must be omitted, never zero.
    ///
    /// `graph` is the graph's key as declared, including the `#`. The value is in the graph's unit; a counter's is the
    /// count as read.
    pub fn push(&mut self, graph: impl Into<String>, metric: impl Into<String>, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            self.samples.push(Sample { graph: graph.into(), metric: metric.into(), value });
        }
    }
}

impl Default for Report {
    fn default() -> Report {
        Report::new()
    }
}
