//! The container engine: Docker, or an engine with its API, such as Podman.
//!
//! One list gives everything but the start time of a container. That is requested only if the list cannot rule out a
//! restart since the last run: see [`Container::up_at_least`]. Paths have no API version, so engines use their newest;
//! the fields that are read are the same in all.

mod connection;
mod container;
mod context;
mod endpoint;
mod lenient;
mod list;
mod response;
mod tls;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::DeserializeOwned;

use self::connection::{Connection, RequestError, UrlError};
pub use self::container::{Container, Lifecycle, Network, Port};
use self::context::IgnoredContext;
pub use self::endpoint::{EngineEndpoint, expected};
pub use self::lenient::{Count, Lenient, LenientList, Text};
use self::list::ListError;
pub use self::list::{Listing, Unreadable, is_id, parse_list};
pub use self::response::{
    BlockIoSample, CpuUsage, DeviceSample, Inspection, InterfaceSample, MemorySample, ProcessSample, Sample,
    ThrottlingSample,
};
use self::tls::TlsError;
use crate::address::Address;
use crate::limits;
use crate::stop::Stop;
use crate::text::{Foreign, foreign, joined};

/// An engine that does not list its containers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is wrong.
    #[error("'{0}' is not an engine URL: expected unix:///PATH or tcp://HOST:PORT (--docker-host or DOCKER_HOST)")]
    Url(Foreign),
    /// The certificates cannot be used.
    #[error("cannot use TLS to the container engine at {url}: {source} (DOCKER_CERT_PATH names the folder)")]
    Tls {
        /// The engine's URL.
        url: Foreign,
        /// The fault.
        source: TlsError,
    },
    /// The socket belongs to another user or group.
    #[error(
        "cannot connect to the container engine at {0}: permission denied: run as root or add the user to the group docker"
    )]
    Permission(Foreign),
    /// There is no connection.
    #[error("cannot connect to the container engine at {url}: {reason}: {}", fix(context.as_ref()))]
    Connect {
        /// The engine's URL.
        url: Foreign,
        /// The cause.
        reason: Foreign,
        /// The docker context that is not followed.
        context: Option<IgnoredContext>,
    },
    /// There is no response.
    #[error(
        "no response from the container engine at {url}: {reason} (--docker-host or DOCKER_HOST selects another engine)"
    )]
    NoResponse {
        /// The engine's URL.
        url: Foreign,
        /// The cause.
        reason: Foreign,
    },
    /// The run ended first.
    #[error("no response from the container engine at {url} when {stop}")]
    Stopped {
        /// The engine's URL.
        url: Foreign,
        /// The reason for which the run ended.
        stop: String,
    },
    /// The response is not HTTP, not a list, or incomplete.
    #[error("unexpected response from {url}: not a container engine? ({reason})")]
    Unexpected {
        /// The engine's URL.
        url: Foreign,
        /// The fault.
        reason: Foreign,
    },
    /// The list is too large.
    #[error("list of the container engine at {url} exceeds {:.0} (fixed limit): shorten it with --filter", limit.display().iec())]
    TooLarge {
        /// The engine's URL.
        url: Foreign,
        /// The limit.
        limit: ByteSize,
    },
    /// The list has too many containers.
    #[error("list of the container engine at {url} exceeds {limit} containers (fixed limit): shorten it with --filter")]
    TooMany {
        /// The engine's URL.
        url: Foreign,
        /// The limit.
        limit: usize,
    },
    /// The engine rejects the request: its filters are wrong.
    #[error("container engine at {url} rejected the request: {message}")]
    Rejected {
        /// The engine's URL.
        url: Foreign,
        /// The engine's message.
        message: Foreign,
    },
    /// The engine failed.
    #[error("container engine at {url} returned HTTP {status}: {message}")]
    Status {
        /// The engine's URL.
        url: Foreign,
        /// The HTTP status.
        status: u16,
        /// The engine's message.
        message: Foreign,
    },
}

/// Returns the likely fix if there is no connection.
fn fix(context: Option<&IgnoredContext>) -> String {
    let usual = || "is Docker running? (--docker-host or DOCKER_HOST selects another engine)".to_owned();
    context.map_or_else(usual, IgnoredContext::to_string)
}

impl From<Error> for crate::error::Error {
    fn from(error: Error) -> crate::error::Error {
        match error {
            Error::Url(_) | Error::Rejected { .. } => crate::error::Error::usage(error),
            _ => crate::error::Error::failed(error),
        }
    }
}

/// A request about one container without a result.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The container does not run any more.
    #[error("container is gone")]
    Gone,
    /// There is no response in time.
    #[error("no response from the engine after {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// The response has no start time.
    #[error("response of the engine has no start time")]
    NoStartTime,
    /// The request failed.
    #[error(transparent)]
    Request(RequestError),
}

impl From<RequestError> for ContainerError {
    fn from(error: RequestError) -> ContainerError {
        match error {
            RequestError::Status(404 | 409, _) => ContainerError::Gone,
            error => ContainerError::Request(error),
        }
    }
}

/// The machine with the engine's published ports, seen from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineHost {
    /// This machine.
    Local,
    /// The machine with this name or address.
    Remote(String),
}

/// The place of an engine's container networks, by its URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkPlace {
    /// This machine: the engine's socket is root's.
    Here,
    /// A namespace of an engine that runs as a user, or a virtual machine.
    Rootless,
    /// Unknown: there is no socket, and a port of this machine can be forwarded to another.
    Unknown,
}

/// A container engine.
#[derive(Clone)]
pub struct Engine {
    endpoint: EngineEndpoint,
    connection: Arc<Connection>,
}

impl Engine {
    /// Lists the containers that match `filters`, from the first of `endpoints` with a connection.
    ///
    /// # Errors
    /// If the engine does not return a list before the run has to stop. If no endpoint accepts a connection, it is the
    /// error of the first one.
    pub async fn list(
        endpoints: &[EngineEndpoint],
        filters: &[(String, String)],
        stop: &mut Stop,
    ) -> Result<(Engine, Listing), Error> {
        let default = [EngineEndpoint::default_socket()];
        let mut first = None;
        for endpoint in if endpoints.is_empty() { &default } else { endpoints } {
            match Engine::list_at(endpoint, filters, stop).await {
                Err(error @ (Error::Connect { .. } | Error::Permission(_))) if endpoint.is_found => {
                    first.get_or_insert(error);
                }
                result => return result,
            }
        }
        first.map_or_else(|| Err(Error::Url(Foreign::default())), Err)
    }

    async fn list_at(
        endpoint: &EngineEndpoint,
        filters: &[(String, String)],
        stop: &mut Stop,
    ) -> Result<(Engine, Listing), Error> {
        let url = foreign(&endpoint.url);
        let connection =
            Connection::new(&endpoint.url, endpoint.certificates.as_deref()).map_err(|error| match error {
                UrlError::Form => Error::Url(url.clone()),
                UrlError::Tls(source) => Error::Tls { url: url.clone(), source },
            })?;
        let engine = Engine { connection: Arc::new(connection), endpoint: endpoint.clone() };
        let listing = tokio::select! {
            list = engine.containers(filters, false) => list.map_err(|error| engine.list_error(error))?,
            stop = stop.wait() => return Err(Error::Stopped { url, stop }),
        };
        Ok((engine, listing))
    }

    /// Requests the containers that match `filters`; with `all`, also stopped ones.
    async fn containers(&self, filters: &[(String, String)], all: bool) -> Result<Listing, RequestError> {
        let mut by_key: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, value) in filters {
            by_key.entry(key).or_default().push(value);
        }
        let json = serde_json::to_string(&by_key).unwrap_or_default();
        let encoded: String = form_urlencoded::byte_serialize(json.as_bytes()).collect();
        let all = if all { "&all=true" } else { "" };
        let list =
            self.connection.get(&format!("/containers/json?filters={encoded}{all}"), limits::ENGINE_LIST).await?;
        parse_list(&list).map_err(|error| match error {
            ListError::Invalid(error) => RequestError::Invalid(error),
            ListError::TooMany => RequestError::TooMany,
        })
    }

    /// Lists the running containers with these ids, or none if the engine does not return them in time.
    pub async fn containers_by_id(&self, ids: impl IntoIterator<Item = &str>) -> Vec<Container> {
        let filters: Vec<(String, String)> = ids.into_iter().map(|id| ("id".to_owned(), id.to_owned())).collect();
        let list = tokio::time::timeout(limits::ENGINE_INSPECT, self.containers(&filters, false)).await;
        list.ok().and_then(Result::ok).map(|list| list.containers).unwrap_or_default()
    }

    /// Lists the containers that are not in a list by `filters`, with the reason: stopped ones that match, and running
    /// ones that do not match.
    ///
    /// # Errors
    /// If the engine does not return the lists in time.
    pub async fn unlisted(&self, filters: &[(String, String)]) -> Result<Vec<(Container, String)>, Error> {
        let list = async |filters: &[(String, String)], all| {
            let list = tokio::time::timeout(limits::ENGINE_INSPECT, self.containers(filters, all)).await;
            list.map_err(|_| self.late())?.map(|list| list.containers).map_err(|error| self.list_error(error))
        };
        let mut matching = list(filters, true).await?;
        let ids: HashSet<String> = matching.iter().map(|container| container.id.clone()).collect();
        matching.retain(|container| container.lifecycle == Lifecycle::Ended);
        let reason = |container: &Container| format!("not running ({})", container.status);
        let mut unlisted: Vec<(Container, String)> =
            matching.into_iter().map(|container| (container.clone(), reason(&container))).collect();
        if !filters.is_empty() {
            let reason = format!("does not match {}", as_typed(filters));
            let others = list(&[], false).await?.into_iter().filter(|container| !ids.contains(&container.id));
            unlisted.extend(others.map(|container| (container, reason.clone())));
        }
        Ok(unlisted)
    }

    /// Returns the filters that match no container, running or not: those that match none alone, or else all of them.
    /// It returns nothing if a container matches all of them.
    ///
    /// # Errors
    /// If the engine does not return the lists in time.
    pub async fn without_match<'f>(&self, filters: &'f [(String, String)]) -> Result<Vec<&'f (String, String)>, Error> {
        let matches = async |filters: &[(String, String)]| {
            let list = self.containers(filters, true).await.map_err(|error| self.list_error(error))?;
            Ok::<bool, Error>(!list.containers.is_empty() || list.unreadable.count > 0)
        };
        let find = async {
            let mut without = Vec::new();
            for filter in filters.iter().take(limits::LISTED) {
                if !matches(std::slice::from_ref(filter)).await? {
                    without.push(filter);
                }
            }
            if without.is_empty() && filters.len() > 1 && !matches(filters).await? {
                without.extend(filters);
            }
            Ok(without)
        };
        tokio::time::timeout(limits::ENGINE_INSPECT, find).await.map_err(|_| self.late())?
    }

    /// Reads the docker context that is not followed. An engine that was named is the right one.
    pub fn ignored_context(&self) -> Option<IgnoredContext> {
        endpoint::ignored_context(&self.endpoint)
    }

    /// The engine's URL.
    pub fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// The reason for which this engine is used, for `explain`.
    pub fn reason(&self) -> &str {
        &self.endpoint.reason
    }

    /// Returns the machine with this engine's published ports.
    pub fn host(&self) -> EngineHost {
        let Some((_, rest)) = self.endpoint.url.split_once("://").filter(|(scheme, _)| *scheme != "unix") else {
            return EngineHost::Local;
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((v6, _)) => v6,
            None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
        };
        if Address::is_here(host) { EngineHost::Local } else { EngineHost::Remote(host.to_owned()) }
    }

    /// Returns the place of this engine's networks.
    pub fn networks(&self) -> NetworkPlace {
        let Some(path) = self.endpoint.url.strip_prefix("unix://") else { return NetworkPlace::Unknown };
        match fs::metadata(path) {
            Ok(socket) if socket.uid() == 0 => NetworkPlace::Here,
            Ok(_) => NetworkPlace::Rootless,
            Err(_) => NetworkPlace::Unknown,
        }
    }

    /// Returns the start time of a container, as the engine formats it: equal texts mean the same start.
    ///
    /// # Errors
    /// If the engine does not report it in time.
    pub async fn started_at(&self, id: &str) -> Result<String, ContainerError> {
        self.inspect(id).await?.started_at().map(str::to_owned).ok_or(ContainerError::NoStartTime)
    }

    /// Inspects a container.
    ///
    /// # Errors
    /// If the engine does not return it within [`limits::ENGINE_INSPECT`].
    pub async fn inspect(&self, id: &str) -> Result<Inspection, ContainerError> {
        let path = format!("/containers/{id}/json");
        let inspect = self.get(&path, limits::ENGINE_CONTAINER);
        let result = tokio::time::timeout(limits::ENGINE_INSPECT, inspect).await;
        Ok(result.map_err(|_| ContainerError::Timeout(limits::ENGINE_INSPECT))??)
    }

    /// Requests a container's stats at the engine's next sample, which is up to a second away.
    ///
    /// # Errors
    /// If the engine does not return them.
    pub async fn stats(&self, id: &str) -> Result<Sample, ContainerError> {
        let path = format!("/containers/{id}/stats?stream=false&one-shot=true");
        match self.get(&path, limits::ENGINE_CONTAINER).await {
            // Some engines end the response without a body when the container ends.
            Err(RequestError::Invalid(error)) if error.is_eof() && error.column() == 0 => Err(ContainerError::Gone),
            stats => Ok(stats?),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, limit: ByteSize) -> Result<T, RequestError> {
        let body = self.connection.get(path, limit).await?;
        // Applications choose the bytes of environment variables and of health checks' output.
        serde_json::from_str(&String::from_utf8_lossy(&body)).map_err(RequestError::Invalid)
    }

    fn late(&self) -> Error {
        let reason = format!("timed out after {}", humantime::format_duration(limits::ENGINE_INSPECT));
        Error::NoResponse { url: foreign(&self.endpoint.url), reason: reason.into() }
    }

    /// Describes a request for the list that failed.
    fn list_error(&self, error: RequestError) -> Error {
        let url = foreign(&self.endpoint.url);
        match error {
            RequestError::Connect(error) if error.kind() == ErrorKind::PermissionDenied => Error::Permission(url),
            RequestError::Connect(error) => {
                Error::Connect { url, reason: connect_reason(&error), context: self.ignored_context() }
            }
            RequestError::NoResponse(reason) => Error::NoResponse { url, reason },
            RequestError::Truncated(reason) => Error::Unexpected { url, reason },
            RequestError::Invalid(error) => Error::Unexpected { url, reason: error.to_string().into() },
            RequestError::TooLarge(limit) => Error::TooLarge { url, limit },
            RequestError::TooMany => Error::TooMany { url, limit: limits::CONTAINERS },
            RequestError::Status(400, message) if !message.contains("version") => {
                Error::Rejected { url, message: message.into() }
            }
            RequestError::Status(status, message) => Error::Status { url, status, message: message.into() },
        }
    }
}

/// Formats filters as they are typed, the first of many.
pub fn as_typed<'f>(filters: impl IntoIterator<Item = &'f (String, String)>) -> String {
    let filters = filters.into_iter().map(|(key, value)| foreign(&format!("--filter {key}={value}")).to_string());
    joined(&filters.collect::<Vec<_>>(), " ")
}

fn connect_reason(error: &io::Error) -> Foreign {
    match error.kind() {
        ErrorKind::NotFound => foreign("no such socket"),
        _ => crate::text::root_cause(error).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_local_by_its_socket_or_a_loopback_address() {
        let host = |url: &str| {
            let connection = Arc::new(Connection::new("tcp://127.0.0.1:1", None).unwrap());
            Engine { endpoint: EngineEndpoint { url: url.to_owned(), ..EngineEndpoint::default_socket() }, connection }
                .host()
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
