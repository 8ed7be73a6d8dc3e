//! Activities: the event or resource that the collection of a target waits for, so that a timeout names it.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::mutex::lock;

/// An event or a resource that is being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// A free file descriptor: nothing was started yet.
    Start,
    /// The lookup of the target's name.
    Lookup,
    /// The container engine.
    Engine,
    /// The task metadata endpoint of ECS.
    TaskMetadata,
    /// The guest itself.
    Collector,
    /// A connection to the target.
    Connection,
    /// The target's part of the TLS handshake.
    Handshake,
    /// The head of the target's response.
    Response,
    /// The response after interim ones (HTTP 1xx).
    FinalResponse,
    /// The rest of the target's response.
    Body,
    /// The rest of a response that comes in many very small chunks.
    SmallChunks,
    /// A conversation over TCP that the guest itself leads.
    Tcp,
    /// Memory that other sandboxes hold.
    Memory,
}

impl Waiting {
    /// Returns the words before "after 5s (--timeout)".
    pub fn timed_out(self) -> &'static str {
        match self {
            Waiting::Start => "not started",
            Waiting::Lookup => "lookup of the name timed out",
            Waiting::Engine => "no response from the engine",
            Waiting::TaskMetadata => "no response from the task metadata endpoint",
            Waiting::Collector => "collector timed out",
            Waiting::Connection => "connection timed out",
            Waiting::Handshake => "no TLS handshake (a target without TLS?)",
            Waiting::Response => "no response",
            Waiting::FinalResponse => "only interim responses (HTTP 1xx)",
            Waiting::Body => "incomplete response",
            Waiting::SmallChunks => "incomplete response in very small chunks",
            Waiting::Tcp => "TCP exchange timed out",
            Waiting::Memory => "no free memory (--total-memory)",
        }
    }

    /// Returns the words before "when the run received SIGTERM".
    pub fn unfinished(self) -> &'static str {
        match self {
            Waiting::Start => "not started",
            Waiting::Lookup => "lookup of the name not finished",
            Waiting::Engine => "no response from the engine",
            Waiting::TaskMetadata => "no response from the task metadata endpoint",
            Waiting::Collector => "collector not finished",
            Waiting::Connection => "no connection",
            Waiting::Handshake => "no TLS handshake (a target without TLS?)",
            Waiting::Response => "no response",
            Waiting::FinalResponse => "only interim responses (HTTP 1xx)",
            Waiting::Body => "incomplete response",
            Waiting::SmallChunks => "incomplete response in very small chunks",
            Waiting::Tcp => "TCP exchange not finished",
            Waiting::Memory => "no free memory (--total-memory)",
        }
    }
}

/// The current activity of one target. Clones share it.
#[derive(Debug, Clone)]
pub struct Activity(Arc<Mutex<Waiting>>);

impl Activity {
    /// Starts with `waiting`.
    pub fn new(waiting: Waiting) -> Activity {
        Activity(Arc::new(Mutex::new(waiting)))
    }

    /// Replaces the activity.
    pub fn set(&self, waiting: Waiting) {
        *self.waiting() = waiting;
    }

    /// Returns the activity.
    pub fn get(&self) -> Waiting {
        *self.waiting()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.0)
    }
}
