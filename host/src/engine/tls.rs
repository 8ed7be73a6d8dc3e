//! TLS to an engine, set up as docker's own client is: by `DOCKER_CERT_PATH`, a folder of certificates.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::env;
use crate::file::{self, FileError};
use crate::limits;
use crate::text::{Foreign, foreign};
use crate::tls;

/// A fault of the certificates.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The engine's host cannot be a server name.
    #[error("'{0}' is not a valid server name")]
    ServerName(Foreign),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: FileError,
    },
    /// The machine's trusted roots cannot be read.
    #[error(transparent)]
    Roots(#[from] file::Error),
    /// A file is not PEM, or has no certificate or key.
    #[error("cannot read {}: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: PemError,
    },
    /// A certificate or key is unusable.
    #[error("cannot use {}: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: rustls::Error,
    },
    /// The ciphers support no version of TLS.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// Returns true if the environment enables TLS for a `tcp` URL.
pub fn is_enabled() -> bool {
    ["DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"].into_iter().any(|name| env::variable(name).is_some())
}

/// TLS to one engine.
pub struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// Trusts `ca.pem` and this machine's roots for a certificate of `host`, and presents `cert.pem` if it exists. They
    /// are in `folder`, or in the one of docker's client.
    pub fn new(host: &str, folder: Option<&Path>) -> Result<Tls, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::ServerName(foreign(host)))?;
        let home = || PathBuf::from(env::variable("HOME").unwrap_or_default()).join(".docker");
        let of_client = || env::variable("DOCKER_CERT_PATH").map_or_else(home, PathBuf::from);
        let folder = folder.map_or_else(of_client, Path::to_owned);
        let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|file| folder.join(file));
        let unusable = |path: &Path| {
            let path = path.to_owned();
            |source| TlsError::Unusable { path, source }
        };
        let mut roots = tls::native_roots()?;
        for certificate in read(&ca, tls::certificates)? {
            roots.add(certificate).map_err(unusable(&ca))?;
        }
        let config = tls::client(roots)?;
        let config = if cert.exists() || key.exists() {
            config
                .with_client_auth_cert(read(&cert, tls::certificates)?, read(&key, PrivateKeyDer::from_pem_slice)?)
                .map_err(unusable(&cert))?
        } else {
            config.with_no_client_auth()
        };
        Ok(Tls { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Shakes hands over `stream`.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

/// Reads and parses a file.
fn read<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T, PemError>) -> Result<T, TlsError> {
    let pem = file::read(path, limits::CERTIFICATE_FILE)
        .map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    parse(&pem).map_err(|source| TlsError::Pem { path: path.to_owned(), source })
}
