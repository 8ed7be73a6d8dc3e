//! What a sandbox has used, for those who want to know how far from its limits it stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counts what one sandbox uses. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Usage(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    peak: AtomicU64,
    requests: AtomicUsize,
}

impl Usage {
    /// The sandbox has so many bytes of memory now.
    pub fn has(&self, bytes: u64) {
        self.0.peak.fetch_max(bytes, Ordering::Relaxed);
    }

    /// The sandbox has sent so many requests.
    pub fn has_sent(&self, requests: usize) {
        self.0.requests.store(requests, Ordering::Relaxed);
    }

    /// The most memory that it had, in bytes: what the host held for it counts too.
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// How many requests it sent, to the target or about the container.
    pub fn requests(&self) -> usize {
        self.0.requests.load(Ordering::Relaxed)
    }
}
