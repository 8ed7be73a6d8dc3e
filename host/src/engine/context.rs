//! Docker's contexts. They select the engine of docker's own client, and this program does not follow them.

use std::path::PathBuf;

use serde::Deserialize;

use crate::engine::lenient::Lenient;
use crate::env;
use crate::file;
use crate::limits;
use crate::text::{Foreign, foreign};

/// Returns the docker context that selects another engine for docker's own client than `url`, `DOCKER_HOST` or the
/// default do here.
pub fn ignored_context(url: Option<&str>) -> Option<Foreign> {
    if url.is_some() || env::variable("DOCKER_HOST").is_some() {
        return None;
    }
    let context = env::variable("DOCKER_CONTEXT").or_else(current_context)?;
    (context != "default").then(|| foreign(&context))
}

/// Reads the current context from docker's configuration.
fn current_context() -> Option<String> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Config {
        current_context: Lenient<String>,
    }
    let home = || Some(PathBuf::from(env::variable_os("HOME")?).join(".docker"));
    let folder = env::variable_os("DOCKER_CONFIG").map(PathBuf::from).or_else(home)?;
    let config = file::read(&folder.join("config.json"), limits::DOCKER_CONFIG).ok()?;
    let config: Config = serde_json::from_str(&String::from_utf8_lossy(&config)).ok()?;
    config.current_context.0.filter(|context| !context.is_empty())
}
