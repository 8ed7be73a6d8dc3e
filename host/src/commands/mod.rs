//! Commands for operators: one file per subcommand.

pub mod check;
pub mod completions;
pub mod conf;
pub mod dashboard;
pub mod dry_run;
pub mod explain;
pub mod inspect;
pub mod install;
pub mod list;
pub mod plan;
pub mod push;
pub mod remove;
pub mod role;
pub mod run;
pub mod screen;
pub mod suggestion;
pub mod table;
pub mod threshold;
pub mod upgrade;
pub mod watch;
