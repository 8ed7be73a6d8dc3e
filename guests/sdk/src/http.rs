//! HTTP to the target: no other host or port can be named.
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

/// The option `--scheme`, for collectors whose targets may speak TLS: see [`Get::scheme_of`].
pub const SCHEME: OptionSpec =
    OptionSpec::choice("scheme", "The protocol that the target speaks", &["http", "https"]).default("http");

/// The body of what the target answers under this path, by plain HTTP.
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
    /// For this path and query, by plain HTTP. Both go onto the wire as they are: the path begins with `/`, and everything special is
    /// percent-encoded.
    pub fn new(path: impl Into<String>) -> Get {
        Get(host::Request { scheme: Scheme::Http, path: path.into(), headers: Vec::new() })
    }

    /// By this protocol.
    #[must_use]
    pub fn scheme(mut self, scheme: Scheme) -> Get {
        self.0.scheme = scheme;
        self
    }

    /// By the protocol that the operator chose with the option [`SCHEME`].
    ///
    /// # Panics
    /// Where the collector does not declare it.
    #[must_use]
    pub fn scheme_of(self, options: &Options) -> Get {
        self.scheme(if options.text("scheme") == "https" { Scheme::Https } else { Scheme::Http })
    }

    /// With this header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Get {
        self.0.headers.push((name.into(), value.into()));
        self
    }

    /// Sends it: the answer, whatever its status.
    ///
    /// # Errors
    /// Why there is no whole answer.
    pub fn send(&self) -> Result<Response, CollectError> {
        host::get(&self.0).map_err(CollectError::Http)
    }

    /// Sends it: the body of the answer.
    ///
    /// # Errors
    /// Why there is no whole answer, or that its status is not 200.
    pub fn body(&self) -> Result<Vec<u8>, CollectError> {
        match self.send()? {
            Response { status: 200, body, .. } => Ok(body),
            Response { status, .. } => Err(CollectError::Status(status)),
        }
    }
}
