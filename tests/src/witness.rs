//! A target that records what a collector does: every request exactly, and any traffic to a port that it must not
//! reach.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::http::FLOOD;
use crate::server::Server;
use crate::{mask, port};

/// A target that responds to every request alike.
pub struct Witness {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    elsewhere: TcpListener,
    datagrams: UdpSocket,
    _server: Server,
}

struct Seen {
    answer: Option<Value>,
    requests: Vec<String>,
}

impl Witness {
    /// Starts one that responds with its own port as `own` and that of a neighbour as `other`.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub fn new() -> Self {
        let listener = port::listen();
        let number = |listener: &TcpListener| listener.local_addr().expect("a bound listener has an address").port();
        let port = number(&listener);
        let elsewhere = port::listen();
        elsewhere.set_nonblocking(true).expect("a listener that does not block");
        let datagrams = UdpSocket::bind(("0.0.0.0", number(&elsewhere))).expect("the same port for datagrams");
        datagrams.set_nonblocking(true).expect("a socket that does not block");
        let other = number(&elsewhere);
        let answer = Some(json!({"own": port, "other": other}));
        let seen = Arc::new(Mutex::new(Seen { answer, requests: Vec::new() }));
        let shared = Arc::clone(&seen);
        let server = Server::start(listener, move |stream| drop(see(stream, &shared, other)));
        Self { port, seen, elsewhere, datagrams, _server: server }
    }

    /// Responds with this from now on.
    pub fn serve(&self, answer: Value) {
        self.lock().answer = Some(answer);
    }

    /// Never responds from now on, and keeps connections open.
    pub fn never_responds(&self) {
        self.lock().answer = None;
    }

    /// Returns the port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the port that no collector may reach.
    ///
    /// # Panics
    ///
    /// Never, because a bound listener has an address.
    pub fn other(&self) -> u16 {
        self.elsewhere.local_addr().expect("a bound listener has an address").port()
    }

    /// Returns its address, as `--target` takes it.
    pub fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the request line and headers of each request on one line, escaped, with its port as `PORT`.
    pub fn requests(&self) -> Vec<String> {
        self.lock().requests.iter().map(|request| mask::ports(&request.escape_debug().to_string())).collect()
    }

    /// Asserts that its neighbour received neither a connection nor a datagram. On one machine, both arrive before the
    /// sender continues.
    ///
    /// # Panics
    ///
    /// If it received one.
    #[track_caller]
    pub fn assert_nothing_elsewhere(&self) {
        let connection = self.elsewhere.accept().map(|(_, from)| from).map_err(|error| error.kind());
        assert_eq!(connection, Err(ErrorKind::WouldBlock), "a connection to the forbidden port");
        let datagram = self.datagrams.recv_from(&mut [0; 16]).map(|(_, from)| from).map_err(|error| error.kind());
        assert_eq!(datagram, Err(ErrorKind::WouldBlock), "a datagram to the forbidden port");
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Witness {
    fn default() -> Self {
        Self::new()
    }
}

/// Records one request and responds. Some paths have special responses; `/redirect` leads to the neighbour `other`.
fn see(mut stream: TcpStream, seen: &Mutex<Seen>, other: u16) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines();
    let head: Vec<String> =
        lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty())).collect::<Result<_, _>>()?;
    let answer = {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.requests.push(head.join(" | "));
        seen.answer.clone()
    };
    match head.first().and_then(|line| line.split(' ').nth(1)) {
        Some("/redirect") => {
            return write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{other}/\r\nContent-Length: 0\r\n\r\n"
            );
        }
        Some("/flood") => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            return (0..FLOOD / 4096).try_for_each(|_| stream.write_all(&[b'x'; 4096]));
        }
        Some("/silence") => return std::io::copy(&mut stream, &mut std::io::sink()).map(drop),
        _ => {}
    }
    let Some(answer) = answer else { return std::io::copy(&mut stream, &mut std::io::sink()).map(drop) };
    let body = answer.to_string();
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}
