//! The section of mackerel-agent.conf for a run.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use serde::Serialize;

use crate::commands::check;
use crate::error::Error;
use crate::job::{Job, RUN};
use crate::jobs::Jobs;
use crate::limits;
use crate::options::Typed;
use crate::otlp::endpoint::{CERTIFICATE_VARIABLES, ENDPOINT_VARIABLES, OTHER_VARIABLES};
use crate::pipeline::source::SourceKind;
use crate::sandbox::trust::Roots;
use crate::store::component::Origin;
use crate::store::installed;
use crate::text::foreign;

/// The part of mackerel-agent.conf that is printed.
#[derive(Serialize)]
struct Conf {
    /// Plugins by their kind and name.
    plugin: BTreeMap<&'static str, BTreeMap<String, Plugin>>,
}

#[derive(Serialize)]
struct Plugin {
    command: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<&'static str, String>,
}

/// A section: one command of the agent.
pub struct Section {
    /// The checked command.
    pub jobs: Jobs,
    /// The name of the section.
    pub name: String,
    /// The words after `run` or `check`.
    pub arguments: Vec<String>,
    is_check: bool,
}

impl Section {
    /// Makes the section of a command. Its name is `name`, or the prefix of its metrics without dots. `words` is the
    /// collector's name and all options, and `elsewhere` the option by which the section is for another machine.
    ///
    /// # Errors
    /// As of [`arguments`].
    pub fn new(
        jobs: Jobs,
        name: Option<String>,
        words: &[OsString],
        elsewhere: Option<&str>,
    ) -> Result<Section, Error> {
        let name = name.unwrap_or_else(|| match jobs.labels {
            Some(_) => jobs.subject().to_owned(),
            None => jobs.shared().output.prefix.to_string().replace('.', "_"),
        });
        let arguments = arguments(&jobs, words, elsewhere)?;
        Ok(Section { jobs, name, arguments, is_check: false })
    }

    /// Makes it the section of a check with these options.
    pub fn make_check(&mut self, options: Vec<String>) {
        self.is_check = true;
        self.arguments.extend(options);
    }

    /// Returns `timeout_seconds` of the section: longer than a run, which ends at its deadline and a grace period.
    pub fn timeout_seconds(&self) -> u64 {
        (self.jobs.shared().deadline + limits::DEADLINE_GRACE).as_secs() + 1
    }

    /// Formats the section with this program and these variables.
    ///
    /// # Errors
    /// If the program's path is not UTF-8.
    pub fn text(&self, program: &Path, env: BTreeMap<&'static str, String>) -> Result<String, Error> {
        let (kind, subcommand) = if self.is_check { ("checks", check::SUBCOMMAND.name) } else { ("metrics", RUN.name) };
        let mut command = vec![text(program.as_os_str().to_owned())?, subcommand.to_owned()];
        command.extend(self.arguments.iter().cloned());
        let longest = self.jobs.shared().deadline + limits::DEADLINE_GRACE;
        let timeout_seconds = (longest > limits::AGENT_TIMEOUT).then_some(self.timeout_seconds());
        let plugin = [(self.name.clone(), Plugin { command, timeout_seconds, env })].into();
        let section = toml::to_string(&Conf { plugin: [(kind, plugin)].into() })
            .map_err(|error| Error::failed(format!("cannot write TOML: {error}")))?;
        if self.is_check {
            return Ok(format!(
                "# Another check by {} needs its own --section: mackerel-agent reads one check of each name.\n{section}",
                self.jobs.subject()
            ));
        }
        Ok(format!(
            "# Another section for {} needs its own --section and --metric-key-prefix: mackerel-agent reads one section of\n\
             # each name, and metrics of equal names overwrite each other.\n\
             {section}",
            self.jobs.subject()
        ))
    }
}

/// Returns the words after `run`, as they hold in another folder: paths are absolute. The options of `conf` are left
/// out. `elsewhere` is the option by which they are for another machine.
fn arguments(jobs: &Jobs, words: &[OsString], elsewhere: Option<&str>) -> Result<Vec<String>, Error> {
    let whole = |path: OsString| -> Result<String, Error> {
        let Some(option) = elsewhere else { return text(absolute(path)?) };
        let path = text(path)?;
        // It is a path on the other machine, not on this one.
        if path.starts_with('/') {
            Ok(path)
        } else {
            Err(Error::usage(format!("{path}: {option} needs an absolute path")))
        }
    };
    if let Some(name) = jobs.all.iter().find_map(|job| job.options.http.secrets_in_arguments.first()) {
        return Err(Error::usage(format!(
            "conf would write the value of the header {} into the configuration: put the header into a file and use \
             --http-header-file",
            foreign(name)
        )));
    }
    let name = words.first().cloned().unwrap_or_default();
    let is_local_file = matches!(jobs.all[0].component.origin, Origin::File(_)) && elsewhere.is_none();
    let mut arguments = vec![if is_local_file { whole(name)? } else { text(name)? }];
    for Typed { flag, value, is_file } in jobs.typed() {
        arguments.push(format!("--{flag}"));
        match value {
            Some(path) if is_file => arguments.push(whole(path)?),
            Some(value) => arguments.push(text(value)?),
            None => {}
        }
    }
    for (job, Typed { flag, value, is_file }) in jobs.typed_of_one() {
        let name = format!("{}.{flag}", job.component.name);
        arguments.push("--option".to_owned());
        arguments.push(match value {
            Some(path) if is_file => format!("{name}={}", whole(path)?),
            Some(value) => format!("{name}={}", text(value)?),
            None => name,
        });
    }
    Ok(arguments)
}

/// Returns the names of the environment variables that change this run.
pub fn variables(jobs: &Jobs) -> Vec<&'static str> {
    let discovery = &jobs.shared().discovery;
    let uses_engine = discovery.source.kind == SourceKind::Engine;
    let uses_tls_to_engine = uses_engine && ["DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"].iter().any(|name| is_set(name));
    let uses_roots =
        |job: &Job| job.component.collector.uses().http && *job.options.settings.http.trust.roots() == Roots::Machine;
    let mut names = Vec::new();
    if uses_engine {
        names.extend(["DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"]);
        if discovery.engine.is_none() {
            names.push("DOCKER_HOST");
        }
    }
    let otlp = jobs.shared().otlp.as_ref();
    if let Some(otlp) = otlp {
        if otlp.endpoint.is_none() {
            names.extend(ENDPOINT_VARIABLES);
        }
        names.extend(CERTIFICATE_VARIABLES.into_iter().chain(OTHER_VARIABLES));
    }
    if jobs.all.iter().any(uses_roots) || uses_tls_to_engine || otlp.is_some() {
        names.extend(["SSL_CERT_FILE", "SSL_CERT_DIR"]);
    }
    if jobs.all.iter().any(|job| matches!(job.component.origin, Origin::Installed(_))) {
        names.push(installed::FOLDER_VARIABLE);
    }
    names.retain(|name| is_set(name));
    names
}

fn is_set(name: &str) -> bool {
    crate::env::variable_os(name).is_some()
}

/// Returns the values of the variables that change this run. mackerel-agent has an environment of its own, and another
/// folder: paths are absolute.
///
/// # Errors
/// If a value is not UTF-8, as the configuration must be.
pub fn environment(jobs: &Jobs) -> Result<BTreeMap<&'static str, String>, Error> {
    let value = |name: &'static str| {
        let value = crate::env::variable_os(name).unwrap_or_default();
        let value = match name {
            "DOCKER_CERT_PATH" | "SSL_CERT_FILE" | installed::FOLDER_VARIABLE => absolute(&value)?,
            name if CERTIFICATE_VARIABLES.contains(&name) => absolute(&value)?,
            "SSL_CERT_DIR" => {
                let folders: Vec<OsString> = env::split_paths(&value).map(absolute).collect::<Result<_, _>>()?;
                folders.join(OsStr::new(":"))
            }
            _ => value,
        };
        Ok((name, text(value)?))
    };
    variables(jobs).into_iter().map(value).collect()
}

fn absolute(path: impl AsRef<Path>) -> Result<OsString, Error> {
    let path = path.as_ref();
    let whole = std::path::absolute(path).map_err(|error| Error::failed(format!("{}: {error}", path.display())))?;
    Ok(whole.into())
}

fn text(word: OsString) -> Result<String, Error> {
    word.into_string().map_err(|word| {
        Error::usage(format!("mackerel-agent.conf must be UTF-8: {}", foreign(&word.to_string_lossy())))
    })
}
