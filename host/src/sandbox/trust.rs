//! Trust: the certificates that targets can present, and the TLS configuration that accepts them.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::tls::{self, verifier::Verifier};

/// The certificates that the operator trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Roots {
    /// Those of this machine, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    #[default]
    Machine,
    /// Those of `--tls-ca-file` alone.
    File(PathBuf, Vec<CertificateDer<'static>>),
    /// Any certificate.
    Any,
}

/// The trust of one command line, and its TLS configuration, which all targets share.
#[derive(Debug, Default)]
pub struct Trust {
    roots: Roots,
    config: OnceLock<Result<Arc<ClientConfig>, TrustError>>,
}

/// A TLS configuration that cannot be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TrustError {
    /// This machine has no roots.
    #[error("no trusted root certificates on this machine: use --tls-ca-file or SSL_CERT_FILE")]
    NoRoots,
    /// The file of this machine's roots cannot be read. A text, because its cause alone names neither the variable nor
    /// the file.
    #[error("{0}")]
    Roots(String),
    /// No certificate of the file can be a root.
    #[error("no usable certificate in --tls-ca-file {}", .0.display())]
    Unusable(PathBuf),
    /// The roots or ciphers are unusable.
    #[error("{0}")]
    Rustls(Arc<dyn std::error::Error + Send + Sync>),
}

impl Trust {
    /// Trusts `roots`.
    pub fn new(roots: Roots) -> Trust {
        Trust { roots, config: OnceLock::new() }
    }

    /// The trusted certificates.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Returns the TLS configuration. It is made for the first target that needs it, because reading the machine's
    /// roots takes milliseconds.
    ///
    /// # Errors
    /// If there are no usable roots.
    pub fn config(&self) -> Result<Arc<ClientConfig>, TrustError> {
        self.config.get_or_init(|| self.make()).clone()
    }

    fn make(&self) -> Result<Arc<ClientConfig>, TrustError> {
        let provider = tls::provider();
        let verifier = match &self.roots {
            Roots::Any => Verifier::any(Arc::clone(&provider)),
            Roots::File(path, certificates) => {
                verifier(certificates.clone(), &provider)?.ok_or_else(|| TrustError::Unusable(path.clone()))?
            }
            Roots::Machine => {
                let certificates = tls::native_certificates().map_err(|error| TrustError::Roots(error.to_string()))?;
                verifier(certificates, &provider)?.ok_or(TrustError::NoRoots)?
            }
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TrustError::Rustls(Arc::new(error)))?;
        Ok(Arc::new(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()))
    }
}

/// Returns the verifier that trusts `certificates`, also as a target's own, or `None` if none of them can be a root.
fn verifier(
    certificates: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Verifier>, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.iter().cloned());
    if roots.is_empty() {
        return Ok(None);
    }
    let verifier = Verifier::trusting(roots, certificates, Arc::clone(provider));
    verifier.map(Some).map_err(|error| TrustError::Rustls(Arc::new(error)))
}
