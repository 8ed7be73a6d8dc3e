//! `conf`: the section of mackerel-agent.conf for a run, that of mackerel-container-agent, or a whole cloud-config for
//! an ECS container instance.
//!
//! Secrets are never printed: the instance fetches API keys and passwords from their references.

mod cloud_init;
mod container_agent;
pub mod flags;
mod secret;
mod section;

use std::env;
use std::ffi::OsString;

use self::flags::{ConfOptions, SUBCOMMAND};
use crate::diagnostics::print;
use crate::error::Error;
use crate::job::Job;
use crate::session::Session;

/// Prints the configuration. `words` is the collector's name and all options.
///
/// # Errors
/// If the options are wrong, or the collector cannot be used here or on the instance.
pub async fn conf(session: &Session, words: &[OsString]) -> Result<String, Error> {
    let (job, own): (Job, ConfOptions) = Job::prepare(session, &SUBCOMMAND, words).await?;
    for line in job.diagnostics().lines() {
        print(&line);
    }
    let arguments = section::arguments(&job, words, own.elsewhere())?;
    if own.container_agent {
        return container_agent::section(&job, words, arguments, &own);
    }
    if !own.cloud_init {
        let program =
            env::current_exe().map_err(|error| Error::failed(format!("cannot find this program: {error}")))?;
        return section::section(&job, &own, &program, arguments, section::environment(&job)?);
    }
    // The instance has an engine of its own; trusted roots have to come there.
    for name in section::variables(&job).into_iter().filter(|name| name.starts_with("SSL_")) {
        print(&format!("{name} of this shell is not carried over to the instance: use --tls-ca-file"));
    }
    cloud_init::cloud_config(&job, words, arguments, &own)
}
