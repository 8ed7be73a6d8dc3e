//! Stats from the engine's API: responses of real engines and invalid ones, served by a fake engine.

use std::collections::BTreeSet;

use scenarios::agent::Output;
use scenarios::fake_engine::{FakeEngine, container, docker_on_v1, docker_on_v2, podman, stopped};
use scenarios::fleet::{Fleet, Request, stats_of, values};
use scenarios::http::Reply;
use scenarios::mask;
use scenarios::stats::{Values, assert_same, keys};
use serde_json::{Value, json};

/// All graphs, from the engine.
const ALL: &str = "--stats-source api --graphs all";

/// The time of the first stats.
const START: &str = "2026-11-22T03:00:00Z";

/// The gauges of the container on Docker 20.10.
const GAUGES: [&str; 14] = [
    "blkio.io_queued.async",
    "blkio.io_queued.read",
    "blkio.io_queued.sync",
    "blkio.io_queued.write",
    "health.failing_streak",
    "health.healthy",
    "memory.cache",
    "memory.rss",
    "memory_limit.limit",
    "memory_limit.used",
    "memory_percentage.used",
    "processes.current",
    "processes.limit",
    "restarts.count",
];

const USER: &str = "/cpu_stats/cpu_usage/usage_in_usermode";
const SYSTEM: &str = "/cpu_stats/cpu_usage/usage_in_kernelmode";

/// Returns a body with other values at these places.
fn with<const COUNT: usize>(mut body: Value, changes: [(&str, Value); COUNT]) -> Value {
    for (place, value) in changes {
        *body.pointer_mut(place).unwrap_or_else(|| panic!("no {place}")) = value;
    }
    body
}

/// Returns a body with grown counts.
fn grown<const COUNT: usize>(mut body: Value, growth: [(&str, u64); COUNT]) -> Value {
    for (place, growth) in growth {
        let count = body.pointer_mut(place).unwrap_or_else(|| panic!("no {place}"));
        *count = json!(count.as_u64().expect("a count") + growth);
    }
    body
}

/// Returns a body without a field.
fn without(mut body: Value, place: &str) -> Value {
    let (parent, field) = place.rsplit_once('/').expect("a place");
    let parent = body.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    parent.remove(field).unwrap_or_else(|| panic!("no {place}"));
    body
}

/// Returns the metrics of one container that has these stats in successive runs.
fn printed<const COUNT: usize>(options: &str, bodies: [&Value; COUNT]) -> Values {
    let fleet = Fleet::of(&["api"]);
    let mut last = Values::new();
    for body in bodies {
        fleet.set_stats("api", body);
        last = stats_of(&fleet.run_without_diagnostics(options), "api");
    }
    last
}

#[test]
fn docker_20_10_stats_are_read_completely() {
    let first = docker_on_v1(START);
    let gauges = [
        ("blkio.io_queued.async", 44.0),
        ("blkio.io_queued.read", 11.0),
        ("blkio.io_queued.sync", 22.0),
        ("blkio.io_queued.write", 55.0),
        ("health.failing_streak", 0.0),
        ("health.healthy", 1.0),
        ("memory.cache", 33_554_432.0),
        ("memory.rss", 67_108_864.0),
        ("memory_limit.limit", 268_435_456.0),
        // 100 MiB minus 20 MiB of inactive files.
        ("memory_limit.used", 83_886_080.0),
        ("memory_percentage.used", 31.25),
        ("processes.current", 4.0),
        ("processes.limit", 100.0),
        ("restarts.count", 3.0),
    ];
    assert_same(&printed(ALL, [&first]), &values(gauges));

    // After 30 seconds, growth per minute is twice the growth, and per second a 30th of it.
    let second = grown(
        docker_on_v1("2026-11-22T03:00:30Z"),
        [
            (USER, 6_000_000_000),
            (SYSTEM, 1_500_000_000),
            ("/cpu_stats/throttling_data/periods", 300),
            ("/cpu_stats/throttling_data/throttled_periods", 30),
            ("/cpu_stats/throttling_data/throttled_time", 3_000_000_000),
            ("/blkio_stats/io_service_bytes_recursive/0/value", 1_000_000),
            ("/blkio_stats/io_service_bytes_recursive/6/value", 500_000),
            ("/blkio_stats/io_service_bytes_recursive/7/value", 600),
            ("/blkio_stats/io_service_bytes_recursive/8/value", 7),
            ("/blkio_stats/io_service_bytes_recursive/4/value", 9999),
            ("/blkio_stats/io_service_bytes_recursive/5/value", 9999),
            ("/blkio_stats/io_serviced_recursive/0/value", 1),
            ("/blkio_stats/io_serviced_recursive/6/value", 2),
            ("/blkio_stats/io_serviced_recursive/1/value", 1),
            ("/blkio_stats/io_serviced_recursive/9/value", 60),
            ("/networks/eth0/rx_bytes", 3000),
            ("/networks/eth1/rx_bytes", 300),
            ("/networks/eth0/tx_bytes", 1),
            ("/networks/eth1/rx_packets", 15),
            ("/networks/eth0/rx_errors", 1),
            ("/networks/eth1/rx_dropped", 2),
            ("/networks/eth0/tx_dropped", 3),
        ],
    );
    let rates = [
        ("blkio.io_service_bytes.async", 0.0),
        ("blkio.io_service_bytes.read", 3_000_000.0),
        ("blkio.io_service_bytes.sync", 14.0),
        ("blkio.io_service_bytes.write", 1200.0),
        ("blkio.io_serviced.async", 2.0),
        ("blkio.io_serviced.read", 0.1),
        ("blkio.io_serviced.sync", 0.0),
        ("blkio.io_serviced.write", 0.033_333_333_333_333_33),
        ("cpu_throttling.periods.all", 600.0),
        ("cpu_throttling.periods.throttled", 60.0),
        ("cpu_throttling.time.throttled", 10.0),
        ("cpuacct_percentage.system", 5.0),
        ("cpuacct_percentage.user", 20.0),
        ("network.bytes.received", 110.0),
        ("network.bytes.sent", 0.033_333_333_333_333_33),
        ("network.errors.received", 2.0),
        ("network.errors.received_dropped", 4.0),
        ("network.errors.sent", 0.0),
        ("network.errors.sent_dropped", 6.0),
        ("network.packets.received", 0.5),
        ("network.packets.sent", 0.0),
    ];
    let right = values(gauges).into_iter().chain(values(rates)).collect();
    assert_same(&printed(ALL, [&first, &second]), &right);
}

#[test]
fn docker_28_stats_on_cgroup_v2_are_read_completely() {
    let first = docker_on_v2(START);
    let gauges = [
        ("health.failing_streak", 0.0),
        ("health.healthy", 1.0),
        ("memory.cache", 16_777_216.0),
        ("memory.rss", 31_457_280.0),
        ("memory_limit.limit", 2_147_483_648.0),
        // 48 MiB minus 12 MiB of inactive files, of 2 GiB.
        ("memory_limit.used", 37_748_736.0),
        ("memory_percentage.used", 1.757_812_5),
        ("processes.current", 6.0),
        ("restarts.count", 3.0),
    ];
    assert_same(&printed(ALL, [&first]), &values(gauges));

    let second = grown(
        docker_on_v2("2026-11-22T03:01:00Z"),
        [
            (USER, 1_200_000_000),
            (SYSTEM, 600_000_000),
            ("/blkio_stats/io_service_bytes_recursive/0/value", 4096),
            ("/blkio_stats/io_service_bytes_recursive/2/value", 1024),
            ("/blkio_stats/io_service_bytes_recursive/3/value", 512),
            ("/networks/eth0/tx_bytes", 6000),
        ],
    );
    let rates = [
        ("blkio.io_service_bytes.read", 5120.0),
        ("blkio.io_service_bytes.write", 512.0),
        ("cpu_throttling.periods.all", 0.0),
        ("cpu_throttling.periods.throttled", 0.0),
        ("cpu_throttling.time.throttled", 0.0),
        ("cpuacct_percentage.system", 1.0),
        ("cpuacct_percentage.user", 2.0),
        ("network.bytes.received", 0.0),
        ("network.bytes.sent", 100.0),
        ("network.errors.received", 0.0),
        ("network.errors.received_dropped", 0.0),
        ("network.errors.sent", 0.0),
        ("network.errors.sent_dropped", 0.0),
        ("network.packets.received", 0.0),
        ("network.packets.sent", 0.0),
    ];
    let right = values(gauges).into_iter().chain(values(rates)).collect();
    assert_same(&printed(ALL, [&first, &second]), &right);
}

#[test]
fn docker_29_stats_on_cgroup_v2_include_operation_counts() {
    let place = "/blkio_stats/io_serviced_recursive";
    let counts = |read: u64, write: u64| {
        let entry = |minor: u64, op: &str, value: u64| json!({"major": 259, "minor": minor, "op": op, "value": value});
        json!([entry(0, "read", read), entry(0, "write", write), entry(4, "read", 70), entry(4, "write", 80)])
    };
    let first = with(docker_on_v2(START), [(place, counts(10, 20))]);
    let second = with(docker_on_v2("2026-11-22T03:01:00Z"), [(place, counts(40, 35))]);
    let mut printed = printed("--stats-source api --graphs blkio", [&first, &second]);
    printed.retain(|key, _| key.starts_with("blkio.io_serviced"));
    assert_same(&printed, &values([("blkio.io_serviced.read", 0.5), ("blkio.io_serviced.write", 0.25)]));
}

#[test]
fn podman_4_3_stats_omit_what_it_does_not_report() {
    let first = podman(START);
    let second = grown(podman("2026-11-22T03:01:00Z"), [(USER, 30_000_000_000), ("/networks/network/rx_bytes", 600)]);
    let fleet = Fleet::of(&["api"]);
    fleet.edit_listed("api", |container| {
        container["HostConfig"] = json!(null);
        container["Ports"] = json!([{"PrivatePort": 8080, "PublicPort": 41477, "Type": "tcp"}]);
    });
    let mut inspected = fleet.inspected("api");
    inspected["State"]["Health"] = json!({"Status": "", "FailingStreak": 0, "Log": null});
    inspected["RestartCount"] = json!(0);
    fleet.set_reply("api", Request::Inspect, Reply::Whole(200, inspected.to_string()));
    fleet.set_stats("api", &first);
    let _ = fleet.run_without_diagnostics(ALL);
    fleet.set_stats("api", &second);
    let right = [
        ("cpu_throttling.periods.all", 0.0),
        ("cpu_throttling.periods.throttled", 0.0),
        ("cpu_throttling.time.throttled", 0.0),
        ("cpuacct_percentage.system", 0.0),
        ("cpuacct_percentage.user", 50.0),
        ("memory_limit.limit", 268_435_456.0),
        ("network.bytes.received", 10.0),
        // Podman does not count packets and reports 0.
        ("network.bytes.sent", 0.0),
        ("processes.current", 4.0),
        ("restarts.count", 0.0),
    ];
    assert_same(&stats_of(&fleet.run_without_diagnostics(ALL), "api"), &values(right));
}

#[test]
fn cpu_percentage_uses_the_time_of_the_stats() {
    for (read, user, system, percent) in [
        ("2026-11-22T03:00:30Z", 6_000_000_000, 1_500_000_000, (20.0, 5.0)),
        ("2026-11-22T03:01:00Z", 6_000_000_000, 1_500_000_000, (10.0, 2.5)),
        ("2026-11-22T03:01:30Z", 6_000_000_000, 1_500_000_000, (6.666_666_666_666_667, 1.666_666_666_666_666_7)),
        ("2026-11-22T03:00:00.5Z", 250_000_000, 0, (50.0, 0.0)),
        ("2026-11-22T03:00:59.123456789Z", 59_123_456_789, 118_246_913_578, (100.0, 200.0)),
        ("2026-11-22T03:00:07Z", 1_000_000_000, 7_000_000, (14.285_714_285_714_286, 0.1)),
        ("2026-11-22T08:00:00Z", 18_000_000_000_000, 180_000_000, (100.0, 0.001)),
        ("2026-11-23T03:00:00Z", 864_000_000_000, 8_640_000_000, (1.0, 0.01)),
    ] {
        let second = grown(docker_on_v1(read), [(USER, user), (SYSTEM, system)]);
        let printed = printed("--stats-source api --graphs cpu", [&docker_on_v1(START), &second]);
        let right = [("cpuacct_percentage.system", percent.1), ("cpuacct_percentage.user", percent.0)];
        assert_same(&printed, &values(right));
    }
}

#[test]
fn cpu_format_usage_prints_nanoseconds_per_minute() {
    for (read, user, system) in [
        ("2026-11-22T03:00:30Z", 12_000_000_000.0, 3_000_000_000.0),
        ("2026-11-22T03:01:00Z", 6_000_000_000.0, 1_500_000_000.0),
        ("2026-11-22T03:01:30Z", 4_000_000_000.0, 1_000_000_000.0),
    ] {
        let second = grown(docker_on_v1(read), [(USER, 6_000_000_000), (SYSTEM, 1_500_000_000)]);
        let options = "--stats-source api --graphs cpu --cpu-format usage";
        let printed = printed(options, [&docker_on_v1(START), &second]);
        assert_same(&printed, &values([("cpuacct.system", system), ("cpuacct.user", user)]));
    }
}

#[test]
fn time_can_have_any_rfc_3339_form() {
    // The container uses one core all the time: 100 % for any time that is read correctly.
    for (first, second, nanoseconds) in [
        ("2026-11-22T12:00:00+09:00", "2026-11-22T03:00:30Z", 30_000_000_000),
        ("2026-11-22T12:00:00.25+09:00", "2026-11-22T12:00:30.75+09:00", 30_500_000_000),
        ("2026-11-21T23:30:00-03:30", "2026-11-22T03:00:30+00:00", 30_000_000_000),
        ("2026-11-22T03:00:00Z", "2026-11-22T03:00:30.1Z", 30_100_000_000),
        ("2026-11-22T03:00:00Z", "2026-11-22T03:00:30.12Z", 30_120_000_000),
        ("2026-11-22T03:00:00Z", "2026-11-22T03:00:30.123Z", 30_123_000_000),
        ("2026-11-22T03:00:00Z", "2026-11-22T03:00:30.1234Z", 30_123_400_000),
        ("2026-11-22T03:00:00Z", "2026-11-22T03:00:30.12345Z", 30_123_450_000),
        ("2026-11-22T03:00:00Z", "2026-11-22T03:00:30.123456Z", 30_123_456_000),
        ("2026-11-22T03:00:00Z", "2026-11-22T03:00:30.1234567Z", 30_123_456_700),
        ("2026-11-22T03:00:00Z", "2026-11-22T03:00:30.12345678Z", 30_123_456_780),
        ("2026-11-22T03:00:00.999999999Z", "2026-11-22T03:00:31.000000001Z", 30_000_000_002),
    ] {
        let second_body = grown(docker_on_v1(second), [(USER, nanoseconds)]);
        let printed = printed("--stats-source api --graphs cpu", [&docker_on_v1(first), &second_body]);
        assert!((printed["cpuacct_percentage.user"] - 100.0).abs() < 1e-9, "{first} {second}: {printed:?}");
    }
}

#[test]
fn unchanged_or_earlier_time_omits_counters() {
    for read in [START, "2026-11-22T02:59:59Z"] {
        let second = grown(docker_on_v1(read), [(USER, 6_000_000_000)]);
        assert_eq!(
            printed("--stats-source api --graphs cpu", [&docker_on_v1(START), &second]),
            Values::new(),
            "{read}"
        );
    }
}

#[test]
fn previous_stats_in_the_response_are_ignored() {
    let first = docker_on_v1(START);
    let second = grown(docker_on_v1("2026-11-22T03:01:00Z"), [(USER, 6_000_000_000)]);
    let right = printed(ALL, [&first, &second]);
    let cpu = second["cpu_stats"].clone();
    for nonsense in [json!(null), json!({}), cpu, json!({"cpu_usage": {"total_usage": 1}, "system_cpu_usage": 0})] {
        let second = with(second.clone(), [("/precpu_stats", nonsense), ("/preread", json!("2026-11-22T03:00:59Z"))]);
        assert_same(&printed(ALL, [&first, &second]), &right);
    }
    assert_same(&printed(ALL, [&first, &without(without(second, "/precpu_stats"), "/preread")]), &right);
}

#[test]
fn missing_stats_are_omitted_not_zero() {
    let second = |first: &Value| with(first.clone(), [("/read", json!("2026-11-22T03:01:00Z"))]);
    let whole = docker_on_v1(START);
    let all = printed(ALL, [&whole, &second(&whole)]);
    assert_eq!(all.len(), 35);
    for (place, untold) in [
        ("/cpu_stats", &["cpuacct_percentage.", "cpu_throttling."][..]),
        ("/cpu_stats/cpu_usage", &["cpuacct_percentage."]),
        (USER, &["cpuacct_percentage.user"]),
        ("/cpu_stats/throttling_data", &["cpu_throttling."]),
        ("/cpu_stats/throttling_data/throttled_time", &["cpu_throttling.time."]),
        ("/memory_stats", &["memory.", "memory_limit.", "memory_percentage."]),
        ("/memory_stats/stats", &["memory.", "memory_limit.used", "memory_percentage."]),
        ("/memory_stats/usage", &["memory_limit.used", "memory_percentage."]),
        ("/memory_stats/limit", &["memory_limit.limit", "memory_percentage."]),
        ("/blkio_stats", &["blkio."]),
        ("/blkio_stats/io_queue_recursive", &["blkio.io_queued."]),
        ("/blkio_stats/io_serviced_recursive", &["blkio.io_serviced."]),
        ("/blkio_stats/io_service_bytes_recursive", &["blkio.io_service_bytes."]),
        ("/networks", &["network."]),
        ("/networks/eth0/tx_errors", &["network.errors.sent"]),
        ("/pids_stats", &["processes."]),
        ("/pids_stats/limit", &["processes.limit"]),
    ] {
        let reported: Vec<_> = keys(&all)
            .into_iter()
            .filter(|key| {
                !untold.iter().any(|untold| key == untold || untold.ends_with('.') && key.starts_with(untold))
            })
            .collect();
        let empty = match whole.pointer(place) {
            Some(Value::Object(_)) => json!({}),
            Some(Value::Array(_)) => json!([]),
            _ => json!(null),
        };
        for first in [
            with(whole.clone(), [(place, json!(null))]),
            with(whole.clone(), [(place, empty)]),
            without(whole.clone(), place),
        ] {
            assert_eq!(keys(&printed(ALL, [&first, &second(&first)])), reported, "without {place}: {first}");
        }
    }
}

#[test]
fn zero_is_printed() {
    let zero = with(
        docker_on_v1(START),
        [
            ("/memory_stats/usage", json!(0)),
            ("/memory_stats/stats/total_rss", json!(0)),
            ("/memory_stats/stats/total_cache", json!(0)),
            ("/memory_stats/stats/total_inactive_file", json!(0)),
            ("/pids_stats/current", json!(0)),
        ],
    );
    let printed = printed("--stats-source api --graphs memory,memory-limit,processes", [&zero]);
    let right = [
        ("memory.cache", 0.0),
        ("memory.rss", 0.0),
        ("memory_limit.limit", 268_435_456.0),
        ("memory_limit.used", 0.0),
        ("memory_percentage.used", 0.0),
        ("processes.current", 0.0),
        ("processes.limit", 100.0),
    ];
    assert_same(&printed, &values(right));
}

#[test]
fn inactive_memory_above_usage_is_not_subtracted() {
    for (inactive, used) in [(104_857_599, 1.0), (104_857_600, 104_857_600.0), (104_857_601, 104_857_600.0)] {
        let body = with(docker_on_v1(START), [("/memory_stats/stats/total_inactive_file", json!(inactive))]);
        let printed = printed("--stats-source api --graphs memory-limit", [&body]);
        assert!((printed["memory_limit.used"] - used).abs() < 1e-9, "{inactive}: {printed:?}");
    }
}

#[test]
fn memory_limit_of_zero_omits_the_percentage() {
    let body = with(docker_on_v1(START), [("/memory_stats/limit", json!(0))]);
    let printed = printed("--stats-source api --graphs memory-limit", [&body]);
    assert!(!printed.contains_key("memory_percentage.used"), "{printed:?}");
}

#[test]
fn operations_match_in_any_case_and_unknown_ones_are_ignored() {
    // One of the synchronous and asynchronous counts is missing, so the sum is unknown.
    let entry = |op: &str, value: u64| json!({"major": 8, "minor": 0, "op": op, "value": value});
    let list = json!([
        entry("READ", 1),
        entry("read", 10),
        entry("Read", 100),
        entry("wRITE", 2),
        entry("sync", 1),
        json!({"major": 8, "minor": 16, "op": "sync"}),
        entry("async", 1),
        json!({"major": 8, "minor": 16, "op": "async", "value": null}),
        json!({"major": 8, "minor": 16, "op": null, "value": 1}),
        entry("Discard", 1000),
        entry("Total", 10_000),
        entry("", 10_000),
        entry("reads", 10_000),
        entry("read ", 10_000),
    ]);
    let body = with(docker_on_v1(START), [("/blkio_stats/io_queue_recursive", list)]);
    let printed = printed("--stats-source api --graphs blkio", [&body]);
    assert_same(&printed, &values([("blkio.io_queued.read", 111.0), ("blkio.io_queued.write", 2.0)]));
}

#[test]
fn counter_that_fell_is_omitted() {
    let first = docker_on_v1(START);
    let second = with(
        grown(docker_on_v1("2026-11-22T03:01:00Z"), [(SYSTEM, 600_000_000)]),
        [(USER, json!(214_799_999_999_u64)), ("/networks/eth0/rx_bytes", json!(0))],
    );
    let whole = printed(ALL, [&first, &with(first.clone(), [("/read", json!("2026-11-22T03:01:00Z"))])]);
    let fell = printed(ALL, [&first, &second]);
    let left_out: Vec<_> = keys(&whole).into_iter().filter(|key| !fell.contains_key(*key)).collect();
    assert_eq!(left_out, ["cpuacct_percentage.user", "network.bytes.received"]);
    assert!((fell["cpuacct_percentage.system"] - 1.0).abs() < 1e-9, "{fell:?}");
    // The counters grow again.
    let third = grown(with(second.clone(), [("/read", json!("2026-11-22T03:02:00Z"))]), [(USER, 6_000_000_000)]);
    assert!((printed(ALL, [&first, &second, &third])["cpuacct_percentage.user"] - 10.0).abs() < 1e-9);
}

#[test]
fn restarted_container_omits_counters_once() {
    let later = |read: &str, growth: u64| grown(docker_on_v1(read), [(USER, growth)]);
    let lower = with(docker_on_v1("2026-11-22T03:01:00Z"), [(USER, json!(1_000_000)), (SYSTEM, json!(1_000_000))]);
    for (what, restarted) in [("lower", lower), ("higher", later("2026-11-22T03:01:00Z", 6_000_000_000))] {
        let fleet = Fleet::of(&["api"]);
        fleet.set_stats("api", &docker_on_v1(START));
        let _ = fleet.run_without_diagnostics(ALL);
        fleet.restart("api", "2026-11-22T03:00:55.5Z");
        fleet.set_stats("api", &restarted);
        let printed = stats_of(&fleet.run_without_diagnostics(ALL), "api");
        assert_eq!(keys(&printed), GAUGES, "{what}");

        let next = with(restarted.clone(), [("/read", json!("2026-11-22T03:02:00Z"))]);
        fleet.set_stats("api", &grown(next, [(USER, 6_000_000_000)]));
        let printed = stats_of(&fleet.run_without_diagnostics(ALL), "api");
        assert_eq!(printed.len(), 35, "{what}");
        assert!((printed["cpuacct_percentage.user"] - 10.0).abs() < 1e-9, "{what}: {printed:?}");
    }
}

#[test]
fn host_network_container_has_no_network_metrics() {
    let fleet = Fleet::of(&["api"]);
    fleet.edit_listed("api", |container| container["HostConfig"]["NetworkMode"] = json!("host"));
    for read in [START, "2026-11-22T03:01:00Z"] {
        fleet.set_stats("api", &without(docker_on_v1(read), "/networks"));
        let output = fleet.run_without_diagnostics("--stats-source api --graphs network");
        assert_eq!(output.stdout, "", "{output}");
    }
}

/// Runs with three containers, one of which has this reply to the request for its stats. The others must be complete.
/// Returns stderr.
#[track_caller]
fn diagnostics(reply: Reply, options: &str) -> String {
    let fleet = Fleet::of(&["api", "bad", "web"]);
    for name in ["api", "web"] {
        fleet.set_stats(name, &docker_on_v1(START));
    }
    fleet.set_reply("bad", Request::Stats, reply);
    let output = fleet.run(&format!("--stats-source api --graphs memory,processes {options}")).exits(0);
    let names = |output: &Output, name: &str| keys(&stats_of(output, name)).join(" ");
    let whole = "memory.cache memory.rss processes.current processes.limit";
    assert_eq!(["api", "bad", "web"].map(|name| names(&output, name)), [whole, "", whole], "{output}");
    mask::digits(&fleet.mask(&output.stderr), "column ", "NUMBER")
}

fn message(text: &str) -> String {
    json!({"message": text}).to_string()
}

#[test]
fn removed_container_is_one_line_and_others_are_complete() {
    let replies = [
        Reply::Whole(404, message("No such container: bad")),
        Reply::Whole(200, stopped().to_string()),
        // As Podman reports it.
        Reply::Whole(409, json!({"cause": "container is stopped", "message": "bad", "response": 409}).to_string()),
        // A response that ends before its body.
        Reply::Whole(200, String::new()),
    ];
    insta::assert_snapshot!(replies.map(|reply| diagnostics(reply, "")).concat(), @"
    mackerel-plugin-wasm: docker: bad: container stopped or removed since the engine listed it
    mackerel-plugin-wasm: docker: bad: container stopped or removed since the engine listed it
    mackerel-plugin-wasm: docker: bad: container stopped or removed since the engine listed it
    mackerel-plugin-wasm: docker: bad: container stopped or removed since the engine listed it
    ");
}

#[test]
fn stats_that_never_arrive_time_out_alone() {
    insta::assert_snapshot!(diagnostics(Reply::NoResponse, "--timeout 1s"), @"mackerel-plugin-wasm: docker: bad: no response from the engine after 1s (--timeout)");
}

#[test]
fn stats_missing_at_the_deadline_do_not_affect_others() {
    insta::assert_snapshot!(diagnostics(Reply::NoResponse, "--deadline 2s"), @"mackerel-plugin-wasm: docker: bad: no response from the engine when the run's deadline of 2s passed (--deadline)");
}

#[test]
fn engine_error_is_quoted() {
    let replies = [
        Reply::Whole(500, message("the daemon is on fire")),
        Reply::Whole(500, "<html>on fire</html>".to_owned()),
        Reply::Whole(500, String::new()),
        Reply::Whole(301, message("Moved Permanently")),
    ];
    let diagnostics = replies.map(|reply| diagnostics(reply, ""));
    insta::assert_snapshot!(diagnostics.concat(), @"
    mackerel-plugin-wasm: docker: bad: engine returned HTTP 500 the daemon is on fire
    mackerel-plugin-wasm: docker: bad: engine returned HTTP 500 <html>on fire</html>
    mackerel-plugin-wasm: docker: bad: engine returned HTTP 500
    mackerel-plugin-wasm: docker: bad: engine returned HTTP 301 Moved Permanently
    ");
}

#[test]
fn response_that_is_not_stats_is_one_line() {
    let bodies = ["nonsense", "[]", "null", "{}", "1", "\"stats\"", "[null]", "{\"read\": null}", "{\"read\": 1}"];
    let diagnostics = bodies.map(|body| format!("{body}\n    {}", diagnostics(Reply::Whole(200, body.to_owned()), "")));
    insta::assert_snapshot!(diagnostics.concat(), @r#"
    nonsense
        mackerel-plugin-wasm: docker: bad: invalid response of the engine: expected ident at line 1 column NUMBER
    []
        mackerel-plugin-wasm: docker: bad: engine reports stats without a time
    null
        mackerel-plugin-wasm: docker: bad: invalid response of the engine: invalid type: null, expected the stats of a container at line 1 column NUMBER
    {}
        mackerel-plugin-wasm: docker: bad: engine reports stats without a time
    1
        mackerel-plugin-wasm: docker: bad: invalid response of the engine: invalid type: integer `1`, expected the stats of a container at line 1 column NUMBER
    "stats"
        mackerel-plugin-wasm: docker: bad: invalid response of the engine: invalid type: string "stats", expected the stats of a container at line 1 column NUMBER
    [null]
        mackerel-plugin-wasm: docker: bad: engine reports stats without a time
    {"read": null}
        mackerel-plugin-wasm: docker: bad: engine reports stats without a time
    {"read": 1}
        mackerel-plugin-wasm: docker: bad: engine reports stats without a time
    "#);
}

#[test]
fn incomplete_stats_are_one_line() {
    // The first half, and only the head.
    let replies = [docker_on_v1(START).to_string(), "{".to_owned()].map(Reply::Half);
    insta::assert_snapshot!(replies.map(|reply| diagnostics(reply, "")).concat(), @"
    mackerel-plugin-wasm: docker: bad: incomplete response of the engine
    mackerel-plugin-wasm: docker: bad: incomplete response of the engine
    ");
}

#[test]
fn stats_without_a_valid_time_are_one_line() {
    let times = [
        "",
        "yesterday",
        "2026-11-22",
        "2026-11-22T03:00:00",
        "2026-13-22T03:00:00Z",
        "9999999",
        "1969-12-31T23:59:59Z",
        "2554-07-21T23:34:34Z",
        "9999-01-01T00:00:00Z",
        "\u{1b}[31m",
    ];
    let diagnostics = times.map(|read| {
        let body = docker_on_v1(read).to_string();
        format!("{}\n    {}", read.escape_debug(), diagnostics(Reply::Whole(200, body), ""))
    });
    insta::assert_snapshot!(diagnostics.concat(), @r"
        mackerel-plugin-wasm: docker: bad: engine reports stats with the time '': expected one from 1970 to 2554
    yesterday
        mackerel-plugin-wasm: docker: bad: engine reports stats with the time 'yesterday': expected one from 1970 to 2554
    2026-11-22
        mackerel-plugin-wasm: docker: bad: engine reports stats with the time '2026-11-22': expected one from 1970 to 2554
    2026-11-22T03:00:00
        mackerel-plugin-wasm: docker: bad: engine reports stats with the time '2026-11-22T03:00:00': expected one from 1970 to 2554
    2026-13-22T03:00:00Z
        mackerel-plugin-wasm: docker: bad: engine reports stats with the time '2026-13-22T03:00:00Z': expected one from 1970 to 2554
    9999999
        mackerel-plugin-wasm: docker: bad: engine reports stats with the time '9999999': expected one from 1970 to 2554
    1969-12-31T23:59:59Z
        mackerel-plugin-wasm: docker: bad: engine reports stats with the time '1969-12-31T23:59:59Z': expected one from 1970 to 2554
    2554-07-21T23:34:34Z
        mackerel-plugin-wasm: docker: bad: engine reports stats with the time '2554-07-21T23:34:34Z': expected one from 1970 to 2554
    9999-01-01T00:00:00Z
        mackerel-plugin-wasm: docker: bad: engine reports stats with the time '9999-01-01T00:00:00Z': expected one from 1970 to 2554
    \u{1b}[31m
        mackerel-plugin-wasm: docker: bad: engine reports stats with the time '\u{1b}[31m': expected one from 1970 to 2554
    ");
    let last = with(docker_on_v1("2554-07-21T23:34:33Z"), []);
    assert_eq!(printed("--stats-source api --graphs memory", [&last]).len(), 2);
}

#[test]
fn odd_field_omits_only_its_metrics() {
    let whole = docker_on_v1(START);
    let all = printed(ALL, [&whole, &with(whole.clone(), [("/read", json!("2026-11-22T03:01:00Z"))])]);
    let odd = [
        json!(1e30),
        json!(-1),
        json!(1.5),
        json!("four"),
        json!([4]),
        json!({"a": 1}),
        json!(true),
        json!("18446744073709551616"),
    ];
    for (place, omitted) in [
        ("/cpu_stats", &["cpuacct_percentage.", "cpu_throttling."][..]),
        (USER, &["cpuacct_percentage.user"]),
        ("/cpu_stats/throttling_data/periods", &["cpu_throttling.periods.all"]),
        ("/memory_stats", &["memory.", "memory_limit.", "memory_percentage."]),
        ("/memory_stats/stats", &["memory.", "memory_limit.used", "memory_percentage."]),
        ("/memory_stats/stats/total_rss", &["memory.rss"]),
        ("/memory_stats/limit", &["memory_limit.limit", "memory_percentage."]),
        ("/blkio_stats", &["blkio."]),
        ("/blkio_stats/io_queue_recursive", &["blkio.io_queued."]),
        ("/blkio_stats/io_queue_recursive/0", &["blkio.io_queued."]),
        ("/blkio_stats/io_queue_recursive/0/value", &["blkio.io_queued.read"]),
        ("/networks", &["network."]),
        ("/networks/eth0", &["network."]),
        ("/networks/eth0/rx_bytes", &["network.bytes.received"]),
        ("/pids_stats/current", &["processes.current"]),
        ("/memory_stats/stats/total_mapped_file", &[]),
        ("/memory_stats/max_usage", &[]),
        ("/precpu_stats", &[]),
        ("/name", &[]),
        ("/num_procs", &[]),
    ] {
        let is_omitted = |key: &&str| omitted.iter().any(|start| key.starts_with(start));
        let expected: Vec<_> = keys(&all).into_iter().filter(|key| !is_omitted(key)).collect();
        // An object without the fields of the place is empty.
        for odd in odd.iter().chain([&json!("a\u{0}")]) {
            let first = with(whole.clone(), [(place, odd.clone())]);
            let second = with(first.clone(), [("/read", json!("2026-11-22T03:01:00Z"))]);
            let printed = printed(ALL, [&first, &second]);
            if place == "/blkio_stats/io_queue_recursive/0" && odd.is_object() {
                continue;
            }
            assert_eq!(keys(&printed), expected, "{odd} as {place}");
        }
    }
}

#[test]
fn odd_inspection_omits_only_its_metrics() {
    let metrics = |change: &dyn Fn(&mut Value)| {
        let fleet = Fleet::of(&["api"]);
        let mut inspected = fleet.inspected("api");
        change(&mut inspected);
        fleet.set_reply("api", Request::Inspect, Reply::Whole(200, inspected.to_string()));
        let output = fleet.run("--stats-source api --graphs restarts,health").exits(0);
        format!("[{}] {}", keys(&stats_of(&output, "api")).join(" "), output.stderr)
    };
    let all = "[health.failing_streak health.healthy restarts.count] ";
    for odd in [json!(null), json!(7), json!("a"), json!([]), json!([null])] {
        for place in ["Config", "HostConfig", "NetworkSettings", "Mounts", "Created", "Name", "GraphDriver"] {
            assert_eq!(metrics(&|inspected| inspected[place] = odd.clone()), all, "{odd} as {place}");
        }
        assert_eq!(metrics(&|inspected| inspected["State"]["Pid"] = odd.clone()), all, "{odd}");
        assert_eq!(metrics(&|inspected| inspected["State"]["Health"]["Log"] = odd.clone()), all, "{odd}");
    }
    for odd in [json!(null), json!(-1), json!("a"), json!([])] {
        let restarts = metrics(&|inspected| inspected["RestartCount"] = odd.clone());
        assert_eq!(restarts, "[health.failing_streak health.healthy] ", "{odd}");
        let health = metrics(&|inspected| inspected["State"]["Health"] = odd.clone());
        assert_eq!(health, "[restarts.count] ", "{odd}");
    }
}

#[test]
fn largest_numbers_are_printed_or_omitted_without_overflow() {
    let max = json!(u64::MAX);
    let body = with(
        docker_on_v1(START),
        [
            ("/memory_stats/usage", max.clone()),
            ("/memory_stats/limit", max.clone()),
            ("/memory_stats/stats/total_rss", max.clone()),
            ("/memory_stats/stats/hierarchical_memory_limit", max.clone()),
            ("/memory_stats/stats/total_inactive_file", json!(0)),
            ("/pids_stats/current", max.clone()),
            ("/blkio_stats/io_queue_recursive/0/value", max.clone()),
            ("/networks/eth0/rx_bytes", max.clone()),
            (USER, max),
        ],
    );
    let printed = printed("--stats-source api --graphs memory,memory-limit,blkio,processes", [&body]);
    // 2^64, the nearest float. The sum over both devices is larger than the largest number, and so unknown.
    let largest = 18_446_744_073_709_551_616.0;
    let right = [
        ("blkio.io_queued.async", 44.0),
        ("blkio.io_queued.sync", 22.0),
        ("blkio.io_queued.write", 55.0),
        ("memory.cache", 33_554_432.0),
        ("memory.rss", largest),
        ("memory_limit.limit", largest),
        ("memory_limit.used", largest),
        ("memory_percentage.used", 100.0),
        ("processes.current", largest),
        ("processes.limit", 100.0),
    ];
    assert_same(&printed, &values(right));
}

#[test]
fn engine_error_is_escaped_and_truncated() {
    let forged = "a\nmackerel-plugin-wasm: all is well\u{1b}[2J\u{202e}\0";
    insta::assert_snapshot!(diagnostics(Reply::Whole(500, message(forged)), ""), @r"mackerel-plugin-wasm: docker: bad: engine returned HTTP 500 a\nmackerel-plugin-wasm: all is well\u{1b}[2J\u{202e}\0");
    let endless = diagnostics(Reply::Whole(500, message(&"fire ".repeat(200_000))), "");
    assert!(endless.lines().count() == 1 && endless.len() < 500, "{} bytes: {endless:.600}", endless.len());
}

#[test]
fn run_fails_if_all_containers_fail() {
    let fleet = Fleet::of(&["api", "web"]);
    for name in ["api", "web"] {
        fleet.set_reply(name, Request::Stats, Reply::Whole(404, message("No such container")));
    }
    let output = fleet.run("--stats-source api").exits(1);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(output.stderr, @"
    mackerel-plugin-wasm: docker: api: container stopped or removed since the engine listed it
    mackerel-plugin-wasm: docker: web: container stopped or removed since the engine listed it
    ");
}

#[test]
fn stats_work_with_every_api_version() {
    for (oldest, newest) in [("1.12", "1.41"), ("1.24", "1.48"), ("1.44", "1.52")] {
        let engine = FakeEngine::with_versions(oldest, newest, vec![container("api", "127.0.0.1", 1)]);
        let agent = scenarios::agent::Agent::with_docker_host(&engine.host());
        let output = agent.run("run docker --stats-source api --instance-name name").exits(0).without_diagnostics();
        assert_eq!(keys(&stats_of(&output, "api")), ["memory.cache", "memory.rss"], "{oldest} to {newest}");
    }
}

#[test]
fn stats_are_requested_once_and_start_times_only_if_needed() {
    let fleet = Fleet::of(&["api", "db", "web"]);
    let stats = ["api", "db", "web"].map(|name| format!("/containers/{name}/stats"));
    let inspections = ["api", "db", "web"].map(|name| format!("/containers/{name}/json"));
    let list = ["/containers/json".to_owned()];
    let asked = || {
        let asked = fleet.requests();
        for path in asked.iter().filter(|path| path.contains("/stats")) {
            assert!(path.contains("one-shot=true") && path.contains("stream=false"), "{path}");
        }
        // The version in the path does not matter.
        let plain = |path: &String| {
            let path = path.split('?').next().unwrap_or_default();
            path[path.find("/containers").unwrap_or(0)..].to_owned()
        };
        asked
            .iter()
            .map(plain)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .chain([asked.len().to_string()])
            .collect::<Vec<_>>()
    };
    let right = |groups: &[&[String]]| {
        let all: BTreeSet<_> = groups.concat().into_iter().collect();
        let count = all.len().to_string();
        all.into_iter().chain([count]).collect::<Vec<_>>()
    };
    let _ = fleet.run_without_diagnostics("--stats-source api");
    assert_eq!(asked(), right(&[&list, &stats, &inspections]));
    // All containers have been up for longer than the time since the last run.
    let _ = fleet.run_without_diagnostics("--stats-source api");
    assert_eq!(asked(), right(&[&list, &stats]));
    // Only the inspection has restarts and health.
    let _ = fleet.run_without_diagnostics(ALL);
    let _ = fleet.requests();
    let _ = fleet.run_without_diagnostics(ALL);
    assert_eq!(asked(), right(&[&list, &stats, &inspections]));
    let _ = fleet.run_without_diagnostics("--stats-source api --graphs restarts,health");
    let _ = fleet.requests();
    let _ = fleet.run_without_diagnostics("--stats-source api --graphs restarts,health");
    assert_eq!(asked(), right(&[&list, &inspections]));
}

#[test]
fn health_metrics_follow_the_health_check() {
    let health = |health: Value| {
        let fleet = Fleet::of(&["api"]);
        let mut inspected = fleet.inspected("api");
        inspected["State"]["Health"] = health;
        fleet.set_reply("api", Request::Inspect, Reply::Whole(200, inspected.to_string()));
        stats_of(&fleet.run_without_diagnostics("--stats-source api --graphs health"), "api")
    };
    let status = |status: &str, streak: i64| health(json!({"Status": status, "FailingStreak": streak, "Log": []}));
    assert_same(&status("healthy", 0), &values([("health.healthy", 1.0), ("health.failing_streak", 0.0)]));
    assert_same(&status("unhealthy", 5), &values([("health.healthy", 0.0), ("health.failing_streak", 5.0)]));
    assert_same(&status("healthy", 2), &values([("health.healthy", 1.0), ("health.failing_streak", 2.0)]));
    assert_same(&status("starting", 1), &values([("health.failing_streak", 1.0)]));
    assert_same(&status("healthy", -1), &values([("health.healthy", 1.0)]));
    assert_same(&health(json!({"Status": "unhealthy"})), &values([("health.healthy", 0.0)]));
    for none in
        [json!(null), json!({}), json!({"Status": "none", "FailingStreak": 0}), json!({"Status": "", "Log": null})]
    {
        assert_same(&health(none), &Values::new());
    }
}

#[test]
fn restart_metric_is_the_engines_count() {
    let restarts = |change: fn(&mut Value)| {
        let fleet = Fleet::of(&["api"]);
        let mut inspected = fleet.inspected("api");
        change(&mut inspected);
        fleet.set_reply("api", Request::Inspect, Reply::Whole(200, inspected.to_string()));
        stats_of(&fleet.run_without_diagnostics("--stats-source api --graphs restarts"), "api")
    };
    assert_same(&restarts(|inspected| inspected["RestartCount"] = json!(0)), &values([("restarts.count", 0.0)]));
    assert_same(&restarts(|inspected| inspected["RestartCount"] = json!(17)), &values([("restarts.count", 17.0)]));
    assert_same(&restarts(|inspected| inspected["RestartCount"] = json!(null)), &Values::new());
}

#[test]
fn missing_restarts_and_health_are_one_line() {
    let replies =
        [Reply::Whole(404, message("No such container")), Reply::Whole(500, message("on fire")), Reply::NoResponse];
    let diagnostics = replies.map(|reply| {
        let fleet = Fleet::of(&["api", "bad"]);
        fleet.set_reply("bad", Request::Inspect, reply);
        let output = fleet.run("--stats-source api --graphs memory,restarts,health --timeout 3s").exits(0);
        assert_eq!(stats_of(&output, "api").len(), 5, "{output}");
        format!("[{}] {}", keys(&stats_of(&output, "bad")).join(" "), fleet.mask(&output.stderr))
    });
    insta::assert_snapshot!(diagnostics.concat(), @"
    [] mackerel-plugin-wasm: docker: bad: container stopped or removed since the engine listed it
    [memory.cache memory.rss] mackerel-plugin-wasm: docker: bad: collector stderr: omitted restarts and health: engine returned HTTP 500 on fire
    mackerel-plugin-wasm: docker: bad: no counters: the start time of the container is unknown: engine returned HTTP 500 on fire
    [memory.cache memory.rss] mackerel-plugin-wasm: docker: bad: collector stderr: omitted restarts and health: no response from the engine after 1s
    mackerel-plugin-wasm: docker: bad: no counters: the start time of the container is unknown: no response from the engine after 1s
    ");
}
