//! `completions`: the command line for a shell, and the hidden `man-pages`, which writes it as manual pages. Both are
//! made from the definitions that parse the command line, with the options of the built-in collectors.

use std::fs;
use std::path::Path;

use clap::Args;
use clap::builder::Resettable;
use clap_complete::Shell;

use super::check::{self, CheckOptions};
use super::conf::flags::{self as conf, ConfOptions};
use super::dashboard::{self, DashboardOptions};
use super::explain;
use super::plan::{self, FormatOptions};
use super::watch::{self, WatchOptions};
use crate::authors::test::{self, TestOptions};
use crate::error::Error;
use crate::job::{NoOptions, RUN, load};
use crate::options::labels::{self, WithLabels};
use crate::options::{Options, Subcommand};
use crate::sandbox::{Description, Uses};
use crate::session::Session;

/// The parts of a built-in collector that determine its options.
struct Collector {
    name: &'static str,
    description: Description,
    uses: Uses,
}

/// Prints the completion script of a shell for the command line `cli`.
///
/// # Errors
/// If a built-in collector cannot be loaded.
pub async fn completions(session: &Session, cli: clap::Command, shell: Shell) -> Result<String, Error> {
    let mut cli = complete(session, cli).await?;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli, "mackerel-plugin-wasm", &mut script);
    let script = String::from_utf8(script).map_err(Error::failed)?;
    // clap_complete 4.6 spells the dashes of a program's name in two ways in the script of bash, which then finds no
    // options of subcommands.
    Ok(script.replace("mackerel__subcmd__plugin__subcmd__wasm", "mackerel__plugin__wasm"))
}

/// Writes the manual pages of the command line `cli` into an existing or new folder.
///
/// # Errors
/// If a built-in collector cannot be loaded, or a file cannot be written.
pub async fn man_pages(session: &Session, cli: clap::Command, folder: &Path) -> Result<String, Error> {
    let cli = complete(session, cli).await?;
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        clap_mangen::generate_to(cli, folder)
    };
    write().map_err(|error| Error::failed(format!("cannot write manual pages to {}: {error}", folder.display())))?;
    Ok(String::new())
}

/// Adds the built-in collectors to the commands that take the options of `run`, and leaves out what is hidden: shells
/// would offer it.
async fn complete(session: &Session, cli: clap::Command) -> Result<clap::Command, Error> {
    let mut cli = clap::Command::new("mackerel-plugin-wasm")
        .about(cli.get_about().cloned().unwrap_or_default())
        .args(cli.get_arguments().cloned())
        .subcommands(cli.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
    let mut collectors = Vec::new();
    for builtin in session.store.builtins() {
        let (component, description) = load(session, builtin.name).await?;
        let uses = component.collector.uses();
        collectors.push(Collector { name: builtin.name, description, uses });
    }
    cli = with_collectors::<NoOptions>(cli, session, &RUN, &collectors)?;
    cli = with_collectors::<TestOptions>(cli, session, &test::SUBCOMMAND, &collectors)?;
    cli = with_collectors::<FormatOptions>(cli, session, &plan::SUBCOMMAND, &collectors)?;
    cli = with_collectors::<FormatOptions>(cli, session, &explain::SUBCOMMAND, &collectors)?;
    cli = with_collectors::<CheckOptions>(cli, session, &check::SUBCOMMAND, &collectors)?;
    cli = with_collectors::<WatchOptions>(cli, session, &watch::SUBCOMMAND, &collectors)?;
    cli = with_collectors::<ConfOptions>(cli, session, &conf::SUBCOMMAND, &collectors)?;
    with_collectors::<DashboardOptions>(cli, session, &dashboard::SUBCOMMAND, &collectors)
}

/// The commands that take `labels` in place of a collector.
const TAKE_LABELS: [&str; 5] =
    [RUN.name, plan::SUBCOMMAND.name, explain::SUBCOMMAND.name, conf::SUBCOMMAND.name, dashboard::SUBCOMMAND.name];

fn with_collectors<Own: Args>(
    cli: clap::Command,
    session: &Session,
    subcommand: &Subcommand,
    collectors: &[Collector],
) -> Result<clap::Command, Error> {
    let visible = |name: &'static str, command: clap::Command| {
        // The hidden ones are those that the collector does not take; others may conflict with them.
        let visible = command.get_arguments().filter(|arg| !arg.is_hide_set());
        let visible = visible.map(|arg| arg.clone().conflicts_with(Resettable::Reset));
        clap::Command::new(name).about(command.get_about().cloned().unwrap_or_default()).args(visible)
    };
    let reserved = &session.reserved;
    let of = |Collector { name, description, uses }: &Collector| {
        Ok(visible(name, Options::command::<Own>(subcommand, reserved, name, description, *uses)?))
    };
    let mut commands: Vec<clap::Command> = collectors.iter().map(of).collect::<Result<_, Error>>()?;
    if TAKE_LABELS.contains(&subcommand.name) {
        let (name, description) = (labels::NAME, labels::description());
        let command = Options::command::<WithLabels<Own>>(subcommand, reserved, name, &description, labels::USES)?;
        commands.push(visible(name, command));
    }
    Ok(cli.mut_subcommand(subcommand.name, |command| command.subcommands(commands)))
}
