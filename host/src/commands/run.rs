//! `run`: the command that mackerel-agent calls once a minute.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use crate::commands::suggestion;
use crate::diagnostics::{self, Diagnostics};
use crate::engine::{Engine, EngineHost};
use crate::env;
use crate::error::Error;
use crate::job::{Collected, Job, NoOptions, RUN};
use crate::jobs::Jobs;
use crate::limits;
use crate::moment::Moment;
use crate::otlp::Export;
use crate::pipeline::ledger::Ledger;
use crate::pipeline::output::{Output, Value};
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
    let otlp = jobs.shared().otlp.as_ref();
    let prints = otlp.is_none_or(|otlp| otlp.also);
    if wants_definitions() {
        // No printed values, no graphs for them.
        let graphs = if prints { jobs.graphs() } else { Vec::new() };
        protocol::print(&protocol::format_definitions(&graphs))?;
        diagnostics.print();
        return Ok(ExitCode::SUCCESS);
    }

    let mut stop = Stop::new(session.watchdog.started(), jobs.shared().deadline)?;
    let begun = Moment::now();
    let mut export = otlp.map(|otlp| Export::new(otlp, begun)).transpose()?;
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
                let values: Vec<Value> = values.collect();
                protocol::print(&format(if prints { &values } else { &[] }))?;
                Box::pin(send_alone(export, &values, session, &jobs)).await;
            }
            return Err(error);
        }
    };
    diagnostics.warn_all(collected.unmatched(&jobs, false).await);
    collected.report_faulty(&mut diagnostics);
    let (mut values, mut has_series) = (Vec::new(), false);
    for (((job, collected), ledger), diagnostics) in jobs.all.iter().zip(collected.of).zip(&mut ledgers).zip(&mut own) {
        let (more, some) = evaluate(job, collected, ledger, export.as_mut(), diagnostics).await;
        values.extend(more);
        has_series |= some;
    }
    protocol::print(&format(if prints { &values } else { &[] }))?;
    for (ledger, diagnostics) in ledgers.into_iter().zip(&mut own) {
        ledger.commit(diagnostics);
    }
    for own in own {
        diagnostics.absorb(own);
    }
    diagnostics.print();
    // Last, so that neither the printed values nor the state depend on it.
    Box::pin(send(export, session, &jobs)).await?;

    let all_failed = !has_series && diagnostics.failures() > 0;
    Ok(if all_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Turns the outcomes of one collector into values, and adds them to the export. Returns true if any target has some.
async fn evaluate(
    job: &Job,
    collected: Collected,
    ledger: &mut Ledger<'_>,
    mut export: Option<&mut Export>,
    diagnostics: &mut Diagnostics,
) -> (Vec<Value>, bool) {
    let Collected { found, outcomes } = collected;
    found.report_skipped(job.options.verbose, diagnostics);
    diagnostics.warn_all(job.unmatched(&found, false));
    let mut series = Series::of_outcomes(&found.targets, outcomes, diagnostics);
    ledger.lock(diagnostics).await;
    ledger.name(&job.options.instance_name, &found, &mut series, diagnostics);
    let output = suggestion::within_budget(job, ledger, &found, &mut series, diagnostics);
    if let (Some(export), Some(otlp)) = (&mut export, &job.options.otlp) {
        let engine = found.source.engine().map_or(EngineHost::Local, Engine::host);
        export.add_targets(otlp, &output, &job.definitions, &engine, &series);
    }
    ledger.rates(&mut series, diagnostics);
    if let Some(export) = export {
        let of_all = Output { each_target: false, ..output.clone() };
        export.add_values(&job.graphs, &of_all.values(&series, diagnostics.failures()));
    }
    (output.values(&series, diagnostics.failures()), !series.is_empty())
}

/// Sends an export until the deadline of the run, and prints the server's warnings.
async fn send(export: Option<Export>, session: &Session, jobs: &Jobs) -> Result<(), Error> {
    let Some(export) = export else { return Ok(()) };
    let deadline = session.watchdog.started() + jobs.shared().deadline;
    let end = deadline.max(Instant::now() + limits::OTLP_LEAST);
    let warnings = export.send(end.into()).await.map_err(Error::failed)?;
    for warning in warnings {
        diagnostics::print(&warning);
    }
    Ok(())
}

/// Sends the values of a run that failed before it had targets. A failed export is only printed.
async fn send_alone(mut export: Option<Export>, values: &[Value], session: &Session, jobs: &Jobs) {
    if let Some(export) = &mut export {
        export.add_values(&jobs.graphs(), values);
    }
    if let Err(error) = send(export, session, jobs).await {
        diagnostics::print(&error.to_string());
    }
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
