//! Constructors of [`CollectError`].

use std::io;

use crate::CollectError;

impl CollectError {
    /// A response that was not expected. The text says what the target sent instead, in one line.
    pub fn unexpected(text: impl Into<String>) -> CollectError {
        CollectError::Unexpected(text.into())
    }
}

impl From<String> for CollectError {
    fn from(text: String) -> CollectError {
        CollectError::Other(text)
    }
}

impl From<&str> for CollectError {
    fn from(text: &str) -> CollectError {
        CollectError::Other(text.to_owned())
    }
}

/// A failure to read from or write to an open connection.
impl From<io::Error> for CollectError {
    fn from(error: io::Error) -> CollectError {
        CollectError::Other(format!("incomplete response: {}", message(&error)))
    }
}

/// The error's message without the error number. WASI's numbers differ from the machine's and would mislead.
pub(crate) fn message(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((message, _)) => message.to_owned(),
        None => text,
    }
}
