//! Runs the program as mackerel-agent does, and parses its output.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

use crate::engine::Engine;
use crate::stats::Values;
use crate::{go, wait};

/// The timeout that mackerel-agent has for a plugin.
const AGENT_TIMEOUT: Duration = Duration::from_secs(30);

/// A group that no other program on the machine uses.
pub const UNUSED_GROUP: &str = "48213";

/// A mackerel-agent with one plugin: its environment and its folder for state.
pub struct Agent {
    workdir: PathBuf,
    environment: Vec<(OsString, OsString)>,
    /// The command in front of the program, such as `unshare`. Empty by default.
    launcher: Vec<String>,
    program: PathBuf,
    _folder: TempDir,
}

impl Agent {
    /// An agent on a machine without a container engine.
    pub fn without_engine() -> Self {
        Self::with_docker_host("unix:///nonexistent/docker.sock")
    }

    /// An agent on the machine of this engine.
    pub fn with_engine(engine: &Engine) -> Self {
        let tls = ["DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"];
        let tls = tls.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        tls.fold(Self::with_docker_host(engine.host()), |agent, (name, value)| agent.with_env(name, value))
    }

    /// An agent with this `DOCKER_HOST`.
    ///
    /// # Panics
    ///
    /// If a temporary folder cannot be created.
    pub fn with_docker_host(docker_host: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let workdir = folder.path().to_owned();
        let agent = Self {
            workdir: PathBuf::new(),
            environment: Vec::new(),
            launcher: Vec::new(),
            program: program(),
            _folder: folder,
        };
        let store = workdir.join("store");
        let agent = agent.with_env("PATH", "/usr/local/bin:/usr/bin:/bin").with_env("DOCKER_HOST", docker_host);
        agent.with_env("MACKEREL_PLUGIN_WASM_STORE", store).with_workdir(workdir)
    }

    /// Sets `MACKEREL_PLUGIN_WORKDIR`.
    #[must_use]
    pub fn with_workdir(mut self, workdir: PathBuf) -> Self {
        self.workdir.clone_from(&workdir);
        self.with_env("MACKEREL_PLUGIN_WORKDIR", workdir)
    }

    /// Starts the program through this command, whose last arguments become the program and its arguments.
    #[must_use]
    pub fn with_launcher(mut self, launcher: &[&str]) -> Self {
        self.launcher = launcher.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Hides the processes of other users from the program, by `mount`, `setpriv` and `unshare`.
    #[must_use]
    pub fn without_visible_processes(self) -> Self {
        // The program has no capabilities, and is outside of the group that sees all processes.
        let hide = format!(
            "mount -t proc -o hidepid=2 proc /proc && \
             exec setpriv --regid={UNUSED_GROUP} --clear-groups --bounding-set=-all \"$@\""
        );
        self.with_launcher(&["unshare", "--mount", "sh", "-c", &hide, "sh"])
    }

    /// Runs another build of the program.
    #[must_use]
    pub fn with_program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Returns `MACKEREL_PLUGIN_WORKDIR`.
    pub fn workdir(&self) -> &Path {
        &self.workdir
    }

    /// Returns the folder of the program's state files.
    pub fn state_folder(&self) -> PathBuf {
        self.workdir().join(format!("mackerel-plugin-wasm-{}", rustix::process::getuid().as_raw()))
    }

    /// Returns the state files in that folder, sorted. Empty if there is no such folder.
    pub fn state_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state_folder()).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        files
    }

    /// Makes the last runs older, as if this time had passed since: moves the times in and of their state files back.
    ///
    /// # Panics
    ///
    /// If it is more than 584 years.
    pub fn let_pass(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).expect("less than 584 years");
        let back = |of: &mut Value| {
            if let Some(before) = of.as_u64() {
                // A boot clock that would be negative becomes one of an earlier start of the machine.
                *of = before.checked_sub(time).unwrap_or(u64::MAX / 2).into();
            }
        };
        for file in self.state_files() {
            // A test may have put anything in its place, such as a pipe, which nobody writes to.
            let is_file = fs::symlink_metadata(&file).is_ok_and(|file| file.is_file());
            let state = if is_file { fs::read(&file).ok() } else { None };
            let state = state.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            let Some(mut state) = state.filter(|state| state["targets"].is_object()) else { continue };
            for target in state["targets"].as_object_mut().into_iter().flat_map(|targets| targets.values_mut()) {
                let times = ["/seen/wall", "/seen/boot", "/reading/read/begin", "/reading/read/end"];
                let is_of_host = target["reading"]["clock"] == "host";
                for time in times.into_iter().chain(is_of_host.then_some("/reading/time")) {
                    target.pointer_mut(time).into_iter().for_each(back);
                }
            }
            let modified = fs::metadata(&file).and_then(|file| file.modified());
            // A state that a test has made unwritable stays as it is.
            let written = fs::write(&file, state.to_string()).and_then(|()| File::options().write(true).open(&file));
            if let (Ok(file), Ok(modified)) = (written, modified) {
                let _ = file.set_modified(modified - Duration::from_nanos(time));
            }
        }
    }

    /// Prints the graph definitions, as the agent does when it starts. Arguments are split at white space.
    pub fn definitions(&self, arguments: &str) -> Output {
        self.spawn("1", &words(arguments), Stdio::piped(), Stdio::piped()).output()
    }

    /// Runs a command without the variable for definitions, as the agent does every minute. Arguments are split at
    /// white space.
    pub fn run(&self, arguments: &str) -> Output {
        self.start(arguments).output()
    }

    /// Starts such a run. Arguments are split at white space.
    pub fn start(&self, arguments: &str) -> Running {
        self.start_into(arguments, Stdio::piped(), Stdio::piped())
    }

    /// Starts such a run with these streams. Only streams that are [`Stdio::piped`] are in its output.
    pub fn start_into(&self, arguments: &str, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Running {
        self.spawn("", &words(arguments), stdout.into(), stderr.into())
    }

    /// Runs a command whose arguments may contain white space.
    pub fn run_words(&self, arguments: &[&str]) -> Output {
        self.spawn("", arguments, Stdio::piped(), Stdio::piped()).output()
    }

    fn spawn(&self, meta: &str, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Running {
        let mut launcher = self.launcher.iter().map(OsString::from).chain([self.program.clone().into()]);
        let mut command = Command::new(launcher.next().expect("the program at least"));
        command
            .args(launcher)
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .env("MACKEREL_AGENT_PLUGIN_META", meta);
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).process_group(0);
        let start = Instant::now();
        let mut process = command.spawn().expect("the program can be started");
        let stdout = process.stdout.take().map(read_in_background);
        let stderr = process.stderr.take().map(read_in_background);
        let is_run = arguments.first() == Some(&"run");
        Running { process, command: format!("{command:?}"), is_run, start, stdout, stderr }
    }
}

fn words(arguments: &str) -> Vec<&str> {
    arguments.split_whitespace().collect()
}

/// A plugin that was started.
pub struct Running {
    process: Child,
    command: String,
    is_run: bool,
    start: Instant,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Waits until it exits.
    ///
    /// # Panics
    ///
    /// If it runs longer than mackerel-agent's timeout.
    pub fn output(mut self) -> Output {
        let mut peak = 0;
        let status = loop {
            peak = self.peak().unwrap_or(peak);
            if let Some(status) = self.process.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(self.start.elapsed() < AGENT_TIMEOUT, "mackerel-agent would kill it now: {}", self.command);
            thread::sleep(Duration::from_millis(2));
        };
        let elapsed = self.start.elapsed();
        let text = |reader: Option<JoinHandle<String>>| {
            reader.map(|reader| reader.join().expect("output is UTF-8")).unwrap_or_default()
        };
        let (stdout, stderr) = (text(self.stdout.take()), text(self.stderr.take()));
        let stderr = if self.is_run { without_pointer(&stderr) } else { stderr };
        let is_advice = |line: &&str| line.contains(": compiling took ");
        let (advice, diagnostics): (Vec<_>, Vec<_>) = stderr.split_inclusive('\n').partition(is_advice);
        let (advice, stderr) = (advice.concat(), diagnostics.concat());
        Output { command: std::mem::take(&mut self.command), status, stdout, stderr, advice, elapsed, peak }
    }

    /// Returns the peak of its memory so far, in bytes. `None` after it exited.
    pub fn peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))?;
        Some(kibibytes.parse::<u64>().ok()? * 1024)
    }

    /// Sends a signal to its process group, as mackerel-agent does.
    ///
    /// # Panics
    ///
    /// If it has exited.
    pub fn signal(&self, signal: Signal) {
        kill_process_group(self.group(), signal).expect("it still runs");
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until all of its threads sleep and stay asleep: it waits for something outside.
    pub fn wait_until_idle(&self) {
        let mut asleep = 0;
        wait::until("the program sleeps", || {
            asleep = if self.sleeps() { asleep + 1 } else { 0 };
            (asleep == 10).then_some(())
        });
    }

    fn sleeps(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.process.id())) else { return false };
        threads.flatten().all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state follows the name, which is in parentheses.
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('S'))
        })
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.process)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _ = kill_process_group(self.group(), Signal::KILL);
            let _ = self.process.wait();
        }
    }
}

/// The last line of a run that has any diagnostics.
const POINTER: &str = ": for details: mackerel-plugin-wasm explain ";

/// Cuts the last line, which points to `explain`, off the stderr of a run. Errors that end a command have none, because
/// `explain` would fail alike.
///
/// # Panics
///
/// If diagnostics of a run come without that line, or it is not the last.
fn without_pointer(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.split_inclusive('\n').collect();
    let pointers = lines.iter().filter(|line| line.contains(POINTER)).count();
    match lines.split_last() {
        Some((last, rest)) if last.contains(POINTER) => {
            assert!(pointers == 1 && !rest.is_empty(), "one pointer to explain, after all other lines: {stderr}");
            rest.concat()
        }
        _ => {
            assert_eq!(pointers, 0, "the pointer to explain is not the last line: {stderr}");
            stderr.to_owned()
        }
    }
}

/// The result of a plugin that exited.
pub struct Output {
    command: String,
    /// Its exit status.
    pub status: ExitStatus,
    /// stdout: metrics or definitions.
    pub stdout: String,
    /// stderr, which mackerel-agent writes to its log, without `advice`.
    pub stderr: String,
    /// The lines of stderr that suggest to install a component.
    pub advice: String,
    /// Its run time.
    pub elapsed: Duration,
    /// The peak of its memory in bytes, sampled every few milliseconds.
    pub peak: u64,
}

impl Output {
    /// Asserts its exit code.
    ///
    /// # Panics
    ///
    /// If it has another exit code.
    #[must_use]
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "exit status of {self}");
        self
    }

    /// Asserts that stderr is empty.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[must_use]
    #[track_caller]
    pub fn without_diagnostics(self) -> Self {
        assert_eq!(self.stderr, "", "stderr of {self}");
        self
    }

    /// Parses stdout as metrics.
    ///
    /// # Panics
    ///
    /// If mackerel-agent, or a stricter reader, would lose a line.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let lines: Vec<_> = self.stdout.lines().map(|line| self.metric(line)).collect();
        assert!(self.stdout.is_empty() || self.stdout.ends_with('\n'), "the last line has no newline: {self}");
        let keys: BTreeSet<_> = lines.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), lines.len(), "a key is repeated: {self}");
        let epochs: BTreeSet<_> = self.stdout.lines().filter_map(|line| line.rsplit('\t').next()).collect();
        assert!(epochs.len() <= 1, "several times: {self}");
        Metrics { lines }
    }

    #[track_caller]
    fn metric(&self, line: &str) -> (String, f64) {
        let fields: Vec<_> = line.split('\t').collect();
        let [key, value, epoch] = fields[..] else { panic!("not three fields: {line:?} in {self}") };
        assert!(is_key(key), "not a key: {key:?} in {self}");
        assert!(is_decimal(value), "not a plain decimal number: {value:?} in {self}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right").as_secs();
        let epoch: u64 = epoch.parse().unwrap_or_else(|_| panic!("not a time: {epoch:?} in {self}"));
        assert!((now - 60..=now).contains(&epoch), "not a time of this run: {epoch} in {self}");
        (key.to_owned(), value.parse().expect("a decimal number"))
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{} after {:?}", self.command, self.status, self.elapsed)?;
        write!(f, "--- stdout\n{}--- stderr\n{}{}---", self.stdout, self.stderr, self.advice)
    }
}

/// Metric values, in the order in which they were printed.
pub struct Metrics {
    lines: Vec<(String, f64)>,
}

impl Metrics {
    /// Returns all keys, in order.
    pub fn keys(&self) -> Vec<&str> {
        self.lines.iter().map(|(key, _)| key.as_str()).collect()
    }

    /// Returns the number of metrics.
    pub fn count(&self) -> usize {
        self.lines.len()
    }

    /// Returns the values whose keys are below this prefix.
    pub fn of(&self, target: &str) -> Values {
        let below = |key: &str| Some(key.strip_prefix(target)?.strip_prefix('.')?.to_owned());
        self.lines.iter().filter_map(|(key, value)| Some((below(key)?, *value))).collect()
    }

    /// Returns the graphs and metrics below this prefix, in order.
    pub fn order_of(&self, target: &str) -> Vec<&str> {
        self.lines.iter().filter_map(|(key, _)| key.strip_prefix(target)?.strip_prefix('.')).collect()
    }

    /// Returns the instance names once each, in order. Keys are `PREFIX.INSTANCE.GRAPH.METRIC`.
    pub fn instances(&self) -> Vec<&str> {
        let mut instances: Vec<_> = self.lines.iter().filter_map(|(key, _)| key.rsplit('.').nth(2)).collect();
        instances.dedup();
        instances
    }
}

fn is_key(key: &str) -> bool {
    key.split('.').all(|part| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    })
}

fn is_decimal(value: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    digits(whole.strip_prefix('-').unwrap_or(whole)) && digits(fraction)
}

fn read_in_background(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("output is UTF-8");
        text
    })
}

/// Returns the path of the program under test.
///
/// # Panics
///
/// If it was not built.
pub fn program() -> PathBuf {
    let name = "release/mackerel-plugin-wasm";
    let candidates = [go::target().join(name), Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").join(name)];
    candidates
        .into_iter()
        .find(|path| path.exists())
        .expect("target/release/mackerel-plugin-wasm: run `make build` first")
}

/// Returns the path of a component: a built-in collector, or a guest for tests.
///
/// # Panics
///
/// If it is not built.
pub fn component(name: &str) -> String {
    let release = program();
    let target = release.parent().and_then(Path::parent).expect("target/release");
    let path = target.join(format!("collectors/{name}.wasm"));
    assert!(path.exists(), "{}: run `make build` first", path.display());
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::{is_decimal, is_key};

    #[test]
    fn keys_have_nonempty_components_of_legal_characters() {
        assert!(is_key("gostats.32768.gc.gc_num") && is_key("web.go.a-1_B.gc"));
        assert!(
            !is_key("")
                && !is_key("a..b")
                && !is_key(".a")
                && !is_key("a.")
                && !is_key("a b")
                && !is_key("ä")
                && !is_key("a.#")
        );
    }

    #[test]
    fn values_are_plain_decimal_numbers() {
        assert!(is_decimal("0") && is_decimal("-12") && is_decimal("12.5"));
        assert!(
            !is_decimal("")
                && !is_decimal("NaN")
                && !is_decimal("inf")
                && !is_decimal("1e9")
                && !is_decimal("1.")
                && !is_decimal("+1")
        );
    }
}
