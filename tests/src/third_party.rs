//! Components of strangers: a built-in under another name, as somebody else would ship it.

use std::fs;

use crate::agent::component;

/// The collector gostats under another name of as many letters.
///
/// # Panics
///
/// When it does not say its name in one place.
pub fn named(name: &str) -> Vec<u8> {
    let mut bytes = fs::read(component("gostats")).expect("the built-in's component");
    let own = b"gostats";
    assert_eq!(name.len(), own.len(), "{name}");
    let places: Vec<_> = bytes.windows(own.len()).enumerate().filter(|(_, part)| part == own).collect();
    let &[(place, _)] = &places[..] else { panic!("{} places", places.len()) };
    bytes[place..place + own.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// The same component with a custom section of so many bytes more: another file that does the same.
pub fn padded(mut component: Vec<u8>, size: usize) -> Vec<u8> {
    let content = [vec![3], b"pad".to_vec(), vec![0x55; size]].concat();
    component.extend([vec![0], leb(content.len()), content].concat());
    component
}

/// A number as WebAssembly writes lengths.
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
