//! A cloud-config: everything that an ECS container instance with Amazon Linux needs, as cloud-init reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::flags::{ConfOptions, SUBCOMMAND};
use super::plugin::Plugin;
use super::secret::{Reference, reference, secret_from};
use super::section::Section;
use crate::error::Error;
use crate::job::Job;
use crate::store::component::{Component, Origin};
use crate::text::foreign;

/// The template. Names in capital letters after `@` are filled in.
const CLOUD_CONFIG: &str = include_str!("../../../templates/cloud-config.yaml");

/// Prints the cloud-config. `words` is the first collector's name and all options.
///
/// # Errors
/// If an option is wrong, or something is not available on the instance.
pub fn cloud_config(sections: &[Section], words: &[OsString], own: &ConfOptions) -> Result<String, Error> {
    let ConfOptions { ecs_cluster: Some(cluster), api_key_from: Some(api_key), plugin_from: Some(url), .. } = own
    else {
        return Err(Error::usage("--cloud-init requires --ecs-cluster, --api-key-from and --plugin-from"));
    };
    let api_key = reference("--api-key-from", api_key)?;
    let secrets_from: Vec<(PathBuf, Reference)> =
        own.secrets_from.iter().map(|text| secret_from(text)).collect::<Result<_, _>>()?;
    let plugin = Plugin::new(url, own.plugin_sums.as_deref())?;
    let files = files(sections, plugin.program)?;
    let install = install(sections, plugin.program)?;
    let secrets = secrets(sections, &secrets_from)?;
    let references = [&api_key].into_iter().chain(secrets_from.iter().map(|(_, from)| from));
    let permissions: Vec<String> = references.filter_map(Reference::permission).chain(plugin.permission).collect();
    let (permissions, aws) = match &permissions[..] {
        [] => ("none beyond those of ECS".to_owned(), ""),
        all => (all.join(", "), AWS),
    };
    let roles = own.role.as_ref().map(|role| format!("\nroles = [\"{role}\"]")).unwrap_or_default();
    // Values are not expanded again.
    let values = [
        ("@COMMAND", SUBCOMMAND.command_line(words)),
        ("@PERMISSIONS", permissions),
        ("@CLUSTER", cluster.clone()),
        ("@FILES", files),
        ("@AWS", aws.to_owned()),
        ("@API_KEY", api_key.command()),
        ("@SECRETS", secrets),
        ("@ROLES", roles),
        ("@PLUGIN", plugin.commands),
        ("@PROGRAM", plugin.program.to_owned()),
        ("@INSTALL", install),
    ];
    Ok(CLOUD_CONFIG.lines().fold(String::new(), |text, line| text + &filled(line, &values)))
}

/// Returns the files with the sections, as items of a YAML list.
fn files(sections: &[Section], program: &str) -> Result<String, Error> {
    let mut files = String::new();
    for section in sections {
        reject_yaml_breaks(&section.arguments, "cloud-init's YAML")?;
        // Without this machine's environment: the instance has another.
        let text = section.text(Path::new(program), BTreeMap::new())?;
        let _ = write!(
            files,
            "- path: /etc/mackerel-agent/conf.d/{}.conf\n  permissions: \"0644\"\n  content: |\n",
            section.name
        );
        for line in text.lines() {
            let _ = writeln!(files, "{}{line}", if line.is_empty() { "" } else { "    " });
        }
    }
    Ok(files)
}

/// Rejects characters that end a line in YAML 1.1 or are not allowed there. TOML keeps them as
/// they are.
pub fn reject_yaml_breaks(arguments: &[String], file: &str) -> Result<(), Error> {
    let is_break =
        |c: char| matches!(c, '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    match arguments.iter().find(|word| word.contains(is_break)) {
        Some(word) => Err(Error::usage(format!("{file} cannot contain: {}", foreign(word)))),
        None => Ok(()),
    }
}

/// Returns the commands that install the collectors on the instance.
fn install(sections: &[Section], program: &str) -> Result<String, Error> {
    let mut commands = BTreeSet::new();
    for Job { component, .. } in sections.iter().flat_map(|section| &section.jobs.all) {
        commands.extend(install_command(component, program, "the instance")?.map(|command| command + "\n"));
    }
    let commands: String = commands.into_iter().collect();
    Ok(if commands.is_empty() { commands } else { format!("\n# The collectors, by their digests.\n{commands}") })
}

/// Returns the command that installs the collector on another `machine`, unless it is built in.
pub fn install_command(component: &Component, program: &str, machine: &str) -> Result<Option<String>, Error> {
    match &component.origin {
        Origin::Builtin => Ok(None),
        Origin::Installed(pin) if pin.source.starts_with("oci://") => {
            Ok(Some(format!("{program} install {}", quoted(&pin.source)?)))
        }
        Origin::Installed(_) | Origin::File(_) => Err(Error::usage(format!(
            "{machine} has no file {}: push it to a registry with mackerel-plugin-wasm push, and install it from there",
            foreign(&component.name)
        ))),
    }
}

/// Returns the commands that write the files that options name: secrets, and certificates.
fn secrets(sections: &[Section], from: &[(PathBuf, Reference)]) -> Result<String, Error> {
    let mut secrets = String::new();
    let mut read: Vec<&PathBuf> = Vec::new();
    for path in sections.iter().flat_map(|section| &section.jobs.all).flat_map(|job| job.options.files()) {
        if read.contains(&path) {
            continue;
        }
        read.push(path);
        let (_, from) = from.iter().find(|(of, _)| of == path).ok_or_else(|| {
            Error::usage(format!("unknown source of the file {0}: add --secret-from {0}=ssm:PARAMETER", path.display()))
        })?;
        let file = quoted(path.to_str().unwrap_or_default())?;
        if !matches!(from, Reference::File(of) if Path::new(of) == path) {
            // Removed first, so that it gets the permissions of this umask.
            let command = from.command();
            let _ = write!(secrets, "\nmkdir -p \"$(dirname {file})\"\nrm -f {file}\n{command} > {file}");
        }
        let complaint = quoted(&format!("{}: the file is empty", path.display()))?;
        let _ = writeln!(secrets, "\n[ -s {file} ] || {{ echo {complaint} >&2; exit 1; }}");
    }
    match from.iter().find(|(path, _)| !read.contains(&path)) {
        Some((path, _)) => Err(Error::usage(format!("--secret-from {}: no option reads this file", path.display()))),
        None => Ok(secrets),
    }
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
