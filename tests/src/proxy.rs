//! A proxy in front of a real engine. It changes nothing, and calls a scenario for each request and response.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use tempfile::TempDir;

use crate::engine::Engine;
use crate::server::Server;

/// Data on its way, with the path of the request.
pub enum Passing<'a> {
    /// A request that was forwarded to the engine.
    Request(&'a str),
    /// A part of the engine's response, before it is forwarded.
    Response(&'a str, &'a str),
}

type Hook = dyn Fn(Passing) + Send + Sync;

/// A proxy on a Unix socket of its own.
pub struct EngineProxy {
    folder: TempDir,
    _server: Server,
}

impl EngineProxy {
    /// Starts one in front of an engine on a Unix socket.
    ///
    /// # Panics
    ///
    /// If the engine is not on a Unix socket, or the proxy's own socket cannot be created.
    pub fn start(engine: &Engine, hook: impl Fn(Passing) + Send + Sync + 'static) -> Self {
        let engine = engine.socket().expect("an engine on a Unix socket").to_owned();
        let folder = TempDir::new().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("docker.sock")).expect("a socket in a new folder");
        let server = Server::start(listener, move |client| drop(proxy(&client, &engine, &hook)));
        Self { folder, _server: server }
    }

    /// Returns its address in the form of `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.path().display())
    }
}

/// Forwards one connection, in which each request waits for the previous response.
fn proxy(client: &UnixStream, engine: &Path, hook: &Hook) -> io::Result<()> {
    let engine = UnixStream::connect(engine)?;
    let current = Mutex::new(String::new());
    let current = || current.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        scope.spawn(|| {
            let path_of = |request: &str| Some(request.strip_prefix("GET ")?.split_once(' ')?.0.to_owned());
            let before = |request: &str| {
                if let Some(path) = path_of(request) {
                    *current() = path;
                }
            };
            let after = |request: &str| path_of(request).iter().for_each(|path| hook(Passing::Request(path)));
            forward(client, &engine, before, after)
        });
        let before = |response: &str| {
            let path = current().clone();
            hook(Passing::Response(&path, response));
        };
        forward(&engine, client, before, |_| ())
    })
}

/// Forwards all data, and calls the functions before and after each part. Ends both connections when one ends.
fn forward(mut from: &UnixStream, mut to: &UnixStream, before: impl Fn(&str), after: impl Fn(&str)) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let piece = String::from_utf8_lossy(&buffer[..length]);
        before(&piece);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
        after(&piece);
    }
    let _ = from.shutdown(Shutdown::Both);
    to.shutdown(Shutdown::Both)
}
