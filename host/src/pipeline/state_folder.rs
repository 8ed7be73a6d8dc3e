//! The folder of all state files of one user: the states of other commands beside a command's own.
//!
//! A state file is replaced at the end of every run, so its modification time is that of its command's last run. Files
//! are found by their names and times, and no content is read here.

use std::collections::BTreeSet;
use std::fs::File;

use rustix::fs::{FileType, Stat};

use crate::limits;
use crate::moment::Moment;
use crate::pipeline::identity::EXTENSION;
use crate::private_dir::{Folder, modified};

/// The state file of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The end of the command's last run, in nanoseconds since 1970.
    pub modified: u64,
}

/// Returns true if a command whose last run ended at `modified` can be expected to run again: it is less than
/// [`limits::STILL_RUNS`] from `moment`, before or after it.
pub fn is_recent(modified: u64, moment: Moment) -> bool {
    u128::from(moment.wall.abs_diff(modified)) < limits::STILL_RUNS.as_nanos()
}

/// Lists the state files whose names `belong`, up to [`limits::STATE_FILES`].
pub fn files(folder: &Folder, belong: impl Fn(&str) -> bool) -> Vec<Entry> {
    let names = folder.names().unwrap_or_default().into_iter();
    let names = names.filter(|name| name.ends_with(EXTENSION) && belong(name)).take(limits::STATE_FILES);
    let entry = |name: String| {
        let stat = regular(folder, &name)?;
        Some(Entry { name, modified: modified(&stat) })
    };
    names.filter_map(entry).collect()
}

/// Removes the files of commands that have not run for [`limits::STATE_REMOVED`], except those of the command with the
/// state file `own`. At most [`limits::STATE_FILES`] names are looked at; others follow in the next run.
pub fn remove_old(folder: &Folder, own: &str, now: Moment) {
    let names = folder.names().unwrap_or_default();
    let state = |name| [LOCK, NEW].into_iter().find_map(|end| str::strip_suffix(name, end)).unwrap_or(name);
    let states: BTreeSet<&str> = names.iter().take(limits::STATE_FILES).map(|name| state(name.as_str())).collect();
    for state in states.into_iter().filter(|state| state.ends_with(EXTENSION) && *state != own) {
        if is_old(folder, state, now) {
            remove(folder, state, now);
        }
    }
}

/// The end of the name of a lock file, after the name of its state file.
pub const LOCK: &str = ".lock";

/// The end of the name of a temporary file, after the name of the file that it replaces.
const NEW: &str = ".new";

/// Removes the files of one command, unless it runs now. The lock is held meanwhile, and a run that waits for it takes
/// a new one (see `StateFile::lock`).
fn remove(folder: &Folder, state: &str, now: Moment) -> Option<()> {
    let lock: File = folder.lock_file(&format!("{state}{LOCK}")).ok()?;
    lock.try_lock().ok()?;
    // It can have run before the lock was taken.
    if is_old(folder, state, now) {
        for end in ["", NEW, LOCK] {
            // A file that is not there needs no removal, and another user's folder is left alone.
            let _ = folder.remove(&format!("{state}{end}"));
        }
    }
    Some(())
}

/// Returns true if a command has files, and has not run for [`limits::STATE_REMOVED`]. A lock is never written, so its
/// time only counts if it was left alone.
fn is_old(folder: &Folder, state: &str, now: Moment) -> bool {
    let last = ["", NEW, LOCK].iter().find_map(|end| regular(folder, &format!("{state}{end}")));
    let ago = last.and_then(|stat| now.wall.checked_sub(modified(&stat)));
    ago.is_some_and(|ago| u128::from(ago) > limits::STATE_REMOVED.as_nanos())
}

/// Returns the metadata of a regular file.
fn regular(folder: &Folder, name: &str) -> Option<Stat> {
    folder.stat(name).filter(|stat| FileType::from_raw_mode(stat.st_mode).is_file())
}
