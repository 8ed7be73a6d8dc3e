//! Docker's contexts. They select the engine of docker's own client, and this program does not follow them.

use std::fmt;

use serde::Deserialize;

use crate::engine::lenient::Lenient;
use crate::env;
use crate::file;
use crate::limits;
use crate::text::{Foreign, foreign};

/// A docker context that selects another engine for docker's own client than the default socket.
#[derive(Debug)]
pub struct IgnoredContext(Foreign);

impl IgnoredContext {
    /// Reads the current context; `None` if it is docker's default.
    pub fn current() -> Option<IgnoredContext> {
        let context = env::variable("DOCKER_CONTEXT").or_else(current_context)?;
        (context != "default").then(|| IgnoredContext(foreign(&context)))
    }
}

impl fmt::Display for IgnoredContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = &self.0;
        write!(
            f,
            "docker context '{context}' is not followed; set DOCKER_HOST to the URL that docker context inspect prints"
        )
    }
}

/// Reads the current context from docker's configuration.
fn current_context() -> Option<String> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Config {
        current_context: Lenient<String>,
    }
    let config = file::read(&env::docker_config()?, limits::LOGIN_FILE).ok()?;
    let config: Config = serde_json::from_str(&String::from_utf8_lossy(&config)).ok()?;
    config.current_context.0.filter(|context| !context.is_empty())
}
