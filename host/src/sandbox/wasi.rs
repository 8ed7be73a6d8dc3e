//! WASI without HTTP: the interfaces of wasmtime-wasi, of which [`sockets`] replaces some.

use wasmtime::Result;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::p2;
use wasmtime_wasi::p2::bindings::cli;

use super::guest::Guest;
use super::sockets;

/// Links the interfaces that a collector with these `imports` can need. Those for files and sockets are half of the
/// functions of WASI, and few collectors import them.
///
/// # Errors
/// If wasmtime defines an interface twice.
pub fn link(linker: &mut Linker<Guest>, imports: &[String]) -> Result<()> {
    let is_small = |import: &String| {
        ["mackerel:", "wasi:cli/", "wasi:io/", "wasi:clocks/", "wasi:random/random@", "wasi:http/"]
            .iter()
            .any(|prefix| import.starts_with(prefix))
    };
    if !imports.iter().all(is_small) {
        p2::add_to_linker_async(linker)?;
        return sockets::link(linker);
    }
    p2::add_to_linker_proxy_interfaces_async(linker)?;
    cli::exit::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::environment::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::terminal_input::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::terminal_output::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stdin::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stdout::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stderr::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)
}
