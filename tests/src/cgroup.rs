//! Control groups (cgroups) as files: scenarios write what the kernel would show under `/sys/fs/cgroup`.

use std::any;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{load, skip};

/// The mount point of cgroups.
const ROOT: &str = "/sys/fs/cgroup";

/// The variable that is set in the process that sees files in place of cgroups.
const INSIDE: &str = "SCENARIO_SEES_FILES";

/// Returns whether the controllers of this machine are those of version 1, alone or in hybrid mode.
pub fn is_version_1() -> bool {
    !Path::new(ROOT).join("cgroup.controllers").exists()
}

/// Runs a scenario that sees an empty folder as `/sys/fs/cgroup`, as do the processes that it starts.
///
/// The scenario runs in a second process of this test binary, which has its own mount namespace.
///
/// # Panics
///
/// If the scenario fails.
pub fn scenario<S: FnOnce(&Files)>(scenario: S) {
    if env::var_os(INSIDE).is_some() {
        return scenario(&Files(()));
    }
    let mount = format!("mount -t tmpfs -o mode=755 files {ROOT}");
    let in_own_mounts = |then: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &format!("{mount} && {then}"), "sh"]);
        command
    };
    if !in_own_mounts("true").output().is_ok_and(|output| output.status.success()) {
        return skip::notice("cannot mount in a namespace of mounts: not root?", "files in place of cgroups");
    }
    // The closure's type is named after the scenario's function: `cgroups::are_read::{{closure}}`.
    let name = any::type_name::<S>().trim_end_matches("::{{closure}}");
    let name = name.split_once("::").map_or(name, |(_, name)| name);
    let load = load::timed();
    let again = in_own_mounts("exec \"$@\"")
        .arg(env::current_exe().expect("a test is a program"))
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("it could be started before");
    drop(load);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&again.stdout), text(&again.stderr));
    assert!(stdout.contains("1 passed"), "{name} failed with files in place of cgroups\n{stdout}\n{stderr}");
}

/// The files of one scenario. Paths are below `/sys/fs/cgroup`.
pub struct Files(());

impl Files {
    /// Writes a file, also in place of a folder, and creates its parent folders.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.at(path);
        if path.is_dir() {
            fs::remove_dir_all(&path).expect("what a scenario wrote can be removed");
        }
        fs::create_dir_all(path.parent().expect("a path below the root")).expect("folders can be made");
        fs::write(path, content).expect("a file can be written");
    }

    /// Writes files into one folder.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn fill(&self, folder: &str, files: &[(&str, &str)]) {
        for (name, content) in files {
            self.write(&format!("{folder}/{name}"), content);
        }
    }

    /// Removes a file, or a folder with its content.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn remove(&self, path: &str) {
        let path = self.at(path);
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.expect("what a scenario wrote can be removed");
    }

    /// Returns the names in a folder, in the order of the file system.
    ///
    /// # Panics
    ///
    /// If there is no such folder.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(folder)).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    /// Returns the path of a file.
    pub fn at(&self, path: &str) -> PathBuf {
        Path::new(ROOT).join(path)
    }
}
