//! Stats from the engine's API: Docker's `GET /containers/ID/stats`, which Podman has too.
//!
//! Fields that engines omit are absent here. Docker names memory differently on versions 1 and 2 of control groups;
//! Podman reports only usage and limit.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::count::{empty, operations, smallest, sum, used};
use crate::engine::{
    BlockIoSample, ContainerError, Count, CpuUsage, DeviceSample, Engine, Inspection, InterfaceSample, Lenient,
    LenientList, MemorySample, ProcessSample, Sample, ThrottlingSample,
};
use crate::sandbox::container::{
    BlockIo, Cpu, Error, Health, HealthStatus, Memory, Network, Operations, Parts, Processes, State, Stats,
    StatsRequest, Throttling, Traffic,
};
use crate::text::foreign;

/// The time in the stats of a container that was just stopped, which has zeros.
const STOPPED: &str = "0001-01-01T00:00:00Z";

/// Requests the stats of a container at the engine's next sample.
pub async fn stats(engine: &Engine, request: StatsRequest<'_>) -> Result<Stats, Error> {
    parse_stats(engine.stats(request.id).await?, request.parts, request.has_interfaces)
}

/// Takes the requested parts out of the engine's response.
///
/// # Errors
/// If it has no time, or the time of a stopped container.
pub fn parse_stats(sample: Sample, parts: Parts, has_interfaces: bool) -> Result<Stats, Error> {
    let mut stats = empty(time(sample.read.0.as_deref())?);
    let of_cpu = sample.cpu_stats.0.unwrap_or_default();
    if parts.contains(Parts::CPU) {
        let CpuUsage { total_usage, usage_in_usermode, usage_in_kernelmode } = of_cpu.cpu_usage.0.unwrap_or_default();
        let (user, system) = (usage_in_usermode.count(), usage_in_kernelmode.count());
        stats.cpu = Cpu { usage: total_usage.count(), user, system };
    }
    if parts.contains(Parts::THROTTLING) {
        let ThrottlingSample { periods, throttled_periods, throttled_time } =
            of_cpu.throttling_data.0.unwrap_or_default();
        stats.throttling = Throttling {
            periods: periods.count(),
            throttled_periods: throttled_periods.count(),
            throttled_time: throttled_time.count(),
        };
    }
    if parts.contains(Parts::MEMORY) {
        stats.memory = memory(sample.memory_stats.0.unwrap_or_default());
    }
    if parts.contains(Parts::BLOCK_IO) {
        let BlockIoSample { io_queue_recursive, io_serviced_recursive, io_service_bytes_recursive } =
            sample.blkio_stats.0.unwrap_or_default();
        stats.block_io = BlockIo {
            queued: of_devices(io_queue_recursive),
            serviced: of_devices(io_serviced_recursive),
            bytes: of_devices(io_service_bytes_recursive),
        };
    }
    if parts.contains(Parts::NETWORK) && has_interfaces {
        stats.network = of_interfaces(&sample.networks.0.unwrap_or_default());
    }
    if parts.contains(Parts::PROCESSES) {
        let ProcessSample { current, limit } = sample.pids_stats.0.unwrap_or_default();
        // The largest number means no limit.
        let limit = limit.count().filter(|limit| *limit < u64::MAX);
        stats.processes = Processes { current: current.count(), limit };
    }
    Ok(stats)
}

/// Returns the time of the stats in nanoseconds since 1970, which a number of 64 bits has until the year 2554.
fn time(read: Option<&str>) -> Result<u64, Error> {
    let read = read.ok_or_else(|| Error::Unavailable("engine reports stats without a time".to_owned()))?;
    if read == STOPPED {
        return Err(Error::Gone);
    }
    let time = read.parse::<Timestamp>().ok().and_then(|time| u64::try_from(time.as_nanosecond()).ok());
    time.ok_or_else(|| {
        let read = foreign(read);
        Error::Unavailable(format!("engine reports stats with the time '{read}': expected one from 1970 to 2554"))
    })
}

/// Version 1 of control groups has separate fields with the sums over child groups; version 2 always sums. On version 1
/// the limit of a parent group is reported too.
fn memory(sample: MemorySample) -> Memory {
    let detail = sample.stats.0.unwrap_or_default();
    let either =
        |version_1: &Lenient<Count>, version_2: &Lenient<Count>| version_1.count().or_else(|| version_2.count());
    let usage = sample.usage.count();
    let limit = sample.limit.count();
    Memory {
        usage,
        used: used(usage, either(&detail.total_inactive_file, &detail.inactive_file)),
        limit: limit.map(|limit| smallest(limit, [detail.hierarchical_memory_limit.count()])),
        rss: either(&detail.total_rss, &detail.anon),
        cache: either(&detail.total_cache, &detail.file),
    }
}

fn of_devices(devices: LenientList<DeviceSample>) -> Operations {
    let devices = devices.0.unwrap_or_default();
    operations(devices.iter().map(|device| (device.op.as_deref().unwrap_or_default(), device.value.count())))
}

fn of_interfaces(interfaces: &BTreeMap<String, Lenient<InterfaceSample>>) -> Network {
    let sum = |field: fn(&InterfaceSample) -> &Lenient<Count>| {
        sum(interfaces.values().map(|interface| field(interface.0.as_ref()?).count()))
    };
    let mut network = Network {
        received: Traffic {
            bytes: sum(|of| &of.rx_bytes),
            packets: sum(|of| &of.rx_packets),
            errors: sum(|of| &of.rx_errors),
            dropped: sum(|of| &of.rx_dropped),
        },
        sent: Traffic {
            bytes: sum(|of| &of.tx_bytes),
            packets: sum(|of| &of.tx_packets),
            errors: sum(|of| &of.tx_errors),
            dropped: sum(|of| &of.tx_dropped),
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
    Ok(parse_state(&engine.inspect(id).await?))
}

/// Takes restarts and health out of the engine's response.
pub fn parse_state(inspection: &Inspection) -> State {
    let health = inspection.health().and_then(|health| {
        let status = match health.status.0.as_deref()?.to_ascii_lowercase().as_str() {
            "starting" => HealthStatus::Starting,
            "healthy" => HealthStatus::Healthy,
            "unhealthy" => HealthStatus::Unhealthy,
            _ => return None,
        };
        Some(Health { status, failing_streak: health.failing_streak.count() })
    });
    State { restarts: inspection.restarts(), health }
}

impl From<ContainerError> for Error {
    fn from(error: ContainerError) -> Error {
        match error {
            ContainerError::Gone => Error::Gone,
            error => Error::Unavailable(error.to_string()),
        }
    }
}
