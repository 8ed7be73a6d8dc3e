//! The engine's responses about one container: only the fields that are used. Others can have any form.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use crate::engine::lenient::{Count, Lenient, LenientList};

/// The inspection of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", expecting = "the inspection of a container")]
pub struct Inspection {
    state: Lenient<InspectedState>,
    restart_count: Lenient<Count>,
    network_settings: Lenient<InspectedNetworks>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct InspectedNetworks {
    networks: Lenient<BTreeMap<String, Lenient<InspectedNetwork>>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct InspectedNetwork {
    #[serde(rename = "IPAddress")]
    ip_address: Lenient<String>,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6_address: Lenient<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct InspectedState {
    started_at: Lenient<String>,
    health: Lenient<InspectedHealth>,
}

/// The state of a container's health check.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct InspectedHealth {
    /// `starting`, `healthy`, `unhealthy`, or another text if there is no check.
    pub status: Lenient<String>,
    /// The number of consecutive failures.
    pub failing_streak: Lenient<Count>,
}

impl Inspection {
    /// Returns the start time of the container, as the engine formats it.
    pub fn started_at(&self) -> Option<&str> {
        let time = self.state.0.as_ref()?.started_at.0.as_deref()?;
        (!time.is_empty()).then_some(time)
    }

    /// Returns true if the container has this address on a network.
    pub fn has_address(&self, address: IpAddr) -> bool {
        let networks = self.network_settings.0.as_ref().and_then(|settings| settings.networks.0.as_ref());
        let networks = networks.into_iter().flat_map(BTreeMap::values).filter_map(|network| network.0.as_ref());
        let is_it = |text: &Lenient<String>| text.0.as_deref().and_then(|text| text.parse().ok()) == Some(address);
        networks.into_iter().any(|network| is_it(&network.ip_address) || is_it(&network.ipv6_address))
    }

    /// Returns the number of restarts by the restart policy.
    pub fn restarts(&self) -> Option<u64> {
        self.restart_count.count()
    }

    /// Returns the state of the health check.
    pub fn health(&self) -> Option<&InspectedHealth> {
        self.state.0.as_ref()?.health.0.as_ref()
    }
}

/// The stats of a container, as the engine sampled them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, expecting = "the stats of a container")]
pub struct Sample {
    /// The time of the sample.
    pub read: Lenient<String>,
    /// CPU time and throttling.
    pub cpu_stats: Lenient<CpuSample>,
    /// Memory.
    pub memory_stats: Lenient<MemorySample>,
    /// Block I/O.
    pub blkio_stats: Lenient<BlockIoSample>,
    /// Network traffic by interface.
    pub networks: Lenient<BTreeMap<String, Lenient<InterfaceSample>>>,
    /// Processes and threads.
    pub pids_stats: Lenient<ProcessSample>,
}

/// CPU time and throttling.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CpuSample {
    /// CPU time.
    pub cpu_usage: Lenient<CpuUsage>,
    /// Effects of a CPU limit.
    pub throttling_data: Lenient<ThrottlingSample>,
}

/// CPU time in nanoseconds.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CpuUsage {
    /// All of it.
    pub total_usage: Lenient<Count>,
    /// In user mode.
    pub usage_in_usermode: Lenient<Count>,
    /// In kernel mode.
    pub usage_in_kernelmode: Lenient<Count>,
}

/// Effects of a CPU limit.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ThrottlingSample {
    /// Scheduling periods.
    pub periods: Lenient<Count>,
    /// Periods in which the limit was used up.
    pub throttled_periods: Lenient<Count>,
    /// Time in nanoseconds.
    pub throttled_time: Lenient<Count>,
}

/// Memory in bytes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MemorySample {
    /// All of it.
    pub usage: Lenient<Count>,
    /// The limit.
    pub limit: Lenient<Count>,
    /// The kernel's `memory.stat`.
    pub stats: Lenient<MemoryDetail>,
}

/// The kernel's `memory.stat`, of version 1 or 2 of control groups.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, clippy::missing_docs_in_private_items)] // the kernel's names
pub struct MemoryDetail {
    pub total_inactive_file: Lenient<Count>,
    pub total_rss: Lenient<Count>,
    pub total_cache: Lenient<Count>,
    pub hierarchical_memory_limit: Lenient<Count>,
    pub inactive_file: Lenient<Count>,
    pub anon: Lenient<Count>,
    pub file: Lenient<Count>,
}

/// Block I/O by device and kind of operation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_field_names)] // the engine's names
pub struct BlockIoSample {
    /// Queued operations.
    pub io_queue_recursive: LenientList<DeviceSample>,
    /// Completed operations.
    pub io_serviced_recursive: LenientList<DeviceSample>,
    /// Bytes.
    pub io_service_bytes_recursive: LenientList<DeviceSample>,
}

/// One kind of operation of one device. A kind that is not text makes the whole list unknown: it could be any kind.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DeviceSample {
    /// The kind, such as `Read`.
    pub op: Option<String>,
    /// The count.
    pub value: Lenient<Count>,
}

/// The traffic of one interface.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, clippy::missing_docs_in_private_items)] // the engine's names
pub struct InterfaceSample {
    pub rx_bytes: Lenient<Count>,
    pub rx_packets: Lenient<Count>,
    pub rx_errors: Lenient<Count>,
    pub rx_dropped: Lenient<Count>,
    pub tx_bytes: Lenient<Count>,
    pub tx_packets: Lenient<Count>,
    pub tx_errors: Lenient<Count>,
    pub tx_dropped: Lenient<Count>,
}

/// Processes and threads.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ProcessSample {
    /// The current number.
    pub current: Lenient<Count>,
    /// The limit.
    pub limit: Lenient<Count>,
}
