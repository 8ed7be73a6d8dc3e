//! The options of `conf` alone.

// The doc comments of options are their help texts, not Markdown.
#![allow(clippy::doc_markdown, rustdoc::bare_urls)]

use std::path::PathBuf;

use clap::Args;

use crate::commands::check::CheckOptions;
use crate::commands::role::Role;
use crate::limits;
use crate::options::Subcommand;
use crate::text::{Expected, is_name};

/// `conf` takes all options, and reads no secret: the instance has it, not this machine.
pub const SUBCOMMAND: Subcommand = Subcommand { name: "conf", unused: &[], reads_secrets: false };

/// The options of one section.
#[derive(Debug, Clone, Args)]
pub struct SectionOptions {
    /// The name of the section [default: the prefix of the metric names, with _ for dots]
    #[arg(long, value_name = "NAME", value_parser = parse_section, help_heading = "Output")]
    pub section: Option<String>,
}

/// The options of `conf` alone.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cloud-init")]
pub struct ConfOptions {
    /// The options of the first section.
    #[command(flatten)]
    pub first: SectionOptions,

    /// A further section: a collector and its options, as 'docker --graphs cpu,memory'; repeatable
    #[arg(long, value_name = "COMMAND", help_heading = "Output")]
    pub also: Vec<String>,

    /// Print the section of a check: the command is check instead of run
    #[arg(long, help_heading = "Check", conflicts_with_all = ["also", "container_agent", "cloud_init"])]
    pub check: bool,

    /// The options of the check.
    #[command(flatten)]
    pub of_check: CheckOptions,

    /// Print the section of mackerel-container-agent's YAML, and the lines of its Dockerfile
    #[arg(long, help_heading = "Output", conflicts_with = "cloud_init")]
    pub container_agent: bool,

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

    /// The URL of this program, or with --plugin-sums of the folder of a release: https://… or s3://…; the instance
    /// checks the SHA-256
    #[arg(long, value_name = "URL", requires = "cloud_init", value_parser = parse_url)]
    pub plugin_from: Option<String>,

    /// The file SHA256SUMS of a release: the instance installs the rpm package for its architecture
    #[arg(long, value_name = "PATH", requires = "cloud_init")]
    pub plugin_sums: Option<PathBuf>,

    /// The reference of the secret or the certificates in the file PATH of an option; repeatable
    #[arg(long = "secret-from", value_name = "PATH=REFERENCE", requires = "cloud_init")]
    pub secrets_from: Vec<String>,
}

impl ConfOptions {
    /// Returns the option by which the configuration is for another machine; `None` if it is for this one.
    pub fn elsewhere(&self) -> Option<&'static str> {
        match (self.cloud_init, self.container_agent) {
            (true, _) => Some("--cloud-init"),
            (_, true) => Some("--container-agent"),
            _ => None,
        }
    }
}

/// Parses the name of a section, which is a part of a TOML key and a file name.
fn parse_section(text: &str) -> Result<String, Expected> {
    if text.len() > limits::PROJECT_NAME || !is_name(text) {
        return Err(Expected("a name of at most 64 characters a-z, A-Z, 0-9, - and _"));
    }
    Ok(text.to_owned())
}

fn parse_cluster(text: &str) -> Result<String, Expected> {
    if text.len() > 255 || !is_name(text) {
        return Err(Expected("a cluster name of a-z, A-Z, 0-9, - and _"));
    }
    Ok(text.to_owned())
}

fn parse_url(text: &str) -> Result<String, Expected> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&()*+,;=%".contains(&b);
    let is_known =
        ["https://", "s3://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if !is_known || !text.bytes().all(legal) {
        return Err(Expected("https://… or s3://BUCKET/KEY"));
    }
    Ok(text.to_owned())
}
