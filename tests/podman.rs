//! Scenarios on a real Podman, whose version of Docker's API differs in details.

use std::time::Duration;

use scenarios::agent::Agent;
use scenarios::podman::Podman;
use scenarios::watch::{Around, Look, PERCENT, Watch, wait_while_it_works};

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
