//! Third-party components: a built-in collector under another name.

use std::fs;

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
