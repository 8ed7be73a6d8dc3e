//! A loopback server that stands in for the target of a sandbox.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::address::Address;
use crate::limits;

/// A server that does not start, or a body that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no free port.
    #[error("cannot listen on 127.0.0.1: {0}")]
    Listen(#[source] io::Error),
    /// The body exceeds a recording.
    #[error("larger than {:.0}, the limit of a recording", limits::RECORDING.display().iec())]
    BodyTooLarge,
    /// The connection broke inside the body.
    #[error("{0}")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The server. It accepts connections until it is finished or dropped.
pub struct Loopback {
    /// Its address.
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    work: JoinHandle<()>,
}

impl Loopback {
    /// Starts a server with a handler of connections.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start<F>(serve: impl Fn(TcpStream, SocketAddr) -> F + Send + 'static) -> Result<Loopback, Error>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::Listen)?;
        let address = listener.local_addr().map_err(Error::Listen)?;
        let (stop, mut stopped) = oneshot::channel();
        let work = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => { connections.spawn(serve(stream, address)); }
                        Err(_) => break,
                    },
                    Some(_) = connections.join_next() => {}
                    _ = &mut stopped => break,
                }
            }
            let all = async { while connections.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(limits::RECORDING_END, all).await;
        });
        Ok(Loopback { address, stop, work })
    }

    /// Returns its address.
    pub fn as_target(&self) -> Address {
        Address { host: self.address.ip().to_string(), port: self.address.port() }
    }

    /// Stops accepting, and waits for the open connections to end: the sandbox that opened them is gone.
    pub async fn finish(self) {
        let _ = self.stop.send(());
        let _ = self.work.await;
    }
}

/// The protocol of a connection, as far as recordings distinguish it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.
    Http,
    /// TLS, which cannot be read.
    Tls,
    /// Anything else.
    Other,
}

/// Returns the protocol of a client that begins with these bytes; `None` if more bytes are needed.
pub fn protocol(begin: &[u8]) -> Option<Protocol> {
    const METHODS: [&str; 7] = ["GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "PATCH ", "OPTIONS "];
    // A record of type `handshake`, of a version 3.x.
    match begin {
        [] | [0x16] => return None,
        [0x16, 3, ..] => return Some(Protocol::Tls),
        _ => {}
    }
    if METHODS.iter().any(|method| method.as_bytes().starts_with(begin)) {
        return None;
    }
    if !METHODS.iter().any(|method| begin.starts_with(method.as_bytes())) {
        return Some(Protocol::Other);
    }
    match begin.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = begin[..end].trim_ascii_end();
            let is_http = line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0");
            Some(if is_http { Protocol::Http } else { Protocol::Other })
        }
        None => (begin.len() > limits::HTTP_HEAD).then_some(Protocol::Other),
    }
}

/// Reads from a client until its protocol is known, and appends to `begin`. `None` if it ends before that. A dropped
/// read loses nothing.
pub async fn listen(client: &mut TcpStream, begin: &mut Vec<u8>) -> Option<Protocol> {
    loop {
        if let Some(protocol) = protocol(begin) {
            return Some(protocol);
        }
        match client.read_buf(begin).await {
            Ok(1..) => {}
            // The client sends nothing more.
            _ if !begin.is_empty() => return Some(Protocol::Other),
            _ => return None,
        }
    }
}

/// Ends the response, and reads the client to its end: closing at once could reset the connection.
pub async fn leave(mut client: TcpStream) {
    let _ = client.shutdown().await;
    let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
}

/// Serves the requests of one client that has begun already. Without a response the connection is closed.
pub async fn serve_http<F>(client: TcpStream, begin: Vec<u8>, answer: impl Fn(Request<Incoming>) -> F)
where
    F: Future<Output = Option<Response<Full<Bytes>>>>,
{
    let answer = service_fn(async |request| answer(request).await.ok_or("no answer"));
    let mut builder = hyper::server::conn::http1::Builder::new();
    // The response is the target's, without headers of this server.
    builder.auto_date_header(false).title_case_headers(true).max_buf_size(limits::HTTP_HEAD);
    let _ = builder.serve_connection(TokioIo::new(begun(client, begin)), answer).await;
}

/// A stream whose beginning was read already.
fn begun(stream: TcpStream, begin: Vec<u8>) -> impl AsyncRead + AsyncWrite + Unpin {
    let (read, write) = stream.into_split();
    tokio::io::join(std::io::Cursor::new(begin).chain(read), write)
}

/// Reads a body of at most the size of a recording.
///
/// # Errors
/// If it is larger, or cannot be read.
pub async fn whole<B>(body: B) -> Result<Vec<u8>, Error>
where
    B: Body<Data = Bytes, Error = hyper::Error>,
{
    let limit = usize::try_from(limits::RECORDING.as_u64()).unwrap_or(usize::MAX);
    let body = Limited::new(body, limit)
        .collect()
        .await
        .map_err(|error| if error.is::<LengthLimitError>() { Error::BodyTooLarge } else { Error::Body(error) })?;
    Ok(body.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_known_by_its_first_line() {
        for (begin, expected) in [
            ("", None),
            ("G", None),
            ("GET", None),
            ("GET /stats HTTP/1.1", None),
            ("GET /stats HTTP/1.1\r\n", Some(Protocol::Http)),
            ("POST / HTTP/1.0\nx", Some(Protocol::Http)),
            ("GET key\r\n", Some(Protocol::Other)),
            ("get key\r\n", Some(Protocol::Other)),
            ("PING\r\n", Some(Protocol::Other)),
            ("*1\r\n", Some(Protocol::Other)),
            ("\x16", None),
            ("\x16\x03\x01", Some(Protocol::Tls)),
            ("\x16\x02", Some(Protocol::Other)),
        ] {
            assert_eq!(protocol(begin.as_bytes()), expected, "{begin:?}");
        }
    }
}
