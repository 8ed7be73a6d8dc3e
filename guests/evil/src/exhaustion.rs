//! Attacks that exhaust time, memory, handles, random numbers or requests.

use std::hint::black_box;
use std::mem;
use std::time::Duration;

use wasip2::clocks::monotonic_clock;
use wasip2::io::poll;
use wasip2::random::{insecure, random};
use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::{tcp_create_socket, udp_create_socket};

use crate::bindings::mackerel::collector::container::{self, Parts};
use crate::bindings::mackerel::collector::{notes, tls};
use crate::forbidden::get;
use crate::report::one;
use crate::{Outcome, honest, saw};

pub(crate) fn spin() -> Outcome {
    loop {
        black_box(0);
    }
}

/// Spends its time in calls to the host.
pub(crate) fn spin_through_the_host() -> Outcome {
    loop {
        black_box(monotonic_clock::now());
    }
}

pub(crate) fn sleep() -> Outcome {
    loop {
        std::thread::sleep(Duration::from_hours(1));
    }
}

pub(crate) fn sleep_until_the_end_of_time() -> Outcome {
    monotonic_clock::subscribe_instant(u64::MAX).block();
    saw("the end of time")
}

pub(crate) fn deep_recursion() -> Outcome {
    fn deeper(n: u64) -> u64 {
        let frame = black_box([n; 64]);
        if frame[0] == u64::MAX { 0 } else { black_box(deeper(n + 1)) + frame[1] }
    }
    saw(format!("came back with {}", deeper(0)))
}

pub(crate) fn memory_at_once() -> Outcome {
    let all = vec![1_u8; 1 << 30];
    saw(format!("got {} bytes", black_box(all).len()))
}

pub(crate) fn memory_bit_by_bit() -> Outcome {
    let mut all = Vec::new();
    loop {
        all.push(black_box(vec![1_u8; 1 << 16]));
    }
}

/// Allocates less than one sandbox may have, and holds it until the target responds.
pub(crate) fn memory_held_while_waiting() -> Outcome {
    let all = black_box(vec![1_u8; 40 << 20]);
    let outcome = honest::collect();
    drop(black_box(all));
    outcome
}

pub(crate) fn pollables_without_end() -> Outcome {
    loop {
        mem::forget(monotonic_clock::subscribe_duration(u64::MAX));
    }
}

pub(crate) fn streams_without_end() -> Outcome {
    loop {
        mem::forget(wasip2::cli::stderr::get_stderr());
    }
}

/// Each socket would be an open file of the host.
pub(crate) fn sockets_without_end() -> Outcome {
    for n in 0..100_000 {
        match (
            tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4),
            udp_create_socket::create_udp_socket(IpAddressFamily::Ipv6),
        ) {
            (Ok(tcp), Ok(udp)) => mem::forget((tcp, udp)),
            (tcp, udp) => {
                let [tcp, udp] = [tcp.err(), udp.err()].map(|error| error.map_or("made", |error| error.name()));
                return saw(format!("after {n} of each: tcp {tcp}, udp {udp}"));
            }
        }
    }
    saw("a hundred thousand of each")
}

pub(crate) fn tcp_sockets_without_end() -> Outcome {
    for n in 0..100_000 {
        match tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4) {
            Ok(socket) => mem::forget(socket),
            Err(error) => return saw(format!("after {n}: {}", error.name())),
        }
    }
    saw("a hundred thousand")
}

/// Polls one handle, listed two million times.
pub(crate) fn a_poll_of_two_million_handles() -> Outcome {
    let ready = monotonic_clock::subscribe_instant(0);
    saw(format!("{} are ready", poll::poll(&vec![&ready; 2_000_000]).len()))
}

pub(crate) fn random_bytes_at_once() -> Outcome {
    saw(format!("got {} bytes", random::get_random_bytes(1 << 30).len()))
}

pub(crate) fn the_largest_number_of_random_bytes() -> Outcome {
    saw(format!("got {} bytes", random::get_random_bytes(u64::MAX).len()))
}

pub(crate) fn insecure_random_bytes_at_once() -> Outcome {
    saw(format!("got {} bytes", insecure::get_insecure_random_bytes(1 << 30).len()))
}

/// One after the other: `get` blocks, so a guest cannot have two requests open.
pub(crate) fn a_thousand_requests() -> Outcome {
    let successful = (0..1000).filter(|n| get(&format!("/{n}"), &[]) == "HTTP 200").count();
    saw(format!("{successful} succeeded"))
}

pub(crate) fn invalid_requests_without_end() -> Outcome {
    loop {
        black_box(get("nowhere", &[]));
    }
}

/// No handshake succeeds, because the target does not use TLS.
pub(crate) fn tls_connections_without_end() -> Outcome {
    loop {
        if let Ok(connection) = black_box(tls::connect()) {
            mem::forget(connection);
        }
    }
}

/// Each note is different.
pub(crate) fn notes_without_end() -> Outcome {
    for n in 0..10_000 {
        notes::unmatched("attack", &format!("\u{1b}[2J{n}\n{}", "x".repeat(10_000)), "\r\nhint");
    }
    one()
}

/// Costs the engine something only if there is a container.
pub(crate) fn stats_and_state_a_thousand_times() -> Outcome {
    let successful = (0..1000).filter(|_| container::state().is_ok() && container::stats(Parts::all()).is_ok()).count();
    saw(format!("{successful} succeeded"))
}
