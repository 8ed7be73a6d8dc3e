//! The cache of compiled files: an author tests the same file many times, and a Python component takes seconds to
//! compile.
//!
//! It is a private folder within that of installed collectors, with two files for each component: its compiled form,
//! and `SHA256.json` with the [`Code`] of it. The component itself is read every time, and its digest is the key.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Source;
use crate::limits;
use crate::private_dir::Folder;
use crate::sandbox::Collector;
use crate::sandbox::runtime::Runtime;
use crate::store::compiled::{self, Code};
use crate::store::installed::Locked;

/// The cache of this user.
#[derive(Debug)]
pub struct Cache {
    /// The folder; `None` if this user has no home.
    pub path: Option<PathBuf>,
}

impl Cache {
    /// Loads the compiled form of the component with this digest; `None` in any doubt.
    pub fn find(&self, runtime: &Arc<Runtime>, digest: &str) -> Option<Collector> {
        let folder = Folder::open(self.path.as_deref()?).ok()??;
        let record = folder.read(&record_name(digest), limits::PIN_SIZE).ok()??;
        let code: Code = serde_json::from_slice(&record).ok()?;
        compiled::find(runtime, &folder, digest, Some(&code)).ok()
    }

    /// Keeps the compiled form of a component, and removes those that were not compiled for longest.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep(&self, _lock: &Locked, runtime: &Runtime, digest: &str, collector: &Collector) -> Result<(), Source> {
        let Some(path) = &self.path else { return Ok(()) };
        let folder = Folder::make(path)?;
        let code = compiled::write(runtime, &folder, digest, collector)?;
        folder.replace(&record_name(digest), &serde_json::to_vec(&code)?, true)?;
        sweep(&folder)?;
        Ok(())
    }
}

fn record_name(digest: &str) -> String {
    format!("{digest}.json")
}

/// Removes all but the newest components, and files that no record names.
fn sweep(folder: &Folder) -> io::Result<()> {
    let names = folder.names()?;
    let mut records: Vec<_> =
        names.iter().filter_map(|name| Some((folder.stat(name)?.st_mtime, name.strip_suffix(".json")?))).collect();
    records.sort_unstable();
    let kept = records.split_off(records.len().saturating_sub(limits::CACHED_COMPONENTS));
    for name in &names {
        let digest = name.get(..64).unwrap_or(name);
        if !kept.iter().any(|(_, kept)| *kept == digest) {
            // A file that cannot be removed now is removed next time.
            let _ = folder.remove(name);
        }
    }
    Ok(())
}
