//! Cgroups as the kernel documents them, as files that scenarios write. A fake engine lists the containers.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use scenarios::agent::Output;
use scenarios::cgroup::{self, Files};
use scenarios::fake_engine::docker_on_v1;
use scenarios::fleet::{Fleet, Request, stats_of, values};
use scenarios::http::Reply;
use scenarios::skip;
use scenarios::stats::{Values, assert_same, keys};
use serde_json::json;

/// All graphs that can come from cgroups.
const FROM_FILES: &str = "--stats-source cgroup --graphs cpu,memory,blkio,memory-limit,network,processes,throttling";

/// The gauges that the files of both versions give.
const GAUGES: [(&str, f64); 7] = [
    ("memory.cache", 33_554_432.0),
    ("memory.rss", 67_108_864.0),
    ("memory_limit.limit", 268_435_456.0),
    // 100 MiB minus 20 MiB of inactive files.
    ("memory_limit.used", 83_886_080.0),
    ("memory_percentage.used", 31.25),
    ("processes.current", 4.0),
    ("processes.limit", 100.0),
];

/// The folder of a container in version 2. Without processes, because they would be processes of this machine.
const V2: [(&str, &str); 8] = [
    (
        "cpu.stat",
        "usage_usec 5000000\nuser_usec 4000000\nsystem_usec 1000000\nnice_usec 0\nnr_periods 600\nnr_throttled 60\n\
         throttled_usec 1500000\nnr_bursts 0\nburst_usec 0\n",
    ),
    (
        "memory.stat",
        "anon 67108864\nfile 33554432\nkernel 1048576\nfile_mapped 4096\ninactive_anon 1\nactive_anon 2\n\
         inactive_file 20971520\nactive_file 12582912\nanon_thp 7\n",
    ),
    ("memory.current", "104857600\n"),
    ("memory.max", "268435456\n"),
    (
        "io.stat",
        "254:0 rbytes=1048576 wbytes=2097152 rios=10 wios=20 dbytes=0 dios=0\n7:0 \n\
         8:16 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=512 dios=1\n",
    ),
    ("pids.current", "4\n"),
    ("pids.max", "100\n"),
    ("cgroup.procs", ""),
];

/// The same files some time later.
const V2_LATER: [(&str, &str); 2] = [
    (
        "cpu.stat",
        "usage_usec 8600000\nuser_usec 7000000\nsystem_usec 1600000\nnice_usec 0\nnr_periods 650\nnr_throttled 85\n\
         throttled_usec 1900000\nnr_bursts 0\nburst_usec 0\n",
    ),
    (
        "io.stat",
        "8:16 rbytes=5096 wbytes=8192 rios=2 wios=2 dbytes=9999 dios=99\n\
         254:0 rbytes=1048676 wbytes=2097159 rios=14 wios=27 dbytes=0 dios=0\n",
    ),
];

/// The growth of V2's counters in [`V2_LATER`], in the unit of growth per second.
const V2_GROWTH: [(&str, f64); 9] = [
    ("blkio.io_service_bytes.read", 1100.0 * 60.0),
    ("blkio.io_service_bytes.write", 7.0 * 60.0),
    ("blkio.io_serviced.read", 5.0),
    ("blkio.io_serviced.write", 7.0),
    ("cpu_throttling.periods.all", 50.0 * 60.0),
    ("cpu_throttling.periods.throttled", 25.0 * 60.0),
    ("cpu_throttling.time.throttled", 40.0),
    ("cpuacct_percentage.system", 60.0),
    ("cpuacct_percentage.user", 300.0),
];

/// The folders of a container in version 1, below the controllers. The kernel has CFQ, an I/O scheduler with counts of
/// its own, but the devices use another one, so only the throttling layer counts.
const V1: [(&str, &str, &str); 14] = [
    ("cpuacct", "cpuacct.usage", "5000000000\n"),
    ("cpuacct", "cpuacct.stat", "user 400\nsystem 100\n"),
    ("cpuacct", "cgroup.procs", ""),
    ("cpu", "cpu.stat", "nr_periods 600\nnr_throttled 60\nthrottled_time 1500000000\n"),
    (
        "memory",
        "memory.stat",
        "cache 1\nrss 2\ninactive_file 3\nhierarchical_memory_limit 268435456\ntotal_cache 33554432\ntotal_rss 67108864\n\
         total_rss_huge 7\ntotal_inactive_anon 8\ntotal_inactive_file 20971520\ntotal_active_file 12582912\n",
    ),
    ("memory", "memory.usage_in_bytes", "104857600\n"),
    ("memory", "memory.limit_in_bytes", "268435456\n"),
    (
        "blkio",
        "blkio.throttle.io_serviced_recursive",
        "254:0 Read 10\n254:0 Write 20\n254:0 Sync 25\n254:0 Async 5\n254:0 Discard 0\n254:0 Total 30\n\
         7:0 Read 1\n7:0 Write 2\n7:0 Sync 3\n7:0 Async 0\n7:0 Discard 1\n7:0 Total 4\nTotal 34\n",
    ),
    (
        "blkio",
        "blkio.throttle.io_service_bytes_recursive",
        "254:0 Read 1048576\n254:0 Write 2097152\n254:0 Sync 3145728\n254:0 Async 0\n254:0 Discard 0\n254:0 Total 3145728\n\
         7:0 Read 4096\n7:0 Write 8192\n7:0 Sync 4096\n7:0 Async 8192\n7:0 Discard 512\n7:0 Total 12800\nTotal 3158528\n",
    ),
    ("blkio", "blkio.io_serviced_recursive", "Total 0\n"),
    ("blkio", "blkio.io_service_bytes_recursive", "Total 0\n"),
    (
        "blkio",
        "blkio.io_queued_recursive",
        "254:0 Read 1\n254:0 Write 5\n254:0 Sync 2\n254:0 Async 4\n254:0 Total 6\n\
         7:0 Read 10\n7:0 Write 50\n7:0 Sync 20\n7:0 Async 40\n7:0 Total 60\nTotal 66\n",
    ),
    ("pids", "pids.current", "4\n"),
    ("pids", "pids.max", "100\n"),
];

const V1_LATER: [(&str, &str, &str); 5] = [
    ("cpuacct", "cpuacct.usage", "8600000000\n"),
    ("cpuacct", "cpuacct.stat", "user 700\nsystem 160\n"),
    ("cpu", "cpu.stat", "nr_periods 650\nnr_throttled 85\nthrottled_time 1900000000\n"),
    (
        "blkio",
        "blkio.throttle.io_serviced_recursive",
        "7:0 Read 2\n7:0 Write 2\n7:0 Sync 4\n7:0 Async 0\n7:0 Discard 99\n7:0 Total 103\n\
         254:0 Read 14\n254:0 Write 27\n254:0 Sync 36\n254:0 Async 5\n254:0 Discard 0\n254:0 Total 41\nTotal 144\n",
    ),
    (
        "blkio",
        "blkio.throttle.io_service_bytes_recursive",
        "254:0 Read 1048676\n254:0 Write 2097159\n254:0 Sync 3145832\n254:0 Async 3\n254:0 Discard 0\n254:0 Total 3145835\n\
         7:0 Read 5096\n7:0 Write 8192\n7:0 Sync 4096\n7:0 Async 9192\n7:0 Discard 9999\n7:0 Total 23287\nTotal 3169122\n",
    ),
];

/// The growth of V1's counters in [`V1_LATER`], in the unit of growth per second.
const V1_GROWTH: [(&str, f64); 13] = [
    ("blkio.io_service_bytes.async", 1003.0 * 60.0),
    ("blkio.io_service_bytes.read", 1100.0 * 60.0),
    ("blkio.io_service_bytes.sync", 104.0 * 60.0),
    ("blkio.io_service_bytes.write", 7.0 * 60.0),
    ("blkio.io_serviced.async", 0.0),
    ("blkio.io_serviced.read", 5.0),
    ("blkio.io_serviced.sync", 12.0),
    ("blkio.io_serviced.write", 7.0),
    ("cpu_throttling.periods.all", 50.0 * 60.0),
    ("cpu_throttling.periods.throttled", 25.0 * 60.0),
    ("cpu_throttling.time.throttled", 40.0),
    ("cpuacct_percentage.system", 60.0),
    ("cpuacct_percentage.user", 300.0),
];

/// The requests in V1's queues.
const V1_QUEUED: [(&str, f64); 4] = [
    ("blkio.io_queued.async", 44.0),
    ("blkio.io_queued.read", 11.0),
    ("blkio.io_queued.sync", 22.0),
    ("blkio.io_queued.write", 55.0),
];

fn mark_version_2(files: &Files) {
    files.write("cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma\n");
}

fn fill_v1(files: &Files, folder: &str, content: &[(&str, &str, &str)]) {
    for (controller, name, text) in content {
        files.write(&format!("{controller}/{folder}/{name}"), text);
    }
}

fn remove_v1(files: &Files, folder: &str) {
    for controller in ["cpuacct", "cpu", "memory", "blkio", "pids"] {
        files.remove(&format!("{controller}/{folder}"));
    }
}

/// Creates a folder without files, which the kernel never does.
fn create_empty(files: &Files, folder: &str) {
    let file = format!("{folder}/file");
    files.write(&file, "");
    files.remove(&file);
}

/// Returns the metrics of the first container.
fn api_stats(output: &Output) -> Values {
    stats_of(output, "api")
}

/// Runs, changes the files, and runs again. Expects `gauges`, and `growth` per second of one time, which is bounded on
/// both sides.
fn assert_grows(fleet: &Fleet, later: impl FnOnce(), gauges: &Values, growth: &[(&str, f64)]) {
    let before = Instant::now();
    assert_same(&api_stats(&fleet.run_without_diagnostics(FROM_FILES)), gauges);
    let between = Instant::now();
    later();
    let least = between.elapsed();
    let printed = api_stats(&fleet.run_without_diagnostics(FROM_FILES));
    let most = before.elapsed();
    let seconds = |key: &str, growth: f64| growth / printed[key];
    let elapsed = seconds("cpuacct_percentage.user", 300.0);
    let possible = least.as_secs_f64()..=most.as_secs_f64();
    assert!(possible.contains(&elapsed), "{elapsed} s is not in {possible:?}: {printed:?}");
    let rates = growth.iter().map(|(key, growth)| ((*key).to_owned(), growth / elapsed));
    let right: Values = rates.chain(gauges.clone()).collect();
    assert_same(&printed, &right);
}

#[test]
fn v2_folder_is_found_below_any_parent() {
    cgroup::scenario(|files| {
        let id = Fleet::of(&["api"]).id("api");
        mark_version_2(files);
        // Cgroups of other services.
        files.fill("system.slice/docker.service", &[("memory.current", "1\n"), ("cgroup.procs", "1\n")]);
        files.fill(&format!("system.slice/docker-{}.scope", "f00d".repeat(16)), &[("memory.current", "1\n")]);
        for folder in [
            format!("system.slice/docker-{id}.scope"),
            format!("docker/{id}"),
            format!("ecstasks.slice/ecstasks-0123456789abcdef0123456789abcdef.slice/docker-{id}.scope"),
            format!("ecs/0123456789abcdef0123456789abcdef/{id}"),
            format!("machine.slice/libpod-{id}.scope"),
            format!("libpod_parent/libpod-{id}"),
            format!("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-{id}.scope"),
            format!("a/b/c/d/e/docker-{id}.scope"),
            format!("user.slice/user-1000.slice/user@1000.service/user.slice/docker-{id}.scope"),
        ] {
            files.fill(&folder, &V2);
            assert_same(&api_stats(&Fleet::of(&["api"]).run_without_diagnostics(FROM_FILES)), &values(GAUGES));
            files.remove(&folder);
        }
    });
}

#[test]
fn v2_files_are_read_completely() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("system.slice/docker-{}.scope", fleet.id("api"));
        mark_version_2(files);
        files.fill(&folder, &V2);
        assert_grows(&fleet, || files.fill(&folder, &V2_LATER), &values(GAUGES), &V2_GROWTH);
        assert!(!fleet.requests().iter().any(|path| path.contains("/stats")), "a request for stats to the engine");
    });
}

#[test]
fn v1_folder_is_found_below_any_parent() {
    cgroup::scenario(|files| {
        let id = Fleet::of(&["api"]).id("api");
        for folder in [
            format!("docker/{id}"),
            format!("ecs/0123456789abcdef0123456789abcdef/{id}"),
            format!("system.slice/docker-{id}.scope"),
            format!("machine.slice/libpod-{id}.scope"),
            format!("a/b/c/d/e/{id}"),
        ] {
            fill_v1(files, &folder, &V1);
            let right = values(GAUGES).into_iter().chain(values(V1_QUEUED)).collect();
            assert_same(&api_stats(&Fleet::of(&["api"]).run_without_diagnostics(FROM_FILES)), &right);
            remove_v1(files, &folder);
        }
    });
}

#[test]
fn v1_files_are_read_completely() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("docker/{}", fleet.id("api"));
        fill_v1(files, &folder, &V1);
        let gauges = values(GAUGES).into_iter().chain(values(V1_QUEUED)).collect();
        assert_grows(&fleet, || fill_v1(files, &folder, &V1_LATER), &gauges, &V1_GROWTH);
        assert!(!fleet.requests().iter().any(|path| path.contains("/stats")), "a request for stats to the engine");
    });
}

#[test]
fn v1_controllers_can_share_a_mount() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("system.slice/docker-{}.scope", fleet.id("api"));
        files.write("cpu,cpuacct/tasks", "");
        for controller in ["cpu", "cpuacct"] {
            std::os::unix::fs::symlink("cpu,cpuacct", files.at(controller)).expect("a link in a new folder");
        }
        fill_v1(files, &folder, &V1);
        let gauges = values(GAUGES).into_iter().chain(values(V1_QUEUED)).collect();
        assert_grows(&fleet, || fill_v1(files, &folder, &V1_LATER), &gauges, &V1_GROWTH);
    });
}

#[test]
fn folder_of_podmans_monitor_is_ignored() {
    cgroup::scenario(|files| {
        let id = Fleet::of(&["api"]).id("api");
        mark_version_2(files);
        let (container, monitor) = (format!("libpod-{id}.scope"), format!("libpod-conmon-{id}.scope"));
        let mut shown = Vec::new();
        for order in [[&container, &monitor], [&monitor, &container]] {
            for folder in order {
                let path = format!("machine.slice/{folder}");
                let of_monitor = [("memory.current", "1\n"), ("memory.stat", "anon 1\nfile 1\ninactive_file 0\n")];
                files.fill(&path, &V2);
                if *folder == monitor {
                    files.fill(&path, &of_monitor);
                }
            }
            shown.push(files.names("machine.slice"));
            assert_same(&api_stats(&Fleet::of(&["api"]).run_without_diagnostics(FROM_FILES)), &values(GAUGES));
            files.remove("machine.slice");
        }
        shown.sort();
        shown.dedup();
        assert_eq!(shown.len(), 2, "both orders occur: {shown:?}");
    });
}

#[test]
fn memory_limit_defaults_to_the_machines_memory() {
    let machine = std::fs::read_to_string("/proc/meminfo").expect("/proc/meminfo");
    let machine = machine.lines().find_map(|line| line.strip_prefix("MemTotal:")).expect("MemTotal");
    let kib: f64 = machine.trim().trim_end_matches(" kB").parse().expect("a number");
    cgroup::scenario(move |files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("docker/{}", fleet.id("api"));
        let limit = || api_stats(&fleet.run_without_diagnostics(FROM_FILES))["memory_limit.limit"];
        fill_v1(files, &folder, &V1);
        files.write(&format!("memory/{folder}/memory.limit_in_bytes"), "9223372036854771712\n");
        let detail = V1[4].2.replace("limit 268435456", "limit 9223372036854771712");
        files.write(&format!("memory/{folder}/memory.stat"), detail);
        assert!((limit() - kib * 1024.0).abs() < 1.0);
        mark_version_2(files);
        files.fill(&folder, &V2);
        files.write(&format!("{folder}/memory.max"), "max\n");
        assert!((limit() - kib * 1024.0).abs() < 1.0);
    });
}

#[test]
fn smallest_limit_of_all_parents_applies() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("ecs/task/{}", fleet.id("api"));
        let run = || api_stats(&fleet.run_without_diagnostics(FROM_FILES));
        let limits = |printed: &Values| ["memory_limit.limit", "processes.limit"].map(|key| printed.get(key).copied());
        let throttled =
            |printed: &Values| printed["cpu_throttling.periods.throttled"] / printed["cpu_throttling.periods.all"];
        let periods =
            |all: u64, throttled: u64| format!("nr_periods {all}\nnr_throttled {throttled}\nthrottled_time 0\n");

        fill_v1(files, &folder, &V1);
        files.write(&format!("memory/{folder}/memory.limit_in_bytes"), "9223372036854771712\n");
        files.write(&format!("pids/{folder}/pids.max"), "max\n");
        files.write("pids/ecs/task/pids.max", "50\n");
        for (group, quota) in [("ecs", -1), ("ecs/task", 50_000), (&*folder, 200_000)] {
            files.write(&format!("cpu/{group}/cpu.cfs_quota_us"), format!("{quota}\n"));
            files.write(&format!("cpu/{group}/cpu.cfs_period_us"), "100000\n");
        }
        files.write("cpu/ecs/task/cpu.stat", periods(100, 10));
        // From `hierarchical_memory_limit` of the kernel.
        assert_eq!(limits(&run()), [Some(268_435_456.0), Some(50.0)]);
        files.write("cpu/ecs/task/cpu.stat", periods(140, 30));
        let later = run();
        assert!((throttled(&later) - 0.5).abs() < 1e-9, "{later:?}");

        mark_version_2(files);
        files.fill(&folder, &V2);
        for group in ["ecs", "ecs/task", &folder] {
            files.fill(group, &[("memory.max", "max\n"), ("pids.max", "max\n"), ("cpu.max", "max 100000\n")]);
        }
        assert_eq!(limits(&run())[1], None);
        files.fill("ecs", &[("memory.max", "200000000\n"), ("pids.max", "60\n")]);
        files.fill("ecs/task", &[("memory.max", "300000000\n"), ("cpu.max", "50000 100000\n")]);
        files.write("ecs/task/cpu.stat", periods(200, 50));
        assert_eq!(limits(&run()), [Some(200_000_000.0), Some(60.0)]);
        files.write("ecs/task/cpu.stat", periods(220, 55));
        let later = run();
        assert!((throttled(&later) - 0.25).abs() < 1e-9, "{later:?}");
        // The container's own limits are smaller now.
        files.fill(&folder, &[("memory.max", "100000000\n"), ("pids.max", "20\n"), ("cpu.max", "20000 100000\n")]);
        assert_eq!(limits(&run()), [Some(100_000_000.0), Some(20.0)]);
        files.fill(&folder, &V2_LATER);
        let later = run();
        assert!((throttled(&later) - 0.5).abs() < 1e-9, "{later:?}");
    });
}

#[test]
fn process_limit_max_is_omitted() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("docker/{}", fleet.id("api"));
        let processes = || {
            let printed = api_stats(&fleet.run_without_diagnostics(FROM_FILES));
            keys(&printed).into_iter().filter(|key| key.starts_with("processes")).collect::<Vec<_>>().join(" ")
        };
        fill_v1(files, &folder, &V1);
        files.write(&format!("pids/{folder}/pids.max"), "max\n");
        assert_eq!(processes(), "processes.current");
        mark_version_2(files);
        files.fill(&folder, &V2);
        files.write(&format!("{folder}/pids.max"), "max\n");
        assert_eq!(processes(), "processes.current");
    });
}

/// Returns contents that the kernel never writes.
fn garbage() -> Vec<(String, Option<Vec<u8>>)> {
    let nines = vec![b'9'; 1 << 20];
    let lines = b"user 1\n".repeat(1 << 17);
    let texts =
        [&b""[..], b"\n", b"garbage\n", b"\xff\xfe\x00", b"-1\n", b"1e3\n", b"18446744073709551616\n", &nines, &lines];
    let text = |text: &[u8]| (format!("{:.40}", text.escape_ascii().to_string()), Some(text.to_vec()));
    let folder = ("a folder".to_owned(), None);
    texts.into_iter().map(text).chain([folder]).collect()
}

fn corrupt(files: &Files, path: &str, content: Option<&[u8]>) {
    files.remove(path);
    match content {
        Some(content) => files.write(path, content),
        None => files.write(&format!("{path}/file"), ""),
    }
}

/// Removes the files one by one, and then fills them with garbage: exactly the metrics of that file are omitted.
/// `write` restores all files, early or late; `depends` maps a file to the prefixes of its metrics.
fn assert_omitted_one_by_one(files: &Files, fleet: &Fleet, write: &dyn Fn(bool), depends: &[(String, &[&str])]) {
    // Two runs, because counters need a second one.
    let printed = |corrupt: &dyn Fn()| {
        let run = |late| {
            write(late);
            corrupt();
            api_stats(&fleet.run_without_diagnostics(FROM_FILES))
        };
        let (_, printed) = (run(false), run(true));
        printed
    };
    let whole = printed(&|| {});
    let mut wrong = Vec::new();
    for (path, figures) in depends {
        let is_reported = |key: &&str| !figures.iter().any(|start| key.starts_with(start));
        let reported: Vec<_> = keys(&whole).into_iter().filter(is_reported).collect();
        assert!(reported.len() < whole.len(), "{figures:?} are in {whole:?}");
        let mut compare = |what: &str, printed: &Values| {
            let printed = keys(printed);
            let differ = |one: &[&str], other: &[&str]| {
                one.iter().copied().filter(|key| !other.contains(key)).collect::<Vec<_>>().join(" ")
            };
            if printed != reported {
                let (more, less) = (differ(&printed, &reported), differ(&reported, &printed));
                wrong.push(format!("{what} as {path}: too much is [{more}], missing is [{less}]"));
            }
        };
        compare("nothing", &printed(&|| files.remove(path)));
        // An empty file is valid: the container has done no I/O.
        let can_be =
            |content: &Option<Vec<u8>>| path.ends_with("/io.stat") && content.as_ref().is_some_and(Vec::is_empty);
        for (what, content) in garbage().into_iter().filter(|(_, content)| !can_be(content)) {
            compare(&what, &printed(&|| corrupt(files, path, content.as_deref())));
            files.remove(path);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn v2_missing_or_invalid_file_omits_only_its_metrics() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("docker/{}", fleet.id("api"));
        mark_version_2(files);
        let write = |late: bool| {
            files.fill(&folder, &V2);
            if late {
                files.fill(&folder, &V2_LATER);
            }
        };
        let depends: [(&str, &[&str]); 7] = [
            ("cpu.stat", &["cpu_throttling.", "cpuacct_percentage."]),
            ("memory.stat", &["memory.", "memory_limit.used", "memory_percentage."]),
            ("memory.current", &["memory_limit.used", "memory_percentage."]),
            ("memory.max", &["memory_limit.limit", "memory_percentage."]),
            ("io.stat", &["blkio."]),
            ("pids.current", &["processes.current"]),
            ("pids.max", &["processes.limit"]),
        ];
        let depends = depends.map(|(file, figures)| (format!("{folder}/{file}"), figures));
        assert_omitted_one_by_one(files, &fleet, &write, &depends);
    });
}

#[test]
fn v1_missing_or_invalid_file_omits_only_its_metrics() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("docker/{}", fleet.id("api"));
        let write = |late: bool| {
            fill_v1(files, &folder, &V1);
            if late {
                fill_v1(files, &folder, &V1_LATER);
            }
        };
        let depends: [(&str, &str, &[&str]); 10] = [
            ("cpuacct", "cpuacct.stat", &["cpuacct_percentage."]),
            ("cpu", "cpu.stat", &["cpu_throttling."]),
            ("memory", "memory.stat", &["memory.", "memory_limit.used", "memory_percentage."]),
            ("memory", "memory.usage_in_bytes", &["memory_limit.used", "memory_percentage."]),
            ("memory", "memory.limit_in_bytes", &["memory_limit.limit", "memory_percentage."]),
            ("blkio", "blkio.throttle.io_serviced_recursive", &["blkio.io_serviced."]),
            ("blkio", "blkio.throttle.io_service_bytes_recursive", &["blkio.io_service_bytes."]),
            ("blkio", "blkio.io_queued_recursive", &["blkio.io_queued."]),
            ("pids", "pids.current", &["processes.current"]),
            ("pids", "pids.max", &["processes.limit"]),
        ];
        let depends = depends.map(|(controller, file, figures)| (format!("{controller}/{folder}/{file}"), figures));
        assert_omitted_one_by_one(files, &fleet, &write, &depends);
    });
}

#[test]
fn v1_missing_controller_omits_only_its_metrics() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("docker/{}", fleet.id("api"));
        for (controller, figures) in [("memory", "memory"), ("blkio", "blkio"), ("pids", "processes")] {
            fill_v1(files, &folder, &V1);
            files.remove(controller);
            let printed = api_stats(&fleet.run_without_diagnostics(FROM_FILES));
            assert!(!printed.is_empty() && !keys(&printed).iter().any(|key| key.starts_with(figures)), "{printed:?}");
        }
    });
}

#[test]
fn invalid_number_omits_only_its_metric() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("docker/{}", fleet.id("api"));
        mark_version_2(files);
        files.fill(&folder, &V2);
        let memory = [("memory.stat", "anon 67108864 kB\nfile\nfile -1\ninactive_file_more 7\ninactive_file 20971520")];
        files.fill(&folder, &memory);
        let printed = api_stats(&fleet.run_without_diagnostics(FROM_FILES));
        let right: Values = values(GAUGES).into_iter().filter(|(key, _)| !key.starts_with("memory.")).collect();
        assert_same(&printed, &right);
    });
}

#[test]
fn block_io_comes_from_the_first_file_with_counts() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("docker/{}", fleet.id("api"));
        let names = |form: &str| ["io_serviced", "io_service_bytes"].map(|what| form.replace("WHAT", what));
        let [cfq, all, old] =
            ["blkio.WHAT_recursive", "blkio.throttle.WHAT_recursive", "blkio.throttle.WHAT"].map(names);
        let read = |number: u64| format!("254:0 Read {number}\n254:0 Total {number}\nTotal {number}\n");
        // Each file has steps of its own, which show the file that was read.
        for (what, kernel, step) in [
            ("CFQ on a device", vec![(&old, 1), (&all, 1000), (&cfq, 1_000_000)], 1_000_000),
            ("CFQ on no device", vec![(&old, 1), (&all, 1000), (&cfq, 0)], 1000),
            ("a kernel without CFQ", vec![(&old, 1), (&all, 1000)], 1000),
            ("an old kernel", vec![(&old, 1)], 1),
        ] {
            let write = |times: u64| {
                fill_v1(files, &folder, &V1);
                files.remove(&format!("blkio/{folder}"));
                for (names, step) in &kernel {
                    let content = if *step == 0 { "Total 0\n".to_owned() } else { read(times * step) };
                    for name in *names {
                        files.write(&format!("blkio/{folder}/{name}"), &content);
                    }
                }
            };
            write(1);
            let _ = fleet.run_without_diagnostics(FROM_FILES);
            write(2);
            fill_v1(files, &folder, &V1_LATER[..2]);
            let printed = api_stats(&fleet.run_without_diagnostics(FROM_FILES));
            let seconds = 300.0 / printed["cpuacct_percentage.user"];
            let mut growth: Values = printed.into_iter().filter(|(key, _)| key.starts_with("blkio.")).collect();
            for rate in growth.values_mut() {
                *rate *= seconds;
            }
            println!("{what}:");
            let step = f64::from(step);
            assert_same(
                &growth,
                &values([("blkio.io_service_bytes.read", step * 60.0), ("blkio.io_serviced.read", step)]),
            );
        }
    });
}

#[test]
fn cgroup_without_any_chosen_stats_is_not_a_failure() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("docker/{}", fleet.id("api"));
        fleet.edit_listed("api", |container| container["HostConfig"]["NetworkMode"] = json!("host"));
        mark_version_2(files);
        files.fill(&folder, &V2);
        // A container without any I/O, as most idle containers are.
        files.write(&format!("{folder}/io.stat"), "");
        for graphs in ["blkio", "network", "blkio,network"] {
            for source in ["cgroup", "auto"] {
                let output = fleet.run_without_diagnostics(&format!("--stats-source {source} --graphs {graphs}"));
                assert!(api_stats(&output).values().all(|value| *value < 1e-9), "{output}");
                assert!(
                    !fleet.requests().iter().any(|path| path.contains("/stats")),
                    "{source} {graphs}: the engine was asked"
                );
            }
        }
    });
}

#[test]
fn v2_block_io_is_zero_before_the_first_operation() {
    cgroup::scenario(|files| {
        mark_version_2(files);
        for before in ["", "254:0 \n"] {
            let fleet = Fleet::of(&["api"]);
            let folder = format!("docker/{}", fleet.id("api"));
            files.fill(&folder, &V2);
            files.write(&format!("{folder}/io.stat"), before);
            let run = || api_stats(&fleet.run_without_diagnostics("--stats-source cgroup --graphs blkio,cpu"));
            assert_same(&run(), &values([]));
            files.fill(&folder, &V2_LATER);
            files.write(&format!("{folder}/io.stat"), "254:0 rbytes=0 wbytes=4096 rios=0 wios=1 dbytes=0 dios=0\n");
            let printed = run();
            let seconds = 300.0 / printed["cpuacct_percentage.user"];
            let right = [
                ("blkio.io_service_bytes.read", 0.0),
                ("blkio.io_service_bytes.write", 4096.0 * 60.0 / seconds),
                ("blkio.io_serviced.read", 0.0),
                ("blkio.io_serviced.write", 1.0 / seconds),
            ];
            let io = printed.into_iter().filter(|(key, _)| key.starts_with("blkio.")).collect();
            assert_same(&io, &values(right));
        }
    });
}

/// A process with a network namespace of its own. Drop it to end it.
struct NetworkProcess(Child);

impl NetworkProcess {
    /// Starts the process and runs `setup` in its network.
    fn start(setup: &str) -> Self {
        let mut process = Command::new("unshare")
            .args(["--net", "bash", "-e", "-c", &format!("{setup}\necho ready\nexec sleep 1000")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process in a network of its own");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("stdout is piped")).read_line(&mut line).expect("a line on stdout");
        assert_eq!(line, "ready\n", "{setup}");
        Self(process)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Runs commands in its network.
    fn run(&self, commands: &str) {
        let status = Command::new("nsenter")
            .args([&format!("--net=/proc/{}/ns/net", self.pid()), "bash", "-e", "-c", commands])
            .status()
            .expect("nsenter");
        assert!(status.success(), "{commands}");
    }
}

impl Drop for NetworkProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two pairs of interfaces. Packets to 10.0.N.2 leave through one interface of a pair and arrive at the other, without
/// a response. IPv6 is disabled because it sends packets by itself.
const TWO_PAIRS: &str = "
    for scope in all default; do echo 1 > /proc/sys/net/ipv6/conf/$scope/disable_ipv6; done
    ip link set lo up
    for number in 0 1; do
        ip link add eth$number type veth peer name peer$number
        ip address add 10.0.$number.1/24 dev eth$number
        ip link set peer$number up
        ip link set eth$number up
        ip neighbour add 10.0.$number.2 lladdr 02:00:00:00:00:02 dev eth$number
    done";

#[test]
fn network_traffic_is_the_sum_of_all_interfaces_except_lo() {
    if !skip::has_commands(&["ip", "bash", "nsenter"], "the traffic of network namespaces") {
        return;
    }
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("docker/{}", fleet.id("api"));
        let peer = NetworkProcess::start(TWO_PAIRS);
        let process = format!("{}\n", peer.pid());
        let assert_traffic = |write: &dyn Fn(bool)| {
            write(false);
            let _ = fleet.run_without_diagnostics(FROM_FILES);
            // 30 datagrams of 100 bytes and 10 of 200 have 142 and 242 bytes each with the headers of UDP, IP and
            // Ethernet.
            peer.run(
                "for n in {1..30}; do printf %0100d 0 > /dev/udp/10.0.0.2/9; done
                 for n in {1..10}; do printf %0200d 0 > /dev/udp/10.0.1.2/9; done
                 printf lost > /dev/udp/127.0.0.1/9",
            );
            write(true);
            let printed = api_stats(&fleet.run_without_diagnostics(FROM_FILES));
            let seconds = 300.0 / printed["cpuacct_percentage.user"];
            let mut network: Values = printed.into_iter().filter(|(key, _)| key.starts_with("network.")).collect();
            for rate in network.values_mut() {
                *rate *= seconds;
            }
            let right = [
                ("network.bytes.received", 30.0 * 142.0 + 10.0 * 242.0),
                ("network.bytes.sent", 30.0 * 142.0 + 10.0 * 242.0),
                ("network.errors.received", 0.0),
                ("network.errors.received_dropped", 0.0),
                ("network.errors.sent", 0.0),
                ("network.errors.sent_dropped", 0.0),
                ("network.packets.received", 40.0),
                ("network.packets.sent", 40.0),
            ];
            assert_same(&network, &values(right));
        };
        assert_traffic(&|late| {
            fill_v1(files, &folder, if late { &V1_LATER } else { &V1 });
            files.write(&format!("cpuacct/{folder}/cgroup.procs"), &process);
        });
        // Version 2 from here on. The processes are in a cgroup below the container's, as with Podman.
        mark_version_2(files);
        files.fill(&folder, &V2);
        let below = format!("{folder}/container/cgroup.procs");
        assert_traffic(&|late| {
            files.fill(&folder, if late { &V2_LATER[..] } else { &V2 });
            files.write(&below, &process);
        });
    });
}

#[test]
fn container_without_its_own_network_has_no_network_metrics() {
    if !skip::has_commands(&["ip", "bash", "nsenter"], "the traffic of network namespaces") {
        return;
    }
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("docker/{}", fleet.id("api"));
        mark_version_2(files);
        files.fill(&folder, &V2);
        let alone = NetworkProcess::start("ip link set lo up");
        let own = format!("{}\n", std::process::id());
        let on_the_hosts =
            |mode: serde_json::Value| fleet.edit_listed("api", |container| container["HostConfig"] = mode);
        for (what, processes, mode) in [
            ("with lo alone", format!("{}\n", alone.pid()), json!({"NetworkMode": "none"})),
            ("on the host's network", own.clone(), json!({"NetworkMode": "host"})),
            // Podman's list has no networks.
            ("on the host's network, unknown to the engine", own.clone(), json!(null)),
            ("in a container's network that is the host's", own, json!({"NetworkMode": "container:0f611fd7"})),
            ("whose process has ended", "4194304\n".to_owned(), json!({"NetworkMode": "default"})),
            ("outside this namespace of processes", "0\n".to_owned(), json!({"NetworkMode": "default"})),
            ("without processes", String::new(), json!({"NetworkMode": "default"})),
            ("with garbage for processes", "garbage\n".to_owned(), json!({"NetworkMode": "default"})),
        ] {
            on_the_hosts(mode);
            files.write(&format!("{folder}/cgroup.procs"), processes);
            for _ in 0..2 {
                let printed = api_stats(&fleet.run_without_diagnostics(FROM_FILES));
                assert!(!keys(&printed).iter().any(|key| key.starts_with("network.")), "{what}: {printed:?}");
            }
        }
    });
}

#[test]
fn missing_cgroup_is_one_line_if_the_api_is_not_allowed() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api", "bad"]);
        mark_version_2(files);
        let folder = format!("docker/{}", fleet.id("api"));
        files.fill(&folder, &V2);
        let missing = fleet.run(FROM_FILES).exits(0);
        assert_same(&api_stats(&missing), &values(GAUGES));
        create_empty(files, &format!("docker/{}", fleet.id("bad")));
        let empty = fleet.run(FROM_FILES).exits(0);
        assert_same(
            &api_stats(&empty).into_iter().filter(|(key, _)| GAUGES.iter().any(|(gauge, _)| gauge == key)).collect(),
            &values(GAUGES),
        );
        files.remove("docker");
        let none = fleet.run(FROM_FILES).exits(1);
        assert_eq!(none.stdout, "");
        insta::assert_snapshot!([missing.stderr, empty.stderr, none.stderr].join("---\n"), @"
        mackerel-plugin-wasm: docker: bad: container stopped or removed since the engine listed it
        ---
        mackerel-plugin-wasm: docker: bad: container stopped or removed since the engine listed it
        ---
        mackerel-plugin-wasm: docker: api: no container has a cgroup below /sys/fs/cgroup: does the engine run on another machine? (--stats-source api)
        mackerel-plugin-wasm: docker: bad: no container has a cgroup below /sys/fs/cgroup: does the engine run on another machine? (--stats-source api)
        ");
    });
}

#[test]
fn auto_source_asks_the_engine_only_for_missing_cgroups() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api", "web", "empty"]);
        for name in ["web", "empty"] {
            fleet.set_stats(name, &docker_on_v1("2026-11-22T03:00:00Z"));
        }
        mark_version_2(files);
        files.fill(&format!("docker/{}", fleet.id("api")), &V2);
        create_empty(files, &format!("docker/{}", fleet.id("empty")));
        let output = fleet.run_without_diagnostics("--graphs memory,blkio");
        assert_eq!(keys(&api_stats(&output)), ["memory.cache", "memory.rss"]);
        let from_engine = ["async", "read", "sync", "write"].map(|kind| format!("blkio.io_queued.{kind}"));
        let from_engine: Vec<_> =
            from_engine.iter().map(String::as_str).chain(["memory.cache", "memory.rss"]).collect();
        assert_eq!(keys(&stats_of(&output, "web")), from_engine);
        assert_eq!(keys(&stats_of(&output, "empty")), from_engine);
        let asked = fleet.requests();
        let asked: Vec<_> = ["api", "empty", "web"]
            .into_iter()
            .filter(|name| asked.iter().any(|path| path.contains(&format!("/{name}/stats"))))
            .collect();
        assert_eq!(asked, ["empty", "web"]);
    });
}

#[test]
fn change_of_source_omits_counters_once() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api"]);
        let folder = format!("docker/{}", fleet.id("api"));
        mark_version_2(files);
        files.fill(&folder, &V2);
        let cpu = |options: &str| {
            let printed = api_stats(&fleet.run_without_diagnostics(&format!("{options} --graphs cpu,memory")));
            assert!(printed.contains_key("memory.rss"), "{printed:?}");
            printed.contains_key("cpuacct_percentage.user")
        };
        // The engine's clock is ahead of the files' or behind them, and the CPU time always grows, so only the source
        // shows that two readings cannot be compared.
        let tells = |read: &str, nanoseconds: u64| {
            let mut stats = docker_on_v1(read);
            stats["cpu_stats"]["cpu_usage"]["usage_in_usermode"] = json!(nanoseconds);
            fleet.set_stats("api", &stats);
        };
        assert!(!cpu(""), "the first run");
        assert!(cpu(""));
        files.remove(&folder);
        tells("2100-01-01T00:00:00Z", 5_000_000_000);
        assert!(!cpu(""), "from files to the engine");
        tells("2100-01-01T00:01:00Z", 6_000_000_000);
        assert!(cpu(""));
        files.fill(&folder, &V2);
        assert!(!cpu(""), "from the engine to files");
        assert!(cpu(""));
        // The operator changes the source.
        tells("2026-01-01T00:00:00Z", 1_000_000_000);
        assert!(!cpu("--stats-source api"), "from files to the engine");
        tells("2026-01-01T00:01:00Z", 2_000_000_000);
        assert!(cpu("--stats-source api"));
        assert!(!cpu("--stats-source cgroup"), "from the engine to files");
        assert!(cpu("--stats-source cgroup"));
        assert!(cpu("--stats-source auto"), "the same files");
    });
}

#[test]
fn removed_container_is_one_line() {
    cgroup::scenario(|files| {
        let fleet = Fleet::of(&["api", "bad"]);
        mark_version_2(files);
        for name in ["api", "bad"] {
            files.fill(&format!("docker/{}", fleet.id(name)), &V2);
        }
        let _ = fleet.run_without_diagnostics("");
        files.remove(&format!("docker/{}", fleet.id("bad")));
        fleet.set_reply("bad", Request::Stats, Reply::Whole(404, json!({"message": "No such container"}).to_string()));
        let output = fleet.run("").exits(0);
        assert!(api_stats(&output).contains_key("cpuacct_percentage.user"), "{output}");
        assert_eq!(keys(&stats_of(&output, "bad")), [""; 0], "{output}");
        insta::assert_snapshot!(output.stderr, @"mackerel-plugin-wasm: docker: bad: container stopped or removed since the engine listed it");
    });
}

#[test]
fn all_of_many_containers_are_found_among_many_folders() {
    cgroup::scenario(|files| {
        let names: Vec<_> = (0..100).map(|number| format!("app{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let fleet = Fleet::of(&names);
        mark_version_2(files);
        for number in 0..300 {
            files.write(&format!("system.slice/unit{number}.service/memory.current"), "1\n");
        }
        for (number, name) in (0..).zip(&names) {
            let folder = format!("ecs/task{}/{}", number % 7, fleet.id(name));
            files.fill(&folder, &V2);
            files.write(&format!("{folder}/pids.current"), format!("{number}\n"));
        }
        let output = fleet.run_without_diagnostics("--stats-source cgroup --graphs processes");
        for (number, name) in (0..).zip(&names) {
            let right = [("processes.current", f64::from(number)), ("processes.limit", 100.0)];
            assert_same(&stats_of(&output, name), &values(right));
        }
    });
}
