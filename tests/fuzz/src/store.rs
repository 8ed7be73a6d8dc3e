//! Files in the store, and components of third parties.

use mackerel_plugin_wasm::internals::{Pin, check_component};

use crate::rules::assert_one_line;

/// A pin: it belongs to its collector and refers to files in the store, or is rejected.
pub fn pin(bytes: &[u8]) {
    let pin = match Pin::parse("strange", bytes) {
        Ok(pin) => pin,
        Err(why) => return assert_one_line(&why.to_string()),
    };
    assert_eq!(pin.name, "strange");
    let name = pin.component_name();
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    assert!(name.len() > 64 && name.bytes().all(is_plain) && !name.starts_with('.'), "{name:?}");
    assert_eq!(Pin::parse("strange", &pin.bytes()), Ok(pin));
}

/// A component file: only components reach the compiler, and errors are one line.
pub fn component(bytes: &[u8]) {
    match check_component(bytes) {
        Ok(()) => assert!(bytes.starts_with(b"\0asm\x0d\0\x01\0"), "no component"),
        Err(why) => assert_one_line(&why.to_string()),
    }
}
