//! `run`: the command that mackerel-agent calls once a minute.

use std::ffi::OsString;
use std::path::Path;
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
use crate::pipeline::output::Value;
use crate::pipeline::protocol;
use crate::pipeline::series::Series;
use crate::pipeline::state::State;
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
    let mut diagnostics = jobs.diagnostics().pointing_to(explain(session, &jobs));
    if wants_definitions() {
        // No printed values, no graphs for them.
        let graphs = if prints(&jobs) { jobs.graphs() } else { Vec::new() };
        protocol::print(&protocol::format_definitions(&graphs))?;
        diagnostics.print();
        return Ok(ExitCode::SUCCESS);
    }

    let mut stop = Stop::new(session.watchdog.started(), jobs.shared().deadline)?;
    let begun = Moment::now();
    let mut export = jobs.shared().otlp.as_ref().map(|otlp| Export::new(otlp, begun)).transpose()?;
    let folder = session.drop_in.as_ref().and_then(|drop_in| drop_in.state.as_deref());
    let mut parts: Vec<Part<'_>> = jobs.all.iter().map(|job| Part::open(job, folder, begun)).collect();
    for part in &mut parts {
        part.advise_to_install(session);
    }
    let last: Vec<&State> = parts.iter().map(|part| part.ledger.last()).collect();
    let collected = match jobs.collect(session, begun, &last, &mut stop).await {
        Ok(collected) => collected,
        Err(error) => {
            if matches!(error, Error::Failed(_)) {
                Box::pin(post_failure(session, &jobs, begun, export)).await?;
            }
            return Err(error);
        }
    };
    diagnostics.warn_all(collected.unmatched(&jobs, false).await);
    collected.report_faulty(&mut diagnostics);
    let mut values = Vec::new();
    for (part, collected) in parts.iter_mut().zip(collected.of) {
        values.extend(part.evaluate(collected, export.as_mut()).await);
    }
    print(&values, session, &jobs, begun)?;
    let with_metrics: usize = parts.iter().map(|part| part.with_metrics).sum();
    for part in parts {
        diagnostics.absorb(part.commit());
    }
    diagnostics.print();
    // Last, so that neither the printed values nor the state depend on it.
    Box::pin(send(export, session, &jobs)).await?;

    let all_failed = with_metrics == 0 && diagnostics.failures() > 0;
    Ok(if all_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The part of one collector in a run.
pub struct Part<'j> {
    /// The collector and its options.
    pub job: &'j Job,
    /// The state of the last run, which becomes that of this one.
    pub ledger: Ledger,
    /// The diagnostics of this collector.
    pub diagnostics: Diagnostics,
    /// The number of targets with metrics.
    with_metrics: usize,
}

impl<'j> Part<'j> {
    /// Reads the state of the last run, in the folder `named` if there is one, for a run that began at `begun`.
    pub fn open(job: &'j Job, named: Option<&Path>, begun: Moment) -> Part<'j> {
        let mut diagnostics = Diagnostics::new(&job.component.name);
        let file = diagnostics.ok(job.state_file(named));
        let ledger = Ledger::open(file, begun, &mut diagnostics);
        Part { job, ledger, diagnostics, with_metrics: 0 }
    }

    /// Advises to install a component that was just compiled from a file. On the first run only: mackerel-agent logs
    /// stderr every minute.
    fn advise_to_install(&mut self, session: &Session) {
        let Origin::File(time) = self.job.component.origin else { return };
        let is_builtin = session.store.builtins().iter().any(|builtin| builtin.name == self.job.description.name);
        if self.ledger.is_first_run() && !is_builtin {
            let (time, file) = (milliseconds(time), foreign(&self.job.component.name));
            self.diagnostics.warn(format!(
                "compiling took {time} and is repeated on every run; to avoid that: mackerel-plugin-wasm install {file}"
            ));
        }
    }

    /// Turns the outcomes into values, and adds them to the export.
    async fn evaluate(&mut self, collected: Collected, mut export: Option<&mut Export>) -> Vec<Value> {
        let Part { job, ledger, diagnostics, with_metrics } = self;
        let Collected { found, outcomes } = collected;
        found.report_skipped(job.options.verbose, diagnostics);
        diagnostics.warn_all(job.unmatched(&found, false));
        let mut series = Series::of_outcomes(&found.targets, outcomes, diagnostics);
        *with_metrics = series.len();
        ledger.lock(diagnostics).await;
        ledger.name(&job.options.instance_name, &found, &mut series, diagnostics);
        let output = suggestion::within_budget(job, ledger, &found, &mut series, diagnostics);
        if let (Some(export), Some(otlp)) = (&mut export, &job.options.otlp) {
            let engine = found.source.engine().map_or(EngineHost::Local, Engine::host);
            export.add_targets(otlp, &output, &job.definitions, &engine, &series);
        }
        ledger.rates(&mut series, diagnostics);
        let of_all = output.values_of_all(&series, diagnostics.failures());
        if let Some(export) = export {
            export.add_values(&job.graphs, &of_all);
        }
        let mut values = output.values_of_targets(&series);
        values.extend(of_all);
        values
    }

    /// Writes the state, and returns the diagnostics.
    fn commit(mut self) -> Diagnostics {
        self.ledger.commit(&mut self.diagnostics);
        self.diagnostics
    }
}

/// Returns true unless the values are only exported.
fn prints(jobs: &Jobs) -> bool {
    jobs.shared().otlp.as_ref().is_none_or(|otlp| otlp.also)
}

/// Prints the values of a run that began at `begun`, unless they are only exported.
fn print(values: &[Value], session: &Session, jobs: &Jobs, begun: Moment) -> Result<(), Error> {
    let number = session.drop_in.as_ref().map_or(protocol::exact as fn(&Value) -> String, |drop_in| drop_in.number);
    let values = if prints(jobs) { values } else { &[] };
    Ok(protocol::print(&protocol::format_values_by(number, values, begun.epoch()))?)
}

/// Posts the numbers of targets of a run that failed before it had any, because alerts watch them. A failed export is
/// only printed.
async fn post_failure(session: &Session, jobs: &Jobs, begun: Moment, mut export: Option<Export>) -> Result<(), Error> {
    let values = jobs.all.iter().flat_map(|job| job.options.output.values_without_engine());
    let values: Vec<Value> = values.collect();
    print(&values, session, jobs, begun)?;
    if let Some(export) = &mut export {
        export.add_values(&jobs.graphs(), &values);
    }
    if let Err(error) = send(export, session, jobs).await {
        diagnostics::print(&error.to_string());
    }
    Ok(())
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

/// Returns the command that explains this run, for its diagnostics.
fn explain(session: &Session, jobs: &Jobs) -> String {
    match &session.drop_in {
        Some(drop_in) => drop_in.explain.clone(),
        None => format!("mackerel-plugin-wasm explain {}, with the same options", jobs.name()),
    }
}

/// Returns true if mackerel-agent asks for graph definitions. For values it sets the variable to an empty string.
pub fn wants_definitions() -> bool {
    env::variable_os("MACKEREL_AGENT_PLUGIN_META").is_some()
}
