//! The capability `mackerel:collector/container`: stats and state of one container, which is chosen before the guest
//! runs.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use wasmtime_wasi::async_trait;

use super::activity::{Activity, Waiting};

pub use super::wire::mackerel::collector::container::{
    BlockIo, ContainerState as State, ContainerStats as Stats, Cpu, Error, Health, HealthStatus, Memory, Network,
    Operations, Parts, Processes, Throttling, Traffic,
};

/// The source of a container's stats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The kernel's control groups.
    Cgroup,
    /// The engine's API, or the task metadata endpoint of ECS.
    Api,
}

/// A request for the stats of one container.
#[derive(Debug, Clone, Copy)]
pub struct StatsRequest<'a> {
    /// The container's id.
    pub id: &'a str,
    /// The requested parts.
    pub parts: Parts,
    /// True if the container can have network interfaces of its own, by the engine's list.
    pub has_interfaces: bool,
    /// The only source to use, if an earlier request of the same call has settled on it.
    pub source: Option<Source>,
}

/// A reader of container stats: from the kernel and the engine, from an ECS task, or from a recording.
#[async_trait]
pub trait StatsReader: Send + Sync {
    /// Reads the stats of a container, and returns their source.
    ///
    /// # Errors
    /// If the container is gone, or no source has its stats.
    async fn stats(&self, request: StatsRequest<'_>) -> Result<(Stats, Source), Error>;

    /// Reads restarts and health of the container `id`.
    ///
    /// # Errors
    /// If the container is gone, or the engine does not report it.
    async fn state(&self, id: &str) -> Result<State, Error>;

    /// Returns what its requests wait for.
    fn waits_for(&self) -> Waiting {
        Waiting::Engine
    }
}

/// The container of a sandbox. Clones share the source of its stats.
#[derive(Clone)]
pub struct Container {
    /// The container's id.
    pub id: String,
    /// True if it can have network interfaces of its own.
    pub has_interfaces: bool,
    /// Reads its stats.
    pub stats: Arc<dyn StatsReader>,
    /// The source of its stats once they were read: further ones come from there too.
    pub source: Arc<OnceLock<Source>>,
    /// Set while stats are being waited for.
    pub activity: Activity,
}

impl Container {
    /// Reads the stats. The caller bounds the time.
    pub async fn stats(&self, parts: Parts) -> Result<Stats, Error> {
        self.activity.set(self.stats.waits_for());
        let source = self.source.get().copied();
        let request = StatsRequest { id: &self.id, parts, has_interfaces: self.has_interfaces, source };
        let stats = self.stats.stats(request).await;
        self.activity.set(Waiting::Collector);
        let (stats, source) = stats?;
        self.source.get_or_init(|| source);
        Ok(stats)
    }

    /// Reads restarts and health. The caller bounds the time.
    pub async fn state(&self) -> Result<State, Error> {
        self.activity.set(self.stats.waits_for());
        let state = self.stats.state(&self.id).await;
        self.activity.set(Waiting::Collector);
        state
    }
}
