//! The flags about labelled metrics.

// The doc comments of flags are their help texts, not Markdown.
#![allow(clippy::doc_markdown, clippy::option_option, rustdoc::bare_urls)]

use std::path::PathBuf;

use clap::Args;

use crate::otlp::OtlpOptions;
use crate::otlp::endpoint::{Endpoint, KEY_FILE};

/// The flags, as typed. Their doc comments are the help texts.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Labelled metrics")]
pub(super) struct OtlpFlags {
    /// Send the values as labelled metrics by OTLP/gRPC instead of printing them [default endpoint:
    /// $OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, else $OTEL_EXPORTER_OTLP_ENDPOINT, else https://otlp.mackerelio.com:4317]
    ///
    /// Other variables of OpenTelemetry apply too: OTEL_EXPORTER_OTLP_HEADERS, _CERTIFICATE, _TIMEOUT and _COMPRESSION,
    /// OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME.
    #[arg(long, value_name = "ENDPOINT")]
    otlp: Option<Option<Endpoint>>,

    /// Print the values as well
    #[arg(long, requires = "otlp")]
    otlp_also: bool,

    /// The file with Mackerel's API key [default: $MACKEREL_APIKEY, for Mackerel's own endpoint alone]
    #[arg(long, value_name = "PATH", requires = "otlp")]
    otlp_api_key_file: Option<PathBuf>,

    /// A label of the containers that becomes the attribute container.label.KEY; repeatable
    #[arg(long = "otlp-label", value_name = "KEY", requires = "otlp")]
    otlp_labels: Vec<String>,

    /// The label that becomes the attribute service.name [default: the ECS family, else com.docker.compose.service]
    #[arg(long, value_name = "KEY", requires = "otlp")]
    otlp_service_label: Option<String>,
}

/// The ids of the flags.
const IDS: [&str; 5] = ["otlp", "otlp_also", "otlp_api_key_file", "otlp_labels", "otlp_service_label"];

/// The subcommands that take the flags: `run`, `conf`, which writes its command line, `explain`, which explains it, and
/// `dashboard`, which draws what it sends.
const SUBCOMMANDS: [&str; 4] = ["run", "conf", "explain", "dashboard"];

/// Returns the flags that a subcommand does not take, and why.
pub(super) fn unused(subcommand: &str) -> Vec<(&'static str, &'static str)> {
    let ids: &[&str] = if SUBCOMMANDS.contains(&subcommand) { &[] } else { &IDS };
    ids.iter().map(|id| (*id, "only run sends labelled metrics")).collect()
}

/// Returns true if the value of `--FLAG` is the path of a file.
pub(super) fn is_file(flag: &str) -> bool {
    KEY_FILE.strip_prefix("--") == Some(flag)
}

impl OtlpFlags {
    /// Returns the options, or `None` without `--otlp`.
    pub(super) fn resolve(self) -> Option<OtlpOptions> {
        Some(OtlpOptions {
            endpoint: self.otlp?,
            also: self.otlp_also,
            api_key_file: self.otlp_api_key_file,
            labels: self.otlp_labels,
            service_label: self.otlp_service_label,
        })
    }
}
