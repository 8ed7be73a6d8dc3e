//! Connections to the target over TLS, which the host encrypts.

use std::io::{self, Read, Write};

pub use crate::bindings::mackerel::collector::tls::Error as TlsError;

use crate::bindings::mackerel::collector::tls;
use crate::{CollectError, Target};

/// A connection over TLS, from [`Target::connect_tls`].
#[derive(Debug)]
pub struct TlsStream {
    connection: tls::Connection,
    /// Data that was received and not read yet, in reverse.
    unread: Vec<u8>,
}

impl Target {
    /// Opens a connection to the target over TLS. The host checks the certificate as the operator configured.
    ///
    /// As with [`Target::connect`], reads and writes have no timeout of their own; a connection counts as a request.
    ///
    /// # Errors
    /// If the connection or the TLS handshake fails, or if the target has no address because it is a container.
    pub fn connect_tls(&self) -> Result<TlsStream, TlsError> {
        Ok(TlsStream { connection: tls::connect()?, unread: Vec::new() })
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.unread = self.connection.read().map_err(broken)?;
            self.unread.reverse();
        }
        let length = buffer.len().min(self.unread.len());
        let rest = self.unread.len() - length;
        for (place, byte) in buffer.iter_mut().zip(self.unread.drain(rest..).rev()) {
            *place = byte;
        }
        Ok(length)
    }
}

impl Write for TlsStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.connection.write(data).map_err(broken)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn broken(error: TlsError) -> io::Error {
    io::Error::other(text(error))
}

fn text(error: TlsError) -> String {
    match error {
        TlsError::Connect(why) => format!("connection failed: {why}"),
        TlsError::NotTls => "the target does not use TLS on this port".to_owned(),
        TlsError::Broken(why) => why,
        TlsError::NoEndpoint => "cannot connect: the target is a container and has no address".to_owned(),
    }
}

impl From<TlsError> for CollectError {
    fn from(error: TlsError) -> CollectError {
        CollectError::Other(text(error))
    }
}
