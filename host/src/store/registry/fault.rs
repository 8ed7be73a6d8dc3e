//! The faults of a transfer. Each text follows the reference.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use reqwest::StatusCode;

use crate::file;
use crate::store::signature::SignatureError;
use crate::text::Foreign;

/// The fault of a transfer. The text follows the reference.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The transfer takes too long.
    #[error("transfer exceeded {} (fixed limit)", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// TLS or the HTTP client cannot be set up.
    #[error("cannot set up the connection: {0}")]
    Setup(Foreign),
    /// A file that an option or a variable names cannot be read.
    #[error(transparent)]
    File(#[from] file::Error),
    /// A certificate or key cannot be used.
    #[error("{}: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// There is no response.
    #[error("no response from {registry}: {reason}")]
    NoResponse {
        /// The registry.
        registry: String,
        /// The cause, and the fix if it is known.
        reason: String,
    },
    /// Another host, to which the registry redirects, does not respond.
    #[error("{registry} redirected to {host}, which did not respond: {reason}")]
    RedirectedToNothing {
        /// The registry.
        registry: String,
        /// The other host.
        host: Foreign,
        /// The cause, and the fix if it is known.
        reason: String,
    },
    /// A login is required.
    #[error("{0} requires a login: docker login {0}")]
    LoginRequired(String),
    /// The login is rejected.
    #[error("{registry} rejected the login in {}: docker login {registry}", file.display())]
    LoginRejected {
        /// The registry.
        registry: String,
        /// The file that has the login, or names the helper that has it.
        file: PathBuf,
    },
    /// The login is an identity token, which is not supported.
    #[error(
        "the login for {registry} in {} is an identity token, which is not supported: docker login {registry} with a \
         user and a password or token",
        file.display()
    )]
    IdentityToken {
        /// The registry.
        registry: String,
        /// The file.
        file: PathBuf,
    },
    /// A file of logins cannot be opened or read.
    #[error("cannot read logins from {}: {reason}", file.display())]
    LoginFile {
        /// The file.
        file: PathBuf,
        /// The fault.
        reason: Foreign,
    },
    /// A login cannot be used.
    #[error("cannot use the login for {registry} in {}: {reason}", file.display())]
    Login {
        /// The registry.
        registry: String,
        /// The file.
        file: PathBuf,
        /// The cause.
        reason: Foreign,
    },
    /// The user has no access.
    #[error("{registry} denies access to {user}")]
    Forbidden {
        /// The registry.
        registry: String,
        /// The user.
        user: Foreign,
    },
    /// There is no such repository, tag or digest.
    #[error("{0} has no such repository, tag or digest")]
    NotFound(String),
    /// The registry returns another status.
    #[error("{registry} returned HTTP {status}{}", after_colon(message))]
    Status {
        /// The registry.
        registry: String,
        /// The status.
        status: StatusCode,
        /// The registry's message; empty if it has none.
        message: Foreign,
    },
    /// Another host, to which the registry redirects, returns a status other than success.
    #[error("{registry} redirected to {host}, which returned HTTP {status}{}", after_colon(message))]
    Redirected {
        /// The registry.
        registry: String,
        /// The other host.
        host: Foreign,
        /// The status.
        status: StatusCode,
        /// The other host's message; empty if it has none.
        message: Foreign,
    },
    /// The registry does not name the address of an upload.
    #[error("{0} accepted the upload without a valid Location")]
    Location(String),
    /// The token server that the registry names does not give a token.
    #[error("{registry} requires a token from {realm}, which {reason}")]
    Token {
        /// The registry.
        registry: String,
        /// The token server.
        realm: Foreign,
        /// The fault.
        reason: String,
    },
    /// A part of the response is incomplete.
    #[error("incomplete {part}: {reason}")]
    Incomplete {
        /// The part.
        part: &'static str,
        /// The cause.
        reason: Foreign,
    },
    /// A part of the response is too large.
    #[error("{part} exceeds {limit} bytes")]
    TooLarge {
        /// The part.
        part: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A part of the response has another digest.
    #[error("{part} has digest {found} instead of {wanted}")]
    Digest {
        /// The part.
        part: &'static str,
        /// The digest of the response.
        found: String,
        /// The wanted digest.
        wanted: String,
    },
    /// The manifest is not JSON of a manifest.
    #[error("invalid manifest")]
    Manifest,
    /// The manifest names something that is not a digest.
    #[error("invalid manifest: '{0}' is not a digest")]
    ManifestDigest(Foreign),
    /// The reference leads to a list of images.
    #[error("not a component but a list of images for several platforms")]
    Index,
    /// The reference leads to a list of several components.
    #[error("not one component but a list of {0}: choose one by its digest")]
    Components(usize),
    /// The manifest is not that of a component.
    #[error("not a component, which has one layer of type application/wasm: has {count} ({types})")]
    Layers {
        /// The number of layers.
        count: usize,
        /// Their types.
        types: Foreign,
    },
    /// A required signature is missing or wrong.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The component is too large.
    #[error("component exceeds {:.0} (fixed limit)", .0.display().iec())]
    Size(ByteSize),
}

/// Formats the message after a status.
fn after_colon(message: &Foreign) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}
