//! A collector's own options, as flags beside the host's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches};

use crate::file;
use crate::limits;
use crate::sandbox::{Description, OptionKind, OptionSpec, OptionValue};
use crate::text::foreign;

/// The end of the name of a flag that takes the path of a file with a secret.
const FILE: &str = "-file";

/// The options that a collector gets.
#[derive(Debug, Clone, Default)]
pub struct CollectorOptions {
    values: Vec<OptionValue>,
    /// Names of the options whose values are secret.
    secrets: BTreeSet<String>,
    /// The files that secrets are read from.
    secret_files: Vec<PathBuf>,
}

impl CollectorOptions {
    /// Reads the values that were typed, and fills in the defaults. Secrets are read from their files if
    /// `reads_secrets`.
    ///
    /// # Errors
    /// If the file of a secret cannot be read.
    pub(super) fn read(
        description: &Description,
        matches: &ArgMatches,
        reads_secrets: bool,
    ) -> Result<CollectorOptions, file::Error> {
        let mut options = CollectorOptions::default();
        for spec in &description.options {
            let typed = || matches.get_many::<String>(&id(spec)).into_iter().flatten();
            let value = |value: &str| OptionValue { name: spec.name.clone(), value: value.to_owned() };
            match spec.kind {
                OptionKind::Flag => options.values.extend(matches.get_flag(&id(spec)).then(|| value("true"))),
                OptionKind::Text | OptionKind::Choice(_) | OptionKind::Many => {
                    options.values.extend(typed().map(|text| value(text)));
                }
                OptionKind::Secret => {
                    options.secrets.insert(spec.name.clone());
                    for path in typed().map(PathBuf::from) {
                        if reads_secrets {
                            options.values.push(value(&read_secret(spec, &path)?));
                        }
                        options.secret_files.push(path);
                    }
                }
            }
        }
        Ok(options)
    }

    /// The values in the order of the collector's description, with their defaults filled in.
    pub fn values(&self) -> &[OptionValue] {
        &self.values
    }

    /// The files that secrets are read from.
    pub fn secret_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.secret_files.iter()
    }

    /// The secrets that were given, by the names of their options.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_secret = |option: &&OptionValue| self.secrets.contains(&option.name);
        self.values.iter().filter(is_secret).map(|option| (option.name.as_str(), option.value.as_str()))
    }

    /// All values that are not secret.
    pub fn public(&self) -> impl Iterator<Item = &OptionValue> {
        self.values.iter().filter(|option| !self.secrets.contains(&option.name))
    }

    /// Gives the secret option `name` a placeholder, unless it has a value or there is no such option.
    pub fn fill_secret(&mut self, name: &str, placeholder: String) {
        let is_given = self.values.iter().any(|option| option.name == name);
        if self.secrets.contains(name) && !is_given {
            self.values.push(OptionValue { name: name.to_owned(), value: placeholder });
        }
    }

    /// Returns true if `--FLAG` takes the path of a file with a secret.
    pub(super) fn is_secret_file(&self, flag: &str) -> bool {
        flag.strip_suffix(FILE).is_some_and(|name| self.secrets.contains(name))
    }
}

/// Returns the clap id of a collector's option. Ids of host flags are field names, which never begin with dashes.
pub(super) fn id(spec: &OptionSpec) -> String {
    format!("--{}", spec.name)
}

/// Returns the flag that is typed for an option: the path of a file for a secret, else its name.
pub fn flag_name(spec: &OptionSpec) -> String {
    match spec.kind {
        OptionKind::Secret => format!("{}{FILE}", spec.name),
        _ => spec.name.clone(),
    }
}

/// Returns the names that an option claims on the command line. A later version may turn a secret into a text or back.
pub(super) fn claimed_names(spec: &OptionSpec) -> [String; 2] {
    [spec.name.clone(), format!("{}{FILE}", spec.name)]
}

/// Builds the flag of an option.
pub(super) fn flag(spec: &OptionSpec, collector: &str) -> Arg {
    let arg = Arg::new(id(spec))
        .long(flag_name(spec))
        .help(foreign(&spec.help).to_string())
        .help_heading(format!("Options of {collector}"))
        .value_name(spec.name.to_uppercase().replace('-', "_"));
    let arg = match &spec.kind {
        OptionKind::Text => arg.allow_hyphen_values(true),
        OptionKind::Choice(words) => arg.value_parser(PossibleValuesParser::new(words.clone())),
        OptionKind::Many => arg.allow_hyphen_values(true).action(ArgAction::Append),
        OptionKind::Secret => return arg.value_name("PATH"),
        OptionKind::Flag => return arg.action(ArgAction::SetTrue),
    };
    match &spec.default {
        Some(default) => arg.default_value(default.clone()),
        None => arg,
    }
}

/// Reads a secret. One line feed at the end of the file is not part of it.
fn read_secret(spec: &OptionSpec, path: &Path) -> Result<String, file::Error> {
    let mut text = file::read_named_text(&format!("--{}", flag_name(spec)), path, limits::SECRET_FILE)?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}
