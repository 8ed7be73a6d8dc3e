//! One gRPC call over HTTP/2 (<https://grpc.io/docs/what-is-grpc/core-concepts>): a request of one message, and a
//! response of at most one.
//!
//! It uses hyper directly, so that the response is limited and each failure has its own message.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bytes::Bytes;
use bytesize::ByteSize;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::percent_decode;
use prost::Message;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::Error as PemError;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::endpoint::{CERTIFICATE, Endpoint, Settings};
use crate::file;
use crate::limits;
use crate::text::{Foreign, root_cause};
use crate::tls::{
    self,
    verifier::{self, Verifier},
};
use crate::version::VERSION;

/// A connection to an endpoint.
pub type Connection = SendRequest<Full<Bytes>>;

/// A failed call. The text follows the endpoint.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection.
    #[error("no connection: {}", root_cause(.0))]
    Connect(io::Error),
    /// The endpoint's host cannot be a server name.
    #[error("not a valid server name")]
    ServerName,
    /// The trusted roots cannot be read.
    #[error(transparent)]
    File(#[from] file::Error),
    /// The file of certificates is not PEM.
    #[error("{CERTIFICATE} {}: expected certificates in PEM: {source}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: PemError,
    },
    /// The trusted roots are unusable.
    #[error("no usable trusted root certificate: set {CERTIFICATE} or SSL_CERT_FILE: {0}")]
    Roots(String),
    /// The handshake of TLS failed.
    #[error("TLS handshake failed: {}", words_of_tls(.0))]
    Tls(io::Error),
    /// The server does not speak HTTP/2 over TLS.
    #[error("the server does not offer HTTP/2: not an endpoint of OTLP/gRPC?")]
    NoHttp2,
    /// The connection broke, or its bytes are not HTTP/2.
    #[error("HTTP/2 failed: {}: not an endpoint of OTLP/gRPC?", root_cause(.0))]
    Http2(hyper::Error),
    /// A response without gRPC.
    #[error("HTTP {}, without a gRPC status: not an endpoint of OTLP/gRPC?", .0.as_u16())]
    Http(StatusCode),
    /// The server reported a failure.
    #[error("{status}{}", advice(.status.code))]
    Status {
        /// The status.
        status: Status,
        /// The time after which the server accepts another attempt.
        retry_after: Option<Duration>,
    },
    /// The response is too large.
    #[error("response exceeds {:.0}", .0.display().iec())]
    TooLarge(ByteSize),
    /// The response is not the expected message.
    #[error("invalid response: {0}")]
    Invalid(&'static str),
}

/// A status of gRPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The code.
    pub code: u32,
    /// The server's message.
    pub message: Foreign,
}

/// The names of all codes, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Status {
    fn name(&self) -> &'static str {
        CODES.get(self.code as usize).unwrap_or(&"an unknown status")
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

fn advice(code: u32) -> &'static str {
    match CODES.get(code as usize) {
        Some(&("UNAUTHENTICATED" | "PERMISSION_DENIED")) => {
            "; check the API key (--otlp-api-key-file, MACKEREL_APIKEY or OTEL_EXPORTER_OTLP_HEADERS)"
        }
        _ => "",
    }
}

/// Describes a failed handshake, with the variable that helps.
fn words_of_tls(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(cause))
            if *cause == CertificateError::UnknownIssuer || verifier::is_authority(cause) =>
        {
            format!("untrusted certificate: trust its issuer with {CERTIFICATE} or SSL_CERT_FILE")
        }
        _ => root_cause(error),
    }
}

impl CallError {
    /// Returns the delay before a retry, or `None` if a retry cannot help, as OTLP specifies it
    /// (<https://opentelemetry.io/docs/specs/otlp/#failures>).
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            CallError::Status { status, retry_after } => match status.name() {
                "CANCELLED" | "DEADLINE_EXCEEDED" | "ABORTED" | "OUT_OF_RANGE" | "UNAVAILABLE" | "DATA_LOSS" => {
                    Some(retry_after.unwrap_or(limits::OTLP_RETRY))
                }
                // Without a time from the server, waiting does not free the quota.
                "RESOURCE_EXHAUSTED" => *retry_after,
                _ => None,
            },
            CallError::Http(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504).then_some(limits::OTLP_RETRY),
            CallError::Connect(_) | CallError::Http2(_) => Some(limits::OTLP_RETRY),
            _ => None,
        }
    }
}

/// Connects to an endpoint.
pub async fn connect(settings: &Settings) -> Result<Connection, CallError> {
    let Endpoint { address, has_tls } = &settings.endpoint;
    // First, so that an unusable file of certificates fails without a connection.
    let tls = if *has_tls { Some((tls_config(settings)?, server_name(&address.host)?)) } else { None };
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(CallError::Connect)?;
    // Small frames must not be delayed, because the server waits for each.
    stream.set_nodelay(true).map_err(CallError::Connect)?;
    let Some((config, name)) = tls else { return handshake(stream).await };
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(CallError::Tls)?;
    if stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
        return Err(CallError::NoHttp2);
    }
    handshake(stream).await
}

/// The name of HTTP/2 in TLS.
const HTTP2: &[u8] = b"h2";

async fn handshake(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
) -> Result<Connection, CallError> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.max_header_list_size(limits::OTLP_HEAD);
    let (connection, driver) = builder.handshake(TokioIo::new(stream)).await.map_err(CallError::Http2)?;
    // Its errors are those of the calls, and it ends with the connection.
    tokio::spawn(driver);
    Ok(connection)
}

fn server_name(host: &str) -> Result<ServerName<'static>, CallError> {
    host.to_owned().try_into().map_err(|_| CallError::ServerName)
}

/// Trusts the certificates of a file, or this machine's, also as the server's own.
fn tls_config(settings: &Settings) -> Result<ClientConfig, CallError> {
    let certificates = match &settings.certificate {
        Some(path) => {
            let pem = file::read_named(CERTIFICATE, path, limits::CERTIFICATE_FILE)?;
            tls::certificates(&pem).map_err(|source| CallError::Certificates { path: path.clone(), source })?
        }
        None => tls::native_certificates()?,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.iter().cloned());
    let provider = tls::provider();
    let unusable = |error: &dyn fmt::Display| CallError::Roots(error.to_string());
    let verifier = Verifier::trusting(roots, certificates, Arc::clone(&provider)).map_err(|error| unusable(&error))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let mut config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(config)
}

/// A message with its header: a byte that is 1 if it is compressed, and four with its length.
pub fn frame(message: &impl Message, is_compressed: bool) -> Bytes {
    let bytes = message.encode_to_vec();
    let bytes = if is_compressed { compressed(&bytes) } else { bytes };
    let mut frame = Vec::with_capacity(HEADER + bytes.len());
    frame.push(is_compressed.into());
    // A request is far smaller.
    frame.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(bytes);
    frame.into()
}

/// The length of the header of a message.
const HEADER: usize = 5;

fn compressed(bytes: &[u8]) -> Vec<u8> {
    // Names and attributes repeat, so even the fastest level compresses to a twentieth.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// Calls `path` with a framed message. Returns the body of the response.
pub async fn call(
    connection: &mut Connection,
    settings: &Settings,
    path: &str,
    frame: Bytes,
) -> Result<Vec<u8>, CallError> {
    let Endpoint { address, has_tls } = &settings.endpoint;
    let uri = format!("{}://{address}{path}", if *has_tls { "https" } else { "http" });
    let mut request = Request::post(uri).body(Full::new(frame)).map_err(|_| CallError::ServerName)?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if let Ok(agent) = HeaderValue::from_str(&format!("mackerel-plugin-wasm/{VERSION}")) {
        headers.insert(USER_AGENT, agent);
    }
    if settings.is_compressed {
        headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
        headers.insert("grpc-accept-encoding", HeaderValue::from_static("gzip"));
    }
    headers.extend(settings.headers.clone());
    connection.ready().await.map_err(CallError::Http2)?;
    let response = connection.send_request(request).await.map_err(CallError::Http2)?;
    read(response).await
}

/// Reads a response: its body, if its status is OK.
async fn read(response: Response<Incoming>) -> Result<Vec<u8>, CallError> {
    let http = response.status();
    // A response without a body has its status in the head.
    if let Some(status) = status_of(response.headers()) {
        return status.map(|()| Vec::new());
    }
    if http != StatusCode::OK {
        return Err(CallError::Http(http));
    }
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(part) = body.frame().await {
        let part = part.map_err(CallError::Http2)?;
        if let Some(trailers) = part.trailers_ref() {
            return status_of(trailers).unwrap_or(Err(CallError::Http(http))).map(|()| bytes);
        }
        let data = part.into_data().unwrap_or_default();
        if (bytes.len() + data.len()) as u64 > limits::OTLP_RESPONSE.as_u64() {
            return Err(CallError::TooLarge(limits::OTLP_RESPONSE));
        }
        bytes.extend_from_slice(&data);
    }
    Err(CallError::Http(http))
}

/// Returns the result in the header fields, or `None` if they have none.
fn status_of(headers: &HeaderMap) -> Option<Result<(), CallError>> {
    let code = headers.get("grpc-status")?.to_str().ok().and_then(|code| code.parse().ok());
    let code: u32 = code.unwrap_or(2);
    if code == 0 {
        return Some(Ok(()));
    }
    let message = headers.get("grpc-message").map(|message| percent_decode(message.as_bytes()).decode_utf8_lossy());
    let status = Status { code, message: Foreign::new(message.as_deref().unwrap_or_default()) };
    let retry_after = headers.get("grpc-status-details-bin").and_then(|details| retry_after(details.as_bytes()));
    Some(Err(CallError::Status { status, retry_after }))
}

/// Returns the message in the body of a response. An empty body is an empty message.
pub fn message<R: Message + Default>(bytes: &[u8]) -> Result<R, CallError> {
    let Some((header, message)) = bytes.split_at_checked(HEADER) else {
        return if bytes.is_empty() { Ok(R::default()) } else { Err(CallError::Invalid("incomplete")) };
    };
    let [is_compressed, length @ ..] = header else { return Err(CallError::Invalid("incomplete")) };
    let length = length.iter().fold(0, |length: usize, byte| length << 8 | usize::from(*byte));
    if length != message.len() {
        return Err(CallError::Invalid("truncated, or more than one message"));
    }
    // Go's server responds in the encoding of the request.
    let message = if *is_compressed == 0 { message } else { &decompressed(message)? };
    R::decode(message).map_err(|_| CallError::Invalid("not the expected message"))
}

fn decompressed(bytes: &[u8]) -> Result<Vec<u8>, CallError> {
    let limit = limits::OTLP_RESPONSE;
    let mut message = Vec::new();
    let read = GzDecoder::new(bytes).take(limit.as_u64() + 1).read_to_end(&mut message);
    match read {
        Err(_) => Err(CallError::Invalid("not compressed with gzip")),
        Ok(size) if size as u64 > limit.as_u64() => Err(CallError::TooLarge(limit)),
        Ok(_) => Ok(message),
    }
}

/// Returns the time in the detail `google.rpc.RetryInfo` of a status, whose details are in base64.
pub fn retry_after(details: &[u8]) -> Option<Duration> {
    let details = details.strip_suffix(b"==").or(details.strip_suffix(b"=")).unwrap_or(details);
    let details = Details::decode(BASE64_STANDARD_NO_PAD.decode(details).ok()?.as_slice()).ok()?;
    let info = details.all.iter().find(|detail| detail.kind.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.delay?;
    Some(Duration::new(delay.seconds.try_into().ok()?, delay.nanoseconds.try_into().unwrap_or_default()))
}

/// `google.rpc.Status`: its details.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(message, repeated, tag = "3")]
    all: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(bytes, tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanoseconds: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn shown(pairs: &[(&'static str, &str)]) -> (String, Option<Duration>) {
        let error = status_of(&headers(pairs)).unwrap().unwrap_err();
        (error.to_string(), error.retry_after())
    }

    #[test]
    fn only_failures_that_can_pass_are_retried() {
        let second = Some(Duration::from_secs(1));
        for (code, text, retried) in [
            ("14", "UNAVAILABLE", second),
            ("4", "DEADLINE_EXCEEDED", second),
            ("8", "RESOURCE_EXHAUSTED", None),
            ("3", "INVALID_ARGUMENT", None),
            ("99", "an unknown status", None),
            ("x", "UNKNOWN", None),
        ] {
            assert_eq!(shown(&[("grpc-status", code)]), (text.to_owned(), retried), "{code}");
        }
        let denied = shown(&[("grpc-status", "16"), ("grpc-message", "no%20such key%0A")]);
        assert_eq!(denied.1, None);
        assert!(denied.0.starts_with("UNAUTHENTICATED: no such key; check the API key"), "{}", denied.0);
    }

    #[test]
    fn the_server_names_the_time_of_the_next_attempt() {
        let info = RetryInfo { delay: Some(Delay { seconds: 2, nanoseconds: 500_000_000 }) };
        let kind = "type.googleapis.com/google.rpc.RetryInfo".to_owned();
        let details = Details { all: vec![Detail { kind, value: info.encode_to_vec() }] };
        let details = BASE64_STANDARD_NO_PAD.encode(details.encode_to_vec());
        for details in [details.clone(), format!("{details}==")] {
            let (_, retried) = shown(&[("grpc-status", "8"), ("grpc-status-details-bin", &details)]);
            assert_eq!(retried, Some(Duration::from_millis(2500)));
        }
        assert_eq!(shown(&[("grpc-status", "8"), ("grpc-status-details-bin", "?")]).1, None);
    }

    #[test]
    fn a_response_is_one_whole_message_or_empty() {
        let read = |bytes: &[u8]| message::<RetryInfo>(bytes).map_err(|error| error.to_string());
        assert_eq!(read(b""), Ok(RetryInfo { delay: None }));
        let info = RetryInfo { delay: Some(Delay { seconds: 1, nanoseconds: 0 }) };
        for is_compressed in [false, true] {
            assert_eq!(read(&frame(&info, is_compressed)), Ok(info.clone()));
        }
        let bomb = Detail { kind: String::new(), value: vec![0; 1 << 20] };
        assert_eq!(read(&frame(&bomb, true)), Err("response exceeds 64 KiB".to_owned()));
        for bytes in [&b"\0\0\0"[..], b"\0\0\0\0\x01", b"\x01\0\0\0\0", b"\0\0\0\0\x01\xff"] {
            assert!(read(bytes).unwrap_err().starts_with("invalid response: "), "{bytes:?}");
        }
    }
}
