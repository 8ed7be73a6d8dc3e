//! Targets: the address of a container that is requested, decided from the engine's list alone.
//!
//! The rules, in this order:
//! - A container that the operator leaves out, or of an orchestrator's own, is not a target (see
//!   [`find`](super::find)).
//! - A container that is not running is not a target. If it is restarting, it should be one.
//! - `--container-port` names the port. Without it the container must publish exactly one TCP port.
//! - A published port is dialled at its bind address: `127.0.0.1` for `0.0.0.0`, `::1` for `::`. The IPv4 and IPv6
//!   bindings of one port can have different host ports, so they are never mixed. Of several bindings IPv4 comes first,
//!   then the lowest port.
//! - Ports that Swarm's ingress network publishes are not in the list, and lead to any container of the service.
//! - On the host network the container's port is the host's.
//! - A port that is exposed but not published is dialled at the container's own address.
//! - An engine on another machine publishes ports there: that machine's name replaces `0.0.0.0` and `::`. A port that
//!   is bound to a loopback address, or not published, cannot be reached from here.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::Address;
use crate::engine::{Container, EngineHost, Lifecycle, Port};
use crate::pipeline::infrastructure::Infrastructure;
use crate::sandbox::Scope;
use crate::text::{Foreign, foreign, listed, ranges};

/// The target of one sandbox.
#[derive(Debug, Clone)]
pub struct Target {
    /// The address, or `None` for collectors of whole containers.
    pub address: Option<Address>,
    /// The container, or `None` for `--target`.
    pub container: Option<Container>,
    /// The port within the container.
    pub container_port: Option<u16>,
    /// The reason for this port and address, for `explain`.
    pub reason: String,
    /// The name of the container at which the traffic of its network is counted, if that is another one.
    pub network_counted_at: Option<String>,
}

impl Target {
    /// A target that the operator named by its address.
    pub fn fixed(address: Address) -> Target {
        let reason = "--target".to_owned();
        Target { address: Some(address), container: None, container_port: None, reason, network_counted_at: None }
    }

    /// Returns the key of this target in the state. A container keeps it when it is restarted.
    pub fn identity(&self) -> String {
        match (&self.container, self.container_port, &self.address) {
            (Some(container), Some(port), _) => format!("{}:{port}", container.id),
            (Some(container), None, _) => container.id.clone(),
            (None, _, Some(address)) => address.to_string(),
            (None, _, None) => String::new(),
        }
    }
}

impl fmt::Display for Target {
    /// Writes the container's name and the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.container, &self.address) {
            (Some(container), Some(address)) => write!(f, "{} ({address})", container.name),
            (Some(container), None) => f.write_str(&container.name),
            (None, Some(address)) => address.fmt(f),
            (None, None) => Ok(()),
        }
    }
}

/// The reason for which a container is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// The operator leaves it out.
    #[error("matches --skip {0}")]
    Skipped(Foreign),
    /// An orchestrator started it for itself.
    #[error("{0}, not an application (--include-infrastructure)")]
    Infrastructure(Infrastructure),
    /// Its processes do not run.
    #[error("not running ({0})")]
    NotRunning(Foreign),
    /// Its processes end again and again.
    #[error("not running ({0})")]
    Restarting(Foreign),
    /// It publishes several ports, and none was chosen.
    #[error("publishes several ports ({}): choose one, such as --container-port {}", ranges(.0), .0[0])]
    SeveralPorts(Vec<u16>),
    /// A port of the engine's list cannot be read, and it could be the right one.
    #[error("a port in the engine's list cannot be read: {0}")]
    UnreadablePort(Foreign),
    /// Swarm's ingress network publishes its ports.
    #[error("Swarm's ingress network publishes its ports and chooses the container: publish with mode=host")]
    OnIngress,
    /// It publishes no port, and none was chosen.
    #[error("publishes no TCP port")]
    NoPublishedPort,
    /// It is on the host network, where the engine's list has no ports.
    #[error("uses the host network: name the port with --container-port")]
    HostNetwork,
    /// It does not have the port that was chosen.
    #[error("has no TCP port {0}")]
    NoPort(u16),
    /// The port is exposed and cannot be reached without being published.
    #[error("TCP port {0} is not published")]
    NotPublished(u16),
    /// The port is bound to a loopback address on another machine.
    #[error("TCP port {0} is bound to a loopback address of the engine's machine")]
    LoopbackElsewhere(u16),
    /// In a task: this program runs in it.
    #[error("runs this plugin")]
    OwnContainer,
    /// In a task: it shares a network, and the metadata has no ports then.
    #[error("shares {0}, and the task metadata has no ports: name the port with --container-port")]
    TaskPort(&'static str),
    /// In a task: several containers share a network, and the port can belong to any of them.
    #[error(
        "shares {network} with {}: choose the one that listens on port {port}, such as --filter name={}",
        listed(.others), foreign(.name)
    )]
    SharedPort {
        /// The shared network.
        network: &'static str,
        /// The port.
        port: u16,
        /// The name of the container.
        name: String,
        /// The names of the other containers.
        others: Vec<String>,
    },
    /// In a task: a port of the metadata cannot be read, and it could be the right one.
    #[error("a port in the task metadata cannot be read: name the port with --container-port")]
    UnreadableTaskPort,
    /// In a task: it has no address.
    #[error("the task metadata has no address of it yet")]
    NoAddress,
    /// In a task: it has no network.
    #[error("has no network")]
    NoNetwork,
}

impl SkipReason {
    /// Returns true if the container should be a target.
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            SkipReason::SeveralPorts(_)
                | SkipReason::Restarting(_)
                | SkipReason::UnreadablePort(_)
                | SkipReason::TaskPort(_)
                | SkipReason::SharedPort { .. }
                | SkipReason::UnreadableTaskPort
                | SkipReason::NoAddress
        )
    }
}

/// Makes a target of `container`. `wanted` is the port that the operator chose.
///
/// # Errors
/// The reason for which the container is not a target.
pub fn choose(
    container: &Container,
    scope: Scope,
    wanted: Option<u16>,
    engine: &EngineHost,
) -> Result<Target, SkipReason> {
    match container.lifecycle {
        Lifecycle::Running => {}
        Lifecycle::Restarting => return Err(SkipReason::Restarting(Foreign::new(&container.status))),
        Lifecycle::Suspended | Lifecycle::Ended => {
            return Err(SkipReason::NotRunning(Foreign::new(&container.status)));
        }
    }
    let target = |address, container_port, reason| Target {
        address,
        container: Some(container.clone()),
        container_port,
        reason,
        network_counted_at: None,
    };
    if scope == Scope::Container {
        return Ok(target(None, None, "the whole container".to_owned()));
    }
    let (port, port_reason) = match wanted {
        Some(port) => (port, "--container-port"),
        None => (only_published_port(container)?, "the only published port"),
    };
    let (address, address_reason) = address_of(container, port, engine)?;
    Ok(target(Some(address), Some(port), format!("{port_reason}, {address_reason}")))
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

/// Returns the address at which `port` of the container is reached from here, and the reason.
fn address_of(container: &Container, port: u16, engine: &EngineHost) -> Result<(Address, String), SkipReason> {
    let here = |ip: IpAddr, port: u16| Address { host: ip.to_string(), port };
    if container.host_network {
        let address = match engine {
            EngineHost::Local => here(Ipv4Addr::LOCALHOST.into(), port),
            EngineHost::Remote(host) => Address { host: host.clone(), port },
        };
        return Ok((address, "on the host network".to_owned()));
    }
    let of_port = || container.ports.iter().filter(move |of| of.container_port == port);
    let mut bindings: Vec<(IpAddr, u16)> = of_port().filter_map(|of: &Port| of.binding).collect();
    // IPv4 before IPv6, then by address and port: the same choice in every run.
    bindings.sort_unstable();
    if bindings.is_empty() {
        return match (of_port().next(), container.addresses.iter().min(), engine) {
            _ if container.is_on_ingress => Err(SkipReason::OnIngress),
            (None, ..) => match &container.unreadable_port {
                Some(port) => Err(SkipReason::UnreadablePort(port.clone())),
                None => Err(SkipReason::NoPort(port)),
            },
            (Some(_), Some(own), EngineHost::Local) => {
                Ok((here(*own, port), "not published, so at the container's own address".to_owned()))
            }
            (Some(_), ..) => Err(SkipReason::NotPublished(port)),
        };
    }
    let reachable = bindings.into_iter().find_map(|(ip, port)| {
        let address = match engine {
            EngineHost::Local if ip == Ipv4Addr::UNSPECIFIED => here(Ipv4Addr::LOCALHOST.into(), port),
            EngineHost::Local if ip == Ipv6Addr::UNSPECIFIED => here(Ipv6Addr::LOCALHOST.into(), port),
            EngineHost::Remote(host) if ip.is_unspecified() => Address { host: host.clone(), port },
            EngineHost::Remote(_) if ip.is_loopback() => return None,
            EngineHost::Local | EngineHost::Remote(_) => here(ip, port),
        };
        Some((address, format!("bound to {ip}")))
    });
    reachable.ok_or(SkipReason::LoopbackElsewhere(port))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            addresses: vec!["172.17.0.2".parse().unwrap()],
            ..Container::default()
        }
    }

    /// Formats the target, or the reason in brackets.
    fn chosen(container: &Container, wanted: Option<u16>, engine: &EngineHost) -> String {
        match choose(container, Scope::Endpoint, wanted, engine) {
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
        let without_address = Container { addresses: Vec::new(), ..container(&[(8080, None)]) };
        assert_eq!(local(&without_address, Some(8080)), "[TCP port 8080 is not published]");
    }

    #[test]
    fn on_the_host_network_the_container_port_is_the_host_port() {
        let host = || Container { host_network: true, addresses: Vec::new(), ..container(&[]) };
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
        assert_eq!(chosen(&container(&[(8080, None)]), Some(8080), &engine), "[TCP port 8080 is not published]");
    }
}
