//! The port and address at which a container is dialled.

use scenarios::agent::{Agent, Output};
use scenarios::engine::{Engine, Group};
use scenarios::fake_engine::{FakeEngine, container};
use scenarios::{mask, port, skip, stats};
use serde_json::json;

fn run(engine: &Engine, group: &Group, options: &str) -> Output {
    Agent::with_engine(engine).run(&format!("run gostats --filter {} --path /stats {options}", group.filter()))
}

#[test]
fn different_ipv4_and_ipv6_ports_are_each_dialled_at_their_address() {
    let Some(engine) = Engine::find() else { return };
    if !skip::has_ipv6("ports that are bound to IPv6") {
        return;
    }
    let group = engine.group();
    let [four, six] = [port::free(), port::free()];
    // Crosswise, so that the port of one family at the address of the other belongs to the wrong container.
    let one = group.app_with("one", &format!("--publish 127.0.0.1:{four}:8080 --publish [::1]:{six}:8080"));
    let two = group.app_with("two", &format!("--publish 127.0.0.1:{six}:8080 --publish [::1]:{four}:8080"));
    let metrics = run(engine, &group, "--instance-name name").exits(0).without_diagnostics().metrics();
    for app in [&one, &two] {
        let [served] = &app.served()[..] else { panic!("{} did not get one request", app.name()) };
        stats::assert_same(&metrics.of(&format!("gostats.{}", app.name())), &stats::gauges(served));
    }
}

#[test]
fn ipv6_only_port_is_dialled_over_ipv6() {
    let Some(engine) = Engine::find() else { return };
    if !skip::has_ipv6("ports that are bound to IPv6") {
        return;
    }
    let group = engine.group();
    let app = group.app_with("six", &format!("--publish [::1]:{}:8080", port::free()));
    assert!(app.address().is_ipv6());
    let metrics = run(engine, &group, "").exits(0).without_diagnostics().metrics();
    stats::assert_same(&metrics.of(&app.key()), &stats::gauges(&app.last_served()));
}

#[test]
fn port_published_twice_is_one_target() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let app = group.app_with("twice", &format!("--publish 8080 --publish 127.0.0.1:{}:8080", port::free()));
    let metrics = run(engine, &group, "").exits(0).without_diagnostics().metrics();
    assert_eq!(metrics.instances().len(), 1);
    assert_eq!(app.served().len(), 1, "more than one request");
}

#[test]
fn several_ports_require_a_choice() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let several = group.app_with("several", "--publish 9090 --publish 8080 --publish 5353/udp");
    let single = group.app("single");

    let output = run(engine, &group, "").exits(0);
    assert_eq!(
        output.metrics().instances(),
        [single.address().port().to_string()],
        "only the other container is printed"
    );
    insta::assert_snapshot!(group.mask(&output.stderr), @"mackerel-plugin-wasm: gostats: several: publishes several ports (8080, 9090): choose one, such as --container-port 8080");

    let metrics = run(engine, &group, "--container-port 8080").exits(0).without_diagnostics().metrics();
    stats::assert_same(&metrics.of(&several.key()), &stats::gauges(&several.last_served()));
    assert_eq!(metrics.instances().len(), 2);
}

#[test]
fn container_without_the_port_is_skipped() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let right = group.app("right");
    let _without = group.app_at("without", "--publish 9090", ":7070");
    let _udp = group.app_at("udp", "--publish 8080/udp", ":7070");
    let _nothing = group.app_at("nothing", "", ":7070");
    let output = run(engine, &group, "--container-port 9999").exits(0);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(output.stderr, @"mackerel-plugin-wasm: gostats: no container has TCP port 9999 (--container-port); available: 8080, 9090");
    let metrics =
        run(engine, &group, "--filter name=udp --filter name=nothing").exits(0).without_diagnostics().metrics();
    assert_eq!(metrics.count(), 0);

    let output = run(engine, &group, "--container-port 8080 --verbose").exits(0);
    assert_eq!(output.metrics().instances(), [right.address().port().to_string()]);
    insta::assert_snapshot!(group.mask(&mask::ports(&output.stderr)), @"
    mackerel-plugin-wasm: gostats: nothing: skipped: has no TCP port 8080; the container listens on 7070: try --container-port 7070
    mackerel-plugin-wasm: gostats: udp: skipped: has no TCP port 8080; the container listens on 7070: try --container-port 7070
    mackerel-plugin-wasm: gostats: without: skipped: has no TCP port 8080; the container listens on 7070: try --container-port 7070
    ");
}

#[test]
fn paused_container_is_skipped_silently() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let [awake, paused] = ["awake", "paused"].map(|name| group.app(name));
    paused.pause();
    let metrics = run(engine, &group, "").exits(0).without_diagnostics().metrics();
    assert_eq!(metrics.instances(), [awake.address().port().to_string()]);
    let output = run(engine, &group, "--verbose").exits(0);
    let [line] = &output.stderr.lines().collect::<Vec<_>>()[..] else { panic!("not one line: {output}") };
    assert!(line.contains(paused.name()) && line.contains("(Paused)"), "{output}");
}

#[test]
fn host_network_container_is_dialled_at_the_hosts_port() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let port = port::free();
    let app = group.app_in_host_network("host", port);
    let metrics = run(engine, &group, &format!("--container-port {port}")).exits(0).without_diagnostics().metrics();
    stats::assert_same(&metrics.of(&app.key()), &stats::gauges(&app.last_served()));

    let metrics = run(engine, &group, "").exits(0).without_diagnostics().metrics();
    assert_eq!(metrics.count(), 0, "the port is not known");
}

#[test]
fn exposed_port_is_dialled_at_the_containers_address() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let app = group.app_with("exposed", "--expose 8080");
    let metrics =
        run(engine, &group, "--container-port 8080 --instance-name name").exits(0).without_diagnostics().metrics();
    stats::assert_same(&metrics.of(&format!("gostats.{}", app.name())), &stats::gauges(&app.last_served()));
}

#[test]
fn ten_thousand_ports_are_one_short_line() {
    let mut busy = container("busy", "127.0.0.1", 1);
    let port = |number: u16| json!({"IP": "0.0.0.0", "PrivatePort": number, "PublicPort": number, "Type": "tcp"});
    busy["Ports"] = [21].into_iter().chain(30_000..40_000).map(port).collect();
    let mut odd = container("odd", "127.0.0.1", 1);
    odd["Ports"] = (1..=20_001).step_by(2).map(port).collect();
    let engine = FakeEngine::with_containers(vec![busy, odd]);
    let agent = || Agent::with_docker_host(&engine.host());
    insta::assert_snapshot!(agent().run("run gostats").exits(1).stderr, @"
    mackerel-plugin-wasm: gostats: busy: publishes several ports (21, 30000-39999): choose one, such as --container-port 21
    mackerel-plugin-wasm: gostats: odd: publishes several ports (1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 35, 37, 39 and 9981 more): choose one, such as --container-port 1
    ");
    insta::assert_snapshot!(agent().run("run gostats --container-port 40000").exits(0).stderr, @"mackerel-plugin-wasm: gostats: no container has TCP port 40000 (--container-port); available: 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 35, 37, 39 and 9982 more");
}
