//! The flags about HTTP requests to targets.

// The doc comments of flags are their help texts, not Markdown.
#![allow(clippy::doc_markdown)]

use std::path::PathBuf;
use std::sync::Arc;

use bytesize::ByteSize;
use clap::Args;
use rustls::pki_types::pem::Error as PemError;

use super::collector::CollectorOptions;
use super::header::{Fields, HeaderError, Source, is_secret};
use super::size::{format_size, parse_size};
use crate::file;
use crate::limits;
use crate::sandbox::http_settings::{Hints, HttpSettings, user_agent};
use crate::sandbox::trust::{Roots, Trust};
use crate::sandbox::{Description, OptionKind};
use crate::tls;

/// The flags, as typed. Their doc comments are the help texts.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP requests to targets")]
pub(super) struct HttpFlags {
    /// A header field of all requests, such as 'Host: api.example.com'; repeatable; put secrets into a file
    #[arg(long = "http-header", value_name = "NAME: VALUE", allow_hyphen_values = true)]
    http_headers: Vec<String>,

    /// A file with header fields, one in each line; repeatable
    #[arg(long = "http-header-file", value_name = "PATH")]
    http_header_files: Vec<PathBuf>,

    /// The user name of basic authentication
    #[arg(long, value_name = "NAME", requires = "http_password_file", conflicts_with = "http_bearer_token_file")]
    http_user: Option<String>,

    /// The file with the password of --http-user
    #[arg(long, value_name = "PATH", requires = "http_user")]
    http_password_file: Option<PathBuf>,

    /// The file with a token, sent as 'Authorization: Bearer TOKEN'
    #[arg(long, value_name = "PATH")]
    http_bearer_token_file: Option<PathBuf>,

    /// The size of one response body; the host and the collector hold it at the same time
    #[arg(long, value_name = "SIZE", default_value = format_size(limits::HTTP_BODY), value_parser = parse_size)]
    http_body_limit: ByteSize,

    /// Trust only the certificates in this PEM file, instead of this machine's
    #[arg(long, value_name = "PATH")]
    tls_ca_file: Option<PathBuf>,

    /// Accept any certificate of a target: anyone on the network path can read and change the traffic
    #[arg(long, conflicts_with = "tls_ca_file")]
    tls_skip_verify: bool,
}

/// The ids of the flags that need a collector that sends HTTP requests.
pub(super) const IDS: [&str; 6] = [
    "http_headers",
    "http_header_files",
    "http_user",
    "http_password_file",
    "http_bearer_token_file",
    "http_body_limit",
];

/// The ids of the flags that need a collector that connects over TLS by the host.
pub(super) const TLS_IDS: [&str; 2] = ["tls_ca_file", "tls_skip_verify"];

/// The flags whose values are paths of files.
const FILES: [&str; 4] = ["http-header-file", "http-password-file", "http-bearer-token-file", "tls-ca-file"];

/// Returns true if the value of `--FLAG` is the path of a file.
pub(super) fn is_file(flag: &str) -> bool {
    FILES.contains(&flag)
}

/// Flags about HTTP that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A header field cannot be sent.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The file of certificates cannot be read.
    #[error(transparent)]
    File(#[from] file::Error),
    /// The file of certificates has none.
    #[error("--tls-ca-file {}: expected certificates in PEM: {source}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: PemError,
    },
    /// The body limit does not fit into the memory limit.
    #[error(
        "--http-body-limit {} needs --memory-limit {} or more: the host and the collector hold the body at the same time",
        format_size(*limit),
        format_size(*needed)
    )]
    BodyLimit {
        /// The limit.
        limit: ByteSize,
        /// The memory that it needs.
        needed: ByteSize,
    },
    /// An option about TLS without TLS.
    #[error("--{0} needs --scheme https: plain HTTP has no certificates")]
    WithoutTls(&'static str),
}

/// The resolved flags.
#[derive(Debug, Clone, Default)]
pub struct HttpOptions {
    /// The settings of requests.
    pub settings: Arc<HttpSettings>,
    /// The files that were named.
    pub files: Vec<PathBuf>,
    /// The parts of the state key: header fields that are not secret can select other values.
    pub identity: Vec<String>,
    /// The names of header fields on the command line whose values are probably secret.
    pub secrets_in_arguments: Vec<String>,
}

impl HttpFlags {
    /// Checks the flags, and reads their files if `reads_files`.
    ///
    /// # Errors
    /// If a file cannot be read, or flags do not fit together.
    pub(super) fn resolve(
        self,
        description: &Description,
        collector: &CollectorOptions,
        memory: ByteSize,
        reads_files: bool,
    ) -> Result<HttpOptions, HttpError> {
        let hints = hints(description);
        self.check_limit(memory)?;
        self.check_tls(hints, collector)?;
        let mut fields = Fields::default();
        for text in &self.http_headers {
            fields.add_text(&Source::Argument, text)?;
        }
        let is_in_argument_secret = |name: &&str| is_secret(name);
        let secrets_in_arguments = fields.names().filter(is_in_argument_secret).map(str::to_owned).collect();
        let mut identity: Vec<String> =
            fields.public().map(|(name, value)| format!("http-header={name}:{value}")).collect();
        identity.extend(self.http_user.iter().map(|user| format!("http-user={user}")));
        for path in self.http_header_files.iter().filter(|_| reads_files) {
            fields.add_file(path)?;
        }
        if let (Some(user), Some(path)) = (&self.http_user, &self.http_password_file) {
            fields.add_basic(user, path, reads_files)?;
        }
        if let Some(path) = &self.http_bearer_token_file {
            fields.add_bearer(path, reads_files)?;
        }
        let roots = self.roots(reads_files)?;
        let settings = HttpSettings {
            authorization_from: fields.authorization_from(),
            secrets: fields.secrets(),
            headers: fields.into_headers(),
            user_agent: user_agent(&description.name),
            body_limit: self.http_body_limit,
            trust: Trust::new(roots),
            hints,
        };
        let mut files = self.http_header_files;
        files.extend([self.http_password_file, self.http_bearer_token_file, self.tls_ca_file].into_iter().flatten());
        Ok(HttpOptions { settings: Arc::new(settings), files, identity, secrets_in_arguments })
    }

    fn check_limit(&self, memory: ByteSize) -> Result<(), HttpError> {
        let limit = self.http_body_limit;
        let needed = ByteSize::b(limit.as_u64().saturating_mul(2));
        let is_default = limit == limits::HTTP_BODY;
        if needed > memory && !is_default { Err(HttpError::BodyLimit { limit, needed }) } else { Ok(()) }
    }

    fn check_tls(&self, hints: Hints, collector: &CollectorOptions) -> Result<(), HttpError> {
        let is_http =
            hints.has_scheme && collector.public().any(|option| option.name == "scheme" && option.value == "http");
        let flag = if self.tls_skip_verify {
            Some("tls-skip-verify")
        } else {
            self.tls_ca_file.as_ref().map(|_| "tls-ca-file")
        };
        match flag.filter(|_| is_http) {
            Some(flag) => Err(HttpError::WithoutTls(flag)),
            None => Ok(()),
        }
    }

    fn roots(&self, reads_files: bool) -> Result<Roots, HttpError> {
        let Some(path) = &self.tls_ca_file else {
            return Ok(if self.tls_skip_verify { Roots::Any } else { Roots::Machine });
        };
        let certificates = if reads_files {
            let pem = file::read_named("--tls-ca-file", path, limits::CERTIFICATE_FILE)?;
            tls::certificates(&pem).map_err(|source| HttpError::Certificates { path: path.clone(), source })?
        } else {
            Vec::new()
        };
        Ok(Roots::File(path.clone(), certificates))
    }
}

/// Returns the options of the collector that messages can name.
fn hints(description: &Description) -> Hints {
    let has = |name: &str, is_kind: fn(&OptionKind) -> bool| {
        description.options.iter().any(|option| option.name == name && is_kind(&option.kind))
    };
    Hints {
        has_scheme: has(
            "scheme",
            |kind| matches!(kind, OptionKind::Choice(words) if words.iter().any(|word| word == "https")),
        ),
        has_path: has("path", |kind| matches!(kind, OptionKind::Text)),
    }
}
