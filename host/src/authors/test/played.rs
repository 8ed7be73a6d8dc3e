//! The result of a replay.

/// The differences between a recording and the requests of a collector.
#[derive(Debug, Default)]
pub struct Played {
    /// Requests that are not recorded.
    pub wrong: Vec<String>,
    /// Recorded responses that were not requested.
    pub unused: Vec<String>,
}
