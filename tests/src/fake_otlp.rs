//! An OTLP receiver with chosen replies, for what a real one does not produce on demand.

use std::convert::Infallible;
use std::future;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use prost::Message as _;

use crate::port;
use crate::server::Server;

/// A reply to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// This status, with a message and the encoded details.
    Status(u32, &'static str, &'static str),
    /// Success, with this message of `rejected` values.
    Partial(i64, &'static str),
    /// Success, with a message of this size.
    Large(u32),
    /// This status of HTTP, without gRPC.
    Http(u16),
    /// Nothing, while the connection stays open.
    Never,
}

/// Success.
pub const ACCEPTED: Reply = Reply::Partial(0, "");

/// A receiver. Drop it to stop it.
pub struct FakeOtlp {
    port: u16,
    requests: Arc<AtomicUsize>,
    headers: Arc<Mutex<Vec<HeaderMap>>>,
    _server: Server,
}

type Body = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

impl FakeOtlp {
    /// Starts one. `reply` gets the number of requests before.
    ///
    /// # Panics
    ///
    /// If it has no address.
    pub fn start(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = port::listen();
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let (requests, headers): (Arc<AtomicUsize>, Arc<Mutex<Vec<HeaderMap>>>) = Default::default();
        let (counted, seen, reply) = (Arc::clone(&requests), Arc::clone(&headers), Arc::new(reply));
        let handle = move |stream: TcpStream| {
            let (counted, seen, reply) = (Arc::clone(&counted), Arc::clone(&seen), Arc::clone(&reply));
            let service = service_fn(move |request: Request<Incoming>| {
                let (counted, seen, reply) = (Arc::clone(&counted), Arc::clone(&seen), Arc::clone(&reply));
                async move {
                    let (head, body) = request.into_parts();
                    // A request that ends early does not count.
                    let Ok(_) = body.collect().await else { return future::pending().await };
                    seen.lock().expect("a lock").push(head.headers);
                    match response(&reply(counted.fetch_add(1, Ordering::SeqCst))) {
                        Some(response) => Ok::<_, Infallible>(response),
                        None => future::pending().await,
                    }
                }
            });
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                stream.set_nonblocking(true).expect("a socket");
                let stream = tokio::net::TcpStream::from_std(stream).expect("a socket");
                let server = http2::Builder::new(TokioExecutor::new());
                drop(server.serve_connection(TokioIo::new(stream), service).await);
            });
        };
        Self { port, requests, headers, _server: Server::start(listener, handle) }
    }

    /// Returns its endpoint, as `--otlp` takes it.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the number of requests.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Returns the value of a header field of the first request.
    ///
    /// # Panics
    ///
    /// If there was no request.
    pub fn header(&self, name: &str) -> Option<String> {
        let headers = self.headers.lock().expect("a lock");
        let value = headers.first().expect("a request").get(name)?;
        Some(value.to_str().expect("text").to_owned())
    }
}

/// Returns a response, or `None` if there is none.
fn response(reply: &Reply) -> Option<Response<Body>> {
    let (mut status, mut headers, mut frames) = (200, HeaderMap::new(), Vec::new());
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    let data = |message: Vec<u8>| {
        let length = u32::try_from(message.len()).expect("a short message");
        Frame::data(Bytes::from([&[0], &length.to_be_bytes()[..], &message].concat()))
    };
    let ok = || Frame::trailers(HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from(0))]));
    match *reply {
        Reply::Status(code, message, details) => {
            headers.insert("grpc-status", HeaderValue::from(code));
            headers.insert("grpc-message", HeaderValue::from_static(message));
            headers.insert("grpc-status-details-bin", HeaderValue::from_static(details));
        }
        Reply::Partial(rejected_data_points, message) => {
            let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message: message.to_owned() };
            let partial_success = (rejected_data_points != 0 || !message.is_empty()).then_some(partial);
            frames.push(data(ExportMetricsServiceResponse { partial_success }.encode_to_vec()));
            frames.push(ok());
        }
        Reply::Large(size) => {
            frames.push(data(vec![0; usize::try_from(size).expect("a size")]));
            frames.push(ok());
        }
        Reply::Http(code) => status = code,
        Reply::Never => return None,
    }
    let mut response = Response::new(StreamBody::new(stream::iter(frames.into_iter().map(Ok).collect::<Vec<_>>())));
    *response.status_mut() = status.try_into().expect("a status");
    *response.headers_mut() = headers;
    Some(response)
}
