//! `plan`: the number of metrics of a command, compared with Mackerel's limit per host.

use std::collections::BTreeSet;
use std::process::Command;

use scenarios::agent::{Agent, Output};
use scenarios::engine::{Engine, Group};
use scenarios::fake_engine::{FakeEngine, container};
use scenarios::go::Program;
use scenarios::http::{self, Reply};
use scenarios::local::Local;
use scenarios::server::Server;
use scenarios::stub_target::StubTarget;
use scenarios::{mask, port, stats, wait};
use serde_json::{Value, json};

/// Returns the plan of a run with these arguments, as JSON.
#[track_caller]
fn plan(agent: &Agent, words: &str) -> Value {
    json_of(&agent.run(&format!("plan {words} --json")).exits(0).without_diagnostics())
}

#[track_caller]
fn json_of(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// Returns the number of metrics.
fn metrics(plan: &Value) -> usize {
    number(&plan["metrics"])
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().expect("a count")).expect("a small one")
}

/// Returns the number of metrics of each graph.
fn graphs(plan: &Value) -> Vec<(&str, usize)> {
    let rows = plan["graphs"].as_array().expect("graphs").iter();
    rows.map(|row| (row["key"].as_str().expect("a key"), number(&row["metrics"]))).collect()
}

/// Returns whether a posted name belongs to this graph.
fn belongs_to(graph: &str, name: &str) -> bool {
    let (parent, _) = name.rsplit_once('.').expect("a graph and a metric");
    let parts = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (graph, parent) = (parts(graph), parts(parent));
    graph.len() == parent.len() && graph.iter().zip(&parent).all(|(graph, part)| graph == "#" || graph == part)
}

/// Asserts that the plan counts the metrics of real runs, for each graph and in total.
#[track_caller]
fn assert_counted(agent: &Agent, words: &str) {
    let plan = plan(agent, words);
    assert!(!agent.state_folder().exists(), "{words}: a plan wrote state");
    let mut names = BTreeSet::new();
    let mut runs = 0;
    // Rates are there from the second run on, except for a counter that just fell, such as an app's released heap.
    wait::until("every counter has grown from one run to the next", || {
        let metrics = agent.run(&format!("run {words}")).exits(0).without_diagnostics().metrics();
        names.extend(metrics.keys().into_iter().map(str::to_owned));
        runs += 1;
        (runs >= 2 && names.len() >= self::metrics(&plan)).then_some(())
    });
    assert_eq!(names.len(), metrics(&plan), "{words}: {plan} for {names:?}");
    let printed = |graph: &str| names.iter().filter(|name| belongs_to(graph, name)).count();
    for (graph, count) in graphs(&plan) {
        assert_eq!(count, printed(graph), "{words}: {graph} of {names:?}");
    }
    assert_eq!(graphs(&plan).iter().map(|(_, count)| count).sum::<usize>(), metrics(&plan), "{words}: {plan}");
}

#[test]
fn plan_counts_the_metrics_of_real_containers() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let _apps = group.apps(3);
    for options in [
        "",
        "--total sum,avg,max,min --targets-graph",
        "--total sum --total-only --select memory.* --select gc.* --exclude gc.gc_num",
    ] {
        let words = format!("gostats --filter {} --path /stats {options}", group.filter());
        assert_counted(&Agent::with_engine(engine), &words);
    }
}

#[test]
fn plan_counts_the_metrics_of_docker() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let _apps = group.apps(2);
    for options in ["", "--total sum,max --targets-graph --instance-name slot", "--total avg --total-only"] {
        assert_counted(&Agent::with_engine(engine), &format!("docker --filter {} {options}", group.filter()));
    }
}

#[test]
fn failed_container_counts_as_failed_without_metrics() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let _good = group.app("good");
    let _bad = group.faults(&["status-500"]);
    let agent = Agent::with_engine(engine);
    let words = format!("gostats --filter {} --path /stats --targets-graph", group.filter());
    let output = agent.run(&format!("plan {words}")).exits(0);
    insta::assert_snapshot!(report(&group, &output), @r#"
    GRAPH                LABEL                               METRICS
    gostats_targets      Gostats Targets                     2
    gostats.#.runtime    Gostats.# Runtime                   2
    gostats.#.memory     Gostats.# Memory                    3
    gostats.#.operation  Gostats.# Operation                 3
    gostats.#.heap       Gostats.# Heap                      4
    gostats.#.gc         Gostats.# GC                        3
    total                1 target, 1 failed and not counted  17

    standard host: 200 metrics, 183 left
    micro host: 30 metrics, 13 left

    Other plugins of the host count too.
    ---
    mackerel-plugin-wasm: gostats: status-500 (OWN:8080): HTTP 500 Internal Server Error instead of 200 OK: {"time":1700000000000000000,"goroutine_num":12,"cgo_call_num":1,"memory_alloc":1,"memory_sys":1,"memory_stack":1,"memory…
    "#);
    let plan = json_of(&agent.run(&format!("plan {words} --json")).exits(0));
    assert_eq!((&plan["targets"], &plan["failed"], metrics(&plan)), (&json!(1), &json!(1), 15 + 2));
    assert!(!agent.state_folder().exists(), "a plan wrote state");
}

fn report(group: &Group, output: &Output) -> String {
    format!("{}---\n{}", output.stdout, group.mask(&mask::ports(&output.stderr)))
}

/// Returns containers with 15 metrics each.
fn fleet(count: u8) -> (StubTarget, FakeEngine) {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let containers =
        (1..=count).map(|number| container(&format!("api-{number}"), &format!("127.0.0.{number}"), stub_target.port()));
    let engine = FakeEngine::with_containers(containers.collect());
    (stub_target, engine)
}

/// Splits arguments as a shell does.
fn split(options: &str) -> String {
    let output = Command::new("sh").args(["-c", &format!("printf '%s ' {options}")]).output().expect("a shell");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Asserts that each suggestion leaves the announced number, which fits some host. Returns the number of suggestions.
#[track_caller]
fn assert_true(agent: &Agent, words: &str) -> usize {
    let before = plan(agent, words);
    let hosts = before["hosts"].as_array().expect("hosts");
    let suggestions = before["suggestions"].as_array().expect("suggestions");
    for suggestion in suggestions {
        let options = suggestion["options"].as_str().expect("options");
        let then = metrics(&plan(agent, &format!("{words} {}", split(options))));
        assert_eq!(then, number(&suggestion["metrics"]), "{options} in addition to {words}");
        assert!(0 < then && then < metrics(&before), "{options} leaves {then} of {}", metrics(&before));
        let helps = |host: &Value| number(&host["over"]) > 0 && then <= number(&host["limit"]);
        assert!(hosts.iter().any(helps), "{options} leaves {then}, which does not help {words}");
    }
    suggestions.len()
}

#[test]
fn too_many_metrics_suggests_options() {
    let (_target, engine) = fleet(20);
    let agent = Agent::with_docker_host(&engine.host());
    let output = agent.run("plan gostats --instance-name name").exits(0).without_diagnostics();
    insta::assert_snapshot!(output.stdout, @"
    GRAPH                LABEL                METRICS
    gostats.#.runtime    Gostats.# Runtime    40
    gostats.#.memory     Gostats.# Memory     60
    gostats.#.operation  Gostats.# Operation  60
    gostats.#.heap       Gostats.# Heap       80
    gostats.#.gc         Gostats.# GC         60
    total                20 targets           300

    standard host: 200 metrics, 100 over
    micro host: 30 metrics, 270 over

    Options that reduce the number:
    METRICS  OPTIONS
    60       --total sum,avg,max,min --total-only
    30       --total sum,max --total-only
    15       --total sum --total-only
    160      --exclude 'heap.*' --exclude 'memory.*'

    Other plugins of the host count too.
    ");
    assert!(!agent.state_folder().exists(), "a plan wrote state");
    assert!(assert_true(&agent, "gostats --instance-name name") > 0);
}

#[test]
fn suggestions_respect_other_options() {
    let (_target, engine) = fleet(20);
    let agent = Agent::with_docker_host(&engine.host());
    for options in [
        "--select memory.* --select gc.*",
        "--exclude gc.* --targets-graph",
        "--total sum,avg,max,min --total-only",
        "--total avg",
        "--total min,max --exclude heap.*",
    ] {
        assert_true(&agent, &format!("gostats --instance-name name {options}"));
    }
    assert_true(&agent, "docker --stats-source api");
    assert_true(&agent, "docker --stats-source api --total sum --targets-graph");
}

/// Returns the suggestions, a line each.
#[track_caller]
fn suggestions(agent: &Agent, words: &str) -> String {
    let plan = plan(agent, words);
    let line = |suggestion: &Value| format!("{} {}\n", suggestion["metrics"], text_of(&suggestion["options"]));
    let all = plan["suggestions"].as_array().expect("suggestions").iter().map(line);
    format!("{}: {}\n{}", words, plan["metrics"], all.collect::<String>())
}

/// Returns the lines of a metric with this number of series.
fn series(metric: &str, count: usize) -> String {
    let lines: Vec<String> = (0..count).map(|number| format!("{metric}{{path=\"/{number}\"}} {number}\n")).collect();
    lines.concat()
}

/// Serves a page of metrics.
fn page(text: String) -> (Server, u16) {
    let listener = port::listen();
    let port = listener.local_addr().expect("a bound listener has an address").port();
    (http::serve(listener, move |_| Reply::Whole(200, text.clone())), port)
}

#[test]
fn metrics_below_a_wildcard_are_suggested_by_their_names() {
    let (_many, port) = page(series("http_requests_total", 80) + &series("http_open", 29) + "http_up 1\n");
    let many = format!("prometheus --metric http_* --target 127.0.0.1:{port} --target 127.0.0.2:{port}");
    let (_one, other_port) = page(series("http_requests_total", 37));
    let one = format!("prometheus --metric http_requests_total --target 127.0.0.1:{other_port}");
    let agent = Agent::without_engine();
    let all = [&many, &one].map(|words| suggestions(&agent, words)).join("\n");
    let masked = all.replace(&port.to_string(), "PORT").replace(&other_port.to_string(), "PORT");
    insta::assert_snapshot!(masked, @"
    prometheus --metric http_* --target 127.0.0.1:PORT --target 127.0.0.2:PORT: 220
    110 --total sum --total-only
    60 --exclude 'http_requests_total.rate.*'
    2 --exclude 'http_requests_total.rate.*' --exclude 'http_open.*'

    prometheus --metric http_requests_total --target 127.0.0.1:PORT: 37
    30 --exclude 'http_requests_total.rate.path__0' --exclude 'http_requests_total.rate.path__1' --exclude 'http_requests_total.rate.path__10' --exclude 'http_requests_total.rate.path__11' --exclude 'http_requests_total.rate.path__12' --exclude 'http_requests_total.rate.path__13' --exclude 'http_requests_total.rate.path__14'
    ");
    for words in [&many, &one] {
        assert!(assert_true(&agent, words) > 0);
    }
}

#[test]
fn no_suggestion_leaves_nothing_or_more_than_before() {
    let (_server, port) = page(series("http_open", 150));
    let agent = Agent::without_engine();
    for options in ["--metric http_open", "--metric http_* --targets-graph", "--metric http_* --total sum --total-only"]
    {
        let words = format!("prometheus --target 127.0.0.1:{port} {options}");
        assert_true(&agent, &words);
        let plan = plan(&agent, &words);
        assert_eq!(plan["suggestions"], json!([]), "{words}");
    }
    let output = agent.run(&format!("plan prometheus --target 127.0.0.1:{port} --metric http_open")).exits(0);
    insta::assert_snapshot!(output.without_diagnostics().stdout, @"
    GRAPH                   LABEL                   METRICS
    prometheus.#.http_open  Prometheus.# http_open  150
    total                   1 target                150

    standard host: 200 metrics, 50 left
    micro host: 30 metrics, 120 over

    Options that reduce the number:
    no suggestion; --select names the metrics to keep

    Other plugins of the host count too.
    ");
}

#[test]
fn text_and_json_agree() {
    let (_target, engine) = fleet(20);
    let agent = Agent::with_docker_host(&engine.host());
    for options in ["", "--total sum,max --targets-graph", "--total sum --total-only --select memory.*"] {
        let words = format!("gostats --instance-name name {options}");
        let text = agent.run(&format!("plan {words}")).exits(0).without_diagnostics().stdout;
        let plan = plan(&agent, &words);
        // Cells are at least two blanks apart.
        let cells =
            |line: &str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join("|");
        let mut reported: Vec<String> = Vec::new();
        for row in plan["graphs"].as_array().expect("graphs") {
            reported.push(format!("{}|{}|{}", text_of(&row["key"]), text_of(&row["label"]), row["metrics"]));
        }
        reported.push(format!("total|{} targets|{}", plan["targets"], plan["metrics"]));
        for host in plan["hosts"].as_array().expect("hosts") {
            let (limit, over) = (number(&host["limit"]), number(&host["over"]));
            let verdict = if over > 0 { format!("{over} over") } else { format!("{} left", limit - metrics(&plan)) };
            assert_eq!(over, metrics(&plan).saturating_sub(limit), "{plan}");
            reported.push(format!("{} host: {limit} metrics, {verdict}", text_of(&host["kind"])));
        }
        for suggestion in plan["suggestions"].as_array().expect("suggestions") {
            reported.push(format!("{}|{}", suggestion["metrics"], text_of(&suggestion["options"])));
        }
        let headings = ["GRAPH|LABEL|METRICS", "METRICS|OPTIONS"];
        let prose = |line: &str| line.starts_with("Options that reduce ") || line.starts_with("Other plugins ");
        let lines: Vec<String> = text.lines().map(cells).collect();
        let lines: Vec<String> = lines
            .into_iter()
            .filter(|line| !line.is_empty() && !headings.contains(&line.as_str()) && !prose(line))
            .collect();
        assert_eq!(lines, reported, "{text}");
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[test]
fn printed_command_matches_the_options() {
    let (_target, engine) = fleet(1);
    let agent = Agent::with_docker_host(&engine.host());
    let plan = plan(&agent, "gostats --instance-name name --select memory.*");
    insta::assert_snapshot!(text_of(&plan["command"]), @"mackerel-plugin-wasm run gostats --instance-name name --select 'memory.*'");
    let words = text_of(&plan["command"]).strip_prefix("mackerel-plugin-wasm ").expect("this program");
    let _ = agent.run(&split(words)).exits(0).without_diagnostics();
}

#[test]
fn few_metrics_suggest_nothing() {
    let (_target, engine) = fleet(2);
    let agent = Agent::with_docker_host(&engine.host());
    let output = agent.run("plan gostats --instance-name name").exits(0).without_diagnostics();
    insta::assert_snapshot!(output.stdout, @"
    GRAPH                LABEL                METRICS
    gostats.#.runtime    Gostats.# Runtime    4
    gostats.#.memory     Gostats.# Memory     6
    gostats.#.operation  Gostats.# Operation  6
    gostats.#.heap       Gostats.# Heap       8
    gostats.#.gc         Gostats.# GC         6
    total                2 targets            30

    standard host: 200 metrics, 170 left
    micro host: 30 metrics, 0 left

    Other plugins of the host count too.
    ");
    let plan = plan(&agent, "gostats --instance-name name");
    assert_eq!(plan["suggestions"], json!([]));
}

#[test]
fn no_targets_count_zero() {
    let engine = FakeEngine::with_containers(Vec::new());
    let agent = Agent::with_docker_host(&engine.host());
    let output = agent.run("plan gostats").exits(0).without_diagnostics();
    insta::assert_snapshot!(output.stdout, @"
    GRAPH  LABEL      METRICS
    total  0 targets  0

    standard host: 200 metrics, 200 left
    micro host: 30 metrics, 30 left

    Other plugins of the host count too.
    ");
    let plan = plan(&agent, "gostats");
    assert_eq!((metrics(&plan), &plan["graphs"], &plan["failed"]), (0, &json!([]), &json!(0)));
    assert!(!agent.state_folder().exists(), "a plan wrote state");
}

#[test]
fn failed_targets_are_counted_separately() {
    let Some(server) = Local::start(Program::Faults, &["status-500"]) else { return };
    let agent = Agent::without_engine();
    let output = agent.run(&format!("plan gostats --target 127.0.0.1:1 --target {} --targets-graph", server.target()));
    let output = output.exits(1);
    insta::assert_snapshot!(format!("{}---\n{}", output.stdout, mask::ports(&output.stderr)), @r#"
    GRAPH            LABEL                                METRICS
    gostats_targets  Gostats Targets                      2
    total            0 targets, 2 failed and not counted  2

    standard host: 200 metrics, 198 left
    micro host: 30 metrics, 28 left

    Other plugins of the host count too.
    ---
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: Connection refused (os error 111)
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: HTTP 500 Internal Server Error instead of 200 OK: {"time":1700000000000000000,"goroutine_num":12,"cgo_call_num":1,"memory_alloc":1,"memory_sys":1,"memory_stack":1,"memory…
    "#);
}

#[test]
fn invalid_options_are_rejected_as_by_run() {
    let (_target, engine) = fleet(1);
    let agent = Agent::with_docker_host(&engine.host());
    for words in [
        "",
        " gostat",
        " gostats --fliter name=api",
        " gostats --total-only",
        " gostats --total most",
        " gostats --select nothing.*",
        " gostats --select memory.* --exclude memory.*",
        " gostats --target 127.0.0.1:1 --instance-name name",
        " gostats --instance-name slot:label:",
        " docker --instance-name port",
        " docker --container-port 80",
    ] {
        let [run, plan] = ["run", "plan"].map(|command| agent.run(&format!("{command}{words}")).exits(2));
        assert_eq!((run.stdout, plan.stdout), (String::new(), String::new()), "{words}");
        if words.is_empty() {
            continue; // The help of each command differs.
        }
        let plan = plan.stderr.replace("mackerel-plugin-wasm plan ", "mackerel-plugin-wasm run ");
        // It has one option besides those of run.
        assert_eq!(plan.replace(", --json", ""), run.stderr, "{words}");
    }
}

#[test]
fn missing_engine_is_the_error_of_run() {
    let agent = Agent::without_engine();
    let plan = agent.run("plan docker").exits(1);
    assert!(!agent.state_folder().exists(), "a plan wrote state");
    assert_eq!(plan.stdout, "");
    assert_eq!(plan.stderr, agent.run("run docker").exits(1).stderr);
}
