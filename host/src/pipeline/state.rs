//! State: the counters of the last run, on disk between two runs.
//!
//! One JSON file for each collector, prefix and set of options, in a folder of this user alone, below `MACKEREL_PLUGIN_WORKDIR`
//! or the folder for temporary files ([`private`](crate::private_dir)).
//!
//! A file is replaced in one step under a lock, so a reader sees one run's state or the next's, and two runs that overlap write
//! one after the other. It is not synced to disk: what a power cut takes costs one rate.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::env;
use crate::limits;
use crate::moment::Moment;
use crate::pipeline::rate::Reading;
use crate::pipeline::slot::Slots;
use crate::private_dir::{Folder, Stamp, stamp};
use crate::text::foreign;

/// The version of the file's form. A file of another one is not read.
const FORMAT: u32 = 1;

/// What a run remembers for the next.
#[derive(Debug, Serialize, Deserialize)]
#[serde(expecting = "this program's state")]
pub struct State {
    format: u32,
    targets: BTreeMap<String, Remembered>,
    /// The targets' slots, where they are named by them.
    #[serde(default, skip_serializing_if = "Slots::is_empty")]
    pub slots: Slots,
    /// The file that it was read from: its number and the time of its last change. Every replacement is another file.
    #[serde(skip)]
    file: Option<Stamp>,
}

impl Default for State {
    fn default() -> State {
        State { format: FORMAT, targets: BTreeMap::new(), slots: Slots::default(), file: None }
    }
}

/// What is remembered of one target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Remembered {
    /// When the run began that last collected from it: before its engine was asked for anything.
    pub seen: Moment,
    /// What it read.
    pub reading: Reading,
}

impl State {
    /// Reads what a state file holds.
    ///
    /// # Errors
    /// Where that is not this program's state: in what way.
    pub fn parse(bytes: &[u8]) -> Result<State, String> {
        let state: State = serde_json::from_slice(bytes).map_err(|error| foreign(&error.to_string()))?;
        if state.format != FORMAT {
            return Err(format!("it has the format {}, and this program writes {FORMAT}", state.format));
        }
        Ok(state)
    }

    /// What a state file is to hold.
    ///
    /// # Errors
    /// None that a state can have: all its numbers are finite.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// Whether it is of no run before.
    pub fn is_new(&self) -> bool {
        self.file.is_none()
    }

    /// How many targets are remembered.
    pub fn targets(&self) -> usize {
        self.targets.len()
    }

    /// What is remembered of the target.
    pub fn get(&self, target: &str) -> Option<&Remembered> {
        self.targets.get(target)
    }

    /// Remembers a target for the next run.
    pub fn insert(&mut self, target: String, remembered: Remembered) {
        self.targets.insert(target, remembered);
    }

    /// Forgets targets that were last seen long before `now`.
    pub fn forget_old(&mut self, now: Moment) {
        self.targets.retain(|_, target| now.since(target.seen).is_none_or(|ago| ago < limits::STATE_KEPT));
    }
}

/// Where the state of one plugin command is.
#[derive(Debug)]
pub struct StateFile {
    folder: Folder,
    name: String,
    path: PathBuf,
}

/// The right to write a state file, held by one process at a time.
#[derive(Debug)]
pub struct Locked<'a> {
    file: &'a StateFile,
    _lock: File,
}

impl StateFile {
    /// Opens the folder of this user, and makes it where it is missing. `identity` tells the state of one plugin command from that
    /// of another.
    ///
    /// # Errors
    /// Where there is no folder that belongs to this user alone: says which, and what to do.
    pub fn open(collector: &str, identity: &[String]) -> Result<StateFile, String> {
        let base = env::variable_os("MACKEREL_PLUGIN_WORKDIR");
        let base = base.map_or_else(std::env::temp_dir, PathBuf::from);
        let path = base.join(format!("mackerel-plugin-wasm-{}", rustix::process::geteuid().as_raw()));
        let explain =
            |why: String| format!("no state is kept, so counters are not shown: the folder {} {why}", path.display());
        let folder = Folder::make(&path).map_err(explain)?;
        let mut hash = Sha256::new();
        for part in identity {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let hash = hex::encode(&hash.finalize()[..8]);
        let name = format!("{collector}-{hash}.json");
        let path = path.join(&name);
        // Anything else in the file's place is replaced, after a warning; a folder cannot be.
        if folder.look(&name).is_some_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir()) {
            let what = "no state is kept, so counters are not shown";
            return Err(format!("{what}: {} is a folder: remove it", path.display()));
        }
        Ok(StateFile { folder, name, path })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state of the last run; an empty one where there is none.
    ///
    /// # Errors
    /// Where there is a file that is not this program's state. The run goes on as after a fresh start, and replaces it.
    pub fn read(&self) -> Result<State, String> {
        let explain = |why: String| {
            format!(
                "the state in {} is not read, so counters are shown from the next run on: {why}",
                self.path.display()
            )
        };
        let Some((file, stat)) = self.folder.find(&self.name).map_err(explain)? else { return Ok(State::default()) };
        let mut bytes = Vec::new();
        file.take(limits::STATE_SIZE.as_u64() + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| explain(error.to_string()))?;
        if bytes.len() as u64 > limits::STATE_SIZE.as_u64() {
            return Err(explain(format!("it is larger than {:.0}", limits::STATE_SIZE.display().iec())));
        }
        let mut state = State::parse(&bytes).map_err(explain)?;
        state.file = Some(stamp(&stat));
        Ok(state)
    }

    /// Waits for the right to write.
    ///
    /// # Errors
    /// Where another run holds it for too long, or the lock cannot be made.
    pub async fn lock(&self) -> Result<Locked<'_>, String> {
        let explain = |why: String| format!("the state in {} is not written: {why}", self.path.display());
        let lock = self.folder.lock_file(&format!("{}.lock", self.name));
        let lock = lock.map_err(|error| explain(format!("its lock: {error}")))?;
        let begin = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Locked { file: self, _lock: lock }),
                Err(std::fs::TryLockError::WouldBlock) if begin.elapsed() < limits::STATE_LOCK => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    return Err(explain("another run has held its lock for too long".to_owned()));
                }
                Err(std::fs::TryLockError::Error(error)) => return Err(explain(format!("its lock: {error}"))),
            }
        }
    }
}

impl Locked<'_> {
    /// The state that the last run left, which none other can replace now: `earlier`, unless the file changed since that was
    /// read.
    ///
    /// # Errors
    /// As of [`StateFile::read`].
    pub fn read_since(&self, earlier: State) -> Result<State, String> {
        let StateFile { folder, name, .. } = self.file;
        if earlier.file.is_some() && folder.look(name).as_ref().map(stamp) == earlier.file {
            return Ok(earlier);
        }
        self.file.read()
    }

    /// Replaces the state in one step.
    ///
    /// # Errors
    /// Where it cannot be written: the old state stays.
    pub fn replace(&self, state: &State) -> Result<(), String> {
        let StateFile { folder, name, path } = self.file;
        let write = || -> std::io::Result<()> {
            let bytes = state.to_bytes()?;
            if bytes.len() as u64 > limits::STATE_SIZE.as_u64() {
                // The next run would not read it.
                let limit = limits::STATE_SIZE.display().iec();
                return Err(std::io::Error::other(format!("it would be larger than {limit:.0}")));
            }
            folder.replace(name, &bytes, false).map(drop)
        };
        write()
            .map_err(|error| format!("the state in {} is not written, so the old one stays: {error}", path.display()))
    }
}
