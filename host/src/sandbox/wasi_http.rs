//! `wasi:http`: requests of any method except TRACE to the target, so that the HTTP client libraries of all languages
//! work.
//!
//! wasmtime-wasi-http sends a request anywhere, looks names up, and waits for ten minutes. Here a request to any other
//! authority than the target's is denied ([`Destination`]), the known addresses are used, and the limits of the run
//! hold: timeout, body size, number of requests. Redirects are not followed, and no proxy is used.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::Method;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use tokio::time::{Sleep, sleep, timeout};
use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use super::destination::Destination;
use super::exchange::{Exchange, broken_body};
use super::guest::Guest;
use super::http::driven;
use super::network::Network;
use crate::limits;

/// The interface of wasmtime-wasi-http whose function is replaced.
const HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

/// Links the interfaces of `wasi:http` that a client needs.
///
/// # Errors
/// If a name is taken.
pub fn link(linker: &mut Linker<Guest>) -> Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    linker.instance(HANDLER)?.func_wrap_async("handle", |store, parameters| Box::new(handle(store, parameters)))?;
    linker.allow_shadowing(false);
    Ok(())
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.network, table: &mut self.table, ctx: &mut self.wasi_http }
    }
}

/// Counts a request, and passes it to wasmtime-wasi-http.
async fn handle(
    mut store: StoreContextMut<'_, Guest>,
    (request, options): (Resource<HostOutgoingRequest>, Option<Resource<types::RequestOptions>>),
) -> Result<(Result<Resource<HostFutureIncomingResponse>, ErrorCode>,)> {
    let guest = store.data_mut();
    guest.count_connection().await?;
    match guest.http().handle(request, options) {
        Ok(response) => Ok((Ok(response),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

/// The future that drives a connection, as wasmtime-wasi-http takes it.
type Connection = Box<dyn Future<Output = Result<(), Error>> + Send>;

type Sent = Result<(hyper::Response<WasiBody>, Connection), Error>;

impl WasiHttpHooks for Network {
    fn send_request(
        &mut self,
        request: hyper::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let scheme = request.uri().scheme().cloned().unwrap_or(Scheme::HTTP);
        let authority = request.uri().authority();
        let host = authority.map(|authority| authority.host().to_owned()).unwrap_or_default();
        let default_port = if scheme == Scheme::HTTPS { 443 } else { 80 };
        let port = authority.and_then(Authority::port_u16).unwrap_or(default_port);
        let own = self.destination().filter(|destination| {
            let is_own = |ip| destination.is_at((ip, port).into());
            destination.lookup(&host).is_some_and(|addresses| addresses.into_iter().any(is_own))
        });
        // A response to TRACE would show the operator's headers to the guest.
        let Some(destination) = own.filter(|_| *request.method() != Method::TRACE).cloned() else {
            self.denied.add(&format!("{scheme}://{host}:{port} ({})", request.method()));
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        };
        Box::new(async move { destination.send(request, scheme == Scheme::HTTPS, options.unwrap_or_default()).await })
    }

    fn default_scheme(&mut self) -> Option<Scheme> {
        Some(Scheme::HTTP)
    }

    /// The host sets it to the target, not the guest.
    fn set_host_header(&mut self) -> bool {
        false
    }

    /// Bounds the memory of the host for one request.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        limits::HTTP_HEAD
    }
}

impl Destination {
    async fn send(&self, mut request: hyper::Request<WasiBody>, by_tls: bool, options: RequestOptions) -> Sent {
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = path.into();
        let exchange = Exchange::begin(self, by_tls, request.uri());
        let offers_coding = request.headers().contains_key(header::ACCEPT_ENCODING);
        self.http.complete(request.headers_mut(), &self.authority);
        let patience = options.connect_timeout.unwrap_or(limits::LONGEST_DEADLINE);
        let late = |_| Error::ConnectionTimeout;
        let connect = |error: io::Error| {
            exchange.fail(format!("connection failed: {}", exchange.no_connection(&error)));
            not_connected(error)
        };
        if by_tls {
            let stream = timeout(patience, exchange.connect_by_tls()).await.map_err(late)?;
            drive(TokioIo::new(stream.map_err(connect)?), request, options, &exchange, offers_coding).await
        } else {
            let stream = timeout(patience, exchange.connect()).await.map_err(late)?;
            drive(TokioIo::new(stream.map_err(connect)?), request, options, &exchange, offers_coding).await
        }
    }
}

/// Sends a request, and returns its response with the future that drives the connection.
async fn drive<T>(
    io: T,
    mut request: hyper::Request<WasiBody>,
    options: RequestOptions,
    exchange: &Exchange,
    offers_coding: bool,
) -> Sent
where
    T: Read + Write + Unpin + Send + 'static,
{
    exchange.expect_response(&mut request);
    let (mut sender, connection) = Exchange::builder().handshake(io).await?;
    let mut connection = Box::pin(connection);
    let patience = options.first_byte_timeout.unwrap_or(limits::LONGEST_DEADLINE);
    let (response, end) = timeout(patience, driven(sender.send_request(request), connection.as_mut()))
        .await
        .map_err(|_| Error::ConnectionReadTimeout)?;
    let (head, incoming) = response
        .inspect_err(|error| {
            exchange.fail(exchange.no_response(error));
        })?
        .into_parts();
    exchange.begin_response(&head);
    if !offers_coding {
        exchange.note_coding(&head);
    }
    if incoming.size_hint().lower() > exchange.body_limit() {
        return Err(Error::HttpResponseBodySize(Some(exchange.exceed_body_limit())));
    }
    let patience = options.between_bytes_timeout.unwrap_or(limits::LONGEST_DEADLINE);
    let (left, clock, exchange) = (exchange.body_limit(), Box::pin(sleep(patience)), exchange.clone());
    let body = UnsyncBoxBody::new(BoundedBody { incoming, left, patience, clock, exchange });
    // Dropping the sender would end the connection.
    let connection = async move {
        let result = match end {
            Some(result) => result,
            None => connection.await,
        };
        drop(sender);
        result.map_err(Error::from)
    };
    Ok((hyper::Response::from_parts(head, body), Box::new(connection)))
}

fn not_connected(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::DestinationUnavailable,
        io::ErrorKind::InvalidData => Error::TlsCertificateError,
        _ => Error::Connect(error),
    }
}

/// A response body, within its size limit and the guest's own timeouts.
struct BoundedBody {
    incoming: Incoming,
    left: u64,
    patience: Duration,
    clock: Pin<Box<Sleep>>,
    exchange: Exchange,
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Pending => {
                let late = self.clock.as_mut().poll(context);
                return late.map(|()| Some(Err(Error::ConnectionReadTimeout)));
            }
            Poll::Ready(frame) => frame,
        };
        let next = tokio::time::Instant::now() + self.patience;
        self.clock.as_mut().reset(next);
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let data = frame.data_ref().map(Bytes::as_ref).unwrap_or_default();
                self.exchange.count_chunk(data.len());
                self.exchange.add_body(data);
                match self.left.checked_sub(data.len() as u64) {
                    Some(left) => {
                        self.left = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(Error::HttpResponseBodySize(Some(self.exchange.exceed_body_limit())))),
                }
            }
            Some(Err(error)) => {
                self.exchange.fail(broken_body(&error));
                Some(Err(error.into()))
            }
            None => {
                self.exchange.end();
                None
            }
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
