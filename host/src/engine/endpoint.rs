//! The endpoint of the engine: the URL that the operator names, the one that docker's own client uses, or a socket on
//! this machine.
//!
//! | in this order | endpoint |
//! |---|---|
//! | `--docker-host`, `DOCKER_HOST` | the URL |
//! | docker's current context, unless it is `default` | its URL, with its certificates |
//! | Docker's socket, as root and of `XDG_RUNTIME_DIR` | the first that exists and accepts a connection |
//! | Podman's socket, as root and of `XDG_RUNTIME_DIR` | the same |

use std::path::{Path, PathBuf};

use super::context::{self, IgnoredContext};
use crate::env;

/// Docker's socket.
const DOCKER: &str = "/var/run/docker.sock";

/// Podman's socket.
const PODMAN: &str = "/run/podman/podman.sock";

/// An endpoint at which an engine is expected.
#[derive(Debug, Clone)]
pub struct EngineEndpoint {
    /// Its URL.
    pub url: String,
    /// The reason, for `explain`.
    pub reason: String,
    /// The folder of certificates, if it is not that of the environment.
    pub certificates: Option<PathBuf>,
    /// True if it is a socket that nobody named. If it does not respond, the next one is tried.
    pub is_found: bool,
}

impl EngineEndpoint {
    /// The default of docker's client, which no file or variable supports.
    pub fn default_socket() -> EngineEndpoint {
        EngineEndpoint::socket(Path::new(DOCKER), "default")
    }

    fn named(url: String, reason: &str) -> EngineEndpoint {
        EngineEndpoint { url, reason: reason.to_owned(), certificates: None, is_found: false }
    }

    fn socket(path: &Path, reason: &str) -> EngineEndpoint {
        EngineEndpoint { is_found: true, ..EngineEndpoint::named(format!("unix://{}", path.display()), reason) }
    }
}

/// Returns the endpoints at which an engine is expected, in the order in which they are tried. `url` is the operator's.
pub fn expected(url: Option<&str>) -> Vec<EngineEndpoint> {
    if let Some(url) = url {
        return vec![EngineEndpoint::named(url.to_owned(), "--docker-host")];
    }
    if let Some(url) = env::variable("DOCKER_HOST") {
        return vec![EngineEndpoint::named(url, "DOCKER_HOST")];
    }
    if let Ok(Some(context)) = context::current() {
        let reason = format!("docker context '{}'", context.name);
        return vec![EngineEndpoint {
            certificates: context.certificates,
            ..EngineEndpoint::named(context.url, &reason)
        }];
    }
    let of_user = |name: &str| Some(PathBuf::from(env::variable_os("XDG_RUNTIME_DIR")?).join(name));
    let sockets = [Some(DOCKER.into()), of_user("docker.sock"), Some(PODMAN.into()), of_user("podman/podman.sock")];
    // A socket that cannot be looked at can be there.
    let existing = sockets.into_iter().flatten().filter(|path: &PathBuf| path.try_exists().unwrap_or(true));
    existing.map(|path| EngineEndpoint::socket(&path, &format!("{} exists", path.display()))).collect()
}

/// Returns docker's current context if it is not followed. An engine that was named is the right one.
pub fn ignored_context(endpoint: &EngineEndpoint) -> Option<IgnoredContext> {
    if endpoint.is_found { context::current().err() } else { None }
}
