//! `test`: tests a collector on one target or on a recording, and checks it against the contract.
//!
//! | command | target | expected the second time |
//! |---|---|---|
//! | `test COLLECTOR` | a real one | the same names |
//! | `--record DIR` | a real one through a [`recorder`], which writes a [`recording`] | the same metrics from the recording |
//! | `--replay DIR` | a [`player`] of the recording | the same metrics |
//!
//! stdout is the same for the same recording: metrics with `#` instead of the target's name, then the findings. Authors
//! keep and compare it. Times and usage go to stderr.

pub mod collected;
pub mod findings;
pub mod loopback;
pub mod played;
pub mod player;
pub mod recorder;
pub mod recording;
pub mod stats;
pub mod text;
pub mod transcript;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;

use self::collected::Collected;
use self::findings::Findings;
use self::played::Played;
use self::player::Player;
use self::recorder::Relay;
use self::recording::{Head, Recording};
use self::stats::{Recorder, Replayed};
use self::text::Secrets;
use crate::address::Address;
use crate::definition::Definitions;
use crate::diagnostics::{self, Diagnostics};
use crate::error::Error;
use crate::limits;
use crate::moment::Moment;
use crate::options::{Options, Subcommand};
use crate::pipeline::collect::{self, Context, SharedBounds};
use crate::pipeline::find::Found;
use crate::pipeline::option_check::OptionCheck;
use crate::pipeline::route::Routes;
use crate::pipeline::state::State;
use crate::pipeline::target::Target;
use crate::sandbox::activity::{Activity, Waiting};
use crate::sandbox::container::StatsReader;
use crate::sandbox::cpu::metered;
use crate::sandbox::failure::Cause;
use crate::sandbox::{Description, Scope};
use crate::session::Session;
use crate::stop::Stop;
use crate::store::component::Component;
use crate::text::foreign;

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
        ("max_metrics", ALL_METRICS),
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
    #[arg(long, value_name = "DIR", conflicts_with_all = ["record", "filters", "skips", "include_infrastructure", "container_port", "targets", "docker_host", "stats_source", "tls_server_name", "http_headers", "http_header_files", "http_user", "http_password_file", "http_bearer_token_file", "tls_ca_file", "tls_skip_verify"])]
    pub replay: Option<std::path::PathBuf>,
}

/// Tests a collector. `words` is the collector's name and all options.
///
/// # Errors
/// If it cannot be tested: wrong options, no target, an unusable recording. Faults of the collector are findings, with
/// exit status 1.
pub async fn run(session: &Session, words: &[OsString]) -> Result<ExitCode, Error> {
    let name = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    // An author waits for the compilation; the deadline of a run counts from then on.
    session.watchdog.set_deadline(limits::INSTALL_COMPILE_TIMEOUT);
    let mut component = session.store.load_patiently(&name)?;
    let begun = Instant::now();
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
    session.watchdog.set_deadline(begun - session.watchdog.started() + options.deadline);
    component.collector.set_bounds(options.bounds);
    let Some(definitions) = findings.of(component.definitions(options.collector.values()).await)? else {
        return findings.print("");
    };
    findings.compare_declarations(&component, &description, &options, &definitions).await?;

    let mut stop = Stop::new(begun, options.deadline)?;
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
    findings.print(&collected.metrics(&options.output.prefix))
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

impl Trial<'_> {
    /// Finds the one target, and the reader of its container's stats.
    async fn find_target(&self, stop: &mut Stop) -> Result<(Target, Option<Arc<dyn StatsReader>>), Error> {
        let mut diagnostics = Diagnostics::new(&self.component.name);
        let found = self.options.discovery.find(self.description.scope, stop).await?;
        found.report_skipped(self.options.verbose, &mut diagnostics);
        let Found { source, mut targets, .. } = found;
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
        let figures = source.stats(allowed, target.container.iter());
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
            bounds: &SharedBounds::of(1),
            options: self.options.collector.values(),
            option_check: OptionCheck::new(&self.component.collector, self.definitions),
            definitions: self.definitions,
            // Without state there is no need for start times.
            engine: None,
            stats: figures,
            begun: Moment::now(),
            last: &State::default(),
            idle: RefCell::default(),
            named: limits::LISTED,
            witness: None,
        };
        let begin = Instant::now();
        let activity = Activity::new(Waiting::Start);
        // Boxed, because it is large, and every future that waits for it would be.
        let (outcome, cpu) = metered(Box::pin(collect::one(&context, target, &activity))).await;
        let time = begin.elapsed();
        let led = target.address().zip(own).map(|(led, own)| (led.to_string(), own.to_string()));
        let has_address = target.address().is_some();
        let mut collected = Collected { target: String::new(), outcome, cpu, time, has_address, led };
        collected.target = collected.told(&target.to_string());
        collected
    }

    /// Tests a real target, twice.
    async fn live(&self, target: &Target, figures: Option<Arc<dyn StatsReader>>, findings: &mut Findings) -> Collected {
        let first = self.collect(target, None, figures.clone()).await;
        if findings.of_collection(&first, self.definitions, &self.options.output.prefix) {
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
        let relay = match target.address().cloned() {
            Some(address) => Some(Relay::start(address).await.map_err(Error::failed)?),
            None => None,
        };
        let recorder = figures.map(|figures| Arc::new(Recorder::new(figures)));
        let routes = relay.as_ref().map(|relay| Routes::only(relay.address(), &target.reason)).unwrap_or_default();
        let through = Target { routes, ..target.clone() };
        let figures = recorder.clone().map(|recorder| -> Arc<dyn StatsReader> { recorder });
        let first = self.collect(&through, target.address(), figures).await;
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
        findings.of_collection(&first, self.definitions, &self.options.output.prefix);
        // The response that makes a collector fail is the one to keep, if there is a whole one.
        let has_responses = match &first.outcome.report {
            Ok(_) => true,
            Err(why) => !recording.is_empty() && !matches!(why.cause, Cause::Timeout { .. }),
        };
        if !is_whole || !has_responses {
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
        if findings.of_collection(&first, self.definitions, &self.options.output.prefix) {
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
