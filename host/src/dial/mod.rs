//! Dialling: one connection to the container engine for each question, and a bound on what comes back by it.
//!
//! bollard words the questions and reads the answers, but reads them whole, however large they are. So it is given connections that
//! break off at a limit, and know whether anything has come.

mod tls;

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bollard::errors::Error as EngineError;
use bollard::{BollardRequest, ClientVersion, Docker};
use bytesize::ByteSize;
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::error::Error;
use crate::limits;
use crate::target::Address;

/// How an engine is reached.
pub struct Dial {
    place: Place,
    /// What the `host` header says.
    host: HeaderValue,
}

enum Place {
    Socket(PathBuf),
    Port(Address, Option<tls::Peer>),
}

/// Why a question has no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// Not a byte came.
    Silence(EngineError),
    /// More came than this, which is the limit.
    TooLarge(ByteSize),
    /// What came is not what was asked for, or not the whole.
    Unusable(EngineError),
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
            Error::Usage(format!("'{url}' is no engine's address: {expected}"))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(no_address)?;
        let speaks_tls = match scheme {
            "unix" => {
                return Ok(Dial { place: Place::Socket(rest.into()), host: HeaderValue::from_static("localhost") });
            }
            "tcp" => tls::is_wanted(),
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
            Error::Failed(format!("no TLS to the container engine at {url}: {why} ({folder})"))
        };
        let peer = speaks_tls.then(|| tls::Peer::new(&address.host)).transpose().map_err(no_tls)?;
        Ok(Dial { place: Place::Port(address, peer), host })
    }

    /// Asks by a client whose answers have to be within `limit`. The caller bounds the time, so the client's own bound only has to be
    /// longer.
    ///
    /// # Errors
    /// What came in place of an answer.
    pub async fn ask<T, F>(
        self: &Arc<Self>,
        limit: ByteSize,
        version: &ClientVersion,
        question: impl FnOnce(Docker) -> F,
    ) -> Result<T, Unanswered>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let received = Arc::new(AtomicU64::new(0));
        let (dial, count) = (Arc::clone(self), Arc::clone(&received));
        let transport = move |request| Arc::clone(&dial).send(request, Arc::clone(&count), limit.as_u64());
        let timeout = limits::LONGEST_DEADLINE.as_secs();
        // The address goes nowhere, but bollard wants one.
        let docker = Docker::connect_with_custom_transport(transport, Some("http://localhost"), timeout, version);
        let answer = match docker {
            Ok(docker) => question(docker).await,
            Err(error) => Err(error),
        };
        answer.map_err(|error| match received.load(Ordering::Relaxed) {
            0 => Unanswered::Silence(error),
            received if received > limit.as_u64() => Unanswered::TooLarge(limit),
            _ => Unanswered::Unusable(error),
        })
    }

    /// Sends a request by a connection of its own, and gives the head of the answer.
    async fn send(
        self: Arc<Self>,
        mut request: BollardRequest,
        received: Arc<AtomicU64>,
        limit: u64,
    ) -> Result<Response<Incoming>, EngineError> {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.unwrap_or_else(|| PathAndQuery::from_static("/")).into();
        request.headers_mut().insert(HOST, self.host.clone());
        let (reader, writer) = tokio::io::split(self.connect().await?);
        let io = TokioIo::new(tokio::io::join(Limited { reader, received, limit }, writer));
        let (mut sender, connection) = http1::Builder::new().max_buf_size(limits::HTTP_HEAD).handshake(io).await?;
        // It ends with the answer, or when nobody wants that any more.
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?)
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match &self.place {
            Place::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Place::Port(Address { host, port }, peer) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                match peer {
                    Some(peer) => Box::new(peer.connect(stream).await?),
                    None => Box::new(stream),
                }
            }
        })
    }
}

/// What a connection is made of.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Counts what is read, and fails once that is more than `limit` bytes.
struct Limited<R> {
    reader: R,
    received: Arc<AtomicU64>,
    limit: u64,
}

impl<R: AsyncRead + Unpin> AsyncRead for Limited<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.reader).poll_read(context, buffer))?;
        let new = u64::try_from(buffer.filled().len() - before).unwrap_or(u64::MAX);
        let received = self.received.fetch_add(new, Ordering::Relaxed).saturating_add(new);
        Poll::Ready(if received > self.limit { Err(io::Error::other("more than the limit")) } else { Ok(()) })
    }
}
