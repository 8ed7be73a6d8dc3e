//! A metric plugin for mackerel-agent: a native host that finds containers and their ports and speaks Mackerel's plugin
//! protocol, and collectors, each a sandboxed WebAssembly component that reads one kind of target.
//!
//! One run, as data flows; each stage is a module, and none reaches back:
//!
//! [`options`] → [`discover`] → [`target`] → [`collect`] (one [`sandbox`] per target, all at once) → [`name`] → [`rate`]
//! (with the [`state`] of the last run) → [`output`] ([`select`]ed, and in [`total`]) → [`write`](mod@write)
//!
//! [`run`] reads as this line does. Beside it stand [`job`] (a command line, checked), [`store`] and [`registry`] (where collectors come
//! from), [`contract`] (what is one), [`definition`] (what they declare), [`address`], [`dial`] and [`tls`] (how targets and the engine
//! are reached), [`stats`] (what containers use), [`slot`] (names that stay few), [`stop`] (what ends a run early), [`private`] (folders
//! that nobody else can write to), [`notice`] (what goes to stderr), [`failure`] and [`error`] (what goes wrong, for one target and for
//! the whole run), and [`limits`] (every number).
//!
//! The commands for people are [`inspect`], [`plan`], [`explain`], [`conf`] and [`dashboard`] (of a [`role`]), in [`table`]s. Authors of
//! collectors get [`scaffold`], [`trial`], [`componentize`] and the contract's [`wit`].

pub mod address;
pub mod collect;
pub mod componentize;
pub mod conf;
pub mod contract;
pub mod dashboard;
pub mod definition;
pub mod dial;
pub mod discover;
pub mod error;
pub mod explain;
pub mod failure;
pub mod inspect;
pub mod job;
pub mod limits;
pub mod name;
pub mod notice;
pub mod options;
pub mod output;
pub mod plan;
pub mod private;
pub mod rate;
pub mod registry;
pub mod role;
pub mod run;
pub mod sandbox;
pub mod scaffold;
pub mod select;
pub mod slot;
pub mod state;
pub mod stats;
pub mod stop;
pub mod store;
pub mod table;
pub mod target;
pub mod tls;
pub mod total;
pub mod trial;
pub mod wit;
pub mod write;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

pub use crate::sandbox::code::Builtin;

use crate::error::Error;
use crate::options::{Cli, CollectorAndRest, Command, RunCommand};
use crate::stop::Watchdog;
use crate::store::{Store, install};

/// The whole program: does what `arguments` say, with these built-in collectors and what was generated for Go, and gives the exit
/// status.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    builtins: &'static [Builtin],
    go: &'static [scaffold::File],
) -> ExitCode {
    match execute(arguments, builtins, go) {
        Ok(code) => code,
        Err(error) => {
            match &error {
                Error::Clap(text) => {
                    let _ = text.print();
                }
                error => notice::say(&error.to_string()),
            }
            error.exit_code()
        }
    }
}

fn execute(
    arguments: impl IntoIterator<Item = OsString>,
    builtins: &'static [Builtin],
    go: &'static [scaffold::File],
) -> Result<ExitCode, Error> {
    let cli = Cli::try_parse_from(arguments)?;
    let watchdog = Arc::new(Watchdog::new());
    let engine =
        sandbox::engine::engine(None).map_err(|error| Error::Failed(format!("no WebAssembly here: {error:#}")))?;
    sandbox::engine::start_clock(&engine, Arc::clone(&watchdog))?;
    let store = Store::new(engine, builtins);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::Failed(format!("cannot start: {error}")))?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Run(RunCommand { collector: CollectorAndRest::Words(words) }) => {
                let result = run::run(&store, &words, &watchdog).await;
                result.map_err(|error| match error {
                    Error::Failed(why) => Error::Failed(format!("{why}{}", notice::EXPLAIN)),
                    error => error,
                })
            }
            // The others are boxed, for they are larger than a run, and a run need not make place for them.
            Command::Test(RunCommand { collector: CollectorAndRest::Words(words) }) => {
                Box::pin(trial::run(&store, &words, &watchdog)).await
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
            Command::New { name, lang, dir } => shown(scaffold::scaffold(&name, lang, &dir, go)),
            Command::Componentize { module, output } => shown(componentize::componentize(&module, output.as_deref())),
        }
    });
    // A name look-up that hangs must not hold up the end.
    runtime.shutdown_background();
    result
}

/// Prints what a command for people has to say.
fn shown(text: Result<String, Error>) -> Result<ExitCode, Error> {
    write::print(&text?).map(|()| ExitCode::SUCCESS)
}
