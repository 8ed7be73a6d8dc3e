//! HTTP requests to the target. No other host or port can be named.
//!
//! ```no_run
//! use mackerel_collector::{CollectError, http};
//!
//! # fn main() -> Result<(), CollectError> {
//! let body = http::get("/stats")?;
//! let same = http::Get::new("/stats").header("accept", "application/json").body()?;
//! # Ok(())
//! # }
//! ```

pub use crate::bindings::mackerel::collector::http::{Error, Response, Scheme};

use crate::bindings::mackerel::collector::http as host;
use crate::{CollectError, OptionSpec, Options};

/// The option `--scheme`, for collectors whose targets may use TLS. [`Get::scheme_of`] reads it.
pub const SCHEME: OptionSpec =
    OptionSpec::choice("scheme", "The protocol that the target speaks", &["http", "https"]).default("http");

/// Requests this path and query over plain HTTP, and returns the response body of at most 4 MiB, unless the operator
/// raises the limit.
///
/// # Errors
/// As [`Get::body`].
pub fn get(path: &str) -> Result<Vec<u8>, CollectError> {
    Get::new(path).body()
}

/// A GET request.
#[derive(Debug, Clone)]
pub struct Get(host::Request);

impl Get {
    /// A request for this path and query over plain HTTP.
    ///
    /// The text is sent unchanged: it must begin with `/`, have no fragment, and be percent-encoded.
    pub fn new(path: impl Into<String>) -> Get {
        Get(host::Request { scheme: Scheme::Http, path: path.into(), headers: Vec::new() })
    }

    /// Sets the protocol.
    #[must_use]
    pub fn scheme(mut self, scheme: Scheme) -> Get {
        self.0.scheme = scheme;
        self
    }

    /// Sets the protocol that the operator chose with the option [`SCHEME`].
    ///
    /// # Panics
    /// If the collector does not declare the option.
    #[must_use]
    pub fn scheme_of(self, options: &Options) -> Get {
        self.scheme(if options.text("scheme") == "https" { Scheme::Https } else { Scheme::Http })
    }

    /// Adds a header field. The host rejects `host`, `connection` and `content-length`, which it sets itself.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Get {
        self.0.headers.push((name.into(), value.into()));
        self
    }

    /// Sends the request and returns the response, whatever its status.
    ///
    /// # Errors
    /// [`CollectError::Http`] if the request is invalid, the connection fails, or the response is incomplete or too
    /// large.
    pub fn send(&self) -> Result<Response, CollectError> {
        host::get(&self.0).map_err(CollectError::Http)
    }

    /// Sends the request and returns the response body.
    ///
    /// # Errors
    /// As [`send`](Get::send), and [`CollectError::Status`] if the status is not 200.
    pub fn body(&self) -> Result<Vec<u8>, CollectError> {
        match self.send()? {
            Response { status: 200, body, .. } => Ok(body),
            Response { status, .. } => Err(CollectError::Status(status)),
        }
    }
}
