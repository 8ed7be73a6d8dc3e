//! `conf`: the section of mackerel-agent.conf for a run, or a whole cloud-config for an ECS container instance.
//!
//! Secrets are never printed: the instance fetches API keys and passwords from their references.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use serde::Serialize;

use crate::commands::role::Role;
use crate::diagnostics::print;
use crate::error::Error;
use crate::job::{Job, RUN};
use crate::limits;
use crate::options::{Subcommand, Typed};
use crate::session::Session;
use crate::store;
use crate::store::component::Origin;
use crate::text::foreign;

/// `conf` takes all options, and reads no secret: the instance has it, not this machine.
pub const SUBCOMMAND: Subcommand = Subcommand { name: "conf", unused: &[], reads_secrets: false };

/// The options of `conf` alone.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cloud-init")]
pub struct ConfOptions {
    /// Print a whole cloud-config for an ECS container instance with Amazon Linux
    #[arg(long, requires_all = ["ecs_cluster", "api_key_from", "plugin_from"])]
    pub cloud_init: bool,

    /// The ECS cluster that the instance joins
    #[arg(long, value_name = "NAME", requires = "cloud_init", value_parser = parse_cluster)]
    pub ecs_cluster: Option<String>,

    /// The service and role of the instance in Mackerel
    #[arg(long, value_name = "SERVICE:ROLE", requires = "cloud_init")]
    pub role: Option<Role>,

    /// The reference of Mackerel's API key: ssm:PARAMETER, secretsmanager:SECRET, or file:/PATH
    #[arg(long, value_name = "REFERENCE", requires = "cloud_init")]
    pub api_key_from: Option<String>,

    /// The URL of this program: https://… or s3://…; the instance checks its SHA-256
    #[arg(long, value_name = "URL", requires = "cloud_init", value_parser = parse_url)]
    pub plugin_from: Option<String>,

    /// The reference of the secret in the file PATH of an option; repeatable
    #[arg(long = "secret-from", value_name = "PATH=REFERENCE", requires = "cloud_init")]
    pub secrets_from: Vec<String>,
}

/// The reference of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A parameter of AWS Systems Manager.
    Ssm(String),
    /// A secret of AWS Secrets Manager.
    SecretsManager(String),
    /// A file that exists on the instance.
    File(String),
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Reference, String> {
        // References are written into a shell's quotes.
        let is_plain = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_.:@+=-".contains(&b))
        };
        match text.split_once(':') {
            Some((kind, name)) if is_plain(name) => match kind {
                "ssm" => Ok(Reference::Ssm(name.to_owned())),
                "secretsmanager" => Ok(Reference::SecretsManager(name.to_owned())),
                "file" if name.starts_with('/') => Ok(Reference::File(name.to_owned())),
                _ => Err(FORMS.to_owned()),
            },
            _ => Err(FORMS.to_owned()),
        }
    }
}

const FORMS: &str = "expected ssm:PARAMETER, secretsmanager:SECRET or file:/PATH, never the secret itself";

impl Reference {
    /// Returns the command that prints the secret.
    fn command(&self) -> String {
        match self {
            Reference::Ssm(name) => {
                format!("aws ssm get-parameter --with-decryption --name '{name}' --query Parameter.Value --output text")
            }
            Reference::SecretsManager(name) => {
                format!("aws secretsmanager get-secret-value --secret-id '{name}' --query SecretString --output text")
            }
            Reference::File(path) => format!("cat '{path}'"),
        }
    }

    /// Returns the permission that the instance needs for it.
    fn permission(&self) -> Option<String> {
        match self {
            Reference::Ssm(name) => Some(format!("ssm:GetParameter of {name}")),
            Reference::SecretsManager(name) => Some(format!("secretsmanager:GetSecretValue of {name}")),
            Reference::File(_) => None,
        }
    }
}

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

/// Prints the configuration. `words` is the collector's name and all options.
///
/// # Errors
/// If the options are wrong, or the collector cannot be used here or on the instance.
pub async fn conf(session: &Session, words: &[OsString]) -> Result<String, Error> {
    let (job, own): (Job, ConfOptions) = Job::prepare(session, &SUBCOMMAND, words).await?;
    for line in job.diagnostics().lines() {
        print(&line);
    }
    let arguments = arguments(&job, words, &own)?;
    if !own.cloud_init {
        let program =
            env::current_exe().map_err(|error| Error::failed(format!("cannot find this program: {error}")))?;
        return plugin(&job, &program, arguments, environment(&job));
    }
    cloud_config(&job, words, arguments, &own)
}

/// Returns the name of the section, which has no dots.
fn section(job: &Job) -> String {
    job.options.output.prefix.to_string().replace('.', "_")
}

fn plugin(
    job: &Job,
    program: &Path,
    arguments: Vec<String>,
    env: BTreeMap<&'static str, String>,
) -> Result<String, Error> {
    let mut command = vec![text(program.as_os_str().to_owned())?, RUN.name.to_owned()];
    command.extend(arguments);
    let longest = job.options.deadline + limits::DEADLINE_GRACE;
    let timeout_seconds = (longest > limits::AGENT_TIMEOUT).then_some(longest.as_secs() + 1);
    let metrics = [(section(job), Plugin { command, timeout_seconds, env })].into();
    toml::to_string(&Conf { plugin: Plugins { metrics } })
        .map_err(|error| Error::failed(format!("cannot write TOML: {error}")))
}

/// Returns the words after `run`, as they hold in another folder: paths are absolute. The options of `conf` are left out.
fn arguments(job: &Job, words: &[OsString], own: &ConfOptions) -> Result<Vec<String>, Error> {
    let absolute = |path: OsString| -> Result<String, Error> {
        let path = text(path)?;
        if !own.cloud_init {
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
    let is_local_file = matches!(job.component.origin, Origin::File(_)) && !own.cloud_init;
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
fn environment(job: &Job) -> BTreeMap<&'static str, String> {
    let discovery = &job.options.discovery;
    let mut names = Vec::new();
    if discovery.fixed.is_empty() {
        names.extend(["DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"]);
        if discovery.engine.is_none() {
            names.push("DOCKER_HOST");
        }
    }
    if matches!(job.component.origin, Origin::Installed(_)) {
        names.push(store::installed::FOLDER_VARIABLE);
    }
    let value = |name| {
        let value = crate::env::variable(name)?;
        // mackerel-agent runs in another folder.
        let is_path = matches!(name, "DOCKER_CERT_PATH" | store::installed::FOLDER_VARIABLE);
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

/// The path of the program on an instance.
const PROGRAM: &str = "/usr/local/bin/mackerel-plugin-wasm";

/// The template. Names in capital letters after `@` are filled in.
const CLOUD_CONFIG: &str = include_str!("../../../templates/cloud-config.yaml");

fn cloud_config(job: &Job, words: &[OsString], arguments: Vec<String>, own: &ConfOptions) -> Result<String, Error> {
    let ConfOptions { ecs_cluster: Some(cluster), api_key_from: Some(api_key), plugin_from: Some(url), .. } = own
    else {
        return Err(Error::usage("--cloud-init requires --ecs-cluster, --api-key-from and --plugin-from"));
    };
    let api_key = reference("--api-key-from", api_key)?;
    let secrets_from: Vec<(PathBuf, Reference)> =
        own.secrets_from.iter().map(|text| secret_from(text)).collect::<Result<_, _>>()?;
    // In YAML 1.1, which cloud-init reads, these end a line or are not allowed. TOML keeps them as they are.
    let is_no_yaml =
        |c: char| matches!(c, '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    if let Some(word) = arguments.iter().find(|word| word.contains(is_no_yaml)) {
        return Err(Error::usage(format!("cloud-init's YAML cannot contain: {}", foreign(word))));
    }
    let install = match &job.component.origin {
        Origin::Builtin => String::new(),
        Origin::Installed(pin) if pin.source.starts_with("oci://") => {
            format!("\n# The collector, by its digest.\n{PROGRAM} install {}\n", quoted(&pin.source)?)
        }
        Origin::Installed(_) | Origin::File(_) => {
            return Err(Error::usage(format!(
                "the instance has no file {}: push it to a registry with mackerel-plugin-wasm push, and install it from there",
                foreign(&job.component.name)
            )));
        }
    };
    let mut secrets = String::new();
    for path in job.options.collector.secret_files() {
        let from = secrets_from.iter().find(|(of, _)| of == path);
        let (_, from) = from.ok_or_else(|| {
            Error::usage(format!(
                "unknown source of the secret {0}: add --secret-from {0}=ssm:PARAMETER",
                path.display()
            ))
        })?;
        let file = quoted(path.to_str().unwrap_or_default())?;
        if !matches!(from, Reference::File(of) if Path::new(of) == path) {
            // Removed first, so that it gets the permissions of this umask.
            let command = from.command();
            let _ = write!(secrets, "\nmkdir -p \"$(dirname {file})\"\nrm -f {file}\n{command} > {file}");
        }
        let complaint = quoted(&format!("{}: the secret is empty", path.display()))?;
        let _ = writeln!(secrets, "\n[ -s {file} ] || {{ echo {complaint} >&2; exit 1; }}");
    }
    if let Some((path, _)) =
        secrets_from.iter().find(|(path, _)| !job.options.collector.secret_files().any(|of| of == path))
    {
        return Err(Error::usage(format!("--secret-from {}: no option reads this file", path.display())));
    }
    let permissions: Vec<String> = [&api_key]
        .into_iter()
        .chain(secrets_from.iter().map(|(_, from)| from))
        .filter_map(Reference::permission)
        .chain(url.strip_prefix("s3://").map(|object| format!("s3:GetObject of {object}")))
        .collect();
    let (permissions, aws) = match &permissions[..] {
        [] => ("none beyond those of ECS".to_owned(), ""),
        all => (all.join(", "), AWS),
    };
    let download = match url.strip_prefix("s3://") {
        Some(_) => format!("aws s3 cp --only-show-errors '{url}' \"$new\""),
        None => format!("curl -fsSL --retry 5 -o \"$new\" '{url}'"),
    };
    // Without this machine's environment: the instance has another.
    let conf = plugin(job, Path::new(PROGRAM), arguments, BTreeMap::new())?;
    let section = section(job);
    let roles = own.role.as_ref().map(|role| format!("\nroles = [\"{role}\"]")).unwrap_or_default();
    let digest = own_digest()?;
    // Values are not expanded again.
    let values = [
        ("@COMMAND", SUBCOMMAND.command_line(words)),
        ("@PERMISSIONS", permissions),
        ("@CLUSTER", cluster.clone()),
        ("@SECTION", section),
        ("@CONF", conf),
        ("@AWS", aws.to_owned()),
        ("@API_KEY", api_key.command()),
        ("@SECRETS", secrets),
        ("@ROLES", roles),
        ("@DOWNLOAD", download),
        ("@DIGEST", digest),
        ("@PROGRAM", PROGRAM.to_owned()),
        ("@INSTALL", install),
    ];
    Ok(CLOUD_CONFIG.lines().fold(String::new(), |text, line| text + &filled(line, &values)))
}

/// The set-up of the AWS command line.
const AWS: &str = r"
# Secrets come by the AWS command line, from where they are kept.
command -v aws >/dev/null || yum install -y awscli-2 || yum install -y awscli
AWS_DEFAULT_REGION=$(cloud-init query region)
export AWS_DEFAULT_REGION
";

fn quoted(word: &str) -> Result<String, Error> {
    let quoted = shlex::try_quote(word).map_err(|error| Error::usage(format!("{}: {error}", foreign(word))))?;
    Ok(quoted.into_owned())
}

/// Fills in a line of the template. All lines of a value get the indentation of the first.
fn filled(line: &str, values: &[(&str, String)]) -> String {
    let indent = &line[..line.len() - line.trim_start().len()];
    let mut rest = line;
    let mut filled = String::new();
    while let Some(at) = rest.find('@') {
        let name_length = rest[at + 1..].bytes().take_while(|b| b.is_ascii_uppercase() || *b == b'_').count();
        let (before, name) = (&rest[..at], &rest[at..=at + name_length]);
        filled.push_str(before);
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => filled.push_str(value.strip_suffix('\n').unwrap_or(value)),
            None => filled.push_str(name),
        }
        rest = &rest[at + name.len()..];
    }
    filled.push_str(rest);
    let mut lines = filled.lines();
    let first = lines.next().unwrap_or_default().trim_end().to_owned();
    let further = lines.map(|line| if line.is_empty() { "\n".to_owned() } else { format!("\n{indent}{line}") });
    // An empty value leaves no blank line.
    let text = first + &further.collect::<String>();
    if text.trim().is_empty() && !line.trim().is_empty() { String::new() } else { text + "\n" }
}

/// Returns the SHA-256 of this program.
fn own_digest() -> Result<String, Error> {
    // This path works even if another program has replaced the file.
    let bytes = fs::read("/proc/self/exe");
    bytes
        .map(|bytes| store::digest::digest(&bytes))
        .map_err(|error| Error::failed(format!("cannot read this program: {error}")))
}

fn parse_cluster(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || text.len() > 255 || !text.chars().all(legal) {
        return Err("expected a cluster name of a-z, A-Z, 0-9, - and _".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_url(text: &str) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&()*+,;=%".contains(&b);
    let is_known =
        ["https://", "s3://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if !is_known || !text.bytes().all(legal) {
        return Err("expected https://… or s3://BUCKET/KEY".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses a reference. clap does not do that, because its error would print a secret that was given by mistake.
fn reference(option: &str, text: &str) -> Result<Reference, Error> {
    text.parse().map_err(|why| Error::usage(format!("{option}: {why}")))
}

fn secret_from(text: &str) -> Result<(PathBuf, Reference), Error> {
    let wrong = || Error::usage(format!("--secret-from: expected PATH=REFERENCE: {FORMS}"));
    let (path, from) = text.split_once('=').filter(|(path, _)| path.starts_with('/')).ok_or_else(wrong)?;
    Ok((path.into(), reference("--secret-from", from)?))
}
