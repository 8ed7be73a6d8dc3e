//! Collecting: all targets concurrently, each in a sandbox of its own and with a timeout of its own.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;

use crate::address::Address;
use crate::definition::dropped::Dropped;
use crate::definition::{Definitions, Point};
use crate::engine::{ContainerError, Engine};
use crate::limits;
use crate::moment::Moment;
use crate::pipeline::option_check::OptionCheck;
use crate::pipeline::route::Route;
use crate::pipeline::state::State;
use crate::pipeline::target::Target;
use crate::pipeline::window::{Progress, Window};
use crate::pipeline::witness::Witness;
use crate::sandbox::activity::{Activity, Waiting};
use crate::sandbox::container::{Container, Source, StatsReader};
use crate::sandbox::denied::Denied;
use crate::sandbox::destination::Destination;
use crate::sandbox::exceeded::Exceeded;
use crate::sandbox::failure::{Cause, Failure};
use crate::sandbox::http_settings::HttpSettings;
use crate::sandbox::memory::Memory;
use crate::sandbox::notes::Unmatched;
use crate::sandbox::remark::LastRemark;
use crate::sandbox::stderr::Stderr;
use crate::sandbox::usage::Usage;
use crate::sandbox::{Collector, ContainerFacts, Endpoint, OptionValue, Report, Sandbox, TargetFacts};
use crate::stats::AllowedSource;
use crate::stop::Stop;
use crate::text::{Foreign, root_cause};

/// How each target of a run is collected.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The timeout of one target, from the lookup of its name to its report.
    pub timeout: Duration,
    /// The source of container stats that the operator allows.
    pub stats_source: AllowedSource,
    /// The server name in the targets' certificates, or `None` for the targets' addresses.
    pub tls_server_name: Option<ServerName<'static>>,
    /// The settings of HTTP requests.
    pub http: Arc<HttpSettings>,
}

/// The outcome of one target. It is held until the run ends; `limits` bound its size.
#[derive(Debug)]
pub struct Outcome {
    /// The report, or the reason for which there is none.
    pub report: Result<CheckedReport, Failure>,
    /// The start time of the container, `None` for fixed targets.
    pub start: Result<Option<String>, ContainerError>,
    /// The start of its collection.
    pub seen: Moment,
    /// The source of its container's stats, if its collector requested them.
    pub source: Option<Source>,
    /// The beginning and the end of the collector's stderr, if it did not fail.
    pub stderr: String,
    /// The denied attempts of the collector, if it did not fail.
    pub denied: Denied,
    /// The usage of the sandbox.
    pub usage: Usage,
    /// The duration; zero if the run ended first.
    pub took: Duration,
    /// The place of the address in use among the target's routes.
    pub route: usize,
    /// The addresses before it, with the reasons for which they accept no connection.
    pub unreachable: Vec<String>,
}

impl Outcome {
    fn failed(failure: Failure, seen: Moment, usage: Usage, took: Duration) -> Outcome {
        let (stderr, denied, unreachable) = (String::new(), Denied::default(), Vec::new());
        let (report, start, source, route) = (Err(failure), Ok(None), None, 0);
        Outcome { report, start, seen, source, stderr, denied, usage, took, route, unreachable }
    }
}

/// A report, checked against the definitions.
#[derive(Debug)]
pub struct CheckedReport {
    /// The samples that the definitions cover, in their order.
    pub points: Vec<Point>,
    /// The samples that were dropped.
    pub dropped: Dropped,
    /// The time of the points by the target's own clock, in nanoseconds since 1970, if the collector reports it.
    pub time: Option<u64>,
    /// The values of options that select nothing at the target.
    pub unmatched: Vec<Unmatched>,
    /// The memory of the points.
    _memory: Memory,
}

/// The bounds that all collectors of a run share, beside those of their sandboxes.
pub struct SharedBounds {
    /// The number of collectors.
    collectors: usize,
    /// The number of samples of all reports beyond each one's share.
    samples: Cell<usize>,
}

impl SharedBounds {
    /// Makes the bounds of a run of this number of collectors.
    pub fn of(collectors: usize) -> SharedBounds {
        SharedBounds { collectors, samples: Cell::new(0) }
    }
}

/// The context that all targets of a collector share.
pub struct Context<'a> {
    /// The collector.
    pub collector: &'a Collector,
    /// How each target is collected.
    pub settings: &'a Settings,
    /// The bounds of all collectors of the run together.
    pub bounds: &'a SharedBounds,
    /// The options that the collector gets, unless the labels of a target declare others.
    pub options: &'a [OptionValue],
    /// The check of options that labels declare.
    pub option_check: OptionCheck<'a>,
    /// The graphs that the collector declares.
    pub definitions: &'a Definitions,
    /// The engine of the targets' containers, if there is one.
    pub engine: Option<&'a Engine>,
    /// Reads the stats of the targets' containers.
    pub stats: Option<Arc<dyn StatsReader>>,
    /// The start of the run, before the engine was asked for its list.
    pub begun: Moment,
    /// The state of the last run.
    pub last: &'a State,
    /// Prewarmed sandboxes.
    pub idle: RefCell<Vec<Sandbox>>,
    /// The number of dropped samples of a target that are named, for each reason.
    pub named: usize,
    /// Knows whether the containers are still those of the list; `None` for targets without an engine.
    pub witness: Option<Witness<'a>>,
}

/// Collects from all targets until they are done or the run has to stop; unfinished ones are failures then. The
/// outcomes are in the order of `targets`.
pub async fn all(context: &Context<'_>, targets: &[Target], stop: &mut Stop) -> Vec<Outcome> {
    let activities: Vec<Activity> = targets.iter().map(|_| Activity::new(Waiting::Start)).collect();
    let mut outcomes: BTreeMap<usize, Outcome> = BTreeMap::new();
    let mut waiting = targets.iter().zip(&activities).enumerate().peekable();
    let (mut window, progress) = (Window::new(), Progress::new(Instant::now()));
    let mut running = FuturesUnordered::new();
    let stopped = {
        let mut end = std::pin::pin!(stop.wait());
        let mut ticks = tokio::time::interval(limits::WINDOW_STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let files = (usable_files() / context.bounds.collectors).max(1);
        loop {
            while running.len() < files
                && window.has_room(Instant::now())
                && let Some((index, (target, activity))) = waiting.next()
            {
                window.start(index, Instant::now());
                running.push(progress.of(async move { (index, one(context, target, activity).await) }));
            }
            tokio::select! {
                // Targets first, so that their progress is recorded before the window looks for it.
                biased;
                reason = &mut end => break Some(reason),
                finished = running.next() => match finished {
                    Some((index, outcome)) => {
                        window.end(index);
                        outcomes.insert(index, outcome);
                    }
                    None => break None,
                },
                _ = ticks.tick(), if waiting.peek().is_some() => window.step(Instant::now(), &progress),
            }
        }
    };
    drop(running);
    let unfinished = |index: usize| {
        let cause = Cause::Stopped { waiting: activities[index].get(), stop: stopped.clone().unwrap_or_default() };
        Outcome::failed(cause.into(), context.begun, Usage::default(), Duration::ZERO)
    };
    (0..targets.len()).map(|index| outcomes.remove(&index).unwrap_or_else(|| unfinished(index))).collect()
}

/// Collects from one target, within its timeout.
pub async fn one(context: &Context<'_>, target: &Target, activity: &Activity) -> Outcome {
    let of_labels = target.labelled.as_ref().and_then(|labelled| labelled.options.as_ref());
    // Before it takes memory, for which the check could wait.
    if let Some(options) = of_labels
        && let Err(cause) = context.option_check.check(options).await
    {
        return Outcome::failed(cause.into(), Moment::now(), Usage::default(), Duration::ZERO);
    }
    let options = of_labels.map_or(context.options, |options| &options[..]);
    let reservation = Reservation::make(context, activity).await;
    let seen = Moment::now();
    let begin = Instant::now();
    let timeout = context.settings.timeout;
    let container = container(context, target, activity);
    let source = container.as_ref().map(|container| Arc::clone(&container.source));
    let used = OnceCell::new();
    let remark = LastRemark::default();
    let tried = RefCell::new(Vec::new());
    let work = async {
        let start = start_of(context, target, activity).await;
        let destination = bind(context, target, activity, &remark, &tried).await?;
        activity.set(Waiting::Collector);
        let calls = async {
            let sandbox = match reservation {
                Reservation::Idle(sandbox) => sandbox,
                Reservation::Memory(memory) => context.collector.sandbox(memory).await?,
            };
            used.get_or_init(|| (sandbox.stderr(), sandbox.denied(), sandbox.usage()));
            let facts = facts(target, destination.as_ref().map(|destination| &destination.address));
            sandbox.collect(destination, container, activity.clone(), &facts, options).await
        };
        let (report, unmatched, memory) =
            context.collector.bounded(calls).await.map_err(|exceeded| exceeded.in_state(activity.get()))??;
        let place = tried.borrow().len();
        if let Some(witness) = &context.witness
            && !witness.confirms(target, place, start.as_ref().ok()).await
        {
            return Err(Cause::Replaced);
        }
        Ok((check(context, &report, unmatched, memory)?, start))
    };
    let late = || Err(Cause::Timeout { waiting: activity.get(), timeout });
    let result = tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| late());
    let (stderr, denied, usage): (Stderr, Denied, Usage) = used.into_inner().unwrap_or_default();
    // The target can show the operator's secrets to the collector.
    let (stderr, took) = (context.settings.http.hide_secrets(stderr.take()), begin.elapsed());
    let unreachable = tried.into_inner();
    let route = unreachable.len();
    match result {
        Ok((report, start)) => {
            let (report, source) = (Ok(report), source.and_then(|source| source.get().copied()));
            Outcome { report, start, seen, source, stderr, denied, usage, took, route, unreachable }
        }
        Err(cause) => {
            let (http, remark) = (Some(Arc::clone(&context.settings.http)), remark.get());
            let hints = hints(context, target, &cause, &unreachable);
            let failure = Failure { cause, stderr, denied, remark, http, hints };
            Outcome { route, unreachable, ..Outcome::failed(failure, seen, usage, took) }
        }
    }
}

/// Returns hints on a target that failed: that its container does not run any more, or the addresses that accept no
/// connection and the ports on which it listens.
fn hints(context: &Context<'_>, target: &Target, cause: &Cause, unreachable: &[String]) -> Vec<String> {
    let Some(witness) = &context.witness else { return Vec::new() };
    if matches!(cause, Cause::Replaced) {
        return Vec::new();
    }
    if !witness.sees_same(target, unreachable.len()) {
        return vec![Cause::Replaced.to_string()];
    }
    unreachable.iter().cloned().chain(witness.suggestion(target)).collect()
}

/// A part of the run's memory, which a target needs to start.
enum Reservation {
    /// A sandbox that was made before its target was known.
    Idle(Sandbox),
    /// The memory that a sandbox starts with.
    Memory(Memory),
}

impl Reservation {
    /// Waits for memory. The target has not started, so this is not part of its timeout.
    async fn make(context: &Context<'_>, activity: &Activity) -> Reservation {
        let idle = context.idle.borrow_mut().pop();
        match idle {
            Some(sandbox) => Reservation::Idle(sandbox),
            None => Reservation::Memory(context.collector.admit(activity.clone()).await),
        }
    }
}

/// Validates a report, unless the run's sample limit is reached. Its points keep a part of `memory`.
fn check(
    context: &Context<'_>,
    report: &Report,
    unmatched: Vec<Unmatched>,
    mut memory: Memory,
) -> Result<CheckedReport, Exceeded> {
    let samples = context.bounds.samples.get() + report.samples.len().saturating_sub(limits::SAMPLES_SHARE);
    if samples > limits::TOTAL_SAMPLES {
        return Err(Exceeded::TotalSamples);
    }
    context.bounds.samples.set(samples);
    let (points, dropped) = context.definitions.points(&report.samples, context.named);
    memory.keep(points.iter().map(Point::size).sum());
    Ok(CheckedReport { points, dropped, time: report.time, unmatched, _memory: memory })
}

/// Returns the start time of the target's container. It is read before the counters: if the container is restarted in
/// between, the old start stands beside new counters, which the next run notices, and never the other way round.
///
/// The engine is asked only if its list does not rule out a restart since the last run.
async fn start_of(
    context: &Context<'_>,
    target: &Target,
    activity: &Activity,
) -> Result<Option<String>, ContainerError> {
    let Some(container) = &target.container else { return Ok(None) };
    if let Some(start) = &container.started_at {
        return Ok(Some(start.clone()));
    }
    let Some(engine) = context.engine else { return Ok(None) };
    if let Some(last) = context.last.get(&target.identity()) {
        let ago = Moment::now().since(last.seen);
        if container.up_at_least().zip(ago).is_some_and(|(up, ago)| up > ago) {
            return Ok(last.reading.start.clone());
        }
    }
    activity.set(Waiting::Engine);
    engine.started_at(&container.id).await.map(Some)
}

/// Returns the destination of the sandbox's connections, which is decided outside of it. A name is looked up within the
/// timeout.
///
/// It is the first of the target's addresses that accepts a connection, or else the last. The reasons of those before
/// it are added to `tried`. The last one, or one on whose port nothing listens, is left to the collector, whose failure
/// the operator reads.
async fn bind(
    context: &Context<'_>,
    target: &Target,
    activity: &Activity,
    remark: &LastRemark,
    tried: &RefCell<Vec<String>>,
) -> Result<Option<Destination>, Cause> {
    let routes = &target.routes.usable;
    let enters = routes.iter().any(|route| route.namespace.is_some());
    // The engine's proxy would accept a connection that leads nowhere.
    let leads_nowhere =
        || !enters && context.witness.as_ref().is_some_and(|witness| witness.suggestion(target).is_some());
    let mut connection = None;
    for Route { address, .. } in routes.iter().take(routes.len().saturating_sub(1)) {
        activity.set(Waiting::Connection);
        let connect = TcpStream::connect((address.host.as_str(), address.port));
        let reason = match tokio::time::timeout(limits::OWN_ADDRESS_CONNECT, connect).await {
            Ok(Ok(stream)) => {
                connection = Some(stream);
                break;
            }
            Ok(Err(_)) if leads_nowhere() => break,
            Ok(Err(error)) => root_cause(&error),
            Err(_) => format!("no connection after {}", humantime::format_duration(limits::OWN_ADDRESS_CONNECT)),
        };
        tried.borrow_mut().push(format!("its own address {address}: {reason}"));
    }
    let Some(Route { address: Address { host, port }, namespace, .. }) = routes.get(tried.borrow().len()) else {
        return Ok(None);
    };
    activity.set(Waiting::Lookup);
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), *port))
        .await
        .map_err(|source| Cause::Lookup { host: Foreign::new(host), source })?
        .collect();
    // The published address, if there is one: applications and certificates know that.
    let authority = routes.last().map_or_else(|| Address { host: host.clone(), port: *port }, |of| of.address.clone());
    let name = &authority.host;
    let of_authority = || ServerName::try_from(name.clone()).map_err(|_| Cause::ServerName(Foreign::new(name)));
    let server_name = context.settings.tls_server_name.clone().map_or_else(of_authority, Ok)?;
    let address = Address { host: host.clone(), port: *port };
    let (activity, http) = (activity.clone(), Arc::clone(&context.settings.http));
    let uses = context.collector.uses();
    // A collector without requests by the host cannot take it over.
    let connection = Arc::new(Mutex::new(connection.filter(|_| uses.http || uses.tls)));
    Ok(Some(Destination {
        address,
        authority,
        addresses,
        server_name,
        connection,
        namespace: *namespace,
        activity,
        http,
        remark: remark.clone(),
    }))
}

/// Returns the container whose stats the collector can request.
fn container(context: &Context<'_>, target: &Target, activity: &Activity) -> Option<Container> {
    let container = target.container.as_ref()?;
    Some(Container {
        id: container.id.clone(),
        has_interfaces: container.has_interfaces,
        stats: Arc::clone(context.stats.as_ref()?),
        source: Arc::new(OnceLock::new()),
        activity: activity.clone(),
    })
}

/// Returns the description of the target at `address` that the collector gets.
fn facts(target: &Target, address: Option<&Address>) -> TargetFacts {
    let Target { container, container_port, .. } = target;
    TargetFacts {
        endpoint: address.map(|Address { host, port }| Endpoint { host: host.clone(), port: *port }),
        container: container.as_ref().map(|container| ContainerFacts {
            id: container.id.clone(),
            name: container.name.clone(),
            image: container.image.clone(),
            image_id: container.image_id.clone(),
            labels: container.labels.clone().into_iter().collect(),
            port: *container_port,
        }),
    }
}

/// Returns the number of targets that can be open at once: the limit of open files, raised as far as possible, because
/// many systems start with 1,024.
fn usable_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    let files = files.unwrap_or(u64::MAX).saturating_sub(limits::SPARE_FILES).max(1);
    usize::try_from(files).unwrap_or(usize::MAX)
}
