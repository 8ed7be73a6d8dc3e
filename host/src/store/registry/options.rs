//! The options of commands that use a registry.

use std::path::PathBuf;

use clap::Args;

/// The options about registries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Registry")]
pub struct RegistryOptions {
    /// Trust the authorities in this PEM file too, besides those of this machine and of docker's and podman's certs.d
    #[arg(long = "registry-ca-file", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// Use plain HTTP for this registry, HOST or HOST:PORT as in the reference; registries on this machine need no
    /// option
    #[arg(long = "registry-plain-http", value_name = "HOST", conflicts_with = "ca_file")]
    pub plain_http: Option<String>,
}

/// An option without an effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// It names another registry.
    #[error("--registry-plain-http {host} has no effect: the registry is {registry}")]
    OtherRegistry {
        /// The named registry.
        host: String,
        /// The registry of the reference.
        registry: String,
    },
    /// No registry is used.
    #[error("{0} has no effect without a registry")]
    NoRegistry(&'static str),
}

impl RegistryOptions {
    /// Returns true if the operator chose plain HTTP for this registry.
    pub fn is_plain_http(&self, registry: &str) -> bool {
        self.plain_http.as_deref() == Some(registry)
    }

    /// Checks that the options have an effect on a command that uses `registry`, or none.
    ///
    /// # Errors
    /// The first one without an effect.
    pub fn check(&self, registry: Option<&str>) -> Result<(), OptionError> {
        match (registry, &self.plain_http, &self.ca_file) {
            (Some(registry), Some(host), _) if host != registry => {
                Err(OptionError::OtherRegistry { host: host.clone(), registry: registry.to_owned() })
            }
            (None, Some(_), _) => Err(OptionError::NoRegistry("--registry-plain-http")),
            (None, _, Some(_)) => Err(OptionError::NoRegistry("--registry-ca-file")),
            _ => Ok(()),
        }
    }
}
