//! `run`: what mackerel-agent calls. One run, as data flows: options, discover, targets, collect, name, rate, write.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use crate::address::Address;
use crate::collect::{self, Found, Outcome};
use crate::definition::{Point, Prefix};
use crate::discover::Engine;
use crate::error::Error;
use crate::limits;
use crate::name;
use crate::notice::{Notices, foreign, foreign_tail};
use crate::options::Options;
use crate::rate::{Clock, Reading};
use crate::sandbox::container::Figures;
use crate::sandbox::{MetricKind, Scope};
use crate::state::{Moment, Remembered, State, StateFile};
use crate::stats::{Source, Sources};
use crate::stop::{Stop, Watchdog};
use crate::store::{Origin, Store, install};
use crate::target::{self, Choice, Target};
use crate::write::{self, Value};

/// Runs a collector once over all its targets. `words` is the collector's name and all options.
///
/// # Errors
/// What ends the run with nothing printed: usage, no engine, a collector that cannot run.
pub async fn run(store: &Store, words: &[OsString], watchdog: &Watchdog) -> Result<ExitCode, Error> {
    let name = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    let mut component = store.load(&name)?;
    let description = component.describe().await?;
    let options = Options::parse(words, &description, component.collector.asks_of_containers())?;
    watchdog.set_deadline(options.host.deadline);
    component.collector.set_bounds(options.host.bounds());
    let definitions = component.definitions(&options.collector).await?;
    let mut notices = Notices::new(&component.name);
    for warning in std::mem::take(&mut component.warnings) {
        notices.of_run(warning);
    }
    let refused = component.collector.refused();
    if !refused.is_empty() {
        notices.of_run(format!("the collector {refused}"));
    }
    if definitions_are_wanted() {
        write::print(&write::definitions(&definitions, &options.prefix))?;
        notices.print();
        return Ok(ExitCode::SUCCESS);
    }

    let mut stop = Stop::new(watchdog.started(), options.host.deadline)?;
    let begun = Moment::now();
    let state_file = notices.ok(StateFile::open(&description.name, &options.identity(component.identity())));
    let last = state_file.as_ref().and_then(|file| notices.ok(file.read())).unwrap_or_default();
    // Once, where no run has been before, for mackerel-agent logs stderr every minute.
    if let Origin::File(time) = component.origin
        && state_file.is_some()
        && last.is_new()
        && !store.builtins().iter().any(|builtin| builtin.name == description.name)
    {
        let (time, file) = (install::milliseconds(time), foreign(&name));
        let advice = format!(
            "compiling it took {time}, and does at every run until it is installed: mackerel-plugin-wasm install {file}"
        );
        notices.of_run(advice);
    }
    let found = find_targets(&options, description.scope, &mut stop, &mut notices);
    let (found, spare) = component.collector.beforehand(last.targets().min(limits::BEFOREHAND), found).await;
    let (engine, targets) = found?;
    let names = notices.warned(name::assign(&options.instance_name, &targets));
    let containers = || targets.iter().filter_map(|target| target.container.as_ref());
    let allowed = options.host.stats_source.unwrap_or_default();
    let run = collect::Run {
        collector: &component.collector,
        options: &options,
        definitions: &definitions,
        engine: engine.as_ref(),
        figures: engine
            .as_ref()
            .map(|engine| Arc::new(Sources::new(allowed, engine, containers())) as Arc<dyn Figures>),
        begun,
        last: &last,
        spare: RefCell::new(spare),
        samples: Cell::new(0),
    };
    let outcomes = collect::all(&run, &targets, &mut stop).await;
    let series = series(&targets, names, outcomes, &mut notices);
    print(&series, &options.prefix, begun, last, state_file.as_ref(), &mut notices).await?;
    notices.print();

    let all_failed = series.is_empty() && notices.failures() > 0;
    Ok(if all_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whether mackerel-agent asks for definitions. When it asks for values, the variable is set but empty.
fn definitions_are_wanted() -> bool {
    std::env::var_os("MACKEREL_AGENT_PLUGIN_META").is_some_and(|value| !value.is_empty())
}

/// The targets of this run, and the engine that told of them.
///
/// # Errors
/// Where the engine does not tell of any.
pub async fn find_targets(
    options: &Options,
    scope: Scope,
    stop: &mut Stop,
    notices: &mut Notices,
) -> Result<(Option<Engine>, Vec<Target>), Error> {
    let host = &options.host;
    if !host.targets.is_empty() {
        let addresses: BTreeSet<Address> = host.targets.iter().cloned().collect();
        return Ok((None, addresses.into_iter().map(Target::fixed).collect()));
    }
    let (engine, containers) = Engine::list(host.docker_host.as_deref(), &host.filters, stop).await?;
    let engine_host = engine.host();
    let mut targets = Vec::with_capacity(containers.len());
    for container in containers {
        let name = container.name.clone();
        match target::choose(container, scope, host.container_port, &engine_host) {
            Choice::Target(target) => targets.push(*target),
            Choice::Unclear(why) => notices.failed(&name, why),
            Choice::PassedOver(why) if host.verbose => notices.of(&name, format!("passed over: {why}")),
            Choice::PassedOver(_) => {}
        }
    }
    // The engine lists by age. By name, one run's lines are in the order of the last's.
    targets.sort_by_cached_key(Target::to_string);
    Ok((Some(engine), targets))
}

/// What one target gives to the output.
struct Series<'a> {
    target: &'a Target,
    name: String,
    points: Vec<Point>,
    /// What its counters are; none where it is not known since when they count.
    reading: Option<Reading>,
}

/// What came of the targets: what failed becomes a notice, the rest is sorted by name.
fn series<'a>(
    targets: &'a [Target],
    names: Vec<String>,
    outcomes: Vec<Outcome>,
    notices: &mut Notices,
) -> Vec<Series<'a>> {
    let mut all = Vec::with_capacity(targets.len());
    for ((target, name), Outcome { found, start, seen, source, stderr, refused, .. }) in
        targets.iter().zip(names).zip(outcomes)
    {
        let Found { points, warnings, time } = match found {
            Ok(found) => found,
            Err(why) => {
                notices.failed(target, why);
                continue;
            }
        };
        if !stderr.is_empty() {
            notices.of(target, format!("the collector wrote: {}", foreign_tail(&stderr)));
        }
        if !refused.is_empty() {
            notices.of(target, format!("the collector {refused}"));
        }
        for warning in warnings {
            notices.of(target, warning);
        }
        let reading = match start {
            Ok(start) => Some(reading(&points, start, time, seen, source)),
            Err(why) => {
                let what = "no counters, for the engine does not say when the container was started";
                notices.of(target, format!("{what}: {why}"));
                None
            }
        };
        all.push(Series { target, name, points, reading });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
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

/// Turns counters into rates, prints all values, and remembers the counters for the next run. The state is read anew under its
/// lock, for another run can have written it since; without the lock, what was read before serves.
async fn print(
    series: &[Series<'_>],
    prefix: &Prefix,
    begun: Moment,
    last: State,
    state_file: Option<&StateFile>,
    notices: &mut Notices,
) -> Result<(), Error> {
    let locked = match state_file {
        Some(file) => notices.ok(file.lock().await),
        None => None,
    };
    let mut state = match &locked {
        Some(locked) => locked.read_since(last).unwrap_or_default(),
        None => last,
    };
    let now = Moment::now();
    let values: Vec<Value> = series.iter().flat_map(|series| values(series, prefix, &state, now)).collect();
    write::print(&write::values(&values, begun.epoch()))?;
    if let Some(locked) = locked {
        for Series { target, reading, .. } in series {
            if let Some(reading) = reading.clone() {
                state.insert(target.identity(), Remembered { seen: begun, reading });
            }
        }
        state.forget_old(begun);
        notices.ok(locked.replace(state));
    }
    Ok(())
}

/// One target's values, under their full names. `now` is after all of them were read.
fn values(series: &Series<'_>, prefix: &Prefix, state: &State, now: Moment) -> Vec<Value> {
    // Containers, and mostly what is at fixed addresses, go by this machine's clock.
    let last = state.get(&series.target.identity()).filter(|last| !now.is_set_since(last.seen));
    let last = last.map(|last| &last.reading);
    let value = |point: &Point| match point.kind {
        MetricKind::Gauge => Some(point.value),
        MetricKind::Counter(period) => series.reading.as_ref()?.rate(last, &point.key, period),
    };
    // A key holds '#' once, and no name holds it.
    let key = |point: &Point| format!("{prefix}.{}", point.key.replacen('#', &series.name, 1));
    series.points.iter().filter_map(|point| Some(Value { key: key(point), value: value(point)? })).collect()
}
