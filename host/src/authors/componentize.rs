//! `componentize`: converts a core WebAssembly module to a component, for compilers that only build modules, such as
//! Go's.
//!
//! A module names its imports and exports without their types. The binary contains the types of the contract and of
//! `wasi:sockets`, for modules that do not carry them. Imports of WASI preview 1 are adapted to WASI 0.2.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::ComponentEncoder;
use wit_parser::WorldItem;

use crate::contract::wit::{self, WitError};
use crate::file::{self, FileError};
use crate::store::component::read_component;
use crate::text::{Foreign, foreign};

/// A module that cannot be converted. The text follows the file's name.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or read.
    #[error(transparent)]
    Read(#[from] FileError),
    /// The file is not a module.
    #[error("not a WebAssembly module: {0}")]
    NotAModule(Foreign),
    /// The file is a component.
    #[error("already a component: it can be run as it is")]
    Component,
    /// The embedded contract is wrong: a fault of the program.
    #[error(transparent)]
    Wit(#[from] WitError),
    /// The module lacks exports of a collector.
    #[error("not a collector: missing exports: {0}")]
    MissingExports(String),
    /// The module cannot be encoded as a component.
    #[error("not a collector: {0}")]
    Encode(Foreign),
    /// The component cannot be written.
    #[error("cannot write it: {0}")]
    Write(io::Error),
}

/// Reads the module, and writes the component beside it or to `output`. `types` is the custom section for a module that
/// carries none.
///
/// # Errors
/// If the file is not the module of a collector, or the component cannot be written.
pub fn componentize(module: &Path, output: Option<&Path>, types: &[u8]) -> Result<String, crate::error::Error> {
    let output = output.map_or_else(|| module.with_extension("component.wasm"), Path::to_owned);
    let named = |path: &Path| {
        let path = path.display().to_string();
        move |error: Error| crate::error::Error::failed(format!("{path}: {error}"))
    };
    let component = read(module).and_then(|module| encode(module, types)).map_err(named(module))?;
    write(&output, &component).map_err(Error::Write).map_err(named(&output))?;
    Ok(format!("{}: {} bytes\n", output.display(), component.len()))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    Ok(read_component(file::open(path)?)?)
}

/// Writes a file in one step, so that a repeated build never leaves half a component.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or(".".into(), PathBuf::from);
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Encodes a module as a component.
fn encode(mut module: Vec<u8>, types: &[u8]) -> Result<Vec<u8>, Error> {
    let outline = Outline::read(&module)?;
    let (resolve, world) = wit::resolve()?;
    if !outline.has_contract {
        module.extend_from_slice(types);
    }
    let encoded = ComponentEncoder::default().validate(true).module(&module).and_then(|encoder| {
        encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?.encode()
    });
    encoded.map_err(|error| {
        let interfaces = resolve.worlds[world].exports.values().filter_map(|item| match item {
            WorldItem::Interface { id, .. } => Some(*id),
            _ => None,
        });
        let functions = interfaces.flat_map(|id| {
            let interface = resolve.id_of(id).unwrap_or_default();
            resolve.interfaces[id].functions.keys().map(move |function| format!("{interface}#{function}"))
        });
        let missing: Vec<String> = functions.filter(|name| !outline.exports.contains(name)).collect();
        if missing.is_empty() {
            Error::Encode(foreign(&format!("{error:#}")))
        } else {
            Error::MissingExports(missing.join(", "))
        }
    })
}

/// The parts of a module that matter here.
struct Outline {
    /// True if it carries the types of the contract, as modules of compilers that read the contract do.
    has_contract: bool,
    exports: BTreeSet<String>,
}

impl Outline {
    fn read(module: &[u8]) -> Result<Outline, Error> {
        if !module.starts_with(b"\0asm") {
            return Err(Error::NotAModule(foreign("no WebAssembly header")));
        }
        let invalid = |error: wasmparser::BinaryReaderError| Error::NotAModule(foreign(&error.to_string()));
        let mut outline = Outline { has_contract: false, exports: BTreeSet::new() };
        for payload in Parser::new(0).parse_all(module) {
            match payload.map_err(invalid)? {
                Payload::Version { encoding: Encoding::Component, .. } => return Err(Error::Component),
                Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                    outline.has_contract = true;
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        outline.exports.insert(export.map_err(invalid)?.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(outline)
    }
}
