//! What a guest tried to reach that is not its target. The guest gets an error, and the operator reads what was tried.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits;
use crate::text::foreign;

/// The attempts of one sandbox that were refused. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Refused(Arc<Mutex<Attempts>>);

#[derive(Debug, Default)]
struct Attempts {
    /// The first of them, each once.
    told: Vec<String>,
    /// How many there were besides, alike or not.
    others: usize,
}

impl Refused {
    /// Remembers `attempt`: what was to be reached, and by which way. It can hold the guest's own words.
    pub fn add(&self, attempt: &str) {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = foreign(attempt).to_string();
        if attempts.told.contains(&attempt) {
            return;
        }
        if attempts.told.len() < limits::REFUSED_TOLD {
            attempts.told.push(attempt);
        } else {
            attempts.others += 1;
        }
    }

    /// Whether nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).told.is_empty()
    }
}

impl fmt::Display for Refused {
    /// A phrase that stands behind "the collector".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "was refused {}", attempts.told.join(", "))?;
        if attempts.others > 0 {
            write!(f, " and {} more", attempts.others)?;
        }
        f.write_str(": it reaches its target alone")
    }
}
