//! Discovery: what the container engine tells, by its API.
//!
//! One list gives everything but the time at which a container was started. That is asked for only where the list cannot
//! rule out a restart since the last run: see [`Container::up_at_least`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as EngineError;
use bollard::models::{
    ContainerInspectResponse, ContainerStatsResponse, ContainerSummary, ContainerSummaryStateEnum, PortSummaryTypeEnum,
};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder, StatsOptionsBuilder};
use bollard::{ClientVersion, Docker};
use futures_util::StreamExt as _;

use crate::dial::{Dial, Unanswered};
use crate::error::Error;
use crate::limits;
use crate::notice::{foreign, root_cause};
use crate::stop::Stop;

/// Where the engine is when nobody says.
const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";

/// The API versions that are tried before the engine is asked: engine 29 refuses any below the first, and the second is the
/// newest of 20.10. Asking would take engines several milliseconds in every run.
///
/// bollard 0.21.1 leaves the version out on the wire (its issue 736), and engines then speak their newest. What is read here is
/// the same in all versions; the list is for the release that sends it.
const API_VERSIONS: [ClientVersion; 2] =
    [ClientVersion { major_version: 1, minor_version: 44 }, ClientVersion { major_version: 1, minor_version: 41 }];

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

impl From<ContainerSummary> for Container {
    fn from(summary: ContainerSummary) -> Container {
        let id = summary.id.unwrap_or_default();
        let name = summary.names.into_iter().flatten().next().unwrap_or_default();
        let name = match name.trim_start_matches('/') {
            "" => id.chars().take(12).collect(),
            name => name.to_owned(),
        };
        let tcp = |port: &bollard::models::PortSummary| matches!(port.typ, Some(PortSummaryTypeEnum::TCP) | None);
        let ports = summary.ports.into_iter().flatten().filter(tcp).map(|port| Port {
            container_port: port.private_port,
            // Podman leaves the address out where a port is bound to all of them.
            binding: port.public_port.filter(|port| *port > 0).and_then(|public| {
                let ip = port.ip.filter(|ip| !ip.is_empty()).map_or(Ok(Ipv4Addr::UNSPECIFIED.into()), |ip| ip.parse());
                Some((ip.ok()?, public))
            }),
        });
        let networks = summary.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let address = |text: Option<String>| text?.parse::<IpAddr>().ok();
        let mode = summary.host_config.and_then(|config| config.network_mode);
        Container {
            id,
            name,
            image: summary.image.unwrap_or_default(),
            image_id: summary.image_id.unwrap_or_default(),
            labels: summary.labels.unwrap_or_default().into_iter().collect(),
            running: summary.state == Some(ContainerSummaryStateEnum::RUNNING),
            status: summary.status.unwrap_or_default(),
            host_network: mode.as_deref() == Some("host"),
            // Podman tells no mode, and no networks of a container without any or on the host's.
            has_interfaces: mode.map_or(!networks.is_empty(), |mode| mode != "host"),
            ports: ports.collect(),
            addresses: networks.into_values().filter_map(|network| address(network.ip_address)).collect(),
        }
    }
}

/// The containers of an engine's list, each once.
///
/// # Errors
/// Where one has no id: then nothing tells it from another, in names and in what is remembered.
pub fn containers(summaries: Vec<ContainerSummary>) -> Result<Vec<Container>, String> {
    let mut containers: Vec<Container> = summaries.into_iter().map(Container::from).collect();
    let is_id = |id: &str| id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(Container { id, name, .. }) = containers.iter().find(|container| !is_id(&container.id)) {
        return Err(format!(
            "it lists a container {} with the id '{}', which is not 64 hexadecimal digits",
            foreign(name),
            foreign(id)
        ));
    }
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
        let error = match unanswered {
            Unanswered::Silence(error) => return Refusal::Other(foreign(&root_cause(&error))),
            Unanswered::TooLarge(limit) => {
                return Refusal::Other(format!("its answer is larger than {:.0}", limit.display().iec()));
            }
            Unanswered::Unusable(error) => error,
        };
        Refusal::Other(match error {
            EngineError::DockerResponseServerError { status_code: 404 | 409, .. } => return Refusal::NoContainer,
            EngineError::DockerResponseServerError { status_code, message } => {
                format!("it answered {status_code} {}", foreign(&message)).trim_end().to_owned()
            }
            EngineError::IOError { .. } => "its answer ended too early".to_owned(),
            EngineError::JsonDataError { message, .. } => format!("its answer cannot be read: {}", foreign(&message)),
            error => foreign(&root_cause(&error)),
        })
    }
}

/// A container engine: Docker, or what speaks its API.
#[derive(Clone)]
pub struct Engine {
    url: String,
    dial: Arc<Dial>,
    version: ClientVersion,
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
        let from_environment = || environment("DOCKER_HOST");
        let url = url.map(str::to_owned).or_else(from_environment).unwrap_or_else(|| DEFAULT_SOCKET.to_owned());
        let dial = Arc::new(Dial::new(&url)?);
        let (version, summaries) = tokio::select! {
            list = list_by_some_version(&dial, filters) => list.map_err(|why| failure(&url, &why))?,
            why = stop.wait() => return Err(no_answer(&url, &format!("none had come when {why}"))),
        };
        let containers = containers(summaries)
            .map_err(|why| Error::Failed(format!("what answers at {url} is no container engine: {why}")))?;
        Ok((Engine { url, dial, version }, containers))
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
        let inspect = self.dial.ask(limits::ENGINE_STATE, &self.version, |docker| async move {
            docker.inspect_container(id, None::<InspectContainerOptions>).await
        });
        let late = || Refusal::Other(format!("no answer after {}", humantime::format_duration(limits::ENGINE_INSPECT)));
        Ok(tokio::time::timeout(limits::ENGINE_INSPECT, inspect).await.map_err(|_| late())??)
    }

    /// The container's use of resources at the engine's next count, which is up to a second away.
    ///
    /// # Errors
    /// What it answered instead.
    pub async fn stats(&self, id: &str) -> Result<ContainerStatsResponse, Refusal> {
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let stats = self.dial.ask(limits::ENGINE_STATS, &self.version, |docker| async move {
            docker.stats(id, Some(options)).next().await.transpose()
        });
        // An answer without a body is how some engines end when the container does.
        stats.await?.ok_or(Refusal::NoContainer)
    }
}

/// The list, and the version of the API that the engine gave it by.
async fn list_by_some_version(
    dial: &Arc<Dial>,
    filters: &[(String, String)],
) -> Result<(ClientVersion, Vec<ContainerSummary>), Unanswered> {
    let mut wanted: HashMap<&str, Vec<&str>> = HashMap::new();
    for (key, value) in filters {
        wanted.entry(key).or_default().push(value);
    }
    let options = ListContainersOptionsBuilder::default().filters(&wanted).build();
    let list = async |version| {
        let options = Some(options.clone());
        dial.ask(limits::ENGINE_LIST, &version, |docker| async move { docker.list_containers(options).await }).await
    };
    for version in API_VERSIONS {
        match list(version).await {
            Ok(summaries) => return Ok((version, summaries)),
            Err(Unanswered::Unusable(error)) if is_version_refused(&error) => {}
            Err(why) => return Err(why),
        }
    }
    let negotiate = dial.ask(limits::ENGINE_STATE, &API_VERSIONS[0], Docker::negotiate_version);
    let version = negotiate.await?.client_version();
    Ok((version, list(version).await?))
}

/// A variable of the environment that is set and not empty.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether the engine speaks another version of its API: only then is the next one tried.
fn is_version_refused(error: &EngineError) -> bool {
    matches!(error, EngineError::DockerResponseServerError { status_code: 400, message } if message.contains("version"))
}

/// Words why there is no list: what was tried, what happened, what to do.
fn failure(url: &str, unanswered: &Unanswered) -> Error {
    let error = match unanswered {
        Unanswered::Silence(EngineError::IOError { err }) if err.kind() == ErrorKind::NotFound => {
            return no_answer(url, &format!("there is no socket {}", url.trim_start_matches("unix://")));
        }
        Unanswered::Silence(error) => return no_answer(url, &foreign(&root_cause(error))),
        Unanswered::TooLarge(limit) => {
            return Error::Failed(format!(
                "the container engine at {url} sent more than {:.0} in one answer, which is the limit; --filter makes the list shorter",
                limit.display().iec()
            ));
        }
        Unanswered::Unusable(error) => error,
    };
    match error {
        // The list's only parameters are the operator's filters.
        EngineError::DockerResponseServerError { status_code: 400, message } if !is_version_refused(error) => {
            Error::Usage(format!("the container engine at {url} refuses the request: {}", foreign(message)))
        }
        EngineError::DockerResponseServerError { status_code, message } => {
            Error::Failed(format!("the container engine at {url} answered {status_code}: {}", foreign(message)))
        }
        _ => {
            let cause = foreign(&root_cause(error));
            Error::Failed(format!("what answers at {url} is no container engine, or broke off: {cause}"))
        }
    }
}

fn no_answer(url: &str, why: &str) -> Error {
    Error::Failed(format!(
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
            Engine { url: url.to_owned(), dial, version: API_VERSIONS[0] }.host()
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
