//! `run`: the command that mackerel-agent calls once a minute.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::commands::suggestion;
use crate::diagnostics::Diagnostics;
use crate::env;
use crate::error::Error;
use crate::job::{Collected, Job, NoOptions, RUN};
use crate::jobs::Jobs;
use crate::moment::Moment;
use crate::pipeline::ledger::Ledger;
use crate::pipeline::output::Value;
use crate::pipeline::protocol;
use crate::pipeline::series::Series;
use crate::pipeline::state::{State, StateFile};
use crate::session::Session;
use crate::stop::Stop;
use crate::store::component::Origin;
use crate::text::{foreign, milliseconds};

/// Runs a collector once over all its targets. `words` is the collector's name and all options.
///
/// # Errors
/// If nothing can be printed: usage, no engine, a collector that cannot run.
pub async fn run(session: &Session, words: &[OsString]) -> Result<ExitCode, Error> {
    let (jobs, NoOptions {}) = Jobs::prepare(session, &RUN, words).await?;
    let drop_in = session.drop_in.as_ref();
    let explain = drop_in.map_or_else(|| explain(jobs.name()), |drop_in| drop_in.explain.clone());
    let mut diagnostics = jobs.diagnostics().pointing_to(explain);
    if wants_definitions() {
        protocol::print(&protocol::format_definitions(&jobs.graphs()))?;
        diagnostics.print();
        return Ok(ExitCode::SUCCESS);
    }

    let mut stop = Stop::new(session.watchdog.started(), jobs.shared().deadline)?;
    let begun = Moment::now();
    let format = |values: &[Value]| {
        protocol::format_values_by(drop_in.map_or(protocol::exact, |drop_in| drop_in.number), values, begun.epoch())
    };
    let folder = drop_in.and_then(|drop_in| drop_in.state.as_deref());
    let mut own = jobs.own_diagnostics();
    let files: Vec<Option<StateFile>> =
        jobs.all.iter().zip(&mut own).map(|(job, diagnostics)| diagnostics.ok(job.state_file(folder))).collect();
    let mut ledgers: Vec<Ledger<'_>> =
        files.iter().zip(&mut own).map(|(file, diagnostics)| Ledger::open(file.as_ref(), begun, diagnostics)).collect();
    for ((job, ledger), diagnostics) in jobs.all.iter().zip(&ledgers).zip(&mut own) {
        if ledger.is_first_run() {
            advise_to_install(job, session, diagnostics);
        }
    }
    let last: Vec<&State> = ledgers.iter().map(Ledger::last).collect();
    let collected = match jobs.collect(session, begun, &last, &mut stop).await {
        Ok(collected) => collected,
        Err(error) => {
            // Alerts watch the number of failed targets.
            if let Error::Failed(_) = error {
                let values = jobs.all.iter().flat_map(|job| job.options.output.values_without_engine());
                protocol::print(&format(&values.collect::<Vec<_>>()))?;
            }
            return Err(error);
        }
    };
    collected.report_faulty(&mut diagnostics, &mut own);
    let (mut values, mut has_series) = (Vec::new(), false);
    for (((job, collected), ledger), diagnostics) in jobs.all.iter().zip(collected.of).zip(&mut ledgers).zip(&mut own) {
        let Collected { found, outcomes } = collected;
        found.report_skipped(job.options.verbose, diagnostics);
        diagnostics.warn_all(job.unmatched(&found, false).await);
        let mut series = Series::of_outcomes(&found.targets, outcomes, diagnostics);
        ledger.lock(diagnostics).await;
        ledger.name(&job.options.instance_name, &found, &mut series, diagnostics);
        let output = suggestion::within_budget(job, ledger, &found, &mut series, diagnostics);
        ledger.rates(&mut series, diagnostics);
        values.extend(output.values(&series, diagnostics.failures()));
        has_series |= !series.is_empty();
    }
    protocol::print(&format(&values))?;
    for (ledger, diagnostics) in ledgers.into_iter().zip(&mut own) {
        ledger.commit(diagnostics);
    }
    for own in own {
        diagnostics.absorb(own);
    }
    diagnostics.print();

    let all_failed = !has_series && diagnostics.failures() > 0;
    Ok(if all_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Returns the command that explains a run, for its diagnostics.
fn explain(name: &str) -> String {
    format!("mackerel-plugin-wasm explain {name}, with the same options")
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
pub fn wants_definitions() -> bool {
    env::variable_os("MACKEREL_AGENT_PLUGIN_META").is_some()
}
