//! A job: one command line about a collector, checked. The collector is loaded, its options are read, and its graphs
//! are known.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::Path;

use clap::Args;

use crate::definition::Definitions;
use crate::diagnostics::Diagnostics;
use crate::error::Error;
use crate::limits;
use crate::moment::Moment;
use crate::options::{Options, Subcommand};
use crate::pipeline::collect::{self, Context, Outcome, SharedBounds};
use crate::pipeline::find::Found;
use crate::pipeline::identity::Identity;
use crate::pipeline::option_check::OptionCheck;
use crate::pipeline::output::PostedGraph;
use crate::pipeline::state::{State, StateError, StateFile};
use crate::pipeline::unmatched;
use crate::pipeline::witness::Witness;
use crate::sandbox::{Description, OptionValue, Sandbox};
use crate::session::Session;
use crate::stop::Stop;
use crate::store::component::{CallError, Component};
use crate::text::foreign;

/// The subcommand `run`, which takes all options. Other commands print its command line too.
pub const RUN: Subcommand = Subcommand::new("run");

/// A subcommand without options of its own.
#[derive(Debug, Args)]
pub struct NoOptions {}

/// Loads a collector and its description: the kept one, or that of a call.
///
/// # Errors
/// If there is no such collector, or it cannot be used.
pub async fn load(session: &Session, name: &str) -> Result<(Component, Description), Error> {
    let component = session.store.load(name)?;
    let description = match &component.kept {
        Some(kept) => kept.description().clone(),
        None => component.describe().await?,
    };
    Ok((component, description))
}

/// Returns the definitions for these options: the kept ones, or those of a call, which are then kept.
async fn definitions(
    session: &Session,
    component: &Component,
    description: &Description,
    options: &[OptionValue],
) -> Result<Definitions, CallError> {
    if let Some(kept) = component.kept.as_ref().and_then(|kept| kept.definitions(options)) {
        return Ok(kept);
    }
    let definitions = component.definitions(options).await?;
    session.store.installed().keep(component, description, options, &definitions);
    Ok(definitions)
}

/// A command line about a collector, checked.
pub struct Job {
    /// The collector.
    pub component: Component,
    /// The collector's description of itself.
    pub description: Description,
    /// The options of the host and the collector.
    pub options: Options,
    /// The graphs that the collector declares for these options.
    pub definitions: Definitions,
    /// The graphs that Mackerel gets.
    pub graphs: Vec<PostedGraph>,
}

/// The targets of a run and their outcomes.
pub struct Collected {
    /// The targets, and the containers that were skipped.
    pub found: Found,
    /// The outcomes of the targets, in their order.
    pub outcomes: Vec<Outcome>,
}

impl Job {
    /// Checks `words`, the collector's name and all options, for a subcommand with the options `Own` of its own. No
    /// target is requested.
    ///
    /// # Errors
    /// If the options are wrong, or the collector cannot be used.
    pub async fn prepare<Own: Args>(
        session: &Session,
        subcommand: &Subcommand,
        words: &[OsString],
    ) -> Result<(Job, Own), Error> {
        let name = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
        let (component, description) = load(session, &name).await?;
        Job::of(component, description, session, subcommand, words).await
    }

    /// As [`Job::prepare`], of a component that is loaded and described.
    ///
    /// # Errors
    /// If the options are wrong, or the collector rejects them.
    pub async fn of<Own: Args>(
        mut component: Component,
        description: Description,
        session: &Session,
        subcommand: &Subcommand,
        words: &[OsString],
    ) -> Result<(Job, Own), Error> {
        let uses = component.collector.uses();
        let (options, own): (Options, Own) = Options::parse(subcommand, &session.reserved, words, &description, uses)?;
        session.watchdog.set_deadline(options.deadline);
        component.collector.set_bounds(options.bounds);
        let definitions = definitions(session, &component, &description, options.collector.values()).await?;
        let graphs = options
            .output
            .graphs(&definitions)
            .map_err(|error| Error::usage(format!("{}: {error}", foreign(&component.name))))?;
        Ok((Job { component, description, options, definitions, graphs }, own))
    }

    /// Starts the diagnostics with the warnings about the collector itself.
    pub fn diagnostics(&self) -> Diagnostics {
        let mut diagnostics = Diagnostics::new(&self.component.name);
        for warning in &self.component.warnings {
            diagnostics.warn(warning);
        }
        let denied = self.component.collector.denied();
        if !denied.is_empty() {
            diagnostics.warn(denied);
        }
        diagnostics
    }

    /// Returns one line for each option that matches no target of this collector (see [`unmatched::of_collector`]).
    pub fn unmatched(&self, found: &Found, is_thorough: bool) -> Vec<String> {
        unmatched::of_collector(&self.options.discovery, &self.options.instance_name, found, is_thorough)
    }

    /// As [`Job::unmatched`], if this is the only collector of the list.
    pub async fn unmatched_alone(&self, found: &Found, is_thorough: bool) -> Vec<String> {
        let mut lines = unmatched::of_list(&self.options.discovery, &[found], &[], is_thorough).await;
        lines.extend(self.unmatched(found, is_thorough));
        lines
    }

    /// Returns the key of the state of this command line, for `run`.
    pub fn identity(&self) -> Identity {
        self.options.identity(&self.description.name, self.component.identity())
    }

    /// Opens the state file of this command line, in the folder `named` if there is one.
    ///
    /// # Errors
    /// As of [`StateFile::open`].
    pub fn state_file(&self, named: Option<&Path>) -> Result<StateFile, StateError> {
        StateFile::open(&self.identity(), named)
    }

    /// Finds the targets and collects from all of them, for a run that began at `begun`. Sandboxes are prewarmed while
    /// the engine prepares its list; `last` determines their number.
    ///
    /// # Errors
    /// If the engine does not return a list of containers.
    pub async fn collect(&self, begun: Moment, last: &State, stop: &mut Stop) -> Result<Collected, Error> {
        let find = self.options.discovery.find(self.description.scope, stop);
        let count = last.targets().min(limits::PREWARMED_SANDBOXES);
        let (found, idle) = self.component.collector.prewarm(count, find).await;
        Ok(self.collect_from(found?, idle, &SharedBounds::of(1), begun, last, stop).await)
    }

    /// Collects from all targets, within the `bounds` of all collectors of the run.
    pub async fn collect_from(
        &self,
        mut found: Found,
        idle: Vec<Sandbox>,
        bounds: &SharedBounds,
        begun: Moment,
        last: &State,
        stop: &mut Stop,
    ) -> Collected {
        let collector = &self.component.collector;
        if collector.connects() {
            for target in &mut found.targets {
                target.routes.leave_published();
            }
        }
        if collector.uses().stats {
            found.count_traffic_once();
        }
        let containers = found.targets.iter().filter_map(|target| target.container.as_ref());
        let allowed = self.options.settings.stats_source;
        let (processes, listed) = (&*found.processes, found.listed);
        let witness = found.source.engine().map(|engine| Witness { engine, processes, listed });
        let context = Context {
            collector,
            settings: &self.options.settings,
            bounds,
            options: self.options.collector.values(),
            option_check: OptionCheck::new(collector, &self.definitions),
            definitions: &self.definitions,
            engine: found.source.engine(),
            stats: found.source.stats(allowed, containers),
            begun,
            last,
            idle: RefCell::new(idle),
            named: 1,
            witness,
        };
        let outcomes = collect::all(&context, &found.targets, stop).await;
        drop(context);
        Collected { found, outcomes }
    }
}
