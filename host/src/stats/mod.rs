//! A container's use of resources: one record, from either of two sources.
//!
//! - [`cgroup`]: the kernel's control groups, read from files. Some microseconds for a container, and no engine is asked.
//! - [`api`]: the engine, which takes its figures once a second and lets every request wait for the next time. So all containers
//!   are asked for at once.
//!
//! Both read the same counts of the kernel. But they can differ in what is rounded, and in the moment, so rates are never worked
//! out between the two.

pub mod api;
pub mod cgroup;

use std::path::Path;
use std::sync::OnceLock;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use wasmtime_wasi::async_trait;

use self::cgroup::Cgroups;
use crate::engine::{Container, Engine, EngineHost};
use crate::sandbox::container::{
    BlockIo, Cpu, Error, Memory, Network, Operations, Parts, Processes, State, Stats, StatsReader, Throttling, Traffic,
};

/// `--stats-source`: which source an operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Allowed {
    /// The control groups of those containers that have them here, the engine for the others.
    #[default]
    Auto,
    /// The control groups alone.
    Cgroup,
    /// The engine alone.
    Api,
}

/// Where a container's figures came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The kernel's control groups.
    Cgroup,
    /// The engine's API.
    Api,
}

/// What tells the figures of a run's containers.
pub struct Sources {
    allowed: Allowed,
    engine: Engine,
    /// The ids of all containers, for one walk finds the control groups of them all.
    ids: Vec<String>,
    cgroups: OnceLock<Cgroups>,
}

impl Sources {
    /// For these containers of `engine`. Nothing is asked or read yet. Containers of an engine elsewhere have no control groups here.
    pub fn new<'a>(allowed: Allowed, engine: &Engine, containers: impl Iterator<Item = &'a Container>) -> Sources {
        let ids = containers.map(|container| container.id.clone()).collect();
        let is_local = engine.host() == EngineHost::Local;
        let allowed = if allowed == Allowed::Auto && !is_local { Allowed::Api } else { allowed };
        Sources { allowed, engine: engine.clone(), ids, cgroups: OnceLock::new() }
    }

    async fn ask_engine(&self, id: &str, parts: Parts, has_interfaces: bool) -> Result<(Stats, Source), Error> {
        Ok((api::stats(&self.engine, id, parts, has_interfaces).await?, Source::Api))
    }

    fn read_cgroup(&self, id: &str, parts: Parts, has_interfaces: bool) -> Result<(Stats, Source), Error> {
        let cgroups = self.cgroups.get_or_init(|| Cgroups::find(Path::new(cgroup::ROOT), &self.ids));
        Ok((cgroups.stats(id, parts, has_interfaces)?, Source::Cgroup))
    }
}

#[async_trait]
impl StatsReader for Sources {
    async fn stats(
        &self,
        id: &str,
        parts: Parts,
        has_interfaces: bool,
        settled: Option<Source>,
    ) -> Result<(Stats, Source), Error> {
        let only = match (settled, self.allowed) {
            (Some(source), _) => Some(source),
            (None, Allowed::Cgroup) => Some(Source::Cgroup),
            (None, Allowed::Api) => Some(Source::Api),
            (None, Allowed::Auto) => None,
        };
        match only {
            Some(Source::Cgroup) => self.read_cgroup(id, parts, has_interfaces),
            Some(Source::Api) => self.ask_engine(id, parts, has_interfaces).await,
            None => match self.read_cgroup(id, parts, has_interfaces) {
                Ok(stats) => Ok(stats),
                Err(_) => self.ask_engine(id, parts, has_interfaces).await,
            },
        }
    }

    async fn state(&self, id: &str) -> Result<State, Error> {
        api::state(&self.engine, id).await
    }
}

/// A record in which nothing is known but the time. It is filled with what was asked for, and can be told.
pub fn empty(time: u64) -> Stats {
    let nothing = Operations { read: None, write: None, synchronous: None, asynchronous: None };
    let silence = Traffic { bytes: None, packets: None, errors: None, dropped: None };
    Stats {
        time,
        cpu: Cpu { usage: None, user: None, system: None },
        throttling: Throttling { periods: None, throttled_periods: None, throttled_time: None },
        memory: Memory { usage: None, used: None, limit: None, rss: None, cache: None },
        block_io: BlockIo { queued: nothing, serviced: nothing, bytes: nothing },
        network: Network { received: silence, sent: silence },
        processes: Processes { current: None, limit: None },
    }
}

/// Sums a count over devices or interfaces. Of none at all there is no sum, and one that is not told, or is too large, makes it
/// unknown: the sum of the others would be a wrong one.
fn sum(mut counts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    let first = counts.next()??;
    counts.try_fold(first, |sum, count| sum.checked_add(count?))
}

/// Sums numbers of operations over all devices, by their kind. The kinds begin with a capital in version 1 of control groups, and
/// with a small letter in version 2.
fn operations<'a>(entries: impl IntoIterator<Item = (&'a str, Option<u64>)>) -> Operations {
    let entries: Vec<_> = entries.into_iter().collect();
    let of = |kind: &str| {
        let entries = entries.iter().filter(|(of, _)| of.eq_ignore_ascii_case(kind));
        sum(entries.map(|(_, number)| *number))
    };
    Operations { read: of("read"), write: of("write"), synchronous: of("sync"), asynchronous: of("async") }
}

/// Memory without the page cache that the kernel can drop at once, as `docker stats` works it out.
fn used(usage: Option<u64>, inactive_file: Option<u64>) -> Option<u64> {
    let (usage, inactive) = usage.zip(inactive_file)?;
    Some(if inactive < usage { usage - inactive } else { usage })
}
