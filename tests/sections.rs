//! Several commands of one agent: a section whose options are changed, sections beside each other, and the files that
//! old ones leave behind.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use scenarios::agent::{Agent, Output};
use scenarios::fake_engine::{self, FakeEngine, container};
use scenarios::stub_target::StubTarget;
use scenarios::{load, stats, wait};
use serde_json::{Value, json};

const MINUTE: u64 = 60_000_000_000;

/// An agent with a target whose clock advances a minute per run, and whose counters grow by 7 each time.
struct Minutes {
    agent: Agent,
    stub_target: StubTarget,
    minute: u64,
}

impl Minutes {
    fn new() -> Self {
        Self { agent: Agent::without_engine(), stub_target: StubTarget::serving(json!({})), minute: 0 }
    }

    /// Runs a command with these options a minute after the last run.
    fn run(&mut self, options: &str) -> Output {
        self.next();
        self.agent.run(&self.command(options)).exits(0)
    }

    fn next(&mut self) {
        self.agent.let_pass(Duration::from_nanos(MINUTE));
        self.minute += 1;
        self.stub_target.serve(stats::body(self.minute * MINUTE, self.minute * 7));
    }

    fn command(&self, options: &str) -> String {
        format!("run gostats --target {} {options}", self.stub_target.target())
    }

    /// Runs it twice, so that it has rates.
    fn run_with_rates(&mut self, options: &str) {
        let _ = self.run(options).without_diagnostics();
        assert_eq!(self.rate(options), Some(7.0), "{options}");
    }

    /// Runs it, and returns the growth of a counter per minute.
    fn rate(&mut self, options: &str) -> Option<f64> {
        rate(&self.run(options).without_diagnostics())
    }
}

/// Returns the printed growth of a counter: of the one target, or as a total.
fn rate(output: &Output) -> Option<f64> {
    let metrics = output.metrics();
    let key = metrics.keys().into_iter().find(|key| key.ends_with(".gc_num"))?;
    metrics.of(key.strip_suffix(".gc_num").expect("a graph")).get("gc_num").copied()
}

/// Returns the files of the state folder.
fn files(agent: &Agent) -> BTreeSet<PathBuf> {
    fs::read_dir(agent.state_folder()).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}

/// Sets the time of the last change of a file.
fn age(file: &Path, ago: Duration) {
    let file = File::open(file).expect("our own file");
    file.set_modified(SystemTime::now() - ago).expect("our own file");
}

const DAY: Duration = Duration::from_hours(24);

#[test]
fn changed_selection_or_totals_keep_their_rates() {
    for (before, after) in [
        ("", "--select gc.*"),
        ("--select memory.*", "--select gc.*"),
        ("--select gc.*", "--exclude heap.*"),
        ("", "--total sum,max"),
        ("--total sum", "--total sum --total-only"),
        ("--total max --total-only", ""),
        ("", "--timeout 3s --deadline 9s"),
        ("", "--targets-graph"),
    ] {
        let mut minutes = Minutes::new();
        for _ in 0..2 {
            let _ = minutes.run(before).without_diagnostics();
        }
        assert_eq!(minutes.rate(after), Some(7.0), "from '{before}' to '{after}'");
        assert_eq!(minutes.rate(after), Some(7.0), "after '{after}'");
    }
}

#[test]
fn changed_selection_keeps_its_slots() {
    let stub_target = StubTarget::serving(stats::body(MINUTE, 7));
    let api = |name: &str, ip: &str| container(name, ip, stub_target.port());
    let all = vec![api("a", "127.0.0.1"), api("b", "127.0.0.2"), api("c", "127.0.0.3")];
    let listed = Arc::new(Mutex::new(all.clone()));
    let current = Arc::clone(&listed);
    let engine =
        FakeEngine::replying(move |path| fake_engine::default_reply(&current.lock().expect("no reply panics"), path));
    let agent = Agent::with_docker_host(&engine.host());
    let command = |options: &str| format!("gostats --instance-name slot {options}");
    let slots = |options: &str| {
        let output = agent.run(&format!("run {}", command(options))).exits(0).without_diagnostics();
        let metrics = output.metrics();
        metrics.instances().into_iter().filter(|name| *name != "gostats_sum").collect::<Vec<_>>().join(" ")
    };
    assert_eq!(slots(""), "1 2 3");
    *listed.lock().expect("no reply panics") = all[1..].to_vec();
    // A new command would count from 1.
    let explained = agent.run(&format!("explain {} --json", command("--select memory.*"))).exits(0);
    let explained: Value = serde_json::from_str(&explained.stdout).expect("JSON");
    let names: Vec<_> = explained["containers"].as_array().expect("a list").iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["2", "3"]);
    assert_eq!(slots("--select memory.*"), "2 3");
    assert_eq!(slots("--total sum"), "2 3");
    // Options of the collector change its metrics, and not its containers.
    assert_eq!(slots("--path /stats"), "2 3");
    // Other containers or other names have slots of their own.
    assert_eq!(slots("--metric-key-prefix web"), "1 2");
    let other = agent.run(&format!("run {}", command("--filter name=x"))).exits(0);
    assert_eq!(other.metrics().instances(), ["1", "2"]);
}

#[test]
fn changed_targets_and_collector_options_start_without_rates() {
    let mut minutes = Minutes::new();
    minutes.run_with_rates("");
    assert_eq!(minutes.rate("--path /stats"), None);
    assert_eq!(minutes.rate("--metric-key-prefix web"), None);
    assert_eq!(minutes.rate("--select gc.*"), Some(7.0), "from the command without options");
    assert_eq!(rate(&minutes.run("--target 127.0.0.2:1")), None);
}

/// The changed command waits for its list while the other one runs from start to end.
#[test]
fn command_that_runs_meanwhile_lends_no_counters() {
    const PASS: usize = 0;
    const HOLD_NEXT: usize = 1;
    const HELD: usize = 2;
    let _load = load::timed();
    let gate = Arc::new(AtomicUsize::new(PASS));
    let stub_target = StubTarget::serving(json!({}));
    let (containers, held) = (vec![container("api", "127.0.0.1", stub_target.port())], Arc::clone(&gate));
    let engine = FakeEngine::replying(move |path| {
        let is_list = path.split('?').next().is_some_and(|path| path.ends_with("/containers/json"));
        if is_list && held.compare_exchange(HOLD_NEXT, HELD, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            wait::until("the other command ended", || (held.load(Ordering::SeqCst) == PASS).then_some(()));
        }
        fake_engine::default_reply(&containers, path)
    });
    let agent = Agent::with_docker_host(&engine.host());
    let serve = |minute: u64| stub_target.serve(stats::body(minute * MINUTE, minute * 7));
    let run = |minute: u64, options: &str| {
        agent.let_pass(Duration::from_nanos(MINUTE));
        serve(minute);
        rate(&agent.run(&format!("run gostats {options}")).exits(0).without_diagnostics())
    };
    assert_eq!((run(1, ""), run(2, "")), (None, Some(7.0)));

    gate.store(HOLD_NEXT, Ordering::SeqCst);
    let changed = agent.start("run gostats --select gc.*");
    wait::until("the changed command began", || (gate.load(Ordering::SeqCst) == HELD).then_some(()));
    assert_eq!(run(3, ""), Some(7.0));
    serve(4);
    gate.store(PASS, Ordering::SeqCst);
    let changed = changed.output().exits(0).without_diagnostics();
    assert_eq!(rate(&changed), None, "both commands run");
    assert_eq!((run(5, ""), run(6, "--select gc.*")), (Some(7.0), Some(7.0)));
}

#[test]
fn options_that_are_changed_back_continue_from_the_newest_state() {
    let mut minutes = Minutes::new();
    minutes.run_with_rates("--select gc.*");
    let [first] = &minutes.agent.state_files()[..] else { panic!("one state file") };
    let first = first.clone();
    minutes.run_with_rates("");
    // The growth of one minute, not of three: the state of its own is older.
    age(&first, Duration::from_mins(10));
    let before = fs::read(&first).expect("our own file");
    assert_eq!(minutes.rate("--select gc.*"), Some(7.0));
    assert_ne!(fs::read(&first).expect("our own file"), before);

    // A break without a change costs nothing.
    for file in minutes.agent.state_files() {
        age(&file, Duration::from_mins(10));
    }
    assert_eq!(minutes.rate("--select gc.*"), Some(7.0));
}

#[test]
fn damaged_state_of_another_command_is_not_taken_over() {
    let mut minutes = Minutes::new();
    minutes.run_with_rates("");
    let [file] = &minutes.agent.state_files()[..] else { panic!("one state file") };
    fs::write(file, "garbage").expect("our own file");
    assert_eq!(minutes.rate("--select gc.*"), None);
    assert_eq!(minutes.rate("--select gc.*"), Some(7.0));
}

/// Returns an engine with a container, whatever the filter, and the target in it.
fn engine_with_target() -> (FakeEngine, StubTarget) {
    let stub_target = StubTarget::serving(json!({"goroutine_num": 1}));
    (FakeEngine::with_containers(vec![container("api", "127.0.0.1", stub_target.port())]), stub_target)
}

/// Runs a command with this filter.
fn filtered(agent: &Agent, filter: &str, options: &str) -> String {
    let output = agent.run(&format!("run gostats --filter name={filter} --instance-name slot {options}")).exits(0);
    output.stderr
}

#[test]
fn second_section_with_the_same_prefix_is_reported_once() {
    let (engine, _stub_target) = engine_with_target();
    let agent = Agent::with_docker_host(&engine.host());
    assert_eq!(filtered(&agent, "front", ""), "");
    // Another selection of the same containers has the same values.
    assert_eq!(filtered(&agent, "front", "--select gc.*"), "");
    insta::assert_snapshot!(filtered(&agent, "back", ""), @"mackerel-plugin-wasm: gostats: another command with the prefix gostats ran within the last 3m: if both are to stay, give each a --metric-key-prefix of its own; otherwise metrics of equal names overwrite each other");
    for _ in 0..2 {
        assert_eq!(filtered(&agent, "front", ""), "");
        assert_eq!(filtered(&agent, "back", ""), "");
    }
    // Each has a prefix of its own.
    assert_eq!(filtered(&agent, "front", "--metric-key-prefix web"), "");
    assert_eq!(filtered(&agent, "back", "--metric-key-prefix worker"), "");
}

#[test]
fn section_that_was_replaced_minutes_ago_is_not_reported() {
    let (engine, _stub_target) = engine_with_target();
    let agent = Agent::with_docker_host(&engine.host());
    assert_eq!(filtered(&agent, "front", ""), "");
    for file in agent.state_files() {
        age(&file, Duration::from_mins(4));
    }
    assert_eq!(filtered(&agent, "back", ""), "");
}

#[test]
fn sections_that_start_together_are_reported() {
    let (engine, _stub_target) = engine_with_target();
    for _ in 0..5 {
        let agent = Agent::with_docker_host(&engine.host());
        let start = |filter: &str| agent.start(&format!("run gostats --filter name={filter}"));
        let runs = ["front", "back"].map(start).map(|run| run.output().exits(0));
        let reports = runs.iter().filter(|output| output.stderr.contains("another command with the prefix gostats"));
        assert!(reports.count() >= 1, "{} {}", runs[0], runs[1]);
    }
}

#[test]
fn files_of_commands_that_ended_a_month_ago_are_removed() {
    let mut minutes = Minutes::new();
    minutes.run_with_rates("");
    let own = files(&minutes.agent);
    let mut others = Vec::new();
    for options in ["--path /old", "--path /young", "--path /locked"] {
        let before = files(&minutes.agent);
        let _ = minutes.run(options).without_diagnostics();
        let new: Vec<PathBuf> = files(&minutes.agent).difference(&before).cloned().collect();
        assert_eq!(new.len(), 2, "a state and its lock");
        others.push(new);
    }
    let [old, young, locked] = &others[..] else { panic!("three commands") };
    let folder = minutes.agent.state_folder();
    let leftovers = ["gostats-00.json.lock", "gostats-01.json.new"].map(|name| folder.join(name));
    for file in &leftovers {
        fs::write(file, "").expect("a new file");
    }
    // Its own files are kept at any age, and so are those of a command that runs.
    for file in old.iter().chain(&leftovers).chain(&own).chain(locked) {
        age(file, 31 * DAY);
    }
    for file in young {
        age(file, 29 * DAY);
    }
    let lock = locked.iter().find(|file| file.extension().is_some_and(|end| end == "lock")).expect("a lock");
    let lock = File::open(lock).expect("our own file");
    lock.lock().expect("the lock");
    assert_eq!(minutes.rate(""), Some(7.0), "it continues after a month");
    let expected: BTreeSet<PathBuf> = own.iter().chain(young).chain(locked).cloned().collect();
    assert_eq!(files(&minutes.agent), expected);
    drop(lock);
    let _ = minutes.run("").without_diagnostics();
    assert_eq!(files(&minutes.agent), own.iter().chain(young).cloned().collect());
}

#[test]
fn run_that_waits_for_a_removed_lock_takes_a_new_one() {
    let _load = load::timed();
    let mut minutes = Minutes::new();
    minutes.run_with_rates("");
    let [file] = &minutes.agent.state_files()[..] else { panic!("one state file") };
    let path = file.with_extension("json.lock");
    let lock = File::open(&path).expect("a lock file");
    lock.lock().expect("the lock");
    minutes.next();
    let running = minutes.agent.start(&minutes.command(""));
    let descriptors = format!("/proc/{}/fd", running.id());
    wait::until("the run waits for the lock", || {
        let mut open = fs::read_dir(&descriptors).ok()?.flatten();
        open.any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path)).then_some(())
    });
    fs::remove_file(&path).expect("our own file");
    drop(lock);
    let output = running.output().exits(0).without_diagnostics();
    assert_eq!(rate(&output), Some(7.0));
    assert!(path.exists(), "it holds a lock that no other run can find");
}
