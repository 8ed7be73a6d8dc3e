//! The reasons for which a container is not a target.

use crate::pipeline::infrastructure::Infrastructure;
use crate::text::{Foreign, foreign, listed, ranges};

/// The reason for which a container is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// Its labels do not choose the collector.
    #[error("no label {key}={collector}")]
    NoLabel {
        /// The key of the label.
        key: String,
        /// The collector.
        collector: String,
    },
    /// The operator leaves it out.
    #[error("matches --skip {0}")]
    Skipped(Foreign),
    /// An orchestrator started it for itself.
    #[error("{0}, not an application (--include-infrastructure)")]
    Infrastructure(Infrastructure),
    /// Its processes do not run.
    #[error("not running ({0})")]
    NotRunning(Foreign),
    /// Its processes end again and again.
    #[error("not running ({0})")]
    Restarting(Foreign),
    /// It publishes several ports, and none was chosen.
    #[error("publishes several ports ({}): choose one, such as --container-port {}", ranges(.0), .0[0])]
    SeveralPorts(Vec<u16>),
    /// A port of the engine's list cannot be read, and it could be the right one.
    #[error("a port in the engine's list cannot be read: {0}")]
    UnreadablePort(Foreign),
    /// Swarm's ingress network publishes its ports.
    #[error("Swarm's ingress network publishes its ports and chooses the container: publish with mode=host")]
    OnIngress,
    /// It publishes no port, and none was chosen.
    #[error("publishes no TCP port")]
    NoPublishedPort,
    /// It is on the host network, where the engine's list has no ports.
    #[error("uses the host network: name the port with --container-port")]
    HostNetwork,
    /// It does not have the port that was chosen.
    #[error("has no TCP port {0}")]
    NoPort(u16),
    /// The port cannot be reached without being published.
    #[error("TCP port {port} is not published{}", not_used(.unused))]
    NotPublished {
        /// The port.
        port: u16,
        /// The container's own addresses, each with the reason for which it is not used.
        unused: Vec<String>,
    },
    /// The port is bound to a loopback address on another machine.
    #[error("TCP port {0} is bound to a loopback address of the engine's machine")]
    LoopbackElsewhere(u16),
    /// The port is not published, and the container has no address.
    #[error(
        "TCP port {0} is not published, and the container has no network of the engine: as root, try --enter-network"
    )]
    WithoutNetwork(u16),
    /// The operator's choice leaves no address.
    #[error("no usable address: {0}")]
    NoRoute(String),
    /// It uses the network of a container that the engine does not list.
    #[error("uses the network of container {0}, which is not running")]
    NoNetworkOwner(Foreign),
    /// It uses the network of a container that uses its own.
    #[error("uses the network of a container that uses its network in turn")]
    NetworkCircle,
    /// Another container of its network has the port.
    #[error("shares its network with {by}, which is the target for TCP port {port}")]
    ServedBy {
        /// The port.
        port: u16,
        /// The name of the other container.
        by: Foreign,
    },
    /// In a task: this program runs in it.
    #[error("runs this plugin")]
    OwnContainer,
    /// In a task: it shares a network, and the metadata has no ports then.
    #[error("shares {0}, and the task metadata has no ports: name the port with --container-port")]
    TaskPort(&'static str),
    /// In a task: several containers share a network, and the port can belong to any of them.
    #[error(
        "shares {network} with {}: choose the one that listens on port {port}, such as --filter name={}",
        listed(.others), foreign(.name)
    )]
    SharedPort {
        /// The shared network.
        network: &'static str,
        /// The port.
        port: u16,
        /// The name of the container.
        name: String,
        /// The names of the other containers.
        others: Vec<String>,
    },
    /// In a task: a port of the metadata cannot be read, and it could be the right one.
    #[error("a port in the task metadata cannot be read: name the port with --container-port")]
    UnreadableTaskPort,
    /// In a task: it has no address.
    #[error("the task metadata has no address of it yet")]
    NoAddress,
    /// In a task: it has no network.
    #[error("has no network")]
    NoNetwork,
}

/// Advises to publish the port, and names the first of a container's own addresses that are not used.
fn not_used(unused: &[String]) -> String {
    unused.first().map(|first| format!(": publish it; own address {first}")).unwrap_or_default()
}

impl SkipReason {
    /// Returns true if the container should be a target.
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            SkipReason::SeveralPorts(_)
                | SkipReason::Restarting(_)
                | SkipReason::UnreadablePort(_)
                | SkipReason::NoRoute(_)
                | SkipReason::TaskPort(_)
                | SkipReason::SharedPort { .. }
                | SkipReason::UnreadableTaskPort
                | SkipReason::NoAddress
        )
    }
}
