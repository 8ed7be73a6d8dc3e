//! Routes: the addresses at which a container's port is reached from here, in the order in which they are tried.
//!
//! - On the host network the container's port is the host's.
//! - A container's own address comes first if it is provably reachable without a request to the engine: the engine is
//!   on this machine and not rootless, the container's processes are visible here, and the network's gateway is the
//!   address of one of this machine's bridges, with the container's address in its prefix. It avoids the engine's
//!   proxy, and a dead port is refused instead of reset. Another container can get the address only after this one has
//!   ended or left the network, which is checked after the response (see [`collect`](super::collect)).
//! - A published port comes second. It is dialled at its bind address: `127.0.0.1` for `0.0.0.0`, `::1` for `::`. The
//!   IPv4 and IPv6 bindings of one port can have different host ports, so they are never mixed. Of several bindings
//!   IPv4 comes first, then the lowest port.
//! - A port that is not published is dialled at the container's own address, even if it is not provably reachable.
//! - Ports that Swarm's ingress network publishes are not in the list, and lead to any container of the service.
//! - An engine on another machine publishes ports there: that machine's name replaces `0.0.0.0` and `::`. A port that
//!   is bound to a loopback address, or not published, cannot be reached from here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::ValueEnum;

use crate::address::Address;
use crate::engine::{Container, EngineHost, Network, NetworkPlace, Port};
use crate::kernel::interface::{Bridges, in_prefix};
use crate::pipeline::process::Processes;
use crate::pipeline::skip_reason::SkipReason;
use crate::text::foreign;

/// `--address`: the kind of address at which containers are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum AddressChoice {
    /// The container's own if it is provably reachable, else the published one.
    #[default]
    Auto,
    /// Only the container's own.
    Direct,
    /// Only the published one. A port that is not published is reached at the container's own.
    Published,
}

/// An address of a container's port that can be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The address.
    pub address: Address,
    /// The container's own address. Another container can get it later.
    pub own: Option<IpAddr>,
    /// The reason, for `explain`.
    pub reason: String,
}

/// An address that is not tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// The address.
    pub address: String,
    /// The reason, for `explain`.
    pub reason: String,
}

/// The addresses of a container's port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    /// Those that are tried, in order.
    pub usable: Vec<Route>,
    /// The others.
    pub unused: Vec<Unused>,
    /// The port in metric names: the published one, or the container's. It does not depend on the address in use.
    pub name_port: Option<u16>,
}

impl Routes {
    /// One address, and no other.
    pub fn only(address: Address, reason: &str) -> Routes {
        let name_port = Some(address.port);
        Routes { usable: vec![Route { address, own: None, reason: reason.to_owned() }], unused: Vec::new(), name_port }
    }
}

/// The properties of the engine and of this machine that decide which addresses can be reached from here.
#[derive(Debug)]
pub struct Reachability {
    /// The machine with the published ports.
    pub engine: EngineHost,
    /// The place of the engine's networks.
    pub networks: NetworkPlace,
    /// The bridges of this machine.
    pub bridges: Bridges,
    /// The processes of the containers.
    pub processes: Processes,
    /// The operator's choice.
    pub choice: AddressChoice,
    /// The network of the containers' own addresses, if the operator chose one.
    pub network: Option<String>,
}

impl Reachability {
    /// Only published ports, and own addresses of ports that are not published.
    pub fn published(engine: EngineHost) -> Reachability {
        let (bridges, processes) = (Bridges::default(), Processes::default());
        let choice = AddressChoice::Published;
        Reachability { engine, networks: NetworkPlace::Unknown, bridges, processes, choice, network: None }
    }

    /// Returns true if containers' own addresses can be reachable.
    pub fn is_near(&self) -> bool {
        self.engine == EngineHost::Local && self.networks != NetworkPlace::Rootless
    }

    /// Returns the addresses of `port` of a container that uses the network of `owner`, its own or another's.
    /// `is_visible` is true if its processes are visible here.
    ///
    /// # Errors
    /// The reason for which there is none.
    pub fn routes(&self, owner: &Container, port: u16, is_visible: bool) -> Result<Routes, SkipReason> {
        if owner.host_network {
            let host = match &self.engine {
                EngineHost::Local => Ipv4Addr::LOCALHOST.to_string(),
                EngineHost::Remote(host) => host.clone(),
            };
            return Ok(Routes::only(Address { host, port }, "on the host network"));
        }
        let published = self.published_route(owner, port);
        let name_port = published.as_ref().map_or(port, |published| published.as_ref().map_or(port, |of| of.1));
        let mut routes = Routes { name_port: Some(name_port), ..Routes::default() };
        let published = match published {
            Some(Ok((route, _))) => Ok(route),
            Some(Err(reason)) => Err(reason),
            None => Err(SkipReason::NotPublished(port)),
        };
        let own = owner.networks.iter().map(|network| (network, self.objection(network, is_visible)));
        let (mut provable, mut others): (Vec<Route>, Vec<Route>) = (Vec::new(), Vec::new());
        for (network, objection) in own {
            let address = Address { host: network.address.to_string(), port };
            let own = Some(network.address);
            let name = foreign(&network.name);
            let unused = |reason: String| Unused { address: address.to_string(), reason };
            match objection {
                _ if self.choice == AddressChoice::Published && published.is_ok() => {
                    routes.unused.push(unused("--address published".to_owned()));
                }
                _ if self.network.as_ref().is_some_and(|chosen| *chosen != network.name) => {
                    routes.unused.push(unused(format!("on network {name} (--network)")));
                }
                None => provable.push(Route { address, own, reason: format!("its own address on network {name}") }),
                Some(Objection::Elsewhere(reason)) => routes.unused.push(unused(reason.to_owned())),
                Some(Objection::Doubtful(reason)) => {
                    if published.is_ok() && self.choice != AddressChoice::Direct {
                        routes.unused.push(unused(reason.to_owned()));
                    } else {
                        let reason = format!("its own address on network {name} ({reason})");
                        others.push(Route { address, own, reason });
                    }
                }
            }
        }
        // Addresses on a service's networks lead nowhere from here.
        let others = if owner.is_on_ingress { Vec::new() } else { others };
        routes.usable = if provable.is_empty() { others } else { provable };
        match published {
            Ok(route) if self.choice == AddressChoice::Direct => {
                let reason = "--address direct".to_owned();
                routes.unused.push(Unused { address: route.address.to_string(), reason });
            }
            Ok(route) => routes.usable.push(route),
            Err(reason) if routes.usable.is_empty() && self.choice != AddressChoice::Direct => return Err(reason),
            Err(_) => {}
        }
        if routes.usable.is_empty() {
            let all: Vec<String> =
                routes.unused.iter().map(|unused| format!("{}: {}", unused.address, unused.reason)).collect();
            return Err(SkipReason::NoRoute(all.join(", ")));
        }
        Ok(routes)
    }

    /// Returns the route to the published port with its host port, or `None` if the port is not published.
    fn published_route(&self, container: &Container, port: u16) -> Option<Result<(Route, u16), SkipReason>> {
        let of_port = container.ports.iter().filter(move |of| of.container_port == port);
        let mut bindings: Vec<(IpAddr, u16)> = of_port.filter_map(|of: &Port| of.binding).collect();
        // IPv4 before IPv6, then by address and port: the same choice in every run.
        bindings.sort_unstable();
        if bindings.is_empty() {
            return container.is_on_ingress.then_some(Err(SkipReason::OnIngress));
        }
        let here = |ip: IpAddr| ip.to_string();
        let reachable = bindings.into_iter().find_map(|(ip, port)| {
            let host = match &self.engine {
                EngineHost::Local if ip == Ipv4Addr::UNSPECIFIED => here(Ipv4Addr::LOCALHOST.into()),
                EngineHost::Local if ip == Ipv6Addr::UNSPECIFIED => here(Ipv6Addr::LOCALHOST.into()),
                EngineHost::Remote(host) if ip.is_unspecified() => host.clone(),
                EngineHost::Remote(_) if ip.is_loopback() => return None,
                EngineHost::Local | EngineHost::Remote(_) => here(ip),
            };
            Some((Route { address: Address { host, port }, own: None, reason: format!("bound to {ip}") }, port))
        });
        Some(reachable.ok_or(SkipReason::LoopbackElsewhere(port)))
    }

    /// Returns the reason for which a container's own address is not provably reachable.
    fn objection(&self, network: &Network, is_visible: bool) -> Option<Objection> {
        if self.engine != EngineHost::Local {
            return Some(Objection::Elsewhere("on the engine's machine"));
        }
        match self.networks {
            NetworkPlace::Here => {}
            NetworkPlace::Rootless => return Some(Objection::Elsewhere("on a network of a rootless engine")),
            NetworkPlace::Unknown => return Some(Objection::Doubtful("the engine has no socket on this machine")),
        }
        // Some engines list no gateway for the network that they made at their first start.
        let is_ours = match network.gateway {
            Some(gateway) => self.bridges.have(gateway) && in_prefix(network.address, gateway, network.prefix),
            None => self.bridges.lead_to(network.address),
        };
        if !is_ours {
            return Some(Objection::Doubtful("its gateway is not a bridge of this machine"));
        }
        (!is_visible).then_some(Objection::Doubtful("its processes are not visible here"))
    }
}

/// The reason for which an address is not provably reachable.
enum Objection {
    /// It is an address on another machine or in another namespace, where it can belong to something else.
    Elsewhere(&'static str),
    /// It may be reachable.
    Doubtful(&'static str),
}
