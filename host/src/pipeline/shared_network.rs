//! Shared networks: containers in one network namespace have the same traffic, which is counted once.
//!
//! It is counted at the container that owns the network or, if that is not a target, at the first of the others by
//! name.

use std::collections::{BTreeMap, HashMap};

use crate::engine::Container;
use crate::pipeline::target::Target;

/// The longest chain of containers that use each other's networks. Docker allows one step.
const CHAIN: usize = 8;

/// Takes the network from each target whose traffic is counted at another one. The targets are in their final order;
/// `others` are the containers that are not targets.
pub fn count_once(targets: &mut [Target], others: &[&Container]) {
    let listed =
        Listed::new(targets.iter().filter_map(|target| target.container.as_ref()).chain(others.iter().copied()));
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

/// Ranks the containers of one network: Podman's own container of a pod, other owners, and those that use another's.
fn rank(target: &Target) -> u8 {
    match &target.container {
        Some(container) if container.network_of.is_some() => 2,
        Some(container) if container.name.ends_with("-infra") => 0,
        _ => 1,
    }
}

/// The containers of the engine's list.
struct Listed<'a> {
    by_id: BTreeMap<&'a str, &'a Container>,
    by_name: HashMap<&'a str, &'a Container>,
}

impl<'a> Listed<'a> {
    fn new(containers: impl Iterator<Item = &'a Container> + Clone) -> Listed<'a> {
        let by_id = containers.clone().map(|container| (container.id.as_str(), container)).collect();
        Listed { by_id, by_name: containers.map(|container| (container.name.as_str(), container)).collect() }
    }

    /// Identifies the network of a container.
    fn network(&self, container: &Container) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineHost, Lifecycle};
    use crate::pipeline::target;
    use crate::sandbox::Scope;

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
        let target = |container| target::choose(container, Scope::Container, None, &EngineHost::Local).unwrap();
        let mut targets: Vec<Target> = containers.iter().map(target).collect();
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
