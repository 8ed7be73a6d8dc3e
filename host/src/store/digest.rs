//! SHA-256 digests: the identity of a component, in files, references and manifests.

use sha2::{Digest, Sha256};

/// The SHA-256 of a component in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
