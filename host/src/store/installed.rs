//! Installed collectors: a private folder of this user, with four files for each.
//!
//! | file | content |
//! |---|---|
//! | `NAME.json` | its [`Pin`] |
//! | `SHA256.wasm` | the component, unchanged |
//! | `SHA256-COMPATIBILITY.code` | the component, compiled by this program's wasmtime for this processor |
//! | `SHA256-COMPATIBILITY.calls` | the results of its `describe` and `graphs`, see [`Kept`] |
//!
//! Installing, replacing or removing a collector is one step, that of its pin; files without a pin are swept. The
//! component's digest is checked if its file's stamp differs from the pin's. Compiled code is run only if its stamp is
//! the pin's; otherwise the component is compiled again and the file replaced.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use rustix::fs::Stat;

use crate::definition::Definitions;
use crate::env;
use crate::error::Source;
use crate::file::FileError;
use crate::limits;
use crate::private_dir::{Folder, FolderError, LockError, check_owner, lock_within, stamp};
use crate::sandbox::runtime::Runtime;
use crate::sandbox::{Collector, Description, OptionValue};
use crate::store::compile::{CompileError, compile};
use crate::store::compiled::{self, CodeFault};
use crate::store::component::{Component, Origin, read_component};
use crate::store::digest::digest;
use crate::store::fault::{Fault, InstalledError, PinFault};
use crate::store::kept::{self, Kept};
use crate::store::pin::Pin;
use crate::store::policy::Policy;
use crate::text::is_word;

/// The installed collectors of this user.
#[derive(Debug)]
pub struct Installed {
    /// The folder; `None` if this user has no home.
    path: Option<PathBuf>,
}

/// The environment variable that names the folder.
pub const FOLDER_VARIABLE: &str = "MACKEREL_PLUGIN_WASM_STORE";

/// An installed collector that was loaded.
pub struct Loaded {
    /// The collector.
    pub component: Component,
    /// The time that its compilation took; `None` if its compiled form was used.
    pub compiled_in: Option<Duration>,
    /// The reason for which its new compiled form was not kept.
    pub not_kept: Option<String>,
}

impl Loaded {
    /// Returns a collector whose compiled form was used.
    fn current(folder: &Folder, pin: Pin, collector: Collector) -> Loaded {
        let (name, digest, size) = (pin.name.clone(), pin.digest.clone(), pin.size);
        let kept = pin.code.as_ref().and_then(|code| Kept::read(folder, &digest, &code.compatibility));
        if let Some(kept) = &kept {
            collector.set_start(kept.start());
        }
        let (origin, warnings) = (Origin::Installed(Box::new(pin)), Vec::new());
        let component = Component { name, collector, size, digest, origin, kept, warnings };
        Loaded { component, compiled_in: None, not_kept: None }
    }
}

/// The folder, locked: only one process at a time can write.
pub struct Locked {
    /// The open folder.
    pub folder: Folder,
    path: PathBuf,
    _lock: File,
}

impl Installed {
    /// Uses `MACKEREL_PLUGIN_WASM_STORE`, else `/var/lib` for root, else the user's data folder.
    pub fn of_this_user() -> Installed {
        let variable = |name: &str| env::variable_os(name).map(PathBuf::from);
        let data = || variable("XDG_DATA_HOME").or_else(|| Some(variable("HOME")?.join(".local/share")));
        let path = variable(FOLDER_VARIABLE).or_else(|| {
            let is_root = rustix::process::geteuid().is_root();
            let data = if is_root { Some(PathBuf::from("/var/lib")) } else { data() };
            Some(data?.join("mackerel-plugin-wasm"))
        });
        Installed { path }
    }

    /// Lists the names of all installed collectors, broken ones included, sorted.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn names(&self) -> Result<Vec<String>, InstalledError> {
        let Some((folder, path)) = self.open()? else { return Ok(Vec::new()) };
        let names = folder.names().map_err(|error| unusable(path, FolderError::Open(error)))?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(".json")).map(str::to_owned).collect())
    }

    /// Returns the policy of signatures.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn policy(&self) -> Result<Policy, InstalledError> {
        let Some((folder, path)) = self.open()? else { return Ok(Policy::default()) };
        Ok(Policy::read(&folder, path)?)
    }

    /// Returns the pin of a collector and checks its component; `None` if it is not installed.
    ///
    /// # Errors
    /// If it cannot run as it was installed.
    pub fn pin(&self, name: &str) -> Result<Option<Pin>, InstalledError> {
        let Some((folder, path)) = self.open()? else { return Ok(None) };
        let Some(pin) = find_pin(&folder, path, name)? else { return Ok(None) };
        if !is_unchanged(&folder, &pin) {
            read_pinned(&folder, path, &pin)?;
        }
        Ok(Some(pin))
    }

    /// Loads an installed collector, and compiles it within `timeout` if there is no compiled form; `None` if it is not
    /// installed.
    ///
    /// # Errors
    /// If it has changed since it was installed, or cannot be compiled any more.
    pub fn load(
        &self,
        runtime: &Arc<Runtime>,
        name: &str,
        timeout: Duration,
    ) -> Result<Option<Loaded>, InstalledError> {
        let Some((folder, path)) = self.open()? else { return Ok(None) };
        let Some(mut pin) = find_pin(&folder, path, name)? else { return Ok(None) };
        loop {
            let result = self.load_pinned(runtime, &folder, path, pin.clone(), timeout);
            if result.is_ok() {
                return result.map(Some);
            }
            // Another command may have replaced it just now, and removed its files.
            match find_pin(&folder, path, name) {
                Ok(Some(now)) if now != pin => pin = now,
                _ => return result.map(Some),
            }
        }
    }

    fn load_pinned(
        &self,
        runtime: &Arc<Runtime>,
        folder: &Folder,
        path: &Path,
        mut pin: Pin,
        timeout: Duration,
    ) -> Result<Loaded, InstalledError> {
        let is_unchanged = is_unchanged(folder, &pin);
        let code = compiled::find(runtime, folder, &pin.digest, pin.code.as_ref());
        let code = match code {
            Ok(collector) if is_unchanged => return Ok(Loaded::current(folder, pin, collector)),
            code => code,
        };
        let (bytes, stat) = read_pinned(folder, path, &pin)?;
        pin.component = stamp(&stat);
        let fault = match code {
            Ok(collector) => {
                // The file was copied or touched. Its new stamp saves reading it next time; if it cannot be written, it
                // is read again.
                let _ = self.lock().map(|locked| locked.repin(&pin));
                return Ok(Loaded::current(folder, pin, collector));
            }
            Err(fault) => fault,
        };
        let begin = Instant::now();
        let collector = match compile(runtime, &bytes, timeout) {
            Ok(collector) => collector,
            Err(CompileError::Timeout(timeout)) => {
                return Err(InstalledError::Slow { name: pin.name, fault, timeout });
            }
            Err(error) => return Err(InstalledError::broken(&pin, Fault::Compile(error))),
        };
        let compiled_in = Some(begin.elapsed());
        let mut keep = || -> Result<(), Source> {
            let locked = self.lock()?;
            pin.code = Some(compiled::write(runtime, &locked.folder, &pin.digest, &collector)?);
            Ok(locked.repin(&pin)?)
        };
        let not_kept = keep().err().map(|error| error.to_string());
        let file = path.join(compiled::file_name(&pin.digest, &compiled::compatibility(runtime)));
        let mut loaded = Loaded { compiled_in, not_kept, ..Loaded::current(folder, pin, collector) };
        let warnings = &mut loaded.component.warnings;
        // Code of another version of this program is replaced without a warning.
        if !matches!(fault, CodeFault::Incompatible) {
            warnings.push(format!("compiled again: its compiled form {} {fault}", file.display()));
        }
        if let Some(error) = &loaded.not_kept {
            warnings.push(format!(
                "compiled on every run: its compiled form {} cannot be written: {error}",
                file.display()
            ));
        }
        Ok(loaded)
    }

    /// Keeps the results of `describe` and `graphs` of an installed collector. If that fails, or another command is
    /// writing, the next run makes the calls again.
    pub fn keep(
        &self,
        component: &Component,
        description: &Description,
        options: &[OptionValue],
        definitions: &Definitions,
    ) {
        let Origin::Installed(pin) = &component.origin else { return };
        let Some(code) = &pin.code else { return };
        // Denied attempts in the calls are a warning of every run.
        if !component.collector.denied().is_empty() {
            return;
        }
        let mut kept = component.kept.clone().unwrap_or_else(|| Kept::new(description.clone()));
        if !kept.add(options, definitions, component.collector.start()) {
            return;
        }
        let (Some(bytes), Ok(locked)) = (kept.bytes(), self.lock_within(Duration::ZERO)) else { return };
        if locked.pin(&pin.name).is_some_and(|now| now.digest == pin.digest) {
            let _ = locked.folder.replace(&kept::file_name(&pin.digest, &code.compatibility), &bytes, false);
        }
    }

    /// The folder; `None` if this user has no home.
    pub fn folder(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Opens the folder; `None` if nothing was installed yet.
    fn open(&self) -> Result<Option<(Folder, &Path)>, InstalledError> {
        let Some(path) = self.path.as_deref() else { return Ok(None) };
        let folder = Folder::open(path).map_err(|source| unusable(path, source))?;
        Ok(folder.map(|folder| (folder, path)))
    }

    /// Locks the folder for writing, and creates it if it is missing.
    ///
    /// # Errors
    /// If it cannot be created, or another command holds the lock for too long.
    pub fn lock(&self) -> Result<Locked, InstalledError> {
        self.lock_within(limits::STORE_LOCK)
    }

    fn lock_within(&self, timeout: Duration) -> Result<Locked, InstalledError> {
        let path = self.path.clone().ok_or(InstalledError::NoFolder)?;
        if let Some(parent) = path.parent() {
            // If this fails, so does the next step.
            let _ = std::fs::create_dir_all(parent);
        }
        let folder = Folder::make(&path).map_err(|source| unusable(&path, source))?;
        let locked = folder.lock_file(".lock").map_err(LockError::from).and_then(|file| {
            let wait = async |time| thread::sleep(time);
            // It blocks the thread, so it is never pending.
            lock_within(file, timeout, wait).now_or_never().unwrap_or(Err(LockError::Timeout(timeout)))
        });
        match locked {
            Ok(lock) => Ok(Locked { folder, path, _lock: lock }),
            Err(source) => Err(InstalledError::Lock { path, source }),
        }
    }
}

impl Locked {
    /// Returns the current pin of a name; `None` if there is none, or it cannot be read.
    pub fn pin(&self, name: &str) -> Option<Pin> {
        find_pin(&self.folder, &self.path, name).ok().flatten()
    }

    /// Installs or replaces a collector in one step. If that fails, the old one is kept.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(
        &self,
        mut pin: Pin,
        bytes: &[u8],
        collector: &Collector,
        runtime: &Arc<Runtime>,
    ) -> Result<(), InstalledError> {
        let mut write = || -> std::io::Result<()> {
            pin.component = stamp(&self.folder.replace(&pin.component_name(), bytes, true)?);
            pin.code = Some(compiled::write(runtime, &self.folder, &pin.digest, collector)?);
            self.folder.replace(&format!("{}.json", pin.name), &pin.bytes(), true)?;
            Ok(())
        };
        let result = write();
        self.sweep();
        result.map_err(|source| InstalledError::Write { path: self.path.clone(), source })
    }

    /// Removes a collector and its files.
    ///
    /// # Errors
    /// If its pin cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), InstalledError> {
        let removed = self.folder.remove(&format!("{name}.json"));
        self.sweep();
        removed.map_err(|source| InstalledError::Remove { name: name.to_owned(), path: self.path.clone(), source })
    }

    /// Updates the pin of a collector that is still installed.
    fn repin(&self, pin: &Pin) -> std::io::Result<()> {
        if self.pin(&pin.name).is_some_and(|now| now.digest == pin.digest) {
            self.folder.replace(&format!("{}.json", pin.name), &pin.bytes(), true)?;
        }
        self.sweep();
        Ok(())
    }

    /// Removes files without a pin: leftovers of killed commands and replaced components. If a pin cannot be read, only
    /// half-written files are removed. Files that this program does not write are kept.
    fn sweep(&self) {
        let Ok(names) = self.folder.names() else { return };
        let pins = names.iter().filter_map(|name| name.strip_suffix(".json"));
        let pins: Option<Vec<Pin>> = pins.map(|name| self.pin(name)).collect();
        let pinned: Option<HashSet<String>> = pins.map(|pins| pins.iter().flat_map(Pin::file_names).collect());
        for name in &names {
            let is_ours = name.len() > 64 && name.bytes().take(64).all(|b| b.is_ascii_hexdigit());
            let ends = |extension| name.strip_suffix(extension).is_some();
            let is_file = is_ours && (ends(".wasm") || ends(".code") || ends(".calls"));
            let is_orphan = is_file && pinned.as_ref().is_some_and(|pinned| !pinned.contains(name));
            if is_orphan || ends(".new") {
                // A file that cannot be removed now is removed next time.
                let _ = self.folder.remove(name);
            }
        }
    }
}

fn unusable(path: &Path, source: FolderError) -> InstalledError {
    InstalledError::Folder { path: path.to_owned(), source }
}

/// Reads the pin of a collector; `None` if it is not installed.
fn find_pin(folder: &Folder, path: &Path, name: &str) -> Result<Option<Pin>, InstalledError> {
    if !is_word(name) {
        return Ok(None);
    }
    let file_name = format!("{name}.json");
    let failed = |fault: PinFault| InstalledError::Pin { name: name.to_owned(), path: path.join(&file_name), fault };
    let bytes = folder.read(&file_name, limits::PIN_SIZE).map_err(|error| failed(error.into()))?;
    let Some(bytes) = bytes else { return Ok(None) };
    Pin::parse(name, &bytes).map(Some).map_err(|error| failed(error.into()))
}

/// Returns true if the component's file is still the one whose digest was checked.
fn is_unchanged(folder: &Folder, pin: &Pin) -> bool {
    folder.stat(&pin.component_name()).is_some_and(|stat| check_owner(&stat).is_ok() && stamp(&stat) == pin.component)
}

/// Reads the component and checks its digest.
fn read_pinned(folder: &Folder, path: &Path, pin: &Pin) -> Result<(Vec<u8>, Stat), InstalledError> {
    let path = path.join(pin.component_name());
    let unusable = |source: FileError| InstalledError::broken(pin, Fault::File { path: path.clone(), source });
    let found = folder.find(&pin.component_name()).map_err(unusable)?;
    let (file, stat) = found.ok_or_else(|| InstalledError::broken(pin, Fault::Missing(path.clone())))?;
    check_owner(&stat).map_err(unusable)?;
    let bytes = read_component(file).map_err(unusable)?;
    let digest = digest(&bytes);
    if digest != pin.digest {
        return Err(InstalledError::broken(pin, Fault::Changed { path, digest }));
    }
    Ok((bytes, stat))
}
