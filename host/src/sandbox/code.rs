//! Loads native code. With [`pages`](super::pages), the unsafe code of this crate.
//!
//! wasmtime runs this code with the host's own rights, and checks little more than the version that compiled it. So
//! code has two sources only:
//!
//! - a [`Builtin`], whose bytes are part of this executable: whoever can change them can change the program too. It is
//!   run in place, because a copy would be a quarter of a run's page faults;
//! - an [`OwnCode`], a file that this program wrote into a folder that only its user can read and write, and that is
//!   unchanged by its stamp, or a file in memory that this program's own process has just compiled. Only that user can
//!   change it, who can change the program too.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::Stat;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::runtime::Runtime;
use crate::file::FileError;
use crate::private_dir::{Stamp, check_owner, stamp};

/// A collector that is part of the program. Only the list that xtask writes for `main.rs` makes one.
#[derive(Debug)]
pub struct Builtin {
    /// The name on the command line.
    pub name: &'static str,
    /// The SHA-256 of the component it was compiled from, in hexadecimal.
    pub digest: &'static str,
    /// The component's size in bytes.
    pub size: u64,
    /// The component, compiled by xtask with [`runtime`](super::runtime::engine)'s settings: the bytes of an
    /// [`Aligned`].
    pub code: &'static [u8],
    /// True once it was loaded. wasmtime knows code by its address, so further engines get a copy.
    pub is_loaded: AtomicBool,
}

/// Compiled code in pages of its own, so that they can be made executable. Pages have up to 64 KiB on arm64.
#[derive(Debug)]
#[cfg_attr(target_arch = "x86_64", repr(C, align(4096)))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C, align(65536)))]
pub struct Aligned<const N: usize>(pub [u8; N]);

/// A file of compiled code that this program wrote.
#[derive(Debug)]
pub struct OwnCode(File);

impl OwnCode {
    /// Accepts a file of a [private folder](crate::private_dir::Folder) as this program's own code; `None` if it has
    /// changed since `written`.
    ///
    /// # Errors
    /// If it belongs to another user, or is open to others.
    pub fn unchanged(file: File, stat: &Stat, written: &Stamp) -> Result<Option<OwnCode>, FileError> {
        check_owner(stat)?;
        Ok((stamp(stat) == *written).then_some(OwnCode(file)))
    }

    /// Accepts the output of this program's own [compilation](crate::store::compile), a file without a name.
    pub fn compiled(file: File) -> OwnCode {
        OwnCode(file)
    }
}

/// The code of a collector.
#[derive(Debug)]
pub enum Code {
    /// Part of the program.
    Builtin(&'static Builtin),
    /// A file.
    Own(OwnCode),
}

impl Code {
    /// Loads the code on the pooled engine, or on the engine without a pool if the component does not fit into a slot.
    pub(super) fn load(&self, runtime: &Runtime) -> wasmtime::Result<Component> {
        // If both fail, the component itself is at fault, and the first error can be about the pool.
        self.load_on(runtime.engine()).or_else(|_| self.load_on(runtime.spare()?))
    }

    /// Loads the code on `engine`. wasmtime checks the version and the settings that it was compiled with.
    pub(super) fn load_on(&self, engine: &Engine) -> wasmtime::Result<Component> {
        match self {
            Code::Builtin(builtin) => {
                let is_first = !builtin.is_loaded.swap(true, Ordering::Relaxed);
                // SAFETY: the bytes were written by `Engine::precompile_component` and embedded when this program was
                // built; they are `&'static` and immutable, and in pages of their own.
                unsafe {
                    if is_first {
                        Component::deserialize_raw(engine, NonNull::from(builtin.code))
                    } else {
                        Component::deserialize(engine, builtin.code)
                    }
                }
            }
            // It is mapped, so that only the used pages are read.
            Code::Own(OwnCode(file)) => {
                // The file that was checked, even if its name belongs to another file by now.
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                // SAFETY: the bytes are those of `Component::serialize`: the file's stamp is the one that it had when
                // this program had written and synced it, and every change of its bytes, also through a descriptor
                // opened before, changes the stamp. Nobody changes them while they are mapped: folder and file are
                // closed to all other users, and this program never writes into a file that has its name, but replaces
                // it.
                unsafe { Component::deserialize_file(engine, path) }
            }
        }
    }
}
