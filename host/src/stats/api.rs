//! StatsReader of a container as the engine's API gives them: Docker's `GET /containers/ID/stats`, which Podman speaks too.
//!
//! What engines leave out is absent here. Docker on version 1 of control groups names memory otherwise than on version 2; Podman
//! tells no more of memory than usage and limit.

use std::collections::HashMap;

use bollard_stubs::models::{
    ContainerBlkioStatEntry, ContainerInspectResponse, ContainerMemoryStats, ContainerNetworkStats, ContainerPidsStats,
    ContainerStatsResponse, ContainerThrottlingData, HealthStatusEnum,
};
use jiff::Timestamp;

use super::{empty, operations, sum, used};
use crate::engine::{Engine, Refusal};
use crate::sandbox::container::{
    BlockIo, Cpu, Error, Health, HealthStatus, Memory, Network, Operations, Parts, Processes, State, Stats, Throttling,
    Traffic,
};

/// The figures of the container `id` at the engine's next count.
pub async fn stats(engine: &Engine, id: &str, parts: Parts, has_interfaces: bool) -> Result<Stats, Error> {
    figures(engine.stats(id).await?, parts, has_interfaces)
}

/// The figures that an answer of the engine holds.
///
/// # Errors
/// Where it tells no time, or that of a container that is stopped.
pub fn figures(response: ContainerStatsResponse, parts: Parts, has_interfaces: bool) -> Result<Stats, Error> {
    // A container that was just stopped has an answer of zeros, taken in the year 1.
    let time = match response.read.as_deref().map(str::parse::<Timestamp>) {
        Some(Ok(time)) => u64::try_from(time.as_nanosecond()).map_err(|_| Error::Gone)?,
        Some(Err(_)) | None => {
            return Err(Error::Unavailable(
                "the engine does not tell: its answer has no time that can be read".to_owned(),
            ));
        }
    };
    let mut stats = empty(time);
    let of_cpu = response.cpu_stats.unwrap_or_default();
    if parts.contains(Parts::CPU) {
        let of = of_cpu.cpu_usage.unwrap_or_default();
        stats.cpu = Cpu { usage: of.total_usage, user: of.usage_in_usermode, system: of.usage_in_kernelmode };
    }
    if parts.contains(Parts::THROTTLING) {
        let ContainerThrottlingData { periods, throttled_periods, throttled_time } =
            of_cpu.throttling_data.unwrap_or_default();
        stats.throttling = Throttling { periods, throttled_periods, throttled_time };
    }
    if parts.contains(Parts::MEMORY) {
        stats.memory = memory(&response.memory_stats.unwrap_or_default());
    }
    if parts.contains(Parts::BLOCK_IO) {
        let devices = response.blkio_stats.unwrap_or_default();
        stats.block_io = BlockIo {
            queued: of_devices(devices.io_queue_recursive),
            serviced: of_devices(devices.io_serviced_recursive),
            bytes: of_devices(devices.io_service_bytes_recursive),
        };
    }
    if parts.contains(Parts::NETWORK) && has_interfaces {
        stats.network = of_interfaces(&response.networks.unwrap_or_default());
    }
    if parts.contains(Parts::PROCESSES) {
        let ContainerPidsStats { current, limit } = response.pids_stats.unwrap_or_default();
        // The largest number there is stands for no limit.
        stats.processes = Processes { current, limit: limit.filter(|limit| *limit < u64::MAX) };
    }
    Ok(stats)
}

/// Version 1 of control groups sums over the groups below the container's in fields of their own; version 2 always does.
fn memory(stats: &ContainerMemoryStats) -> Memory {
    let either = |version_1: &str, version_2: &str| {
        let detail = stats.stats.as_ref()?;
        detail.get(version_1).or_else(|| detail.get(version_2)).copied()
    };
    Memory {
        usage: stats.usage,
        used: used(stats.usage, either("total_inactive_file", "inactive_file")),
        limit: stats.limit,
        rss: either("total_rss", "anon"),
        cache: either("total_cache", "file"),
    }
}

fn of_devices(entries: Option<Vec<ContainerBlkioStatEntry>>) -> Operations {
    let entries = entries.unwrap_or_default();
    operations(entries.iter().map(|entry| (entry.op.as_deref().unwrap_or_default(), entry.value)))
}

fn of_interfaces(networks: &HashMap<String, ContainerNetworkStats>) -> Network {
    let sum = |field: fn(&ContainerNetworkStats) -> Option<u64>| sum(networks.values().map(field));
    let mut network = Network {
        received: Traffic {
            bytes: sum(|of| of.rx_bytes),
            packets: sum(|of| of.rx_packets),
            errors: sum(|of| of.rx_errors),
            dropped: sum(|of| of.rx_dropped),
        },
        sent: Traffic {
            bytes: sum(|of| of.tx_bytes),
            packets: sum(|of| of.tx_packets),
            errors: sum(|of| of.tx_errors),
            dropped: sum(|of| of.tx_dropped),
        },
    };
    // Bytes without packets are Podman's, which counts nothing else.
    let is_bare = |traffic: &Traffic| traffic.bytes > Some(0) && traffic.packets == Some(0);
    if is_bare(&network.received) || is_bare(&network.sent) {
        for traffic in [&mut network.received, &mut network.sent] {
            *traffic = Traffic { packets: None, errors: None, dropped: None, ..*traffic };
        }
    }
    network
}

/// Restarts and health of the container `id`.
pub async fn state(engine: &Engine, id: &str) -> Result<State, Error> {
    Ok(restarts_and_health(engine.inspect(id).await?))
}

/// The restarts and the health that an answer of the engine holds.
pub fn restarts_and_health(response: ContainerInspectResponse) -> State {
    let health = response.state.and_then(|state| state.health).and_then(|health| {
        let status = match health.status? {
            HealthStatusEnum::STARTING => HealthStatus::Starting,
            HealthStatusEnum::HEALTHY => HealthStatus::Healthy,
            HealthStatusEnum::UNHEALTHY => HealthStatus::Unhealthy,
            HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => return None,
        };
        Some(Health { status, failing_streak: natural(health.failing_streak) })
    });
    State { restarts: natural(response.restart_count), health }
}

fn natural(number: Option<i64>) -> Option<u64> {
    number.and_then(|number| u64::try_from(number).ok())
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::NoContainer => Error::Gone,
            Refusal::Other(why) => Error::Unavailable(format!("the engine does not tell: {why}")),
        }
    }
}
