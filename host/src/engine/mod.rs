//! Discovery: what the container engine tells, by its API.
//!
//! One list gives everything but the time at which a container was started. That is asked for only where the list cannot
//! rule out a restart since the last run: see [`Container::up_at_least`].

mod connection;
mod tls;

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bollard_stubs::models::{ContainerInspectResponse, ContainerStatsResponse};
use bytesize::ByteSize;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::engine::connection::{Dial, Unanswered};
use crate::env;
use crate::error::Error;
use crate::limits;
use crate::stop::Stop;
use crate::text::foreign;

/// Where the engine is when nobody says.
const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";

/// A container, as the engine's list has it.
#[derive(Debug, Clone, Default)]
pub struct Container {
    /// The full id.
    pub id: String,
    /// The name without the leading slash; the id's first 12 characters where it has none.
    pub name: String,
    /// The image as it was named.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Whether its processes run: neither paused nor restarting.
    pub running: bool,
    /// The state in the engine's words, such as `Up 8 minutes (Paused)`.
    pub status: String,
    /// Whether it is on the host's network.
    pub host_network: bool,
    /// Whether it can have network interfaces of its own, as far as the list tells.
    pub has_interfaces: bool,
    /// Its TCP ports.
    pub ports: Vec<Port>,
    /// Its own addresses on the engine's networks.
    pub addresses: Vec<IpAddr>,
}

/// A TCP port of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// The port within the container.
    pub container_port: u16,
    /// The address and port of the host that lead to it, where it is published.
    pub binding: Option<(IpAddr, u16)>,
}

impl Container {
    /// The least time for which the container has been up, as far as the list tells. A container that has been up for longer
    /// than the last run is ago was not restarted since.
    ///
    /// Read from the status, `Up 8 minutes (healthy)`. The engine rounds hours, and cuts off what is below a smaller unit.
    pub fn up_at_least(&self) -> Option<Duration> {
        let mut words = self.status.strip_prefix("Up ")?.split(' ').filter(|word| *word != "About");
        // `About a minute` and `About an hour` are said from one whole minute and hour on.
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

/// A container in the engine's list: of all that it tells, what is read here. Engines leave out what they like.
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

/// A container's id. Where one is missing, reading ends at once: of empty entries, a small list makes a large one here.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Id(String);

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(id: String) -> Result<Id, String> {
        let is_id = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
        if is_id { Ok(Id(id)) } else { Err(format!("the id '{id}' is not made of 64 hexadecimal digits")) }
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
            // Podman leaves the address out where a port is bound to all of them.
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
            running: listed.state.as_deref() == Some("running"),
            status: listed.status.unwrap_or_default(),
            host_network: mode.as_deref() == Some("host"),
            // Podman tells no mode, and no networks of a container without any or on the host's.
            has_interfaces: mode.map_or(!networks.is_empty(), |mode| mode != "host"),
            ports: ports.collect(),
            addresses: networks.into_values().filter_map(|network| network.ip_address?.parse().ok()).collect(),
        }
    }
}

/// The containers of an engine's list, each once.
///
/// # Errors
/// Where it is no list, or one has no id: then nothing tells it from another, in names and in what is remembered.
pub fn containers(list: &[u8]) -> Result<Vec<Container>, serde_json::Error> {
    let listed: Vec<Listed> = serde_json::from_slice(list)?;
    let mut containers: Vec<Container> = listed.into_iter().map(Container::from).collect();
    let mut ids = HashSet::new();
    containers.retain(|container| ids.insert(container.id.clone()));
    Ok(containers)
}

/// Where the engine's published ports are, seen from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineHost {
    /// On this machine.
    Local,
    /// On the machine of this name or address.
    Remote(String),
}

/// Why the engine says nothing of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is not running any more.
    NoContainer,
    /// Anything else, worded.
    Other(String),
}

impl From<Unanswered> for Refusal {
    fn from(unanswered: Unanswered) -> Refusal {
        Refusal::Other(match unanswered {
            Unanswered::Refused(404 | 409, _) => return Refusal::NoContainer,
            Unanswered::Refused(status, words) => {
                format!("it answered {status} {}", foreign(&words)).trim_end().to_owned()
            }
            Unanswered::Silence(why) => foreign(&why).to_string(),
            Unanswered::Cut(_) => "its answer ended too early".to_owned(),
            Unanswered::TooLarge(limit) => format!("its answer is larger than {:.0}", limit.display().iec()),
            Unanswered::Unreadable(why) => format!("its answer cannot be read: {}", foreign(&why.to_string())),
        })
    }
}

/// A container engine: Docker, or what speaks its API.
#[derive(Clone)]
pub struct Engine {
    url: String,
    dial: Arc<Dial>,
}

impl Engine {
    /// Lists the containers that match `filters`, from the engine at `url`, else at `DOCKER_HOST`, else at the local socket.
    ///
    /// # Errors
    /// Where the engine does not answer before the run has to stop, or does not answer with a list: what was tried, what
    /// happened, and what to do.
    pub async fn list(
        url: Option<&str>,
        filters: &[(String, String)],
        stop: &mut Stop,
    ) -> Result<(Engine, Vec<Container>), Error> {
        let from_environment = || env::variable("DOCKER_HOST");
        let url = url.map(str::to_owned).or_else(from_environment).unwrap_or_else(|| DEFAULT_SOCKET.to_owned());
        let engine = Engine { dial: Arc::new(Dial::new(&url)?), url };
        let containers = tokio::select! {
            list = engine.containers(filters, false) => list.map_err(|why| failure(&engine.url, why))?,
            why = stop.wait() => return Err(no_answer(&engine.url, &format!("none had come when {why}"))),
        };
        Ok((engine, containers))
    }

    /// The containers that match `filters`; `all` has those that do not run among them.
    async fn containers(&self, filters: &[(String, String)], all: bool) -> Result<Vec<Container>, Unanswered> {
        let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, value) in filters {
            wanted.entry(key).or_default().push(value);
        }
        let wanted = serde_json::to_string(&wanted).unwrap_or_default();
        let wanted: String = form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
        let all = if all { "&all=true" } else { "" };
        let path = format!("/containers/json?filters={wanted}{all}");
        containers(&self.dial.get(&path, limits::ENGINE_LIST).await?).map_err(Unanswered::Unreadable)
    }

    /// The containers that a list by `filters` does not have, and why: those that match and do not run, and those that run and do not
    /// match.
    ///
    /// # Errors
    /// What the engine answered instead.
    pub async fn unmatched(&self, filters: &[(String, String)]) -> Result<Vec<(Container, String)>, String> {
        let list = async |filters: &[(String, String)], all| {
            let list = self.containers(filters, all);
            let late = || format!("no answer after {}", humantime::format_duration(limits::ENGINE_INSPECT));
            let list = tokio::time::timeout(limits::ENGINE_INSPECT, list).await.map_err(|_| late())?;
            list.map_err(|why| failure(&self.url, why).to_string())
        };
        let mut matching = list(filters, true).await?;
        let ids: HashSet<String> = matching.iter().map(|container| container.id.clone()).collect();
        matching.retain(|container| {
            container.status.starts_with("Exited")
                || container.status.starts_with("Created")
                || container.status.starts_with("Dead")
        });
        let mut unmatched: Vec<(Container, String)> = matching
            .into_iter()
            .map(|container| (container.clone(), format!("it is not running ({})", container.status)))
            .collect();
        if !filters.is_empty() {
            let filters: Vec<String> = filters.iter().map(|(key, value)| format!("--filter {key}={value}")).collect();
            let why = format!("it does not match {}", filters.join(" "));
            let all = list(&[], false).await?;
            unmatched.extend(
                all.into_iter()
                    .filter(|container| !ids.contains(&container.id))
                    .map(|container| (container, why.clone())),
            );
        }
        Ok(unmatched)
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks for `path`. Paths are without a version of the API: engines then speak their newest, and what is read here is the same in
    /// all.
    async fn ask<T: DeserializeOwned>(&self, path: &str, limit: ByteSize) -> Result<T, Unanswered> {
        serde_json::from_slice(&self.dial.get(path, limit).await?).map_err(Unanswered::Unreadable)
    }

    /// Where this engine's published ports are.
    pub fn host(&self) -> EngineHost {
        let Some((_, rest)) = self.url.split_once("://").filter(|(scheme, _)| *scheme != "unix") else {
            return EngineHost::Local;
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((v6, _)) => v6,
            None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
        };
        let is_loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if host == "localhost" || is_loopback { EngineHost::Local } else { EngineHost::Remote(host.to_owned()) }
    }

    /// When the container was started, as the engine words it: two equal texts mean the same start.
    ///
    /// # Errors
    /// What the engine answered instead, or that it did not in time.
    pub async fn started_at(&self, id: &str) -> Result<String, String> {
        let container = self.inspect(id).await.map_err(|refusal| match refusal {
            Refusal::NoContainer => "it is gone".to_owned(),
            Refusal::Other(why) => why,
        })?;
        let started = container.state.and_then(|state| state.started_at).filter(|time| !time.is_empty());
        started.ok_or_else(|| "its answer has no time of start".to_owned())
    }

    /// All that the engine knows of the container.
    ///
    /// # Errors
    /// What it answered instead, or that it did not within [`limits::ENGINE_INSPECT`].
    pub async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, Refusal> {
        let path = format!("/containers/{id}/json");
        let inspect = self.ask(&path, limits::ENGINE_CONTAINER);
        let late = || Refusal::Other(format!("no answer after {}", humantime::format_duration(limits::ENGINE_INSPECT)));
        Ok(tokio::time::timeout(limits::ENGINE_INSPECT, inspect).await.map_err(|_| late())??)
    }

    /// The container's use of resources at the engine's next count, which is up to a second away.
    ///
    /// # Errors
    /// What it answered instead.
    pub async fn stats(&self, id: &str) -> Result<ContainerStatsResponse, Refusal> {
        let path = format!("/containers/{id}/stats?stream=false&one-shot=true");
        match self.ask(&path, limits::ENGINE_CONTAINER).await {
            // An answer without a body is how some engines end when the container does.
            Err(Unanswered::Unreadable(error)) if error.is_eof() && error.column() == 0 => Err(Refusal::NoContainer),
            stats => Ok(stats?),
        }
    }
}

/// Words why there is no list: what was tried, what happened, what to do.
fn failure(url: &str, unanswered: Unanswered) -> Error {
    let no_engine = |why: &str| {
        Error::failed(format!("what answers at {url} is no container engine, or broke off: {}", foreign(why)))
    };
    match unanswered {
        Unanswered::Silence(why) => no_answer(url, &foreign(&why).to_string()),
        Unanswered::Cut(why) => no_engine(&why),
        Unanswered::Unreadable(why) => no_engine(&why.to_string()),
        Unanswered::TooLarge(limit) => Error::failed(format!(
            "the container engine at {url} sent more than {:.0} in one answer, which is the limit; --filter makes the list shorter",
            limit.display().iec()
        )),
        // The list's only parameters are the operator's filters.
        Unanswered::Refused(400, words) if !words.contains("version") => {
            Error::usage(format!("the container engine at {url} refuses the request: {}", foreign(&words)))
        }
        Unanswered::Refused(status, words) => {
            Error::failed(format!("the container engine at {url} answered {status}: {}", foreign(&words)))
        }
    }
}

fn no_answer(url: &str, why: &str) -> Error {
    Error::failed(format!(
        "no answer from the container engine at {url}: {why}; is it running, and may this user reach it? (--docker-host or \
         DOCKER_HOST choose another one)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_tells_the_least_time_that_a_container_has_been_up() {
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

    #[test]
    fn an_engine_is_local_by_its_socket_or_a_loopback_address() {
        let host = |url: &str| {
            let dial = Arc::new(Dial::new("tcp://127.0.0.1:1").unwrap());
            Engine { url: url.to_owned(), dial }.host()
        };
        for url in [
            "unix:///var/run/docker.sock",
            "tcp://127.0.0.1:2375",
            "tcp://localhost:2375",
            "https://[::1]:2376",
            "tcp://127.0.0.2",
        ] {
            assert_eq!(host(url), EngineHost::Local, "{url}");
        }
        for (url, name) in [
            ("tcp://10.1.2.3:2376", "10.1.2.3"),
            ("https://docker.example:2376/", "docker.example"),
            ("tcp://[fd00::1]:2375", "fd00::1"),
        ] {
            assert_eq!(host(url), EngineHost::Remote(name.to_owned()), "{url}");
        }
    }
}
