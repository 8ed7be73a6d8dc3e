//! Engines that are not there, do not answer, refuse, or tell odd things.

use std::fs;
use std::time::Duration;

use scenarios::agent::{Agent, Output};
use scenarios::fake_engine::{self, FakeEngine, container};
use scenarios::http::Reply;
use scenarios::stand_in::StandIn;
use scenarios::{mask, stats};
use serde_json::{Value, json};

/// Runs beside a fake and shows its stderr.
fn complaint(engine: &FakeEngine, code: i32) -> String {
    let output = Agent::on(&engine.host()).values("run gostats --filter name=api").exits(code);
    assert_eq!(output.stdout, "", "{output}");
    output.stderr.replace(&engine.host(), "ENGINE").replace(engine.host().trim_start_matches("unix://"), "SOCKET")
}

fn run_with(containers: Vec<Value>, options: &str) -> Output {
    let engine = FakeEngine::with_containers(containers);
    Agent::on(&engine.host()).values(&format!("run gostats {options}"))
}

#[test]
fn no_engine_is_one_line_that_says_what_was_tried_and_what_to_do() {
    let hosts = [
        "unix:///nonexistent/docker.sock",
        "tcp://127.0.0.1:1",
        "http://127.0.0.1:1",
        "tcp://no-such-host.invalid:2375",
    ];
    let complaints = hosts.map(|host| {
        let output = Agent::on(host).values("run gostats --filter name=api").exits(1);
        assert_eq!(output.stdout, "");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        output.stderr
    });
    insta::assert_snapshot!(complaints.concat(), @"
    mackerel-plugin-wasm: no answer from the container engine at unix:///nonexistent/docker.sock: there is no socket /nonexistent/docker.sock; is it running, and may this user reach it? (--docker-host or DOCKER_HOST choose another one)
    mackerel-plugin-wasm: no answer from the container engine at tcp://127.0.0.1:1: Connection refused (os error 111); is it running, and may this user reach it? (--docker-host or DOCKER_HOST choose another one)
    mackerel-plugin-wasm: no answer from the container engine at http://127.0.0.1:1: Connection refused (os error 111); is it running, and may this user reach it? (--docker-host or DOCKER_HOST choose another one)
    mackerel-plugin-wasm: no answer from the container engine at tcp://no-such-host.invalid:2375: failed to lookup address information: Name or service not known; is it running, and may this user reach it? (--docker-host or DOCKER_HOST choose another one)
    ");
}

#[test]
fn an_address_that_is_none_is_refused() {
    let output = Agent::on("nonsense").values("run gostats").exits(2);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(output.stderr, @"mackerel-plugin-wasm: 'nonsense' is no engine's address: expected unix:///PATH or tcp://HOST:PORT in --docker-host or DOCKER_HOST");
}

#[test]
fn the_option_wins_over_the_environment() {
    let stand_in = StandIn::telling(stats::body(1, 1));
    let engine = FakeEngine::with_containers(vec![container("api", "127.0.0.1", stand_in.port())]);
    let output = Agent::alone().values(&format!("run gostats --docker-host {}", engine.host()));
    assert_eq!(output.exits(0).without_complaint().metrics().count(), 9);
}

#[test]
fn a_socket_without_an_engine_behind_it_is_one_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("docker.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket in a new folder"));
    let output = Agent::on(&format!("unix://{}", path.display())).values("run gostats").exits(1);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(mask::path(&output.stderr, folder.path(), "FOLDER"), @"mackerel-plugin-wasm: no answer from the container engine at unix://FOLDER/docker.sock: Connection refused (os error 111); is it running, and may this user reach it? (--docker-host or DOCKER_HOST choose another one)");
}

#[test]
fn a_file_in_the_sockets_place_is_one_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("docker.sock");
    fs::write(&path, "").expect("a file in a new folder");
    let output = Agent::on(&format!("unix://{}", path.display())).values("run gostats").exits(1);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(mask::path(&output.stderr, folder.path(), "FOLDER"), @"mackerel-plugin-wasm: no answer from the container engine at unix://FOLDER/docker.sock: Connection refused (os error 111); is it running, and may this user reach it? (--docker-host or DOCKER_HOST choose another one)");
}

#[test]
fn an_engine_that_never_answers_is_given_up_at_the_deadline() {
    let engine = FakeEngine::answering(|_| Reply::Silence);
    let output = Agent::on(&engine.host()).values("run gostats --filter name=api --deadline 2s").exits(1);
    assert!(output.elapsed < Duration::from_secs(2 + 5), "{output}");
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(output.stderr.replace(&engine.host(), "ENGINE"), @"mackerel-plugin-wasm: no answer from the container engine at ENGINE: none had come when the run's 2s were over (--deadline); is it running, and may this user reach it? (--docker-host or DOCKER_HOST choose another one)");
}

#[test]
fn an_engine_that_never_answers_is_given_up_at_a_signal() {
    let engine = FakeEngine::answering(|_| Reply::Silence);
    let agent = Agent::on(&engine.host());
    let running = agent.start("run gostats --filter name=api");
    running.until_idle();
    running.signal(rustix::process::Signal::TERM);
    let output = running.output().exits(1);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(output.stderr.replace(&engine.host(), "ENGINE"), @"mackerel-plugin-wasm: no answer from the container engine at ENGINE: none had come when SIGTERM came; is it running, and may this user reach it? (--docker-host or DOCKER_HOST choose another one)");
}

#[test]
fn an_engine_that_fails_is_told_with_its_words() {
    let fails = |_: &str| Reply::Whole(500, json!({"message": "the daemon is on fire"}).to_string());
    insta::assert_snapshot!(complaint(&FakeEngine::answering(fails), 1), @"mackerel-plugin-wasm: the container engine at ENGINE answered 500: the daemon is on fire");
}

#[test]
fn an_engine_that_speaks_html_is_told() {
    let speaks_html = |_: &str| Reply::Whole(200, "<html>Sign in</html>".to_owned());
    insta::assert_snapshot!(complaint(&FakeEngine::answering(speaks_html), 1), @"mackerel-plugin-wasm: what answers at ENGINE is no container engine, or broke off: Failed to deserialize JSON: expected value at line 1 column 1");
}

#[test]
fn half_a_list_is_no_list() {
    let containers = vec![container("api", "127.0.0.1", 1), container("web", "127.0.0.1", 2)];
    let engine = FakeEngine::answering(move |path| match fake_engine::well_behaved(&containers, path) {
        Reply::Whole(200, list) if list.starts_with('[') => Reply::Half(list),
        other => other,
    });
    insta::assert_snapshot!(complaint(&engine, 1), @"mackerel-plugin-wasm: what answers at ENGINE is no container engine, or broke off: end of file before message length reached");
}

#[test]
fn an_engine_that_finds_the_program_too_old_or_too_new_is_told_with_its_words() {
    let refuses = |words: &'static str| {
        let engine = FakeEngine::answering(move |path| {
            if path.contains("/containers/") {
                Reply::Whole(400, json!({"message": words}).to_string())
            } else {
                fake_engine::well_behaved(&[], path)
            }
        });
        complaint(&engine, 1)
    };
    let complaints = [
        refuses(
            "client version 1.24 is too old. Minimum supported API version is 1.44, please upgrade your client to a newer version",
        ),
        refuses("client version 1.99 is too new. Maximum supported API version is 1.41"),
    ];
    insta::assert_snapshot!(complaints.concat(), @"
    mackerel-plugin-wasm: the container engine at ENGINE answered 400: client version 1.24 is too old. Minimum supported API version is 1.44, please upgrade your client to a newer version
    mackerel-plugin-wasm: the container engine at ENGINE answered 400: client version 1.99 is too new. Maximum supported API version is 1.41
    ");
}

#[test]
fn the_api_version_is_one_that_the_engine_takes() {
    for (oldest, newest) in [("1.12", "1.41"), ("1.24", "1.30"), ("1.44", "1.52")] {
        let stand_in = StandIn::telling(stats::body(1, 1));
        let containers = vec![container("api", "127.0.0.1", stand_in.port())];
        let engine = FakeEngine::speaking(oldest, newest, containers);
        let output = Agent::on(&engine.host()).values("run gostats");
        assert_eq!(output.exits(0).without_complaint().metrics().count(), 9, "{oldest} to {newest}");
    }
}

#[test]
fn what_a_container_does_not_tell_is_done_without() {
    let stand_in = StandIn::telling(stats::body(1, 1));
    let port = stand_in.port();
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
fn containers_without_ports_are_passed_over() {
    let stand_in = StandIn::telling(stats::body(1, 1));
    let mut null = container("null", "127.0.0.1", 1);
    null["Ports"] = json!(null);
    let mut empty = container("empty", "127.0.0.1", 1);
    empty["Ports"] = json!([]);
    let mut exposed = container("exposed", "127.0.0.1", 1);
    exposed["Ports"] = json!([{"PrivatePort": 8080, "Type": "tcp"}]);
    let containers = vec![null, empty, exposed, container("api", "127.0.0.1", stand_in.port())];
    let output = run_with(containers, "").exits(0).without_complaint();
    assert_eq!(output.metrics().instances(), [stand_in.port().to_string()]);
}

#[test]
fn a_container_that_vanished_since_the_list_is_one_line() {
    let stand_in = StandIn::telling(stats::body(1, 1));
    let containers = vec![container("gone", "127.0.0.1", 1), container("api", "127.0.0.1", stand_in.port())];
    let gone = containers[0]["Id"].as_str().expect("an id").to_owned();
    let engine = FakeEngine::answering(move |path| {
        if path.contains(&gone) {
            Reply::Whole(404, json!({"message": format!("No such container: {gone}")}).to_string())
        } else {
            fake_engine::well_behaved(&containers, path)
        }
    });
    let output = Agent::on(&engine.host()).values("run gostats").exits(0);
    assert_eq!(output.metrics().instances(), [stand_in.port().to_string()]);
    insta::assert_snapshot!(output.stderr, @"mackerel-plugin-wasm: gostats: gone (127.0.0.1:1): no connection: Connection refused (os error 111)");
}

#[test]
fn a_container_that_the_engine_hangs_on_or_denies_still_prints_its_gauges() {
    for (inspect, cause) in
        [(None, "no answer after 1s"), (Some(404), "it is gone"), (Some(500), "it answered 500 No such container")]
    {
        let stand_in = StandIn::telling(stats::body(1, 1));
        let containers = vec![container("api", "127.0.0.1", stand_in.port())];
        let engine = FakeEngine::answering(move |path| match (path.contains("/containers/json"), inspect) {
            (true, _) => fake_engine::well_behaved(&containers, path),
            (false, None) => Reply::Silence,
            (false, Some(status)) => Reply::Whole(status, json!({"message": "No such container"}).to_string()),
        });
        let agent = Agent::on(&engine.host());
        for _ in 0..2 {
            let output = agent.values("run gostats").exits(0);
            assert_eq!(output.metrics().count(), 9, "it is not known since when the counters count: {output}");
            let complaint = format!(
                "mackerel-plugin-wasm: gostats: api (127.0.0.1:{}): no counters, for the engine does not say when the container was started: {cause}",
                stand_in.port()
            );
            assert!(output.stderr.starts_with(&complaint) && output.stderr.lines().count() == 1, "{output}");
        }
    }
}

#[test]
fn names_cannot_forge_lines_or_steer_a_terminal() {
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
    mackerel-plugin-wasm: gostats: --instance-name gives no name of its own to \u{1b}[2Jb (127.0.0.1:1) and 3 more: the beginning of the container's id is put in
    mackerel-plugin-wasm: gostats: \u{1b}[2Jb (127.0.0.1:1): no connection: Connection refused (os error 111)
    mackerel-plugin-wasm: gostats: a\nmackerel-plugin-wasm: all is well (127.0.0.1:1): no connection: Connection refused (os error 111)
    mackerel-plugin-wasm: gostats: c\u{202e}d (127.0.0.1:1): no connection: Connection refused (os error 111)
    mackerel-plugin-wasm: gostats: e\tf\r (127.0.0.1:1): no connection: Connection refused (os error 111)
    ");
}
