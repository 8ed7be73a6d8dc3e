//! Trust in a registry: the authorities that its certificate can be of, and the certificate that it may ask for.
//!
//! docker and podman keep both in a folder for each registry: files that end in `.crt` are authorities, and a `.cert`
//! with a `.key` of the same name is the client's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::fault::Fault;
use crate::env;
use crate::file;
use crate::limits;
use crate::text::foreign;
use crate::tls::{self, verifier::Verifier};

/// The trust in one registry beyond that of the machine.
#[derive(Default)]
pub struct Trust {
    authorities: Vec<(PathBuf, CertificateDer<'static>)>,
    client: Option<Client>,
}

/// A certificate of this client.
struct Client {
    path: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Trust {
    /// Reads the folders of a registry, and `ca_file`.
    ///
    /// # Errors
    /// If a file cannot be read, or has no certificate or key.
    pub fn of(registry: &str, ca_file: Option<&Path>) -> Result<Trust, Fault> {
        let mut trust = Trust::default();
        let mut files: Vec<PathBuf> = folders(registry)
            .iter()
            .flat_map(fs::read_dir)
            .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
            .collect();
        files.sort();
        for file in files {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => trust.add(&file, &read(&file)?)?,
                Some("cert") => trust.client = Some(Client::read(&file)?),
                _ => {}
            }
        }
        if let Some(file) = ca_file {
            let bytes = file::read_named("--registry-ca-file", file, limits::CERTIFICATE_FILE)?;
            trust.add(file, &bytes)?;
        }
        Ok(trust)
    }

    /// Returns true if there is nothing beyond the trust of the machine.
    pub fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.client.is_none()
    }

    /// Makes the configuration of TLS.
    ///
    /// # Errors
    /// If a certificate or key cannot be used.
    pub fn config(self) -> Result<ClientConfig, Fault> {
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |error: rustls::Error| Fault::Certificate { path, reason: error.to_string() }
        };
        let setup = |error: &dyn std::error::Error| Fault::Setup(foreign(&error.to_string()));
        let mut roots = tls::native_roots()?;
        let mut trusted = Vec::new();
        for (path, authority) in self.authorities {
            roots.add(authority.clone()).map_err(unusable(&path))?;
            trusted.push(authority);
        }
        let config = tls::client(roots.clone()).map_err(|error| setup(&error))?;
        let mut config = match self.client {
            Some(Client { path, chain, key }) => config.with_client_auth_cert(chain, key).map_err(unusable(&path))?,
            None => config.with_no_client_auth(),
        };
        if !trusted.is_empty() {
            let provider = Arc::clone(config.crypto_provider());
            // docker's documentation makes the registry's own certificate its authority too.
            let verifier = Verifier::trusting(roots, trusted, provider).map_err(|error| setup(&error))?;
            config.dangerous().set_certificate_verifier(Arc::new(verifier));
        }
        Ok(config)
    }

    fn add(&mut self, file: &Path, pem: &[u8]) -> Result<(), Fault> {
        self.authorities.extend(certificates(file, pem)?.into_iter().map(|certificate| (file.to_owned(), certificate)));
        Ok(())
    }
}

impl Client {
    /// Reads a certificate, and the key beside it.
    fn read(file: &Path) -> Result<Client, Fault> {
        let path = file.with_extension("key");
        let key = PrivateKeyDer::from_pem_slice(&read(&path)?)
            .map_err(|_| Fault::Certificate { path, reason: "no private key in PEM".to_owned() })?;
        Ok(Client { path: file.to_owned(), chain: certificates(file, &read(file)?)?, key })
    }
}

/// Returns the folders that can have certificates for a registry.
fn folders(registry: &str) -> Vec<PathBuf> {
    let variable = |name: &str| env::variable_os(name).map(PathBuf::from);
    let config = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    let parents = [Some(PathBuf::from("/etc")), config].into_iter().flatten();
    parents
        .flat_map(|parent| ["docker", "containers"].map(|tool| parent.join(tool).join("certs.d").join(registry)))
        .collect()
}

/// Parses the certificates of a file.
fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    tls::certificates(pem).map_err(|error| {
        let reason = match error {
            PemError::NoItemsFound => "no certificate in PEM".to_owned(),
            error => error.to_string(),
        };
        Fault::Certificate { path: file.to_owned(), reason }
    })
}

fn read(file: &Path) -> Result<Vec<u8>, Fault> {
    let bytes = file::read(file, limits::CERTIFICATE_FILE);
    bytes.map_err(|error| Fault::Certificate { path: file.to_owned(), reason: error.to_string() })
}
