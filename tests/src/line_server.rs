//! A server of a line protocol, in place of a database.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::port;
use crate::server::Server;

/// A server on a free port of this machine.
pub struct LineServer {
    port: u16,
    received: Arc<Mutex<Vec<String>>>,
    _server: Server,
}

impl LineServer {
    /// Starts one that sends the greeting, if there is one, and responds to each line. `None` closes the connection.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub fn start(
        greeting: Option<&'static str>,
        respond: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let listener = port::listen();
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&received);
        let server = Server::start(listener, move |stream| drop(converse(stream, greeting, &respond, &log)));
        Self { port, received, _server: server }
    }

    /// Returns its address, as `--target` takes it.
    pub fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns all received lines.
    pub fn received(&self) -> Vec<String> {
        lock(&self.received).clone()
    }
}

fn lock(received: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

fn converse(
    mut stream: TcpStream,
    greeting: Option<&str>,
    respond: impl Fn(&str) -> Option<String>,
    received: &Mutex<Vec<String>>,
) -> io::Result<()> {
    if let Some(greeting) = greeting {
        write!(stream, "{greeting}\r\n")?;
    }
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        lock(received).push(line.clone());
        let Some(response) = respond(&line) else { break };
        write!(stream, "{response}\r\n")?;
    }
    Ok(())
}
