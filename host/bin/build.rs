//! Tells `main.rs` where xtask left the built-in collectors, compiled to native code, and the files that it generated
//! for Go and for modules.

use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(builtins)");
    let collectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/collectors");
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let lists = [
        ("BUILTINS", collectors.join(arch).join("builtins.rs")),
        ("GO_FILES", collectors.join("go.rs")),
        ("MODULE_TYPES", collectors.join("module.types")),
    ];
    for (_, list) in &lists {
        println!("cargo::rerun-if-changed={}", list.display());
    }
    if lists.iter().all(|(_, list)| list.exists()) {
        println!("cargo::rustc-cfg=builtins");
        for (name, list) in &lists {
            println!("cargo::rustc-env={name}={}", list.display());
        }
    } else if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        // Before anything else is compiled: `cargo install --path` on a fresh clone would take minutes first.
        println!("cargo::error=the built-in collectors are not compiled yet: run `make build`, then `make install`");
    }
}
