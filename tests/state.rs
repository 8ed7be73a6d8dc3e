//! The state between runs, and faults that happen to it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::fs::{FileType, Mode};
use rustix::process::Signal;
use scenarios::agent::{Agent, Output};
use scenarios::disk::Disk;
use scenarios::go::Program;
use scenarios::local::Local;
use scenarios::stub_target::StubTarget;
use scenarios::{load, mask, skip, stats, wait};
use serde_json::{Value, json};

const MINUTE: u64 = 60_000_000_000;

/// An agent with a target whose clock advances a minute per run.
struct Minutes {
    agent: Agent,
    stub_target: StubTarget,
    minute: u64,
}

impl Minutes {
    fn new() -> Self {
        Self::of(Agent::without_engine())
    }

    fn of(agent: Agent) -> Self {
        Self { agent, stub_target: StubTarget::serving(json!({})), minute: 0 }
    }

    /// Runs a minute after the last run. Every counter has grown by 7.
    fn run(&mut self) -> Output {
        self.agent.let_pass(Duration::from_nanos(MINUTE));
        self.run_at_once()
    }

    /// Runs without changing the time of the last run in the state.
    fn run_at_once(&mut self) -> Output {
        self.minute += 1;
        self.stub_target.serve(stats::body(self.minute * MINUTE, self.minute * 7));
        self.agent.run(&format!("run gostats --target {}", self.stub_target.target())).exits(0)
    }

    /// Runs on a machine without faults.
    fn run_normally(&mut self) {
        let output = self.run().without_diagnostics();
        assert!(self.has_rates(&output), "{output}");
    }

    /// Returns whether the counters are printed. Asserts that they are right, up to the milliseconds by which a killed
    /// run's request can come before this run's: the target's clock stands still until the first response.
    #[track_caller]
    fn has_rates(&self, output: &Output) -> bool {
        let printed = output.metrics().of(&self.stub_target.key());
        let rates: Vec<_> = stats::COUNTERS.iter().filter_map(|counter| printed.get(*counter)).collect();
        assert!(rates.iter().all(|rate| (**rate - 7.0).abs() < 0.05), "{output}");
        assert_eq!(printed.len(), stats::GAUGES.len() + rates.len(), "{output}");
        rates.len() == stats::COUNTERS.len()
    }

    /// Returns the one state file.
    fn file(&self) -> PathBuf {
        let [file] = &self.agent.state_files()[..] else {
            panic!("one state file, not {:?}", self.agent.state_files())
        };
        file.clone()
    }

    /// Changes each target in the state.
    fn edit(&self, change: impl Fn(&mut Value)) {
        let mut state = read(&self.file());
        state["targets"].as_object_mut().expect("targets").values_mut().for_each(change);
        fs::write(self.file(), state.to_string()).expect("a new file");
    }

    /// Runs twice, damages the state, and runs twice more: the first run after it has one diagnostic and no rates, the
    /// second one is normal. Returns the diagnostic.
    fn recovers_from(mut self, spoil: impl Fn(&Path)) -> String {
        let _ = self.run().without_diagnostics();
        self.run_normally();
        spoil(&self.file());
        let output = self.run();
        assert!(!self.has_rates(&output), "rates after the state was damaged: {output}");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        self.run_normally();
        self.mask(&output.stderr)
    }

    fn mask(&self, text: &str) -> String {
        let text = mask::path(text, self.agent.workdir(), "WORKDIR");
        let mut pieces = text.split("gostats-");
        let begin = pieces.next().unwrap_or_default().to_owned();
        let without_hash = |piece: &str| piece.trim_start_matches(|letter: char| letter.is_ascii_hexdigit()).to_owned();
        pieces.fold(begin, |text, piece| text + "FILE" + &without_hash(piece))
    }
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).expect("a file that can be read")).expect("JSON")
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
fn state_is_private_and_the_only_file() {
    let mut minutes = Minutes::new();
    let _ = minutes.run().without_diagnostics();
    minutes.run_normally();
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
fn state_defaults_to_the_temporary_folder() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let mut minutes =
        Minutes::of(Agent::without_engine().with_env("MACKEREL_PLUGIN_WORKDIR", "").with_env("TMPDIR", temp.path()));
    let _ = minutes.run().without_diagnostics();
    Agent::without_engine().with_workdir(temp.path().to_owned()).let_pass(Duration::from_nanos(MINUTE));
    minutes.run_normally();
    assert_eq!(entries(temp.path()).len(), 1);
    assert_eq!(entries(minutes.agent.workdir()).len(), 0);
}

#[test]
fn garbage_is_ignored_with_one_warning() {
    let diagnostics = [&b""[..], b"garbage", b"{", b"[]", b"{}", b"null", b"\xff\xfe\x00"].map(|content| {
        let diagnostic = Minutes::new().recovers_from(|file| fs::write(file, content).expect("a new file"));
        format!("{}\n    {diagnostic}", content.escape_ascii())
    });
    insta::assert_snapshot!(diagnostics.concat(), @r"

        mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: EOF while parsing a value at line 1 column 0
    garbage
        mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: expected value at line 1 column 1
    {
        mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: EOF while parsing an object at line 1 column 1
    []
        mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: invalid length 0, expected the state of a run at line 1 column 2
    {}
        mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: missing field `format` at line 1 column 2
    null
        mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: invalid type: null, expected the state of a run at line 1 column 4
    \xff\xfe\x00
        mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: expected value at line 1 column 1
    ");
}

#[test]
fn truncated_state_is_ignored_with_one_warning() {
    let diagnostic = Minutes::new().recovers_from(|file| {
        let whole = fs::read(file).expect("a file that can be read");
        // Cut within the first target's name, so that the diagnostic does not depend on the numbers.
        fs::write(file, &whole[..30]).expect("a new file");
    });
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: EOF while parsing a string at line 1 column 30");
}

#[test]
fn state_truncated_anywhere_is_ignored_with_one_warning() {
    let mut minutes = Minutes::new();
    let _ = minutes.run().without_diagnostics();
    let whole = fs::metadata(minutes.file()).expect("our own file").len();
    for length in 0..whole {
        let file = fs::File::options().write(true).open(minutes.file()).expect("a new file");
        file.set_len(length).expect("a file that can be cut");
        let output = minutes.run();
        assert!(!minutes.has_rates(&output), "cut to {length} bytes: {output}");
        assert_eq!(output.stderr.lines().count(), 1, "cut to {length} bytes: {output}");
        assert!(output.stderr.contains(": no counters in this run: cannot read the state file "), "{output}");
    }
    minutes.run_normally();
}

#[test]
fn other_formats_are_ignored_with_one_warning() {
    let diagnostics = [0, 2].map(|format| {
        Minutes::new().recovers_from(|file| {
            let mut state = read(file);
            assert_eq!(state["format"], 1);
            state["format"] = format.into();
            state["of another form"] = json!([]);
            fs::write(file, state.to_string()).expect("a new file");
        })
    });
    insta::assert_snapshot!(diagnostics.concat(), @"
    mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: format 0, but this program reads format 1
    mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: format 2, but this program reads format 1
    ");
}

#[test]
fn enormous_state_is_ignored_with_one_warning() {
    let diagnostic = Minutes::new().recovers_from(|file| {
        let file = fs::File::options().write(true).open(file).expect("a new file");
        file.set_len(1 << 40).expect("a sparse file");
    });
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: it exceeds 16 MiB");
}

#[test]
fn symbolic_link_is_not_followed() {
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let target = elsewhere.path().join("target");
    let diagnostic = Minutes::new().recovers_from(|file| {
        fs::rename(file, &target).expect("a file that can be moved");
        symlink(&target, file).expect("a new link");
        // A change of the content would be visible.
        let mut state = read(&target);
        state["target"] = json!("untouched");
        fs::write(&target, state.to_string()).expect("a new file");
    });
    assert_eq!(read(&target)["target"], "untouched");
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: it is a symbolic link");
}

#[test]
fn special_file_is_ignored_with_one_warning() {
    let node = |of: FileType, device| {
        move |file: &Path| {
            fs::remove_file(file).expect("our own file");
            let device = if device { rustix::fs::makedev(1, 5) } else { 0 };
            rustix::fs::mknodat(rustix::fs::CWD, file, of, Mode::RUSR | Mode::WUSR, device).expect("a node");
        }
    };
    let mut diagnostics = vec![
        Minutes::new().recovers_from(node(FileType::Fifo, false)),
        Minutes::new().recovers_from(|file| {
            fs::remove_file(file).expect("our own file");
            std::os::unix::net::UnixListener::bind(file).expect("a socket");
        }),
    ];
    if skip::is_root("a device in place of the state") {
        // Endless zeros.
        diagnostics.push(Minutes::new().recovers_from(node(FileType::CharacterDevice, true)));
    }
    insta::assert_snapshot!(diagnostics.concat(), @"
    mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: it is a pipe, not a regular file
    mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: it is a socket or a device, not a regular file
    mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: it is a device, not a regular file
    ");
}

#[test]
fn unreadable_state_is_ignored_with_one_warning() {
    let launcher = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    let is_root = rustix::process::getuid().is_root();
    // Root can read everything unless it loses that capability.
    let agent = if is_root { Agent::without_engine().with_launcher(&launcher) } else { Agent::without_engine() };
    let close = |file: &Path| fs::set_permissions(file, Permissions::from_mode(0o000)).expect("our own file");
    insta::assert_snapshot!(Minutes::of(agent).recovers_from(close), @"mackerel-plugin-wasm: gostats: no counters in this run: cannot read the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: Permission denied (os error 13)");
}

/// A file with the name of the temporary file: a leftover of another run, or anything else.
#[test]
fn leftover_temporary_file_is_replaced() {
    let new = |minutes: &Minutes| minutes.file().with_extension("json.new");
    let elsewhere = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut minutes = Minutes::new();
    let _ = minutes.run().without_diagnostics();
    let puts: [&dyn Fn(&Path); 3] = [
        &|new| fs::write(new, "x".repeat(100_000)).expect("a file"),
        &|new| symlink(elsewhere.path(), new).expect("a link"),
        &|new| rustix::fs::mknodat(rustix::fs::CWD, new, FileType::Fifo, Mode::RUSR, 0).expect("a pipe"),
    ];
    for put in puts {
        put(&new(&minutes));
        minutes.run_normally();
        assert_eq!(entries(&minutes.agent.state_folder()).len(), 2);
        minutes.run_normally();
    }
    assert_eq!(fs::read(elsewhere.path()).expect("a file"), b"");
}

#[test]
fn state_is_unchanged_without_a_lock() {
    let elsewhere = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut minutes = Minutes::new();
    let _ = minutes.run().without_diagnostics();
    let lock = minutes.file().with_extension("json.lock");
    minutes.agent.let_pass(Duration::from_nanos(MINUTE));
    let before = fs::read(minutes.file()).expect("our own file");
    let puts: [&dyn Fn(); 2] =
        [&|| fs::create_dir(&lock).expect("a folder"), &|| symlink(elsewhere.path(), &lock).expect("a link")];
    let diagnostics = puts.map(|put| {
        fs::remove_file(&lock).or_else(|_| fs::remove_dir(&lock)).expect("it is there");
        put();
        let output = minutes.run_at_once();
        assert!(minutes.has_rates(&output), "the state is still read: {output}");
        assert_eq!(fs::read(minutes.file()).expect("our own file"), before);
        minutes.mask(&output.stderr)
    });
    insta::assert_snapshot!(diagnostics.concat(), @"
    mackerel-plugin-wasm: gostats: cannot write the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: cannot lock it: Is a directory (os error 21)
    mackerel-plugin-wasm: gostats: cannot write the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: cannot lock it: Too many levels of symbolic links (os error 40)
    ");
    fs::remove_file(&lock).expect("our own link");
    minutes.run_normally();
}

/// Fills the disk with the state, frees it again, and returns the diagnostics: values are printed, and the state does
/// not change.
fn on_a_disk(options: &str, spoil: impl Fn(&mut Disk), mend: impl Fn(&mut Disk)) -> Option<String> {
    let mut disk = Disk::with(options)?;
    let mut minutes = Minutes::of(Agent::without_engine().with_workdir(disk.path()));
    let _ = minutes.run().without_diagnostics();
    minutes.run_normally();
    minutes.agent.let_pass(Duration::from_nanos(MINUTE));
    spoil(&mut disk);
    let (before, files) = (fs::read(minutes.file()).expect("our own file"), entries(&minutes.agent.state_folder()));
    let [first, second] = [(); 2].map(|()| {
        let output = minutes.run_at_once();
        assert!(minutes.has_rates(&output), "the state is still read: {output}");
        assert_eq!(fs::read(minutes.file()).expect("our own file"), before);
        assert_eq!(entries(&minutes.agent.state_folder()), files);
        minutes.mask(&output.stderr)
    });
    assert_eq!(first, second);
    mend(&mut disk);
    minutes.run_normally();
    assert_ne!(fs::read(minutes.file()).expect("our own file"), before);
    Some(first)
}

#[test]
fn state_is_unchanged_on_a_full_disk() {
    let Some(diagnostic) = on_a_disk("size=64k", |disk| disk.fill(), |disk| disk.free()) else { return };
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: gostats: cannot write the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: No space left on device (os error 28); the old one is kept");
}

#[test]
fn state_is_unchanged_on_a_disk_without_inodes() {
    let options = "size=64k,nr_inodes=16";
    let Some(diagnostic) = on_a_disk(options, |disk| disk.fill_with_files(), |disk| disk.free()) else { return };
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: gostats: cannot write the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: No space left on device (os error 28); the old one is kept");
}

#[test]
fn state_is_unchanged_on_a_read_only_disk() {
    let Some(diagnostic) = on_a_disk("size=64k", |disk| disk.remount("ro"), |disk| disk.remount("rw")) else { return };
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: gostats: cannot write the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: cannot lock it: Read-only file system (os error 30)");
}

#[test]
fn first_run_on_a_full_or_read_only_disk_has_no_state() {
    let options = "size=64k,nr_inodes=16";
    let spoils: [&dyn Fn(&mut Disk); 3] =
        [&|disk| disk.fill(), &|disk| disk.fill_with_files(), &|disk| disk.remount("ro")];
    let mut diagnostics = String::new();
    for spoil in spoils {
        let Some(mut disk) = Disk::with(options) else { return };
        spoil(&mut disk);
        let mut minutes = Minutes::of(Agent::without_engine().with_workdir(disk.path()));
        for _ in 0..2 {
            let output = minutes.run();
            assert!(!minutes.has_rates(&output), "{output}");
            assert_eq!(output.stderr.lines().count(), 1, "{output}");
            diagnostics.push_str(&minutes.mask(&output.stderr));
        }
        // With free space in the end, everything would work.
        if disk.path().join("filler").exists() || disk.path().join("fillers").exists() {
            disk.free();
        } else {
            disk.remount("rw");
        }
        let output = minutes.run().without_diagnostics();
        assert!(!minutes.has_rates(&output), "{output}");
        minutes.run_normally();
    }
    insta::assert_snapshot!(diagnostics, @"
    mackerel-plugin-wasm: gostats: cannot write the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: No space left on device (os error 28); the old one is kept
    mackerel-plugin-wasm: gostats: cannot write the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: No space left on device (os error 28); the old one is kept
    mackerel-plugin-wasm: gostats: no counters: the state folder WORKDIR/mackerel-plugin-wasm-0 cannot be created: No space left on device (os error 28)
    mackerel-plugin-wasm: gostats: no counters: the state folder WORKDIR/mackerel-plugin-wasm-0 cannot be created: No space left on device (os error 28)
    mackerel-plugin-wasm: gostats: no counters: the state folder WORKDIR/mackerel-plugin-wasm-0 cannot be created: Read-only file system (os error 30): set MACKEREL_PLUGIN_WORKDIR to a writable folder
    mackerel-plugin-wasm: gostats: no counters: the state folder WORKDIR/mackerel-plugin-wasm-0 cannot be created: Read-only file system (os error 30): set MACKEREL_PLUGIN_WORKDIR to a writable folder
    ");
}

/// Sets the machine's clock between two runs, in effect: moves the times in the state in the other direction, those of
/// the last run and of the counters. Returns the printed counters.
fn run_with_clock_set(by: Duration, forward: bool) {
    let mut minutes = Minutes::new();
    let _ = minutes.run();
    minutes.run_normally();
    let moved = |time: &mut Value| {
        let before = time.as_u64().expect("a time in ns");
        let by = u64::try_from(by.as_nanos()).expect("less than 584 years");
        *time = if forward { before.saturating_sub(by) } else { before + by }.into();
    };
    minutes.edit(|target| {
        moved(&mut target["seen"]["wall"]);
        moved(&mut target["reading"]["time"]);
    });
    let output = minutes.run().without_diagnostics();
    assert!(!minutes.has_rates(&output), "rates after the clock was set by {by:?}: {output}");
    minutes.run_normally();
}

#[test]
fn clock_set_back_omits_rates() {
    // A little: the time between both runs is positive, but wrong.
    for seconds in [20, 30, 60, 3600, 400_000_000] {
        run_with_clock_set(Duration::from_secs(seconds), false);
    }
}

#[test]
fn clock_set_forward_omits_rates() {
    for seconds in [20, 3600, 400_000_000] {
        run_with_clock_set(Duration::from_secs(seconds), true);
    }
}

#[test]
fn state_from_the_future_omits_rates() {
    let mut minutes = Minutes::new();
    let _ = minutes.run();
    minutes.edit(|target| {
        for time in ["/seen/wall", "/seen/boot", "/reading/time", "/reading/read/begin", "/reading/read/end"] {
            *target.pointer_mut(time).expect("a time in ns") = (u64::MAX / 2).into();
        }
    });
    let output = minutes.run().without_diagnostics();
    assert!(!minutes.has_rates(&output), "{output}");
    minutes.run_normally();
}

#[test]
fn state_is_whole_whenever_a_run_is_killed() {
    let mut minutes = Minutes::new();
    let _ = minutes.run().without_diagnostics();
    let command = format!("run gostats --target {}", minutes.stub_target.target());
    let mut printed = 0;
    for moment in 0..60 {
        minutes.minute += 1;
        minutes.stub_target.serve(stats::body(minutes.minute * MINUTE, minutes.minute * 7));
        let running = minutes.agent.start(&command);
        thread::sleep(moment * Duration::from_micros(250));
        running.signal(Signal::KILL);
        printed += usize::from(!running.output().stdout.is_empty());
        assert!(read(&minutes.file())["targets"].is_object());
        // Only the temporary file, which the next run overwrites.
        let files = entries(&minutes.agent.state_folder());
        assert!(files.len() <= 3 && files.iter().all(|name| name.contains(".json")), "{files:?}");
        minutes.run_normally();
        assert_eq!(entries(&minutes.agent.state_folder()).len(), 2);
    }
    println!("{printed} of 60 had printed before");
}

/// Puts something in place of the state's folder. Then every run prints gauges and one diagnostic.
fn without_a_folder(obstruct: impl Fn(&Path)) -> String {
    let mut minutes = Minutes::new();
    obstruct(&minutes.agent.state_folder());
    let [first, second] = [(); 2].map(|()| {
        let output = minutes.run();
        assert!(!minutes.has_rates(&output), "{output}");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        minutes.mask(&output.stderr)
    });
    assert_eq!(first, second);
    first
}

#[test]
fn file_in_place_of_the_folder_disables_the_state() {
    let diagnostic = without_a_folder(|folder| fs::write(folder, "").expect("a new file"));
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: gostats: no counters: the state folder WORKDIR/mackerel-plugin-wasm-0 cannot be opened: Not a directory (os error 20)");
}

#[test]
fn linked_folder_disables_the_state() {
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let diagnostic = without_a_folder(|folder| symlink(elsewhere.path(), folder).expect("a new link"));
    assert_eq!(entries(elsewhere.path()).len(), 0);
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: gostats: no counters: the state folder WORKDIR/mackerel-plugin-wasm-0 cannot be opened: Not a directory (os error 20)");
}

#[test]
fn folder_of_another_user_disables_the_state() {
    if !skip::is_root("a state folder of another user") {
        return;
    }
    let diagnostic = without_a_folder(|folder| {
        fs::create_dir(folder).expect("a new folder");
        std::os::unix::fs::chown(folder, Some(12345), Some(12345)).expect("root can change the owner");
        fs::set_permissions(folder, Permissions::from_mode(0o700)).expect("root may");
    });
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: gostats: no counters: the state folder WORKDIR/mackerel-plugin-wasm-0 belongs to another user: remove it");
}

#[test]
fn folder_open_to_others_disables_the_state() {
    let diagnostic = without_a_folder(|folder| {
        fs::create_dir(folder).expect("a new folder");
        fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("our own folder");
    });
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: gostats: no counters: the state folder WORKDIR/mackerel-plugin-wasm-0 is open to other users: remove it, or set its mode to 700");
}

#[test]
fn missing_work_folder_disables_the_state() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("file"), "").expect("a file in a new folder");
    let diagnostics = ["missing", "file"].map(|name| {
        let mut minutes =
            Minutes::of(Agent::without_engine().with_env("MACKEREL_PLUGIN_WORKDIR", folder.path().join(name)));
        let output = minutes.run();
        assert!(!minutes.has_rates(&output), "{output}");
        mask::path(&output.stderr, folder.path(), "FOLDER")
    });
    insta::assert_snapshot!(diagnostics.concat(), @"
    mackerel-plugin-wasm: gostats: no counters: the state folder FOLDER/missing/mackerel-plugin-wasm-0 cannot be created: No such file or directory (os error 2): set MACKEREL_PLUGIN_WORKDIR to a writable folder
    mackerel-plugin-wasm: gostats: no counters: the state folder FOLDER/file/mackerel-plugin-wasm-0 cannot be created: Not a directory (os error 20): set MACKEREL_PLUGIN_WORKDIR to a writable folder
    ");
}

#[test]
fn folder_in_place_of_the_file_disables_the_state() {
    let mut minutes = Minutes::new();
    let _ = minutes.run().without_diagnostics();
    let file = minutes.file();
    fs::remove_file(&file).expect("our own file");
    fs::create_dir(&file).expect("a new folder");
    let output = minutes.run();
    assert!(!minutes.has_rates(&output));
    assert_eq!(output.stderr.lines().count(), 1, "{output}");
    assert!(file.is_dir());
    insta::assert_snapshot!(minutes.mask(&output.stderr), @"mackerel-plugin-wasm: gostats: no counters: the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json is a folder: remove it");
    fs::remove_dir(&file).expect("it is empty");
    let _ = minutes.run();
    minutes.run_normally();
}

#[test]
fn state_is_unchanged_while_another_run_holds_the_lock() {
    let mut minutes = Minutes::new();
    let _ = minutes.run().without_diagnostics();
    minutes.agent.let_pass(Duration::from_nanos(MINUTE));
    let before = fs::read(minutes.file()).expect("our own file");
    let lock = fs::File::open(minutes.file().with_extension("json.lock")).expect("a lock file");
    lock.lock().expect("the lock");
    let output = minutes.run_at_once();
    assert!(minutes.has_rates(&output), "the state is still read: {output}");
    assert_eq!(fs::read(minutes.file()).expect("our own file"), before);
    insta::assert_snapshot!(minutes.mask(&output.stderr), @"mackerel-plugin-wasm: gostats: cannot write the state file WORKDIR/mackerel-plugin-wasm-0/FILE.json: another process has held its lock for more than 2s");
    drop(lock);
    minutes.run_normally();
}

#[test]
fn state_is_separate_for_each_prefix_and_collector_option() {
    let mut minutes = Minutes::new();
    let _ = minutes.run();
    let target = minutes.stub_target.target();
    for options in ["--path /stats", "--metric-key-prefix web"] {
        let output =
            minutes.agent.run(&format!("run gostats --target {target} {options}")).exits(0).without_diagnostics();
        assert_eq!(output.metrics().count(), stats::GAUGES.len(), "{output}");
    }
    assert_eq!(minutes.agent.state_files().len(), 3);
    // Options that do not change the values share the state.
    minutes.stub_target.serve(stats::body(MINUTE, 7));
    let _ = minutes.agent.run(&format!("run gostats --target {target} --timeout 3 --deadline 9 --verbose")).exits(0);
    assert_eq!(minutes.agent.state_files().len(), 3);
    minutes.run_normally();
}

#[test]
fn run_that_overlaps_a_slow_one_keeps_rates_right() {
    let _load = load::timed();
    let Some(never) = Local::start(Program::Faults, &["never"]) else { return };
    let first = stats::body(stats::now(), 7);
    let stub_target = StubTarget::serving(first.clone());
    let agent = Agent::without_engine();
    let command = format!("run gostats --target {} --target {}", stub_target.target(), never.target());
    let slow = agent.start(&format!("{command} --timeout 4s"));
    wait::until("the slow run sent a request to the good target", || (stub_target.requests() == 1).then_some(()));

    let second = stats::body(stats::now(), 14);
    stub_target.serve(second.clone());
    let quick = agent.run(&format!("{command} --timeout 500ms")).exits(0);
    assert!(quick.metrics().of(&stub_target.key()).contains_key("runtime.goroutine_num"));
    let _ = slow.output().exits(0);

    // One of both is in the state.
    let third = stats::body(stats::now(), 21);
    stub_target.serve(third.clone());
    let last = agent.run(&format!("{command} --timeout 500ms")).exits(0);
    let printed = last.metrics().of(&stub_target.key())["gc.gc_num"];
    let right = [first, second].map(|before| stats::all(&before, &third)["gc.gc_num"]);
    assert!(right.iter().any(|right| (printed - right).abs() <= right * 1e-9), "{printed} is none of {right:?}");
}

#[test]
fn ten_overlapping_runs_keep_the_state_right() {
    let _load = load::timed();
    // Reports the number of each response, and its square as every counter, so that the growth differs between any two.
    let answers = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&answers);
    let stub_target = StubTarget::serving_with(move || {
        let mut all = all.lock().expect("no test panics in here");
        let number = all.len() as u64 + 1;
        let mut body = stats::body(stats::now(), number * number);
        body["goroutine_num"] = number.into();
        all.push(body.clone());
        body
    });
    let agent = Agent::without_engine();
    let command = format!("run gostats --target {}", stub_target.target());
    let outputs: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> =
            (0..10).map(|_| scope.spawn(|| (0..3).map(|_| agent.run(&command)).collect::<Vec<_>>())).collect();
        runs.into_iter().flat_map(|run| run.join().expect("no run panics")).collect()
    });
    let mut rates = 0;
    for output in outputs {
        let output = output.exits(0).without_diagnostics();
        let printed = output.metrics().of(&stub_target.key());
        let answers = answers.lock().expect("no test panics in here");
        let number = printed["runtime.goroutine_num"];
        let sums: Vec<_> = stats::COUNTERS.iter().filter_map(|counter| printed.get(*counter)).collect();
        assert_eq!(printed.len(), stats::GAUGES.len() + sums.len(), "{output}");
        let Some(sum) = sums.first() else { continue };
        assert_eq!(sums.len(), stats::COUNTERS.len(), "{output}");
        assert!(sums.iter().all(|other| (*other - *sum).abs() < 1e-6), "{output}");
        // Since one earlier response, not a mixture of several.
        let is_this = |answer: &&Value| stats::gauges(answer)["runtime.goroutine_num"].to_bits() == number.to_bits();
        let place = answers.iter().position(|answer| is_this(&answer)).expect("a response of this number");
        let is_since = |before: &Value| (stats::all(before, &answers[place])["gc.gc_num"] - *sum).abs() <= *sum * 1e-9;
        assert!(answers[..place].iter().any(is_since), "{output}");
        rates += 1;
    }
    assert!(rates > 0, "no run printed rates");
    let last = agent.run(&command).exits(0).without_diagnostics();
    assert_eq!(last.metrics().count(), 15);
    assert!(
        agent
            .state_files()
            .iter()
            .all(|file| serde_json::from_slice::<Value>(&fs::read(file).expect("a file")).is_ok())
    );
    assert!(entries(&agent.state_folder()).len() <= 2, "{:?}", entries(&agent.state_folder()));
}
