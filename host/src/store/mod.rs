//! The store: the sources of collectors. They are built in, installed, or files; [`registry`] fetches them.

pub mod cache;
pub mod compile;
pub mod compiled;
pub mod component;
pub mod digest;
pub mod fault;
pub mod installed;
pub mod kept;
pub mod key;
pub mod pin;
pub mod policy;
pub mod registry;
pub mod signature;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::cache::Cache;
use self::compile::{CompileError, compile};
use self::component::{Component, Origin, ReadError, read};
use self::digest::digest;
use self::fault::InstalledError;
use self::installed::Installed;
use crate::definition::RESERVED_NAME;
use crate::limits;
use crate::sandbox::Collector;
use crate::sandbox::code::{Builtin, Code};
use crate::sandbox::runtime::Runtime;
use crate::text::{Foreign, foreign, listed};

/// The names of the built-in collectors: each is a folder of `guests/`. xtask builds and embeds them.
pub const BUILTIN_NAMES: &[&str] = &["docker", "gostats", "prometheus", "redis"];

/// All collectors that can be run.
pub struct Store {
    /// Loads components.
    pub runtime: Arc<Runtime>,
    builtins: &'static [Builtin],
    installed: Installed,
}

/// A collector that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of this name.
    #[error("unknown collector '{name}'; available: {available}; a component can be run by the path of its .wasm file")]
    Unknown {
        /// The name.
        name: Foreign,
        /// The known names.
        available: Foreign,
    },
    /// The name stands for several collectors.
    #[error(
        "'{RESERVED_NAME}' stands for several collectors, and this command takes one: {available}; run, plan, explain, \
         conf and dashboard take '{RESERVED_NAME}'"
    )]
    Several {
        /// The known names.
        available: Foreign,
    },
    /// A built-in cannot be loaded: a fault of the build.
    #[error("cannot load the built-in collector {name}: {reason}")]
    Builtin {
        /// The name.
        name: &'static str,
        /// wasmtime's error.
        reason: String,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file is not a collector.
    #[error("{}: {source}{}", path.display(), advice(path, source))]
    Compile {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: CompileError,
    },
    /// An installed collector cannot be loaded.
    #[error(transparent)]
    Installed(#[from] InstalledError),
}

impl From<Error> for crate::error::Error {
    fn from(error: Error) -> crate::error::Error {
        match error {
            Error::Unknown { .. } | Error::Several { .. } | Error::Read(ReadError::NotFound(_)) => {
                crate::error::Error::usage(error)
            }
            _ => crate::error::Error::failed(error),
        }
    }
}

/// Advises to install a file that takes too long to compile in a run.
fn advice(path: &Path, error: &CompileError) -> String {
    match error {
        CompileError::Timeout(limits::COMPILE_TIMEOUT) => {
            format!(": compile it once with: mackerel-plugin-wasm install {}", path.display())
        }
        _ => String::new(),
    }
}

impl Store {
    /// Makes a store of these built-in collectors and those that this user installed.
    pub fn new(runtime: Arc<Runtime>, builtins: &'static [Builtin]) -> Store {
        Store { runtime, builtins, installed: Installed::of_this_user() }
    }

    /// The built-in collectors, by name.
    pub fn builtins(&self) -> &'static [Builtin] {
        self.builtins
    }

    /// The installed collectors.
    pub fn installed(&self) -> &Installed {
        &self.installed
    }

    /// Loads a collector by the name of a built-in or installed one, or by the path of a `.wasm` file.
    ///
    /// # Errors
    /// If there is none of that name, or it cannot be loaded.
    pub fn load(&self, name: &str) -> Result<Component, Error> {
        self.load_by(name, &Compiler::OfRun)
    }

    /// Loads a collector as [`load`](Self::load) does, for a person who waits: it may take as long to compile as at
    /// `install`, and the compiled form of a file is kept for the next time.
    ///
    /// # Errors
    /// If there is none of that name, or it cannot be loaded.
    pub fn load_patiently(&self, name: &str) -> Result<Component, Error> {
        let path = self.installed.folder().map(|folder| folder.join("cache"));
        self.load_by(name, &Compiler::Patient(Cache { path }))
    }

    fn load_by(&self, name: &str, compiler: &Compiler) -> Result<Component, Error> {
        if let Some(builtin) = self.builtins.iter().find(|builtin| builtin.name == name) {
            return self.load_builtin(builtin);
        }
        let path = Path::new(name);
        if path.extension().is_some_and(|extension| extension == "wasm") {
            return self.load_file(path, name, compiler);
        }
        if let Some(loaded) = self.installed.load(&self.runtime, name, compiler.timeout())? {
            return Ok(loaded.component);
        }
        let mut names: Vec<String> = self.builtins.iter().map(|builtin| builtin.name.to_owned()).collect();
        names.extend(self.installed.names().unwrap_or_default());
        let available = foreign(&listed(&names));
        Err(if name == RESERVED_NAME {
            Error::Several { available }
        } else {
            Error::Unknown { name: foreign(name), available }
        })
    }

    fn load_builtin(&self, builtin: &'static Builtin) -> Result<Component, Error> {
        let collector = Collector::load(&self.runtime, Code::Builtin(builtin))
            .map_err(|error| Error::Builtin { name: builtin.name, reason: format!("{error:#}") })?;
        Ok(Component {
            name: builtin.name.to_owned(),
            collector,
            size: builtin.size,
            digest: builtin.digest.to_owned(),
            origin: Origin::Builtin,
            kept: None,
            warnings: Vec::new(),
        })
    }

    fn load_file(&self, path: &Path, name: &str, compiler: &Compiler) -> Result<Component, Error> {
        let bytes = read(path)?;
        let (size, digest) = (bytes.len() as u64, digest(&bytes));
        let begin = Instant::now();
        let kept = compiler.cache().and_then(|cache| cache.find(&self.runtime, &digest));
        let (collector, warnings) = kept.map_or_else(
            || self.compile_file(path, &bytes, &digest, compiler),
            |collector| Ok((collector, Vec::new())),
        )?;
        let origin = Origin::File(begin.elapsed());
        Ok(Component { name: name.to_owned(), collector, size, digest, origin, kept: None, warnings })
    }

    /// Compiles a file, and keeps the compiled form if there is a cache. Returns warnings too.
    fn compile_file(
        &self,
        path: &Path,
        bytes: &[u8],
        digest: &str,
        compiler: &Compiler,
    ) -> Result<(Collector, Vec<String>), Error> {
        let collector = compile(&self.runtime, bytes, compiler.timeout())
            .map_err(|source| Error::Compile { path: path.to_owned(), source })?;
        let keep = |cache: &Cache| -> Result<(), crate::error::Source> {
            cache.keep(&self.installed.lock()?, &self.runtime, digest, &collector)
        };
        let fault = compiler.cache().and_then(|cache| keep(cache).err());
        let warning = fault.map(|fault| format!("compiled every time: its compiled form cannot be kept: {fault}"));
        Ok((collector, warning.into_iter().collect()))
    }
}

/// The way to compile a component that has no compiled form.
enum Compiler {
    /// Within the time of a run.
    OfRun,
    /// While a person waits, with a cache.
    Patient(Cache),
}

impl Compiler {
    fn timeout(&self) -> Duration {
        match self {
            Compiler::OfRun => limits::COMPILE_TIMEOUT,
            Compiler::Patient(_) => limits::INSTALL_COMPILE_TIMEOUT,
        }
    }

    fn cache(&self) -> Option<&Cache> {
        match self {
            Compiler::OfRun => None,
            Compiler::Patient(cache) => Some(cache),
        }
    }
}
