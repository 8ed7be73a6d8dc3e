//! Tells `main.rs` where the built-in collectors lie, compiled to native code by xtask, and what it generated for Go; and the library
//! which version the contract has.
//!
//! Only the binary needs what xtask makes: the library builds without, because xtask itself is built upon it.

use std::fs;
use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(builtins)");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let collectors = root.join("target/collectors");
    let lists = [("BUILTINS", collectors.join("builtins.rs")), ("GO_FILES", collectors.join("go.rs"))];
    for (_, list) in &lists {
        println!("cargo::rerun-if-changed={}", list.display());
    }
    if lists.iter().all(|(_, list)| list.exists()) {
        println!("cargo::rustc-cfg=builtins");
        for (name, list) in &lists {
            println!("cargo::rustc-env={name}={}", list.display());
        }
    }
    let world = root.join("wit/world.wit");
    println!("cargo::rerun-if-changed={}", world.display());
    let text = fs::read_to_string(&world).expect("wit/world.wit can be read");
    let version = text.lines().find_map(|line| line.strip_prefix("package mackerel:collector@")?.strip_suffix(';'));
    println!("cargo::rustc-env=CONTRACT_VERSION={}", version.expect("wit/world.wit names its package and version"));
}
