//! Reads the contract's version from `wit/world.wit`, so that it stands in one place.

use std::fs;
use std::path::Path;

fn main() {
    let world = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/world.wit");
    println!("cargo::rerun-if-changed={}", world.display());
    let text = fs::read_to_string(&world).expect("wit/world.wit can be read");
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("package mackerel:collector@")?.strip_suffix(';'))
        .expect("wit/world.wit names its package and version");
    println!("cargo::rustc-env=CONTRACT_VERSION={version}");
}
