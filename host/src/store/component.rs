//! A component: a collector that was loaded, with its source.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::definition::{self, Definitions};
use crate::file::{self, FileError, read_bounded};
use crate::limits;
use crate::sandbox::failure::{Cause, Failure};
use crate::sandbox::{Collector, Description, OptionValue};
use crate::store::kept::Kept;
use crate::store::pin::Pin;
use crate::text::Foreign;

/// A collector and its source.
pub struct Component {
    /// The name on the command line.
    pub name: String,
    /// The collector, ready to be called.
    pub collector: Collector,
    /// The size of the component in bytes.
    pub size: u64,
    /// The component's SHA-256 in hexadecimal.
    pub digest: String,
    /// The source.
    pub origin: Origin,
    /// The results of earlier calls, of an installed collector.
    pub kept: Option<Kept>,
    /// Warnings about how it was loaded, a line each.
    pub warnings: Vec<String>,
}

/// The source of a collector.
pub enum Origin {
    /// It is part of the program.
    Builtin,
    /// It was installed.
    Installed(Box<Pin>),
    /// It is a file, which took this long to compile.
    File(Duration),
}

/// A collector whose `describe` or `graphs` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The call failed, or its result breaks the contract.
    #[error("{collector}: {function}: {failure}")]
    Failed {
        /// The collector's name on the command line.
        collector: Foreign,
        /// The function.
        function: &'static str,
        /// The failure.
        failure: Box<Failure>,
    },
    /// The collector rejects its options.
    #[error("{collector}: {reason}")]
    Options {
        /// The collector's name on the command line.
        collector: Foreign,
        /// The collector's own words.
        reason: Foreign,
    },
}

impl CallError {
    /// Returns the error without the collector's name.
    pub fn without_name(&self) -> String {
        match self {
            CallError::Failed { function, failure, .. } => format!("{function}: {failure}"),
            CallError::Options { reason, .. } => reason.to_string(),
        }
    }
}

impl From<CallError> for crate::error::Error {
    fn from(error: CallError) -> crate::error::Error {
        match error {
            CallError::Failed { .. } => crate::error::Error::failed(error),
            CallError::Options { .. } => crate::error::Error::usage(error),
        }
    }
}

impl Component {
    /// Returns the part of the state's key that separates it from a built-in of the same name; `None` for a built-in.
    pub fn identity(&self) -> Option<&str> {
        (!matches!(self.origin, Origin::Builtin)).then_some(self.name.as_str())
    }

    /// Calls `describe`, and checks the result.
    ///
    /// # Errors
    /// If the call fails, or the description breaks the contract.
    pub async fn describe(&self) -> Result<Description, CallError> {
        let description = self.collector.describe().await.map_err(|failure| self.failed("describe", failure))?;
        definition::check(&description).map_err(|error| self.violated("describe", &error))?;
        Ok(description)
    }

    /// Calls `graphs` with `options`, and checks the result.
    ///
    /// # Errors
    /// If the call fails, the collector rejects the options, or the graphs break the contract.
    pub async fn definitions(&self, options: &[OptionValue]) -> Result<Definitions, CallError> {
        let graphs = self.collector.graphs(options).await.map_err(|failure| self.failed("graphs", failure))?;
        let graphs = graphs.map_err(|reason| CallError::Options { collector: Foreign::new(&self.name), reason })?;
        Definitions::new(graphs).map_err(|error| self.violated("graphs", &error))
    }

    fn violated(&self, function: &'static str, error: &definition::Error) -> CallError {
        self.failed(function, Cause::Contract(Foreign::new(&error.to_string())).into())
    }

    fn failed(&self, function: &'static str, failure: Failure) -> CallError {
        CallError::Failed { collector: Foreign::new(&self.name), function, failure: Box::new(failure) }
    }
}

/// A component's file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It does not exist.
    #[error("{}: no such file", .0.display())]
    NotFound(PathBuf),
    /// It cannot be opened or read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: FileError,
    },
}

impl From<ReadError> for crate::error::Error {
    fn from(error: ReadError) -> crate::error::Error {
        match error {
            ReadError::NotFound(_) => crate::error::Error::usage(error),
            ReadError::Unreadable { .. } => crate::error::Error::failed(error),
        }
    }
}

/// Reads the file of a component.
///
/// # Errors
/// If it does not exist, cannot be read, or exceeds [`limits::COMPONENT_SIZE`].
pub fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    let unreadable = |source: FileError| ReadError::Unreadable { path: path.to_owned(), source };
    let file = file::open(path).map_err(|error| match error {
        FileError::Io(error) if error.kind() == ErrorKind::NotFound => ReadError::NotFound(path.to_owned()),
        error => unreadable(error),
    })?;
    read_component(file).map_err(unreadable)
}

/// Reads a component's bytes.
///
/// # Errors
/// If they exceed [`limits::COMPONENT_SIZE`], or cannot be read.
pub fn read_component(file: File) -> Result<Vec<u8>, FileError> {
    read_bounded(file, limits::COMPONENT_SIZE)
}
