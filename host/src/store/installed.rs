//! The installed collectors: a folder of this user alone, with three files for each.
//!
//! | file | |
//! |---|---|
//! | `NAME.json` | its [`Pin`] |
//! | `SHA256.wasm` | the component, as it came |
//! | `SHA256-COMPATIBILITY.code` | the component, compiled with this program's wasmtime for this processor |
//!
//! To install, replace or remove a collector is one step, that of its pin; the other files follow it, and what no pin names is swept.
//! The component's content is read and checked when its file's stamp is another than the pin's. Compiled code is run only where its
//! stamp is the pin's; whatever else is in its place is passed over, compiled anew and replaced.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::Stat;
use wasmtime::Engine;

use crate::env;
use crate::error::Error;
use crate::limits;
use crate::private_dir::{Folder, is_own, stamp};
use crate::sandbox::Collector;
use crate::sandbox::code::OwnCode;
use crate::store::digest::digest;
use crate::store::pin::{Code, Pin};
use crate::store::{Component, Origin, compile, read_whole};
use crate::text::foreign;

/// Where the installed collectors are.
#[derive(Debug)]
pub struct Installed {
    /// The folder; none where this user has no home.
    path: Option<PathBuf>,
}

/// The variable of the environment that names the folder.
pub const FOLDER_VARIABLE: &str = "MACKEREL_PLUGIN_WASM_STORE";

/// The folder, open and held by one process at a time, which alone writes.
pub struct Locked {
    /// The open folder.
    pub folder: Folder,
    path: PathBuf,
    _lock: File,
}

impl Installed {
    /// Those of this user: in `MACKEREL_PLUGIN_WASM_STORE`, else in `/var/lib` for root, else among the user's own data.
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

    /// The names of all installed collectors, also broken ones, sorted.
    ///
    /// # Errors
    /// Where the folder cannot be used.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let Some((folder, path)) = self.open()? else { return Ok(Vec::new()) };
        let names = folder.names().map_err(|error| unusable(path, &format!("cannot be read: {error}")))?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(".json")).map(str::to_owned).collect())
    }

    /// What is known of an installed collector, with its component checked; none where there is none of that name.
    ///
    /// # Errors
    /// Where it cannot be run as it was installed.
    pub fn look(&self, name: &str) -> Result<Option<Pin>, Error> {
        let Some((folder, path)) = self.open()? else { return Ok(None) };
        let Some(pin) = find_pin(&folder, path, name)? else { return Ok(None) };
        if !is_unchanged(&folder, &pin) {
            read_component(&folder, path, &pin).map_err(|why| broken(&pin, &why))?;
        }
        Ok(Some(pin))
    }

    /// Loads an installed collector; none where there is none of that name.
    ///
    /// # Errors
    /// Where it is not what was installed, or cannot be compiled any more.
    pub fn load(&self, engine: &Engine, name: &str) -> Result<Option<Component>, Error> {
        let Some((folder, path)) = self.open()? else { return Ok(None) };
        let Some(mut pin) = find_pin(&folder, path, name)? else { return Ok(None) };
        loop {
            let result = self.load_pinned(engine, &folder, path, &pin);
            if result.is_ok() {
                return result.map(Some);
            }
            // It may just have been replaced by another, and its files be gone.
            match find_pin(&folder, path, name) {
                Ok(Some(now)) if now != pin => pin = now,
                _ => return result.map(Some),
            }
        }
    }

    fn load_pinned(&self, engine: &Engine, folder: &Folder, path: &Path, pin: &Pin) -> Result<Component, Error> {
        let component = |collector, warnings| {
            let (name, digest, origin) =
                (pin.name.clone(), pin.digest.clone(), Origin::Installed(Box::new(pin.clone())));
            Component { name, collector, size: pin.size, digest, origin, warnings }
        };
        let compatibility = compatibility(engine);
        let is_unchanged = is_unchanged(folder, pin);
        // Where it was compiled by another version of this program, all is well.
        let code = pin.code.as_ref().filter(|code| code.compatibility == compatibility);
        let code = code.map(|code| find_code(engine, folder, pin, code));
        let code = match code {
            Some(Ok(collector)) if is_unchanged => return Ok(component(collector, Vec::new())),
            code => code,
        };
        let (bytes, stat) = read_component(folder, path, pin).map_err(|why| broken(pin, &why))?;
        let mut pin = pin.clone();
        pin.component = stamp(&stat);
        if let Some(Ok(collector)) = code {
            // Copied from elsewhere, or only touched: next time it need not be read. Where that cannot be noted, it is read again.
            let _ = self.lock().map(|locked| locked.repin(&pin));
            return Ok(component(collector, Vec::new()));
        }
        let file = path.join(pin.code_name(&compatibility));
        let mut warnings = Vec::new();
        if let Some(Err(why)) = code {
            warnings.push(format!("compiled anew, for its compiled form {} {why}", file.display()));
        }
        let collector = compile(engine, bytes, limits::COMPILE_TIMEOUT).map_err(|why| broken(&pin, &why))?;
        let mut keep = || -> Result<(), String> {
            let locked = self.lock().map_err(|error| error.to_string())?;
            let code = locked.write_code(&pin, &collector, &compatibility).map_err(|error| error.to_string())?;
            pin.code = Some(code);
            locked.repin(&pin).map_err(|error| error.to_string())
        };
        if let Err(why) = keep() {
            warnings
                .push(format!("compiled at every run, for its compiled form {} cannot be kept: {why}", file.display()));
        }
        Ok(component(collector, warnings))
    }

    /// Opens the folder; none where nothing was installed yet.
    fn open(&self) -> Result<Option<(Folder, &Path)>, Error> {
        let Some(path) = self.path.as_deref() else { return Ok(None) };
        let folder = Folder::open(path).map_err(|why| unusable(path, &why))?;
        Ok(folder.map(|folder| (folder, path)))
    }

    /// Waits for the right to write, and makes the folder where it is missing.
    pub fn lock(&self) -> Result<Locked, Error> {
        let path = self.path.clone().ok_or_else(|| {
            Error::failed("there is no folder to install into: set HOME or MACKEREL_PLUGIN_WASM_STORE".to_owned())
        })?;
        if let Some(parent) = path.parent() {
            // Where this fails, so does the next step.
            let _ = std::fs::create_dir_all(parent);
        }
        let folder = Folder::make(&path).map_err(|why| unusable(&path, &why))?;
        let failed = |why: &str| unusable(&path, &format!("cannot be locked: {why}"));
        let lock = folder.lock_file(".lock").map_err(|error| failed(&error.to_string()))?;
        let begin = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Locked { folder, path, _lock: lock }),
                Err(std::fs::TryLockError::WouldBlock) if begin.elapsed() < limits::STORE_LOCK => {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    return Err(failed("another command has held the lock for too long"));
                }
                Err(std::fs::TryLockError::Error(error)) => return Err(failed(&error.to_string())),
            }
        }
    }
}

impl Locked {
    /// What is pinned under a name now; none where nothing is, or where it cannot be read.
    pub fn pin(&self, name: &str) -> Option<Pin> {
        find_pin(&self.folder, &self.path, name).ok().flatten()
    }

    /// Installs a collector in one step, in place of one of the same name. The old one stays where this fails.
    pub fn write(&self, mut pin: Pin, bytes: &[u8], collector: &Collector, engine: &Engine) -> Result<(), Error> {
        let mut write = || -> std::io::Result<()> {
            pin.component = stamp(&self.folder.replace(&pin.component_name(), bytes, true)?);
            pin.code = Some(self.write_code(&pin, collector, &compatibility(engine))?);
            self.folder.replace(&format!("{}.json", pin.name), &pin.bytes(), true)?;
            Ok(())
        };
        let result = write();
        self.sweep();
        result.map_err(|error| {
            Error::failed(format!("nothing is installed: {} cannot be written to: {error}", self.path.display()))
        })
    }

    /// Removes a collector. Its files are swept.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let removed = self.folder.remove(&format!("{name}.json"));
        self.sweep();
        removed.map_err(|error| Error::failed(format!("{name} is not removed from {}: {error}", self.path.display())))
    }

    fn write_code(&self, pin: &Pin, collector: &Collector, compatibility: &str) -> std::io::Result<Code> {
        let code = collector.code().map_err(std::io::Error::other)?;
        let file = stamp(&self.folder.replace(&pin.code_name(compatibility), &code, true)?);
        Ok(Code { compatibility: compatibility.to_owned(), file })
    }

    /// Notes what is known anew of the files of what is still installed.
    fn repin(&self, pin: &Pin) -> std::io::Result<()> {
        if self.pin(&pin.name).is_some_and(|now| now.digest == pin.digest) {
            self.folder.replace(&format!("{}.json", pin.name), &pin.bytes(), true)?;
        }
        self.sweep();
        Ok(())
    }

    /// Removes what no pin names: what commands that were killed left, and what was replaced. Where some pin cannot be read, only
    /// what was half written goes. What this program would not have written stays.
    fn sweep(&self) {
        let Ok(names) = self.folder.names() else { return };
        let pins = names.iter().filter_map(|name| name.strip_suffix(".json"));
        let pins: Option<Vec<Pin>> = pins.map(|name| self.pin(name)).collect();
        let pinned: Option<HashSet<String>> = pins.map(|pins| {
            let code = |pin: &Pin| pin.code.as_ref().map(|code| pin.code_name(&code.compatibility));
            pins.iter().flat_map(|pin| [Some(pin.component_name()), code(pin)]).flatten().collect()
        });
        for name in &names {
            let is_ours = name.len() > 64 && name.bytes().take(64).all(|b| b.is_ascii_hexdigit());
            let ends = |extension| name.strip_suffix(extension).is_some();
            let is_file = is_ours && (ends(".wasm") || ends(".code"));
            let is_orphan = is_file && pinned.as_ref().is_some_and(|pinned| !pinned.contains(name));
            if is_orphan || ends(".new") {
                // What stays for now is swept the next time.
                let _ = self.folder.remove(name);
            }
        }
    }
}

/// What compiled code depends on besides the component, as a part of a name.
fn compatibility(engine: &Engine) -> String {
    // From one release of Rust to the next this hasher may change: then what was compiled is compiled anew.
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::failed(format!("the folder of installed collectors {} {why}", path.display()))
}

/// An installed collector that cannot run, and what to do.
fn broken(Pin { name, source, .. }: &Pin, why: &str) -> Error {
    let source = foreign(source);
    Error::failed(format!(
        "{name}: the installed component {why}; install it again: mackerel-plugin-wasm install {source}"
    ))
}

/// Reads the pin of a collector; none where there is none of that name.
fn find_pin(folder: &Folder, path: &Path, name: &str) -> Result<Option<Pin>, Error> {
    let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Ok(None);
    }
    let file_name = format!("{name}.json");
    let failed = |why: String| {
        let file = path.join(&file_name);
        Error::failed(format!("{name}: {}: {why}; remove {name} and install it again", file.display()))
    };
    let Some((file, stat)) = folder.find(&file_name).map_err(failed)? else { return Ok(None) };
    is_own(&stat).map_err(|why| failed(format!("it {why}")))?;
    let mut bytes = Vec::with_capacity(1024);
    let limit = limits::PIN_SIZE.as_u64();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(failed(format!("it is larger than {:.0}", limits::PIN_SIZE.display().iec())));
    }
    Pin::parse(name, &bytes).map(Some).map_err(failed)
}

/// Whether the component's file is still that whose content was checked.
fn is_unchanged(folder: &Folder, pin: &Pin) -> bool {
    folder.look(&pin.component_name()).is_some_and(|stat| is_own(&stat).is_ok() && stamp(&stat) == pin.component)
}

/// Reads the component and checks that it is what was installed.
fn read_component(folder: &Folder, path: &Path, pin: &Pin) -> Result<(Vec<u8>, Stat), String> {
    let of_file = |why: String| format!("{} cannot be used: {why}", path.join(pin.component_name()).display());
    let found = folder.find(&pin.component_name()).map_err(of_file)?;
    let (file, stat) = found.ok_or_else(|| of_file("it is gone".to_owned()))?;
    is_own(&stat).map_err(|why| of_file(format!("it {why}")))?;
    let bytes = read_whole(file).map_err(|why| of_file(format!("it {why}")))?;
    let found = digest(&bytes);
    if found != pin.digest {
        return Err(of_file(format!("its digest is sha256:{found} now")));
    }
    Ok((bytes, stat))
}

/// Loads the compiled form.
fn find_code(engine: &Engine, folder: &Folder, pin: &Pin, code: &Code) -> Result<Collector, String> {
    let found = folder.find(&pin.code_name(&code.compatibility)).map_err(|why| format!("cannot be used: {why}"))?;
    let (file, stat) = found.ok_or("is gone")?;
    let code = OwnCode::unchanged(file, &stat, &code.file)?;
    Collector::mapped(engine, &code).map_err(|error| format!("cannot be loaded: {}", foreign(&format!("{error:#}"))))
}
