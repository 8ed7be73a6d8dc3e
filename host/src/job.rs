//! A job: one command line about a collector, checked. The collector is loaded, its options are read, and its graphs are known.

use std::ffi::OsString;

use clap::Args;

use crate::definition::Definitions;
use crate::diagnostics::Diagnostics;
use crate::error::Error;
use crate::options::{Options, Purpose};
use crate::pipeline::output::PostedGraph;
use crate::pipeline::state::StateFile;
use crate::sandbox::Description;
use crate::stop::Watchdog;
use crate::store::{Component, Store};
use crate::text::foreign;

/// A command line about a collector, checked.
pub struct Job {
    /// The collector.
    pub component: Component,
    /// What it says of itself.
    pub description: Description,
    /// The options of the host and the collector.
    pub options: Options,
    /// What the collector declares for these options.
    pub definitions: Definitions,
    /// The graphs that Mackerel gets.
    pub graphs: Vec<PostedGraph>,
}

impl Job {
    /// Checks `words`: the collector's name and all options, for a command that has the options `Further` of its own. No target is asked.
    ///
    /// # Errors
    /// A usage error where they make no sense; otherwise why the collector cannot be used.
    pub async fn prepare<Further: Args>(
        purpose: Purpose,
        store: &Store,
        words: &[OsString],
        watchdog: &Watchdog,
    ) -> Result<(Job, Further), Error> {
        let name = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
        let mut component = store.load(&name)?;
        let description = component.describe().await?;
        let asks_of_containers = component.collector.asks_of_containers();
        let (options, further): (Options, Further) =
            Options::parse_for(purpose, words, &description, asks_of_containers)?;
        watchdog.set_deadline(options.host.deadline);
        component.collector.set_bounds(options.host.bounds());
        let definitions = component.definitions(&options.collector).await?;
        let graphs = options.output.graphs(&definitions);
        let graphs = graphs.map_err(|why| Error::usage(format!("{}: {why}", foreign(&component.name))))?;
        Ok((Job { component, description, options, definitions, graphs }, further))
    }

    /// Diagnostics that begin with what is to be said of the collector itself.
    pub fn diagnostics(&self) -> Diagnostics {
        let mut diagnostics = Diagnostics::new(&self.component.name);
        for warning in &self.component.warnings {
            diagnostics.warn(warning);
        }
        let refused = self.component.collector.refused();
        if !refused.is_empty() {
            diagnostics.warn(format!("the collector {refused}"));
        }
        diagnostics
    }

    /// Where the state of this command is kept.
    ///
    /// # Errors
    /// As of [`StateFile::open`].
    pub fn state_file(&self) -> Result<StateFile, String> {
        StateFile::open(&self.description.name, &self.options.identity(self.component.identity()))
    }
}
