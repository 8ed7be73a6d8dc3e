//! Turns: limits the concurrent users of a resource. Of those that wait, the one with the smallest weight is next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::mutex::lock;

/// A number of turns. Clones share them.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    /// Those that wait, by their weight and then in the order in which they came.
    waiting: BTreeMap<(u64, u64), oneshot::Sender<Turn>>,
    came: u64,
}

/// A turn. Dropping it passes it on.
#[derive(Debug)]
pub struct Turn(Turns);

impl Turns {
    /// Allows `count` turns at a time.
    pub fn new(count: usize) -> Turns {
        Turns(Arc::new(Mutex::new(State { free: count, waiting: BTreeMap::new(), came: 0 })))
    }

    /// Waits for a turn. The place in the queue is taken when this is called, not when the future is polled.
    pub fn take(&self, weight: u64) -> impl Future<Output = Turn> + Send + use<> {
        let (give, given) = oneshot::channel();
        {
            let mut state = lock(&self.0);
            state.came += 1;
            let place = (weight, state.came);
            state.waiting.insert(place, give);
        }
        self.pass_on();
        async move {
            match given.await {
                Ok(turn) => turn,
                // The sender waits in `state` until it gives a turn.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Gives free turns to waiting tasks. If a task was cancelled, its turn is dropped, which passes it on.
    fn pass_on(&self) {
        let next = {
            let mut state = lock(&self.0);
            if state.free == 0 {
                return;
            }
            let Some((_, next)) = state.waiting.pop_first() else { return };
            state.free -= 1;
            next
        };
        let _ = next.send(Turn(self.clone()));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.0.0).free += 1;
        self.0.pass_on();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn the_smallest_weight_is_next_and_equal_ones_keep_their_order() {
        let turns = Turns::new(1);
        let first = turns.take(9).now_or_never().expect("a free turn");
        let mut waiting: Vec<_> = [(3, 'a'), (1, 'b'), (3, 'c'), (2, 'd')]
            .into_iter()
            .map(|(weight, name)| (name, Box::pin(turns.take(weight))))
            .collect();
        let mut order = String::new();
        let mut held = Some(first);
        while !waiting.is_empty() {
            drop(held.take());
            let ready =
                waiting.iter_mut().enumerate().find_map(|(index, (_, turn))| Some((index, turn.now_or_never()?)));
            let (index, turn) = ready.expect("a turn for one of them");
            order.push(waiting.remove(index).0);
            assert!(waiting.iter_mut().all(|(_, turn)| turn.as_mut().now_or_never().is_none()), "one turn at a time");
            held = Some(turn);
        }
        assert_eq!(order, "bdac");
    }

    #[test]
    fn the_turn_of_one_that_waits_no_more_is_passed_on() {
        let turns = Turns::new(1);
        let first = turns.take(0).now_or_never().expect("a free turn");
        let [gone, given] = [1, 2].map(|weight| turns.take(weight));
        let stays = turns.take(3);
        drop(gone);
        drop(first);
        // It was given the turn and never looked.
        drop(given);
        assert!(stays.now_or_never().is_some());
        assert!(turns.take(0).now_or_never().is_some(), "the turn is free again");
    }
}
