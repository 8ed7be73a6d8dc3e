//! Denied attempts: a guest that reaches for anything but its target gets an error, and the operator reads what it tried.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits;
use crate::text::Foreign;

/// The denied attempts of one sandbox. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Denied(Arc<Mutex<Attempts>>);

#[derive(Debug, Default)]
struct Attempts {
    /// The first few, each once.
    named: Vec<Foreign>,
    /// The number of others, repeated ones included.
    others: usize,
}

impl Denied {
    /// Records an attempt: the address and the protocol. It can contain the guest's own text.
    pub fn add(&self, attempt: &str) {
        let mut attempts = self.attempts();
        let attempt = Foreign::new(attempt);
        if attempts.named.contains(&attempt) {
            return;
        }
        if attempts.named.len() < limits::DENIED_NAMED {
            attempts.named.push(attempt);
        } else {
            attempts.others += 1;
        }
    }

    /// Returns true if nothing was denied.
    pub fn is_empty(&self) -> bool {
        self.attempts().named.is_empty()
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = self.attempts();
        let named: Vec<String> = attempts.named.iter().map(Foreign::to_string).collect();
        write!(f, "denied: {}", named.join(", "))?;
        if attempts.others > 0 {
            write!(f, " and {} more", attempts.others)?;
        }
        f.write_str(" (a collector can only reach its own target)")
    }
}
