//! The session: the context of one process, which all of its commands use.
//!
//! It stands below the commands and not in `cli`, which knows every command: otherwise the two would form a circle.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::pipeline::output::Value;
use crate::stop::Watchdog;
use crate::store::Store;

/// The context of one process.
pub struct Session {
    /// All collectors that can be run.
    pub store: Store,
    /// Ends the process if it outlives its deadline.
    pub watchdog: Arc<Watchdog>,
    /// The names of options that only some commands have. No collector may declare one of them, so that one command
    /// line works for `run`, `explain`, `plan` and the others.
    pub reserved: BTreeSet<&'static str>,
    /// The output of another plugin, if the program was called by its name.
    pub drop_in: Option<DropIn>,
}

/// The parts of another plugin's output for which `run` has no option.
pub struct DropIn {
    /// The folder of its state, instead of the one of all commands.
    pub state: Option<PathBuf>,
    /// Formats a value as the plugin does.
    pub number: fn(&Value) -> String,
    /// The command line that explains a run.
    pub explain: String,
}
