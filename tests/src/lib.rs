//! The harness of the scenarios: what stands around the program when it runs for real.
//!
//! - [`agent`] calls the program the way mackerel-agent does, and reads what it printed.
//! - [`engine`] is a real Docker engine with real Go programs in its containers.
//! - [`podman`] is a real Podman behind the same interface, [`relay`] stands before an engine and acts at the right moment.
//! - [`watch`] sees what is printed of a real container before and after some work.
//! - [`fake_engine`] is an engine for what no real one does on demand.
//! - [`fleet`] is such an engine's containers, and an agent that asks for what they use.
//! - [`cgroup`] shows files in place of the kernel's control groups.
//! - [`disk`] is a disk that can run full.
//! - [`lines`] is a database's server, as far as a protocol of lines makes one.
//! - [`stand_in`] is a Go program's `/stats` that tells what a scenario wants it to tell.
//! - [`soak`] is containers that come and go, and what each of them answered.
//! - [`attack`] is the evil collector at work beside an honest one, and [`witness`] a target that sees what it does.
//! - [`project`] is a collector's project as `new` writes it, and what its commands make.
//! - [`third_party`] is a stranger's component, [`registry`] a real registry that keeps such, with a login or without.
//! - [`stats`] knows gostats' metrics: what is to be printed for which answer.
//! - [`local`] runs the Go programs beside the scenario, without containers.
//! - [`go`] builds them, [`server`] accepts connections, [`http`] is the little HTTP that the others need, [`port`] finds free ports, [`wait`] waits,
//!   [`load`] keeps heavy scenarios apart from those that measure time,
//!   [`mask`] hides what changes from run to run, [`skip`] says what was not tested where something is missing.

pub mod agent;
pub mod attack;
pub mod cgroup;
pub mod disk;
pub mod engine;
pub mod fake_engine;
pub mod fleet;
pub mod go;
pub mod http;
pub mod lines;
pub mod load;
pub mod local;
pub mod mask;
pub mod podman;
pub mod port;
pub mod project;
pub mod registry;
pub mod relay;
pub mod server;
pub mod skip;
pub mod soak;
pub mod stand_in;
pub mod stats;
pub mod third_party;
pub mod wait;
pub mod watch;
pub mod witness;
