//! A small disk for one scenario, which can be full or read-only.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::skip;

/// A disk in a mount namespace of its own, which a waiting shell keeps alive.
pub struct Disk {
    shell: Child,
    commands: ChildStdin,
    responses: BufReader<ChildStdout>,
    folder: TempDir,
}

impl Disk {
    /// Mounts an empty disk with these options of tmpfs, such as `size=64k`. Reports it if this user cannot mount.
    ///
    /// # Panics
    ///
    /// If there is no shell.
    pub fn with(options: &str) -> Option<Self> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = command.spawn().expect("unshare and a shell");
        let commands = shell.stdin.take().expect("stdin is piped");
        let responses = BufReader::new(shell.stdout.take().expect("stdout is piped"));
        let mut disk = Self { shell, commands, responses, folder: TempDir::new().expect("a temporary folder") };
        let mounted =
            disk.execute(&format!("mount -t tmpfs -o mode=755,{options} disk {}", disk.folder.path().display()));
        if !mounted {
            skip::notice("cannot mount in a namespace of mounts: not root?", "a disk that is full or read-only");
        }
        mounted.then_some(disk)
    }

    /// Returns its path from outside the namespace.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.shell.id(), self.folder.path().display()))
    }

    /// Changes its mount options, such as to `ro`.
    ///
    /// # Panics
    ///
    /// If the options are invalid.
    pub fn remount(&mut self, options: &str) {
        let command = format!("mount -o remount,{options} {}", self.folder.path().display());
        assert!(self.execute(&command), "{command}");
    }

    /// Fills it with data.
    ///
    /// # Panics
    ///
    /// If it fails with another error than a full disk.
    pub fn fill(&self) {
        let mut file = File::create(self.path().join("filler")).expect("a file");
        let error = io::copy(&mut io::repeat(0), &mut file).expect_err("an end of the room");
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }

    /// Uses all of its inodes.
    ///
    /// # Panics
    ///
    /// If it fails with another error than a full disk.
    pub fn fill_with_files(&self) {
        let folder = self.path().join("fillers");
        fs::create_dir(&folder).expect("a folder");
        let mut files = (0..).map(|number: u32| File::create(folder.join(number.to_string())));
        let error = files.find_map(Result::err).expect("an end of the files");
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }

    /// Removes what filled it.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn free(&self) {
        let [file, folder] = ["filler", "fillers"].map(|name| self.path().join(name));
        let removed = if folder.exists() { fs::remove_dir_all(folder) } else { fs::remove_file(file) };
        removed.expect("what was made can be removed");
    }

    /// Runs a command in the shell and returns whether it succeeded.
    fn execute(&mut self, command: &str) -> bool {
        let mut response = String::new();
        // Both fail if there is no shell because unshare was denied.
        let _ = writeln!(self.commands, "{command} && echo done || echo failed");
        let _ = self.responses.read_line(&mut response);
        response == "done\n"
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
