//! The network of a sandbox: TCP to its destination, and nothing else.
//!
//! | request | result |
//! |---|---|
//! | connect over TCP to the target | allowed |
//! | bind to `0.0.0.0:0` or `[::]:0` | allowed: a connection begins with it |
//! | connect elsewhere, bind otherwise, listen | denied |
//! | UDP | denied |
//! | look up the target's own name, or an address | the known addresses |
//! | look up any other name | denied, and no name server is asked |

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi::sockets::SocketAddrUse;

use super::activity::Waiting;
use super::denied::Denied;
use super::destination::Destination;

/// The network of one sandbox. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// The target, unset for calls without one.
    destination: Arc<OnceLock<Destination>>,
    /// Attempts to reach anything else.
    pub denied: Denied,
}

impl Network {
    /// A network without a target, which records its attempts in `denied`.
    pub fn closed(denied: Denied) -> Network {
        Network { destination: Arc::default(), denied }
    }

    /// Allows connections to `destination`.
    pub fn allow(&self, destination: Destination) {
        // A sandbox serves one call, so it has one destination.
        let _ = self.destination.set(destination);
    }

    /// The target, if there is one.
    pub fn destination(&self) -> Option<&Destination> {
        self.destination.get()
    }

    /// Allows TCP to the destination and denies the rest.
    pub fn configure(&self, wasi: &mut WasiCtxBuilder) {
        let network = self.clone();
        wasi.allow_tcp(true).socket_addr_check(move |address, purpose| {
            let is_allowed = network.allows(address, purpose);
            Box::pin(std::future::ready(is_allowed))
        });
    }

    fn allows(&self, address: SocketAddr, purpose: SocketAddrUse) -> bool {
        let way = match purpose {
            SocketAddrUse::TcpBind if address.ip().is_unspecified() && address.port() == 0 => return true,
            SocketAddrUse::TcpConnect => match self.destination() {
                // A guest's own connection would reach the same address of this machine.
                Some(destination) if destination.is_at(address) && destination.namespace.is_none() => {
                    destination.activity.set(Waiting::Tcp);
                    return true;
                }
                _ => "TCP",
            },
            SocketAddrUse::TcpBind | SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => "TCP, listening",
            SocketAddrUse::UdpBind | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => "UDP",
        };
        self.denied.add(&format!("{address} ({way})"));
        false
    }

    /// Returns the known addresses of `name`; nothing is looked up.
    pub fn lookup(&self, name: &str) -> Result<VecDeque<IpAddr>, ErrorCode> {
        let known = match self.destination() {
            Some(destination) => destination.lookup(name),
            None => None,
        };
        known.map(VecDeque::from).ok_or_else(|| {
            self.denied.add(&format!("lookup of '{name}'"));
            ErrorCode::PermanentResolverFailure
        })
    }
}
