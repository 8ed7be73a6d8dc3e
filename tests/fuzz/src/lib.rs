//! Foreign bytes: for each kind of input that others write, one function that feeds it to the real code and asserts what has to
//! hold whatever comes. What is right is said here anew, and never asked of the code that is tested.
//!
//! The property tests (`tests/`) call these functions with inputs made by rule, `make fuzz` with inputs that reach new code. An input
//! that once was a finding lies in `corpus/KIND`, under a name that says what was wrong, and is tried in every test run.

// To panic where something does not hold is what all of them are for.
#![allow(clippy::missing_panics_doc)]

pub mod engine;
pub mod guest;
pub mod kernel;
pub mod rules;
pub mod state;
pub mod store;
pub mod target;

/// A kind of input.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name, which is also that of its folder in `corpus/`.
    pub name: &'static str,
    /// Tries one input. Panics where something does not hold.
    pub check: fn(&[u8]),
}

/// All kinds.
pub const KINDS: &[Kind] = &[
    Kind { name: "engine-list", check: engine::list },
    Kind { name: "engine-inspect", check: engine::inspect },
    Kind { name: "engine-stats", check: engine::stats },
    Kind { name: "cgroup-files", check: kernel::cgroup_files },
    Kind { name: "cgroup-folder", check: kernel::cgroup_folder },
    Kind { name: "net-dev", check: kernel::net_dev },
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

/// The kind of this name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}
