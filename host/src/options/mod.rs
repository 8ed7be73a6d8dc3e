//! The command line: the host's own options, and the collector's beside them as ordinary flags.
//!
//! It is read in two steps, because only the collector knows its options: first the command and the collector's name, then
//! (after `describe`) the rest.

// The doc comments of options are their help texts, and no Markdown.
#![allow(clippy::doc_markdown)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand};

use crate::address::Address;
use crate::authors::new::Language;
use crate::commands::conf::ConfOptions;
use crate::commands::dashboard::DashboardOptions;
use crate::commands::plan::PeopleOptions;
use crate::definition::Prefix;
use crate::error::Error;
use crate::limits;
use crate::pipeline::name::InstanceName;
use crate::pipeline::output::Output;
use crate::pipeline::select::{Pattern, Selection};
use crate::pipeline::total::Total;
use crate::sandbox::{Bounds, Description, OptionKind, OptionSpec, OptionValue, Scope};
use crate::stats::Allowed;
use crate::store::BUILTIN_NAMES;
use crate::text::{escape, foreign};

/// The first step: which command, and for `run` which collector.
#[derive(Debug, Parser)]
#[command(name = "mackerel-plugin-wasm", version, about, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Collect metrics from all targets once: what mackerel-agent calls
    ///
    /// The collector comes first, its options and the host's follow in any order: `run COLLECTOR --help` shows them.
    #[command(override_usage = "mackerel-plugin-wasm run COLLECTOR [OPTIONS]", disable_help_subcommand = true)]
    Run(RunCommand),
    /// Try a collector out on one target, or on a recording of one, and check what it does against its contract
    ///
    /// Prints the metrics and what is wrong, in the same words every time, for an author to compare. The collector comes first, its
    /// options and the host's follow in any order: `test COLLECTOR --help` shows them.
    #[command(override_usage = "mackerel-plugin-wasm test COLLECTOR [OPTIONS]", disable_help_subcommand = true)]
    Test(RunCommand),
    /// Count the metrics that a run posts, against what Mackerel counts per host
    ///
    /// Collects once from all targets, and says which options make it fewer. Takes the options of `run`: `plan COLLECTOR --help` shows them.
    #[command(override_usage = "mackerel-plugin-wasm plan COLLECTOR [OPTIONS]", disable_help_subcommand = true)]
    Plan(RunCommand),
    /// Show what a run does with each container, and why
    ///
    /// Collects once from all targets, and remembers nothing. Takes the options of `run`: `explain COLLECTOR --help` shows them.
    #[command(override_usage = "mackerel-plugin-wasm explain COLLECTOR [OPTIONS]", disable_help_subcommand = true)]
    Explain(RunCommand),
    /// Write the lines of mackerel-agent.conf for a run, or a whole cloud-config
    ///
    /// Takes the options of `run`: `conf COLLECTOR --help` shows them.
    #[command(override_usage = "mackerel-plugin-wasm conf COLLECTOR [OPTIONS]", disable_help_subcommand = true)]
    Conf(RunCommand),
    /// Write a dashboard for Mackerel, of all hosts of a role
    ///
    /// Takes the options of `run`: `dashboard COLLECTOR --help` shows them.
    #[command(
        override_usage = "mackerel-plugin-wasm dashboard COLLECTOR --role SERVICE:ROLE [OPTIONS]",
        disable_help_subcommand = true
    )]
    Dashboard(RunCommand),
    /// List the collectors that there are: built in, and installed
    List,
    /// Show a collector: options, graphs, imports, size and digest
    Inspect {
        /// The name of a built-in or installed collector, or the path of a .wasm file
        collector: String,
    },
    /// Begin a collector: write a folder with a project that builds and is tested
    New {
        /// The collector's name, and the folder's
        name: String,

        /// The language
        #[arg(long, value_name = "LANGUAGE")]
        lang: Language,

        /// Where the folder goes
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Make a collector of a core WebAssembly module, such as Go's compiler builds
    Componentize {
        /// The module
        #[arg(value_name = "CORE.wasm")]
        module: PathBuf,

        /// Where the component goes [default: CORE.component.wasm beside it]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Install a collector, or replace it, and pin it by its digest
    ///
    /// It is compiled once, and from then on runs by its name. A tag is resolved now and never again: what runs is what was installed.
    /// Logins for registries are those of `docker login`.
    Install {
        /// The path of a .wasm file, or oci://REGISTRY/REPOSITORY:TAG, or @sha256:DIGEST behind or in place of the tag
        source: String,
    },
    /// Remove an installed collector
    Remove {
        /// Its name
        name: String,
    },
    /// Put a collector into a registry, for others to install
    Push {
        /// The path of a .wasm file
        file: PathBuf,
        /// oci://REGISTRY/REPOSITORY:TAG
        reference: String,
    },
}

/// A command that takes the options of `run`, before the collector is known.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    subcommand_value_name = "COLLECTOR",
    after_help = format!("Collectors: {}, what was installed, or the path of a .wasm file", BUILTIN_NAMES.join(", "))
)]
pub struct RunCommand {
    /// The collector and what stands behind it.
    #[command(subcommand)]
    pub collector: CollectorAndRest,
}

/// The collector's name, and its and the host's options as they were typed.
#[derive(Debug, Subcommand)]
pub enum CollectorAndRest {
    /// The first word is the collector.
    #[command(external_subcommand)]
    Words(Vec<OsString>),
}

/// The host's options of `run`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Targets")]
pub struct HostOptions {
    /// Only containers that match, as in `docker ps --filter`; repeatable
    #[arg(long = "filter", value_name = "KEY=VALUE", value_parser = parse_filter)]
    pub filters: Vec<(String, String)>,

    /// Which port of the containers [default: the only published TCP port]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub container_port: Option<u16>,

    /// A fixed endpoint in place of containers; repeatable; needs no Docker
    #[arg(long = "target", value_name = "HOST:PORT", conflicts_with_all = ["filters", "container_port", "docker_host", "stats_source"])]
    pub targets: Vec<Address>,

    /// The engine: unix:///PATH or tcp://HOST:PORT [default: $DOCKER_HOST, else unix:///var/run/docker.sock]
    ///
    /// For tcp, DOCKER_CERT_PATH or DOCKER_TLS_VERIFY turns TLS on, with ca.pem, cert.pem and key.pem from
    /// DOCKER_CERT_PATH or ~/.docker.
    #[arg(long, value_name = "URL")]
    pub docker_host: Option<String>,

    /// Where the figures of containers come from: the kernel's control groups, the engine's API, or what each container allows
    /// [default: auto]
    #[arg(long, value_name = "SOURCE", value_enum, hide_possible_values = true)]
    pub stats_source: Option<Allowed>,

    /// The name in the targets' certificates, for collectors that speak https [default: the target's address]
    #[arg(long, value_name = "NAME", value_parser = parse_server_name)]
    pub tls_server_name: Option<rustls::pki_types::ServerName<'static>>,

    /// What all metric names begin with [default: the collector's name]
    #[arg(long, value_name = "PREFIX", help_heading = "Names")]
    pub metric_key_prefix: Option<Prefix>,

    /// What stands for a target in metric names: port, name, name_id, id, image, image_id, image_name, label:KEY, or slot: the smallest
    /// number that is free, kept while the container lives; slot:label:KEY counts for each value of a label
    /// [default: port; for collectors of whole containers name_id]
    #[arg(long, value_name = "FORMAT", help_heading = "Names")]
    pub instance_name: Option<InstanceName>,

    /// Only these metrics, with * for any characters, such as memory.* or *.rss; repeatable
    #[arg(long = "select", value_name = "GRAPH.METRIC", help_heading = "Output")]
    pub selects: Vec<Pattern>,

    /// All but these metrics; repeatable
    #[arg(long = "exclude", value_name = "GRAPH.METRIC", help_heading = "Output")]
    pub excludes: Vec<Pattern>,

    /// Totals over all targets, for role graphs: some of sum,avg,max,min
    #[arg(
        long = "total",
        value_name = "TOTALS",
        value_enum,
        value_delimiter = ',',
        hide_possible_values = true,
        help_heading = "Output"
    )]
    pub totals: Vec<Total>,

    /// Only totals, and nothing of each target
    #[arg(long, requires = "totals", help_heading = "Output")]
    pub total_only: bool,

    /// How many targets were collected and how many failed
    #[arg(long, help_heading = "Output")]
    pub targets_graph: bool,

    /// The time that one target has: `500ms`, `10s`, a bare number is seconds
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = text_of(limits::TARGET_TIMEOUT), help_heading = "Limits")]
    pub timeout: Duration,

    /// The time that the whole run has; what is ready by then is printed
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = text_of(limits::RUN_DEADLINE), help_heading = "Limits")]
    pub deadline: Duration,

    /// The memory that the sandbox of one target has; what the host holds for it counts too
    #[arg(long, value_name = "SIZE", default_value = text_of_size(limits::SANDBOX_MEMORY), value_parser = parse_size, help_heading = "Limits")]
    pub memory_limit: ByteSize,

    /// The memory that all sandboxes have together, beyond 2 MiB of each; who finds none free waits for others
    #[arg(long, value_name = "SIZE", default_value = text_of_size(limits::TOTAL_MEMORY), value_parser = parse_size, help_heading = "Limits")]
    pub total_memory: ByteSize,

    /// The time that one target's collector computes; waiting for answers does not count
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = text_of(limits::CALL_CPU), help_heading = "Limits")]
    pub cpu_limit: Duration,

    /// Say on stderr which containers are passed over, and why
    #[arg(short, long, help_heading = "Output")]
    pub verbose: bool,
}

impl HostOptions {
    /// What bounds the sandboxes.
    pub fn bounds(&self) -> Bounds {
        Bounds { memory: self.memory_limit, total_memory: self.total_memory, cpu: self.cpu_limit }
    }

    /// What the run prints.
    fn output(&self, prefix: Prefix) -> Output {
        let totals: BTreeSet<Total> = self.totals.iter().copied().collect();
        Output {
            prefix,
            selection: Selection { select: self.selects.clone(), exclude: self.excludes.clone() },
            totals: totals.into_iter().collect(),
            each_target: !self.total_only,
            targets_graph: self.targets_graph,
        }
    }
}

/// What a command line about a collector is for: the commands that take the options of `run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `run`.
    Run,
    /// `test`.
    Test,
    /// `plan`.
    Plan,
    /// `explain`.
    Explain,
    /// `conf`.
    Conf,
    /// `dashboard`.
    Dashboard,
}

impl Purpose {
    /// The command's name.
    pub fn word(self) -> &'static str {
        match self {
            Purpose::Run => "run",
            Purpose::Test => "test",
            Purpose::Plan => "plan",
            Purpose::Explain => "explain",
            Purpose::Conf => "conf",
            Purpose::Dashboard => "dashboard",
        }
    }

    /// Whether targets are asked. Where they are not, no secret is read: this need not be the machine that has it.
    fn asks_targets(self) -> bool {
        !matches!(self, Purpose::Conf | Purpose::Dashboard)
    }
}

/// A command line as a person would type it in a shell, on one line and fit to be shown. `run` has no `--json`, which another command got.
pub fn shown(purpose: Purpose, words: &[OsString]) -> String {
    let words = words.iter().filter(|word| purpose != Purpose::Run || *word != "--json");
    let words: Vec<_> = words.map(|word| escape(&word.to_string_lossy())).collect();
    // Escaped, no word has what no shell can take.
    let words = shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default();
    format!("mackerel-plugin-wasm {} {words}", purpose.word())
}

/// The names of all options that only some of these commands have. No collector may have an option of such a name, so that one line of
/// options does for all of them.
fn further_options() -> impl Iterator<Item = String> {
    let of = [
        TestOptions::augment_args(clap::Command::new("")),
        PeopleOptions::augment_args(clap::Command::new("")),
        ConfOptions::augment_args(clap::Command::new("")),
        DashboardOptions::augment_args(clap::Command::new("")),
    ];
    of.into_iter()
        .flat_map(|command| command.get_arguments().filter_map(Arg::get_long).map(str::to_owned).collect::<Vec<_>>())
}

/// The host's options of `test` alone.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Recordings")]
pub struct TestOptions {
    /// Record what the target says in this folder; a recording that is there is replaced
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,

    /// Play this recording back in place of a target; needs neither Docker nor the target
    #[arg(long, value_name = "DIR", conflicts_with_all = ["record", "filters", "container_port", "targets", "docker_host", "stats_source", "tls_server_name"])]
    pub replay: Option<PathBuf>,
}

/// Everything that a run was asked for, checked.
#[derive(Debug, Clone)]
pub struct Options {
    /// The host's options.
    pub host: HostOptions,
    /// What is printed.
    pub output: Output,
    /// The format of instance names.
    pub instance_name: InstanceName,
    /// The collector's options with their defaults filled in.
    pub collector: Vec<OptionValue>,
    /// Names of the collector's options whose values are secret.
    secrets: BTreeSet<String>,
    /// The files that they were to be read from.
    secret_files: Vec<PathBuf>,
    /// Names of all options that take a value.
    with_value: BTreeSet<String>,
}

impl Options {
    /// Reads `words`, which begin with the collector's name, by the host's options and those that the collector describes.
    /// `asks_of_containers` is whether it can ask about the containers behind its targets.
    ///
    /// # Errors
    /// A usage error, or the collector's own fault where it describes options that cannot be.
    pub fn parse(words: &[OsString], description: &Description, asks_of_containers: bool) -> Result<Options, Error> {
        let (options, ()) = Options::parse_for(Purpose::Run, words, description, asks_of_containers)?;
        Ok(options)
    }

    /// The same for a command that has further options of its own.
    ///
    /// # Errors
    /// As [`parse`](Options::parse).
    pub fn parse_for<Further: Args>(
        purpose: Purpose,
        words: &[OsString],
        description: &Description,
        asks_of_containers: bool,
    ) -> Result<(Options, Further), Error> {
        let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        let bin_name = format!("mackerel-plugin-wasm {} {name}", purpose.word());
        let mut command = clap::Command::new("mackerel-plugin-wasm").bin_name(bin_name).no_binary_name(true);
        command = Further::augment_args(HostOptions::augment_args(command))
            .about(foreign(&description.summary).to_string())
            .long_about(None);
        let further: BTreeSet<String> = further_options().collect();
        for spec in &description.options {
            let is_taken = |name: &str| {
                let is_of_host = command.get_arguments().any(|arg| arg.get_long() == Some(name));
                is_of_host || further.contains(name) || matches!(name, "help" | "version")
            };
            if is_taken(&spec.name) || is_taken(&file_flag(spec)) {
                return Err(Error::failed(format!(
                    "the collector {name} declares an option --{}, which is the host's own: this is a fault of the collector",
                    spec.name
                )));
            }
            command = command.arg(collector_flag(spec, &description.name));
        }
        let mut useless = useless(description, asks_of_containers);
        if purpose == Purpose::Test {
            useless.push(("instance_name", "its output has '#' in place of the target's name"));
            let all = ["selects", "excludes", "totals", "total_only", "targets_graph"];
            useless.extend(all.map(|option| (option, "it shows all that one target tells")));
        }
        for (option, _) in &useless {
            command = command.mut_arg(option, |arg| arg.hide(true));
        }
        let matches = command.clone().try_get_matches_from(words.iter().skip(1));
        let matches = matches.map_err(|error| with_all_options(error, &command, description))?;
        let is_given = |option: &str| matches.value_source(option) == Some(ValueSource::CommandLine);
        if let Some((option, why)) = useless.into_iter().find(|(option, _)| is_given(option)) {
            let flag = command.get_arguments().find(|arg| arg.get_id() == option).and_then(Arg::get_long);
            return Err(Error::usage(format!("--{} does not go with {name}: {why}", flag.unwrap_or(option))));
        }
        let host = HostOptions::from_arg_matches(&matches)?;
        let further = Further::from_arg_matches(&matches)?;
        let prefix = match &host.metric_key_prefix {
            Some(prefix) => prefix.clone(),
            None => description.name.parse().map_err(Error::usage)?,
        };
        let instance_name = host.instance_name.clone().unwrap_or(match description.scope {
            Scope::Endpoint => InstanceName::Port,
            Scope::Container => InstanceName::NameId,
        });
        if !host.targets.is_empty() && instance_name != InstanceName::Port {
            return Err(Error::usage(
                "--target goes with --instance-name port alone: it has no container to be named by".to_owned(),
            ));
        }
        if description.scope == Scope::Container && instance_name == InstanceName::Port {
            return Err(Error::usage(format!("--instance-name port does not go with {name}: {WHOLE_CONTAINERS}")));
        }
        let mut collector = Vec::new();
        let (mut secrets, mut secret_files) = (BTreeSet::new(), Vec::new());
        for spec in &description.options {
            if spec.kind == OptionKind::Secret {
                secrets.insert(spec.name.clone());
                secret_files.extend(matches.get_one::<String>(&id(spec)).map(PathBuf::from));
                if !purpose.asks_targets() {
                    continue;
                }
            }
            collector.extend(collector_values(spec, &matches)?);
        }
        let with_value =
            command.get_arguments().filter(|arg| arg.get_action().takes_values()).filter_map(Arg::get_long);
        let with_value = with_value.map(str::to_owned).collect();
        let output = host.output(prefix);
        Ok((Options { host, output, instance_name, collector, secrets, secret_files, with_value }, further))
    }

    /// Whether `--NAME` takes a value.
    pub fn takes_value(&self, name: &str) -> bool {
        self.with_value.contains(name)
    }

    /// Whether `--NAME` takes the path of a file with a secret.
    pub fn is_secret_file(&self, name: &str) -> bool {
        name.strip_suffix(FILE).is_some_and(|name| self.secrets.contains(name))
    }

    /// The files that secrets are read from.
    pub fn secret_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.secret_files.iter()
    }

    /// The secrets that were given, by their options' names.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_secret = |option: &&OptionValue| self.secrets.contains(&option.name);
        self.collector.iter().filter(is_secret).map(|option| (option.name.as_str(), option.value.as_str()))
    }

    /// Gives the secret option `name` this value, where it has none and there is such an option.
    pub fn stand_in(&mut self, name: &str, value: String) {
        let is_given = self.collector.iter().any(|option| option.name == name);
        if self.secrets.contains(name) && !is_given {
            self.collector.push(OptionValue { name: name.to_owned(), value });
        }
    }

    /// What tells the state of this run from that of another: everything that changes which targets and values there are, for two commands
    /// that run beside each other would take each other's counters for their own last. Secrets are left out. `file` is the collector's
    /// name or file, unless it is built in: one that calls itself as another does not get at that one's counters.
    pub fn identity(&self, file: Option<&str>) -> Vec<String> {
        let HostOptions { filters, container_port, targets, docker_host, selects, excludes, .. } = &self.host;
        let mut identity = vec![format!("prefix={}", self.output.prefix)];
        identity.extend(file.map(|file| format!("file={file}")));
        identity.extend(filters.iter().map(|(key, value)| format!("filter={key}={value}")));
        identity.extend(container_port.map(|port| format!("container-port={port}")));
        identity.extend(targets.iter().map(|target| format!("target={target}")));
        identity.extend(docker_host.iter().map(|url| format!("docker-host={url}")));
        identity.extend(selects.iter().map(|pattern| format!("select={pattern}")));
        identity.extend(excludes.iter().map(|pattern| format!("exclude={pattern}")));
        identity.extend(self.output.totals.iter().map(|total| format!("total={}", total.word())));
        identity.extend((!self.output.each_target).then(|| "total-only".to_owned()));
        if let InstanceName::Slot(label) = &self.instance_name {
            identity.push(format!("slot={}", label.as_deref().unwrap_or_default()));
        }
        let shown = self.collector.iter().filter(|option| !self.secrets.contains(&option.name));
        identity.extend(shown.map(|option| format!("option={}={}", option.name, option.value)));
        identity
    }
}

/// To the error about an option that there is not, adds those that there are.
fn with_all_options(mut error: clap::Error, command: &clap::Command, description: &Description) -> clap::Error {
    if error.kind() == ErrorKind::UnknownArgument {
        let is_own = |arg: &Arg| description.options.iter().any(|spec| *arg.get_id() == id(spec));
        let flags = |own: bool| {
            let args = command.get_arguments().filter(|arg| is_own(arg) == own && !arg.is_hide_set());
            let flags: Vec<String> = args.filter_map(|arg| arg.get_long()).map(|long| format!("--{long}")).collect();
            flags.join(", ")
        };
        let lines = [format!("{} takes {}", description.name, flags(true)), format!("the host takes {}", flags(false))];
        let lines = lines.map(|line| foreign(&line).to_string().into()).to_vec();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(lines));
    }
    error
}

const WHOLE_CONTAINERS: &str = "it collects from whole containers, not from ports";

/// The host's options that would do nothing for a collector, and why. They are not shown, and refused.
fn useless(description: &Description, asks_of_containers: bool) -> Vec<(&'static str, &'static str)> {
    let mut useless = Vec::new();
    if description.scope == Scope::Container {
        useless.extend(["targets", "container_port", "tls_server_name"].map(|option| (option, WHOLE_CONTAINERS)));
    }
    if !asks_of_containers {
        useless.push(("stats_source", "it does not ask what containers use"));
    }
    useless
}

fn file_flag(spec: &OptionSpec) -> String {
    format!("{}{FILE}", spec.name)
}

/// The end of the name of an option that takes the path of a file with a secret.
const FILE: &str = "-file";

/// What clap knows a collector's option by. The host's are known by their fields' names, which have no dashes in front.
fn id(spec: &OptionSpec) -> String {
    format!("--{}", spec.name)
}

/// The command-line flag of a collector's option.
fn collector_flag(spec: &OptionSpec, collector: &str) -> Arg {
    let arg = Arg::new(id(spec))
        .long(spec.name.clone())
        .help(foreign(&spec.help).to_string())
        .help_heading(format!("Options of {collector}"))
        .value_name(spec.name.to_uppercase().replace('-', "_"));
    let arg = match &spec.kind {
        OptionKind::Text => arg.allow_hyphen_values(true),
        OptionKind::Choice(words) => arg.value_parser(PossibleValuesParser::new(words.clone())),
        OptionKind::Many => arg.allow_hyphen_values(true).action(ArgAction::Append),
        OptionKind::Secret => arg.long(file_flag(spec)).value_name("PATH"),
        OptionKind::Flag => return arg.action(ArgAction::SetTrue),
    };
    match (&spec.kind, &spec.default) {
        (OptionKind::Secret, _) | (_, None) => arg,
        (_, Some(default)) => arg.default_value(default.clone()),
    }
}

/// The values of a collector's option: given, default, or none.
fn collector_values(spec: &OptionSpec, matches: &ArgMatches) -> Result<Vec<OptionValue>, Error> {
    let value = |value: &str| OptionValue { name: spec.name.clone(), value: value.to_owned() };
    Ok(match spec.kind {
        OptionKind::Flag => matches.get_flag(&id(spec)).then(|| value("true")).into_iter().collect(),
        OptionKind::Secret => match matches.get_one::<String>(&id(spec)) {
            None => Vec::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Error::usage(format!("cannot read --{} {path}: {error}", file_flag(spec))))?;
                vec![value(text.strip_suffix('\n').unwrap_or(&text))]
            }
        },
        OptionKind::Text | OptionKind::Choice(_) | OptionKind::Many => {
            matches.get_many::<String>(&id(spec)).into_iter().flatten().map(|text| value(text)).collect()
        }
    })
}

fn text_of_size(size: ByteSize) -> String {
    format!("{:.0}", size.display().iec()).replace(' ', "")
}

fn text_of(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

fn parse_filter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as name=api or label=app=web".to_owned()),
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let time = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?,
        Err(_) => {
            humantime::parse_duration(text).map_err(|_| "expected a time such as 500ms, 10s or 2.5".to_owned())?
        }
    };
    if time.is_zero() || time > limits::LONGEST_DEADLINE {
        return Err(format!("expected a time above zero and of at most {}", text_of(limits::LONGEST_DEADLINE)));
    }
    Ok(time)
}

fn parse_size(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|_| "expected a size such as 64MiB".to_owned())?;
    if size < ByteSize::mib(1) || size > ByteSize::gib(4) {
        return Err("expected a size between 1MiB and 4GiB, the range of WebAssembly's memories".to_owned());
    }
    Ok(size)
}

fn parse_server_name(text: &str) -> Result<rustls::pki_types::ServerName<'static>, String> {
    text.to_owned().try_into().map_err(|_| "expected a host name or an IP address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_seconds_or_carries_its_unit() {
        for (text, millis) in [("500ms", 500), ("10s", 10_000), ("10", 10_000), ("2.5", 2_500), ("1m", 60_000)] {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "0", "-1", "NaN", "inf", "1e300", "ten", "0s", "2d"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_filter_needs_a_key_and_keeps_further_equals_signs() {
        assert_eq!(parse_filter("label=app=web"), Ok(("label".to_owned(), "app=web".to_owned())));
        assert_eq!(parse_filter("name="), Ok(("name".to_owned(), String::new())));
        assert!(parse_filter("name").is_err());
        assert!(parse_filter("=web").is_err());
    }

    #[test]
    fn a_memory_limit_is_what_a_sandbox_can_have() {
        assert_eq!(parse_size("64MiB"), Ok(ByteSize::mib(64)));
        for text in ["", "10", "1KiB", "5GiB", "much"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    /// A collector with an option of every kind.
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

    fn parse(line: &str) -> Result<Options, Error> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        Options::parse(&words, &description(), true)
    }

    fn values(options: &Options) -> Vec<(&str, &str)> {
        options.collector.iter().map(|option| (option.name.as_str(), option.value.as_str())).collect()
    }

    #[test]
    fn a_collector_gets_what_was_given_and_its_defaults() {
        assert_eq!(values(&parse("redis").unwrap()), [("section", "all")]);
        let given = "redis --metric -b --cluster --mode full --metric a --section x --timeout 1s";
        let expected = [("section", "x"), ("mode", "full"), ("metric", "-b"), ("metric", "a"), ("cluster", "true")];
        assert_eq!(values(&parse(given).unwrap()), expected);
        for wrong in ["--mode slow", "--section x --section y", "--cluster yes", "--password x", "--unknown"] {
            assert!(matches!(parse(&format!("redis {wrong}")), Err(Error::Clap(_))), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_read_from_its_file_and_leaves_no_trace_in_the_states_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret \n").unwrap();
        let options = parse(&format!("redis --password-file {} --filter name=a", file.path().display())).unwrap();
        assert_eq!(values(&options), [("section", "all"), ("password", "s3cret ")]);
        assert_eq!(options.identity(None), ["prefix=redis", "filter=name=a", "option=section=all"]);
        let error = parse("redis --password-file /nonexistent/file").unwrap_err();
        let expected = "cannot read --password-file /nonexistent/file: No such file or directory (os error 2)";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn an_option_that_is_the_hosts_own_is_the_collectors_fault() {
        for name in ["filter", "timeout", "help", "verbose"] {
            let mut description = description();
            description.options[0].name = name.to_owned();
            let error = Options::parse(&["redis".into()], &description, true).unwrap_err();
            assert!(error.to_string().contains(&format!("an option --{name}, which is the host's own")), "{error}");
        }
    }

    #[test]
    fn a_collector_of_whole_containers_takes_no_option_about_ports() {
        let description = Description { scope: Scope::Container, ..description() };
        let options = Options::parse(&["docker".into()], &description, true).unwrap();
        assert_eq!(options.instance_name, InstanceName::NameId);
        for option in ["--target=a:1", "--container-port=80", "--tls-server-name=a", "--instance-name=port"] {
            let error = Options::parse(&["docker".into(), option.into()], &description, true).unwrap_err();
            let option = option.split('=').next().unwrap_or_default();
            assert!(error.to_string().starts_with(option) && matches!(error, Error::Usage(_)), "{option}: {error}");
        }
    }
}
