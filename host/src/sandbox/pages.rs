//! Makes pages of native code executable, also those of a built-in collector. They are part of the executable, which
//! wasmtime did not map.
#![allow(unsafe_code)]

use rustix::mm::{MprotectFlags, mprotect};
use wasmtime::CustomCodeMemory;

/// The pages of all code.
pub struct Pages;

impl CustomCodeMemory for Pages {
    fn required_alignment(&self) -> usize {
        rustix::param::page_size()
    }

    fn publish_executable(&self, ptr: *const u8, len: usize) -> wasmtime::Result<()> {
        // SAFETY: whole pages of code, which wasmtime passes. Nothing writes to them: those of a built-in are
        // constants, all others belong to wasmtime. Constants in the last page of a built-in stay readable.
        unsafe { mprotect(ptr.cast_mut().cast(), len, MprotectFlags::READ | MprotectFlags::EXEC)? };
        Ok(())
    }

    fn unpublish_executable(&self, ptr: *const u8, len: usize) -> wasmtime::Result<()> {
        // SAFETY: as above. wasmtime runs none of the code any more, and does not write to it either.
        unsafe { mprotect(ptr.cast_mut().cast(), len, MprotectFlags::READ)? };
        Ok(())
    }
}
