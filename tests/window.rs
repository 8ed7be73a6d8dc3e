//! The window of targets that are collected at the same time: slow targets do not hold up others.

use std::sync::Arc;

use scenarios::agent::Agent;
use scenarios::attack::targets;
use scenarios::stub_target::StubTarget;
use scenarios::{load, stats, wait};

/// Runs gostats on `count` targets that respond only after one of the 20 targets behind them has been requested.
#[track_caller]
fn assert_collected_behind(count: u8) {
    let _load = load::timed();
    let fast = Arc::new(StubTarget::serving(stats::body(1, 1)));
    let awaited = Arc::clone(&fast);
    let slow = StubTarget::serving_with(move || {
        wait::until("a target behind is requested", || (awaited.requests() > 0).then_some(()));
        stats::body(1, 1)
    });
    let slow = (1..=count).map(|host| format!("127.0.0.{host}:{}", slow.port()));
    let fast = (1..=20).map(|host| format!("127.0.0.{host}:{}", fast.port()));
    let words = format!("run gostats --path /stats --timeout 10s {} {}", targets(slow), targets(fast));
    let output = Agent::without_engine().run(&words).exits(0).without_diagnostics();
    assert_eq!(output.metrics().instances().len(), usize::from(count) + 20, "{output}");
}

#[test]
fn ten_slow_targets_in_front() {
    assert_collected_behind(10);
}

#[test]
fn thirty_two_slow_targets_in_front() {
    assert_collected_behind(32);
}

#[test]
fn hundred_slow_targets_in_front() {
    assert_collected_behind(100);
}
