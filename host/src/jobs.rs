//! Jobs: the collectors of one command line. There is one, unless labels of containers choose among several.
//!
//! Several collectors share one list of containers, the deadline, the bounds of a run's memory, samples and open files,
//! and the folder of states. Each has its own options, prefix, limits of one target, totals and state: a fault of one
//! costs no other.

use std::ffi::OsString;

use clap::Args;
use futures_util::future::join_all;

use crate::diagnostics::Diagnostics;
use crate::error::Error;
use crate::job::{Collected, Job, NoOptions, load};
use crate::moment::Moment;
use crate::options::labels::{self, LabelFlags, LabelsError, WithLabels};
use crate::options::{Options, Subcommand, Typed, useless};
use crate::pipeline::collect::SharedBounds;
use crate::pipeline::find::Found;
use crate::pipeline::label::join;
use crate::pipeline::labelled::{Allowed, Faulty, FoundByLabels};
use crate::pipeline::output::PostedGraph;
use crate::pipeline::state::State;
use crate::pipeline::unmatched;
use crate::sandbox::Scope;
use crate::session::Session;
use crate::stop::Stop;

/// The collectors of one command line, at least one.
pub struct Jobs {
    /// The collectors.
    pub all: Vec<Job>,
    /// The options about labels, if they choose the collectors.
    pub labels: Option<LabelFlags>,
    /// The flags that all collectors share, as typed, if there are several.
    typed: Vec<Typed>,
    /// The reasons for which collectors cannot be used.
    unusable: Vec<Error>,
}

/// The outcomes of a run.
pub struct CollectedAll {
    /// Those of each collector.
    pub of: Vec<Collected>,
    /// The containers with faults in their labels.
    pub faulty: Vec<Faulty>,
}

impl Jobs {
    /// Checks `words`, a collector's name or `labels`, and all options, as [`Job::prepare`].
    ///
    /// # Errors
    /// If the options are wrong, or no collector can be used.
    pub async fn prepare<Own: Args>(
        session: &Session,
        subcommand: &Subcommand,
        words: &[OsString],
    ) -> Result<(Jobs, Own), Error> {
        if words.first().is_some_and(|word| word == labels::NAME) {
            return Jobs::by_labels(session, subcommand, words).await;
        }
        let (job, own) = Job::prepare(session, subcommand, words).await?;
        Ok((Jobs { all: vec![job], labels: None, typed: Vec::new(), unusable: Vec::new() }, own))
    }

    async fn by_labels<Own: Args>(
        session: &Session,
        subcommand: &Subcommand,
        words: &[OsString],
    ) -> Result<(Jobs, Own), Error> {
        let reserved = &session.reserved;
        let (options, WithLabels { own, labels }): (Options, WithLabels<Own>) =
            Options::parse(subcommand, reserved, words, &labels::description(), labels::USES)?;
        labels.check()?;
        let (mut loaded, mut unusable) = (Vec::new(), Vec::new());
        for name in labels.collectors() {
            loaded.extend(if_usable(load(session, name).await, &mut unusable)?);
        }
        let useless: Vec<Vec<String>> = loaded
            .iter()
            .map(|(component, description)| useless(subcommand, description, component.collector.uses()))
            .collect();
        if let Some(flag) = options.typed().iter().find(|typed| useless.iter().all(|of| of.contains(&typed.flag)))
            && !loaded.is_empty()
        {
            return Err(LabelsError::Useless(flag.flag.clone()).into());
        }
        let mut all: Vec<Job> = Vec::with_capacity(loaded.len());
        for ((component, description), useless) in loaded.into_iter().zip(&useless) {
            if description.scope == Scope::Endpoint && labels.every.contains(&component.name) {
                return Err(LabelsError::NeedsPort(component.name).into());
            }
            let name = component.name.clone();
            let words = labels.words(&name, options.typed(), useless);
            let job = Job::of(component, description, session, subcommand, &words).await;
            let job = if_usable(job, &mut unusable).map_err(|error| with_hint(error, &name))?;
            let Some((mut job, NoOptions {})) = job else { continue };
            job.options.discovery.labels = Some(labels.label_prefix.clone());
            let prefix = &job.options.output.prefix;
            if let Some(other) = all.iter().find(|other| other.options.output.prefix == *prefix) {
                let (first, second) = (other.component.name.clone(), job.component.name);
                return Err(LabelsError::SamePrefix { first, second, prefix: prefix.to_string() }.into());
            }
            if let Some(first) = all.first() {
                job.component.collector.share_bounds(&first.component.collector);
            }
            all.push(job);
        }
        if all.is_empty() && !unusable.is_empty() {
            return Err(unusable.swap_remove(0));
        }
        Ok((Jobs { all, labels: Some(labels), typed: options.typed().to_vec(), unusable }, own))
    }

    /// The options that all collectors share: those about containers, the deadline and the diagnostics.
    pub fn shared(&self) -> &Options {
        &self.all[0].options
    }

    /// The name on the command line.
    pub fn name(&self) -> &str {
        if self.labels.is_some() { labels::NAME } else { &self.all[0].component.name }
    }

    /// The name of the collector, or `labels`.
    pub fn subject(&self) -> &str {
        if self.labels.is_some() { labels::NAME } else { &self.all[0].description.name }
    }

    /// The flags as typed, without those of the subcommand and those for one of several collectors.
    pub fn typed(&self) -> Vec<Typed> {
        match &self.labels {
            Some(labels) => labels.typed().into_iter().chain(self.typed.iter().cloned()).collect(),
            None => self.shared().typed().to_vec(),
        }
    }

    /// The flags for one of several collectors.
    pub fn typed_of_one(&self) -> Vec<(&Job, Typed)> {
        let Some(labels) = &self.labels else { return Vec::new() };
        let all = self.all.iter().flat_map(|job| job.options.typed().iter().map(move |typed| (job, typed.clone())));
        all.filter(|(job, typed)| labels.has_option(&job.component.name, &typed.flag)).collect()
    }

    /// Starts the diagnostics with the warnings about the collectors themselves.
    pub fn diagnostics(&self) -> Diagnostics {
        let mut diagnostics = Diagnostics::new(self.name());
        for reason in &self.unusable {
            diagnostics.fail(1, reason);
        }
        for job in &self.all {
            diagnostics.absorb(job.diagnostics());
        }
        diagnostics
    }

    /// Rewrites options of one collector, as typed in a shell, for the command line of all of them.
    pub fn options_of(&self, job: &Job, options: &str) -> String {
        if self.labels.is_none() {
            return options.to_owned();
        }
        let mut rewritten: Vec<String> = Vec::new();
        for word in shlex::split(options).unwrap_or_default() {
            match (word.strip_prefix("--"), rewritten.last_mut()) {
                (None, Some(option)) => {
                    option.push('=');
                    option.push_str(&word);
                }
                (name, _) => rewritten.push(format!("{}.{}", job.component.name, name.unwrap_or(&word))),
            }
        }
        let words = rewritten.iter().flat_map(|option| ["--option", option]);
        shlex::try_join(words).unwrap_or_default()
    }

    /// All graphs that Mackerel gets.
    pub fn graphs(&self) -> Vec<PostedGraph> {
        self.all.iter().flat_map(|job| job.graphs.iter().cloned()).collect()
    }

    /// Finds the targets and collects from all of them, for a run that began at `begun`. `last` are the states of the
    /// collectors.
    ///
    /// # Errors
    /// If the engine does not return a list of containers.
    pub async fn collect(
        &self,
        session: &Session,
        begun: Moment,
        last: &[&State],
        stop: &mut Stop,
    ) -> Result<CollectedAll, Error> {
        let Some(flags) = &self.labels else {
            let collected = self.all[0].collect(begun, last[0], stop).await?;
            return Ok(CollectedAll { of: vec![collected], faulty: Vec::new() });
        };
        let allowed: Vec<Allowed<'_>> = self.all.iter().map(|job| allowed(job, flags)).collect();
        let found = self.shared().discovery.find_by_labels(&flags.label_prefix, &allowed, stop).await;
        let FoundByLabels { found, faulty } = found?;
        let bounds = SharedBounds::of(self.all.len());
        let each = self.all.iter().zip(found).zip(last).map(async |((job, found), last)| {
            let mut stop = Stop::new(session.watchdog.started(), job.options.deadline)?;
            Ok(job.collect_from(found, Vec::new(), &bounds, begun, last, &mut stop).await)
        });
        let of = join_all(each).await.into_iter().collect::<Result<_, Error>>()?;
        Ok(CollectedAll { of, faulty })
    }
}

impl CollectedAll {
    /// Returns the lines about the list of containers, which all collectors share (see [`unmatched::of_list`]).
    pub async fn unmatched(&self, jobs: &Jobs, is_thorough: bool) -> Vec<String> {
        let found: Vec<&Found> = self.of.iter().map(|collected| &collected.found).collect();
        unmatched::of_list(&jobs.shared().discovery, &found, &self.faulty, is_thorough).await
    }

    /// Adds one line for each container with faults in its labels.
    pub fn report_faulty(&self, diagnostics: &mut Diagnostics) {
        for Faulty { container, faults, collectors } in &self.faulty {
            match collectors[..] {
                // A failure of no collector.
                [] => diagnostics.fail_target(&container.name, join(faults)),
                _ => diagnostics.warn_target(&container.name, join(faults)),
            }
        }
    }
}

/// Adds the way in which an option of one collector is typed.
fn with_hint(error: Error, collector: &str) -> Error {
    match error {
        Error::Usage(source) => Error::usage(format!("{source}; with labels: --option {collector}.NAME=VALUE")),
        error => error,
    }
}

/// Takes a collector that failed out of the way of the others.
fn if_usable<T>(result: Result<T, Error>, unusable: &mut Vec<Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error @ Error::Failed(_)) => {
            unusable.push(error);
            Ok(None)
        }
        result => result.map(Some),
    }
}

fn allowed<'a>(job: &'a Job, flags: &'a LabelFlags) -> Allowed<'a> {
    let Job { component, description, options, .. } = job;
    let with_endpoint = move |endpoint: &_| {
        labels::with_endpoint(&flags.label_prefix, endpoint, description, &options.collector, options.typed())
    };
    Allowed {
        name: &component.name,
        scope: description.scope,
        by_labels: flags.allow.contains(&component.name),
        is_for_all: flags.every.contains(&component.name),
        options: Box::new(with_endpoint),
    }
}
