//! Waits for a condition, with a timeout.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Tries until the attempt returns a value.
///
/// # Panics
///
/// After 20 s, with `what` in the message.
pub fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "timed out after 20 s: {what}");
        sleep(Duration::from_millis(10));
    }
}
