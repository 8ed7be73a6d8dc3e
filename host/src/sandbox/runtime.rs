//! The WebAssembly engine: one set of settings for the host and for xtask, which compiles the built-in collectors.
//!
//! wasmtime rejects code that was compiled with other settings, so there is only this one function.

use std::io;
use std::thread;

use wasmtime::{Config, Engine};

use crate::limits;

/// Makes an engine with the host's settings.
///
/// `target` is the triple to compile for: the code runs on every processor of that architecture. Without it, code is compiled for
/// the processor of this machine.
///
/// # Errors
/// If wasmtime does not support the target or this machine.
pub fn engine(target: Option<&str>) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    // A guest that spins is interrupted at every epoch, so that other sandboxes and timeouts get their turn.
    config.epoch_interruption(true);
    config.max_wasm_stack(limits::SANDBOX_STACK);
    // Operators read one line, not a backtrace; its tables would be a third of the code.
    config.wasm_backtrace_max_frames(None);
    config.generate_address_map(false);
    config.native_unwind_info(false);
    if let Some(target) = target {
        config.target(target)?;
    }
    Engine::new(&config)
}

/// Starts a thread that advances the engine's epoch and calls `tick`. It is a thread of its own, so that neither a guest nor the
/// host's own work can delay it.
///
/// # Errors
/// If the thread cannot be started.
pub fn start_clock(engine: &Engine, tick: impl Fn() + Send + 'static) -> io::Result<()> {
    let engine = engine.weak();
    let run = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            tick();
            thread::sleep(limits::EPOCH);
        }
    };
    thread::Builder::new().name("clock".to_owned()).stack_size(64 * 1024).spawn(run)?;
    Ok(())
}
