//! The sandbox: a fresh WebAssembly instance for every call of a collector.
//!
//! What a guest gets, and what not:
//!
//! | capability | |
//! |---|---|
//! | `mackerel:collector/http` | GET to the one target ([`http`]) |
//! | `mackerel:collector/container` | resource use of the one container ([`container`]) |
//! | `wasi:cli/stderr` | its last bytes are kept ([`stderr`]) |
//! | clocks, random numbers | the machine's |
//! | environment, arguments, standard input, files | empty |
//! | standard output | leads nowhere |
//! | sockets, name look-up | every use is refused |
//! | memory, tables, stack | bounded ([`memory`], [`limits`]) |
//! | time | bounded by the caller; a guest that spins is interrupted at every epoch ([`engine`]) |

pub mod activity;
mod bindings;
pub mod code;
pub mod container;
pub mod engine;
pub mod http;
pub mod memory;
pub mod stderr;

use bytesize::ByteSize;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use self::bindings::mackerel::collector::{container as wit_container, http as wit_http, types};
use self::bindings::{Plugin, PluginPre};
use self::code::Builtin;
use self::container::Container;
use self::http::Http;
use self::memory::{Exceeded, Memory};
use self::stderr::Stderr;
use crate::failure::Failure;
use crate::limits;

pub use self::bindings::mackerel::collector::http::Error as HttpError;
pub use self::bindings::mackerel::collector::types::{
    CollectError, Container as ContainerFacts, Description, Endpoint, Graph, Metric, MetricKind, OptionKind,
    OptionSpec, OptionValue, Period, Report, Sample, Scope, Target as TargetFacts, Unit,
};

/// A collector, ready to be called. Every call runs in a sandbox of its own.
pub struct Collector {
    plugin: PluginPre<Guest>,
    component: Component,
    memory_limit: ByteSize,
}

/// A fresh instance of a collector. It serves one call, and is gone with it.
pub struct Sandbox {
    store: Store<Guest>,
    plugin: Plugin,
}

/// The state of one sandbox.
struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    memory: Memory,
    stderr: Stderr,
    http: Option<Http>,
    container: Option<Container>,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl types::Host for Guest {}

impl wit_http::Host for Guest {
    async fn get(&mut self, request: wit_http::Request) -> Result<wit_http::Response, wit_http::Error> {
        match &self.http {
            Some(http) => http.get(request).await,
            None => Err(wit_http::Error::NoEndpoint),
        }
    }
}

impl wit_container::Host for Guest {
    async fn stats(
        &mut self,
        parts: wit_container::Parts,
    ) -> Result<wit_container::ContainerStats, wit_container::Error> {
        match &self.container {
            Some(container) => container.stats(parts).await,
            None => Err(wit_container::Error::NoContainer),
        }
    }

    async fn state(&mut self) -> Result<wit_container::ContainerState, wit_container::Error> {
        match &self.container {
            Some(container) => container.state().await,
            None => Err(wit_container::Error::NoContainer),
        }
    }
}

impl Collector {
    /// A collector that is part of the program.
    ///
    /// # Errors
    /// Where the code is not of this program's wasmtime, which a rebuild mends.
    pub fn builtin(engine: &Engine, builtin: &Builtin) -> wasmtime::Result<Collector> {
        Collector::new(code::load(engine, builtin)?)
    }

    /// Compiles a collector from a component's bytes.
    ///
    /// # Errors
    /// Where the bytes are no component, or no collector.
    pub fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Collector> {
        Collector::new(Component::from_binary(engine, bytes)?)
    }

    fn new(component: Component) -> wasmtime::Result<Collector> {
        let mut linker = Linker::new(component.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        Plugin::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        let plugin = PluginPre::new(linker.instantiate_pre(&component)?)?;
        Ok(Collector { plugin, component, memory_limit: limits::SANDBOX_MEMORY })
    }

    /// Sets the memory that a sandbox has.
    pub fn set_memory_limit(&mut self, limit: ByteSize) {
        self.memory_limit = limit;
    }

    /// The interfaces of which the component imports more than types, sorted.
    pub fn imports(&self) -> Vec<String> {
        let engine = self.component.engine();
        let kind = self.component.component_type();
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

    /// Whether the collector can ask about the containers behind its targets.
    pub fn asks_of_containers(&self) -> bool {
        self.imports().iter().any(|import| import.starts_with("mackerel:collector/container@"))
    }

    /// What the collector says of itself.
    ///
    /// # Errors
    /// Where it fails or takes too long.
    pub async fn describe(&self) -> Result<Description, Failure> {
        in_time(async {
            let Sandbox { mut store, plugin } = self.sandbox().await?;
            let description = plugin.mackerel_collector_metrics().call_describe(&mut store).await;
            description.map_err(|trap| failure(&store, &trap))
        })
        .await
    }

    /// The graphs that `options` give, or why these options give none.
    ///
    /// # Errors
    /// Where it fails or takes too long.
    pub async fn graphs(&self, options: &[OptionValue]) -> Result<Result<Vec<Graph>, String>, Failure> {
        in_time(async {
            let Sandbox { mut store, plugin } = self.sandbox().await?;
            let graphs = plugin.mackerel_collector_metrics().call_graphs(&mut store, options).await;
            graphs.map_err(|trap| failure(&store, &trap))
        })
        .await
    }

    /// A fresh sandbox, in which nothing has been called yet.
    ///
    /// # Errors
    /// Where the component's own start fails.
    pub async fn sandbox(&self) -> Result<Sandbox, Failure> {
        let stderr = Stderr::default();
        let guest = Guest {
            wasi: WasiCtx::builder().stderr(stderr.clone()).build(),
            table: ResourceTable::new(),
            memory: Memory::new(self.memory_limit),
            stderr,
            http: None,
            container: None,
        };
        let mut store = Store::new(self.plugin.engine(), guest);
        store.limiter(|guest| &mut guest.memory);
        store.epoch_deadline_async_yield_and_update(1);
        let plugin = self.plugin.instantiate_async(&mut store).await.map_err(|trap| failure(&store, &trap))?;
        Ok(Sandbox { store, plugin })
    }

    /// Makes sandboxes beforehand, at most `count`, in the time that `work` waits for others. What the engine takes for its list
    /// is enough for most of a run's sandboxes.
    pub async fn beforehand<T>(&self, count: usize, work: impl Future<Output = T>) -> (T, Vec<Sandbox>) {
        let mut work = std::pin::pin!(work);
        let mut spare = Vec::new();
        loop {
            let make = async {
                tokio::task::yield_now().await;
                self.sandbox().await
            };
            tokio::select! {
                biased;
                result = &mut work => return (result, spare),
                // A failure comes again where the sandbox is wanted, and is told there.
                Ok(sandbox) = make, if spare.len() < count => spare.push(sandbox),
            }
        }
    }
}

impl Sandbox {
    /// Collects from one target, which `http` and `container` lead to. The time is the caller's to bound. Beside the result comes
    /// what the collector wrote to stderr.
    pub async fn collect(
        self,
        http: Option<Http>,
        container: Option<Container>,
        target: &TargetFacts,
        options: &[OptionValue],
    ) -> (Result<Report, Failure>, String) {
        let Sandbox { mut store, plugin } = self;
        store.data_mut().http = http;
        store.data_mut().container = container;
        let result = plugin.mackerel_collector_metrics().call_collect(&mut store, target, options).await;
        match result {
            Ok(Ok(report)) if report.samples.len() > limits::SAMPLES => {
                let why = format!("{} samples in one report, {} are the limit", report.samples.len(), limits::SAMPLES);
                (Err(Failure::Contract(why)), store.data().stderr.take())
            }
            Ok(result) => (result.map_err(Failure::Collector), store.data().stderr.take()),
            // A failure says itself what was written.
            Err(trap) => (Err(failure(&store, &trap)), String::new()),
        }
    }
}

/// Bounds a call that asks no target.
async fn in_time<T>(call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let timeout = tokio::time::timeout(limits::DESCRIBE_TIMEOUT, call);
    timeout.await.unwrap_or(Err(Failure::Silent(limits::DESCRIBE_TIMEOUT)))
}

/// Why a call ended in a trap.
fn failure(store: &Store<Guest>, trap: &wasmtime::Error) -> Failure {
    match store.data().memory.exceeded {
        Some(Exceeded::Bytes(limit)) => Failure::Memory(limit),
        Some(Exceeded::TableElements(limit)) => Failure::Table(limit),
        None => Failure::Trap { trap: trap.root_cause().to_string(), stderr: store.data().stderr.take() },
    }
}
