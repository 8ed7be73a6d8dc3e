//! Trust: the certificates that targets can present, and the TLS configuration that accepts them.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError, OtherError, RootCertStore,
    SignatureScheme,
};

use crate::file;
use crate::tls;

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
    /// The file of this machine's roots cannot be read.
    #[error(transparent)]
    Roots(Arc<file::Error>),
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
        let verifier: Arc<dyn ServerCertVerifier> = match &self.roots {
            Roots::Any => Arc::new(AcceptAny(Arc::clone(&provider))),
            Roots::File(path, certificates) => {
                let verifier = verifier(certificates.clone(), &provider)?;
                Arc::new(verifier.ok_or_else(|| TrustError::Unusable(path.clone()))?)
            }
            Roots::Machine => {
                let certificates = tls::native_certificates().map_err(|error| TrustError::Roots(Arc::new(error)))?;
                Arc::new(verifier(certificates, &provider)?.ok_or(TrustError::NoRoots)?)
            }
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TrustError::Rustls(Arc::new(error)))?;
        Ok(Arc::new(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
    }
}

/// Returns the verifier that trusts `certificates`, or `None` if none of them can be a root.
fn verifier(
    certificates: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<TrustThese>, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.iter().cloned());
    if roots.is_empty() {
        return Ok(None);
    }
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| TrustError::Rustls(Arc::new(error)))?;
    Ok(Some(TrustThese { chains, certificates }))
}

/// Accepts chains that end at a root, and a root that a target presents as its own certificate: `openssl req -x509`
/// makes such ones, and other clients accept them. Its name and its dates are checked as usual.
#[derive(Debug)]
struct TrustThese {
    chains: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

/// Returns true if a target presented the certificate of an authority as its own. webpki checks the dates before that.
pub fn is_authority(error: &CertificateError) -> bool {
    // rustls has no type for it. Scenarios notice a change of the text.
    matches!(error, CertificateError::Other(OtherError(cause)) if cause.to_string() == "CaUsedAsEndEntity")
}

impl ServerCertVerifier for TrustThese {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        match self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(RustlsError::InvalidCertificate(error))
                if is_authority(&error) && self.certificates.iter().any(|own| own == end_entity) =>
            {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.chains.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.chains.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Accepts any certificate whose key the target has: `--tls-skip-verify`.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
