//! Waiting on a condition, with a bound.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Tries until there is something.
///
/// # Panics
///
/// When 20 s have passed. `what` says in the message what was waited for.
pub fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "waited 20 s in vain: {what}");
        sleep(Duration::from_millis(10));
    }
}
