//! CPU time: a call's own is bounded, and those that compute for long take turns, so that the others need not wait for all of them.
//!
//! Guests and the host's work for them share one thread. A guest that computes gives way at every epoch, and what is counted is the
//! thread's time between two such moments; of calls that are short, which most are, the time that passed: that is cheaper to ask for.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::exceeded::Exceeded;
use crate::limits;

/// The turn to compute, of which there is one: calls that have computed for long wait for it.
#[derive(Debug)]
pub struct Gate(Semaphore);

impl Gate {
    /// A turn that nobody has.
    pub fn new() -> Gate {
        Gate(Semaphore::new(1))
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
            let is_long = computed >= limits::SHORT_CPU;
            let gate = if is_long { self.0.acquire().await.ok() } else { None };
            let (begin, begin_of_thread) = (Instant::now(), is_long.then(time_of_thread));
            let result = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
            computed += match begin_of_thread {
                Some(begin) => time_of_thread().saturating_sub(begin),
                None => begin.elapsed().min(limits::EPOCH),
            };
            drop(gate);
            match result {
                Poll::Ready(result) => return Ok(result),
                Poll::Pending if computed > limit => return Err(exceeded),
                Poll::Pending => woken().await,
            }
        }
    }
}

impl Default for Gate {
    fn default() -> Gate {
        Gate::new()
    }
}

/// Waits for `work`, and tells for how long it computed.
pub async fn metered<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let mut work = pin!(work);
    let mut computed = Duration::ZERO;
    let result = poll_fn(|context| {
        let begin = time_of_thread();
        let result = work.as_mut().poll(context);
        computed += time_of_thread().saturating_sub(begin);
        result
    })
    .await;
    (result, computed)
}

/// What this thread has computed so far. A busy machine makes it no longer.
fn time_of_thread() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Waits until somebody wakes this task. Who does knows it from the poll before.
async fn woken() {
    let mut is_woken = false;
    poll_fn(|_| if std::mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}
