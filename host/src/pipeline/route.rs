//! Routes: the addresses at which a container's port is reached from here, in the order in which they are tried.
//!
//! - On the host network the container's port is the host's.
//! - A container's own address comes first if it is provably reachable without a request to the engine: the engine is
//!   on this machine and not rootless, the container's processes are visible here, and the network's gateway is the
//!   address of one of this machine's bridges, with the container's address in its prefix. It avoids the engine's
//!   proxy, and a dead port is refused instead of reset. Another container can get the address only after this one has
//!   ended or left the network, which is checked after the response (see [`witness`](super::witness)).
//! - The engine lists no networks of an ECS task in the mode `awsvpc`. Its process has an address on the bridge of the
//!   ECS agent, and its mapped ports are published at the address of the task's network interface.
//! - A published port comes second. It is dialled at its bind address: `127.0.0.1` for `0.0.0.0`, `::1` for `::`. The
//!   IPv4 and IPv6 bindings of one port can have different host ports, so they are never mixed. Of several bindings
//!   IPv4 comes first, then the lowest port.
//! - A port that is not published has only the container's own address. The operator can choose one that is not
//!   provably reachable (`--address direct`): packets for it can leave this machine, and something else can respond.
//! - Ports that Swarm's ingress network publishes are not in the list, and lead to any container of the service.
//! - If this program runs in a container of the engine, `127.0.0.1` is its own. Containers on one of its networks are
//!   reached at their own addresses, and published ports at its gateway.
//! - An engine on another machine publishes ports there: that machine's name replaces `0.0.0.0` and `::`. A port that
//!   is bound to a loopback address, or not published, cannot be reached from here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::ValueEnum;

use crate::address::Address;
use crate::ecs::TASK_LABEL;
use crate::engine::{Container, EngineHost, Network, NetworkPlace, Port};
use crate::kernel::interface::{Bridges, in_prefix};
use crate::kernel::process::Process;
use crate::pipeline::process::Processes;
use crate::pipeline::skip_reason::SkipReason;
use crate::text::foreign;

/// Docker's network for containers without another one.
const DEFAULT_NETWORK: &str = "bridge";

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

/// The operator's choice of addresses.
#[derive(Debug, Clone, Default)]
pub struct AddressOptions {
    /// The kind of address.
    pub choice: AddressChoice,
    /// The network of the containers' own addresses, or `None` for any that is reachable.
    pub network: Option<String>,
    /// True to enter the networks of containers whose networks the engine does not list.
    pub enters: bool,
}

/// An address of a container's port that can be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The address.
    pub address: Address,
    /// The container's own address. Another container can get it later.
    pub own: Option<IpAddr>,
    /// A process in whose network namespace the address is, if it is not this one's.
    pub namespace: Option<Process>,
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

/// A container and the owner of its network.
#[derive(Clone, Copy)]
pub struct Networked<'a> {
    /// The container.
    pub container: &'a Container,
    /// The container that owns the network: itself, or another one.
    pub owner: &'a Container,
    /// The container with the published ports: one of the two.
    pub with_ports: &'a Container,
    /// A process of the container, if any is visible here.
    pub process: Option<Process>,
}

impl Routes {
    /// One address, and no other.
    pub fn only(address: Address, reason: &str) -> Routes {
        let name_port = Some(address.port);
        Routes {
            usable: vec![Route { address, own: None, namespace: None, reason: reason.to_owned() }],
            unused: Vec::new(),
            name_port,
        }
    }
}

impl Routes {
    /// Leaves the published address alone, if there is one: for collectors that open connections of their own. To try
    /// another address first would be one connection more, which servers count.
    pub fn leave_published(&mut self) {
        let is_published = |route: &Route| route.own.is_none() && route.namespace.is_none();
        if self.usable.len() > 1 && self.usable.iter().any(is_published) {
            let others = self.usable.extract_if(.., |route| !is_published(route));
            let reason = "the collector connects by itself (--address direct)";
            self.unused
                .extend(others.map(|route| Unused { address: route.address.to_string(), reason: reason.to_owned() }));
        }
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
    pub options: AddressOptions,
    /// The ids of the networks of the container in which this program runs, if it does.
    pub inside: Option<Vec<String>>,
}

impl Reachability {
    /// Only published ports, and own addresses of ports that are not published.
    pub fn published(engine: EngineHost) -> Reachability {
        let (bridges, processes) = (Bridges::default(), Processes::default());
        let options = AddressOptions { choice: AddressChoice::Published, ..AddressOptions::default() };
        Reachability { engine, networks: NetworkPlace::Unknown, bridges, processes, options, inside: None }
    }

    /// Looks from `own`, the container in which this program runs. On the host network that makes no difference.
    pub fn look_from(&mut self, own: &Container) {
        if own.host_network {
            return;
        }
        if let Some(gateway) = own.networks.iter().find_map(|network| network.gateway) {
            self.engine = EngineHost::Remote(gateway.to_string());
        }
        self.inside = Some(own.networks.iter().map(|network| network.id.clone()).collect());
    }

    /// Returns true if containers' own addresses can be reachable.
    pub fn is_near(&self) -> bool {
        self.inside.is_some() || self.engine == EngineHost::Local && self.networks != NetworkPlace::Rootless
    }

    /// Returns the addresses of `port` of a container.
    ///
    /// # Errors
    /// The reason for which there is none.
    pub fn routes(&self, of: &Networked<'_>, port: u16) -> Result<Routes, SkipReason> {
        let Networked { owner, with_ports, process, .. } = *of;
        if owner.host_network {
            let host = match &self.engine {
                EngineHost::Local => Ipv4Addr::LOCALHOST.to_string(),
                EngineHost::Remote(host) => host.clone(),
            };
            return Ok(Routes::only(Address { host, port }, "on the host network"));
        }
        let published = self.published_route(with_ports, port);
        let name_port = published.as_ref().map_or(port, |published| published.as_ref().map_or(port, |of| of.1));
        let mut routes = Routes { name_port: Some(name_port), ..Routes::default() };
        for network in &owner.networks {
            let address = Address { host: network.address.to_string(), port };
            let name = foreign(&network.name);
            let is_published = matches!(published, Some(Ok(_)));
            let objection = if self.options.network.as_ref().is_some_and(|chosen| *chosen != network.name) {
                Some(format!("on network {name} (--network)"))
            } else if is_published && self.options.choice == AddressChoice::Published {
                Some("--address published".to_owned())
            } else {
                match self.objection(network, process.is_some()) {
                    Some(Objection::Unprovable(reason)) => {
                        (self.options.choice != AddressChoice::Direct).then(|| reason.to_owned())
                    }
                    Some(Objection::Invisible) => is_published.then(|| "its processes are not visible here".to_owned()),
                    Some(Objection::Elsewhere(reason)) => Some(reason.to_owned()),
                    None => None,
                }
            };
            match objection {
                None => routes.usable.push(Route {
                    address,
                    own: Some(network.address),
                    namespace: None,
                    reason: format!("its own address on network {name}"),
                }),
                Some(reason) => routes.unused.push(Unused { address: address.to_string(), reason }),
            }
        }
        if owner.networks.is_empty() && self.options.choice != AddressChoice::Published {
            routes.usable.extend(self.unlisted(of, port));
        }
        match published {
            Some(Ok((route, _))) if self.options.choice == AddressChoice::Direct => {
                let reason = "--address direct".to_owned();
                routes.unused.push(Unused { address: route.address.to_string(), reason });
            }
            // The address of a task's network interface can be in both.
            Some(Ok((route, _))) if routes.usable.iter().any(|own| own.address == route.address) => {}
            Some(Ok((route, _))) => routes.usable.push(route),
            Some(Err(reason)) if routes.usable.is_empty() => return Err(reason),
            Some(Err(_)) | None => {}
        }
        if owner.networks.is_empty() || routes.usable.is_empty() {
            routes.usable.extend(self.entered(of, port));
        }
        if !routes.usable.is_empty() {
            return Ok(routes);
        }
        let unused: Vec<String> =
            routes.unused.iter().map(|unused| format!("{}: {}", unused.address, unused.reason)).collect();
        Err(match self.options.choice {
            _ if owner.networks.is_empty() && unused.is_empty() => SkipReason::WithoutNetwork(port),
            AddressChoice::Direct => SkipReason::NoRoute(unused.join(", ")),
            AddressChoice::Auto | AddressChoice::Published => SkipReason::NotPublished { port, unused },
        })
    }

    /// Returns the addresses of a process whose networks the engine does not list. A task of ECS in the network mode
    /// `awsvpc` has one on the bridge of the ECS agent, and one on its own interface in the VPC.
    fn unlisted(&self, of: &Networked<'_>, port: u16) -> Vec<Route> {
        let is_here = self.inside.is_none() && self.networks == NetworkPlace::Here && self.options.network.is_none();
        let addresses = of.process.filter(|_| is_here).map(Process::addresses).unwrap_or_default();
        let (on_bridge, others): (Vec<IpAddr>, Vec<IpAddr>) =
            addresses.into_iter().partition(|address| self.bridges.lead_to(*address));
        let is_of_ecs = of.container.labels.contains_key(TASK_LABEL);
        let route = |own: IpAddr, reason: &str| Route {
            address: Address { host: own.to_string(), port },
            own: Some(own),
            namespace: None,
            reason: reason.to_owned(),
        };
        let on_bridge = on_bridge.into_iter().map(|own| route(own, "its own address on a bridge of this machine"));
        let others = others.into_iter().filter(|_| is_of_ecs);
        on_bridge.chain(others.map(|own| route(own, "the address of its task's network interface"))).collect()
    }

    /// Returns 127.0.0.1 within the network of a process, if the operator allows to enter it. Applications of a task
    /// can listen there alone.
    fn entered(&self, of: &Networked<'_>, port: u16) -> Option<Route> {
        let process = of.process.filter(|_| self.options.enters)?;
        let address = Address { host: Ipv4Addr::LOCALHOST.to_string(), port };
        let reason = "127.0.0.1 in its own network (--enter-network)".to_owned();
        Some(Route { address, own: None, namespace: Some(process), reason })
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
        let reachable = bindings.into_iter().find_map(|(ip, port)| {
            let host = match &self.engine {
                EngineHost::Local if ip == Ipv4Addr::UNSPECIFIED => Ipv4Addr::LOCALHOST.to_string(),
                EngineHost::Local if ip == Ipv6Addr::UNSPECIFIED => Ipv6Addr::LOCALHOST.to_string(),
                EngineHost::Remote(host) if ip.is_unspecified() => host.clone(),
                EngineHost::Remote(_) if ip.is_loopback() => return None,
                EngineHost::Local | EngineHost::Remote(_) => ip.to_string(),
            };
            let (own, namespace, reason) = (None, None, format!("bound to {ip}"));
            Some((Route { address: Address { host, port }, own, namespace, reason }, port))
        });
        Some(reachable.ok_or(SkipReason::LoopbackElsewhere(port)))
    }

    /// Returns the reason for which a container's own address is not provably reachable.
    fn objection(&self, network: &Network, is_visible: bool) -> Option<Objection> {
        if let Some(own) = &self.inside {
            let is_shared = !network.id.is_empty() && own.contains(&network.id);
            return (!is_shared).then_some(Objection::Elsewhere("not on a network of this plugin's container"));
        }
        if self.engine != EngineHost::Local {
            return Some(Objection::Elsewhere("on the engine's machine"));
        }
        match self.networks {
            NetworkPlace::Here => {}
            NetworkPlace::Rootless => {
                return Some(Objection::Elsewhere("on a network of a rootless engine or a virtual machine"));
            }
            NetworkPlace::Unknown => {
                return Some(Objection::Unprovable("the engine has no socket on this machine (try --address direct)"));
            }
        }
        let is_ours = match network.gateway {
            Some(gateway) => self.bridges.have(gateway) && in_prefix(network.address, gateway, network.prefix),
            // Some engines list no gateway for this network, which is always a bridge. An overlay network has none
            // either, and a bridge of this machine with the same prefix can lead to other machines.
            None => network.name == DEFAULT_NETWORK && self.bridges.lead_to(network.address),
        };
        match (is_ours, is_visible) {
            (false, _) => Some(Objection::Unprovable("not on a bridge of this machine (try --address direct)")),
            (true, false) => Some(Objection::Invisible),
            (true, true) => None,
        }
    }
}

/// The reason for which an own address is not provably reachable.
enum Objection {
    /// It is on another machine or in another namespace, and can belong to something else here.
    Elsewhere(&'static str),
    /// Packets for it can leave this machine, and reach something else.
    Unprovable(&'static str),
    /// It is on a bridge of this machine, but no process here has it.
    Invisible,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str, address: &str, prefix: u8, gateway: &str) -> Network {
        let (name, id) = (name.to_owned(), String::new());
        Network { name, id, address: address.parse().unwrap(), prefix, gateway: gateway.parse().ok() }
    }

    fn bridge() -> Network {
        network("bridge", "172.17.0.2", 16, "172.17.0.1")
    }

    fn container(networks: Vec<Network>, binding: Option<&str>) -> Container {
        let binding = binding.map(|binding| binding.rsplit_once(':').unwrap());
        let binding = binding.map(|(ip, port)| (ip.parse().unwrap(), port.parse().unwrap()));
        Container { networks, ports: vec![Port { container_port: 8080, binding }], ..Container::default() }
    }

    fn networked(container: &Container, process: Option<Process>) -> Networked<'_> {
        Networked { container, owner: container, with_ports: container, process }
    }

    /// A machine with Docker's bridge, another one with both families, and that of an ECS agent.
    fn here() -> Reachability {
        let bridges =
            Bridges::new(&[("172.17.0.1", 16), ("172.20.0.1", 24), ("fd00:20::1", 64), ("169.254.172.1", 22)]);
        let (networks, options) = (NetworkPlace::Here, AddressOptions::default());
        Reachability { networks, bridges, options, ..Reachability::published(EngineHost::Local) }
    }

    /// Formats the addresses of port 8080: those that are tried, in order, then the others in brackets.
    fn tried(reachability: &Reachability, container: &Container) -> String {
        match reachability.routes(&networked(container, Some(Process(1))), 8080) {
            Ok(routes) => {
                let usable = routes.usable.iter().map(|route| route.address.to_string());
                let unused = routes.unused.iter().map(|unused| format!("[{}: {}]", unused.address, unused.reason));
                let name = routes.name_port.map_or_else(String::new, |port| format!("as {port}"));
                usable.chain(unused).chain([name]).collect::<Vec<_>>().join(" ")
            }
            Err(reason) => format!("none: {reason}"),
        }
    }

    const PUBLISHED: Option<&str> = Some("0.0.0.0:32768");

    #[test]
    fn an_own_address_comes_before_the_published_one_if_it_is_provably_reachable() {
        let auto = |networks, binding| tried(&here(), &container(networks, binding));
        let published_only = "127.0.0.1:32768 [172.17.0.2:8080: not on a bridge of this machine (try \
                              --address direct)] as 32768";
        for (case, networks, expected) in [
            ("bridge", vec![bridge()], "172.17.0.2:8080 127.0.0.1:32768 as 32768"),
            (
                "no gateway listed",
                vec![network("bridge", "172.17.0.2", 16, "")],
                "172.17.0.2:8080 127.0.0.1:32768 as 32768",
            ),
            ("no gateway of another network", vec![network("overlay", "172.17.0.2", 16, "")], published_only),
            ("gateway of a virtual machine", vec![network("bridge", "172.17.0.2", 16, "192.168.65.1")], published_only),
            ("address outside of the prefix", vec![network("bridge", "172.17.0.2", 32, "172.17.0.1")], published_only),
            ("none", vec![], "127.0.0.1:32768 as 32768"),
        ] {
            assert_eq!(auto(networks, PUBLISHED), expected, "{case}");
        }
        let lan = network("lan", "192.168.7.9", 24, "192.168.7.1");
        let expected = "none: TCP port 8080 is not published: publish it; own address 192.168.7.9:8080: not on a bridge \
                        of this machine (try --address direct)";
        assert_eq!(auto(vec![lan], None), expected);
        let only_v6 = network("six", "fd00:20::2", 64, "fd00:20::1");
        assert_eq!(auto(vec![only_v6], None), "[fd00:20::2]:8080 as 8080");
        let isolated = network("isolated", "172.21.0.2", 24, "");
        assert_eq!(
            auto(vec![isolated, bridge()], None),
            "172.17.0.2:8080 [172.21.0.2:8080: not on a bridge of this machine (try --address direct)] as 8080"
        );
    }

    #[test]
    fn an_engine_elsewhere_has_only_published_ports() {
        let remote = Reachability { engine: EngineHost::Remote("docker.example".to_owned()), ..here() };
        let rootless = Reachability { networks: NetworkPlace::Rootless, ..here() };
        let forwarded = Reachability { networks: NetworkPlace::Unknown, ..here() };
        for (reachability, published, reason) in [
            (remote, "docker.example:32768", "on the engine's machine"),
            (rootless, "127.0.0.1:32768", "on a network of a rootless engine or a virtual machine"),
            (forwarded, "127.0.0.1:32768", "the engine has no socket on this machine (try --address direct)"),
        ] {
            let expected = format!("{published} [172.17.0.2:8080: {reason}] as 32768");
            assert_eq!(tried(&reachability, &container(vec![bridge()], PUBLISHED)), expected);
            let expected =
                format!("none: TCP port 8080 is not published: publish it; own address 172.17.0.2:8080: {reason}");
            assert_eq!(tried(&reachability, &container(vec![bridge()], None)), expected);
        }
    }

    #[test]
    fn an_address_without_visible_processes_is_used_only_if_there_is_no_other() {
        let invisible = |binding| {
            let container = container(vec![bridge()], binding);
            let routes = here().routes(&networked(&container, None), 8080).unwrap();
            routes.usable.iter().map(|route| route.address.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(invisible(PUBLISHED), "127.0.0.1:32768");
        assert_eq!(invisible(None), "172.17.0.2:8080");
    }

    #[test]
    fn the_operator_chooses_the_kind_of_address_and_the_network() {
        let of = |choice, network: Option<&str>, networks, binding| {
            let options = AddressOptions { choice, network: network.map(str::to_owned), enters: false };
            let reachability = Reachability { options, ..here() };
            tried(&reachability, &container(networks, binding))
        };
        let lan = || network("lan", "192.168.7.9", 24, "192.168.7.1");
        let other = || network("other", "172.20.0.2", 24, "172.20.0.1");
        let direct = of(AddressChoice::Direct, None, vec![lan()], PUBLISHED);
        assert_eq!(direct, "192.168.7.9:8080 [127.0.0.1:32768: --address direct] as 32768");
        let published = of(AddressChoice::Published, None, vec![bridge()], PUBLISHED);
        assert_eq!(published, "127.0.0.1:32768 [172.17.0.2:8080: --address published] as 32768");
        let unpublished = of(AddressChoice::Published, None, vec![bridge()], None);
        assert_eq!(unpublished, "172.17.0.2:8080 as 8080");
        let named = of(AddressChoice::Auto, Some("other"), vec![bridge(), other()], PUBLISHED);
        assert_eq!(named, "172.20.0.2:8080 127.0.0.1:32768 [172.17.0.2:8080: on network bridge (--network)] as 32768");
        let none = of(AddressChoice::Direct, Some("other"), vec![bridge()], PUBLISHED);
        assert_eq!(
            none,
            "none: no usable address: 172.17.0.2:8080: on network bridge (--network), 127.0.0.1:32768: --address direct"
        );
    }

    #[test]
    fn from_a_container_others_are_reached_on_its_networks_or_at_the_gateway() {
        let inside = Some(vec!["shared".to_owned()]);
        let reachability = Reachability { engine: EngineHost::Remote("172.20.0.1".to_owned()), inside, ..here() };
        let shared = Network { id: "shared".to_owned(), ..network("app", "172.20.0.2", 24, "172.20.0.1") };
        let of = |networks, binding| tried(&reachability, &container(networks, binding));
        assert_eq!(of(vec![shared.clone()], PUBLISHED), "172.20.0.2:8080 172.20.0.1:32768 as 32768");
        assert_eq!(of(vec![shared], None), "172.20.0.2:8080 as 8080");
        let expected = "172.20.0.1:32768 [172.17.0.2:8080: not on a network of this plugin's container] as 32768";
        assert_eq!(of(vec![bridge()], PUBLISHED), expected);
        let expected = "none: TCP port 8080 is bound to a loopback address of the engine's machine";
        assert_eq!(of(vec![bridge()], Some("127.0.0.1:32768")), expected);
    }
}
