//! CPU time: one call's is bounded, and calls that have used much CPU take turns: the one that has used least is next,
//! so a cheap call ends before expensive ones get another turn.
//!
//! Guests and the host's work for them share one thread. A guest yields at every epoch; the thread's CPU time between
//! two yields counts. For short calls, which most are, elapsed time counts instead, because reading it is cheaper.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

use super::exceeded::Exceeded;
use super::turns::Turns;
use crate::limits;

/// A gate with one turn for calls that have used much CPU. Clones share it.
#[derive(Debug, Clone)]
pub struct Gate(Turns);

impl Gate {
    /// An open gate.
    pub fn new() -> Gate {
        Gate(Turns::new(1))
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
        let alarm = Arc::new(Alarm::default());
        let mut used = Duration::ZERO;
        let mut turn = None;
        loop {
            let is_long = used >= limits::SHORT_CPU;
            if is_long {
                // In line for the next turn before this one is passed on, because this call may be the next.
                let next = self.0.take(u64::try_from(used.as_nanos()).unwrap_or(u64::MAX));
                drop(turn.take());
                turn = Some(next.await);
            }
            let (begin, begin_of_thread) = (Instant::now(), is_long.then(time_of_thread));
            let result = poll_fn(|context| Poll::Ready(alarm.poll(call.as_mut(), context))).await;
            used += match begin_of_thread {
                Some(begin) => time_of_thread().saturating_sub(begin),
                None => begin.elapsed().min(limits::EPOCH),
            };
            match result {
                Poll::Ready(result) => return Ok(result),
                Poll::Pending if used > limit => return Err(exceeded),
                // It goes on at once. The turn is kept while others that are ready get in line.
                Poll::Pending if alarm.rang() => tokio::task::yield_now().await,
                Poll::Pending => {
                    turn = None;
                    alarm.wait().await;
                }
            }
        }
    }
}

/// The waker of a call, which tells a call that yields from one that waits.
#[derive(Default)]
struct Alarm {
    rang: AtomicBool,
    outer: AtomicWaker,
}

impl Alarm {
    fn poll<F: Future>(self: &Arc<Alarm>, call: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.outer.register(context.waker());
        self.rang.store(false, Ordering::Release);
        call.poll(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }

    fn rang(&self) -> bool {
        self.rang.load(Ordering::Acquire)
    }

    async fn wait(&self) {
        poll_fn(|context| {
            self.outer.register(context.waker());
            if self.rang() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        self.outer.wake();
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    use futures_util::future::join_all;

    /// Computes for `time`, and yields as a guest does.
    async fn compute(time: Duration) {
        let mut used = Duration::ZERO;
        while used < time {
            let begin = time_of_thread();
            let since = || time_of_thread().saturating_sub(begin);
            while since() < limits::EPOCH {}
            used += since();
            let mut is_second = false;
            poll_fn(|context| {
                context.waker().wake_by_ref();
                if std::mem::replace(&mut is_second, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    #[tokio::test]
    async fn a_late_cheap_call_ends_before_expensive_ones_get_another_turn() {
        let gate = Gate::new();
        let (turns, turns_meanwhile) = (Cell::new(0), Cell::new(0));
        let expensive = async |_| {
            let call = async {
                for _ in 0..30 {
                    compute(limits::EPOCH).await;
                    turns.set(turns.get() + 1);
                }
            };
            gate.bounded(call, limits::CALL_CPU, Exceeded::FixedCpu).await
        };
        let cheap = async {
            // As late as a response: by now the others have used more than it will.
            while turns.get() < 10 * 20 {
                tokio::task::yield_now().await;
            }
            let before = turns.get();
            let call = gate.bounded(compute(4 * limits::EPOCH), limits::CALL_CPU, Exceeded::FixedCpu);
            call.await.expect("within its limit");
            turns_meanwhile.set(turns.get() - before);
        };
        let (all, ()) = tokio::join!(join_all((0..20).map(expensive)), cheap);
        assert!(all.iter().all(Result::is_ok));
        assert!(turns_meanwhile.get() < 20, "the expensive calls had {} turns", turns_meanwhile.get());
    }

    #[tokio::test]
    async fn a_call_that_waits_keeps_no_turn() {
        let gate = Gate::new();
        let (wait, end) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
        let waits = async {
            compute(4 * limits::EPOCH).await;
            wait.notify_one();
            end.notified().await;
        };
        let works = async {
            wait.notified().await;
            compute(4 * limits::EPOCH).await;
            end.notify_one();
        };
        let (first, second) = tokio::join!(
            gate.bounded(waits, limits::CALL_CPU, Exceeded::FixedCpu),
            gate.bounded(works, limits::CALL_CPU, Exceeded::FixedCpu),
        );
        assert_eq!((first, second), (Ok(()), Ok(())));
    }
}
