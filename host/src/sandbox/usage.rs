//! Usage: how much of its limits a sandbox has used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The usage of one sandbox. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Usage(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    peak: AtomicU64,
    requests: AtomicUsize,
}

impl Usage {
    /// Records the current memory in bytes.
    pub fn record_memory(&self, bytes: u64) {
        self.0.peak.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Records the number of requests so far.
    pub fn record_requests(&self, requests: usize) {
        self.0.requests.store(requests, Ordering::Relaxed);
    }

    /// The peak of memory in bytes, including what the host held for the sandbox.
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// The number of requests to the target or about the container.
    pub fn requests(&self) -> usize {
        self.0.requests.load(Ordering::Relaxed)
    }
}
