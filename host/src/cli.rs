//! The command line: all commands, and their dispatch.

// The doc comments of options are their help texts, not Markdown.
#![allow(clippy::doc_markdown)]

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::authors::new::{self, Language};
use crate::authors::{Generated, componentize, test};
use crate::commands::{
    check, completions, conf, dashboard, explain, inspect, install, list, plan, push, remove, run, upgrade, watch,
};
use crate::diagnostics;
use crate::drop_in;
use crate::error::Error;
use crate::limits;
use crate::options::labels;
use crate::pipeline::protocol;
use crate::sandbox::code::Builtin;
use crate::sandbox::runtime::Runtime;
use crate::session::Session;
use crate::stop::Watchdog;
use crate::store::registry::options::RegistryOptions;
use crate::store::{BUILTIN_NAMES, Store, compile};
use crate::version;

/// The first step of reading the command line: the command and, for those that take the options of `run`, the
/// collector.
#[derive(Debug, Parser)]
#[command(
    name = "mackerel-plugin-wasm",
    about,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    disable_version_flag = true,
    override_usage = "mackerel-plugin-wasm <COMMAND>"
)]
pub struct Cli {
    /// The command; `None` only with `--version`.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Print the version
    #[arg(short = 'V', long)]
    pub version: bool,

    /// Print the target, the commit, and the versions of wasmtime and the contract too; needs --version
    #[arg(long, requires = "version")]
    pub verbose: bool,
}

/// A command of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Collect metrics from all targets once; mackerel-agent calls this
    ///
    /// The collector comes first; its options and the host's follow in any order. `run COLLECTOR --help` lists them.
    #[command(override_usage = "mackerel-plugin-wasm run COLLECTOR [OPTIONS]", disable_help_subcommand = true)]
    Run(RunCommand),
    /// Test a collector on one target or on a recording, and check it against the contract
    ///
    /// Prints the metrics and the findings, identical for the same responses, so that an author can compare them. The
    /// collector comes first; its options and the host's follow in any order. `test COLLECTOR --help` lists them.
    #[command(override_usage = "mackerel-plugin-wasm test COLLECTOR [OPTIONS]", disable_help_subcommand = true)]
    Test(RunCommand),
    /// Count the metrics that a run posts, against Mackerel's limits per host
    ///
    /// Collects once from all targets, and suggests options that reduce the number. Takes the options of `run`; `plan
    /// COLLECTOR --help` lists them.
    #[command(override_usage = "mackerel-plugin-wasm plan COLLECTOR [OPTIONS]", disable_help_subcommand = true)]
    Plan(RunCommand),
    /// Show the outcome of a run for each container, with the reason
    ///
    /// Collects once from all targets, and writes no state. Takes the options of `run`; `explain COLLECTOR --help`
    /// lists them.
    #[command(override_usage = "mackerel-plugin-wasm explain COLLECTOR [OPTIONS]", disable_help_subcommand = true)]
    Explain(RunCommand),
    /// Check all targets, as a check plugin of mackerel-agent
    ///
    /// Prints one line; the exit status is 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN). A target that fails is
    /// CRITICAL. Takes the options of `run` that are not about printed metrics; `check COLLECTOR --help` lists them.
    #[command(override_usage = "mackerel-plugin-wasm check COLLECTOR [OPTIONS]", disable_help_subcommand = true)]
    Check(RunCommand),
    /// Show a live table of all targets, with rates and failures; q quits
    ///
    /// Collects again and again, and keeps counters in memory alone. Takes the options of `run`; `watch COLLECTOR
    /// --help` lists them.
    #[command(override_usage = "mackerel-plugin-wasm watch COLLECTOR [OPTIONS]", disable_help_subcommand = true)]
    Watch(RunCommand),
    /// Print the section of mackerel-agent.conf for a run, or a whole cloud-config
    ///
    /// Takes the options of `run`; `conf COLLECTOR --help` lists them.
    #[command(override_usage = "mackerel-plugin-wasm conf COLLECTOR [OPTIONS]", disable_help_subcommand = true)]
    Conf(RunCommand),
    /// Print a Mackerel dashboard for all hosts of a role
    ///
    /// Takes the options of `run`; `dashboard COLLECTOR --help` lists them.
    #[command(
        override_usage = "mackerel-plugin-wasm dashboard COLLECTOR --role SERVICE:ROLE [OPTIONS]",
        disable_help_subcommand = true
    )]
    Dashboard(RunCommand),
    /// List the built-in and installed collectors
    List,
    /// Show a collector: options, graphs, imports, size and digest
    Inspect {
        /// The name of a built-in or installed collector, or the path of a .wasm file
        collector: String,
    },
    /// Create a collector project that builds and has tests
    New {
        /// The name of the collector and of its folder
        name: String,

        /// The language
        #[arg(long, value_name = "LANGUAGE")]
        lang: Language,

        /// The parent of the folder
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Convert a core WebAssembly module, such as Go's compiler builds, to a component
    Componentize {
        /// The module
        #[arg(value_name = "CORE.wasm")]
        module: PathBuf,

        /// The component [default: CORE.component.wasm beside the module]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Install or replace a collector, and pin it by its digest
    ///
    /// It is compiled once and then runs by its name. A tag is resolved once, now: later runs use the component that
    /// was installed. Registry logins are those of `docker login` and `podman login`.
    Install {
        /// The path of a .wasm file, or oci://REGISTRY/REPOSITORY with :TAG, @sha256:DIGEST or both
        #[arg(required_unless_present = "all")]
        source: Option<String>,

        /// Compile all installed collectors for this version of the program, after an upgrade
        #[arg(long, conflicts_with_all = ["source", "verify_key", "ca_file", "plain_http"])]
        all: bool,

        /// Require a cosign signature by the key in this file, a PEM public key (ECDSA P-256). The signature of a
        /// file is in FILE.wasm.sig
        #[arg(long, value_name = "FILE")]
        verify_key: Option<PathBuf>,

        /// The options about registries.
        #[command(flatten)]
        registry: RegistryOptions,
    },
    /// Remove an installed collector
    Remove {
        /// The name of the collector
        name: String,
    },
    /// Push a collector to a registry
    Push {
        /// The path of a .wasm file
        file: PathBuf,
        /// oci://REGISTRY/REPOSITORY:TAG
        reference: String,

        /// Sign it as cosign does, with the key in this file, a PEM private key without a password (ECDSA P-256)
        #[arg(long, value_name = "FILE")]
        sign_key: Option<PathBuf>,

        /// The options about registries.
        #[command(flatten)]
        registry: RegistryOptions,
    },
    /// Print the completion script for a shell, with the options of the built-in collectors
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages into a folder; packages contain them
    #[command(hide = true)]
    ManPages {
        /// The folder
        folder: PathBuf,
    },
    /// Compile the component on stdin; the program itself calls this
    #[command(name = compile::COMMAND, hide = true)]
    CompileFromStdin,
}

/// A command that takes the options of `run`, before the collector is known.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    subcommand_value_name = "COLLECTOR",
    after_help = format!(
        "Collectors: {}, an installed one, the path of a .wasm file, or {}: those that labels of containers choose",
        BUILTIN_NAMES.join(", "),
        labels::NAME
    )
)]
pub struct RunCommand {
    /// The collector and the words after it.
    #[command(subcommand)]
    pub collector: CollectorAndRest,
}

/// The collector's name, and all options as typed.
#[derive(Debug, Subcommand)]
pub enum CollectorAndRest {
    /// The words; the first one is the collector.
    #[command(external_subcommand)]
    Words(Vec<OsString>),
}

/// Runs the whole program: reads `arguments`, the first of which is the program's name, and returns the exit status.
/// Called by the name of a Go plugin, it reads that plugin's flags. `builtins` are the embedded collectors.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    builtins: &'static [Builtin],
    generated: Generated,
) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_check = check::is_called(&arguments) && !drop_in::is_called(&arguments);
    execute(&arguments, builtins, generated).unwrap_or_else(|error| {
        // To mackerel-agent, the exit status of any other error would be a result.
        if let Some(line) = is_check.then(|| check::error_line(&arguments, &error)).flatten() {
            let _ = protocol::print(&line);
            return ExitCode::from(check::UNKNOWN);
        }
        match &error {
            Error::Clap(text) => {
                let _ = text.print();
            }
            Error::Usage(source) | Error::Failed(source) => diagnostics::print(&source.to_string()),
        }
        error.exit_code()
    })
}

fn execute(arguments: &[OsString], builtins: &'static [Builtin], generated: Generated) -> Result<ExitCode, Error> {
    let (command, drop_in) = match drop_in::call(arguments).transpose()? {
        None if is_version(arguments) => return print(Ok(version::text(false))),
        None => {
            let cli = Cli::try_parse_from(arguments)?;
            let Some(command) = cli.command else { return print(Ok(version::text(cli.verbose))) };
            (command, None)
        }
        Some(drop_in::Call::Run(words, output)) => {
            (Command::Run(RunCommand { collector: CollectorAndRest::Words(words) }), Some(output))
        }
        Some(drop_in::Call::Help(text)) => {
            diagnostics::print_text(&text);
            return Ok(ExitCode::SUCCESS);
        }
        Some(drop_in::Call::Nothing(reason)) => {
            diagnostics::print(&reason);
            return Ok(ExitCode::SUCCESS);
        }
    };
    let watchdog = Arc::new(Watchdog::new(if matches!(command, Command::Check(_)) { check::UNKNOWN } else { 1 }));
    // Some systems, such as Debian, back all memory with huge pages: the stack of each sandbox would take 2 MiB instead
    // of some pages. Kernels before 3.15 do not have this call.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let runtime = if has_many_sandboxes(&command) { Runtime::pooled() } else { Runtime::on_demand() };
    let runtime =
        runtime.map_err(|error| Error::failed(format!("WebAssembly is not supported on this machine: {error:#}")))?;
    let watch = Arc::clone(&watchdog);
    runtime
        .start_clock(move || watch.check())
        .map_err(|error| Error::failed(format!("cannot start a thread: {error}")))?;
    let session = Session { store: Store::new(runtime, builtins), watchdog, reserved: RESERVED.into(), drop_in };
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failed(format!("cannot start: {error}")))?;
    let result = tokio.block_on(dispatch(command, &session, generated));
    // A name lookup that hangs must not delay the exit.
    tokio.shutdown_background();
    result
}

/// Returns true for `--version` alone. Its answer does not wait for the tree of commands.
fn is_version(arguments: &[OsString]) -> bool {
    matches!(arguments, [_, word] if word == "--version" || word == "-V")
}

/// Returns true for a command that can have more targets than a window: only its sandboxes reuse memory, and making the
/// pool takes time.
fn has_many_sandboxes(command: &Command) -> bool {
    let Command::Run(RunCommand { collector: CollectorAndRest::Words(words) }) = command else { return false };
    let is_target = |word: &&OsString| word.as_bytes() == b"--target" || word.as_bytes().starts_with(b"--target=");
    let targets = words.iter().filter(is_target).count();
    !run::wants_definitions() && !(1..=limits::WINDOW).contains(&targets)
}

async fn dispatch(command: Command, session: &Session, generated: Generated) -> Result<ExitCode, Error> {
    use CollectorAndRest::Words;
    let Session { store, watchdog, .. } = session;
    match command {
        Command::Run(RunCommand { collector: Words(words) }) => run::run(session, &words).await,
        // Boxed, because they are larger than a run, and a run should not reserve memory for them.
        Command::Test(RunCommand { collector: Words(words) }) => Box::pin(test::run(session, &words)).await,
        Command::Plan(RunCommand { collector: Words(words) }) => report(Box::pin(plan::plan(session, &words)).await),
        Command::Explain(RunCommand { collector: Words(words) }) => {
            report(Box::pin(explain::explain(session, &words)).await)
        }
        Command::Check(RunCommand { collector: Words(words) }) => Box::pin(check::check(session, &words)).await,
        Command::Watch(RunCommand { collector: Words(words) }) => Box::pin(watch::watch(session, &words)).await,
        Command::Conf(RunCommand { collector: Words(words) }) => print(Box::pin(conf::conf(session, &words)).await),
        Command::Dashboard(RunCommand { collector: Words(words) }) => {
            print(Box::pin(dashboard::dashboard(session, &words)).await)
        }
        Command::List => print(list::list(store).await),
        Command::Inspect { collector } => print(inspect::inspect(session, &collector).await),
        Command::Install { source, verify_key, registry, .. } => match source {
            Some(source) => {
                watchdog.set_deadline(limits::SHIPPING_DEADLINE);
                print(install::install(session, &source, verify_key.as_deref(), &registry).await)
            }
            None => upgrade::upgrade(session),
        },
        Command::Remove { name } => print(remove::remove(store, &name)),
        Command::Push { file, reference, sign_key, registry } => {
            watchdog.set_deadline(limits::SHIPPING_DEADLINE);
            print(push::push(session, &file, &reference, sign_key.as_deref(), &registry).await)
        }
        Command::Completions { shell } => print(completions::completions(session, Cli::command(), shell).await),
        Command::ManPages { folder } => print(completions::man_pages(session, Cli::command(), &folder).await),
        Command::CompileFromStdin => {
            watchdog.set_deadline(limits::SHIPPING_DEADLINE);
            Ok(compile::compile_from_stdin(store.runtime.engine()))
        }
        Command::New { name, lang, dir } => print(new::create(&name, lang, &dir, generated.go)),
        Command::Componentize { module, output } => {
            print(componentize::componentize(&module, output.as_deref(), generated.types))
        }
    }
}

/// Prints the output of a command for people.
fn print(text: Result<String, Error>) -> Result<ExitCode, Error> {
    protocol::print(&text?)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the output of a command for people that has an exit status of its own.
fn report(result: Result<(String, ExitCode), Error>) -> Result<ExitCode, Error> {
    let (text, code) = result?;
    protocol::print(&text)?;
    Ok(code)
}

/// The names of options that only some commands have. Constant, because every run needs them. Later options are not
/// reserved: a collector of contract 0.1.0 may declare one of these names, and then cannot be used with the commands
/// that have the option.
const RESERVED: [&str; 13] = [
    "api-key-from",
    "cloud-init",
    "dashboard-id",
    "ecs-cluster",
    "json",
    "plugin-from",
    "plugin-sums",
    "record",
    "replay",
    "role",
    "secret-from",
    "section",
    "urls",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Arg, Args as _};

    use super::*;
    use crate::commands::plan::FormatOptions;

    /// Those that came after the contract 0.1.0.
    const LATER: [&str; 9] =
        ["also", "container-agent", "check", "warning", "critical", "max-failed", "allow-none", "interval", "once"];

    #[test]
    fn options_of_single_commands_are_reserved() {
        let commands = [
            test::TestOptions::augment_args(clap::Command::new("")),
            FormatOptions::augment_args(clap::Command::new("")),
            check::CheckOptions::augment_args(clap::Command::new("")),
            conf::flags::ConfOptions::augment_args(clap::Command::new("")),
            dashboard::DashboardOptions::augment_args(clap::Command::new("")),
            watch::WatchOptions::augment_args(clap::Command::new("")),
        ];
        let names = commands.iter().flat_map(clap::Command::get_arguments).filter_map(Arg::get_long);
        let names: BTreeSet<&str> = names.collect();
        assert_eq!(names, RESERVED.into_iter().chain(LATER).collect());
    }
}
