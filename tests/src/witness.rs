//! A target that sees what a collector does: every request letter for letter, and whatever else arrives on this machine where
//! a collector has no business.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::http::FLOOD;
use crate::server::Server;
use crate::{mask, port};

/// The witness. It answers every request alike.
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
    /// Starts one that answers with its own port, as `own`, and that of a neighbour, as `other`.
    ///
    /// # Panics
    ///
    /// When no port is free.
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

    /// From now on, answers this.
    pub fn tells(&self, answer: Value) {
        self.lock().answer = Some(answer);
    }

    /// From now on, answers nothing, and keeps connections open.
    pub fn is_silent(&self) {
        self.lock().answer = None;
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port where nobody has business.
    ///
    /// # Panics
    ///
    /// Never: a bound listener has an address.
    pub fn other(&self) -> u16 {
        self.elsewhere.local_addr().expect("a bound listener has an address").port()
    }

    /// Its address, as `--target` takes it.
    pub fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What came, request line and headers of each request on one line, with escapes for what cannot be seen. Its port is shown
    /// as `PORT`.
    pub fn requests(&self) -> Vec<String> {
        self.lock().requests.iter().map(|request| mask::ports(&request.escape_debug().to_string())).collect()
    }

    /// Asserts that nobody came to its neighbour, neither by a connection nor by a datagram. On one machine, both arrive before
    /// the sender goes on.
    ///
    /// # Panics
    ///
    /// When somebody did.
    #[track_caller]
    pub fn assert_alone(&self) {
        let connection = self.elsewhere.accept().map(|(_, from)| from).map_err(|error| error.kind());
        assert_eq!(connection, Err(ErrorKind::WouldBlock), "a connection to where nobody has business");
        let datagram = self.datagrams.recv_from(&mut [0; 16]).map(|(_, from)| from).map_err(|error| error.kind());
        assert_eq!(datagram, Err(ErrorKind::WouldBlock), "a datagram to where nobody has business");
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

/// Notes one request and answers it: at some paths in ways of their own, of which `/redirect` leads to the neighbour `other`.
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
