//! Sizes as options take them.

use bytesize::ByteSize;

use crate::text::Expected;

/// Formats a size as it can be typed, such as `64MiB`.
pub fn format_size(size: ByteSize) -> String {
    format!("{:.0}", size.display().iec()).replace(' ', "")
}

/// Parses a size that memory can have.
pub fn parse_size(text: &str) -> Result<ByteSize, Expected> {
    let size: ByteSize = text.parse().map_err(|_| Expected("a size such as 64MiB"))?;
    if size < ByteSize::mib(1) || size > ByteSize::gib(4) {
        return Err(Expected("a size between 1MiB and 4GiB, the range of a WebAssembly memory"));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_limit_is_what_a_sandbox_can_have() {
        assert_eq!(parse_size("64MiB"), Ok(ByteSize::mib(64)));
        for text in ["", "10", "1KiB", "5GiB", "much"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
