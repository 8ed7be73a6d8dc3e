//! Servers in threads that end with their owners.
//!
//! All scenarios share one process and its limit of open files, so no listener may outlive its scenario.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::net::{Shutdown, shutdown};

/// A socket that accepts connections.
pub trait Listener: AsFd + Send + Sync + 'static {
    /// One connection.
    type Stream: Send + 'static;

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// The socket was shut down, or the process has too many open files.
    fn accept_stream(&self) -> io::Result<Self::Stream>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn accept_stream(&self) -> io::Result<TcpStream> {
        Ok(self.accept()?.0)
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    fn accept_stream(&self) -> io::Result<UnixStream> {
        Ok(self.accept()?.0)
    }
}

/// Handles each connection of a listener in a thread of its own. Drop it to stop listening; open connections go on.
pub struct Server {
    listener: Arc<dyn AsFd + Send + Sync>,
    stopped: Arc<AtomicBool>,
}

impl Server {
    /// Starts accepting connections.
    pub fn start<L: Listener>(listener: L, handle: impl Fn(L::Stream) + Send + Sync + 'static) -> Self {
        let (listener, handle, stopped) = (Arc::new(listener), Arc::new(handle), Arc::new(AtomicBool::new(false)));
        let server = Self { listener: listener.clone(), stopped: Arc::clone(&stopped) };
        thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                if let Ok(stream) = listener.accept_stream() {
                    let handle = Arc::clone(&handle);
                    thread::spawn(move || handle(stream));
                }
            }
        });
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        // Wakes the thread that waits for a connection.
        let _ = shutdown(&*self.listener, Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::Server;
    use crate::wait;

    #[test]
    fn tcp_server_stops_listening_when_dropped() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let server = Server::start(listener, |mut stream| drop(stream.write_all(b"hello")));
        let mut text = String::new();
        TcpStream::connect(address).and_then(|mut stream| stream.read_to_string(&mut text)).expect("a server");
        assert_eq!(text, "hello");
        drop(server);
        wait::until("the port is closed", || TcpStream::connect(address).is_err().then_some(()));
    }

    #[test]
    fn unix_server_stops_listening_when_dropped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("socket");
        let server = Server::start(UnixListener::bind(&path).expect("a socket in a new folder"), drop);
        assert!(UnixStream::connect(&path).is_ok());
        drop(server);
        wait::until("the socket is closed", || UnixStream::connect(&path).is_err().then_some(()));
    }
}
