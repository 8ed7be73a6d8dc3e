//! A relay before a real engine: what goes through stays as it is, and a scenario can do something in between.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use tempfile::TempDir;

use crate::engine::Engine;
use crate::server::Server;

/// What goes through, with the path that is asked for.
pub enum Passing<'a> {
    /// A question has gone on to the engine.
    Question(&'a str),
    /// A piece of the engine's answer, which has not gone on yet.
    Answer(&'a str, &'a str),
}

type Hook = dyn Fn(Passing) + Send + Sync;

/// The relay. It listens on a Unix socket of its own.
pub struct Relay {
    folder: TempDir,
    _server: Server,
}

impl Relay {
    /// Starts one before an engine on a Unix socket.
    ///
    /// # Panics
    ///
    /// When the engine is on none, or when the relay's own cannot be made.
    pub fn before(engine: &Engine, hook: impl Fn(Passing) + Send + Sync + 'static) -> Self {
        let engine = engine.socket().expect("an engine on a Unix socket").to_owned();
        let folder = TempDir::new().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("docker.sock")).expect("a socket in a new folder");
        let server = Server::start(listener, move |client| drop(relay(&client, &engine, &hook)));
        Self { folder, _server: server }
    }

    /// Where it is, as `DOCKER_HOST` has it.
    pub fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.path().display())
    }
}

/// Carries one connection, in which each request waits for the answer to the one before.
fn relay(client: &UnixStream, engine: &Path, hook: &Hook) -> io::Result<()> {
    let engine = UnixStream::connect(engine)?;
    let asked = Mutex::new(String::new());
    let asked = || asked.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        scope.spawn(|| {
            let path_of = |question: &str| Some(question.strip_prefix("GET ")?.split_once(' ')?.0.to_owned());
            let before = |question: &str| {
                if let Some(path) = path_of(question) {
                    *asked() = path;
                }
            };
            let after = |question: &str| path_of(question).iter().for_each(|path| hook(Passing::Question(path)));
            carry(client, &engine, before, after)
        });
        let before = |answer: &str| {
            let path = asked().clone();
            hook(Passing::Answer(&path, answer));
        };
        carry(&engine, client, before, |_| ())
    })
}

/// Carries all that comes, and shows it before it goes on and afterwards. Ends both connections at the end of one.
fn carry(mut from: &UnixStream, mut to: &UnixStream, before: impl Fn(&str), after: impl Fn(&str)) -> io::Result<()> {
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
