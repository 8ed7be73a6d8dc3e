//! `--select` and `--exclude`: defined and printed metrics are the same.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use scenarios::agent::{Agent, Output};
use scenarios::engine::Engine;
use scenarios::fake_engine::{self, FakeEngine, container, docker_on_v1};
use scenarios::go::Program;
use scenarios::http::{self, Reply};
use scenarios::local::Local;
use scenarios::stats;
use scenarios::stub_target::StubTarget;
use serde_json::Value;

const MINUTE: u64 = 60_000_000_000;

/// Returns all defined metrics, with `#` and `*` for unknown parts.
fn defined(output: &Output) -> BTreeSet<String> {
    let (_, json) = output.stdout.split_once('\n').expect("two lines");
    let json: Value = serde_json::from_str(json).expect("the second line is JSON");
    let names = json["graphs"].as_object().expect("graphs").iter().flat_map(|(key, graph)| {
        let metrics = graph["metrics"].as_array().expect("metrics").iter();
        metrics.map(move |metric| format!("{key}.{}", metric["name"].as_str().expect("a name")))
    });
    names.collect()
}

/// Returns all printed metrics, with `#` for the target.
fn printed(output: &Output, target: &str) -> BTreeSet<String> {
    let keys = output.metrics();
    keys.keys().into_iter().map(|key| key.replacen(&format!(".{target}."), ".#.", 1)).collect()
}

/// Returns the metrics of one target that are both defined and printed from the second run on, without prefix and `#`.
#[track_caller]
fn chosen(agent: &Agent, command: &str, options: &str, target: &str) -> String {
    let command = format!("{command} {options}");
    let defined = defined(&agent.definitions(&command).exits(0).without_diagnostics());
    let _ = agent.run(&command).exits(0).without_diagnostics();
    let output = agent.run(&command).exits(0).without_diagnostics();
    assert_eq!(printed(&output, target), defined, "printed on the left, defined on the right: {output}");
    let bare = |name: &String| name.replace(".#.", ".").split_once('.').expect("a prefix").1.to_owned();
    defined.iter().map(bare).collect::<Vec<_>>().join(" ")
}

#[test]
fn values_and_definitions_have_the_same_metrics() {
    let stub_target = StubTarget::serving_with(|| stats::body(stats::now(), 7));
    let agent = Agent::without_engine();
    let command = format!("run gostats --target {} --instance-name port", stub_target.target());
    let chosen = |options: &str| chosen(&agent, &command, options, &stub_target.port().to_string());
    let all: BTreeSet<_> = stats::GAUGES.into_iter().chain(stats::COUNTERS).collect();
    let all = all.into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(chosen(""), all);
    assert_eq!(chosen("--select *"), all);
    assert_eq!(chosen("--exclude gc.gc_num"), all.replace("gc.gc_num ", ""));
    let picked = [
        "--select memory.*",
        "--select gc.gc_num",
        "--select *_num",
        "--select memory.memory_sys --select *.gc_num",
        "--select=heap.heap_i*",
        "--exclude memory.* --exclude heap.* --exclude operation.* --exclude runtime.*",
        "--select gc.* --exclude *_per_second",
        "--select gc.* --select memory.* --exclude *.gc_p* --exclude memory.memory_s*",
        "--select * --exclude *.*_*_*e* --exclude heap.* --exclude *s*",
    ]
    .map(|options| format!("{options}\n    {}\n", chosen(options)));
    insta::assert_snapshot!(picked.concat(), @"
    --select memory.*
        memory.memory_alloc memory.memory_stack memory.memory_sys
    --select gc.gc_num
        gc.gc_num
    --select *_num
        gc.gc_num runtime.cgo_call_num runtime.goroutine_num
    --select memory.memory_sys --select *.gc_num
        gc.gc_num memory.memory_sys
    --select=heap.heap_i*
        heap.heap_idle heap.heap_inuse
    --exclude memory.* --exclude heap.* --exclude operation.* --exclude runtime.*
        gc.gc_num gc.gc_pause_per_second gc.gc_per_second
    --select gc.* --exclude *_per_second
        gc.gc_num
    --select gc.* --select memory.* --exclude *.gc_p* --exclude memory.memory_s*
        gc.gc_num memory.memory_alloc
    --select * --exclude *.*_*_*e* --exclude heap.* --exclude *s*
        gc.gc_num memory.memory_alloc runtime.cgo_call_num runtime.goroutine_num
    ");
}

#[test]
fn values_and_definitions_of_docker_have_the_same_metrics() {
    let containers = vec![container("api", "127.0.0.1", 1)];
    let second = AtomicU64::new(0);
    let engine = FakeEngine::replying(move |path| {
        if !path.split('?').next().is_some_and(|path| path.ends_with("/stats")) {
            return fake_engine::default_reply(&containers, path);
        }
        let read = format!("2026-01-02T03:14:{:02}.5Z", second.fetch_add(1, Ordering::Relaxed) % 60);
        Reply::Whole(200, docker_on_v1(&read).to_string())
    });
    let agent = Agent::with_docker_host(&engine.host());
    let command = "run docker --stats-source api --instance-name name";
    let picked = [
        "--select memory.*",
        "--select *.rss",
        "--select blkio.*.read --select *.system --exclude cpuacct.*",
        "--exclude cpuacct.* --exclude blkio.io_* --exclude memory.cache",
        "--graphs all --select restarts.* --select *.limit --exclude memory*",
    ]
    .map(|options| {
        // Here the target's name comes after the graph's.
        let command = format!("{command} {options}");
        let mut defined = defined(&agent.definitions(&command).exits(0).without_diagnostics());
        let _ = agent.run(&command).exits(0).without_diagnostics();
        let output = agent.run(&command).exits(0).without_diagnostics();
        assert_eq!(printed(&output, "api"), defined, "printed on the left, defined on the right: {output}");
        defined = defined.iter().map(|name| name.replacen("docker.", "", 1)).collect();
        format!("{options}\n    {}\n", defined.into_iter().collect::<Vec<_>>().join(" "))
    });
    insta::assert_snapshot!(picked.concat(), @"
    --select memory.*
        memory.#.cache memory.#.rss
    --select *.rss
        memory.#.rss
    --select blkio.*.read --select *.system --exclude cpuacct.*
        blkio.io_queued.#.read blkio.io_service_bytes.#.read blkio.io_serviced.#.read cpuacct_percentage.#.system
    --exclude cpuacct.* --exclude blkio.io_* --exclude memory.cache
        cpuacct_percentage.#.system cpuacct_percentage.#.user memory.#.rss
    --graphs all --select restarts.* --select *.limit --exclude memory*
        processes.#.limit restarts.#.count
    ");
}

#[test]
fn only_selected_metrics_of_real_containers_are_printed() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let apps = group.apps(2);
    let agent = Agent::with_engine(engine);
    let docker = format!("run docker --filter {} --instance-name name --select *.rss", group.filter());
    let output = agent.run(&docker).exits(0).without_diagnostics();
    assert_eq!(group.mask(&output.metrics().keys().join(" ")), "docker.memory.app0.rss docker.memory.app1.rss");

    let gostats = format!("run gostats --filter {} --path /stats --select gc.gc_num --select *_sys", group.filter());
    let _ = agent.run(&gostats).exits(0).without_diagnostics();
    let before: Vec<_> = apps.iter().map(scenarios::engine::Container::last_served).collect();
    let second = agent.run(&gostats).exits(0).without_diagnostics().metrics();
    for (app, before) in apps.iter().zip(before) {
        let mut right = stats::all(&before, &app.last_served());
        right.retain(|name, _| name == "gc.gc_num" || name.ends_with("_sys"));
        assert_eq!(right.len(), 3, "{right:?}");
        stats::assert_same(&second.of(&app.key()), &right);
    }
    assert_eq!(second.count(), 2 * 3);
}

/// Returns stderr of a rejected command, which is the same for values and definitions.
fn error(command: &str, last: &str) -> String {
    let script = format!("exec \"$0\" \"$@\" {last}");
    let agent = Agent::without_engine().with_launcher(&["sh", "-c", &script]);
    let [values, definitions] = [agent.run(command), agent.definitions(command)].map(|output| output.exits(2));
    assert_eq!((&*values.stdout, &*definitions.stdout), ("", ""), "{last}");
    assert_eq!(values.stderr, definitions.stderr, "{last}");
    assert!(!agent.state_folder().exists(), "{last}");
    let lines: String = values.stderr.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect();
    format!("{last}\n{lines}")
}

#[test]
fn patterns_that_match_nothing_are_rejected_with_all_names() {
    let gostats = |last: &str| error("run gostats --target 127.0.0.1:1", last);
    let errors = [
        gostats("--select 'memry.*'"),
        gostats("--select 'memory.*' --select memory_sys"),
        gostats("--exclude memory"),
        gostats("--select 'gc.*' --exclude 'gc.*'"),
        gostats("--exclude '*'"),
        gostats("--select gc.gc_num --exclude '*_num'"),
        error("run docker", "--select network.bytes.sent"),
        error("run prometheus --metric up --target 127.0.0.1:1", "--select down.value"),
    ];
    insta::assert_snapshot!(errors.concat(), @"
    --select 'memry.*'
        mackerel-plugin-wasm: gostats: --select memry.* matches no metric; available: runtime.goroutine_num, runtime.cgo_call_num, memory.memory_alloc, memory.memory_sys, memory.memory_stack, operation.memory_lookups, operation.memory_mallocs, operation.memory_frees, heap.heap_sys, heap.heap_idle, heap.heap_inuse, heap.heap_released, gc.gc_num, gc.gc_per_second, gc.gc_pause_per_second
    --select 'memory.*' --select memory_sys
        mackerel-plugin-wasm: gostats: --select memory_sys matches no metric; available: runtime.goroutine_num, runtime.cgo_call_num, memory.memory_alloc, memory.memory_sys, memory.memory_stack, operation.memory_lookups, operation.memory_mallocs, operation.memory_frees, heap.heap_sys, heap.heap_idle, heap.heap_inuse, heap.heap_released, gc.gc_num, gc.gc_per_second, gc.gc_pause_per_second
    --exclude memory
        mackerel-plugin-wasm: gostats: --exclude memory matches no metric; available: runtime.goroutine_num, runtime.cgo_call_num, memory.memory_alloc, memory.memory_sys, memory.memory_stack, operation.memory_lookups, operation.memory_mallocs, operation.memory_frees, heap.heap_sys, heap.heap_idle, heap.heap_inuse, heap.heap_released, gc.gc_num, gc.gc_per_second, gc.gc_pause_per_second
    --select 'gc.*' --exclude 'gc.*'
        mackerel-plugin-wasm: gostats: --select and --exclude leave no metric; available: runtime.goroutine_num, runtime.cgo_call_num, memory.memory_alloc, memory.memory_sys, memory.memory_stack, operation.memory_lookups, operation.memory_mallocs, operation.memory_frees, heap.heap_sys, heap.heap_idle, heap.heap_inuse, heap.heap_released, gc.gc_num, gc.gc_per_second, gc.gc_pause_per_second
    --exclude '*'
        mackerel-plugin-wasm: gostats: --select and --exclude leave no metric; available: runtime.goroutine_num, runtime.cgo_call_num, memory.memory_alloc, memory.memory_sys, memory.memory_stack, operation.memory_lookups, operation.memory_mallocs, operation.memory_frees, heap.heap_sys, heap.heap_idle, heap.heap_inuse, heap.heap_released, gc.gc_num, gc.gc_per_second, gc.gc_pause_per_second
    --select gc.gc_num --exclude '*_num'
        mackerel-plugin-wasm: gostats: --select and --exclude leave no metric; available: runtime.goroutine_num, runtime.cgo_call_num, memory.memory_alloc, memory.memory_sys, memory.memory_stack, operation.memory_lookups, operation.memory_mallocs, operation.memory_frees, heap.heap_sys, heap.heap_idle, heap.heap_inuse, heap.heap_released, gc.gc_num, gc.gc_per_second, gc.gc_pause_per_second
    --select network.bytes.sent
        mackerel-plugin-wasm: docker: --select network.bytes.sent matches no metric; available: cpuacct_percentage.user, cpuacct_percentage.system, cpuacct.user, cpuacct.system, memory.cache, memory.rss, blkio.io_queued.read, blkio.io_queued.write, blkio.io_queued.sync, blkio.io_queued.async, blkio.io_serviced.read, blkio.io_serviced.write, blkio.io_serviced.sync, blkio.io_serviced.async, blkio.io_service_bytes.read, blkio.io_service_bytes.write, blkio.io_service_bytes.sync, blkio.io_service_bytes.async
    --select down.value
        mackerel-plugin-wasm: prometheus: --select down.value matches no metric; available: up.*, up.rate.*
    ");
}

#[test]
fn invalid_patterns_are_rejected_with_the_expected_form() {
    let errors = ["'a b'", "''", "'memory.#'", "'größe'", "'a,b'", "'memory.{rss,cache}'"]
        .map(|pattern| error("run gostats --target 127.0.0.1:1", &format!("--select {pattern}")));
    let of_exclude = error("run gostats --target 127.0.0.1:1", "--exclude 'gc/*'");
    insta::assert_snapshot!(errors.concat() + &of_exclude, @"
    --select 'a b'
        error: invalid value 'a b' for '--select <GRAPH.METRIC>': expected GRAPH.METRIC, such as memory.memory_sys, gc.* or *.rss

        For more information, try '--help'.
    --select ''
        error: invalid value '' for '--select <GRAPH.METRIC>': expected GRAPH.METRIC, such as memory.memory_sys, gc.* or *.rss

        For more information, try '--help'.
    --select 'memory.#'
        error: invalid value 'memory.#' for '--select <GRAPH.METRIC>': expected GRAPH.METRIC, such as memory.memory_sys, gc.* or *.rss

        For more information, try '--help'.
    --select 'größe'
        error: invalid value 'größe' for '--select <GRAPH.METRIC>': expected GRAPH.METRIC, such as memory.memory_sys, gc.* or *.rss

        For more information, try '--help'.
    --select 'a,b'
        error: invalid value 'a,b' for '--select <GRAPH.METRIC>': expected GRAPH.METRIC, such as memory.memory_sys, gc.* or *.rss

        For more information, try '--help'.
    --select 'memory.{rss,cache}'
        error: invalid value 'memory.{rss,cache}' for '--select <GRAPH.METRIC>': expected GRAPH.METRIC, such as memory.memory_sys, gc.* or *.rss

        For more information, try '--help'.
    --exclude 'gc/*'
        error: invalid value 'gc/*' for '--exclude <GRAPH.METRIC>': expected GRAPH.METRIC, such as memory.memory_sys, gc.* or *.rss

        For more information, try '--help'.
    ");
}

#[test]
fn totals_include_only_selected_metrics() {
    let stub_target = StubTarget::serving(stats::body(MINUTE, 7));
    let agent = Agent::without_engine();
    let options = "--total sum,max --select memory.* --select gc.* --exclude *_stack --exclude gc.gc_num";
    let command = format!("run gostats --target {} {options}", stub_target.target());
    let defined = defined(&agent.definitions(&command).exits(0).without_diagnostics());
    let output = agent.run(&command).exits(0).without_diagnostics();
    assert_eq!(printed(&output, &stub_target.port().to_string()), defined);
    insta::assert_snapshot!(defined.into_iter().collect::<Vec<_>>().join("\n"), @"
    gostats.#.gc.gc_pause_per_second
    gostats.#.gc.gc_per_second
    gostats.#.memory.memory_alloc
    gostats.#.memory.memory_sys
    gostats_max.gc.gc_pause_per_second
    gostats_max.gc.gc_per_second
    gostats_max.memory.memory_alloc
    gostats_max.memory.memory_sys
    gostats_sum.gc.gc_pause_per_second
    gostats_sum.gc.gc_per_second
    gostats_sum.memory.memory_alloc
    gostats_sum.memory.memory_sys
    ");
}

#[test]
fn wildcard_series_is_selected_by_its_name() {
    let Some(app) = Local::start(Program::PromApp, &[]) else { return };
    let address = app.target().parse().expect("an address");
    for code in [200, 404] {
        http::get(address, &format!("/work?code={code}&path=%2Fa")).expect("the work is done");
    }
    let agent = Agent::without_engine();
    let command = format!("run prometheus --metric promapp_* --metric go_goroutines --target {}", app.target());
    let series = |options: &str| {
        let command = format!("{command} {options}");
        let _ = agent.run(&command).exits(0).without_diagnostics();
        let output = agent.run(&command).exits(0).without_diagnostics();
        let mut names = printed(&output, &app.port().to_string()).into_iter().collect::<Vec<_>>();
        let defined = defined(&agent.definitions(&command).exits(0).without_diagnostics());
        names.push(format!("defined: {}", defined.into_iter().collect::<Vec<_>>().join(" ")));
        format!("{options}\n    {}\n", names.join("\n    "))
    };
    let picked = [
        "--select promapp_requests_total.rate.code_404_path__a",
        "--select go_goroutines.value",
        "--select *.le_1 --select go_*",
        "--exclude promapp_latency_* --exclude promapp_wait_* --exclude *.code_404_*",
        "--exclude go_goroutines.* --exclude *.rate.*",
    ]
    .map(series);
    insta::assert_snapshot!(picked.concat(), @"
    --select promapp_requests_total.rate.code_404_path__a
        prometheus.#.promapp_requests_total.rate.code_404_path__a
        defined: prometheus.#.*.* prometheus.#.*.rate.*
    --select go_goroutines.value
        prometheus.#.go_goroutines.value
        defined: prometheus.#.*.* prometheus.#.go_goroutines.*
    --select *.le_1 --select go_*
        prometheus.#.go_goroutines.value
        prometheus.#.promapp_latency_seconds_bucket.rate.le_1
        defined: prometheus.#.*.* prometheus.#.*.rate.* prometheus.#.go_goroutines.* prometheus.#.go_goroutines.rate.*
    --exclude promapp_latency_* --exclude promapp_wait_* --exclude *.code_404_*
        prometheus.#.go_goroutines.value
        prometheus.#.promapp_kept_bytes.value
        prometheus.#.promapp_requests_total.rate.code_200_path__a
        defined: prometheus.#.*.* prometheus.#.*.rate.* prometheus.#.go_goroutines.* prometheus.#.go_goroutines.rate.*
    --exclude go_goroutines.* --exclude *.rate.*
        prometheus.#.promapp_kept_bytes.value
        prometheus.#.promapp_wait_seconds.quantile_0_5
        defined: prometheus.#.*.*
    ");
}

#[test]
fn selected_counter_keeps_its_rate_and_selections_do_not_share_state() {
    let stub_target = StubTarget::serving(stats::body(MINUTE, 10));
    let agent = Agent::without_engine();
    let run = |minute: u64, count: u64, choice: &str| {
        stub_target.serve(stats::body(minute * MINUTE, count));
        agent.let_pass(Duration::from_nanos(MINUTE));
        let command = format!("run gostats --target {} {choice}", stub_target.target());
        let output = agent.run(&command).exits(0).without_diagnostics();
        output.metrics().of(&stub_target.key())
    };
    let (gc, all) = ("--select gc.gc_num", "--select *_num --exclude *.goroutine_num");
    assert_eq!(run(1, 10, gc), stats::Values::new());
    assert_eq!(run(2, 20, all), stats::Values::new());
    let rates = |rate: f64, names: &[&str]| names.iter().map(|name| ((*name).to_owned(), rate)).collect();
    // Growth since the last run of the same selection, two minutes before.
    stats::assert_same(&run(3, 60, gc), &rates(25.0, &["gc.gc_num"]));
    stats::assert_same(&run(4, 100, all), &rates(40.0, &["gc.gc_num", "runtime.cgo_call_num"]));
    stats::assert_same(&run(5, 70, gc), &rates(5.0, &["gc.gc_num"]));
    assert_eq!(agent.state_files().len(), 2);
}
