//! Compiled forms of components, as files of a private folder.
//!
//! A compiled form is native code, so it is only run if its file is exactly the one that this program wrote: its stamp
//! is recorded in another file of the same folder. In any doubt the component is compiled again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::file::FileError;
use crate::private_dir::{Folder, Stamp, stamp};
use crate::sandbox::Collector;
use crate::sandbox::code::{Code as NativeCode, OwnCode};
use crate::sandbox::runtime::Runtime;
use crate::text::{Foreign, foreign};
use crate::version;

/// The record of a compiled form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The hash of the versions of this program and of wasmtime, the engine's settings and the processor.
    pub compatibility: String,
    /// The stamp of its file when it was written.
    pub file: Stamp,
    /// The program that compiled it; empty in records of programs before 0.1.
    #[serde(default)]
    pub compiler: String,
}

/// A compiled form that cannot be used. The text follows its name.
#[derive(Debug, thiserror::Error)]
pub enum CodeFault {
    /// It is not for this program on this machine.
    #[error("is of another version of this program or another processor")]
    Incompatible,
    /// Its file cannot be used.
    #[error("cannot be used: {0}")]
    File(#[from] FileError),
    /// There is none.
    #[error("is missing")]
    Missing,
    /// Its file is not the one that was written.
    #[error("was changed")]
    Changed,
    /// wasmtime rejects it.
    #[error("cannot be loaded: {0}")]
    Load(Foreign),
}

/// Returns the hash of everything that compiled code depends on besides the component.
pub fn compatibility(runtime: &Runtime) -> String {
    // This hasher may change with Rust; then components are compiled again.
    let mut hasher = DefaultHasher::new();
    runtime.engine().precompile_compatibility_hash().hash(&mut hasher);
    version::compiler().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Returns the name of the file for a component's digest.
pub fn file_name(digest: &str, compatibility: &str) -> String {
    format!("{digest}-{compatibility}.code")
}

/// Loads the compiled form of a component.
///
/// # Errors
/// If it cannot be used.
pub fn find(
    runtime: &Arc<Runtime>,
    folder: &Folder,
    digest: &str,
    code: Option<&Code>,
) -> Result<Collector, CodeFault> {
    let code = code.ok_or(CodeFault::Missing)?;
    if code.compatibility != compatibility(runtime) {
        return Err(CodeFault::Incompatible);
    }
    let (file, stat) = folder.find(&file_name(digest, &code.compatibility))?.ok_or(CodeFault::Missing)?;
    let code = OwnCode::unchanged(file, &stat, &code.file)?.ok_or(CodeFault::Changed)?;
    Collector::load(runtime, NativeCode::Own(code)).map_err(|error| CodeFault::Load(foreign(&format!("{error:#}"))))
}

/// Writes the compiled form of a component, and returns its record. The folder must be locked.
///
/// # Errors
/// The system's error.
pub fn write(runtime: &Runtime, folder: &Folder, digest: &str, collector: &Collector) -> io::Result<Code> {
    let compatibility = compatibility(runtime);
    let code = collector.code().map_err(io::Error::other)?;
    let file = stamp(&folder.replace(&file_name(digest, &compatibility), &code, true)?);
    Ok(Code { compatibility, file, compiler: version::compiler() })
}
