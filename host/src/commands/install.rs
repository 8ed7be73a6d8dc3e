//! `install`: a collector from a file or a registry, compiled and pinned.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use oci_spec::distribution::Reference;

use crate::error::Error;
use crate::job::{NoOptions, RUN};
use crate::limits;
use crate::options::Options;
use crate::sandbox::{Collector, Description};
use crate::session::Session;
use crate::store::compile::compile;
use crate::store::component::{CallError, Component, Origin, read};
use crate::store::digest::digest;
use crate::store::key::PublicKey;
use crate::store::pin::Pin;
use crate::store::registry::options::RegistryOptions;
use crate::store::registry::{self, Pulled};
use crate::store::signature::{Required, last_signer};
use crate::text::{foreign, milliseconds};

/// A component that is not installed yet, checked without a target.
pub struct Checked {
    /// The component.
    pub component: Component,
    /// Its description of itself.
    pub description: Description,
    /// The component as it came.
    pub bytes: Vec<u8>,
    /// The time that its compilation took.
    pub compiled_in: Duration,
}

/// The option that requires a signature.
const VERIFY_KEY: &str = "--verify-key";

/// Installs or replaces the collector in a file or a registry, and describes it.
///
/// # Errors
/// If it cannot be fetched, lacks a signature by the key in the file `key` or by one of the policy, is not a collector,
/// or breaks the contract. An installed one is kept then.
pub async fn install(
    session: &Session,
    source: &str,
    key: Option<&Path>,
    options: &RegistryOptions,
) -> Result<String, Error> {
    let source = Source::of(source)?;
    let key = key.map(|path| PublicKey::read(VERIFY_KEY, path)).transpose()?;
    let by_policy = session.store.installed().policy()?.required(source.reference());
    let by_option = key.map(|key| Required::by_option(VERIFY_KEY, key));
    let required: Vec<Required> = by_option.into_iter().chain(by_policy).collect();
    let Pulled { bytes, source, signer } = match source {
        Source::File(path) => {
            options.check(None).map_err(Error::usage)?;
            let bytes = read(&path)?;
            let signer = last_signer(&required, |required| required.check_file(&path, &bytes))
                .map_err(|error| Error::failed(format!("{}: {error}", path.display())))?;
            // The path must be valid from every folder.
            let source = std::path::absolute(&path).unwrap_or(path).display().to_string();
            Pulled { bytes, source, signer }
        }
        Source::Registry(reference) => registry::pull(&reference, options, &required).await?,
    };
    let Checked { component, description, bytes, compiled_in } = check(session, bytes, &source).await?;
    let Description { name, version, summary, .. } = &description;
    if session.store.builtins().iter().any(|builtin| builtin.name == name) {
        return Err(Error::failed(format!(
            "{}: its name {name} is that of a built-in collector: an installed collector needs another name",
            foreign(&source)
        )));
    }
    let pin = |source| {
        let (name, version, summary) = (name.clone(), version.clone(), summary.clone());
        Pin::new(name, version, summary, source, component.digest.clone(), component.size)
    };
    let mut pin = pin(source);
    pin.signed = signer;
    let locked = session.store.installed().lock()?;
    let before = locked.pin(name);
    locked.write(pin.clone(), &bytes, &component.collector, &session.store.runtime)?;

    let mut text = String::new();
    let from = before.map(|before| {
        if before.digest == pin.digest {
            return ", unchanged".to_owned();
        }
        format!(", replacing {} (sha256:{})", foreign(&before.version), before.digest)
    });
    let _ = writeln!(text, "installed {name} {}{}", foreign(version), from.unwrap_or_default());
    let _ = writeln!(text, "collects  {}", foreign(summary));
    let _ = writeln!(text, "origin    {}, {}", foreign(&pin.source), ByteSize::b(pin.size).display().iec());
    if let Some(signer) = &pin.signed {
        let _ = writeln!(text, "signed    by {signer}");
    }
    let _ = writeln!(text, "digest    sha256:{}", pin.digest);
    let _ = writeln!(text, "compiled  in {}", milliseconds(compiled_in));
    let mut heading = "imports ";
    for import in component.collector.imports() {
        let _ = writeln!(text, "{heading}  {}", foreign(import));
        heading = "        ";
    }
    let _ = writeln!(
        text,
        "\nSection of mackerel-agent.conf; `mackerel-plugin-wasm run {name} --help` lists the options:\n"
    );
    let _ = writeln!(text, "[plugin.metrics.{name}]\ncommand = [\"mackerel-plugin-wasm\", \"run\", \"{name}\"]");
    Ok(text)
}

/// Compiles a component, and calls it as `run` does before it knows the targets.
pub async fn check(session: &Session, bytes: Vec<u8>, source: &str) -> Result<Checked, Error> {
    let begin = Instant::now();
    let name = foreign(source);
    let collector = compile(&session.store.runtime, &bytes, limits::INSTALL_COMPILE_TIMEOUT);
    let collector: Collector = collector.map_err(|why| Error::failed(format!("{name}: {why}")))?;
    let compiled_in = begin.elapsed();
    let (size, digest) = (bytes.len() as u64, digest(&bytes));
    let (origin, warnings) = (Origin::File(compiled_in), Vec::new());
    let component = Component { name: name.to_string(), collector, size, digest, origin, kept: None, warnings };
    let description = component.describe().await?;
    let uses = component.collector.uses();
    let words = [name.to_string().into()];
    let (options, NoOptions {}) = Options::parse(&RUN, &session.reserved, &words, &description, uses)?;
    match component.definitions(options.collector.values()).await {
        // Some collectors have no graphs without options.
        Ok(_) | Err(CallError::Options { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Checked { component, description, bytes, compiled_in })
}

/// The source of a component.
enum Source {
    File(PathBuf),
    Registry(Reference),
}

impl Source {
    /// The reference; `None` for a file.
    fn reference(&self) -> Option<&Reference> {
        match self {
            Source::File(_) => None,
            Source::Registry(reference) => Some(reference),
        }
    }

    /// Returns the source that a text means: a reference if it says so or is not a file, else a file.
    fn of(text: &str) -> Result<Source, Error> {
        let path = Path::new(text);
        if text.starts_with(registry::SCHEME) {
            return Ok(Source::Registry(registry::parse(text)?));
        }
        if path.extension().is_some_and(|extension| extension == "wasm") || path.exists() {
            return Ok(Source::File(path.to_owned()));
        }
        registry::parse(text).map(Source::Registry).map_err(|_| {
            Error::usage(format!("{}: no such file, and not a reference oci://REGISTRY/REPOSITORY:TAG", foreign(text)))
        })
    }
}
