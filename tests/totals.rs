//! `--total`: one value for all targets, beside theirs or instead, and `--targets-graph`.

use std::collections::{BTreeMap, BTreeSet};

use scenarios::agent::{Agent, Output};
use scenarios::engine::Engine;
use scenarios::fake_engine::{FakeEngine, container};
use scenarios::go::Program;
use scenarios::http::Reply;
use scenarios::local::Local;
use scenarios::stub_target::StubTarget;
use scenarios::{http, mask, port, stats};
use serde_json::{Value, json};

const MINUTE: u64 = 60_000_000_000;

/// The functions, in the order of the output.
const TOTALS: [&str; 4] = ["sum", "avg", "max", "min"];

/// Returns the texts of the values under one prefix, in order, by metric without the target.
fn printed(output: &Output, prefix: &str, has_target: bool) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in output.stdout.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [key, value, _] = fields[..] else { panic!("not three fields: {line}") };
        let Some(name) = key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) else { continue };
        let name = if has_target { name.split_once('.').expect("a target's name").1 } else { name };
        all.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    all
}

/// Asserts that every total exactly matches the targets' values in the same output, and that none is missing or
/// unexpected. Returns the number of targets for each metric.
#[track_caller]
fn assert_totals(output: &Output, prefix: &str, totals: &[&str]) -> BTreeMap<String, usize> {
    let targets = printed(output, prefix, true);
    for total in totals {
        let of = |(name, values): (&String, &Vec<String>)| {
            let values: Vec<f64> = values.iter().map(|value| value.parse().expect("a number")).collect();
            let sum = values.iter().fold(0.0, |sum, value| sum + value);
            let right = match *total {
                "sum" => sum,
                "avg" => sum / f64::from(u32::try_from(values.len()).expect("few targets")),
                "max" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                _ => values.iter().copied().fold(f64::INFINITY, f64::min),
            };
            (name.clone(), vec![right.to_string()])
        };
        let right: BTreeMap<_, _> = targets.iter().map(of).collect();
        assert_eq!(printed(output, &format!("{prefix}_{total}"), false), right, "{total} of {output}");
    }
    let lines = targets.values().map(Vec::len).sum::<usize>() + totals.len() * targets.len();
    assert_eq!(output.stdout.lines().count(), lines, "unexpected metrics: {output}");
    targets.into_iter().map(|(name, values)| (name, values.len())).collect()
}

/// Returns the keys and values of an output, without the time.
fn lines(output: &Output) -> String {
    let without_time = |line: &str| line.rsplit_once('\t').map(|(line, _)| format!("{line}\n")).unwrap_or_default();
    output.stdout.lines().map(without_time).collect()
}

/// Returns the defined graphs.
fn graphs(output: &Output) -> BTreeMap<String, Value> {
    let (_, json) = output.stdout.split_once('\n').expect("two lines");
    let json: Value = serde_json::from_str(json).expect("the second line is JSON");
    json["graphs"].as_object().expect("graphs").clone().into_iter().collect()
}

fn pretty(output: &Output) -> String {
    serde_json::to_string_pretty(&graphs(output)).expect("JSON")
}

#[test]
fn totals_match_the_values_of_the_same_output() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let apps = group.apps(12);
    let agent = Agent::with_engine(engine);
    let command = format!("run gostats --filter {} --path /stats --total sum,avg,max,min", group.filter());

    let first = agent.run(&command).exits(0).without_diagnostics();
    let reported = assert_totals(&first, "gostats", &TOTALS);
    let gauges: BTreeMap<_, _> = stats::GAUGES.iter().map(|name| ((*name).to_owned(), apps.len())).collect();
    assert_eq!(reported, gauges);

    let second = agent.run(&command).exits(0).without_diagnostics();
    let reported = assert_totals(&second, "gostats", &TOTALS);
    // A metric that fell in an app, such as released memory, has no rate there.
    let is_steady = |name: &str| name != "heap.heap_released";
    let names = stats::GAUGES.into_iter().chain(stats::COUNTERS).filter(|name| is_steady(name));
    let right: BTreeMap<_, _> = names.map(|name| (name.to_owned(), apps.len())).collect();
    assert_eq!(reported.into_iter().filter(|(name, _)| is_steady(name)).collect::<BTreeMap<_, _>>(), right);
}

#[test]
fn totals_of_docker_match_the_values_of_the_same_output() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let apps = group.apps(3);
    let agent = Agent::with_engine(engine);
    let options = "--graphs memory,network,processes --total avg,sum,min,max";
    let command = format!("run docker --filter {} {options}", group.filter());
    for metrics in [4, 12] {
        let output = agent.run(&command).exits(0).without_diagnostics();
        // The target's name comes after the graph's, and so in the middle.
        let sums = printed(&output, "docker_sum", false);
        assert!(sums.len() >= 3 && sums.len() <= metrics, "{output}");
        for (name, sum) in &sums {
            let (graph, metric) = name.rsplit_once('.').expect("a graph and a metric");
            let (below, last) = (format!("docker.{graph}."), format!(".{metric}"));
            let lines: Vec<_> = output.stdout.lines().filter_map(|line| line.rsplit_once('\t')).collect();
            let values = lines.iter().filter_map(|(line, _)| line.split_once('\t'));
            let values = values.filter(|(key, _)| key.starts_with(&below) && key.ends_with(&last));
            let values: Vec<f64> = values.map(|(_, value)| value.parse().expect("a number")).collect();
            assert_eq!(values.len(), apps.len(), "{name} in {output}");
            assert_eq!(*sum, [values.iter().fold(0.0, |sum, value| sum + value).to_string()], "{name} in {output}");
        }
        for total in TOTALS {
            let names = printed(&output, &format!("docker_{total}"), false);
            assert_eq!(names.keys().collect::<Vec<_>>(), sums.keys().collect::<Vec<_>>(), "{total}");
        }
    }
}

#[test]
fn definitions_of_totals_have_no_wildcard() {
    let agent = Agent::without_engine();
    let output = agent.definitions("run gostats --total sum,avg --targets-graph").exits(0).without_diagnostics();
    insta::assert_snapshot!("definitions_gostats", pretty(&output));
    let output = agent.definitions("run docker --total sum,max").exits(0).without_diagnostics();
    insta::assert_snapshot!("definitions_docker", pretty(&output));

    for command in ["run gostats --total sum,avg,max,min --targets-graph", "run docker --graphs all --total max,sum"] {
        let graphs = graphs(&agent.definitions(command).exits(0).without_diagnostics());
        let (each, total): (Vec<_>, Vec<_>) = graphs.iter().partition(|(key, _)| key.contains('#'));
        assert!(total.len() > each.len() && !each.is_empty(), "{command}");
        for (key, graph) in total {
            let metrics = graph["metrics"].as_array().expect("metrics");
            assert!(!key.contains('*') && !metrics.is_empty(), "{key}");
            assert!(metrics.iter().all(|metric| !metric["name"].as_str().expect("a name").contains('*')), "{key}");
        }
    }
}

#[test]
fn only_sums_are_stacked() {
    let output =
        Agent::without_engine().definitions("run docker --total sum,avg,max,min").exits(0).without_diagnostics();
    let graphs = graphs(&output);
    let stacked = |graph: &Value| {
        let metrics = graph["metrics"].as_array().expect("metrics").iter();
        metrics.map(|metric| metric["stacked"].as_bool().expect("a bool")).collect::<Vec<_>>()
    };
    let each: Vec<_> = graphs.iter().filter_map(|(key, graph)| Some((key.strip_suffix(".#")?, graph))).collect();
    assert!(each.iter().any(|(_, graph)| stacked(graph).contains(&true)), "{output}");
    for (key, graph) in each {
        for (total, can_be) in [("sum", true), ("avg", true), ("max", false), ("min", false)] {
            let of = &graphs[&key.replacen("docker", &format!("docker_{total}"), 1)];
            let right: Vec<_> = stacked(graph).into_iter().map(|stacked| stacked && can_be).collect();
            assert_eq!(stacked(of), right, "{total} of {key}");
        }
    }
}

#[test]
fn total_only_omits_all_other_series() {
    let [one, two] = [(); 2].map(|()| StubTarget::serving(stats::body(MINUTE, 7)));
    let agent = Agent::without_engine();
    let prefixes = |options: &str| {
        let command = format!("run gostats --target {} --target {} {options}", one.target(), two.target());
        let values = agent.run(&command).exits(0).without_diagnostics();
        let defined = graphs(&agent.definitions(&command).exits(0).without_diagnostics());
        let first = |key: &str| key.split('.').next().expect("a word").to_owned();
        let values: BTreeSet<_> = values.metrics().keys().into_iter().map(first).collect();
        assert_eq!(values, defined.keys().map(|key| first(key)).collect::<BTreeSet<_>>(), "{options}");
        values.into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(prefixes("--total sum,avg"), "gostats gostats_avg gostats_sum");
    assert_eq!(prefixes("--total sum,avg --total-only"), "gostats_avg gostats_sum");
    assert_eq!(prefixes("--total min --total-only --targets-graph"), "gostats_min gostats_targets");
    assert_eq!(prefixes("--targets-graph"), "gostats gostats_targets");
}

#[test]
fn total_only_has_rates_from_the_second_run() {
    let stub_targets = [(); 2].map(|()| StubTarget::serving(stats::body(MINUTE, 7)));
    let agent = Agent::without_engine();
    let targets = stub_targets.each_ref().map(|stub_target| format!("--target {}", stub_target.target())).join(" ");
    let command = format!("run gostats {targets} --total sum,max --total-only --select gc.gc_num");
    assert_eq!(agent.run(&command).exits(0).without_diagnostics().stdout, "");
    for (stub_target, count) in stub_targets.iter().zip([10, 20]) {
        stub_target.serve(stats::body(2 * MINUTE, 7 + count));
    }
    agent.let_pass(std::time::Duration::from_mins(1));
    insta::assert_snapshot!(lines(&agent.run(&command).exits(0).without_diagnostics()), @"
    gostats_sum.gc.gc_num	30
    gostats_max.gc.gc_num	20
    ");
}

/// Returns a target with this number of goroutines.
fn with_goroutines(number: u64) -> StubTarget {
    let mut body = stats::body(MINUTE, 7);
    body["goroutine_num"] = number.into();
    StubTarget::serving(body)
}

#[test]
fn totals_exclude_failed_targets_and_the_targets_graph_counts_them() {
    let (one, two) = (with_goroutines(10), with_goroutines(20));
    let mut several = container("several", "127.0.0.1", one.port());
    let ports = several["Ports"].as_array_mut().expect("ports");
    ports.push(json!({"IP": "127.0.0.1", "PrivatePort": 9090, "PublicPort": two.port(), "Type": "tcp"}));
    let mut paused = container("paused", "127.0.0.1", one.port());
    paused["State"] = json!("paused");
    let mut crashing = container("crashing", "127.0.0.1", one.port());
    crashing["State"] = json!("restarting");
    crashing["Status"] = json!("Restarting (1) 5 seconds ago");
    let engine = FakeEngine::with_containers(vec![
        crashing,
        json!({"Names": ["/odd"], "Id": null}),
        container("one", "127.0.0.1", one.port()),
        container("closed", "127.0.0.1", port::free()),
        several,
        paused,
        container("two", "127.0.0.1", two.port()),
    ]);
    let options = "--instance-name name --select *.goroutine_num --total sum,avg,max,min --targets-graph";
    let output = Agent::with_docker_host(&engine.host()).run(&format!("run gostats {options}")).exits(0);
    insta::assert_snapshot!(lines(&output), @"
    gostats.one.runtime.goroutine_num	10
    gostats.two.runtime.goroutine_num	20
    gostats_sum.runtime.goroutine_num	30
    gostats_avg.runtime.goroutine_num	15
    gostats_max.runtime.goroutine_num	20
    gostats_min.runtime.goroutine_num	10
    gostats_targets.collected	2
    gostats_targets.failed	4
    ");
    insta::assert_snapshot!(mask::ports(&output.stderr), @"
    mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: odd (no id)
    mackerel-plugin-wasm: gostats: crashing: not running (Restarting (1) 5 seconds ago)
    mackerel-plugin-wasm: gostats: several: publishes several ports (8080, 9090): choose one, such as --container-port 8080
    mackerel-plugin-wasm: gostats: closed (127.0.0.1:PORT): connection failed: Connection refused (os error 111)
    ");
}

#[test]
fn totals_without_values_are_omitted_and_counts_remain() {
    let closed = [(); 3].map(|()| format!("--target 127.0.0.1:{}", port::free())).join(" ");
    let options = "--total sum,avg,max,min --targets-graph";
    let failed = Agent::without_engine().run(&format!("run gostats {closed} {options}")).exits(1);
    insta::assert_snapshot!(lines(&failed), @"
    gostats_targets.collected	0
    gostats_targets.failed	3
    ");
    assert_eq!(failed.stderr.lines().count(), 3, "{failed}");

    let mut several = container("several", "127.0.0.1", 1);
    let ports = several["Ports"].as_array_mut().expect("ports");
    ports.push(json!({"IP": "127.0.0.1", "PrivatePort": 9090, "PublicPort": 2, "Type": "tcp"}));
    let engine = FakeEngine::with_containers(vec![several]);
    let unclear = Agent::with_docker_host(&engine.host()).run(&format!("run gostats {options} --total-only")).exits(1);
    insta::assert_snapshot!(lines(&unclear), @"
    gostats_targets.collected	0
    gostats_targets.failed	1
    ");

    // The engine does not respond, is absent, or returns something else.
    let odd = FakeEngine::replying(|_| Reply::Whole(500, json!({"message": "on fire"}).to_string()));
    let silent = FakeEngine::replying(|_| Reply::NoResponse);
    for host in [odd.host(), silent.host(), "unix:///nonexistent/docker.sock".to_owned()] {
        let agent = Agent::with_docker_host(&host);
        let down = agent.run(&format!("run gostats {options} --deadline 1s")).exits(1);
        assert_eq!(lines(&down), "gostats_targets.collected\t0\ngostats_targets.failed\t1\n", "{host}");
        assert_eq!(down.stderr.lines().count(), 1, "{down}");
        assert_eq!(agent.run("run gostats --total sum --deadline 1s").exits(1).stdout, "");
        assert_eq!(agent.run("run gostats --targets-graph --filter status=x --docker-host x").exits(2).stdout, "");
    }

    let engine = FakeEngine::with_containers(Vec::new());
    let none =
        Agent::with_docker_host(&engine.host()).run(&format!("run gostats {options}")).exits(0).without_diagnostics();
    insta::assert_snapshot!(lines(&none), @"
    gostats_targets.collected	0
    gostats_targets.failed	0
    ");
}

#[test]
fn crash_looping_container_is_a_failed_target() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let _good = group.app("good");
    let _crashing = group.crashing("crashing");
    let agent = Agent::with_engine(engine);
    for command in ["gostats --path /stats", "docker"] {
        let words = format!("{command} --filter {} --targets-graph --total sum --total-only", group.filter());
        let output = agent.run(&format!("run {words}")).exits(0);
        let counts = output.stdout.lines().filter(|line| line.contains("_targets."));
        let counts: Vec<&str> = counts.filter_map(|line| line.split('\t').nth(1)).collect();
        assert_eq!(counts, ["1", "1"], "{output}");
        assert!(output.stderr.contains("-crashing: not running (Restarting (2) "), "{output}");
    }
}

#[test]
fn totals_of_wildcard_metrics_have_no_definitions() {
    let apps = [Local::start(Program::PromApp, &[]), Local::start(Program::PromApp, &[])];
    let [Some(one), Some(two)] = &apps else { return };
    let work = |app: &Local, times: u32| {
        let address = app.target().parse().expect("an address");
        for _ in 0..times {
            http::get(address, "/work?code=200&path=%2Fa").expect("the work is done");
        }
    };
    work(one, 3);
    work(two, 5);
    let agent = Agent::without_engine();
    let chosen = "run prometheus --metric promapp_* --metric go_goroutines";
    let command = format!("{chosen} --target {} --target {} --total max,sum", one.target(), two.target());
    let first = agent.run(&command).exits(0).without_diagnostics();
    assert_totals(&first, "prometheus", &["sum", "max"]);
    work(one, 2);
    work(two, 7);
    let second = agent.run(&command).exits(0).without_diagnostics();
    let reported = assert_totals(&second, "prometheus", &["sum", "max"]);
    assert!(reported.values().all(|count| *count == 2), "{reported:?}");
    let kept = printed(&second, "prometheus_sum", false)["promapp_kept_bytes.value"].concat();
    assert_eq!(kept, (17 << 20).to_string(), "a mebibyte for each piece of work");
    insta::assert_snapshot!(reported.into_keys().collect::<Vec<_>>().join("\n"), @"
    go_goroutines.value
    promapp_kept_bytes.value
    promapp_latency_seconds_bucket.rate.le_0_1
    promapp_latency_seconds_bucket.rate.le_1
    promapp_latency_seconds_bucket.rate.le__Inf
    promapp_latency_seconds_count.rate.value
    promapp_latency_seconds_sum.rate.value
    promapp_requests_total.rate.code_200_path__a
    promapp_wait_seconds.quantile_0_5
    promapp_wait_seconds_count.rate.value
    promapp_wait_seconds_sum.rate.value
    ");

    let [without, with] = ["", "--total sum,max"]
        .map(|totals| agent.definitions(&format!("{chosen} {totals}")).exits(0).without_diagnostics().stdout);
    assert_eq!(with, without);
}

#[test]
fn totals_have_one_order_and_no_duplicates() {
    let [one, two] = [with_goroutines(10), with_goroutines(20)];
    let agent = Agent::without_engine();
    let targets = format!("--target {} --target {}", one.target(), two.target());
    let run = |totals: &str| {
        let command = format!("run gostats {targets} --select *.goroutine_num --total-only {totals}");
        lines(&agent.run(&command).exits(0).without_diagnostics())
    };
    insta::assert_snapshot!(run("--total min,avg,max,sum"), @"
    gostats_sum.runtime.goroutine_num	30
    gostats_avg.runtime.goroutine_num	15
    gostats_max.runtime.goroutine_num	20
    gostats_min.runtime.goroutine_num	10
    ");
    let two = run("--total sum,max");
    insta::assert_snapshot!(two, @"
    gostats_sum.runtime.goroutine_num	30
    gostats_max.runtime.goroutine_num	20
    ");
    for totals in ["--total max,sum", "--total max --total sum", "--total max,sum,max --total=sum"] {
        assert_eq!(run(totals), two, "{totals}");
    }
    assert_eq!(agent.state_files().len(), 2, "equal output has one state file");
}

#[test]
fn unknown_totals_are_usage_errors() {
    let agent = Agent::without_engine();
    let error = |options: &str| {
        let command = format!("run gostats --target 127.0.0.1:1 {options}");
        let [values, definitions] = [agent.run(&command), agent.definitions(&command)].map(|output| output.exits(2));
        assert_eq!((&*values.stdout, &*definitions.stdout), ("", ""), "{options}");
        assert_eq!(values.stderr, definitions.stderr);
        let lines = values.stderr.lines().take(2).map(str::trim_end);
        format!("{options}\n    {}\n", lines.collect::<Vec<_>>().join("\n    "))
    };
    let errors = ["--total median", "--total Sum", "--total sum,,avg", "--total=", "--total-only"].map(error);
    insta::assert_snapshot!(errors.concat(), @"
    --total median
        error: invalid value 'median' for '--total <TOTALS>'
          [possible values: sum, avg, max, min]
    --total Sum
        error: invalid value 'Sum' for '--total <TOTALS>'
          [possible values: sum, avg, max, min]
    --total sum,,avg
        error: a value is required for '--total <TOTALS>' but none was supplied
          [possible values: sum, avg, max, min]
    --total=
        error: a value is required for '--total <TOTALS>' but none was supplied
          [possible values: sum, avg, max, min]
    --total-only
        error: the following required arguments were not provided:
          --total <TOTALS>
    ");
}
