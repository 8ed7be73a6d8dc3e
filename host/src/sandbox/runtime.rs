//! The WebAssembly engine: one set of settings for the host and for xtask, which compiles the built-in collectors.
//!
//! Code that was compiled with other settings is refused when it is loaded, so there is only this one function.

use std::sync::Arc;
use std::thread;

use wasmtime::{Config, Engine};

use crate::error::Error;
use crate::limits;
use crate::stop::Watchdog;

/// An engine with the host's settings.
///
/// `target` is the triple to compile for, without regard to this machine's processor: code for it runs on every processor of
/// that kind. Without it, code is compiled for the very processor that it runs on.
///
/// # Errors
/// Where wasmtime does not know the target or this machine.
pub fn engine(target: Option<&str>) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    // A guest that spins is interrupted at every epoch, and gives way to the other sandboxes and to the clock.
    config.epoch_interruption(true);
    config.max_wasm_stack(limits::SANDBOX_STACK);
    // Operators read one line, not a guest's backtrace; the tables for it would make up a third of the code.
    config.wasm_backtrace_max_frames(None);
    config.generate_address_map(false);
    config.native_unwind_info(false);
    if let Some(target) = target {
        config.target(target)?;
    }
    Engine::new(&config)
}

/// Advances the engine's epoch and lets the watchdog look at the clock, from a thread of its own, so that neither a guest
/// nor the host's own work can hold them up.
///
/// # Errors
/// Where no thread can be had.
pub fn start_clock(engine: &Engine, watchdog: Arc<Watchdog>) -> Result<(), Error> {
    let engine = engine.weak();
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            watchdog.check();
            thread::sleep(limits::EPOCH);
        }
    };
    let clock = thread::Builder::new().name("clock".to_owned()).stack_size(64 * 1024).spawn(tick);
    clock.map(drop).map_err(|error| Error::failed(format!("cannot start a thread: {error}")))
}
