//! Containers that share a network: its traffic is counted once.

use scenarios::agent::Agent;
use scenarios::engine::Engine;
use scenarios::fake_engine::{FakeEngine, container, docker_on_v1, docker_on_v2};
use scenarios::fleet::{Fleet, stats_of};
use scenarios::stats::{self, keys};
use scenarios::stub_target::StubTarget;
use serde_json::{Value, json};

const OPTIONS: &str = "--stats-source api --graphs network";

/// Returns the names with network metrics after two runs.
fn with_network(fleet: &Fleet, names: &[&str]) -> Vec<String> {
    for read in ["2026-11-22T03:00:00Z", "2026-11-22T03:01:00Z"] {
        for name in names {
            fleet.set_stats(name, &docker_on_v2(read));
        }
        let output = fleet.run_without_diagnostics(OPTIONS);
        let with = names.iter().filter(|name| !stats_of(&output, name).is_empty());
        if read.contains(":01:") {
            return with.map(|name| (*name).to_owned()).collect();
        }
    }
    unreachable!("two runs")
}

#[test]
fn traffic_is_counted_at_the_owner() {
    let names = ["a-member", "b-member", "other", "owner"];
    let fleet = Fleet::of(&names);
    let owner = fleet.id("owner");
    fleet.edit_listed("a-member", |listed| listed["HostConfig"]["NetworkMode"] = json!(format!("container:{owner}")));
    fleet.edit_listed("b-member", |listed| listed["HostConfig"]["NetworkMode"] = json!("container:owner"));
    assert_eq!(with_network(&fleet, &names), ["other", "owner"]);

    let explained = fleet.agent().run(&format!("explain docker {OPTIONS} --instance-name name")).exits(0).stdout;
    let (_, notes) = explained.split_once("\n\n").expect("a table").1.split_once("\n\n").expect("notes");
    insta::assert_snapshot!(notes, @"
    a-member: network traffic is counted at owner: the two share a network
    b-member: network traffic is counted at owner: the two share a network
    ");
    // A paused owner has no traffic.
    fleet.edit_listed("owner", |listed| listed["State"] = json!("paused"));
    assert_eq!(with_network(&fleet, &names), ["a-member", "other"]);
}

#[test]
fn traffic_of_a_filtered_owner_is_counted_at_one_member() {
    // As in a task of ECS, whose owner is a container that the filter excludes.
    let names = ["api", "web"];
    let fleet = Fleet::of(&names);
    let mode = json!(format!("container:{}", "f00d".repeat(16)));
    for name in names {
        fleet.edit_listed(name, |listed| listed["HostConfig"]["NetworkMode"] = mode.clone());
    }
    assert_eq!(with_network(&fleet, &names), ["api"]);
}

#[test]
fn traffic_of_a_podman_pod_is_counted_at_its_own_container() {
    let names = ["519bc99d5c7f-infra", "api", "web"];
    let fleet = Fleet::of(&names);
    for name in names {
        fleet.edit_listed(name, |listed| {
            listed["HostConfig"] = json!(null);
            listed["NetworkSettings"]["Networks"] =
                json!({"podman": {"IPAddress": "10.88.0.7", "MacAddress": "7e:b6:56:5b:5f:d8"}});
        });
    }
    assert_eq!(with_network(&fleet, &names), ["519bc99d5c7f-infra"]);
}

#[test]
fn totals_count_a_shared_network_once() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let owner = group.work("owner", "", "");
    let network = format!("--network container:{}", owner.name());
    let members = ["a-member", "b-member"].map(|name| group.work(name, &network, ""));
    for source in ["cgroup", "api"] {
        let agent = Agent::with_engine(engine);
        let options = format!("--stats-source {source} --graphs network,memory --instance-name name");
        let words = format!("run docker --filter {} {options}", group.filter());
        let _ = agent.run(&words).exits(0).without_diagnostics();
        let output = agent.run(&words).exits(0).without_diagnostics();
        let has_network = |name: &str| keys(&stats_of(&output, name)).iter().any(|key| key.starts_with("network."));
        assert!(has_network(owner.name()), "{source}: {output}");
        for member in &members {
            assert!(!has_network(member.name()), "{source}: {output}");
            assert!(stats_of(&output, member.name()).contains_key("memory.rss"), "{source}: {output}");
        }
    }
}

#[test]
fn collector_without_stats_has_no_note_about_networks() {
    let fleet = Fleet::of(&["api", "web"]);
    fleet.set_stats("api", &docker_on_v1("2026-11-22T03:00:00Z"));
    fleet.edit_listed("api", |listed| listed["HostConfig"]["NetworkMode"] = json!("container:web"));
    let explained = fleet.agent().run("explain gostats").stdout;
    assert!(!explained.contains("network traffic"), "{explained}");
}

/// Returns the lines of `explain` about containers, without times: name, address, name in metrics, and reason or error.
fn explained(containers: Vec<Value>, options: &str) -> String {
    let engine = FakeEngine::with_containers(containers);
    let output = Agent::with_docker_host(&engine.host()).run(&format!("explain gostats --json {options}"));
    let explanation: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |row: &Value| {
        let [name, address, series, why] =
            [&row["container"]["name"], &row["address"], &row["name"], &row["why"]].map(text);
        format!("{name}: {address} as {series}: {why}\n")
    };
    explanation["containers"].as_array().expect("a list").iter().map(line).collect()
}

/// A container without ports in the network of another one, by its id or name.
fn member(name: &str, owner: &str) -> Value {
    let mut member = container(name, "127.0.0.1", 1);
    member["Ports"] = json!([]);
    member["HostConfig"]["NetworkMode"] = json!(format!("container:{owner}"));
    member["NetworkSettings"]["Networks"] = json!({});
    member
}

#[test]
fn app_of_service_connect_is_reached_at_the_ports_of_its_pause_container() {
    let target = StubTarget::serving(stats::body(1, 1));
    let port = target.port().to_string();
    let mut pause = container("ecs-shop-3-internalecspause-api-7e9e", "0.0.0.0", target.port());
    pause["Labels"] = json!({"com.amazonaws.ecs.container-name": "~internal~ecs~pause-api"});
    let app = member("ecs-shop-3-api-7f3c", pause["Id"].as_str().expect("an id"));
    let lines = explained(vec![app, pause], "").replace(&port, "PORT");
    insta::assert_snapshot!(lines, @"
    ecs-shop-3-api-7f3c: 127.0.0.1:PORT as PORT: the only published port, in the network of ecs-shop-3-internalecspause-api-7e9e, bound to 0.0.0.0
    ecs-shop-3-internalecspause-api-7e9e: - as -: pause container, not an application (--include-infrastructure)
    ");
}

#[test]
fn networks_without_an_owner_are_explained() {
    let target = StubTarget::serving(stats::body(1, 1));
    let owner = container("owner", "0.0.0.0", target.port());
    let chain = member("chain", "link");
    let link = member("link", "owner");
    let lost = member("lost", &"0f".repeat(32));
    let (one, other) = (member("one", "other"), member("other", "one"));
    let mut none = container("none", "127.0.0.1", 1);
    none["Ports"] = json!([]);
    none["HostConfig"]["NetworkMode"] = json!("none");
    none["NetworkSettings"]["Networks"] = json!({"none": {"IPAddress": "", "Gateway": ""}});
    let all = vec![chain, link, lost, one, other, none, owner];
    let mask = |text: String| text.replace(&target.port().to_string(), "PORT");
    insta::assert_snapshot!(mask(explained(all.clone(), "")), @"
    owner: 127.0.0.1:PORT as PORT: the only published port, bound to 0.0.0.0
    chain: - as -: shares its network with owner, which is the target for TCP port 8080
    link: - as -: shares its network with owner, which is the target for TCP port 8080
    lost: - as -: uses the network of container 0f0f0f0f0f0f, which is not running
    none: - as -: publishes no TCP port
    one: - as -: uses the network of a container that uses its network in turn
    other: - as -: uses the network of a container that uses its network in turn
    ");
    insta::assert_snapshot!(mask(explained(all, "--container-port 8080")), @"
    owner: 127.0.0.1:PORT as PORT: --container-port, bound to 0.0.0.0
    chain: - as -: shares its network with owner, which is the target for TCP port 8080
    link: - as -: shares its network with owner, which is the target for TCP port 8080
    lost: - as -: uses the network of container 0f0f0f0f0f0f, which is not running
    none: - as -: has no TCP port 8080
    one: - as -: uses the network of a container that uses its network in turn
    other: - as -: uses the network of a container that uses its network in turn
    ");
}
