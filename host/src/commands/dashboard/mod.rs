//! `dashboard`: a collector's graphs as a Mackerel dashboard, or as addresses to embed: of a whole role, or of labelled
//! metrics (`--otlp`).

mod by_label;
mod by_role;
mod section;
mod widget;

use std::ffi::OsString;

use clap::Args;

use self::section::{Section, sections};
use self::widget::Dashboard;
use crate::commands::dry_run::graphs_with_data;
use crate::commands::role::Role;
use crate::definition::Prefix;
use crate::diagnostics::print;
use crate::error::Error;
use crate::job::Job;
use crate::jobs::Jobs;
use crate::options::Subcommand;
use crate::pipeline::output::PostedGraph;
use crate::session::Session;
use crate::text::Expected;

/// `dashboard` takes all options, and reads no secret: it requests no target.
pub const SUBCOMMAND: Subcommand = Subcommand { name: "dashboard", unused: &[], reads_secrets: false };

/// The options of `dashboard` alone.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Dashboard")]
pub struct DashboardOptions {
    /// The service and role whose hosts are drawn; not for labelled metrics (--otlp)
    #[arg(long, value_name = "SERVICE:ROLE", required_unless_present = "otlp")]
    pub role: Option<Role>,

    /// Print the addresses of single graphs of this organization instead of a dashboard, to embed in pages
    #[arg(long, value_name = "ORG", value_parser = parse_organization)]
    pub urls: Option<String>,

    /// Replace the dashboard with this id, which `mkr dashboards` lists
    #[arg(long, value_name = "ID", conflicts_with = "urls")]
    pub dashboard_id: Option<String>,
}

/// Prints the dashboard, or the addresses. `words` is the collector's name and all options.
///
/// # Errors
/// If the options are wrong, or the collector cannot be used.
pub async fn dashboard(session: &Session, words: &[OsString]) -> Result<String, Error> {
    let (jobs, further): (Jobs, DashboardOptions) = Jobs::prepare(session, &SUBCOMMAND, words).await?;
    let DashboardOptions { role, urls, dashboard_id } = further;
    if jobs.shared().otlp.is_some() {
        if role.is_some() {
            return Err(Error::usage("--role cannot be used with --otlp: labelled metrics belong to no role"));
        }
        if urls.is_some() {
            return Err(Error::usage(
                "--urls cannot be used with --otlp: Mackerel embeds no graphs of labelled metrics",
            ));
        }
    }
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
    let drawn = |job: &Job, posted: &PostedGraph| match &role {
        Some(role) => by_role::drawn(posted, role),
        None => by_label::drawn(posted, &job.options),
    };
    let sections: Vec<Section> = jobs
        .all
        .iter()
        .zip(&graphs)
        .flat_map(|(job, graphs)| sections(job, graphs, |posted| drawn(job, posted)))
        .collect();
    if let Some(organization) = urls {
        return Ok(by_role::addresses(&sections, &organization));
    }
    let prefix: Prefix = match jobs.labels {
        // A word of letters.
        Some(_) => jobs.name().parse().map_err(Error::usage)?,
        None => jobs.shared().output.prefix.clone(),
    };
    let (mut widgets, mut y) = (Vec::new(), 0);
    for section in sections {
        section.widgets(&mut y, &mut widgets);
    }
    let path = prefix.to_string().replace('.', "_");
    let (title, url_path) = match &role {
        Some(role) => (format!("{} of {role}", prefix.title()), format!("{path}-{}-{}", role.service, role.role)),
        None => (format!("{}, labelled metrics", prefix.title()), format!("{path}-labelled")),
    };
    let dashboard = Dashboard {
        id: dashboard_id,
        title,
        memo: format!("Made by {}", SUBCOMMAND.command_line(words)),
        url_path,
        widgets,
    };
    // Strings and numbers: this cannot fail.
    Ok(serde_json::to_string_pretty(&dashboard).unwrap_or_default() + "\n")
}

fn parse_organization(text: &str) -> Result<String, Expected> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || !text.chars().all(legal) {
        return Err(Expected("the organization's name, as in Mackerel's addresses"));
    }
    Ok(text.to_owned())
}
