//! The window: the number of targets that are collected at the same time.
//!
//! Most targets respond within a millisecond. While only some are collected, few sandboxes are alive, and the next ones
//! reuse their memory. Slow targets must not hold up others: the window doubles while no target makes progress, until
//! one ends, and a target that has run for [`WINDOW_PATIENCE`](limits::WINDOW_PATIENCE) does not count any more.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Instant;

use crate::limits;

/// The window of a run.
#[derive(Debug)]
pub struct Window {
    /// The start of each unfinished target, by its number. Targets are started in the order of their numbers.
    running: BTreeMap<usize, Instant>,
    limit: usize,
}

/// The time of the last progress of any target.
#[derive(Debug)]
pub struct Progress(Cell<Instant>);

impl Window {
    /// A window without targets.
    pub fn new() -> Window {
        Window { running: BTreeMap::new(), limit: limits::WINDOW }
    }

    /// Returns true if another target can be started.
    pub fn has_room(&self, now: Instant) -> bool {
        let is_young = |start: &&Instant| now.saturating_duration_since(**start) < limits::WINDOW_PATIENCE;
        self.running.values().rev().take_while(is_young).count() < self.limit
    }

    /// Adds a target.
    pub fn start(&mut self, number: usize, now: Instant) {
        self.running.insert(number, now);
    }

    /// Removes a target, and resets the window to its first size.
    pub fn end(&mut self, number: usize) {
        self.running.remove(&number);
        self.limit = limits::WINDOW;
    }

    /// Doubles the window if all targets wait. It is called every [`WINDOW_STEP`](limits::WINDOW_STEP).
    pub fn step(&mut self, now: Instant, progress: &Progress) {
        if now.saturating_duration_since(progress.0.get()) >= limits::WINDOW_STEP {
            self.limit = self.limit.saturating_mul(2);
        }
    }
}

impl Progress {
    /// Begins at `now`.
    pub fn new(now: Instant) -> Progress {
        Progress(Cell::new(now))
    }

    /// Does `work`, and records the time whenever it makes progress.
    pub async fn of<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.0.set(Instant::now());
            work.as_mut().poll(context)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts as many targets as there is room for, and returns their number.
    fn fill(window: &mut Window, now: Instant) -> usize {
        let first = window.running.keys().next_back().map_or(0, |last| last + 1);
        let mut number = first;
        while window.has_room(now) {
            window.start(number, now);
            number += 1;
        }
        number - first
    }

    #[test]
    fn an_ended_target_makes_room_for_one() {
        let (mut window, now) = (Window::new(), Instant::now());
        assert_eq!(fill(&mut window, now), limits::WINDOW);
        window.end(3);
        window.step(now, &Progress::new(now));
        assert_eq!(fill(&mut window, now), 1);
    }

    #[test]
    fn the_window_doubles_while_all_targets_wait() {
        let (mut window, now) = (Window::new(), Instant::now());
        let mut all = fill(&mut window, now);
        for _ in 0..5 {
            window.step(now + limits::WINDOW_STEP, &Progress::new(now));
            assert_eq!(fill(&mut window, now), all);
            all *= 2;
        }
        window.end(0);
        assert_eq!(fill(&mut window, now), 0, "those that wait are enough");
    }

    #[test]
    fn targets_that_run_for_long_do_not_count() {
        let (mut window, now) = (Window::new(), Instant::now());
        let _ = fill(&mut window, now);
        assert_eq!(fill(&mut window, now), 0);
        assert_eq!(fill(&mut window, now + limits::WINDOW_PATIENCE), limits::WINDOW);
    }
}
