//! The Go plugins whose output the program prints under their names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use serde_json::Value;
use tempfile::TempDir;

use crate::{go, skip};

/// A plugin of mackerel-agent-plugins, with a folder for its state.
pub struct Original {
    executable: PathBuf,
    folder: TempDir,
}

impl Original {
    /// Builds the plugin `mackerel-plugin-NAME`, whose version is in `tests/originals/go.mod`. Reports it if it cannot
    /// be built, such as without a network.
    ///
    /// # Panics
    ///
    /// If a temporary folder cannot be created.
    pub fn of(name: &str) -> Option<Self> {
        let untested = "drop-in names, compared with the Go plugins";
        if !skip::has_commands(&["go"], untested) {
            return None;
        }
        let executable = go::target().join("scenarios/originals").join(format!("mackerel-plugin-{name}"));
        match build(name, &executable) {
            Ok(()) => Some(Self { executable, folder: TempDir::new().expect("a temporary folder") }),
            Err(reason) => {
                skip::notice(&format!("mackerel-plugin-{name} cannot be built: {reason}"), untested);
                None
            }
        }
    }

    /// Returns the folder of its executable.
    ///
    /// # Panics
    ///
    /// Never: every file has a folder.
    pub fn folder(&self) -> &Path {
        self.executable.parent().expect("a folder")
    }

    /// Returns its folder for state.
    pub fn workdir(&self) -> &Path {
        self.folder.path()
    }

    /// Runs it with these arguments, split at white space. `meta` is the variable for definitions.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn run(&self, meta: &str, arguments: &str) -> Output {
        Command::new(&self.executable)
            .args(arguments.split_whitespace())
            .env_clear()
            .env("MACKEREL_AGENT_PLUGIN_META", meta)
            .env("MACKEREL_PLUGIN_WORKDIR", self.workdir())
            .stdin(Stdio::null())
            .output()
            .expect("the plugin can be started")
    }

    /// Returns the lines that it prints, sorted and without times: it prints them in a random order.
    ///
    /// # Panics
    ///
    /// If it fails.
    #[track_caller]
    pub fn lines(&self, arguments: &str) -> BTreeSet<String> {
        let output = self.run("", arguments);
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        lines(&String::from_utf8_lossy(&output.stdout))
    }

    /// Makes the last run older by a minute.
    ///
    /// # Panics
    ///
    /// If a state cannot be read.
    pub fn let_a_minute_pass(&self) {
        for entry in fs::read_dir(self.workdir()).expect("the folder of states") {
            let path = entry.expect("an entry").path();
            let state = fs::read(&path).expect("a state");
            let mut state: Value = serde_json::from_slice(&state).expect("a state is JSON");
            let last = state["_lastTime"].as_f64().expect("a time");
            state["_lastTime"] = (last - 60.0).into();
            fs::write(&path, state.to_string()).expect("a state can be written");
        }
    }
}

/// Returns the lines of values without their times, sorted.
pub fn lines(stdout: &str) -> BTreeSet<String> {
    stdout.lines().map(|line| line.rsplit_once('\t').map_or(line, |(line, _)| line).replace('\t', " ")).collect()
}

fn build(name: &str, executable: &Path) -> Result<(), String> {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one = BUILDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let output = Command::new("go")
        .args(["build", "-trimpath", "-buildvcs=false", "-o"])
        .arg(executable)
        .arg(format!("github.com/mackerelio/mackerel-agent-plugins/mackerel-plugin-{name}"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("originals"))
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}
