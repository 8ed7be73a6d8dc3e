//! TLS to targets, the engine and registries: trusted roots, and one set of ciphers.

pub mod verifier;

use std::path::Path;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use crate::env;
use crate::file;
use crate::limits;

/// The variable that replaces the machine's file of trusted roots.
const ROOTS_VARIABLE: &str = "SSL_CERT_FILE";

/// Reads the machine's trusted roots. An unreadable certificate is skipped.
///
/// # Errors
/// If the file that `SSL_CERT_FILE` names cannot be read.
pub fn native_roots() -> Result<RootCertStore, file::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(native_certificates()?);
    Ok(roots)
}

/// Reads the certificates of the machine's trusted roots.
///
/// # Errors
/// As of [`native_roots`].
pub fn native_certificates() -> Result<Vec<CertificateDer<'static>>, file::Error> {
    if let Some(path) = env::variable_os(ROOTS_VARIABLE) {
        // rustls-native-certs would wait for a pipe, and read a device without end.
        file::read_named(ROOTS_VARIABLE, Path::new(&path), limits::CERTIFICATE_FILE)?;
    }
    Ok(rustls_native_certs::load_native_certs().certs)
}

/// Parses the certificates of a PEM file.
///
/// # Errors
/// If it is not PEM, or has no certificate.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    if certificates.is_empty() { Err(PemError::NoItemsFound) } else { Ok(certificates) }
}

/// Returns the ciphers and signature algorithms.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Starts the configuration of a client that trusts `roots`.
///
/// # Errors
/// If the ciphers support no version of TLS.
pub fn client(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    Ok(config?.with_root_certificates(roots))
}
