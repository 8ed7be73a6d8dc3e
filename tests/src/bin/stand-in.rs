//! A replacement for the Go app, for a demo on machines without Go: the same JSON on `/stats`, the same `-listen`, and
//! numbers like those of a Go program, which are calculated from the time since its start.
//!
//! It uses only the standard library, so that rustc alone can build it, statically for an empty image.

use std::io::{BufRead, BufReader, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let listen = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => ":8080",
        ["-listen", address] => address,
        _ => panic!("usage: stand-in [-listen ADDRESS]"),
    };
    let listener = match listen.strip_prefix(':') {
        // As in Go, no host means all addresses of the available families.
        Some(port) => {
            TcpListener::bind(format!("[::]:{port}")).or_else(|_| TcpListener::bind(format!("0.0.0.0:{port}")))
        }
        None => TcpListener::bind(listen),
    }?;
    println!("{}", listener.local_addr()?);

    let start = Instant::now();
    for connection in listener.incoming() {
        // An error of one connection does not affect others.
        let _ = connection.and_then(|connection| answer(connection, start.elapsed()));
    }
    Ok(())
}

/// Responds to one request. One at a time is enough; the timeout keeps a silent client from blocking others.
fn answer(mut connection: TcpStream, age: Duration) -> Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    let head: Vec<String> = BufReader::new(&connection)
        .lines()
        .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
        .collect::<Result<_>>()?;
    let found = head.first().is_some_and(|line| line.starts_with("GET /stats "));
    let (status, body) = if found { ("200 OK", stats(age)) } else { ("404 Not Found", String::new()) };
    let length = body.len();
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Returns plausible statistics of a Go program of this age, which allocates 1 MiB per second and collects garbage
/// every two seconds.
fn stats(age: Duration) -> String {
    const MIB: u128 = 1 << 20;
    let ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let ms = age.as_millis();
    let (collections, since) = (ms / 2000, ms % 2000);
    let live = MIB + since * MIB / 1000;
    let (mallocs, frees) = (500 + ms, 2000 * collections);
    let numbers = [
        ("time", ns),
        ("cpu_num", 1),
        ("goroutine_num", 4 + ms / 500 % 3),
        ("gomaxprocs", 1),
        ("cgo_call_num", 0),
        ("memory_alloc", live),
        ("memory_total_alloc", MIB + ms * MIB / 1000),
        ("memory_sys", 12 * MIB),
        ("memory_lookups", 0),
        ("memory_mallocs", mallocs),
        ("memory_frees", frees),
        ("memory_stack", MIB / 4),
        ("heap_alloc", live),
        ("heap_sys", 8 * MIB),
        ("heap_idle", 8 * MIB - live),
        ("heap_inuse", live),
        ("heap_released", MIB.min(collections * MIB / 16)),
        ("heap_objects", mallocs - frees),
        ("gc_next", 4 * MIB),
        ("gc_last", collections.min(1) * (ns - since * 1_000_000)),
        ("gc_num", collections),
    ];
    let numbers = numbers.map(|(name, value)| format!(r#""{name}":{value}"#)).join(",");
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!(
        r#"{{"go_version":"stand-in","go_os":"{os}","go_arch":"{arch}","gc_per_second":0.5,"gc_pause_per_second":0.05,"gc_pause":[],{numbers}}}"#
    )
}
