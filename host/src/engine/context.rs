//! Docker's contexts: the engine that docker's own client uses.
//!
//! The current context is named by `DOCKER_CONTEXT` or in docker's configuration, and described by files in the folder
//! `contexts` beside it, under the SHA-256 of its name. One with a Unix socket or a TCP port is followed, with its
//! certificates. Others, such as `ssh`, would need docker's client.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::engine::lenient::Lenient;
use crate::env;
use crate::file::{self, FileError};
use crate::limits;
use crate::text::{Foreign, foreign};

/// A context that is followed.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// The engine's URL.
    pub url: String,
    /// The folder of its certificates, if it has any.
    pub certificates: Option<PathBuf>,
}

/// A docker context that is not followed, although docker's own client uses it.
#[derive(Debug)]
pub struct IgnoredContext {
    name: Foreign,
    reason: Foreign,
}

impl fmt::Display for IgnoredContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IgnoredContext { name, reason } = self;
        write!(f, "docker context '{name}' is not followed: {reason}; set DOCKER_HOST to an engine's URL")
    }
}

/// Reads the current context; `None` if it is docker's default.
///
/// # Errors
/// The context, if it is not followed.
pub fn current() -> Result<Option<Context>, IgnoredContext> {
    let Some(name) = env::variable("DOCKER_CONTEXT").or_else(current_name).filter(|name| name != "default") else {
        return Ok(None);
    };
    let contexts = env::docker_config().unwrap_or_default().with_file_name("contexts");
    read(&contexts, &name).map(Some).map_err(|reason| IgnoredContext { name: foreign(&name), reason })
}

/// Reads a context.
///
/// # Errors
/// The reason for which it is not followed.
fn read(contexts: &Path, name: &str) -> Result<Context, Foreign> {
    let digest = hex::encode(Sha256::digest(name));
    let path = contexts.join("meta").join(&digest).join("meta.json");
    let meta = file::read(&path, limits::LOGIN_FILE).map_err(|error| match error {
        FileError::Io(error) if error.kind() == ErrorKind::NotFound => foreign("docker has no context of this name"),
        error => foreign(&format!("cannot read {}: {error}", path.display())),
    })?;
    let meta: Meta = serde_json::from_str(&String::from_utf8_lossy(&meta))
        .map_err(|error| foreign(&format!("{} is invalid: {error}", path.display())))?;
    let docker = meta.endpoints.0.and_then(|endpoints| endpoints.docker.0).unwrap_or_default();
    let url = docker.host.0.filter(|url| !url.is_empty()).ok_or_else(|| foreign("it has no docker endpoint"))?;
    if !["unix://", "tcp://", "http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(foreign(&format!("its host is {url}")));
    }
    if docker.skip_tls_verify.0 == Some(true) {
        return Err(foreign("it skips the verification of certificates"));
    }
    let certificates = contexts.join("tls").join(&digest).join("docker");
    let certificates = certificates.is_dir().then_some(certificates);
    Ok(Context { name: name.to_owned(), url, certificates })
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Meta {
    endpoints: Lenient<Endpoints>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Endpoints {
    docker: Lenient<Endpoint>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Endpoint {
    host: Lenient<String>,
    #[serde(rename = "SkipTLSVerify")]
    skip_tls_verify: Lenient<bool>,
}

/// Reads the current context's name from docker's configuration.
fn current_name() -> Option<String> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Config {
        current_context: Lenient<String>,
    }
    let config = file::read(&env::docker_config()?, limits::LOGIN_FILE).ok()?;
    let config: Config = serde_json::from_str(&String::from_utf8_lossy(&config)).ok()?;
    config.current_context.0.filter(|context| !context.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a context with this metadata: its URL and whether it has certificates, or the reason in brackets.
    fn context(meta: &str, has_certificates: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        let digest = hex::encode(Sha256::digest("away"));
        let create = |path: PathBuf| std::fs::create_dir_all(&path).map(|()| path).unwrap();
        let meta_folder = create(folder.path().join("meta").join(&digest));
        std::fs::write(meta_folder.join("meta.json"), meta).unwrap();
        if has_certificates {
            create(folder.path().join("tls").join(&digest).join("docker"));
        }
        match read(folder.path(), "away") {
            Ok(context) => format!("{} {}", context.url, context.certificates.is_some()),
            Err(reason) => format!("[{reason}]")
                .replace(&folder.path().display().to_string(), "CONTEXTS")
                .replace(&digest, "DIGEST"),
        }
    }

    #[test]
    fn contexts_with_a_socket_or_a_port_are_followed() {
        let with = |endpoint: &str| format!(r#"{{"Name":"away","Metadata":{{}},"Endpoints":{{"docker":{endpoint}}}}}"#);
        let unix = with(r#"{"Host":"unix:///run/user/1000/docker.sock","SkipTLSVerify":false}"#);
        assert_eq!(context(&unix, false), "unix:///run/user/1000/docker.sock false");
        assert_eq!(context(&with(r#"{"Host":"tcp://10.1.2.3:2376"}"#), true), "tcp://10.1.2.3:2376 true");
        for (meta, reason) in [
            (with(r#"{"Host":"ssh://away"}"#), "its host is ssh://away"),
            (with(r#"{"Host":"npipe:////./pipe/docker"}"#), "its host is npipe:////./pipe/docker"),
            (with(r#"{"Host":"tcp://a:1","SkipTLSVerify":true}"#), "it skips the verification of certificates"),
            (with(r#"{"Host":""}"#), "it has no docker endpoint"),
            (with("7"), "it has no docker endpoint"),
            ("{}".to_owned(), "it has no docker endpoint"),
            ("[".to_owned(), "CONTEXTS/meta/DIGEST/meta.json is invalid: EOF while parsing a list at line 1 column 1"),
        ] {
            assert_eq!(context(&meta, false), format!("[{reason}]"), "{meta}");
        }
    }
}
