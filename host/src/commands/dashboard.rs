//! `dashboard`: a collector's graphs for a whole role, as a Mackerel dashboard or as addresses to embed.
//!
//! Graphs with a wildcard are not role graphs, so their metrics are drawn by expressions; totals are role graphs.
//! Expressions use `roleSlots`, which also covers hosts that left the role: `role` loses the history of a retired host
//! (<https://mackerel.io/docs/entry/advanced/advanced-graph>).
//!
//! The format is that of <https://mackerel.io/api-docs/entry/dashboards>, which `mkr dashboards push` and the API take.
//! It has no unit for an expression, so titles contain the units.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use crate::commands::dry_run::graphs_with_data;
use crate::commands::role::Role;
use crate::definition::{Prefix, bare};
use crate::diagnostics::print;
use crate::error::Error;
use crate::job::Job;
use crate::jobs::Jobs;
use crate::limits;
use crate::options::Subcommand;
use crate::pipeline::output::{Of, PostedGraph};
use crate::pipeline::protocol;
use crate::pipeline::total::Total;
use crate::sandbox::{Metric, MetricKind, Period};
use crate::session::Session;
use crate::text::{Expected, escape};

/// `dashboard` takes all options, and reads no secret: it requests no target.
pub const SUBCOMMAND: Subcommand = Subcommand { name: "dashboard", unused: &[], reads_secrets: false };

/// The options of `dashboard` alone.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Dashboard")]
pub struct DashboardOptions {
    /// The service and role whose hosts are drawn
    #[arg(long, value_name = "SERVICE:ROLE")]
    pub role: Role,

    /// Print the addresses of single graphs of this organization instead of a dashboard, to embed in pages
    #[arg(long, value_name = "ORG", value_parser = parse_organization)]
    pub urls: Option<String>,

    /// Replace the dashboard with this id, which `mkr dashboards` lists
    #[arg(long, value_name = "ID", conflicts_with = "urls")]
    pub dashboard_id: Option<String>,
}

/// A dashboard, as Mackerel's API takes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Dashboard {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    title: String,
    memo: String,
    url_path: String,
    widgets: Vec<Widget>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
enum Widget {
    Markdown { title: String, markdown: String, layout: Layout },
    Graph { title: String, graph: Graph, range: Range, layout: Layout },
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
enum Graph {
    #[serde(rename_all = "camelCase")]
    Role {
        role_fullname: String,
        name: String,
        is_stacked: bool,
    },
    Expression {
        expression: String,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
enum Range {
    Relative { period: u64, offset: i64 },
}

#[derive(Debug, Serialize)]
struct Layout {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

/// A section: the graphs that belong together.
struct Section<'a> {
    title: String,
    unit: &'static str,
    drawn: Vec<Drawn<'a>>,
}

/// A graph on the dashboard.
struct Drawn<'a> {
    title: String,
    posted: &'a PostedGraph,
    /// The metric, or `None` for all metrics of the graph.
    metric: Option<&'a Metric>,
}

/// Prints the dashboard, or the addresses. `words` is the collector's name and all options.
///
/// # Errors
/// If the options are wrong, or the collector cannot be used.
pub async fn dashboard(session: &Session, words: &[OsString]) -> Result<String, Error> {
    let (jobs, further): (Jobs, DashboardOptions) = Jobs::prepare(session, &SUBCOMMAND, words).await?;
    let DashboardOptions { role, urls, dashboard_id } = &further;
    for line in jobs.diagnostics().lines() {
        print(&line);
    }
    let mut graphs = Vec::with_capacity(jobs.all.len());
    for job in &jobs.all {
        graphs.push(graphs_with_data(job).await);
    }
    if graphs.iter().all(Vec::is_empty) && jobs.all.iter().any(|job| !job.graphs.is_empty()) {
        return Err(Error::usage("no graph has data with these options"));
    }
    let sections: Vec<Section<'_>> =
        jobs.all.iter().zip(&graphs).flat_map(|(job, graphs)| sections(job, graphs)).collect();
    if let Some(organization) = urls {
        return Ok(addresses(&sections, role, organization));
    }
    let prefix: Prefix = match jobs.labels {
        // A word of letters.
        Some(_) => jobs.name().parse().map_err(Error::usage)?,
        None => jobs.shared().output.prefix.clone(),
    };
    let (mut widgets, mut y) = (Vec::new(), 0);
    for section in &sections {
        section.widgets(role, &mut y, &mut widgets);
    }
    let dashboard = Dashboard {
        id: dashboard_id.clone(),
        title: format!("{} of {role}", prefix.title()),
        memo: format!("Made by {}", SUBCOMMAND.command_line(words)),
        url_path: format!("{}-{}-{}", prefix.to_string().replace('.', "_"), role.service, role.role),
        widgets,
    };
    // Strings and numbers: this cannot fail.
    Ok(serde_json::to_string_pretty(&dashboard).unwrap_or_default() + "\n")
}

/// Groups the graphs by declared graph. Totals come first.
fn sections<'a>(job: &Job, graphs: &'a [PostedGraph]) -> Vec<Section<'a>> {
    let title = &job.options.output.prefix.title();
    let mut sections: Vec<(Option<usize>, Section<'a>)> = Vec::new();
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

/// Draws a graph of totals as it is, and one with a wildcard metric by metric.
fn drawn(posted: &PostedGraph) -> Vec<Drawn<'_>> {
    match posted.of {
        Of::Targets => vec![Drawn { title: posted.label.clone(), posted, metric: None }],
        Of::Total(..) if !posted.key.contains('*') => {
            vec![Drawn { title: posted.label.clone(), posted, metric: None }]
        }
        Of::EachTarget(_) | Of::Total(..) => {
            let total =
                if let Of::Total(_, total) = posted.of { format!(" ({})", total.word()) } else { String::new() };
            let drawn =
                |metric| Drawn { title: format!("{}{total}", title(posted, metric)), posted, metric: Some(metric) };
            posted.metrics.iter().map(drawn).collect()
        }
    }
}

/// Returns the title of a metric: its label with unit and period. A label that begins with a wildcard's match is
/// replaced.
fn title(posted: &PostedGraph, metric: &Metric) -> String {
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
    match protocol::unit(posted.unit) {
        "integer" | "float" => format!("{label}{period}"),
        unit if unit.ends_with("/sec") || unit == "iops" || unit == "percentage" => format!("{label} ({unit})"),
        unit => format!("{label} ({unit}{period})"),
    }
}

impl Drawn<'_> {
    fn graph(&self, role: &Role) -> Graph {
        match self.metric {
            Some(_) => Graph::Expression { expression: self.expression(role) },
            None => Graph::Role {
                role_fullname: role.to_string(),
                name: self.posted.pattern("*"),
                // Sums of hosts add up to the sum of the role.
                is_stacked: matches!(self.posted.of, Of::Total(_, Total::Sum)),
            },
        }
    }

    /// Returns the graph as an expression, which addresses use for all graphs.
    fn expression(&self, role: &Role) -> String {
        let name = self.posted.pattern(self.metric.map_or("*", |metric| &metric.name));
        format!("roleSlots('{role}', '{name}')")
    }
}

impl Section<'_> {
    /// Appends the section's widgets: a title over the whole width, and rows of graphs.
    fn widgets(&self, role: &Role, y: &mut u32, widgets: &mut Vec<Widget>) {
        let layout = Layout { x: 0, y: *y, width: limits::GRID_WIDTH, height: limits::TITLE_HEIGHT };
        let keys: BTreeSet<String> = self.drawn.iter().map(|drawn| format!("`custom.{}`", drawn.posted.key)).collect();
        let markdown = format!("{}: {}", self.unit, keys.into_iter().collect::<Vec<_>>().join(", "));
        widgets.push(Widget::Markdown { title: self.title.clone(), markdown, layout });
        *y += limits::TITLE_HEIGHT;
        let in_a_row = limits::GRID_WIDTH / limits::GRAPH_WIDTH;
        let mut x = 0;
        for (place, drawn) in (0..).zip(&self.drawn) {
            x = place % in_a_row;
            let layout =
                Layout { x: x * limits::GRAPH_WIDTH, y: *y, width: limits::GRAPH_WIDTH, height: limits::GRAPH_HEIGHT };
            let range = Range::Relative { period: limits::GRAPH_RANGE.as_secs(), offset: 0 };
            widgets.push(Widget::Graph { title: drawn.title.clone(), graph: drawn.graph(role), range, layout });
            if x + 1 == in_a_row {
                *y += limits::GRAPH_HEIGHT;
            }
        }
        if !self.drawn.is_empty() && x + 1 < in_a_row {
            *y += limits::GRAPH_HEIGHT;
        }
    }
}

/// Lists the addresses of all graphs, for an hour, a day and a week each.
fn addresses(sections: &[Section<'_>], role: &Role, organization: &str) -> String {
    let mut text = String::new();
    // Characters that a form does not encode are encoded too, and a plus is not used for a space.
    let encoded = |text: &str| {
        let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        encoded.replace('+', "%20").replace('*', "%2A")
    };
    for section in sections {
        for drawn in &section.drawn {
            let title = match drawn.metric {
                Some(_) => format!("{}: {}", section.title, drawn.title),
                None => drawn.title.clone(),
            };
            let _ = writeln!(text, "{}", escape(&title));
            for period in ["1h", "1d", "1w"] {
                let _ = writeln!(
                    text,
                    "  https://mackerel.io/embed/orgs/{organization}/advanced-graph?query={}&unit={}&title={}&period={period}",
                    encoded(&drawn.expression(role)),
                    encoded(section.unit),
                    encoded(&title),
                );
            }
        }
    }
    text
}

fn parse_organization(text: &str) -> Result<String, Expected> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || !text.chars().all(legal) {
        return Err(Expected("the organization's name, as in Mackerel's addresses"));
    }
    Ok(text.to_owned())
}
