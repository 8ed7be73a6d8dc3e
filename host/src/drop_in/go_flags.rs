//! Flags as Go's package `flag` reads them: one dash or two, the value in the same word or in the next, and switches
//! without a value. The first word that is not a flag ends them, and so does `--`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;

use crate::text::{Foreign, foreign};

/// A flag of a plugin.
pub struct Flag {
    /// The name without dashes.
    pub name: &'static str,
    /// The kind of its value.
    pub kind: Kind,
    /// The value if the flag is not given.
    pub default: &'static str,
    /// The help text.
    pub help: &'static str,
}

/// The kind of a flag's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// An integer.
    Integer,
    /// True or false. True if the flag has no value.
    Switch,
}

/// Words that are not flags of the plugin, and the end of its parsing. The text follows the plugin's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// `-h` or `-help`.
    #[error("help")]
    Help,
    /// The plugin has no such flag.
    #[error("unknown flag -{0}")]
    Unknown(Foreign),
    /// A word begins with dashes, but is not a flag.
    #[error("'{0}' is not a flag: expected -NAME or -NAME=VALUE")]
    Syntax(Foreign),
    /// A word is not UTF-8.
    #[error("'{0}' is not UTF-8")]
    NotText(Foreign),
    /// The last word is a flag that needs a value.
    #[error("-{0} needs a value")]
    NoValue(&'static str),
    /// A value is of another kind.
    #[error("-{name}={value}: expected {expected}")]
    Value {
        /// The flag.
        name: &'static str,
        /// The value.
        value: Foreign,
        /// The kind.
        expected: &'static str,
    },
}

/// The values of all flags of a plugin.
#[derive(Debug)]
pub struct Values(BTreeMap<&'static str, String>);

impl Values {
    /// Reads the flags of a plugin. The last of several values counts.
    ///
    /// # Errors
    /// If a word is not one of `flags`, or for a request for help.
    pub fn parse(flags: &'static [Flag], words: &[OsString]) -> Result<Values, Fault> {
        let mut values: BTreeMap<_, _> = flags.iter().map(|flag| (flag.name, flag.default.to_owned())).collect();
        let text = |word: &'_ OsString| {
            word.to_str().map(str::to_owned).ok_or_else(|| Fault::NotText(foreign(&word.to_string_lossy())))
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let word = text(word)?;
            let Some(rest) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else { break };
            let rest = rest.strip_prefix('-').unwrap_or(rest);
            if rest.is_empty() {
                break;
            }
            if rest.starts_with(['-', '=']) {
                return Err(Fault::Syntax(foreign(&word)));
            }
            let (name, value) = match rest.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (rest, None),
            };
            let Some(flag) = flags.iter().find(|flag| flag.name == name) else {
                let is_help = matches!(name, "h" | "help");
                return Err(if is_help { Fault::Help } else { Fault::Unknown(foreign(name)) });
            };
            let value = match (value, flag.kind) {
                (Some(value), _) => value,
                (None, Kind::Switch) => true.to_string(),
                (None, _) => text(words.next().ok_or(Fault::NoValue(flag.name))?)?,
            };
            values.insert(flag.name, flag.check(value)?);
        }
        Ok(Values(values))
    }

    /// Returns the value of a text flag.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Returns the value of a text flag, or `None` if it is empty.
    pub fn find(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|value| !value.is_empty())
    }

    /// Returns the value of an integer flag.
    pub fn integer(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or_default()
    }

    /// Returns the value of a switch.
    pub fn is_on(&self, name: &str) -> bool {
        self.text(name) == "true"
    }
}

impl Flag {
    /// Returns a value in its usual form.
    fn check(&self, value: String) -> Result<String, Fault> {
        let (usual, expected) = match self.kind {
            Kind::Text => return Ok(value),
            Kind::Integer => (value.parse::<i64>().ok().map(|number| number.to_string()), "an integer"),
            Kind::Switch => match value.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => (Some(true.to_string()), ""),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => (Some(false.to_string()), ""),
                _ => (None, "true or false"),
            },
        };
        usual.ok_or_else(|| Fault::Value { name: self.name, value: foreign(&value), expected })
    }
}

/// Formats the help of a plugin, as Go's package does.
pub fn help(plugin: &str, flags: &[Flag]) -> String {
    let mut text = format!("Usage of {plugin}:\n");
    for Flag { name, kind, default, help } in flags {
        let (kind, default) = match (kind, *default) {
            (Kind::Switch, _) => ("", String::new()),
            (Kind::Integer, default) => (" int", format!(" (default {default})")),
            (Kind::Text, "") => (" string", String::new()),
            (Kind::Text, default) => (" string", format!(" (default \"{default}\")")),
        };
        let _ = writeln!(text, "  -{name}{kind}\n    \t{help}{default}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    const FLAGS: &[Flag] = &[
        Flag { name: "port", kind: Kind::Text, default: "8080", help: "Port" },
        Flag { name: "timeout", kind: Kind::Integer, default: "5", help: "Timeout" },
        Flag { name: "tls", kind: Kind::Switch, default: "false", help: "Enables TLS" },
    ];

    fn parse(words: &[&str]) -> Result<(String, i64, bool), Fault> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let values = Values::parse(FLAGS, &words)?;
        Ok((values.text("port").to_owned(), values.integer("timeout"), values.is_on("tls")))
    }

    #[test]
    fn values_stand_in_the_same_word_or_in_the_next_after_one_dash_or_two() {
        for (words, port, timeout, tls) in [
            (&[][..], "8080", 5, false),
            (&["-port", "1"], "1", 5, false),
            (&["--port", "1"], "1", 5, false),
            (&["-port=1"], "1", 5, false),
            (&["--port=1"], "1", 5, false),
            (&["-port="], "", 5, false),
            (&["-port", ""], "", 5, false),
            (&["-port=a=b"], "a=b", 5, false),
            (&["-port", "-tls"], "-tls", 5, false),
            (&["-port", "--", "-tls"], "--", 5, true),
            (&["-port=1", "-port=2"], "2", 5, false),
            (&["-tls", "-timeout", "-3"], "8080", -3, true),
            (&["-tls=false", "-timeout=+3"], "8080", 3, false),
            (&["-tls=T"], "8080", 5, true),
            (&["-tls", "false", "-port=1"], "8080", 5, true),
            (&["--", "-tls"], "8080", 5, false),
            (&["-", "-tls"], "8080", 5, false),
            (&["word", "-unknown"], "8080", 5, false),
        ] {
            assert_eq!(parse(words), Ok((port.to_owned(), timeout, tls)), "{words:?}");
        }
    }

    #[test]
    fn other_words_are_faults() {
        let value = |name, value, expected| Fault::Value { name, value: foreign(value), expected };
        for (words, fault) in [
            (&["-x"][..], Fault::Unknown(foreign("x"))),
            (&["--x=1"], Fault::Unknown(foreign("x"))),
            (&["-portx", "1"], Fault::Unknown(foreign("portx"))),
            (&["---port"], Fault::Syntax(foreign("---port"))),
            (&["-=1"], Fault::Syntax(foreign("-=1"))),
            (&["--=1"], Fault::Syntax(foreign("--=1"))),
            (&["-port"], Fault::NoValue("port")),
            (&["-timeout", "5s"], value("timeout", "5s", "an integer")),
            (&["-timeout="], value("timeout", "", "an integer")),
            (&["-tls=yes"], value("tls", "yes", "true or false")),
            (&["-tls="], value("tls", "", "true or false")),
            (&["-port", "1", "-h"], Fault::Help),
            (&["--help"], Fault::Help),
        ] {
            assert_eq!(parse(words), Err(fault), "{words:?}");
        }
        let bytes = OsString::from_vec(b"-port=\xff".to_vec());
        assert_eq!(Values::parse(FLAGS, &[bytes]).unwrap_err().to_string(), "'-port=\u{fffd}' is not UTF-8");
    }
}
