//! `run labels`: labels of containers choose collectors, as the operator allows them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use scenarios::agent::{Agent, Output, component};
use scenarios::engine::{Container, Engine, Group};
use scenarios::fake_engine::{FakeEngine, container, default_reply};
use scenarios::go::Program;
use scenarios::local::Local;
use scenarios::mask;
use scenarios::stats::Values;
use scenarios::stub_target::StubTarget;
use scenarios::third_party::renamed;
use scenarios::witness::Witness;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The beginning of all labels.
const PREFIX: &str = "mackerel-plugin-wasm";

/// Formats labels as options of `docker run`.
fn labels(of: &[(&str, &str)]) -> String {
    let options: Vec<String> = of.iter().map(|(key, value)| format!(" --label {PREFIX}.{key}={value}")).collect();
    options.concat()
}

/// Returns a container of the fake engine with these labels beside its own.
fn labelled(name: &str, port: u16, of: &[(&str, &str)]) -> Value {
    let mut container = container(name, "127.0.0.1", port);
    let own = container["Labels"].as_object_mut().expect("labels");
    own.extend(of.iter().map(|(key, value)| (format!("{PREFIX}.{key}"), json!(value))));
    container
}

/// The labels of an app with Go's runtime statistics.
const GOSTATS: [(&str, &str); 2] = [("collector", "gostats"), ("path", "/stats")];

/// Returns the graphs of a definitions run.
fn graphs(output: &Output) -> BTreeSet<String> {
    let (_, json) = output.stdout.split_once('\n').expect("two lines");
    let json: Value = serde_json::from_str(json).expect("the second line is JSON");
    json["graphs"].as_object().expect("graphs").keys().cloned().collect()
}

/// Returns true if an app has gauges and counters. The counter of released heap can fall, and is left out then.
fn has_all(values: &Values) -> bool {
    values.len() >= 14 && values.contains_key("memory.memory_sys") && values.contains_key("gc.gc_num")
}

fn masked(group: &Group<'_>, text: &str) -> String {
    mask::ports(&group.mask(text))
}

#[test]
fn four_services_on_twelve_containers_are_collected_in_one_run() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let shop = labels(&[&GOSTATS[..], &[("name", "shop")]].concat());
    let apps =
        ["shop-1", "shop-2", "shop-3", "shop-4"].map(|name| group.app_with(name, &format!("--publish 8080{shop}")));
    let caches = ["cache-1", "cache-2"].map(|name| group.redis_with(name, &labels(&[("collector", "redis")]), ""));
    let [Some(cache), Some(other)] = caches else { return };
    let of_prometheus = labels(&[("collector", "prometheus"), ("port", "8080")]);
    let metrics = ["metrics-1", "metrics-2"].map(|name| group.prometheus_app_with(name, &of_prometheus));
    let three = labels(&[
        ("0.collector", "gostats"),
        ("0.port", "8080"),
        ("0.path", "/stats"),
        ("1.collector", "gostats"),
        ("1.port", "8080"),
        ("1.path", "/stats"),
        ("1.name", "again"),
        ("2.collector", "prometheus"),
        ("2.port", "8080"),
        ("2.path", "/nothing"),
    ]);
    let multi = group.app_with("multi", &format!("--publish 8080{three}"));
    let bad = labels(&[("collector", "mysql"), ("0.collector", "gostats"), ("0.port", "eighty"), ("1.port", "1")]);
    let _bad = group.app_with("bad", &format!("--publish 8080{bad}"));
    let _plain = ["plain-1", "plain-2"].map(|name| group.app(name));
    let agent = Agent::with_engine(engine);
    let options = "--allow gostats,redis,prometheus --option prometheus.metric=go_goroutines";
    let command = format!("run labels {options} --filter {}", group.filter());

    let first = agent.run(&command).exits(0);
    insta::assert_snapshot!("stderr_of_twelve_containers", masked(&group, &first.stderr));
    let second = agent.run(&command).exits(0);
    let metrics_of = |name: String| second.metrics().of(&name);
    for app in &apps {
        assert!(has_all(&metrics_of(format!("gostats.shop_{}", app.address().port()))), "{second}");
    }
    let port = multi.address().port();
    assert!(has_all(&metrics_of(format!("gostats.{port}"))), "{second}");
    assert!(has_all(&metrics_of(format!("gostats.again_{port}"))), "{second}");
    assert!(metrics_of(format!("redis.{}", cache.address().port())).len() > 10, "{second}");
    for app in &metrics {
        assert_eq!(metrics_of(format!("prometheus.{}", app.address().port())).len(), 1, "{second}");
    }
    let redis_and_gostats = 4 + 2 + 2;
    assert_eq!(second.metrics().instances().len(), redis_and_gostats + metrics.len(), "{second}");
    let explained = agent.run(&format!("{} --json", command.replacen("run", "explain", 1))).exits(0);
    let explained: Value = serde_json::from_str(&explained.stdout).expect("JSON");
    let row = |row: &Value| {
        let name = row["container"]["name"].as_str().unwrap_or_default();
        // Other scenarios have containers too.
        let name = name.strip_prefix(group.name())?.trim_start_matches('-');
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        let why = group.mask(&text("why"));
        Some(format!("{name}\t{}\t{}\t{}\t{why}\n", text("collector"), text("name"), row["collected"]))
    };
    let rows: String = explained["containers"].as_array().expect("rows").iter().filter_map(row).collect();
    let port = |text: String, app: &Container<'_>| text.replace(&app.address().port().to_string(), "PORT");
    let all = apps.iter().chain(&metrics).chain([&multi, &cache, &other]);
    insta::assert_snapshot!("explain_of_twelve_containers", all.fold(rows, port));
}

#[test]
fn definitions_are_those_of_all_allowed_collectors_without_any_container() {
    let agent = Agent::without_engine();
    let alone = |collector: &str| graphs(&agent.definitions(&format!("run {collector}")).exits(0));
    let together: BTreeSet<String> = ["gostats", "redis", "docker"].into_iter().flat_map(alone).collect();
    let command = "run labels --allow gostats,redis --every docker";
    assert_eq!(graphs(&agent.definitions(command).exits(0).without_diagnostics()), together);
    let prefixed = graphs(&agent.definitions("run labels --allow gostats --metric-key-prefix web").exits(0));
    assert!(prefixed.iter().all(|key| key.starts_with("web.gostats.")), "{prefixed:?}");
}

/// Starts an engine with these containers that counts the requests for lists.
fn counting(containers: Vec<Value>) -> (FakeEngine, Arc<AtomicUsize>) {
    let lists = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lists);
    let engine = FakeEngine::replying(move |path| {
        counted.fetch_add(usize::from(path.contains("/containers/json")), Ordering::Relaxed);
        default_reply(&containers, path)
    });
    (engine, lists)
}

#[test]
fn several_collectors_need_one_list_of_containers() {
    let Some(app) = Local::start(Program::App, &[]) else { return };
    let containers =
        vec![labelled("api", app.port(), &GOSTATS), labelled("cache", app.port(), &[("collector", "redis")])];
    let (engine, lists) = counting(containers);
    let agent = Agent::with_docker_host(&engine.host());
    let output = agent.run("run labels --allow gostats,redis --every docker").exits(0);
    assert_eq!(lists.load(Ordering::Relaxed), 1, "{output}");
    let metrics = output.metrics();
    assert!(!metrics.of(&format!("gostats.{}", app.port())).is_empty(), "{output}");
    for name in ["api", "cache"] {
        let prefix = format!("docker.memory.{name}_");
        assert!(metrics.keys().iter().any(|key| key.starts_with(&prefix)), "no {prefix}: {output}");
    }
}

#[test]
fn filter_that_matches_nothing_is_one_line_and_one_request_for_all_collectors() {
    let (engine, lists) = counting(Vec::new());
    let agent = Agent::with_docker_host(&engine.host());
    for command in ["run", "plan", "explain"] {
        lists.store(0, Ordering::Relaxed);
        let output = agent.run(&format!("{command} labels --allow gostats,redis --filter name=no-such-name")).exits(0);
        let named = "labels: no container matches --filter name=no-such-name\n";
        let text = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(text.matches(named).count(), 1, "{output}");
        assert_eq!(text.matches("no container matches").count(), 1, "{output}");
        // The list, and whether a stopped container matches. `explain` lists those that do not match too.
        let expected = if command == "explain" { 4 } else { 2 };
        assert_eq!(lists.load(Ordering::Relaxed), expected, "{output}");
    }
}

#[test]
fn filter_matches_a_container_whose_labels_are_wrong() {
    let wrong = labelled("wrong", 1, &[("collector", "gostats"), ("nothing", "1")]);
    let (engine, lists) = counting(vec![wrong]);
    let agent = Agent::with_docker_host(&engine.host());
    let output = agent.run("run labels --allow gostats --filter name=wrong").exits(1);
    assert_eq!(lists.load(Ordering::Relaxed), 1, "{output}");
}

#[test]
fn hostile_labels_change_nothing_outside_of_their_container() {
    let Some(app) = Local::start(Program::App, &[]) else { return };
    let port = app.port();
    let honest = || labelled("api", port, &GOSTATS);
    let values = |output: &Output| -> Vec<String> {
        let key = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
        output.stdout.lines().map(key).filter(|key| !key.contains("hostile")).collect()
    };
    let command = "run labels --allow gostats --targets-graph";
    let engine = FakeEngine::with_containers(vec![honest()]);
    let alone = values(&Agent::with_docker_host(&engine.host()).run(command).exits(0).without_diagnostics());

    let long = "x".repeat(65_536);
    let (name, text) = (port.to_string(), port.to_string());
    let many: Vec<(String, &str)> = (0..500).map(|number| (format!("{number}.collector"), "gostats")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let hostile: [(&str, &[(&str, &str)]); 16] = [
        ("an address as the port", &[("collector", "gostats"), ("port", "10.0.0.1:22")]),
        ("a host", &[("collector", "gostats"), ("host", "10.0.0.1")]),
        ("a target", &[("collector", "gostats"), ("target", "127.0.0.1:22")]),
        ("a path out of the folder", &[("collector", "../../../etc/passwd"), ("path", "../")]),
        ("a path with a host", &[("collector", "gostats"), ("path", "http://10.0.0.1/")]),
        ("a value of 64 KiB", &[("collector", "gostats"), ("path", &long)]),
        ("500 endpoints", &many),
        ("a timeout", &[("collector", "gostats"), ("timeout", "1h")]),
        ("a secret's file", &[("collector", "gostats"), ("http-bearer-token-file", "/etc/shadow")]),
        ("a prefix", &[("collector", "gostats"), ("metric-key-prefix", "gostats")]),
        ("the name of another", &[("collector", "gostats"), ("path", "/stats"), ("name", "hostile_"), ("name", &name)]),
        ("the port of another", &[("collector", "gostats"), ("path", "/stats"), ("port", &text)]),
        ("control characters", &[("collector", "gostats"), ("path", "/\r\nHost: a")]),
        ("an escape sequence", &[("collector", "\u{1b}[2Jgostats")]),
        ("the host's labels", &[("collector", "labels")]),
        ("a component's file", &[("collector", "/tmp/hostile.wasm")]),
    ];
    let mut told = String::new();
    for (what, labels) in hostile {
        let engine = FakeEngine::with_containers(vec![honest(), labelled("hostile", 1, labels)]);
        let output = Agent::with_docker_host(&engine.host()).run(command).exits(0);
        let failed = output.metrics().of("gostats_targets").get("failed").copied();
        assert_eq!(values(&output), alone, "{what}: {output}");
        assert!(output.stderr.lines().count() <= 2 && output.stderr.len() < 1_000, "{what}: {output}");
        let _ = writeln!(told, "{what} ({failed:?} failed)\n{}", output.stderr);
    }
    insta::assert_snapshot!("stderr_of_hostile_labels", told.replace(&text, "PORT"));
}

#[test]
fn the_operators_options_and_all_graphs_are_out_of_reach_of_labels() {
    let Some(app) = Local::start(Program::PromApp, &[]) else { return };
    let of = |name: &str, further: &[(&str, &str)]| {
        labelled(name, app.port(), &[&[("collector", "prometheus")], further].concat())
    };
    let containers = vec![
        of("good", &[]),
        of("graphs", &[("metric", "go_*")]),
        of("path", &[("path", "/other")]),
        of("scheme", &[("scheme", "ftp")]),
    ];
    let engine = FakeEngine::with_containers(containers);
    let agent = Agent::with_docker_host(&engine.host());
    let command = "run labels --allow prometheus --option prometheus.metric=go_goroutines";
    let output = agent.run(&format!("{command} --option prometheus.path=/metrics")).exits(0);
    assert_eq!(output.metrics().count(), 1, "{output}");
    insta::assert_snapshot!("stderr_of_options_out_of_reach", mask::ports(&output.stderr));
    let without_metric = agent.run("run labels --allow prometheus").exits(2);
    insta::assert_snapshot!("stderr_of_a_missing_option", without_metric.stderr);
}

#[test]
fn options_of_labels_that_change_the_graphs_cost_their_container_alone() {
    let Some(app) = Local::start(Program::App, &[]) else { return };
    let mut containers = vec![labelled("honest", app.port(), &[("collector", "evil")])];
    for attack in ["graphs_spin", "graphs_panic", "a_thousand_graphs", "an_error_of_a_mebibyte"] {
        // Port 1 is not requested: the check comes before.
        containers.push(labelled(attack, 1, &[("collector", "evil"), ("attack", attack)]));
    }
    let engine = FakeEngine::with_containers(containers);
    let agent = Agent::with_docker_host(&engine.host());
    let _ = agent.run(&format!("install {}", component("evil"))).exits(0);
    let output = agent.run("run labels --allow evil").exits(0);
    assert_eq!(output.metrics().instances(), [app.port().to_string()], "{output}");
    insta::assert_snapshot!("stderr_of_changed_graphs", mask::ports(&output.stderr));
}

#[test]
fn command_lines_that_cannot_be_used_are_told_with_the_option() {
    let agent = Agent::without_engine();
    let errors: Vec<String> = [
        "",
        "--allow gostats --target 127.0.0.1:80",
        "--allow gostats --container-port 80",
        "--allow ./gostats.wasm",
        "--allow labels",
        "--allow missing",
        "--every gostats",
        "--allow gostats --option redis.tls",
        "--allow gostats --option gostats.filter=name=a",
        "--allow gostats --option gostats.total-memory=64MiB",
        "--allow gostats --option gostats.nothing=1",
        "--allow gostats --option gostats",
        "--allow gostats,docker --option docker.metric-key-prefix=gostats",
        "--allow redis --http-user a",
        "--allow gostats --label-prefix A",
    ]
    .into_iter()
    .map(|options| format!("{options}\n{}", agent.run(&format!("run labels {options}")).exits(2).stderr))
    .collect();
    insta::assert_snapshot!("errors_of_command_lines", errors.join("\n"));
}

#[test]
fn commands_about_one_collector_name_those_that_take_labels() {
    let agent = Agent::without_engine();
    let error = "'labels' stands for several collectors, and this command takes one: docker, gostats, prometheus, \
                 redis; run, plan, explain, conf and dashboard take 'labels'\n";
    for command in ["test", "watch --once", "inspect"] {
        let (command, options) = command.split_once(' ').unwrap_or((command, ""));
        let output = agent.run(&format!("{command} labels {options}")).exits(2);
        assert_eq!(output.stderr, format!("mackerel-plugin-wasm: {error}"), "{output}");
    }
    assert_eq!(agent.run("check labels").exits(3).stdout, format!("labels UNKNOWN: {error}"));
    for command in ["run", "plan", "explain", "conf", "dashboard --role a:b"] {
        let (command, options) = command.split_once(' ').unwrap_or((command, ""));
        let output = agent.run(&format!("{command} labels --allow gostats {options}"));
        assert!(!output.stderr.contains("stands for"), "{output}");
    }
}

#[test]
fn plan_and_conf_and_dashboard_take_labels() {
    let (Some(app), Some(other)) = (Local::start(Program::App, &[]), Local::start(Program::PromApp, &[])) else {
        return;
    };
    let containers =
        vec![labelled("api", app.port(), &GOSTATS), labelled("web", other.port(), &[("collector", "prometheus")])];
    let engine = FakeEngine::with_containers(containers);
    let agent = Agent::with_docker_host(&engine.host());
    let options =
        "labels --allow gostats,prometheus --option prometheus.metric=go_goroutines --option gostats.select=memory.*";
    let posted = agent.run(&format!("run {options}")).exits(0).without_diagnostics().metrics().count();
    let plan = agent.run(&format!("plan {options} --json")).exits(0);
    let plan: Value = serde_json::from_str(&plan.stdout).expect("JSON");
    assert_eq!((&plan["metrics"], &plan["targets"]), (&json!(posted), &json!(2)), "{plan}");

    let conf = agent.run(&format!("conf {options}")).exits(0);
    let conf: Value = toml::from_str(&conf.stdout).expect("TOML");
    let command = conf["plugin"]["metrics"]["labels"]["command"].as_array().expect("a list");
    let words: Vec<&str> = command.iter().skip(1).map(|word| word.as_str().expect("a text")).collect();
    let again = agent.run_words(&words).exits(0).without_diagnostics();
    assert_eq!(again.metrics().count(), posted, "{words:?}");

    let dashboard = agent.run(&format!("dashboard {options} --role shop:api")).exits(0).without_diagnostics();
    let dashboard: Value = serde_json::from_str(&dashboard.stdout).expect("JSON");
    let titles = dashboard["widgets"].as_array().expect("widgets").iter().filter_map(|of| of["title"].as_str());
    insta::assert_snapshot!("widgets_of_a_dashboard", titles.collect::<Vec<_>>().join("\n"));
}

#[test]
fn slots_are_numbered_for_each_name_of_the_labels() {
    let Some(app) = Local::start(Program::App, &[]) else { return };
    let of = |name: &str, beginning: &str| labelled(name, app.port(), &[&GOSTATS[..], &[("name", beginning)]].concat());
    let containers = vec![of("a", "shop"), of("b", "shop"), of("c", "web"), labelled("d", app.port(), &GOSTATS)];
    let engine = FakeEngine::with_containers(containers);
    let output =
        Agent::with_docker_host(&engine.host()).run("run labels --allow gostats --instance-name slot").exits(0);
    assert_eq!(output.metrics().instances(), ["1", "shop_1", "shop_2", "web_1"], "{output}");
}

#[test]
fn a_collector_that_cannot_be_used_costs_no_other() {
    let Some(app) = Local::start(Program::App, &[]) else { return };
    let engine = FakeEngine::with_containers(vec![labelled("api", app.port(), &GOSTATS)]);
    let agent = Agent::with_docker_host(&engine.host());
    let _ = agent.run(&format!("install {}", component("evil"))).exits(0);
    let output = agent.run("run labels --allow gostats,evil --option evil.attack=graphs_panic").exits(0);
    assert_eq!(output.metrics().instances(), [app.port().to_string()], "{output}");
    insta::assert_snapshot!("stderr_of_a_collector_that_cannot_be_used", output.stderr);
}

/// Runs the collector `evil` and a copy of it on `count` containers each, all at one port, with an attack.
fn attack_by_two_collectors(attack: &str, count: usize, port: u16) -> Output {
    let names = ["evil", "mild"];
    let containers = names.into_iter().flat_map(|name| {
        (0..count).map(move |number| labelled(&format!("{name}-{number}"), port, &[("collector", name)]))
    });
    let engine = FakeEngine::with_containers(containers.collect());
    let agent = Agent::with_docker_host(&engine.host());
    let folder = TempDir::new().expect("a temporary folder");
    for name in names {
        // Nothing else of the component depends on its name.
        let (copy, _) = renamed("evil", name);
        let file = folder.path().join(format!("{name}.wasm"));
        fs::write(&file, copy).expect("a file in a folder of our own");
        let _ = agent.run(&format!("install {}", file.display())).exits(0);
    }
    let options = names.map(|name| format!("--option {name}.attack={attack}")).join(" ");
    agent.run(&format!("run labels --allow evil,mild {options} --timeout 2s"))
}

#[test]
fn memory_of_all_collectors_together_is_limited() {
    let target = Witness::new();
    target.never_responds();
    // 40 MiB in each of six sandboxes. --total-memory is 128 MiB, and the program itself has some 20.
    let output = attack_by_two_collectors("memory_held_while_waiting", 3, target.port()).exits(1);
    assert!(output.peak < 150 << 20, "{} bytes", output.peak);
}

#[test]
fn samples_of_all_collectors_together_are_limited() {
    let target = StubTarget::serving(json!({}));
    // Ten fit into the limit, twelve do not.
    let output = attack_by_two_collectors("as_many_samples_as_allowed", 6, target.port()).exits(0);
    let refused = " all targets together exceeded 100000 samples (fixed limit)";
    assert_eq!(output.stderr.lines().filter(|line| line.ends_with(refused)).count(), 2, "{output}");
}
