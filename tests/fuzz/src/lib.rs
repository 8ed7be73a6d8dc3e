//! Untrusted input: for each kind, one function feeds an input to the real code and asserts what must hold for it. The
//! expected results are computed here again, never by the tested code.
//!
//! The property tests (`tests/`) call these functions with generated inputs, and `make fuzz` with inputs that reach new
//! code. Inputs that were findings are in `corpus/KIND`, under names that describe the fault, and are part of every
//! test run.

// All of these functions panic if an assertion fails.
#![allow(clippy::missing_panics_doc)]

pub mod ecs;
pub mod engine;
pub mod guest;
pub mod kernel;
pub mod otlp;
pub mod rules;
pub mod state;
pub mod store;
pub mod target;

/// A kind of input.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name, which is also its folder in `corpus/`.
    pub name: &'static str,
    /// Tries one input. Panics if an assertion fails.
    pub check: fn(&[u8]),
}

/// All kinds.
pub const KINDS: &[Kind] = &[
    Kind { name: "engine-list", check: engine::list },
    Kind { name: "engine-inspect", check: engine::inspect },
    Kind { name: "engine-stats", check: engine::stats },
    Kind { name: "ecs-task", check: ecs::task },
    Kind { name: "cgroup-files", check: kernel::cgroup_files },
    Kind { name: "cgroup-folder", check: kernel::cgroup_folder },
    Kind { name: "net-dev", check: kernel::net_dev },
    Kind { name: "otlp-response", check: otlp::response },
    Kind { name: "state", check: state::state },
    Kind { name: "pin", check: store::pin },
    Kind { name: "component", check: store::component },
    Kind { name: "gostats", check: target::gostats },
    Kind { name: "prometheus", check: target::prometheus },
    Kind { name: "redis", check: target::redis },
    Kind { name: "description", check: guest::description },
    Kind { name: "report", check: guest::report },
    Kind { name: "failure", check: guest::failure },
];

/// Returns the kind with this name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}
