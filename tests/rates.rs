//! Counters: growth per minute by the target's clock, calculated by hand.

use std::time::{Duration, Instant};

use scenarios::agent::{Agent, Metrics};
use scenarios::stats::{self, COUNTERS, GAUGES};
use scenarios::stub_target::StubTarget;
use serde_json::Value;

const SECOND: u64 = 1_000_000_000;
const NOON: u64 = 1_700_000_000 * SECOND;

/// An agent with one target.
struct Pair {
    agent: Agent,
    stub_target: StubTarget,
}

impl Pair {
    fn serving(first: Value) -> Self {
        Self { agent: Agent::without_engine(), stub_target: StubTarget::serving(first) }
    }

    fn run(&self) -> Metrics {
        let command = format!("run gostats --target {}", self.stub_target.target());
        self.agent.run(&command).exits(0).without_diagnostics().metrics()
    }

    /// Returns the printed value of the counters if all of them have this value.
    fn growth(&self, body: &Value) -> f64 {
        self.stub_target.serve(body.clone());
        let printed = self.run().of(&self.stub_target.key());
        assert_eq!(printed.len(), GAUGES.len() + COUNTERS.len(), "{printed:?}");
        let growth = printed["gc.gc_num"];
        assert!(COUNTERS.iter().all(|counter| (printed[*counter] - growth).abs() < 1e-9), "{printed:?}");
        growth
    }

    /// Returns the counters that are printed for this body.
    fn counters(&self, body: &Value) -> Vec<&'static str> {
        self.stub_target.serve(body.clone());
        let printed = self.run().of(&self.stub_target.key());
        for (gauge, right) in stats::gauges(body) {
            assert!((printed[&gauge] - right).abs() < 1e-9, "{gauge} in {printed:?}");
        }
        COUNTERS.into_iter().filter(|counter| printed.contains_key(*counter)).collect()
    }
}

#[track_caller]
fn assert_is(printed: f64, right: f64) {
    assert!((printed - right).abs() <= right.abs() * 1e-9, "printed {printed}, expected {right}");
}

#[test]
fn first_run_has_no_rates() {
    let pair = Pair::serving(stats::body(NOON, 1000));
    assert_eq!(pair.counters(&stats::body(NOON, 1000)), [""; 0]);
}

#[test]
fn rate_after_30_seconds_is_twice_the_growth() {
    let pair = Pair::serving(stats::body(NOON, 1000));
    pair.run();
    assert_is(pair.growth(&stats::body(NOON + 30 * SECOND, 1007)), 14.0);
}

#[test]
fn rate_after_60_seconds_is_the_growth() {
    let pair = Pair::serving(stats::body(NOON, 1000));
    pair.run();
    assert_is(pair.growth(&stats::body(NOON + 60 * SECOND, 1007)), 7.0);
}

#[test]
fn rate_after_90_seconds_is_two_thirds_of_the_growth() {
    let pair = Pair::serving(stats::body(NOON, 1000));
    pair.run();
    assert_is(pair.growth(&stats::body(NOON + 90 * SECOND, 1007)), 4.666_666_666_666_667);
}

#[test]
fn rate_after_half_a_second_is_120_times_the_growth() {
    let pair = Pair::serving(stats::body(NOON, 1000));
    pair.run();
    assert_is(pair.growth(&stats::body(NOON + SECOND / 2, 1007)), 840.0);
}

#[test]
fn rate_after_5_hours_is_a_300th_of_the_growth() {
    let pair = Pair::serving(stats::body(NOON, 1000));
    pair.run();
    assert_is(pair.growth(&stats::body(NOON + 5 * 60 * 60 * SECOND, 1007)), 0.023_333_333_333_333_334);
}

#[test]
fn short_times_and_large_counts_are_exact() {
    let pair = Pair::serving(stats::body(NOON, 9_007_199_254_740_000));
    pair.run();
    // 100,000,001 ns apart: 600 times the growth, less one part in a hundred million.
    assert_is(pair.growth(&stats::body(NOON + 100_000_001, 9_007_199_254_740_991)), 594_599.994_054);
}

#[test]
fn unchanged_counter_is_zero() {
    let pair = Pair::serving(stats::body(NOON, 1000));
    pair.run();
    assert_is(pair.growth(&stats::body(NOON + 60 * SECOND, 1000)), 0.0);
}

#[test]
fn rate_is_relative_to_the_previous_run() {
    let pair = Pair::serving(stats::body(NOON, 1000));
    pair.run();
    assert_is(pair.growth(&stats::body(NOON + 60 * SECOND, 1010)), 10.0);
    assert_is(pair.growth(&stats::body(NOON + 120 * SECOND, 1030)), 20.0);
    assert_is(pair.growth(&stats::body(NOON + 150 * SECOND, 1031)), 2.0);
}

#[test]
fn counter_that_fell_is_omitted() {
    let pair = Pair::serving(stats::body(NOON, 1000));
    pair.run();
    let mut fallen = stats::body(NOON + 60 * SECOND, 1060);
    fallen["heap_released"] = 999.into();
    let printed = [
        "gc.gc_num",
        "operation.memory_frees",
        "operation.memory_lookups",
        "operation.memory_mallocs",
        "runtime.cgo_call_num",
    ];
    assert_eq!(pair.counters(&fallen), printed);
    // Growth again: from 999 to 1120 in the next minute, and from 1060 for the others.
    pair.stub_target.serve(stats::body(NOON + 120 * SECOND, 1120));
    let next = pair.run().of(&pair.stub_target.key());
    assert_is(next["heap.heap_released"], 121.0);
    assert_is(next["gc.gc_num"], 60.0);
}

#[test]
fn rates_are_omitted_if_the_targets_clock_goes_back() {
    let pair = Pair::serving(stats::body(NOON, 1000));
    pair.run();
    assert_eq!(pair.counters(&stats::body(NOON - 60 * SECOND, 1060)), [""; 0]);
    assert_is(pair.growth(&stats::body(NOON, 1120)), 60.0);
}

#[test]
fn rates_are_omitted_if_the_targets_clock_stands_still() {
    let pair = Pair::serving(stats::body(NOON, 1000));
    pair.run();
    assert_eq!(pair.counters(&stats::body(NOON, 1060)), [""; 0]);
    assert_eq!(pair.counters(&stats::body(NOON, 1000)), [""; 0]);
    assert_is(pair.growth(&stats::body(NOON + 60 * SECOND, 1060)), 60.0);
}

#[test]
fn rates_use_the_hosts_clock_if_the_target_has_no_time() {
    let mut body = stats::body(NOON, 1000);
    body.as_object_mut().expect("an object").remove("time");
    let pair = Pair::serving(body.clone());
    let before = Instant::now();
    pair.run();
    let between = Instant::now();
    body["gc_num"] = 1060.into();
    pair.stub_target.serve(body);
    let pause = between.elapsed();
    let printed = pair.run().of(&pair.stub_target.key())["gc.gc_num"];
    // Growth of 60 in at most the time since the first run's start, and at least the time between both runs.
    let per_minute = |time: Duration| 3600.0 / time.as_secs_f64();
    assert!((per_minute(before.elapsed())..=per_minute(pause)).contains(&printed), "{printed}");
}

#[test]
fn missing_metric_is_omitted_and_others_are_printed() {
    let mut old = stats::body(NOON, 1000);
    for unknown in ["gc_num", "heap_sys"] {
        old.as_object_mut().expect("an object").remove(unknown);
    }
    let pair = Pair::serving(old.clone());
    let printed = pair.run().of(&pair.stub_target.key());
    assert_eq!(printed.len(), GAUGES.len() - 1, "{printed:?}");
    // It is reported again, and so for the first time.
    pair.stub_target.serve(stats::body(NOON + 60 * SECOND, 1000));
    let printed = pair.run().of(&pair.stub_target.key());
    assert_eq!(printed.len(), GAUGES.len() + COUNTERS.len() - 1, "{printed:?}");
    assert!(!printed.contains_key("gc.gc_num"));
}

#[test]
fn values_are_printed_as_plain_decimals() {
    let mut body = stats::body(NOON, 1000);
    body["memory_alloc"] = serde_json::json!(1e30);
    body["memory_sys"] = u64::MAX.into();
    body["goroutine_num"] = 0.into();
    body["gc_per_second"] = serde_json::json!(0.000_000_001_25);
    body["gc_pause_per_second"] = serde_json::json!(-0.0);
    let pair = Pair::serving(body);
    let output =
        pair.agent.run(&format!("run gostats --target {}", pair.stub_target.target())).exits(0).without_diagnostics();
    assert_eq!(output.metrics().count(), GAUGES.len());
    let values: Vec<_> =
        output.stdout.lines().map(|line| line.split('.').skip(2).collect::<Vec<_>>().join(".")).collect();
    let values: Vec<_> = values.iter().filter_map(|line| line.rsplit_once('\t')).map(|(line, _)| line).collect();
    insta::assert_snapshot!(values.join("\n"), @"
    runtime.goroutine_num	0
    memory.memory_alloc	1000000000000000000000000000000
    memory.memory_sys	18446744073709552000
    memory.memory_stack	65536
    heap.heap_sys	4194304
    heap.heap_idle	3000000
    heap.heap_inuse	1194304
    gc.gc_per_second	0.00000000125
    gc.gc_pause_per_second	0
    ");
}
