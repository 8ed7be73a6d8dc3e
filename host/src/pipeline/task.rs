//! Targets in an ECS task: the address of each container, seen from another container of the task.
//!
//! | network mode | address | port |
//! |---|---|---|
//! | `awsvpc` (always on Fargate), `host` | 127.0.0.1 | `--container-port`, because the metadata has no ports |
//! | `bridge` | the container's own | `--container-port`, or the only TCP port of the metadata |
//!
//! In the first row, all containers share one network, and the metadata does not show which of them listens on the
//! port. If several are candidates, the operator has to choose one: otherwise the values of one would be posted under
//! the names of all.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use crate::address::Address;
use crate::ecs::{Network, TaskContainer};
use crate::engine::{Container, Lifecycle};
use crate::pipeline::route::Routes;
use crate::pipeline::skip::Skip;
use crate::pipeline::skip_reason::SkipReason;
use crate::pipeline::target::{Target, Wanted};
use crate::sandbox::Scope;
use crate::text::{Foreign, foreign};

/// The filters that this program applies to the containers of a task: `name`, `label` and `id`.
///
/// They match as Docker's: a container has to match one of several names, one of several ids, and all labels.
#[derive(Debug, Clone, Default)]
pub struct TaskFilters {
    names: Vec<Skip>,
    labels: Vec<Skip>,
    ids: Vec<String>,
}

/// A filter that cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The metadata has nothing of this kind.
    #[error("--filter {0} cannot be used in an ECS task: available keys: name, label, id")]
    Key(Foreign),
    /// The value is wrong.
    #[error("--filter {filter}: expected {expected}")]
    Value {
        /// The filter, as typed.
        filter: Foreign,
        /// The expected form.
        expected: &'static str,
    },
}

impl TaskFilters {
    /// Checks filters, given as keys and values.
    ///
    /// # Errors
    /// If one of them cannot be applied.
    pub fn new(filters: &[(String, String)]) -> Result<TaskFilters, FilterError> {
        let mut all = TaskFilters::default();
        for (key, value) in filters {
            let filter = format!("{key}={value}");
            let rule = |expected| {
                let wrong = |_| FilterError::Value { filter: foreign(&filter), expected };
                filter.parse::<Skip>().map_err(wrong)
            };
            match key.as_str() {
                "name" => all.names.push(rule("a regular expression")?),
                "label" => all.labels.push(rule("label=KEY or label=KEY=VALUE")?),
                "id" => all.ids.push(value.clone()),
                _ => return Err(FilterError::Key(foreign(&filter))),
            }
        }
        Ok(all)
    }

    /// Returns true if the container matches.
    pub fn match_container(&self, container: &Container) -> bool {
        let is_of = |filters: &[Skip]| filters.is_empty() || filters.iter().any(|filter| filter.matches(container));
        let has_id = self.ids.is_empty() || self.ids.iter().any(|id| container.id.starts_with(id.as_str()));
        is_of(&self.names) && self.labels.iter().all(|label| label.matches(container)) && has_id
    }
}

/// Returns the filters that match none of `containers`: those that match none alone, or else all of them. It returns
/// nothing if a container matches all of them.
pub fn without_match<'f>(filters: &'f [(String, String)], containers: &[&Container]) -> Vec<&'f (String, String)> {
    let matches = |filters: &[(String, String)]| {
        let filters = TaskFilters::new(filters).unwrap_or_default();
        containers.iter().any(|container| filters.match_container(container))
    };
    let without: Vec<_> = filters.iter().filter(|filter| !matches(std::slice::from_ref(filter))).collect();
    if without.is_empty() && !matches(filters) { filters.iter().collect() } else { without }
}

/// Makes a target of a container.
///
/// # Errors
/// The reason for which the container is not a target.
pub fn choose(one: &TaskContainer, scope: Scope, wanted: Option<Wanted<'_>>) -> Result<Target, SkipReason> {
    let container = &one.container;
    if container.lifecycle != Lifecycle::Running {
        return Err(SkipReason::NotRunning(Foreign::new(&container.status)));
    }
    let target = Target::whole(container);
    if scope == Scope::Container {
        return Ok(target);
    }
    let (ip, place): (IpAddr, _) = match (one.network, shared(container)) {
        (_, Some(network)) if wanted.is_none() => return Err(SkipReason::TaskPort(network)),
        (Network::Task, _) => (Ipv4Addr::LOCALHOST.into(), "in the task's network"),
        (Network::Host, _) => (Ipv4Addr::LOCALHOST.into(), "on the host network"),
        (Network::Own(ip), _) => (ip, "at the container's own address"),
        (Network::None, _) => return Err(SkipReason::NoNetwork),
        (Network::Unknown, _) => return Err(SkipReason::NoAddress),
    };
    let (port, port_reason) = match wanted {
        Some(Wanted { port, by }) => (port, by),
        None => (only_port(container)?, "the only published port"),
    };
    let address = Address { host: ip.to_string(), port };
    let routes = Routes::only(address, place);
    Ok(Target { routes, container_port: Some(port), reason: port_reason.to_owned(), ..target })
}

/// Returns the container's port if none was chosen.
fn only_port(container: &Container) -> Result<u16, SkipReason> {
    let ports: BTreeSet<u16> = container.ports.iter().map(|port| port.container_port).collect();
    let ports: Vec<u16> = ports.into_iter().collect();
    match &ports[..] {
        [] | [_] if container.unreadable_port.is_some() => Err(SkipReason::UnreadableTaskPort),
        [port] => Ok(*port),
        [] => Err(SkipReason::NoPublishedPort),
        _ => Err(SkipReason::SeveralPorts(ports)),
    }
}

/// Returns the network that the container shares with others of the task.
fn shared(container: &Container) -> Option<&'static str> {
    match (container.interface.is_some(), container.host_network) {
        (true, _) => Some("the task's network"),
        (_, true) => Some("the host's network"),
        _ => None,
    }
}

/// Removes the targets on a shared network if there are several of them, and returns them with the reason.
pub fn take_ambiguous(targets: &mut Vec<Target>) -> Vec<(Container, SkipReason)> {
    let network_and_port = |target: &Target| {
        let container = target.container.as_ref()?;
        Some((container.clone(), shared(container)?, target.container_port?))
    };
    let sharing: Vec<(Container, &'static str, u16)> = targets.iter().filter_map(network_and_port).collect();
    if sharing.len() < 2 {
        return Vec::new();
    }
    targets.retain(|target| network_and_port(target).is_none());
    let mut names: Vec<&str> = sharing.iter().map(|(container, ..)| container.name.as_str()).collect();
    names.sort_unstable();
    let ambiguous = |(container, network, port): &(Container, &'static str, u16)| {
        let others = names.iter().filter(|name| **name != container.name).map(|name| foreign(name).to_string());
        let (name, others) = (container.name.clone(), others.collect());
        (container.clone(), SkipReason::SharedPort { network, port: *port, name, others })
    };
    sharing.iter().map(ambiguous).collect()
}
