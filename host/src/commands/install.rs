//! `install`, `remove` and `push`: how collectors get from their authors to this machine.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use oci_client::Reference;

use crate::error::Error;
use crate::limits;
use crate::options::Options;
use crate::sandbox::{Collector, Description};
use crate::store::digest::digest;
use crate::store::pin::Pin;
use crate::store::registry;
use crate::store::{Component, Origin, Store, compile, read};
use crate::text::foreign;

/// A component that is not installed yet, checked as far as that can be done without a target.
struct Checked {
    component: Component,
    description: Description,
    bytes: Vec<u8>,
    compiled_in: Duration,
}

/// Installs the collector in a file or of a registry, in place of one of the same name, and says what was installed.
///
/// # Errors
/// Where it cannot be had, is no collector, or breaks its contract. What was installed before stays.
pub async fn install(store: &Store, source: &str) -> Result<String, Error> {
    let (bytes, source) = match Source::of(source)? {
        // A path has to lead there from everywhere.
        Source::File(path) => (read(&path)?, std::path::absolute(&path).unwrap_or(path).display().to_string()),
        Source::Registry(reference) => registry::pull(&reference).await?,
    };
    let Checked { component, description, bytes, compiled_in } = check(store, bytes, &source).await?;
    let Description { name, version, summary, .. } = &description;
    if store.builtins().iter().any(|builtin| builtin.name == name) {
        return Err(Error::failed(format!(
            "{}: calls itself {name}, which is built in: a collector that is installed needs a name of its own",
            foreign(&source)
        )));
    }
    let pin = |source| {
        let (name, version, summary) = (name.clone(), version.clone(), summary.clone());
        Pin::new(name, version, summary, source, component.digest.clone(), component.size)
    };
    let pin = pin(source);
    let locked = store.installed().lock()?;
    let before = locked.pin(name);
    locked.write(pin.clone(), &bytes, &component.collector, &store.engine)?;

    let mut text = String::new();
    let from = before.map(|before| {
        if before.digest == pin.digest {
            return ", which was installed already".to_owned();
        }
        format!(", in place of {} (sha256:{})", foreign(&before.version), before.digest)
    });
    let _ = writeln!(text, "installed {name} {}{}", foreign(version), from.unwrap_or_default());
    let _ = writeln!(text, "collects  {}", foreign(summary));
    let _ = writeln!(text, "origin    {}, {}", foreign(&pin.source), ByteSize::b(pin.size).display().iec());
    let _ = writeln!(text, "digest    sha256:{}", pin.digest);
    let _ = writeln!(text, "compiled  in {}", milliseconds(compiled_in));
    let mut heading = "imports ";
    for import in component.collector.imports() {
        let _ = writeln!(text, "{heading}  {}", foreign(import));
        heading = "        ";
    }
    let _ = writeln!(
        text,
        "\nIts line in mackerel-agent.conf, with what `mackerel-plugin-wasm run {name} --help` shows:\n"
    );
    let _ = writeln!(text, "[plugin.metrics.{name}]\ncommand = [\"mackerel-plugin-wasm\", \"run\", \"{name}\"]");
    Ok(text)
}

/// Removes an installed collector, also one that is broken, and says so.
///
/// # Errors
/// Where there is none of that name, or it cannot be removed.
pub fn remove(store: &Store, name: &str) -> Result<String, Error> {
    let shown = foreign(name);
    if store.builtins().iter().any(|builtin| builtin.name == name) {
        return Err(Error::usage(format!("{shown} is built in, and cannot be removed")));
    }
    let names = store.installed().names()?;
    if !names.iter().any(|installed| installed == name) {
        let names = if names.is_empty() { "nothing is".to_owned() } else { format!("there is {}", names.join(", ")) };
        return Err(Error::usage(format!("{shown} is not installed; {}", foreign(&names))));
    }
    store.installed().lock()?.remove(name)?;
    Ok(format!("removed {shown}\n"))
}

/// Puts the collector in a file into a registry, and says how it is installed from there.
///
/// # Errors
/// Where it is no collector, breaks its contract, or the registry does not take it.
pub async fn push(store: &Store, file: &Path, reference: &str) -> Result<String, Error> {
    let reference = registry::parse(reference)?;
    if reference.digest().is_some() {
        return Err(Error::usage(format!("{reference}: a push takes a tag, and gives the digest")));
    }
    let source = file.display().to_string();
    let Checked { component, description, bytes, .. } = check(store, read(file)?, &source).await?;
    let manifest = registry::push(&reference, bytes, &description).await?;
    let mut text = String::new();
    let (name, version) = (foreign(&description.name), foreign(&description.version));
    let _ = writeln!(text, "pushed {name} {version} to oci://{reference}");
    let _ = writeln!(text, "digest    {manifest}");
    let _ = writeln!(text, "component sha256:{}", component.digest);
    let _ = writeln!(text, "\nTo install it, whatever the tag leads to later:\n");
    let _ = writeln!(text, "mackerel-plugin-wasm install oci://{reference}@{manifest}");
    Ok(text)
}

/// Compiles a component and calls it as `run` would before it knows its targets.
async fn check(store: &Store, bytes: Vec<u8>, source: &str) -> Result<Checked, Error> {
    let begin = Instant::now();
    let name = foreign(source);
    let collector = compile(&store.engine, bytes.clone(), limits::INSTALL_COMPILE_TIMEOUT);
    let collector: Collector = collector.map_err(|why| Error::failed(format!("{name}: {why}")))?;
    let compiled_in = begin.elapsed();
    let (size, digest) = (bytes.len() as u64, digest(&bytes));
    let (origin, warnings) = (Origin::File(compiled_in), Vec::new());
    let component = Component { name: name.to_string(), collector, size, digest, origin, warnings };
    let description = component.describe().await?;
    let options = Options::parse(&[name.to_string().into()], &description, component.collector.asks_of_containers())?;
    match component.definitions(&options.collector).await {
        // Some have no graphs before the operator has chosen.
        Ok(_) | Err(Error::Usage(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(Checked { component, description, bytes, compiled_in })
}

/// A time in whole milliseconds, as people read it.
pub fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// Where `install` takes a component from.
enum Source {
    File(PathBuf),
    Registry(Reference),
}

impl Source {
    /// What is meant: a reference where it says so or is no file, else a file.
    fn of(text: &str) -> Result<Source, Error> {
        let path = Path::new(text);
        if text.starts_with(registry::SCHEME) {
            return registry::parse(text).map(Source::Registry);
        }
        if path.extension().is_some_and(|extension| extension == "wasm") || path.exists() {
            return Ok(Source::File(path.to_owned()));
        }
        registry::parse(text).map(Source::Registry).map_err(|_| {
            let shown = foreign(text);
            Error::usage(format!(
                "{shown}: there is no such file, and no reference oci://REGISTRY/REPOSITORY:TAG reads like this"
            ))
        })
    }
}
