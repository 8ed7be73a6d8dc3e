//! The recorder: a proxy between a sandbox and its target, which keeps the traffic.
//!
//! HTTP is forwarded request by request, so that each can be replayed by itself; the `host` header is corrected,
//! because the collector gets the proxy's address. Other protocols are forwarded byte by byte. TLS is not: it could not
//! be read or replayed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::InvalidUri;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::loopback::{self, Loopback, Protocol};
use super::transcript::{Conversation, Exchange};
use crate::address::Address;
use crate::limits;
use crate::mutex::lock;
use crate::sandbox::http::is_connection_header;
use crate::text::{foreign, root_cause};

/// A request that cannot be recorded.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The body of the request cannot be read.
    #[error("{0}")]
    Request(#[source] loopback::Error),
    /// The path is not a URI.
    #[error("{asked}: {source}")]
    Path { asked: String, source: InvalidUri },
    /// There is no response.
    #[error("{asked}: incomplete response: {}", root_cause(source))]
    Response { asked: String, source: hyper::Error },
    /// The body of the response cannot be read.
    #[error("{asked}: incomplete response: {source}")]
    ResponseBody { asked: String, source: loopback::Error },
}

/// The recorder.
pub struct Relay {
    loopback: Loopback,
    tape: Arc<Mutex<Tape>>,
}

/// The kept traffic.
#[derive(Debug, Default)]
pub struct Tape {
    /// By order of beginning; `None` if it did not end.
    exchanges: Vec<Option<Exchange>>,
    conversations: Vec<Conversation>,
    size: u64,
    problems: Vec<String>,
}

impl Relay {
    /// Starts a recorder before `target`.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(target: Address) -> Result<Relay, loopback::Error> {
        let tape = Arc::new(Mutex::new(Tape::default()));
        let keeps = Arc::clone(&tape);
        let loopback = Loopback::start(move |client, here| {
            let way = Way { here, target: target.clone(), tape: Arc::clone(&keeps) };
            async move { way.carry(client).await }
        });
        Ok(Relay { loopback: loopback.await?, tape })
    }

    /// Returns its address for the sandbox.
    pub fn address(&self) -> Address {
        self.loopback.as_target()
    }

    /// Returns the traffic and its problems.
    pub async fn finish(self) -> (Vec<Exchange>, Vec<Conversation>, Vec<String>) {
        self.loopback.finish().await;
        let tape = std::mem::take(&mut *lock(&self.tape));
        (tape.exchanges.into_iter().flatten().collect(), tape.conversations, tape.problems)
    }
}

impl Tape {
    /// Counts kept bytes; `None` if they exceed a recording.
    fn room(&mut self, bytes: usize) -> Option<()> {
        self.size += bytes as u64;
        if self.size <= limits::RECORDING.as_u64() {
            return Some(());
        }
        let limit = limits::RECORDING.display().iec();
        self.problem(format!("the target sent more than {limit:.0}, the limit of a recording"));
        None
    }

    fn problem(&mut self, what: String) {
        if !self.problems.contains(&what) {
            self.problems.push(what);
        }
    }
}

/// Handles one connection.
struct Way {
    here: SocketAddr,
    target: Address,
    tape: Arc<Mutex<Tape>>,
}

impl Way {
    fn problem(&self, what: impl Into<String>) {
        lock(&self.tape).problem(what.into());
    }

    async fn carry(self, mut client: TcpStream) {
        let Some(target) = self.connect().await else { return loopback::leave(client).await };
        let mut begin = Vec::new();
        let protocol = tokio::select! {
            protocol = loopback::listen(&mut client, &mut begin) => protocol,
            // A client that waits for the target first does not use HTTP.
            _ = target.readable() => Some(Protocol::Other),
        };
        match protocol {
            None => {}
            Some(Protocol::Http) => {
                // The first request uses the open connection.
                let open = Mutex::new(Some(target));
                loopback::serve_http(client, begin, async |request| {
                    let open = lock(&open).take();
                    let answer = self.exchange(open, request).await;
                    answer.map_err(|error| self.problem(error.to_string())).ok().flatten()
                })
                .await;
            }
            Some(Protocol::Tls) => {
                let encrypted = "the collector uses TLS, which cannot be replayed";
                self.problem(format!("{encrypted}: record from a target without TLS"));
                loopback::leave(client).await;
            }
            Some(Protocol::Other) => {
                self.converse(client, begin, target).await;
            }
        }
    }

    async fn connect(&self) -> Option<TcpStream> {
        let Address { host, port } = &self.target;
        let stream = TcpStream::connect((host.as_str(), *port)).await;
        stream.map_err(|error| self.problem(format!("connection to {} failed: {error}", self.target))).ok()
    }

    /// Forwards a request, and keeps it with its response; `None` if that exceeds a recording.
    async fn exchange(
        &self,
        open: Option<TcpStream>,
        request: Request<Incoming>,
    ) -> Result<Option<Response<Full<Bytes>>>, Error> {
        let place = {
            let mut tape = lock(&self.tape);
            tape.exchanges.push(None);
            tape.exchanges.len() - 1
        };
        let (head, body) = request.into_parts();
        let question = loopback::whole(body).await.map_err(Error::Request)?;
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let asked = format!("{} {}", head.method, foreign(&path));
        let mut request = Request::new(Full::new(Bytes::from(question.clone())));
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = path.parse().map_err(|source| Error::Path { asked: asked.clone(), source })?;
        for (name, value) in head.headers.iter().filter(|(name, _)| !is_connection_header(name)) {
            let is_here = *name == HOST && value.as_bytes() == self.here.to_string().as_bytes();
            let value = if is_here { HeaderValue::try_from(self.target.to_string()).ok() } else { Some(value.clone()) };
            request.headers_mut().extend(value.map(|value| (name.clone(), value)));
        }
        let Some(stream) = (match open {
            Some(stream) => Some(stream),
            None => self.connect().await,
        }) else {
            return Ok(None);
        };
        let unanswered = |source| Error::Response { asked: asked.clone(), source };
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(limits::HTTP_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(unanswered)?;
        // It ends with the response.
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(unanswered)?;
        let status = answer.status();
        let fields = answer.headers().iter().filter(|(name, _)| !is_connection_header(name));
        let headers: Vec<_> = fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        let body = loopback::whole(answer.into_body()).await;
        connection.abort();
        let body = body.map_err(|source| Error::ResponseBody { asked, source })?;
        let exchange = Exchange {
            method: head.method.to_string(),
            path,
            question,
            status: status.as_u16(),
            headers,
            answer: body,
        };
        let answer = super::player::response(&exchange);
        let mut tape = lock(&self.tape);
        if tape.room(exchange.question.len() + exchange.answer.len()).is_none() {
            return Ok(None);
        }
        tape.exchanges[place] = Some(exchange);
        Ok(Some(answer))
    }

    /// Forwards bytes both ways. Each piece is kept before it is sent, so that the response comes after it. `None` if
    /// it exceeds a recording.
    async fn converse(&self, client: TcpStream, begin: Vec<u8>, target: TcpStream) -> Option<()> {
        let place = {
            let mut tape = lock(&self.tape);
            tape.conversations.push(Conversation::default());
            tape.conversations.len() - 1
        };
        let keep = |bytes: &[u8], say: fn(&mut Conversation, &[u8])| {
            let mut tape = lock(&self.tape);
            tape.room(bytes.len())?;
            say(&mut tape.conversations[place], bytes);
            Some(())
        };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_target, mut to_target) = target.into_split();
        let has_left = AtomicBool::new(false);
        let there = async {
            let mut piece = begin;
            loop {
                if !piece.is_empty() {
                    keep(&piece, Conversation::sent)?;
                    if to_target.write_all(&piece).await.is_err() {
                        break;
                    }
                }
                piece.clear();
                if !matches!(from_client.read_buf(&mut piece).await, Ok(1..)) {
                    break;
                }
            }
            has_left.store(true, Ordering::Relaxed);
            let _ = to_target.shutdown().await;
            Some(())
        };
        let back = async {
            let mut piece = Vec::new();
            while matches!(from_target.read_buf(&mut piece).await, Ok(1..)) {
                keep(&piece, Conversation::received)?;
                if to_client.write_all(&piece).await.is_err() {
                    return Some(());
                }
                piece.clear();
            }
            if !has_left.load(Ordering::Relaxed) {
                lock(&self.tape).conversations[place].closed = true;
            }
            let _ = to_client.shutdown().await;
            Some(())
        };
        // One that fails ends the other.
        futures_util::future::try_join(async { there.await.ok_or(()) }, async { back.await.ok_or(()) })
            .await
            .ok()
            .map(drop)
    }
}
