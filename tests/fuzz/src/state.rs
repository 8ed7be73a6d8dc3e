//! State files, written by this program or by anything else.

use std::collections::BTreeMap;

use mackerel_plugin_wasm::internals::{Clock, Moment, Period, Reading, Remembered, Span, State};
use serde_json::Value;

use crate::rules::{assert_one_line, text};

/// A moment in 2026, on a machine that started an hour ago.
const NOW: Moment = Moment { wall: 1_780_000_000_000_000_000, boot: 3_600_000_000_000 };

/// A state file: what is read is written again unchanged, and no rate is invented.
pub fn state(bytes: &[u8]) {
    let mut state = match State::parse(bytes) {
        Ok(state) => state,
        Err(error) => return assert_one_line(&error.to_string()),
    };
    let raw: Value = serde_json::from_slice(bytes).unwrap_or_default();
    assert!(!raw.is_object() || raw["format"] == 1, "another format is not read");
    let targets = state.targets();
    let count = |key: &str| (key.to_owned(), 1e15);
    let counters = BTreeMap::from(["#.gc.gc_num", "cpuacct.#.user"].map(count));
    let read = Some(Span { begin: NOW.wall, end: NOW.wall });
    let now = Reading { start: None, time: NOW.wall, clock: Clock::Host, read, source: None, counters };
    for target in ["127.0.0.1:8080", ""] {
        let last = state.get(target).map(|remembered| &remembered.reading);
        let Some((last, elapsed)) = last.and_then(|last| Some((last, now.since(last)?))) else { continue };
        assert!(last.read.map_or(last.time, |read| read.begin) < NOW.wall);
        for key in now.counters.keys() {
            let rate = now.rate(last, elapsed, key, Period::Minute);
            assert!(rate.is_none_or(|rate| rate.is_finite() && rate >= 0.0), "{rate:?}");
        }
    }
    state.insert("new".to_owned(), Remembered { seen: NOW, reading: now });
    let written = state.to_bytes().expect("a state can be written");
    let mut again = State::parse(&written).expect("what was written can be read");
    assert!((targets..=targets + 1).contains(&again.targets()));
    again.forget_old(NOW);
    assert!(again.get("new").is_some_and(|new| new.seen == NOW), "what was just seen is kept");

    let first = State::parse(&written).expect("what was written can be read");
    let first = first.to_bytes().expect("a state can be written");
    assert_eq!(text(&first), text(&written), "it changes when it is read and written");
}
