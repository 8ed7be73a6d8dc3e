//! Counters: growth per minute by the target's clock, calculated by hand.

use std::cell::Cell;
use std::time::{Duration, Instant};

use scenarios::agent::{Agent, Metrics, Output};
use scenarios::mask;
use scenarios::stats::{self, COUNTERS, GAUGES};
use scenarios::stub_target::StubTarget;
use serde_json::Value;

const SECOND: u64 = 1_000_000_000;
const NOON: u64 = 1_700_000_000 * SECOND;

/// An agent with one target. Between two runs, as much time passes for the host as for the target.
struct Pair {
    agent: Agent,
    stub_target: StubTarget,
    /// The target's time in the last run.
    time: Cell<u64>,
}

impl Pair {
    fn serving(first: Value) -> Self {
        let time = Cell::new(first["time"].as_u64().unwrap_or_default());
        Self { agent: Agent::without_engine(), stub_target: StubTarget::serving(first), time }
    }

    /// Serves this body, in the run after as much time as its own.
    fn serve(&self, body: &Value) {
        let time = body["time"].as_u64().expect("a time in ns");
        self.agent.let_pass(Duration::from_nanos(time - self.time.replace(time)));
        self.stub_target.serve(body.clone());
    }

    fn output(&self) -> Output {
        self.agent.run(&format!("run gostats --target {}", self.stub_target.target())).exits(0)
    }

    fn run(&self) -> Metrics {
        self.output().without_diagnostics().metrics()
    }

    /// Returns the printed value of the counters if all of them have this value.
    fn growth(&self, body: &Value) -> f64 {
        self.serve(body);
        self.growth_in(&self.run())
    }

    #[track_caller]
    fn growth_in(&self, printed: &Metrics) -> f64 {
        let printed = printed.of(&self.stub_target.key());
        assert_eq!(printed.len(), GAUGES.len() + COUNTERS.len(), "{printed:?}");
        let growth = printed["gc.gc_num"];
        assert!(COUNTERS.iter().all(|counter| (printed[*counter] - growth).abs() < 1e-9), "{printed:?}");
        growth
    }

    /// Returns the counters that are printed for this body.
    fn counters(&self, body: &Value) -> Vec<&'static str> {
        self.serve(body);
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
    pair.serve(&stats::body(NOON + 120 * SECOND, 1120));
    let next = pair.run().of(&pair.stub_target.key());
    assert_is(next["heap.heap_released"], 121.0);
    assert_is(next["gc.gc_num"], 60.0);
}

/// Runs for two times of the target, a minute apart by the host's clock. Asserts that the rates are those of the host's
/// clock, and returns the diagnostics.
#[track_caller]
fn rates_by_the_hosts_clock(first: &Value, second: &Value) -> String {
    let body = |time: &Value, count: u64| {
        let mut body = stats::body(NOON, count);
        body["time"] = time.clone();
        body
    };
    let pair = Pair::serving(body(first, 1000));
    let begin = Instant::now();
    pair.run();
    pair.agent.let_pass(Duration::from_mins(1));
    pair.stub_target.serve(body(second, 1060));
    let output = pair.output();
    // A growth of 60 in a minute and the time that the runs took.
    let lowest = 3600.0 / (60.0 + begin.elapsed().as_secs_f64());
    let growth = pair.growth_in(&output.metrics());
    assert!((lowest..=60.0).contains(&growth), "{growth} for {first} and {second}: {output}");
    mask::ports(&output.stderr)
}

#[test]
fn rates_use_the_hosts_clock_if_the_targets_stands_still() {
    insta::assert_snapshot!(rates_by_the_hosts_clock(&NOON.into(), &NOON.into()));
}

#[test]
fn rates_use_the_hosts_clock_if_the_targets_goes_back() {
    insta::assert_snapshot!(rates_by_the_hosts_clock(&NOON.into(), &(NOON - 60 * SECOND).into()));
}

#[test]
fn rates_use_the_hosts_clock_if_the_targets_time_is_not_in_nanoseconds() {
    let diagnostics = [SECOND, 1_000_000, 1_000]
        .map(|unit| rates_by_the_hosts_clock(&(NOON / unit).into(), &((NOON + 60 * SECOND) / unit).into()));
    insta::assert_snapshot!(diagnostics[0]);
    assert!(diagnostics.iter().all(|line| *line == diagnostics[0]), "{diagnostics:?}");
}

#[test]
fn rates_use_the_hosts_clock_if_the_targets_is_set_forward() {
    insta::assert_snapshot!(rates_by_the_hosts_clock(&NOON.into(), &(NOON + 3600 * SECOND).into()));
    insta::assert_snapshot!(rates_by_the_hosts_clock(&NOON.into(), &u64::MAX.into()));
}

#[test]
fn rates_use_the_hosts_clock_if_the_target_begins_or_ceases_to_report_its_time() {
    assert_eq!(rates_by_the_hosts_clock(&NOON.into(), &Value::Null), "");
    assert_eq!(rates_by_the_hosts_clock(&Value::Null, &NOON.into()), "");
    assert_eq!(rates_by_the_hosts_clock(&1.5.into(), &"noon".into()), "");
}

#[test]
fn target_with_an_older_response_keeps_its_own_clock() {
    let pair = Pair::serving(stats::body(NOON, 1000));
    pair.run();
    pair.agent.let_pass(Duration::from_mins(1));
    pair.stub_target.serve(stats::body(NOON + 50 * SECOND, 1050));
    assert_is(pair.growth_in(&pair.run()), 60.0);
}

#[test]
fn target_clocks_with_the_same_fault_are_one_line() {
    let targets = [(); 9].map(|()| StubTarget::serving(stats::body(NOON, 1)));
    let agent = Agent::without_engine();
    let addresses: Vec<_> = targets.iter().map(|target| format!("--target {}", target.target())).collect();
    let command = format!("run gostats {}", addresses.join(" "));
    let _ = agent.run(&command).exits(0).without_diagnostics();
    for target in &targets {
        target.serve(stats::body(NOON, 1));
    }
    let output = agent.run(&command).exits(0);
    insta::assert_snapshot!(mask::ports(&output.stderr));
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
    pair.serve(&stats::body(NOON + 60 * SECOND, 1000));
    let printed = pair.run().of(&pair.stub_target.key());
    assert_eq!(printed.len(), GAUGES.len() + COUNTERS.len() - 1, "{printed:?}");
    assert!(!printed.contains_key("gc.gc_num"));
}

#[test]
fn field_without_a_number_is_omitted_and_others_are_printed() {
    let mut body = stats::body(NOON, 1000);
    body["memory_alloc"] = Value::Null;
    body["heap_sys"] = "4194304".into();
    let pair = Pair::serving(body);
    let output = pair.output();
    let printed = output.metrics().of(&pair.stub_target.key());
    assert_eq!(printed.len(), GAUGES.len() - 2, "{printed:?}");
    insta::assert_snapshot!(mask::ports(&output.stderr));
}

#[test]
fn object_with_the_fields_one_level_down_names_the_place() {
    let stub_target = StubTarget::serving(serde_json::json!({"status": "ok", "stats": stats::body(NOON, 1000)}));
    let output = Agent::without_engine().run(&format!("run gostats --target {}", stub_target.target())).exits(1);
    insta::assert_snapshot!(mask::ports(&output.stderr));
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
