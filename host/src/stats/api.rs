//! Stats from the engine's API: Docker's `GET /containers/ID/stats`, which Podman has too.
//!
//! Fields that engines omit are absent here. Docker names memory differently on versions 1 and 2 of control groups; Podman reports
//! only usage and limit.

use std::collections::HashMap;

use bollard_stubs::models::{
    ContainerBlkioStatEntry, ContainerInspectResponse, ContainerMemoryStats, ContainerNetworkStats, ContainerPidsStats,
    ContainerStatsResponse, ContainerThrottlingData, HealthStatusEnum,
};
use jiff::Timestamp;

use super::count::{empty, operations, sum, used};
use crate::engine::{ContainerError, Engine};
use crate::sandbox::container::{
    BlockIo, Cpu, Error, Health, HealthStatus, Memory, Network, Operations, Parts, Processes, State, Stats,
    StatsRequest, Throttling, Traffic,
};

/// Requests the stats of a container at the engine's next sample.
pub async fn stats(engine: &Engine, request: StatsRequest<'_>) -> Result<Stats, Error> {
    parse_stats(engine.stats(request.id).await?, request.parts, request.has_interfaces)
}

/// Takes the requested parts out of the engine's response.
///
/// # Errors
/// If it has no time, or the time of a stopped container.
pub fn parse_stats(response: ContainerStatsResponse, parts: Parts, has_interfaces: bool) -> Result<Stats, Error> {
    // A container that was just stopped has zeros, from the year 1.
    let time = match response.read.as_deref().map(str::parse::<Timestamp>) {
        Some(Ok(time)) => u64::try_from(time.as_nanosecond()).map_err(|_| Error::Gone)?,
        Some(Err(_)) | None => {
            return Err(Error::Unavailable("engine reports no stats: its response has no valid time".to_owned()));
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
        // The largest number means no limit.
        stats.processes = Processes { current, limit: limit.filter(|limit| *limit < u64::MAX) };
    }
    Ok(stats)
}

/// Version 1 of control groups has separate fields with the sums over child groups; version 2 always sums.
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
    // Bytes without packets come from Podman, which counts nothing else.
    let is_bare = |traffic: &Traffic| traffic.bytes > Some(0) && traffic.packets == Some(0);
    if is_bare(&network.received) || is_bare(&network.sent) {
        for traffic in [&mut network.received, &mut network.sent] {
            *traffic = Traffic { packets: None, errors: None, dropped: None, ..*traffic };
        }
    }
    network
}

/// Requests restarts and health of the container `id`.
pub async fn state(engine: &Engine, id: &str) -> Result<State, Error> {
    Ok(parse_state(engine.inspect(id).await?))
}

/// Takes restarts and health out of the engine's response.
pub fn parse_state(response: ContainerInspectResponse) -> State {
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

impl From<ContainerError> for Error {
    fn from(error: ContainerError) -> Error {
        match error {
            ContainerError::Gone => Error::Gone,
            error => Error::Unavailable(error.to_string()),
        }
    }
}
