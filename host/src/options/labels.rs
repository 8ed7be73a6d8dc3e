//! `run labels`: the options about collectors that labels of containers choose.

// The doc comments of flags are their help texts, not Markdown.
#![allow(clippy::doc_markdown)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;

use super::collector::CollectorOptions;
use super::typed::Typed;
pub use crate::definition::RESERVED_NAME as NAME;
use crate::pipeline::label::{Endpoint, Fault, LabelPrefix};
use crate::pipeline::labelled::EndpointOptions;
use crate::sandbox::{Description, OptionKind, OptionValue, Scope, Uses};
use crate::text::{Expected, foreign, listed};

/// The capabilities of all collectors together: which options do nothing is only known for each of them.
pub const USES: Uses = Uses { stats: true, http: true, tls: true };

/// Describes `labels` as if it were a collector.
pub fn description() -> Description {
    Description {
        name: NAME.to_owned(),
        version: String::new(),
        summary: "Run the collectors that labels of the containers choose".to_owned(),
        scope: Scope::Endpoint,
        options: Vec::new(),
    }
}

/// The options of `run labels` beside the host's.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Labels")]
#[group(skip)]
pub struct LabelFlags {
    /// The collectors that labels may choose, such as gostats,redis
    #[arg(
        long,
        value_name = "COLLECTORS",
        value_delimiter = ',',
        value_parser = parse_name,
        required_unless_present = "every"
    )]
    pub allow: Vec<String>,

    /// Collectors of whole containers that run for all containers, such as docker
    #[arg(long, value_name = "COLLECTORS", value_delimiter = ',', value_parser = parse_name)]
    pub every: Vec<String>,

    /// The beginning of the keys of labels
    #[arg(long, value_name = "PREFIX", default_value = "mackerel-plugin-wasm")]
    pub label_prefix: LabelPrefix,

    /// An option for one collector, such as prometheus.metric=requests_total or docker.total=sum; labels cannot set it;
    /// repeatable
    #[arg(long = "option", value_name = "COLLECTOR.NAME[=VALUE]")]
    pub options: Vec<OneOption>,
}

/// The options of `labels` and those of a subcommand.
#[derive(Debug, Args)]
pub struct WithLabels<Own: Args> {
    /// Those of the subcommand.
    #[command(flatten)]
    pub own: Own,
    /// Those of `labels`.
    #[command(flatten)]
    pub labels: LabelFlags,
}

/// An option of one collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOption {
    collector: String,
    name: String,
    value: Option<String>,
}

impl FromStr for OneOption {
    type Err = Expected;

    fn from_str(text: &str) -> Result<OneOption, Expected> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        let (collector, name) = key
            .split_once('.')
            .filter(|(collector, name)| !collector.is_empty() && !name.is_empty())
            .ok_or(Expected("COLLECTOR.NAME=VALUE, such as prometheus.metric=requests_total"))?;
        Ok(OneOption { collector: collector.to_owned(), name: name.to_owned(), value })
    }
}

impl OneOption {
    fn word(&self) -> String {
        let OneOption { name, value, .. } = self;
        value.as_ref().map_or_else(|| format!("--{name}"), |value| format!("--{name}={value}"))
    }
}

/// A command line of `labels` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    /// An option is for a collector that does not run.
    #[error("--option {option}: {collector} is neither in --allow nor in --every")]
    NoCollector {
        /// The option.
        option: String,
        /// The collector.
        collector: String,
    },
    /// An option that all collectors share.
    #[error("--option {0}: all collectors share it; use --{0} itself")]
    Shared(String),
    /// A collector that needs ports is to run for whole containers.
    #[error("--every {0}: it collects from ports, which only labels can name; use --allow {0}")]
    NeedsPort(String),
    /// An option of the host that no collector has use for.
    #[error("--{0} cannot be used with any of these collectors")]
    Useless(String),
    /// Two collectors would post metrics of equal names.
    #[error("{first} and {second} have the prefix {prefix}: add --option {second}.metric-key-prefix=PREFIX")]
    SamePrefix {
        /// The first collector.
        first: String,
        /// The second collector.
        second: String,
        /// The prefix.
        prefix: String,
    },
}

impl From<LabelsError> for crate::error::Error {
    fn from(error: LabelsError) -> crate::error::Error {
        crate::error::Error::usage(error)
    }
}

/// The options that one list of containers and one run have: they are the same for all collectors.
const SHARED: [&str; 15] = [
    "filter",
    "skip",
    "include-infrastructure",
    "container-port",
    "address",
    "network",
    "enter-network",
    "target",
    "source",
    "docker-host",
    "deadline",
    "total-memory",
    "otlp",
    "otlp-also",
    "otlp-api-key-file",
];

/// The option whose value stands before the name of each collector.
const PREFIX: &str = "metric-key-prefix";

impl LabelFlags {
    /// The names of all collectors, each once.
    pub fn collectors(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        self.allow.iter().chain(&self.every).map(String::as_str).filter(|name| seen.insert(*name)).collect()
    }

    /// Checks that each option is for a collector, and for one alone.
    ///
    /// # Errors
    /// If it is not.
    pub fn check(&self) -> Result<(), LabelsError> {
        let names = self.collectors();
        for OneOption { collector, name, .. } in &self.options {
            if !names.contains(&collector.as_str()) {
                let option = format!("{collector}.{name}");
                return Err(LabelsError::NoCollector { option, collector: collector.clone() });
            }
            if SHARED.contains(&name.as_str()) {
                return Err(LabelsError::Shared(name.clone()));
            }
        }
        Ok(())
    }

    /// Returns the command line of one collector: its own options, and the host's options in `typed`, except those in
    /// `useless` and those that one of its own options replaces.
    pub fn words(&self, collector: &str, typed: &[Typed], useless: &[String]) -> Vec<OsString> {
        let own: Vec<&OneOption> = self.options.iter().filter(|option| option.collector == collector).collect();
        let mut words = vec![OsString::from(collector)];
        for Typed { flag, value, .. } in typed {
            if useless.contains(flag) || own.iter().any(|option| option.name == *flag) {
                continue;
            }
            let mut word = OsString::from(format!("--{flag}"));
            if let Some(value) = value {
                word.push("=");
                word.push(value);
                if flag == PREFIX {
                    word.push(format!(".{collector}"));
                }
            }
            words.push(word);
        }
        words.extend(own.into_iter().map(|option| option.word().into()));
        words
    }

    /// Returns true if there is an option of this name for a collector.
    pub fn has_option(&self, collector: &str, name: &str) -> bool {
        self.options.iter().any(|option| option.collector == collector && option.name == name)
    }

    /// Formats these options as they can be typed, without those for one collector.
    pub fn typed(&self) -> Vec<Typed> {
        let of = |flag: &str, value: String| Typed { flag: flag.to_owned(), value: Some(value.into()), is_file: false };
        let names = |flag, names: &[String]| (!names.is_empty()).then(|| of(flag, names.join(",")));
        let mut typed = Vec::new();
        typed.extend(names("allow", &self.allow));
        typed.extend(names("every", &self.every));
        typed.push(of("label-prefix", self.label_prefix.to_string()));
        typed
    }
}

fn parse_name(text: &str) -> Result<String, Expected> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = !text.is_empty() && text.chars().all(is_name) && text != NAME;
    is_name.then(|| text.to_owned()).ok_or(Expected("the name of a built-in or installed collector"))
}

/// Returns the options of a collector with those that an endpoint declares; `None` if it declares none. `typed` are
/// those of the operator, which labels cannot change.
///
/// # Errors
/// The first label that cannot be used.
pub fn with_endpoint(
    prefix: &LabelPrefix,
    endpoint: &Endpoint,
    description: &Description,
    options: &CollectorOptions,
    typed: &[Typed],
) -> Result<EndpointOptions, Fault> {
    if endpoint.options.is_empty() {
        return Ok(None);
    }
    let mut values: Vec<OptionValue> = options.values().to_vec();
    for (name, value) in &endpoint.options {
        let fault = |reason: String| Fault::new(&prefix.key(endpoint.index, name), reason);
        let spec = description.options.iter().find(|spec| spec.name == *name);
        let Some(spec) = spec else {
            let names: Vec<&str> = description.options.iter().map(|spec| spec.name.as_str()).collect();
            let (collector, names) = (foreign(&endpoint.collector), listed(&names));
            return Err(fault(format!("{collector} has no such option; it has {names}")));
        };
        if typed.iter().any(|typed| typed.flag == *name) {
            return Err(fault("the operator sets this option (--option)".to_owned()));
        }
        let value = match &spec.kind {
            OptionKind::Secret => return Err(fault("a label cannot hold a secret".to_owned())),
            OptionKind::Choice(words) if !words.contains(value) => {
                return Err(fault(format!("expected one of {}, got '{}'", listed(words), foreign(value))));
            }
            OptionKind::Flag if value != "true" && value != "false" => {
                return Err(fault(format!("expected true or false, got '{}'", foreign(value))));
            }
            OptionKind::Flag if value == "false" => None,
            OptionKind::Text | OptionKind::Choice(_) | OptionKind::Many | OptionKind::Flag => Some(value.clone()),
        };
        values.retain(|option| option.name != *name);
        values.extend(value.map(|value| OptionValue { name: name.clone(), value }));
    }
    let place = |option: &OptionValue| description.options.iter().position(|spec| spec.name == option.name);
    values.sort_by_key(place);
    Ok(Some(Arc::from(values)))
}
