//! Many successive runs over containers that come and go. Each printed value is compared with the logs of the
//! containers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::Instant;

use scenarios::agent::Agent;
use scenarios::engine::Engine;
use scenarios::soak::{Herd, Life, Run};
use scenarios::stats::{self, Values};
use serde_json::Value;

/// The number of containers that stay, and of those that come and go.
const CONTAINERS: (usize, usize) = (40, 20);

/// After this many runs, missing containers are treated as missing for hours.
const HOURS_EVERY: usize = 20;

/// An hour in nanoseconds. Targets that were not seen for longer are removed from the state.
const HOUR: u64 = 3_600_000_000_000;

/// The open files that a run needs at most: a connection to each container, and 40 for the process and the engine. The
/// number at one moment depends on the load of the machine, so it has a bound and no trend.
const OPEN_FILES: u64 = (CONTAINERS.0 + CONTAINERS.1) as u64 + 40;

/// The beginnings of diagnostics about a container that starts or stops during the run.
const CHANGING: [&str; 4] = [
    "container was stopped, restarted or moved to another network since the engine listed it",
    "connection failed: Connection refused (os error 111)",
    "connection closed before any response; if the target speaks TLS, try --scheme https",
    "no counters: the start time of the container is unknown: container is gone",
];

/// A diagnostic about any container if the engine is too busy.
const BUSY: &str = "no counters: the start time of the container is unknown: no response from the engine after 1s";

/// Returns `SOAK_RUNS`, by default a minute's worth.
fn runs() -> usize {
    std::env::var("SOAK_RUNS").map_or(60, |runs| runs.parse().expect("SOAK_RUNS is a number"))
}

#[test]
fn every_value_is_right_while_containers_come_and_go() {
    let Some(engine) = Engine::find_local() else { return };
    let begin = Instant::now();
    let group = engine.heavy_group();
    let (staying, moving) = CONTAINERS;
    let mut herd = Herd::start(engine, &group, staying, moving);
    println!("{} containers started in {:?}", staying + moving, begin.elapsed());
    let agent = Agent::with_engine(engine);
    let command = format!("run gostats --filter {} --path /stats", group.filter());

    let begin = Instant::now();
    let mut soak = Vec::new();
    let mut states = Vec::new();
    thread::scope(|scope| {
        // Dropped after the last run, also if one of them fails.
        let (runs_go_on, end) = mpsc::channel::<()>();
        let herd = &mut herd;
        scope.spawn(move || {
            while end.try_recv() == Err(TryRecvError::Empty) {
                herd.turn();
            }
        });
        for number in 1..=runs() {
            soak.push(Run::of(&agent, &command));
            let size = state(&agent).len();
            if number % HOURS_EVERY == 0 {
                states.push(size);
                let_hours_pass(&agent);
            }
        }
        drop(runs_go_on);
    });
    println!("{} runs beside {} containers in {:?}", soak.len(), herd.made(), begin.elapsed());

    let lives = herd.lives();
    assert_right(&soak, &lives);
    assert_flat("memory in KiB", &soak.iter().map(|run| run.memory).collect::<Vec<_>>());
    let most_files = soak.iter().map(|run| run.files).max().expect("some runs");
    println!("open files at most: {most_files}");
    assert!(most_files <= OPEN_FILES, "{most_files} open files");
    println!("state file in bytes, every {HOURS_EVERY} runs: {states:?}");
    let (first, last) = (states[0], states[states.len() - 1]);
    assert!(last * 10 <= first * 12, "the state grew: {states:?}");
}

/// Returns the state as text. Asserts that it is complete and the only file.
fn state(agent: &Agent) -> String {
    let names = |folder| {
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<BTreeSet<_>>()
    };
    let [file] = &agent.state_files()[..] else { panic!("one state file, not {:?}", agent.state_files()) };
    let name = file.file_name().expect("a file's path").to_string_lossy();
    assert_eq!(names(agent.workdir()).len(), 1);
    assert_eq!(names(&agent.state_folder()), BTreeSet::from([name.to_string(), format!("{name}.lock")]));
    let text = fs::read_to_string(file).expect("our own file");
    let state: Value = serde_json::from_str(&text).expect("a whole state");
    let seen: Vec<_> = state["targets"].as_object().expect("targets").values().map(seen).collect();
    assert!(seen.len() >= CONTAINERS.0, "{text}");
    let (first, last) = (seen.iter().min(), seen.iter().max());
    assert!(
        last.zip(first).is_some_and(|(last, first)| last - first < HOUR),
        "an old target is still in the state: {text}"
    );
    text
}

fn seen(target: &Value) -> u64 {
    target["seen"]["wall"].as_u64().expect("a time in ns")
}

/// Changes the state as if the containers that the last run did not see had been missing for hours.
fn let_hours_pass(agent: &Agent) {
    let mut state: Value = serde_json::from_str(&state(agent)).expect("a whole state");
    let targets = state["targets"].as_object_mut().expect("targets");
    let last = targets.values().map(seen).max().expect("some targets");
    for target in targets.values_mut().filter(|target| seen(target) < last) {
        target["seen"]["wall"] = (seen(target) - 2 * HOUR).into();
    }
    fs::write(&agent.state_files()[0], state.to_string()).expect("our own file");
}

/// Asserts that each run printed the responses of containers and the growth since their previous responses, and all
/// containers that ran undisturbed.
fn assert_right(soak: &[Run], lives: &[Life]) {
    let (mut values, mut rates, mut said) = (0, 0, BTreeMap::<&str, usize>::new());
    // The index of the last printed response of each life.
    let mut last: HashMap<usize, usize> = HashMap::new();
    for (number, run) in soak.iter().enumerate() {
        let output = &run.output;
        assert!(output.status.success(), "run {number}: {output}");
        let diagnostics: Vec<_> = output.stderr.lines().map(diagnostic).collect();
        for (name, what) in &diagnostics {
            if *what == BUSY {
                *said.entry(BUSY).or_default() += 1;
                continue;
            }
            let touched = !lives.iter().any(|life| life.name == *name && life.spans(run));
            assert!(touched, "run {number}: {name} ran undisturbed: {output}");
            let kind = CHANGING.into_iter().find(|kind| what.starts_with(kind));
            let kind = kind.unwrap_or_else(|| panic!("run {number}: another diagnostic: {output}"));
            *said.entry(kind).or_default() += 1;
        }
        let metrics = &run.metrics;
        let mut ports: BTreeSet<_> = metrics.instances().into_iter().map(str::to_owned).collect();
        for (index, life) in lives.iter().enumerate() {
            let printed = metrics.of(&format!("gostats.{}", life.port));
            let responses = life.responses_in(run);
            assert!(responses.len() <= 1, "run {number}: {} got {} requests", life.name, responses.len());
            let Some(response) = responses.last().filter(|_| !printed.is_empty()) else {
                assert!(!life.spans(run), "run {number}: {} is missing: {output}", life.name);
                continue;
            };
            ports.remove(&life.port.to_string());
            let has_start =
                !diagnostics.iter().any(|(name, what)| *name == life.name && what.starts_with("no counters"));
            let before = last.get(&index).filter(|_| has_start);
            let right = match before {
                Some(before) => stats::all(&life.responses[*before], &life.responses[response]),
                None => stats::gauges(&life.responses[response]),
            };
            assert!(is_same(&printed, &right), "run {number}: {}: expected {right:?}, printed {printed:?}", life.name);
            values += printed.len();
            rates += printed.len() - stats::GAUGES.len();
            if has_start {
                last.insert(index, response);
            }
        }
        assert_eq!(ports, BTreeSet::new(), "run {number} printed unknown containers: {output}");
    }
    println!("{values} values are right, {rates} of them rates; {} lives of containers", lives.len());
    println!("on stderr: {said:?}");
    assert!(rates > soak.len() * CONTAINERS.0, "too few rates for a test");
}

/// Splits a line of stderr into the container's name and the reason.
fn diagnostic(line: &str) -> (&str, &str) {
    let (name, rest) = line
        .strip_prefix("mackerel-plugin-wasm: gostats: ")
        .and_then(|line| line.split_once(" ("))
        .unwrap_or_else(|| panic!("not of a container: {line}"));
    (name, rest.split_once("): ").expect("an address").1)
}

fn is_same(printed: &Values, right: &Values) -> bool {
    printed.len() == right.len()
        && right.iter().all(|(metric, right)| {
            printed.get(metric).is_some_and(|printed| (printed - right).abs() <= right.abs() * 1e-9)
        })
}

/// Asserts that the mean of the last fifth of the runs is at most 30 % higher than that of the second fifth. A run on a
/// busy machine has more targets in flight, which is up to a fifth of its memory.
#[allow(clippy::cast_precision_loss)]
fn assert_flat(what: &str, seen: &[u64]) {
    let fifth = seen.len() / 5;
    let mean = |from: usize| seen[from..][..fifth].iter().sum::<u64>() as f64 / fifth as f64;
    let (early, late) = (mean(fifth), mean(seen.len() - fifth));
    let most = seen.iter().max().copied().unwrap_or_default();
    println!("{what}: {early:.0} in the second fifth of the runs, {late:.0} in the last, {most} at most");
    assert!(late <= early * 1.3, "{what}: {early} in the second fifth, {late} in the last");
}
