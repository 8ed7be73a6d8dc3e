//! `run`: the command that mackerel-agent calls once a minute.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

use crate::commands::suggestion;
use crate::diagnostics::Diagnostics;
use crate::env;
use crate::error::Error;
use crate::job::{Collected, Job, RUN};
use crate::moment::Moment;
use crate::pipeline::ledger::Ledger;
use crate::pipeline::protocol;
use crate::pipeline::series::Series;
use crate::session::Session;
use crate::stop::Stop;
use crate::store::component::Origin;
use crate::text::{foreign, milliseconds};

/// `run` has no options of its own.
#[derive(Debug, Args)]
pub struct NoOptions {}

/// Runs a collector once over all its targets. `words` is the collector's name and all options.
///
/// # Errors
/// If nothing can be printed: usage, no engine, a collector that cannot run.
pub async fn run(session: &Session, words: &[OsString]) -> Result<ExitCode, Error> {
    let (job, NoOptions {}) = Job::prepare(session, &RUN, words).await?;
    let mut diagnostics = job.diagnostics().pointing_to_explain();
    if wants_definitions() {
        protocol::print(&protocol::format_definitions(&job.graphs))?;
        diagnostics.print();
        return Ok(ExitCode::SUCCESS);
    }

    let mut stop = Stop::new(session.watchdog.started(), job.options.deadline)?;
    let begun = Moment::now();
    let state_file = diagnostics.ok(job.state_file());
    let mut ledger = Ledger::open(state_file.as_ref(), begun, &mut diagnostics);
    if ledger.is_first_run() {
        advise_to_install(&job, session, &mut diagnostics);
    }
    let Collected { found, outcomes } = match job.collect(begun, ledger.last(), &mut stop).await {
        Ok(collected) => collected,
        Err(error) => {
            // Alerts watch the number of failed targets.
            if let Error::Failed(_) = error {
                let values = job.options.output.values_without_engine();
                protocol::print(&protocol::format_values(&values, begun.epoch()))?;
            }
            return Err(error);
        }
    };
    found.report_skipped(job.options.verbose, &mut diagnostics);
    diagnostics.warn_all(job.unmatched(&found, false).await);
    let mut series = Series::of_outcomes(&found.targets, outcomes, &mut diagnostics);
    ledger.lock(&mut diagnostics).await;
    ledger.name(&job.options.instance_name, &found, &mut series, &mut diagnostics);
    let budget = ledger.budget(&job.options.output, &job.options.instance_name, &found, &series);
    if let Some(cut) = &budget.cut {
        diagnostics.warn(suggestion::message(&job, &series, diagnostics.failures(), cut));
    }
    budget.apply(&mut series);
    ledger.rates(&mut series, &mut diagnostics);
    let values = budget.output.values(&series, diagnostics.failures());
    protocol::print(&protocol::format_values(&values, begun.epoch()))?;
    ledger.commit(&mut diagnostics);
    diagnostics.print();

    let all_failed = series.is_empty() && diagnostics.failures() > 0;
    Ok(if all_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Advises to install a component that was just compiled from a file. On the first run only: mackerel-agent logs stderr
/// every minute.
fn advise_to_install(job: &Job, session: &Session, diagnostics: &mut Diagnostics) {
    let Origin::File(time) = job.component.origin else { return };
    if !session.store.builtins().iter().any(|builtin| builtin.name == job.description.name) {
        let (time, file) = (milliseconds(time), foreign(&job.component.name));
        diagnostics.warn(format!(
            "compiling took {time} and is repeated on every run; to avoid that: mackerel-plugin-wasm install {file}"
        ));
    }
}

/// Returns true if mackerel-agent asks for graph definitions. For values it sets the variable to an empty string.
fn wants_definitions() -> bool {
    env::variable_os("MACKEREL_AGENT_PLUGIN_META").is_some()
}
