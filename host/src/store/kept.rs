//! The results of `describe` and `graphs` of an installed collector, in a file beside its compiled form.
//!
//! The contract wants both functions to be pure, so a run takes the kept results: for a collector with an interpreter
//! inside, each call costs as much as `collect` itself. The file is trusted like the compiled form, and its results are
//! checked like those of a call. In any doubt the collector is called.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::definition::{self, Definitions};
use crate::limits;
use crate::private_dir::Folder;
use crate::sandbox::{Description, Graph, OptionValue};
use crate::store::digest::digest;

/// The kept results of one component.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// The memory that a sandbox starts with, in bytes.
    start: u64,
    /// The result of `describe`.
    description: Description,
    /// The results of `graphs`, by the digest of the options: an option can be a password.
    graphs: BTreeMap<String, Vec<Graph>>,
}

impl Kept {
    /// Makes the record of a description, without graphs.
    pub fn new(description: Description) -> Kept {
        Kept { start: 0, description, graphs: BTreeMap::new() }
    }

    /// Reads the kept results for a component's digest; `None` in any doubt.
    pub fn read(folder: &Folder, digest: &str, compatibility: &str) -> Option<Kept> {
        let bytes = folder.read(&file_name(digest, compatibility), limits::KEPT_SIZE).ok()??;
        let kept: Kept = serde_json::from_slice(&bytes).ok()?;
        definition::check(&kept.description).is_ok().then_some(kept)
    }

    /// Formats the file; `None` if it would be too large to be read.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok().filter(|bytes| bytes.len() as u64 <= limits::KEPT_SIZE.as_u64())
    }

    /// The memory that a sandbox starts with, in bytes.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The description.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Returns the graphs for these options, checked; `None` if they are not kept.
    pub fn definitions(&self, options: &[OptionValue]) -> Option<Definitions> {
        Definitions::new(self.graphs.get(&key(options))?.clone()).ok()
    }

    /// Adds the graphs for these options, with the memory that the sandbox of the call started with. Returns false, and
    /// adds nothing, beyond [`limits::KEPT_GRAPHS`].
    pub fn add(&mut self, options: &[OptionValue], definitions: &Definitions, start: u64) -> bool {
        let has_room = self.graphs.len() < limits::KEPT_GRAPHS;
        if has_room {
            self.start = start;
            self.graphs.insert(key(options), definitions.graphs().to_vec());
        }
        has_room
    }
}

fn key(options: &[OptionValue]) -> String {
    // Texts: this cannot fail.
    digest(&serde_json::to_vec(options).unwrap_or_default())
}

/// Returns the name of the file for a component's digest.
pub fn file_name(digest: &str, compatibility: &str) -> String {
    format!("{digest}-{compatibility}.calls")
}
