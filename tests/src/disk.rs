//! A small disk of a scenario's own, which can run full or be mounted read-only.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::skip;

/// The disk. It is mounted where nobody else sees it: among the mounts of a shell that does nothing but keep it.
pub struct Disk {
    shell: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    folder: TempDir,
}

impl Disk {
    /// An empty one with these options of tmpfs, such as `size=64k`. `None` where this user may not mount, which is then said.
    ///
    /// # Panics
    ///
    /// When there is no shell.
    pub fn with(options: &str) -> Option<Self> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = command.spawn().expect("unshare and a shell");
        let orders = shell.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(shell.stdout.take().expect("stdout is piped"));
        let mut disk = Self { shell, orders, answers, folder: TempDir::new().expect("a temporary folder") };
        let mounted =
            disk.order(&format!("mount -t tmpfs -o mode=755,{options} disk {}", disk.folder.path().display()));
        if !mounted {
            skip::notice("cannot mount in a namespace of mounts: not root?", "a disk that is full or read-only");
        }
        mounted.then_some(disk)
    }

    /// Where it is seen from here.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.shell.id(), self.folder.path().display()))
    }

    /// Changes its options, such as `ro`.
    ///
    /// # Panics
    ///
    /// When it has no such option.
    pub fn remount(&mut self, options: &str) {
        let order = format!("mount -o remount,{options} {}", self.folder.path().display());
        assert!(self.order(&order), "{order}");
    }

    /// Takes all the room that is left.
    ///
    /// # Panics
    ///
    /// When something else goes wrong than that it is full at last.
    pub fn fill(&self) {
        let mut file = File::create(self.path().join("filler")).expect("a file");
        let error = io::copy(&mut io::repeat(0), &mut file).expect_err("an end of the room");
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }

    /// Takes all the files that there can be.
    ///
    /// # Panics
    ///
    /// When something else goes wrong than that there can be no more at last.
    pub fn fill_with_files(&self) {
        let folder = self.path().join("fillers");
        fs::create_dir(&folder).expect("a folder");
        let mut files = (0..).map(|number: u32| File::create(folder.join(number.to_string())));
        let error = files.find_map(Result::err).expect("an end of the files");
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }

    /// Gives back what was taken.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn free(&self) {
        let [file, folder] = ["filler", "fillers"].map(|name| self.path().join(name));
        let removed = if folder.exists() { fs::remove_dir_all(folder) } else { fs::remove_file(file) };
        removed.expect("what was made can be removed");
    }

    /// Has the shell do something, and gives whether it went well.
    fn order(&mut self, order: &str) -> bool {
        let mut answer = String::new();
        // Where there is no shell, for want of the right to unshare, both fail.
        let _ = writeln!(self.orders, "{order} && echo done || echo failed");
        let _ = self.answers.read_line(&mut answer);
        answer == "done\n"
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
