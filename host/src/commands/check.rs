//! `check`: a check of all targets, for `[plugin.checks.NAME]` of mackerel-agent. The exit status is the status of the
//! check, and stdout one line about it.
//!
//! A rate needs an earlier run of the same check, which has a state of its own. Until then, and after a restart of a
//! container, a threshold of a counter is not crossed, and the line says that there is no rate.

// The doc comments of options are their help texts, not Markdown.
#![allow(clippy::doc_markdown)]

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

use clap::Args;

use super::threshold::{Bound, Threshold, ThresholdError};
use crate::definition::Definitions;
use crate::error::Error;
use crate::job::{Collected, Job};
use crate::limits;
use crate::moment::Moment;
use crate::options::Subcommand;
use crate::pipeline::identity::Identity;
use crate::pipeline::ledger::Ledger;
use crate::pipeline::protocol;
use crate::pipeline::series::Series;
use crate::pipeline::state::StateFile;
use crate::session::Session;
use crate::stop::Stop;
use crate::store::component::Origin;
use crate::text::{escape, foreign, plural};

const NO_METRICS: &str = "it prints no metrics";

/// `check` does not take the options about printed metrics.
pub const SUBCOMMAND: Subcommand = Subcommand {
    name: "check",
    unused: &[
        ("metric_key_prefix", NO_METRICS),
        ("instance_name", NO_METRICS),
        ("selects", NO_METRICS),
        ("excludes", NO_METRICS),
        ("totals", NO_METRICS),
        ("total_only", NO_METRICS),
        ("targets_graph", NO_METRICS),
    ],
    reads_secrets: true,
};

/// The options of `check` alone.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Check")]
pub struct CheckOptions {
    /// WARNING if a metric of a target crosses this threshold, such as 'memory.memory_sys>512MiB'; the operators are
    /// `>`, `>=`, `<` and `<=`, and * matches any characters of a name; repeatable
    #[arg(long, value_name = "THRESHOLD", allow_hyphen_values = true)]
    pub warning: Vec<Threshold>,

    /// CRITICAL if a metric of a target crosses this threshold; repeatable
    #[arg(long, value_name = "THRESHOLD", allow_hyphen_values = true)]
    pub critical: Vec<Threshold>,

    /// The number of targets that can fail before the check is CRITICAL [default: 0]
    #[arg(long, value_name = "N")]
    pub max_failed: Option<usize>,

    /// OK instead of UNKNOWN if there is no target
    #[arg(long)]
    pub allow_none: bool,
}

/// The status of a check, in ascending weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Ok,
    Unknown,
    Warning,
    Critical,
}

impl Status {
    fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Status::Ok => 0,
            Status::Warning => 1,
            Status::Critical => 2,
            Status::Unknown => UNKNOWN,
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Ok => "OK",
            Status::Warning => "WARNING",
            Status::Critical => "CRITICAL",
            Status::Unknown => "UNKNOWN",
        })
    }
}

/// The exit status of a check without a result.
pub const UNKNOWN: u8 = 3;

impl CheckOptions {
    /// Returns the options as words of a command line.
    pub fn words(&self) -> Vec<String> {
        let thresholds = |option: &str, all: &[Threshold]| -> Vec<String> {
            all.iter().flat_map(|threshold| [option.to_owned(), threshold.to_string()]).collect()
        };
        let mut words = thresholds("--warning", &self.warning);
        words.extend(thresholds("--critical", &self.critical));
        words.extend(self.max_failed.iter().flat_map(|count| ["--max-failed".to_owned(), count.to_string()]));
        words.extend(self.allow_none.then(|| "--allow-none".to_owned()));
        words
    }

    /// Returns the thresholds with the status of each.
    fn bounds(&self, definitions: &Definitions) -> Result<Vec<(Status, Bound)>, ThresholdError> {
        let all = [("--critical", Status::Critical, &self.critical), ("--warning", Status::Warning, &self.warning)];
        let all = all.into_iter().flat_map(|(option, status, all)| all.iter().map(move |one| (option, status, one)));
        all.map(|(option, status, threshold)| Ok((status, threshold.bound(option, definitions)?))).collect()
    }

    /// Returns the key of the state: never that of a command that posts metrics, nor that of another check.
    fn identity(&self, job: &Job) -> Identity {
        Identity { posts_metrics: false, output: self.words(), ..job.identity() }
    }
}

/// Checks all targets once. `words` is the collector's name and all options.
///
/// # Errors
/// If there is no result: usage, no engine, a collector that cannot run.
pub async fn check(session: &Session, words: &[OsString]) -> Result<ExitCode, Error> {
    let (job, own): (Job, CheckOptions) = Job::prepare(session, &SUBCOMMAND, words).await?;
    let bounds = own.bounds(&job.definitions).map_err(Error::usage)?;
    let mut stop = Stop::new(session.watchdog.started(), job.options.deadline)?;
    let begun = Moment::now();
    let mut diagnostics = job.diagnostics();
    if let Origin::Installed(pin) = &job.component.origin {
        let policy = diagnostics.ok(session.store.installed().policy());
        diagnostics.ok(policy.map_or(Ok(()), |policy| policy.check(pin)));
    }
    let needs_rates = bounds.iter().any(|(_, bound)| bound.has_counters);
    let mut verdict = Verdict::default();
    let state_file = needs_rates.then(|| StateFile::open(&own.identity(&job), None)).transpose();
    // Otherwise a check that never has a rate would be OK for ever.
    let state_file = state_file.unwrap_or_else(|error| {
        verdict.push(Status::Unknown, error.to_string());
        None
    });
    let mut ledger = Ledger::open(state_file, begun, &mut diagnostics);
    let Collected { found, outcomes } = job.collect(begun, ledger.last(), &mut stop).await?;
    found.report_skipped(job.options.verbose, &mut diagnostics);
    let unmatched = job.unmatched_alone(&found, true).await;
    let mut series = Series::of_outcomes(&found.targets, outcomes, &mut diagnostics);
    let failed = diagnostics.failures();
    verdict.count(series.len(), failed, &own, &unmatched, diagnostics.failed());
    let reported: Vec<bool> = bounds.iter().map(|(_, bound)| covers_any(bound, &series)).collect();
    ledger.lock(&mut diagnostics).await;
    ledger.rates(&mut series, &mut diagnostics);
    ledger.commit(&mut diagnostics);
    for ((status, bound), reported) in bounds.iter().zip(reported) {
        verdict.judge(*status, bound, &series, reported);
    }
    protocol::print(&verdict.line(&job.component.name))?;
    diagnostics.warn_all(unmatched);
    diagnostics.print();
    Ok(verdict.status().exit_code())
}

/// Checks the options of a check that another command prints.
///
/// # Errors
/// As of [`check`], but no target is requested.
pub async fn validate(session: &Session, words: &[String]) -> Result<(), Error> {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    // They can be on another machine.
    let subcommand = Subcommand { reads_secrets: false, ..SUBCOMMAND };
    let (job, own): (Job, CheckOptions) = Job::prepare(session, &subcommand, &words).await?;
    own.bounds(&job.definitions).map_err(Error::usage).map(drop)
}

/// Formats the line of a check that ends with an error. `arguments` are all words of the command line. `None` if the
/// error is a request for help.
pub fn error_line(arguments: &[OsString], error: &Error) -> Option<String> {
    let text = match error {
        Error::Clap(error) if error.exit_code() == 0 => return None,
        // The other lines are advice for people at a terminal.
        Error::Clap(error) => {
            error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
        _ => error.to_string(),
    };
    let (name, text) = match arguments.get(2) {
        Some(name) => (name.to_string_lossy(), text),
        None => {
            (SUBCOMMAND.name.into(), "expected a collector: mackerel-plugin-wasm check COLLECTOR [OPTIONS]".to_owned())
        }
    };
    Some(Verdict { parts: vec![(Status::Unknown, text)] }.line(&name))
}

/// Returns true if `arguments` is the command line of a check.
pub fn is_called(arguments: &[OsString]) -> bool {
    arguments.get(1).is_some_and(|word| word == SUBCOMMAND.name)
}

fn covers_any(bound: &Bound, series: &[Series<'_>]) -> bool {
    series.iter().flat_map(|one| &one.points).any(|point| bound.covers(point))
}

/// The results of a check, each with its status.
#[derive(Default)]
struct Verdict {
    parts: Vec<(Status, String)>,
}

impl Verdict {
    fn push(&mut self, status: Status, text: String) {
        self.parts.push((status, text));
    }

    fn status(&self) -> Status {
        self.parts.iter().map(|(status, _)| *status).max().unwrap_or(Status::Ok)
    }

    /// Adds the numbers of targets, and the failures, one line each.
    fn count(
        &mut self,
        collected: usize,
        failed: usize,
        own: &CheckOptions,
        unmatched: &[String],
        failures: Vec<String>,
    ) {
        let tolerated = own.max_failed.unwrap_or_default();
        let status = if failed > tolerated { Status::Critical } else { Status::Ok };
        let targets = plural(collected + failed, "target");
        if failed > 0 {
            let limit = if tolerated > 0 { format!(" (--max-failed {tolerated})") } else { String::new() };
            self.push(status, format!("{failed} of {targets} failed{limit}"));
            for failure in failures {
                self.push(status, failure);
            }
        } else if collected > 0 {
            self.push(Status::Ok, targets);
        } else {
            let status = if own.allow_none { Status::Ok } else { Status::Unknown };
            self.push(status, unmatched.first().cloned().unwrap_or_else(|| "no target".to_owned()));
        }
    }

    /// Adds the targets that cross the threshold `bound` of this status, or else the nearest one. `reported` is true if
    /// a target reported such a metric, also without a rate.
    fn judge(&mut self, status: Status, bound: &Bound, series: &[Series<'_>], reported: bool) {
        let points = series.iter().flat_map(|one| one.points.iter().map(move |point| (one.target, point)));
        let points: Vec<_> = points.filter(|(_, point)| bound.covers(point)).collect();
        let crossed = points.iter().filter(|(_, point)| bound.is_crossed(point));
        let crossed: Vec<String> = crossed
            .map(|(target, point)| {
                format!("{}: {} {}", foreign(&target.to_string()), bound.format(point), bound.condition())
            })
            .collect();
        let nearest =
            points.iter().reduce(|one, other| if bound.is_nearer(other.1.value, one.1.value) { other } else { one });
        match nearest {
            _ if !crossed.is_empty() => self.parts.extend(crossed.into_iter().map(|text| (status, text))),
            Some((target, point)) => {
                let target = foreign(&target.to_string());
                let part = (Status::Ok, format!("{} {} ({target})", bound.extreme(), bound.format(point)));
                // Two thresholds of one metric have the same nearest value.
                if !self.parts.contains(&part) {
                    self.parts.push(part);
                }
            }
            None if reported => self.push(Status::Ok, format!("{} has no rate yet", bound.pattern())),
            None if series.is_empty() => {}
            None => self.push(Status::Unknown, format!("no target reports {}", bound.pattern())),
        }
    }

    /// Formats the line: the weightiest results first, and as many as mackerel-agent takes. Results that are OK are
    /// only of interest if all of them are.
    fn line(&self, name: &str) -> String {
        let status = self.status();
        let mut parts: Vec<&(Status, String)> =
            self.parts.iter().filter(|(of, _)| status == Status::Ok || *of != Status::Ok).collect();
        parts.sort_by_key(|(status, _)| std::cmp::Reverse(*status));
        let parts: Vec<String> = parts.iter().map(|(_, text)| escape(text)).collect();
        let mut line = format!("{} {status}: ", foreign(name));
        for (count, part) in parts.iter().enumerate() {
            let separator = if count > 0 { "; " } else { "" };
            let others = parts.len() - count - 1;
            let room = limits::CHECK_MESSAGE - if others > 0 { format!("; {others} more").len() } else { 0 };
            if (line.chars().count() + separator.len() + part.chars().count()) > room {
                let more = if count > 0 { format!("; {} more", others + 1) } else { part.clone() };
                line.push_str(&more);
                break;
            }
            line += separator;
            line += part;
        }
        line.chars().take(limits::CHECK_MESSAGE).chain(['\n']).collect()
    }
}
