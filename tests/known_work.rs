//! Values for a known amount of work in real containers, from both stats sources, compared with the kernel's numbers.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use scenarios::agent::Agent;
use scenarios::cgroup::is_version_1;
use scenarios::engine::{Container, Engine};
use scenarios::stats::Values;
use scenarios::watch::{self, Around, Look, NANOSECONDS, PERCENT, ROUNDING, Watch, wait_while_it_works};
use scenarios::{skip, wait};
use tempfile::TempDir;

const MEBIBYTE: f64 = 1_048_576.0;

#[track_caller]
fn assert_near(left: f64, right: f64, most: f64) {
    assert!((left - right).abs() <= most, "{left} and {right} differ by more than {most}");
}

#[test]
fn busy_loop_limited_to_half_a_core_shows_50_percent() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let container = group.work("half", "--cpus 0.5", "-spin");
    let [cgroup, api] = Watch::both(engine, &group, &container, "--graphs cpu,throttling");
    let [cgroup_ns, api_ns] = Watch::both(engine, &group, &container, "--graphs cpu --cpu-format usage");
    let [cgroup, api, cgroup_ns, api_ns] =
        Around::all(&[cgroup, api, cgroup_ns, api_ns], || wait_while_it_works(Duration::from_secs(2)));

    let cores = [&cgroup, &api].map(|around| around.assert_half_a_core("cpuacct_percentage", PERCENT));
    for around in [&cgroup_ns, &api_ns] {
        around.assert_half_a_core("cpuacct", NANOSECONDS);
    }
    assert_near(cores[0], cores[1], 0.05 + cgroup.missed().max(api.missed()));

    for around in [&cgroup, &api] {
        let [all, throttled] =
            ["all", "throttled"].map(|periods| around.after.values[&format!("cpu_throttling.periods.{periods}")]);
        assert!(0.0 < throttled && throttled <= all, "{throttled} of {all} periods");
        around.assert_grew("cpu_throttling.periods.all", 60.0, &around.kernel(|cpu| cpu.periods));
        around.assert_grew("cpu_throttling.periods.throttled", 60.0, &around.kernel(|cpu| cpu.throttled_periods));
        around.assert_grew("cpu_throttling.time.throttled", PERCENT, &around.kernel(|cpu| cpu.throttled));
    }
}

#[test]
fn allocated_memory_is_shown() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let container = group.work("holder", "--memory 256m", "-hold 64");
    let watches = Watch::both(engine, &group, &container, "--graphs memory,memory-limit");
    let looks = watch::looks(&watches);
    let kernel = container.anonymous_memory();
    // As people see it: `66.2MiB / 256MiB 25.86%`.
    let shown = container.docker_stats("{{.MemUsage}} {{.MemPerc}}");
    let (used, percent) = shown.split_once("MiB / 256MiB ").unwrap_or_else(|| panic!("{shown}"));
    let number = |text: &str| -> f64 { text.parse().unwrap_or_else(|_| panic!("{shown}")) };
    let (used, percent) = (number(used), number(percent.trim_end_matches('%')));

    for Look { values, .. } in &looks {
        let rss = values["memory.rss"];
        // Go's runtime needs some memory, too.
        assert!((64.0 * MEBIBYTE..=72.0 * MEBIBYTE).contains(&rss), "{rss}");
        // Go's runtime allocates and frees some pages in the background.
        assert_near(rss, kernel, 64.0 * 4096.0);
        assert!(values["memory.cache"] >= 0.0);
        assert_near(values["memory_limit.used"] / MEBIBYTE, used, 0.5);
        assert_near(values["memory_limit.limit"], 256.0 * MEBIBYTE, 0.0);
        assert_near(values["memory_percentage.used"], percent, 0.2);
    }
    assert_near(looks[0].values["memory.rss"], looks[1].values["memory.rss"], 0.64 * MEBIBYTE);
}

#[test]
fn written_bytes_are_shown() {
    let Some(engine) = Engine::find_local() else { return };
    let Some(disk) = engine.disk() else { return };
    let group = engine.group();
    let container = group.work("writer", &write_limits(&[&disk]), "");
    let watches = Watch::both(engine, &group, &container, "");
    let kernel = container.written();
    let arounds = Around::all(&watches, || container.do_work("-write 32 -to /data/file"));
    let grown = grown(&kernel, &container);
    assert_eq!(grown.len(), 1, "there is one disk: {grown:?}");

    for (around, source) in arounds.iter().zip(["cgroup", "api"]) {
        if counts_operations(source) {
            // Each MiB is at least one operation, and no operation is smaller than a page.
            around.assert_grew("blkio.io_serviced.write", 1.0, &(32.0..=36.0 * 256.0));
        }
        // The file system writes little more than the data.
        around.assert_grew("blkio.io_service_bytes.write", 60.0, &(32.0 * MEBIBYTE..=36.0 * MEBIBYTE));
        around.assert_grew("blkio.io_service_bytes.write", 60.0, &(grown[0]..=grown[0]));
    }
}

#[test]
fn two_devices_are_summed() {
    let Some(engine) = Engine::find_local() else { return };
    let Some(disk) = engine.disk() else { return };
    let Some(second) = LoopDevice::of(16) else { return };
    let group = engine.group();
    let options = format!("--device {} {}", second.path, write_limits(&[&disk, &second.path]));
    let container = group.work("writer", &options, "");
    let watches = Watch::both(engine, &group, &container, "");
    let kernel = container.written();
    let arounds = Around::all(&watches, || {
        container.do_work("-write 16 -to /data/file");
        container.do_work(&format!("-write 8 -to {}", second.path));
    });
    let grown = grown(&kernel, &container);
    let [_, _] = grown[..] else { panic!("there are two devices: {grown:?}") };
    let sum = grown.iter().sum::<f64>();

    for around in &arounds {
        around.assert_grew("blkio.io_service_bytes.write", 60.0, &(24.0 * MEBIBYTE..=28.0 * MEBIBYTE));
        around.assert_grew("blkio.io_service_bytes.write", 60.0, &(sum..=sum));
    }
}

/// Returns whether a source counts operations: under cgroup version 2, Docker counts only bytes.
fn counts_operations(source: &str) -> bool {
    source == "cgroup" || is_version_1()
}

/// Returns options that make version 1 of the cgroups count: a limit for each device, which is never reached.
fn write_limits(devices: &[&str]) -> String {
    let limits = devices.iter().map(|device| format!("--device-write-bps {device}:10gb"));
    limits.chain(["--volume /data".to_owned()]).collect::<Vec<_>>().join(" ")
}

/// Returns the growth of written bytes for each device with any.
fn grown(before: &BTreeMap<String, f64>, container: &Container) -> Vec<f64> {
    let after = container.written();
    let grown = after.iter().map(|(device, bytes)| bytes - before.get(device).copied().unwrap_or(0.0));
    grown.filter(|bytes| *bytes > 0.0).collect()
}

/// A block device that is a file in memory.
struct LoopDevice {
    path: String,
    _folder: TempDir,
}

impl LoopDevice {
    /// Sets up a device of this size. Reports it if that is not possible.
    fn of(mebibytes: u64) -> Option<Self> {
        let untested = "the sum over several devices";
        if !skip::has_commands(&["losetup"], untested) {
            return None;
        }
        // In memory, because writes to a file on a disk would be counted twice.
        let folder = TempDir::new_in("/dev/shm").expect("a temporary folder");
        let file = folder.path().join("device");
        fs::File::create(&file).and_then(|file| file.set_len(mebibytes << 20)).expect("a file in a new folder");
        let output =
            Command::new("losetup").args(["--find", "--show"]).arg(&file).output().expect("losetup can be started");
        if !output.status.success() {
            let cause = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            skip::notice(&format!("cannot set up a loop device: {cause}"), untested);
            return None;
        }
        Some(Self { path: String::from_utf8_lossy(&output.stdout).trim().to_owned(), _folder: folder })
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.path]).status();
    }
}

#[test]
fn sent_bytes_are_shown_with_headers() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let container = group.work("sender", "", "");
    // A receiver, because each datagram to a closed port is answered by an error.
    let sink = UdpSocket::bind((container.host_address(), 0)).expect("an address of this machine");
    let address = sink.local_addr().expect("a bound socket has an address");
    let watches = Watch::both(engine, &group, &container, "--graphs network");
    let arounds = Around::all(&watches, || container.do_work(&format!("-send 1000000 -address {address}")));

    for around in &arounds {
        // 1,000 datagrams with headers of 14 bytes for Ethernet, 20 for IPv4 and 8 for UDP, and little else, such as
        // ARP.
        around.assert_grew("network.bytes.sent", 1.0, &(1_042_000.0..=1_047_000.0));
        around.assert_grew("network.packets.sent", 1.0, &(1000.0..=1050.0));
        around.assert_grew("network.bytes.received", 1.0, &(0.0..=10_000.0));
        around.assert_grew("network.packets.received", 1.0, &(0.0..=100.0));
        for fault in ["received", "sent", "sent_dropped"] {
            around.assert_grew(&format!("network.errors.{fault}"), 60.0, &(0.0..=0.0));
        }
        // Packets of protocols that it does not support.
        around.assert_grew("network.errors.received_dropped", 60.0, &(0.0..=100.0));
    }
}

#[test]
fn both_sources_agree_about_the_same_work() {
    let Some(engine) = Engine::find_local() else { return };
    let Some(disk) = engine.disk() else { return };
    let group = engine.group();
    let container = group.work("worker", &write_limits(&[&disk]), "-hold 64");
    let sink = UdpSocket::bind((container.host_address(), 0)).expect("an address of this machine");
    let address = sink.local_addr().expect("a bound socket has an address");
    let watches = Watch::both(engine, &group, &container, "--graphs all");
    let arounds = Around::all(&watches, || {
        container.do_work(&format!("-write 8 -to /data/file -send 100000 -address {address}"));
    });
    let [cgroup, api] = arounds.each_ref().map(|around| &around.after.values);
    let reported = |key: &&String| counts_operations("api") || !key.starts_with("blkio.io_serviced.");
    assert_eq!(cgroup.keys().filter(reported).collect::<Vec<_>>(), api.keys().collect::<Vec<_>>());

    // The growth is the same, so all rates differ only by the time between the readings.
    let longer = cgroup["network.packets.sent"] / api["network.packets.sent"];
    let ((least, most), (exact, _)) = (arounds[0].seconds(), arounds[1].seconds());
    assert!((exact / most..=exact / least).contains(&longer), "{longer} for {exact} s and for {least} to {most} s");
    let counted = |key: &&String| key.starts_with("blkio.") || key.starts_with("network.") && key.contains("sent");
    for key in cgroup.keys().filter(reported).filter(counted) {
        assert_near(cgroup[key], api[key] * longer, cgroup[key] * ROUNDING);
    }
    for key in ["memory.rss", "memory_limit.used", "memory_limit.limit", "memory_percentage.used"] {
        assert_near(cgroup[key], api[key], cgroup[key] * 0.01);
    }
    assert_near(cgroup["processes.current"], api["processes.current"], 1.0);
}

/// The prefixes of counters.
const COUNTERS: [&str; 6] =
    ["cpuacct_percentage.", "blkio.io_serviced.", "blkio.io_service_bytes.", "network.", "cpuacct.", "cpu_throttling."];

fn is_counter(key: &str) -> bool {
    COUNTERS.iter().any(|counter| key.starts_with(counter))
}

fn counters(values: &Values) -> usize {
    values.keys().filter(|key| is_counter(key)).count()
}

#[test]
fn restarted_container_omits_counters_once() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let container = group.work("restarted", "--cpus 0.5", "-spin");
    let watches = Watch::both(engine, &group, &container, "--graphs cpu,memory,network");
    let before = Around::all(&watches, || {});
    let used = container.cpu().used;
    container.restart_work();
    wait::until("the CPU time exceeds that before the restart", || (container.cpu().used > used).then_some(()));
    let after = Around::all(&watches, || wait_while_it_works(Duration::from_secs(2)));

    for (before, after) in before.iter().zip(&after) {
        let gauges: Vec<_> = before.after.values.keys().filter(|key| !is_counter(key)).collect();
        assert_eq!(counters(&before.after.values), 2 + 8, "{:?}", before.after.values);
        assert_eq!(after.before.values.keys().collect::<Vec<_>>(), gauges);
        after.assert_half_a_core("cpuacct_percentage", PERCENT);
        assert_eq!(after.after.values.keys().collect::<Vec<_>>(), before.after.values.keys().collect::<Vec<_>>());
    }
}

#[test]
fn recreated_container_omits_counters_once() {
    let Some(engine) = Engine::find_local() else { return };
    for source in ["cgroup", "api"] {
        let group = engine.group();
        let agent = Agent::with_engine(engine);
        let options = format!("--instance-name name --stats-source {source} --graphs cpu,memory,network");
        let command = format!("run docker --filter {} {options}", group.filter());
        let keys = || agent.run(&command).exits(0).without_diagnostics().metrics().count();
        // Throttled, so that the next container soon exceeds its count, and no smaller counter reveals the change.
        let old = group.work("again", "--cpus 0.1", "-spin");
        assert_eq!([keys(), keys()], [2, 2 + 2 + 8]);
        let used = old.cpu().used;
        old.remove();
        let new = group.work("again", "", "-spin");
        wait::until("the new one has used more", || (new.cpu().used > used).then_some(()));
        assert_eq!([keys(), keys()], [2, 2 + 2 + 8]);
    }
}

#[test]
fn host_network_container_prints_all_metrics_except_network() {
    let Some(engine) = Engine::find_local() else { return };
    let Some(disk) = engine.disk() else { return };
    let seen = ["bridge", "host"].map(|network| {
        let group = engine.group();
        let options = format!("--network {network} --memory 256m {}", write_limits(&[&disk]));
        let container = group.work("worker", &options, "");
        let watches = Watch::both(engine, &group, &container, "--graphs all");
        let arounds = Around::all(&watches, || container.do_work("-write 1 -to /data/file"));
        arounds.map(|around| around.after.values.into_keys().collect::<Vec<_>>())
    });
    let graphs =
        ["blkio", "cpuacct_percentage", "memory", "memory_limit", "memory_percentage", "processes", "restarts"];
    let [bridge, host] = seen;
    for (bridge, host) in bridge.iter().zip(&host) {
        for graph in graphs {
            assert!(host.iter().any(|key| key.starts_with(&format!("{graph}."))), "no {graph} in {host:?}");
        }
        let without: Vec<_> = bridge.iter().filter(|key| !key.starts_with("network.")).collect();
        assert_eq!(host.iter().collect::<Vec<_>>(), without);
        assert_eq!(bridge.len(), without.len() + 8);
    }
}

#[test]
fn change_of_source_omits_counters_once() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let container = group.work("worker", "", "-spin");
    let agent = Agent::with_engine(engine);
    let counters = ["cgroup", "cgroup", "api", "api", "cgroup", "cgroup"].map(|source| {
        let command = format!("run docker --filter {} --stats-source {source} --graphs cpu,network", group.filter());
        let output = agent.run(&command).exits(0).without_diagnostics();
        counters(&watch::without_instance(&container, &output.metrics().of("docker")))
    });
    assert_eq!(counters, [0, 10, 0, 10, 0, 10]);
    assert_eq!(agent.state_files().len(), 1, "both sources share one state file");
}

#[test]
fn keys_are_those_of_mackerel_plugin_docker() {
    let Some(engine) = Engine::find_local() else { return };
    let Some(disk) = engine.disk() else { return };
    let group = engine.group();
    let container = group.work("writer", &write_limits(&[&disk]), "");
    let watches = Watch::both(engine, &group, &container, "");
    // It has done I/O before the first look.
    container.do_work("-write 1 -to /data/file");
    let arounds = Around::all(&watches, || container.do_work("-write 1 -to /data/file"));
    // Cgroup version 2 has no synchronous and asynchronous operations.
    let operations: &[_] = if is_version_1() { &["async", "read", "sync", "write"] } else { &["read", "write"] };
    let of = |graph: &str| operations.iter().map(|operation| format!("{graph}.{operation}")).collect::<Vec<_>>();
    let gauges = ["memory.cache".to_owned(), "memory.rss".to_owned()];
    let all = |source| {
        let serviced = if counts_operations(source) { of("blkio.io_serviced") } else { Vec::new() };
        let cpu = ["cpuacct_percentage.system".to_owned(), "cpuacct_percentage.user".to_owned()];
        [of("blkio.io_service_bytes"), serviced, cpu.to_vec(), gauges.to_vec()].concat()
    };
    for (Around { before, after }, source) in arounds.iter().zip(["cgroup", "api"]) {
        // Few schedulers count queued requests, and none that is usual today.
        let keys =
            |look: &Look| look.values.keys().filter(|key| !key.contains("io_queued")).cloned().collect::<Vec<_>>();
        assert_eq!(keys(before), gauges);
        assert_eq!(keys(after), all(source));
    }
}

#[test]
fn health_and_restarts_are_those_of_the_engine() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    // It fails the first time, and the engine restarts it.
    let container =
        group.work_with_health_check("stumbler", "--restart on-failure --volume /data", "-stumble /data/been-here");
    let health = "{{.RestartCount}} {{.State.Health.Status}}";
    wait::until("it is healthy", || (container.inspect(health) == "1 healthy").then_some(()));
    for watch in Watch::both(engine, &group, &container, "--graphs restarts,health") {
        let values = watch.look().values;
        let values: Vec<_> = values.iter().map(|(key, value)| format!("{key} {value}")).collect();
        assert_eq!(values, ["health.failing_streak 0", "health.healthy 1", "restarts.count 1"]);
    }
}

/// A cgroup above those of containers, with limits. Drop it after its containers.
struct Parent(String);

impl Parent {
    /// Makes one. `limits` are the controllers of version 1, the files of versions 1 and 2, and the contents.
    fn with(limits: [(&str, [&str; 2], [&str; 2]); 3]) -> Self {
        let name = format!("scenario-{}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        for (controller, files, contents) in limits {
            let (folder, version) =
                if is_version_1() { (root.join(controller).join(&name), 0) } else { (root.join(&name), 1) };
            fs::create_dir_all(&folder).expect("a cgroup can be made");
            fs::write(folder.join(files[version]), contents[version]).expect("a limit can be set");
        }
        Self(name)
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let root = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        for folder in controllers.chain([root.to_owned()]).map(|folder| folder.join(&self.0)) {
            // Only empty cgroups can be removed.
            let _ = fs::remove_dir(folder);
        }
    }
}

#[test]
fn limits_of_a_parent_cgroup_apply() {
    let Some(engine) = Engine::find_local() else { return };
    if !skip::is_root("limits of parent cgroups") {
        return;
    }
    if !engine.makes_cgroups() {
        return skip::notice("the engine leaves cgroups to systemd", "limits of parent cgroups");
    }
    // As ECS limits a task, above its containers without limits.
    let parent = Parent::with([
        ("memory", ["memory.limit_in_bytes", "memory.max"], ["536870912", "536870912"]),
        ("pids", ["pids.max", "pids.max"], ["50", "50"]),
        ("cpu", ["cpu.cfs_quota_us", "cpu.max"], ["5000", "5000 100000"]),
    ]);
    let group = engine.group();
    let container = group.work("task", &format!("--cgroup-parent /{}", parent.0), "-spin");
    let graphs = "--graphs memory-limit,processes,throttling";
    let watch = Watch::on(engine, &group, &container, "cgroup", graphs);
    let [around] = Around::all(&[watch], || wait_while_it_works(Duration::from_secs(2)));
    let values = &around.after.values;
    assert_near(values["memory_limit.limit"], 512.0 * MEBIBYTE, 1.0);
    assert_near(values["processes.limit"], 50.0, ROUNDING);
    // It computes all the time, and has no limit of its own.
    assert!(values["cpu_throttling.periods.throttled"] > 0.0, "{values:?}");
    assert!(values["cpu_throttling.time.throttled"] > 0.0, "{values:?}");
}
