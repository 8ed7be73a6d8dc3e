//! Engines that are missing, do not respond, report errors, or return odd data.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scenarios::agent::{Agent, Output};
use scenarios::fake_engine::{self, FakeEngine, container};
use scenarios::fleet::{Fleet, Request, stats_of};
use scenarios::http::{FLOOD, Reply};
use scenarios::stub_target::StubTarget;
use scenarios::{load, mask, stats};
use serde_json::{Value, json};

/// Runs with a fake engine and returns stderr.
fn diagnostics(engine: &FakeEngine, code: i32) -> String {
    let output = Agent::with_docker_host(&engine.host()).run("run gostats --filter name=api").exits(code);
    assert_eq!(output.stdout, "", "{output}");
    output.stderr.replace(&engine.host(), "ENGINE").replace(engine.host().trim_start_matches("unix://"), "SOCKET")
}

fn run_with(containers: Vec<Value>, options: &str) -> Output {
    let engine = FakeEngine::with_containers(containers);
    Agent::with_docker_host(&engine.host()).run(&format!("run gostats {options}"))
}

#[test]
fn missing_engine_is_one_line_with_the_address_and_the_fix() {
    let hosts = [
        "unix:///nonexistent/docker.sock",
        "tcp://127.0.0.1:1",
        "http://127.0.0.1:1",
        "tcp://no-such-host.invalid:2375",
    ];
    let diagnostics = hosts.map(|host| {
        let output = Agent::with_docker_host(host).run("run gostats --filter name=api").exits(1);
        assert_eq!(output.stdout, "");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        output.stderr
    });
    insta::assert_snapshot!(diagnostics.concat(), @"
    mackerel-plugin-wasm: cannot connect to the container engine at unix:///nonexistent/docker.sock: no such socket: is Docker running? (--docker-host or DOCKER_HOST selects another engine)
    mackerel-plugin-wasm: cannot connect to the container engine at tcp://127.0.0.1:1: Connection refused (os error 111): is Docker running? (--docker-host or DOCKER_HOST selects another engine)
    mackerel-plugin-wasm: cannot connect to the container engine at http://127.0.0.1:1: Connection refused (os error 111): is Docker running? (--docker-host or DOCKER_HOST selects another engine)
    mackerel-plugin-wasm: cannot connect to the container engine at tcp://no-such-host.invalid:2375: failed to lookup address information: Name or service not known: is Docker running? (--docker-host or DOCKER_HOST selects another engine)
    ");
}

#[test]
fn invalid_address_is_rejected() {
    let output = Agent::with_docker_host("nonsense").run("run gostats").exits(2);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(output.stderr, @"mackerel-plugin-wasm: 'nonsense' is not an engine URL: expected unix:///PATH or tcp://HOST:PORT (--docker-host or DOCKER_HOST)");
}

#[test]
fn docker_host_option_overrides_the_environment() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let engine = FakeEngine::with_containers(vec![container("api", "127.0.0.1", stub_target.port())]);
    let output = Agent::without_engine().run(&format!("run gostats --docker-host {}", engine.host()));
    assert_eq!(output.exits(0).without_diagnostics().metrics().count(), 9);
}

#[test]
fn socket_without_an_engine_is_one_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("docker.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket in a new folder"));
    let output = Agent::with_docker_host(&format!("unix://{}", path.display())).run("run gostats").exits(1);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(mask::path(&output.stderr, folder.path(), "FOLDER"), @"mackerel-plugin-wasm: cannot connect to the container engine at unix://FOLDER/docker.sock: Connection refused (os error 111): is Docker running? (--docker-host or DOCKER_HOST selects another engine)");
}

#[test]
fn file_in_place_of_the_socket_is_one_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("docker.sock");
    fs::write(&path, "").expect("a file in a new folder");
    let output = Agent::with_docker_host(&format!("unix://{}", path.display())).run("run gostats").exits(1);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(mask::path(&output.stderr, folder.path(), "FOLDER"), @"mackerel-plugin-wasm: cannot connect to the container engine at unix://FOLDER/docker.sock: Connection refused (os error 111): is Docker running? (--docker-host or DOCKER_HOST selects another engine)");
}

#[test]
fn silent_engine_is_given_up_at_the_deadline() {
    let _load = load::timed();
    let engine = FakeEngine::replying(|_| Reply::NoResponse);
    let output = Agent::with_docker_host(&engine.host()).run("run gostats --filter name=api --deadline 2s").exits(1);
    assert!(output.elapsed < Duration::from_secs(2 + 5), "{output}");
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(output.stderr.replace(&engine.host(), "ENGINE"), @"mackerel-plugin-wasm: no response from the container engine at ENGINE when the run's deadline of 2s passed (--deadline)");
}

#[test]
fn silent_engine_is_given_up_at_a_signal() {
    let _load = load::timed();
    let engine = FakeEngine::replying(|_| Reply::NoResponse);
    let agent = Agent::with_docker_host(&engine.host());
    let running = agent.start("run gostats --filter name=api");
    running.wait_until_idle();
    running.signal(rustix::process::Signal::TERM);
    let output = running.output().exits(1);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(output.stderr.replace(&engine.host(), "ENGINE"), @"mackerel-plugin-wasm: no response from the container engine at ENGINE when the run received SIGTERM");
}

#[test]
fn engine_error_is_quoted() {
    let fails = |_: &str| Reply::Whole(500, json!({"message": "the daemon is on fire"}).to_string());
    insta::assert_snapshot!(diagnostics(&FakeEngine::replying(fails), 1), @"mackerel-plugin-wasm: container engine at ENGINE returned HTTP 500: the daemon is on fire");
}

#[test]
fn html_response_is_one_line() {
    let speaks_html = |_: &str| Reply::Whole(200, "<html>Sign in</html>".to_owned());
    insta::assert_snapshot!(diagnostics(&FakeEngine::replying(speaks_html), 1), @"mackerel-plugin-wasm: unexpected response from ENGINE: not a container engine? (expected value at line 1 column 1)");
}

#[test]
fn half_a_list_is_rejected() {
    let containers = vec![container("api", "127.0.0.1", 1), container("web", "127.0.0.1", 2)];
    let engine = FakeEngine::replying(move |path| match fake_engine::default_reply(&containers, path) {
        Reply::Whole(200, list) if list.starts_with('[') => Reply::Half(list),
        other => other,
    });
    insta::assert_snapshot!(diagnostics(&engine, 1), @"mackerel-plugin-wasm: unexpected response from ENGINE: not a container engine? (end of file before message length reached)");
}

#[test]
fn api_version_mismatch_is_quoted() {
    let refuses = |words: &'static str| {
        let engine = FakeEngine::replying(move |path| {
            if path.contains("/containers/") {
                Reply::Whole(400, json!({"message": words}).to_string())
            } else {
                fake_engine::default_reply(&[], path)
            }
        });
        diagnostics(&engine, 1)
    };
    let diagnostics = [
        refuses(
            "client version 1.24 is too old. Minimum supported API version is 1.44, please upgrade your client to a newer version",
        ),
        refuses("client version 1.99 is too new. Maximum supported API version is 1.41"),
    ];
    insta::assert_snapshot!(diagnostics.concat(), @"
    mackerel-plugin-wasm: container engine at ENGINE returned HTTP 400: client version 1.24 is too old. Minimum supported API version is 1.44, please upgrade your client to a newer version
    mackerel-plugin-wasm: container engine at ENGINE returned HTTP 400: client version 1.99 is too new. Maximum supported API version is 1.41
    ");
}

#[test]
fn api_version_is_one_that_the_engine_supports() {
    for (oldest, newest) in [("1.12", "1.41"), ("1.24", "1.30"), ("1.44", "1.52")] {
        let stub_target = StubTarget::serving(stats::body(1, 1));
        let containers = vec![container("api", "127.0.0.1", stub_target.port())];
        let engine = FakeEngine::with_versions(oldest, newest, containers);
        let output = Agent::with_docker_host(&engine.host()).run("run gostats");
        assert_eq!(output.exits(0).without_diagnostics().metrics().count(), 9, "{oldest} to {newest}");
    }
}

#[test]
fn missing_and_unknown_fields_of_a_container_are_tolerated() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let port = stub_target.port();
    let with = |change: fn(&mut Value)| {
        let mut container = container("api", "127.0.0.1", port);
        change(&mut container);
        container
    };
    let odd = [
        ("podman: no IP", with(|container| drop(container["Ports"][0].as_object_mut().expect("a port").remove("IP")))),
        ("podman: an empty IP", with(|container| container["Ports"][0]["IP"] = json!(""))),
        ("no labels", with(|container| container["Labels"] = json!(null))),
        ("no names", with(|container| container["Names"] = json!(null))),
        ("no network settings", with(|container| container["NetworkSettings"] = json!(null))),
        ("no host config", with(|container| container["HostConfig"] = json!(null))),
        ("no status", with(|container| container["Status"] = json!(null))),
        ("no image", with(|container| container["Image"] = json!(null))),
        ("unknown fields", with(|container| container["Tomorrow"] = json!({"is": ["another", "day"]}))),
    ];
    for (what, container) in odd {
        let output = run_with(vec![container], "").exits(0);
        assert_eq!(output.metrics().count(), 9, "{what}: {output}");
        assert_eq!(output.stderr, "", "{what}");
    }
}

#[test]
fn containers_without_ports_are_skipped() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let mut null = container("null", "127.0.0.1", 1);
    null["Ports"] = json!(null);
    let mut empty = container("empty", "127.0.0.1", 1);
    empty["Ports"] = json!([]);
    let mut exposed = container("exposed", "127.0.0.1", 1);
    exposed["Ports"] = json!([{"PrivatePort": 8080, "Type": "tcp"}]);
    let containers = vec![null, empty, exposed, container("api", "127.0.0.1", stub_target.port())];
    let output = run_with(containers, "").exits(0).without_diagnostics();
    assert_eq!(output.metrics().instances(), [stub_target.port().to_string()]);
}

#[test]
fn container_removed_after_the_list_is_one_line() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let containers = vec![container("gone", "127.0.0.1", 1), container("api", "127.0.0.1", stub_target.port())];
    let gone = containers[0]["Id"].as_str().expect("an id").to_owned();
    let engine = FakeEngine::replying(move |path| {
        if path.contains(&gone) {
            Reply::Whole(404, json!({"message": format!("No such container: {gone}")}).to_string())
        } else {
            fake_engine::default_reply(&containers, path)
        }
    });
    let output = Agent::with_docker_host(&engine.host()).run("run gostats").exits(0);
    assert_eq!(output.metrics().instances(), [stub_target.port().to_string()]);
    insta::assert_snapshot!(output.stderr, @"mackerel-plugin-wasm: gostats: gone (127.0.0.1:1): connection failed: Connection refused (os error 111)");
}

#[test]
fn failed_inspection_omits_counters_and_keeps_gauges() {
    let _load = load::timed();
    for (inspect, cause) in [
        (None, "no response from the engine after 1s"),
        (Some(404), "container is gone"),
        (Some(500), "engine returned HTTP 500 No such container"),
    ] {
        let stub_target = StubTarget::serving(stats::body(1, 1));
        let containers = vec![container("api", "127.0.0.1", stub_target.port())];
        let engine = FakeEngine::replying(move |path| match (path.contains("/containers/json"), inspect) {
            (true, _) => fake_engine::default_reply(&containers, path),
            (false, None) => Reply::NoResponse,
            (false, Some(status)) => Reply::Whole(status, json!({"message": "No such container"}).to_string()),
        });
        let agent = Agent::with_docker_host(&engine.host());
        for _ in 0..2 {
            let output = agent.run("run gostats").exits(0);
            assert_eq!(output.metrics().count(), 9, "counters need the start time: {output}");
            let diagnostics = format!(
                "mackerel-plugin-wasm: gostats: api (127.0.0.1:{}): no counters: the start time of the container is unknown: {cause}",
                stub_target.port()
            );
            assert!(output.stderr.starts_with(&diagnostics) && output.stderr.lines().count() == 1, "{output}");
        }
    }
}

#[test]
fn names_cannot_forge_lines_or_control_a_terminal() {
    let mut containers: Vec<_> = ["a\nmackerel-plugin-wasm: all is well", "\u{1b}[2Jb", "c\u{202e}d", "e\tf\r"]
        .into_iter()
        .map(|name| container(name, "127.0.0.1", 1))
        .collect();
    containers[0]["Labels"] = json!({"role": "a\nb\tc"});
    for options in ["", "--instance-name label:role", "--container-port 9 --verbose"] {
        let output = run_with(containers.clone(), options);
        assert_eq!(output.stdout, "", "{output}");
        let legal = |letter: char| letter == '\n' || !(letter.is_control() || letter == '\u{202e}');
        assert!(output.stderr.chars().all(legal), "{output}");
        assert!(!output.stderr.lines().any(|line| line == "mackerel-plugin-wasm: all is well"), "{output}");
    }
    insta::assert_snapshot!(run_with(containers, "").stderr, @r"
    mackerel-plugin-wasm: gostats: \u{1b}[2Jb (127.0.0.1:1): connection failed: Connection refused (os error 111)
    mackerel-plugin-wasm: gostats: a\nmackerel-plugin-wasm: all is well (127.0.0.1:1): connection failed: Connection refused (os error 111)
    mackerel-plugin-wasm: gostats: c\u{202e}d (127.0.0.1:1): connection failed: Connection refused (os error 111)
    mackerel-plugin-wasm: gostats: e\tf\r (127.0.0.1:1): connection failed: Connection refused (os error 111)
    mackerel-plugin-wasm: gostats: --instance-name is not unique for \u{1b}[2Jb (127.0.0.1:1) and 3 more containers; appended the container id
    ");
}

/// Replies of 200 MB, with every way in which HTTP ends a body. JSON bodies start with `first` and continue with
/// `more`.
fn floods(first: &str, more: &str) -> [(&'static str, Reply); 7] {
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: {FLOOD}\r\n\r\n");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let until_closed = "HTTP/1.1 200 OK\r\n\r\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let letters = "a".repeat(1000);
    [
        ("values, announced", Reply::Flood(format!("{announced}{first}"), more.to_owned())),
        ("values, chunked", Reply::Flood(format!("{chunked}{}", chunk(first)), chunk(more))),
        ("values, until the connection is closed", Reply::Flood(format!("{until_closed}{first}"), more.to_owned())),
        ("a string, announced", Reply::Flood(format!("{announced}{first}\""), letters.clone())),
        ("a string, chunked", Reply::Flood(format!("{chunked}{}", chunk(&format!("{first}\""))), chunk(&letters))),
        ("white space", Reply::Flood(announced, "\n ".to_owned())),
        ("words of a refusal", Reply::Flood(format!("HTTP/1.1 500 No\r\nContent-Length: {FLOOD}\r\n\r\n"), letters)),
    ]
}

/// Asserts that a run takes far less memory than the response has.
#[track_caller]
fn assert_small(output: &Output) {
    assert!(0 < output.peak && output.peak < 100 << 20, "{} MiB of memory in {output}", output.peak >> 20);
}

/// Returns stderr of a run that prints nothing and takes little memory.
fn diagnostics_of_a_small_run(engine: &FakeEngine) -> String {
    let output = Agent::with_docker_host(&engine.host()).run("run gostats --filter name=api").exits(1);
    assert_small(&output);
    assert_eq!(output.stdout, "", "{output}");
    output.stderr.replace(&engine.host(), "ENGINE")
}

#[test]
fn endless_list_is_one_line_and_takes_little_memory() {
    let _load = load::timed();
    let entry = format!("{},", container("api", "127.0.0.1", 1));
    let diagnostics = floods("[", &entry).map(|(what, flood)| {
        let engine = FakeEngine::replying(move |_| flood.clone());
        format!("{what}\n    {}", diagnostics_of_a_small_run(&engine))
    });
    insta::assert_snapshot!(diagnostics.concat(), @"
    values, announced
        mackerel-plugin-wasm: list of the container engine at ENGINE exceeds 32 MiB (fixed limit): shorten it with --filter
    values, chunked
        mackerel-plugin-wasm: list of the container engine at ENGINE exceeds 32 MiB (fixed limit): shorten it with --filter
    values, until the connection is closed
        mackerel-plugin-wasm: list of the container engine at ENGINE exceeds 32 MiB (fixed limit): shorten it with --filter
    a string, announced
        mackerel-plugin-wasm: list of the container engine at ENGINE exceeds 32 MiB (fixed limit): shorten it with --filter
    a string, chunked
        mackerel-plugin-wasm: list of the container engine at ENGINE exceeds 32 MiB (fixed limit): shorten it with --filter
    white space
        mackerel-plugin-wasm: list of the container engine at ENGINE exceeds 32 MiB (fixed limit): shorten it with --filter
    words of a refusal
        mackerel-plugin-wasm: list of the container engine at ENGINE exceeds 32 MiB (fixed limit): shorten it with --filter
    ");
}

#[test]
fn endless_response_head_is_one_line_and_takes_little_memory() {
    let flood = Reply::Flood("HTTP/1.1 200 OK\r\n".to_owned(), "Field: value\r\n".to_owned());
    let engine = FakeEngine::replying(move |_| flood.clone());
    insta::assert_snapshot!(diagnostics_of_a_small_run(&engine), @"mackerel-plugin-wasm: unexpected response from ENGINE: not a container engine? (message head is too large)");
}

#[test]
fn endless_response_for_one_container_does_not_affect_others() {
    let diagnostics = floods("{\"Tomorrow\":[", "{\"a\":1},").map(|(what, flood)| {
        let of = |question: Request, options: &str| {
            let fleet = Fleet::of(&["api", "bad", "web"]);
            fleet.set_reply("bad", question, flood.clone());
            let output = fleet.run(&format!("--stats-source api {options}")).exits(0);
            assert_small(&output);
            for name in ["api", "web"] {
                let expected = if question == Request::Stats { 2 } else { 5 };
                assert_eq!(stats_of(&output, name).len(), expected, "{what}: {output}");
            }
            fleet.mask(&output.stderr)
        };
        let stats = of(Request::Stats, "--graphs memory");
        let inspect = of(Request::Inspect, "--graphs memory,restarts,health");
        format!("{what}\n    {stats}    {inspect}")
    });
    insta::assert_snapshot!(diagnostics.concat(), @"
    values, announced
        mackerel-plugin-wasm: docker: bad: response of the engine exceeds 1 MiB
        mackerel-plugin-wasm: docker: bad: collector stderr: omitted restarts and health: response of the engine exceeds 1 MiB
    mackerel-plugin-wasm: docker: bad: no counters: the start time of the container is unknown: response of the engine exceeds 1 MiB
    values, chunked
        mackerel-plugin-wasm: docker: bad: response of the engine exceeds 1 MiB
        mackerel-plugin-wasm: docker: bad: collector stderr: omitted restarts and health: response of the engine exceeds 1 MiB
    mackerel-plugin-wasm: docker: bad: no counters: the start time of the container is unknown: response of the engine exceeds 1 MiB
    values, until the connection is closed
        mackerel-plugin-wasm: docker: bad: response of the engine exceeds 1 MiB
        mackerel-plugin-wasm: docker: bad: collector stderr: omitted restarts and health: response of the engine exceeds 1 MiB
    mackerel-plugin-wasm: docker: bad: no counters: the start time of the container is unknown: response of the engine exceeds 1 MiB
    a string, announced
        mackerel-plugin-wasm: docker: bad: response of the engine exceeds 1 MiB
        mackerel-plugin-wasm: docker: bad: collector stderr: omitted restarts and health: response of the engine exceeds 1 MiB
    mackerel-plugin-wasm: docker: bad: no counters: the start time of the container is unknown: response of the engine exceeds 1 MiB
    a string, chunked
        mackerel-plugin-wasm: docker: bad: response of the engine exceeds 1 MiB
        mackerel-plugin-wasm: docker: bad: collector stderr: omitted restarts and health: response of the engine exceeds 1 MiB
    mackerel-plugin-wasm: docker: bad: no counters: the start time of the container is unknown: response of the engine exceeds 1 MiB
    white space
        mackerel-plugin-wasm: docker: bad: response of the engine exceeds 1 MiB
        mackerel-plugin-wasm: docker: bad: collector stderr: omitted restarts and health: response of the engine exceeds 1 MiB
    mackerel-plugin-wasm: docker: bad: no counters: the start time of the container is unknown: response of the engine exceeds 1 MiB
    words of a refusal
        mackerel-plugin-wasm: docker: bad: response of the engine exceeds 1 MiB
        mackerel-plugin-wasm: docker: bad: collector stderr: omitted restarts and health: response of the engine exceeds 1 MiB
    mackerel-plugin-wasm: docker: bad: no counters: the start time of the container is unknown: response of the engine exceeds 1 MiB
    ");
}

#[test]
fn run_after_a_dropped_connection_keeps_its_rates() {
    let list = |containers: &[Value]| json!(containers).to_string();
    let stub_target = StubTarget::serving(stats::body(0, 1));
    let containers = vec![container("api", "127.0.0.1", stub_target.port()), container("web", "127.0.0.1", 1)];
    let body = list(&containers);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let deaths = [
        ("before the head", String::new()),
        ("in the status line", head[..10].to_owned()),
        ("in the head", head[..40].to_owned()),
        ("behind the head", head.clone()),
        ("in the body", format!("{head}{}", &body[..body.len() / 2])),
        ("before the last byte", format!("{head}{}", &body[..body.len() - 1])),
        ("in a chunk", format!("{chunked}{:x}\r\n{}", body.len(), &body[..body.len() / 2])),
        ("between two chunks", format!("{chunked}{:x}\r\n{body}\r\n", body.len())),
    ];
    let containers = vec![containers[0].clone()];
    let diagnostics = deaths.map(|(where_, bytes)| {
        let dead = Arc::new(Mutex::new(false));
        let (dies, containers) = (Arc::clone(&dead), containers.clone());
        let engine = FakeEngine::replying(move |path| {
            if *dies.lock().expect("no reply panics") {
                Reply::Raw(bytes.clone())
            } else {
                fake_engine::default_reply(&containers, path)
            }
        });
        let agent = Agent::with_docker_host(&engine.host());
        let run = |code: i32| agent.run("run gostats").exits(code);
        let second = 1_000_000_000;
        let (before, after) = (stats::body(second, 1000), stats::body(31 * second, 1007));
        stub_target.serve(before.clone());
        stats::assert_same(&run(0).without_diagnostics().metrics().of(&stub_target.key()), &stats::gauges(&before));
        *dead.lock().expect("no reply panics") = true;
        let broken = run(1);
        assert_eq!(broken.stdout, "", "{where_}: {broken}");
        *dead.lock().expect("no reply panics") = false;
        stub_target.serve(after.clone());
        agent.let_pass(Duration::from_secs(30));
        stats::assert_same(
            &run(0).without_diagnostics().metrics().of(&stub_target.key()),
            &stats::all(&before, &after),
        );
        format!("{where_}\n    {}", broken.stderr.replace(&engine.host(), "ENGINE"))
    });
    insta::assert_snapshot!(diagnostics.concat(), @"
    before the head
        mackerel-plugin-wasm: no response from the container engine at ENGINE: connection closed before message completed (--docker-host or DOCKER_HOST selects another engine)
    in the status line
        mackerel-plugin-wasm: no response from the container engine at ENGINE: connection closed before message completed (--docker-host or DOCKER_HOST selects another engine)
    in the head
        mackerel-plugin-wasm: no response from the container engine at ENGINE: connection closed before message completed (--docker-host or DOCKER_HOST selects another engine)
    behind the head
        mackerel-plugin-wasm: unexpected response from ENGINE: not a container engine? (end of file before message length reached)
    in the body
        mackerel-plugin-wasm: unexpected response from ENGINE: not a container engine? (end of file before message length reached)
    before the last byte
        mackerel-plugin-wasm: unexpected response from ENGINE: not a container engine? (end of file before message length reached)
    in a chunk
        mackerel-plugin-wasm: unexpected response from ENGINE: not a container engine? (end of file before message length reached)
    between two chunks
        mackerel-plugin-wasm: unexpected response from ENGINE: not a container engine? (unexpected EOF during chunk size line)
    ");
}

#[test]
fn slow_engine_is_given_up_in_time() {
    let _load = load::timed();
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let containers = vec![container("api", "127.0.0.1", stub_target.port())];
    let engine = FakeEngine::replying(move |path| match fake_engine::default_reply(&containers, path) {
        Reply::Whole(_, list) => Reply::Drip(list),
        other => other,
    });
    let output = Agent::with_docker_host(&engine.host()).run("run gostats --deadline 1s").exits(1);
    assert_eq!(output.stdout, "", "{output}");
    let list = output.stderr.replace(&engine.host(), "ENGINE");

    let fleet = Fleet::of(&["api", "bad"]);
    fleet.set_reply("bad", Request::Stats, Reply::Drip("{}".repeat(1000)));
    let output = fleet.run("--stats-source api --graphs memory --timeout 1s").exits(0);
    assert_eq!(stats_of(&output, "api").len(), 2, "{output}");
    let stats = output.stderr;

    let fleet = Fleet::of(&["api", "bad"]);
    fleet.set_reply("bad", Request::Inspect, Reply::Drip("{}".repeat(1000)));
    let output = fleet.run("--stats-source api --graphs memory,restarts,health --timeout 3s").exits(0);
    assert_eq!(stats_of(&output, "api").len(), 5, "{output}");
    insta::assert_snapshot!([list, stats, output.stderr].concat(), @"
    mackerel-plugin-wasm: no response from the container engine at ENGINE when the run's deadline of 1s passed (--deadline)
    mackerel-plugin-wasm: docker: bad: no response from the engine after 1s (--timeout)
    mackerel-plugin-wasm: docker: bad: collector stderr: omitted restarts and health: no response from the engine after 1s
    mackerel-plugin-wasm: docker: bad: no counters: the start time of the container is unknown: no response from the engine after 1s
    ");
}

#[test]
fn many_nearly_empty_entries_are_one_line_and_take_little_memory() {
    let diagnostics = [(1_000_000, ""), (50_000, ""), (50_000, "f00d".repeat(12).as_str())].map(|(count, id)| {
        let entries: Vec<_> = (0..count).map(|number| format!("{{\"Id\":\"{id}+{number}\"}}")).collect();
        let list = format!("[{}]", entries.join(","));
        let engine = FakeEngine::replying(move |_| Reply::Whole(200, list.clone()));
        diagnostics_of_a_small_run(&engine)
    });
    insta::assert_snapshot!(diagnostics.concat(), @"
    mackerel-plugin-wasm: list of the container engine at ENGINE exceeds 50000 containers (fixed limit): shorten it with --filter
    mackerel-plugin-wasm: gostats: 50000 containers in the engine's list cannot be read: entry 1 (id '+0' is not 1 to 64 letters, digits and dashes), entry 2 (id '+1' is not 1 to 64 letters, digits and dashes), entry 3 (id '+2' is not 1 to 64 letters, digits and dashes), entry 4 (id '+3' is not 1 to 64 letters, digits and dashes), entry 5 (id '+4' is not 1 to 64 letters, digits and dashes) and 49995 more
    mackerel-plugin-wasm: gostats: 50000 containers in the engine's list cannot be read: entry 1 (id 'f00df00df00df00df00df00df00df00df00df00df00df00d+0' is not 1 to 64 letters, digits and dashes), entry 2 (id 'f00df00df00df00df00df00df00df00df00df00df00df00d+1' is not 1 to 64 letters, digits and dashes), entry 3 (id 'f00df00df00df00df00df00df00df00df00df00df00df00d+2' is not 1 to 64 letters, digits and dashes), entry 4 (id 'f00df00df00df00df00df00df00df00df00df00df00df00d+3' is not 1 to 64 letters, digits and dashes), entry 5 (id 'f00df00df00df00df00df00df00df00df00df00df00df00d+4' is not 1 to 64 letters, digits and dashes) and 49995 more
    ");
}

#[test]
fn fifty_thousand_nearly_empty_containers_take_little_memory() {
    let entries: Vec<_> = (0..50_000).map(|number| format!("{{\"Id\":\"{number:064}\"}}")).collect();
    let list = format!("[{}]", entries.join(","));
    let engine = FakeEngine::replying(move |_| Reply::Whole(200, list.clone()));
    let output = Agent::with_docker_host(&engine.host()).run("run gostats").exits(0).without_diagnostics();
    assert_small(&output);
}

#[test]
fn matching_container_is_found_among_ten_thousand() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let containers = (0..10_000).map(|number| {
        let mut other = container(&format!("other-{number}"), "127.0.0.1", 1);
        other["State"] = json!("paused");
        other
    });
    let api = container("api", "127.0.0.1", stub_target.port());
    let output = run_with(containers.chain([api]).collect(), "").exits(0).without_diagnostics();
    assert_eq!(output.metrics().instances(), [stub_target.port().to_string()]);
    assert_small(&output);
}
