//! Files of the kernel. Users who can mount or name things (cgroups, devices, interfaces) influence their content.

use std::collections::HashMap;

use mackerel_plugin_wasm::internals::{Group, Parts, Version, container_of, empty_stats, traffic};

use crate::engine::{assert_consistent, assert_sum};

/// The machine's memory in these checks.
const MACHINE: u64 = 16 << 30;

/// The files of a cgroup: a line `== NAME` for each, followed by its content. They are parsed by the rules of both
/// versions.
pub fn cgroup_files(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let files: HashMap<&str, &str> =
        text.split("== ").skip(1).map(|file| file.split_once('\n').unwrap_or((file, ""))).collect();
    let read = |_controller: &str, file: &str| files.get(file).map(|text| (*text).to_owned());
    for (version, cfq) in [(Version::V1, false), (Version::V1, true), (Version::V2, false)] {
        let group = Group { version, cfq, machine: Some(MACHINE), parents: 1, read: &read };
        let mut nothing = empty_stats(1);
        group.fill(&mut nothing, Parts::empty());
        assert_eq!(nothing, empty_stats(1), "nothing was asked for");
        let mut stats = empty_stats(1);
        group.fill(&mut stats, Parts::all());
        assert_consistent(&stats);
        assert_eq!(stats.network, nothing.network, "the files of a cgroup have no network");
        assert!(stats.memory.limit.is_none_or(|limit| limit <= MACHINE));
        assert_eq!(stats.processes.current, files.get("pids.current").and_then(|text| text.trim().parse().ok()));
        if version == Version::V2 {
            assert_eq!(stats.memory.rss, field(files.get("memory.stat"), "anon"));
            assert_eq!(stats.block_io.queued, nothing.block_io.queued, "version 2 does not tell it");
        } else {
            assert_eq!(stats.memory.rss, field(files.get("memory.stat"), "total_rss"));
        }
        let throttled = files.get("cpu.stat");
        assert_eq!(stats.throttling.periods, field(throttled, "nr_periods"));
    }
}

/// Returns the number in the first line of the form `KEY NUMBER`.
fn field(text: Option<&&str>, key: &str) -> Option<u64> {
    let lines = text?.lines().map(|line| line.split_once(' ').unwrap_or((line, "none")));
    lines.filter(|(of, number)| *of == key && *number != "none").map(|(_, number)| number.trim().parse().ok()).next()?
}

/// The name of a cgroup's folder, which contains its owner and an id.
pub fn cgroup_folder(bytes: &[u8]) {
    let Ok(name) = std::str::from_utf8(bytes) else { return };
    if let Some(id) = container_of(name) {
        assert!(id.len() == 64 && id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
        assert!(name == id || name.ends_with(&format!("-{id}")) || name.ends_with(&format!("{id}.scope")), "{name}");
        assert!(
            !name.trim_end_matches(".scope").ends_with(&format!("conmon-{id}")),
            "{name}: a monitor is no container"
        );
    }
}

/// `/proc/PID/net/dev`.
pub fn net_dev(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let network = traffic(text);
    // The kernel's form: two lines of headings, then a name with a colon and sixteen numbers for each interface.
    let mut interfaces = HashMap::new();
    let mut is_whole = true;
    for line in text.lines().skip(2) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers: Vec<Option<u64>> = words.iter().skip(1).take(16).map(|word| word.parse().ok()).collect();
        is_whole &= numbers.len() == 16 && numbers.iter().all(Option::is_some);
        if let Some(name) = words.first() {
            interfaces.insert(name.trim_end_matches(':'), numbers);
        }
    }
    interfaces.remove("lo");
    let column = |column: usize| {
        interfaces.values().filter(|_| is_whole).map(move |numbers| numbers[column]).collect::<Vec<_>>().into_iter()
    };
    let (received, sent) = (network.received, network.sent);
    for (sum, of) in [(received.bytes, 0), (received.packets, 1), (received.errors, 2), (received.dropped, 3)] {
        assert_sum(sum, column(of));
    }
    for (sum, of) in [(sent.bytes, 8), (sent.packets, 9), (sent.errors, 10), (sent.dropped, 11)] {
        assert_sum(sum, column(of));
    }
}
