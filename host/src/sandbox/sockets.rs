//! `wasi:sockets`: TCP to the target, so that a client library of any language can use its own protocol.
//!
//! [`Network`](super::network::Network) says what is allowed. wasmtime-wasi can only allow all name lookups or none,
//! and does not count sockets, so those functions are replaced here.

use std::collections::VecDeque;
use std::net::IpAddr;

use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, Network as WasiNetwork};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::{DynPollable, Pollable, TcpSocket, UdpSocket, subscribe};
use wasmtime_wasi::sockets::WasiSocketsView;

use super::guest::Guest;

/// The version of `wasi:sockets` in wasmtime-wasi, whose functions are replaced.
const VERSION: &str = "0.2.12";

/// Replaces functions of wasmtime-wasi by those of this module.
///
/// # Errors
/// If an interface is missing.
pub fn link(linker: &mut Linker<Guest>) -> Result<()> {
    linker.allow_shadowing(true);
    let interface = |name: &str| format!("wasi:sockets/{name}@{VERSION}");
    linker
        .instance(&interface("tcp-create-socket"))?
        .func_wrap_async("create-tcp-socket", |store, parameters| Box::new(create_tcp_socket(store, parameters)))?;
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

/// The result of a function, as the component model passes it.
type Returned<T> = Result<(Result<T, ErrorCode>,)>;

async fn create_tcp_socket(
    mut store: StoreContextMut<'_, Guest>,
    (family,): (IpAddressFamily,),
) -> Returned<Resource<TcpSocket>> {
    let guest = store.data_mut();
    guest.count_connection().await?;
    match guest.sockets().create_tcp_socket(family) {
        Ok(socket) => Ok((Ok(socket),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

#[allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps)] // the linker fixes the signature
fn create_udp_socket(
    store: StoreContextMut<'_, Guest>,
    (_family,): (IpAddressFamily,),
) -> Returned<Resource<UdpSocket>> {
    store.data().network.denied.add("UDP socket");
    Ok((Err(ErrorCode::AccessDenied),))
}

/// The addresses of a name that the guest has not read yet.
struct Addresses(VecDeque<IpAddr>);

#[async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {}
}

fn resolve_addresses(
    mut store: StoreContextMut<'_, Guest>,
    (_network, name): (Resource<WasiNetwork>, String),
) -> Returned<Resource<Addresses>> {
    let guest = store.data_mut();
    Ok((match guest.network.lookup(&name) {
        Ok(addresses) => Ok(guest.table.push(Addresses(addresses))?),
        Err(code) => Err(code),
    },))
}

fn next_address(
    mut store: StoreContextMut<'_, Guest>,
    (addresses,): (Resource<Addresses>,),
) -> Returned<Option<IpAddress>> {
    let Addresses(addresses) = store.data_mut().table.get_mut(&addresses)?;
    Ok((Ok(addresses.pop_front().map(IpAddress::from)),))
}

fn subscribe_to_addresses(
    mut store: StoreContextMut<'_, Guest>,
    (addresses,): (Resource<Addresses>,),
) -> Result<(Resource<DynPollable>,)> {
    Ok((subscribe(&mut store.data_mut().table, addresses)?,))
}
