//! The version of this program, and of the parts that decide which collectors it runs.

use crate::contract;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of wasmtime, by `Cargo.lock`.
const WASMTIME: &str = env!("WASMTIME_VERSION");

/// The target triple.
const TARGET: &str = env!("TARGET");

/// The commit that a release was built from; `None` in other builds, whose sources may have changes of their own.
const COMMIT: Option<&str> = option_env!("MACKEREL_PLUGIN_WASM_COMMIT");

/// Identifies the program that compiled a collector, on one line.
pub fn compiler() -> String {
    format!("mackerel-plugin-wasm {VERSION}, wasmtime {WASMTIME}, {TARGET}")
}

/// Formats the output of `--version`: one line, or all versions if `verbose`.
pub fn text(verbose: bool) -> String {
    let version = format!("mackerel-plugin-wasm {VERSION}\n");
    if !verbose {
        return version;
    }
    format!(
        "{version}target    {TARGET}\nwasmtime  {WASMTIME}\ncontract  mackerel:collector@{}\ncommit    {}\n",
        contract::VERSION,
        COMMIT.unwrap_or("unknown (not a release)")
    )
}
