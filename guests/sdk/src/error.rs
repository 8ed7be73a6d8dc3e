//! Why a target gave no metrics.

use std::io;

use crate::CollectError;

impl CollectError {
    /// The target answered, and its answer is not what was expected: says what it is instead.
    pub fn unexpected(what: impl Into<String>) -> CollectError {
        CollectError::Unexpected(what.into())
    }
}

impl From<String> for CollectError {
    fn from(why: String) -> CollectError {
        CollectError::Other(why)
    }
}

impl From<&str> for CollectError {
    fn from(why: &str) -> CollectError {
        CollectError::Other(why.to_owned())
    }
}

/// A connection that failed, or ended, while it was written to or read from.
impl From<io::Error> for CollectError {
    fn from(error: io::Error) -> CollectError {
        CollectError::Other(format!("no whole answer: {}", words(&error)))
    }
}

/// What happened, without the number that the standard library adds.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
