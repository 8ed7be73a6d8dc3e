//! The capability `mackerel:collector/container`: what is known of one container. Which one is decided before the guest runs.

use std::sync::{Arc, OnceLock};

use wasmtime_wasi::async_trait;

use super::activity::{Activity, COLLECTING};
use crate::stats::Source;

pub use super::wire::mackerel::collector::container::{
    BlockIo, ContainerState as State, ContainerStats as Stats, Cpu, Error, Health, HealthStatus, Memory, Network,
    Operations, Parts, Processes, Throttling, Traffic,
};

/// What tells of containers: the kernel and the engine, or a recording of what they told.
#[async_trait]
pub trait StatsReader: Send + Sync {
    /// The use of resources of the container `id`, and where the figures came from. Where `settled` names a source, none other is
    /// taken. `has_interfaces` is what the engine's list tells of its network.
    ///
    /// # Errors
    /// Where the container is gone, or nobody tells of it.
    async fn stats(
        &self,
        id: &str,
        parts: Parts,
        has_interfaces: bool,
        settled: Option<Source>,
    ) -> Result<(Stats, Source), Error>;

    /// What the engine knows of the container `id` beyond its list.
    ///
    /// # Errors
    /// Where the container is gone, or nobody tells of it.
    async fn state(&self, id: &str) -> Result<State, Error>;
}

/// The one container that a sandbox's calls are about. Clones share what was read from where.
#[derive(Clone)]
pub struct Container {
    /// The container's id.
    pub id: String,
    /// Whether it can have network interfaces of its own.
    pub has_interfaces: bool,
    /// What tells its figures.
    pub figures: Arc<dyn StatsReader>,
    /// Where its figures came from, once they were asked for: further ones come from there too.
    pub settled: Arc<OnceLock<Source>>,
    /// Told what is being waited for.
    pub activity: Activity,
}

impl Container {
    /// The container's use of resources. Bounded in time by the caller.
    pub async fn stats(&self, parts: Parts) -> Result<Stats, Error> {
        self.activity.set("no answer from the engine");
        let stats = self.figures.stats(&self.id, parts, self.has_interfaces, self.settled.get().copied()).await;
        self.activity.set(COLLECTING);
        let (stats, source) = stats?;
        self.settled.get_or_init(|| source);
        Ok(stats)
    }

    /// The container's restarts and health. Bounded in time by the caller.
    pub async fn state(&self) -> Result<State, Error> {
        self.activity.set("no answer from the engine");
        let state = self.figures.state(&self.id).await;
        self.activity.set(COLLECTING);
        state
    }
}
