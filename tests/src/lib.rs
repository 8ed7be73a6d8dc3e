//! The harness of the scenarios: everything around the program when it runs for real.
//!
//! - [`agent`] runs the program as mackerel-agent does, and parses its output.
//! - Engines: [`engine`] is a real Docker engine with real Go programs in containers, [`namespaced_engine`] one with a
//!   network and settings of its own, such as a swarm, [`podman`] a real Podman, [`rootless_podman`] one of a user,
//!   [`fake_engine`] an engine with chosen replies. [`proxy`] stands in front of a real engine, so that a scenario can
//!   act at the right moment. [`task_metadata`] is the metadata endpoint of an ECS task.
//! - Containers: [`debian`] runs servers of this machine's packages, [`fleet`] has chosen stats, [`watch`] compares
//!   stats before and after some work, [`cgroup`] has files in place of the kernel's cgroups, [`soak`] starts and stops
//!   many.
//! - Targets without containers: [`stub_target`] serves values for gostats, [`local`] runs a Go program,
//!   [`line_server`] has a protocol of lines, [`witness`] records all traffic. [`attack`] runs the evil collector.
//! - Components: [`project`] builds what `new` writes, [`third_party`] changes a built-in, [`registry`] is a real
//!   registry, [`fake_registry`] one with chosen replies; [`cosign`] and [`openssl`] sign, [`signing`]
//!   has keys.
//!   registry, [`fake_registry`] one with chosen replies.
//! - Labelled metrics: [`otlp`] is the real receiver of the OpenTelemetry Collector, [`fake_otlp`] one with chosen
//!   replies.
//! - Expectations: [`stats`] has the metrics of gostats, [`mask`] hides what changes from run to run.
//! - Peers: [`original`] builds and runs the Go plugins.
//! - Tools: [`go`] builds the Go programs, [`server`] and [`http`] serve connections and requests, [`port`] finds free
//!   ports, [`disk`] can be full, [`terminal`] shows pages, [`wait`] waits, [`load`] keeps heavy work apart from
//!   measurements, [`skip`] checks preconditions.

pub mod agent;
pub mod attack;
pub mod cgroup;
pub mod cosign;
pub mod debian;
pub mod disk;
pub mod engine;
pub mod fake_engine;
pub mod fake_otlp;
pub mod fake_registry;
pub mod fleet;
pub mod go;
pub mod http;
pub mod line_server;
pub mod load;
pub mod local;
pub mod mask;
pub mod namespaced_engine;
pub mod openssl;
pub mod original;
pub mod otlp;
pub mod podman;
pub mod port;
pub mod project;
pub mod proxy;
pub mod registry;
pub mod rootless_podman;
pub mod server;
pub mod signing;
pub mod skip;
pub mod soak;
pub mod stats;
pub mod stub_target;
pub mod task_metadata;
pub mod terminal;
pub mod third_party;
pub mod wait;
pub mod watch;
pub mod witness;
