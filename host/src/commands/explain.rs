//! `explain`: the outcome of a run for each container of the engine, with the reason.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use crate::commands::plan::{FormatOptions, without_json};
use crate::commands::run::Part;
use crate::commands::suggestion;
use crate::commands::table::Table;
use crate::definition::bare;
use crate::engine::Container;
use crate::error::Error;
use crate::job::{Collected, Job, RUN};
use crate::jobs::Jobs;
use crate::limits;
use crate::moment::Moment;
use crate::options::{Options, Subcommand};
use crate::pipeline::budget::Budget;
use crate::pipeline::collect::Outcome;
use crate::pipeline::find::{Found, Skipped, Source};
use crate::pipeline::label::join;
use crate::pipeline::labelled::Faulty;
use crate::pipeline::name::InstanceName;
use crate::pipeline::series::{self, Series};
use crate::pipeline::skip_reason::SkipReason;
use crate::pipeline::source::Selected;
use crate::pipeline::state::State;
use crate::pipeline::target::Target;
use crate::sandbox::MetricKind;
use crate::session::Session;
use crate::stop::Stop;
use crate::text::{escape, foreign};

/// `explain` takes all options.
pub const SUBCOMMAND: Subcommand = Subcommand::new("explain");

/// The outcome of a run. The field names are those of the JSON output.
#[derive(Debug, Serialize)]
struct Explanation {
    command: String,
    /// The engine's URL; `None` for another source.
    engine: Option<String>,
    source: ExplainedSource,
    /// Diagnostics about the whole run.
    notes: Vec<String>,
    containers: Vec<Row>,
}

/// The source of the targets.
#[derive(Debug, Serialize)]
struct ExplainedSource {
    /// `fixed`, `engine` or `ecs-task`.
    kind: &'static str,
    /// The URL of the engine or of the task metadata endpoint.
    url: Option<String>,
    /// The family and revision of the task definition.
    task_definition: Option<String>,
    /// The reason for which it was selected.
    why: String,
}

impl ExplainedSource {
    fn new(source: &Source, selected: &Selected) -> ExplainedSource {
        let why = match source {
            // Of several sockets, the one that responds.
            Source::Engine(engine) => engine.reason().to_owned(),
            _ => selected.reason.clone(),
        };
        match source {
            Source::Fixed => ExplainedSource { kind: "fixed", url: None, task_definition: None, why },
            Source::Engine(engine) => {
                ExplainedSource { kind: "engine", url: Some(engine.url().to_owned()), task_definition: None, why }
            }
            Source::EcsTask(of) => ExplainedSource {
                kind: "ecs-task",
                url: Some(of.task.url().to_owned()),
                task_definition: Some(of.task.definition().to_owned()),
                why,
            },
        }
    }

    /// Returns the line below the command; `None` for fixed targets, which the command names.
    fn line(&self) -> Option<String> {
        let (url, why) = (foreign(self.url.as_deref()?), foreign(&self.why));
        Some(match &self.task_definition {
            Some(task) => format!("in the ECS task {}, by the metadata at {url} ({why})", foreign(task)),
            None => format!("on the container engine at {url} ({why})"),
        })
    }
}

/// The outcome of one container, or of a target without one.
#[derive(Debug, Serialize)]
struct Row {
    /// The collector, if labels choose among several.
    #[serde(skip_serializing_if = "Option::is_none")]
    collector: Option<String>,
    container: Option<Known>,
    /// True if it is a target, or should be one.
    considered: bool,
    /// The container's port.
    port: Option<u16>,
    /// The address that was requested.
    address: Option<String>,
    /// All known addresses of the port, in the order in which they are tried.
    addresses: Vec<Candidate>,
    /// The reason for which it was skipped, or for this port and address.
    why: String,
    /// Its name in metric names, if they have one.
    name: Option<String>,
    /// True if it has metrics; `None` if it is not a target.
    collected: Option<bool>,
    /// True if `--max-metrics` leaves it out.
    left_out: bool,
    /// The reason for which it has none.
    error: Option<String>,
    /// Other diagnostics about it.
    warnings: Vec<String>,
    milliseconds: Option<f64>,
    /// The metrics that it posts, counters included.
    metrics: usize,
    /// The metrics that need an earlier run.
    counters: usize,
}

/// An address of a container's port.
#[derive(Debug, Serialize)]
struct Candidate {
    address: String,
    /// `used`, `unreachable`, `not needed` or `not usable`.
    outcome: &'static str,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Known {
    id: String,
    name: String,
    image: String,
    status: String,
}

impl From<&Container> for Known {
    fn from(container: &Container) -> Known {
        let Container { id, name, image, status, .. } = container.clone();
        Known { id, name, image, status }
    }
}

/// Explains a run. `words` is the collector's name and all options. It writes no state, so the next run is the same as
/// without it. If all targets fail, so does the command.
///
/// # Errors
/// As of [`Job::prepare`] and [`Job::collect`].
pub async fn explain(session: &Session, words: &[OsString]) -> Result<(String, ExitCode), Error> {
    let (jobs, FormatOptions { json }) = Jobs::prepare(session, &SUBCOMMAND, words).await?;
    let mut stop = Stop::new(session.watchdog.started(), jobs.shared().deadline)?;
    let begun = Moment::now();
    let mut diagnostics = jobs.diagnostics();
    let parts: Vec<Part<'_>> = jobs.all.iter().map(|job| Part::open(job, None, begun)).collect();
    let last: Vec<&State> = parts.iter().map(|part| part.ledger.last()).collect();
    let collected = jobs.collect(session, begun, &last, &mut stop).await?;
    diagnostics.warn_all(collected.unmatched(&jobs, true).await);
    let mut rows: Vec<Row> = collected.faulty.iter().map(of_faulty).collect();
    let mut unlabelled: Vec<Row> = Vec::new();
    for (Part { job, mut ledger, diagnostics: mut own, .. }, of) in parts.into_iter().zip(&collected.of) {
        let Collected { found, outcomes } = of;
        own.warn_all(job.options.settings.http.notes());
        own.warn_all(series::unmatched(outcomes));
        found.report_unlisted(&mut own);
        own.warn_all(job.unmatched(found, true));
        let Options { output, instance_name, .. } = &job.options;
        let names = own.with_warning(ledger.foresee_names(instance_name, found));
        let series = series_of(&found.targets, outcomes, &names);
        let budget = ledger.budget(output, instance_name, found, &series);
        let failed = outcomes.len() - series.len();
        own.warn_all(budget.cut.iter().map(|cut| suggestion::message(job, &series, failed, cut)).collect());
        if let (InstanceName::Slot(_), Some(path)) = (instance_name, ledger.path()) {
            own.warn(format!("slots are those of the state file {} (MACKEREL_PLUGIN_WORKDIR)", path.display()));
        }
        rows.extend(of_targets(&jobs, job, of, names, &budget));
        for one in &found.skipped {
            // Of several collectors, those that a container does not choose need no row.
            let rows = if jobs.labels.is_some() && !one.reason.is_failure() { &mut unlabelled } else { &mut rows };
            rows.push(of_skipped(&jobs, job, found, one));
        }
        diagnostics.absorb(own);
    }
    let found = &collected.of[0].found;
    let others = match &*found.source {
        Source::Engine(engine) => engine.unlisted(&jobs.shared().discovery.filters).await.unwrap_or_else(|why| {
            diagnostics.warn(format!("containers that do not match are unknown: {why}"));
            Vec::new()
        }),
        Source::EcsTask(of) => of.unlisted.clone(),
        Source::Fixed => Vec::new(),
    };
    let of_others = others.into_iter().map(|(container, why)| skipped(&container, why));
    add_missing(&mut rows, unlabelled.into_iter().chain(of_others));
    if jobs.labels.is_some() {
        rows.sort_by_cached_key(|row| row.container.as_ref().map(|container| container.name.clone()));
    }

    let explanation = Explanation {
        command: RUN.command_line(&without_json(words)),
        engine: found.source.engine().map(|engine| engine.url().to_owned()),
        source: ExplainedSource::new(&found.source, &jobs.shared().discovery.source),
        notes: diagnostics.lines(),
        containers: rows,
    };
    let code = explanation.exit_code(found.unreadable.count);
    if json {
        // Strings and finite numbers: this cannot fail.
        return Ok((serde_json::to_string_pretty(&explanation).unwrap_or_default() + "\n", code));
    }
    Ok((explanation.text(), code))
}

/// Adds the first row of each container that has none.
fn add_missing(rows: &mut Vec<Row>, others: impl Iterator<Item = Row>) {
    let id = |row: &Row| row.container.as_ref().map(|container| container.id.clone());
    let mut seen: HashSet<Option<String>> = rows.iter().map(id).collect();
    rows.extend(others.filter(|row| seen.insert(id(row))));
}

/// The collector of a row, if there are several.
fn collector(jobs: &Jobs, job: &Job) -> Option<String> {
    jobs.labels.is_some().then(|| job.component.name.clone())
}

fn of_faulty(Faulty { container, faults, .. }: &Faulty) -> Row {
    let reason = join(faults);
    let row = skipped(container, reason.clone());
    Row { considered: true, collected: Some(false), error: Some(reason), ..row }
}

fn of_targets(
    jobs: &Jobs,
    job: &Job,
    Collected { found, outcomes }: &Collected,
    names: Vec<String>,
    budget: &Budget,
) -> Vec<Row> {
    let targets = found.targets.iter().zip(names).zip(outcomes).enumerate();
    let row = |(position, ((target, name), outcome))| {
        let row = of_target(jobs, job, target, name, outcome);
        if budget.left_out.contains(&position) { Row { left_out: true, metrics: 0, counters: 0, ..row } } else { row }
    };
    targets.map(row).collect()
}

/// Returns the points of the targets that were collected, before their counters are rates.
fn series_of<'t>(targets: &'t [Target], outcomes: &[Outcome], names: &[String]) -> Vec<Series<'t>> {
    let all = targets.iter().zip(outcomes).zip(names).enumerate();
    all.filter_map(|(position, ((target, outcome), name))| {
        let points = outcome.report.as_ref().ok()?.points.clone();
        Some(Series { position, target, name: Some(name.clone()), points, reading: None })
    })
    .collect()
}

fn of_target(jobs: &Jobs, job: &Job, target: &Target, name: String, outcome: &Outcome) -> Row {
    let points = outcome.report.as_ref().map(|report| report.points.as_slice()).unwrap_or_default();
    let selection = &job.options.output.selection;
    let mut warnings = series::warnings(outcome);
    if let Some(name) = &target.network_counted_at {
        warnings.push(format!("network traffic is counted at {}: the two share a network", foreign(name)));
    }
    if outcome.report.is_ok() {
        let used = target.routes.usable.get(outcome.route).map(|route| route.address.to_string()).unwrap_or_default();
        warnings.extend(outcome.unreachable.iter().map(|reason| format!("{reason}; used {used}")));
    }
    let kept: Vec<_> = points.iter().filter(|point| selection.keeps(&bare(&point.key))).collect();
    Row {
        collector: collector(jobs, job),
        container: target.container.as_ref().map(Known::from),
        considered: true,
        port: target.container_port,
        address: target.routes.usable.get(outcome.route).map(|route| route.address.to_string()),
        addresses: candidates(target, outcome),
        why: target.reason_at(outcome.route),
        name: (!name.is_empty()).then_some(name),
        collected: Some(outcome.report.is_ok()),
        left_out: false,
        error: outcome.report.as_ref().err().map(ToString::to_string),
        warnings,
        milliseconds: Some(milliseconds(outcome.took)),
        metrics: kept.len(),
        counters: kept.iter().filter(|point| point.kind != MetricKind::Gauge).count(),
    }
}

fn candidates(target: &Target, outcome: &Outcome) -> Vec<Candidate> {
    let of_usable = |place: usize| match place.cmp(&outcome.route) {
        Ordering::Less => "unreachable",
        Ordering::Equal => "used",
        Ordering::Greater => "not needed",
    };
    let usable = target.routes.usable.iter().enumerate().map(|(place, route)| Candidate {
        address: route.address.to_string(),
        outcome: of_usable(place),
        reason: route.reason.clone(),
    });
    let unused = target.routes.unused.iter().map(|unused| Candidate {
        address: unused.address.clone(),
        outcome: "not usable",
        reason: unused.reason.clone(),
    });
    usable.chain(unused).collect()
}

fn of_skipped(jobs: &Jobs, job: &Job, found: &Found, Skipped { container, reason }: &Skipped) -> Row {
    let why = match reason {
        // It can choose another of several collectors.
        SkipReason::NoLabel { key, .. } => format!("no label {key}"),
        reason => found.reason(container, reason),
    };
    let row = skipped(container, why);
    if !reason.is_failure() {
        return row;
    }
    Row {
        collector: collector(jobs, job),
        considered: true,
        collected: Some(false),
        error: Some(reason.to_string()),
        ..row
    }
}

fn skipped(container: &Container, why: String) -> Row {
    Row {
        collector: None,
        container: Some(Known::from(container)),
        considered: false,
        port: None,
        address: None,
        addresses: Vec::new(),
        why,
        name: None,
        collected: None,
        left_out: false,
        error: None,
        warnings: Vec::new(),
        milliseconds: None,
        metrics: 0,
        counters: 0,
    }
}

/// Rounds to tenths.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

impl Explanation {
    /// Returns a failure if all targets failed, as `run` does. Containers that cannot be read have no row.
    fn exit_code(&self, unreadable: usize) -> ExitCode {
        let has = |outcome| self.containers.iter().any(|row| row.collected == Some(outcome));
        if !has(true) && (has(false) || unreadable > 0) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    fn text(&self) -> String {
        let has_collectors = self.containers.iter().any(|row| row.collector.is_some());
        let titles = ["CONTAINER", "PORT", "ADDRESS", "NAME", "OUTCOME", "TIME", "METRICS"];
        let titles = has_collectors.then_some("COLLECTOR").into_iter().chain(titles);
        let first = usize::from(has_collectors);
        let mut table = Table::new(titles).within(limits::TABLE_WIDTH, &[first, first + 3]);
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let mut notes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in &self.containers {
            let container =
                row.container.as_ref().map_or_else(|| "-".to_owned(), |container| foreign(&container.name).to_string());
            let outcome = match row.collected {
                Some(true) if row.left_out => "left out",
                Some(true) => "collected",
                Some(false) => "failed",
                None => "skipped",
            };
            let metrics = match (row.metrics, row.counters) {
                (0, _) => "-".to_owned(),
                (all, 0) => all.to_string(),
                (all, counters) => format!("{all} ({counters} counters)"),
            };
            let time = row.milliseconds.map(|time| format!("{time} ms"));
            let about = row.address.clone().unwrap_or_default();
            let about = if container == "-" { about } else { container.clone() };
            let error = row.error.iter().filter(|error| **error != row.why);
            notes.entry(about).or_default().extend(error.chain(&row.warnings).cloned());
            let of_collector = has_collectors.then(|| or_dash(row.collector.clone()));
            let cells = [
                container,
                or_dash(row.port.map(|port| port.to_string())),
                or_dash(row.address.clone()),
                or_dash(row.name.clone()),
                outcome.to_owned(),
                or_dash(time),
                metrics,
            ];
            table.row_with_note(of_collector.into_iter().chain(cells), foreign(&row.why).to_string());
        }
        let mut text = match self.source.line() {
            Some(line) => format!("{}\n{line}\n\n", self.command),
            None => format!("{}\n\n", self.command),
        };
        if self.containers.is_empty() {
            text.push_str("no running containers\n");
        } else {
            text.push_str(&table.to_string());
        }
        let notes =
            notes.into_iter().flat_map(|(about, all)| all.into_iter().map(move |note| format!("{about}: {note}")));
        let notes: Vec<String> = self.notes.iter().cloned().chain(notes).collect();
        if !notes.is_empty() {
            text.push('\n');
        }
        for note in notes {
            text.push_str(&escape(&note));
            text.push('\n');
        }
        text
    }
}
