//! State: counters and slots, kept on disk between two runs.
//!
//! One JSON file for each collector and set of options, in a [private folder](crate::private_dir): a named one, or one
//! below `MACKEREL_PLUGIN_WORKDIR` or the folder for temporary files.
//!
//! A file is replaced in one step under a lock, so a reader sees the state of one run or of the next, and overlapping
//! runs write one after the other. It is not synced to disk: a power cut costs one rate.
//!
//! A command whose options were changed is a new command without a state. So its first run, like one after a break,
//! takes over from the [newest state](crate::pipeline::state_folder) of a similar command:
//! - Slots, and the targets within a budget, if the targets and their names are the same. Both commands can keep them:
//!   each container has its slot.
//! - Counters, if the collector's options are the same too. A rate since the other command's last run is a true one,
//!   because start time, clock and source are compared as always. But two commands that run beside each other keep
//!   counters of their own: started at the same time, one would print rates of a few milliseconds. So no counters are
//!   taken from a command that wrote its state after this run began. Nor are they from one that has not run twice: it
//!   has no rates that a change could interrupt.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};
use serde::{Deserialize, Serialize};

use crate::env;
use crate::file::{FileError, read_bounded};
use crate::limits;
use crate::moment::Moment;
use crate::pipeline::identity::{FileName, Identity};
use crate::pipeline::rate::Reading;
use crate::pipeline::slot::Slots;
use crate::pipeline::state_folder::{self, Entry, LOCK, is_recent};
use crate::private_dir::{Folder, FolderError, LockError, Stamp, lock_within, modified, stamp};
use crate::text::{Foreign, foreign};

/// The version of the file format. Files of other versions are not read.
const FORMAT: u32 = 1;

/// The state that a run leaves to the next.
#[derive(Debug, Serialize, Deserialize)]
#[serde(expecting = "the state of a run")]
pub struct State {
    format: u32,
    targets: BTreeMap<String, Remembered>,
    /// The slots of targets, if they are named by slot.
    #[serde(default, skip_serializing_if = "Slots::is_empty")]
    pub slots: Slots,
    /// The targets within the budget, if there is one.
    #[serde(default, skip_serializing_if = "Within::is_empty")]
    pub within: Within,
    /// True if a run had counters of an earlier one.
    #[serde(default)]
    pub has_rates: bool,
    /// The stamp of the file that it was read from. Every replacement is another file.
    #[serde(skip)]
    file: Option<Stamp>,
}

impl Default for State {
    fn default() -> State {
        let (targets, slots, within) = (BTreeMap::new(), Slots::default(), Within::new());
        State { format: FORMAT, targets, slots, within, has_rates: false, file: None }
    }
}

/// The targets within a [budget](crate::pipeline::budget), by identity, with their numbers of metrics.
pub type Within = BTreeMap<String, usize>;

/// The state of one target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Remembered {
    /// The start of the run that last collected from it, before the engine was asked for anything.
    pub seen: Moment,
    /// Its counters.
    pub reading: Reading,
}

impl State {
    /// Parses a state file.
    ///
    /// # Errors
    /// If it is not this program's state.
    pub fn parse(bytes: &[u8]) -> Result<State, ReadFault> {
        let state: State =
            serde_json::from_slice(bytes).map_err(|error| ReadFault::Json(foreign(&error.to_string())))?;
        if state.format != FORMAT {
            return Err(ReadFault::Format(state.format));
        }
        Ok(state)
    }

    /// Formats a state file.
    ///
    /// # Errors
    /// None: all numbers of a state are finite.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// Returns true if no run has written it.
    pub fn is_new(&self) -> bool {
        self.file.is_none()
    }

    /// The number of targets.
    pub fn targets(&self) -> usize {
        self.targets.len()
    }

    /// Returns the state of a target.
    pub fn get(&self, target: &str) -> Option<&Remembered> {
        self.targets.get(target)
    }

    /// Stores the state of a target for the next run.
    pub fn insert(&mut self, target: String, remembered: Remembered) {
        self.targets.insert(target, remembered);
    }

    /// Drops targets that were last seen long before `now`.
    pub fn forget_old(&mut self, now: Moment) {
        self.targets.retain(|_, target| now.since(target.seen).is_none_or(|ago| ago < limits::STATE_KEPT));
    }
}

/// The state file of one plugin command.
#[derive(Debug)]
pub struct StateFile {
    folder: Folder,
    name: FileName,
    path: PathBuf,
    /// The prefix of its command's metrics; `None` if it posts none, and so never takes over another state.
    prefix: Option<String>,
}

/// A state that cannot be kept. The run prints what it can without it.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder cannot be used.
    #[error("no counters: the state folder {} {source}{}", path.display(), fix(source, *is_named))]
    Folder {
        /// The folder.
        path: PathBuf,
        /// True if the command names it.
        is_named: bool,
        /// The fault.
        source: FolderError,
    },
    /// There is a folder with the name of the file.
    #[error("no counters: the state file {} is a folder: remove it", .0.display())]
    IsFolder(PathBuf),
    /// The file cannot be read.
    #[error("no counters in this run: cannot read the state file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: ReadFault,
    },
    /// The file cannot be locked.
    #[error("cannot write the state file {}: {source}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: LockError,
    },
    /// The file cannot be written.
    #[error("cannot write the state file {}: {source}; the old one is kept", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: FileError,
    },
}

/// Returns the fix if a folder cannot be created.
fn fix(error: &FolderError, is_named: bool) -> &'static str {
    match error {
        FolderError::Create(_) if is_named => "",
        FolderError::Create(error) if error.kind() != ErrorKind::StorageFull => {
            ": set MACKEREL_PLUGIN_WORKDIR to a writable folder"
        }
        _ => "",
    }
}

/// Another command that runs beside this one and posts metrics with the same prefix.
#[derive(Debug, thiserror::Error)]
#[error(
    "another command with the prefix {prefix} ran within the last {}: if both are to stay, give each a \
     --metric-key-prefix of its own; otherwise metrics of equal names overwrite each other",
    humantime::format_duration(limits::STILL_RUNS)
)]
pub struct Neighbour {
    prefix: String,
}

/// The fault of a state file.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// It cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not the JSON of a state.
    #[error("{0}")]
    Json(Foreign),
    /// It has another format.
    #[error("format {0}, but this program reads format {FORMAT}")]
    Format(u32),
}

/// A locked state file: only one process at a time can write it.
#[derive(Debug)]
pub struct Locked {
    file: StateFile,
    _lock: File,
}

/// Returns the path of the folder of all commands of this user.
fn user_folder() -> PathBuf {
    let base = env::variable_os("MACKEREL_PLUGIN_WORKDIR");
    let base = base.map_or_else(std::env::temp_dir, PathBuf::from);
    base.join(format!("mackerel-plugin-wasm-{}", rustix::process::geteuid().as_raw()))
}

impl StateFile {
    /// Opens the private folder `named`, or that of this user, and creates it if it is missing.
    ///
    /// # Errors
    /// If the folder does not belong to this user alone.
    pub fn open(identity: &Identity, named: Option<&Path>) -> Result<StateFile, StateError> {
        let is_named = named.is_some();
        let path = named.map_or_else(user_folder, Path::to_owned);
        let folder =
            Folder::make(&path).map_err(|source| StateError::Folder { path: path.clone(), is_named, source })?;
        let name = identity.file_name();
        let path = path.join(name.as_str());
        // Anything else with the file's name is replaced after a warning; a folder cannot be replaced.
        if folder.stat(name.as_str()).is_some_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir()) {
            return Err(StateError::IsFolder(path));
        }
        Ok(StateFile { folder, name, path, prefix: identity.posts_metrics.then(|| identity.prefix.clone()) })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the state of the last run, for one that began at `begun`. A run without one, or after a break, takes over
    /// from the newest state of a similar command.
    ///
    /// # Errors
    /// If the file is not this program's state. The run continues as the first one, and replaces it.
    pub fn read(&self, begun: Moment) -> Result<State, StateError> {
        let unreadable = |source| StateError::Read { path: self.path.clone(), source };
        let Some((mut state, stat)) = self.parse(self.name.as_str()).map_err(unreadable)? else {
            return Ok(self.take_over(State::default(), begun));
        };
        state.file = Some(stamp(&stat));
        Ok(if is_recent(modified(&stat), begun) { state } else { self.take_over(state, begun) })
    }

    /// Reads a state file of the folder; `None` if it does not exist.
    fn parse(&self, name: &str) -> Result<Option<(State, Stat)>, ReadFault> {
        let Some((file, stat)) = self.folder.find(name)? else { return Ok(None) };
        let bytes = read_bounded(file, limits::STATE_SIZE)?;
        Ok(Some((State::parse(&bytes)?, stat)))
    }

    /// Replaces the slots and counters of `state`, whose command starts at `begun`, by those of a similar command that
    /// ran later.
    fn take_over(&self, mut state: State, begun: Moment) -> State {
        if self.prefix.is_none() {
            return state;
        }
        let files = state_folder::files(&self.folder, |name| self.name.shares_targets_with(name));
        let newest = |belongs: &dyn Fn(&Entry) -> bool| {
            let newest = files.iter().filter(|file| belongs(file)).max_by_key(|file| file.modified);
            let other = newest.filter(|file| file.name != self.name.as_str())?;
            // A damaged state is skipped: its own command reports it.
            Some((other, self.parse(&other.name).ok()??.0))
        };
        if let Some((_, other)) = newest(&|_| true) {
            state.slots = other.slots;
            state.within = other.within;
        }
        let has_same_readings = |file: &Entry| self.name.shares_readings_with(&file.name);
        if let Some((file, other)) = newest(&has_same_readings)
            && file.modified < begun.wall
            && other.has_rates
        {
            state.targets = other.targets;
        }
        state
    }

    /// Locks the file for writing.
    ///
    /// # Errors
    /// If another run holds the lock for too long, or the lock cannot be made.
    pub async fn lock(self) -> Result<Locked, StateError> {
        let locked = async {
            let name = format!("{}{LOCK}", self.name.as_str());
            loop {
                let file = self.folder.lock_file(&name)?;
                let file = lock_within(file, limits::STATE_LOCK, tokio::time::sleep).await?;
                // Another command can have removed it as a leftover, and a third process can have made a new one.
                if self.folder.has(&name, &file)? {
                    return Ok(file);
                }
            }
        };
        match locked.await {
            Ok(lock) => Ok(Locked { file: self, _lock: lock }),
            Err(source) => Err(StateError::Lock { path: self.path, source }),
        }
    }
}

impl Locked {
    /// Returns the state of the last run, which no other run can replace now: `earlier`, unless the file has changed
    /// since it was read.
    ///
    /// # Errors
    /// As of [`StateFile::read`].
    pub fn read_since(&self, earlier: State, begun: Moment) -> Result<State, StateError> {
        let StateFile { folder, name, .. } = &self.file;
        if earlier.file.is_some() && folder.stat(name.as_str()).as_ref().map(stamp) == earlier.file {
            return Ok(earlier);
        }
        self.file.read(begun)
    }

    /// Returns another command that posts metrics with the same prefix, of other targets or under other names, and ran
    /// a short time before `now`. The file must have been written: of two commands that start at the same time, one
    /// finds the other.
    pub fn neighbour(&self, now: Moment) -> Option<Neighbour> {
        let StateFile { folder, name, prefix, .. } = &self.file;
        let prefix = prefix.as_ref()?;
        let is_other = |other: &str| name.shares_metrics_with(other) && !name.shares_targets_with(other);
        let others = state_folder::files(folder, is_other);
        others.iter().any(|other| is_recent(other.modified, now)).then(|| Neighbour { prefix: prefix.clone() })
    }

    /// Removes the files of commands that have not run for a long time before `now`.
    pub fn remove_old(&self, now: Moment) {
        state_folder::remove_old(&self.file.folder, self.file.name.as_str(), now);
    }

    /// Replaces the state in one step.
    ///
    /// # Errors
    /// If it cannot be written. The old state is kept.
    pub fn replace(&self, state: &State) -> Result<(), StateError> {
        let StateFile { folder, name, path, .. } = &self.file;
        let write = || -> Result<(), FileError> {
            let bytes = state.to_bytes().map_err(io::Error::from)?;
            if bytes.len() as u64 > limits::STATE_SIZE.as_u64() {
                // The next run would not read it.
                return Err(FileError::TooLarge(limits::STATE_SIZE));
            }
            folder.replace(name.as_str(), &bytes, false)?;
            Ok(())
        };
        write().map_err(|source| StateError::Write { path: path.clone(), source })
    }
}
