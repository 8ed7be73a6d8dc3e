//! A container's stats: its resource use, in one form from each source.
//!
//! - [`cgroup`]: the kernel's control groups, read from files. Some microseconds per container, without the engine.
//! - [`api`]: the engine, which samples once a second and delays every request until then. So all containers are
//!   requested at once.
//! - [`task`]: the task metadata endpoint of ECS, one response for all containers of the task.
//!
//! The first two read the same counters of the kernel. They can differ in rounding and in time, so no rate is computed
//! between two sources.

pub mod api;
pub mod cgroup;
pub mod complete;
pub mod count;
pub mod task;

use std::path::Path;
use std::sync::OnceLock;

use clap::ValueEnum;
use wasmtime_wasi::async_trait;

use self::cgroup::Cgroups;
use crate::engine::{Container, Engine, EngineHost};
use crate::kernel::tree;
use crate::sandbox::container::{Error, Source, State, Stats, StatsReader, StatsRequest};

/// `--stats-source`: the sources that the operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum AllowedSource {
    /// The cgroup of each container that has one here, the engine for the others.
    #[default]
    Auto,
    /// Cgroups only.
    Cgroup,
    /// The engine only.
    Api,
}

/// Reads the stats of a run's containers.
pub struct Reader {
    allowed: AllowedSource,
    engine: Engine,
    /// The ids of all containers: one walk finds the cgroups of all of them.
    ids: Vec<String>,
    cgroups: OnceLock<Cgroups>,
}

impl Reader {
    /// Prepares to read the stats of `containers`. Containers of a remote engine have no cgroups here.
    pub fn new<'a>(allowed: AllowedSource, engine: &Engine, containers: impl Iterator<Item = &'a Container>) -> Reader {
        let ids = containers.map(|container| container.id.clone()).collect();
        let is_local = engine.host() == EngineHost::Local;
        let allowed = if allowed == AllowedSource::Auto && !is_local { AllowedSource::Api } else { allowed };
        Reader { allowed, engine: engine.clone(), ids, cgroups: OnceLock::new() }
    }

    async fn read_api(&self, request: StatsRequest<'_>) -> Result<(Stats, Source), Error> {
        Ok((api::stats(&self.engine, request).await?, Source::Api))
    }

    fn read_cgroup(&self, request: StatsRequest<'_>) -> Result<(Stats, Source), Error> {
        let cgroups = self.cgroups.get_or_init(|| Cgroups::find(Path::new(tree::ROOT), &self.ids));
        Ok((cgroups.stats(request)?, Source::Cgroup))
    }
}

#[async_trait]
impl StatsReader for Reader {
    async fn stats(&self, request: StatsRequest<'_>) -> Result<(Stats, Source), Error> {
        let only = match (request.source, self.allowed) {
            (Some(source), _) => Some(source),
            (None, AllowedSource::Cgroup) => Some(Source::Cgroup),
            (None, AllowedSource::Api) => Some(Source::Api),
            (None, AllowedSource::Auto) => None,
        };
        match only {
            Some(Source::Cgroup) => self.read_cgroup(request),
            Some(Source::Api) => self.read_api(request).await,
            None => match self.read_cgroup(request) {
                Ok(stats) => Ok(stats),
                Err(_) => self.read_api(request).await,
            },
        }
    }

    async fn state(&self, id: &str) -> Result<State, Error> {
        api::state(&self.engine, id).await
    }
}
