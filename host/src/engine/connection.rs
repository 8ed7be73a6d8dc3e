//! Dialling: one connection to the container engine for each question, and a bound on what comes back by it.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
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

use crate::address::Address;
use crate::error::Error;
use crate::limits;
use crate::text::root_cause;

/// How an engine is reached.
pub struct Dial {
    place: Place,
    /// What the `host` header says.
    host: HeaderValue,
}

enum Place {
    Socket(PathBuf),
    Port(Address, Option<super::tls::Peer>),
}

/// Why a question has no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// None came, for this reason.
    Silence(String),
    /// It broke off or is no HTTP, for this reason.
    Cut(String),
    /// It is larger than this.
    TooLarge(ByteSize),
    /// Another status than success, and the engine's words for it.
    Refused(u16, String),
    /// It is not what was asked for.
    Unreadable(serde_json::Error),
}

impl Dial {
    /// Makes ready to reach the engine at `url`, and sends nothing yet. As with docker's own client, a port that is left out is 2375,
    /// with TLS 2376, and `DOCKER_CERT_PATH` or `DOCKER_TLS_VERIFY` turn TLS on.
    ///
    /// # Errors
    /// Where `url` is no address, or the certificates for TLS cannot be used.
    pub fn new(url: &str) -> Result<Dial, Error> {
        let no_address = || {
            let expected = "expected unix:///PATH or tcp://HOST:PORT in --docker-host or DOCKER_HOST";
            Error::usage(format!("'{url}' is no engine's address: {expected}"))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(no_address)?;
        let speaks_tls = match scheme {
            "unix" => {
                return Ok(Dial { place: Place::Socket(rest.into()), host: HeaderValue::from_static("localhost") });
            }
            "tcp" => super::tls::is_wanted(),
            "http" => false,
            "https" => true,
            _ => return Err(no_address()),
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let with_port = || format!("{authority}:{}", if speaks_tls { 2376 } else { 2375 });
        let address: Result<Address, _> = authority.parse().or_else(|_| with_port().parse());
        let address = address.map_err(|_| no_address())?;
        let host = HeaderValue::try_from(address.to_string()).map_err(|_| no_address())?;
        let no_tls = |why| {
            let folder = "DOCKER_CERT_PATH names the folder";
            Error::failed(format!("no TLS to the container engine at {url}: {why} ({folder})"))
        };
        let peer = speaks_tls.then(|| super::tls::Peer::new(&address.host)).transpose().map_err(no_tls)?;
        Ok(Dial { place: Place::Port(address, peer), host })
    }

    /// Asks for `path`, and gives the body of an answer that is a success.
    ///
    /// # Errors
    /// What came in place of it.
    pub async fn get(&self, path: &str, limit: ByteSize) -> Result<Vec<u8>, Unanswered> {
        let silence = |error: hyper::Error| Unanswered::Silence(root_cause(&error));
        let stream = self.connect().await?;
        let request = Request::get(path).header(HOST, self.host.clone()).body(Empty::<Bytes>::new());
        let request = request.map_err(|error| Unanswered::Silence(error.to_string()))?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(limits::HTTP_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(silence)?;
        // It ends with the answer, or when nobody wants that any more.
        tokio::spawn(connection);
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| if error.is_parse() { Unanswered::Cut(root_cause(&error)) } else { silence(error) })?;
        let status = answer.status();
        let body = read(answer.into_body(), limit).await?;
        if status.is_success() { Ok(body) } else { Err(Unanswered::Refused(status.as_u16(), words(&body))) }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, Unanswered> {
        let silence = |error: io::Error| Unanswered::Silence(root_cause(&error));
        Ok(match &self.place {
            Place::Socket(path) => Box::new(UnixStream::connect(path).await.map_err(|error| match error.kind() {
                ErrorKind::NotFound => Unanswered::Silence(format!("there is no socket {}", path.display())),
                _ => silence(error),
            })?),
            Place::Port(Address { host, port }, peer) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(silence)?;
                match peer {
                    Some(peer) => Box::new(peer.connect(stream).await.map_err(silence)?),
                    None => Box::new(stream),
                }
            }
        })
    }
}

/// Reads a body into one piece of memory, for one of many small pieces would take far more than its size.
async fn read(body: Incoming, limit: ByteSize) -> Result<Vec<u8>, Unanswered> {
    let mut body = pin!(body);
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Unanswered::Cut(root_cause(&error)))?;
        let piece = frame.into_data().unwrap_or_default();
        if u64::try_from(all.len() + piece.len()).is_ok_and(|size| size > limit.as_u64()) {
            return Err(Unanswered::TooLarge(limit));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// An engine's words for a refusal: a message in JSON, or whatever it is.
fn words(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let message = serde_json::from_slice(body).map(|Refusal { message }| message);
    message.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned())
}

/// What a connection is made of.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
