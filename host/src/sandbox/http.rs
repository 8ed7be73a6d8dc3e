//! The capability `mackerel:collector/http`: GET requests to one target.
//!
//! A guest chooses the path, some headers, and http or https. The [`Destination`] is decided before the guest runs.
//! Redirects are not followed, and no proxy is used.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;

use super::activity::Waiting;
use super::destination::Destination;
use super::exceeded::Exceeded;
use super::memory::Memory;
use super::wire::mackerel::collector::http::{Error, Request, Response, Scheme};
use crate::limits;
use crate::text::{foreign, root_cause};

/// Headers that describe a connection, and not the message.
const CONNECTION_HEADERS: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
];

/// Returns true if a header describes a connection.
pub fn is_connection_header(name: &HeaderName) -> bool {
    CONNECTION_HEADERS.contains(name)
}

/// Memory of one header field besides its name and value, in the host and in the guest.
const HEADER_MEMORY: usize = 128;

/// The end of a request without a response.
enum End {
    /// An error for the guest.
    Error(Error),
    /// An exceeded limit, which ends the guest.
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
    /// Sends one request and reads the whole response. Its size is bounded here, the time by the caller. Until the next
    /// request, the response counts towards the sandbox's memory. The inner error is for the guest.
    ///
    /// # Errors
    /// If the memory limit is exceeded, which ends the guest.
    pub async fn get(&self, request: Request, memory: &mut Memory) -> Result<Result<Response, Error>, Exceeded> {
        memory.begin_response();
        match self.request(request, memory).await {
            Ok(response) => Ok(Ok(response)),
            Err(End::Error(error)) => Ok(Err(error)),
            Err(End::Limit(exceeded)) => Err(exceeded),
        }
    }

    async fn request(&self, request: Request, memory: &mut Memory) -> Result<Response, End> {
        let scheme = request.scheme;
        let request = self.checked(request)?;
        let connect = |error: std::io::Error| Error::Connect(root_cause(&error));
        let response = match scheme {
            Scheme::Http => {
                let stream = self.connect().await.map_err(connect)?;
                self.exchange(TokioIo::new(stream), request, memory).await
            }
            // Boxed, because it is large and would take stack of every sandbox.
            Scheme::Https => {
                memory.reserve_for_response(limits::CONNECTION_MEMORY).await?;
                Box::pin(async {
                    let stream = self.connect_by_tls().await.map_err(connect)?;
                    self.exchange(TokioIo::new(stream), request, memory).await
                })
                .await
            }
        };
        self.activity.set(Waiting::Collector);
        response
    }

    /// Checks the request, and makes the one that is sent.
    fn checked(&self, request: Request) -> Result<hyper::Request<Empty<Bytes>>, Error> {
        let invalid = |why: String| Error::InvalidRequest(why);
        let path = request.path;
        if !path.starts_with('/') || path.contains('#') {
            return Err(invalid(format!("path '{}' does not begin with '/', or has a fragment", foreign(&path))));
        }
        let path: PathAndQuery =
            path.parse().map_err(|error| invalid(format!("path '{}': {error}", foreign(&path))))?;
        let mut wire = hyper::Request::new(Empty::new());
        *wire.uri_mut() = path.into();
        let authority = HeaderValue::from_str(&self.address.to_string()).map_err(|error| invalid(error.to_string()))?;
        wire.headers_mut().insert(header::HOST, authority);
        for (name, value) in request.headers {
            let field: HeaderName =
                name.parse().map_err(|_| invalid(format!("'{}' is not a header name", foreign(&name))))?;
            if is_connection_header(&field) || field == header::HOST || field == "proxy-connection" {
                return Err(invalid(format!("header '{name}' is set by the host")));
            }
            let value = HeaderValue::from_str(&value)
                .map_err(|_| invalid(format!("header '{}' has an illegal value", foreign(&name))))?;
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
        self.activity.set(Waiting::Response);
        let protocol = |error: hyper::Error| Error::Protocol(root_cause(&error));
        let mut builder = http1::Builder::new();
        let (mut sender, connection) = builder.max_buf_size(limits::HTTP_HEAD).handshake(io).await.map_err(protocol)?;
        let exchange = async move {
            let response = sender.send_request(request).await.map_err(|error| Error::Protocol(no_response(&error)))?;
            self.activity.set(Waiting::Body);
            read(response, memory).await
        };
        let mut connection = pin!(connection);
        // Nothing is read ahead while the sandbox waits for memory.
        let connection = poll_fn(|context| match self.activity.get() {
            Waiting::Memory => Poll::Pending,
            _ => connection.as_mut().poll(context),
        });
        // The connection is dropped with the exchange: further data of the target is not read.
        driven(exchange, pin!(connection)).await.0
    }
}

/// Runs `work`, and then drives its connection. Returns the connection's result too if it ended first.
pub async fn driven<T, C: Future>(
    work: impl Future<Output = T>,
    mut connection: Pin<&mut C>,
) -> (T, Option<C::Output>) {
    let mut work = pin!(work);
    let mut end = None;
    loop {
        tokio::select! {
            biased;
            result = &mut work => return (result, end),
            ended = &mut connection, if end.is_none() => end = Some(ended),
        }
    }
}

/// Returns the reason for which there is no response head. A target that closes the connection resets it or not by
/// chance.
fn no_response(error: &hyper::Error) -> String {
    let system = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    let is_reset =
        system.is_some_and(|cause| matches!(cause.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
    if is_reset || error.is_canceled() || error.is_closed() || error.is_incomplete_message() {
        return "connection closed before any response".to_owned();
    }
    root_cause(error)
}

/// Reads a whole response, within its limit.
async fn read(response: hyper::Response<Incoming>, memory: &mut Memory) -> Result<Response, End> {
    let limit = limits::HTTP_BODY.as_u64();
    let (head, mut incoming) = response.into_parts();
    // Names and values are copied, and each takes an entry.
    let fields = head.headers.iter().map(|(name, value)| HEADER_MEMORY + name.as_str().len() + value.len());
    memory.reserve_for_response(fields.sum()).await?;
    let announced = incoming.size_hint().lower();
    if announced > limit {
        return Err(Error::BodyTooLarge(limit).into());
    }
    let most = usize::try_from(if announced > 0 { announced } else { limit }).unwrap_or(usize::MAX);
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| Error::Protocol(root_cause(&error)))?;
        let Some(data) = frame.data_ref() else { continue };
        if (body.len() + data.len()) as u64 > limit {
            return Err(Error::BodyTooLarge(limit).into());
        }
        memory.extend(&mut body, data, most).await?;
    }
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = std::str::from_utf8(value.as_bytes()).ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    Ok(Response { status: head.status.as_u16(), headers: head.headers.iter().filter_map(header).collect(), body })
}
