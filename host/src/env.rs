//! Environment variables. An empty variable counts as unset, as it does for docker's own client.

use std::ffi::OsString;
use std::path::PathBuf;

/// Returns the value of an environment variable that is set, not empty and valid UTF-8.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the value of an environment variable that is set and not empty, such as a path in any encoding.
pub fn variable_os(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns the configuration file of docker's own client: in `DOCKER_CONFIG`, else in `.docker` below `HOME`.
pub fn docker_config() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(variable_os("HOME")?).join(".docker"));
    let folder = variable_os("DOCKER_CONFIG").map(PathBuf::from).or_else(home)?;
    Some(folder.join("config.json"))
}
