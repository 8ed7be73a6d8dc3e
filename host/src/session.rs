//! The session: what all commands of one process share.
//!
//! It stands below the commands and not in `cli`, which knows every command: otherwise the two would form a circle.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::stop::Watchdog;
use crate::store::Store;

/// The context of a command.
pub struct Session {
    /// All collectors that can be run.
    pub store: Store,
    /// Ends the process if it outlives its deadline.
    pub watchdog: Arc<Watchdog>,
    /// The names of options that only some commands have. No collector may declare one of them, so that one command
    /// line works for `run`, `explain`, `plan` and the others.
    pub reserved: BTreeSet<String>,
}
