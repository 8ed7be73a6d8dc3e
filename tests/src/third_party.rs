//! Third-party components: collectors under another name.

use std::fs;
use std::process::Command;

use crate::agent::component;

/// Returns the collector gostats under another name of the same length.
///
/// # Panics
///
/// If its name does not occur exactly once.
pub fn named(name: &str) -> Vec<u8> {
    let (bytes, places) = renamed("gostats", name);
    assert_eq!(places, 1, "places of the name");
    bytes
}

/// Returns a collector whose name is replaced everywhere by one of the same length, and the number of places.
///
/// # Panics
///
/// If the names have other lengths, or the collector was not built.
pub fn renamed(own: &str, name: &str) -> (Vec<u8>, usize) {
    assert_eq!(name.len(), own.len(), "{name}");
    let mut bytes = fs::read(component(own)).expect("a component");
    let parts = bytes.windows(own.len()).enumerate().filter(|(_, part)| *part == own.as_bytes());
    let places: Vec<usize> = parts.map(|(place, _)| place).collect();
    for place in &places {
        bytes[*place..][..own.len()].copy_from_slice(name.as_bytes());
    }
    (bytes, places.len())
}

/// Adds a custom section of `size` bytes: another file with the same behaviour.
pub fn padded(mut component: Vec<u8>, size: usize) -> Vec<u8> {
    let content = [vec![3], b"pad".to_vec(), vec![0x55; size]].concat();
    component.extend([vec![0], leb(content.len()), content].concat());
    component
}

/// Encodes a number as LEB128, as WebAssembly encodes lengths.
pub fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Returns a valid collector that takes longer to compile than a run has time, and much less memory than it may.
///
/// # Panics
///
/// If the valid collector was not built.
pub fn slow_to_compile() -> Vec<u8> {
    // Added to a valid collector, because it would otherwise be rejected before the compilation.
    let honest = fs::read(component("evil/honest")).expect("a file that can be read");
    [honest, section(1, &module_of_loops(4000, 1000))].concat()
}

/// Returns a core module of functions with this many loops each. The compiler holds the memory for as many functions as
/// it has threads, 100 MiB for two; the functions decide how long it takes. A thousand loops are 3 kB that take a CPU
/// 50 ms: all functions take two CPUs more than a minute.
fn module_of_loops(functions: usize, loops: usize) -> Vec<u8> {
    const LOCALS: u8 = 40;
    // A loop is expensive although it is empty: there, the host can interrupt it.
    let body = [&[1, LOCALS, 0x7e][..], &[3, 0x40, 0x0b].repeat(loops), &[0x0b]].concat();
    let code = [leb(functions), [leb(body.len()), body].concat().repeat(functions)].concat();
    let types = [leb(functions), vec![0; functions]].concat();
    let module = [b"\0asm\x01\0\0\0".to_vec(), section(1, &[1, 0x60, 0, 0]), section(3, &types), section(10, &code)];
    module.concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], leb(content.len()), content.to_vec()].concat()
}

/// Returns the SHA-256 of bytes in hexadecimal.
///
/// # Panics
///
/// If there is no sha256sum.
pub fn sha256(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), bytes).expect("a temporary file");
    let sum = Command::new("sha256sum").arg(file.path()).output().expect("sha256sum").stdout;
    String::from_utf8(sum).expect("text").split(' ').next().expect("a sum").to_owned()
}
