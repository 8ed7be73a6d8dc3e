//! State: counters and slots, kept on disk between two runs.
//!
//! One JSON file for each collector and set of options, in a [private folder](crate::private_dir) below
//! `MACKEREL_PLUGIN_WORKDIR` or the folder for temporary files.
//!
//! A file is replaced in one step under a lock, so a reader sees the state of one run or of the next, and overlapping
//! runs write one after the other. It is not synced to disk: a power cut costs one rate.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::env;
use crate::file::{FileError, read_bounded};
use crate::limits;
use crate::moment::Moment;
use crate::pipeline::rate::Reading;
use crate::pipeline::slot::Slots;
use crate::private_dir::{Folder, FolderError, LockError, Stamp, lock_within, stamp};
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
    /// The stamp of the file that it was read from. Every replacement is another file.
    #[serde(skip)]
    file: Option<Stamp>,
}

impl Default for State {
    fn default() -> State {
        State { format: FORMAT, targets: BTreeMap::new(), slots: Slots::default(), file: None }
    }
}

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
    name: String,
    path: PathBuf,
}

/// A state that cannot be kept. The run prints what it can without it.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder cannot be used.
    #[error("no counters: the state folder {} {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
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
pub struct Locked<'a> {
    file: &'a StateFile,
    _lock: File,
}

impl StateFile {
    /// Opens the private folder of this user, and creates it if it is missing. `identity` is the key of one plugin
    /// command.
    ///
    /// # Errors
    /// If the folder does not belong to this user alone.
    pub fn open(collector: &str, identity: &[String]) -> Result<StateFile, StateError> {
        let base = env::variable_os("MACKEREL_PLUGIN_WORKDIR");
        let base = base.map_or_else(std::env::temp_dir, PathBuf::from);
        let path = base.join(format!("mackerel-plugin-wasm-{}", rustix::process::geteuid().as_raw()));
        let folder = Folder::make(&path).map_err(|source| StateError::Folder { path: path.clone(), source })?;
        let mut hash = Sha256::new();
        for part in identity {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let hash = hex::encode(&hash.finalize()[..8]);
        let name = format!("{collector}-{hash}.json");
        let path = path.join(&name);
        // Anything else with the file's name is replaced after a warning; a folder cannot be replaced.
        if folder.stat(&name).is_some_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir()) {
            return Err(StateError::IsFolder(path));
        }
        Ok(StateFile { folder, name, path })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the state of the last run; an empty state if there is none.
    ///
    /// # Errors
    /// If the file is not this program's state. The run continues as the first one, and replaces it.
    pub fn read(&self) -> Result<State, StateError> {
        let unreadable = |source: ReadFault| StateError::Read { path: self.path.clone(), source };
        let found = self.folder.find(&self.name).map_err(|error| unreadable(error.into()))?;
        let Some((file, stat)) = found else { return Ok(State::default()) };
        let bytes = read_bounded(file, limits::STATE_SIZE).map_err(|error| unreadable(error.into()))?;
        let mut state = State::parse(&bytes).map_err(unreadable)?;
        state.file = Some(stamp(&stat));
        Ok(state)
    }

    /// Locks the file for writing.
    ///
    /// # Errors
    /// If another run holds the lock for too long, or the lock cannot be made.
    pub async fn lock(&self) -> Result<Locked<'_>, StateError> {
        let locked = async {
            let file = self.folder.lock_file(&format!("{}.lock", self.name))?;
            lock_within(file, limits::STATE_LOCK, tokio::time::sleep).await
        };
        match locked.await {
            Ok(lock) => Ok(Locked { file: self, _lock: lock }),
            Err(source) => Err(StateError::Lock { path: self.path.clone(), source }),
        }
    }
}

impl Locked<'_> {
    /// Returns the state of the last run, which no other run can replace now: `earlier`, unless the file has changed
    /// since it was read.
    ///
    /// # Errors
    /// As of [`StateFile::read`].
    pub fn read_since(&self, earlier: State) -> Result<State, StateError> {
        let StateFile { folder, name, .. } = self.file;
        if earlier.file.is_some() && folder.stat(name).as_ref().map(stamp) == earlier.file {
            return Ok(earlier);
        }
        self.file.read()
    }

    /// Replaces the state in one step.
    ///
    /// # Errors
    /// If it cannot be written. The old state is kept.
    pub fn replace(&self, state: &State) -> Result<(), StateError> {
        let StateFile { folder, name, path } = self.file;
        let write = || -> Result<(), FileError> {
            let bytes = state.to_bytes().map_err(io::Error::from)?;
            if bytes.len() as u64 > limits::STATE_SIZE.as_u64() {
                // The next run would not read it.
                return Err(FileError::TooLarge(limits::STATE_SIZE));
            }
            folder.replace(name, &bytes, false)?;
            Ok(())
        };
        write().map_err(|source| StateError::Write { path: path.clone(), source })
    }
}
