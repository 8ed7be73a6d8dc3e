//! The guest: the state of one sandbox, and the functions of the contract that it can call.

use wasmtime::Result;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::WasiHttpCtx;

use super::container::Container;
use super::exceeded::Exceeded;
use super::memory::Memory;
use super::network::Network;
use super::notes::Unmatched;
use super::stderr::Stderr;
use super::wire::mackerel::collector::{container as wit_container, http as wit_http, notes as wit_notes, types};
use crate::limits;
use crate::text::Foreign;

/// The state of one sandbox, of its guest and of the host for it.
pub struct Guest {
    /// WASI.
    pub wasi: WasiCtx,
    /// `wasi:http`.
    pub wasi_http: WasiHttpCtx,
    /// The host's resources.
    pub table: ResourceTable,
    /// Memory and usage.
    pub memory: Memory,
    /// The guest's stderr.
    pub stderr: Stderr,
    /// Requests so far.
    pub requests: usize,
    /// The network.
    pub network: Network,
    /// The container, if the target has one.
    pub container: Option<Container>,
    /// The values of options that select nothing at the target.
    pub unmatched: Vec<Unmatched>,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Guest {
    /// Counts a request to the target or about the container.
    ///
    /// # Errors
    /// If it exceeds the limit.
    pub fn count_request(&mut self) -> Result<(), Exceeded> {
        self.requests += 1;
        self.memory.usage.record_requests(self.requests);
        if self.requests > limits::REQUESTS { Err(Exceeded::Requests) } else { Ok(()) }
    }

    /// Counts a connection that the guest opens itself, with the memory that the host holds for it until the sandbox
    /// ends.
    ///
    /// # Errors
    /// If it exceeds a limit.
    pub async fn count_connection(&mut self) -> Result<(), Exceeded> {
        self.count_request()?;
        self.memory.reserve(limits::CONNECTION_MEMORY).await
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

impl wit_notes::Host for Guest {
    async fn unmatched(&mut self, option: String, value: String, hint: String) -> Result<()> {
        if self.unmatched.len() < limits::NOTES {
            let [option, value, hint] = [option, value, hint].map(Foreign::from);
            self.unmatched.push(Unmatched { option, value, hint });
        }
        Ok(())
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
