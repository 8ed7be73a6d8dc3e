//! The plugin in a container of an ECS task: targets, addresses and stats by the task metadata endpoint.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use scenarios::agent::{Agent, Output, component};
use scenarios::fake_engine::{FakeEngine, docker_on_v2};
use scenarios::fleet::{stats_of, values};
use scenarios::http::Reply;
use scenarios::stats::assert_same;
use scenarios::stub_target::StubTarget;
use scenarios::task_metadata::{
    TaskMetadata, agent_1_30, awsvpc, bridge, fargate, fargate_task, host, managed_task, pause, pending, remove, task,
    with,
};
use scenarios::{mask, port, skip, stats};
use serde_json::{Value, json};

/// Returns a target for gostats.
fn app() -> StubTarget {
    StubTarget::serving(stats::body(stats::now(), 1))
}

/// Returns the output of `explain`, with masks for what changes from run to run. The command has to end with this
/// exit status.
#[track_caller]
fn explained(metadata: &TaskMetadata, words: &str, app: &StubTarget, code: i32) -> String {
    let output = metadata.agent().run(&format!("explain {words} --source ecs-task")).exits(code).without_diagnostics();
    let text = metadata.mask(&output.stdout).replace(&app.port().to_string(), "PORT");
    let cells = |line: &str| {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        let cell = |cell: &str| match cell.strip_suffix(" ms") {
            Some(time) if time.parse::<f64>().is_ok() => "TIME".to_owned(),
            _ => cell.to_owned(),
        };
        let indent = if line.starts_with("  ") { "  " } else { "" };
        format!("{indent}{}\n", cells.map(cell).collect::<Vec<_>>().join("  "))
    };
    text.lines().map(cells).collect()
}

/// Returns the diagnostics of a run.
fn stderr(metadata: &TaskMetadata, output: &Output) -> String {
    metadata.mask(&output.stderr)
}

#[test]
fn bridge_containers_are_dialled_at_their_own_addresses() {
    let app = app();
    let metadata = TaskMetadata::of(task([
        bridge("agent", "127.0.0.9", &[]),
        bridge("api", "127.0.0.2", &[app.port()]),
        bridge("two-ports", "127.0.0.3", &[8080, 9090]),
        bridge("worker", "127.0.0.4", &[]),
    ]));
    insta::assert_snapshot!(explained(&metadata, "gostats", &app, 0), @"
    mackerel-plugin-wasm run gostats --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    api  PORT  127.0.0.2:PORT  api  collected  TIME  15 (6 counters)
      the only published port, at the container's own address
    agent  -  -  -  skipped  -  -
      runs this plugin
    two-ports  -  -  -  failed  -  -
      publishes several ports (8080, 9090): choose one, such as --container-port 8080
    worker  -  -  -  skipped  -  -
      publishes no TCP port
    ");
    insta::assert_snapshot!(explained(&metadata, &format!("gostats --container-port {}", app.port()), &app, 0), @"
    mackerel-plugin-wasm run gostats --container-port PORT --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    api  PORT  127.0.0.2:PORT  api  collected  TIME  15 (6 counters)
      --container-port, at the container's own address
    two-ports  PORT  127.0.0.3:PORT  two-ports  collected  TIME  15 (6 counters)
      --container-port, at the container's own address
    worker  PORT  127.0.0.4:PORT  worker  collected  TIME  15 (6 counters)
      --container-port, at the container's own address
    agent  -  -  -  skipped  -  -
      runs this plugin
    ");
}

#[test]
fn containers_on_the_host_network_are_dialled_at_the_loopback_address() {
    let app = app();
    let metadata = TaskMetadata::of(task([host("agent"), host("api")]));
    insta::assert_snapshot!(explained(&metadata, "gostats", &app, 1), @"
    mackerel-plugin-wasm run gostats --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    agent  -  -  -  skipped  -  -
      runs this plugin
    api  -  -  -  failed  -  -
      shares the host's network, and the task metadata has no ports: name the port with --container-port
    ");
    insta::assert_snapshot!(explained(&metadata, &format!("gostats --container-port {}", app.port()), &app, 0), @"
    mackerel-plugin-wasm run gostats --container-port PORT --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    api  PORT  127.0.0.1:PORT  api  collected  TIME  15 (6 counters)
      --container-port, on the host network
    agent  -  -  -  skipped  -  -
      runs this plugin
    ");
}

#[test]
fn containers_of_an_awsvpc_task_are_dialled_at_the_loopback_address() {
    let app = app();
    let metadata = TaskMetadata::of(task([awsvpc("agent"), awsvpc("api"), pause()]));
    insta::assert_snapshot!(explained(&metadata, "gostats", &app, 1), @"
    mackerel-plugin-wasm run gostats --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    agent  -  -  -  skipped  -  -
      runs this plugin
    api  -  -  -  failed  -  -
      shares the task's network, and the task metadata has no ports: name the port with --container-port
    ~internal~ecs~pause  -  -  -  skipped  -  -
      pause container, not an application (--include-infrastructure)
    ");
    insta::assert_snapshot!(explained(&metadata, &format!("gostats --container-port {}", app.port()), &app, 0), @"
    mackerel-plugin-wasm run gostats --container-port PORT --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    api  PORT  127.0.0.1:PORT  api  collected  TIME  15 (6 counters)
      --container-port, in the task's network
    agent  -  -  -  skipped  -  -
      runs this plugin
    ~internal~ecs~pause  -  -  -  skipped  -  -
      pause container, not an application (--include-infrastructure)
    ");
    // As an operator includes it, it still does not run an application.
    let words = format!("gostats --container-port {} --include-infrastructure", app.port());
    insta::assert_snapshot!(explained(&metadata, &words, &app, 0), @"
    mackerel-plugin-wasm run gostats --container-port PORT --include-infrastructure --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    api  PORT  127.0.0.1:PORT  api  collected  TIME  15 (6 counters)
      --container-port, in the task's network
    agent  -  -  -  skipped  -  -
      runs this plugin
    ~internal~ecs~pause  -  -  -  skipped  -  -
      not running (RESOURCES_PROVISIONED)
    ");
}

#[test]
fn containers_on_fargate_need_one_request() {
    let app = app();
    let metadata = TaskMetadata::of(fargate_task([fargate("agent"), fargate("api")]));
    insta::assert_snapshot!(explained(&metadata, &format!("gostats --container-port {}", app.port()), &app, 0), @"
    mackerel-plugin-wasm run gostats --container-port PORT --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    api  PORT  127.0.0.1:PORT  api  collected  TIME  15 (6 counters)
      --container-port, in the task's network
    agent  -  -  -  skipped  -  -
      runs this plugin
    ");
    assert_eq!(metadata.requests(), ["/task"]);
    // Platform version 1.3.0 lists the pause container.
    let metadata = TaskMetadata::of(fargate_task([fargate("agent"), fargate("api"), pause()]));
    insta::assert_snapshot!(explained(&metadata, &format!("gostats --container-port {}", app.port()), &app, 0), @"
    mackerel-plugin-wasm run gostats --container-port PORT --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    api  PORT  127.0.0.1:PORT  api  collected  TIME  15 (6 counters)
      --container-port, in the task's network
    agent  -  -  -  skipped  -  -
      runs this plugin
    ~internal~ecs~pause  -  -  -  skipped  -  -
      pause container, not an application (--include-infrastructure)
    ");
}

#[test]
fn containers_on_a_managed_instance_are_targets_without_the_daemons_of_ecs() {
    let app = app();
    let daemon = with(fargate("ecs-daemon"), "Type", "MANAGED_DAEMON");
    let volume = with(fargate("~internal~ecs-emptyvolume-source"), "Type", "EMPTY_HOST_VOLUME");
    let namespace = with(fargate("~internal~ecs~pause~namespace"), "Type", "NAMESPACE_PAUSE");
    let later = with(fargate("later"), "Type", "ADDED_LATER");
    // ECS reports its type as that of an application. On Fargate its labels are missing.
    let mut proxy = fargate("ecs-service-connect-AbCd");
    remove(&mut proxy, "Labels");
    let containers = [fargate("agent"), fargate("api"), daemon, volume, namespace, later, proxy];
    let metadata = TaskMetadata::of(managed_task(containers));
    insta::assert_snapshot!(explained(&metadata, &format!("gostats --container-port {}", app.port()), &app, 0), @"
    mackerel-plugin-wasm run gostats --container-port PORT --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    api  PORT  127.0.0.1:PORT  api  collected  TIME  15 (6 counters)
      --container-port, in the task's network
    agent  -  -  -  skipped  -  -
      runs this plugin
    ecs-daemon  -  -  -  skipped  -  -
      container that ECS adds, not an application (--include-infrastructure)
    ecs-service-connect-AbCd  -  -  -  skipped  -  -
      ECS Service Connect, not an application (--include-infrastructure)
    later  -  -  -  skipped  -  -
      container that ECS adds, not an application (--include-infrastructure)
    ~internal~ecs-emptyvolume-source  -  -  -  skipped  -  -
      volume container of ECS, not an application (--include-infrastructure)
    ~internal~ecs~pause~namespace  -  -  -  skipped  -  -
      pause container, not an application (--include-infrastructure)
    ");
    // The endpoint's path does not have the container's id there.
    assert_eq!(metadata.requests(), ["/task", ""]);
}

#[test]
fn agent_1_30_is_read_by_version_3() {
    let app = app();
    let metadata = TaskMetadata::of_version_3(agent_1_30([
        bridge("agent", "127.0.0.9", &[]),
        // Docker's other name of the network.
        with(
            bridge("api", "", &[app.port()]),
            "Networks",
            json!([{"NetworkMode": "default", "IPv4Addresses": ["127.0.0.2"]}]),
        ),
    ]));
    insta::assert_snapshot!(explained(&metadata, "gostats", &app, 0), @"
    mackerel-plugin-wasm run gostats --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    api  PORT  127.0.0.2:PORT  api  collected  TIME  15 (6 counters)
      the only published port, at the container's own address
    agent  -  -  -  skipped  -  -
      runs this plugin
    ");
}

#[test]
fn only_running_containers_with_an_address_are_targets() {
    let app = app();
    let without_address = |name: &str, networks: Value| with(bridge(name, "", &[8080]), "Networks", networks);
    let metadata = TaskMetadata::of(task([
        bridge("agent", "127.0.0.9", &[]),
        bridge("api", "127.0.0.2", &[app.port()]),
        pending("none", "NONE"),
        pending("pulled", "PULLED"),
        with(bridge("created", "127.0.0.3", &[8080]), "KnownStatus", "CREATED"),
        with(bridge("stopped", "127.0.0.3", &[8080]), "KnownStatus", "STOPPED"),
        with(bridge("odd", "127.0.0.3", &[8080]), "KnownStatus", json!(null)),
        without_address("null", json!(null)),
        without_address("empty", json!([{"NetworkMode": "bridge", "IPv4Addresses": [""]}])),
        without_address("isolated", json!([{"NetworkMode": "none", "IPv4Addresses": [""]}])),
    ]));
    insta::assert_snapshot!(explained(&metadata, "gostats", &app, 0), @"
    mackerel-plugin-wasm run gostats --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    api  PORT  127.0.0.2:PORT  api  collected  TIME  15 (6 counters)
      the only published port, at the container's own address
    agent  -  -  -  skipped  -  -
      runs this plugin
    created  -  -  -  skipped  -  -
      not running (CREATED)
    empty  -  -  -  failed  -  -
      the task metadata has no address of it yet
    isolated  -  -  -  skipped  -  -
      has no network
    none  -  -  -  skipped  -  -
      not running (NONE)
    null  -  -  -  failed  -  -
      the task metadata has no address of it yet
    odd  -  -  -  skipped  -  -
      not running (unknown state)
    pulled  -  -  -  skipped  -  -
      not running (PULLED)
    stopped  -  -  -  skipped  -  -
      not running (STOPPED)
    ");
}

#[test]
fn bridge_container_without_ipv4_is_dialled_at_ipv6() {
    if !skip::has_ipv6("a container with an IPv6 address only") {
        return;
    }
    let app = app();
    let networks = json!([{"NetworkMode": "bridge", "IPv6Addresses": ["::1"]}]);
    let api = with(bridge("api", "", &[app.port()]), "Networks", networks);
    let metadata = TaskMetadata::of(task([api]));
    let output = metadata.agent().run("explain gostats --source ecs-task --json");
    let explanation: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(explanation["containers"][0]["address"], format!("[::1]:{}", app.port()));
}

#[test]
fn awsvpc_container_without_ipv4_is_dialled_at_the_loopback_address() {
    let app = app();
    let networks = json!([{"NetworkMode": "awsvpc", "IPv6Addresses": ["fd00::1"]}]);
    let metadata = TaskMetadata::of(task([awsvpc("agent"), with(awsvpc("api"), "Networks", networks)]));
    let command = format!("run gostats --source ecs-task --container-port {}", app.port());
    let run = metadata.agent().run(&command).exits(0).without_diagnostics();
    assert_eq!((run.metrics().instances(), app.requests()), (vec!["api"], 1));
}

#[test]
fn container_that_is_listed_twice_is_one_target() {
    let app = app();
    let api = || bridge("api", "127.0.0.2", &[app.port()]);
    let metadata = TaskMetadata::of(task([bridge("agent", "127.0.0.9", &[]), api(), api()]));
    let run = metadata.agent().run("run gostats --source ecs-task").exits(0).without_diagnostics();
    assert_eq!((run.metrics().instances(), app.requests()), (vec!["api"], 1));
}

#[test]
fn odd_entries_cost_themselves() {
    let app = app();
    let mut bare = bridge("bare", "127.0.0.2", &[app.port()]);
    for field in ["Labels", "Type", "StartedAt", "Image", "Limits"] {
        remove(&mut bare, field);
    }
    let odd_port = json!([{"ContainerPort": 8080, "Protocol": "tcp"}, {"ContainerPort": "http", "Protocol": "tcp"}]);
    let udp = json!([{"ContainerPort": 53, "Protocol": "udp"}, {"ContainerPort": app.port(), "Protocol": "tcp"}]);
    let metadata = TaskMetadata::of(task([
        bridge("agent", "127.0.0.9", &[]),
        bare,
        with(bridge("udp", "127.0.0.3", &[]), "Ports", udp),
        with(bridge("odd-port", "127.0.0.4", &[]), "Ports", odd_port),
        with(bridge("no-id", "127.0.0.4", &[8080]), "DockerId", ""),
        with(bridge("path", "127.0.0.4", &[8080]), "DockerId", "../../secret"),
        json!(7),
    ]));
    insta::assert_snapshot!(explained(&metadata, "gostats", &app, 0), @"
    mackerel-plugin-wasm run gostats --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    bare  PORT  127.0.0.2:PORT  bare  collected  TIME  15 (6 counters)
      the only published port, at the container's own address
    udp  PORT  127.0.0.3:PORT  udp  collected  TIME  15 (6 counters)
      the only published port, at the container's own address
    agent  -  -  -  skipped  -  -
      runs this plugin
    odd-port  -  -  -  failed  -  -
      a port in the task metadata cannot be read: name the port with --container-port

    gostats: 3 containers in the task metadata cannot be read: no-id (no id), path (invalid id), entry 7 (not an object)
    ");
    let run = metadata.agent().run("run gostats --source ecs-task").exits(0);
    assert_eq!(run.metrics().instances(), ["bare", "udp"]);
    insta::assert_snapshot!(stderr(&metadata, &run), @"
    mackerel-plugin-wasm: gostats: 3 containers in the task metadata cannot be read: no-id (no id), path (invalid id), entry 7 (not an object)
    mackerel-plugin-wasm: gostats: odd-port: a port in the task metadata cannot be read: name the port with --container-port
    ");
}

#[test]
fn containers_that_share_a_network_are_chosen_by_name() {
    let app = app();
    let metadata = TaskMetadata::of(fargate_task([fargate("agent"), fargate("api"), fargate("log_router")]));
    let words = format!("gostats --container-port {}", app.port());
    insta::assert_snapshot!(explained(&metadata, &words, &app, 1), @"
    mackerel-plugin-wasm run gostats --container-port PORT --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    agent  -  -  -  skipped  -  -
      runs this plugin
    api  -  -  -  failed  -  -
      shares the task's network with log_router: choose the one that listens on port PORT, such as
      --filter name=api
    log_router  -  -  -  failed  -  -
      shares the task's network with api: choose the one that listens on port PORT, such as --filter
      name=log_router
    ");
    let run = metadata.agent().run(&format!("run {words} --source ecs-task")).exits(1);
    assert_eq!((run.stdout.as_str(), app.requests()), ("", 0));
    insta::assert_snapshot!(explained(&metadata, &format!("{words} --filter name=api"), &app, 0), @"
    mackerel-plugin-wasm run gostats --container-port PORT --filter 'name=api' --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    api  PORT  127.0.0.1:PORT  api  collected  TIME  15 (6 counters)
      --container-port, in the task's network
    agent  -  -  -  skipped  -  -
      does not match --filter name=api
    log_router  -  -  -  skipped  -  -
      does not match --filter name=api
    ");
    let run = metadata.agent().run(&format!("run {words} --skip name=log --source ecs-task")).exits(0);
    assert_eq!(run.without_diagnostics().metrics().instances(), ["api"]);
}

#[test]
fn filters_of_a_task_are_name_label_and_id() {
    let app = app();
    let port = app.port();
    let [one, two] = [("one", "127.0.0.2"), ("two", "127.0.0.3")].map(|(name, ip)| bridge(name, ip, &[port]));
    let mut two = with(two, "DockerId", format!("ab{}", "0".repeat(62)));
    two["Labels"]["tier"] = json!("back");
    let metadata = TaskMetadata::of(task([bridge("agent", "127.0.0.9", &[]), one, two]));
    for (filters, names) in [
        ("--filter name=one", &["one"][..]),
        ("--filter name=^t", &["two"]),
        ("--filter name=one --filter name=two", &["one", "two"]),
        ("--filter label=app", &["one", "two"]),
        ("--filter label=app --filter label=tier=back", &["two"]),
        ("--filter id=ab00", &["two"]),
        ("--filter name=one --filter label=tier=back", &[]),
    ] {
        let run = metadata.agent().run(&format!("run gostats --source ecs-task {filters}")).exits(0);
        assert_eq!(run.metrics().instances(), names, "{filters}: {run}");
    }
    let report = |filters: &str, code: i32| {
        let run = metadata.agent().run(&format!("run gostats --source ecs-task {filters}")).exits(code);
        run.stderr
    };
    insta::assert_snapshot!(report("--filter name=no-such-name", 0), @"mackerel-plugin-wasm: gostats: no container matches --filter name=no-such-name");
    insta::assert_snapshot!(report("--filter name=one --filter label=tier=back", 0), @"mackerel-plugin-wasm: gostats: no container matches --filter name=one --filter label=tier=back");
    insta::assert_snapshot!(report("--filter status=running", 2), @"mackerel-plugin-wasm: --filter status=running cannot be used in an ECS task: available keys: name, label, id");
    insta::assert_snapshot!(report("--filter name=(", 2), @"mackerel-plugin-wasm: --filter name=(: expected a regular expression");
    insta::assert_snapshot!(report("--filter label=", 2), @"mackerel-plugin-wasm: --filter label=: expected label=KEY or label=KEY=VALUE");
    insta::assert_snapshot!(explained(&metadata, "gostats --filter name=one", &app, 0), @"
    mackerel-plugin-wasm run gostats --filter 'name=one' --source ecs-task
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    one  PORT  127.0.0.2:PORT  one  collected  TIME  15 (6 counters)
      the only published port, at the container's own address
    agent  -  -  -  skipped  -  -
      does not match --filter name=one
    two  -  -  -  skipped  -  -
      does not match --filter name=one
    ");
}

#[test]
fn options_about_an_engine_are_rejected_in_a_task() {
    let metadata = TaskMetadata::of(task([]));
    let one_address = "the task metadata has one address for each container";
    for (collector, option, value, reason) in [
        ("docker", "--docker-host", "tcp://127.0.0.1:1", "it names a container engine"),
        ("docker", "--stats-source", "api", "stats come from the task metadata endpoint"),
        ("gostats", "--address", "direct", one_address),
        ("gostats", "--network", "a", one_address),
        ("gostats", "--enter-network", "", one_address),
    ] {
        let output = metadata.agent().run(&format!("run {collector} --source ecs-task {option} {value}")).exits(2);
        let expected = format!("mackerel-plugin-wasm: {option} cannot be used with the source ecs-task: {reason}\n");
        assert_eq!(output.stderr, expected);
    }
}

#[test]
fn endpoint_that_fails_is_one_line_with_the_next_step() {
    let whole = |status: u16, message: &str| Reply::Whole(status, json!(message).to_string());
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let mut lines = String::new();
    for (name, reply) in [
        ("not found", whole(404, "V4 task metadata handler: unable to get task arn")),
        ("limited", whole(429, "Too Many Requests")),
        ("failed", whole(500, "V4 task metadata handler: unable to generate metadata\nfor task")),
        ("failed without a message", Reply::Whole(503, String::new())),
        ("redirected", Reply::Raw(redirect.to_owned())),
        ("null", Reply::Whole(200, "null".to_owned())),
        ("not a task", Reply::Whole(200, r#"{"message": "hello"}"#.to_owned())),
        ("not JSON", Reply::Whole(200, "<html>".to_owned())),
        ("half", Reply::Half(task([]).to_string())),
        ("not HTTP", Reply::Raw("220 ready\r\n".to_owned())),
        ("without end", Reply::Flood("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[".to_owned(), "1,".to_owned())),
        ("late", Reply::NoResponse),
    ] {
        let metadata = TaskMetadata::of(task([]));
        metadata.set_reply("/task", reply);
        let output = metadata.agent().run("run gostats --source ecs-task --targets-graph").exits(1);
        assert_eq!(output.metrics().of("gostats_targets"), values([("collected", 0.0), ("failed", 1.0)]), "{name}");
        lines.extend([name, ": ", &stderr(&metadata, &output)]);
        assert_eq!(metadata.requests(), ["/task"], "{name} is not requested again");
    }
    insta::assert_snapshot!(lines, @r#"
    not found: mackerel-plugin-wasm: task metadata endpoint at ENDPOINT: HTTP 404 (V4 task metadata handler: unable to get task arn): the ECS agent does not know this container: restart the task if this lasts
    limited: mackerel-plugin-wasm: task metadata endpoint at ENDPOINT: HTTP 429 (Too Many Requests): the task sends too many requests: run fewer plugins, or less often
    failed: mackerel-plugin-wasm: task metadata endpoint at ENDPOINT: HTTP 500 (V4 task metadata handler: unable to generate metadata\nfor task): the next run tries again; if this lasts, see the log of the ECS agent
    failed without a message: mackerel-plugin-wasm: task metadata endpoint at ENDPOINT: HTTP 503: the next run tries again; if this lasts, see the log of the ECS agent
    redirected: mackerel-plugin-wasm: task metadata endpoint at ENDPOINT: HTTP 302: is the variable set to another server?
    null: mackerel-plugin-wasm: task metadata endpoint at ENDPOINT: response is null: the ECS agent does not know the task yet; the next run tries again
    not a task: mackerel-plugin-wasm: task metadata endpoint at ENDPOINT: invalid response: missing field `Containers` at line 1 column 20: is the variable set to another server?
    not JSON: mackerel-plugin-wasm: task metadata endpoint at ENDPOINT: invalid response: expected value at line 1 column 1: is the variable set to another server?
    half: mackerel-plugin-wasm: task metadata endpoint at ENDPOINT: incomplete response: end of file before message length reached: the next run tries again
    not HTTP: mackerel-plugin-wasm: task metadata endpoint at ENDPOINT: response is not HTTP: invalid HTTP version parsed: is the variable set to another server?
    without end: mackerel-plugin-wasm: task metadata endpoint at ENDPOINT: response exceeds 1 MiB (fixed limit): is the variable set to another server?
    late: mackerel-plugin-wasm: task metadata endpoint at ENDPOINT: no response after 2s: is the instance overloaded, or the ECS agent restarting?
    "#);
}

#[test]
fn missing_task_is_one_line_with_the_next_step() {
    let run = |url: &str| {
        let agent = Agent::with_docker_host("").with_env("ECS_CONTAINER_METADATA_URI_V4", url);
        agent.run("run gostats --source ecs-task").exits(1).stderr
    };
    insta::assert_snapshot!(run(""), @"mackerel-plugin-wasm: no ECS task: ECS_CONTAINER_METADATA_URI_V4 is not set; ECS sets it in the containers of a task");
    insta::assert_snapshot!(run("https://169.254.170.2/v4/0"), @"mackerel-plugin-wasm: ECS_CONTAINER_METADATA_URI_V4: 'https://169.254.170.2/v4/0' is not the URL of a task metadata endpoint: expected http://HOST:PORT/PATH");
    insta::assert_snapshot!(run("http://user:secret@169.254.170.2/v4/0"), @"mackerel-plugin-wasm: ECS_CONTAINER_METADATA_URI_V4: 'http://…@169.254.170.2/v4/0' is not the URL of a task metadata endpoint: expected http://HOST:PORT/PATH");
    let refused = format!("http://127.0.0.1:{}/v4/0", port::free());
    insta::assert_snapshot!(run(&refused).replace(&refused, "ENDPOINT"), @"mackerel-plugin-wasm: task metadata endpoint at ENDPOINT: cannot connect: Connection refused (os error 111): the endpoint can only be reached from a container of the task");
}

#[test]
fn unknown_own_container_is_one_warning() {
    let app = app();
    let metadata =
        TaskMetadata::of(task([bridge("agent", "127.0.0.9", &[]), bridge("api", "127.0.0.2", &[app.port()])]));
    metadata.set_reply("", Reply::Whole(500, json!("unable to get container").to_string()));
    let run = metadata.agent().run("run gostats --source ecs-task").exits(0);
    assert_eq!(run.metrics().instances(), ["api"]);
    insta::assert_snapshot!(stderr(&metadata, &run), @"mackerel-plugin-wasm: gostats: cannot identify this plugin's own container: HTTP 500 (unable to get container): the next run tries again; if this lasts, see the log of the ECS agent; to leave it out: --skip name=NAME");
}

#[test]
fn proxies_of_the_environment_are_not_used() {
    let app = app();
    let metadata = TaskMetadata::of(fargate_task([fargate("agent"), fargate("api")]));
    let proxy = format!("http://127.0.0.1:{}", port::free());
    let agent = ["HTTP_PROXY", "http_proxy", "ALL_PROXY"]
        .into_iter()
        .fold(metadata.agent(), |agent, name| agent.with_env(name, &proxy));
    let run = agent.run(&format!("run gostats --source ecs-task --container-port {}", app.port())).exits(0);
    assert_eq!(run.without_diagnostics().metrics().instances(), ["api"]);
}

/// Returns the agent on a machine without the default socket of an engine: if there is one, it is hidden.
fn without_default_socket(agent: Agent) -> Option<Agent> {
    if !Path::new("/var/run/docker.sock").exists() {
        return Some(agent);
    }
    let untested = "the choice of the source on a machine without Docker";
    let hide = r#"mount -t tmpfs none "$(readlink -f /var/run)" && exec "$0" "$@""#;
    skip::is_root(untested).then(|| agent.with_launcher(&["unshare", "--mount", "sh", "-c", hide]))
}

#[test]
fn source_is_chosen_by_what_is_there_and_explained() {
    let app = app();
    let metadata = TaskMetadata::of(fargate_task([fargate("agent"), fargate("api")]));
    let Some(agent) = without_default_socket(metadata.agent()) else { return };
    let engine = FakeEngine::with_containers(vec![]);
    let words = format!("explain gostats --container-port {}", app.port());
    let source = |agent: &Agent, options: &str| {
        let output = agent.run(&format!("{words} {options}")).exits(0).stdout;
        let line = output.lines().nth(1).expect("a second line").to_owned();
        metadata.mask(&line).replace(&engine.host(), "ENGINE")
    };
    let with_engine = metadata.agent().with_env("DOCKER_HOST", engine.host());
    let lines = [
        source(&agent, ""),
        source(&agent, &format!("--docker-host {}", engine.host())),
        source(&with_engine, ""),
        source(&with_engine, "--source ecs-task"),
        source(&with_engine, "--source engine"),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    in the ECS task shop:3, by the metadata at ENDPOINT (no container engine, and ECS_CONTAINER_METADATA_URI_V4 is set)
    on the container engine at ENGINE (--docker-host)
    on the container engine at ENGINE (DOCKER_HOST)
    in the ECS task shop:3, by the metadata at ENDPOINT (--source ecs-task)
    on the container engine at ENGINE (DOCKER_HOST)
    ");

    let json = |agent: &Agent, options: &str| -> Value {
        let output = agent.run(&format!("explain gostats {options} --json")).exits(0).stdout;
        let mut explanation: Value = serde_json::from_str(&output).expect("JSON");
        let source = explanation["source"].take().to_string();
        metadata.mask(&source).replace(&engine.host(), "ENGINE").into()
    };
    let sources = [
        json(&agent, &format!("--container-port {}", app.port())),
        json(&with_engine, ""),
        json(&agent, &format!("--target {}", app.target())),
    ];
    insta::assert_snapshot!(sources.map(|source| source.as_str().unwrap_or_default().to_owned()).join("\n"), @r#"
    {"kind":"ecs-task","task_definition":"shop:3","url":"ENDPOINT","why":"no container engine, and ECS_CONTAINER_METADATA_URI_V4 is set"}
    {"kind":"engine","task_definition":null,"url":"ENGINE","why":"DOCKER_HOST"}
    {"kind":"fixed","task_definition":null,"url":null,"why":"--target"}
    "#);

    // Neither of the two.
    let Some(nothing) = without_default_socket(Agent::with_docker_host("")) else { return };
    insta::assert_snapshot!(nothing.run("run gostats").exits(1).stderr, @"mackerel-plugin-wasm: cannot connect to the container engine at unix:///var/run/docker.sock: no such socket: is Docker running? (--docker-host or DOCKER_HOST selects another engine); not in an ECS task either: ECS_CONTAINER_METADATA_URI_V4 is not set");
}

/// Returns the names of the containers in the metrics of a run of `docker`, whose keys end with `NAME.METRIC`.
fn containers(run: &Output) -> BTreeSet<String> {
    run.metrics().keys().iter().filter_map(|key| key.rsplit('.').nth(1)).map(str::to_owned).collect()
}

/// Returns stats that were sampled this many seconds ago.
fn sampled(ago: i64) -> Value {
    docker_on_v2(&(Timestamp::now() - SignedDuration::from_secs(ago)).to_string())
}

#[test]
fn stats_of_all_containers_come_by_one_request() {
    let metadata = TaskMetadata::of(fargate_task([fargate("agent"), fargate("api"), fargate("web")]));
    metadata.edit("api", |api| {
        api["Health"] = json!({"status": "HEALTHY", "statusSince": "2026-11-02T03:05:00Z"});
        api["RestartCount"] = json!(2);
    });
    metadata.edit("web", |web| web["Health"] = json!({"status": "UNHEALTHY", "exitCode": -1}));
    metadata.set_stats([("agent", sampled(1)), ("api", sampled(1)), ("web", sampled(1))]);
    let run = metadata.agent().run("run docker --source ecs-task --graphs all").exits(0).without_diagnostics();
    let gauges = [
        ("memory.cache", 16_777_216.0),
        ("memory.rss", 31_457_280.0),
        // The sample's limit is that of the machine: 2 GiB. That of the task is 512 MiB.
        ("memory_limit.limit", 536_870_912.0),
        ("memory_limit.used", 37_748_736.0),
        ("memory_percentage.used", 7.03125),
        ("processes.current", 6.0),
    ];
    let mut of_web = values(gauges);
    of_web.extend(values([("health.healthy", 0.0)]));
    assert_same(&stats_of(&run, "web"), &of_web);
    let mut of_api = values(gauges);
    of_api.extend(values([("restarts.count", 2.0), ("health.healthy", 1.0)]));
    assert_same(&stats_of(&run, "api"), &of_api);
    assert_same(&stats_of(&run, "agent"), &values([]));
    assert_eq!(metadata.requests(), ["/task", "/task/stats"]);
}

#[test]
fn network_of_an_awsvpc_task_is_counted_once() {
    let metadata = TaskMetadata::of(task([awsvpc("agent"), awsvpc("web"), awsvpc("api")]));
    let agent = metadata.agent();
    let begin = Timestamp::now();
    let run = |ago: i64, bytes: u64| {
        let mut sample = docker_on_v2(&(begin - SignedDuration::from_secs(ago)).to_string());
        sample["networks"]["eth0"]["rx_bytes"] = json!(bytes);
        // The agent reports the task's traffic under every container.
        metadata.set_stats([("api", sample.clone()), ("web", sample)]);
        agent.run("run docker --source ecs-task --graphs network").exits(0).without_diagnostics()
    };
    assert_eq!(run(20, 500_000).metrics().count(), 0);
    let second = run(10, 510_000);
    let received = stats_of(&second, "api")["network.bytes.received"];
    assert!((received - 1000.0).abs() < 1e-6, "{received}");
    assert_eq!(containers(&second), BTreeSet::from(["api".to_owned()]));
    let explained = agent.run("explain docker --source ecs-task --graphs network").exits(0).stdout;
    assert!(explained.contains("web: network traffic is counted at api: the two share a network"), "{explained}");
}

#[test]
fn containers_without_a_fresh_sample_have_no_stats() {
    let metadata = TaskMetadata::of(fargate_task([
        fargate("agent"),
        fargate("empty"),
        fargate("frozen"),
        fargate("good"),
        fargate("missing"),
        fargate("null"),
        fargate("stopped"),
    ]));
    metadata.set_stats([
        ("empty", json!({})),
        ("frozen", sampled(90)),
        // With ECS_POLL_METRICS the agent samples every 5 to 20 s.
        ("good", sampled(20)),
        ("null", json!(null)),
        ("stopped", docker_on_v2("0001-01-01T00:00:00Z")),
    ]);
    let run = metadata.agent().run("run docker --source ecs-task --graphs memory").exits(0);
    assert_eq!(containers(&run), BTreeSet::from(["good".to_owned()]));
    insta::assert_snapshot!(mask::digits(&run.stderr, "task metadata are ", "AGE"), @"
    mackerel-plugin-wasm: docker: empty: task metadata has no stats of it: just started, or ECS_DISABLE_METRICS is set on the instance
    mackerel-plugin-wasm: docker: frozen: its stats in the task metadata are AGE s old: the ECS agent no longer reads them
    mackerel-plugin-wasm: docker: missing: task metadata has no stats of it: just started, or ECS_DISABLE_METRICS is set on the instance
    mackerel-plugin-wasm: docker: null: task metadata has no stats of it: just started, or ECS_DISABLE_METRICS is set on the instance
    mackerel-plugin-wasm: docker: stopped: task metadata has no stats of it: it has just stopped
    ");
}

#[test]
fn stats_without_limits_or_networks_are_read() {
    let metadata = TaskMetadata::of(task([host("agent"), host("api")]));
    let mut sample = sampled(1);
    remove(&mut sample, "networks");
    sample["memory_stats"]["limit"] = json!(u64::MAX);
    sample["pids_stats"] = json!({});
    sample["storage_stats"] = json!({});
    sample["blkio_stats"]["io_service_bytes_recursive"] = json!(null);
    sample["network_rate_stats"] = json!(null);
    metadata.set_stats([("api", sample.clone())]);
    let graphs = "--graphs memory-limit,network,processes,blkio";
    let run = metadata.agent().run(&format!("run docker --source ecs-task {graphs}")).exits(0).without_diagnostics();
    assert_same(&stats_of(&run, "api"), &values([("memory_limit.used", 37_748_736.0)]));
    // Version 1 of control groups rounds the largest number to pages.
    sample["memory_stats"]["limit"] = json!(9_223_372_036_854_771_712_u64);
    metadata.set_stats([("api", sample)]);
    let run = metadata.agent().run(&format!("run docker --source ecs-task {graphs}")).exits(0).without_diagnostics();
    assert_same(&stats_of(&run, "api"), &values([("memory_limit.used", 37_748_736.0)]));
}

#[test]
fn stats_that_cannot_be_read_are_one_line_for_each_container() {
    let mut lines = String::new();
    for (name, reply) in [
        ("limited", Reply::Whole(429, json!("Too Many Requests").to_string())),
        ("failed", Reply::Whole(500, json!("unable to get task stats").to_string())),
        ("null", Reply::Whole(200, "null".to_owned())),
        ("late", Reply::NoResponse),
    ] {
        let metadata = TaskMetadata::of(fargate_task([fargate("agent"), fargate("api"), fargate("web")]));
        metadata.set_reply("/task/stats", reply);
        let run = metadata.agent().run("run docker --source ecs-task").exits(1);
        lines.extend([name, "\n", &stderr(&metadata, &run)]);
        assert_eq!(metadata.requests(), ["/task", "/task/stats"], "{name} is not requested again");
    }
    insta::assert_snapshot!(lines, @"
    limited
    mackerel-plugin-wasm: docker: api: task metadata endpoint: HTTP 429 (Too Many Requests): the task sends too many requests: run fewer plugins, or less often
    mackerel-plugin-wasm: docker: web: task metadata endpoint: HTTP 429 (Too Many Requests): the task sends too many requests: run fewer plugins, or less often
    failed
    mackerel-plugin-wasm: docker: api: task metadata endpoint: HTTP 500 (unable to get task stats): the next run tries again; if this lasts, see the log of the ECS agent
    mackerel-plugin-wasm: docker: web: task metadata endpoint: HTTP 500 (unable to get task stats): the next run tries again; if this lasts, see the log of the ECS agent
    null
    mackerel-plugin-wasm: docker: api: task metadata endpoint: response is null: the ECS agent does not know the task yet; the next run tries again
    mackerel-plugin-wasm: docker: web: task metadata endpoint: response is null: the ECS agent does not know the task yet; the next run tries again
    late
    mackerel-plugin-wasm: docker: api: task metadata endpoint: no response after 2s: is the instance overloaded, or the ECS agent restarting?
    mackerel-plugin-wasm: docker: web: task metadata endpoint: no response after 2s: is the instance overloaded, or the ECS agent restarting?
    ");
}

#[test]
fn rates_begin_anew_when_a_container_is_restarted() {
    let count = Arc::new(AtomicU64::new(0));
    let app = StubTarget::serving_with(move || stats::body(stats::now(), count.fetch_add(1, Ordering::Relaxed)));
    let metadata = TaskMetadata::of(fargate_task([fargate("agent"), fargate("api")]));
    let agent = metadata.agent();
    let run = || {
        let command = format!("run gostats --source ecs-task --container-port {}", app.port());
        let run = agent.run(&command).exits(0).without_diagnostics();
        run.metrics().of("gostats.api").contains_key("gc.gc_num")
    };
    assert_eq!([run(), run()], [false, true]);
    metadata.edit("api", |api| api["StartedAt"] = json!("2026-11-02T04:00:00Z"));
    assert_eq!([run(), run()], [false, true]);
    // A restart by the restart policy.
    metadata.edit("api", |api| api["RestartCount"] = json!(1));
    assert_eq!([run(), run()], [false, true]);
}

#[test]
fn targets_are_named_by_their_containers() {
    let app = app();
    let metadata = TaskMetadata::of(fargate_task([fargate("agent"), fargate("api")]));
    metadata.set_stats([("api", sampled(1))]);
    let names = |command: &str| {
        let run = metadata.agent().run(command).exits(0).without_diagnostics();
        run.metrics().instances().join(" ")
    };
    let gostats = format!("run gostats --source ecs-task --container-port {}", app.port());
    assert_eq!(names(&gostats), "api");
    assert_eq!(names(&format!("{gostats} --instance-name port")), app.port().to_string());
    assert_eq!(names(&format!("{gostats} --instance-name label:com.amazonaws.ecs.task-definition-family")), "shop");
    assert_eq!(names(&format!("{gostats} --instance-name slot")), "1");
    let docker = metadata.agent().run("run docker --source ecs-task --graphs memory").exits(0).without_diagnostics();
    assert_eq!(containers(&docker), BTreeSet::from(["api".to_owned()]));
}

#[test]
fn plan_in_a_task_counts_against_a_micro_host() {
    let app = app();
    let metadata = TaskMetadata::of(fargate_task([fargate("agent"), fargate("api")]));
    let output = metadata.agent().run(&format!("plan gostats --source ecs-task --container-port {}", app.port()));
    insta::assert_snapshot!(output.exits(0).without_diagnostics().stdout, @"
    GRAPH                LABEL                METRICS
    gostats.#.runtime    Gostats.# Runtime    2
    gostats.#.memory     Gostats.# Memory     3
    gostats.#.operation  Gostats.# Operation  3
    gostats.#.heap       Gostats.# Heap       4
    gostats.#.gc         Gostats.# GC         3
    total                1 target             15

    micro host: 30 metrics, 15 left

    Other plugins of the host count too.
    ");
}

#[test]
fn plan_of_a_fixed_target_in_a_task_counts_against_a_micro_host() {
    let app = app();
    let metadata = TaskMetadata::of(fargate_task([fargate("agent"), fargate("api")]));
    let plan = |agent: &Agent| {
        let output = agent.run(&format!("plan gostats --target {} --json", app.target())).exits(0);
        let plan: Value = serde_json::from_str(&output.stdout).expect("JSON");
        let kinds = plan["hosts"].as_array().expect("hosts").iter().filter_map(|host| host["kind"].as_str());
        kinds.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(plan(&metadata.agent()), "micro");
    assert_eq!(plan(&Agent::without_engine()), "standard micro");
    assert_eq!(metadata.requests(), [""; 0], "a fixed target needs no metadata");
}

#[test]
fn collectors_are_tested_on_a_container_of_the_task() {
    let app = app();
    let metadata = TaskMetadata::of(fargate_task([fargate("agent"), fargate("api")]));
    metadata.set_stats([("api", sampled(1))]);
    let test = |words: &str| metadata.agent().run(&format!("test {words} --source ecs-task")).exits(0).stdout;
    let gostats = test(&format!("gostats --container-port {}", app.port()));
    assert!(gostats.contains("gc.gc_num"), "{gostats}");
    let docker = test("docker --graphs memory");
    assert!(docker.contains("memory.#.rss"), "{docker}");
}

/// mackerel-container-agent with one plugin: it reads the section that `conf` prints, and calls the plugin.
struct ContainerAgent {
    agent: Agent,
    command: Vec<String>,
}

impl ContainerAgent {
    /// Reads the section that `conf` prints for these words. The agent and its plugin run in a task.
    fn configured(metadata: &TaskMetadata, words: &str) -> Option<Self> {
        let conf = metadata.agent().run(&format!("conf {words} --container-agent")).exits(0).without_diagnostics();
        let conf: Value = serde_saphyr::from_str(&conf.stdout).expect("YAML");
        let plugins = conf["plugin"]["metrics"].as_object().expect("plugins");
        let plugin = &plugins["gostats"];
        assert_eq!(plugins.len(), 1, "{conf}");
        // The agent sends SIGTERM then; a run ends itself before, with the values that it has.
        assert_eq!(plugin["timeoutSeconds"], 26);
        assert_eq!(plugin["env"], json!({"MACKEREL_PLUGIN_WORKDIR": "/var/lib/mackerel-plugin-wasm"}));
        let command = plugin["command"].as_array().expect("a list").iter();
        let command: Vec<String> = command.filter_map(Value::as_str).map(str::to_owned).collect();
        assert_eq!(command[0], "/usr/local/bin/mackerel-plugin-wasm");
        // The scenario's folder stands in for the volume. A plugin has the agent's whole environment.
        let agent = metadata.agent().with_env("MACKEREL_APIKEY", "secret");
        let agent = without_default_socket(agent.with_env("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"))?;
        Some(Self { agent, command })
    }

    fn words(&self) -> String {
        self.command[1..].join(" ")
    }

    /// Calls the plugin for values. The agent splits lines at white space, ignores the third field and the exit
    /// status, and loses all values of the host if it cannot send one of them.
    fn values(&self) -> Vec<(String, f64)> {
        let output = self.agent.run(&self.words()).without_diagnostics();
        let value = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let value: f64 = fields[1].parse().expect("a number");
            assert!(fields.len() == 3 && value.is_finite(), "{line}");
            (format!("custom.{}", fields[0]), value)
        };
        output.stdout.lines().map(value).collect()
    }

    /// Calls the plugin for graph definitions, once.
    fn graphs(&self) -> Value {
        let output = self.agent.definitions(&self.words()).without_diagnostics();
        let (first, json) = output.stdout.split_once('\n').expect("two lines");
        assert!(first.starts_with("# mackerel-agent-plugin"), "{first}");
        serde_json::from_str(json).expect("JSON")
    }
}

#[test]
fn container_agent_runs_the_section_that_conf_prints() {
    let app = app();
    let metadata = TaskMetadata::of(fargate_task([fargate("agent"), fargate("api"), fargate("log_router")]));
    let words = format!("gostats --container-port {} --filter name=api", app.port());
    let Some(agent) = ContainerAgent::configured(&metadata, &words) else { return };
    let graphs = agent.graphs();
    assert!(graphs["graphs"].as_object().is_some_and(|graphs| graphs.keys().all(|key| key.contains('#'))), "{graphs}");
    let keys = |values: &[(String, f64)]| values.iter().map(|(key, _)| key.clone()).collect::<BTreeSet<_>>();
    let first = keys(&agent.values());
    let second = keys(&agent.values());
    assert!(first.iter().all(|key| key.starts_with("custom.gostats.api.")), "{first:?}");
    assert_eq!((first.len(), second.len()), (9, 15), "counters follow in the second run");
}

#[test]
fn container_agent_section_is_yaml_with_the_lines_of_a_dockerfile() {
    let agent = Agent::without_engine();
    let conf = |words: &str, code: i32| agent.run(&format!("conf {words} --container-agent")).exits(code);
    let redis =
        "redis --container-port 6379 --password-file /run/secrets/redis --metric-key-prefix cache --deadline 8s";
    insta::assert_snapshot!(conf(redis, 0).without_diagnostics().stdout, @r#"
    # A section of mackerel-container-agent.yaml, generated by
    #   mackerel-plugin-wasm conf redis --container-port 6379 --password-file /run/secrets/redis --metric-key-prefix cache --deadline 8s --container-agent
    # Dockerfile of the agent's image:
    #   FROM mackerel/mackerel-container-agent:latest
    #   COPY mackerel-plugin-wasm /usr/local/bin/mackerel-plugin-wasm
    #   COPY mackerel-container-agent.yaml /etc/mackerel-container-agent.yaml
    #   ENV MACKEREL_AGENT_CONFIG=/etc/mackerel-container-agent.yaml
    #   VOLUME /var/lib/mackerel-plugin-wasm
    # The folder has to be writable, also with a read-only root: counters and slots are kept there.
    # The container needs these files: /run/secrets/redis.
    # Another section for redis needs its own --section and --metric-key-prefix.
    plugin:
      metrics:
        "cache":
          command: ["/usr/local/bin/mackerel-plugin-wasm", "run", "redis", "--container-port", "6379", "--password-file", "/run/secrets/redis", "--metric-key-prefix", "cache", "--deadline", "8s"]
          timeoutSeconds: 14
          env:
            MACKEREL_PLUGIN_WORKDIR: "/var/lib/mackerel-plugin-wasm"
    "#);
    let odd = ["conf", "gostats", "--target", "127.0.0.1:1", "--path", "/a: \"b\" #c\\d", "--container-agent"];
    let odd = agent.run_words(&odd).exits(0).without_diagnostics().stdout;
    let read: Value = serde_saphyr::from_str(&odd).expect("YAML");
    assert_eq!(read["plugin"]["metrics"]["gostats"]["command"][6], "/a: \"b\" #c\\d");
    // The development machine does not know the network mode of the task.
    insta::assert_snapshot!(conf("gostats", 0).stderr, @"mackerel-plugin-wasm: on Fargate, and in the network modes awsvpc and host, the port has to be named: --container-port");
    insta::assert_snapshot!(conf("gostats --container-port 80 --filter status=running", 2).stderr, @"mackerel-plugin-wasm: --filter status=running cannot be used in an ECS task: available keys: name, label, id");
    // With an engine's socket in the container, its filters hold.
    let socket = "gostats --docker-host unix:///var/run/docker.sock --filter status=running";
    assert_eq!(conf(socket, 0).stderr, "");
    insta::assert_snapshot!(conf("redis --container-port 80 --password-file secret", 2).stderr, @"mackerel-plugin-wasm: secret: --container-agent needs an absolute path");
    insta::assert_snapshot!(conf("docker --cloud-init", 2).stderr.lines().next().unwrap_or_default(), @"error: the argument '--cloud-init' cannot be used with '--container-agent'");
    let file = component("gostats");
    let stderr = conf(&format!("{file} --container-port 80"), 2).stderr.replace(&file, "FILE");
    insta::assert_snapshot!(stderr, @"mackerel-plugin-wasm: the container has no file FILE: push it to a registry with mackerel-plugin-wasm push, and install it from there");
}

#[test]
fn read_only_root_needs_a_folder_for_state() {
    if !skip::is_root("a read-only root") {
        return;
    }
    let app = app();
    let metadata = TaskMetadata::of(fargate_task([fargate("agent"), fargate("api")]));
    // As a volume of the task: writable, below a root and a folder for temporary files that are not.
    let read_only = r#"mount --bind "$VOLUME" "$VOLUME" && mount -o remount,bind,ro / && exec "$0" "$@""#;
    let volume = tempfile::tempdir().expect("a temporary folder");
    let agent = |workdir: &str| {
        let agent = metadata.agent().with_env("VOLUME", volume.path()).with_env("TMPDIR", "/usr/lib");
        let agent = agent.with_env("MACKEREL_PLUGIN_WORKDIR", workdir);
        agent.with_launcher(&["unshare", "--mount", "sh", "-c", read_only])
    };
    let command = format!("run gostats --source ecs-task --container-port {}", app.port());
    let with_volume = agent(&volume.path().display().to_string());
    let counts = [1, 2].map(|_| with_volume.run(&command).exits(0).without_diagnostics().metrics().count());
    assert_eq!(counts, [9, 15]);
    let without = agent("").run(&command).exits(0);
    assert_eq!(without.metrics().count(), 9);
    insta::assert_snapshot!(without.stderr, @"mackerel-plugin-wasm: gostats: no counters: the state folder /usr/lib/mackerel-plugin-wasm-0 cannot be created: Read-only file system (os error 30): set MACKEREL_PLUGIN_WORKDIR to a writable folder");
}
