//! Signatures: the proof that the owner of a key approved a component.
//!
//! The signature of a file is in `FILE.sig`, as `cosign sign-blob` writes it; [`registry`](crate::store::registry)
//! reads the signatures of an artifact.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::file::{self, FileError};
use crate::limits;
use crate::store::key::{PublicKey, Signer};
use crate::text::{Foreign, foreign, joined, plural};

/// Keys, one of which must have signed.
#[derive(Debug, Clone)]
pub struct Required {
    /// The keys.
    pub keys: Vec<PublicKey>,
    /// The option or file that requires it.
    pub by: String,
}

/// A signature of an artifact, and the signed text.
#[derive(Debug)]
pub struct Signature {
    /// The text.
    pub message: Vec<u8>,
    /// The signature: ASN.1 DER.
    pub der: Vec<u8>,
    /// The digests of the signed manifests; empty if the text is of another type.
    pub digests: Vec<String>,
}

/// A component without a required signature. The text follows its reference or path.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error("unsigned, but {by} requires a signature: there is no {place}")]
    Missing {
        /// The option or file that requires it.
        by: String,
        /// The place of a signature, and the way to write one there.
        place: String,
    },
    /// No signature is by a required key.
    #[error("not signed by {keys}, as {by} requires: {}, by another key or for other content", plural(*count, "signature"))]
    Invalid {
        /// The required keys.
        keys: String,
        /// The option or file that requires them.
        by: String,
        /// The number of signatures.
        count: usize,
    },
    /// The signature is for another manifest.
    #[error("the signature by {signer} is for {found} instead of {wanted}")]
    OtherDigest {
        /// The signer.
        signer: Signer,
        /// The digest in the signature.
        found: Foreign,
        /// The digest of the manifest.
        wanted: String,
    },
    /// The signed text is not in a format of cosign.
    #[error("the text signed by {0} is not that of cosign sign: an attestation, or text of another program")]
    OtherType(Signer),
    /// A signature cannot be read.
    #[error("invalid signature in {place}: {reason}")]
    Unreadable {
        /// The file or tag.
        place: String,
        /// The fault.
        reason: Foreign,
    },
}

/// Checks all requirements, and returns the signer by the last of them; `None` if there are none.
///
/// # Errors
/// If one of them is not met.
pub fn last_signer(
    required: &[Required],
    check: impl Fn(&Required) -> Result<Signer, SignatureError>,
) -> Result<Option<Signer>, SignatureError> {
    required.iter().try_fold(None, |_, required| check(required).map(Some))
}

impl Required {
    /// Requires the key in the file of an option.
    pub fn by_option(option: &'static str, key: PublicKey) -> Required {
        Required { keys: vec![key], by: option.to_owned() }
    }

    /// Returns the signer of the manifest with this digest.
    ///
    /// # Errors
    /// If none of the signatures is of this digest by one of the keys.
    pub fn signer(&self, digest: &str, signatures: &[Signature]) -> Result<Signer, SignatureError> {
        let mut fault = None;
        for key in &self.keys {
            for signature in signatures.iter().filter(|one| key.verifies(&one.message, &one.der)) {
                let signer = key.signer().clone();
                if signature.digests.iter().any(|one| one == digest) {
                    return Ok(signer);
                }
                fault = Some(match signature.digests.first() {
                    Some(found) => {
                        SignatureError::OtherDigest { signer, found: foreign(found), wanted: digest.to_owned() }
                    }
                    None => SignatureError::OtherType(signer),
                });
            }
        }
        Err(fault.unwrap_or_else(|| self.invalid(signatures.len())))
    }

    /// Checks the signature of a file: `FILE.sig`.
    ///
    /// # Errors
    /// If there is none, or it is not by one of the keys.
    pub fn check_file(&self, path: &Path, content: &[u8]) -> Result<Signer, SignatureError> {
        let place = signature_path(path);
        let unreadable =
            |reason: &str| SignatureError::Unreadable { place: place.display().to_string(), reason: foreign(reason) };
        let text = file::read(&place, limits::KEY_FILE).map_err(|error| match error {
            FileError::Io(error) if error.kind() == ErrorKind::NotFound => self.missing(format!(
                "{}: write it with cosign sign-blob --output-signature (cosign 3: and --new-bundle-format=false)",
                place.display()
            )),
            error => unreadable(&error.to_string()),
        })?;
        let signature =
            BASE64_STANDARD.decode(text.trim_ascii()).map_err(|_| unreadable("it is not a signature in Base64"))?;
        let key = self.keys.iter().find(|key| key.verifies(content, &signature));
        key.map(|key| key.signer().clone()).ok_or_else(|| self.invalid(1))
    }

    /// The error of a component without a signature.
    pub fn missing(&self, place: String) -> SignatureError {
        SignatureError::Missing { by: self.by.clone(), place }
    }

    /// The error of a component with signatures of which none is valid.
    pub fn invalid(&self, count: usize) -> SignatureError {
        let keys: Vec<String> = self.keys.iter().map(|key| key.signer().to_string()).collect();
        SignatureError::Invalid { keys: joined(&keys, " or "), by: self.by.clone(), count }
    }
}

fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}
