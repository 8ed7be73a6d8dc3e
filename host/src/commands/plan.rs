//! `plan`: the number of metrics that a command posts from this machine now, against Mackerel's limits per host.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::commands::suggestion::{Suggestion, suggestions};
use crate::commands::table::Table;
use crate::definition::fits_pattern;
use crate::diagnostics::Diagnostics;
use crate::ecs;
use crate::error::Error;
use crate::job::{Collected, Job, RUN};
use crate::jobs::Jobs;
use crate::limits;
use crate::moment::Moment;
use crate::options::{Options, Subcommand};
use crate::pipeline::budget::{Budget, Cut};
use crate::pipeline::find::{Found, Source};
use crate::pipeline::ledger::Ledger;
use crate::pipeline::output::Value;
use crate::pipeline::series::Series;
use crate::pipeline::state::{State, Within};
use crate::session::Session;
use crate::stop::Stop;
use crate::text::foreign;

/// `plan` takes all options of `run` except those about labelled metrics.
pub const SUBCOMMAND: Subcommand = Subcommand::new("plan");

/// The options of `plan` and `explain` alone.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct FormatOptions {
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// The metrics of a command. The field names are those of the JSON output.
#[derive(Debug, Serialize)]
struct Plan {
    command: String,
    targets: usize,
    failed: usize,
    metrics: usize,
    /// The metrics without `--max-metrics`.
    wanted: usize,
    /// The description of the part that `--max-metrics` leaves out.
    left_out: Option<String>,
    graphs: Vec<Row>,
    hosts: Vec<Host>,
    suggestions: Vec<Suggestion>,
}

/// The metrics of one graph.
#[derive(Debug, Serialize)]
struct Row {
    key: String,
    label: String,
    metrics: usize,
}

/// A kind of host, and its number of metrics.
#[derive(Debug, Serialize)]
struct Host {
    kind: &'static str,
    limit: usize,
    over: usize,
}

/// Counts the metrics. `words` is the collector's name and all options. If all targets fail, so does the command.
///
/// # Errors
/// As of [`Job::prepare`] and [`Job::collect`].
pub async fn plan(session: &Session, words: &[OsString]) -> Result<(String, ExitCode), Error> {
    let (jobs, FormatOptions { json }) = Jobs::prepare(session, &SUBCOMMAND, words).await?;
    let mut stop = Stop::new(session.watchdog.started(), jobs.shared().deadline)?;
    let begun = Moment::now();
    let none = State::default();
    let last = vec![&none; jobs.all.len()];
    let mut collected = jobs.collect(session, begun, &last, &mut stop).await?;
    let mut diagnostics = jobs.diagnostics();
    diagnostics.warn_all(collected.unmatched(&jobs, true).await);
    collected.report_faulty(&mut diagnostics);
    let hosts = hosts(&collected.of[0].found.source);
    let mut counted = Vec::with_capacity(jobs.all.len());
    for (job, Collected { found, outcomes }) in jobs.all.iter().zip(&mut collected.of) {
        let (found, outcomes, mut own) = (&*found, std::mem::take(outcomes), Diagnostics::new(&job.component.name));
        found.report_skipped(job.options.verbose, &mut own);
        own.warn_all(job.unmatched(found, true));
        let series = Series::of_outcomes(&found.targets, outcomes, &mut own);
        counted.push(Counted::new(job, found, series, own.failures(), begun));
        diagnostics.absorb(own);
    }
    diagnostics.print();

    let metrics: usize = counted.iter().map(|of| of.values.len()).sum();
    let targets: usize = counted.iter().map(|of| of.series.len()).sum();
    let failed = diagnostics.failures();
    let cuts: Vec<String> = counted.iter().filter_map(|of| of.cut.as_ref()).map(Cut::to_string).collect();
    let host = |&(kind, limit): &(_, usize)| Host { kind, limit, over: metrics.saturating_sub(limit) };
    let plan = Plan {
        command: RUN.command_line(&without_json(words)),
        targets,
        failed,
        metrics,
        wanted: counted.iter().map(|of| of.wanted).sum(),
        left_out: (!cuts.is_empty()).then(|| cuts.join("; ")),
        graphs: counted.iter().flat_map(rows).collect(),
        hosts: hosts.iter().map(host).collect(),
        suggestions: counted.iter().flat_map(|of| of.suggestions(&jobs, metrics, hosts)).collect(),
    };
    let code = if targets == 0 && failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if json {
        // Strings and numbers: this cannot fail.
        return Ok((serde_json::to_string_pretty(&plan).unwrap_or_default() + "\n", code));
    }
    Ok((plan.text(), code))
}

/// The metrics of one collector.
struct Counted<'a> {
    job: &'a Job,
    series: Vec<Series<'a>>,
    failed: usize,
    /// The number of metrics without `--max-metrics`.
    wanted: usize,
    cut: Option<Cut>,
    values: Vec<Value>,
}

impl<'a> Counted<'a> {
    fn new(job: &'a Job, found: &'a Found, mut series: Vec<Series<'a>>, failed: usize, begun: Moment) -> Counted<'a> {
        // A counter has a value from the second run on, and is counted here at once.
        let Options { output, instance_name, .. } = &job.options;
        let (names, _) = Ledger::in_memory(State::default(), begun).foresee_names(instance_name, found);
        for series in &mut series {
            series.name = Some(names[series.position].clone());
        }
        let wanted = output.values(&series, failed).len();
        let budget = Budget::new(output, instance_name, &series, &Within::new(), found);
        let mut within = series.clone();
        budget.apply(&mut within);
        let values = budget.output.values(&within, failed);
        Counted { job, series, failed, wanted, cut: budget.cut, values }
    }

    /// Suggests options for this collector, if a run posts `metrics` of all collectors together.
    fn suggestions(&self, jobs: &Jobs, metrics: usize, hosts: &[(&'static str, usize)]) -> Vec<Suggestion> {
        let others = metrics - self.values.len();
        let exceeded = hosts.iter().filter(|(_, limit)| metrics > *limit);
        let exceeded = exceeded.filter_map(|(kind, limit)| Some((*kind, limit.checked_sub(others)?)));
        let exceeded: Vec<(&str, usize)> = exceeded.chain(self.cut.iter().map(|cut| ("", cut.limit))).collect();
        let suggestions = suggestions(self.job, &self.series, self.failed, &exceeded).into_iter();
        let of_all = |Suggestion { options, metrics }| Suggestion {
            options: jobs.options_of(self.job, &options),
            metrics: metrics + others,
        };
        suggestions.map(of_all).collect()
    }
}

/// Returns the kinds of host that the metrics can be of, with their limits. mackerel-container-agent makes a micro host
/// of a task.
fn hosts(source: &Source) -> &'static [(&'static str, usize)] {
    let is_in_task = match source {
        Source::EcsTask(_) => true,
        Source::Fixed => ecs::variable().is_some(),
        Source::Engine(_) => false,
    };
    let is_possible = |(kind, _): &(&str, usize)| !is_in_task || *kind == "micro";
    let first = limits::METRICS_OF_HOST.iter().position(is_possible).unwrap_or_default();
    &limits::METRICS_OF_HOST[first..]
}

/// Drops `--json`, which `run` does not have, from a command line that is printed as one of `run`.
pub fn without_json(words: &[OsString]) -> Vec<OsString> {
    words.iter().filter(|word| *word != "--json").cloned().collect()
}

/// Counts keys by graph, in the order of the definitions. Keys without a definition come last, by the graph that
/// Mackerel makes of them: everything before the last dot.
fn rows(Counted { job, values, .. }: &Counted<'_>) -> Vec<Row> {
    let row = |key: &str, label: &str| Row { key: key.to_owned(), label: label.to_owned(), metrics: 0 };
    let mut rows: Vec<Row> = job.graphs.iter().map(|graph| row(&graph.key, &graph.label)).collect();
    for Value { key, .. } in values {
        let parent = key.rsplit_once('.').map_or(key.as_str(), |(parent, _)| parent);
        let place = rows.iter().position(|row| fits_pattern(&row.key.replacen('#', "*", 1), parent));
        let place = place.unwrap_or_else(|| {
            rows.push(row(parent, ""));
            rows.len() - 1
        });
        rows[place].metrics += 1;
    }
    rows.retain(|row| row.metrics > 0);
    rows
}

impl Plan {
    fn text(&self) -> String {
        let mut table = Table::new(["GRAPH", "LABEL", "METRICS"]);
        for Row { key, label, metrics } in &self.graphs {
            table.row([key.clone(), foreign(label).to_string(), metrics.to_string()]);
        }
        let targets = if self.targets == 1 { "1 target".to_owned() } else { format!("{} targets", self.targets) };
        let failed = if self.failed > 0 { format!(", {} failed and not counted", self.failed) } else { String::new() };
        table.row(["total".to_owned(), format!("{targets}{failed}"), self.metrics.to_string()]);
        let mut text = format!("{table}\n");
        text.extend(self.left_out.iter().flat_map(|cut| [cut, "\n"]));
        for Host { kind, limit, over } in &self.hosts {
            let verdict = if *over > 0 { format!("{over} over") } else { format!("{} left", limit - self.metrics) };
            let _ = writeln!(text, "{kind} host: {limit} metrics, {verdict}");
        }
        if self.left_out.is_some() || self.hosts.iter().any(|host| host.over > 0) {
            text.push_str("\nOptions that reduce the number:\n");
            let mut table = Table::new(["METRICS", "OPTIONS"]);
            for Suggestion { options, metrics } in &self.suggestions {
                table.row([metrics.to_string(), options.clone()]);
            }
            text.push_str(&match self.targets {
                _ if !self.suggestions.is_empty() => table.to_string(),
                0 | 1 => "no suggestion; --select names the metrics to keep\n".to_owned(),
                _ => "no suggestion; --filter reduces the number of targets\n".to_owned(),
            });
        }
        text.push_str("\nOther plugins of the host count too.\n");
        text
    }
}
