//! A real terminal without a window: a session of tmux, on a server of its own.

use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::agent::program;
use crate::{skip, wait};

/// A terminal in which a shell runs. Drop it to end both.
pub struct Terminal {
    /// The folder of the server's socket.
    folder: TempDir,
}

impl Terminal {
    /// Starts one of this size. Reports a missing tmux.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(columns: usize, rows: usize, variables: &[(&str, &str)]) -> Option<Self> {
        if !skip::has_commands(&["tmux"], "commands in a terminal") {
            return None;
        }
        let terminal = Self { folder: TempDir::new().expect("a temporary folder") };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let mut command = terminal.command();
        command.args(["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows]);
        let folder = program().parent().expect("a folder").display().to_string();
        let path = format!("PATH={folder}:/usr/local/bin:/usr/bin:/bin");
        command.args(["env", "-i", "TERM=screen", "PS1=$ ", &path]);
        command.args(variables.iter().map(|(name, value)| format!("{name}={value}"))).arg("sh");
        let output = command.output().expect("tmux can be started");
        assert!(output.status.success(), "tmux: {}", String::from_utf8_lossy(&output.stderr));
        terminal.wait_for("$");
        Some(terminal)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.folder.path().join("socket"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("tmux can be started")
    }

    /// Types a line.
    pub fn line(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
        self.key("Enter");
    }

    /// Presses a key by its name in tmux, such as `q`, `Down` or `C-c`.
    pub fn key(&self, name: &str) {
        self.run(&["send-keys", name]);
    }

    /// Returns the path of its device.
    ///
    /// # Panics
    ///
    /// If tmux does not report it.
    pub fn device(&self) -> String {
        self.variable("pane_tty")
    }

    /// Stops reading what programs write to it, until the result is dropped.
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn stop_reading(&self) -> Stopped {
        let server = self.variable("pid").parse().ok().and_then(Pid::from_raw).expect("the pid of the server");
        kill_process(server, Signal::STOP).expect("it runs");
        Stopped { server }
    }

    fn variable(&self, name: &str) -> String {
        let output = self.run(&["display-message", "-p", &format!("#{{{name}}}")]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Changes its size.
    pub fn resize(&self, columns: usize, rows: usize) {
        self.run(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    /// Returns the page, without blanks at the ends of lines.
    pub fn page(&self) -> String {
        String::from_utf8_lossy(&self.run(&["capture-pane", "-p"]).stdout).trim_end().to_owned()
    }

    /// Returns the page with the sequences of its colours.
    pub fn coloured_page(&self) -> String {
        String::from_utf8_lossy(&self.run(&["capture-pane", "-p", "-e"]).stdout).into_owned()
    }

    /// Waits until the page contains a text, and returns it.
    ///
    /// # Panics
    ///
    /// After 20 s.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_until(&format!("{text:?} on the page"), |page| page.contains(text))
    }

    /// Waits until the page has a property, and returns it.
    ///
    /// # Panics
    ///
    /// After 20 s.
    pub fn wait_until(&self, what: &str, has: impl Fn(&str) -> bool) -> String {
        wait::until(what, || Some(self.page()).filter(|page| has(page)))
    }
}

/// A terminal that is not read.
pub struct Stopped {
    server: Pid,
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.server, Signal::CONT);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}
