//! Keys of signatures: ECDSA P-256 with SHA-256, the kind that cosign makes.
//!
//! ring verifies. A private key is read by rustls, because it takes both forms that openssl writes: PKCS#8 and SEC 1.

use std::fmt;
use std::path::Path;

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::SignatureScheme;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};

use crate::file;
use crate::limits;
use crate::store::digest::digest;
use crate::text::foreign;
use crate::tls;

/// The DER of every ECDSA P-256 public key, up to its point.
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The length of a point that is not compressed.
const P256_POINT: usize = 65;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    signer: Signer,
    point: Vec<u8>,
}

/// The signer of a component: the key that its signature was checked with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// The name of the key's file.
    pub name: String,
    /// The SHA-256 of the public key's DER in hexadecimal.
    pub key: String,
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (key sha256:{})", foreign(&self.name), foreign(&self.key))
    }
}

/// A private key.
pub struct PrivateKey {
    key: Box<dyn rustls::sign::Signer>,
    /// Its public key.
    pub public: PublicKey,
}

/// A file that is not a key. The text follows the file's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It has no public key.
    #[error("no public key in PEM: print that of a private key with: openssl pkey -in FILE -pubout")]
    NoPublicKey,
    /// It has no private key.
    #[error("no private key in PEM: create one with: {CREATE}")]
    NoPrivateKey,
    /// The private key has a password.
    #[error("its private key is encrypted: sign with cosign itself, or with an unencrypted key: {CREATE}")]
    Encrypted,
    /// The key is of another kind.
    #[error("not an ECDSA P-256 key")]
    OtherKind,
}

/// Creates a private key that cosign can import.
const CREATE: &str = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out FILE";

/// An option's key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] file::Error),
    /// It is not a key.
    #[error("{option} {path}: {fault}")]
    Key {
        /// The option.
        option: &'static str,
        /// The file.
        path: String,
        /// The fault.
        fault: KeyFault,
    },
}

impl From<KeyError> for crate::error::Error {
    fn from(error: KeyError) -> crate::error::Error {
        crate::error::Error::failed(error)
    }
}

impl PublicKey {
    /// Reads the public key in the file of an option.
    ///
    /// # Errors
    /// If the file cannot be read, or has no key of this kind.
    pub fn read(option: &'static str, path: &Path) -> Result<PublicKey, KeyError> {
        let pem = file::read_named(option, path, limits::KEY_FILE)?;
        PublicKey::parse(&file_name(path), &pem).map_err(|fault| of_option(option, path, fault))
    }

    /// Parses a PEM public key. `name` is that of its file.
    ///
    /// # Errors
    /// If there is no key of this kind.
    pub fn parse(name: &str, pem: &[u8]) -> Result<PublicKey, KeyFault> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| KeyFault::NoPublicKey)?;
        PublicKey::of_der(name, &der)
    }

    fn of_der(name: &str, der: &[u8]) -> Result<PublicKey, KeyFault> {
        let point =
            der.strip_prefix(&P256_HEAD).filter(|point| point.len() == P256_POINT).ok_or(KeyFault::OtherKind)?;
        let signer = Signer { name: name.to_owned(), key: digest(der) };
        Ok(PublicKey { signer, point: point.to_owned() })
    }

    /// Returns true if `signature` (ASN.1 DER) is this key's signature of the message.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point).verify(message, signature).is_ok()
    }

    /// The name of this key.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }
}

impl PrivateKey {
    /// Reads the private key in the file of an option.
    ///
    /// # Errors
    /// If the file cannot be read, or has no unencrypted key of this kind.
    pub fn read(option: &'static str, path: &Path) -> Result<PrivateKey, KeyError> {
        let pem = file::read_named(option, path, limits::KEY_FILE)?;
        PrivateKey::parse(&file_name(path), &pem).map_err(|fault| of_option(option, path, fault))
    }

    fn parse(name: &str, pem: &[u8]) -> Result<PrivateKey, KeyFault> {
        // A PEM label of openssl or cosign, or a PEM header of openssl.
        if String::from_utf8_lossy(pem).contains("ENCRYPTED") {
            return Err(KeyFault::Encrypted);
        }
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyFault::NoPrivateKey)?;
        let key = tls::provider().key_provider.load_private_key(der).map_err(|_| KeyFault::OtherKind)?;
        let public = key.public_key().ok_or(KeyFault::OtherKind)?;
        let public = PublicKey::of_der(name, &public)?;
        let key = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).ok_or(KeyFault::OtherKind)?;
        Ok(PrivateKey { key, public })
    }

    /// Signs a message. The signature is ASN.1 DER.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.key.sign(message)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn of_option(option: &'static str, path: &Path, fault: KeyFault) -> KeyError {
    KeyError::Key { option, path: path.display().to_string(), fault }
}
