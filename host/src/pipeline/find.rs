//! Finding: from the operator's choice to a list of targets, and of containers that are not targets.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::address::Address;
use crate::diagnostics::Diagnostics;
use crate::engine::{self, Container, Engine, EngineHost, Unreadable};
use crate::kernel::interface::Bridges;
use crate::moment::Moment;
use crate::pipeline::infrastructure;
use crate::pipeline::process::Processes;
use crate::pipeline::route::{AddressChoice, Reachability};
use crate::pipeline::shared_network::{self, Listed};
use crate::pipeline::skip::Skip;
use crate::pipeline::skip_reason::SkipReason;
use crate::pipeline::target::{self, Target};
use crate::sandbox::Scope;
use crate::sandbox::container::StatsReader;
use crate::stats::{AllowedSource, Reader};
use crate::stop::Stop;

/// The operator's choice of targets.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// Fixed endpoints. If there are any, no engine is used.
    pub fixed: Vec<Address>,
    /// The engine's filters, as keys and values.
    pub filters: Vec<(String, String)>,
    /// The containers to leave out.
    pub skips: Vec<Skip>,
    /// True to take the containers of orchestrators too.
    pub include_infrastructure: bool,
    /// The port within the containers, or `None` for the only published one.
    pub container_port: Option<u16>,
    /// The engine's URL, or `None` for the environment's or the default.
    pub engine: Option<String>,
    /// The kind of address at which containers are reached.
    pub address: AddressChoice,
    /// The network of the containers' own addresses, or `None` for any that is reachable.
    pub network: Option<String>,
}

/// The targets of a run, and the containers that are not targets.
pub struct Found {
    /// The source of the targets.
    pub source: Source,
    /// The targets, in the same order in every run.
    pub targets: Vec<Target>,
    /// The containers that were skipped, by name.
    pub skipped: Vec<Skipped>,
    /// The entries of the engine's list that cannot be read.
    pub unreadable: Unreadable,
    /// The processes of the containers, if they are on this machine.
    pub processes: Processes,
    /// The time at which the list was complete.
    pub listed: Moment,
}

/// The source of targets.
pub enum Source {
    /// Endpoints that the operator named.
    Fixed,
    /// A container engine.
    Engine(Engine),
}

impl Source {
    /// Returns the engine, if the targets are its containers.
    pub fn engine(&self) -> Option<&Engine> {
        match self {
            Source::Fixed => None,
            Source::Engine(engine) => Some(engine),
        }
    }

    /// Returns the reader of the stats of `containers`, which come from this source.
    pub fn stats<'a>(
        &self,
        allowed: AllowedSource,
        containers: impl Iterator<Item = &'a Container>,
    ) -> Option<Arc<dyn StatsReader>> {
        let engine = self.engine()?;
        Some(Arc::new(Reader::new(allowed, engine, containers)))
    }
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
    /// If the engine does not return a list of containers.
    pub async fn find(&self, scope: Scope, stop: &mut Stop) -> Result<Found, engine::Error> {
        if !self.fixed.is_empty() {
            let addresses: BTreeSet<&Address> = self.fixed.iter().collect();
            let targets = addresses.into_iter().cloned().map(Target::fixed).collect();
            return Ok(Found {
                source: Source::Fixed,
                targets,
                skipped: Vec::new(),
                unreadable: Unreadable::default(),
                processes: Processes::default(),
                listed: Moment::now(),
            });
        }
        let (engine, listing) = Engine::list(self.engine.as_deref(), &self.filters, stop).await?;
        let listed = Moment::now();
        let missing = match scope {
            Scope::Endpoint => Listed::new(listing.containers.iter()).missing_owners(),
            Scope::Container => BTreeSet::new(),
        };
        // Filters can leave out the owners of networks.
        let owners = if missing.is_empty() { Vec::new() } else { engine.containers_by_id(missing).await };
        let reachability = self.reachability(&engine, listing.containers.iter().chain(&owners));
        let (targets, skipped) = self.choose(scope, &listing.containers, &owners, &reachability);
        let (unreadable, processes) = (listing.unreadable, reachability.processes);
        Ok(Found { source: Source::Engine(engine), targets, skipped, unreadable, processes, listed })
    }

    /// Makes targets of the containers of a list. `owners` are the owners of networks that are not in it.
    fn choose(
        &self,
        scope: Scope,
        containers: &[Container],
        owners: &[Container],
        reachability: &Reachability,
    ) -> (Vec<Target>, Vec<Skipped>) {
        let listed = Listed::new(containers.iter().chain(owners));
        let (mut targets, mut skipped) = (Vec::new(), Vec::new());
        for container in containers {
            let chosen = match self.left_out(container) {
                Some(reason) => Err(reason),
                None => target::choose(container, listed.owner(container), scope, self.container_port, reachability),
            };
            match chosen {
                Ok(target) => targets.push(target),
                Err(reason) => skipped.push(Skipped { container: container.clone(), reason }),
            }
        }
        // The engine lists by age. Sorted by name, the lines of one run are in the order of the last run's.
        targets.sort_by_cached_key(|target| target.container.as_ref().map(|of| (of.name.clone(), of.id.clone())));
        let served = shared_network::one_per_port(&mut targets, &listed, &reachability.processes);
        skipped.extend(served.into_iter().map(|(container, reason)| Skipped { container, reason }));
        skipped.sort_by(|a, b| a.container.name.cmp(&b.container.name));
        (targets, skipped)
    }

    /// Reads what decides which addresses of `containers` can be reached.
    fn reachability<'a>(&self, engine: &Engine, containers: impl Iterator<Item = &'a Container>) -> Reachability {
        let host = engine.host();
        let ids = containers.map(|container| container.id.clone());
        let processes = if host == EngineHost::Local { Processes::new(ids.collect()) } else { Processes::default() };
        let bridges = if self.address == AddressChoice::Published { Bridges::default() } else { Bridges::read() };
        let (networks, choice, network) = (engine.networks(), self.address, self.network.clone());
        Reachability { engine: host, networks, bridges, processes, choice, network }
    }

    /// Returns the reason for which a container is left out, whatever its state and ports.
    fn left_out(&self, container: &Container) -> Option<SkipReason> {
        if let Some(skip) = self.skips.iter().find(|skip| skip.matches(container)) {
            return Some(SkipReason::Skipped(skip.to_string().into()));
        }
        infrastructure::kind_of(container).filter(|_| !self.include_infrastructure).map(SkipReason::Infrastructure)
    }
}

impl Found {
    /// Counts the traffic of containers that share a network once. Only collectors that read stats need it.
    pub fn count_traffic_once(&mut self) {
        let others: Vec<&Container> = self.skipped.iter().map(|skipped| &skipped.container).collect();
        shared_network::count_once(&mut self.targets, &others);
    }

    /// Adds a failure for each container that should be a target and, if `verbose`, a line for each other skipped one.
    pub fn report_skipped(&self, verbose: bool, diagnostics: &mut Diagnostics) {
        self.report_unreadable(diagnostics);
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

    /// Adds one line for all entries that cannot be read. Each is a failure, because it could be a target.
    pub fn report_unreadable(&self, diagnostics: &mut Diagnostics) {
        if self.unreadable.count > 0 {
            diagnostics.fail(self.unreadable.count, &self.unreadable);
        }
    }

    /// The ids of all containers that the engine listed.
    pub fn listed_ids(&self) -> HashSet<&str> {
        let targets = self.targets.iter().filter_map(|target| target.container.as_ref());
        let skipped = self.skipped.iter().map(|skipped| &skipped.container);
        targets.chain(skipped).map(|container| container.id.as_str()).collect()
    }
}
