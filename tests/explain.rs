//! `explain`: the outcome of a run for each container, and the reason.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::{fs, str};

use scenarios::agent::{Agent, Output, component, program};
use scenarios::engine::{Container, Engine, Group};
use scenarios::fake_engine::{FakeEngine, container};
use scenarios::fleet::{Fleet, Request};
use scenarios::go::Program;
use scenarios::http::Reply;
use scenarios::local::Local;
use scenarios::stub_target::StubTarget;
use scenarios::{mask, port, skip, stats};
use serde_json::{Value, json};

/// Returns the explanation of a run with these arguments, as JSON.
#[track_caller]
fn explain(agent: &Agent, words: &str) -> Value {
    let output = agent.run(&format!("explain {words} --json")).exits(0).without_diagnostics();
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// Returns the same as text.
#[track_caller]
fn text(agent: &Agent, words: &str) -> String {
    agent.run(&format!("explain {words}")).exits(0).without_diagnostics().stdout
}

fn rows(explanation: &Value) -> &Vec<Value> {
    explanation["containers"].as_array().expect("containers")
}

/// Returns the entry of this container.
#[track_caller]
fn row<'a>(explanation: &'a Value, name: &str) -> &'a Value {
    let of = |row: &&Value| row["container"]["name"] == name;
    rows(explanation).iter().find(of).unwrap_or_else(|| panic!("no entry of {name}: {explanation}"))
}

/// Returns the names of all targets.
fn names(explanation: &Value) -> BTreeSet<String> {
    rows(explanation).iter().filter_map(|row| Some(row["name"].as_str()?.to_owned())).collect()
}

/// Splits a line of a table into its columns, which are two blanks apart. Masks the time.
fn line(line: &str) -> String {
    let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
    let cell = |cell: &str| match cell.split_once(" ms") {
        Some((time, "")) if time.parse::<f64>().is_ok() => "TIME ms".to_owned(),
        _ => ["Up", "Exited"].into_iter().fold(cell.to_owned(), |cell, state| status(&cell, state)),
    };
    cells.map(cell).collect::<Vec<_>>().join("  ")
}

/// Masks the exit status and time in an engine's status of a container: `Up TIME (Paused)`.
fn status(text: &str, state: &str) -> String {
    let before = format!("not running ({state} ");
    match text.split_once(&before) {
        Some((first, rest)) => {
            let end = if rest.ends_with("(Paused))") { " (Paused))" } else { ")" };
            format!("{first}{before}TIME{end}")
        }
        None => text.to_owned(),
    }
}

fn lines(text: &str) -> String {
    text.lines().map(|of| line(of) + "\n").collect()
}

/// Returns the heading of the table and the lines of this group, because the engine has other containers, too.
fn table_of(group: &Group, text: &str) -> String {
    let mut is_ours = false;
    let ours = text.lines().skip_while(|line| !line.starts_with("CONTAINER ")).filter(|line| {
        // The reason stands below the container, in one or more lines.
        if !line.starts_with("  ") {
            is_ours = line.starts_with("CONTAINER ") || group.mask(line) != **line;
        }
        is_ours
    });
    lines(&mask::ports(&group.mask(&ours.collect::<Vec<_>>().join("\n"))))
}

fn short(container: &Container) -> String {
    container.name().rsplit('-').next().expect("a name").to_owned()
}

#[test]
fn every_container_is_listed_with_its_outcome_and_reason() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let start = |name: &str, options: &str| group.app_with(name, &format!("{options} --label tier=front"));
    let normal = start("normal", "--publish 8080");
    let several = start("several", "--publish 9090 --publish 8080");
    let portless = start("portless", "");
    let other = group.app_with("other", "--publish 8080 --label tier=back");
    let stopped = start("stopped", "--publish 8080");
    stopped.stop();
    let paused = start("paused", "--publish 8080");
    paused.pause();
    let words = format!("gostats --filter {} --filter label=tier=front --path /stats", group.filter());
    let agent = Agent::with_engine(engine);

    let text = text(&agent, &words);
    let port = normal.address().port().to_string();
    let filter = group.filter();
    let masked = |text: &str| text.replace(&filter, "label=scenario=GROUP").replace(&port, "PORT");
    insta::assert_snapshot!(masked(&table_of(&group, &text)), @"
    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    normal  8080  OWN:8080  PORT  collected  TIME ms  15 (6 counters)
    the only published port, its own address on network bridge
    paused  -  -  -  skipped  -  -
    not running (Up TIME (Paused))
    portless  -  -  -  skipped  -  -
    publishes no TCP port; the container listens on 8080: try --container-port 8080
    several  -  -  -  failed  -  -
    publishes several ports (8080, 9090): choose one, such as --container-port 8080
    stopped  -  -  -  skipped  -  -
    not running (Exited TIME)
    other  -  -  -  skipped  -  -
    does not match --filter label=scenario=GROUP --filter label=tier=front
    ");
    let head: Vec<&str> = text.lines().take(2).collect();
    insta::assert_snapshot!(masked(&head.join("\n")).replace(engine.host(), "ENGINE"), @"
    mackerel-plugin-wasm run gostats --filter 'label=scenario=GROUP' --filter 'label=tier=front' --path /stats
    on the container engine at ENGINE (DOCKER_HOST)
    ");

    let explanation = explain(&agent, &words);
    assert_eq!(explanation["engine"], engine.host());
    assert_eq!(explanation["notes"], json!([]));
    let mut reported = String::new();
    for container in [&normal, &several, &portless, &other, &stopped, &paused] {
        let mut row = row(&explanation, container.name()).clone();
        assert_eq!(row["container"]["id"], container.id());
        assert_eq!(row["container"]["image"], container.image());
        assert_eq!(row["milliseconds"].as_f64().is_some_and(|time| time > 0.0), row["name"] != json!(null), "{row}");
        row["milliseconds"] = json!(row["milliseconds"].is_f64());
        row["why"] = json!(line(row["why"].as_str().expect("a text")));
        row.as_object_mut().expect("an object").remove("container");
        reported.extend([&short(container), ": ", &group.mask(&masked(&mask::ports(&row.to_string()))), "\n"]);
    }
    insta::assert_snapshot!(reported, @r#"
    normal: {"address":"OWN:8080","addresses":[{"address":"OWN:8080","outcome":"used","reason":"its own address on network bridge"},{"address":"127.0.0.1:PORT","outcome":"not needed","reason":"bound to 0.0.0.0"}],"collected":true,"considered":true,"counters":6,"error":null,"left_out":false,"metrics":15,"milliseconds":true,"name":"PORT","port":8080,"warnings":[],"why":"the only published port, its own address on network bridge"}
    several: {"address":null,"addresses":[],"collected":false,"considered":true,"counters":0,"error":"publishes several ports (8080, 9090): choose one, such as --container-port 8080","left_out":false,"metrics":0,"milliseconds":false,"name":null,"port":null,"warnings":[],"why":"publishes several ports (8080, 9090): choose one, such as --container-port 8080"}
    portless: {"address":null,"addresses":[],"collected":null,"considered":false,"counters":0,"error":null,"left_out":false,"metrics":0,"milliseconds":false,"name":null,"port":null,"warnings":[],"why":"publishes no TCP port; the container listens on 8080: try --container-port 8080"}
    other: {"address":null,"addresses":[],"collected":null,"considered":false,"counters":0,"error":null,"left_out":false,"metrics":0,"milliseconds":false,"name":null,"port":null,"warnings":[],"why":"does not match --filter label=scenario=GROUP --filter label=tier=front"}
    stopped: {"address":null,"addresses":[],"collected":null,"considered":false,"counters":0,"error":null,"left_out":false,"metrics":0,"milliseconds":false,"name":null,"port":null,"warnings":[],"why":"not running (Exited TIME)"}
    paused: {"address":null,"addresses":[],"collected":null,"considered":false,"counters":0,"error":null,"left_out":false,"metrics":0,"milliseconds":false,"name":null,"port":null,"warnings":[],"why":"not running (Up TIME (Paused))"}
    "#);
    assert_eq!(agent.state_files(), Vec::<PathBuf>::new(), "state was written");
}

/// Returns the port of each container and the reason.
#[track_caller]
fn choices(agent: &Agent, words: &str, containers: &[&Container]) -> String {
    let explanation = explain(agent, words);
    let choice = |container: &&Container| {
        let row = row(&explanation, container.name());
        assert_eq!(row["collected"].as_bool().unwrap_or_default(), row["metrics"] == json!(15), "{row}");
        if row["address"] != json!(null) {
            let own = container.own_address("bridge").map(|own| format!("{own}:8080"));
            assert!(
                row["address"].as_str() == own.as_deref() || row["address"] == json!(container.address().to_string()),
                "{row}"
            );
        }
        format!("{}: {} {}\n", short(container), row["port"], row["why"].as_str().expect("a text"))
    };
    containers.iter().map(choice).collect()
}

#[test]
fn chosen_port_is_shown_with_the_reason() {
    let Some(engine) = Engine::find() else { return };
    if !skip::has_ipv6("a port that is bound to IPv6") {
        return;
    }
    let group = engine.group();
    let single = group.app("single");
    let several = group.app_with("several", "--publish 9090 --publish 8080");
    let local = group.app_with("local", &format!("--publish 127.0.0.1:{}:8080", port::free()));
    let six = group.app_with("six", &format!("--publish [::1]:{}:8080", port::free()));
    let exposed = group.app_with("exposed", "--expose 8080");
    let nothing = group.app_with("nothing", "");
    let all = [&single, &several, &local, &six, &exposed, &nothing];
    let words = format!("gostats --filter {} --path /stats --instance-name name", group.filter());
    let agent = Agent::with_engine(engine);
    insta::assert_snapshot!(choices(&agent, &words, &all), @"
    single: 8080 the only published port, its own address on network bridge
    several: null publishes several ports (8080, 9090): choose one, such as --container-port 8080
    local: 8080 the only published port, its own address on network bridge
    six: 8080 the only published port, its own address on network bridge
    exposed: null publishes no TCP port; the container listens on 8080: try --container-port 8080
    nothing: null publishes no TCP port; the container listens on 8080: try --container-port 8080
    ");
    insta::assert_snapshot!(choices(&agent, &format!("{words} --container-port 8080"), &all), @"
    single: 8080 --container-port, its own address on network bridge
    several: 8080 --container-port, its own address on network bridge
    local: 8080 --container-port, its own address on network bridge
    six: 8080 --container-port, its own address on network bridge
    exposed: 8080 --container-port, its own address on network bridge
    nothing: 8080 --container-port, its own address on network bridge
    ");
}

#[test]
fn host_network_container_is_shown_with_its_address() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let number = port::free();
    let host = group.app_in_host_network("host", number);
    let words = format!("gostats --filter {} --path /stats", group.filter());
    let agent = Agent::with_engine(engine);
    insta::assert_snapshot!(choices(&agent, &words, &[&host]), @"host: null uses the host network: name the port with --container-port");
    let chosen = choices(&agent, &format!("{words} --container-port {number}"), &[&host]);
    insta::assert_snapshot!(chosen.replace(&number.to_string(), "PORT"), @"host: PORT --container-port, on the host network");
}

#[test]
fn targets_have_the_names_of_run() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let _front = group.app_with("front", "--publish 8080 --label com.example.role=web/front");
    let _back = group.app_with("back", "--publish 8080 --label com.example.role=back");
    let _bare = group.app("bare");
    for format in [
        "port",
        "name",
        "name_id",
        "id",
        "image",
        "image_id",
        "image_name",
        "label:com.example.role",
        "slot",
        "slot:label:com.example.role",
    ] {
        let agent = Agent::with_engine(engine);
        let words = format!("gostats --filter {} --path /stats --instance-name {format}", group.filter());
        let before = explain(&agent, &words);
        assert_eq!(agent.state_files(), Vec::<PathBuf>::new(), "{format}: state was written");
        let run = agent.run(&format!("run {words}")).exits(0);
        let printed: BTreeSet<String> = run.metrics().instances().into_iter().map(str::to_owned).collect();
        assert_eq!(printed.len(), 3, "{format}: {run}");
        assert_eq!(names(&before), printed, "{format} before the first run");
        assert_eq!(names(&explain(&agent, &words)), printed, "{format} after it");
        // Diagnostics of the run are shown, too, and the origin of the slots.
        let diagnostics = run.stderr.lines().map(|line| line.replacen("mackerel-plugin-wasm: ", "", 1));
        let notes = before["notes"].as_array().expect("notes").iter().filter_map(Value::as_str);
        let notes = notes.filter(|note| !note.contains(": slots are those of "));
        assert_eq!(notes.collect::<Vec<_>>(), diagnostics.collect::<Vec<_>>(), "{format}");
    }
}

#[test]
fn slots_of_the_last_run_are_shown_and_unchanged() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let first = group.app("b-first");
    let second = group.app("a-second");
    let agent = Agent::with_engine(engine);
    let words = format!("gostats --filter {} --path /stats --instance-name slot", group.filter());
    let run = |instances: &[&str]| {
        let metrics = agent.run(&format!("run {words}")).exits(0).without_diagnostics().metrics();
        assert_eq!(metrics.instances(), instances);
    };
    run(&["1", "2"]);
    // Sorted by name, the slots would differ: the newest container has the third.
    let third = group.app("a-a-third");
    let files =
        || agent.state_files().iter().map(|file| (file.clone(), fs::read(file).expect("our own"))).collect::<Vec<_>>();
    let before = files();
    let [state] = &before[..] else { panic!("not one file: {}", before.len()) };
    let explanation = explain(&agent, &words);
    let slots = |explanation: &Value| {
        [&first, &second, &third].map(|app| row(explanation, app.name())["name"].as_str().expect("a name").to_owned())
    };
    assert_eq!(slots(&explanation), ["2", "1", "3"]);
    let note = explanation["notes"][0].as_str().expect("a note");
    insta::assert_snapshot!(note.replace(&state.0.display().to_string(), "STATE"), @"gostats: slots are those of the state file STATE (MACKEREL_PLUGIN_WORKDIR)");
    assert_eq!(files(), before, "it was changed");
    run(&["1", "2", "3"]);
    assert_eq!(slots(&explain(&agent, &words)), ["2", "1", "3"]);
}

#[test]
fn fixed_targets_are_shown_with_their_result() {
    let Some(server) = Local::start(Program::Faults, &["status-500"]) else { return };
    let good = StubTarget::serving(stats::body(1, 1));
    let agent = Agent::without_engine();
    let words = format!("gostats --target 127.0.0.3:1 --target {} --target 127.0.0.2:{}", server.target(), good.port());
    let [failing, collected] = [server.port(), good.port()].map(|port| port.to_string());
    let masked = |text: &str| text.replace(&failing, "FAILING").replace(&collected, "GOOD");
    insta::assert_snapshot!(masked(&lines(&text(&agent, &words))), @r#"
    mackerel-plugin-wasm run gostats --target 127.0.0.3:1 --target 127.0.0.1:FAILING --target 127.0.0.2:GOOD

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    -  -  127.0.0.1:FAILING  FAILING  failed  TIME ms  -
    --target
    -  -  127.0.0.2:GOOD  GOOD  collected  TIME ms  15 (6 counters)
    --target
    -  -  127.0.0.3:1  1  failed  TIME ms  -
    --target

    127.0.0.1:FAILING: HTTP 500 Internal Server Error instead of 200 OK: {"time":1700000000000000000,"goroutine_num":12,"cgo_call_num":1,"memory_alloc":1,"memory_sys":1,"memory_stack":1,"memory…
    127.0.0.3:1: connection failed: Connection refused (os error 111)
    "#);

    let explanation = explain(&agent, &words);
    assert_eq!(explanation["engine"], json!(null));
    let mut reported = String::new();
    for row in rows(&explanation) {
        let mut row = row.clone();
        row["milliseconds"] = json!(row["milliseconds"].is_f64());
        reported.extend([&masked(&row.to_string()), "\n"]);
    }
    insta::assert_snapshot!(reported, @r#"
    {"address":"127.0.0.1:FAILING","addresses":[{"address":"127.0.0.1:FAILING","outcome":"used","reason":"--target"}],"collected":false,"considered":true,"container":null,"counters":0,"error":"HTTP 500 Internal Server Error instead of 200 OK: {\"time\":1700000000000000000,\"goroutine_num\":12,\"cgo_call_num\":1,\"memory_alloc\":1,\"memory_sys\":1,\"memory_stack\":1,\"memory…","left_out":false,"metrics":0,"milliseconds":true,"name":"FAILING","port":null,"warnings":[],"why":"--target"}
    {"address":"127.0.0.2:GOOD","addresses":[{"address":"127.0.0.2:GOOD","outcome":"used","reason":"--target"}],"collected":true,"considered":true,"container":null,"counters":6,"error":null,"left_out":false,"metrics":15,"milliseconds":true,"name":"GOOD","port":null,"warnings":[],"why":"--target"}
    {"address":"127.0.0.3:1","addresses":[{"address":"127.0.0.3:1","outcome":"used","reason":"--target"}],"collected":false,"considered":true,"container":null,"counters":0,"error":"connection failed: Connection refused (os error 111)","left_out":false,"metrics":0,"milliseconds":true,"name":"1","port":null,"warnings":[],"why":"--target"}
    "#);
    assert_eq!(agent.state_files(), Vec::<PathBuf>::new(), "state was written");
}

#[test]
fn selected_metrics_are_counted() {
    let good = StubTarget::serving(stats::body(1, 1));
    let words = format!("gostats --target {} --select memory.* --select gc.gc_num", good.target());
    let explanation = explain(&Agent::without_engine(), &words);
    let [row] = &rows(&explanation)[..] else { panic!("not one row: {explanation}") };
    assert_eq!((&row["metrics"], &row["counters"]), (&json!(4), &json!(1)));
}

#[test]
fn warnings_of_a_collector_are_shown() {
    let fleet = Fleet::of(&["api", "bad"]);
    fleet.set_reply("bad", Request::Inspect, Reply::Whole(500, json!({"message": "on \u{1b}[31mfire"}).to_string()));
    let words = "docker --stats-source api --graphs memory,restarts,health --instance-name name";
    insta::assert_snapshot!(lines(&fleet.mask(&text(fleet.agent(), words))), @r"
    mackerel-plugin-wasm run docker --stats-source api --graphs 'memory,restarts,health' --instance-name name
    on the container engine at ENGINE (DOCKER_HOST)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    api  -  -  api  collected  TIME ms  5
    the whole container
    bad  -  -  bad  collected  TIME ms  2
    the whole container

    bad: collector stderr: omitted restarts and health: engine returned HTTP 500 on \u{1b}[31mfire
    bad: no counters: the start time of the container is unknown: engine returned HTTP 500 on \u{1b}[31mfire
    ");
    let explanation = explain(fleet.agent(), words);
    assert_eq!(row(&explanation, "api")["warnings"], json!([]));
    let warnings = row(&explanation, "bad")["warnings"].as_array().expect("warnings").clone();
    let run = fleet.run("--stats-source api --graphs memory,restarts,health").exits(0);
    let said: Vec<&str> =
        run.stderr.lines().filter_map(|line| line.split_once("docker: bad: ")).map(|of| of.1).collect();
    assert_eq!(warnings, said);
}

#[test]
fn missing_engine_is_the_error_of_run() {
    let agent = Agent::without_engine();
    let explain = agent.run("explain docker").exits(1);
    assert_eq!(explain.stdout, "");
    insta::assert_snapshot!(explain.stderr, @"mackerel-plugin-wasm: cannot connect to the container engine at unix:///nonexistent/docker.sock: no such socket: is Docker running? (--docker-host or DOCKER_HOST selects another engine)");
    assert_eq!(raw(&["run", "docker"], "unix:///nonexistent/docker.sock").1, explain.stderr);
    let odd = FakeEngine::replying(|_| Reply::Whole(500, json!({"message": "on \u{1b}[31mfire"}).to_string()));
    let agent = Agent::with_docker_host(&odd.host());
    let explain = agent.run("explain docker").exits(1);
    insta::assert_snapshot!(explain.stderr.replace(&odd.host(), "ENGINE"), @r"mackerel-plugin-wasm: container engine at ENGINE returned HTTP 500: on \u{1b}[31mfire");
    assert_eq!(agent.run("run docker").exits(1).stderr, explain.stderr);
}

#[test]
fn engine_that_stops_after_the_list_loses_only_the_rest() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let containers = vec![container("api", "127.0.0.1", stub_target.port())];
    let engine = FakeEngine::replying(move |path| {
        if path.contains("all=true") {
            return Reply::Whole(500, json!({"message": "on fire"}).to_string());
        }
        scenarios::fake_engine::default_reply(&containers, path)
    });
    let text = text(&Agent::with_docker_host(&engine.host()), "gostats --instance-name name");
    insta::assert_snapshot!(lines(&mask::ports(&text.replace(&engine.host(), "ENGINE"))), @"
    mackerel-plugin-wasm run gostats --instance-name name
    on the container engine at ENGINE (DOCKER_HOST)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    api  8080  127.0.0.1:PORT  api  collected  TIME ms  15 (6 counters)
    the only published port, bound to 127.0.0.1

    gostats: containers that do not match are unknown: container engine at ENGINE returned HTTP 500: on fire
    ");
}

#[test]
fn no_containers_are_reported() {
    let engine = FakeEngine::with_containers(Vec::new());
    let agent = Agent::with_docker_host(&engine.host());
    insta::assert_snapshot!(text(&agent, "gostats").replace(&engine.host(), "ENGINE"), @"
    mackerel-plugin-wasm run gostats
    on the container engine at ENGINE (DOCKER_HOST)

    no running containers
    ");
    assert_eq!(explain(&agent, "gostats")["containers"], json!([]));
}

#[test]
fn table_fits_into_100_columns() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let names = [
        "api-1",
        "shop-api-worker-2",
        "ecs-shop-api-12-api-a0b1c2d3e4f5a6b7c801",
        "k8s_api_shop-api-7d9f4b6c5d-x2x4z_production_0f6c1c5e-3a3e-4a55-9d0e-0c7a4f2d1b1e_0",
    ];
    let mut containers: Vec<_> = (1..)
        .zip(names)
        .map(|(number, name)| container(name, &format!("127.0.0.{number}"), stub_target.port()))
        .collect();
    let mut several = container("several", "127.0.1.1", stub_target.port());
    let ports = |port: u16| json!({"IP": "0.0.0.0", "PrivatePort": port, "PublicPort": port, "Type": "tcp"});
    several["Ports"] = (8001..8020).map(ports).collect();
    containers.push(several);
    let engine = FakeEngine::with_containers(containers);
    let agent = Agent::with_docker_host(&engine.host());
    for format in ["port", "name", "name_id", "image_name", "slot"] {
        let text = text(&agent, &format!("gostats --instance-name {format}"));
        let table: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.starts_with("CONTAINER "))
            .take_while(|line| !line.is_empty())
            .collect();
        let longest = table.iter().map(|line| width(line)).max().unwrap_or_default();
        assert!(longest <= 100, "{longest} columns: {text}");
        // A name of usual length is whole, and no reason is cut.
        assert!(table.iter().any(|line| line.starts_with("shop-api-worker-2 ")), "{text}");
        let reasons = table.iter().filter(|line| line.starts_with("  ")).map(|line| line.trim());
        let reasons = reasons.collect::<Vec<_>>().join(" ");
        assert!(reasons.contains("): choose one, such as --container-port 8001"), "{text}");
    }
    let whole = explain(&agent, "gostats --instance-name name_id");
    assert!(names.iter().all(|name| row(&whole, name)["name"].as_str().expect("a name").starts_with(name)), "{whole}");
}

/// Returns the width of a text on a terminal. Sufficient for the texts of these scenarios.
fn width(text: &str) -> usize {
    text.chars().map(|letter| if letter >= '\u{1100}' && letter != '…' { 2 } else { 1 }).sum()
}

#[test]
fn container_names_cannot_control_the_terminal_or_break_columns() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let names = ["größe", "容器の名前", "\u{1b}[31mred", "line\nend", "tab\there", "a\u{202e}b", "two words"];
    let mut containers: Vec<_> = (1..)
        .zip(names)
        .map(|(number, name)| container(name, &format!("127.0.0.{number}"), stub_target.port()))
        .collect();
    let mut several = container("se\u{7}veral", "127.0.1.1", stub_target.port());
    several["Ports"] = json!([
        {"IP": "0.0.0.0", "PrivatePort": 1, "PublicPort": 1, "Type": "tcp"},
        {"IP": "0.0.0.0", "PrivatePort": 2, "PublicPort": 2, "Type": "tcp"},
    ]);
    let mut paused = container("paused", "127.0.1.2", stub_target.port());
    paused["State"] = json!("paused");
    paused["Status"] = json!("Up \u{1b}[2J8 minutes\r\n (Paused)");
    containers.extend([several, paused]);
    // Port 1 is closed.
    containers.push(container("fa\u{1b}iling", "127.0.0.1", 1));
    let engine = FakeEngine::with_containers(containers);
    let agent = Agent::with_docker_host(&engine.host());

    let text = text(&agent, "gostats --instance-name name");
    assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control() && letter != '\u{202e}'), "{text:?}");
    let table: Vec<&str> =
        text.lines().filter(|line| line.contains("127.0.0.") || line.starts_with("CONTAINER ")).collect();
    let starts: BTreeSet<usize> = table
        .iter()
        .filter_map(|line| Some(width(&line[..line.find("8080  ").or_else(|| line.find("PORT  "))?])))
        .collect();
    assert_eq!(starts.len(), 1, "the ports are not in one column:\n{text}");
    let port = stub_target.port().to_string();
    insta::assert_snapshot!(lines(&text.replace(&engine.host(), "ENGINE").replace(&port, "PORT")), @r"
    mackerel-plugin-wasm run gostats --instance-name name
    on the container engine at ENGINE (DOCKER_HOST)

    CONTAINER  PORT  ADDRESS  NAME  OUTCOME  TIME  METRICS
    \u{1b}[31mred  8080  127.0.0.3:PORT  __31mred  collected  TIME ms  15 (6 counters)
    the only published port, bound to 127.0.0.3
    a\u{202e}b  8080  127.0.0.6:PORT  a_b  collected  TIME ms  15 (6 counters)
    the only published port, bound to 127.0.0.6
    fa\u{1b}iling  8080  127.0.0.1:1  fa_iling  failed  TIME ms  -
    the only published port, bound to 127.0.0.1
    größe  8080  127.0.0.1:PORT  gr__e  collected  TIME ms  15 (6 counters)
    the only published port, bound to 127.0.0.1
    line\nend  8080  127.0.0.4:PORT  line_end  collected  TIME ms  15 (6 counters)
    the only published port, bound to 127.0.0.4
    tab\there  8080  127.0.0.5:PORT  tab_here  collected  TIME ms  15 (6 counters)
    the only published port, bound to 127.0.0.5
    two words  8080  127.0.0.7:PORT  two_words  collected  TIME ms  15 (6 counters)
    the only published port, bound to 127.0.0.7
    容器の名前  8080  127.0.0.2:PORT  _____  collected  TIME ms  15 (6 counters)
    the only published port, bound to 127.0.0.2
    paused  -  -  -  skipped  -  -
    not running (Up TIME (Paused))
    se\u{7}veral  -  -  -  failed  -  -
    publishes several ports (1, 2): choose one, such as --container-port 1

    fa\u{1b}iling: connection failed: Connection refused (os error 111)
    ");
}

#[test]
fn component_file_names_cannot_control_the_terminal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("a\u{1b}[31mred.wasm");
    fs::copy(component("gostats"), &file).expect("a file");
    let engine = FakeEngine::with_containers(Vec::new());
    let agent = Agent::with_docker_host(&engine.host());
    let text = text(&agent, &format!("{} --instance-name slot", file.display()));
    assert!(text.contains("slots are those of "), "{text}");
    assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control()), "{text:?}");
}

/// Runs the program without the harness, on a machine with this engine. Returns whether it succeeded, and stderr.
fn raw(words: &[&str], docker_host: &str) -> (bool, String) {
    let workdir = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(program());
    command.args(words).env("DOCKER_HOST", docker_host).env("MACKEREL_PLUGIN_WORKDIR", workdir.path());
    let output = command.output().expect("the program can be started");
    (output.status.success(), str::from_utf8(&output.stderr).expect("UTF-8").to_owned())
}

#[test]
fn every_run_with_diagnostics_points_to_explain() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let _good = group.app("good");
    let _several = group.app_with("several", "--publish 9090 --publish 8080");
    let _portless = group.app_with("portless", "");
    let _bad = group.faults(&["status-500"]);
    let filter = group.filter();
    let options = ["gostats", "--filter", &filter, "--path", "/stats", "-v"];
    let (is_well, stderr) = raw(&[&["run"], &options[..]].concat(), engine.host());
    assert!(is_well, "{stderr}");
    insta::assert_snapshot!(group.mask(&mask::ports(&stderr)), @r#"
    mackerel-plugin-wasm: gostats: portless: skipped: publishes no TCP port; the container listens on 8080: try --container-port 8080
    mackerel-plugin-wasm: gostats: several: publishes several ports (8080, 9090): choose one, such as --container-port 8080
    mackerel-plugin-wasm: gostats: status-500 (OWN:8080): HTTP 500 Internal Server Error instead of 200 OK: {"time":1700000000000000000,"goroutine_num":12,"cgo_call_num":1,"memory_alloc":1,"memory_sys":1,"memory_stack":1,"memory…
    mackerel-plugin-wasm: gostats: for details: mackerel-plugin-wasm explain gostats, with the same options
    "#);

    // The same arguments with `explain` in place of `run`.
    let (is_well, stderr) = raw(&[&["explain"], &options[..]].concat(), engine.host());
    assert!(is_well, "{stderr}");
    assert_eq!(stderr, "");
}

#[test]
fn all_diagnostics_of_run_are_shown() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let _good = group.app("good");
    let _several = group.app_with("several", "--publish 9090 --publish 8080");
    let _portless = group.app_with("portless", "");
    let _bad = group.faults(&["status-404", "status-500", "html"]);
    let words = format!("gostats --filter {} --path /stats --verbose", group.filter());
    let agent = Agent::with_engine(engine);
    let text = text(&agent, &words);
    let run = agent.run(&format!("run {words}")).exits(0);
    assert_eq!(run.stderr.lines().count(), 5, "{run}");
    for line in run.stderr.lines() {
        let (_, said) = line.split_once("gostats: ").expect("the collector");
        let (_, why) = said.split_once(": ").expect("the container");
        let why = why.trim_start_matches("skipped: ");
        assert!(text.contains(why), "no word of {why:?}:\n{text}");
    }
}

#[test]
fn invalid_options_are_rejected_as_by_run() {
    let engine = FakeEngine::with_containers(Vec::new());
    let agent = Agent::with_docker_host(&engine.host());
    for words in [
        "gostat",
        "gostats --fliter name=api",
        "gostats --total-only",
        "gostats --select nothing.*",
        "gostats --target 127.0.0.1:1 --instance-name name",
        "docker --instance-name port",
    ] {
        let [run, explain] = ["run", "explain"].map(|command| agent.run(&format!("{command} {words}")).exits(2));
        let diagnostic =
            |output: &Output| output.stderr.replace("mackerel-plugin-wasm explain ", "mackerel-plugin-wasm run ");
        // It has one option besides those of run.
        assert_eq!(diagnostic(&explain).replace(", --json", ""), run.stderr, "{words}");
        assert_eq!(explain.stdout, "", "{words}");
    }
}

#[test]
fn printed_command_matches_the_options() {
    let good = StubTarget::serving(stats::body(1, 1));
    let explanation =
        explain(&Agent::without_engine(), &format!("gostats --target {} --select memory.*", good.target()));
    let command = explanation["command"].as_str().expect("a text");
    insta::assert_snapshot!(mask::ports(command), @"mackerel-plugin-wasm run gostats --target 127.0.0.1:PORT --select 'memory.*'");
}
