//! `--max-metrics`: a run posts no more metrics than that, totals first, and never a part of a container.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scenarios::agent::{Agent, Metrics, Output};
use scenarios::fake_engine::{self, FakeEngine, container};
use scenarios::stub_target::StubTarget;
use scenarios::{mask, stats};
use serde_json::{Value, json};

use crate::slots::Times;

const MINUTE: u64 = 60_000_000_000;

/// The metrics of a container of gostats in its first run, and in later ones with rates.
const SIZES: [usize; 2] = [9, 15];

/// Containers on an engine whose list changes. The number of goroutines tells them apart.
struct Containers {
    engine: FakeEngine,
    places: Vec<Place>,
    listed: Arc<Mutex<Vec<Value>>>,
    started: u64,
    minute: u64,
}

/// A target that serves one container after the other.
struct Place {
    target: StubTarget,
    name: String,
    number: u64,
    is_paused: bool,
}

impl Containers {
    /// Starts as many as there are names.
    fn of<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let listed = Arc::new(Mutex::new(Vec::new()));
        let of_engine = Arc::clone(&listed);
        let engine = FakeEngine::replying(move |path| {
            fake_engine::default_reply(&of_engine.lock().expect("no reply panics"), path)
        });
        let place = |(number, name): (u64, &str)| Place {
            target: StubTarget::serving(json!(null)),
            name: name.to_owned(),
            number,
            is_paused: false,
        };
        let places: Vec<Place> = (1..).zip(names).map(place).collect();
        let started = u64::try_from(places.len()).expect("a few");
        let mut containers = Self { engine, places, listed, started, minute: 0 };
        containers.next_minute();
        containers
    }

    /// Lets all containers serve the values of the next minute.
    fn next_minute(&mut self) {
        self.minute += 1;
        for place in &self.places {
            let mut body = stats::body(self.minute * MINUTE, self.minute);
            body["goroutine_num"] = place.number.into();
            place.target.serve(body);
        }
        let listed = self.places.iter().map(|place| {
            let mut listed = container(&place.name, "127.0.0.1", place.target.port());
            if place.is_paused {
                listed["State"] = json!("paused");
                listed["Status"] = json!("Up 8 minutes (Paused)");
            }
            listed
        });
        *self.listed.lock().expect("no reply panics") = listed.collect();
    }

    /// Replaces the container in this place by a new one.
    fn replace(&mut self, place: usize, name: &str) {
        self.started += 1;
        self.places[place].number = self.started;
        name.clone_into(&mut self.places[place].name);
    }

    /// Returns the numbers of all containers.
    fn alive(&self) -> BTreeSet<u64> {
        self.places.iter().map(|place| place.number).collect()
    }

    fn mask(&self, text: &str) -> String {
        text.replace(&self.engine.host(), "ENGINE")
    }
}

/// Returns the number of each container that is posted, with its number of metrics.
fn posted(metrics: &Metrics) -> BTreeMap<u64, usize> {
    let of_name = |name: &&str| metrics.of(&format!("gostats.{name}"));
    let all = metrics.instances();
    let names = all.iter().map(of_name).filter(|values| values.contains_key("runtime.goroutine_num"));
    // Numbers of goroutines are small whole numbers.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    names.map(|values| (values["runtime.goroutine_num"] as u64, values.len())).collect()
}

#[test]
fn budget_is_kept_in_every_minute_of_an_hour_of_churn() {
    const LIMIT: usize = 200;
    const TOTALS: usize = 2 + 15;
    let names: Vec<String> = (1..=100).map(|number| format!("app{number:03}")).collect();
    let mut containers = Containers::of(names.iter().map(String::as_str));
    let Some(times) = Times::on(&containers.engine.host()) else { return };
    // So late that an hour can be taken away from the time since the machine's start.
    let agent = times.after(2 * 3600);
    let command =
        format!("run gostats --instance-name slot --total sum --targets-graph --max-metrics {LIMIT} --timeout 20s");
    let (mut before, mut alive_before) = (BTreeSet::new(), BTreeSet::new());
    let mut random = 7_usize;
    for minute in 0..60 {
        let output = agent.run(&command).exits(0);
        let metrics = output.metrics();
        assert!(metrics.keys().len() <= LIMIT, "minute {minute}: {}", metrics.keys().len());
        let (alive, posted) = (containers.alive(), posted(&metrics));
        let now: BTreeSet<u64> = posted.keys().copied().collect();
        assert_eq!(now.len(), (LIMIT - TOTALS) / SIZES[1], "minute {minute}: {output}");
        let stay: BTreeSet<u64> = &before & &alive;
        assert!(now.is_superset(&stay), "minute {minute}: {before:?} become {now:?}");
        for (number, size) in posted {
            // Counters go on while a container is left out, so it has rates as soon as it is within the budget.
            let right = SIZES[usize::from(alive_before.contains(&number))];
            assert_eq!(size, right, "minute {minute}: container {number} of {output}");
        }
        let sum = metrics.of("gostats_sum")["runtime.goroutine_num"];
        #[allow(clippy::cast_precision_loss)] // a few hundred
        let right = alive.iter().sum::<u64>() as f64;
        assert!((sum - right).abs() < 0.5, "minute {minute}: the sum is that of all containers");
        assert_eq!(output.stderr.lines().count(), 1, "minute {minute}: {output}");
        (before, alive_before) = (now, alive);
        for _ in 0..4 {
            random = (random * 1_103_515_245 + 12345) % (1 << 31);
            let place = (random >> 8) % 100;
            containers.replace(place, &format!("new{minute:02}-{place:03}"));
        }
        containers.next_minute();
        pass_a_minute(&agent);
    }
}

/// Lets a minute pass, also for slots.
fn pass_a_minute(agent: &Agent) {
    agent.let_pass(Duration::from_mins(1));
    for file in agent.state_files() {
        let mut state: Value = serde_json::from_slice(&fs::read(&file).expect("our own file")).expect("JSON");
        for slot in state["slots"].as_object_mut().expect("slots").values_mut() {
            let before = slot["seen"]["boot"].as_u64().expect("nanoseconds");
            slot["seen"]["boot"] = before.saturating_sub(MINUTE).into();
        }
        fs::write(&file, state.to_string()).expect("our own file");
    }
}

/// Runs with these options, and returns the names of the posted containers and the diagnostics.
fn run(agent: &Agent, options: &str) -> (Vec<String>, Output) {
    let output = agent.run(&format!("run gostats {options}"));
    (output.metrics().instances().into_iter().map(str::to_owned).collect(), output)
}

#[test]
fn container_within_the_budget_keeps_its_place_while_it_exists() {
    for format in ["slot", "name"] {
        let mut containers = Containers::of(["b", "c", "d", "e"].into_iter());
        let agent = Agent::with_docker_host(&containers.engine.host());
        let names = |containers: &mut Containers| {
            containers.next_minute();
            agent.let_pass(Duration::from_mins(1));
            let (names, _) = run(&agent, &format!("--instance-name {format} --max-metrics 30"));
            // Slots as names of the first containers.
            let name = |name: &String| match name.as_str() {
                "1" => "b".to_owned(),
                "2" => "c".to_owned(),
                "3" => "d".to_owned(),
                _ => name.clone(),
            };
            names.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(names(&mut containers), ["b", "c"]);
        containers.places[0].is_paused = true;
        assert_eq!(names(&mut containers), ["c"], "{format}: nothing takes the place of a paused container");
        containers.places[0].is_paused = false;
        assert_eq!(names(&mut containers), ["b", "c"], "{format}");
        // It is gone. Two others start, whose names come first.
        containers.replace(0, "a");
        containers.replace(3, "aa");
        let names = names(&mut containers);
        assert!(names.contains(&"c".to_owned()) && names.len() == 2, "{format}: {names:?}");
    }
}

#[test]
fn failed_container_keeps_its_place() {
    const OPTIONS: &str = "--instance-name slot --max-metrics 30";
    let mut containers = Containers::of(["a", "b", "c"].into_iter());
    let agent = Agent::with_docker_host(&containers.engine.host());
    assert_eq!(run(&agent, OPTIONS).0, ["1", "2"]);
    containers.places[0].target.serve(json!("not an object"));
    let (names, output) = run(&agent, OPTIONS);
    assert_eq!(names, ["2"]);
    insta::assert_snapshot!(mask::ports(&output.stderr), @"
    mackerel-plugin-wasm: gostats: a (127.0.0.1:PORT): unexpected response: a string instead of golang-stats-api-handler's JSON object
    mackerel-plugin-wasm: gostats: --max-metrics 30 leaves out 1 of 2 targets (c): without it there are 30 metrics, and 15 are reserved for containers that fail or are paused; for the number of each graph: mackerel-plugin-wasm plan
    ");
    containers.next_minute();
    agent.let_pass(Duration::from_mins(1));
    assert_eq!(run(&agent, OPTIONS).0, ["1", "2"]);
}

#[test]
fn slots_are_in_the_order_of_their_numbers() {
    let names: Vec<String> = (0..12).map(|number| format!("app{number:02}")).collect();
    let mut containers = Containers::of(names.iter().map(String::as_str));
    let agent = Agent::with_docker_host(&containers.engine.host());
    let (names, _) = run(&agent, "--instance-name slot --max-metrics 150");
    // The slots 11 and 12 are left out, and not 9, whose name comes after theirs.
    let right: BTreeSet<String> = (1..=10).map(|number| number.to_string()).collect();
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), right);
    // Another limit is the same command: slots and counters go on.
    containers.next_minute();
    agent.let_pass(Duration::from_mins(1));
    let (names, output) = run(&agent, "--instance-name slot --max-metrics 165");
    assert_eq!((names.len(), output.metrics().keys().len()), (11, 11 * SIZES[1]));
    assert_eq!(agent.state_files().len(), 1);
}

#[test]
fn parts_that_are_left_out_are_one_line_with_options_that_fit() {
    let containers = Containers::of(["a", "b", "c", "d"].into_iter());
    let mut lines = String::new();
    for options in [
        "--max-metrics 60",
        "--max-metrics 59",
        "--max-metrics 20",
        "--max-metrics 3",
        "--max-metrics 1",
        "--max-metrics 50 --total sum,max --targets-graph",
        "--max-metrics 20 --total sum,max --targets-graph",
        "--max-metrics 1 --total sum,max --targets-graph",
        "--max-metrics 20 --total sum,max --total-only",
        "--max-metrics 100 --select none.* --total sum",
    ] {
        let agent = Agent::with_docker_host(&containers.engine.host());
        let output = agent.run(&format!("run gostats --instance-name name {options}"));
        let keys = output.stdout.lines().count();
        let _ = write!(lines, "{options}: {keys} metrics\n{}", containers.mask(&output.stderr));
    }
    insta::assert_snapshot!(lines);
}

#[test]
fn plan_and_explain_show_the_budget() {
    let containers = Containers::of(["a", "b", "c", "d"].into_iter());
    let agent = Agent::with_docker_host(&containers.engine.host());
    let options = "gostats --instance-name name --max-metrics 40 --total sum";
    let plan = agent.run(&format!("plan {options}")).exits(0).without_diagnostics();
    insta::assert_snapshot!(plan.stdout);
    let json = agent.run(&format!("plan {options} --json")).exits(0).without_diagnostics();
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((&json["metrics"], &json["wanted"]), (&json!(30), &json!(75)));
    let explained = agent.run(&format!("explain {options}")).exits(0).without_diagnostics().stdout;
    let table = explained.lines().map(|line| {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty() && !cell.ends_with(" ms"));
        cells.collect::<Vec<_>>().join("  ") + "\n"
    });
    insta::assert_snapshot!(mask::ports(&containers.mask(&table.collect::<String>())));
}

#[test]
fn engine_that_does_not_respond_is_within_the_budget() {
    let agent = Agent::without_engine();
    for (limit, keys) in [(2, 2), (1, 0)] {
        let output = agent.run(&format!("run gostats --targets-graph --max-metrics {limit}")).exits(1);
        assert_eq!(output.metrics().keys().len(), keys, "{output}");
    }
    let rejected = agent.run("run gostats --max-metrics 0").exits(2).stderr;
    insta::assert_snapshot!(rejected, @"
    error: invalid value '0' for '--max-metrics <NUMBER>': expected a whole number above zero

    For more information, try '--help'.
    ");
}
