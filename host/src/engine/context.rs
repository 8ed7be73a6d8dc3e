//! Docker's contexts. They select the engine of docker's own client, and this program does not follow them.

use std::fs::File;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use serde::Deserialize;

use crate::engine::lenient::Lenient;
use crate::env;
use crate::limits;
use crate::private_dir::read_bounded;
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
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(folder.join("config.json"), flags, Mode::empty()).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let config = read_bounded(file, limits::DOCKER_CONFIG).ok()?;
    let config: Config = serde_json::from_str(&String::from_utf8_lossy(&config)).ok()?;
    config.current_context.0.filter(|context| !context.is_empty())
}
