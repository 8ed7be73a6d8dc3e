//! Complete stats: every count is known, as no real container has it. They show which metrics a collector can report.

use wasmtime_wasi::async_trait;

use crate::sandbox::container::{
    BlockIo, Cpu, Error, Health, HealthStatus, Memory, Network, Operations, Processes, Source, State, Stats,
    StatsReader, StatsRequest, Throttling, Traffic,
};

/// Reads complete stats of any container.
pub struct Complete;

#[async_trait]
impl StatsReader for Complete {
    async fn stats(&self, _request: StatsRequest<'_>) -> Result<(Stats, Source), Error> {
        let operations = Operations { read: ONE, write: ONE, synchronous: ONE, asynchronous: ONE };
        let traffic = Traffic { bytes: ONE, packets: ONE, errors: ONE, dropped: ONE };
        let stats = Stats {
            time: 1,
            cpu: Cpu { usage: ONE, user: ONE, system: ONE },
            throttling: Throttling { periods: ONE, throttled_periods: ONE, throttled_time: ONE },
            memory: Memory { usage: ONE, used: ONE, limit: ONE, rss: ONE, cache: ONE },
            block_io: BlockIo { queued: operations, serviced: operations, bytes: operations },
            network: Network { received: traffic, sent: traffic },
            processes: Processes { current: ONE, limit: ONE },
        };
        Ok((stats, Source::Api))
    }

    async fn state(&self, _id: &str) -> Result<State, Error> {
        Ok(State { restarts: ONE, health: Some(Health { status: HealthStatus::Healthy, failing_streak: ONE }) })
    }
}

/// Not zero, because collectors divide by limits and may omit zeros.
const ONE: Option<u64> = Some(1);
