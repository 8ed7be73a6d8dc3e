//! The section of mackerel-agent.conf for a run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde::Serialize;

use super::flags::ConfOptions;
use crate::error::Error;
use crate::job::{Job, RUN};
use crate::limits;
use crate::options::Typed;
use crate::store::component::Origin;
use crate::store::installed;
use crate::text::foreign;

/// The part of mackerel-agent.conf that is printed.
#[derive(Serialize)]
struct Conf {
    plugin: Plugins,
}

#[derive(Serialize)]
struct Plugins {
    metrics: BTreeMap<String, Plugin>,
}

#[derive(Serialize)]
struct Plugin {
    command: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<&'static str, String>,
}

/// Returns the name of the section: the one that was asked for, or the prefix without dots.
pub fn section_name(job: &Job, own: &ConfOptions) -> String {
    own.section.clone().unwrap_or_else(|| job.options.output.prefix.to_string().replace('.', "_"))
}

/// Formats the section with this program and these arguments.
///
/// # Errors
/// If the program's path is not UTF-8.
pub fn section(
    job: &Job,
    own: &ConfOptions,
    program: &Path,
    arguments: Vec<String>,
    env: BTreeMap<&'static str, String>,
) -> Result<String, Error> {
    let mut command = vec![text(program.as_os_str().to_owned())?, RUN.name.to_owned()];
    command.extend(arguments);
    let longest = job.options.deadline + limits::DEADLINE_GRACE;
    let timeout_seconds = (longest > limits::AGENT_TIMEOUT).then_some(longest.as_secs() + 1);
    let metrics = [(section_name(job, own), Plugin { command, timeout_seconds, env })].into();
    let section = toml::to_string(&Conf { plugin: Plugins { metrics } })
        .map_err(|error| Error::failed(format!("cannot write TOML: {error}")))?;
    Ok(format!(
        "# Another section for {} needs its own --section and --metric-key-prefix: mackerel-agent reads one section of\n\
         # each name, and metrics of equal names overwrite each other.\n\
         {section}",
        job.description.name
    ))
}

/// Returns the words after `run`, as they hold in another folder: paths are absolute. The options of `conf` are left
/// out.
pub fn arguments(job: &Job, words: &[OsString], for_instance: bool) -> Result<Vec<String>, Error> {
    let absolute = |path: OsString| -> Result<String, Error> {
        let path = text(path)?;
        if !for_instance {
            let absolute = std::path::absolute(&path).map_err(|error| Error::failed(format!("{path}: {error}")))?;
            return text(absolute.into());
        }
        // It is a path on the instance, not on this machine.
        if path.starts_with('/') {
            Ok(path)
        } else {
            Err(Error::usage(format!("{path}: --cloud-init needs an absolute path")))
        }
    };
    let name = words.first().cloned().unwrap_or_default();
    let is_local_file = matches!(job.component.origin, Origin::File(_)) && !for_instance;
    let mut arguments = vec![if is_local_file { absolute(name)? } else { text(name)? }];
    for Typed { flag, value, is_secret_file } in job.options.typed().iter().cloned() {
        arguments.push(format!("--{flag}"));
        match value {
            Some(path) if is_secret_file => arguments.push(absolute(path)?),
            Some(value) => arguments.push(text(value)?),
            None => {}
        }
    }
    Ok(arguments)
}

/// Returns the variables of this environment that change the run. mackerel-agent has an environment of its own.
pub fn environment(job: &Job) -> BTreeMap<&'static str, String> {
    let discovery = &job.options.discovery;
    let mut names = Vec::new();
    if discovery.fixed.is_empty() {
        names.extend(["DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"]);
        if discovery.engine.is_none() {
            names.push("DOCKER_HOST");
        }
    }
    if matches!(job.component.origin, Origin::Installed(_)) {
        names.push(installed::FOLDER_VARIABLE);
    }
    let value = |name| {
        let value = crate::env::variable(name)?;
        // mackerel-agent runs in another folder.
        let is_path = matches!(name, "DOCKER_CERT_PATH" | installed::FOLDER_VARIABLE);
        let whole = || std::path::absolute(&value).ok()?.into_os_string().into_string().ok();
        let whole = is_path.then(whole).flatten();
        Some((name, whole.unwrap_or(value)))
    };
    names.into_iter().filter_map(value).collect()
}

fn text(word: OsString) -> Result<String, Error> {
    word.into_string().map_err(|word| {
        Error::usage(format!("mackerel-agent.conf must be UTF-8: {}", foreign(&word.to_string_lossy())))
    })
}
