//! Finding by labels: from one list of containers to the targets of several collectors.
//!
//! The operator allows collectors; the labels of a container choose among them. A fault in the labels of one container
//! costs it one endpoint, and changes nothing for other containers:
//! - A port is the container's own. On the host network, where any port of the host could be named, it has to be one
//!   that the orchestrator or the kernel shows as the container's.
//! - Containers that share a network can declare the same port: each is a target of its own.

use std::rc::Rc;
use std::sync::Arc;

use crate::ecs::{Network, Task, TaskContainer, TaskListing};
use crate::engine::{Container, Unreadable, as_typed};
use crate::pipeline::find::{Discovery, EngineList, FindError, Found, Skipped, Source, TaskSource, sort};
use crate::pipeline::label::{self, Declared, Endpoint, Fault, LabelPrefix};
use crate::pipeline::shared_network::Listed;
use crate::pipeline::skip_reason::SkipReason;
use crate::pipeline::source::SourceKind;
use crate::pipeline::target::{self, Labelled, Target, Wanted};
use crate::pipeline::task;
use crate::sandbox::{OptionValue, Scope};
use crate::stop::Stop;
use crate::text::{foreign, listed, ranges};

/// The options of a collector with those of an endpoint; `None` if they are the operator's.
pub type EndpointOptions = Option<Arc<[OptionValue]>>;

/// Checks the options of an endpoint.
type OptionsOf<'a> = Box<dyn Fn(&Endpoint) -> Result<EndpointOptions, Fault> + 'a>;

/// A collector that labels can choose.
pub struct Allowed<'a> {
    /// The name.
    pub name: &'a str,
    /// The kind of its targets.
    pub scope: Scope,
    /// True if labels can choose it.
    pub by_labels: bool,
    /// True if all containers are targets, without labels.
    pub is_for_all: bool,
    /// Checks the options of an endpoint.
    pub options: OptionsOf<'a>,
}

/// The targets of several collectors.
pub struct FoundByLabels {
    /// The targets of each collector, in the order of the collectors.
    pub found: Vec<Found>,
    /// The containers with faults in their labels.
    pub faulty: Vec<Faulty>,
}

/// A container with faults in its labels.
pub struct Faulty {
    /// The container.
    pub container: Container,
    /// The faults.
    pub faults: Vec<Fault>,
    /// The collectors of the endpoints that are left out, by position.
    pub collectors: Vec<usize>,
}

impl Discovery {
    /// Finds the targets that labels with `prefix` choose for the collectors `allowed`.
    ///
    /// # Errors
    /// If the source does not return a list of containers.
    pub async fn find_by_labels(
        &self,
        prefix: &LabelPrefix,
        allowed: &[Allowed<'_>],
        stop: &mut Stop,
    ) -> Result<FoundByLabels, FindError> {
        let finder = Finder::new(prefix, allowed);
        match self.source.kind {
            SourceKind::EcsTask => Ok(self.find_labels_in_task(finder, stop).await?),
            _ => self.find_labels_in_engine(finder, stop).await,
        }
    }

    async fn find_labels_in_engine(&self, mut finder: Finder<'_>, stop: &mut Stop) -> Result<FoundByLabels, FindError> {
        let has_endpoints = finder.allowed.iter().any(|of| of.scope == Scope::Endpoint);
        let scope = if has_endpoints { Scope::Endpoint } else { Scope::Container };
        let EngineList { engine, containers, unreadable, listed, around } = self.list(scope, stop).await?;
        let all = Listed::new(containers.iter().chain(&around.owners));
        for container in &containers {
            let own = (around.own.as_ref() == Some(&container.id)).then_some(SkipReason::OwnContainer);
            let owner = || all.owner(container);
            let choose = |scope: Scope, wanted: Option<Wanted<'_>>| {
                target::choose(container, owner(), scope, wanted, &around.reachability)
            };
            let processes = &around.reachability.processes;
            let owns = |port| match owner() {
                Ok(owner) if owner.host_network => has_port(container, port) || processes.serves(&container.id, port),
                _ => true,
            };
            finder.add(container, self.left_out(container).or(own), &choose, &owns);
        }
        drop(all);
        let (source, processes) = (Rc::new(Source::Engine(engine)), Rc::new(around.reachability.processes));
        let found = finder.finish(&source, unreadable);
        let of_engine = |found: Found| Found { processes: Rc::clone(&processes), listed, ..found };
        Ok(FoundByLabels { found: found.found.into_iter().map(of_engine).collect(), ..found })
    }

    async fn find_labels_in_task(
        &self,
        mut finder: Finder<'_>,
        stop: &mut Stop,
    ) -> Result<FoundByLabels, crate::ecs::Error> {
        let (task, TaskListing { containers, unreadable }) = Task::list(stop).await?;
        let mut unlisted = Vec::new();
        for one in &containers {
            if !self.task_filters.match_container(&one.container) {
                unlisted.push((one.container.clone(), format!("does not match {}", as_typed(&self.filters))));
                continue;
            }
            let choose = |scope: Scope, wanted: Option<Wanted<'_>>| task::choose(one, scope, wanted);
            let owns = |port| !is_on_host_network(one) || has_port(&one.container, port);
            finder.add(&one.container, self.left_out_of_task(one), &choose, &owns);
        }
        let source = Source::EcsTask(Box::new(TaskSource::new(task, unlisted, &containers)));
        Ok(finder.finish(&Rc::new(source), unreadable))
    }
}

fn has_port(container: &Container, port: u16) -> bool {
    container.ports.iter().any(|of| of.container_port == port)
}

fn is_on_host_network(one: &TaskContainer) -> bool {
    matches!(one.network, Network::Host)
}

/// The targets that are found so far.
struct Finder<'a> {
    prefix: &'a LabelPrefix,
    allowed: &'a [Allowed<'a>],
    of: Vec<(Vec<Target>, Vec<Skipped>)>,
    faulty: Vec<Faulty>,
}

/// The reason for which an endpoint is not a target.
enum Refusal {
    /// Its labels are wrong.
    Fault(Fault),
    /// The container cannot be a target now.
    Skipped(SkipReason),
}

type Choose<'c> = &'c dyn Fn(Scope, Option<Wanted<'_>>) -> Result<Target, SkipReason>;

impl<'a> Finder<'a> {
    fn new(prefix: &'a LabelPrefix, allowed: &'a [Allowed<'a>]) -> Finder<'a> {
        let of = allowed.iter().map(|_| (Vec::new(), Vec::new())).collect();
        Finder { prefix, allowed, of, faulty: Vec::new() }
    }

    /// Adds the targets of one container. `owns` returns true if a port is the container's own.
    fn add(
        &mut self,
        container: &Container,
        left_out: Option<SkipReason>,
        choose: Choose<'_>,
        owns: &dyn Fn(u16) -> bool,
    ) {
        let skipped = |reason| Skipped { container: container.clone(), reason };
        if let Some(reason) = left_out {
            self.of.iter_mut().for_each(|(_, of)| of.push(skipped(reason.clone())));
            return;
        }
        let Declared { endpoints, mut faults, faulty_collectors } = self.prefix.endpoints(&container.labels);
        let position = |name: &str| self.allowed.iter().position(|of| of.by_labels && of.name == name);
        let mut failed: Vec<usize> = faulty_collectors.iter().filter_map(|name| position(name)).collect();
        let mut is_chosen = vec![false; self.allowed.len()];
        for endpoint in endpoints {
            let Some(position) = position(&endpoint.collector) else {
                faults.push(self.not_allowed(&endpoint));
                continue;
            };
            is_chosen[position] = true;
            match self.target(&self.allowed[position], &endpoint, choose, owns) {
                Ok(target) => self.of[position].0.push(target),
                Err(Refusal::Skipped(reason)) => self.of[position].1.push(skipped(reason)),
                Err(Refusal::Fault(fault)) => {
                    faults.push(fault);
                    failed.push(position);
                }
            }
        }
        for (position, allowed) in self.allowed.iter().enumerate().filter(|(position, _)| !is_chosen[*position]) {
            let (targets, others) = &mut self.of[position];
            if !allowed.is_for_all {
                let (key, collector) = (self.prefix.key(None, label::COLLECTOR), allowed.name.to_owned());
                others.push(skipped(SkipReason::NoLabel { key, collector }));
                continue;
            }
            match choose(Scope::Container, None) {
                Ok(target) => targets.push(target),
                Err(reason) => others.push(skipped(reason)),
            }
        }
        if !faults.is_empty() {
            self.faulty.push(Faulty { container: container.clone(), faults, collectors: failed });
        }
    }

    fn not_allowed(&self, endpoint: &Endpoint) -> Fault {
        let names: Vec<&str> = self.allowed.iter().filter(|of| of.by_labels).map(|of| of.name).collect();
        let key = self.prefix.key(endpoint.index, label::COLLECTOR);
        let (collector, names) = (foreign(&endpoint.collector), listed(&names));
        Fault::new(&key, format!("collector {collector} is not allowed; --allow has {names}"))
    }

    fn target(
        &self,
        allowed: &Allowed<'_>,
        endpoint: &Endpoint,
        choose: Choose<'_>,
        owns: &dyn Fn(u16) -> bool,
    ) -> Result<Target, Refusal> {
        let fault =
            |key: &str, reason: String| Refusal::Fault(Fault::new(&self.prefix.key(endpoint.index, key), reason));
        let options = (allowed.options)(endpoint).map_err(Refusal::Fault)?;
        if let Some(port) = endpoint.port {
            if allowed.scope == Scope::Container {
                let name = allowed.name;
                return Err(fault(label::PORT, format!("{name} collects from whole containers, not from ports")));
            }
            if !owns(port) {
                let reason = "the container uses the host network, and is not seen to listen on this port";
                return Err(fault(label::PORT, format!("{reason} (only root can see it)")));
            }
        }
        let by = endpoint.describe(self.prefix);
        let wanted = endpoint.port.map(|port| Wanted { port, by: &by });
        let mut target = choose(allowed.scope, wanted).map_err(|reason| match missing_port(&reason) {
            _ if matches!(reason, SkipReason::NotRunning(_) | SkipReason::Restarting(_)) => Refusal::Skipped(reason),
            Some(missing) => fault(label::PORT, format!("missing: {missing}")),
            None if matches!(reason, SkipReason::NoPort(_)) => fault(label::PORT, format!("the container {reason}")),
            None => fault(endpoint.port.map_or(label::COLLECTOR, |_| label::PORT), reason.to_string()),
        })?;
        if endpoint.port.is_none() {
            target.reason = format!("{}, {by}", target.reason);
        }
        let (index, name) = (endpoint.index, endpoint.name.clone());
        Ok(Target { labelled: Some(Labelled { index, name, options }), ..target })
    }

    /// Sorts the targets. Entries that cannot be read are reported once.
    fn finish(self, source: &Rc<Source>, unreadable: Unreadable) -> FoundByLabels {
        let mut unreadable = Some(unreadable);
        let faulty = self.faulty;
        let found = self.of.into_iter().enumerate().map(|(position, (mut targets, mut skipped))| {
            sort(&mut targets);
            skipped.sort_by(|a, b| a.container.name.cmp(&b.container.name));
            let of_collector = faulty.iter().flat_map(|one| &one.collectors).filter(|of| **of == position);
            let unreadable = unreadable.take().unwrap_or_default();
            Found { faulty: of_collector.count(), ..Found::new(Rc::clone(source), targets, skipped, unreadable) }
        });
        FoundByLabels { found: found.collect(), faulty }
    }
}

/// Returns the reason for which a port has to be named.
fn missing_port(reason: &SkipReason) -> Option<String> {
    Some(match reason {
        SkipReason::SeveralPorts(ports) => format!("the container publishes several ports ({})", ranges(ports)),
        SkipReason::NoPublishedPort => "the container publishes no TCP port".to_owned(),
        SkipReason::HostNetwork => "the container uses the host network".to_owned(),
        SkipReason::TaskPort(network) => format!("the container shares {network}"),
        SkipReason::UnreadableTaskPort => "a port in the task metadata cannot be read".to_owned(),
        _ => return None,
    })
}
