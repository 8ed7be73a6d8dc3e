//! Finding: from the operator's choice to a list of targets, and of containers that are not targets.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use crate::address::Address;
use crate::diagnostics::Diagnostics;
use crate::ecs::{self, Instance, Kind, Task, TaskContainer, TaskListing};
use crate::engine::{self, Container, Engine, EngineHost, Unreadable};
use crate::kernel::interface::Bridges;
use crate::kernel::own;
use crate::moment::Moment;
use crate::pipeline::infrastructure::{self, Infrastructure};
use crate::pipeline::label::LabelPrefix;
use crate::pipeline::process::Processes;
use crate::pipeline::route::{AddressOptions, Reachability};
use crate::pipeline::shared_network::{self, Listed};
use crate::pipeline::skip::Skip;
use crate::pipeline::skip_reason::SkipReason;
use crate::pipeline::source::{Selected, SourceKind};
use crate::pipeline::target::{self, Target, Wanted};
use crate::pipeline::task::{self, TaskFilters};
use crate::sandbox::Scope;
use crate::sandbox::container::{State, StatsReader};
use crate::stats::task::TaskReader;
use crate::stats::{self, AllowedSource, Reader};
use crate::stop::Stop;

/// The operator's choice of targets.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// The kind of source.
    pub source: Selected,
    /// Fixed endpoints.
    pub fixed: Vec<Address>,
    /// The filters, as keys and values.
    pub filters: Vec<(String, String)>,
    /// The filters, if this program applies them itself.
    pub task_filters: TaskFilters,
    /// The containers to leave out.
    pub skips: Vec<Skip>,
    /// True to take the containers of orchestrators too.
    pub include_infrastructure: bool,
    /// The port within the containers, or `None` for the only published one.
    pub container_port: Option<u16>,
    /// The engine's URL, or `None` for the environment's or the default.
    pub engine: Option<String>,
    /// The choice of addresses.
    pub addresses: AddressOptions,
    /// The beginning of the labels that choose the targets, if they do.
    pub labels: Option<LabelPrefix>,
}

/// The targets of a run, and the containers that are not targets.
pub struct Found {
    /// The source of the targets.
    pub source: Rc<Source>,
    /// The targets, in the same order in every run.
    pub targets: Vec<Target>,
    /// The containers that were skipped, by name.
    pub skipped: Vec<Skipped>,
    /// The entries of the engine's list that cannot be read.
    pub unreadable: Unreadable,
    /// The number of endpoints that faults in labels cost.
    pub faulty: usize,
    /// The processes of the containers, if they are on this machine.
    pub processes: Rc<Processes>,
    /// The time at which the list was complete.
    pub listed: Moment,
}

/// The source of targets.
pub enum Source {
    /// Endpoints that the operator named.
    Fixed,
    /// A container engine.
    Engine(Engine),
    /// The ECS task in which this program runs.
    EcsTask(Box<TaskSource>),
}

/// A task, and its containers beside the targets.
pub struct TaskSource {
    /// The task.
    pub task: Task,
    /// The containers that do not match the filters, with the reason.
    pub unlisted: Vec<(Container, String)>,
    /// The restarts and the health of all containers, by id.
    states: Arc<HashMap<String, State>>,
}

impl TaskSource {
    /// A task with `containers`, of which `unlisted` do not match the filters.
    pub fn new(task: Task, unlisted: Vec<(Container, String)>, containers: &[TaskContainer]) -> TaskSource {
        let states = containers.iter().map(|one| (one.container.id.clone(), stats::task::state(one))).collect();
        TaskSource { task, unlisted, states: Arc::new(states) }
    }
}

/// A source that does not list its containers.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The engine, which nobody named, and there is no ECS task.
    #[error("{0}; not in an ECS task either: {variable} is not set", variable = ecs::VARIABLE)]
    NeitherEngineNorTask(#[source] engine::Error),
    /// The ECS task.
    #[error(transparent)]
    Task(#[from] ecs::Error),
}

impl From<FindError> for crate::error::Error {
    fn from(error: FindError) -> crate::error::Error {
        match error {
            FindError::Engine(error) => error.into(),
            FindError::NeitherEngineNorTask(_) => crate::error::Error::failed(error),
            FindError::Task(error) => error.into(),
        }
    }
}

impl Source {
    /// Returns the engine, if the targets are its containers.
    pub fn engine(&self) -> Option<&Engine> {
        match self {
            Source::Engine(engine) => Some(engine),
            Source::Fixed | Source::EcsTask(_) => None,
        }
    }

    /// Returns the reader of the stats of `containers`, which come from this source.
    pub fn stats<'a>(
        &self,
        allowed: AllowedSource,
        containers: impl Iterator<Item = &'a Container>,
    ) -> Option<Arc<dyn StatsReader>> {
        match self {
            Source::Fixed => None,
            Source::Engine(engine) => Some(Arc::new(Reader::new(allowed, engine, containers))),
            Source::EcsTask(of) => Some(Arc::new(TaskReader::new(&of.task, &of.states))),
        }
    }
}

/// An engine's containers, and their circumstances.
pub struct EngineList {
    /// The engine.
    pub engine: Engine,
    /// The containers.
    pub containers: Vec<Container>,
    /// The entries that cannot be read.
    pub unreadable: Unreadable,
    /// The time at which the list was complete.
    pub listed: Moment,
    /// The circumstances.
    pub around: Surroundings,
}

/// The circumstances of the containers of an engine's list.
pub struct Surroundings {
    /// The properties that decide which addresses can be reached.
    pub reachability: Reachability,
    /// The owners of networks that are not in the list.
    pub owners: Vec<Container>,
    /// The id of the container in which this program runs.
    pub own: Option<String>,
}

impl Surroundings {
    /// Circumstances that do not matter, because no address is used.
    fn unknown(engine: &Engine) -> Surroundings {
        Surroundings { reachability: Reachability::published(engine.host()), owners: Vec::new(), own: None }
    }
}

/// Returns the container in which this program runs, if it is one of the engine's. Only then is the engine asked.
async fn own_container(engine: &Engine, listed: &[Container]) -> Option<Container> {
    let id = own::container_id()?;
    let of_list = listed.iter().find(|container| container.id == id).cloned();
    match of_list {
        Some(own) => Some(own),
        None => engine.containers_by_id([id.as_str()]).await.into_iter().find(|container| container.id == id),
    }
}

/// Sorts targets by the names of their containers, so that the lines of one run are in the order of the last run's.
/// Engines list by age.
pub fn sort(targets: &mut [Target]) {
    targets.sort_by_cached_key(|target| target.container.as_ref().map(|of| (of.name.clone(), of.id.clone())));
}

/// A container that is not a target.
pub struct Skipped {
    /// The container.
    pub container: Container,
    /// The reason.
    pub reason: SkipReason,
}

impl Discovery {
    /// Finds the targets of a collector with this scope.
    ///
    /// # Errors
    /// If the source does not return a list of containers.
    pub async fn find(&self, scope: Scope, stop: &mut Stop) -> Result<Found, FindError> {
        let mut found = match self.source.kind {
            SourceKind::Fixed => self.fixed_targets(),
            SourceKind::Engine => self.find_in_engine(scope, stop).await?,
            SourceKind::EcsTask => self.find_in_task(scope, stop).await?,
        };
        found.skipped.sort_by(|a, b| a.container.name.cmp(&b.container.name));
        Ok(found)
    }

    fn fixed_targets(&self) -> Found {
        let addresses: BTreeSet<&Address> = self.fixed.iter().collect();
        let targets = addresses.into_iter().cloned().map(Target::fixed).collect();
        Found::new(Source::Fixed, targets, Vec::new(), Unreadable::default())
    }

    async fn find_in_engine(&self, scope: Scope, stop: &mut Stop) -> Result<Found, FindError> {
        let EngineList { engine, containers, unreadable, listed, around } = self.list(scope, stop).await?;
        let (targets, skipped) = self.choose(scope, &containers, &around);
        let processes = Rc::new(around.reachability.processes);
        Ok(Found { processes, listed, ..Found::new(Source::Engine(engine), targets, skipped, unreadable) })
    }

    /// Lists the containers of the engine. Their circumstances are read if a collector of `scope` needs them.
    ///
    /// # Errors
    /// If the engine does not return a list.
    pub async fn list(&self, scope: Scope, stop: &mut Stop) -> Result<EngineList, FindError> {
        let list = Engine::list(&self.source.endpoints, &self.filters, stop).await;
        let (engine, mut listing) = list.map_err(|error| match error {
            engine::Error::Connect { .. } if self.source.is_guess => FindError::NeitherEngineNorTask(error),
            error => FindError::Engine(error),
        })?;
        let listed = Moment::now();
        let around = match scope {
            Scope::Container => Surroundings::unknown(&engine),
            Scope::Endpoint => self.look_around(&engine, &mut listing.containers).await,
        };
        let (containers, unreadable) = (listing.containers, listing.unreadable);
        Ok(EngineList { engine, containers, unreadable, listed, around })
    }

    /// Reads the circumstances of `containers`, and adds the ports that only the ECS agent knows.
    async fn look_around(&self, engine: &Engine, containers: &mut [Container]) -> Surroundings {
        let host = engine.host();
        let is_local = host == EngineHost::Local;
        if is_local && let Some(instance) = Instance::read(containers).await {
            for container in containers.iter_mut() {
                instance.add_ports(container);
            }
        }
        // Filters can leave out the owners of networks.
        let missing = Listed::new(containers.iter()).missing_owners();
        let owners = if missing.is_empty() { Vec::new() } else { engine.containers_by_id(missing).await };
        let ids = containers.iter().chain(&owners).map(|container| container.id.clone());
        let processes = if is_local { Processes::new(ids.collect()) } else { Processes::default() };
        let options = self.addresses.clone();
        let (networks, bridges) = (engine.networks(), Bridges::default());
        let mut reachability = Reachability { engine: host, networks, bridges, processes, options, inside: None };
        let own = if is_local { own_container(engine, containers).await } else { None };
        if let Some(own) = &own {
            reachability.look_from(own);
        }
        Surroundings { reachability, owners, own: own.map(|own| own.id) }
    }

    /// Makes targets of the containers of a list.
    fn choose(&self, scope: Scope, containers: &[Container], around: &Surroundings) -> (Vec<Target>, Vec<Skipped>) {
        let Surroundings { reachability, owners, own } = around;
        let listed = Listed::new(containers.iter().chain(owners));
        let wanted = self.container_port.map(Wanted::by_option);
        let (mut targets, mut skipped) = (Vec::new(), Vec::new());
        for container in containers {
            let chosen = match self.left_out(container) {
                Some(reason) => Err(reason),
                None if own.as_ref() == Some(&container.id) => Err(SkipReason::OwnContainer),
                None => target::choose(container, listed.owner(container), scope, wanted, reachability),
            };
            match chosen {
                Ok(target) => targets.push(target),
                Err(reason) => skipped.push(Skipped { container: container.clone(), reason }),
            }
        }
        sort(&mut targets);
        let served = shared_network::one_per_port(&mut targets, &listed, &reachability.processes);
        skipped.extend(served.into_iter().map(|(container, reason)| Skipped { container, reason }));
        (targets, skipped)
    }

    async fn find_in_task(&self, scope: Scope, stop: &mut Stop) -> Result<Found, ecs::Error> {
        let (task, TaskListing { containers, unreadable }) = Task::list(stop).await?;
        let (mut targets, mut skipped, mut unlisted) = (Vec::new(), Vec::new(), Vec::new());
        for one in &containers {
            if !self.task_filters.match_container(&one.container) {
                unlisted.push((one.container.clone(), format!("does not match {}", engine::as_typed(&self.filters))));
                continue;
            }
            let chosen = match self.left_out_of_task(one) {
                Some(reason) => Err(reason),
                None => task::choose(one, scope, self.container_port.map(Wanted::by_option)),
            };
            match chosen {
                Ok(target) => targets.push(target),
                Err(reason) => skipped.push(Skipped { container: one.container.clone(), reason }),
            }
        }
        for (container, reason) in task::take_ambiguous(&mut targets) {
            skipped.push(Skipped { container, reason });
        }
        sort(&mut targets);
        let source = Source::EcsTask(Box::new(TaskSource::new(task, unlisted, &containers)));
        Ok(Found::new(source, targets, skipped, unreadable))
    }

    /// Returns the reason for which a container of a task is left out, whatever its state and ports.
    pub fn left_out_of_task(&self, one: &TaskContainer) -> Option<SkipReason> {
        if one.is_own {
            return Some(SkipReason::OwnContainer);
        }
        let infrastructure = match one.kind {
            // Labels can be missing, but the name is that of the label.
            Kind::Normal if one.container.name.starts_with("ecs-service-connect-") => Infrastructure::ServiceConnect,
            Kind::Normal => return self.left_out(&one.container),
            Kind::Pause => Infrastructure::Pause,
            Kind::Volume => Infrastructure::EcsVolume,
            Kind::Other => Infrastructure::Ecs,
        };
        let infrastructure = (!self.include_infrastructure).then_some(SkipReason::Infrastructure(infrastructure));
        self.left_out(&one.container).or(infrastructure)
    }

    /// Returns the reason for which a container is left out, whatever its state and ports.
    pub fn left_out(&self, container: &Container) -> Option<SkipReason> {
        if let Some(skip) = self.skips.iter().find(|skip| skip.matches(container)) {
            return Some(SkipReason::Skipped(skip.to_string().into()));
        }
        infrastructure::kind_of(container).filter(|_| !self.include_infrastructure).map(SkipReason::Infrastructure)
    }
}

impl Found {
    /// Containers whose processes are not visible here.
    pub fn new(
        source: impl Into<Rc<Source>>,
        targets: Vec<Target>,
        skipped: Vec<Skipped>,
        unreadable: Unreadable,
    ) -> Found {
        let (source, processes) = (source.into(), Rc::default());
        Found { source, targets, skipped, unreadable, faulty: 0, processes, listed: Moment::now() }
    }

    /// Counts the traffic of containers that share a network once. Only collectors that read stats need it.
    pub fn count_traffic_once(&mut self) {
        let others: Vec<&Container> = self.skipped.iter().map(|skipped| &skipped.container).collect();
        shared_network::count_once(&mut self.targets, &others);
    }

    /// Adds a failure for each container that should be a target and, if `verbose`, a line for each other skipped one.
    pub fn report_skipped(&self, verbose: bool, diagnostics: &mut Diagnostics) {
        self.report_unlisted(diagnostics);
        for Skipped { container, reason } in &self.skipped {
            if reason.is_failure() {
                diagnostics.fail_target(&container.name, reason);
            } else if verbose {
                diagnostics.warn_target(&container.name, format!("skipped: {}", self.reason(container, reason)));
            }
        }
    }

    /// Returns the reason for which a container is not a target, with the ports on which it listens if it has none.
    pub fn reason(&self, container: &Container, reason: &SkipReason) -> String {
        let has_no_port = matches!(reason, SkipReason::NoPublishedPort | SkipReason::NoPort(_));
        match self.processes.suggestion(&container.id, None).filter(|_| has_no_port) {
            Some(suggestion) => format!("{reason}; {suggestion}"),
            None => reason.to_string(),
        }
    }

    /// Adds one line for all entries that cannot be read. Each is a failure, because it could be a target. Endpoints
    /// with faults in their labels are failures too, and have their lines elsewhere.
    pub fn report_unlisted(&self, diagnostics: &mut Diagnostics) {
        diagnostics.count_failures(self.faulty);
        if self.unreadable.count > 0 {
            diagnostics.fail(self.unreadable.count, &self.unreadable);
        }
    }

    /// The listed containers, without those that cannot be read.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        let targets = self.targets.iter().filter_map(|target| target.container.as_ref());
        targets.chain(self.skipped.iter().map(|skipped| &skipped.container))
    }

    /// The identities of all targets, and the ids of all listed containers.
    pub fn identities(&self) -> HashSet<String> {
        let listed = self.listed_ids().into_iter().map(str::to_owned);
        listed.chain(self.targets.iter().map(Target::identity)).collect()
    }

    /// The ids of all listed containers.
    pub fn listed_ids(&self) -> HashSet<&str> {
        self.containers().map(|container| container.id.as_str()).collect()
    }
}
