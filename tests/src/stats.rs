//! The metrics of gostats: responses of Go programs, and the expected values.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// The values of one target, by graph and metric: `gc.gc_num`.
pub type Values = BTreeMap<String, f64>;

/// Metrics that are printed as they are.
pub const GAUGES: [&str; 9] = [
    "gc.gc_pause_per_second",
    "gc.gc_per_second",
    "heap.heap_idle",
    "heap.heap_inuse",
    "heap.heap_sys",
    "memory.memory_alloc",
    "memory.memory_stack",
    "memory.memory_sys",
    "runtime.goroutine_num",
];

/// Metrics that are printed as growth per minute.
pub const COUNTERS: [&str; 6] = [
    "gc.gc_num",
    "heap.heap_released",
    "operation.memory_frees",
    "operation.memory_lookups",
    "operation.memory_mallocs",
    "runtime.cgo_call_num",
];

/// Returns the current time in ns since 1970, as a Go program reports it.
///
/// # Panics
///
/// If this machine's clock is not between 1970 and 2554.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    u64::try_from(now.as_nanos()).expect("a time before 2554")
}

/// Returns a response of a Go program at `time` (in ns since 1970) with `count` as the value of every counter.
pub fn body(time: u64, count: u64) -> Value {
    json!({
        "time": time,
        "go_version": "go1.26.8",
        "go_os": "linux",
        "go_arch": "amd64",
        "cpu_num": 2,
        "goroutine_num": 12,
        "gomaxprocs": 2,
        "cgo_call_num": count,
        "memory_alloc": 1_048_576,
        "memory_total_alloc": 9_048_576,
        "memory_sys": 8_388_608,
        "memory_lookups": count,
        "memory_mallocs": count,
        "memory_frees": count,
        "memory_stack": 65_536,
        "heap_alloc": 1_048_576,
        "heap_sys": 4_194_304,
        "heap_idle": 3_000_000,
        "heap_inuse": 1_194_304,
        "heap_released": count,
        "heap_objects": 4321,
        "gc_next": 4_194_304,
        "gc_last": 1_700_000_000_000_000_000_u64,
        "gc_num": count,
        "gc_per_second": 0.25,
        "gc_pause_per_second": 0.125,
        "gc_pause": [0.031, 0.042],
    })
}

/// Returns the expected values of the first run.
pub fn gauges(answer: &Value) -> Values {
    GAUGES.iter().map(|metric| ((*metric).to_owned(), field(answer, metric))).collect()
}

/// Returns the expected values for `after` if `before` was collected last: gauges, and the growth per minute of
/// counters that did not fall.
pub fn all(before: &Value, after: &Value) -> Values {
    let minutes = Duration::from_nanos(time(after) - time(before)).as_secs_f64() / 60.0;
    let growth =
        COUNTERS.iter().map(|metric| ((*metric).to_owned(), (field(after, metric) - field(before, metric)) / minutes));
    growth.filter(|(_, growth)| *growth >= 0.0).chain(gauges(after)).collect()
}

/// Returns the names of values, in their order.
pub fn keys(values: &Values) -> Vec<&str> {
    values.keys().map(String::as_str).collect()
}

/// Asserts that printed values are the expected ones, except for the last digits of a double.
///
/// # Panics
///
/// If a metric is missing, unexpected, or has another value.
pub fn assert_same(printed: &Values, right: &Values) {
    let names = |values: &Values| values.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(printed), names(right), "printed on the left, expected on the right");
    for (metric, right) in right {
        let printed = printed[metric];
        assert!((printed - right).abs() <= right.abs() * 1e-9, "{metric}: expected {right}, printed {printed}");
    }
}

fn field(answer: &Value, metric: &str) -> f64 {
    let (_, name) = metric.split_once('.').expect("a graph and a metric");
    answer[name].as_f64().unwrap_or_else(|| panic!("no number {name} in {answer}"))
}

fn time(answer: &Value) -> u64 {
    answer["time"].as_u64().expect("a time in ns")
}
