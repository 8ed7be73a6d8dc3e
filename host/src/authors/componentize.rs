//! `componentize`: makes a component of a core WebAssembly module, which is what compilers give that know nothing of components,
//! such as Go's.
//!
//! A module says by the names of its imports and exports which functions they are, but not of which types. The contract says that, so
//! it is put in where the module does not carry it itself. WASI of the old kind (preview 1) is wrapped into that of components.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::WorldItem;

use crate::contract::wit;
use crate::error::Error;
use crate::store;
use crate::text::foreign;

/// Reads the module, writes the component beside it or to `output`, and says what it wrote.
///
/// # Errors
/// Where the file cannot be read, is no module, lacks what a collector exports, or the component cannot be written.
pub fn componentize(module: &Path, output: Option<&Path>) -> Result<String, Error> {
    let output = output.map_or_else(|| module.with_extension("component.wasm"), Path::to_owned);
    let component = read(module).and_then(component);
    let component = component.map_err(|why| Error::failed(format!("{}: {why}", module.display())))?;
    write(&output, &component).map_err(|why| Error::failed(format!("{}: {why}", output.display())))?;
    Ok(format!("{}: {} bytes\n", output.display(), component.len()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    store::read_whole(File::open(path).map_err(|error| format!("cannot be opened: {error}"))?)
}

/// In one step, so that nobody who builds again and again runs half a component.
fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or(".".into(), PathBuf::from);
    let written = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.persist(path).map_err(|error| error.error)
        });
    written.map(|_| ()).map_err(|error| format!("cannot be written: {error}"))
}

/// The component that a module makes.
fn component(mut module: Vec<u8>) -> Result<Vec<u8>, String> {
    let inside = inside(&module)?;
    let (resolve, world) = wit::resolve()?;
    if !inside.has_contract {
        let embedded = embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8);
        embedded.map_err(|error| format!("the contract cannot be put in: {}", foreign(&format!("{error:#}"))))?;
    }
    let encoded = ComponentEncoder::default().validate(true).module(&module).and_then(|encoder| {
        encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?.encode()
    });
    encoded.map_err(|error| {
        let wanted = resolve.worlds[world].exports.values().filter_map(|item| match item {
            WorldItem::Interface { id, .. } => Some(*id),
            _ => None,
        });
        let wanted = wanted.flat_map(|id| {
            let interface = resolve.id_of(id).unwrap_or_default();
            resolve.interfaces[id].functions.keys().map(move |function| format!("{interface}#{function}"))
        });
        let missing: Vec<String> = wanted.filter(|name| !inside.exports.contains(name)).collect();
        if missing.is_empty() {
            format!("makes no collector: {}", foreign(&format!("{error:#}")))
        } else {
            format!("makes no collector: it does not export {}", missing.join(", "))
        }
    })
}

/// What is to be known of a module.
struct Inside {
    /// Whether it carries types of its own, as modules do whose compiler read the contract.
    has_contract: bool,
    exports: BTreeSet<String>,
}

fn inside(module: &[u8]) -> Result<Inside, String> {
    if !module.starts_with(b"\0asm") {
        return Err("is no WebAssembly module: it does not begin like one".to_owned());
    }
    let mut inside = Inside { has_contract: false, exports: BTreeSet::new() };
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(|error| format!("is no WebAssembly module: {}", foreign(&error.to_string())))? {
            Payload::Version { encoding: Encoding::Component, .. } => {
                return Err("is a component already: it can be run as it is".to_owned());
            }
            Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                inside.has_contract = true;
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(|error| format!("is no WebAssembly module: {error}"))?;
                    inside.exports.insert(export.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(inside)
}
