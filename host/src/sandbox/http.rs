//! The capability `mackerel:collector/http`: GET requests to one target.
//!
//! A guest chooses the path, some headers, and http or https. The [`Destination`] is decided before the guest runs, and
//! the operator's headers ([`http_settings`](super::http_settings)) are added after it asked. Redirects are not
//! followed, and no proxy is used.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use bytesize::ByteSize;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;

use super::activity::Waiting;
use super::coding::{self, CodingError};
use super::destination::Destination;
use super::exceeded::Exceeded;
use super::exchange::{Exchange, broken_body};
use super::memory::Memory;
use super::wire::mackerel::collector::http::{Error, Request, Response, Scheme};
use crate::limits;
use crate::text::{foreign, root_cause};

/// Headers that describe a connection, and not the message.
const CONNECTION_HEADERS: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
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
        let by_tls = request.scheme == Scheme::Https;
        let is_coding_offered = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"));
        let request = self.checked(request)?;
        let exchange = Exchange::begin(self, by_tls, request.uri());
        let connect = |error: std::io::Error| {
            let reason = exchange.no_connection(&error);
            exchange.fail(format!("connection failed: {reason}"));
            Error::Connect(reason)
        };
        let response = if by_tls {
            // Boxed, because it is large and would take stack of every sandbox.
            memory.reserve_for_response(limits::CONNECTION_MEMORY).await?;
            Box::pin(async {
                let stream = exchange.connect_by_tls().await.map_err(connect)?;
                self.exchange(&exchange, TokioIo::new(stream), request, memory).await
            })
            .await
        } else {
            let stream = exchange.connect().await.map_err(connect)?;
            self.exchange(&exchange, TokioIo::new(stream), request, memory).await
        };
        self.activity.set(Waiting::Collector);
        let mut response = response?;
        if !is_coding_offered {
            coding::decode(&mut response, self.http.body_limit, memory).await.map_err(|error| match error {
                CodingError::Limit(exceeded) => End::Limit(exceeded),
                CodingError::TooLarge(limit) => Error::BodyTooLarge(limit.as_u64()).into(),
                error => Error::Protocol(exchange.fail(error.to_string())).into(),
            })?;
        }
        exchange.end_response(&response.body);
        Ok(response)
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
        for (name, value) in request.headers {
            let field: HeaderName =
                name.parse().map_err(|_| invalid(format!("'{}' is not a header name", foreign(&name))))?;
            if is_connection_header(&field) || field == header::HOST {
                return Err(invalid(format!("header '{name}' is set by the host")));
            }
            let value = HeaderValue::from_str(&value)
                .map_err(|_| invalid(format!("header '{}' has an illegal value", foreign(&name))))?;
            wire.headers_mut().try_append(field, value).map_err(|error| invalid(error.to_string()))?;
        }
        self.http.complete(wire.headers_mut(), &self.authority);
        Ok(wire)
    }

    async fn exchange<T>(
        &self,
        exchange: &Exchange,
        io: T,
        mut request: hyper::Request<Empty<Bytes>>,
        memory: &mut Memory,
    ) -> Result<Response, End>
    where
        T: Read + Write + Unpin + Send,
    {
        exchange.expect_response(&mut request);
        let protocol = |error: hyper::Error| Error::Protocol(exchange.fail(root_cause(&error)));
        let (mut sender, connection) = Exchange::builder().handshake(io).await.map_err(protocol)?;
        let no_response = |error: hyper::Error| Error::Protocol(exchange.fail(exchange.no_response(&error)));
        let work = async move {
            let (head, incoming) = sender.send_request(request).await.map_err(no_response)?.into_parts();
            exchange.begin_response(&head);
            // Names and values are copied, and each takes an entry.
            let fields = head.headers.iter().map(|(name, value)| HEADER_MEMORY + name.as_str().len() + value.len());
            memory.reserve_for_response(fields.sum()).await?;
            let body = read(incoming, exchange, self.http.body_limit, memory).await?;
            Ok(Response { status: head.status.as_u16(), headers: texts(&head.headers), body })
        };
        let mut connection = pin!(connection);
        // Nothing is read ahead while the sandbox waits for memory.
        let connection = poll_fn(|context| match self.activity.get() {
            Waiting::Memory => Poll::Pending,
            _ => connection.as_mut().poll(context),
        });
        // The connection is dropped with the exchange: further data of the target is not read.
        driven(work, pin!(connection)).await.0
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

/// Reads a response body, within its limit.
async fn read(
    mut incoming: Incoming,
    exchange: &Exchange,
    limit: ByteSize,
    memory: &mut Memory,
) -> Result<Vec<u8>, End> {
    let limit = limit.as_u64();
    let announced = incoming.size_hint().lower();
    if announced > limit {
        return Err(Error::BodyTooLarge(limit).into());
    }
    let most = usize::try_from(if announced > 0 { announced } else { limit }).unwrap_or(usize::MAX);
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| Error::Protocol(exchange.fail(broken_body(&error))))?;
        let Some(data) = frame.data_ref() else { continue };
        exchange.count_chunk(data.len());
        if (body.len() + data.len()) as u64 > limit {
            return Err(Error::BodyTooLarge(limit).into());
        }
        memory.extend(&mut body, data, most).await?;
    }
    Ok(body)
}

/// Returns the header fields whose values are text.
fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = std::str::from_utf8(value.as_bytes()).ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}
