//! The flags of a command line, as they were typed.

use std::ffi::{OsStr, OsString};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args};

use super::collector::CollectorOptions;
use super::{http, otlp};

/// A flag as it was typed, without those of the subcommand itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// The name without dashes.
    pub flag: String,
    /// The value of a flag that takes one.
    pub value: Option<OsString>,
    /// True if the value is the path of a file that the run reads.
    pub is_file: bool,
}

/// Lists the flags of `matches` in the order in which they were typed, without those of `Own`.
pub fn typed<Own: Args>(command: &clap::Command, matches: &ArgMatches, collector: &CollectorOptions) -> Vec<Typed> {
    let own = Own::augment_args(clap::Command::new(""));
    let is_own = |arg: &Arg| own.get_arguments().any(|own| own.get_id() == arg.get_id());
    let is_typed = |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let mut typed: Vec<(usize, Typed)> = Vec::new();
    for arg in command.get_arguments().filter(is_typed).filter(|arg| !is_own(arg)) {
        let (id, flag) = (arg.get_id().as_str(), arg.get_long().unwrap_or_default());
        let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
        let is_file = collector.is_secret_file(flag) || http::is_file(flag) || otlp::is_file(flag);
        let of = |value| Typed { flag: flag.to_owned(), value, is_file };
        let places = matches.indices_of(id).into_iter().flatten();
        if takes_value {
            // Values that were typed with a delimiter between them stand in one occurrence.
            let occurrences = matches.get_raw_occurrences(id).into_iter().flatten();
            let mut places = places;
            for values in occurrences {
                let values: Vec<&OsStr> = values.collect();
                let place = values.iter().filter_map(|_| places.next()).next_back().unwrap_or_default();
                // An option with an optional value has no place if the value is missing, and then comes first.
                let value = (!values.is_empty()).then(|| values.join(OsStr::new(",")));
                typed.push((place, of(value)));
            }
        } else {
            typed.extend(places.map(|place| (place, of(None))));
        }
    }
    typed.sort_by_key(|(place, _)| *place);
    typed.into_iter().map(|(_, typed)| typed).collect()
}
