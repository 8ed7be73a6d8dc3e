//! Targets: the container and port of one sandbox, decided from the engine's list alone.
//!
//! The rules, in this order:
//! - A container that the operator leaves out, or of an orchestrator's own, is not a target (see
//!   [`find`](super::find)).
//! - A container that is not running is not a target. If it is restarting, it should be one.
//! - `--container-port` names the port. Without it the container must publish exactly one TCP port.
//! - A port that the list does not have is a target if the container listens on it.
//! - A container that uses another's network has the ports and addresses of that one.
//!
//! The addresses are those of [`route`](super::route).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::address::Address;
use crate::engine::{Container, Lifecycle};
use crate::kernel::process::Process;
use crate::pipeline::route::{Networked, Reachability, Routes};
use crate::pipeline::skip_reason::SkipReason;
use crate::sandbox::{OptionValue, Scope};
use crate::text::{Foreign, foreign};

/// The target of one sandbox.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The addresses in the order in which they are tried; none for collectors of whole containers.
    pub routes: Routes,
    /// The container, or `None` for `--target`.
    pub container: Option<Container>,
    /// The port within the container.
    pub container_port: Option<u16>,
    /// The id of the container that owns the network, if that is another one.
    pub network_owner: Option<String>,
    /// A process of the container, if this one sees any.
    pub process: Option<Process>,
    /// The reason for this port, for `explain`.
    pub reason: String,
    /// The name of the container at which the traffic of its network is counted, if that is another one.
    pub network_counted_at: Option<String>,
    /// The endpoint that the container's labels declare, or `None` if the operator chose the container.
    pub labelled: Option<Labelled>,
}

/// An endpoint that labels declare.
#[derive(Debug, Clone, Default)]
pub struct Labelled {
    /// The index in the keys of the labels.
    pub index: Option<u16>,
    /// The beginning of the name in metric names.
    pub name: Option<String>,
    /// The options of the collector, if they differ from the operator's.
    pub options: Option<Arc<[OptionValue]>>,
}

/// A port that was chosen, and by which option or label.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The container's port.
    pub port: u16,
    /// The option or the label.
    pub by: &'a str,
}

impl Wanted<'_> {
    /// The port of `--container-port`.
    pub fn by_option(port: u16) -> Wanted<'static> {
        Wanted { port, by: "--container-port" }
    }
}

impl Target {
    /// A target that the operator named by its address.
    pub fn fixed(address: Address) -> Target {
        let (routes, reason) = (Routes::only(address, "--target"), "--target".to_owned());
        Target { routes, container: None, reason, ..Target::default() }
    }

    /// A whole container, without an address.
    pub fn whole(container: &Container) -> Target {
        let reason = "the whole container".to_owned();
        Target { container: Some(container.clone()), reason, ..Target::default() }
    }

    /// The address that is tried first, or `None` for collectors of whole containers.
    pub fn address(&self) -> Option<&Address> {
        self.routes.usable.first().map(|route| &route.address)
    }

    /// Formats the container's name and the address that is in this place among those that are tried.
    pub fn at(&self, place: usize) -> String {
        let address = self.routes.usable.get(place).map(|route| &route.address);
        match (&self.container, address) {
            (Some(container), Some(address)) => format!("{} ({address})", container.name),
            (Some(container), None) => container.name.clone(),
            (None, address) => address.map(Address::to_string).unwrap_or_default(),
        }
    }

    /// Returns the reason for the port and for the address that is in this place among those that are tried.
    pub fn reason_at(&self, place: usize) -> String {
        match self.routes.usable.get(place).map(|route| route.reason.as_str()) {
            Some(reason) if reason != self.reason => format!("{}, {reason}", self.reason),
            _ => self.reason.clone(),
        }
    }

    /// Returns the key of this target in the state. A container keeps it when it is restarted.
    pub fn identity(&self) -> String {
        let identity = match (&self.container, self.container_port, self.address()) {
            (Some(container), Some(port), _) => format!("{}:{port}", container.id),
            (Some(container), None, _) => container.id.clone(),
            (None, _, Some(address)) => address.to_string(),
            (None, _, None) => String::new(),
        };
        match self.labelled.as_ref().and_then(|labelled| labelled.index) {
            Some(index) => format!("{identity}:#{index}"),
            None => identity,
        }
    }

    /// Returns true if its name port is one of the host, which no other container can have.
    pub fn has_host_port(&self) -> bool {
        self.container.as_ref().is_some_and(|container| {
            let published = container.ports.iter().filter_map(|port| Some(port.binding?.1));
            let is_published = published.into_iter().any(|port| Some(port) == self.routes.name_port);
            container.network_of.is_none() && (container.host_network || is_published)
        })
    }
}

impl fmt::Display for Target {
    /// Writes the container's name and the address that is tried first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at(0))
    }
}

/// Makes a target of `container`, which uses the network of `owner`, its own or another's.
///
/// # Errors
/// The reason for which the container is not a target.
pub fn choose(
    container: &Container,
    owner: Result<&Container, SkipReason>,
    scope: Scope,
    wanted: Option<Wanted<'_>>,
    reachability: &Reachability,
) -> Result<Target, SkipReason> {
    match container.lifecycle {
        Lifecycle::Running => {}
        Lifecycle::Restarting => return Err(SkipReason::Restarting(Foreign::new(&container.status))),
        Lifecycle::Suspended | Lifecycle::Ended => {
            return Err(SkipReason::NotRunning(Foreign::new(&container.status)));
        }
    }
    let target = Target::whole(container);
    if scope == Scope::Container {
        return Ok(target);
    }
    let owner = owner?;
    // Those of an ECS task, and of a Podman pod, are its containers' own.
    let with_ports = if container.ports.is_empty() { owner } else { container };
    let (port, port_reason) = match wanted {
        Some(Wanted { port, by }) => (chosen_port(container, with_ports, port, reachability)?, by),
        None => (only_published_port(with_ports)?, "the only published port"),
    };
    let process = reachability.processes.of(&container.id);
    let routes = reachability.routes(&Networked { container, owner, with_ports, process }, port)?;
    let is_of_other = owner.id != container.id;
    let of_network = if is_of_other { format!(", in the network of {}", foreign(&owner.name)) } else { String::new() };
    Ok(Target {
        routes,
        container_port: Some(port),
        network_owner: is_of_other.then(|| owner.id.clone()),
        process,
        reason: format!("{port_reason}{of_network}"),
        ..target
    })
}

/// Returns the port that the operator chose, if the container has it.
fn chosen_port(
    container: &Container,
    owner: &Container,
    port: u16,
    reachability: &Reachability,
) -> Result<u16, SkipReason> {
    let is_listed = owner.ports.iter().any(|of| of.container_port == port);
    if is_listed || owner.host_network {
        return Ok(port);
    }
    if owner.is_on_ingress {
        return Err(SkipReason::OnIngress);
    }
    let listening = reachability.processes.listening(&container.id);
    match (listening, &owner.unreadable_port) {
        (Some(listening), _) if listening.has(port) => Ok(port),
        (_, Some(port)) => Err(SkipReason::UnreadablePort(port.clone())),
        // Nothing says that it has other ports.
        (None, None) if owner.ports.is_empty() && !owner.networks.is_empty() && reachability.is_near() => Ok(port),
        (_, None) => Err(SkipReason::NoPort(port)),
    }
}

/// Returns the container's port if none was chosen.
fn only_published_port(container: &Container) -> Result<u16, SkipReason> {
    let published = container.ports.iter().filter(|port| port.binding.is_some());
    let ports: BTreeSet<u16> = published.map(|port| port.container_port).collect();
    let ports: Vec<u16> = ports.into_iter().collect();
    match (&ports[..], &container.unreadable_port) {
        ([] | [_], Some(port)) => Err(SkipReason::UnreadablePort(port.clone())),
        ([port], None) => Ok(*port),
        ([], None) if container.host_network => Err(SkipReason::HostNetwork),
        ([], None) if container.is_on_ingress => Err(SkipReason::OnIngress),
        ([], None) => Err(SkipReason::NoPublishedPort),
        _ => Err(SkipReason::SeveralPorts(ports)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineHost, Network, NetworkPlace, Port};
    use crate::kernel::interface::Bridges;

    fn container(ports: &[(u16, Option<(&str, u16)>)]) -> Container {
        let port = |&(container_port, binding): &(u16, Option<(&str, u16)>)| Port {
            container_port,
            binding: binding.map(|(ip, port)| (ip.parse().unwrap(), port)),
        };
        Container {
            id: "5bde56".repeat(10),
            name: "api-1".to_owned(),
            lifecycle: Lifecycle::Running,
            status: "Up 8 minutes".to_owned(),
            ports: ports.iter().map(port).collect(),
            networks: vec![network("bridge", "172.17.0.2", 16, "172.17.0.1")],
            ..Container::default()
        }
    }

    fn network(name: &str, address: &str, prefix: u8, gateway: &str) -> Network {
        let (name, id) = (name.to_owned(), String::new());
        Network { name, id, address: address.parse().unwrap(), prefix, gateway: gateway.parse().ok() }
    }

    /// Formats the target, or the reason in brackets.
    fn chosen(container: &Container, wanted: Option<u16>, engine: &EngineHost) -> String {
        let reachability = Reachability {
            bridges: Bridges::new(&[("172.17.0.1", 16)]),
            networks: NetworkPlace::Here,
            ..Reachability::published(engine.clone())
        };
        let wanted = wanted.map(Wanted::by_option);
        match choose(container, Ok(container), Scope::Endpoint, wanted, &reachability) {
            Ok(target) => target.to_string(),
            Err(reason) if reason.is_failure() => format!("[! {reason}]"),
            Err(reason) => format!("[{reason}]"),
        }
    }

    fn local(container: &Container, wanted: Option<u16>) -> String {
        chosen(container, wanted, &EngineHost::Local)
    }

    const EVERYWHERE: &str = "0.0.0.0";

    #[test]
    fn the_only_published_port_is_dialled_at_its_bind_address() {
        for (ip, address) in [
            ("0.0.0.0", "127.0.0.1:32768"),
            ("127.0.0.1", "127.0.0.1:32768"),
            ("10.1.2.3", "10.1.2.3:32768"),
            ("::", "[::1]:32768"),
            ("fd00::1", "[fd00::1]:32768"),
        ] {
            assert_eq!(local(&container(&[(8080, Some((ip, 32768)))]), None), format!("api-1 ({address})"));
        }
    }

    #[test]
    fn a_port_published_twice_is_one_target_at_ipv4_and_the_lowest_port() {
        let twice = [(8080, Some(("::", 32000))), (8080, Some((EVERYWHERE, 32769))), (8080, Some((EVERYWHERE, 32768)))];
        assert_eq!(local(&container(&twice), None), "api-1 (127.0.0.1:32768)");
    }

    #[test]
    fn several_published_ports_are_listed_with_the_option_that_chooses_one() {
        let several = [(9090, Some((EVERYWHERE, 32769))), (8080, Some((EVERYWHERE, 32768))), (7070, None)];
        let expected = "[! publishes several ports (8080, 9090): choose one, such as --container-port 8080]";
        assert_eq!(local(&container(&several), None), expected);
        assert_eq!(local(&container(&several), Some(9090)), "api-1 (127.0.0.1:32769)");
    }

    #[test]
    fn a_container_without_the_port_is_skipped() {
        assert_eq!(local(&container(&[]), None), "[publishes no TCP port]");
        assert_eq!(local(&container(&[(8080, None)]), None), "[publishes no TCP port]");
        assert_eq!(local(&container(&[(8080, Some((EVERYWHERE, 1)))]), Some(80)), "[has no TCP port 80]");
        let paused =
            Container { lifecycle: Lifecycle::Suspended, status: "Up 8 minutes (Paused)".to_owned(), ..container(&[]) };
        assert_eq!(local(&paused, None), "[not running (Up 8 minutes (Paused))]");
    }

    #[test]
    fn a_chosen_exposed_port_is_dialled_at_the_containers_own_address() {
        assert_eq!(local(&container(&[(8080, None)]), Some(8080)), "api-1 (172.17.0.2:8080)");
        let without_address = Container { networks: Vec::new(), ..container(&[(8080, None)]) };
        assert_eq!(
            local(&without_address, Some(8080)),
            "[TCP port 8080 is not published, and the container has no network of the engine: as root, try --enter-network]"
        );
        let mut elsewhere = container(&[(8080, None)]);
        elsewhere.networks = vec![network("lan", "192.168.7.9", 24, "192.168.7.1")];
        let expected = "[TCP port 8080 is not published: publish it; own address 192.168.7.9:8080: not on a bridge of this machine (try --address direct)]";
        assert_eq!(local(&elsewhere, Some(8080)), expected);
    }

    #[test]
    fn on_the_host_network_the_container_port_is_the_host_port() {
        let host = || Container { host_network: true, networks: Vec::new(), ..container(&[]) };
        assert_eq!(local(&host(), Some(8080)), "api-1 (127.0.0.1:8080)");
        let expected = "[uses the host network: name the port with --container-port]";
        assert_eq!(local(&host(), None), expected);
    }

    #[test]
    fn ports_of_a_remote_engine_are_dialled_on_its_machine() {
        let engine = EngineHost::Remote("docker.example".to_owned());
        let at = |ip: &str| chosen(&container(&[(8080, Some((ip, 32768)))]), None, &engine);
        assert_eq!(at("0.0.0.0"), "api-1 (docker.example:32768)");
        assert_eq!(at("10.1.2.3"), "api-1 (10.1.2.3:32768)");
        assert_eq!(at("127.0.0.1"), "[TCP port 8080 is bound to a loopback address of the engine's machine]");
        let expected =
            "[TCP port 8080 is not published: publish it; own address 172.17.0.2:8080: on the engine's machine]";
        assert_eq!(chosen(&container(&[(8080, None)]), Some(8080), &engine), expected);
    }
}
