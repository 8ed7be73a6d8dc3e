//! A container, as an entry of the engine's list describes it.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::text::{Foreign, foreign};
use serde::Deserialize;

/// A container, as the engine lists it.
#[derive(Debug, Clone, Default)]
pub struct Container {
    /// The full id.
    pub id: String,
    /// The name without the leading slash, or the first 12 characters of the id if it has none.
    pub name: String,
    /// The image's name.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// The state of its processes.
    pub lifecycle: Lifecycle,
    /// The status, such as `Up 8 minutes (Paused)`.
    pub status: String,
    /// True if it uses the host network.
    pub host_network: bool,
    /// True if it can have network interfaces of its own, by the list.
    pub has_interfaces: bool,
    /// Its TCP ports.
    pub ports: Vec<Port>,
    /// Its own addresses on the engine's networks.
    pub addresses: Vec<IpAddr>,
}

/// The state of a container's processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lifecycle {
    /// They run.
    Running,
    /// They are paused or restarting, or the engine reports no known state.
    #[default]
    Suspended,
    /// They have ended, or never started.
    Ended,
}

/// A TCP port of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// The port within the container.
    pub container_port: u16,
    /// The bind address and the host port, if it is published.
    pub binding: Option<(IpAddr, u16)>,
}

impl Container {
    /// Returns the least time for which the container has been up. If the last run is less long ago, it was not
    /// restarted since.
    ///
    /// It is read from the status, such as `Up 8 minutes (healthy)`. The engine rounds hours, and truncates smaller
    /// units.
    pub fn up_at_least(&self) -> Option<Duration> {
        let mut words = self.status.strip_prefix("Up ")?.split(' ').filter(|word| *word != "About");
        // `About a minute` and `About an hour` mean at least a whole minute and hour.
        let number: u64 = match words.next()? {
            "a" | "an" => 1,
            number => number.parse().ok()?,
        };
        let (is_rounded, seconds) = match words.next()?.trim_end_matches('s') {
            "second" => (false, 1),
            "minute" => (false, 60),
            "hour" => (true, 3600),
            "day" => (true, 86_400),
            "week" => (true, 7 * 86_400),
            "month" => (true, 30 * 86_400),
            "year" => (true, 365 * 86_400),
            _ => return None,
        };
        let least = if is_rounded && number > 1 { number - 1 } else { number };
        Some(Duration::from_secs(least.checked_mul(seconds)?))
    }
}

/// An entry of the engine's list: only the fields that are used. Engines omit some of them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: Id,
    names: Option<Vec<String>>,
    image: Option<String>,
    #[serde(rename = "ImageID")]
    image_id: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    state: Option<String>,
    status: Option<String>,
    ports: Option<Vec<ListedPort>>,
    host_config: Option<HostConfig>,
    network_settings: Option<NetworkSettings>,
}

/// A container's id. Parsing ends at the first missing one, because a small list of empty entries would take much
/// memory.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Id(String);

/// An id of another form.
#[derive(Debug, thiserror::Error)]
#[error("container id '{0}' is not 64 hexadecimal digits")]
struct IdError(Foreign);

impl TryFrom<String> for Id {
    type Error = IdError;

    fn try_from(id: String) -> Result<Id, IdError> {
        let is_id = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
        if is_id { Ok(Id(id)) } else { Err(IdError(foreign(&id))) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedPort {
    #[serde(rename = "IP")]
    ip: Option<String>,
    private_port: i64,
    public_port: Option<i64>,
    #[serde(rename = "Type")]
    protocol: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    network_mode: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    networks: Option<BTreeMap<String, Network>>,
}

#[derive(Deserialize)]
struct Network {
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
}

impl From<Listed> for Container {
    fn from(listed: Listed) -> Container {
        let Id(id) = listed.id;
        let name = listed.names.into_iter().flatten().next().unwrap_or_default();
        let name = match name.trim_start_matches('/') {
            "" => id.chars().take(12).collect(),
            name => name.to_owned(),
        };
        let tcp = |port: &ListedPort| port.protocol.as_deref().is_none_or(|protocol| protocol == "tcp");
        let number = |port: i64| u16::try_from(port).ok();
        let port = |port: ListedPort| {
            // Podman omits the address of a port that is bound to all addresses.
            let ip = port.ip.filter(|ip| !ip.is_empty()).map_or(Ok(Ipv4Addr::UNSPECIFIED.into()), |ip| ip.parse());
            let public = port.public_port.and_then(number).filter(|port| *port > 0);
            Some(Port { container_port: number(port.private_port)?, binding: ip.ok().zip(public) })
        };
        let ports = listed.ports.into_iter().flatten().filter(tcp).filter_map(port);
        let networks = listed.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let mode = listed.host_config.and_then(|config| config.network_mode);
        Container {
            id,
            name,
            image: listed.image.unwrap_or_default(),
            image_id: listed.image_id.unwrap_or_default(),
            labels: listed.labels.unwrap_or_default(),
            lifecycle: match listed.state.as_deref() {
                Some("running") => Lifecycle::Running,
                // Podman reports `stopped` until it has cleaned up.
                Some("created" | "dead" | "exited" | "stopped") => Lifecycle::Ended,
                _ => Lifecycle::Suspended,
            },
            status: listed.status.unwrap_or_default(),
            host_network: mode.as_deref() == Some("host"),
            // Podman reports no mode, and no networks for a container without any or on the host network.
            has_interfaces: mode.map_or(!networks.is_empty(), |mode| mode != "host"),
            ports: ports.collect(),
            addresses: networks.into_values().filter_map(|network| network.ip_address?.parse().ok()).collect(),
        }
    }
}

/// Parses the engine's list. Each container is listed once.
///
/// # Errors
/// If it is not a list, or an entry has no id: names and state could not tell it from another container.
pub fn parse_list(list: &[u8]) -> Result<Vec<Container>, serde_json::Error> {
    let listed: Vec<Listed> = serde_json::from_slice(list)?;
    let mut containers: Vec<Container> = listed.into_iter().map(Container::from).collect();
    let mut ids = HashSet::new();
    containers.retain(|container| ids.insert(container.id.clone()));
    Ok(containers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_container_is_known_by_its_state() {
        let parse = |state: &str| {
            let list =
                format!(r#"[{{"Id": "{}", "State": "{state}", "Status": "Exited (0) 1 minute ago"}}]"#, "a".repeat(64));
            parse_list(list.as_bytes()).unwrap().remove(0).lifecycle == Lifecycle::Ended
        };
        for state in ["created", "dead", "exited", "stopped"] {
            assert!(parse(state), "{state}");
        }
        for state in ["running", "paused", "restarting", "removing", "stopping", "unknown", ""] {
            assert!(!parse(state), "{state}");
        }
    }

    #[test]
    fn the_least_uptime_is_read_from_the_status() {
        let hour = 3600;
        for (status, seconds) in [
            ("Up 1 second", Some(1)),
            ("Up 59 seconds", Some(59)),
            ("Up About a minute", Some(60)),
            ("Up 8 minutes (healthy)", Some(480)),
            ("Up 8 minutes (Paused)", Some(480)),
            ("Up About an hour", Some(hour)),
            ("Up 2 hours", Some(hour)),
            ("Up 2 days", Some(24 * hour)),
            ("Up 3 weeks (health: starting)", Some(14 * 24 * hour)),
            ("Up Less than a second", None),
            ("Up 5 fortnights", None),
            ("Up -1 minutes", None),
            ("Up", None),
            ("", None),
            ("Exited (0) 3 minutes ago", None),
            ("Up 99999999999999999999 years", None),
            ("Up 18446744073709551614 years", None),
        ] {
            let container = Container { status: status.to_owned(), ..Container::default() };
            assert_eq!(container.up_at_least(), seconds.map(Duration::from_secs), "{status}");
        }
    }
}
