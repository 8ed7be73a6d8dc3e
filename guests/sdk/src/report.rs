//! What one `collect` found.

use crate::{CollectError, GraphRow, MetricRow, Report, Sample};

impl Report {
    /// A report without samples.
    pub fn new() -> Report {
        Report { samples: Vec::new(), time: None }
    }

    /// A report of what `value` gives for each metric of the table; what it gives `None` for is left out.
    ///
    /// # Errors
    /// The first error of `value`.
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

    /// Adds a sample: the graph's key as it is declared, with its `#`, the metric's name, and the value in the graph's unit. A value
    /// that is not known is left out: absent is never zero.
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
