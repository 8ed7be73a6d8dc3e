//! Targets: which address of a container is asked, decided from what the engine's list says.
//!
//! The rules, in this order:
//! - A container that is not running (paused, restarting) is no target.
//! - `--container-port` names the port; without it the container must publish exactly one TCP port.
//! - A published port is dialled at the address that it is bound to: `127.0.0.1` for `0.0.0.0`, `::1` for `::`. The bindings of
//!   IPv4 and IPv6 can differ in the host's port, so they are never mixed. Of several, IPv4 and then the lowest port.
//! - On the host's network the container's port is the host's.
//! - A port that is exposed but not published is dialled at the container's own address.
//! - An engine on another machine publishes ports there: the machine's name stands for `0.0.0.0` and `::`. What is bound to a
//!   loopback address, or not published, cannot be reached from here.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::Address;
use crate::engine::{Container, EngineHost, Port};
use crate::sandbox::Scope;

/// What one sandbox collects from.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it is reached; none for collectors of whole containers.
    pub address: Option<Address>,
    /// The container behind it; none for `--target`.
    pub container: Option<Container>,
    /// The port within the container.
    pub container_port: Option<u16>,
    /// Why this port and address, for people.
    pub how: String,
}

impl Target {
    /// A target that the operator named by its address.
    pub fn fixed(address: Address) -> Target {
        Target { address: Some(address), container: None, container_port: None, how: "--target".to_owned() }
    }

    /// What tells this target from all others, in this run and the next. A container keeps it over its restarts.
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
    /// The name that people know: the container's and the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.container, &self.address) {
            (Some(container), Some(address)) => write!(f, "{} ({address})", container.name),
            (Some(container), None) => f.write_str(&container.name),
            (None, Some(address)) => address.fmt(f),
            (None, None) => Ok(()),
        }
    }
}

/// What becomes of a container.
#[derive(Debug)]
pub enum Choice {
    /// It is a target.
    Target(Box<Target>),
    /// It is none, for a reason that only `-v` shows.
    Skipped(String),
    /// It should be one, and the operator has to say more.
    Ambiguous(String),
}

/// Decides what becomes of `container`.
pub fn choose(container: &Container, scope: Scope, wanted: Option<u16>, engine: &EngineHost) -> Choice {
    if !container.running {
        return Choice::Skipped(format!("it is not running ({})", container.status));
    }
    if scope == Scope::Container {
        let how = "the whole container".to_owned();
        return Choice::Target(Box::new(Target {
            address: None,
            container: Some(container.clone()),
            container_port: None,
            how,
        }));
    }
    let (port, reason) = match wanted {
        Some(port) => (port, "--container-port"),
        None => match only_published_port(container) {
            Ok(port) => (port, "the only published port"),
            Err(choice) => return choice,
        },
    };
    match address_of(container, port, engine) {
        Ok((address, way)) => Choice::Target(Box::new(Target {
            address: Some(address),
            container: Some(container.clone()),
            container_port: Some(port),
            how: format!("{reason}, {way}"),
        })),
        Err(why) => Choice::Skipped(why),
    }
}

/// The container's port when nobody says which.
fn only_published_port(container: &Container) -> Result<u16, Choice> {
    let published = container.ports.iter().filter(|port| port.binding.is_some());
    let ports: BTreeSet<u16> = published.map(|port| port.container_port).collect();
    let mut ports = ports.into_iter();
    match (ports.next(), ports.len()) {
        (Some(port), 0) => Ok(port),
        (Some(first), _) => {
            let all: Vec<String> = std::iter::once(first).chain(ports).map(|port| port.to_string()).collect();
            Err(Choice::Ambiguous(format!(
                "publishes several ports ({}): choose one, such as --container-port {first}",
                all.join(", ")
            )))
        }
        (None, _) if container.host_network => {
            Err(Choice::Skipped("it is on the host's network, where --container-port has to name the port".to_owned()))
        }
        (None, _) => Err(Choice::Skipped("it publishes no TCP port".to_owned())),
    }
}

/// Where `port` of the container is reached from here, and why there.
fn address_of(container: &Container, port: u16, engine: &EngineHost) -> Result<(Address, String), String> {
    let here = |ip: IpAddr, port: u16| Address { host: ip.to_string(), port };
    if container.host_network {
        let address = match engine {
            EngineHost::Local => here(Ipv4Addr::LOCALHOST.into(), port),
            EngineHost::Remote(host) => Address { host: host.clone(), port },
        };
        return Ok((address, "on the host's network".to_owned()));
    }
    let of_port = || container.ports.iter().filter(move |of| of.container_port == port);
    let mut bindings: Vec<(IpAddr, u16)> = of_port().filter_map(|of: &Port| of.binding).collect();
    // IPv4 before IPv6, then by address and port: the same choice in every run.
    bindings.sort_unstable();
    if bindings.is_empty() {
        return match (of_port().next(), container.addresses.iter().min(), engine) {
            (None, ..) => Err(format!("it has no TCP port {port}")),
            (Some(_), Some(own), EngineHost::Local) => {
                Ok((here(*own, port), "not published, so at the container's own address".to_owned()))
            }
            (Some(_), ..) => Err(format!("its TCP port {port} is not published")),
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
    reachable.ok_or_else(|| format!("its TCP port {port} is bound to a loopback address of the engine's machine"))
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
            running: true,
            status: "Up 8 minutes".to_owned(),
            ports: ports.iter().map(port).collect(),
            addresses: vec!["172.17.0.2".parse().unwrap()],
            ..Container::default()
        }
    }

    /// The target as people read it, or in brackets why there is none.
    fn chosen(container: &Container, wanted: Option<u16>, engine: &EngineHost) -> String {
        match choose(container, Scope::Endpoint, wanted, engine) {
            Choice::Target(target) => target.to_string(),
            Choice::Skipped(why) => format!("[{why}]"),
            Choice::Ambiguous(why) => format!("[! {why}]"),
        }
    }

    fn local(container: &Container, wanted: Option<u16>) -> String {
        chosen(container, wanted, &EngineHost::Local)
    }

    const EVERYWHERE: &str = "0.0.0.0";

    #[test]
    fn the_only_published_port_is_dialled_at_the_address_that_it_is_bound_to() {
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
    fn a_port_that_is_published_twice_is_one_target_by_ipv4_and_the_lowest_port() {
        let twice = [(8080, Some(("::", 32000))), (8080, Some((EVERYWHERE, 32769))), (8080, Some((EVERYWHERE, 32768)))];
        assert_eq!(local(&container(&twice), None), "api-1 (127.0.0.1:32768)");
    }

    #[test]
    fn several_published_ports_are_listed_with_the_option_that_chooses() {
        let several = [(9090, Some((EVERYWHERE, 32769))), (8080, Some((EVERYWHERE, 32768))), (7070, None)];
        let expected = "[! publishes several ports (8080, 9090): choose one, such as --container-port 8080]";
        assert_eq!(local(&container(&several), None), expected);
        assert_eq!(local(&container(&several), Some(9090)), "api-1 (127.0.0.1:32769)");
    }

    #[test]
    fn a_container_without_the_port_is_passed_over() {
        assert_eq!(local(&container(&[]), None), "[it publishes no TCP port]");
        assert_eq!(local(&container(&[(8080, None)]), None), "[it publishes no TCP port]");
        assert_eq!(local(&container(&[(8080, Some((EVERYWHERE, 1)))]), Some(80)), "[it has no TCP port 80]");
        let paused = Container { running: false, status: "Up 8 minutes (Paused)".to_owned(), ..container(&[]) };
        assert_eq!(local(&paused, None), "[it is not running (Up 8 minutes (Paused))]");
    }

    #[test]
    fn an_exposed_port_is_dialled_at_the_containers_own_address_when_it_is_asked_for() {
        assert_eq!(local(&container(&[(8080, None)]), Some(8080)), "api-1 (172.17.0.2:8080)");
        let without_address = Container { addresses: Vec::new(), ..container(&[(8080, None)]) };
        assert_eq!(local(&without_address, Some(8080)), "[its TCP port 8080 is not published]");
    }

    #[test]
    fn on_the_hosts_network_the_containers_port_is_the_hosts() {
        let host = || Container { host_network: true, addresses: Vec::new(), ..container(&[]) };
        assert_eq!(local(&host(), Some(8080)), "api-1 (127.0.0.1:8080)");
        let expected = "[it is on the host's network, where --container-port has to name the port]";
        assert_eq!(local(&host(), None), expected);
    }

    #[test]
    fn the_ports_of_an_engine_elsewhere_are_dialled_there() {
        let engine = EngineHost::Remote("docker.example".to_owned());
        let at = |ip: &str| chosen(&container(&[(8080, Some((ip, 32768)))]), None, &engine);
        assert_eq!(at("0.0.0.0"), "api-1 (docker.example:32768)");
        assert_eq!(at("10.1.2.3"), "api-1 (10.1.2.3:32768)");
        assert_eq!(at("127.0.0.1"), "[its TCP port 8080 is bound to a loopback address of the engine's machine]");
        assert_eq!(chosen(&container(&[(8080, None)]), Some(8080), &engine), "[its TCP port 8080 is not published]");
    }
}
