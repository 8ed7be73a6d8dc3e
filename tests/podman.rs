//! Scenarios on a real Podman, whose version of Docker's API differs in details.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use scenarios::agent::Agent;
use scenarios::engine::Container;
use scenarios::podman::Podman;
use scenarios::rootless_podman::RootlessPodman;
use scenarios::watch::{Around, Look, PERCENT, Watch, wait_while_it_works};
use scenarios::{mask, skip, stats, wait};
use serde_json::{Value, json};

const MEBIBYTE: f64 = 1_048_576.0;

fn keys(look: &Look) -> Vec<&str> {
    look.values.keys().map(String::as_str).collect()
}

#[test]
fn cgroups_report_the_same_stats_as_for_docker() {
    let Some(podman) = Podman::start() else { return };
    let group = podman.group();
    let busy = group.work("busy", "--cpus 0.5 --memory 256m", "-spin -hold 64");
    let watch = Watch::on(&podman, &group, &busy, "cgroup", "--graphs cpu,memory,memory-limit,network");
    let [around] = Around::all(&[watch], || wait_while_it_works(Duration::from_secs(2)));
    around.assert_half_a_core("cpuacct_percentage", PERCENT);
    let values = &around.after.values;
    assert!((64.0 * MEBIBYTE..=72.0 * MEBIBYTE).contains(&values["memory.rss"]), "{values:?}");
    assert!((values["memory_limit.limit"] - 256.0 * MEBIBYTE).abs() < 1.0, "{values:?}");
    assert_eq!(values.len(), 2 + 2 + 3 + 8, "{values:?}");
}

#[test]
fn api_stats_omit_what_podman_does_not_report() {
    let Some(podman) = Podman::start() else { return };
    let group = podman.group();
    let busy = group.work("busy", "--cpus 0.5 --memory 256m", "-spin -hold 64");
    let watch = Watch::on(&podman, &group, &busy, "api", "--graphs cpu,memory,blkio,memory-limit,restarts,health");
    let [around] = Around::all(&[watch], || wait_while_it_works(Duration::from_secs(2)));
    around.assert_half_a_core("cpuacct_percentage", PERCENT);
    // It reports memory use with all caches and the limit, and neither shows the actual use.
    assert_eq!(keys(&around.before), ["memory_limit.limit", "restarts.count"]);
    let all = ["cpuacct_percentage.system", "cpuacct_percentage.user", "memory_limit.limit", "restarts.count"];
    assert_eq!(keys(&around.after), all);
}

#[test]
fn host_network_container_has_no_network_metrics() {
    let Some(podman) = Podman::start() else { return };
    let group = podman.group();
    let host = group.work("host", "--network host", "");
    let watches = Watch::both(&podman, &group, &host, "--graphs memory-limit,network");
    for (around, source) in Around::all(&watches, || {}).iter().zip(["cgroup", "api"]) {
        let keys = keys(&around.after);
        assert!(keys.contains(&"memory_limit.limit"), "{source}: {keys:?}");
        assert!(!keys.iter().any(|key| key.starts_with("network.")), "{source}: {keys:?}");
    }
}

#[test]
fn published_port_is_found() {
    let Some(podman) = Podman::start() else { return };
    let group = podman.group();
    let app = group.app("app");
    let output = Agent::with_engine(&podman).run(&format!("run gostats --path /stats --filter {}", group.filter()));
    let output = output.exits(0).without_diagnostics();
    assert_eq!(output.metrics().of(&app.key()).len(), 9, "{output}");
}

#[test]
fn own_address_is_used() {
    let Some(podman) = Podman::start() else { return };
    let group = podman.group();
    let app = group.app("app");
    let own = app.own_address(podman.network()).expect("an address");
    let words = format!("explain gostats --path /stats --filter {} --json", group.filter());
    let explained = explained(&podman, &words);
    let row = &explained["containers"][0];
    assert_eq!(row["address"], json!(format!("{own}:8080")), "{row}");
    assert_eq!(row["name"], json!(app.address().port().to_string()), "{row}");
}

#[test]
fn port_of_a_pod_is_one_target() {
    if !skip::has_commands(&["catatonit"], "pods of Podman") {
        return;
    }
    let Some(podman) = Podman::start() else { return };
    let group = podman.group();
    // The image of the app.
    let image = group.app("image").image().to_owned();
    let label = group.filter().replacen("label=", "--label ", 1);
    let pod = format!("{}-pod", podman.network());
    podman.command(&format!("pod create --name {pod} --network {} --publish 8080 {label}", podman.network()));
    for (name, listen) in [("sidecar", ":9090"), ("web", ":8080")] {
        podman.command(&format!("run --detach --pod {pod} --name {pod}-{name} {label} {image} -listen {listen}"));
    }
    let words = format!("explain gostats --path /stats --filter {} --container-port 8080 --json", group.filter());
    let explained = wait::until("both listen", || {
        let explained = explained(&podman, &words);
        let rows = explained["containers"].as_array()?;
        rows.iter()
            .any(|row| row["container"]["name"] == json!(format!("{pod}-web")) && row["collected"] == json!(true))
            .then_some(explained)
    });
    let rows = explained["containers"].as_array().expect("a list").iter();
    let of_pod = rows.filter(|row| row["container"]["name"].as_str().is_some_and(|name| !name.ends_with("-image")));
    let mut lines: Vec<String> = of_pod
        .map(|row| {
            let name = row["container"]["name"].as_str().unwrap_or("-").replace(&pod, "POD");
            let name = if name.ends_with("-infra") { "infra".to_owned() } else { name };
            format!(
                "{name}: {}",
                row["why"].as_str().unwrap_or("-").replace(podman.network(), "NETWORK").replace(&pod, "POD")
            )
        })
        .collect();
    lines.sort_unstable();
    podman.command(&format!("pod rm --force {pod}"));
    insta::assert_snapshot!(lines.join("\n"), @"
    POD-sidecar: shares its network with NETWORK-pod-web, which is the target for TCP port 8080
    POD-web: --container-port, its own address on network NETWORK
    infra: pause container, not an application (--include-infrastructure)
    ");
}

#[test]
fn containers_of_a_rootless_engine_are_reached_at_published_ports_alone() {
    let Some(podman) = RootlessPodman::start() else { return };
    let group = podman.group();
    // Own addresses of the first kind look like those of an engine of root, and all of the second kind are equal.
    let apps = [group.app("bridge"), group.app_with("slirp", "--network slirp4netns --publish 8080")];
    let _unpublished = group.app_at("unpublished", "", ":8080");
    // The engine is named to root, and found by the user.
    let socket = podman.runtime_folder().join("podman/podman.sock").display().to_string();
    for (agent, reason) in
        [(Agent::with_engine(&podman), "DOCKER_HOST".to_owned()), (podman.agent_of_user(), format!("{socket} exists"))]
    {
        let output = agent.run(&format!("run gostats --path /stats --filter {}", group.filter()));
        let metrics = output.exits(0).without_diagnostics().metrics();
        for app in &apps {
            stats::assert_same(&metrics.of(&app.key()), &stats::gauges(&app.last_served()));
        }
        assert_eq!(metrics.instances().len(), apps.len());
        let words = format!("explain gostats --path /stats --filter {}", group.filter());
        let text = agent.run(&format!("{words} --container-port 8080")).exits(0).stdout;
        assert_eq!(text.lines().nth(1), Some(&*format!("on the container engine at unix://{socket} ({reason})")));
        insta::allow_duplicates! {
            insta::assert_snapshot!(addresses(&agent, &words, &apps), @"
            bridge: 127.0.0.1:PORT as PORT: the only published port, bound to 0.0.0.0
              10.88.0.N:8080 not usable: on a network of a rootless engine or a virtual machine
            slirp: 127.0.0.1:PORT as PORT: the only published port, bound to 0.0.0.0
            unpublished: - as -: publishes no TCP port
            ");
            insta::assert_snapshot!(addresses(&agent, &format!("{words} --container-port 8080"), &apps), @"
            bridge: 127.0.0.1:PORT as PORT: --container-port, bound to 0.0.0.0
              10.88.0.N:8080 not usable: on a network of a rootless engine or a virtual machine
            slirp: 127.0.0.1:PORT as PORT: --container-port, bound to 0.0.0.0
            unpublished: - as -: has no TCP port 8080
            ");
            insta::assert_snapshot!(addresses(&agent, &format!("{words} --address direct"), &apps), @"
            bridge: - as -: no usable address: 10.88.0.N:8080: on a network of a rootless engine or a virtual machine, 127.0.0.1:PORT: --address direct
            slirp: - as -: no usable address: 127.0.0.1:PORT: --address direct
            unpublished: - as -: publishes no TCP port
            ");
        }
    }
}

#[test]
fn network_of_a_rootless_engine_is_not_taken_for_one_of_root_with_the_same_addresses() {
    let Some(podman) = RootlessPodman::start() else { return };
    let group = podman.group();
    let network = group.network("same", "--subnet 198.18.211.0/24");
    // The gateway of the container's network is an address of this bridge, too.
    let _bridge = Bridge::new("198.18.211.1/24");
    let app = group.app_with("app", &format!("--network {network} --publish 8080"));
    let words = format!("explain gostats --path /stats --filter {}", group.filter());
    let lines = addresses(&Agent::with_engine(&podman), &words, &[app]).replace(&network, "NETWORK");
    insta::assert_snapshot!(lines, @"
    app: 127.0.0.1:PORT as PORT: the only published port, bound to 0.0.0.0
      198.18.211.2:8080 not usable: on a network of a rootless engine or a virtual machine
    ");
}

/// A bridge of this machine, until it is dropped.
struct Bridge(String);

impl Bridge {
    fn new(address: &str) -> Bridge {
        let bridge = Bridge(format!("mpwsame{}", std::process::id() % 100_000));
        ip(&["link", "add", &bridge.0, "type", "bridge"]);
        ip(&["address", "add", address, "dev", &bridge.0]);
        ip(&["link", "set", &bridge.0, "up"]);
        bridge
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        ip(&["link", "delete", &self.0]);
    }
}

/// Runs `ip`, of the package iproute2.
fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("ip can be started");
    assert!(output.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Returns the lines of an explanation, with the addresses that are not used. Host ports are replaced by `PORT`.
fn addresses(agent: &Agent, words: &str, apps: &[Container]) -> String {
    let output = agent.run(&format!("{words} --json"));
    let explanation: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut lines = String::new();
    for row in explanation["containers"].as_array().expect("a list") {
        let name = text(&row["container"]["name"]);
        let [address, series, why] = [&row["address"], &row["name"], &row["why"]].map(text);
        let (_, name) = name.rsplit_once('-').expect("the name of a group in front");
        let _ = writeln!(lines, "{name}: {address} as {series}: {why}");
        for other in row["addresses"].as_array().into_iter().flatten().filter(|other| other["outcome"] != "used") {
            let [address, outcome, reason] = [&other["address"], &other["outcome"], &other["reason"]].map(text);
            let _ = writeln!(lines, "  {address} {outcome}: {reason}");
        }
    }
    let ports = apps.iter().map(|app| app.address().port().to_string());
    let lines = ports.fold(lines, |lines, port| lines.replace(&port, "PORT"));
    mask::digits(&lines, "10.88.0.", "N")
}

/// Returns the explanation of a run.
fn explained(podman: &Podman, words: &str) -> Value {
    let output = Agent::with_engine(podman).run(words);
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}
