//! The binary: the library, with the built-in collectors embedded.

use std::process::ExitCode;

use mackerel_plugin_wasm::{Builtin, main as run};

#[cfg(not(builtins))]
compile_error!("the built-in collectors are not compiled yet: run `make build`");

/// Written by xtask: an entry for each of `store::BUILTIN_NAMES`.
#[cfg(builtins)]
#[allow(clippy::unreadable_literal)]
static BUILTINS: &[Builtin] = include!(env!("BUILTINS"));
#[cfg(not(builtins))]
static BUILTINS: &[Builtin] = &[];

/// Written by xtask: what is generated from the contract for collectors in Go.
#[cfg(builtins)]
static GO: &[(&str, &str)] = include!(env!("GO_FILES"));
#[cfg(not(builtins))]
static GO: &[(&str, &str)] = &[];

fn main() -> ExitCode {
    run(std::env::args_os(), BUILTINS, GO)
}
