//! Third-party components: a built-in collector under another name.

use std::fs;
use std::process::Command;

use crate::agent::component;

/// Returns the collector gostats under another name of the same length.
///
/// # Panics
///
/// If its name does not occur exactly once.
pub fn named(name: &str) -> Vec<u8> {
    let mut bytes = fs::read(component("gostats")).expect("the built-in's component");
    let own = b"gostats";
    assert_eq!(name.len(), own.len(), "{name}");
    let places: Vec<_> = bytes.windows(own.len()).enumerate().filter(|(_, part)| part == own).collect();
    let &[(place, _)] = &places[..] else { panic!("{} places", places.len()) };
    bytes[place..place + own.len()].copy_from_slice(name.as_bytes());
    bytes
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

/// Returns a valid collector that takes longer to compile than a run has time.
///
/// # Panics
///
/// If the valid collector was not built.
pub fn slow_to_compile() -> Vec<u8> {
    // Added to a valid collector, because it would otherwise be rejected before the compilation.
    let honest = fs::read(component("evil/honest")).expect("a file that can be read");
    [honest, section(1, &module_of_loops(400_000))].concat()
}

/// Returns a core module with one function of `loops` loops. Functions are compiled in parallel, but the time for one
/// function grows with the square of its length: 9 s for a hundred thousand loops on a fast core.
fn module_of_loops(loops: usize) -> Vec<u8> {
    const LOCALS: u8 = 40;
    let mut body = vec![1, LOCALS, 0x7e];
    for number in 0..loops {
        let local = |factor: usize| u8::try_from(number * factor % usize::from(LOCALS)).expect("a local");
        // (loop (br_if 0 (i64.lt_s (local.tee $c (i64.add (local.get $a) (local.get $b))) (i64.const 3))))
        body.extend([3, 0x40, 0x20, local(7), 0x20, local(13), 0x7c, 0x22, local(29), 0x42, 3, 0x53, 0x0d, 0, 0x0b]);
    }
    body.push(0x0b);
    let code = [leb(1), leb(body.len()), body].concat();
    let module = [b"\0asm\x01\0\0\0".to_vec(), section(1, &[1, 0x60, 0, 0]), section(3, &[1, 0]), section(10, &code)];
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
