//! Where collectors come from: built into the program, installed, or a file.

pub mod digest;
pub mod installed;
pub mod pin;
pub mod registry;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::Engine;

use crate::definition::{self, Definitions};
use crate::error::Error;
use crate::limits;
use crate::sandbox::code::Builtin;
use crate::sandbox::failure::{Cause, Failure};
use crate::sandbox::{Collector, Description, OptionValue};
use crate::store::digest::digest;
use crate::store::installed::Installed;
use crate::store::pin::Pin;
use crate::text::foreign;

/// The collectors that are part of the program: each is a folder of `guests/`. xtask builds them all, and embeds them.
pub const BUILTIN_NAMES: &[&str] = &["docker", "gostats", "prometheus", "redis"];

/// A collector and where it comes from.
pub struct Component {
    /// The name on the command line.
    pub name: String,
    /// The collector, ready to be called.
    pub collector: Collector,
    /// The size of the component in bytes.
    pub size: u64,
    /// The component's SHA-256 in hexadecimal.
    pub digest: String,
    /// Where it comes from.
    pub origin: Origin,
    /// What the operator should know of how it was loaded, a line each.
    pub warnings: Vec<String>,
}

/// Where a collector comes from.
pub enum Origin {
    /// It is part of the program.
    Builtin,
    /// It was installed, as this says.
    Installed(Box<Pin>),
    /// The file that was named, which took so long to compile.
    File(Duration),
}

/// All collectors that can be run.
pub struct Store {
    /// Compiles and loads components.
    pub engine: Engine,
    builtins: &'static [Builtin],
    installed: Installed,
}

impl Store {
    /// A store with these built-in collectors, and what this user installed.
    pub fn new(engine: Engine, builtins: &'static [Builtin]) -> Store {
        Store { engine, builtins, installed: Installed::of_this_user() }
    }

    /// The built-in collectors, by name.
    pub fn builtins(&self) -> &'static [Builtin] {
        self.builtins
    }

    /// The installed collectors.
    pub fn installed(&self) -> &Installed {
        &self.installed
    }

    /// Loads the collector that `name` stands for: a built-in's name, an installed one's, or the path of a `.wasm` file.
    ///
    /// # Errors
    /// A usage error where there is none of that name; otherwise why it cannot be loaded.
    pub fn load(&self, name: &str) -> Result<Component, Error> {
        if let Some(builtin) = self.builtins.iter().find(|builtin| builtin.name == name) {
            let collector = Collector::builtin(&self.engine, builtin);
            let collector =
                collector.map_err(|error| Error::failed(format!("the built-in {name} cannot be loaded: {error:#}")))?;
            let (size, digest) = (builtin.size, builtin.digest.to_owned());
            let (origin, warnings) = (Origin::Builtin, Vec::new());
            return Ok(Component { name: name.to_owned(), collector, size, digest, origin, warnings });
        }
        let path = Path::new(name);
        if path.extension().is_some_and(|extension| extension == "wasm") {
            return self.load_file(path, name);
        }
        if let Some(component) = self.installed.load(&self.engine, name)? {
            return Ok(component);
        }
        let mut names: Vec<String> = self.builtins.iter().map(|builtin| builtin.name.to_owned()).collect();
        names.extend(self.installed.names().unwrap_or_default());
        Err(Error::usage(format!(
            "there is no collector '{}'; there is {}, and any component by the path of its .wasm file",
            foreign(name),
            foreign(&names.join(", "))
        )))
    }

    fn load_file(&self, path: &Path, name: &str) -> Result<Component, Error> {
        let bytes = read(path)?;
        let (size, digest) = (bytes.len() as u64, digest(&bytes));
        let begin = Instant::now();
        let collector = compile(&self.engine, bytes, limits::COMPILE_TIMEOUT);
        let took = begin.elapsed();
        let collector = collector.map_err(|why| {
            let file = path.display();
            let advice = if took < limits::COMPILE_TIMEOUT {
                String::new()
            } else {
                format!(": install it, which may take longer: mackerel-plugin-wasm install {file}")
            };
            Error::failed(format!("{file}: {why}{advice}"))
        })?;
        let (origin, warnings) = (Origin::File(took), Vec::new());
        Ok(Component { name: name.to_owned(), collector, size, digest, origin, warnings })
    }
}

impl Component {
    /// What tells its counters from those of a built-in collector of the same name; none where it is one.
    pub fn identity(&self) -> Option<&str> {
        (!matches!(self.origin, Origin::Builtin)).then_some(self.name.as_str())
    }

    /// What the collector says of itself, checked.
    ///
    /// # Errors
    /// Where it fails or says what cannot be.
    pub async fn describe(&self) -> Result<Description, Error> {
        let description = self.collector.describe().await.map_err(|failure| self.fault("describe", &failure))?;
        definition::check(&description).map_err(|why| self.fault("describe", &Cause::Contract(why).into()))?;
        Ok(description)
    }

    /// The collector's graphs for `options`, checked.
    ///
    /// # Errors
    /// A usage error where it refuses the options; its own fault where it fails or declares what cannot be.
    pub async fn definitions(&self, options: &[OptionValue]) -> Result<Definitions, Error> {
        let graphs = self.collector.graphs(options).await.map_err(|failure| self.fault("graphs", &failure))?;
        let graphs = graphs.map_err(|why| Error::usage(format!("{}: {}", self.name, foreign(&why))))?;
        Definitions::new(graphs).map_err(|why| self.fault("graphs", &Cause::Contract(why).into()))
    }

    fn fault(&self, function: &str, failure: &Failure) -> Error {
        Error::failed(format!("{}: {function}: {failure}", self.name))
    }
}

/// Reads the file of a component, which is not looked at.
///
/// # Errors
/// A usage error where there is none; otherwise why it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |why: String| Error::failed(format!("{}: {why}", path.display()));
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::usage(format!("{}: there is no such file", path.display())),
        _ => failed(format!("cannot be opened: {error}")),
    })?;
    read_whole(file).map_err(failed)
}

/// Reads a component's bytes, as many as it may have.
///
/// # Errors
/// Where it has more, or cannot be read: the end of a sentence about the file.
pub fn read_whole(file: File) -> Result<Vec<u8>, String> {
    let limit = limits::COMPONENT_SIZE;
    let too_large = || format!("is larger than {:.0}, which is the limit", limit.display().iec());
    let size = file.metadata().map(|file| file.len()).unwrap_or_default();
    if size > limit.as_u64() {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
    // A pipe does not tell its length.
    let read = file.take(limit.as_u64() + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > limit.as_u64() { Err(too_large()) } else { Ok(bytes) }
}

/// Compiles a component, within its time. What takes longer goes on in a thread of its own, which ends with the process.
///
/// # Errors
/// Where it is no collector, or takes too long: the end of a sentence about the file.
pub fn compile(engine: &Engine, bytes: Vec<u8>, time: Duration) -> Result<Collector, String> {
    let (done, wait) = mpsc::channel();
    let engine = engine.clone();
    let work = move || {
        // Nobody may be waiting any more.
        let _ = done.send(Collector::compile(&engine, &bytes));
    };
    thread::Builder::new().spawn(work).map_err(|error| format!("cannot start a thread: {error}"))?;
    wait.recv_timeout(time).unwrap_or_else(|_| {
        Err(format!("takes more than {} to compile, which is the limit", humantime::format_duration(time)))
    })
}
