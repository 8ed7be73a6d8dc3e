//! The address at which a container is reached: its own, or the published one.

use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use scenarios::agent::{Agent, Output, UNUSED_GROUP, program};
use scenarios::engine::{Container, Engine, Group};
use scenarios::fake_engine::{FakeEngine, container, listed};
use scenarios::http::{self, Reply};
use scenarios::namespaced_engine::NamespacedEngine;
use scenarios::proxy::{EngineProxy, Passing};
use scenarios::server::Server;
use scenarios::stub_target::StubTarget;
use scenarios::{mask, port, skip, stats, wait};
use serde_json::{Value, json};

fn run(engine: &Engine, group: &Group, options: &str) -> Output {
    Agent::with_engine(engine).run(&format!("run gostats --path /stats --filter {} {options}", group.filter()))
}

/// Returns a line for each container of the group: name, address in use, name in metrics, and the reason, with those of
/// all other addresses. Own addresses are replaced by `OWN`, and host ports by `PORT`.
#[track_caller]
fn explained(engine: &Engine, group: &Group, options: &str) -> String {
    explained_by(&Agent::with_engine(engine), group, options)
}

#[track_caller]
fn explained_by(agent: &Agent, group: &Group, options: &str) -> String {
    let words = format!("explain gostats --path /stats --filter {} --json {options}", group.filter());
    let output = agent.run(&words);
    let explanation: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    rows(group, &explanation)
}

/// Returns the lines of an explanation.
fn rows(group: &Group, explanation: &Value) -> String {
    let of_group = |row: &&Value| row["container"]["name"].as_str().is_some_and(|name| group.mask(name) != name);
    let rows = explanation["containers"].as_array().expect("a list").iter().filter(of_group);
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let lines = rows.map(|row| {
        let name = group.mask(&text(&row["container"]["name"]));
        let mut line = format!("{name}: {} as {}: {}\n", text(&row["address"]), text(&row["name"]), text(&row["why"]));
        for other in row["addresses"].as_array().into_iter().flatten().filter(|other| other["outcome"] != "used") {
            let [address, outcome, reason] = ["address", "outcome", "reason"].map(|field| text(&other[field]));
            line.extend(["  ", &address, " ", outcome.as_str(), ": ", &reason, "\n"]);
        }
        let notes = row["warnings"].as_array().into_iter().flatten().chain([&row["error"]]);
        let notes = notes.filter_map(Value::as_str).filter(|note| *note != row["why"]);
        line.extend(notes.map(|note| format!("  note: {note}\n")));
        line
    });
    masked(group, &lines.collect::<String>().replace(&format!("--filter {}", group.filter()), "FILTER"))
}

/// Replaces host ports, which the engine takes from 32768 on, and the addresses of the networks that a scenario makes.
fn masked(group: &Group, text: &str) -> String {
    let mut masked = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, masked: &mut String| {
        let is_host_port = word.parse::<u16>().is_ok_and(|port| port >= 32_768);
        masked.push_str(if is_host_port { "PORT" } else { word });
        word.clear();
    };
    for letter in group.mask(text).chars() {
        if letter.is_ascii_digit() {
            word.push(letter);
        } else {
            flush(&mut word, &mut masked);
            masked.push(letter);
        }
    }
    flush(&mut word, &mut masked);
    masked
}

/// Asserts that the run printed the last response of each of these apps, under the name of its published port.
#[track_caller]
fn assert_collected(output: &Output, apps: &[&Container]) {
    let metrics = output.metrics();
    for app in apps {
        stats::assert_same(&metrics.of(&app.key()), &stats::gauges(&app.last_served()));
    }
    assert_eq!(metrics.instances().len(), apps.len(), "{output}");
}

/// Rules of the firewall that reject or drop connections of one group of users to an address, until they are dropped.
/// The engine's proxy, which runs as another group, is not affected.
struct Blocked(Vec<String>);

impl Blocked {
    fn new(address: IpAddr, action: &str) -> Option<Blocked> {
        let address = address.to_string();
        let rule = ["OUTPUT", "-d", &address, "-p", "tcp", "-m", "owner", "--gid-owner", UNUSED_GROUP, "-j", action];
        let blocked = Blocked(rule.map(str::to_owned).to_vec());
        if let Err(cause) = blocked.change("-I") {
            std::mem::forget(blocked);
            skip::notice(&format!("iptables fails: {cause}"), "scenarios with a firewall");
            return None;
        }
        Some(blocked)
    }

    fn change(&self, command: &str) -> Result<(), String> {
        let output = Command::new("iptables").arg("-w").arg(command).args(&self.0).output();
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.change("-D").expect("the rule is removed");
    }
}

#[test]
fn own_address_is_used_and_names_stay_those_of_published_ports() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let app = group.app("app");
    for options in ["", "--address direct", "--address published"] {
        assert_collected(&run(engine, &group, options).exits(0).without_diagnostics(), &[&app]);
    }
    insta::assert_snapshot!(explained(engine, &group, ""), @"
    app: OWN:8080 as PORT: the only published port, its own address on network bridge
      127.0.0.1:PORT not needed: bound to 0.0.0.0
    ");
    insta::assert_snapshot!(explained(engine, &group, "--address direct"), @"
    app: OWN:8080 as PORT: the only published port, its own address on network bridge
      127.0.0.1:PORT not usable: --address direct
    ");
    insta::assert_snapshot!(explained(engine, &group, "--address published"), @"
    app: 127.0.0.1:PORT as PORT: the only published port, bound to 0.0.0.0
      OWN:8080 not usable: --address published
    ");
}

#[test]
fn counters_go_on_when_the_address_changes() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let app = group.app("app");
    let agent = Agent::with_engine(engine);
    let words = format!("run gostats --path /stats --filter {}", group.filter());
    let _ = agent.run(&format!("{words} --address published")).exits(0);
    agent.let_pass(Duration::from_mins(1));
    let output = agent.run(&words).exits(0);
    let rates = ["runtime.cgo_call_num", "operation.memory_mallocs"];
    let metrics = output.metrics().of(&app.key());
    assert!(rates.iter().all(|rate| metrics.contains_key(*rate)), "{output}");
}

#[test]
fn port_that_is_not_published_is_found_if_the_container_listens_on_it() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let _chosen = group.app_at("chosen", "", ":9999");
    let _other = group.app_at("other", "", ":9998");
    let _published = group.app("published");
    let output = run(engine, &group, "--container-port 9999").exits(0);
    assert_eq!(output.metrics().instances(), ["9999"]);
    insta::assert_snapshot!(explained(engine, &group, "--container-port 9999"), @"
    chosen: OWN:9999 as 9999: --container-port, its own address on network bridge
    other: - as -: has no TCP port 9999; the container listens on 9998: try --container-port 9998
    published: - as -: has no TCP port 9999; the container listens on 8080: try --container-port 8080
    ");
    insta::assert_snapshot!(explained(engine, &group, ""), @"
    published: OWN:8080 as PORT: the only published port, its own address on network bridge
      127.0.0.1:PORT not needed: bound to 0.0.0.0
    chosen: - as -: publishes no TCP port; the container listens on 9999: try --container-port 9999
    other: - as -: publishes no TCP port; the container listens on 9998: try --container-port 9998
    ");
}

#[test]
fn dead_port_is_refused_and_the_hint_names_the_right_one() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let _app = group.app_at("app", "--publish 8080", ":9999");
    let _loopback = group.app_at("loopback", "--publish 8080", "127.0.0.1:8080");
    let output = run(engine, &group, "").exits(1);
    insta::assert_snapshot!(masked(&group, &output.stderr), @"
    mackerel-plugin-wasm: gostats: app (OWN:8080): connection failed: Connection refused (os error 111); the container listens on 9999: try --container-port 9999
    mackerel-plugin-wasm: gostats: loopback (OWN:8080): connection failed: Connection refused (os error 111); the container listens on port 8080 only at its own loopback address
    ");
    // docker-proxy accepts the connection, and closes it.
    let output = run(engine, &group, "--address published --filter name=app").exits(1);
    assert!(output.stderr.contains("the container listens on 9999: try --container-port 9999"), "{output}");
}

#[test]
fn network_that_is_reachable_comes_first() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let inner = group.network("inner", "--internal --subnet 198.18.217.0/24");
    let lan = group.macvlan("a-lan", "198.18.218", &inner);
    let app = group.app("app");
    group.connect(&inner, &app);
    group.connect(&lan, &app);
    insta::assert_snapshot!(explained(engine, &group, ""), @"
    app: OWN:8080 as PORT: the only published port, its own address on network bridge
      198.18.217.2:8080 not needed: its own address on network inner
      127.0.0.1:PORT not needed: bound to 0.0.0.0
      198.18.218.2:8080 not usable: not on a bridge of this machine (try --address direct)
    ");
    insta::assert_snapshot!(explained(engine, &group, &format!("--network {inner}")), @"
    app: 198.18.217.2:8080 as PORT: the only published port, its own address on network inner
      127.0.0.1:PORT not needed: bound to 0.0.0.0
      OWN:8080 not usable: on network bridge (--network)
      198.18.218.2:8080 not usable: on network a-lan (--network)
    ");
    insta::assert_snapshot!(explained(engine, &group, "--network nowhere"), @"
    app: 127.0.0.1:PORT as PORT: the only published port, bound to 0.0.0.0
      OWN:8080 not usable: on network bridge (--network)
      198.18.218.2:8080 not usable: on network a-lan (--network)
      198.18.217.2:8080 not usable: on network inner (--network)
    ");
    insta::assert_snapshot!(explained(engine, &group, "--network nowhere --address direct"), @"app: - as -: no usable address: OWN:8080: on network bridge (--network), 198.18.218.2:8080: on network a-lan (--network), 198.18.217.2:8080: on network inner (--network), 127.0.0.1:PORT: --address direct");
    let _inside = group.app_at("inside", &format!("--network {inner}"), ":8080");
    insta::assert_snapshot!(explained(engine, &group, "--container-port 8080"), @"
    app: OWN:8080 as PORT: --container-port, its own address on network bridge
      198.18.217.2:8080 not needed: its own address on network inner
      127.0.0.1:PORT not needed: bound to 0.0.0.0
      198.18.218.2:8080 not usable: not on a bridge of this machine (try --address direct)
    inside: 198.18.217.3:8080 as 8080: --container-port, its own address on network inner
    ");
}

#[test]
fn macvlan_cannot_be_reached() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let lan = group.macvlan("lan", "198.18.219", &group.network("parent", "--internal --subnet 198.18.215.0/24"));
    let _app = group.app_at("app", &format!("--network {lan} --publish 8080"), ":8080");
    insta::assert_snapshot!(explained(engine, &group, ""), @"app: - as -: publishes no TCP port; the container listens on 8080: try --container-port 8080");
    insta::assert_snapshot!(explained(engine, &group, "--container-port 8080 --timeout 500ms"), @"app: - as -: TCP port 8080 is not published: publish it; own address 198.18.219.2:8080: not on a bridge of this machine (try --address direct)");
}

#[test]
fn overlay_network_is_not_taken_for_a_lan_with_the_same_addresses() {
    let Some(engine) = NamespacedEngine::swarm() else { return };
    let group = engine.group();
    let network = group.network("overlay", "--driver overlay --attachable --subnet 198.18.252.0/24");
    let options = format!("--network {network} --ip 198.18.252.9 --publish 127.0.0.1::8080");
    let app = group.app_at("app", &options, ":8080");
    // Docker does not compare the networks of a swarm with those of the machine, which is on its LAN by a bridge. An
    // address of the bridge stands for another machine of the LAN, on which something else has the port.
    let listener = engine.within(|| {
        for words in ["link add mpwlan type bridge", "address add 198.18.252.9/24 dev mpwlan", "link set mpwlan up"] {
            let output = Command::new("ip").args(words.split(' ')).output().expect("ip can be started");
            assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
        }
        TcpListener::bind("198.18.252.9:8080").expect("an address of this machine")
    });
    let _other = http::serve(listener, |_| Reply::Whole(200, stats::body(1, 1).to_string()));
    let output = engine.agent().run(&format!("run gostats --path /stats --filter {}", group.filter()));
    let output = output.exits(0).without_diagnostics();
    engine.within(|| assert_collected(&output, &[&app]));
}

#[test]
fn port_that_is_not_published_is_reached_at_the_own_address_although_published_ones_are_chosen() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let app = group.app_at("app", "", ":8080");
    insta::assert_snapshot!(explained(engine, &group, "--container-port 8080 --address published"), @"app: OWN:8080 as 8080: --container-port, its own address on network bridge");
    let output = run(engine, &group, "--container-port 8080 --address published").exits(0).without_diagnostics();
    assert_collected(&output, &[&app]);
}

#[test]
fn ipvlan_cannot_be_reached() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    // The kernel can lack IPVLAN, so the list is replaced. Docker lists the router of the LAN as the gateway in the
    // mode l2, and none in the mode l3. It drops published ports unless the container is on a bridge network too.
    let ipvlan = |address: &str, gateway: &str| json!({"Gateway": gateway, "IPAddress": address, "IPPrefixLen": 24});
    let inner = group.network("inner", "--subnet 198.18.216.0/24");
    let [l2, l3] = ["l2", "l3"].map(|name| group.app_at(name, "--network none", ":8080"));
    let both = group.app_with("both", &format!("--network {inner} --ip 198.18.216.8 --publish 127.0.0.1::8080"));
    let mut of_both: Value = serde_json::from_str(&both.inspect("{{json .NetworkSettings.Networks}}")).expect("JSON");
    of_both["lan"] = ipvlan("198.18.246.10", "198.18.246.1");
    let port = json!([{"IP": "127.0.0.1", "PrivatePort": 8080, "PublicPort": both.address().port(), "Type": "tcp"}]);
    let fake = FakeEngine::with_containers(vec![
        listed(&l2, "lan", &json!([]), &json!({"lan": ipvlan("198.18.246.8", "198.18.246.1")})),
        listed(&l3, "routed", &json!([]), &json!({"routed": ipvlan("198.18.247.8", "")})),
        listed(&both, &inner, &port, &of_both),
    ]);
    let agent = || Agent::with_docker_host(&fake.host());
    insta::assert_snapshot!(explained_by(&agent(), &group, ""), @"
    both: 198.18.216.8:8080 as PORT: the only published port, its own address on network inner
      127.0.0.1:PORT not needed: bound to 127.0.0.1
      198.18.246.10:8080 not usable: not on a bridge of this machine (try --address direct)
    l2: - as -: publishes no TCP port; the container listens on 8080: try --container-port 8080
    l3: - as -: publishes no TCP port; the container listens on 8080: try --container-port 8080
    ");
    insta::assert_snapshot!(explained_by(&agent(), &group, "--container-port 8080"), @"
    both: 198.18.216.8:8080 as PORT: --container-port, its own address on network inner
      127.0.0.1:PORT not needed: bound to 127.0.0.1
      198.18.246.10:8080 not usable: not on a bridge of this machine (try --address direct)
    l2: - as -: TCP port 8080 is not published: publish it; own address 198.18.246.8:8080: not on a bridge of this machine (try --address direct)
    l3: - as -: TCP port 8080 is not published: publish it; own address 198.18.247.8:8080: not on a bridge of this machine (try --address direct)
    ");
    insta::assert_snapshot!(explained_by(&agent(), &group, "--network lan"), @"
    both: 127.0.0.1:PORT as PORT: the only published port, bound to 127.0.0.1
      198.18.246.10:8080 not usable: not on a bridge of this machine (try --address direct)
      198.18.216.8:8080 not usable: on network inner (--network)
    l2: - as -: publishes no TCP port; the container listens on 8080: try --container-port 8080
    l3: - as -: publishes no TCP port; the container listens on 8080: try --container-port 8080
    ");
    for options in ["", "--container-port 8080", "--network lan"] {
        let output = agent().run(&format!("run gostats --path /stats --filter {} {options}", group.filter()));
        assert_collected(&output.exits(0).without_diagnostics(), &[&both]);
    }
}

#[test]
fn overlay_network_is_reached_only_at_published_ports() {
    let Some(engine) = NamespacedEngine::swarm() else { return };
    let group = engine.group();
    let network = group.network("overlay", "--driver overlay --attachable --subnet 198.18.252.0/24");
    // The engine publishes their ports by the bridge docker_gwbridge, which is not in its list.
    let on_overlay = |last: u8| format!("--network {network} --ip 198.18.252.{last}");
    let app = group.app_at("app", &format!("{} --publish 127.0.0.1::8080", on_overlay(8)), ":8080");
    let _unpublished = group.app_at("unpublished", &on_overlay(9), ":8080");
    let agent = engine.agent();
    insta::assert_snapshot!(explained_by(&agent, &group, ""), @"
    app: 127.0.0.1:PORT as PORT: the only published port, bound to 127.0.0.1
      198.18.252.8:8080 not usable: not on a bridge of this machine (try --address direct)
    unpublished: - as -: publishes no TCP port; the container listens on 8080: try --container-port 8080
    ");
    insta::assert_snapshot!(explained_by(&agent, &group, "--container-port 8080"), @"
    app: 127.0.0.1:PORT as PORT: --container-port, bound to 127.0.0.1
      198.18.252.8:8080 not usable: not on a bridge of this machine (try --address direct)
    unpublished: - as -: TCP port 8080 is not published: publish it; own address 198.18.252.9:8080: not on a bridge of this machine (try --address direct)
    ");
    insta::assert_snapshot!(explained_by(&agent, &group, "--container-port 8080 --enter-network"), @"
    app: 127.0.0.1:PORT as PORT: --container-port, bound to 127.0.0.1
      198.18.252.8:8080 not usable: not on a bridge of this machine (try --address direct)
    unpublished: 127.0.0.1:8080 as 8080: --container-port, 127.0.0.1 in its own network (--enter-network)
      198.18.252.9:8080 not usable: not on a bridge of this machine (try --address direct)
    ");
    insta::assert_snapshot!(explained_by(&agent, &group, "--address direct"), @"
    app: 198.18.252.8:8080 as PORT: the only published port, its own address on network overlay
      127.0.0.1:PORT not usable: --address direct
      note: connection failed: Network is unreachable (os error 101)
    unpublished: - as -: publishes no TCP port; the container listens on 8080: try --container-port 8080
    ");
    for options in ["", "--container-port 8080", "--address published"] {
        let words = format!("run gostats --path /stats --filter {} {options}", group.filter());
        let output = engine.agent().run(&words).exits(0).without_diagnostics();
        engine.within(|| assert_collected(&output, &[&app]));
    }
}

#[test]
fn task_of_a_swarm_service_is_reached_if_its_port_is_published_in_host_mode() {
    let Some(engine) = NamespacedEngine::swarm() else { return };
    let group = engine.group();
    let network = group.network("overlay", "--driver overlay --subnet 198.18.252.0/24");
    let host = group.service("host", &format!("--network {network} --publish mode=host,target=8080"));
    let bridge = group.service("bridge", "--publish mode=host,target=8080");
    let ingress = group.service("ingress", &format!("--network {network} --publish published=18080,target=8080"));
    let unpublished = group.service("unpublished", &format!("--network {network}"));
    let id = |task: &Container| task.name().rsplit_once('.').expect("SERVICE.NUMBER.ID").1.to_owned();
    let ids = [&host, &bridge, &ingress, &unpublished].map(id);
    let explained = |options: &str| {
        let words = format!("explain gostats --path /stats --filter {} --json {options}", group.filter());
        let output = engine.agent().run(&words).exits(0).stdout;
        // Ids are replaced first, because their digits can look like a port.
        let output = ids.iter().fold(output, |output, id| output.replace(id, "ID"));
        let explanation: Value = serde_json::from_str(&output).expect("JSON");
        mask::digits(&rows(&group, &explanation), "198.18.252.", "N")
    };
    insta::assert_snapshot!(explained(""), @"
    bridge.1.ID: OWN:8080 as PORT: the only published port, its own address on network bridge
      127.0.0.1:PORT not needed: bound to 0.0.0.0
    host.1.ID: 127.0.0.1:PORT as PORT: the only published port, bound to 0.0.0.0
      198.18.252.N:8080 not usable: not on a bridge of this machine (try --address direct)
    ingress.1.ID: - as -: Swarm's ingress network publishes its ports and chooses the container: publish with mode=host
    unpublished.1.ID: - as -: publishes no TCP port; the container listens on 8080: try --container-port 8080
    ");
    insta::assert_snapshot!(explained("--container-port 8080"), @"
    bridge.1.ID: OWN:8080 as PORT: --container-port, its own address on network bridge
      127.0.0.1:PORT not needed: bound to 0.0.0.0
    host.1.ID: 127.0.0.1:PORT as PORT: --container-port, bound to 0.0.0.0
      198.18.252.N:8080 not usable: not on a bridge of this machine (try --address direct)
    ingress.1.ID: - as -: Swarm's ingress network publishes its ports and chooses the container: publish with mode=host
    unpublished.1.ID: - as -: TCP port 8080 is not published: publish it; own address 198.18.252.N:8080: not on a bridge of this machine (try --address direct)
    ");
    let words = format!("run gostats --path /stats --filter {}", group.filter());
    let output = engine.agent().run(&words).exits(0).without_diagnostics();
    engine.within(|| assert_collected(&output, &[&host, &bridge]));
}

#[test]
fn container_without_a_network_is_reached_only_by_entering_its_namespace() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let _app = group.app_at("app", "--network none", "127.0.0.1:8080");
    insta::assert_snapshot!(explained(engine, &group, ""), @"app: - as -: publishes no TCP port");
    insta::assert_snapshot!(explained(engine, &group, "--container-port 8080"), @"app: - as -: TCP port 8080 is not published, and the container has no network of the engine: as root, try --enter-network");
    insta::assert_snapshot!(explained(engine, &group, "--container-port 8080 --enter-network"), @"app: 127.0.0.1:8080 as 8080: --container-port, 127.0.0.1 in its own network (--enter-network)");
    let output = run(engine, &group, "--container-port 8080 --enter-network").exits(0).without_diagnostics();
    assert_eq!(output.metrics().instances(), ["8080"], "{output}");
    assert_eq!(output.metrics().of("gostats.8080").len(), 9, "{output}");
}

#[test]
fn engine_on_another_machine_is_reached_at_ports_that_it_publishes_on_all_addresses() {
    let Some(engine) = Engine::find_local() else { return };
    let Some(socket) = engine.socket().map(Path::to_owned) else { return };
    let group = engine.group();
    let app = group.app("app");
    let _loopback = group.app_with("loopback", "--publish 127.0.0.1::8080");
    let unpublished = group.app_with("unpublished", "--expose 8080");
    // An address of this machine stands for the other machine. It is not a loopback address, so the plugin does not
    // know it.
    let machine = unpublished.host_address().to_string();
    let listener = port::listen();
    let host = format!("tcp://{machine}:{}", listener.local_addr().expect("a bound listener has an address").port());
    let _forward = Server::start(listener, move |stream| drop(forward(&stream, &socket)));
    let agent = || Agent::with_docker_host(&host);
    let explained = |options: &str| {
        let lines = explained_by(&agent(), &group, options);
        lines.replace(&format!("{}:PORT", group.mask(&machine)), "MACHINE:PORT")
    };
    insta::assert_snapshot!(explained(""), @"
    app: MACHINE:PORT as PORT: the only published port, bound to 0.0.0.0
      OWN:8080 not usable: on the engine's machine
    loopback: - as -: TCP port 8080 is bound to a loopback address of the engine's machine
    unpublished: - as -: publishes no TCP port
    ");
    insta::assert_snapshot!(explained("--container-port 8080"), @"
    app: MACHINE:PORT as PORT: --container-port, bound to 0.0.0.0
      OWN:8080 not usable: on the engine's machine
    loopback: - as -: TCP port 8080 is bound to a loopback address of the engine's machine
    unpublished: - as -: TCP port 8080 is not published: publish it; own address OWN:8080: on the engine's machine
    ");
    let output = agent().run(&format!("run gostats --path /stats --filter {} --container-port 8080", group.filter()));
    assert_collected(&output.exits(0).without_diagnostics(), &[&app]);
}

#[test]
fn engine_in_a_virtual_machine_is_reached_only_at_published_ports() {
    let Some(engine) = Engine::find_local() else { return };
    if !skip::is_root("the socket of Docker Desktop, which belongs to a user") {
        return;
    }
    let group = engine.group();
    // The virtual machine of Docker Desktop has the same networks as an engine of this machine, and forwards the ports
    // that its engine publishes. The container at the same address on this machine has the port too.
    let here = group.app("here");
    let networks: Value = serde_json::from_str(&here.inspect("{{json .NetworkSettings.Networks}}")).expect("JSON");
    let target = StubTarget::serving(stats::body(1, 1));
    let entry = |name: &str, ports: Value| {
        let mut entry = container(&format!("{}-{name}", group.name()), "0.0.0.0", target.port());
        entry["NetworkSettings"]["Networks"] = networks.clone();
        if ports != json!(null) {
            entry["Ports"] = ports;
        }
        entry
    };
    let unpublished = json!([{"PrivatePort": 8080, "Type": "tcp"}]);
    let desktop = FakeEngine::with_containers(vec![entry("published", json!(null)), entry("unpublished", unpublished)]);
    desktop.give_to_user();
    let agent = || Agent::with_docker_host(&desktop.host());
    let explained = |options: &str| explained_by(&agent(), &group, options).replace(&target.port().to_string(), "PORT");
    insta::assert_snapshot!(explained(""), @"
    published: 127.0.0.1:PORT as PORT: the only published port, bound to 0.0.0.0
      OWN:8080 not usable: on a network of a rootless engine or a virtual machine
    unpublished: - as -: publishes no TCP port
    ");
    insta::assert_snapshot!(explained("--container-port 8080"), @"
    published: 127.0.0.1:PORT as PORT: --container-port, bound to 0.0.0.0
      OWN:8080 not usable: on a network of a rootless engine or a virtual machine
    unpublished: - as -: TCP port 8080 is not published: publish it; own address OWN:8080: on a network of a rootless engine or a virtual machine
    ");
    let output = agent().run("run gostats --container-port 8080").exits(0).without_diagnostics();
    assert_eq!(output.metrics().instances(), [target.port().to_string()], "{output}");
    assert_eq!(here.served().len(), 0, "a container of this machine was requested");
}

#[test]
fn rules_of_the_firewall_between_containers_do_not_matter() {
    let Some(engine) = NamespacedEngine::without_firewall_rules() else { return };
    let group = engine.group();
    let network = group.network("apart", "--opt com.docker.network.bridge.enable_icc=false --subnet 198.18.253.0/24");
    let app = group.app_at("app", "--publish 8080", ":8080");
    let apart = group.app_at("apart", &format!("--network {network} --publish 127.0.0.1::8080"), ":8080");
    let agent = engine.agent();
    insta::assert_snapshot!(explained_by(&agent, &group, ""), @"
    apart: 198.18.253.2:8080 as PORT: the only published port, its own address on network apart
      127.0.0.1:PORT not needed: bound to 127.0.0.1
    app: OWN:8080 as PORT: the only published port, its own address on network bridge
      127.0.0.1:PORT not needed: bound to 0.0.0.0
    ");
    let words = format!("run gostats --path /stats --filter {}", group.filter());
    for options in ["", "--address direct", "--address published"] {
        let output = engine.agent().run(&format!("{words} {options}")).exits(0).without_diagnostics();
        engine.within(|| assert_collected(&output, &[&app, &apart]));
    }
}

#[test]
fn network_whose_bridge_has_no_address_here_cannot_be_reached() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let network = group.network("isolated", "--subnet 198.18.212.0/24");
    let app = group.app_at("app", &format!("--network {network}"), ":8080");
    // As current engines do for networks with the gateway mode `isolated`. Packets would leave this machine, so nothing
    // may be sent: the port is not published, and docker-proxy is not there.
    let id = app.inspect("{{range .NetworkSettings.Networks}}{{.NetworkID}}{{end}}");
    let flushed = Command::new("ip").args(["address", "flush", "dev", &format!("br-{}", &id[..12])]).status();
    assert!(flushed.is_ok_and(|status| status.success()), "the address of the bridge of {network} is removed");
    insta::assert_snapshot!(explained(engine, &group, "--container-port 8080"), @"app: - as -: TCP port 8080 is not published: publish it; own address 198.18.212.2:8080: not on a bridge of this machine (try --address direct)");
}

#[test]
fn engine_without_a_socket_here_is_reached_at_published_ports() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let app = group.app("app");
    // Any port of this machine can be forwarded to another one.
    let Some(socket) = engine.socket().map(Path::to_owned) else { return };
    let listener = port::listen();
    let host = format!("tcp://127.0.0.1:{}", listener.local_addr().expect("a bound listener has an address").port());
    let _forward = Server::start(listener, move |stream| drop(forward(&stream, &socket)));
    let agent = || Agent::with_docker_host(&host);
    let words = format!("run gostats --path /stats --filter {}", group.filter());
    for options in ["", "--address direct"] {
        assert_collected(&agent().run(&format!("{words} {options}")).exits(0).without_diagnostics(), &[&app]);
    }
    insta::assert_snapshot!(explained_by(&agent(), &group, ""), @"
    app: 127.0.0.1:PORT as PORT: the only published port, bound to 0.0.0.0
      OWN:8080 not usable: the engine has no socket on this machine (try --address direct)
    ");
    insta::assert_snapshot!(explained_by(&agent(), &group, "--address direct"), @"
    app: OWN:8080 as PORT: the only published port, its own address on network bridge
      127.0.0.1:PORT not usable: --address direct
    ");
}

/// Passes one connection on to a Unix socket.
fn forward(mut client: &TcpStream, socket: &Path) -> std::io::Result<()> {
    let mut engine = &UnixStream::connect(socket)?;
    thread::scope(|scope| {
        scope.spawn(|| std::io::copy(&mut &*engine, &mut &*client).and_then(|_| client.shutdown(Shutdown::Write)));
        std::io::copy(&mut client, &mut engine)?;
        engine.shutdown(Shutdown::Write)
    })
}

#[test]
fn blocked_own_address_is_replaced_by_the_published_one() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let app = group.app("app");
    let agent =
        || Agent::with_engine(engine).with_launcher(&["setpriv", &format!("--regid={UNUSED_GROUP}"), "--clear-groups"]);
    let words = format!("run gostats --path /stats --filter {}", group.filter());
    for action in ["REJECT", "DROP"] {
        let Some(_blocked) = Blocked::new(app.own_address("bridge").expect("an address"), action) else { return };
        assert_collected(&agent().run(&words).exits(0).without_diagnostics(), &[&app]);
        let explained = explained_by(&agent(), &group, "");
        match action {
            "REJECT" => {
                insta::assert_snapshot!(explained, @"
                app: 127.0.0.1:PORT as PORT: the only published port, bound to 0.0.0.0
                  OWN:8080 unreachable: its own address on network bridge
                  note: its own address OWN:8080: Connection refused (os error 111); used 127.0.0.1:PORT
                ");
            }
            _ => {
                insta::assert_snapshot!(explained, @"
                app: 127.0.0.1:PORT as PORT: the only published port, bound to 0.0.0.0
                  OWN:8080 unreachable: its own address on network bridge
                  note: its own address OWN:8080: no connection after 250ms; used 127.0.0.1:PORT
                ");
            }
        }
        let output = agent().run(&format!("{words} --address direct --timeout 500ms")).exits(1);
        let stderr = masked(&group, &output.stderr);
        if action == "REJECT" {
            insta::assert_snapshot!(stderr, @"mackerel-plugin-wasm: gostats: app (OWN:8080): connection failed: Connection refused (os error 111)");
        } else {
            insta::assert_snapshot!(stderr, @"mackerel-plugin-wasm: gostats: app (OWN:8080): connection timed out after 500ms (--timeout)");
        }
    }
}

#[test]
fn published_port_is_used_if_other_users_processes_are_hidden() {
    let Some(engine) = Engine::find_local() else { return };
    if !skip::has_commands(&["mount", "setpriv", "unshare"], "processes that are hidden") {
        return;
    }
    let group = engine.group();
    let app = group.app("app");
    let agent = || Agent::with_engine(engine).without_visible_processes();
    let words = format!("run gostats --path /stats --filter {}", group.filter());
    assert_collected(&agent().run(&words).exits(0).without_diagnostics(), &[&app]);
    insta::assert_snapshot!(explained_by(&agent(), &group, ""), @"
    app: 127.0.0.1:PORT as PORT: the only published port, bound to 0.0.0.0
      OWN:8080 not usable: its processes are not visible here
    ");
}

#[test]
fn ports_that_the_firewall_alone_forwards_are_reached_at_both_addresses() {
    let Some(engine) = NamespacedEngine::without_proxy() else { return };
    let group = engine.group();
    let app = group.app_at("app", "--publish 8080", ":8080");
    let words = format!("run gostats --path /stats --filter {}", group.filter());
    for options in ["", "--address direct", "--address published"] {
        let output = engine.agent().run(&format!("{words} {options}")).exits(0).without_diagnostics();
        engine.within(|| assert_collected(&output, &[&app]));
    }
    // docker-proxy would accept a connection to a dead port, and reset it.
    let _dead = group.app_at("dead", "--publish 127.0.0.1::8080", ":9999");
    let agent = engine.agent();
    insta::assert_snapshot!(explained_by(&agent, &group, ""), @"
    app: OWN:8080 as PORT: the only published port, its own address on network bridge
      127.0.0.1:PORT not needed: bound to 0.0.0.0
    dead: OWN:8080 as PORT: the only published port, its own address on network bridge
      127.0.0.1:PORT not needed: bound to 127.0.0.1
      note: connection failed: Connection refused (os error 111); the container listens on 9999: try --container-port 9999
    ");
    insta::assert_snapshot!(explained_by(&agent, &group, "--address direct"), @"
    app: OWN:8080 as PORT: the only published port, its own address on network bridge
      127.0.0.1:PORT not usable: --address direct
    dead: OWN:8080 as PORT: the only published port, its own address on network bridge
      127.0.0.1:PORT not usable: --address direct
      note: connection failed: Connection refused (os error 111); the container listens on 9999: try --container-port 9999
    ");
    insta::assert_snapshot!(explained_by(&agent, &group, "--address published"), @"
    app: 127.0.0.1:PORT as PORT: the only published port, bound to 0.0.0.0
      OWN:8080 not usable: --address published
    dead: 127.0.0.1:PORT as PORT: the only published port, bound to 127.0.0.1
      OWN:8080 not usable: --address published
      note: connection failed: Connection refused (os error 111); the container listens on 9999: try --container-port 9999
    ");
}

#[test]
fn ipv6_address_is_used_if_the_ipv4_one_is_blocked_or_missing() {
    let Some(engine) = Engine::find_local() else { return };
    if !skip::has_ipv6("containers with IPv6") {
        return;
    }
    let group = engine.group();
    let network = group.network("six", "--ipv6 --subnet fd00:198:18:213::/64 --subnet 198.18.213.0/24");
    let app = group.app_at("app", &format!("--network {network} --publish 8080"), ":8080");
    let six = IpAddr::from([0xfd00, 0x198, 0x18, 0x213, 0, 0, 0, 2]);
    // The kernel looks for duplicates of a new address first.
    wait::until("the app is reached over IPv6", || TcpStream::connect(SocketAddr::new(six, 8080)).ok());
    let agent =
        || Agent::with_engine(engine).with_launcher(&["setpriv", &format!("--regid={UNUSED_GROUP}"), "--clear-groups"]);
    insta::assert_snapshot!(explained_by(&agent(), &group, ""), @"
    app: 198.18.213.2:8080 as PORT: the only published port, its own address on network six
      [fd00:198:18:213::2]:8080 not needed: its own address on network six
      127.0.0.1:PORT not needed: bound to 0.0.0.0
    ");
    let Some(blocked) = Blocked::new(app.own_address(&network).expect("an address"), "REJECT") else { return };
    let words = format!("run gostats --path /stats --filter {}", group.filter());
    for options in ["", "--address direct"] {
        let output = agent().run(&format!("{words} {options}")).exits(0).without_diagnostics();
        assert_collected(&output, &[&app]);
    }
    insta::assert_snapshot!(explained_by(&agent(), &group, ""), @"
    app: [fd00:198:18:213::2]:8080 as PORT: the only published port, its own address on network six
      198.18.213.2:8080 unreachable: its own address on network six
      127.0.0.1:PORT not needed: bound to 0.0.0.0
      note: its own address 198.18.213.2:8080: Connection refused (os error 111); used [fd00:198:18:213::2]:8080
    ");
    drop(blocked);
    // Current engines have networks without IPv4. This one does not, so only its list is replaced.
    let networks = json!({"six": {
        "Gateway": "", "IPAddress": "", "IPPrefixLen": 0,
        "IPv6Gateway": "fd00:198:18:213::1", "GlobalIPv6Address": six, "GlobalIPv6PrefixLen": 64,
    }});
    let fake = FakeEngine::with_containers(vec![listed(&app, "six", &json!([]), &networks)]);
    let agent = Agent::with_docker_host(&fake.host());
    insta::assert_snapshot!(explained_by(&agent, &group, "--container-port 8080"), @"app: [fd00:198:18:213::2]:8080 as 8080: --container-port, its own address on network six");
    let output = agent.run(&format!("{words} --container-port 8080")).exits(0).without_diagnostics();
    assert_eq!(output.metrics().instances(), ["8080"], "{output}");
}

/// The third bytes of subnets, one for each network.
static SUBNETS: AtomicU8 = AtomicU8::new(220);

/// Runs with a container whose address and port another one gets after the engine's list is complete, and returns the
/// output. `change` gets the engine, the ids of both containers and the network.
fn run_and_replace(engine: &Engine, options: &str, change: fn(&Engine, &str, &str, &str)) -> Output {
    let group = engine.group();
    let other = group.app("other");
    let subnet = format!("198.18.{}", SUBNETS.fetch_add(1, Ordering::Relaxed));
    let network = group.network("net", &format!("--subnet {subnet}.0/24"));
    let port = port::free();
    let options_of_both = format!("--network {network} --ip {subnet}.9 --publish 127.0.0.1:{port}:8080");
    let first = group.app_with("first", &options_of_both);
    let second = group.created_app("second", &options_of_both);
    let (ours, id, is_done) = (engine.clone(), first.id().to_owned(), AtomicBool::new(false));
    let proxy = EngineProxy::start(engine, move |passing| {
        let is_list = matches!(passing, Passing::Response(path, _) if path.contains("/containers/json"));
        if is_list && !is_done.swap(true, Ordering::SeqCst) {
            change(&ours, &id, &second, &network);
        }
    });
    let filter = format!("--filter id={} --filter id={}", first.id(), other.id());
    let mut output =
        Agent::with_docker_host(&proxy.host()).run(&format!("run gostats --path /stats {filter} {options}"));
    stats::assert_same(&output.metrics().of(&other.key()), &stats::gauges(&other.last_served()));
    for address in [format!("{subnet}.9:8080"), format!("127.0.0.1:{port}")] {
        output.stderr = output.stderr.replace(&address, "ADDRESS");
    }
    output.stderr = group.mask(&output.stderr);
    output
}

#[test]
fn container_that_gets_the_address_of_another_is_not_taken_for_it() {
    let Some(engine) = Engine::find_local() else { return };
    let removed = |engine: &Engine, first: &str, second: &str, _: &str| {
        engine.remove(first);
        engine.start(second);
    };
    let moved = |engine: &Engine, first: &str, second: &str, network: &str| {
        engine.disconnect(network, first);
        engine.start(second);
    };
    for (change, options) in
        [(removed as fn(&Engine, &str, &str, &str), ""), (removed, "--address published"), (moved, "")]
    {
        let output = run_and_replace(engine, options, change).exits(0);
        insta::allow_duplicates! {
            insta::assert_snapshot!(output.stderr, @"mackerel-plugin-wasm: gostats: first (ADDRESS): container was stopped, restarted or moved to another network since the engine listed it");
        }
    }
}

#[test]
fn container_that_is_restarted_after_the_list_is_left_out_once() {
    let Some(engine) = Engine::find_local() else { return };
    let restarted = |engine: &Engine, first: &str, _: &str, _: &str| engine.restart(first);
    let output = run_and_replace(engine, "", restarted).exits(0);
    insta::assert_snapshot!(output.stderr, @"");
}

#[test]
fn ports_and_address_of_a_shared_network_are_those_of_its_owner() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let owner = group.app("owner");
    let _member = group.app_at("member", &format!("--network container:{}", owner.id()), ":9999");
    // The port is the owner's: its process listens on it.
    insta::assert_snapshot!(explained(engine, &group, ""), @"
    owner: OWN:8080 as PORT: the only published port, its own address on network bridge
      127.0.0.1:PORT not needed: bound to 0.0.0.0
    member: - as -: shares its network with owner, which is the target for TCP port 8080
    ");
    insta::assert_snapshot!(explained(engine, &group, "--container-port 8080"), @"
    owner: OWN:8080 as PORT: --container-port, its own address on network bridge
      127.0.0.1:PORT not needed: bound to 0.0.0.0
    member: - as -: shares its network with owner, which is the target for TCP port 8080
    ");
    // The other port is the member's.
    insta::assert_snapshot!(explained(engine, &group, "--container-port 9999"), @"
    member: OWN:9999 as 9999: --container-port, in the network of owner, its own address on network bridge
    owner: - as -: shares its network with member, which is the target for TCP port 9999
    ");
    // An owner that the filter excludes is looked up.
    let filter =
        format!("--filter name={}", group.filter().trim_start_matches("label=scenario=").to_owned() + "-member");
    insta::assert_snapshot!(explained(engine, &group, &format!("{filter} --container-port 9999")), @"
    member: OWN:9999 as 9999: --container-port, in the network of owner, its own address on network bridge
    owner: - as -: does not match FILTER --filter name=member
    ");
}

#[test]
fn plugin_in_a_container_reaches_others_on_its_network_and_at_the_gateway() {
    let Some(engine) = Engine::find_local() else { return };
    let Some(socket) = engine.socket() else { return };
    let group = engine.group();
    let network = group.network("shared", "--subnet 198.18.214.0/24");
    let _near = group.app_at("near", &format!("--network {network}"), ":8080");
    let _far = group.app("far");
    let _loopback = group.app_with("loopback", "--publish 127.0.0.1::8080");
    // The program and its libraries are those of this machine.
    let mounts: Vec<String> = ["/usr/lib:/lib", "/usr/lib64:/lib64", "/usr:/usr"]
        .map(|mount| format!("--volume {mount}:ro"))
        .into_iter()
        .chain([format!("--volume {}:/plugin:ro", program().display())])
        .chain([format!("--volume {}:/var/run/docker.sock", socket.display())])
        .collect();
    let plugin = group.sleeping("plugin", &format!("--network {network} --tmpfs /tmp {}", mounts.join(" ")));
    let words =
        format!("/plugin explain gostats --path /stats --filter {} --json --container-port 8080", group.filter());
    let output = plugin.exec(&words);
    let explanation: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
    insta::assert_snapshot!(rows(&group, &explanation), @"
    far: 198.18.214.1:PORT as PORT: --container-port, bound to 0.0.0.0
      OWN:8080 not usable: not on a network of this plugin's container
    near: 198.18.214.2:8080 as 8080: --container-port, its own address on network shared
    loopback: - as -: TCP port 8080 is bound to a loopback address of the engine's machine
    plugin: - as -: runs this plugin
    ");
}
