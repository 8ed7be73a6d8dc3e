//! The WebAssembly engines: one set of settings for the host and for xtask, which compiles the built-in collectors.
//!
//! wasmtime rejects code that was compiled with other settings, so only the function `config` sets them.
//!
//! A run starts many sandboxes one after the other. On the pooled engine they reuse the stacks, memories and tables of
//! ended sandboxes, which wasmtime resets before: otherwise a third of a run's CPU time would be page faults. The pool
//! has few slots, because making one takes time too. Sandboxes without a free slot, and components that do not fit into
//! one, run on the engine without a pool, which maps fresh memory for each.

use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;

use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig};

use super::pages::Pages;
use crate::limits;

/// The engines of a process.
pub struct Runtime {
    first: Engine,
    is_pooled: bool,
    spare: OnceLock<Engine>,
}

impl Runtime {
    /// Makes the pooled engine, or one without a pool if this process may not reserve a pool's addresses.
    ///
    /// # Errors
    /// If wasmtime does not support this machine.
    pub fn pooled() -> wasmtime::Result<Arc<Runtime>> {
        let mut config = config();
        config.allocation_strategy(pool()).async_stack_zeroing(true);
        match Engine::new(&config) {
            Ok(first) => Ok(Arc::new(Runtime { first, is_pooled: true, spare: OnceLock::new() })),
            Err(_) => Runtime::on_demand(),
        }
    }

    /// Makes the engine without a pool, for a process whose address space is limited.
    ///
    /// # Errors
    /// If wasmtime does not support this machine.
    pub fn on_demand() -> wasmtime::Result<Arc<Runtime>> {
        Ok(Arc::new(Runtime { first: engine(None)?, is_pooled: false, spare: OnceLock::new() }))
    }

    /// The engine whose sandboxes reuse memory. Both have the same settings for code.
    pub fn engine(&self) -> &Engine {
        &self.first
    }

    /// The engine whose sandboxes have fresh memory. It is made when it is first needed.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn spare(&self) -> wasmtime::Result<&Engine> {
        if !self.is_pooled {
            return Ok(&self.first);
        }
        if let Some(engine) = self.spare.get() {
            return Ok(engine);
        }
        let engine = engine(None)?;
        Ok(self.spare.get_or_init(|| engine))
    }

    /// Starts a thread that advances the epoch of the engines and calls `tick`. It is a thread of its own, so that
    /// neither a guest nor the host's own work can delay it.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start_clock(self: &Arc<Runtime>, tick: impl Fn() + Send + 'static) -> io::Result<()> {
        let runtime = Arc::downgrade(self);
        let run = move || {
            while let Some(runtime) = runtime.upgrade() {
                std::iter::once(&runtime.first).chain(runtime.spare.get()).for_each(Engine::increment_epoch);
                drop(runtime);
                tick();
                thread::sleep(limits::EPOCH);
            }
        };
        thread::Builder::new().name("clock".to_owned()).stack_size(64 * 1024).spawn(run)?;
        Ok(())
    }
}

/// Makes an engine with the host's settings.
///
/// `target` is the triple to compile for: the code runs on every processor of that architecture. Without it, code is
/// compiled for the processor of this machine.
///
/// # Errors
/// If wasmtime does not support the target or this machine.
pub fn engine(target: Option<&str>) -> wasmtime::Result<Engine> {
    let mut config = config();
    if let Some(target) = target {
        config.target(target)?;
    }
    Engine::new(&config)
}

/// The settings that code depends on.
fn config() -> Config {
    let mut config = Config::new();
    // A guest that spins is interrupted at every epoch, so that other sandboxes and timeouts get their turn.
    config.epoch_interruption(true);
    config.max_wasm_stack(limits::SANDBOX_STACK);
    // Operators read one line, not a backtrace; its tables would be a third of the code.
    config.wasm_backtrace_max_frames(None);
    config.generate_address_map(false);
    config.native_unwind_info(false);
    config.with_custom_code_memory(Some(Arc::new(Pages)));
    config
}

/// The pool: the number and sizes of its slots. Its sandboxes have the same limits as all others, those of
/// [`memory`](super::memory).
fn pool() -> PoolingAllocationConfig {
    let slots = limits::POOL_SLOTS;
    let instances = u32::try_from(limits::SANDBOX_INSTANCES).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_stacks(slots)
        .total_memories(slots * limits::POOL_MEMORIES)
        .max_memories_per_component(limits::POOL_MEMORIES)
        .total_tables(slots * limits::POOL_TABLES)
        .max_tables_per_component(limits::POOL_TABLES)
        .total_core_instances(slots * instances)
        .max_core_instances_per_component(instances)
        .total_component_instances(slots)
        // Code without bounds checks needs these addresses, with and without a pool.
        .max_memory_size(4 << 30)
        .table_elements(limits::POOL_TABLE_ELEMENTS)
        .async_stack_keep_resident(limits::POOL_STACK_RESIDENT)
        .linear_memory_keep_resident(limits::POOL_RESIDENT)
        .table_keep_resident(limits::POOL_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    pool
}
