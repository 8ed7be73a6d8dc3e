//! The sandbox: a fresh WebAssembly instance for every call of a collector.
//!
//! | capability | a guest gets |
//! |---|---|
//! | `mackerel:collector/http` | GET to its target ([`http`]), with the operator's headers ([`http_settings`]) |
//! | `wasi:http` | requests to its target, of any method except TRACE, with the same headers ([`wasi_http`]) |
//! | `wasi:sockets` | TCP to its target ([`network`]); UDP, listening and lookups of other names are denied |
//! | `mackerel:collector/container` | stats of its target's container ([`container`]) |
//! | `mackerel:collector/tls` | connections to its target over TLS ([`tls`]) |
//! | `mackerel:collector/notes` | notes for the operator ([`notes`]) |
//! | `wasi:cli/stderr` | the first and last bytes are kept ([`stderr`]) |
//! | clocks, random numbers | those of the machine |
//! | environment, arguments, standard input, files | nothing |
//! | standard output | discarded |
//!
//! Requests, connections, memory, tables, stack and resources are bounded ([`limits`], [`memory`]), including the
//! memory that the host holds for a guest. Time is bounded by the caller; a guest that spins is interrupted at every
//! epoch ([`runtime`]), and its CPU time is bounded ([`cpu`]).
//!
//! A guest that exceeds a limit is ended at once, and the limit is the failure ([`exceeded`]). A guest that reaches for
//! anything but its target gets an error and continues; the operator reads what it tried ([`denied`]).

pub mod activity;
pub mod code;
mod coding;
mod connection;
pub mod container;
pub mod cpu;
pub mod denied;
pub mod destination;
pub mod exceeded;
mod exchange;
pub mod failure;
mod guest;
pub mod http;
pub mod http_settings;
pub mod memory;
mod network;
pub mod notes;
mod pages;
mod protocol;
mod received;
pub mod remark;
pub mod runtime;
mod sockets;
mod status;
pub mod stderr;
mod tls;
pub mod trust;
mod turns;
pub mod usage;
mod wasi;
mod wasi_http;
mod wire;

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, PoolConcurrencyLimitError, Result, Store};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::WasiHttpCtx;

use self::activity::{Activity, Waiting};
use self::code::Code;
use self::container::Container;
use self::cpu::Gate;
use self::denied::Denied;
use self::destination::Destination;
use self::exceeded::Exceeded;
use self::failure::{Cause, Failure};
use self::guest::Guest;
use self::memory::{Memory, Pool};
use self::network::Network;
use self::notes::Unmatched;
use self::runtime::Runtime;
use self::stderr::Stderr;
use self::usage::Usage;
use self::wire::{Plugin, PluginPre};
use crate::contract;
use crate::limits;
use crate::text::{Foreign, listed};

pub use self::wire::mackerel::collector::http::Error as HttpError;
pub use self::wire::mackerel::collector::types::{
    CollectError, Container as ContainerFacts, Description, Endpoint, Graph, Metric, MetricKind, OptionKind,
    OptionSpec, OptionValue, Period, Report, Sample, Scope, Target as TargetFacts, Unit,
};

/// A collector, ready to be called. Every call runs in a sandbox of its own.
pub struct Collector {
    runtime: Arc<Runtime>,
    code: Code,
    component: Component,
    plugin: PluginPre<Guest>,
    /// The same on the engine without a pool, for sandboxes that find no free slot.
    spare: OnceCell<PluginPre<Guest>>,
    imports: Vec<String>,
    bounds: Bounds,
    pool: Pool,
    gate: Gate,
    denied: Denied,
    /// The memory that a sandbox starts with, once one has started.
    start: Cell<u64>,
}

/// The bounds of sandboxes that an operator can set.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Memory of one sandbox.
    pub memory: ByteSize,
    /// Memory of all sandboxes together, beyond each one's own share.
    pub total_memory: ByteSize,
    /// CPU time of one call.
    pub cpu: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { memory: limits::SANDBOX_MEMORY, total_memory: limits::TOTAL_MEMORY, cpu: limits::CALL_CPU }
    }
}

/// The capabilities of a collector that options are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uses {
    /// It can request container stats.
    pub stats: bool,
    /// It can send HTTP requests.
    pub http: bool,
    /// It can connect over TLS by the host.
    pub tls: bool,
}

/// A fresh instance of a collector. It serves one call and is dropped with it.
pub struct Sandbox {
    store: Store<Guest>,
    plugin: Plugin,
}

impl Collector {
    /// Loads a collector.
    ///
    /// # Errors
    /// If the code is not of this program's wasmtime, or not for this machine.
    pub fn load(runtime: &Arc<Runtime>, code: Code) -> Result<Collector> {
        let component = code.load(runtime)?;
        let imports = imports_of(&component);
        Collector::new(runtime, code, component, imports)
    }

    /// Loads a collector that was just compiled.
    ///
    /// # Errors
    /// If it is not a collector.
    pub fn compiled(runtime: &Arc<Runtime>, code: Code) -> Result<Collector, contract::Error> {
        let invalid = |error: wasmtime::Error| contract::Error::Invalid(Foreign::new(&format!("{error:#}")));
        let component = code.load(runtime).map_err(invalid)?;
        let imports = imports_of(&component);
        let unsupported: Vec<String> = contract::unsupported(&imports).into_iter().map(str::to_owned).collect();
        Collector::new(runtime, code, component, imports).map_err(|error| match unsupported[..] {
            [] => invalid(error),
            ref names => contract::Error::UnsupportedImports(Foreign::new(&listed(names))),
        })
    }

    /// Serializes the compiled form, for [`OwnCode`](code::OwnCode).
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn code(&self) -> Result<Vec<u8>> {
        self.component.serialize()
    }

    fn new(runtime: &Arc<Runtime>, code: Code, component: Component, imports: Vec<String>) -> Result<Collector> {
        let plugin = link(&component, &imports)?;
        let bounds = Bounds::default();
        Ok(Collector {
            runtime: Arc::clone(runtime),
            code,
            plugin,
            spare: OnceCell::new(),
            component,
            imports,
            bounds,
            pool: Pool::new(bounds.total_memory),
            gate: Gate::new(),
            denied: Denied::default(),
            start: Cell::new(0),
        })
    }

    /// Sets the bounds of all further sandboxes.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.pool = Pool::new(bounds.total_memory);
        self.bounds = bounds;
    }

    /// Shares the memory of all sandboxes, and the turns for CPU time, with another collector of the same run.
    pub fn share_bounds(&mut self, other: &Collector) {
        (self.pool, self.gate) = (other.pool.clone(), other.gate.clone());
    }

    /// The memory that a sandbox starts with, in bytes; 0 before one has started.
    pub fn start(&self) -> u64 {
        self.start.get()
    }

    /// Sets the memory that a sandbox starts with, if it is known from an earlier process.
    pub fn set_start(&self, bytes: u64) {
        self.start.set(bytes);
    }

    /// The interfaces from which the component imports more than types, sorted.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// The capabilities that options are about.
    pub fn uses(&self) -> Uses {
        let imports = |interface: &str| self.imports.iter().any(|import| import.starts_with(interface));
        let http = imports("mackerel:collector/http@") || imports("wasi:http/outgoing-handler@");
        Uses { stats: imports("mackerel:collector/container@"), http, tls: http || imports("mackerel:collector/tls@") }
    }

    /// Returns true if it can open connections of its own.
    pub fn connects(&self) -> bool {
        self.imports.iter().any(|import| import.starts_with("wasi:sockets/tcp-create-socket@"))
    }

    /// The denied attempts in calls without a target.
    pub fn denied(&self) -> &Denied {
        &self.denied
    }

    /// Calls `describe`.
    ///
    /// # Errors
    /// If the call fails or times out.
    pub async fn describe(&self) -> Result<Description, Failure> {
        let describe = async |Sandbox { store, plugin }: &mut Sandbox| {
            plugin.mackerel_collector_metrics().call_describe(store).await
        };
        self.call_without_target(describe).await
    }

    /// Calls `graphs` with `options`. The inner error is the collector's, about the options.
    ///
    /// # Errors
    /// If the call fails or times out.
    pub async fn graphs(&self, options: &[OptionValue]) -> Result<Result<Vec<Graph>, Foreign>, Failure> {
        let graphs = async |Sandbox { store, plugin }: &mut Sandbox| {
            plugin.mackerel_collector_metrics().call_graphs(store, options).await
        };
        Ok(self.call_without_target(graphs).await?.map_err(Foreign::from))
    }

    /// Makes a call without a target, in a sandbox of its own and with a fixed timeout.
    async fn call_without_target<T>(&self, call: impl AsyncFnOnce(&mut Sandbox) -> Result<T>) -> Result<T, Failure> {
        let (stderr, denied) = (Stderr::default(), self.denied.clone());
        let work = async {
            let network = Network::closed(denied.clone());
            let memory = self.memory(Activity::new(Waiting::Collector));
            let mut sandbox = self.sandbox_with(stderr.clone(), network, memory).await?;
            call(&mut sandbox).await.map_err(|trap| Cause::of(&trap))
        };
        let bounded = self.gate.bounded(work, limits::CALL_CPU, Exceeded::FixedCpu);
        let result = match tokio::time::timeout(limits::DESCRIBE_TIMEOUT, bounded).await {
            Ok(Ok(result)) => result,
            Ok(Err(exceeded)) => Err(Cause::Limit(exceeded)),
            Err(_) => Err(Cause::CallTimeout(limits::DESCRIBE_TIMEOUT)),
        };
        result.map_err(|cause| Failure { stderr: stderr.take(), denied, ..cause.into() })
    }

    /// Runs the calls of one target, within the CPU limit of one call.
    ///
    /// # Errors
    /// If they exceed the limit.
    pub async fn bounded<T>(&self, calls: impl Future<Output = T>) -> Result<T, Exceeded> {
        self.gate.bounded(calls, self.bounds.cpu, Exceeded::Cpu(self.bounds.cpu)).await
    }

    fn memory(&self, activity: Activity) -> Memory {
        Memory::new(self.bounds.memory, self.pool.clone(), activity)
    }

    /// Waits for the memory that a sandbox starts with. The sandbox sets `activity` to what it waits for.
    pub async fn admit(&self, activity: Activity) -> Memory {
        let mut memory = self.memory(activity);
        // If there can never be so much, the start fails too, and is reported.
        let _ = memory.admit(self.start.get()).await;
        memory
    }

    /// Makes a fresh sandbox, in which nothing has been called.
    ///
    /// # Errors
    /// If the component's own start fails.
    pub async fn sandbox(&self, memory: Memory) -> Result<Sandbox, Cause> {
        self.sandbox_with(Stderr::default(), Network::default(), memory).await
    }

    async fn sandbox_with(&self, stderr: Stderr, network: Network, memory: Memory) -> Result<Sandbox, Cause> {
        let mut wasi = WasiCtx::builder();
        wasi.stderr(stderr.clone()).max_random_size(limits::RANDOM_BYTES as u64);
        network.configure(&mut wasi);
        let (wasi, wasi_http) = (wasi.build(), WasiHttpCtx::new());
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::SANDBOX_RESOURCES);
        let guest = Guest {
            wasi,
            wasi_http,
            table,
            memory,
            stderr,
            requests: 0,
            network,
            container: None,
            unmatched: Vec::new(),
        };
        let mut store = store_on(self.plugin.engine(), guest);
        let plugin = match self.plugin.instantiate_async(&mut store).await {
            Err(error) if error.is::<PoolConcurrencyLimitError>() => {
                // No code has run yet, because wasmtime allocates the stack first: starting again is safe.
                let spare = self.spare().map_err(|error| Cause::of(&error))?;
                store = store_on(spare.engine(), store.into_data());
                spare.instantiate_async(&mut store).await
            }
            result => result,
        };
        let plugin = plugin.map_err(|trap| Cause::of(&trap))?;
        let memory = &mut store.data_mut().memory;
        memory.started();
        self.start.set(memory.bytes());
        Ok(Sandbox { store, plugin })
    }

    fn spare(&self) -> Result<&PluginPre<Guest>> {
        if let Some(spare) = self.spare.get() {
            return Ok(spare);
        }
        let component = self.code.load_on(self.runtime.spare()?)?;
        let spare = link(&component, &self.imports)?;
        Ok(self.spare.get_or_init(|| spare))
    }

    /// Makes up to `count` idle sandboxes while `work` waits. The time that the engine takes for its list is enough for
    /// most of a run's sandboxes.
    pub async fn prewarm<T>(&self, count: usize, work: impl Future<Output = T>) -> (T, Vec<Sandbox>) {
        let mut work = std::pin::pin!(work);
        let mut idle = Vec::new();
        loop {
            let make = async {
                tokio::task::yield_now().await;
                let memory = self.admit(Activity::new(Waiting::Collector)).await;
                self.bounded(self.sandbox(memory)).await
            };
            tokio::select! {
                biased;
                result = &mut work => return (result, idle),
                // A failure occurs again when the sandbox is needed, and is reported there.
                Ok(Ok(sandbox)) = make, if idle.len() < count => idle.push(sandbox),
            }
        }
    }
}

/// Makes a store with the limits of a sandbox.
fn store_on(engine: &Engine, guest: Guest) -> Store<Guest> {
    let mut store = Store::new(engine, guest);
    store.limiter_async(|guest| &mut guest.memory);
    store.set_max_component_handles(limits::SANDBOX_RESOURCES);
    store.set_hostcall_fuel(limits::HANDED_OVER);
    store.epoch_deadline_async_yield_and_update(1);
    store
}

/// Links a component with the host's functions.
fn link(component: &Component, imports: &[String]) -> Result<PluginPre<Guest>> {
    let mut linker = Linker::new(component.engine());
    wasi::link(&mut linker, imports)?;
    // Most collectors do not use it, and linking it takes 0.3 of the 5 ms of a run.
    if imports.iter().any(|import| import.starts_with("wasi:http/")) {
        wasi_http::link(&mut linker)?;
    }
    Plugin::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    PluginPre::new(linker.instantiate_pre(component)?)
}

/// Returns the interfaces from which a component imports more than types, sorted.
fn imports_of(component: &Component) -> Vec<String> {
    let engine = component.engine();
    let kind = component.component_type();
    let has_functions = |item: &ComponentItem| match item {
        ComponentItem::ComponentInstance(interface) => interface
            .exports(engine)
            .any(|(_, of)| matches!(of.ty, ComponentItem::ComponentFunc(_) | ComponentItem::Resource(_))),
        _ => true,
    };
    let imports = kind.imports(engine).filter(|(_, import)| has_functions(&import.ty));
    let mut names: Vec<String> = imports.map(|(name, _)| name.to_owned()).collect();
    names.sort_unstable();
    names
}

impl Sandbox {
    /// The guest's stderr.
    pub fn stderr(&self) -> Stderr {
        self.store.data().stderr.clone()
    }

    /// The guest's denied attempts.
    pub fn denied(&self) -> Denied {
        self.store.data().network.denied.clone()
    }

    /// The guest's usage.
    pub fn usage(&self) -> Usage {
        self.store.data().memory.usage.clone()
    }

    /// Calls `collect` for one target, which `destination` and `container` give access to. The caller bounds the time.
    /// Returns the report, the values of options that select nothing there, and the sandbox's reservation, which now is
    /// the report's.
    ///
    /// # Errors
    /// The collector's own error, or the reason for which the call failed.
    pub async fn collect(
        self,
        destination: Option<Destination>,
        container: Option<Container>,
        activity: Activity,
        target: &TargetFacts,
        options: &[OptionValue],
    ) -> Result<(Report, Vec<Unmatched>, Memory), Cause> {
        let Sandbox { mut store, plugin } = self;
        let guest = store.data_mut();
        if let Some(destination) = destination {
            guest.network.allow(destination);
        }
        (guest.container, guest.memory.activity) = (container, activity);
        let result = plugin.mackerel_collector_metrics().call_collect(&mut store, target, options).await;
        let report = result.map_err(|trap| Cause::of(&trap))?.map_err(Cause::Collector)?;
        if report.samples.len() > limits::SAMPLES {
            return Err(Cause::Limit(Exceeded::Samples));
        }
        let guest = store.into_data();
        Ok((report, guest.unmatched, guest.memory))
    }
}
