//! `wasi:sockets`: TCP to the target, so that an ordinary library of any language can speak its own protocol.
//!
//! | asked for | |
//! |---|---|
//! | connect over TCP to the target | done |
//! | bind to `0.0.0.0:0` or `[::]:0` | done: a connection asks for it first |
//! | connect elsewhere, bind otherwise, listen | refused |
//! | UDP | refused |
//! | look up the target's own name, or an address | answered with what is known already |
//! | look up any other name | refused, and nobody is asked |
//!
//! wasmtime-wasi refuses all of it unless it is told otherwise. It has no word about names but "all" or "none" and counts no sockets,
//! so those functions are this module's own.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, Network as WasiNetwork};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::{DynPollable, Pollable, TcpSocket, UdpSocket, subscribe};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView};
use wasmtime_wasi::{WasiCtxBuilder, async_trait};

use super::Guest;
use super::destination::Destination;
use super::refused::Refused;

/// The version of `wasi:sockets` whose functions are replaced: wasmtime-wasi's.
const VERSION: &str = "0.2.12";

/// What one sandbox has of the network. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// Where it may go; unset where there is nowhere to go.
    destination: Arc<OnceLock<Destination>>,
    /// Where it wanted to go besides.
    pub refused: Refused,
}

impl Network {
    /// Nothing of it; what is tried is told to `refused`.
    pub fn refusing(refused: Refused) -> Network {
        Network { destination: Arc::default(), refused }
    }

    /// From here on, `destination` is reached.
    pub fn lead_to(&self, destination: Destination) {
        // A sandbox serves one call, and leads to one place in its life.
        let _ = self.destination.set(destination);
    }

    /// Where the sandbox may go.
    pub fn destination(&self) -> Option<&Destination> {
        self.destination.get()
    }

    /// Opens the sockets of a sandbox that far.
    pub fn open(&self, wasi: &mut WasiCtxBuilder) {
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
                Some(destination) if destination.is_at(address) => {
                    destination.activity.set("the exchange over TCP was not done");
                    return true;
                }
                _ => "TCP",
            },
            SocketAddrUse::TcpBind | SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => "TCP, to listen",
            SocketAddrUse::UdpBind | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => "UDP",
        };
        self.refused.add(&format!("{address} ({way})"));
        false
    }

    /// The addresses of `name`, as far as they are known already.
    fn look_up(&self, name: &str) -> Result<VecDeque<IpAddr>, ErrorCode> {
        let known = match self.destination() {
            Some(destination) => destination.look_up(name),
            None => None,
        };
        known.map(VecDeque::from).ok_or_else(|| {
            self.refused.add(&format!("'{name}' (look-up of a name)"));
            ErrorCode::PermanentResolverFailure
        })
    }
}

/// Puts this module's functions in the place of wasmtime-wasi's.
///
/// # Errors
/// Where that cannot be done.
pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    linker.allow_shadowing(true);
    let interface = |name: &str| format!("wasi:sockets/{name}@{VERSION}");
    linker.instance(&interface("tcp-create-socket"))?.func_wrap("create-tcp-socket", create_tcp_socket)?;
    linker.instance(&interface("udp-create-socket"))?.func_wrap("create-udp-socket", create_udp_socket)?;
    let mut names = linker.instance(&interface("ip-name-lookup"))?;
    names.resource("resolve-address-stream", ResourceType::host::<Addresses>(), |mut store, index| {
        store.data_mut().table.delete(Resource::<Addresses>::new_own(index))?;
        Ok(())
    })?;
    names.func_wrap("resolve-addresses", resolve_addresses)?;
    names.func_wrap("[method]resolve-address-stream.resolve-next-address", next_address)?;
    names.func_wrap("[method]resolve-address-stream.subscribe", subscribe_to_addresses)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The results of functions, as the component model passes them.
type Answer<T> = Result<(Result<T, ErrorCode>,)>;

fn create_tcp_socket(
    mut store: StoreContextMut<'_, Guest>,
    (family,): (IpAddressFamily,),
) -> Answer<Resource<TcpSocket>> {
    let guest = store.data_mut();
    guest.count_connection()?;
    match guest.sockets().create_tcp_socket(family) {
        Ok(socket) => Ok((Ok(socket),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

#[allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps)] // as the linker calls it
fn create_udp_socket(store: StoreContextMut<'_, Guest>, (_family,): (IpAddressFamily,)) -> Answer<Resource<UdpSocket>> {
    store.data().network.refused.add("a socket (UDP)");
    Ok((Err(ErrorCode::AccessDenied),))
}

/// The addresses of a name that the guest has not taken yet.
struct Addresses(VecDeque<IpAddr>);

#[async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {}
}

fn resolve_addresses(
    mut store: StoreContextMut<'_, Guest>,
    (_network, name): (Resource<WasiNetwork>, String),
) -> Answer<Resource<Addresses>> {
    let guest = store.data_mut();
    Ok((match guest.network.look_up(&name) {
        Ok(addresses) => Ok(guest.table.push(Addresses(addresses))?),
        Err(code) => Err(code),
    },))
}

fn next_address(
    mut store: StoreContextMut<'_, Guest>,
    (addresses,): (Resource<Addresses>,),
) -> Answer<Option<IpAddress>> {
    let Addresses(addresses) = store.data_mut().table.get_mut(&addresses)?;
    Ok((Ok(addresses.pop_front().map(IpAddress::from)),))
}

fn subscribe_to_addresses(
    mut store: StoreContextMut<'_, Guest>,
    (addresses,): (Resource<Addresses>,),
) -> Result<(Resource<DynPollable>,)> {
    Ok((subscribe(&mut store.data_mut().table, addresses)?,))
}
