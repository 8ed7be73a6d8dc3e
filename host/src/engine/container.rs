//! A container, as an entry of the engine's list describes it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::text::Foreign;

/// A container, as the engine lists it.
#[derive(Debug, Clone, Default)]
pub struct Container {
    /// The full id: letters, digits and `-`, at most 64.
    pub id: String,
    /// Its own name without the leading slash, or the first 12 characters of the id if it has none.
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
    /// The id or name of the container whose network it uses.
    pub network_of: Option<String>,
    /// The network, MAC address and IP address of its first interface. Containers of one pod have the same.
    pub interface: Option<String>,
    /// True if Swarm's ingress network publishes its ports, which the list does not have then.
    pub is_on_ingress: bool,
    /// Its TCP ports.
    pub ports: Vec<Port>,
    /// A port of the list that cannot be read.
    pub unreadable_port: Option<Foreign>,
    /// Its own addresses on the engine's networks, by name, with IPv4 before IPv6.
    pub networks: Vec<Network>,
    /// Its start, if the list has it: equal texts mean the same start.
    pub started_at: Option<String>,
}

/// An address of a container on a network of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The network's name.
    pub name: String,
    /// The network's id, if the engine reports it.
    pub id: String,
    /// The container's address.
    pub address: IpAddr,
    /// The length of the network's prefix in bits.
    pub prefix: u8,
    /// The network's gateway. Networks without a way out, and those of some drivers, have none.
    pub gateway: Option<IpAddr>,
}

/// The state of a container's processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lifecycle {
    /// They run.
    Running,
    /// They have ended, and the engine is about to start them again.
    Restarting,
    /// They are paused, or the engine reports no known state.
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

#[cfg(test)]
mod tests {
    use super::*;

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
