//! Connections to the container engine: one for each request, with a limit for the response.

use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::pin::pin;

use bytes::Bytes;
use bytesize::ByteSize;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::tls::{self, Tls, TlsError};
use crate::address::Address;
use crate::limits;
use crate::text::{Expected, Foreign, foreign, root_cause};

/// The way to an engine. Each request opens a connection of its own.
pub struct Connection {
    transport: Transport,
    /// The `Host` header.
    host: HeaderValue,
    /// Permits for large responses.
    large: Semaphore,
}

/// The body of a response. The permit for a large one is free again when it is dropped.
pub struct Body<'a> {
    bytes: Vec<u8>,
    permit: Option<SemaphorePermit<'a>>,
}

impl Deref for Body<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

enum Transport {
    Socket(PathBuf),
    Tcp(Address, Option<Tls>),
}

/// A request without a successful response.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// There is no connection. With TLS, the cause can quote the certificate of the other side.
    #[error("no connection to the engine: {}", foreign(&root_cause(.0)))]
    Connect(#[source] io::Error),
    /// There is no response.
    #[error("no response from the engine: {0}")]
    NoResponse(Foreign),
    /// The response ended early or is not HTTP.
    #[error("incomplete response of the engine")]
    Truncated(Foreign),
    /// The response exceeds this limit.
    #[error("response of the engine exceeds {:.0}", .0.display().iec())]
    TooLarge(ByteSize),
    /// The list has more than [`limits::CONTAINERS`] entries.
    #[error("list of the engine exceeds {} containers", limits::CONTAINERS)]
    TooMany,
    /// The status is not a success; the text is the engine's message.
    #[error("{}", format!("engine returned HTTP {_0} {}", foreign(_1)).trim_end())]
    Status(u16, String),
    /// The response is not the expected JSON.
    #[error("invalid response of the engine: {}", foreign(&.0.to_string()))]
    Invalid(#[source] serde_json::Error),
}

/// A URL to which no request can be sent.
#[derive(Debug)]
pub enum UrlError {
    /// It is not the URL of an engine.
    Form,
    /// The certificates cannot be used.
    Tls(TlsError),
}

impl From<TlsError> for UrlError {
    fn from(error: TlsError) -> UrlError {
        UrlError::Tls(error)
    }
}

impl Connection {
    /// Prepares requests to the engine at `url`, and sends nothing yet. As in docker's client, the default port is
    /// 2375, or 2376 with TLS, and `DOCKER_CERT_PATH`, `DOCKER_TLS_VERIFY` or a folder of certificates enable TLS.
    ///
    /// # Errors
    /// If `url` is wrong, or the certificates cannot be used.
    pub fn new(url: &str, certificates: Option<&Path>) -> Result<Connection, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Form)?;
        let uses_tls = match scheme {
            "unix" => {
                let host = HeaderValue::from_static("localhost");
                return Ok(Connection::to(Transport::Socket(rest.into()), host));
            }
            "tcp" => certificates.is_some() || tls::is_enabled(),
            "http" => false,
            "https" => true,
            _ => return Err(UrlError::Form),
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let with_port = || format!("{authority}:{}", if uses_tls { 2376 } else { 2375 });
        let address: Address =
            authority.parse().or_else(|_| with_port().parse()).map_err(|_: Expected| UrlError::Form)?;
        let host = HeaderValue::try_from(address.to_string()).map_err(|_| UrlError::Form)?;
        let tls = uses_tls.then(|| Tls::new(&address.host, certificates)).transpose()?;
        Ok(Connection::to(Transport::Tcp(address, tls), host))
    }

    fn to(transport: Transport, host: HeaderValue) -> Connection {
        Connection { transport, host, large: Semaphore::new(limits::ENGINE_LARGE_AT_ONCE) }
    }

    /// Sends a GET request, and returns the body of a successful response.
    ///
    /// # Errors
    /// If there is no such response, or its body exceeds `limit`.
    pub async fn get(&self, path: &str, limit: ByteSize) -> Result<Body<'_>, RequestError> {
        let no_response = |error: hyper::Error| RequestError::NoResponse(root_cause(&error).into());
        let stream = self.connect().await?;
        let request = Request::get(path)
            .header(HOST, self.host.clone())
            .body(Empty::<Bytes>::new())
            .map_err(|error| RequestError::NoResponse(error.to_string().into()))?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(limits::HTTP_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(no_response)?;
        // It ends with the response, or when this request is dropped.
        tokio::spawn(connection);
        let truncated = |error: hyper::Error| {
            if error.is_parse() { RequestError::Truncated(root_cause(&error).into()) } else { no_response(error) }
        };
        let response = sender.send_request(request).await.map_err(truncated)?;
        let status = response.status();
        let body = self.read(response.into_body(), limit).await?;
        if status.is_success() { Ok(body) } else { Err(RequestError::Status(status.as_u16(), message(&body))) }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, RequestError> {
        Ok(match &self.transport {
            Transport::Socket(path) => Box::new(UnixStream::connect(path).await.map_err(RequestError::Connect)?),
            Transport::Tcp(Address { host, port }, tls) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(RequestError::Connect)?;
                match tls {
                    Some(tls) => Box::new(tls.connect(stream).await.map_err(RequestError::Connect)?),
                    None => Box::new(stream),
                }
            }
        })
    }

    /// Reads a body into one buffer: many small pieces would take far more memory than their sum. A large one waits
    /// until few others are read.
    async fn read(&self, body: Incoming, limit: ByteSize) -> Result<Body<'_>, RequestError> {
        let mut body = pin!(body);
        let mut all = Body { bytes: Vec::new(), permit: None };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| RequestError::Truncated(root_cause(&error).into()))?;
            let piece = frame.into_data().unwrap_or_default();
            let size = (all.len() + piece.len()) as u64;
            if size > limit.as_u64() {
                return Err(RequestError::TooLarge(limit));
            }
            if size > limits::ENGINE_LARGE.as_u64() && all.permit.is_none() {
                // It is never closed, so this waits.
                all.permit = self.large.acquire().await.ok();
            }
            all.bytes.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

/// Returns an engine's message: the field `message` of JSON, or the whole body.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let message = serde_json::from_slice(body).map(|Message { message }| message);
    message.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned())
}

/// A connection's stream.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_request_is_one_bounded_line() {
        assert_eq!(RequestError::Status(500, String::new()).to_string(), "engine returned HTTP 500");
        assert_eq!(RequestError::Status(500, "a\nb".to_owned()).to_string(), r"engine returned HTTP 500 a\nb");
        let certificate = RequestError::Connect(io::Error::other("\u{1b}[31m".repeat(1000)));
        let text = certificate.to_string();
        assert!(text.starts_with(r"no connection to the engine: \u{1b}[31m") && text.ends_with('…'), "{text}");
    }
}
