//! What ends a run, and the exit status that it gives.

use std::process::ExitCode;

/// An error that ends the run. Its text is the one line that the operator reads: what happened, with which value, and
/// what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something that does not exist or makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Help or version were asked for, or clap words the usage error itself: the text is complete.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// Nothing could be collected: no engine, no collector, no output.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// The exit status: 2 for usage, 1 for the rest. mackerel-agent ignores it; people and scripts do not.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Usage(_) => ExitCode::from(2),
            Error::Clap(error) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
            Error::Failed(_) => ExitCode::FAILURE,
        }
    }
}
