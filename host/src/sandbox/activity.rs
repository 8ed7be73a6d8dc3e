//! What a target's collection is doing: so that a timeout can say what did not come.

use std::sync::{Arc, Mutex, PoisonError};

/// The guest computes, or waits for what only it knows.
pub const COLLECTING: &str = "the collector was not done";

/// The phrase that completes "… after 5s". Clones share it.
#[derive(Debug, Clone)]
pub struct Activity(Arc<Mutex<&'static str>>);

impl Activity {
    /// Begins with `phrase`.
    pub fn new(phrase: &'static str) -> Activity {
        Activity(Arc::new(Mutex::new(phrase)))
    }

    /// From here on, `phrase` is what is being done.
    pub fn set(&self, phrase: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phrase;
    }

    /// What is being done.
    pub fn get(&self) -> &'static str {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
