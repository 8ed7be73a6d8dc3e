//! The one unsafe call: loading native code.
//!
//! `Component::deserialize` runs what it is given with the host's own rights. So code comes only from a [`Builtin`], whose bytes
//! are part of this very executable: who can change them can change the program as well.
#![allow(unsafe_code)]

use wasmtime::Engine;
use wasmtime::component::Component;

/// A collector that is part of the program. The only place that makes one is the list that xtask writes for `main.rs`.
#[derive(Debug)]
pub struct Builtin {
    /// Its name on the command line.
    pub name: &'static str,
    /// The SHA-256 of the component it was compiled from, in hexadecimal.
    pub digest: &'static str,
    /// The component's size in bytes.
    pub size: u64,
    /// The component, compiled by xtask with [`engine`](super::engine::engine)'s settings.
    pub code: &'static [u8],
}

/// Loads a built-in's code. wasmtime checks that it was compiled by the same version and with fitting settings.
pub(super) fn load(engine: &Engine, builtin: &Builtin) -> wasmtime::Result<Component> {
    // SAFETY: the bytes were written by `Engine::precompile_component` and embedded when this program was built; they are
    // `&'static` and immutable.
    unsafe { Component::deserialize(engine, builtin.code) }
}
