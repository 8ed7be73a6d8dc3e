//! A connection over TLS that a guest holds.

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// An open connection. It counts towards the memory of its sandbox until that ends.
pub struct Connection(pub TlsStream<TcpStream>);
