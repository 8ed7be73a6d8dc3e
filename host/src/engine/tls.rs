//! TLS to an engine, set up as docker's own client is: by `DOCKER_CERT_PATH`, a folder of certificates.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::env;
use crate::tls;

/// Whether an address that leaves it open is meant to be spoken to by TLS.
pub(super) fn is_wanted() -> bool {
    ["DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"].into_iter().any(|name| env::variable(name).is_some())
}

/// An engine that speaks TLS.
pub(super) struct Peer {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Peer {
    /// One whose certificate is for `host`, and which `ca.pem` or this machine vouches for. It is shown `cert.pem` where there is one.
    pub(super) fn new(host: &str) -> Result<Peer, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("'{host}': {error}"))?;
        let home = || PathBuf::from(env::variable("HOME").unwrap_or_default()).join(".docker");
        let folder = env::variable("DOCKER_CERT_PATH").map_or_else(home, PathBuf::from);
        let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|file| folder.join(file));
        let mut roots = tls::native_roots();
        for certificate in read(&ca, certificates)? {
            roots.add(certificate).map_err(|error| format!("{} cannot be used: {error}", ca.display()))?;
        }
        let config = tls::client(roots)?;
        let config = if cert.exists() || key.exists() {
            let own =
                config.with_client_auth_cert(read(&cert, certificates)?, read(&key, PrivateKeyDer::from_pem_slice)?);
            own.map_err(|error| format!("{} with {} cannot be used: {error}", cert.display(), key.display()))?
        } else {
            config.with_no_client_auth()
        };
        Ok(Peer { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Shakes hands.
    pub(super) async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

/// What is in a file.
fn read<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T, PemError>) -> Result<T, String> {
    let cannot = |error: &dyn Display| format!("cannot read {}: {error}", path.display());
    let pem = fs::read(path).map_err(|error| cannot(&error))?;
    parse(&pem).map_err(|error| cannot(&error))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    if certificates.is_empty() { Err(PemError::NoItemsFound) } else { Ok(certificates) }
}
