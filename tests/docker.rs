//! The collector `docker`: its graphs and options. Only a fake engine runs here.

use std::collections::BTreeSet;
use std::fs;

use scenarios::agent::{Agent, Output};
use scenarios::fake_engine::docker_on_v1;
use scenarios::fleet::Fleet;
use serde_json::Value;

/// Returns stderr of a wrong command.
fn error(options: &str) -> String {
    let output = Agent::without_engine().run(&format!("run {options}")).exits(2);
    assert_eq!(output.stdout, "", "stdout of {output}");
    output.stderr
}

/// Returns the first line of stderr for each command.
fn errors(options: &[&str]) -> String {
    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let lines =
        options.iter().map(|options| format!("{}\n    {}\n", options.escape_debug(), first_line(error(options))));
    lines.collect()
}

fn definitions(options: &str) -> Value {
    let output = Agent::without_engine().definitions(&format!("run docker {options}")).exits(0).without_diagnostics();
    let (first, json) = output.stdout.split_once('\n').expect("two lines");
    assert_eq!(first, "# mackerel-agent-plugin");
    let json: Value = serde_json::from_str(json).expect("the second line is JSON");
    json["graphs"].clone()
}

fn golden() -> Value {
    let golden = fs::read_to_string("golden/docker.meta.txt").expect("the golden file");
    let (_, golden) = golden.split_once('\n').expect("two lines");
    serde_json::from_str::<Value>(golden).expect("the golden file holds JSON")["graphs"].clone()
}

/// Returns the keys, units and metrics of the graphs, one graph per line.
fn summary(graphs: &Value) -> String {
    let graphs = graphs.as_object().expect("an object of graphs");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let metric = |metric: &Value| {
        let stacked = if metric["stacked"] == true { ", stacked" } else { "" };
        format!(" {} ({}{stacked})", text(&metric["name"]), text(&metric["label"]))
    };
    let graph = |(key, graph): (&String, &Value)| {
        let metrics = graph["metrics"].as_array().expect("metrics").iter().map(metric).collect::<String>();
        format!("{key}: {}, {}:{metrics}\n", text(&graph["label"]), text(&graph["unit"]))
    };
    graphs.iter().map(graph).collect()
}

/// Returns the names of all metrics that the graphs define for a container of this name.
fn names(graphs: &Value, instance: &str) -> BTreeSet<String> {
    let graphs = graphs.as_object().expect("an object of graphs").iter();
    let names = graphs.flat_map(|(key, graph)| {
        let key = key.replace('#', instance);
        let metrics = graph["metrics"].as_array().expect("metrics").iter();
        metrics.map(move |metric| format!("{key}.{}", metric["name"].as_str().expect("a name")))
    });
    names.collect()
}

#[test]
fn definitions_are_those_of_mackerel_plugin_docker() {
    assert_eq!(definitions(""), golden());
}

#[test]
fn definitions_do_not_depend_on_the_cpu_format() {
    for format in ["percentage", "usage"] {
        assert_eq!(definitions(&format!("--cpu-format {format}")), golden(), "{format}");
    }
}

#[test]
fn definitions_do_not_depend_on_container_options() {
    let options = "--filter name=api --stats-source api --instance-name image --timeout 1s -v";
    assert_eq!(definitions(options), golden());
}

#[test]
fn definitions_use_the_prefix_and_its_title_case() {
    let graphs = definitions("--metric-key-prefix my-shop.containers");
    let golden = golden().to_string();
    let golden = golden.replace("\"docker.", "\"my-shop.containers.").replace("\"Docker ", "\"My-Shop.containers ");
    assert_eq!(graphs, serde_json::from_str::<Value>(&golden).expect("JSON as before"));
}

#[test]
fn graphs_all_defines_all_graphs() {
    insta::assert_snapshot!(summary(&definitions("--graphs all")), @"
    docker.blkio.io_queued.#: Docker BlkIO Queued, integer: read (Read, stacked) write (Write, stacked) sync (Sync, stacked) async (Async, stacked)
    docker.blkio.io_service_bytes.#: Docker BlkIO Bytes, bytes: read (Read, stacked) write (Write, stacked) sync (Sync, stacked) async (Async, stacked)
    docker.blkio.io_serviced.#: Docker BlkIO IOPS, iops: read (Read, stacked) write (Write, stacked) sync (Sync, stacked) async (Async, stacked)
    docker.cpu_throttling.periods.#: Docker CPU Limit Periods, integer: all (All) throttled (Throttled)
    docker.cpu_throttling.time.#: Docker CPU Throttled Time, percentage: throttled (Throttled)
    docker.cpuacct.#: Docker CPU, integer: user (User, stacked) system (System, stacked)
    docker.cpuacct_percentage.#: Docker CPU Percentage, percentage: user (User, stacked) system (System, stacked)
    docker.health.#: Docker Health, integer: healthy (Healthy) failing_streak (Failing Streak)
    docker.memory.#: Docker Memory, bytes: cache (Cache, stacked) rss (RSS, stacked)
    docker.memory_limit.#: Docker Memory Limit, bytes: used (Used) limit (Limit)
    docker.memory_percentage.#: Docker Memory Percentage, percentage: used (Used)
    docker.network.bytes.#: Docker Network Bytes, bytes/sec: received (Received) sent (Sent)
    docker.network.errors.#: Docker Network Errors, integer: received (Received) sent (Sent) received_dropped (Received, Dropped) sent_dropped (Sent, Dropped)
    docker.network.packets.#: Docker Network Packets, float: received (Received) sent (Sent)
    docker.processes.#: Docker Processes and Threads, integer: current (Current) limit (Limit)
    docker.restarts.#: Docker Restarts, integer: count (Count)
    ");
}

#[test]
fn each_graph_group_defines_its_graphs() {
    let words = ["cpu", "memory", "blkio", "memory-limit", "network", "processes", "throttling", "restarts", "health"];
    let keys = |graphs: &Value| graphs.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let lines = words.map(|word| format!("{word}: {}\n", keys(&definitions(&format!("--graphs {word}"))).join(" ")));
    insta::assert_snapshot!(lines.concat(), @"
    cpu: docker.cpuacct.# docker.cpuacct_percentage.#
    memory: docker.memory.#
    blkio: docker.blkio.io_queued.# docker.blkio.io_service_bytes.# docker.blkio.io_serviced.#
    memory-limit: docker.memory_limit.# docker.memory_percentage.#
    network: docker.network.bytes.# docker.network.errors.# docker.network.packets.#
    processes: docker.processes.#
    throttling: docker.cpu_throttling.periods.# docker.cpu_throttling.time.#
    restarts: docker.restarts.#
    health: docker.health.#
    ");
    let all: BTreeSet<_> = words.iter().flat_map(|word| keys(&definitions(&format!("--graphs {word}")))).collect();
    assert_eq!(all, keys(&definitions("--graphs all")).into_iter().collect());
}

#[test]
fn graph_groups_have_any_order_and_all_includes_others() {
    assert_eq!(definitions("--graphs blkio,cpu,memory"), golden());
    assert_eq!(definitions("--graphs health,all"), definitions("--graphs all"));
}

#[test]
fn printed_metrics_are_those_defined() {
    for (format, other) in [("percentage", "docker.cpuacct."), ("usage", "docker.cpuacct_percentage.")] {
        let options = format!("--graphs all --cpu-format {format} --stats-source api");
        let fleet = Fleet::of(&["api"]);
        fleet.set_stats("api", &docker_on_v1("2026-11-22T03:00:00Z"));
        let _: Output = fleet.run_without_diagnostics(&options);
        fleet.set_stats("api", &docker_on_v1("2026-11-22T03:01:00Z"));
        let output = fleet.run_without_diagnostics(&options);
        let mut defined = names(&definitions(&options), "api");
        defined.retain(|name| !name.starts_with(other));
        let printed: BTreeSet<_> = output.metrics().keys().into_iter().map(str::to_owned).collect();
        assert_eq!(printed, defined);
        assert_eq!(printed.len(), 35);
    }
}

#[test]
fn metrics_use_the_prefix() {
    let fleet = Fleet::of(&["api"]);
    let output =
        fleet.run_without_diagnostics("--stats-source api --metric-key-prefix shop.containers --graphs memory");
    assert_eq!(output.metrics().keys(), ["shop.containers.memory.api.cache", "shop.containers.memory.api.rss"]);
}

#[test]
fn unknown_graph_groups_are_rejected() {
    let lists = [
        "docker --graphs disk",
        "docker --graphs cpu,disk",
        "docker --graphs CPU",
        "docker --graphs cpu,",
        "docker --graphs ,",
        "docker --graphs=",
        "docker --graphs cpu;memory",
        "docker --graphs none",
        "docker --graphs",
        "docker --graphs \u{1b}[2J",
    ];
    insta::assert_snapshot!(errors(&lists), @r"
    docker --graphs disk
        mackerel-plugin-wasm: docker: --graphs: unknown group 'disk'; available: cpu, memory, blkio, memory-limit, network, processes, throttling, restarts, health, all
    docker --graphs cpu,disk
        mackerel-plugin-wasm: docker: --graphs: unknown group 'disk'; available: cpu, memory, blkio, memory-limit, network, processes, throttling, restarts, health, all
    docker --graphs CPU
        mackerel-plugin-wasm: docker: --graphs: unknown group 'CPU'; available: cpu, memory, blkio, memory-limit, network, processes, throttling, restarts, health, all
    docker --graphs cpu,
        mackerel-plugin-wasm: docker: --graphs: unknown group ''; available: cpu, memory, blkio, memory-limit, network, processes, throttling, restarts, health, all
    docker --graphs ,
        mackerel-plugin-wasm: docker: --graphs: unknown group ''; available: cpu, memory, blkio, memory-limit, network, processes, throttling, restarts, health, all
    docker --graphs=
        mackerel-plugin-wasm: docker: --graphs: unknown group ''; available: cpu, memory, blkio, memory-limit, network, processes, throttling, restarts, health, all
    docker --graphs cpu;memory
        mackerel-plugin-wasm: docker: --graphs: unknown group 'cpu;memory'; available: cpu, memory, blkio, memory-limit, network, processes, throttling, restarts, health, all
    docker --graphs none
        mackerel-plugin-wasm: docker: --graphs: unknown group 'none'; available: cpu, memory, blkio, memory-limit, network, processes, throttling, restarts, health, all
    docker --graphs
        error: a value is required for '--graphs <GRAPHS>' but none was supplied
    docker --graphs \u{1b}[2J
        mackerel-plugin-wasm: docker: --graphs: unknown group '\u{1b}[2J'; available: cpu, memory, blkio, memory-limit, network, processes, throttling, restarts, health, all
    ");
}

#[test]
fn repeated_graph_group_counts_once() {
    assert_eq!(definitions("--graphs cpu,memory,blkio,cpu"), golden());
}

#[test]
fn options_without_effect_on_containers_are_rejected() {
    let options = [
        "docker --cpu-format permille",
        "docker --stats-source procfs",
        "docker --container-port 8080",
        "docker --target 127.0.0.1:80",
        "docker --instance-name port",
        "docker --tls-server-name example.com",
        "docker --path /stats",
        "docker --scheme https",
    ];
    insta::assert_snapshot!(errors(&options), @"
    docker --cpu-format permille
        error: invalid value 'permille' for '--cpu-format <CPU_FORMAT>'
    docker --stats-source procfs
        error: invalid value 'procfs' for '--stats-source <SOURCE>'
    docker --container-port 8080
        mackerel-plugin-wasm: --container-port cannot be used with docker: it collects from whole containers, not from ports
    docker --target 127.0.0.1:80
        mackerel-plugin-wasm: --target cannot be used with docker: it collects from whole containers, not from ports
    docker --instance-name port
        mackerel-plugin-wasm: --instance-name port cannot be used with docker: it collects from whole containers, not from ports
    docker --tls-server-name example.com
        mackerel-plugin-wasm: --tls-server-name cannot be used with docker: it collects from whole containers, not from ports
    docker --path /stats
        mackerel-plugin-wasm: unknown option --path; mackerel-plugin-wasm run docker --help lists all options
    docker --scheme https
        mackerel-plugin-wasm: unknown option --scheme; mackerel-plugin-wasm run docker --help lists all options
    ");
}

#[test]
fn rejected_options_fail_definitions_too() {
    let output = Agent::without_engine().definitions("run docker --graphs disk").exits(2);
    assert_eq!((output.stdout.as_str(), output.stderr), ("", error("docker --graphs disk")));
}

#[test]
fn other_collectors_do_not_take_dockers_options() {
    insta::assert_snapshot!(errors(&["gostats --cpu-format usage", "gostats --graphs cpu"]), @"
    gostats --cpu-format usage
        mackerel-plugin-wasm: unknown option --cpu-format (did you mean --cpu-limit?); mackerel-plugin-wasm run gostats --help lists all options
    gostats --graphs cpu
        mackerel-plugin-wasm: unknown option --graphs; mackerel-plugin-wasm run gostats --help lists all options
    ");
}

#[test]
fn other_collectors_do_not_take_stats_source() {
    for source in ["auto", "cgroup", "api"] {
        let right =
            "mackerel-plugin-wasm: --stats-source cannot be used with gostats: it does not read container stats\n";
        assert_eq!(error(&format!("gostats --stats-source {source}")), right);
    }
}

#[test]
fn help_shows_the_options_of_docker() {
    let output = Agent::without_engine().run("run docker --help").exits(0).without_diagnostics();
    let (of_host, own) = output.stdout.split_once("Options of docker:\n").expect("options of its own");
    assert!(of_host.contains("--stats-source <SOURCE>"), "{output}");
    let own: Vec<_> = own.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(own.join("\n"), @"
    --cpu-format <CPU_FORMAT>
        CPU in per cent of one core, or in nanoseconds per minute

        [default: percentage]
        [possible values: percentage, usage]

    --graphs <GRAPHS>
        Groups of graphs to show, joined by commas: cpu, memory, blkio, memory-limit, network,
        processes, throttling, restarts, health; or all

        [default: cpu,memory,blkio]
    ");
}
