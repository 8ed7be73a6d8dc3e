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
//! first line.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

static STATE: Mutex<State> = Mutex::new(State { running: [0; 2], heavy_waiting: 0 });
static CHANGED: Condvar = Condvar::new();

thread_local! {
    /// The guards of this thread, by kind. A scenario takes all of its guards in its own thread.
    static HELD: Cell<[usize; 2]> = const { Cell::new([0; 2]) };
}

struct State {
    running: [usize; 2],
    heavy_waiting: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Heavy,
    Timed,
}

/// Drop it to let the other kind run.
#[must_use]
pub struct Guard(Kind);

/// Waits until no timed work runs.
///
/// # Panics
///
/// If this scenario holds a guard of timed work: it would wait for itself.
pub fn heavy() -> Guard {
    assert_eq!(held(Kind::Timed), 0, "a scenario is either heavy or timed");
    let mut state = lock();
    state.heavy_waiting += 1;
    let mut state = wait_while(state, |state| state.running[Kind::Timed as usize] > 0);
    state.heavy_waiting -= 1;
    enter(&mut state, Kind::Heavy)
}

/// Waits until no heavy work runs or waits.
///
/// # Panics
///
/// If this scenario holds a guard of heavy work: it would wait for itself.
pub fn timed() -> Guard {
    assert_eq!(held(Kind::Heavy), 0, "a scenario is either heavy or timed");
    // A scenario with a guard gets further ones at once, because the waiting heavy work waits for it.
    let nested = held(Kind::Timed) > 0;
    let is_blocked = |state: &mut State| !nested && state.running[Kind::Heavy as usize] + state.heavy_waiting > 0;
    enter(&mut wait_while(lock(), is_blocked), Kind::Timed)
}

fn enter(state: &mut State, kind: Kind) -> Guard {
    state.running[kind as usize] += 1;
    hold(kind, 1);
    CHANGED.notify_all();
    Guard(kind)
}

fn held(kind: Kind) -> usize {
    HELD.get()[kind as usize]
}

fn hold(kind: Kind, change: isize) {
    let mut held = HELD.get();
    held[kind as usize] = held[kind as usize].saturating_add_signed(change);
    HELD.set(held);
}

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait_while(
    state: MutexGuard<'static, State>,
    condition: impl FnMut(&mut State) -> bool,
) -> MutexGuard<'static, State> {
    CHANGED.wait_while(state, condition).unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Guard {
    fn drop(&mut self) {
        lock().running[self.0 as usize] -= 1;
        hold(self.0, -1);
        CHANGED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::{heavy, timed};

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(5);

    #[test]
    fn heavy_waits_for_timed_and_goes_before_later_ones() {
        let (first, second) = (timed(), timed());
        let (sender, heavy_started) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let heavy_work = thread::spawn(move || {
            let _both = (heavy(), heavy());
            sender.send(()).expect("a receiver");
            let _ = ended.recv();
        });
        assert!(heavy_started.recv_timeout(SHORT).is_err());
        drop((first, timed()));
        let (sender, timed_started) = mpsc::channel();
        let timed_work = thread::spawn(move || {
            let _guard = timed();
            sender.send(()).expect("a receiver");
        });
        assert!(timed_started.recv_timeout(SHORT).is_err());
        drop(second);
        heavy_started.recv_timeout(LONG).expect("heavy work runs");
        assert!(timed_started.recv_timeout(SHORT).is_err());
        drop(end);
        timed_started.recv_timeout(LONG).expect("timed work runs");
        heavy_work.join().expect("no panic");
        timed_work.join().expect("no panic");
    }
}
