//! CPU time: one call's is bounded, and calls that have used much CPU take turns, so that short calls need not wait for all of them.
//!
//! Guests and the host's work for them share one thread. A guest yields at every epoch; the thread's CPU time between two yields
//! counts. For short calls, which most are, elapsed time counts instead, because reading it is cheaper.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::exceeded::Exceeded;
use crate::limits;

/// A gate with one permit: calls that have used much CPU take turns.
#[derive(Debug)]
pub struct Gate(Semaphore);

impl Gate {
    /// An open gate.
    pub fn new() -> Gate {
        Gate(Semaphore::new(1))
    }

    /// Runs `call` until it ends or has used `limit` of CPU time.
    ///
    /// # Errors
    /// `exceeded`, if it uses more.
    pub async fn bounded<T>(
        &self,
        call: impl Future<Output = T>,
        limit: Duration,
        exceeded: Exceeded,
    ) -> Result<T, Exceeded> {
        let mut call = pin!(call);
        let mut used = Duration::ZERO;
        loop {
            let is_long = used >= limits::SHORT_CPU;
            let gate = if is_long { self.0.acquire().await.ok() } else { None };
            let (begin, begin_of_thread) = (Instant::now(), is_long.then(time_of_thread));
            let result = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
            used += match begin_of_thread {
                Some(begin) => time_of_thread().saturating_sub(begin),
                None => begin.elapsed().min(limits::EPOCH),
            };
            drop(gate);
            match result {
                Poll::Ready(result) => return Ok(result),
                Poll::Pending if used > limit => return Err(exceeded),
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

/// Runs `work`, and returns the CPU time that it used.
pub async fn metered<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let mut work = pin!(work);
    let mut used = Duration::ZERO;
    let result = poll_fn(|context| {
        let begin = time_of_thread();
        let result = work.as_mut().poll(context);
        used += time_of_thread().saturating_sub(begin);
        result
    })
    .await;
    (result, used)
}

/// Returns the CPU time of this thread. It does not grow while the machine runs other work.
fn time_of_thread() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Waits until the waker of the previous poll is called.
async fn woken() {
    let mut is_woken = false;
    poll_fn(|_| if std::mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}
