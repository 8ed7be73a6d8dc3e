//! Generates the Go bindings of the contract from `wit/`, for the project that `new --lang go` writes. The repository
//! has no generated code, and an author who writes a collector in Go needs no generator.
//!
//! Go's own network does not work in WebAssembly, so there are bindings of `wasi:sockets` too, from the WIT files in
//! wasmtime-wasi's crate. The contract allows every collector to import them, but its world does not list them.
//!
//! The bindings call a runtime package that ships inside the generator's crate, with a licence file of its own. Go's
//! module proxy does not have it, so it is copied into the project.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use wit_bindgen_core::Files;
use wit_bindgen_go::Opts;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// The Go module of a project's folder `collector`, as `host/templates/go` names it.
const MODULE: &str = "mackerel/collector";

/// The bindings' folder in it.
const BINDINGS: &str = "internal/bindings";

/// The runtime package's folder in it, and the path under which the generated code asks for that.
const RUNTIME: &str = "internal/wit";
const RUNTIME_PATH: &str = "go.bytecodealliance.org/pkg/wit";

/// The runtime panics on a size that is not a multiple of the alignment. The generator requests such sizes: the largest
/// size of all results at the largest alignment, which can belong to different results.
const ALLOCATE: &str = r#"	if size%align != 0 {
		panic(fmt.Sprintf("size %v is not compatible with alignment %v", size, align))
	}
"#;
const ROUND_UP: &str = "	size = (size + align - 1) / align * align\n";
const CHANGE: &str = "a size that is no multiple of the alignment is rounded up";

/// Returns all generated files: their paths below the project's folder `collector`, and their texts.
///
/// # Errors
/// If the contract cannot be read, or the generator's crate has changed.
pub(crate) fn files(root: &Path) -> Result<Vec<(String, String)>> {
    let mut files = bindings(root)?;
    files.extend(runtime(root)?);
    files.sort();
    Ok(files)
}

/// Returns the types of everything that a collector may import and export: a custom section, which `componentize`
/// appends to modules that carry none.
///
/// # Errors
/// If the contract cannot be read.
pub(crate) fn types(root: &Path) -> Result<Vec<u8>> {
    let (resolve, world) = world(root)?;
    let mut section = Vec::new();
    embed_component_metadata(&mut section, &resolve, world, StringEncoding::UTF8)?;
    Ok(section)
}

/// Returns the world of the contract, with TCP.
fn world(root: &Path) -> Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    resolve.push_dir(source_of("wasmtime-wasi", root)?.join("src/p2/wit"))?;
    resolve.push_dir(root.join("wit"))?;
    let version = |of: &str| {
        let mut names = resolve.packages.iter().map(|(_, package)| package.name.to_string());
        names.find_map(|name| Some(name.strip_prefix(of)?.to_owned())).with_context(|| format!("no package {of}"))
    };
    let (contract, sockets) = (version("mackerel:collector@")?, version("wasi:sockets@")?);
    let imports = ["instance-network", "ip-name-lookup", "tcp", "tcp-create-socket"];
    let imports = imports.map(|name| format!("  import wasi:sockets/{name}@{sockets};\n")).concat();
    let text = format!(
        "package mackerel:module;\nworld module {{\n  include mackerel:collector/plugin@{contract};\n{imports}}}\n"
    );
    let package = resolve.push_source("module.wit", &text)?;
    let world = resolve.select_world(&[package], Some("module"))?;
    Ok((resolve, world))
}

fn bindings(root: &Path) -> Result<Vec<(String, String)>> {
    let (mut resolve, world) = world(root)?;
    let options = Opts { pkg_name: Some(format!("{MODULE}/{BINDINGS}")), ..Opts::default() };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    files
        .iter()
        .map(|(path, bytes)| Ok((format!("{BINDINGS}/{path}"), localized(std::str::from_utf8(bytes)?))))
        .collect()
}

/// Copies the runtime package without its support for futures and streams: the contract has none, and it needs
/// functions that Go's runtime does not have.
fn runtime(root: &Path) -> Result<Vec<(String, String)>> {
    let package = source_of("wit-bindgen-go", root)?.join("src/pkg");
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let mut files = vec![(format!("{RUNTIME}/LICENSE"), read(&package.join("LICENSE"))?)];
    let mut is_changed = false;
    for part in ["runtime", "types"] {
        let folder = package.join("wit").join(part);
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            let mut text = read(&entry.path())?;
            if part == "runtime" && text.contains(ALLOCATE) {
                text = format!("// Changed: {CHANGE}.\n\n{}", text.replace(ALLOCATE, ROUND_UP));
                is_changed = true;
            }
            if !text.contains(&format!("{RUNTIME_PATH}/async")) {
                ensure!(
                    !text.contains(RUNTIME_PATH),
                    "{}: imports a package that is not copied",
                    entry.path().display()
                );
                files.push((format!("{RUNTIME}/{part}/{}", entry.file_name().to_string_lossy()), text));
            }
        }
    }
    ensure!(is_changed, "the runtime package has changed: check if the change of {ALLOCATE} is still needed");
    Ok(files)
}

fn localized(text: &str) -> String {
    text.replace(RUNTIME_PATH, &format!("{MODULE}/{RUNTIME}"))
}

/// Returns the folder in which cargo keeps the source of a dependency.
fn source_of(name: &str, root: &Path) -> Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Not offline: on a new machine cargo has only fetched the crates built so far, and metadata needs those of the
    // tests too.
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", "host-tuple"];
    let command = command.current_dir(root).args(arguments);
    let output = command.output().context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let manifest =
        packages.filter(|package| package["name"] == name).find_map(|package| package["manifest_path"].as_str());
    let manifest = manifest.with_context(|| format!("cargo metadata does not list {name}"))?;
    Ok(Path::new(manifest).parent().context("a manifest lies in a folder")?.to_owned())
}
