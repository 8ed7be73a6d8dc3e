//! Files of the kernel in `/proc` and `/sys`.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::limits;

/// Reads the first lines of a file that can be long.
pub fn first_lines(path: impl AsRef<Path>) -> Option<String> {
    let mut bytes = Vec::with_capacity(4096);
    File::open(path).ok()?.take(limits::CGROUP_FILE.as_u64()).read_to_end(&mut bytes).ok()?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n')? + 1;
    bytes.truncate(end);
    String::from_utf8(bytes).ok()
}

/// Reads a file below `folder`, unless it is larger than any that the kernel writes.
pub fn text(folder: impl AsFd, path: impl AsRef<Path>) -> Option<String> {
    let limit = limits::CGROUP_FILE.as_u64();
    let mode = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(folder, path.as_ref(), mode, Mode::empty()).ok()?);
    // Most files are read with one call, without asking for their size.
    let mut bytes = Vec::with_capacity(4096);
    file.take(limit).read_to_end(&mut bytes).ok()?;
    String::from_utf8(bytes).ok().filter(|text| (text.len() as u64) < limit)
}
