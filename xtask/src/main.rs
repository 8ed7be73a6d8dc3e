//! Builds the collectors in `guests/` and compiles the built-in ones to native code, with the engine settings of the
//! host, so that the binary can embed them.
//!
//! - `xtask [TRIPLE]` writes `target/collectors/NAME.wasm` of each built-in collector and its code for that target, or
//!   for this machine, `ARCH/NAME.code`; and `ARCH/builtins.rs`, `go.rs` and `module.types`, which the binary includes.
//! - `xtask tests` writes the collectors that only tests run: `NAME.wasm`, and `evil/NAME.wasm` from hand-written text.
//! - `xtask dependencies SBOM LICENCES TIME` writes the lists of dependencies of a release, and `xtask dependencies
//!   LICENCES` the licences of the ready-made collectors in Rust.
//!
//! A file that would not change is not touched, so that cargo builds nothing again.

mod dependencies;
mod go;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use mackerel_plugin_wasm::internals::{BUILTIN_NAMES, digest, wasm_engine};

/// Packages of guests that only tests run. The component of each has its name.
const TEST_GUESTS: &[&str] = &["evil", "old"];

fn main() -> Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let collectors = root.join("target/collectors");
    fs::create_dir_all(&collectors)?;
    match std::env::args().nth(1).as_deref() {
        Some("tests") => {
            let packages: Vec<String> = TEST_GUESTS.iter().map(|name| (*name).to_owned()).collect();
            build_guests(&root, &packages, TEST_GUESTS, &[], &collectors)?;
            build_text_components(&root, &collectors.join("evil"))
        }
        Some("dependencies") => {
            let arguments: Vec<String> = std::env::args().skip(2).collect();
            match &arguments[..] {
                [sbom, licences, time] => dependencies::write(&root, Path::new(sbom), Path::new(licences), time),
                [licences] => dependencies::write_collectors(&root, Path::new(licences)),
                _ => bail!("usage: xtask dependencies [SBOM] LICENCES [TIME]"),
            }
        }
        Some(word) if !word.contains("-linux-") => {
            bail!("unknown task '{word}'; expected 'tests', 'dependencies', a target triple or nothing")
        }
        triple => {
            let packages: Vec<String> = BUILTIN_NAMES.iter().map(|name| format!("collector-{name}")).collect();
            build_guests(&root, &packages, BUILTIN_NAMES, BUILTIN_FLAGS, &collectors)?;
            compile_builtins(&collectors, triple)?;
            write_go_files(&root, &collectors)
        }
    }
}

/// The stack of the built-in collectors, instead of 1 MiB. It lies at the lowest addresses, and less of a smaller
/// memory must be reset for the next sandbox.
const BUILTIN_FLAGS: &[&str] = &["-Clink-arg=-zstack-size=131072"];

/// Builds guests with the toolchain that `scripts/wasm-toolchain.sh` set up, and copies their components.
fn build_guests(root: &Path, packages: &[String], names: &[&str], flags: &[&str], collectors: &Path) -> Result<()> {
    let cargo = root.join(".wasm-toolchain/guest-cargo");
    ensure!(cargo.exists(), "{} is missing: run scripts/wasm-toolchain.sh first, or `make build`", cargo.display());
    let mut command = Command::new(&cargo);
    command.current_dir(root).args(["build", "--profile", "guest"]);
    // The same component on every machine: panic messages contain paths of sources.
    let home = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cargo_home = home("CARGO_HOME").or_else(|| Some(home("HOME")?.join(".cargo"))).unwrap_or_default();
    let remap = [(root.to_owned(), "/build"), (cargo_home.join("registry/src"), "/crates")];
    let remap = remap.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    let flags: Vec<&str> = remap.iter().map(String::as_str).chain(flags.iter().copied()).collect();
    command.arg("--config").arg(format!("build.rustflags={flags:?}"));
    command.args(packages.iter().flat_map(|package| ["-p", package]));
    let status = command.status().with_context(|| format!("cannot run {}", cargo.display()))?;
    ensure!(status.success(), "building the guests failed: {status}");
    for name in names {
        let component = fs::read(root.join(format!("target/wasm32-wasip2/guest/{name}.wasm")))?;
        write_if_changed(&collectors.join(format!("{name}.wasm")), &component)?;
    }
    Ok(())
}

/// Compiles the built-ins for `triple`, or for the architecture of this machine, and lists them for the binary.
fn compile_builtins(collectors: &Path, triple: Option<&str>) -> Result<()> {
    // For any processor of that architecture: the program may run on another machine.
    let native = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let triple = triple.unwrap_or(&native);
    let engine = wasm_engine(Some(triple))
        .map_err(anyhow::Error::from)
        .with_context(|| format!("cannot compile for {triple}: build xtask with --features cross"))?;
    let arch = triple.split('-').next().unwrap_or_default();
    let folder = collectors.join(arch);
    fs::create_dir_all(&folder)?;
    let mut list = String::from("[\n");
    for name in BUILTIN_NAMES {
        let component = fs::read(collectors.join(format!("{name}.wasm")))?;
        let code = engine.precompile_component(&component).map_err(anyhow::Error::from).context(*name)?;
        let code_file = folder.join(format!("{name}.code"));
        write_if_changed(&code_file, &code)?;
        let (digest, size, path) = (digest(&component), component.len(), code_file.display().to_string());
        let _ = writeln!(
            list,
            "    Builtin {{ name: {name:?}, digest: {digest:?}, size: {size}, code: {{\n        \
                     static CODE: Aligned<{{ include_bytes!({path:?}).len() }}> = Aligned(*include_bytes!({path:?}));\n        \
                     &CODE.0\n    }}, is_loaded: AtomicBool::new(false) }},"
        );
        println!("{name}: {size} bytes, compiled {} bytes for {arch}", code.len());
    }
    list.push_str("]\n");
    write_if_changed(&folder.join("builtins.rs"), list.as_bytes())
}

/// Generates the files of a collector in Go, lists them for the binary, and writes the types for `componentize`.
fn write_go_files(root: &Path, collectors: &Path) -> Result<()> {
    let mut list = String::from("&[\n");
    for (path, text) in go::files(root)? {
        let file = collectors.join("go").join(&path);
        fs::create_dir_all(file.parent().context("a file lies in a folder")?)?;
        write_if_changed(&file, text.as_bytes())?;
        let _ =
            writeln!(list, "    ({:?}, include_str!({:?})),", format!("collector/{path}"), file.display().to_string());
    }
    list.push_str("]\n");
    write_if_changed(&collectors.join("go.rs"), list.as_bytes())?;
    write_if_changed(&collectors.join("module.types"), &go::types(root)?)
}

/// Builds the components that are written by hand as text.
fn build_text_components(root: &Path, folder: &Path) -> Result<()> {
    let manifest = root.join("guests/evil/components/Cargo.toml");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--locked", "--manifest-path"]).arg(manifest);
    command.arg("--target-dir").arg(root.join("target/components")).arg("--").arg(folder);
    let status = command.status().context("cannot run cargo")?;
    ensure!(status.success(), "building the components of text failed: {status}");
    Ok(())
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
