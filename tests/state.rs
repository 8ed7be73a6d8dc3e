//! What is remembered between runs, and what happens to it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use scenarios::agent::{Agent, Output};
use scenarios::go::Program;
use scenarios::local::Local;
use scenarios::stand_in::StandIn;
use scenarios::{mask, stats, wait};
use serde_json::{Value, json};

const MINUTE: u64 = 60_000_000_000;

/// An agent that asks a stand-in once a minute by the stand-in's clock.
struct Minutes {
    agent: Agent,
    stand_in: StandIn,
    minute: u64,
}

impl Minutes {
    fn new() -> Self {
        Self::of(Agent::alone())
    }

    fn of(agent: Agent) -> Self {
        Self { agent, stand_in: StandIn::telling(json!({})), minute: 0 }
    }

    /// Runs a minute after the last run. Every counter has grown by 7.
    fn run(&mut self) -> Output {
        self.minute += 1;
        self.stand_in.tells(stats::body(self.minute * MINUTE, self.minute * 7));
        self.agent.values(&format!("run gostats --target {}", self.stand_in.target())).exits(0)
    }

    /// Runs as on a machine where all is well.
    fn run_well(&mut self) {
        let output = self.run().without_complaint();
        assert!(self.knows_rates(&output), "{output}");
    }

    /// Whether the counters are there, and right.
    #[track_caller]
    fn knows_rates(&self, output: &Output) -> bool {
        let printed = output.metrics().of(&self.stand_in.key());
        let rates: Vec<_> = stats::COUNTERS.iter().filter_map(|counter| printed.get(*counter)).collect();
        assert!(rates.iter().all(|rate| (**rate - 7.0).abs() < 1e-9), "{output}");
        assert_eq!(printed.len(), stats::GAUGES.len() + rates.len(), "{output}");
        rates.len() == stats::COUNTERS.len()
    }

    /// The one state file.
    fn file(&self) -> PathBuf {
        let [file] = &self.agent.state_files()[..] else {
            panic!("one state file, not {:?}", self.agent.state_files())
        };
        file.clone()
    }

    /// Runs twice, spoils the state, and runs twice more: the first run after it complains in one line and knows no
    /// rates, and the second is as well as ever. Gives the complaint.
    fn survives(mut self, spoil: impl Fn(&Path)) -> String {
        let _ = self.run().without_complaint();
        self.run_well();
        spoil(&self.file());
        let output = self.run();
        assert!(!self.knows_rates(&output), "the state was spoilt: {output}");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        self.run_well();
        self.mask(&output.stderr)
    }

    fn mask(&self, text: &str) -> String {
        let text = mask::path(text, self.agent.workdir(), "WORKDIR");
        match self.agent.state_files().pop().as_deref().and_then(Path::file_stem) {
            Some(name) => text.replace(&*name.to_string_lossy(), "FILE"),
            None => text,
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it exists").mode() & 0o7777
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn is_private_and_nothing_else_is_left_behind() {
    let mut minutes = Minutes::new();
    let _ = minutes.run().without_complaint();
    minutes.run_well();
    let folder = minutes.agent.state_folder();
    assert_eq!(entries(minutes.agent.workdir()).len(), 1);
    assert_eq!(mode(&folder), 0o700);
    let files = entries(&folder);
    assert!(files.iter().all(|name| mode(&folder.join(name)) == 0o600), "{files:?}");
    insta::assert_snapshot!(minutes.mask(&files.join("\n")), @"
    FILE.json
    FILE.json.lock
    ");
}

#[test]
fn lies_in_the_temp_folder_where_the_agent_names_none() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let mut minutes = Minutes::of(Agent::alone().with("MACKEREL_PLUGIN_WORKDIR", "").with("TMPDIR", temp.path()));
    let _ = minutes.run().without_complaint();
    minutes.run_well();
    assert_eq!(entries(temp.path()).len(), 1);
    assert_eq!(entries(minutes.agent.workdir()).len(), 0);
}

#[test]
fn that_is_garbage_is_a_fresh_start_with_one_warning() {
    let complaints = [&b""[..], b"garbage", b"{", b"[]", b"{}", b"null", b"\xff\xfe\x00"].map(|content| {
        let complaint = Minutes::new().survives(|file| fs::write(file, content).expect("a file that can be written"));
        format!("{}\n    {complaint}", content.escape_ascii())
    });
    insta::assert_snapshot!(complaints.concat(), @r"

        mackerel-plugin-wasm: gostats: the state in WORKDIR/mackerel-plugin-wasm-0/FILE.json is not read, so counters are shown from the next run on: EOF while parsing a value at line 1 column 0
    garbage
        mackerel-plugin-wasm: gostats: the state in WORKDIR/mackerel-plugin-wasm-0/FILE.json is not read, so counters are shown from the next run on: expected value at line 1 column 1
    {
        mackerel-plugin-wasm: gostats: the state in WORKDIR/mackerel-plugin-wasm-0/FILE.json is not read, so counters are shown from the next run on: EOF while parsing an object at line 1 column 1
    []
        mackerel-plugin-wasm: gostats: the state in WORKDIR/mackerel-plugin-wasm-0/FILE.json is not read, so counters are shown from the next run on: invalid length 0, expected this program's state at line 1 column 2
    {}
        mackerel-plugin-wasm: gostats: the state in WORKDIR/mackerel-plugin-wasm-0/FILE.json is not read, so counters are shown from the next run on: missing field `format` at line 1 column 2
    null
        mackerel-plugin-wasm: gostats: the state in WORKDIR/mackerel-plugin-wasm-0/FILE.json is not read, so counters are shown from the next run on: invalid type: null, expected this program's state at line 1 column 4
    \xff\xfe\x00
        mackerel-plugin-wasm: gostats: the state in WORKDIR/mackerel-plugin-wasm-0/FILE.json is not read, so counters are shown from the next run on: expected value at line 1 column 1
    ");
}

#[test]
fn that_was_cut_is_a_fresh_start_with_one_warning() {
    let complaint = Minutes::new().survives(|file| {
        let whole = fs::read(file).expect("a file that can be read");
        // Cut within the first target's name, so that the complaint is the same whatever the numbers are.
        fs::write(file, &whole[..30]).expect("a file that can be written");
    });
    insta::assert_snapshot!(complaint, @"mackerel-plugin-wasm: gostats: the state in WORKDIR/mackerel-plugin-wasm-0/FILE.json is not read, so counters are shown from the next run on: EOF while parsing a string at line 1 column 30");
}

#[test]
fn of_another_format_is_a_fresh_start_with_one_warning() {
    let complaint = Minutes::new().survives(|file| {
        let text = fs::read_to_string(file).expect("a file that can be read");
        let mut state: Value = serde_json::from_str(&text).expect("JSON");
        assert!(state["format"].is_number(), "{state}");
        state["format"] = 999.into();
        fs::write(file, state.to_string()).expect("a file that can be written");
    });
    insta::assert_snapshot!(complaint, @"mackerel-plugin-wasm: gostats: the state in WORKDIR/mackerel-plugin-wasm-0/FILE.json is not read, so counters are shown from the next run on: it has the format 999, and this program writes 1");
}

#[test]
fn that_is_enormous_is_a_fresh_start_with_one_warning() {
    let complaint = Minutes::new().survives(|file| {
        let file = fs::File::options().write(true).open(file).expect("a file that can be written");
        file.set_len(1 << 40).expect("a sparse file");
    });
    insta::assert_snapshot!(complaint, @"mackerel-plugin-wasm: gostats: the state in WORKDIR/mackerel-plugin-wasm-0/FILE.json is not read, so counters are shown from the next run on: it is larger than 64 MiB");
}

#[test]
fn is_not_followed_through_a_symbolic_link() {
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let target = elsewhere.path().join("target");
    let complaint = Minutes::new().survives(|file| {
        fs::rename(file, &target).expect("a file that can be moved");
        symlink(&target, file).expect("a link that can be made");
        // A new content would show.
        let mut state: Value = serde_json::from_slice(&fs::read(&target).expect("a file")).expect("JSON");
        state["target"] = json!("untouched");
        fs::write(&target, state.to_string()).expect("a file that can be written");
    });
    let state: Value = serde_json::from_slice(&fs::read(&target).expect("a file")).expect("JSON");
    assert_eq!(state["target"], "untouched");
    insta::assert_snapshot!(complaint, @"mackerel-plugin-wasm: gostats: the state in WORKDIR/mackerel-plugin-wasm-0/FILE.json is not read, so counters are shown from the next run on: it is a symbolic link");
}

/// Puts something where the folder for the state should be. Then nothing can be remembered: every run prints the
/// gauges, and complains in one line.
fn without_a_folder(obstruct: impl Fn(&Path)) -> String {
    let mut minutes = Minutes::new();
    obstruct(&minutes.agent.state_folder());
    let [first, second] = [(); 2].map(|()| {
        let output = minutes.run();
        assert!(!minutes.knows_rates(&output), "{output}");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        minutes.mask(&output.stderr)
    });
    assert_eq!(first, second);
    first
}

#[test]
fn is_done_without_where_a_file_is_in_the_folders_place() {
    let complaint = without_a_folder(|folder| fs::write(folder, "").expect("a file that can be written"));
    insta::assert_snapshot!(complaint, @"mackerel-plugin-wasm: gostats: no state is kept, so counters are not shown: the folder WORKDIR/mackerel-plugin-wasm-0 cannot be opened: Not a directory (os error 20)");
}

#[test]
fn is_done_without_where_the_folder_is_a_symbolic_link() {
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let complaint = without_a_folder(|folder| symlink(elsewhere.path(), folder).expect("a link that can be made"));
    assert_eq!(entries(elsewhere.path()).len(), 0);
    insta::assert_snapshot!(complaint, @"mackerel-plugin-wasm: gostats: no state is kept, so counters are not shown: the folder WORKDIR/mackerel-plugin-wasm-0 cannot be opened: Not a directory (os error 20)");
}

#[test]
fn is_done_without_where_the_folder_is_someone_elses() {
    if !rustix::process::getuid().is_root() {
        return scenarios::skip::notice("not root", "a state folder that is someone else's");
    }
    let complaint = without_a_folder(|folder| {
        fs::create_dir(folder).expect("a folder that can be made");
        std::os::unix::fs::chown(folder, Some(12345), Some(12345)).expect("root may give it away");
        fs::set_permissions(folder, Permissions::from_mode(0o700)).expect("root may");
    });
    insta::assert_snapshot!(complaint, @"mackerel-plugin-wasm: gostats: no state is kept, so counters are not shown: the folder WORKDIR/mackerel-plugin-wasm-0 belongs to another user: remove it");
}

#[test]
fn is_done_without_where_others_can_open_the_folder() {
    let complaint = without_a_folder(|folder| {
        fs::create_dir(folder).expect("a folder that can be made");
        fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("our own folder");
    });
    insta::assert_snapshot!(complaint, @"mackerel-plugin-wasm: gostats: no state is kept, so counters are not shown: the folder WORKDIR/mackerel-plugin-wasm-0 is open to other users: remove it, or chmod it to 700");
}

#[test]
fn is_done_without_where_there_is_no_work_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("file"), "").expect("a file in a new folder");
    let complaints = ["missing", "file"].map(|name| {
        let mut minutes = Minutes::of(Agent::alone().with("MACKEREL_PLUGIN_WORKDIR", folder.path().join(name)));
        let output = minutes.run();
        assert!(!minutes.knows_rates(&output), "{output}");
        mask::path(&output.stderr, folder.path(), "FOLDER")
    });
    insta::assert_snapshot!(complaints.concat(), @"
    mackerel-plugin-wasm: gostats: no state is kept, so counters are not shown: the folder FOLDER/missing/mackerel-plugin-wasm-0 cannot be made: No such file or directory (os error 2)
    mackerel-plugin-wasm: gostats: no state is kept, so counters are not shown: the folder FOLDER/file/mackerel-plugin-wasm-0 cannot be made: Not a directory (os error 20)
    ");
}

#[test]
fn is_done_without_where_a_folder_is_in_the_files_place() {
    let mut minutes = Minutes::new();
    let _ = minutes.run().without_complaint();
    let file = minutes.file();
    fs::remove_file(&file).expect("our own file");
    fs::create_dir(&file).expect("a folder that can be made");
    let output = minutes.run();
    assert!(!minutes.knows_rates(&output));
    assert_eq!(output.stderr.lines().count(), 1, "{output}");
    assert!(file.is_dir());
    insta::assert_snapshot!(minutes.mask(&output.stderr), @"mackerel-plugin-wasm: gostats: no state is kept, so counters are not shown: WORKDIR/mackerel-plugin-wasm-0/FILE.json is a folder: remove it");
    fs::remove_dir(&file).expect("it is empty");
    let _ = minutes.run();
    minutes.run_well();
}

#[test]
fn is_left_as_it_is_where_another_run_holds_it_for_too_long() {
    let mut minutes = Minutes::new();
    let _ = minutes.run().without_complaint();
    let before = fs::read(minutes.file()).expect("our own file");
    let lock = fs::File::open(minutes.file().with_extension("json.lock")).expect("a lock file");
    lock.lock().expect("nobody else has it");
    let output = minutes.run();
    assert!(minutes.knows_rates(&output), "the state can be read all the same: {output}");
    assert_eq!(fs::read(minutes.file()).expect("our own file"), before);
    insta::assert_snapshot!(minutes.mask(&output.stderr), @"mackerel-plugin-wasm: gostats: the state in WORKDIR/mackerel-plugin-wasm-0/FILE.json is not written: another run has held its lock for too long");
    drop(lock);
    minutes.run_well();
}

#[test]
fn is_kept_apart_by_collector_options_and_prefix() {
    let mut minutes = Minutes::new();
    let _ = minutes.run();
    let target = minutes.stand_in.target();
    for options in ["--path /stats", "--metric-key-prefix web"] {
        let output =
            minutes.agent.values(&format!("run gostats --target {target} {options}")).exits(0).without_complaint();
        assert_eq!(output.metrics().count(), stats::GAUGES.len(), "{output}");
    }
    assert_eq!(minutes.agent.state_files().len(), 3);
    // What does not change the numbers shares them.
    let _ = minutes.agent.values(&format!("run gostats --target {target} --timeout 3 --deadline 9 --verbose")).exits(0);
    assert_eq!(minutes.agent.state_files().len(), 3);
    minutes.run_well();
}

#[test]
fn is_right_when_a_run_overlaps_a_slow_one() {
    let Some(never) = Local::start(Program::Faults, &["never"]) else { return };
    let stand_in = StandIn::telling(stats::body(MINUTE, 7));
    let agent = Agent::alone();
    let command = format!("run gostats --target {} --target {}", stand_in.target(), never.target());
    let slow = agent.start(&format!("{command} --timeout 4s"));
    wait::until("the slow run asked the good target", || (stand_in.asked() == 1).then_some(()));

    stand_in.tells(stats::body(2 * MINUTE, 14));
    let quick = agent.values(&format!("{command} --timeout 500ms")).exits(0);
    assert!(quick.metrics().of(&stand_in.key()).contains_key("runtime.goroutine_num"));
    let _ = slow.output().exits(0);

    // Whichever of both is remembered, the growth since then is 7 a minute.
    stand_in.tells(stats::body(3 * MINUTE, 21));
    let last = agent.values(&format!("{command} --timeout 500ms")).exits(0);
    assert!((last.metrics().of(&stand_in.key())["gc.gc_num"] - 7.0).abs() < 1e-9);
}

#[test]
fn is_whole_and_right_when_ten_runs_overlap() {
    // Counts milliseconds, so that between any two answers the growth is 60,000 a minute.
    let start = Instant::now();
    let milliseconds = move || u64::try_from(start.elapsed().as_millis()).expect("a short time") + 1;
    let stand_in = StandIn::telling_live(move || stats::body(milliseconds() * 1_000_000, milliseconds()));
    let agent = Agent::alone();
    let command = format!("run gostats --target {}", stand_in.target());
    let outputs: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> =
            (0..10).map(|_| scope.spawn(|| (0..3).map(|_| agent.values(&command)).collect::<Vec<_>>())).collect();
        runs.into_iter().flat_map(|run| run.join().expect("no run panics")).collect()
    });
    let mut rates = 0;
    for output in outputs {
        let output = output.exits(0).without_complaint();
        for counter in stats::COUNTERS {
            if let Some(rate) = output.metrics().of(&stand_in.key()).get(counter) {
                assert!((rate - 60_000.0).abs() < 1e-6, "{counter} is {rate}");
                rates += 1;
            }
        }
    }
    assert!(rates > 0, "no run knew rates");
    let last = agent.values(&command).exits(0).without_complaint();
    assert_eq!(last.metrics().count(), 15);
    assert!(
        agent
            .state_files()
            .iter()
            .all(|file| serde_json::from_slice::<Value>(&fs::read(file).expect("a file")).is_ok())
    );
    assert!(entries(&agent.state_folder()).len() <= 2, "{:?}", entries(&agent.state_folder()));
}
