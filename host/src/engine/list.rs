//! The engine's list of containers. Each entry is read by itself, and so is each of its fields: an odd one costs one
//! container at most.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::engine::container::{Container, Lifecycle, Network, Port};
use crate::engine::lenient::{Count, Lenient, Text};
use crate::limits;
use crate::text::{Foreign, foreign, plural};

/// The containers of a list, and the entries that are not usable as containers.
#[derive(Debug, Default)]
pub struct Listing {
    /// The containers, each once.
    pub containers: Vec<Container>,
    /// The entries without a usable id.
    pub unreadable: Unreadable,
}

/// Entries that cannot be read. `Display` writes one line.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// Their number.
    pub count: usize,
    /// The name and the fault of the first few.
    first: Vec<String>,
    /// The name of the list.
    list: &'static str,
}

impl Default for Unreadable {
    fn default() -> Unreadable {
        Unreadable::in_list("the engine's list")
    }
}

impl Unreadable {
    /// Starts with no entry of `list`, a noun phrase.
    pub fn in_list(list: &'static str) -> Unreadable {
        Unreadable { count: 0, first: Vec::new(), list }
    }

    /// Adds an entry.
    pub fn add(&mut self, name: &Foreign, fault: &str) {
        self.count += 1;
        if self.first.len() < limits::ALIKE {
            self.first.push(format!("{name} ({fault})"));
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let containers = plural(self.count, "container");
        write!(f, "{containers} in {} cannot be read: {}", self.list, self.first.join(", "))?;
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It is not a list.
    #[error(transparent)]
    Invalid(#[from] serde_json::Error),
    /// It has more entries than [`limits::CONTAINERS`].
    #[error("more than {} entries", limits::CONTAINERS)]
    TooMany,
}

/// Parses the engine's list.
///
/// # Errors
/// If it is not a list, or too long.
pub fn parse_list(list: &[u8]) -> Result<Listing, ListError> {
    // An engine passes on the bytes of labels and names.
    let Entries { listing, count } = serde_json::from_str(&String::from_utf8_lossy(list))?;
    if count > limits::CONTAINERS { Err(ListError::TooMany) } else { Ok(listing) }
}

/// The entries, read one after the other: a small list of empty entries must not take much memory.
struct Entries {
    listing: Listing,
    count: usize,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries, D::Error> {
        deserializer.deserialize_seq(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of containers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Entries, A::Error> {
        let mut listing = Listing::default();
        let mut ids: HashSet<String> = HashSet::new();
        let mut count = 0;
        while let Some(entry) = entries.next_element::<&RawValue>()? {
            count += 1;
            if count > limits::CONTAINERS {
                continue;
            }
            match container(entry.get()) {
                Ok(container) if ids.contains(&container.id) => {}
                Ok(container) => {
                    ids.insert(container.id.clone());
                    listing.containers.push(container);
                }
                Err((name, fault)) => {
                    let name = name.unwrap_or_else(|| format!("entry {count}"));
                    listing.unreadable.add(&foreign(&name), &fault);
                }
            }
        }
        Ok(Entries { listing, count })
    }
}

/// Reads one entry.
///
/// # Errors
/// Its name, if it has one, and the fault.
fn container(entry: &str) -> Result<Container, (Option<String>, String)> {
    if !entry.starts_with('{') {
        return Err((None, format!("expected an object, found {}", kind(entry))));
    }
    let mut listed: Listed =
        serde_json::from_str(entry).map_err(|error| (None, foreign(&error.to_string()).to_string()))?;
    let name = listed.names.as_ref().and_then(Names::own);
    match listed.id.0.take().unwrap_or_default() {
        id if is_id(&id) => Ok(listed.into_container(id, name)),
        id if id.is_empty() => Err((name, "no id".to_owned())),
        id => Err((name, format!("id '{}' is not 1 to 64 letters, digits and dashes", foreign(&id)))),
    }
}

/// Returns the kind of a JSON value that is not an object.
fn kind(value: &str) -> &'static str {
    match value.as_bytes() {
        [b'[', ..] => "a list",
        [b'"', ..] => "a text",
        [b'n', ..] => "null",
        [b't' | b'f', ..] => "a truth value",
        _ => "a number",
    }
}

/// Returns true if `id` can be a part of a path and of a metric name. Engines use 64 hexadecimal digits.
pub fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// An entry of the list: only the fields that are used. Engines omit some of them.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Listed<'a> {
    id: Lenient<String>,
    names: Option<Names>,
    image: Lenient<String>,
    #[serde(rename = "ImageID")]
    image_id: Lenient<String>,
    labels: Lenient<BTreeMap<String, Lenient<Text>>>,
    state: Lenient<String>,
    status: Lenient<String>,
    #[serde(borrow)]
    ports: Option<&'a RawValue>,
    host_config: Lenient<HostConfig>,
    network_settings: Option<Lenient<NetworkSettings>>,
}

/// The names of a container: its own, and those that linking containers gave it.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Names, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let names: Vec<Lenient<String>> = serde_json::from_str(raw.get()).unwrap_or_default();
        let one = || serde_json::from_str(raw.get()).ok();
        Ok(Names(if names.is_empty() {
            one().into_iter().collect()
        } else {
            names.into_iter().filter_map(|name| name.0).collect()
        }))
    }
}

impl Names {
    /// Returns the container's own name: the one without an inner slash. A link's is `/OTHER/ALIAS`.
    fn own(&self) -> Option<String> {
        let names = || self.0.iter().map(|name| name.trim_start_matches('/')).filter(|name| !name.is_empty());
        let own = names().find(|name| !name.contains('/')).or_else(|| names().next());
        own.map(str::to_owned)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ListedPort {
    #[serde(rename = "IP")]
    ip: Option<Lenient<String>>,
    private_port: Lenient<Count>,
    public_port: Option<Lenient<Count>>,
    #[serde(rename = "Type")]
    protocol: Option<Lenient<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    network_mode: Lenient<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NetworkSettings {
    networks: Lenient<BTreeMap<String, Lenient<ListedNetwork>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListedNetwork {
    #[serde(rename = "NetworkID")]
    network_id: Lenient<String>,
    #[serde(rename = "Gateway")]
    gateway: Lenient<String>,
    #[serde(rename = "IPAddress")]
    ip_address: Lenient<String>,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: Lenient<Count>,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: Lenient<String>,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6_address: Lenient<String>,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    ipv6_prefix_len: Lenient<Count>,
    #[serde(rename = "MacAddress")]
    mac_address: Lenient<String>,
}

impl Listed<'_> {
    fn into_container(self, id: String, name: Option<String>) -> Container {
        let status = self.status.0.unwrap_or_default();
        let state = self.state.0;
        let labels: BTreeMap<String, String> =
            self.labels.0.unwrap_or_default().into_iter().filter_map(|(key, value)| Some((key, value.0?.0))).collect();
        let knows_networks = self.network_settings.is_some();
        let networks = self.network_settings.and_then(|settings| settings.0?.networks.0).unwrap_or_default();
        let mode = self.host_config.0.and_then(|config| config.network_mode.0).filter(|mode| !mode.is_empty());
        let (ports, unreadable_port) = ports(self.ports);
        let is_of_swarm = labels.contains_key("com.docker.swarm.service.name");
        Container {
            name: name.unwrap_or_else(|| id.chars().take(12).collect()),
            id,
            image: self.image.0.unwrap_or_default(),
            image_id: self.image_id.0.unwrap_or_default(),
            lifecycle: lifecycle(state.as_deref(), &status),
            status,
            host_network: mode.as_deref() == Some("host"),
            // Podman reports no mode, and no networks for a container without any or on the host network. Docker before
            // 1.10 reports neither.
            has_interfaces: mode.as_deref().map_or(!networks.is_empty() || !knows_networks, |mode| mode != "host"),
            network_of: mode.and_then(|mode| mode.strip_prefix("container:").map(str::to_owned)),
            interface: networks.iter().find_map(|(name, network)| network.0.as_ref()?.interface(name)),
            is_on_ingress: is_of_swarm && networks.contains_key("ingress"),
            ports,
            unreadable_port,
            networks: networks
                .iter()
                .flat_map(|(name, network)| network.0.iter().flat_map(|of| of.addresses(name)))
                .collect(),
            labels,
            started_at: None,
        }
    }
}

impl ListedNetwork {
    /// Returns the addresses on this network, which has the name `name`.
    fn addresses(&self, name: &str) -> impl Iterator<Item = Network> {
        let parse = |text: &Lenient<String>| text.0.as_deref()?.parse::<IpAddr>().ok();
        let one = |address: &Lenient<String>, prefix: &Lenient<Count>, gateway: &Lenient<String>| {
            Some(Network {
                name: name.to_owned(),
                id: self.network_id.0.clone().unwrap_or_default(),
                address: parse(address).filter(|address| !address.is_unspecified())?,
                // Without one, no other address is on the network.
                prefix: prefix.0.as_ref().and_then(|prefix| u8::try_from(prefix.0).ok()).unwrap_or(u8::MAX),
                gateway: parse(gateway),
            })
        };
        let v4 = one(&self.ip_address, &self.ip_prefix_len, &self.gateway);
        let v6 = one(&self.ipv6_address, &self.ipv6_prefix_len, &self.ipv6_gateway);
        v4.into_iter().chain(v6)
    }

    /// Identifies the interface of a container on the network `name`.
    fn interface(&self, name: &str) -> Option<String> {
        let text = |of: &Lenient<String>| of.0.clone().filter(|text| !text.is_empty());
        Some(format!("{name} {} {}", text(&self.mac_address)?, text(&self.ip_address)?))
    }
}

/// Returns the state of the processes. Docker before 1.9 reports only the status.
fn lifecycle(state: Option<&str>, status: &str) -> Lifecycle {
    let first = status.split(' ').next().unwrap_or_default();
    let state = match (state, first) {
        (Some(state), _) if !state.is_empty() => state.to_ascii_lowercase(),
        (_, "Up") if status.ends_with("(Paused)") => "paused".to_owned(),
        // A list has only running containers, unless others are requested.
        (_, "Up" | "") => "running".to_owned(),
        (_, first) => first.to_ascii_lowercase(),
    };
    match state.as_str() {
        "running" => Lifecycle::Running,
        "restarting" => Lifecycle::Restarting,
        // Podman reports `stopped` until it has cleaned up.
        "created" | "dead" | "exited" | "stopped" => Lifecycle::Ended,
        _ => Lifecycle::Suspended,
    }
}

/// Returns the TCP ports, and the first entry that cannot be read: it could be any port.
fn ports(list: Option<&RawValue>) -> (Vec<Port>, Option<Foreign>) {
    let list = list.map_or("[]", RawValue::get);
    let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(list) else { return (Vec::new(), Some(foreign(list))) };
    let mut ports = Vec::with_capacity(entries.len());
    let mut unreadable = None;
    for raw in entries {
        let entry: Lenient<ListedPort> = serde_json::from_str(raw.get()).unwrap_or_default();
        let read = entry.0.and_then(|entry| port(entry, &mut ports));
        if read.is_none() {
            unreadable.get_or_insert_with(|| foreign(raw.get()));
        }
    }
    (ports, unreadable)
}

/// Adds one port, unless it is not TCP. Returns `None` if it cannot be read.
fn port(listed: ListedPort, ports: &mut Vec<Port>) -> Option<()> {
    let text = |field: Option<Lenient<String>>| field.map_or(Some(String::new()), |text| text.0);
    let number = |count: Count| u16::try_from(count.0).ok();
    let protocol = text(listed.protocol)?;
    if !protocol.is_empty() && !protocol.eq_ignore_ascii_case("tcp") {
        return Some(());
    }
    let container_port = number(listed.private_port.0?).filter(|port| *port > 0)?;
    let public = match listed.public_port {
        Some(port) => number(port.0?)?,
        None => 0,
    };
    if public == 0 {
        ports.push(Port { container_port, binding: None });
        return Some(());
    }
    let ip = text(listed.ip)?;
    let ip: IpAddr = match ip.trim_start_matches('[').trim_end_matches(']') {
        // Podman omits the address of a port that is bound to all addresses.
        "" => Ipv4Addr::UNSPECIFIED.into(),
        ip => ip.parse().ok()?,
    };
    ports.push(Port { container_port, binding: Some((ip, public)) });
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_container_is_known_by_its_state() {
        let parse = |state: &str| {
            let list =
                format!(r#"[{{"Id": "{}", "State": "{state}", "Status": "Exited (0) 1 minute ago"}}]"#, "a".repeat(64));
            parse_list(list.as_bytes()).unwrap().containers.remove(0).lifecycle == Lifecycle::Ended
        };
        for state in ["created", "dead", "exited", "stopped"] {
            assert!(parse(state), "{state}");
        }
        for state in ["running", "paused", "restarting", "removing", "stopping", "unknown"] {
            assert!(!parse(state), "{state}");
        }
    }
}
