//! Errors that end a command, and its exit status.
//!
//! Each module has an error type of its own. The `From` implementations beside them decide which of their errors are
//! usage errors.

use std::process::ExitCode;

/// The cause of an error: another error, or a text.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// An error that ends a command. Its text is one line: what failed, on which object, with which value, and the fix.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line names something that does not exist or makes no sense.
    #[error(transparent)]
    Usage(Source),
    /// A request for help or the version, or a usage error that clap words itself. The text is complete.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// The command failed: no engine, no collector, no output.
    #[error(transparent)]
    Failed(Source),
}

impl Error {
    /// A usage error.
    pub fn usage(source: impl Into<Source>) -> Error {
        Error::Usage(source.into())
    }

    /// A failure.
    pub fn failed(source: impl Into<Source>) -> Error {
        Error::Failed(source.into())
    }

    /// Returns the exit status: 2 for usage errors, 1 for failures. mackerel-agent ignores it; people and scripts do
    /// not.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Usage(_) => ExitCode::from(2),
            Error::Clap(error) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
            Error::Failed(_) => ExitCode::FAILURE,
        }
    }
}
