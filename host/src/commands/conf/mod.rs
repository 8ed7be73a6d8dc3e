//! `conf`: the section of mackerel-agent.conf for a run, that of mackerel-container-agent, or a whole cloud-config for
//! an ECS container instance.
//!
//! Secrets are never printed: the instance fetches API keys and passwords from their references.

mod cloud_init;
mod container_agent;
pub mod flags;
mod plugin;
mod secret;
mod section;

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;

use self::flags::{ConfOptions, SUBCOMMAND, SectionOptions};
use self::section::Section;
use crate::commands::check;
use crate::diagnostics::print;
use crate::env::{variable, variable_os};
use crate::error::Error;
use crate::jobs::Jobs;
use crate::otlp::OtlpOptions;
use crate::otlp::endpoint::{Endpoint, KEY_FILE, KEY_VARIABLE, SECRET_VARIABLES};
use crate::session::Session;
use crate::text::foreign;

/// Prints the configuration. `words` is the collector's name and all options.
///
/// # Errors
/// If the options are wrong, or the collector cannot be used here or on the instance.
pub async fn conf(session: &Session, words: &[OsString]) -> Result<String, Error> {
    let (jobs, own): (Jobs, ConfOptions) = Jobs::prepare(session, &SUBCOMMAND, words).await?;
    let mut section = Section::new(jobs, own.first.section.clone(), words, own.elsewhere())?;
    let of_check = own.of_check.words();
    if own.check {
        section.make_check(of_check);
        check::validate(session, &section.arguments).await?;
    } else if let Some(option) = of_check.first() {
        return Err(Error::usage(format!("{option} needs --check")));
    }
    let mut sections = vec![section];
    for command in &own.also {
        let words: Vec<OsString> = shlex::split(command)
            .filter(|words| !words.is_empty())
            .ok_or_else(|| Error::usage(format!("--also '{}': expected COLLECTOR [OPTIONS]", foreign(command))))?
            .into_iter()
            .map(OsString::from)
            .collect();
        let (jobs, SectionOptions { section }) = Jobs::prepare(session, &SUBCOMMAND, &words).await?;
        sections.push(Section::new(jobs, section, &words, own.elsewhere())?);
    }
    reject_equal_names(&sections)?;
    for line in sections.iter().flat_map(|section| section.jobs.diagnostics().lines()) {
        print(&line);
    }
    let mut omitted = BTreeSet::new();
    for otlp in sections.iter().filter_map(|section| section.jobs.shared().otlp.as_ref()) {
        omitted.extend(omitted_secrets(otlp)?);
    }
    for (name, fix) in omitted {
        print(&format!("{name} of this shell is not written, because it can be secret: {fix}"));
    }
    if let Some(option) = own.elsewhere() {
        let variables: BTreeSet<&str> = sections.iter().flat_map(|section| section::variables(&section.jobs)).collect();
        for name in variables.into_iter().filter(|name| name.starts_with("OTEL_")) {
            print(&format!("{name} of this shell is not carried over ({option}): set it there"));
        }
    }
    if own.container_agent {
        return container_agent::sections(&sections, words);
    }
    if own.cloud_init {
        // The instance has an engine of its own; trusted roots have to come there.
        let variables: BTreeSet<&str> = sections.iter().flat_map(|section| section::variables(&section.jobs)).collect();
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter(|name| variables.contains(name)) {
            print(&format!("{name} of this shell is not carried over to the instance: use --tls-ca-file"));
        }
        return cloud_init::cloud_config(&sections, words, &own);
    }
    let program = env::current_exe().map_err(|error| Error::failed(format!("cannot find this program: {error}")))?;
    let texts: Vec<String> = sections
        .iter()
        .map(|section| section.text(&program, section::environment(&section.jobs)?))
        .collect::<Result<_, Error>>()?;
    Ok(texts.join("\n"))
}

/// Returns the variables of this shell that can contain the API key or another secret of an export, each with its fix.
fn omitted_secrets(otlp: &OtlpOptions) -> Result<Vec<(&'static str, String)>, Error> {
    let is_mackerel = Endpoint::resolve(otlp.endpoint.as_ref(), variable)?.is_mackerel();
    let needs_key = is_mackerel && otlp.api_key_file.is_none();
    let fix = if needs_key { format!("use {KEY_FILE}") } else { "set it in the environment of the agent".to_owned() };
    let is_used = |name: &&str| variable_os(name).is_some() && (needs_key || *name != KEY_VARIABLE);
    Ok(SECRET_VARIABLES.into_iter().filter(is_used).map(|name| (name, fix.clone())).collect())
}

/// Rejects two sections of one name: mackerel-agent would read only one.
fn reject_equal_names(sections: &[Section]) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    match sections.iter().find(|section| !names.insert(&section.name)) {
        Some(Section { name, .. }) => Err(Error::usage(format!(
            "two sections have the name {name}: add --section and --metric-key-prefix to one of them"
        ))),
        None => Ok(()),
    }
}
