//! The one unsafe module: loading native code.
//!
//! wasmtime runs what it is given here with the host's own rights, and looks at little more than whether the same version wrote it. So
//! code comes from two places alone:
//!
//! - a [`Builtin`], whose bytes are part of this very executable: who can change them can change the program as well;
//! - an [`OwnCode`], a file that this program wrote into a folder that nobody but its user can look into or write to, and that is, by
//!   its stamp or its digest, what was written. Who can change it is that user, who can change what runs anyway.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd as _;

use rustix::fs::Stat;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::private_dir::{Stamp, is_own, stamp};

/// A collector that is part of the program. The only place that makes one is the list that xtask writes for `main.rs`.
#[derive(Debug)]
pub struct Builtin {
    /// Its name on the command line.
    pub name: &'static str,
    /// The SHA-256 of the component it was compiled from, in hexadecimal.
    pub digest: &'static str,
    /// The component's size in bytes.
    pub size: u64,
    /// The component, compiled by xtask with [`runtime`](super::runtime::engine)'s settings.
    pub code: &'static [u8],
}

/// A file of compiled code that this program wrote itself.
#[derive(Debug)]
pub struct OwnCode(File);

impl OwnCode {
    /// Takes a file for this program's own code: one of a [private folder](crate::private_dir::Folder), which is closed to others and
    /// opens no symlinks. It must be this user's and closed to others itself, and not have changed since `written`.
    ///
    /// # Errors
    /// In what way it is not.
    pub fn unchanged(file: File, stat: &Stat, written: &Stamp) -> Result<OwnCode, &'static str> {
        is_own(stat)?;
        if stamp(stat) != *written {
            return Err("was changed");
        }
        Ok(OwnCode(file))
    }
}

/// Loads a built-in's code. wasmtime checks that it was compiled by the same version and with fitting settings.
pub(super) fn load(engine: &Engine, builtin: &Builtin) -> wasmtime::Result<Component> {
    // SAFETY: the bytes were written by `Engine::precompile_component` and embedded when this program was built; they are
    // `&'static` and immutable.
    unsafe { Component::deserialize(engine, builtin.code) }
}

/// Maps a file's code, of which only what is used is then read. wasmtime checks as it does in [`load`].
pub(super) fn map(engine: &Engine, OwnCode(file): &OwnCode) -> wasmtime::Result<Component> {
    // The very file that was looked at, whatever its name leads to by now.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the bytes are those that `Component::serialize` gave: the file's stamp is that which it had when this program had
    // written it, whole and synced, and every change of its bytes, also by a write through a descriptor opened before, changes the stamp.
    // Nobody changes them while they are mapped: the folder and the file are closed to all other users, and this program
    // never writes into a file that has its name, but puts another in its place.
    unsafe { Component::deserialize_file(engine, path) }
}
