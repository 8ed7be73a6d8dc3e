//! Passes versions to the program: the contract's from `wit/world.wit` and wasmtime's from `Cargo.lock`, so that each
//! stands in one place, and the target triple.

use std::fs;
use std::path::Path;

fn main() {
    let world = read("wit/world.wit");
    let contract = world
        .lines()
        .find_map(|line| line.strip_prefix("package mackerel:collector@")?.strip_suffix(';'))
        .expect("wit/world.wit names its package and version");
    println!("cargo::rustc-env=CONTRACT_VERSION={contract}");
    let lock = read("Cargo.lock");
    let wasmtime = lock
        .split_once("name = \"wasmtime\"\nversion = \"")
        .and_then(|(_, rest)| rest.split('"').next())
        .expect("Cargo.lock has wasmtime's version");
    println!("cargo::rustc-env=WASMTIME_VERSION={wasmtime}");
    println!("cargo::rustc-env=TARGET={}", std::env::var("TARGET").expect("cargo sets TARGET"));
}

/// Reads a file of the repository, and has cargo run this again when it changes.
fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    println!("cargo::rerun-if-changed={}", path.display());
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
