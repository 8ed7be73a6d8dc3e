//! A Go plugin: its flags, and the words of `run` that have their meaning.

use super::go_flags::{Flag, Values};
use crate::definition::{Prefix, PrefixError};
use crate::error::Error;
use crate::pipeline::output::Value;
use crate::pipeline::protocol;
use crate::text::foreign;

/// A Go plugin.
pub struct Plugin {
    /// The name of its executable.
    pub name: &'static str,
    /// Its flags.
    pub flags: &'static [Flag],
    /// Turns its flags into the words after `run`.
    pub words: fn(&Values) -> Result<Words, Error>,
    /// Formats a value.
    pub number: fn(&Value) -> String,
}

/// The words after `run`.
pub struct Words {
    /// The words, without the password.
    pub all: Vec<String>,
    /// The path of a secret, which only this process can read.
    pub password_file: Option<String>,
    /// The reason for which there are definitions, but no values.
    pub no_values: Option<&'static str>,
}

impl Words {
    /// Starts with these words, the first of which is the collector.
    pub fn new(words: &[&str]) -> Words {
        Words { all: words.iter().map(|word| (*word).to_owned()).collect(), password_file: None, no_values: None }
    }

    /// Adds words.
    pub fn push(&mut self, words: &[&str]) {
        self.all.extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// Adds the prefix of the keys, to which the plugin adds no name of a target. With `#` at its end it is only of use
    /// for definitions, which are those of all targets.
    pub fn push_prefix(&mut self, prefix: &str) -> Result<(), Error> {
        let (own, is_pattern) = prefix.strip_suffix(".#").map_or((prefix, false), |own| (own, true));
        if let Err(fault) = own.parse::<Prefix>() {
            let fault = match fault {
                PrefixError::Wildcard => "a wildcard is only supported as .# at the end".to_owned(),
                PrefixError::Form => fault.to_string(),
            };
            return Err(Error::failed(format!("-metric-key-prefix={}: {fault}", foreign(prefix))));
        }
        self.push(&["--metric-key-prefix", own]);
        if is_pattern {
            self.no_values = Some("-metric-key-prefix with a wildcard has definitions, but no values");
        } else {
            self.push(&["--instance-name", "none"]);
        }
        Ok(())
    }
}

/// Formats a value with six decimals, or in full if they are all 0.
pub fn decimals(Value { value, .. }: &Value) -> String {
    let text = format!("{:.6}", value + 0.0);
    let is_lost = *value != 0.0 && text.bytes().all(|b| b"-.0".contains(&b));
    if is_lost { (value + 0.0).to_string() } else { text }
}

/// Formats a whole value without decimals, and another one as [`decimals`].
pub fn whole_or_decimals(value: &Value) -> String {
    if value.value.fract() == 0.0 { protocol::exact(value) } else { decimals(value) }
}
