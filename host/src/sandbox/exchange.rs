//! One HTTP exchange with a target: its connection, and the words about its failure.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::client::conn::http1;
use hyper::header::CONTENT_ENCODING;
use hyper::http::response;
use hyper::{Request, Uri};
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::activity::Waiting;
use super::coding;
use super::destination::Destination;
use super::protocol::Spoken;
use super::received::{Received, Watched};
use super::remark::Remark;
use super::status::{self, ErrorStatus};
use crate::limits;
use crate::text::{foreign, root_cause};
use crate::tls::verifier::is_authority;

/// One exchange. What it notices becomes the sandbox's remark.
#[derive(Debug, Clone)]
pub struct Exchange {
    destination: Destination,
    by_tls: bool,
    path: Uri,
    /// The bytes below TLS.
    raw: Received,
    /// The bytes of HTTP.
    received: Received,
    chunks: Arc<Chunks>,
}

/// The chunks of a response body.
#[derive(Debug, Default)]
struct Chunks {
    count: AtomicUsize,
    bytes: AtomicUsize,
}

impl Chunks {
    /// Counts a chunk. Returns true if the body has many chunks that are small on average.
    fn add(&self, bytes: usize) -> bool {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        count >= MANY_CHUNKS && bytes / count < SMALL_CHUNK
    }
}

/// The number of chunks from which on their size is checked.
const MANY_CHUNKS: usize = 10_000;

/// The average size in bytes below which chunks are small: handling such a chunk costs more than copying it.
const SMALL_CHUNK: usize = 16;

impl Exchange {
    /// Begins an exchange about `path`. The remark on the one before is gone.
    pub fn begin(destination: &Destination, by_tls: bool, path: &Uri) -> Exchange {
        destination.remark.set(None);
        let (raw, received) = (Received::default(), Received::default());
        let chunks = Arc::default();
        Exchange { destination: destination.clone(), by_tls, path: path.clone(), raw, received, chunks }
    }

    /// Returns the settings of a connection.
    pub fn builder() -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(limits::HTTP_HEAD).max_headers(limits::HTTP_FIELDS);
        builder
    }

    /// Connects to the target.
    ///
    /// # Errors
    /// As of [`Destination::connect`].
    pub async fn connect(&self) -> io::Result<Watched<TcpStream>> {
        Ok(Watched::new(self.destination.connect().await?, self.received.clone()))
    }

    /// Connects to the target over TLS.
    ///
    /// # Errors
    /// If the connection or the handshake fails.
    pub async fn connect_by_tls(&self) -> io::Result<Watched<TlsStream<Watched<TcpStream>>>> {
        let stream = self.destination.connect().await?;
        // The limit before the response is that of the HTTP inside.
        self.raw.set_response();
        let stream = self.destination.shake_hands(Watched::new(stream, self.raw.clone())).await?;
        Ok(Watched::new(stream, self.received.clone()))
    }

    /// Waits for the response to `request` from now on, and names interim responses while they come.
    pub fn expect_response<B>(&self, request: &mut Request<B>) {
        self.destination.activity.set(Waiting::Response);
        let activity = self.destination.activity.clone();
        hyper::ext::on_informational(request, move |_| activity.set(Waiting::FinalResponse));
    }

    /// Takes note of a response, whose body follows.
    pub fn begin_response(&self, head: &response::Parts) {
        self.received.set_response();
        self.destination.activity.set(Waiting::Body);
        if head.status.is_success() {
            return;
        }
        let Destination { http, authority, remark, .. } = &self.destination;
        if let Ok(url) = status::url(self.by_tls, &http.host(authority), &self.path) {
            remark.set(Some(Remark::Status(ErrorStatus::new(head.status, &head.headers, &url, http))));
        }
    }

    /// Counts a chunk of the response body. Very small ones cost much CPU time, which the error should name.
    pub fn count_chunk(&self, bytes: usize) {
        if self.chunks.add(bytes) {
            self.destination.activity.set(Waiting::SmallChunks);
        }
    }

    /// Takes note of a part of the response body.
    pub fn add_body(&self, bytes: &[u8]) {
        self.destination.remark.add_body(bytes);
    }

    /// Takes note of a whole body.
    pub fn end_response(&self, body: &[u8]) {
        self.add_body(body);
        if coding::is_gzip(body) {
            self.fail("the response body is gzip data without Content-Encoding: gzip".to_owned());
        }
    }

    /// Takes note of a coding that the request did not offer, and that the collector has to know.
    pub fn note_coding(&self, head: &response::Parts) {
        if let Some(coding) = head.headers.get(CONTENT_ENCODING).filter(|_| head.status.is_success()) {
            let coding = String::from_utf8_lossy(coding.as_bytes());
            self.fail(format!("the response is compressed with {}, which the request did not offer", foreign(&coding)));
        }
    }

    /// Takes note of the end of the response.
    pub fn end(&self) {
        self.destination.activity.set(Waiting::Collector);
    }

    /// The limit of the response body, in bytes.
    pub fn body_limit(&self) -> u64 {
        self.destination.http.body_limit.as_u64()
    }

    /// Takes note of a response body over the limit, and returns the limit.
    pub fn exceed_body_limit(&self) -> u64 {
        self.fail(format!(
            "response body exceeds {:.0} (--http-body-limit)",
            self.destination.http.body_limit.display().iec()
        ));
        self.body_limit()
    }

    /// Takes note of a failure, and returns it.
    pub fn fail(&self, failure: String) -> String {
        self.destination.remark.set(Some(Remark::Failure(failure.clone())));
        failure
    }

    /// Returns the reason for which there is no connection.
    pub fn no_connection(&self, error: &io::Error) -> String {
        let has_scheme = self.destination.http.hints.has_scheme;
        let hint = |text: String, hint: &str| if has_scheme { format!("{text}{hint}") } else { text };
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
        let closed = "connection closed during the TLS handshake";
        match (Spoken::of(&self.raw.begin()), tls) {
            (Some(Spoken::Tls), Some(error)) => words_of_tls(error),
            (Some(Spoken::Tls), None) => closed.to_owned(),
            (Some(Spoken::Http), _) => hint(Spoken::Http.describe(""), ": leave out --scheme https"),
            (Some(spoken), _) => spoken.describe("not TLS"),
            (None, None) if self.raw.has_response() && error.kind() != ErrorKind::Other => {
                hint(closed.to_owned(), "; if the target speaks plain HTTP, leave out --scheme https")
            }
            (None, _) => root_cause(error),
        }
    }

    /// Explains a missing response head. A closed connection can be reported as reset or as ended: both mean the same.
    pub fn no_response(&self, error: &hyper::Error) -> String {
        let begin = self.received.begin();
        match Spoken::of(&begin) {
            Some(Spoken::Tls) if self.destination.http.hints.has_scheme => {
                "the target speaks TLS: try --scheme https".to_owned()
            }
            Some(Spoken::Tls) => "the target speaks TLS, and the collector plain HTTP".to_owned(),
            Some(Spoken::Http) => self.bad_head(error, &begin),
            Some(spoken) => spoken.describe("not HTTP"),
            None if is_closed(error) && !self.by_tls && self.destination.http.hints.has_scheme => {
                "connection closed before any response; if the target speaks TLS, try --scheme https".to_owned()
            }
            None if is_closed(error) => "connection closed before any response".to_owned(),
            None => tls_alert(error).unwrap_or_else(|| root_cause(error)),
        }
    }

    /// Returns the fault of a response head that begins like HTTP/1 but is invalid or incomplete.
    fn bad_head(&self, error: &hyper::Error, begin: &[u8]) -> String {
        let is_interim = begin.get(9) == Some(&b'1');
        if self.received.is_flood() && is_interim {
            return "the target sends interim responses (HTTP 1xx) without end".to_owned();
        }
        if error.is_parse_too_large() && self.received.bytes() < limits::HTTP_HEAD as u64 {
            return format!("response has more than {} header fields (fixed limit)", limits::HTTP_FIELDS);
        }
        if error.is_parse_too_large() || self.received.is_flood() {
            return format!("response head exceeds {} KiB (fixed limit)", limits::HTTP_HEAD / 1024);
        }
        if is_closed(error) {
            return "incomplete response: connection closed within the response head".to_owned();
        }
        match root_cause(error).as_str() {
            "invalid content-length parsed" => {
                "invalid response: Content-Length is not a number, or too large".to_owned()
            }
            other => format!("invalid response: {}", other.trim_end_matches(" parsed")),
        }
    }
}

/// Returns the words of a TLS alert that came after the handshake.
fn tls_alert(error: &hyper::Error) -> Option<String> {
    let cause = error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<TlsError>()?;
    Some(format!("connection failed: {}", words_of_tls(cause)))
}

/// Returns the reason for which a response body ends too early.
pub fn broken_body(error: &hyper::Error) -> String {
    let cause = root_cause(error);
    let words = match cause.as_str() {
        "end of file before message length reached" => "connection closed before the announced length",
        "unexpected EOF during chunk size line" => "connection closed before the last chunk",
        _ if is_closed(error) => "connection closed",
        other => other,
    };
    format!("incomplete response: {words}")
}

fn is_closed(error: &hyper::Error) -> bool {
    let system = StdError::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof];
    system.is_some_and(|cause| cause.get_ref().is_none() && kinds.contains(&cause.kind()))
        || error.is_canceled()
        || error.is_closed()
        || error.is_incomplete_message()
}

/// Describes a failed handshake, with the option that helps.
pub fn words_of_tls(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(error) => words_of_certificate(error),
        TlsError::AlertReceived(alert) => match alert {
            AlertDescription::ProtocolVersion => "the target supports neither TLS 1.2 nor 1.3".to_owned(),
            AlertDescription::UnrecognisedName => {
                "the target has no certificate for this name: try --tls-server-name NAME".to_owned()
            }
            AlertDescription::CertificateRequired => {
                "the target requires a client certificate, which is not supported".to_owned()
            }
            AlertDescription::NoApplicationProtocol => "the target does not speak HTTP/1.1 over TLS".to_owned(),
            other => format!("the target ended the TLS handshake with the alert {other:?}"),
        },
        TlsError::PeerIncompatible(_) => {
            format!("the target and this program have no version or cipher of TLS in common ({error})")
        }
        other => other.to_string(),
    }
}

fn words_of_certificate(error: &CertificateError) -> String {
    let date = |time: &rustls::pki_types::UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
    };
    match error {
        CertificateError::UnknownIssuer => {
            "untrusted certificate: its issuer is not among the trusted roots (--tls-ca-file or SSL_CERT_FILE)"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "untrusted certificate: its issuer has the name of a trusted root, and another key (--tls-ca-file)"
                .to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => format!("certificate expired at {}", date(not_after)),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("certificate is not valid before {}: is this machine's clock right?", date(not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<String> = presented.iter().take(limits::ALIKE).map(|name| plain_name(name)).collect();
            let more = presented.len() - names.len();
            let names = match (&names[..], more) {
                ([], _) => "no name (subjectAltName)".to_owned(),
                (names, 0) => names.join(", "),
                (names, more) => format!("{} and {more} more", names.join(", ")),
            };
            format!("certificate is for {}, not for {} (--tls-server-name)", foreign(&names), expected.to_str())
        }
        error if is_authority(error) => {
            "untrusted certificate: it is self-signed, or an authority's own (--tls-ca-file with this certificate)"
                .to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "certificate is not one for servers (extended key usage)".to_owned()
        }
        CertificateError::BadEncoding => "certificate is malformed".to_owned(),
        other => format!("invalid certificate: {other}"),
    }
}

/// Returns the name inside `DnsName("api.example.com")` or `IpAddress(127.0.0.1)`.
fn plain_name(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').to_owned()
}
