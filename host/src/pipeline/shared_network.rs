//! Shared networks: containers in one network namespace, such as those of a task or a pod.
//!
//! - Their ports and addresses are those of the container that owns the network.
//! - A port is one target: the container whose processes listen on it or, if that is unknown, the first by rank and
//!   name.
//! - Their traffic is the same, and is counted once: at the owner or, if that is not a target, at the first of the
//!   others by name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::engine::Container;
use crate::pipeline::process::Processes;
use crate::pipeline::skip_reason::SkipReason;
use crate::pipeline::target::Target;
use crate::text::Foreign;

/// The longest chain of containers that use each other's networks. Docker allows one step.
const CHAIN: usize = 8;

/// Removes the network of each target whose traffic is counted at another one. The targets are in their final order;
/// `others` are the containers that are not targets.
pub fn count_once(targets: &mut [Target], others: &[&Container]) {
    let containers = targets.iter().filter_map(|target| target.container.as_ref()).chain(others.iter().copied());
    let listed = Listed::new(containers);
    let keys: Vec<Option<String>> =
        targets.iter().map(|target| target.container.as_ref().map(|container| listed.network(container))).collect();
    // The place of the target that counts, by network.
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (place, key) in keys.iter().enumerate() {
        let Some(key) = key else { continue };
        let first = *counts.entry(key).or_insert(place);
        if rank(&targets[place]) < rank(&targets[first]) {
            counts.insert(key, place);
        }
    }
    for (place, key) in keys.iter().enumerate() {
        let Some(counting) = key.as_deref().and_then(|key| counts.get(key)).filter(|counting| **counting != place)
        else {
            continue;
        };
        let name = targets[*counting].container.as_ref().map(|container| container.name.clone());
        if let Some(container) = &mut targets[place].container {
            container.has_interfaces = false;
        }
        targets[place].network_counted_at = name;
    }
}

/// Removes all but one of the targets with the same port of the same network, and returns the others with the
/// container that serves the port. The targets are in their final order.
pub fn one_per_port(
    targets: &mut Vec<Target>,
    listed: &Listed<'_>,
    processes: &Processes,
) -> Vec<(Container, SkipReason)> {
    let mut by_port: BTreeMap<(String, u16), Vec<usize>> = BTreeMap::new();
    for (place, target) in targets.iter().enumerate() {
        let (Some(container), Some(port)) = (&target.container, target.container_port) else { continue };
        by_port.entry((listed.network(container), port)).or_default().push(place);
    }
    let mut removed: BTreeMap<usize, SkipReason> = BTreeMap::new();
    for ((_, port), places) in by_port.into_iter().filter(|(_, places)| places.len() > 1) {
        let id = |place: usize| targets[place].container.as_ref().map(|container| container.id.as_str());
        let serves = |place: &usize| id(*place).is_some_and(|id| processes.serves(id, port));
        let first = || places.iter().copied().min_by_key(|place| rank(&targets[*place]));
        let Some(chosen) = places.iter().copied().find(serves).or_else(first) else { continue };
        let by = Foreign::new(targets[chosen].container.as_ref().map_or("", |container| container.name.as_str()));
        let others = places.into_iter().filter(|place| *place != chosen);
        removed.extend(others.map(|place| (place, SkipReason::ServedBy { port, by: by.clone() })));
    }
    let mut skipped = Vec::with_capacity(removed.len());
    // From the end, so that the other places stay.
    for (place, reason) in removed.into_iter().rev() {
        skipped.extend(targets.remove(place).container.map(|container| (container, reason)));
    }
    skipped
}

/// Ranks the containers of one network: Podman's own container of a pod, other owners, and those that use another's.
fn rank(target: &Target) -> u8 {
    match &target.container {
        Some(container) if container.network_of.is_some() => 2,
        Some(container) if container.name.ends_with("-infra") => 0,
        _ => 1,
    }
}

/// The containers of the engine's list.
pub struct Listed<'a> {
    by_id: BTreeMap<&'a str, &'a Container>,
    by_name: HashMap<&'a str, &'a Container>,
}

impl<'a> Listed<'a> {
    /// Prepares to find containers by their ids and names.
    pub fn new(containers: impl Iterator<Item = &'a Container> + Clone) -> Listed<'a> {
        let by_id = containers.clone().map(|container| (container.id.as_str(), container)).collect();
        Listed { by_id, by_name: containers.map(|container| (container.name.as_str(), container)).collect() }
    }

    /// Returns the container whose network `container` uses: itself, or another one at the end of a chain.
    ///
    /// # Errors
    /// The reason for which there is none.
    pub fn owner(&self, container: &'a Container) -> Result<&'a Container, SkipReason> {
        let mut owner = container;
        for _ in 0..CHAIN {
            let Some(reference) = &owner.network_of else { return Ok(owner) };
            owner = self.find(reference).ok_or_else(|| SkipReason::NoNetworkOwner(Foreign::new(short(reference))))?;
        }
        Err(SkipReason::NetworkCircle)
    }

    /// Returns the ids of containers whose networks are used and that are not in the list.
    pub fn missing_owners(&self) -> BTreeSet<&'a str> {
        let references = self.by_id.values().filter_map(|container| container.network_of.as_deref());
        references.filter(|reference| self.find(reference).is_none()).collect()
    }

    /// Identifies the network of a container.
    fn network(&self, container: &Container) -> String {
        if container.host_network {
            return "host".to_owned();
        }
        let (mut owner, mut least) = (container, &container.id);
        for _ in 0..CHAIN {
            let Some(reference) = &owner.network_of else {
                return owner.interface.as_ref().unwrap_or(&owner.id).clone();
            };
            let Some(next) = self.find(reference) else { return reference.clone() };
            (owner, least) = (next, least.min(&next.id));
        }
        // A circle has no owner, and the same least id from everywhere.
        least.clone()
    }

    /// Finds a container by its id, the beginning of its id, or its name.
    fn find(&self, reference: &str) -> Option<&'a Container> {
        let beginning = || {
            let (id, container) = self.by_id.range(reference..).next()?;
            (reference.len() >= SHORT_ID && id.starts_with(reference)).then_some(container)
        };
        self.by_id.get(reference).or_else(|| self.by_name.get(reference)).or_else(beginning).copied()
    }
}

/// The length of a short id.
const SHORT_ID: usize = 12;

/// Shortens an id for messages.
fn short(reference: &str) -> &str {
    reference.get(..SHORT_ID).filter(|_| reference.len() == 64).unwrap_or(reference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Lifecycle;

    fn container(name: &str, network_of: Option<&str>, interface: Option<&str>) -> Container {
        Container {
            id: format!("{name}-0123456789abcdef"),
            name: name.to_owned(),
            lifecycle: Lifecycle::Running,
            has_interfaces: true,
            network_of: network_of.map(str::to_owned),
            interface: interface.map(str::to_owned),
            ..Container::default()
        }
    }

    /// Lists `NAME` for each container that counts, and `NAME at OTHER` for the others.
    fn counted(containers: &[Container]) -> String {
        let mut targets: Vec<Target> = containers.iter().map(Target::whole).collect();
        count_once(&mut targets, &[]);
        let shown = targets.iter().map(|target| match (&target.network_counted_at, &target.container) {
            (Some(at), Some(container)) if !container.has_interfaces => format!("{} at {at}", container.name),
            (None, Some(container)) if container.has_interfaces => container.name.clone(),
            _ => panic!("{target:?}"),
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_network_is_counted_at_its_owner_by_any_reference() {
        for reference in ["web-0123456789abcdef", "web-012345678", "web"] {
            let all = [container("api", Some(reference), None), container("web", None, None)];
            assert_eq!(counted(&all), "api at web, web");
        }
    }

    #[test]
    fn a_network_without_its_owner_is_counted_at_the_first_user() {
        let of = |name| container(name, Some("pause"), None);
        assert_eq!(counted(&[of("a"), container("b", None, None), of("c")]), "a, b, c at a");
    }

    #[test]
    fn a_pod_is_counted_at_its_own_container() {
        let of = |name| container(name, None, Some("net 7e:b6 198.19.77.2"));
        let other = container("d", None, Some("net 7e:b7 198.19.77.3"));
        assert_eq!(counted(&[of("a"), of("b-infra"), of("c"), other]), "a at b-infra, b-infra, c at b-infra, d");
    }

    #[test]
    fn networks_that_refer_to_each_other_are_counted_once() {
        let all = [container("a", Some("b"), None), container("b", Some("a"), None)];
        assert_eq!(counted(&all).matches(" at ").count(), 1);
    }
}
