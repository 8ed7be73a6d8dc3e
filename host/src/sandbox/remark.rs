//! Remarks: observations of the host in the last HTTP exchange with the target. A failure shows it, because a collector
//! only gets an error code, or reports only a part.

use std::fmt;
use std::sync::{Arc, Mutex};

use super::status::ErrorStatus;
use crate::mutex::lock;

/// The remark on one exchange.
#[derive(Debug, Clone)]
pub enum Remark {
    /// The reason for which there is no complete response.
    Failure(String),
    /// The response has an error status.
    Status(ErrorStatus),
}

impl Remark {
    /// Returns the remark without the parts that differ from response to response.
    #[must_use]
    pub fn without_details(&self) -> Remark {
        match self {
            Remark::Failure(text) => Remark::Failure(text.clone()),
            Remark::Status(status) => Remark::Status(status.without_details()),
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remark::Failure(text) => f.write_str(text),
            Remark::Status(status) => status.fmt(f),
        }
    }
}

/// The remark on the last exchange of one sandbox. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LastRemark(Arc<Mutex<Option<Remark>>>);

impl LastRemark {
    /// Replaces the remark.
    pub fn set(&self, remark: Option<Remark>) {
        *lock(&self.0) = remark;
    }

    /// Appends a part of the response body, if its status is an error.
    pub fn add_body(&self, bytes: &[u8]) {
        if let Some(Remark::Status(status)) = &mut *lock(&self.0) {
            status.add_body(bytes);
        }
    }

    /// Returns the remark.
    pub fn get(&self) -> Option<Remark> {
        lock(&self.0).clone()
    }
}
