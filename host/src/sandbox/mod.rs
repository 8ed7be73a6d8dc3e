//! The sandbox: a fresh WebAssembly instance for every call of a collector.
//!
//! What a guest gets, and what not:
//!
//! | capability | |
//! |---|---|
//! | `mackerel:collector/http` | GET to the one target ([`http`]) |
//! | `wasi:http` | requests of any method to the one target ([`wasi_http`]) |
//! | `wasi:sockets` | TCP to the one target ([`sockets`]); UDP, listening and look-ups of other names are refused |
//! | `mackerel:collector/container` | resource use of the one container ([`container`]) |
//! | `wasi:cli/stderr` | its last bytes are kept ([`stderr`]) |
//! | clocks, random numbers | the machine's |
//! | environment, arguments, standard input, files | empty |
//! | standard output | leads nowhere |
//! | requests and connections | so many |
//! | memory, tables, stack, resources | bounded ([`memory`], [`limits`]), and with them what the host holds for the guest |
//! | time | bounded by the caller; a guest that spins is interrupted at every epoch ([`runtime`]) and computes for so long ([`cpu`]) |
//!
//! A guest that passes a limit is ended at once, with the limit as its failure ([`exceeded`]). One that reaches for anything but its
//! target gets an error, and goes on; the operator reads what it tried ([`refused`]).

pub mod activity;
pub mod code;
pub mod container;
pub mod cpu;
pub mod destination;
pub mod exceeded;
pub mod failure;
pub mod http;
pub mod memory;
pub mod refused;
pub mod runtime;
pub mod sockets;
pub mod stderr;
pub mod usage;
pub mod wasi_http;
mod wire;

use std::time::Duration;

use bytesize::ByteSize;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Result, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::WasiHttpCtx;

use self::activity::{Activity, COLLECTING};
use self::code::{Builtin, OwnCode};
use self::container::Container;
use self::cpu::Gate;
use self::destination::Destination;
use self::exceeded::Exceeded;
use self::memory::{Memory, Pool};
use self::refused::Refused;
use self::sockets::Network;
use self::stderr::Stderr;
use self::usage::Usage;
use self::wire::mackerel::collector::{container as wit_container, http as wit_http, types};
use self::wire::{Plugin, PluginPre};
use crate::contract;
use crate::limits;
use crate::sandbox::failure::{Cause, Failure};
use crate::text::foreign;

pub use self::wire::mackerel::collector::http::Error as HttpError;
pub use self::wire::mackerel::collector::types::{
    CollectError, Container as ContainerFacts, Description, Endpoint, Graph, Metric, MetricKind, OptionKind,
    OptionSpec, OptionValue, Period, Report, Sample, Scope, Target as TargetFacts, Unit,
};

/// A collector, ready to be called. Every call runs in a sandbox of its own.
pub struct Collector {
    plugin: PluginPre<Guest>,
    component: Component,
    imports: Vec<String>,
    bounds: Bounds,
    pool: Pool,
    gate: Gate,
    refused: Refused,
}

/// What an operator can bound of a sandbox.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Memory of one sandbox.
    pub memory: ByteSize,
    /// Memory of all sandboxes together, beyond each one's share.
    pub total_memory: ByteSize,
    /// CPU time of one call.
    pub cpu: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { memory: limits::SANDBOX_MEMORY, total_memory: limits::TOTAL_MEMORY, cpu: limits::CALL_CPU }
    }
}

/// A fresh instance of a collector. It serves one call, and is gone with it.
pub struct Sandbox {
    store: Store<Guest>,
    plugin: Plugin,
}

/// The state of one sandbox.
struct Guest {
    wasi: WasiCtx,
    wasi_http: WasiHttpCtx,
    table: ResourceTable,
    memory: Memory,
    stderr: Stderr,
    requests: usize,
    network: Network,
    container: Option<Container>,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Guest {
    /// Counts one more request, to the target or about the container.
    fn count_request(&mut self) -> Result<(), Exceeded> {
        self.requests += 1;
        self.memory.usage.has_sent(self.requests);
        if self.requests > limits::REQUESTS { Err(Exceeded::Requests) } else { Ok(()) }
    }

    /// Counts one more connection that the guest holds itself, with what the host holds for it until the sandbox ends.
    fn count_connection(&mut self) -> Result<(), Exceeded> {
        self.count_request()?;
        self.memory.take_now(limits::CONNECTION_MEMORY)
    }
}

impl types::Host for Guest {}

impl wit_http::Host for Guest {
    async fn get(&mut self, request: wit_http::Request) -> Result<Result<wit_http::Response, wit_http::Error>> {
        self.count_request()?;
        match self.network.destination() {
            Some(target) => Ok(target.get(request, &mut self.memory).await?),
            None => Ok(Err(wit_http::Error::NoEndpoint)),
        }
    }
}

impl wit_container::Host for Guest {
    async fn stats(
        &mut self,
        parts: wit_container::Parts,
    ) -> Result<Result<wit_container::ContainerStats, wit_container::Error>> {
        self.count_request()?;
        Ok(match &self.container {
            Some(container) => container.stats(parts).await,
            None => Err(wit_container::Error::NoContainer),
        })
    }

    async fn state(&mut self) -> Result<Result<wit_container::ContainerState, wit_container::Error>> {
        self.count_request()?;
        Ok(match &self.container {
            Some(container) => container.state().await,
            None => Err(wit_container::Error::NoContainer),
        })
    }
}

impl Collector {
    /// A collector that is part of the program.
    ///
    /// # Errors
    /// Where the code is not of this program's wasmtime, which a rebuild mends.
    pub fn builtin(engine: &Engine, builtin: &Builtin) -> Result<Collector> {
        Collector::new(code::load(engine, builtin)?)
    }

    /// A collector that was compiled before, into a file that nobody else could write since.
    ///
    /// # Errors
    /// Where the code is not of this program's wasmtime, or not for this machine.
    pub fn mapped(engine: &Engine, code: &OwnCode) -> Result<Collector> {
        Collector::new(code::map(engine, code)?)
    }

    /// Compiles a collector from a component's bytes.
    ///
    /// # Errors
    /// Where the bytes are no component, or no collector: what they are, as the end of a sentence about the file.
    pub fn compile(engine: &Engine, bytes: &[u8]) -> Result<Collector, String> {
        contract::check(bytes)?;
        let refused = |error: wasmtime::Error| {
            format!("is no collector: {}; {}", foreign(&format!("{error:#}")), contract::expected())
        };
        let component = Component::from_binary(engine, bytes).map_err(refused)?;
        let imports = imports_of(&component);
        Collector::new(component).map_err(|error| match contract::strangers(&imports)[..] {
            [] => refused(error),
            ref strangers => format!(
                "needs what no collector gets: it imports {}; of WASI, version 0.2 is offered",
                foreign(&strangers.join(", "))
            ),
        })
    }

    /// The compiled form, for [`OwnCode`].
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn code(&self) -> Result<Vec<u8>> {
        self.component.serialize()
    }

    fn new(component: Component) -> Result<Collector> {
        let mut linker = Linker::new(component.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        sockets::link(&mut linker)?;
        // Most collectors do without, and to link it takes 0.3 ms of a run's 5.
        let imports = imports_of(&component);
        if imports.iter().any(|import| import.starts_with("wasi:http/")) {
            wasi_http::link(&mut linker)?;
        }
        Plugin::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        let plugin = PluginPre::new(linker.instantiate_pre(&component)?)?;
        let bounds = Bounds::default();
        Ok(Collector {
            plugin,
            component,
            imports,
            bounds,
            pool: Pool::new(bounds.total_memory),
            gate: Gate::new(),
            refused: Refused::default(),
        })
    }

    /// Bounds the sandboxes from here on.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.pool = Pool::new(bounds.total_memory);
        self.bounds = bounds;
    }

    /// The interfaces of which the component imports more than types, sorted.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Whether the collector can ask about the containers behind its targets.
    pub fn asks_of_containers(&self) -> bool {
        self.imports.iter().any(|import| import.starts_with("mackerel:collector/container@"))
    }

    /// What the collector tried to reach in calls that ask no target.
    pub fn refused(&self) -> &Refused {
        &self.refused
    }

    /// What the collector says of itself.
    ///
    /// # Errors
    /// Where it fails or takes too long.
    pub async fn describe(&self) -> Result<Description, Failure> {
        let describe = async |Sandbox { store, plugin }: &mut Sandbox| {
            plugin.mackerel_collector_metrics().call_describe(store).await
        };
        self.call_without_target(describe).await
    }

    /// The graphs that `options` give, or why these options give none.
    ///
    /// # Errors
    /// Where it fails or takes too long.
    pub async fn graphs(&self, options: &[OptionValue]) -> Result<Result<Vec<Graph>, String>, Failure> {
        let graphs = async |Sandbox { store, plugin }: &mut Sandbox| {
            plugin.mackerel_collector_metrics().call_graphs(store, options).await
        };
        self.call_without_target(graphs).await
    }

    /// Makes a call that asks no target, in a sandbox and a time of its own.
    async fn call_without_target<T>(&self, call: impl AsyncFnOnce(&mut Sandbox) -> Result<T>) -> Result<T, Failure> {
        let (stderr, refused) = (Stderr::default(), self.refused.clone());
        let work = async {
            let network = Network::refusing(refused.clone());
            let mut sandbox = self.sandbox_with(stderr.clone(), network, Activity::new(COLLECTING)).await?;
            call(&mut sandbox).await.map_err(|trap| Cause::of(&trap))
        };
        let bounded = self.gate.bounded(work, limits::CALL_CPU, Exceeded::FixedCpu);
        let result = match tokio::time::timeout(limits::DESCRIBE_TIMEOUT, bounded).await {
            Ok(Ok(result)) => result,
            Ok(Err(exceeded)) => Err(Cause::Limit(exceeded)),
            Err(_) => Err(Cause::Silent(limits::DESCRIBE_TIMEOUT)),
        };
        result.map_err(|cause| Failure { cause, wrote: stderr.take(), refused })
    }

    /// Waits for the calls to sandboxes of one target, as long as they compute for no longer than a call may.
    ///
    /// # Errors
    /// The limit, where they do.
    pub async fn bounded<T>(&self, calls: impl Future<Output = T>) -> Result<T, Exceeded> {
        self.gate.bounded(calls, self.bounds.cpu, Exceeded::Cpu(self.bounds.cpu)).await
    }

    /// A fresh sandbox, in which nothing has been called yet. `activity` is told what is being waited for.
    ///
    /// # Errors
    /// Where the component's own start fails.
    pub async fn sandbox(&self, activity: Activity) -> Result<Sandbox, Cause> {
        self.sandbox_with(Stderr::default(), Network::default(), activity).await
    }

    async fn sandbox_with(&self, stderr: Stderr, network: Network, activity: Activity) -> Result<Sandbox, Cause> {
        let mut wasi = WasiCtx::builder();
        wasi.stderr(stderr.clone()).max_random_size(limits::RANDOM_BYTES as u64);
        network.open(&mut wasi);
        let (wasi, wasi_http) = (wasi.build(), WasiHttpCtx::new());
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::SANDBOX_RESOURCES);
        let memory = Memory::new(self.bounds.memory, self.pool.clone(), activity);
        let guest = Guest { wasi, wasi_http, table, memory, stderr, requests: 0, network, container: None };
        let mut store = Store::new(self.plugin.engine(), guest);
        store.limiter_async(|guest| &mut guest.memory);
        store.set_max_component_handles(limits::SANDBOX_RESOURCES);
        store.set_hostcall_fuel(limits::HANDED_OVER);
        store.epoch_deadline_async_yield_and_update(1);
        let plugin = self.plugin.instantiate_async(&mut store).await.map_err(|trap| Cause::of(&trap))?;
        Ok(Sandbox { store, plugin })
    }

    /// Makes sandboxes beforehand, at most `count`, in the time that `work` waits for others. What the engine takes for its list
    /// is enough for most of a run's sandboxes.
    pub async fn prewarm<T>(&self, count: usize, work: impl Future<Output = T>) -> (T, Vec<Sandbox>) {
        let mut work = std::pin::pin!(work);
        let mut idle = Vec::new();
        loop {
            let make = async {
                tokio::task::yield_now().await;
                self.bounded(self.sandbox(Activity::new(COLLECTING))).await
            };
            tokio::select! {
                biased;
                result = &mut work => return (result, idle),
                // A failure comes again where the sandbox is wanted, and is told there.
                Ok(Ok(sandbox)) = make, if idle.len() < count => idle.push(sandbox),
            }
        }
    }
}

/// The interfaces of which a component imports more than types, sorted.
fn imports_of(component: &Component) -> Vec<String> {
    let engine = component.engine();
    let kind = component.component_type();
    let is_called = |item: &ComponentItem| match item {
        ComponentItem::ComponentInstance(interface) => interface
            .exports(engine)
            .any(|(_, of)| matches!(of.ty, ComponentItem::ComponentFunc(_) | ComponentItem::Resource(_))),
        _ => true,
    };
    let imports = kind.imports(engine).filter(|(_, import)| is_called(&import.ty));
    let mut names: Vec<String> = imports.map(|(name, _)| name.to_owned()).collect();
    names.sort_unstable();
    names
}

impl Sandbox {
    /// What its guest writes to stderr.
    pub fn stderr(&self) -> Stderr {
        self.store.data().stderr.clone()
    }

    /// What its guest tried to reach besides its target.
    pub fn refused(&self) -> Refused {
        self.store.data().network.refused.clone()
    }

    /// What its guest uses.
    pub fn usage(&self) -> Usage {
        self.store.data().memory.usage.clone()
    }

    /// Collects from one target, which `destination` and `container` lead to. The time is the caller's to bound; `activity` is told what is
    /// being waited for.
    ///
    /// # Errors
    /// The collector's own, or why it failed.
    pub async fn collect(
        self,
        destination: Option<Destination>,
        container: Option<Container>,
        activity: Activity,
        target: &TargetFacts,
        options: &[OptionValue],
    ) -> Result<Report, Cause> {
        let Sandbox { mut store, plugin } = self;
        let guest = store.data_mut();
        if let Some(destination) = destination {
            guest.network.lead_to(destination);
        }
        (guest.container, guest.memory.activity) = (container, activity);
        let result = plugin.mackerel_collector_metrics().call_collect(&mut store, target, options).await;
        let report = result.map_err(|trap| Cause::of(&trap))?.map_err(Cause::Collector)?;
        if report.samples.len() > limits::SAMPLES { Err(Cause::Limit(Exceeded::Samples)) } else { Ok(report) }
    }
}
