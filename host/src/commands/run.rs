//! `run`: what mackerel-agent calls. One run, as data flows: options, discover, targets, collect, name, rate, write.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use crate::address::Address;
use crate::commands::install;
use crate::definition::Point;
use crate::diagnostics::Diagnostics;
use crate::engine::{Container, Engine};
use crate::env;
use crate::error::Error;
use crate::job::Job;
use crate::limits;
use crate::moment::Moment;
use crate::options::{Options, Purpose};
use crate::pipeline::collect::{self, Outcome};
use crate::pipeline::name::{self, InstanceName};
use crate::pipeline::output::{Output, Rated};
use crate::pipeline::protocol;
use crate::pipeline::rate::{Clock, Reading};
use crate::pipeline::state::{Locked, Remembered, State, StateFile};
use crate::pipeline::target::{self, Choice, Target};
use crate::sandbox::container::StatsReader;
use crate::sandbox::{MetricKind, Scope};
use crate::stats::{Source, Sources};
use crate::stop::{Stop, Watchdog};
use crate::store::{Origin, Store};
use crate::text::{Foreign, foreign};

/// Runs a collector once over all its targets. `words` is the collector's name and all options.
///
/// # Errors
/// What ends the run with nothing printed: usage, no engine, a collector that cannot run.
pub async fn run(store: &Store, words: &[OsString], watchdog: &Watchdog) -> Result<ExitCode, Error> {
    let (job, ()) = Job::prepare(Purpose::Run, store, words, watchdog).await?;
    let mut diagnostics = job.diagnostics();
    if definitions_are_wanted() {
        protocol::print(&protocol::definitions(&job.graphs))?;
        diagnostics.print();
        return Ok(ExitCode::SUCCESS);
    }

    let mut stop = Stop::new(watchdog.started(), job.options.host.deadline)?;
    let begun = Moment::now();
    let state_file = diagnostics.ok(job.state_file());
    let last = state_file.as_ref().and_then(|file| diagnostics.ok(file.read())).unwrap_or_default();
    if state_file.is_some() && last.is_new() {
        advise_to_install(&job, store, &mut diagnostics);
    }
    let Collected { found, outcomes } = collect(&job, begun, &last, &mut stop).await?;
    found.tell(job.options.host.verbose, &mut diagnostics);
    let names = match &job.options.instance_name {
        InstanceName::Slot(label) => Names::Slots(label.as_deref()),
        format => Names::Given(diagnostics.with_warning(name::assign(format, &found.targets))),
    };
    let series = series(&found.targets, outcomes, &mut diagnostics);
    print(&job.options.output, &series, names, &found, begun, last, state_file.as_ref(), &mut diagnostics).await?;
    diagnostics.print();

    let all_failed = series.is_empty() && diagnostics.failures() > 0;
    Ok(if all_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Says what would make the runs of a component that was just compiled faster. Once, where no run has been before, for mackerel-agent logs
/// stderr every minute.
fn advise_to_install(job: &Job, store: &Store, diagnostics: &mut Diagnostics) {
    let Origin::File(time) = job.component.origin else { return };
    if !store.builtins().iter().any(|builtin| builtin.name == job.description.name) {
        let (time, file) = (install::milliseconds(time), foreign(&job.component.name));
        diagnostics.warn(format!(
            "compiling it took {time}, and does at every run until it is installed: mackerel-plugin-wasm install {file}"
        ));
    }
}

/// Whether mackerel-agent asks for definitions. When it asks for values, the variable is set but empty.
fn definitions_are_wanted() -> bool {
    env::variable_os("MACKEREL_AGENT_PLUGIN_META").is_some()
}

/// What there is to collect from, and what came of it.
pub struct Collected {
    /// The targets, and what is none.
    pub found: Found,
    /// What came of the targets, in their order.
    pub outcomes: Vec<Outcome>,
}

/// Finds the targets and collects from all of them. `last` is what the last run remembered, `begun` when this one began.
///
/// # Errors
/// Where the engine does not tell of any container.
pub async fn collect(job: &Job, begun: Moment, last: &State, stop: &mut Stop) -> Result<Collected, Error> {
    let collector = &job.component.collector;
    let found = find_targets(&job.options, job.description.scope, stop);
    let (found, idle) = collector.prewarm(last.targets().min(limits::PREWARMED_SANDBOXES), found).await;
    let found = found?;
    let containers = || found.targets.iter().filter_map(|target| target.container.as_ref());
    let allowed = job.options.host.stats_source.unwrap_or_default();
    let sources = |engine| Arc::new(Sources::new(allowed, engine, containers())) as Arc<dyn StatsReader>;
    let run = collect::Run {
        collector,
        options: &job.options,
        definitions: &job.definitions,
        engine: found.engine.as_ref(),
        figures: found.engine.as_ref().map(sources),
        begun,
        last,
        idle: RefCell::new(idle),
        samples: Cell::new(0),
    };
    let outcomes = collect::all(&run, &found.targets, stop).await;
    Ok(Collected { found, outcomes })
}

/// What the engine, or the operator, tells of.
pub struct Found {
    /// The engine; none for fixed targets.
    pub engine: Option<Engine>,
    /// What is collected from.
    pub targets: Vec<Target>,
    /// The containers that are no targets, and why.
    pub others: Vec<(Container, Choice)>,
}

impl Found {
    /// Says what is wrong with containers that should be targets, and where `verbose`, why others are none.
    pub fn tell(&self, verbose: bool, diagnostics: &mut Diagnostics) {
        for (Container { name, .. }, choice) in &self.others {
            match choice {
                Choice::Ambiguous(why) => diagnostics.fail_target(name, why),
                Choice::Skipped(why) if verbose => diagnostics.warn_target(name, format!("passed over: {why}")),
                Choice::Skipped(_) | Choice::Target(_) => {}
            }
        }
    }

    /// The ids of all containers that the engine listed.
    pub fn living(&self) -> HashSet<&str> {
        let targets = self.targets.iter().filter_map(|target| target.container.as_ref());
        targets
            .chain(self.others.iter().map(|(container, _)| container))
            .map(|container| container.id.as_str())
            .collect()
    }
}

/// Finds the targets of a run.
///
/// # Errors
/// Where the engine does not tell of any container.
pub async fn find_targets(options: &Options, scope: Scope, stop: &mut Stop) -> Result<Found, Error> {
    let host = &options.host;
    let mut found = Found { engine: None, targets: Vec::new(), others: Vec::new() };
    if !host.targets.is_empty() {
        let addresses: BTreeSet<Address> = host.targets.iter().cloned().collect();
        found.targets.extend(addresses.into_iter().map(Target::fixed));
        return Ok(found);
    }
    let (engine, containers) = Engine::list(host.docker_host.as_deref(), &host.filters, stop).await?;
    let engine_host = engine.host();
    for container in containers {
        match target::choose(&container, scope, host.container_port, &engine_host) {
            Choice::Target(target) => found.targets.push(*target),
            other => found.others.push((container, other)),
        }
    }
    found.engine = Some(engine);
    // The engine lists by age. By name, one run's lines are in the order of the last's.
    found.targets.sort_by_cached_key(Target::to_string);
    found.others.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok(found)
}

/// What one target gave.
pub struct Series<'a> {
    /// The target's place among all of the run.
    pub place: usize,
    /// The target.
    pub target: &'a Target,
    /// What was collected, counters as they were read.
    pub points: Vec<Point>,
    /// What its counters are; none where it is not known since when they count.
    reading: Option<Reading>,
}

/// What came of the targets: what failed becomes a notice.
pub fn series<'a>(targets: &'a [Target], outcomes: Vec<Outcome>, diagnostics: &mut Diagnostics) -> Vec<Series<'a>> {
    let mut all = Vec::with_capacity(targets.len());
    for (place, (target, outcome)) in targets.iter().zip(outcomes).enumerate() {
        for warning in warnings(&outcome) {
            diagnostics.warn_target(target, warning);
        }
        let Outcome { found, start, seen, source, .. } = outcome;
        match found {
            Ok(collect::Found { points, time, .. }) => {
                let reading = start.ok().map(|start| reading(&points, start, time, seen, source));
                all.push(Series { place, target, points, reading });
            }
            Err(why) => diagnostics.fail_target(target, why),
        }
    }
    all
}

/// What is to be said of a target that gave metrics.
pub fn warnings(outcome: &Outcome) -> Vec<String> {
    let Outcome { found: Ok(found), start, stderr, refused, .. } = outcome else { return Vec::new() };
    let mut warnings = Vec::new();
    if !stderr.is_empty() {
        warnings.push(format!("the collector wrote: {}", Foreign::tail(stderr)));
    }
    if !refused.is_empty() {
        warnings.push(format!("the collector {refused}"));
    }
    warnings.extend(found.warnings.iter().cloned());
    if let Err(why) = start {
        warnings.push(format!("no counters, for the engine does not say when the container was started: {why}"));
    }
    warnings
}

/// The counters among `points`, with the time that they are of.
fn reading(
    points: &[Point],
    start: Option<String>,
    time: Option<u64>,
    seen: Moment,
    source: Option<Source>,
) -> Reading {
    let (time, clock) = time.map_or((seen.wall, Clock::Host), |time| (time, Clock::Target));
    let counters = points.iter().filter(|point| point.kind != MetricKind::Gauge);
    Reading { start, time, clock, source, counters: counters.map(|point| (point.key.clone(), point.value)).collect() }
}

/// What the targets are called.
enum Names<'a> {
    /// So, in the order of the targets.
    Given(Vec<String>),
    /// By their slots, which the state has. The value of this label stands in front.
    Slots(Option<&'a str>),
}

/// Turns counters into rates, prints all values, and remembers the counters for the next run. The state is read anew under its
/// lock, for another run can have written it since; without the lock, what was read before serves.
#[allow(clippy::too_many_arguments)]
async fn print(
    output: &Output,
    series: &[Series<'_>],
    names: Names<'_>,
    found: &Found,
    begun: Moment,
    last: State,
    state_file: Option<&StateFile>,
    diagnostics: &mut Diagnostics,
) -> Result<(), Error> {
    let locked = match state_file {
        Some(file) => diagnostics.ok(file.lock().await),
        None => None,
    };
    let mut state = match &locked {
        Some(locked) => locked.read_since(last).unwrap_or_default(),
        None => last,
    };
    let now = Moment::now();
    // A slot that was not kept would be another target's in the next run.
    let (mut names, is_new) = match names {
        Names::Given(names) => (Some(names), false),
        Names::Slots(label) if locked.is_some() => {
            let (names, is_new) = state.slots.assign(label, &found.targets, &found.living(), begun, now);
            (Some(names), is_new)
        }
        Names::Slots(_) => (None, false),
    };
    let values: Vec<Vec<(&Point, f64)>> = series.iter().map(|series| rates(series, &state, now)).collect();
    let save = |locked: Locked<'_>, mut state: State| {
        for Series { target, reading, .. } in series {
            if let Some(reading) = reading.clone() {
                state.insert(target.identity(), Remembered { seen: begun, reading });
            }
        }
        state.forget_old(begun);
        locked.replace(state)
    };
    let mut unsaved = locked.map(|locked| (locked, state));
    if is_new
        && let Some((locked, state)) = unsaved.take()
        && diagnostics.ok(save(locked, state)).is_none()
    {
        names = None;
    }
    if names.is_none() {
        diagnostics
            .warn("without its state there are no slots, so nothing is printed of each target (--instance-name slot)");
    }
    let name = |series: &Series<'_>| names.as_ref().map(|names| names[series.place].as_str());
    let mut targets: Vec<Rated<'_>> =
        series.iter().zip(values).map(|(series, values)| Rated { name: name(series), values }).collect();
    targets.sort_by_key(|target| target.name);
    protocol::print(&protocol::values(&output.values(&targets, diagnostics.failures()), begun.epoch()))?;
    if let Some((locked, state)) = unsaved {
        diagnostics.ok(save(locked, state));
    }
    Ok(())
}

/// One target's values, with its counters as rates. `now` is after all of them were read.
fn rates<'a>(series: &'a Series<'_>, state: &State, now: Moment) -> Vec<(&'a Point, f64)> {
    // Containers, and mostly what is at fixed addresses, go by this machine's clock.
    let last = state.get(&series.target.identity()).filter(|last| !now.is_set_since(last.seen));
    let last = last.map(|last| &last.reading);
    let value = |point: &Point| match point.kind {
        MetricKind::Gauge => Some(point.value),
        MetricKind::Counter(period) => series.reading.as_ref()?.rate(last, &point.key, period),
    };
    series.points.iter().filter_map(|point| Some((point, value(point)?))).collect()
}
