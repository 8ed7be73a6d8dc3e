//! Ports of this machine for what listens in a scenario.

use std::iter;
use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// The first and the number of ports that are tried. Below the range from which the kernel and the engine give out ports by
/// themselves: the engine takes the next of those without looking whether somebody listens there.
const PORTS: (u16, u16) = (20_000, 8000);

/// A port that nobody listens on. Never the same in one process.
///
/// # Panics
///
/// When there is none.
pub fn free() -> u16 {
    listen().local_addr().expect("a bound listener has an address").port()
}

/// A listener on such a port, on all IPv4 addresses. To close it and bind again would fail now and then: a process that another
/// scenario is just starting holds it a moment longer.
///
/// # Panics
///
/// When there is none.
pub fn listen() -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let (first, count) = PORTS;
    let offset = u16::try_from(process::id() % u32::from(count)).expect("less than a u16");
    let ports = iter::repeat_with(|| first + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % count);
    ports.take(count.into()).find_map(|port| TcpListener::bind(("0.0.0.0", port)).ok()).expect("a free port")
}
