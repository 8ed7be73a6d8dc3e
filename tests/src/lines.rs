//! A server of a protocol of lines, in place of a database: it answers what a scenario wants it to answer.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::port;
use crate::server::Server;

/// The server, on a free port of this machine.
pub struct Lines {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    _server: Server,
}

impl Lines {
    /// Starts one that greets with a line, where there is one, and answers each line, or closes the connection.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub fn answering(
        greeting: Option<&'static str>,
        answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let listener = port::listen();
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        let server = Server::start(listener, move |stream| drop(converse(stream, greeting, &answer, &ears)));
        Self { port, heard, _server: server }
    }

    /// Its address, as `--target` takes it.
    pub fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// All lines that it heard.
    pub fn heard(&self) -> Vec<String> {
        lock(&self.heard).clone()
    }
}

fn lock(heard: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn converse(
    mut stream: TcpStream,
    greeting: Option<&str>,
    answer: impl Fn(&str) -> Option<String>,
    heard: &Mutex<Vec<String>>,
) -> io::Result<()> {
    if let Some(greeting) = greeting {
        write!(stream, "{greeting}\r\n")?;
    }
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        lock(heard).push(line.clone());
        let Some(answer) = answer(&line) else { break };
        write!(stream, "{answer}\r\n")?;
    }
    Ok(())
}
