//! The faults of installed collectors.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::file::FileError;
use crate::private_dir::{FolderError, LockError};
use crate::store::compile::CompileError;
use crate::store::compiled::CodeFault;
use crate::store::pin::{Pin, PinError};
use crate::store::policy::PolicyError;
use crate::text::{Foreign, foreign};

/// An installed collector, or the folder of all of them, that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstalledError {
    /// This user has no folder to install into.
    #[error("no folder to install into: set HOME or MACKEREL_PLUGIN_WASM_STORE")]
    NoFolder,
    /// The folder cannot be used.
    #[error("the folder of installed collectors {} {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The fault.
        source: FolderError,
    },
    /// The folder cannot be locked.
    #[error("cannot write to the folder of installed collectors {}: {source}", path.display())]
    Lock {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: LockError,
    },
    /// A pin cannot be used.
    #[error("{name}: {}: {fault}; remove {name} and install it again", path.display())]
    Pin {
        /// The collector's name.
        name: String,
        /// The pin's file.
        path: PathBuf,
        /// The fault.
        #[source]
        fault: PinFault,
    },
    /// A component cannot run as it was installed.
    #[error("{name}: the installed component {fault}; install it again: mackerel-plugin-wasm install {from}")]
    Broken {
        /// The collector's name.
        name: String,
        /// The fault.
        #[source]
        fault: Fault,
        /// The source that it was installed from.
        from: Foreign,
    },
    /// The compiled form cannot be used, and compiling takes too long for a run.
    #[error(
        "{name}: its compiled form {fault}, and compiling it again exceeded {} (fixed limit); compile it once with: \
         mackerel-plugin-wasm install --all",
        humantime::format_duration(*timeout)
    )]
    Slow {
        /// The collector's name.
        name: String,
        /// The fault of the compiled form.
        #[source]
        fault: CodeFault,
        /// The time.
        timeout: Duration,
    },
    /// The policy of signatures cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Nothing was installed.
    #[error("not installed: cannot write to {}: {source}", path.display())]
    Write {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A collector was not removed.
    #[error("cannot remove {name} from {}: {source}", path.display())]
    Remove {
        /// The collector's name.
        name: String,
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl From<InstalledError> for crate::error::Error {
    fn from(error: InstalledError) -> crate::error::Error {
        crate::error::Error::failed(error)
    }
}

impl InstalledError {
    /// Returns the error for a component that cannot run as it was installed.
    pub fn broken(pin: &Pin, fault: Fault) -> InstalledError {
        InstalledError::Broken { name: pin.name.clone(), fault, from: foreign(&pin.source) }
    }
}

/// The fault of a pin's file.
#[derive(Debug, thiserror::Error)]
pub enum PinFault {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its content is wrong.
    #[error(transparent)]
    Content(#[from] PinError),
}

/// The fault of an installed component. The text follows "the installed component".
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Its file cannot be used.
    #[error("{} cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: FileError,
    },
    /// Its file is missing.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// Its file has another digest.
    #[error("{} has changed: its digest is sha256:{digest}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its digest now.
        digest: String,
    },
    /// It cannot be compiled any more.
    #[error("cannot be used: {0}")]
    Compile(#[source] CompileError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn a_component_that_does_not_compile_is_described_in_one_sentence() {
        let slow =
            |fault| InstalledError::Slow { name: "a".to_owned(), fault, timeout: limits::COMPILE_TIMEOUT }.to_string();
        assert_eq!(
            [slow(CodeFault::Incompatible), slow(CodeFault::Changed)],
            [
                "a: its compiled form is of another version of this program or another processor, and compiling it \
                 again exceeded 15s (fixed limit); compile it once with: mackerel-plugin-wasm install --all",
                "a: its compiled form was changed, and compiling it again exceeded 15s (fixed limit); compile it once \
                 with: mackerel-plugin-wasm install --all"
            ]
        );
    }
}
