//! Tells `main.rs` where the built-in collectors lie, compiled to native code by xtask.
//!
//! Only the binary needs them: the library builds without, because xtask itself is built upon it.

use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(builtins)");
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/collectors/builtins.rs");
    println!("cargo::rerun-if-changed={}", list.display());
    if list.exists() {
        println!("cargo::rustc-cfg=builtins");
        println!("cargo::rustc-env=BUILTINS={}", list.display());
    }
}
