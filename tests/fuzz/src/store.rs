//! What is installed, and what is noted of it: files that strangers made, or something else wrote.

use mackerel_plugin_wasm::internals::{Pin, check_component};

use crate::rules::assert_one_line;

/// The note of an installed collector: it is of that collector and leads to files in its own folder, or it is refused.
pub fn pin(bytes: &[u8]) {
    let pin = match Pin::parse("strange", bytes) {
        Ok(pin) => pin,
        Err(why) => return assert_one_line(&why.to_string()),
    };
    assert_eq!(pin.name, "strange");
    for name in [pin.component_name(), pin.code_name("0123456789abcdef")] {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
        assert!(name.len() > 64 && name.bytes().all(is_plain) && !name.starts_with('.'), "{name:?}");
    }
    assert_eq!(Pin::parse("strange", &pin.bytes()), Ok(pin));
}

/// A file that is to be a collector: only a component goes on to the compiler, and all else is told in one line.
pub fn component(bytes: &[u8]) {
    match check_component(bytes) {
        Ok(()) => assert!(bytes.starts_with(b"\0asm\x0d\0\x01\0"), "no component"),
        Err(why) => assert_one_line(&why.to_string()),
    }
}
