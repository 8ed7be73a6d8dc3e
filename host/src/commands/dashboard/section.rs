//! Sections of a dashboard: the graphs that belong together, under a title.

use std::collections::BTreeSet;

use super::widget::{Graph, Layout, Range, Widget};
use crate::definition::bare;
use crate::job::Job;
use crate::limits;
use crate::pipeline::output::{Of, PostedGraph};
use crate::pipeline::protocol;
use crate::sandbox::{Metric, MetricKind, Period};

/// A section.
pub struct Section {
    /// The title.
    pub title: String,
    /// The unit of all values.
    pub unit: &'static str,
    /// The graphs.
    pub drawn: Vec<Drawn>,
}

/// A graph on the dashboard.
pub struct Drawn {
    /// The title.
    pub title: String,
    /// The name that the names of its metrics begin with.
    pub key: String,
    /// The values.
    pub graph: Graph,
}

/// Groups the graphs by declared graph. Totals come first.
pub fn sections(job: &Job, graphs: &[PostedGraph], drawn: impl Fn(&PostedGraph) -> Vec<Drawn>) -> Vec<Section> {
    let title = &job.options.output.prefix.title();
    let mut sections: Vec<(Option<usize>, Section)> = Vec::new();
    for posted in graphs {
        let place = match posted.of {
            Of::Targets => None,
            Of::EachTarget(place) | Of::Total(place, _) => Some(place),
        };
        if sections.last().is_none_or(|(last, _)| *last != place) {
            let title = match place {
                None => posted.label.clone(),
                Some(place) => format!("{title} {}", job.definitions.graphs()[place].label),
            };
            sections.push((place, Section { title, unit: protocol::unit(posted.unit), drawn: Vec::new() }));
        }
        if let Some((_, section)) = sections.last_mut() {
            section.drawn.extend(drawn(posted));
        }
    }
    sections.into_iter().map(|(_, section)| section).collect()
}

/// Returns the title of a metric: its label with unit, period and total, because the graph has no unit. A label that
/// begins with a wildcard's match is replaced.
pub fn title(posted: &PostedGraph, metric: &Metric) -> String {
    let label = if metric.label.contains('%') || metric.name == "*" {
        // The end of the graph's key, unless that is a wildcard.
        let graph = bare(&posted.key);
        match graph.split_once('.') {
            Some((_, graph)) if !graph.contains('*') => graph.to_owned(),
            _ => posted.label.clone(),
        }
    } else {
        metric.label.clone()
    };
    let period = match metric.kind {
        MetricKind::Gauge => "",
        MetricKind::Counter(Period::Second) => " per second",
        MetricKind::Counter(Period::Minute) => " per minute",
    };
    // Units with a period need no other, and plain numbers no unit.
    let title = match protocol::unit(posted.unit) {
        "integer" | "float" => format!("{label}{period}"),
        unit if unit.ends_with("/sec") || unit == "iops" || unit == "percentage" => format!("{label} ({unit})"),
        unit => format!("{label} ({unit}{period})"),
    };
    match posted.of {
        Of::Total(_, total) => format!("{title} ({})", total.word()),
        Of::EachTarget(_) | Of::Targets => title,
    }
}

impl Section {
    /// Appends the section's widgets: a title over the whole width, and rows of graphs.
    pub fn widgets(self, y: &mut u32, widgets: &mut Vec<Widget>) {
        let layout = Layout { x: 0, y: *y, width: limits::GRID_WIDTH, height: limits::TITLE_HEIGHT };
        let keys: BTreeSet<String> = self.drawn.iter().map(|drawn| format!("`{}`", drawn.key)).collect();
        let markdown = format!("{}: {}", self.unit, keys.into_iter().collect::<Vec<_>>().join(", "));
        widgets.push(Widget::Markdown { title: self.title, markdown, layout });
        *y += limits::TITLE_HEIGHT;
        let in_a_row = limits::GRID_WIDTH / limits::GRAPH_WIDTH;
        let has_graphs = !self.drawn.is_empty();
        let mut x = 0;
        for (place, Drawn { title, graph, .. }) in (0..).zip(self.drawn) {
            x = place % in_a_row;
            let layout =
                Layout { x: x * limits::GRAPH_WIDTH, y: *y, width: limits::GRAPH_WIDTH, height: limits::GRAPH_HEIGHT };
            let range = Range::Relative { period: limits::GRAPH_RANGE.as_secs(), offset: 0 };
            widgets.push(Widget::Graph { title, graph, range, layout });
            if x + 1 == in_a_row {
                *y += limits::GRAPH_HEIGHT;
            }
        }
        if has_graphs && x + 1 < in_a_row {
            *y += limits::GRAPH_HEIGHT;
        }
    }
}
