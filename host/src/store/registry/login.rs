//! Logins: the user and password for a registry, from the files and helpers in which `docker login` and `podman login`
//! store them.
//!
//! This file chooses the entry of a registry. `docker_credential` decodes it, and runs the helpers.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use oci_spec::distribution::Reference;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fault::Fault;
use crate::env;
use crate::file::{self, FileError};
use crate::limits;
use crate::text::{Foreign, foreign};

/// The key under which docker stores the login of Docker Hub.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// The variable by which an operator chooses the only file of logins.
const CHOSEN: &str = "REGISTRY_AUTH_FILE";

/// The hosts of Docker Hub. The first is podman's name for it.
const HUB_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// The login for a registry.
pub struct Login {
    /// The user.
    pub user: String,
    /// The password or access token.
    pub password: String,
    /// The file that has it, or names the helper that has it.
    pub file: PathBuf,
}

impl Login {
    /// Finds the login for the repository of a reference: the first file that has one decides.
    ///
    /// # Errors
    /// If a file or an entry cannot be read, or a helper fails.
    pub async fn find(reference: &Reference) -> Result<Option<Login>, Fault> {
        let reference = reference.clone();
        let find = move || {
            if let Some(file) = env::variable_os(CHOSEN) {
                let file = PathBuf::from(file);
                let content = file::read_named(CHOSEN, &file, limits::LOGIN_FILE)?;
                return in_file(&reference, &file, &content);
            }
            for file in files() {
                let login = match file::read(&file, limits::LOGIN_FILE) {
                    Err(FileError::Io(error)) if error.kind() == ErrorKind::NotFound => None,
                    Err(error) => return Err(Fault::LoginFile { file, reason: foreign(&error.to_string()) }),
                    Ok(content) => in_file(&reference, &file, &content)?,
                };
                if login.is_some() {
                    return Ok(login);
                }
            }
            Ok(None)
        };
        // A helper is a program of its own, which can take its time.
        let found = tokio::task::spawn_blocking(find).await;
        found.map_err(|error| Fault::Setup(foreign(&error.to_string())))?
    }
}

/// Returns the files that can have logins: docker's, then those of podman.
fn files() -> impl Iterator<Item = PathBuf> {
    let variable = |name: &str| env::variable_os(name).map(PathBuf::from);
    let home = || variable("HOME");
    let of_user = || PathBuf::from(format!("/run/containers/{}", rustix::process::geteuid().as_raw()));
    let session = variable("XDG_RUNTIME_DIR").map_or_else(of_user, |folder| folder.join("containers"));
    let config = variable("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")));
    let files = [
        env::docker_config(),
        Some(session.join("auth.json")),
        config.map(|folder| folder.join("containers/auth.json")),
    ];
    files.into_iter().flatten()
}

/// The fields in use of a file of logins.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with logins")]
struct Config {
    auths: Option<BTreeMap<String, Value>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

/// A file of logins with the entries of one registry alone, for `docker_credential`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OneEntry<'a> {
    auths: BTreeMap<&'a str, &'a Value>,
    cred_helpers: BTreeMap<&'a str, &'a str>,
    creds_store: Option<&'a str>,
}

/// Finds the login in one file.
fn in_file(reference: &Reference, file: &Path, content: &[u8]) -> Result<Option<Login>, Fault> {
    let registry = reference.registry();
    let unusable = |reason: Foreign| Fault::Login { registry: registry.to_owned(), file: file.to_owned(), reason };
    if content.trim_ascii().is_empty() {
        // As docker does.
        return Ok(None);
    }
    let mut config: Config = serde_json::from_slice(content)
        .map_err(|error| Fault::LoginFile { file: file.to_owned(), reason: foreign(&error.to_string()) })?;
    for entry in config.auths.iter_mut().flatten() {
        // An empty field counts as missing, as it does for docker.
        if let (_, Value::Object(fields)) = entry {
            fields.retain(|_, value| !value.is_null() && value != "");
        }
    }
    let server = if is_hub(registry) { HUB_KEY } else { registry };
    let entry = config.auths.iter().flatten().filter(|(_, entry)| **entry != Value::Object(serde_json::Map::new()));
    let entry = best(reference, entry.map(|(key, entry)| (key.as_str(), entry)));
    let helper = config.cred_helpers.iter().flatten().filter(|(_, helper)| !helper.is_empty());
    let helper = best(reference, helper.map(|(key, helper)| (key.as_str(), helper.as_str())));
    let one = OneEntry {
        auths: entry.map(|entry| (server, entry)).into_iter().collect(),
        cred_helpers: helper.map(|helper| (server, helper)).into_iter().collect(),
        creds_store: config.creds_store.as_deref().filter(|helper| !helper.is_empty()),
    };
    // Texts: this cannot fail.
    let one = serde_json::to_vec(&one).unwrap_or_default();
    match get_credential_from_reader(&one[..], server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(Login { user, password, file: file.to_owned() }))
        }
        Ok(DockerCredential::IdentityToken(_)) => {
            Err(Fault::IdentityToken { registry: registry.to_owned(), file: file.to_owned() })
        }
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        // The sentence with which docker's helpers report that they have no login.
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
            Ok(None)
        }
        Err(error) => Err(unusable(explain(&error, helper.or(config.creds_store.as_deref())))),
    }
}

/// Formats a failure to decode an entry or to run a helper.
fn explain(error: &CredentialRetrievalError, helper: Option<&str>) -> Foreign {
    let helper = format!("docker-credential-{}", helper.unwrap_or_default());
    foreign(&match error {
        CredentialRetrievalError::HelperCommunicationError => format!("cannot run {helper}"),
        CredentialRetrievalError::MalformedHelperResponse => format!("{helper} returned invalid JSON"),
        CredentialRetrievalError::HelperFailure { stdout, stderr, .. } => {
            let line = stderr.lines().chain(stdout.lines()).find(|line| !line.trim().is_empty());
            format!("{helper} failed: {}", line.unwrap_or("without a message"))
        }
        CredentialRetrievalError::CredentialDecodingError => "its \"auth\" is not USER:PASSWORD in Base64".to_owned(),
        CredentialRetrievalError::CredentialMismatchError => {
            "its \"auth\" differs from its \"username\" and \"password\"".to_owned()
        }
        CredentialRetrievalError::ConfigReadError => "its fields are not texts".to_owned(),
        error => error.to_string(),
    })
}

/// Returns the value whose key fits a reference best: podman's keys can have parts of a repository's path.
fn best<'a, T>(reference: &Reference, entries: impl Iterator<Item = (&'a str, T)>) -> Option<T> {
    let wanted = format!("{}/{}/", host(reference.registry()), reference.repository());
    let fitting = entries.filter_map(|(key, value)| {
        let place = format!("{}/", place(key));
        wanted.starts_with(&place).then_some((place.len(), std::cmp::Reverse(key.len()), value))
    });
    // Docker Desktop has further keys below that of Docker Hub, so of equal places the shortest key counts.
    fitting.max_by_key(|(length, key, _)| (*length, *key)).map(|(.., value)| value)
}

/// Returns the host of a key, with the parts of a repository's path if it has any.
fn place(key: &str) -> String {
    if let Some(address) = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")) {
        // Older keys are addresses of an API, whose path is not that of a repository.
        return host(address.split('/').next().unwrap_or_default()).to_owned();
    }
    let (first, path) = key.split_once('/').unwrap_or((key, ""));
    let path = path.trim_end_matches('/');
    let path = if path == "v1" || path == "v2" { "" } else { path };
    [host(first), path].join("/").trim_end_matches('/').to_owned()
}

/// Returns one name for all hosts of Docker Hub.
pub fn host(host: &str) -> &str {
    if is_hub(host) { HUB_HOSTS[0] } else { host }
}

fn is_hub(host: &str) -> bool {
    HUB_HOSTS.contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_key_of_a_registry_is_taken() {
        let hub = ["https://index.docker.io/v1/", "https://index.docker.io/v1/access-token", "quay.io"];
        let cases: [(&str, &[&str], Option<usize>); 10] = [
            ("quay.io/a/b:1", &["quay.io"], Some(0)),
            ("quay.io/a/b:1", &["https://quay.io/v2/", "example.com"], Some(0)),
            ("quay.io/a/b:1", &["quay.io/v1/", "quay.io:443"], Some(0)),
            ("quay.io/a/b:1", &["quay.io", "quay.io/a", "quay.io/a/b", "quay.io/a/bc"], Some(2)),
            ("quay.io/a/b:1", &["quay.io/b", "quay", "quay.io.example.com", "a", ""], None),
            ("docker.io/a/b:1", &hub, Some(0)),
            ("index.docker.io/a/b:1", &hub, Some(0)),
            ("registry-1.docker.io/a/b:1", &["docker.io"], Some(0)),
            ("docker.io/a/b:1", &["docker.io/a", "https://index.docker.io/v1/"], Some(0)),
            ("localhost:5000/a:1", &["localhost", "localhost:5000", "http://localhost:5000"], Some(1)),
        ];
        for (reference, keys, expected) in cases {
            let reference = reference.parse().unwrap();
            let found = best(&reference, keys.iter().enumerate().map(|(number, key)| (*key, number)));
            assert_eq!(found, expected, "{reference} {keys:?}");
        }
    }
}
