//! Errors of a command line about a collector.

use super::http::HttpError;
use crate::definition::PrefixError;
use crate::file;
use crate::pipeline::task::FilterError;
use crate::text::Foreign;

/// A command line that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A usage error that clap words, or a request for help.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// There is no such option. One line, because mackerel-agent logs it every minute.
    #[error("unknown option {option}{}; {command} --help lists all options", did_you_mean(.similar.as_deref()))]
    UnknownOption {
        /// The option, as typed.
        option: Foreign,
        /// The option with the most similar name.
        similar: Option<String>,
        /// The command and its collector.
        command: Foreign,
    },
    /// The collector declares an option with the name of one of the host's.
    #[error(
        "collector {collector} declares --{option}, which is an option of the host: rename it in the collector, or use a \
         version of mackerel-plugin-wasm without that option"
    )]
    ReservedOption {
        /// The collector's name on the command line.
        collector: Foreign,
        /// The option.
        option: Foreign,
    },
    /// An option that would do nothing.
    #[error("--{flag} cannot be used with {with}: {reason}")]
    Unused {
        /// The flag, with its value if only that is wrong.
        flag: String,
        /// The collector or the subcommand.
        with: Foreign,
        /// Why it would do nothing.
        reason: &'static str,
    },
    /// A fixed target that is to be named by its container.
    #[error(
        "--target cannot be used with this --instance-name: a fixed target has no container; use --instance-name port"
    )]
    FixedTargetName,
    /// Targets that would all have the same metric names.
    #[error("--instance-name none needs exactly one --target: metrics of several targets would have the same names")]
    SameNames,
    /// The file of a secret cannot be read.
    #[error(transparent)]
    Secret(#[from] file::Error),
    /// The options about HTTP requests cannot be used.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A filter that cannot be applied to the containers of a task.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The collector's name cannot be a prefix. `describe` is checked before, so this is a fault of the program.
    #[error("invalid prefix: {0}")]
    Prefix(#[source] PrefixError),
}

impl From<Error> for crate::error::Error {
    fn from(error: Error) -> crate::error::Error {
        match error {
            Error::Clap(error) => error.into(),
            Error::ReservedOption { .. } => crate::error::Error::failed(error),
            _ => crate::error::Error::usage(error),
        }
    }
}

fn did_you_mean(similar: Option<&str>) -> String {
    similar.map(|option| format!(" (did you mean {option}?)")).unwrap_or_default()
}
