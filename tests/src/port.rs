//! Free ports of this machine.

use std::iter;
use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// The first port and the number of ports. They are below the range of dynamic ports, because the engine takes the next
/// of those even if it is in use.
const PORTS: (u16, u16) = (20_000, 8000);

/// Returns a free port, which is never the same in one process.
///
/// # Panics
///
/// If there is none.
pub fn free() -> u16 {
    listen().local_addr().expect("a bound listener has an address").port()
}

/// Listens on such a port, on all IPv4 addresses.
///
/// Do not close it and bind again: a process that another scenario is starting may hold it a moment longer.
///
/// # Panics
///
/// If there is none.
pub fn listen() -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let (first, count) = PORTS;
    let offset = u16::try_from(process::id() % u32::from(count)).expect("less than a u16");
    let ports = iter::repeat_with(|| first + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % count);
    ports.take(count.into()).find_map(|port| TcpListener::bind(("0.0.0.0", port)).ok()).expect("a free port")
}
