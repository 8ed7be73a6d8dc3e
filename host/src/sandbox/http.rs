//! The capability `mackerel:collector/http`: GET requests to one target.
//!
//! What a guest can choose is the path, some headers, and whether TLS is spoken. Where the request goes is decided before the
//! guest runs ([`Destination`]). No redirect is followed, no proxy asked.

use std::io::ErrorKind;
use std::pin::{Pin, pin};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;

use super::activity::COLLECTING;
use super::destination::Destination;
use super::exceeded::Exceeded;
use super::memory::Memory;
use super::wire::mackerel::collector::http::{Error, Request, Response, Scheme};
use crate::limits;
use crate::text::{foreign, root_cause};

/// Headers that belong to a connection, and not to what is said over it.
const OF_CONNECTIONS: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
];

/// Whether a header says something of a connection alone.
pub fn is_of_connection(name: &HeaderName) -> bool {
    OF_CONNECTIONS.contains(name)
}

/// Why there is no answer.
enum End {
    /// An error for the guest.
    Error(Error),
    /// A limit that ends the guest.
    Limit(Exceeded),
}

impl From<Error> for End {
    fn from(error: Error) -> End {
        End::Error(error)
    }
}

impl From<Exceeded> for End {
    fn from(exceeded: Exceeded) -> End {
        End::Limit(exceeded)
    }
}

impl Destination {
    /// Sends one request and reads the whole answer. Bounded in size here, and in time by the caller. While it is read, the answer
    /// counts as the sandbox's memory.
    ///
    /// # Errors
    /// The limit on that memory, where it is passed: that ends the guest. What else goes wrong is for the guest to know.
    pub async fn get(&self, request: Request, memory: &mut Memory) -> Result<Result<Response, Error>, Exceeded> {
        let before = memory.bytes();
        let answer = self.answer(request, memory).await;
        memory.give_back_to(before);
        match answer {
            Ok(response) => Ok(Ok(response)),
            Err(End::Error(error)) => Ok(Err(error)),
            Err(End::Limit(exceeded)) => Err(exceeded),
        }
    }

    async fn answer(&self, request: Request, memory: &mut Memory) -> Result<Response, End> {
        let scheme = request.scheme;
        let request = self.checked(request)?;
        let no_connection = |error: std::io::Error| Error::Connect(root_cause(&error));
        let response = match scheme {
            Scheme::Http => {
                let stream = self.connect().await.map_err(no_connection)?;
                self.exchange(TokioIo::new(stream), request, memory).await
            }
            // Boxed, for it is large, and would take its place on the stack of every sandbox.
            Scheme::Https => {
                Box::pin(async {
                    let stream = self.connect_by_tls().await.map_err(no_connection)?;
                    self.exchange(TokioIo::new(stream), request, memory).await
                })
                .await
            }
        };
        self.activity.set(COLLECTING);
        response
    }

    /// The request as it goes onto the wire.
    fn checked(&self, request: Request) -> Result<hyper::Request<Empty<Bytes>>, Error> {
        let invalid = |why: String| Error::InvalidRequest(why);
        let path = request.path;
        if !path.starts_with('/') || path.contains('#') {
            return Err(invalid(format!("the path '{}' does not begin with '/', or has a fragment", foreign(&path))));
        }
        let path: PathAndQuery =
            path.parse().map_err(|error| invalid(format!("the path '{}': {error}", foreign(&path))))?;
        let mut wire = hyper::Request::new(Empty::new());
        *wire.uri_mut() = path.into();
        let authority = HeaderValue::from_str(&self.address.to_string()).map_err(|error| invalid(error.to_string()))?;
        wire.headers_mut().insert(header::HOST, authority);
        for (name, value) in request.headers {
            let field: HeaderName =
                name.parse().map_err(|_| invalid(format!("'{}' is no header's name", foreign(&name))))?;
            if is_of_connection(&field) || field == header::HOST || field == "proxy-connection" {
                return Err(invalid(format!("the header '{name}' is the host's own")));
            }
            let value = HeaderValue::from_str(&value)
                .map_err(|_| invalid(format!("the header '{}' has an illegal value", foreign(&name))))?;
            wire.headers_mut().try_append(field, value).map_err(|error| invalid(error.to_string()))?;
        }
        Ok(wire)
    }

    async fn exchange<T>(
        &self,
        io: T,
        request: hyper::Request<Empty<Bytes>>,
        memory: &mut Memory,
    ) -> Result<Response, End>
    where
        T: Read + Write + Unpin + Send,
    {
        self.activity.set("no answer");
        let protocol = |error: hyper::Error| Error::Protocol(root_cause(&error));
        let mut builder = http1::Builder::new();
        let (mut sender, connection) = builder.max_buf_size(limits::HTTP_HEAD).handshake(io).await.map_err(protocol)?;
        let exchange = async move {
            let answer = sender.send_request(request).await.map_err(|error| Error::Protocol(no_answer(&error)))?;
            self.activity.set("no whole answer");
            read(answer, memory).await
        };
        // The connection is dropped with the exchange: what a target still wants to send is not read.
        driven(exchange, pin!(connection)).await.0
    }
}

/// Waits for `work`, and drives its connection meanwhile. Gives the connection's end too, where that came before.
pub(super) async fn driven<T, C: Future>(
    work: impl Future<Output = T>,
    mut connection: Pin<&mut C>,
) -> (T, Option<C::Output>) {
    let mut work = pin!(work);
    let mut end = None;
    loop {
        tokio::select! {
            result = &mut work => return (result, end),
            ended = &mut connection, if end.is_none() => end = Some(ended),
        }
    }
}

/// Why not even the head of an answer came. Whether a target that closes the connection resets it is a matter of chance.
fn no_answer(error: &hyper::Error) -> String {
    let system = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    let is_reset =
        system.is_some_and(|cause| matches!(cause.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
    if is_reset || error.is_canceled() || error.is_closed() || error.is_incomplete_message() {
        return "the connection was closed before an answer came".to_owned();
    }
    root_cause(error)
}

/// Reads an answer whole, within its limit.
async fn read(answer: hyper::Response<Incoming>, memory: &mut Memory) -> Result<Response, End> {
    let limit = limits::HTTP_BODY.as_u64();
    let (head, mut incoming) = answer.into_parts();
    let mut body = Vec::new();
    if incoming.size_hint().lower() > limit {
        return Err(Error::BodyTooLarge(limit).into());
    }
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| Error::Protocol(root_cause(&error)))?;
        let Some(data) = frame.data_ref() else { continue };
        if (body.len() + data.len()) as u64 > limit {
            return Err(Error::BodyTooLarge(limit).into());
        }
        memory.take(data.len()).await?;
        body.extend_from_slice(data);
    }
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = std::str::from_utf8(value.as_bytes()).ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    Ok(Response { status: head.status.as_u16(), headers: head.headers.iter().filter_map(header).collect(), body })
}
