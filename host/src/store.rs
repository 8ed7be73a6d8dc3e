//! Where collectors come from: built into the program, or a file.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use sha2::{Digest, Sha256};
use wasmtime::Engine;

use crate::definition::{self, Definitions};
use crate::error::Error;
use crate::failure::{Cause, Failure};
use crate::limits;
use crate::notice::foreign;
use crate::sandbox::code::Builtin;
use crate::sandbox::{Collector, Description, OptionValue};

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
    /// Whether it is built in.
    pub is_builtin: bool,
}

/// All collectors that can be run.
pub struct Store {
    engine: Engine,
    builtins: &'static [Builtin],
}

impl Store {
    /// A store with these built-in collectors.
    pub fn new(engine: Engine, builtins: &'static [Builtin]) -> Store {
        Store { engine, builtins }
    }

    /// The built-in collectors, by name.
    pub fn builtins(&self) -> &'static [Builtin] {
        self.builtins
    }

    /// Loads the collector that `name` stands for: a built-in's name, or the path of a `.wasm` file.
    ///
    /// # Errors
    /// A usage error where there is none of that name; otherwise why it cannot be loaded.
    pub fn load(&self, name: &str) -> Result<Component, Error> {
        if let Some(builtin) = self.builtins.iter().find(|builtin| builtin.name == name) {
            let collector = Collector::builtin(&self.engine, builtin);
            let collector =
                collector.map_err(|error| Error::Failed(format!("the built-in {name} cannot be loaded: {error:#}")))?;
            let (size, digest) = (builtin.size, builtin.digest.to_owned());
            return Ok(Component { name: name.to_owned(), collector, size, digest, is_builtin: true });
        }
        let path = Path::new(name);
        if path.extension().is_none_or(|extension| extension != "wasm") {
            let names: Vec<&str> = self.builtins.iter().map(|builtin| builtin.name).collect();
            return Err(Error::Usage(format!(
                "there is no collector '{}'; there is {}, and any component by the path of its .wasm file",
                foreign(name),
                names.join(", ")
            )));
        }
        self.load_file(path, name)
    }

    fn load_file(&self, path: &Path, name: &str) -> Result<Component, Error> {
        let failed = |why: String| Error::Failed(format!("{}: {why}", path.display()));
        let limit = limits::COMPONENT_SIZE;
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::Usage(format!("{}: there is no such file", path.display())),
            _ => failed(format!("cannot be opened: {error}")),
        })?;
        let too_large = || failed(format!("is larger than {:.0}, which is the limit", limit.display().iec()));
        if file.metadata().is_ok_and(|file| file.len() > limit.as_u64()) {
            return Err(too_large());
        }
        // A pipe does not tell its length.
        file.take(limit.as_u64() + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| failed(format!("cannot be read: {error}")))?;
        let size = bytes.len() as u64;
        if size > limit.as_u64() {
            return Err(too_large());
        }
        if !bytes.starts_with(b"\0asm") {
            return Err(failed("is no collector: it does not begin like a WebAssembly file".to_owned()));
        }
        let digest = digest(&bytes);
        let collector = compile(&self.engine, bytes).map_err(failed)?;
        Ok(Component { name: name.to_owned(), collector, size, digest, is_builtin: false })
    }
}

impl Component {
    /// The path of its file, as it was typed; none where it is built in.
    pub fn file(&self) -> Option<&str> {
        (!self.is_builtin).then_some(self.name.as_str())
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
        let graphs = graphs.map_err(|why| Error::Usage(format!("{}: {}", self.name, foreign(&why))))?;
        Definitions::new(graphs).map_err(|why| self.fault("graphs", &Cause::Contract(why).into()))
    }

    fn fault(&self, function: &str, failure: &Failure) -> Error {
        Error::Failed(format!("{}: {function}: {failure}", self.name))
    }
}

/// Compiles a component, within its time. What takes longer goes on in a thread of its own, which ends with the process.
fn compile(engine: &Engine, bytes: Vec<u8>) -> Result<Collector, String> {
    let (done, wait) = mpsc::channel();
    let engine = engine.clone();
    let work = move || {
        // Nobody may be waiting any more.
        let _ = done.send(Collector::compile(&engine, &bytes));
    };
    thread::Builder::new().spawn(work).map_err(|error| format!("cannot start a thread: {error}"))?;
    let collector = wait.recv_timeout(limits::COMPILE_TIMEOUT).map_err(|_| {
        let limit = humantime::format_duration(limits::COMPILE_TIMEOUT);
        format!("takes more than {limit} to compile, which is the limit")
    })?;
    collector.map_err(|error| {
        format!(
            "is no collector, which is a component of the world mackerel:collector/plugin@0.1.0: {}",
            foreign(&format!("{error:#}"))
        )
    })
}

/// The SHA-256 of a component in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
