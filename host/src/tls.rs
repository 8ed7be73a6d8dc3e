//! TLS to targets, the engine and registries: the trusted roots of this machine, and one set of ciphers.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WantsClientCert;
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
    if let Some(path) = env::variable_os(ROOTS_VARIABLE) {
        // rustls-native-certs would wait for a pipe, and read a device without end.
        file::read_named(ROOTS_VARIABLE, Path::new(&path), limits::CERTIFICATE_FILE)?;
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Ok(roots)
}

/// Starts the configuration of a client that trusts `roots`.
///
/// # Errors
/// If the ciphers support no version of TLS.
pub fn client(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config?.with_root_certificates(roots))
}
