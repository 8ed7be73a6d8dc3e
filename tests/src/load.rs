//! Keeps scenarios that load the whole machine apart from scenarios that measure time.
//!
//! All scenarios run in one process, on as many threads as there are CPUs.
//!
//! - [`heavy`] is for work that keeps all CPUs or the engine busy for long: the build of a project, a soak.
//! - [`timed`] is for assertions that depend on a timeout of a few seconds, on CPU time, or on an engine that responds
//!   at once.
//!
//! Work of one kind runs side by side, and excludes the other kind. The fixtures that need a guard hold it for as long
//! as they live: groups of containers, fleets, scenes of attacks. Scenarios without such a fixture take it in their
//! first line. One scenario must not hold both kinds at the same time: it would wait for itself.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

static RUNNING: Mutex<[usize; 2]> = Mutex::new([0; 2]);
static ENDED: Condvar = Condvar::new();

#[derive(Clone, Copy)]
enum Kind {
    Heavy,
    Timed,
}

/// Drop it to let the other kind run.
#[must_use]
pub struct Guard(Kind);

/// Waits until no timed work runs.
pub fn heavy() -> Guard {
    enter(Kind::Heavy, Kind::Timed)
}

/// Waits until no heavy work runs.
pub fn timed() -> Guard {
    enter(Kind::Timed, Kind::Heavy)
}

fn enter(kind: Kind, other: Kind) -> Guard {
    let wait = ENDED.wait_while(running(), |running| running[other as usize] > 0);
    wait.unwrap_or_else(PoisonError::into_inner)[kind as usize] += 1;
    Guard(kind)
}

fn running() -> MutexGuard<'static, [usize; 2]> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Guard {
    fn drop(&mut self) {
        running()[self.0 as usize] -= 1;
        ENDED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::{heavy, timed};

    #[test]
    fn heavy_waits_for_timed_and_not_for_heavy() {
        let (first, second) = (timed(), timed());
        let (sender, receiver) = mpsc::channel();
        let waiting = thread::spawn(move || {
            let _both = (heavy(), heavy());
            sender.send(()).expect("a receiver");
        });
        drop(first);
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
        drop(second);
        receiver.recv_timeout(Duration::from_secs(5)).expect("the guards");
        waiting.join().expect("no panic");
    }
}
