//! The binary: the library with the built-in collectors embedded. It is a package of its own, so that the library is
//! compiled once, before the collectors, and not again after them.
//!
//! Without built-in collectors (`make lint` on a fresh clone) it is still checked, and runs components from files.

use std::process::ExitCode;

use mackerel_plugin_wasm::{Builtin, Generated};
#[cfg(builtins)]
use {
    mackerel_plugin_wasm::{Aligned, internals::BUILTIN_NAMES},
    std::sync::atomic::AtomicBool,
};

/// musl's allocator asks the kernel for each larger block, and a run has many. Without huge pages: to clear one takes
/// longer than `--version`.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Written by xtask: one entry for each name in `BUILTIN_NAMES`.
#[cfg(builtins)]
#[allow(clippy::unreadable_literal)]
static BUILTINS: [Builtin; BUILTIN_NAMES.len()] = include!(env!("BUILTINS"));
#[cfg(not(builtins))]
static BUILTINS: [Builtin; 0] = [];

/// Written by xtask from the contract.
#[cfg(builtins)]
static GENERATED: Generated = Generated { go: include!(env!("GO_FILES")), types: include_bytes!(env!("MODULE_TYPES")) };
#[cfg(not(builtins))]
static GENERATED: Generated = Generated { go: &[], types: &[] };

fn main() -> ExitCode {
    mackerel_plugin_wasm::main(std::env::args_os(), &BUILTINS, GENERATED)
}
