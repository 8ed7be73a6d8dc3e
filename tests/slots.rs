//! `--instance-name slot`: small numbers as names, which containers keep and pass on after they are gone.
//!
//! Slots depend on the time since the machine's start. A later run has a time namespace whose machine started earlier.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scenarios::agent::{Agent, Metrics, Output};
use scenarios::disk::Disk;
use scenarios::engine::{Container, Engine, Group};
use scenarios::fake_engine::{self, FakeEngine, container};
use scenarios::stub_target::StubTarget;
use scenarios::{mask, skip, stats, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

const MINUTE: u64 = 60_000_000_000;

/// The number of runs, one per minute, for which the slot of a removed container is reserved, including the last run
/// with it.
const RUNS_KEPT: usize = 3;

/// The difference between the counts of two containers, so that a rate between them would stand out.
const HUGE: u64 = 1 << 40;

/// An agent with runs at chosen times, in seconds from now on.
pub struct Times {
    host: String,
    folder: TempDir,
}

impl Times {
    /// An agent on this host. Reports it if this user cannot change the time since the machine's start.
    pub fn on(host: &str) -> Option<Self> {
        let mut probe = Command::new("unshare");
        probe.args(["--time", "--boottime", "1", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
        if !probe.status().is_ok_and(|status| status.success()) {
            skip::notice("cannot make a namespace of time: not root?", "how long a slot is kept");
            return None;
        }
        Some(Self { host: host.to_owned(), folder: TempDir::new().expect("a temporary folder") })
    }

    /// Returns the agent at this time.
    pub fn after(&self, seconds: usize) -> Agent {
        let launcher = ["unshare", "--time", "--boottime", &seconds.to_string(), "--"];
        Agent::with_docker_host(&self.host).with_workdir(self.folder.path().to_owned()).with_launcher(&launcher)
    }
}

/// Starts a container that is recognized by its memory limit in MiB.
fn with_limit<'e>(group: &Group<'e>, mebibytes: usize) -> Container<'e> {
    group.app_with(&format!("app{mebibytes:03}"), &format!("--publish 8080 --memory {mebibytes}m"))
}

/// Returns the memory limit in MiB of the container in each slot.
#[track_caller]
fn limits(output: &Output, group: &Group) -> BTreeMap<usize, usize> {
    let metrics = output.metrics().of("docker.memory_limit");
    let limits = metrics.iter().filter_map(|(name, value)| Some((name.strip_suffix(".limit")?, value)));
    let slots: BTreeMap<usize, usize> = limits
        .map(|(slot, bytes)| {
            let mebibytes = bytes / f64::from(1 << 20);
            // Limits are small whole numbers of MiB.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let whole = mebibytes as usize;
            (slot.parse().unwrap_or_else(|_| panic!("not a number: {slot} in {output}")), whole)
        })
        .collect();
    let containers: BTreeSet<_> = slots.values().collect();
    assert_eq!(containers.len(), slots.len(), "one container has two slots in {}: {output}", group.filter());
    slots
}

fn run_docker(agent: &Agent, group: &Group) -> BTreeMap<usize, usize> {
    let options = "--graphs memory-limit --select memory_limit.limit --instance-name slot";
    let command = format!("run docker --filter {} {options}", group.filter());
    limits(&agent.run(&command).exits(0).without_diagnostics(), group)
}

#[test]
fn rolling_replacement_of_ten_containers_needs_twelve_slots() {
    let Some(engine) = Engine::find() else { return };
    let Some(times) = Times::on(engine.host()) else { return };
    let group = engine.group();
    let mut alive: Vec<_> = (0..10).map(|number| with_limit(&group, 64 + number)).collect();
    let mut runs = Vec::new();
    for minute in 0..=50 {
        let slots = run_docker(&times.after(60 * minute), &group);
        let right: BTreeSet<_> = (0..10).map(|number| 64 + minute + number).collect();
        assert_eq!(slots.values().copied().collect::<BTreeSet<_>>(), right, "minute {minute}");
        runs.push(slots);
        if minute < 50 {
            alive.remove(0).remove();
            alive.push(with_limit(&group, 74 + minute));
        }
    }
    // The ten of this run, and those that the two previous runs saw last: others were gone for three minutes.
    let largest: Vec<usize> = runs.iter().filter_map(|slots| slots.keys().max().copied()).collect();
    assert_eq!(largest[..3], [10, 11, 12]);
    assert_eq!(largest.iter().max(), Some(&(10 + RUNS_KEPT - 1)), "{largest:?}");
    let used: BTreeSet<_> = runs.iter().flat_map(BTreeMap::keys).copied().collect();
    assert_eq!(used, (1..=12).collect());
    for window in runs.windows(RUNS_KEPT) {
        let mut carried = BTreeMap::new();
        let mut slots = BTreeMap::new();
        for (slot, container) in window.iter().flatten() {
            assert_eq!(carried.entry(slot).or_insert(container), &container, "slot {slot} of two: {window:?}");
            assert_eq!(slots.entry(container).or_insert(slot), &slot, "two slots of one container: {window:?}");
        }
    }
    let last = runs.last().expect("51 runs");
    let first = &runs[0];
    assert!(
        first.keys().any(|slot| last.get(slot).is_some_and(|container| first[slot] != *container)),
        "none is reused"
    );
}

#[test]
fn container_keeps_its_slot_across_restarts() {
    let Some(engine) = Engine::find() else { return };
    let Some(times) = Times::on(engine.host()) else { return };
    let group = engine.group();
    let [first, mut second, _third] = [64, 65, 66].map(|limit| with_limit(&group, limit));
    assert_eq!(run_docker(&times.after(0), &group), [(1, 64), (2, 65), (3, 66)].into());

    first.remove();
    second.restart();
    let fourth = with_limit(&group, 67);
    assert_eq!(run_docker(&times.after(60), &group), [(2, 65), (3, 66), (4, 67)].into());
    let fifth = with_limit(&group, 68);
    assert_eq!(run_docker(&times.after(120), &group), [(2, 65), (3, 66), (4, 67), (5, 68)].into());

    // The first has been gone for three minutes.
    let _sixth = with_limit(&group, 69);
    assert_eq!(run_docker(&times.after(180), &group), [(1, 69), (2, 65), (3, 66), (4, 67), (5, 68)].into());

    // A late run frees the slots of missing containers. The smallest is assigned first.
    fourth.remove();
    fifth.remove();
    let _seventh = with_limit(&group, 70);
    assert_eq!(run_docker(&times.after(600), &group), [(1, 69), (2, 65), (3, 66), (4, 70)].into());
}

#[test]
fn paused_container_keeps_its_slot() {
    let Some(engine) = Engine::find() else { return };
    let Some(times) = Times::on(engine.host()) else { return };
    let group = engine.group();
    let paused = with_limit(&group, 64);
    let stopped = with_limit(&group, 65);
    let _other = with_limit(&group, 66);
    assert_eq!(run_docker(&times.after(0), &group), [(1, 64), (2, 65), (3, 66)].into());

    paused.pause();
    stopped.stop();
    // A paused container is not a target for its stats either.
    assert_eq!(run_docker(&times.after(200), &group), [(3, 66)].into());
    let _new = with_limit(&group, 67);
    assert_eq!(run_docker(&times.after(400), &group), [(2, 67), (3, 66)].into());
    let _newer = with_limit(&group, 68);
    assert_eq!(run_docker(&times.after(4000), &group), [(2, 67), (3, 66), (4, 68)].into());

    paused.resume();
    assert_eq!(run_docker(&times.after(4200), &group), [(1, 64), (2, 67), (3, 66), (4, 68)].into());
}

#[test]
fn new_container_in_a_slot_has_no_rates_at_first() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let apps = group.apps(3);
    let agent = Agent::with_engine(engine);
    let command = format!("run gostats --filter {} --path /stats --instance-name slot", group.filter());
    let run = || agent.run(&command).exits(0).without_diagnostics().metrics();
    let slot = |metrics: &Metrics, number: usize| metrics.of(&format!("gostats.{number}"));

    // The first ones are numbered in the order of their names.
    let first = run();
    let before: Vec<_> = apps.iter().map(Container::last_served).collect();
    for (number, served) in (1..).zip(&before) {
        stats::assert_same(&slot(&first, number), &stats::gauges(served));
    }
    let Ok([replaced, one, other]) = <[_; 3]>::try_from(apps) else { panic!("three apps") };
    replaced.remove();
    let new = group.app("a-new-one");
    let second = run();
    stats::assert_same(&slot(&second, 4), &stats::gauges(&new.last_served()));
    for (number, app, before) in [(2, &one, &before[1]), (3, &other, &before[2])] {
        stats::assert_same(&slot(&second, number), &stats::all(before, &app.last_served()));
    }
    assert_eq!(second.instances().into_iter().collect::<BTreeSet<_>>(), ["2", "3", "4"].into());

    let before = new.last_served();
    let third = run();
    stats::assert_same(&slot(&third, 4), &stats::all(&before, &new.last_served()));
}

/// An engine with a list that changes.
struct Changing {
    engine: FakeEngine,
    containers: Arc<Mutex<Vec<Value>>>,
}

impl Changing {
    fn with(containers: Vec<Value>) -> Self {
        let containers = Arc::new(Mutex::new(containers));
        let listed = Arc::clone(&containers);
        let engine = FakeEngine::replying(move |path| {
            fake_engine::default_reply(&listed.lock().expect("no reply panics"), path)
        });
        Self { engine, containers }
    }

    fn has(&self, containers: Vec<Value>) {
        *self.containers.lock().expect("no reply panics") = containers;
    }
}

/// Returns the one state file of an agent.
fn state_file(agent: &Agent) -> std::path::PathBuf {
    let [file] = &agent.state_files()[..] else { panic!("one state file, not {:?}", agent.state_files()) };
    file.clone()
}

/// Changes the state as if every container had been seen last at the machine's start, more than an hour ago.
fn expire_slots(file: &Path) {
    let mut state: Value = serde_json::from_slice(&fs::read(file).expect("our own file")).expect("JSON");
    let slots = state["slots"].as_object_mut().expect("slots");
    assert!(!slots.is_empty());
    for slot in slots.values_mut() {
        slot["seen"]["boot"] = 0.into();
    }
    fs::write(file, state.to_string()).expect("a new file");
}

#[test]
fn reassigned_slot_has_no_rates_at_first() {
    let [low, high] = [(); 2].map(|()| StubTarget::serving(json!({})));
    let container = |name: &str, stub_target: &StubTarget| container(name, "127.0.0.1", stub_target.port());
    let engine = Changing::with(vec![container("low", &low)]);
    let Some(times) = Times::on(&engine.engine.host()) else { return };
    // All runs are in the same hour, so that no clock seems to have been set, which would omit rates, too.
    let agent = times.after(3600);
    let run = |minute: u64, counts: [u64; 2]| {
        low.serve(stats::body(minute * MINUTE, counts[0]));
        high.serve(stats::body(minute * MINUTE, counts[1]));
        agent.let_pass(Duration::from_nanos(MINUTE));
        agent.run("run gostats --instance-name slot --select *_num").exits(0).without_diagnostics().metrics()
    };
    let rate = |metrics: &Metrics, slot: &str| metrics.of(slot).get("gc.gc_num").copied();
    assert_eq!(rate(&run(1, [7, 0]), "gostats.1"), None);
    assert_eq!(rate(&run(2, [14, 0]), "gostats.1"), Some(7.0));
    engine.has(vec![container("high", &high)]);
    expire_slots(&state_file(&agent));
    let taken_over = run(3, [0, HUGE]);
    assert_eq!(taken_over.keys(), ["gostats.1.runtime.goroutine_num"]);
    assert_eq!(rate(&run(4, [0, HUGE + 5]), "gostats.1"), Some(5.0));

    // The container returns with its own counters and in another slot.
    expire_slots(&state_file(&agent));
    engine.has(vec![container("low", &low)]);
    assert_eq!(rate(&run(5, [35, 0]), "gostats.1"), Some(7.0), "from 14 in minute 2");
    engine.has(vec![container("high", &high), container("low", &low)]);
    let both = run(6, [44, HUGE + 9]);
    assert_eq!((rate(&both, "gostats.1"), rate(&both, "gostats.2")), (Some(9.0), Some(2.0)));
}

/// Returns targets that report their index as the number of goroutines, and their containers by name.
fn numbered<const N: usize>(names: [&str; N]) -> (Vec<StubTarget>, Vec<Value>) {
    let all = (1_u64..).zip(names).map(|(number, name)| {
        let mut body = stats::body(MINUTE, 7);
        body["goroutine_num"] = number.into();
        let stub_target = StubTarget::serving(body);
        let container = container(name, "127.0.0.1", stub_target.port());
        (stub_target, container)
    });
    all.unzip()
}

/// Returns the container behind each name, by its number of goroutines.
fn goroutines(output: &Output) -> BTreeMap<String, f64> {
    let metrics = output.metrics().of("gostats");
    let name = |key: &str| key.strip_suffix(".runtime.goroutine_num").map(str::to_owned);
    metrics.iter().filter_map(|(key, value)| Some((name(key)?, *value))).collect()
}

#[test]
fn overlapping_runs_agree_about_slots() {
    let (_targets, containers) = numbered(["a", "b", "c", "d"]);
    for _ in 0..5 {
        // Both runs read the state before they get a response. One of them does not know the first container, so by
        // itself it would count from the second on.
        let lists = Arc::new(AtomicUsize::new(0));
        let (asked, listed) = (Arc::clone(&lists), containers.clone());
        let engine = FakeEngine::replying(move |path| {
            let mut known = &listed[..];
            if path.split('?').next().is_some_and(|path| path.ends_with("/containers/json")) {
                if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                    known = &known[1..];
                }
                wait::until("both runs send a request", || (asked.load(Ordering::SeqCst) >= 2).then_some(()));
            }
            fake_engine::default_reply(known, path)
        });
        let agent = Agent::with_docker_host(&engine.host());
        let command = "run gostats --instance-name slot --select *.goroutine_num";
        let runs = [(); 2].map(|()| agent.start(command));
        let [one, other] = runs.map(|run| goroutines(&run.output().exits(0).without_diagnostics()));
        let (fewer, all) = if one.len() < other.len() { (one, other) } else { (other, one) };
        assert_eq!((fewer.len(), all.len()), (3, 4));
        assert!(fewer.iter().all(|(slot, number)| all.get(slot) == Some(number)), "{fewer:?} and {all:?}");
        let next = agent.run(command).exits(0).without_diagnostics();
        assert_eq!(goroutines(&next), all);
        assert_eq!(lists.load(Ordering::SeqCst), 3);
    }
}

#[test]
fn slots_are_numbered_for_each_label_value() {
    let (_targets, mut containers) = numbered(["a", "b", "c", "d", "e", "f"]);
    let labels = [Some("web"), Some("web"), Some("db"), None, Some("shop/eu"), Some("")];
    for (container, label) in containers.iter_mut().zip(labels) {
        container["Labels"] = label.map_or(json!({}), |label| json!({"com.example.role": label}));
    }
    let engine = Changing::with(containers.clone());
    let agent = Agent::with_docker_host(&engine.engine.host());
    let run = || {
        let options = "--instance-name slot:label:com.example.role --select *.goroutine_num";
        let output = agent.run(&format!("run gostats {options}")).exits(0).without_diagnostics();
        goroutines(&output).iter().map(|(name, number)| format!("{name}: {number}")).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(run());

    // The first one of a value is gone, and two others start: one with a known value, and one with a new value.
    let (_more, mut new) = numbered(["g", "h"]);
    new[0]["Labels"] = json!({"com.example.role": "web"});
    new[1]["Labels"] = json!({"com.example.role": "mail"});
    containers.remove(0);
    containers.extend(new);
    engine.has(containers);
    insta::assert_snapshot!(run());
}

#[test]
fn unsaved_slots_are_not_assigned_and_totals_remain() {
    let (_targets, containers) = numbered(["a", "b", "c"]);
    let (two, three) = (containers[..2].to_vec(), containers.clone());
    let command = "run gostats --instance-name slot --select *.goroutine_num --total sum,avg --targets-graph";
    let said = |agent: &Agent, output: &Output| {
        let values = output.stdout.lines().filter_map(|line| line.rsplit_once('\t'));
        let values = values.map(|(line, _)| format!("{line}\n")).collect::<Vec<_>>().concat();
        let stderr = mask::path(&output.stderr, agent.workdir(), "WORKDIR");
        let files = agent.state_files();
        let name = files.first().and_then(|file| file.file_name()).map(|name| name.to_string_lossy().into_owned());
        values + &name.map_or(stderr.clone(), |name| stderr.replace(&name, "FILE.json"))
    };
    let run = |agent: &Agent| said(agent, &agent.run(command).exits(0));

    let engine = Changing::with(two.clone());
    let agent = Agent::with_docker_host(&engine.engine.host());
    fs::write(agent.state_folder(), "").expect("a file in a new folder");
    insta::assert_snapshot!(run(&agent));

    let agent = Agent::with_docker_host(&engine.engine.host());
    insta::assert_snapshot!(run(&agent));
    let lock = fs::File::open(state_file(&agent).with_extension("json.lock")).expect("a lock file");
    lock.lock().expect("the lock");
    insta::assert_snapshot!(run(&agent));
    drop(lock);

    let Some(disk) = Disk::with("size=64k") else { return };
    let agent = Agent::with_docker_host(&engine.engine.host()).with_workdir(disk.path());
    let well = run(&agent);
    disk.fill();
    // Slots on the disk are known. A new one would be forgotten.
    let known = run(&agent);
    assert!(known.starts_with(&well), "{known}");
    engine.has(three);
    let full = run(&agent);
    insta::assert_snapshot!(format!("{known}\n{full}"));
    disk.free();
    insta::assert_snapshot!(run(&agent));
}

#[test]
fn unsaved_slots_alone_print_nothing() {
    let (_targets, containers) = numbered(["a", "b"]);
    let engine = FakeEngine::with_containers(containers);
    let agent = Agent::with_docker_host(&engine.host());
    fs::write(agent.state_folder(), "").expect("a file in a new folder");
    let output = agent.run("run gostats --instance-name slot").exits(0);
    assert_eq!(output.stdout, "");
    assert_eq!(output.stderr.lines().count(), 2, "{output}");
}

#[test]
fn slots_of_different_filters_are_separate() {
    let (_targets, containers) = numbered(["a", "b", "c"]);
    let engine = Changing::with(containers.clone());
    let agent = Agent::with_docker_host(&engine.engine.host());
    let run = |format: &str| {
        let options = format!("--instance-name {format} --select *.goroutine_num");
        let output = agent.run(&format!("run gostats {options}")).exits(0);
        goroutines(&output).into_keys().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(run("slot"), "1 2 3");
    assert_eq!(run("slot:label:none"), "1 2 3");
    engine.has(containers[1..].to_vec());
    assert_eq!(run("slot"), "2 3");
    assert_eq!(run("slot:label:other"), "1 2", "the slots of another command");
    assert_eq!(agent.state_files().len(), 3);
}

#[test]
fn slots_require_containers() {
    let diagnostic = |options: &str| {
        let output = Agent::without_engine().run(&format!("run gostats {options}")).exits(2);
        assert_eq!(output.stdout, "", "{output}");
        let lines: String =
            output.stderr.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect();
        format!("{options}\n{lines}")
    };
    let diagnostics = [
        "--instance-name slot --target 127.0.0.1:1",
        "--instance-name slot:label:app --target 127.0.0.1:1",
        "--instance-name slots",
        "--instance-name slot:",
        "--instance-name slot:label:",
        "--instance-name slot:app",
    ]
    .map(diagnostic);
    insta::assert_snapshot!(diagnostics.concat());
}
