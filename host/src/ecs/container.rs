//! The containers of a task, as the task metadata endpoint describes them: only the fields that are used. An odd field
//! costs itself, and an odd entry one container.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::{Container, Count, Lenient, LenientList, Lifecycle, Port, Text, Unreadable, is_id};
use crate::text::{Foreign, foreign};

/// The response about the task.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "a task")]
pub struct TaskResponse {
    #[serde(default)]
    family: Lenient<Text>,
    #[serde(default)]
    revision: Lenient<Text>,
    #[serde(default)]
    limits: Lenient<Limits>,
    containers: Vec<Box<RawValue>>,
}

/// The response about the container of this program.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", expecting = "a container")]
pub struct Own {
    /// Its id.
    pub docker_id: Lenient<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Limits {
    /// In MiB.
    memory: Lenient<Count>,
}

/// A container of the task.
pub struct TaskContainer {
    /// The container. Its name is that of the task definition.
    pub container: Container,
    /// Its network.
    pub network: Network,
    /// Its kind.
    pub kind: Kind,
    /// True if this program runs in it.
    pub is_own: bool,
    /// The number of restarts, if it has a restart policy.
    pub restarts: Option<u64>,
    /// The result of its health check, if there is one.
    pub health: Option<HealthCheck>,
}

/// The result of a health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthCheck {
    /// The last check succeeded.
    Healthy,
    /// The last checks failed.
    Unhealthy,
}

/// The network of a container, seen from another container of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// All containers of the task are in one network namespace: mode `awsvpc`, always so on Fargate.
    Task,
    /// The host's.
    Host,
    /// One with this address of its own: mode `bridge`.
    Own(IpAddr),
    /// None: mode `none`.
    None,
    /// Not reported yet.
    Unknown,
}

/// The kind of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of the task definition.
    Normal,
    /// Holds a namespace of the task.
    Pause,
    /// Prepares the volumes of the task.
    Volume,
    /// Another one that ECS adds to the task, such as a managed daemon.
    Other,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Entry {
    docker_id: Lenient<String>,
    name: Lenient<String>,
    image: Lenient<String>,
    #[serde(rename = "ImageID")]
    image_id: Lenient<String>,
    labels: Lenient<BTreeMap<String, Lenient<Text>>>,
    known_status: Lenient<String>,
    started_at: Lenient<String>,
    #[serde(rename = "Type")]
    kind: Lenient<String>,
    ports: LenientList<ListedPort>,
    networks: LenientList<ListedNetwork>,
    restart_count: Lenient<Count>,
    health: Lenient<Health>,
}

/// A port of a container.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ListedPort {
    container_port: Lenient<Count>,
    protocol: Lenient<String>,
}

impl ListedPort {
    /// Returns true for a port of TCP.
    pub fn is_tcp(&self) -> bool {
        let protocol = self.protocol.0.as_deref().unwrap_or_default();
        protocol.is_empty() || protocol.eq_ignore_ascii_case("tcp")
    }

    /// Returns the port within the container, or `None` if it cannot be read.
    pub fn number(&self) -> Option<u16> {
        u16::try_from(self.container_port.count()?).ok().filter(|port| *port > 0)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ListedNetwork {
    network_mode: Lenient<String>,
    #[serde(rename = "IPv4Addresses")]
    ipv4_addresses: LenientList<String>,
    #[serde(rename = "IPv6Addresses")]
    ipv6_addresses: LenientList<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Health {
    status: Lenient<String>,
}

/// Parses the response about the task.
///
/// # Errors
/// If it is not a task.
pub fn parse_task(task: &[u8]) -> Result<(Vec<TaskContainer>, Unreadable), serde_json::Error> {
    let task: TaskResponse = serde_json::from_str(&String::from_utf8_lossy(task))?;
    Ok(task.containers())
}

impl TaskResponse {
    /// Returns the containers, each once, and the entries that cannot be read.
    pub fn containers(&self) -> (Vec<TaskContainer>, Unreadable) {
        let mut containers = Vec::new();
        let mut ids = HashSet::new();
        let mut unreadable = Unreadable::in_list("the task metadata");
        for (place, entry) in self.containers.iter().enumerate() {
            let entry: Lenient<Entry> = serde_json::from_str(entry.get()).unwrap_or_default();
            match entry.0.ok_or((None, "not an object")).and_then(Entry::container) {
                Ok(one) if !one.container.id.is_empty() && ids.contains(&one.container.id) => {}
                Ok(one) => {
                    ids.insert(one.container.id.clone());
                    containers.push(one);
                }
                Err((name, fault)) => {
                    let name = name.unwrap_or_else(|| format!("entry {}", place + 1));
                    unreadable.add(&foreign(&name), fault);
                }
            }
        }
        (containers, unreadable)
    }

    /// Returns the family and revision of the task definition.
    pub fn definition(&self) -> String {
        let text = |field: &Lenient<Text>| field.0.clone().map(|Text(text)| text).filter(|text| !text.is_empty());
        match (text(&self.family), text(&self.revision)) {
            (Some(family), Some(revision)) => format!("{family}:{revision}"),
            (family, _) => family.unwrap_or_default(),
        }
    }

    /// Returns the memory limit of the whole task in bytes.
    pub fn memory_limit(&self) -> Option<u64> {
        self.limits.0.as_ref()?.memory.count()?.checked_mul(1024 * 1024).filter(|limit| *limit > 0)
    }
}

impl Entry {
    /// Makes a container of the entry.
    ///
    /// # Errors
    /// Its name, and the reason for which it cannot be one.
    fn container(self) -> Result<TaskContainer, (Option<String>, &'static str)> {
        let text = |field: Lenient<String>| field.0.filter(|text| !text.is_empty());
        let (name, status) = (text(self.name), text(self.known_status).unwrap_or_default());
        let id = text(self.docker_id).unwrap_or_default();
        let lifecycle = match status.as_str() {
            "RUNNING" => Lifecycle::Running,
            "STOPPED" => Lifecycle::Ended,
            // A container has no id before it is created.
            _ => Lifecycle::Suspended,
        };
        if !id.is_empty() && !is_id(&id) {
            return Err((name, "invalid id"));
        }
        if id.is_empty() && lifecycle == Lifecycle::Running {
            return Err((name, "no id"));
        }
        let network = network(self.networks.0.as_deref().unwrap_or_default());
        let (ports, unreadable_port) = ports(self.ports.0.as_deref().unwrap_or_default());
        let labels = self.labels.0.unwrap_or_default();
        let restarts = self.restart_count.count();
        // A restart by the restart policy counts as another start, whether or not the time changes.
        let started_at = text(self.started_at).map(|time| match restarts {
            Some(restarts) => format!("{time} {restarts}"),
            None => time,
        });
        let container = Container {
            name: name.unwrap_or_else(|| id.chars().take(12).collect()),
            id,
            image: self.image.0.unwrap_or_default(),
            image_id: self.image_id.0.unwrap_or_default(),
            labels: labels.into_iter().filter_map(|(key, value)| Some((key, value.0?.0))).collect(),
            lifecycle,
            status: if status.is_empty() { "unknown state".to_owned() } else { status },
            host_network: network == Network::Host,
            has_interfaces: matches!(network, Network::Task | Network::Own(_)),
            // The network of the whole task is counted once.
            interface: (network == Network::Task).then(|| "task".to_owned()),
            ports,
            unreadable_port,
            started_at,
            ..Container::default()
        };
        let kind = match text(self.kind).as_deref() {
            None | Some("NORMAL") => Kind::Normal,
            Some("CNI_PAUSE" | "NAMESPACE_PAUSE") => Kind::Pause,
            Some("EMPTY_HOST_VOLUME") => Kind::Volume,
            Some(_) => Kind::Other,
        };
        let health = match self.health.0.and_then(|health| health.status.0).as_deref() {
            Some("HEALTHY") => Some(HealthCheck::Healthy),
            Some("UNHEALTHY") => Some(HealthCheck::Unhealthy),
            _ => None,
        };
        Ok(TaskContainer { container, network, kind, is_own: false, restarts, health })
    }
}

/// Returns the network of a container: the first that is usable. ECS has one for each container.
fn network(networks: &[ListedNetwork]) -> Network {
    let of = |network: &ListedNetwork| match network.network_mode.0.as_deref() {
        Some("awsvpc") => Network::Task,
        Some("host") => Network::Host,
        Some("none") => Network::None,
        _ => {
            // An address can be an empty text.
            let addresses = [&network.ipv4_addresses, &network.ipv6_addresses];
            let mut addresses = addresses.into_iter().flat_map(|list| list.0.iter().flatten());
            let usable = |address: &String| address.parse().ok().filter(|address: &IpAddr| !address.is_unspecified());
            addresses.find_map(usable).map_or(Network::Unknown, Network::Own)
        }
    };
    networks.iter().map(of).find(|network| *network != Network::Unknown).unwrap_or(Network::Unknown)
}

/// Returns the TCP ports within the container, and the first one that cannot be read. Each port is listed once for
/// every address that it is bound to, with host ports that do not matter within the task.
fn ports(listed: &[ListedPort]) -> (Vec<Port>, Option<Foreign>) {
    let mut ports: Vec<Port> = Vec::new();
    let mut unreadable = None;
    for port in listed.iter().filter(|port| port.is_tcp()) {
        match port.number() {
            Some(port) if ports.iter().any(|known| known.container_port == port) => {}
            Some(port) => ports.push(Port { container_port: port, binding: None }),
            None => unreadable = unreadable.or_else(|| Some(foreign("no ContainerPort"))),
        }
    }
    (ports, unreadable)
}
