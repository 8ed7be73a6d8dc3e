//! A metric plugin for mackerel-agent: a native host that finds containers and their ports and speaks Mackerel's plugin
//! protocol, and collectors, each a sandboxed WebAssembly component that reads one kind of target.
//!
//! Start with [`commands`]`/run.rs`: one run, top to bottom. The folders and files, from the top down; each may use
//! those below it:
//!
//! | | |
//! |---|---|
//! | [`cli`] | all commands, and their dispatch |
//! | [`drop_in`] | the names and flags of Go plugins, as the words of `run` |
//! | [`commands`], [`authors`] | one file per subcommand, for operators and for authors of collectors |
//! | [`jobs`], [`job`], [`session`] | the collectors of one command line; one collector, checked; the context of one process |
//! | [`options`] | the command line about a collector, resolved |
//! | [`otlp`] | the export of labelled metrics by OTLP |
//! | [`pipeline`] | one run, in order: find, collect, name, budget, rate, select, total, print |
//! | [`store`] | the sources of collectors: built in, installed, a file, a registry |
//! | [`stats`] | container stats, from control groups, from the engine or from the ECS task |
//! | [`ecs`] | the task of Amazon ECS in which the program runs |
//! | [`engine`] | the container engine's API |
//! | [`error`], [`stop`] | the errors that end a command; deadline, signals and watchdog |
//! | [`definition`] | the declarations of collectors, checked |
//! | [`sandbox`] | a fresh WebAssembly instance for every call of a collector, and its limits |
//! | [`version`] | the versions of the program and its parts |
//! | [`contract`] | the check that a file is a collector |
//! | [`diagnostics`] | everything that goes to stderr |
//! | [`kernel`] | this machine's control groups, processes and network interfaces |
//! | [`private_dir`], [`file`], [`tls`], [`address`], [`moment`], [`mutex`], [`text`], [`env`], [`limits`] | used by all |
//!
//! [`env`]: mod@env
//! [`file`]: mod@file

// Document everything that other files can use; clippy.toml leaves out what only one file uses.
#![warn(clippy::missing_docs_in_private_items)]
// The documentation is for the readers of this code: `make check` builds it with all private items.
#![allow(rustdoc::private_intra_doc_links)]

mod address;
mod authors;
mod cli;
mod commands;
mod contract;
mod definition;
mod diagnostics;
mod drop_in;
mod ecs;
mod engine;
mod env;
mod error;
mod file;
mod job;
mod jobs;
mod kernel;
mod limits;
mod moment;
mod mutex;
mod options;
mod otlp;
mod pipeline;
mod private_dir;
mod sandbox;
mod session;
mod stats;
mod stop;
mod store;
mod text;
mod tls;
mod version;

pub use crate::authors::Generated;
pub use crate::cli::main;
pub use crate::sandbox::code::{Aligned, Builtin};

/// Internals that xtask, the fuzz crate and the scenarios use. They are not an API: any release may change them.
pub mod internals {
    pub use crate::contract::check as check_component;
    pub use crate::definition::{Definitions, Point, Prefix, check as check_description};
    pub use crate::diagnostics::Diagnostics;
    pub use crate::ecs::{TaskContainer, parse_task};
    pub use crate::engine::{
        Container, EngineHost, Inspection, Sample as EngineSample, parse_list as parse_containers,
    };
    pub use crate::error::Error;
    pub use crate::kernel::tree::{Version, container_of};
    pub use crate::moment::Moment;
    pub use crate::options::{Options, Subcommand};
    pub use crate::otlp::{parse_response as parse_otlp_response, retry_after as parse_otlp_retry};
    pub use crate::pipeline::label::LabelPrefix;
    pub use crate::pipeline::name::{Format, InstanceName, assign as assign_names};
    pub use crate::pipeline::output::{Output, Value};
    pub use crate::pipeline::protocol::{format_definitions, format_values};
    pub use crate::pipeline::rate::{Clock, Reading, Span};
    pub use crate::pipeline::route::Reachability;
    pub use crate::pipeline::select::Selection;
    pub use crate::pipeline::series::Series;
    pub use crate::pipeline::skip_reason::SkipReason;
    pub use crate::pipeline::state::{Remembered, State};
    pub use crate::pipeline::target::{Target, Wanted, choose as choose_target};
    pub use crate::pipeline::task::choose as choose_task_target;
    pub use crate::pipeline::total::Total;
    pub use crate::sandbox::container::{Parts, Stats};
    pub use crate::sandbox::denied::Denied;
    pub use crate::sandbox::failure::{Cause, Failure};
    pub use crate::sandbox::runtime::engine as wasm_engine;
    pub use crate::sandbox::{
        CollectError, Description, Graph, HttpError, Metric, MetricKind, OptionKind, OptionSpec, Period, Sample, Scope,
        Unit, Uses,
    };
    pub use crate::stats::api::{parse_state, parse_stats};
    pub use crate::stats::cgroup::{Group, traffic};
    pub use crate::stats::count::empty as empty_stats;
    pub use crate::store::BUILTIN_NAMES;
    pub use crate::store::digest::digest;
    pub use crate::store::pin::Pin;
    pub use crate::text::{Foreign, escape, foreign};
}
