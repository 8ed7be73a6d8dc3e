//! The tree of control groups: where each container's is, and the processes in it.
//!
//! Follows the kernel's documents `cgroup-v1` and `cgroup-v2`. The location of a container's cgroup depends on the
//! engine, its driver, ECS and `--cgroup-parent`; the name of the folder always ends with the container's id.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;

use super::file::text;
use crate::limits;

/// The usual mount point of control groups.
pub const ROOT: &str = "/sys/fs/cgroup";

/// The two versions of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A tree for each controller, with the same folders in each.
    V1,
    /// One tree.
    V2,
}

/// The controller of version 1 whose tree has all containers and their processes.
pub const CONTROLLER: &str = "cpuacct";

/// The control groups of some containers.
#[derive(Debug)]
pub struct Tree {
    /// The mount point.
    pub root: PathBuf,
    /// The version of control groups.
    pub version: Version,
    /// The root of the tree that is searched.
    searched: PathBuf,
    /// Each container's folder below the root of its tree, with a slash at the end, by its id.
    folders: HashMap<String, String>,
}

impl Tree {
    /// Searches for the folders of `ids`, level by level until all are found. Most are in the first two levels.
    pub fn find(root: &Path, ids: &[String]) -> Tree {
        let is_unified = root.join("cgroup.controllers").exists();
        let (version, searched) =
            if is_unified { (Version::V2, root.to_owned()) } else { (Version::V1, root.join(CONTROLLER)) };
        let folders = folders(&searched, ids);
        Tree { root: root.to_owned(), version, searched, folders }
    }

    /// The folder of a container below the root of each tree, or `None` if it has none here.
    pub fn folder(&self, id: &str) -> Option<&str> {
        self.folders.get(id).map(String::as_str)
    }

    /// The folder of any container.
    pub fn any_folder(&self) -> Option<&str> {
        self.folders.values().next().map(String::as_str)
    }

    /// Returns the processes of a container, those of child cgroups last, as with Podman and systemd. Their number is
    /// bounded.
    pub fn processes(&self, id: &str) -> impl Iterator<Item = i32> {
        let mut unread: VecDeque<PathBuf> =
            self.folder(id).map(|folder| self.searched.join(folder)).into_iter().collect();
        let mut read: VecDeque<PathBuf> = VecDeque::new();
        let groups = (0..limits::CGROUPS_OF_ONE).map_while(move |_| {
            while unread.is_empty() {
                let parent = read.pop_front()?;
                unread.extend(below(&parent).take(limits::CGROUPS_OF_ONE).map(|name| parent.join(name)));
            }
            let folder = unread.pop_front()?;
            let processes = text(CWD, folder.join("cgroup.procs")).unwrap_or_default();
            read.push_back(folder);
            // A process outside this one's namespace appears as 0.
            let of_group = processes.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 0);
            Some(of_group.take(limits::PROCESSES_OF_ONE).collect::<Vec<i32>>())
        });
        groups.flatten()
    }
}

/// Searches for the folders of `ids` in `tree`, level by level until all are found.
fn folders(tree: &Path, ids: &[String]) -> HashMap<String, String> {
    let mut missing: HashSet<&str> = ids.iter().map(String::as_str).collect();
    let mut found = HashMap::new();
    let mut level = vec![String::new()];
    let mut looked_into = 0;
    for _ in 0..limits::CGROUP_DEPTH {
        let mut next = Vec::new();
        for parent in level {
            looked_into += 1;
            if missing.is_empty() || looked_into > limits::CGROUP_FOLDERS {
                return found;
            }
            for name in below(&tree.join(&parent)) {
                let folder = format!("{parent}{name}/");
                match container_of(&name).and_then(|id| missing.take(id)) {
                    Some(id) => drop(found.insert(id.to_owned(), folder)),
                    None => next.push(folder),
                }
            }
        }
        level = next;
    }
    found
}

/// Lists the folders in a folder.
fn below(folder: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.filter_map(|entry| entry.file_name().into_string().ok())
}

/// Returns the id of the container whose cgroup has this name: `ID`, `docker-ID.scope`, `libpod-ID`. Podman's
/// `libpod-conmon-ID` belongs to the container's monitor.
pub fn container_of(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let (engine, id) = name.rsplit_once('-').unwrap_or(("", name));
    (id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()) && !engine.ends_with("conmon")).then_some(id)
}
