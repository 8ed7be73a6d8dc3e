//! CPU time: a call's own is bounded, and those that compute for long take turns, so that the others need not wait for all of them.
//!
//! Guests and the host's work for them share one thread. A guest that computes gives way at every epoch, and what is counted is the
//! time between two such moments.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::exceeded::Exceeded;
use crate::limits;

/// The turn to compute, of which there is one: calls that have computed for long wait for it.
#[derive(Debug)]
pub struct Turn(Semaphore);

impl Turn {
    /// A turn that nobody has.
    pub fn new() -> Turn {
        Turn(Semaphore::new(1))
    }

    /// Waits for `call`, as long as it computes for no longer than `limit`.
    ///
    /// # Errors
    /// `exceeded`, where it does.
    pub async fn bounded<T>(
        &self,
        call: impl Future<Output = T>,
        limit: Duration,
        exceeded: Exceeded,
    ) -> Result<T, Exceeded> {
        let mut call = pin!(call);
        let mut computed = Duration::ZERO;
        loop {
            let turn = if computed < limits::SHORT_CPU { None } else { self.0.acquire().await.ok() };
            let begin = Instant::now();
            let result = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
            computed += begin.elapsed();
            drop(turn);
            match result {
                Poll::Ready(result) => return Ok(result),
                Poll::Pending if computed > limit => return Err(exceeded),
                Poll::Pending => woken().await,
            }
        }
    }
}

impl Default for Turn {
    fn default() -> Turn {
        Turn::new()
    }
}

/// Waits until somebody wakes this task. Who does knows it from the poll before.
async fn woken() {
    let mut is_woken = false;
    poll_fn(|_| if std::mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}
