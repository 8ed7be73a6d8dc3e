//! The prefix of all metric names of a run.

use std::fmt;
use std::str::FromStr;

use super::is_component;
use crate::limits;

/// A prefix: one or more legal components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Returns the prefix in title case for labels, as the Go plugins do. A word begins with the first letter at the
    /// start or after a `-`: `web.go` is `Web.go`, `my-api_v2` is `My-Api_v2`.
    pub fn title(&self) -> String {
        let mut in_word = false;
        let capital = |c: char| {
            let first = c.is_ascii_alphabetic() && !in_word;
            in_word = c != '-' && (in_word || first);
            if first { c.to_ascii_uppercase() } else { c }
        };
        self.0.chars().map(capital).collect()
    }
}

/// A text that is not a prefix of metric names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// It has `#` or `*`.
    #[error("wildcards are not allowed: the target's name is inserted automatically")]
    Wildcard,
    /// It has other characters, or too many.
    #[error("expected components of a-z, A-Z, 0-9, - and _, joined by dots, at most {} characters", limits::KEY_LENGTH)]
    Form,
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        if text.contains('#') || text.contains('*') {
            return Err(PrefixError::Wildcard);
        }
        if text.len() > limits::KEY_LENGTH || !text.split('.').all(is_component) {
            return Err(PrefixError::Form);
        }
        Ok(Prefix(text.to_owned()))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_the_title_case_of_the_go_plugins() {
        // The labels of the Go plugins for the same prefixes.
        let cases = [
            ("gostats", "Gostats"),
            ("web.go", "Web.go"),
            ("my-api_v2", "My-Api_v2"),
            ("web2.go", "Web2.go"),
            ("2go", "2Go"),
            ("_x", "_X"),
            ("-9z", "-9Z"),
            ("x_-y", "X_-Y"),
            ("go2.3x", "Go2.3x"),
            ("3.d", "3.D"),
            ("a.1.b", "A.1.b"),
            ("ABC.def", "ABC.def"),
            ("a--b", "A--B"),
            ("1a.b2c", "1A.b2c"),
            ("foo.Bar-baz_qux.9z", "Foo.Bar-Baz_qux.9z"),
            ("a_.b", "A_.b"),
        ];
        for (prefix, title) in cases {
            assert_eq!(prefix.parse::<Prefix>().unwrap().title(), title);
        }
    }

    #[test]
    fn a_prefix_is_made_of_legal_components() {
        for text in ["", ".", "a.", ".a", "a..b", "a b", "a/b", "ü", "a.#", "*", &"a".repeat(256)] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }
}
