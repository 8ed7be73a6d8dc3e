//! Options: a command line about a collector, resolved. What was typed stays private: nothing can read a flag past its
//! check.
//!
//! The command line is read in two steps, because only the collector knows its options: `cli` reads the command and the
//! collector's name, then (after `describe`) this module reads the rest.

mod collector;
mod error;
mod header;
mod host;
mod http;
mod identity;
pub mod labels;
mod otlp;
mod size;
mod typed;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, FromArgMatches};

pub use self::collector::CollectorOptions;
pub use self::error::Error;
use self::host::HostFlags;
pub use self::host::parse_time;
use self::http::HttpOptions;
pub use self::typed::Typed;
use crate::otlp::OtlpOptions;
use crate::pipeline::collect::Settings;
use crate::pipeline::find::Discovery;
use crate::pipeline::name::{Format, InstanceName};
use crate::pipeline::output::Output;
use crate::pipeline::source::{Selected, SourceKind};
use crate::pipeline::task::TaskFilters;
use crate::sandbox::{Bounds, Description, Scope, Uses};
use crate::text::{escape, foreign};

/// A subcommand that takes the options of `run`.
pub struct Subcommand {
    /// Its name.
    pub name: &'static str,
    /// The host's options that it does not take, by field name, and why.
    pub unused: &'static [(&'static str, &'static str)],
    /// True if it reads the files of secrets. `conf` and `dashboard` do not: they may run on a machine that has no such
    /// file.
    pub reads_secrets: bool,
}

impl Subcommand {
    /// A subcommand that takes all options and reads secrets.
    pub const fn new(name: &'static str) -> Subcommand {
        Subcommand { name, unused: &[], reads_secrets: true }
    }

    /// Formats a command line as a person would type it in a shell, escaped, on one line, without the values of header
    /// fields.
    pub fn command_line(&self, words: &[OsString]) -> String {
        let words = header::without_values(words.iter().map(|word| escape(&word.to_string_lossy())));
        // An escaped word has no NUL, the one thing that cannot be quoted.
        let words = shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default();
        format!("mackerel-plugin-wasm {} {words}", self.name)
    }
}

/// Everything that a run was asked for, checked.
#[derive(Debug, Clone)]
pub struct Options {
    /// The source of targets.
    pub discovery: Discovery,
    /// How each target is collected.
    pub settings: Settings,
    /// The options of the output.
    pub output: Output,
    /// The format of instance names.
    pub instance_name: InstanceName,
    /// The bounds of the sandboxes.
    pub bounds: Bounds,
    /// The deadline of the whole run.
    pub deadline: Duration,
    /// True to list skipped containers.
    pub verbose: bool,
    /// The options about HTTP requests.
    pub http: HttpOptions,
    /// The options about labelled metrics, or `None` if they are not sent.
    pub otlp: Option<OtlpOptions>,
    /// The options of the collector.
    pub collector: CollectorOptions,
    typed: Vec<Typed>,
}

const WHOLE_CONTAINERS: &str = "it collects from whole containers, not from ports";

impl Options {
    /// Reads `words`, which begin with the collector's name, for `subcommand` with the options `Own` of its own. No
    /// collector may declare an option of a name in `reserved`. `uses` names the collector's capabilities.
    ///
    /// # Errors
    /// If the command line cannot be used, or the collector describes options that cannot be.
    pub fn parse<Own: Args>(
        subcommand: &Subcommand,
        reserved: &BTreeSet<&str>,
        words: &[OsString],
        description: &Description,
        uses: Uses,
    ) -> Result<(Options, Own), Error> {
        let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        let unused = unused(subcommand, description, uses);
        let command = Options::command::<Own>(subcommand, reserved, &name, description, uses)?;
        let matches = command.clone().try_get_matches_from(words.iter().skip(1));
        let matches = matches.map_err(|error| usage(error, &command))?;
        reject_unused(&command, &matches, &unused, subcommand, &name)?;
        let flags = HostFlags::from_arg_matches(&matches)?;
        let own = Own::from_arg_matches(&matches)?;
        let collector = CollectorOptions::read(description, &matches, subcommand.reads_secrets)?;
        let typed = typed::typed::<Own>(&command, &matches, &collector);
        let reads_files = subcommand.reads_secrets;
        let memory = flags.memory_limit;
        let http = flags.http.clone().resolve(description, &collector, memory, reads_files)?;
        Ok((Options::resolve(flags, &name, description, collector, http, typed)?, own))
    }

    /// Builds the command line that [`parse`](Self::parse) reads: the host's flags, the subcommand's own and the
    /// collector's. Flags that would do nothing are hidden.
    ///
    /// # Errors
    /// If the collector declares an option that is not free.
    pub fn command<Own: Args>(
        subcommand: &Subcommand,
        reserved: &BTreeSet<&str>,
        name: &str,
        description: &Description,
        uses: Uses,
    ) -> Result<clap::Command, Error> {
        let mut command = clap::Command::new("mackerel-plugin-wasm")
            .bin_name(format!("mackerel-plugin-wasm {} {name}", subcommand.name))
            .no_binary_name(true);
        command = Own::augment_args(HostFlags::augment_args(command))
            .about(foreign(&description.summary).to_string())
            .long_about(None);
        for spec in &description.options {
            let is_taken = |name: &String| {
                let is_of_host = command.get_arguments().any(|arg| arg.get_long() == Some(name));
                is_of_host || reserved.contains(name.as_str()) || matches!(name.as_str(), "help" | "version")
            };
            if collector::claimed_names(spec).iter().any(is_taken) {
                return Err(Error::ReservedOption { collector: foreign(name), option: foreign(&spec.name) });
            }
            command = command.arg(collector::flag(spec, &description.name));
        }
        for (option, _) in unused(subcommand, description, uses) {
            command = command.mut_arg(option, |arg| arg.hide(true));
        }
        Ok(command)
    }

    /// Checks the host's flags against each other and the collector.
    fn resolve(
        flags: HostFlags,
        name: &str,
        description: &Description,
        collector: CollectorOptions,
        http: HttpOptions,
        typed: Vec<Typed>,
    ) -> Result<Options, Error> {
        let (about_engine, addresses) = (flags.about_engine(), flags.addresses());
        let prefix = match &flags.metric_key_prefix {
            Some(prefix) => prefix.clone(),
            None => description.name.parse().map_err(Error::Prefix)?,
        };
        let output = flags.output(prefix);
        let source =
            Selected::new(flags.source.unwrap_or_default(), !flags.targets.is_empty(), flags.docker_host.as_deref());
        let mut task_filters = TaskFilters::default();
        if source.kind == SourceKind::EcsTask {
            if let Some((flag, reason)) = about_engine {
                let (flag, with) = (flag.to_owned(), foreign("the source ecs-task"));
                return Err(Error::Unused { flag, with, reason });
            }
            task_filters = TaskFilters::new(&flags.filters)?;
        }
        let instance_name = flags.instance_name.unwrap_or(match (source.kind, description.scope) {
            // Names of containers are unique in a task, and the same in the next one.
            (SourceKind::EcsTask, _) => InstanceName::Given(Format::Name),
            (_, Scope::Endpoint) => InstanceName::Given(Format::Port),
            (_, Scope::Container) => InstanceName::Given(Format::NameId),
        });
        let has_name = instance_name != InstanceName::Given(Format::Absent);
        if !has_name && flags.targets.len() != 1 {
            return Err(Error::SameNames);
        }
        if !flags.targets.is_empty() && has_name && instance_name != InstanceName::Given(Format::Port) {
            return Err(Error::FixedTargetName);
        }
        if description.scope == Scope::Container && instance_name == InstanceName::Given(Format::Port) {
            let (flag, with) = ("instance-name port".to_owned(), foreign(name));
            return Err(Error::Unused { flag, with, reason: WHOLE_CONTAINERS });
        }
        Ok(Options {
            output,
            discovery: Discovery {
                source,
                fixed: flags.targets,
                filters: flags.filters,
                task_filters,
                skips: flags.skips,
                include_infrastructure: flags.include_infrastructure,
                container_port: flags.container_port,
                engine: flags.docker_host,
                addresses,
                labels: None,
            },
            settings: Settings {
                timeout: flags.timeout,
                stats_source: flags.stats_source.unwrap_or_default(),
                tls_server_name: flags.tls_server_name,
                http: Arc::clone(&http.settings),
            },
            instance_name,
            bounds: Bounds { memory: flags.memory_limit, total_memory: flags.total_memory, cpu: flags.cpu_limit },
            deadline: flags.deadline,
            verbose: flags.verbose,
            http,
            otlp: flags.otlp.resolve(),
            collector,
            typed,
        })
    }

    /// The files that the run reads.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let key = self.otlp.as_ref().and_then(|otlp| otlp.api_key_file.as_ref());
        self.collector.secret_files().chain(&self.http.files).chain(key)
    }

    /// The flags in the order in which they were typed, without those of the subcommand itself.
    pub fn typed(&self) -> &[Typed] {
        &self.typed
    }
}

/// Returns the names of the host's options that would do nothing.
pub fn useless(subcommand: &Subcommand, description: &Description, uses: Uses) -> Vec<String> {
    let flags = HostFlags::augment_args(clap::Command::new(""));
    let name = |option: &str| flags.get_arguments().find(|arg| arg.get_id() == option)?.get_long().map(str::to_owned);
    unused(subcommand, description, uses).iter().filter_map(|(option, _)| name(option)).collect()
}

/// Returns the host's options that would do nothing, by field name, and why. They are hidden from the help, and
/// rejected.
fn unused(subcommand: &Subcommand, description: &Description, uses: Uses) -> Vec<(&'static str, &'static str)> {
    let mut unused = Vec::new();
    if description.scope == Scope::Container {
        unused.extend(
            ["targets", "container_port", "address", "network", "enter_network", "tls_server_name"]
                .map(|option| (option, WHOLE_CONTAINERS)),
        );
    }
    if description.name == labels::NAME {
        unused.extend(["targets", "container_port"].map(|option| (option, "labels choose the containers and ports")));
        unused.push(("max_metrics", "it limits one collector: use --option COLLECTOR.max-metrics=NUMBER"));
    }
    if !uses.http {
        unused.extend(http::IDS.map(|option| (option, "it does not send HTTP requests")));
    }
    if !uses.tls {
        unused.extend(http::TLS_IDS.map(|option| (option, "it does not connect over TLS")));
    }
    if !uses.stats {
        unused.push(("stats_source", "it does not read container stats"));
    }
    unused.extend(subcommand.unused);
    unused.extend(otlp::unused(subcommand.name));
    unused
}

fn reject_unused(
    command: &clap::Command,
    matches: &ArgMatches,
    unused: &[(&'static str, &'static str)],
    subcommand: &Subcommand,
    name: &str,
) -> Result<(), Error> {
    let is_typed = |option: &str| matches.value_source(option) == Some(ValueSource::CommandLine);
    let Some((option, reason)) = unused.iter().find(|(option, _)| is_typed(option)) else { return Ok(()) };
    let flag = command.get_arguments().find(|arg| arg.get_id() == option).and_then(Arg::get_long).unwrap_or(option);
    let of_subcommand = subcommand.unused.iter().copied().chain(otlp::unused(subcommand.name));
    let is_of_subcommand = of_subcommand.into_iter().any(|(unused, _)| unused == *option);
    let with = foreign(if is_of_subcommand { subcommand.name } else { name });
    Err(Error::Unused { flag: flag.to_owned(), with, reason })
}

/// Returns the error about a command line that clap rejects.
fn usage(error: clap::Error, command: &clap::Command) -> Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match text(ContextKind::InvalidArg) {
        Some(option) if error.kind() == ErrorKind::UnknownArgument && option.starts_with('-') => Error::UnknownOption {
            option: foreign(option),
            similar: text(ContextKind::SuggestedArg).map(str::to_owned),
            command: foreign(command.get_bin_name().unwrap_or_default()),
        },
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use clap::Args;

    use super::*;
    use crate::pipeline::identity::Identity;
    use crate::sandbox::{OptionKind, OptionSpec};

    /// A subcommand without options of its own.
    #[derive(Debug, Args)]
    struct NoOptions {}

    const RUN: Subcommand = Subcommand::new("run");

    /// A collector with an option of each kind.
    fn description() -> Description {
        let option = |name: &str, kind, default: Option<&str>| OptionSpec {
            name: name.to_owned(),
            help: format!("Sets {name}"),
            kind,
            default: default.map(str::to_owned),
        };
        Description {
            name: "redis".to_owned(),
            version: "1".to_owned(),
            summary: "A collector".to_owned(),
            scope: Scope::Endpoint,
            options: vec![
                option("section", OptionKind::Text, Some("all")),
                option("mode", OptionKind::Choice(vec!["fast".to_owned(), "full".to_owned()]), None),
                option("metric", OptionKind::Many, None),
                option("password", OptionKind::Secret, None),
                option("cluster", OptionKind::Flag, None),
            ],
        }
    }

    fn parse_for(words: &[OsString], description: &Description) -> Result<Options, Error> {
        let (options, NoOptions {}) =
            Options::parse(&RUN, &BTreeSet::new(), words, description, Uses { stats: true, http: true, tls: true })?;
        Ok(options)
    }

    fn parse(line: &str) -> Result<Options, Error> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse_for(&words, &description())
    }

    fn values(options: &Options) -> Vec<(&str, &str)> {
        options.collector.values().iter().map(|option| (option.name.as_str(), option.value.as_str())).collect()
    }

    #[test]
    fn a_collector_gets_the_values_that_were_typed_and_its_defaults() {
        assert_eq!(values(&parse("redis").unwrap()), [("section", "all")]);
        let given = "redis --metric -b --cluster --mode full --metric a --section x --timeout 1s";
        let expected = [("section", "x"), ("mode", "full"), ("metric", "-b"), ("metric", "a"), ("cluster", "true")];
        assert_eq!(values(&parse(given).unwrap()), expected);
        for wrong in ["--mode slow", "--section x --section y", "--cluster yes"] {
            assert!(matches!(parse(&format!("redis {wrong}")), Err(Error::Clap(_))), "{wrong}");
        }
        for wrong in ["--password x", "--unknown"] {
            assert!(matches!(parse(&format!("redis {wrong}")), Err(Error::UnknownOption { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_read_from_its_file_and_is_not_part_of_the_state_key() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret \n").unwrap();
        let options = parse(&format!("redis --password-file {} --filter name=a", file.path().display())).unwrap();
        assert_eq!(values(&options), [("section", "all"), ("password", "s3cret ")]);
        let expected = Identity {
            collector: "redis".to_owned(),
            prefix: "redis".to_owned(),
            component: None,
            posts_metrics: true,
            targets: vec!["filter=name=a".to_owned()],
            readings: vec!["option=section=all".to_owned()],
            output: Vec::new(),
        };
        assert_eq!(options.identity("redis", None), expected);
        let error = parse("redis --password-file /nonexistent/file").unwrap_err();
        let expected = "cannot read --password-file /nonexistent/file: No such file or directory (os error 2)";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn an_option_with_the_name_of_a_host_option_is_rejected() {
        for name in ["filter", "timeout", "help", "verbose"] {
            let mut description = description();
            description.options[0].name = name.to_owned();
            let error = parse_for(&["redis".into()], &description).unwrap_err();
            assert!(
                error.to_string().contains(&format!("declares --{name}, which is an option of the host")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_collector_of_whole_containers_rejects_options_about_ports() {
        let description = Description { scope: Scope::Container, ..description() };
        let options = parse_for(&["docker".into()], &description).unwrap();
        assert_eq!(options.instance_name, InstanceName::Given(Format::NameId));
        for option in ["--target=a:1", "--container-port=80", "--tls-server-name=a", "--instance-name=port"] {
            let error = parse_for(&["docker".into(), option.into()], &description).unwrap_err();
            let option = option.split('=').next().unwrap_or_default();
            assert!(
                error.to_string().starts_with(option) && matches!(error, Error::Unused { .. }),
                "{option}: {error}"
            );
        }
    }

    #[test]
    fn typed_flags_come_in_order_with_their_values() {
        let options =
            parse("redis --cluster --total sum,max --filter=name=a --metric -b -v --filter label=x=y").unwrap();
        let typed: Vec<(&str, Option<&str>)> = options
            .typed()
            .iter()
            .map(|typed| (typed.flag.as_str(), typed.value.as_deref().and_then(OsStr::to_str)))
            .collect();
        let expected = [
            ("cluster", None),
            ("total", Some("sum,max")),
            ("filter", Some("name=a")),
            ("metric", Some("-b")),
            ("verbose", None),
            ("filter", Some("label=x=y")),
        ];
        assert_eq!(typed, expected);
    }
}
