//! `test`: tests a collector on one target or on a recording, and checks it against the contract.
//!
//! | command | target | expected the second time |
//! |---|---|---|
//! | `test COLLECTOR` | a real one | the same names |
//! | `--record DIR` | a real one through a [`recorder`], which writes a [`recording`] | the same metrics from the recording |
//! | `--replay DIR` | a [`player`] of the recording | the same metrics |
//!
//! Its checks take most of the lines, and stay beside the run that they check.
//!
//! stdout is the same for the same recording: metrics with `#` instead of the target's name, then the findings. Authors
//! keep and compare it. Times and usage go to stderr.

pub mod loopback;
pub mod played;
pub mod player;
pub mod recorder;
pub mod recording;
pub mod stats;
pub mod text;
pub mod transcript;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use clap::Args;

use self::played::Played;
use self::player::Player;
use self::recorder::Relay;
use self::recording::{Head, Recording};
use self::stats::{Recorder, Replayed};
use self::text::Secrets;
use crate::address::Address;
use crate::definition::{Definitions, Point, Prefix};
use crate::diagnostics::{self, Diagnostics};
use crate::error::Error;
use crate::limits;
use crate::moment::Moment;
use crate::options::{Options, Subcommand};
use crate::pipeline::collect::{self, Context, Outcome};
use crate::pipeline::find::Found;
use crate::pipeline::protocol;
use crate::pipeline::state::State;
use crate::pipeline::target::Target;
use crate::sandbox::activity::{Activity, Waiting};
use crate::sandbox::container::StatsReader;
use crate::sandbox::cpu::metered;
use crate::sandbox::{Description, MetricKind, Period, Scope};
use crate::session::Session;
use crate::stats::Reader;
use crate::stop::Stop;
use crate::store::component::{CallError, Component};
use crate::text::{Foreign, foreign};

/// `test` prints all metrics of one target, without names: options about names and output would do nothing.
pub const SUBCOMMAND: Subcommand = Subcommand {
    name: "test",
    unused: &[
        ("instance_name", "it prints '#' instead of the target's name"),
        ("selects", ALL_METRICS),
        ("excludes", ALL_METRICS),
        ("totals", ALL_METRICS),
        ("total_only", ALL_METRICS),
        ("targets_graph", ALL_METRICS),
    ],
    reads_secrets: true,
};

const ALL_METRICS: &str = "it prints all metrics of one target";

/// The options of `test` alone.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Recordings")]
pub struct TestOptions {
    /// Record the target's responses in this folder, and replace an existing recording
    #[arg(long, value_name = "DIR")]
    pub record: Option<std::path::PathBuf>,

    /// Replay this recording instead of a target; needs neither Docker nor the target
    #[arg(long, value_name = "DIR", conflicts_with_all = ["record", "filters", "container_port", "targets", "docker_host", "stats_source", "tls_server_name", "http_headers", "http_header_files", "http_user", "http_password_file", "http_bearer_token_file", "tls_ca_file", "tls_skip_verify"])]
    pub replay: Option<std::path::PathBuf>,
}

/// Tests a collector. `words` is the collector's name and all options.
///
/// # Errors
/// If it cannot be tested: wrong options, no target, an unusable recording. Faults of the collector are findings, with
/// exit status 1.
pub async fn run(session: &Session, words: &[OsString]) -> Result<ExitCode, Error> {
    let name = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    let mut component = session.store.load(&name)?;
    for warning in &component.warnings {
        diagnostics::print(&format!("{}: {warning}", component.name));
    }
    let mut findings = Findings::default();
    let Some(description) = findings.of(component.describe().await)? else { return findings.print("") };
    let uses = component.collector.uses();
    let (mut options, test): (_, TestOptions) =
        Options::parse(&SUBCOMMAND, &session.reserved, words, &description, uses)?;
    let head = test.replay.as_deref().map(recording::read_head).transpose().map_err(Error::failed)?;
    for (name, length) in head.iter().flat_map(|head| &head.secrets) {
        options.collector.fill_secret(name, "x".repeat(*length));
    }
    session.watchdog.set_deadline(options.deadline);
    component.collector.set_bounds(options.bounds);
    let Some(definitions) = findings.of(component.definitions(options.collector.values()).await)? else {
        return findings.print("");
    };
    findings.compare_declarations(&component, &description, &options, &definitions).await?;

    let mut stop = Stop::new(session.watchdog.started(), options.deadline)?;
    let trial =
        Trial { component: &component, description: &description, options: &options, definitions: &definitions };
    let collected = if let Some((folder, head)) = test.replay.as_deref().zip(head) {
        let work = trial.replay(folder, &head, &mut findings);
        tokio::select! { collected = work => collected?, why = stop.wait() => return Err(stopped(&why)) }
    } else {
        let (target, figures) = trial.find_target(&mut stop).await?;
        let work = async {
            match &test.record {
                Some(folder) => trial.record(folder, &target, figures, &mut findings).await,
                None => Ok(trial.live(&target, figures, &mut findings).await),
            }
        };
        tokio::select! { collected = work => collected?, why = stop.wait() => return Err(stopped(&why)) }
    };
    collected.tell_usage(&component.name, &options);
    let points = collected.outcome.report.as_ref().map(|found| found.points.as_slice()).unwrap_or_default();
    findings.print(&metrics(points, &options.output.prefix))
}

fn stopped(why: &str) -> Error {
    Error::failed(format!("test not finished when {why}"))
}

/// A collector, ready to be tested.
struct Trial<'a> {
    component: &'a Component,
    description: &'a Description,
    options: &'a Options,
    definitions: &'a Definitions,
}

/// The result of one collection.
struct Collected {
    target: String,
    outcome: Outcome,
    cpu: Duration,
    time: Duration,
    /// The address that the collector got, and the target's own, if they differ.
    led: Option<(String, String)>,
}

impl Trial<'_> {
    /// Finds the one target, and the reader of its container's stats.
    async fn find_target(&self, stop: &mut Stop) -> Result<(Target, Option<Arc<dyn StatsReader>>), Error> {
        let mut diagnostics = Diagnostics::new(&self.component.name);
        let found = self.options.discovery.find(self.description.scope, stop).await?;
        found.report_skipped(self.options.verbose, &mut diagnostics);
        let Found { engine, mut targets, .. } = found;
        diagnostics.print();
        if targets.len() > 1 {
            let mut names: Vec<String> =
                targets.iter().take(limits::ALIKE).map(|target| foreign(&target.to_string()).to_string()).collect();
            names.extend(targets.len().checked_sub(limits::ALIKE + 1).map(|more| format!("and {} more", more + 1)));
            return Err(Error::usage(format!(
                "test takes one target, but there are {}: {}; choose one with --filter or --target",
                targets.len(),
                names.join(", ")
            )));
        }
        let target = targets.pop().ok_or_else(|| {
            let why = "no target: no running container matches (-v lists the reasons); use --filter, --container-port or --target";
            Error::failed(why.to_owned())
        })?;
        let allowed = self.options.settings.stats_source;
        let figures = engine
            .map(|engine| -> Arc<dyn StatsReader> { Arc::new(Reader::new(allowed, &engine, target.container.iter())) });
        Ok((target, figures))
    }

    /// Collects from `target` in a fresh sandbox. `own` is the address to print, if that is another.
    async fn collect(
        &self,
        target: &Target,
        own: Option<&Address>,
        figures: Option<Arc<dyn StatsReader>>,
    ) -> Collected {
        let context = Context {
            collector: &self.component.collector,
            settings: &self.options.settings,
            options: self.options.collector.values(),
            definitions: self.definitions,
            // Without state there is no need for start times.
            engine: None,
            stats: figures,
            begun: Moment::now(),
            last: &State::default(),
            idle: RefCell::default(),
            samples: Cell::new(0),
        };
        let begin = Instant::now();
        let (outcome, cpu) = metered(collect::one(&context, target, &Activity::new(Waiting::Start))).await;
        let time = begin.elapsed();
        let led = target.address.as_ref().zip(own).map(|(led, own)| (led.to_string(), own.to_string()));
        let mut collected = Collected { target: String::new(), outcome, cpu, time, led };
        collected.target = collected.told(&target.to_string());
        collected
    }

    /// Tests a real target, twice.
    async fn live(&self, target: &Target, figures: Option<Arc<dyn StatsReader>>, findings: &mut Findings) -> Collected {
        let first = self.collect(target, None, figures.clone()).await;
        if findings.of_collection(&first, self) {
            let second = self.collect(target, None, figures).await;
            findings.compare_live(&first, &second);
        }
        first
    }

    /// Tests a real target, records it, and tests the recording.
    async fn record(
        &self,
        folder: &Path,
        target: &Target,
        figures: Option<Arc<dyn StatsReader>>,
        findings: &mut Findings,
    ) -> Result<Collected, Error> {
        recording::check_place(folder).map_err(Error::failed)?;
        let relay = match target.address.clone() {
            Some(address) => Some(Relay::start(address).await.map_err(Error::failed)?),
            None => None,
        };
        let recorder = figures.map(|figures| Arc::new(Recorder::new(figures)));
        let through = Target { address: relay.as_ref().map(Relay::address), ..target.clone() };
        let figures = recorder.clone().map(|recorder| -> Arc<dyn StatsReader> { recorder });
        let first = self.collect(&through, target.address.as_ref(), figures).await;
        let mut recording = Recording::default();
        let mut problems = Vec::new();
        if let Some(relay) = relay {
            (recording.exchanges, recording.conversations, problems) = relay.finish().await;
        }
        recording.calls = recorder.map(|recorder| recorder.calls()).unwrap_or_default();
        // A recording has no place for them: a replay sends no request to a target.
        let http_secrets = &self.options.settings.http.secrets;
        let own = Secrets::new(http_secrets.iter().map(|secret| ("http", secret.as_str())));
        if recording.exchanges.iter().any(|exchange| exchange.has_secret(&own)) {
            problems.push("the target's response has a secret of the options about HTTP requests".to_owned());
        }
        let is_whole = problems.is_empty();
        for problem in problems {
            findings.error(format!("record: {problem}"));
        }
        if !findings.of_collection(&first, self) || !is_whole {
            diagnostics::print(&format!("{}: not recorded", self.component.name));
            return Ok(first);
        }
        let Description { name, version, .. } = self.description;
        let lengths: BTreeMap<String, usize> =
            self.options.collector.secrets().map(|(name, value)| (name.to_owned(), value.len())).collect();
        let head = Head::new(format!("{name} {version}"), target, lengths);
        let secrets = Secrets::new(self.options.collector.secrets());
        recording::write(folder, &head, &recording, &secrets).map_err(Error::failed)?;
        diagnostics::print(&format!(
            "{}: recorded in {}: {}",
            self.component.name,
            folder.display(),
            contents(&recording)
        ));
        // From the files, which are what has to work.
        let recording = recording::read(folder, &secrets).map_err(Error::failed)?;
        let (second, played) = self.play(&head, &recording).await?;
        findings.of_playing(&played);
        findings.compare(&first, &second, "from the recording");
        Ok(first)
    }

    /// Tests a recording, twice.
    async fn replay(&self, folder: &Path, head: &Head, findings: &mut Findings) -> Result<Collected, Error> {
        let secrets = Secrets::new(self.options.collector.secrets());
        let recording = recording::read(folder, &secrets).map_err(Error::failed)?;
        let of_other = match self.description.scope {
            Scope::Endpoint if head.endpoint().is_none() => Some("a whole container, but the collector reads a port"),
            Scope::Container if head.endpoint().is_some() || !head.has_container() => {
                Some("a port, but the collector reads whole containers")
            }
            _ => None,
        };
        if let Some(other) = of_other {
            return Err(Error::failed(format!("{}: the recording is of {other}", folder.display())));
        }
        let (first, played) = self.play(head, &recording).await?;
        findings.of_playing(&played);
        if findings.of_collection(&first, self) {
            let (second, _) = self.play(head, &recording).await?;
            findings.compare(&first, &second, "the second time");
        }
        Ok(first)
    }

    /// Collects from a recording.
    async fn play(&self, head: &Head, recording: &Recording) -> Result<(Collected, Played), Error> {
        let player = match head.endpoint() {
            Some(_) => Some(Player::start(recording).await.map_err(Error::failed)?),
            None => None,
        };
        let replayed = head.has_container().then(|| Arc::new(Replayed::new(recording.calls.clone())));
        let target = head.target(player.as_ref().map(Player::address));
        let own = head.endpoint().and_then(|endpoint| endpoint.parse().ok());
        let figures = replayed.clone().map(|replayed| -> Arc<dyn StatsReader> { replayed });
        let collected = self.collect(&target, own.as_ref(), figures).await;
        let mut all = replayed.map(|replayed| replayed.finish()).unwrap_or_default();
        if let Some(player) = player {
            let Played { wrong, unused } = player.finish().await;
            all.wrong.extend(wrong);
            all.unused.extend(unused);
        }
        Ok((collected, all))
    }
}

/// Summarizes a recording.
fn contents(recording: &Recording) -> String {
    let Recording { exchanges, conversations, calls } = recording;
    let parts = [
        (exchanges.len(), "HTTP request", "HTTP requests"),
        (conversations.len(), "connection", "connections"),
        (calls.len(), "stats request", "stats requests"),
    ];
    let part = |(count, one, many): (usize, &str, &str)| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    let parts: Vec<String> = parts.into_iter().filter_map(part).collect();
    if parts.is_empty() { "no requests".to_owned() } else { parts.join(", ") }
}

/// Formats the metrics, a line each: gauges as printed by `run`, counters as read.
fn metrics(points: &[Point], prefix: &Prefix) -> String {
    let mut lines = String::new();
    for Point { key, kind, value, .. } in points {
        let kind = match kind {
            MetricKind::Gauge => "",
            MetricKind::Counter(Period::Second) => "\tcounter, per second",
            MetricKind::Counter(Period::Minute) => "\tcounter, per minute",
        };
        // Adding zero makes -0 a plain 0.
        let _ = writeln!(lines, "{prefix}.{key}\t{}{kind}", value + 0.0);
    }
    lines
}

impl Collected {
    /// Replaces the address that the collector got, which changes every time, by the target's own.
    fn told(&self, text: &str) -> String {
        match &self.led {
            Some((led, own)) => text.replace(led, own),
            None => text.to_owned(),
        }
    }

    /// Prints the usage beside the limits.
    fn tell_usage(&self, name: &str, options: &Options) {
        let size = |bytes: u64| ByteSize::b(bytes).display().iec();
        let time = |time: Duration| {
            humantime::format_duration(Duration::from_micros(time.as_micros().try_into().unwrap_or(u64::MAX)))
        };
        let Collected { target, outcome, cpu, time: took, .. } = self;
        let bounds = options.bounds;
        diagnostics::print(&format!(
            "{name}: {}: used {:.1} of {:.0} memory, {} of {} CPU time, {} of {} time, {} of {} requests",
            foreign(target),
            size(outcome.usage.peak()),
            bounds.memory.display().iec(),
            time(*cpu),
            time(bounds.cpu),
            time(*took),
            time(options.settings.timeout),
            outcome.usage.requests(),
            limits::REQUESTS,
        ));
        if !outcome.stderr.is_empty() {
            diagnostics::print(&format!("{name}: collector stderr: {}", Foreign::tail(&outcome.stderr)));
        }
    }
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Error,
    Warning,
    Note,
}

/// The findings of a test, in order of occurrence.
#[derive(Debug, Default)]
struct Findings(Vec<(Weight, String)>);

impl Findings {
    fn error(&mut self, what: impl Into<String>) {
        self.0.push((Weight::Error, what.into()));
    }

    fn warning(&mut self, what: impl Into<String>) {
        self.0.push((Weight::Warning, what.into()));
    }

    fn note(&mut self, what: impl Into<String>) {
        self.0.push((Weight::Note, what.into()));
    }

    /// Takes the result of a call without a target. A failure of the collector is a finding.
    fn of<T>(&mut self, result: Result<T, CallError>) -> Result<Option<T>, Error> {
        match result {
            Ok(result) => Ok(Some(result)),
            Err(error @ CallError::Failed { .. }) => {
                self.error(error.without_name());
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Checks that the collector declares the same a second time.
    async fn compare_declarations(
        &mut self,
        component: &Component,
        description: &Description,
        options: &Options,
        definitions: &Definitions,
    ) -> Result<(), Error> {
        if self.of(component.describe().await)?.is_some_and(|again| again != *description) {
            self.error("describe: returns another description the second time; it must not depend on state");
        }
        if let Some(again) = self.of(component.definitions(options.collector.values()).await)? {
            let pairs = definitions.graphs().iter().zip(again.graphs());
            let other = pairs.into_iter().find(|(first, second)| first != second).map(|(first, _)| &first.key);
            let (count, count_again) = (definitions.graphs().len(), again.graphs().len());
            match other {
                Some(key) => {
                    self.error(format!("graphs: returns another '{key}' the second time for the same options"));
                }
                None if count != count_again => {
                    self.error(format!(
                        "graphs: returns {count} graphs, and {count_again} the second time for the same options"
                    ));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Adds the findings of a replay.
    fn of_playing(&mut self, Played { wrong, unused }: &Played) {
        for wrong in wrong {
            self.error(format!("replay: {wrong}"));
        }
        for unused in unused {
            self.note(format!("replay: {unused}"));
        }
    }

    /// Adds the findings of one collection. Returns true if there is a report.
    fn of_collection(&mut self, collected: &Collected, trial: &Trial<'_>) -> bool {
        let found = match &collected.outcome.report {
            Ok(found) => found,
            Err(why) => {
                self.error(format!("collect: {}", collected.told(&why.to_string())));
                return false;
            }
        };
        for warning in &found.warnings {
            self.error(format!("collect: {}", collected.told(warning)));
        }
        if !collected.outcome.denied.is_empty() {
            let denied = collected.outcome.denied.to_string();
            self.error(format!("collect: {}", collected.told(&denied)));
        }
        if found.points.is_empty() {
            self.warning("collect: no metrics");
        }
        let came: BTreeSet<(usize, usize)> = found.points.iter().map(|point| point.order).collect();
        for (g, graph) in trial.definitions.graphs().iter().enumerate() {
            let missing = graph.metrics.iter().enumerate().filter(|(m, _)| !came.contains(&(g, *m)));
            let missing: Vec<&str> = missing.map(|(_, metric)| metric.name.as_str()).collect();
            if !missing.is_empty() {
                let (key, _) = Definitions::title(graph, &trial.options.output.prefix);
                self.note(format!("collect: no metrics for {key}: {}", foreign(&missing.join(", "))));
            }
        }
        true
    }

    /// Checks that a real target has the same names the second time. Its values can differ.
    fn compare_live(&mut self, first: &Collected, second: &Collected) {
        let (Ok(first), second) = (&first.outcome.report, &second.outcome.report) else { return };
        let second = match second {
            Ok(second) => second,
            Err(why) => return self.error(format!("collect: failed the second time: {why}")),
        };
        let names = |points: &[Point]| points.iter().map(|point| point.key.clone()).collect::<BTreeSet<_>>();
        if let Some(name) = names(&first.points).symmetric_difference(&names(&second.points)).next() {
            self.warning(format!("collect: '{name}' was reported only one time of two"));
        }
    }

    /// Checks that equal responses give equal metrics. `when` completes "failed …".
    fn compare(&mut self, first: &Collected, again: &Collected, when: &str) {
        let Ok(first) = &first.outcome.report else { return };
        let second = match &again.outcome.report {
            Ok(second) => second,
            Err(why) => return self.error(format!("collect: failed {when}: {}", again.told(&why.to_string()))),
        };
        let values =
            |points: &[Point]| points.iter().map(|point| (point.key.clone(), point.value)).collect::<BTreeMap<_, _>>();
        let (once, again) = (values(&first.points), values(&second.points));
        let keys: BTreeSet<&String> = once.keys().chain(again.keys()).collect();
        // Bit by bit: equal responses give equal values.
        let other =
            keys.into_iter().find(|key| once.get(*key).map(|v| v.to_bits()) != again.get(*key).map(|v| v.to_bits()));
        let shown = |value: Option<&f64>| value.map_or("nothing".to_owned(), f64::to_string);
        if let Some(key) = other {
            let (once, again) = (shown(once.get(key)), shown(again.get(key)));
            self.error(format!("collect: '{key}' is {once}, and {again} {when}, for the same responses"));
        } else if first.time != second.time {
            self.error(format!("collect: the report's time differs {when}: it must be the target's"));
        }
    }

    fn has_errors(&self) -> bool {
        self.0.iter().any(|(weight, _)| *weight == Weight::Error)
    }

    /// Prints the metrics, and the findings after them.
    fn print(mut self, metrics: &str) -> Result<ExitCode, Error> {
        self.0.sort_by_key(|(weight, _)| *weight);
        let mut text = metrics.to_owned();
        for (weight, what) in &self.0 {
            let weight = match weight {
                Weight::Error => "error",
                Weight::Warning => "warning",
                Weight::Note => "note",
            };
            let _ = writeln!(text, "{weight}: {}", crate::text::escape(what));
        }
        protocol::print(&text)?;
        Ok(if self.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
