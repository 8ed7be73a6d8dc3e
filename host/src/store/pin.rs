//! Pins: the record of an installed collector, which makes sure that the component that runs is the one that was
//! installed.

use serde::{Deserialize, Serialize};

use crate::private_dir::Stamp;
use crate::store::compiled::{self, Code};
use crate::store::kept;
use crate::store::key::Signer;
use crate::text::{Foreign, foreign};

/// The version of the file format. Files of other versions are rejected.
const FORMAT: u32 = 1;

/// An installed collector: its description, its source, and the stamps of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "the pin of an installed collector")]
pub struct Pin {
    format: u32,
    /// The name by its own description.
    pub name: String,
    /// The version by its own description.
    pub version: String,
    /// The summary by its own description.
    pub summary: String,
    /// The source: a registry reference with the manifest's digest, or a file's path.
    pub source: String,
    /// The signer; `None` if no signature was required.
    #[serde(default)]
    pub signed: Option<Signer>,
    /// The component's SHA-256 in hexadecimal.
    pub digest: String,
    /// The component's size in bytes.
    pub size: u64,
    /// The stamp of the component's file when its digest was last checked.
    pub component: Stamp,
    /// The compiled form; `None` if it could not be written.
    pub code: Option<Code>,
}

/// A file that is not the pin of a collector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// It is not the JSON of a pin.
    #[error("invalid pin: {0}")]
    Json(Foreign),
    /// It has another format.
    #[error("pin of format {0}, but this program reads format {FORMAT}")]
    Format(u32),
    /// It belongs to another collector.
    #[error("pin of another collector, '{0}'")]
    Name(Foreign),
    /// The digest is malformed.
    #[error("'{0}' is not a digest")]
    Digest(Foreign),
}

impl Pin {
    /// Makes a pin before its files are written.
    pub fn new(name: String, version: String, summary: String, source: String, digest: String, size: u64) -> Pin {
        let (signed, component, code) = (None, Stamp::default(), None);
        Pin { format: FORMAT, name, version, summary, source, signed, digest, size, component, code }
    }

    /// Parses the pin of the collector `name`.
    ///
    /// # Errors
    /// If it is not a pin of that collector.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Pin, PinError> {
        let pin: Pin = serde_json::from_slice(bytes).map_err(|error| PinError::Json(foreign(&error.to_string())))?;
        if pin.format != FORMAT {
            return Err(PinError::Format(pin.format));
        }
        if pin.name != name {
            return Err(PinError::Name(foreign(&pin.name)));
        }
        // It becomes part of file names.
        if pin.digest.len() != 64 || !pin.digest.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(PinError::Digest(foreign(&pin.digest)));
        }
        Ok(pin)
    }

    /// Formats the file.
    pub fn bytes(&self) -> Vec<u8> {
        // Texts and numbers: this cannot fail.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Returns the name of the component's file.
    pub fn component_name(&self) -> String {
        format!("{}.wasm", self.digest)
    }

    /// Returns the names of all files of the collector except the pin's own.
    pub fn file_names(&self) -> Vec<String> {
        let of_code = |code: &Code| {
            let compatibility = &code.compatibility;
            [compiled::file_name(&self.digest, compatibility), kept::file_name(&self.digest, compatibility)]
        };
        let of_code = self.code.as_ref().map(of_code);
        std::iter::once(self.component_name()).chain(of_code.into_iter().flatten()).collect()
    }
}
