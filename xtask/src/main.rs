//! Builds the collectors in `guests/`, and compiles the built-in ones to native code with the host's own engine settings, so
//! that `main.rs` can embed them.
//!
//! Run by `make build`, it leaves in `target/collectors`: each guest as NAME.wasm, each built-in as NAME.code, what is
//! hand-written in `guests/evil/components` as evil/NAME.wasm, and `builtins.rs`, the list that `main.rs` includes. A built-in's
//! file that would not change is not touched, so nothing is built anew.

mod go;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use mackerel_plugin_wasm::internals::{BUILTIN_NAMES, digest, wasm_engine};

/// Guests that are not embedded: the tests run them from their files.
const TEST_GUESTS: &[&str] = &["evil", "old"];

fn main() -> Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let guests: Vec<&str> = BUILTIN_NAMES.iter().chain(TEST_GUESTS).copied().collect();
    build(&root, &guests)?;

    let collectors = root.join("target/collectors");
    fs::create_dir_all(&collectors)?;
    for guest in &guests {
        let component = fs::read(root.join(format!("target/wasm32-wasip2/guest/{guest}.wasm")))?;
        write_if_new(&collectors.join(format!("{guest}.wasm")), &component)?;
    }
    components(&root, &collectors.join("evil"))?;
    // Compiled for any processor of this architecture, for the program may run on another machine than this one.
    let engine = wasm_engine(Some(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH)))?;
    let mut list = String::from("&[\n");
    for name in BUILTIN_NAMES {
        let component = fs::read(collectors.join(format!("{name}.wasm")))?;
        let code = engine.precompile_component(&component).map_err(anyhow::Error::from).context(*name)?;
        let code_file = collectors.join(format!("{name}.code"));
        write_if_new(&code_file, &code)?;
        let (digest, size, path) = (digest(&component), component.len(), code_file.display().to_string());
        let _ = writeln!(
            list,
            "    Builtin {{ name: {name:?}, digest: {digest:?}, size: {size}, code: include_bytes!({path:?}) }},"
        );
        println!("{name}: {size} bytes, compiled {} bytes", code.len());
    }
    list.push_str("]\n");
    write_if_new(&collectors.join("builtins.rs"), list.as_bytes())?;
    go_files(&root, &collectors)
}

/// Generates what a collector in Go needs, and lists it for `main.rs`.
fn go_files(root: &Path, collectors: &Path) -> Result<()> {
    let mut list = String::from("&[\n");
    for (path, text) in go::files(root)? {
        let file = collectors.join("go").join(&path);
        fs::create_dir_all(file.parent().context("a file lies in a folder")?)?;
        write_if_new(&file, text.as_bytes())?;
        let _ =
            writeln!(list, "    ({:?}, include_str!({:?})),", format!("collector/{path}"), file.display().to_string());
    }
    list.push_str("]\n");
    write_if_new(&collectors.join("go.rs"), list.as_bytes())
}

/// Builds guests with the toolchain that `scripts/wasm-toolchain.sh` set up.
fn build(root: &Path, guests: &[&str]) -> Result<()> {
    let cargo = root.join(".wasm-toolchain/guest-cargo");
    ensure!(cargo.exists(), "{} is missing: run scripts/wasm-toolchain.sh first, or `make build`", cargo.display());
    let mut command = Command::new(&cargo);
    command.current_dir(root).args(["build", "--profile", "guest"]);
    command.args(guests.iter().flat_map(|guest| ["-p", guest]));
    let status = command.status().with_context(|| format!("cannot run {}", cargo.display()))?;
    ensure!(status.success(), "building the guests failed: {status}");
    Ok(())
}

/// Makes the collectors of hand-written text that only tests run.
fn components(root: &Path, folder: &Path) -> Result<()> {
    let manifest = root.join("guests/evil/components/Cargo.toml");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--locked", "--manifest-path"]).arg(manifest);
    command.arg("--target-dir").arg(root.join("target/components")).arg("--").arg(folder);
    let status = command.status().context("cannot run cargo")?;
    ensure!(status.success(), "making the components of text failed: {status}");
    Ok(())
}

fn write_if_new(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
