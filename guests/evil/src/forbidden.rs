//! Attacks that reach for anything but the target: other addresses, illegal requests, the machine.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream, UdpSocket};

use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::{tcp_create_socket, udp_create_socket};

use crate::bindings::mackerel::collector::container::{self, Parts};
use crate::bindings::mackerel::collector::http::{self, Request, Scheme};
use crate::bindings::mackerel::collector::types::CollectError;
use crate::{Outcome, honest, report, saw};

/// Sends a GET and returns its outcome.
pub(crate) fn get(path: &str, headers: &[(&str, &str)]) -> String {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    get_with(path, headers)
}

fn get_with(path: &str, headers: Vec<(String, String)>) -> String {
    match http::get(&Request { scheme: Scheme::Http, path: path.to_owned(), headers }) {
        Ok(response) => format!("HTTP {}", response.status),
        Err(http::Error::InvalidRequest(_)) => "refused".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

/// The ports in the target's response: its own, and one on which another server listens.
pub(crate) fn ports() -> Result<[u16; 2], CollectError> {
    let stats = honest::stats()?;
    let port = |name: &str| stats[name].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
    Ok([port("own"), port("other")])
}

/// Notations of this machine's addresses.
pub(crate) const HOSTS: [&str; 14] = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.0.0.2",
    "localhost",
    "LOCALHOST.",
    "0.0.0.0",
    "0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::]",
];

/// Connects to every notation, with the target's port and with another.
pub(crate) fn addresses_of_this_machine() -> Outcome {
    let mut connected = Vec::new();
    let mut refused = 0;
    for port in ports()? {
        for host in HOSTS {
            let address = format!("{host}:{port}");
            match TcpStream::connect(&address) {
                Ok(_) => connected.push(address),
                Err(_) => refused += 1,
            }
        }
    }
    saw(format!("{refused} refused, connected to {connected:?}"))
}

/// Tries connections, datagrams and listeners, with the standard library and with WASI's own functions.
pub(crate) fn sockets_of_every_kind() -> Outcome {
    let [own, other] = ports()?;
    let kind = |error: std::io::Error| format!("{:?}", error.kind());
    let tcp = |port| TcpStream::connect(("127.0.0.1", port)).map_or_else(kind, |_| "connected".to_owned());
    let datagram = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"evil", ("127.0.0.1", other)));
    let mut text = format!(
        "tcp {}, {}; listen {}; udp {}; ",
        tcp(own),
        tcp(other),
        TcpListener::bind("127.0.0.1:0").map_or_else(kind, |_| "listening".to_owned()),
        datagram.map_or_else(kind, |_| "sent".to_owned()),
    );

    let network = instance_network();
    let address = |port| IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) });
    let family = IpAddressFamily::Ipv4;
    let low = match tcp_create_socket::create_tcp_socket(family) {
        Ok(socket) => {
            let name = |error: ErrorCode| error.name().to_owned();
            let bound = socket.start_bind(&network, address(0)).map_or_else(name, |()| "begun".to_owned());
            let connected = socket.start_connect(&network, address(other)).and_then(|()| {
                socket.subscribe().block();
                socket.finish_connect().map(drop)
            });
            format!("bind {bound}, connect {}", connected.map_or_else(name, |()| "connected".to_owned()))
        }
        Err(error) => error.name().to_owned(),
    };
    let _ = write!(text, "low tcp {low}; ");
    let low = match udp_create_socket::create_udp_socket(family) {
        Ok(socket) => format!(
            "bind {:?}, stream {:?}",
            socket.start_bind(&network, address(0)),
            socket.stream(Some(address(other))).map(drop)
        ),
        Err(error) => error.name().to_owned(),
    };
    let _ = write!(text, "low udp {low}");
    saw(text)
}

/// Tries two denied connections, then reports as an honest collector does.
pub(crate) fn connections_elsewhere_beside_a_good_report() -> Outcome {
    let [_, other] = ports()?;
    let _ = TcpStream::connect(("127.0.0.1", other));
    let _ = TcpStream::connect("registry.example:443");
    report::one()
}

/// Looks up names, because a lookup alone can send data to a name server. All are names of this machine, so that a host
/// that allows them sends nothing.
pub(crate) fn name_lookups() -> Outcome {
    let network = instance_network();
    let mut text = String::new();
    for name in ["localhost", "LOCALHOST", "127.0.0.1", "::1"] {
        let address = match resolve_addresses(&network, name) {
            Err(error) => error.name().to_owned(),
            Ok(addresses) => {
                addresses.subscribe().block();
                format!("{:?}", addresses.resolve_next_address())
            }
        };
        let _ = write!(text, "{name} {address}; ");
    }
    saw(text)
}

pub(crate) fn paths_that_try_to_escape() -> Outcome {
    const PATHS: [&str; 28] = [
        "http://127.0.0.1:1/",
        "https://other/",
        "//other:1/",
        "///other/",
        "/\\other/",
        "\\\\other\\",
        "@other:1/",
        "/@other",
        "other:1",
        ":1/",
        "",
        "*",
        " /",
        "/a b",
        "/a\tb",
        "/a\0b",
        "/\r\nhost: other\r\n\r\n",
        "/ HTTP/1.1\r\nhost: other",
        "/\n",
        "/#fragment",
        "/../../etc/passwd",
        "/%2e%2e/%0d%0ahost:other",
        "/日本",
        "/\u{202e}",
        "/a?b=c&d=http://other/",
        "/user:password@other/",
        "?query",
        "/\u{7f}",
    ];
    let sent: Vec<&str> = PATHS.into_iter().filter(|path| get(path, &[]) != "refused").collect();
    saw(format!("{} refused, and sent {sent:?}", PATHS.len() - sent.len()))
}

pub(crate) fn a_path_of_100_kb() -> Outcome {
    saw(get(&format!("/{}", "x".repeat(100_000)), &[]))
}

pub(crate) fn headers_that_the_host_sets() -> Outcome {
    const HEADERS: [(&str, &str); 20] = [
        ("host", "other"),
        ("Host", "other"),
        ("Content-Length", "10"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("expect", "100-continue"),
        ("keep-alive", "1"),
        ("proxy-connection", "keep-alive"),
        ("trailer", "host"),
        (":authority", "other"),
        ("x y", "z"),
        ("", "z"),
        ("x\r\nhost", "other"),
        ("x", "a\r\nhost: other"),
        ("x", "a\nhost: other"),
        ("x", "a\0"),
        ("x:host", "other"),
        ("accept", "application/json"),
    ];
    let is_sent = |(name, value): &(&str, &str)| get("/", &[(name, value)]) != "refused";
    let sent: Vec<&str> = HEADERS.into_iter().filter(is_sent).map(|(name, _)| name).collect();
    saw(format!("{} refused, and sent {sent:?}", HEADERS.len() - sent.len()))
}

pub(crate) fn ten_thousand_headers() -> Outcome {
    saw(get_with("/", (0..10_000).map(|n| (format!("x-{n}"), String::new())).collect()))
}

/// More headers than hyper's table can hold.
pub(crate) fn forty_thousand_headers() -> Outcome {
    saw(get_with("/", (0..40_000).map(|n| (format!("x-{n}"), String::new())).collect()))
}

pub(crate) fn a_header_of_a_mebibyte() -> Outcome {
    saw(get("/", &[("x", &"x".repeat(1 << 20))]))
}

pub(crate) fn stats_without_a_container() -> Outcome {
    if container::state().is_ok() {
        return saw("a container's state");
    }
    let stats = container::stats(Parts::all()).map_err(CollectError::Container)?;
    saw(format!("{stats:?}"))
}

pub(crate) fn environment() -> Outcome {
    use wasip2::cli::environment::{get_arguments, get_environment, initial_cwd};
    saw(format!(
        "variables {:?} {:?}, arguments {:?} {:?}, folder {:?} {:?}",
        std::env::vars().collect::<Vec<_>>(),
        get_environment(),
        std::env::args().collect::<Vec<_>>(),
        get_arguments(),
        std::env::current_dir().ok(),
        initial_cwd(),
    ))
}

pub(crate) fn files() -> Outcome {
    const PATHS: [&str; 12] = [
        "/",
        ".",
        "..",
        "../../../../../..",
        "/etc/passwd",
        "etc/passwd",
        "../../../../etc/passwd",
        "/proc/self/environ",
        "/proc/self/mem",
        "/dev/stdout",
        "/var/run/docker.sock",
        "/tmp",
    ];
    let mut opened = Vec::new();
    for path in PATHS {
        opened.extend(std::fs::read(path).map(|_| format!("read {path}")));
        opened.extend(std::fs::read_dir(path).map(|_| format!("list {path}")));
        opened.extend(std::fs::metadata(path).map(|_| format!("stat {path}")));
        // Removes what it creates, so that a failing test leaves nothing behind.
        let within = format!("{path}/evil");
        opened.extend(std::fs::create_dir(&within).map(|()| format!("make {within}")));
        opened.extend(std::fs::remove_dir(&within).map(|()| format!("remove {within}")));
        opened.extend(std::fs::write(&within, "x").map(|()| format!("write {within}")));
        opened.extend(std::fs::remove_file(&within).map(|()| format!("remove {within}")));
    }
    saw(format!("folders {}, opened {opened:?}", wasip2::filesystem::preopens::get_directories().len()))
}

pub(crate) fn standard_input() -> Outcome {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    saw(format!("read {read:?}: {text:?}"))
}
