//! The capability `mackerel:collector/container`: what is known of one container. Which one is decided before the guest runs.

use std::sync::{Arc, OnceLock};

use super::activity::{Activity, COLLECTING};
use crate::stats::{Source, Sources};

pub use super::bindings::mackerel::collector::container::{
    BlockIo, ContainerState as State, ContainerStats as Stats, Cpu, Error, Health, HealthStatus, Memory, Network,
    Operations, Parts, Processes, Throttling, Traffic,
};

/// The one container that a sandbox's calls are about. Clones share what was read from where.
#[derive(Clone)]
pub struct Container {
    /// The container's id.
    pub id: String,
    /// Whether it can have network interfaces of its own.
    pub has_interfaces: bool,
    /// What tells its figures.
    pub sources: Arc<Sources>,
    /// Where its figures came from, once they were asked for: further ones come from there too.
    pub settled: Arc<OnceLock<Source>>,
    /// Told what is being waited for.
    pub activity: Activity,
}

impl Container {
    /// The container's use of resources. Bounded in time by the caller.
    pub async fn stats(&self, parts: Parts) -> Result<Stats, Error> {
        self.activity.set("no answer from the engine");
        let stats = self.sources.stats(&self.id, parts, self.has_interfaces, self.settled.get().copied()).await;
        self.activity.set(COLLECTING);
        let (stats, source) = stats?;
        self.settled.get_or_init(|| source);
        Ok(stats)
    }

    /// The container's restarts and health. Bounded in time by the caller.
    pub async fn state(&self) -> Result<State, Error> {
        self.activity.set("no answer from the engine");
        let state = self.sources.state(&self.id).await;
        self.activity.set(COLLECTING);
        state
    }
}
