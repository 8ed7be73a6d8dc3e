//! Pins: what is remembered of an installed collector, so that what runs is what was installed.

use serde::{Deserialize, Serialize};

use crate::private_dir::Stamp;
use crate::text::foreign;

/// The version of the file's form. A file of another one is not read.
const FORMAT: u32 = 1;

/// An installed collector: what it is, where it came from, and by what its files are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "this program's note of an installed collector")]
pub struct Pin {
    format: u32,
    /// Its name, as it says itself.
    pub name: String,
    /// Its version, as it says itself.
    pub version: String,
    /// What it collects, as it says itself.
    pub summary: String,
    /// What `install` was given: a reference of a registry with the manifest's digest, or a file's path.
    pub source: String,
    /// The component's SHA-256 in hexadecimal.
    pub digest: String,
    /// The component's size in bytes.
    pub size: u64,
    /// What the component's file looked like when its content was last known to have the digest.
    pub component: Stamp,
    /// The compiled form; none where it could not be written.
    pub code: Option<Code>,
}

/// A compiled form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// With what it was compiled: wasmtime's version, the engine's settings, the processor.
    pub compatibility: String,
    /// What its file looked like when it had been written.
    pub file: Stamp,
}

impl Pin {
    /// A pin of files that are not written yet.
    pub fn new(name: String, version: String, summary: String, source: String, digest: String, size: u64) -> Pin {
        Pin { format: FORMAT, name, version, summary, source, digest, size, component: Stamp::default(), code: None }
    }

    /// Reads the pin of the collector `name`.
    ///
    /// # Errors
    /// Where that is not what this program wrote for it: in what way.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Pin, String> {
        let pin: Pin = serde_json::from_slice(bytes).map_err(|error| foreign(&error.to_string()))?;
        if pin.format != FORMAT {
            return Err(format!("it has the format {}, and this program writes {FORMAT}", pin.format));
        }
        if pin.name != name {
            return Err(format!("it is of another collector, '{}'", foreign(&pin.name)));
        }
        // It becomes a part of names.
        if pin.digest.len() != 64 || !pin.digest.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("'{}' is no digest", foreign(&pin.digest)));
        }
        Ok(pin)
    }

    /// What its file is to hold.
    pub fn bytes(&self) -> Vec<u8> {
        // Texts and numbers: this cannot fail.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// The name of the component's file.
    pub fn component_name(&self) -> String {
        format!("{}.wasm", self.digest)
    }

    /// The name of the compiled form's file.
    pub fn code_name(&self, compatibility: &str) -> String {
        format!("{}-{compatibility}.code", self.digest)
    }
}
