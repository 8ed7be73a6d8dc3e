//! The text form of recordings: any bytes, for people to read, edit and compare.
//!
//! Each line begins with its sender (`> ` the collector, `< ` the target) and ends with data. The line's own end is not
//! part of the data: `\n` writes a line feed.
//!
//! | text | data |
//! |---|---|
//! | `\n`, `\r`, `\t`, `\\` | line feed, carriage return, tab, backslash |
//! | `\x1b` | the byte with this hexadecimal number |
//! | `\{password}` | the value of the collector's secret option `password` |
//! | `\{password:url}` | the same, percent-encoded |
//!
//! So a recording contains no secret, and one that was made with one secret can be replayed with another.

use std::fmt::Write as _;

/// The secrets of one collector, with their placeholders. The longest come first, because one can be part of another.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Vec<(String, String)>);

impl Secrets {
    /// Takes the secrets by the names of their options. Empty values are not secret.
    pub fn new<'a>(options: impl Iterator<Item = (&'a str, &'a str)>) -> Secrets {
        let mut all = Vec::new();
        for (name, value) in options.filter(|(_, value)| !value.is_empty()) {
            let encoded = percent_encoded(value);
            if encoded != value {
                all.push((format!("{name}:url"), encoded));
            }
            all.push((name.to_owned(), value.to_owned()));
        }
        all.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        Secrets(all)
    }

    /// Returns true if `bytes` contain a secret.
    pub fn are_in(&self, bytes: &[u8]) -> bool {
        (0..bytes.len()).any(|start| self.at(&bytes[start..]).is_some())
    }

    /// Returns the secret that `bytes` begin with.
    fn at(&self, bytes: &[u8]) -> Option<(&str, &str)> {
        let secret = self.0.iter().find(|(_, value)| bytes.starts_with(value.as_bytes()));
        secret.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str()).or_else(|| {
            // A value that is its own percent-encoding.
            let name = name.strip_suffix(":url")?;
            self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
        })
    }
}

/// Percent-encodes everything except unreserved characters, as most libraries do.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Writes `bytes` on lines of `who`, with a new line after every line feed.
pub fn lines(who: char, bytes: &[u8], secrets: &Secrets) -> String {
    let mut text = String::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let _ = writeln!(text, "{who} {}", escape(line, secrets));
    }
    text
}

/// Writes `bytes` on a part of a line.
pub fn escape(bytes: &[u8], secrets: &Secrets) -> String {
    let mut text = String::with_capacity(bytes.len());
    let (mut plain, mut at) = (0, 0);
    while at < bytes.len() {
        match secrets.at(&bytes[at..]) {
            Some((name, value)) => {
                escape_plain(&bytes[plain..at], &mut text);
                let _ = write!(text, "\\{{{name}}}");
                at += value.len();
                plain = at;
            }
            None => at += 1,
        }
    }
    escape_plain(&bytes[plain..], &mut text);
    // Editors remove blanks at the ends of lines.
    if text.ends_with(' ') {
        text.truncate(text.len() - 1);
        text.push_str("\\x20");
    }
    text
}

fn escape_plain(bytes: &[u8], text: &mut String) {
    let number = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            let _ = write!(text, "\\x{byte:02x}");
        }
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\\' => text.push_str("\\\\"),
                '"' | '\'' => text.push(c),
                // Characters that a terminal interprets, or that are invisible.
                c if c.escape_debug().len() > 1 => number(text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => text.push(c),
            }
        }
        number(text, chunk.invalid());
    }
}

/// An escape that [`unescape`] cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EscapeError {
    /// It has another form. The text is its beginning, after the backslash.
    #[error("invalid escape '\\{0}': expected \\n, \\r, \\t, \\\\, \\xNN or \\{{OPTION}}")]
    Form(String),
    /// It names an option that is not a secret of the collector.
    #[error("'\\{{{0}}}' is not a secret option of the collector")]
    NotSecret(String),
}

/// Parses text of [`escape`].
///
/// # Errors
/// If an escape is wrong.
pub fn unescape(text: &str, secrets: &Secrets) -> Result<Vec<u8>, EscapeError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let wrong = || EscapeError::Form(first(escape));
        let kind = escape.chars().next().ok_or_else(wrong)?;
        rest = &escape[kind.len_utf8()..];
        match kind {
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            '\\' => bytes.push(b'\\'),
            'x' => {
                let digits = rest.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or_else(wrong)?;
                bytes.push(byte);
                rest = &rest[2..];
            }
            '{' => {
                let (name, after) = rest.split_once('}').ok_or_else(wrong)?;
                let value = secrets.value(name);
                let value = value.ok_or_else(|| EscapeError::NotSecret(name.to_owned()))?;
                bytes.extend_from_slice(value.as_bytes());
                rest = after;
            }
            _ => return Err(wrong()),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Returns the beginning of a wrong escape.
fn first(escape: &str) -> String {
    escape.chars().take(3).collect()
}

/// Returns true if `bytes` can be written as they are, so that an author can edit them.
pub fn is_plain(bytes: &[u8], secrets: &Secrets) -> bool {
    let is_plain =
        |c: char| c == '\n' || c == '\t' || c == '"' || c == '\'' || c == '\\' || c.escape_debug().len() == 1;
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(is_plain)) && !secrets.are_in(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::new([("password", "p w"), ("token", "p w+1"), ("none", "")].into_iter())
    }

    #[test]
    fn all_bytes_come_back() {
        let all: Vec<u8> = (0..=255).chain("Grüße \u{202e} \\{password} p w+1 p%20w ".bytes()).collect();
        for start in 0..all.len() {
            let text = escape(&all[start..], &secrets());
            assert!(!text.contains('\n') && !text.ends_with(' '), "{text}");
            assert_eq!(unescape(&text, &secrets()).unwrap(), all[start..], "{text}");
        }
    }

    #[test]
    fn a_secret_is_written_by_its_name_and_read_as_what_it_is_by_then() {
        let text = lines('>', b"AUTH p w\r\nGET /?a=p%20w&b=p w+1", &secrets());
        assert_eq!(text, "> AUTH \\{password}\\r\\n\n> GET /?a=\\{password:url}&b=\\{token}\n");
        let now = Secrets::new([("password", "xyz")].into_iter());
        assert_eq!(unescape("\\{password}, \\{password:url}", &now).unwrap(), b"xyz, xyz");
        assert_eq!(
            unescape("\\{token}", &now).unwrap_err().to_string(),
            "'\\{token}' is not a secret option of the collector"
        );
    }

    #[test]
    fn an_escape_that_is_none_is_quoted() {
        for text in ["\\", "\\q", "\\x", "\\x1", "\\xg1", "\\x+1", "\\{password", "\\é"] {
            let why = unescape(text, &secrets()).unwrap_err().to_string();
            assert!(why.starts_with(&format!("invalid escape '{}", first(text))), "{text}: {why}");
        }
    }

    #[test]
    fn only_text_without_secrets_is_plain() {
        assert!(is_plain("{\"a\": 'ü\\'}\n\t".as_bytes(), &secrets()));
        for bytes in [&b"a\r\n"[..], b"\x1b", b"\xff", b"a p w b", "\u{202e}".as_bytes()] {
            assert!(!is_plain(bytes, &secrets()), "{bytes:?}");
        }
    }
}
