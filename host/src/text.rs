//! Text of third parties: guests, targets, engines and registries. It is escaped and cut before a person or a log reads
//! it.

use std::borrow::Borrow;
use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::limits;

/// Text of a third party. `Display` escapes it; both ways to make one bound its length.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Foreign(String);

impl Foreign {
    /// Keeps the beginning of a text.
    pub fn new(text: &str) -> Foreign {
        let text = text.trim();
        match text.char_indices().nth(limits::FOREIGN_TEXT) {
            Some((end, _)) => Foreign(format!("{}…", &text[..end])),
            None => Foreign(text.to_owned()),
        }
    }

    /// Keeps the end of a text of several lines, joined by `|`: an error's cause stands in the last line.
    pub fn tail(text: &str) -> Foreign {
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let text = lines.join(" | ");
        match text.char_indices().rev().nth(limits::FOREIGN_TEXT - 1) {
            Some((start, _)) if start > 0 => Foreign(format!("…{}", &text[start..])),
            _ => Foreign(text),
        }
    }

    /// Returns true if there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl From<&str> for Foreign {
    fn from(text: &str) -> Foreign {
        Foreign::new(text)
    }
}

impl From<String> for Foreign {
    fn from(text: String) -> Foreign {
        Foreign::new(&text)
    }
}

/// A value of another form than expected. The text completes "expected".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Expected(pub &'static str);

/// Keeps the beginning of a text, as [`Foreign::new`] does.
pub fn foreign(text: &str) -> Foreign {
    Foreign::new(text)
}

/// Returns the last error in a chain of causes: the system's or the protocol's own words.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// Replaces characters that a terminal or a log would interpret: control, formatting and other invisible ones.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => escaped.push(c),
            _ => {
                let _ = write!(escaped, "{}", c.escape_debug());
            }
        }
    }
    escaped
}

/// Formats a time in whole milliseconds.
pub fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// Formats a number of things, such as `1 container` or `3 containers`.
pub fn plural(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Joins names for a message, up to [`limits::LISTED`] of them.
pub fn listed(names: &[impl Borrow<str>]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    joined(names, ", ")
}

/// Joins parts of a message: up to [`limits::LISTED`] of them, and fewer if they are long.
pub fn joined(parts: &[impl Borrow<str>], separator: &str) -> String {
    let mut shown = String::new();
    for (count, part) in parts.iter().enumerate() {
        let part: &str = part.borrow();
        if count == limits::LISTED || count > 0 && shown.len() + part.len() > limits::LISTED_LENGTH {
            return format!("{shown} and {} more", parts.len() - count);
        }
        shown += if count > 0 { separator } else { "" };
        shown += part;
    }
    shown
}

/// Formats ascending numbers as a list with ranges, such as `21, 30000-30999`, up to [`limits::LISTED`] of them.
pub fn ranges(numbers: &[u16]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for range in numbers.chunk_by(|one, next| one.checked_add(1) == Some(*next)) {
        match *range {
            [first, _, .., last] => parts.push(format!("{first}-{last}")),
            _ => parts.extend(range.iter().map(u16::to_string)),
        }
    }
    listed(&parts)
}

/// Returns true if `name` is made of `a-z`, `0-9` and `-`, as names of collectors and options are: they become file
/// names and flags.
pub fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Returns true if `name` is made of the characters that Mackerel allows in a component of a metric name:
/// `a-zA-Z0-9_-`.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers_in_a_row_are_a_range_and_many_ranges_are_cut() {
        for (numbers, text) in [
            (&[][..], "none"),
            (&[8080], "8080"),
            (&[8080, 8081], "8080, 8081"),
            (&[21, 30_000, 30_001, 30_002, 65_534, 65_535], "21, 30000-30002, 65534, 65535"),
        ] {
            assert_eq!(ranges(numbers), text);
        }
        assert_eq!(ranges(&(1..=u16::MAX).collect::<Vec<_>>()), "1-65535");
        let odd: Vec<u16> = (1..=u16::MAX).step_by(2).collect();
        assert!(ranges(&odd).ends_with(", 37, 39 and 32748 more"), "{}", ranges(&odd));
    }

    #[test]
    fn long_parts_are_cut_earlier() {
        let parts = ["a".repeat(900), "b".repeat(99), "c".repeat(99), "d".to_owned()];
        assert_eq!(joined(&parts, ", "), format!("{}, {} and 2 more", parts[0], parts[1]));
        assert_eq!(joined(&["e".repeat(2000)], ", "), "e".repeat(2000));
    }

    #[test]
    fn foreign_text_cannot_control_a_terminal_or_begin_a_line() {
        let shown = |text: &str| Foreign::new(text).to_string();
        assert_eq!(shown("a\u{1b}[31mred\r\nb\u{202e}c\u{0}"), r"a\u{1b}[31mred\r\nb\u{202e}c\0");
        assert_eq!(shown("日本語 'so' \"ist\" es\\"), "日本語 'so' \"ist\" es\\");
        assert_eq!(shown(&"x".repeat(1000)), format!("{}…", "x".repeat(limits::FOREIGN_TEXT)));
        assert_eq!(Foreign::tail("\n one\u{1b}\n\ntwo \n").to_string(), r"one\u{1b} | two");
        assert_eq!(Foreign::tail(&"x\n".repeat(1000)).to_string().chars().count(), 1 + limits::FOREIGN_TEXT);
    }
}
