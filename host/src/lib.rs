//! A metric plugin for mackerel-agent: a native host that finds containers and their ports and speaks Mackerel's plugin
//! protocol, and collectors, each a sandboxed WebAssembly component that reads one kind of target.

pub mod address;
pub mod authors;
pub mod commands;
pub mod contract;
pub mod definition;
pub mod diagnostics;
pub mod engine;
pub mod env;
pub mod error;
pub mod job;
pub mod limits;
pub mod moment;
pub mod options;
pub mod pipeline;
pub mod private_dir;
pub mod sandbox;
pub mod stats;
pub mod stop;
pub mod store;
pub mod text;
pub mod tls;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

pub use crate::sandbox::code::Builtin;

use crate::authors::{componentize, new, test};
use crate::commands::{conf, dashboard, explain, inspect, install, plan, run};
use crate::error::Error;
use crate::options::{Cli, CollectorAndRest, Command, RunCommand};
use crate::pipeline::protocol;
use crate::stop::Watchdog;
use crate::store::Store;

/// The whole program: does what `arguments` say, with these built-in collectors and what was generated for Go, and gives the exit
/// status.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    builtins: &'static [Builtin],
    go: &'static [new::File],
) -> ExitCode {
    match execute(arguments, builtins, go) {
        Ok(code) => code,
        Err(error) => {
            match &error {
                Error::Clap(text) => {
                    let _ = text.print();
                }
                error => diagnostics::print(&error.to_string()),
            }
            error.exit_code()
        }
    }
}

fn execute(
    arguments: impl IntoIterator<Item = OsString>,
    builtins: &'static [Builtin],
    go: &'static [new::File],
) -> Result<ExitCode, Error> {
    let cli = Cli::try_parse_from(arguments)?;
    let watchdog = Arc::new(Watchdog::new());
    let engine =
        sandbox::runtime::engine(None).map_err(|error| Error::failed(format!("no WebAssembly here: {error:#}")))?;
    sandbox::runtime::start_clock(&engine, Arc::clone(&watchdog))?;
    let store = Store::new(engine, builtins);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::failed(format!("cannot start: {error}")))?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Run(RunCommand { collector: CollectorAndRest::Words(words) }) => {
                let result = run::run(&store, &words, &watchdog).await;
                result.map_err(|error| match error {
                    Error::Failed(why) => Error::failed(format!("{why}{}", "")),
                    error => error,
                })
            }
            // The others are boxed, for they are larger than a run, and a run need not make place for them.
            Command::Test(RunCommand { collector: CollectorAndRest::Words(words) }) => {
                Box::pin(test::run(&store, &words, &watchdog)).await
            }
            Command::Plan(RunCommand { collector: CollectorAndRest::Words(words) }) => {
                shown(Box::pin(plan::plan(&store, &words, &watchdog)).await)
            }
            Command::Explain(RunCommand { collector: CollectorAndRest::Words(words) }) => {
                shown(Box::pin(explain::explain(&store, &words, &watchdog)).await)
            }
            Command::Conf(RunCommand { collector: CollectorAndRest::Words(words) }) => {
                shown(Box::pin(conf::conf(&store, &words, &watchdog)).await)
            }
            Command::Dashboard(RunCommand { collector: CollectorAndRest::Words(words) }) => {
                shown(Box::pin(dashboard::dashboard(&store, &words, &watchdog)).await)
            }
            Command::List => shown(inspect::list(&store).await),
            Command::Inspect { collector } => shown(inspect::inspect(&store, &collector).await),
            Command::Install { source } => {
                watchdog.set_deadline(limits::SHIPPING_DEADLINE);
                shown(install::install(&store, &source).await)
            }
            Command::Remove { name } => shown(install::remove(&store, &name)),
            Command::Push { file, reference } => {
                watchdog.set_deadline(limits::SHIPPING_DEADLINE);
                shown(install::push(&store, &file, &reference).await)
            }
            Command::New { name, lang, dir } => shown(new::scaffold(&name, lang, &dir, go)),
            Command::Componentize { module, output } => shown(componentize::componentize(&module, output.as_deref())),
        }
    });
    // A name look-up that hangs must not hold up the end.
    runtime.shutdown_background();
    result
}

/// Prints what a command for people has to say.
fn shown(text: Result<String, Error>) -> Result<ExitCode, Error> {
    protocol::print(&text?).map(|()| ExitCode::SUCCESS)
}
