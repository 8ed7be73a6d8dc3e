//! The host's own flags: what was typed, and the parsers of single values.

// The doc comments of flags are their help texts, not Markdown. A flag without a value is a bool.
#![allow(clippy::doc_markdown, clippy::struct_excessive_bools)]

use std::collections::BTreeSet;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use rustls::pki_types::ServerName;

use super::http::HttpFlags;
use super::otlp::OtlpFlags;
use super::size::{format_size, parse_size};
use crate::address::Address;
use crate::definition::Prefix;
use crate::limits;
use crate::pipeline::name::{Format, InstanceName};
use crate::pipeline::output::Output;
use crate::pipeline::route::{AddressChoice, AddressOptions};
use crate::pipeline::select::{Pattern, Selection};
use crate::pipeline::skip::Skip;
use crate::pipeline::source::SourceChoice;
use crate::pipeline::total::Total;
use crate::stats::AllowedSource;
use crate::text::Expected;

/// The host's options of `run`, as typed. Their doc comments are the help texts.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Targets")]
pub(super) struct HostFlags {
    /// Only containers that match, as with `docker ps --filter`; in an ECS task by name, label or id; repeatable
    #[arg(long = "filter", value_name = "KEY=VALUE", value_parser = parse_filter)]
    pub(super) filters: Vec<(String, String)>,

    /// Leave out containers that match, with the syntax of --filter: name=, label= or image=; repeatable
    #[arg(long = "skip", value_name = "KEY=VALUE")]
    pub(super) skips: Vec<Skip>,

    /// Include containers that an orchestrator starts for itself, such as pause containers and the ECS agent
    #[arg(long)]
    pub(super) include_infrastructure: bool,

    /// The containers' port [default: the only published TCP port]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) container_port: Option<u16>,

    /// The address at which containers are reached: direct (their own), published, or auto: their own if it is provably
    /// reachable, else published [default: auto]
    #[arg(long, value_name = "KIND", value_enum, hide_possible_values = true)]
    pub(super) address: Option<AddressChoice>,

    /// The network of the containers' own addresses, if they are on several [default: the first that is reachable]
    #[arg(long, value_name = "NAME")]
    pub(super) network: Option<String>,

    /// Also try 127.0.0.1 within the network of a container that cannot be reached otherwise, or has no network of the
    /// engine, such as an ECS task in mode awsvpc; needs root, and a collector that uses HTTP
    #[arg(long)]
    pub(super) enter_network: bool,

    /// A fixed endpoint instead of containers; repeatable; needs no Docker
    #[arg(long = "target", value_name = "HOST:PORT", conflicts_with_all = ["filters", "skips", "include_infrastructure", "container_port", "address", "network", "enter_network", "source", "docker_host", "stats_source"])]
    pub(super) targets: Vec<Address>,

    /// The source of containers: engine (a container engine), ecs-task (the ECS task in which the plugin runs), or
    /// auto: the engine if one is named or its socket exists, else the task [default: auto]
    #[arg(long, value_name = "SOURCE", value_enum, hide_possible_values = true)]
    pub(super) source: Option<SourceChoice>,

    /// The container engine: unix:///PATH or tcp://HOST:PORT [default: $DOCKER_HOST, else docker's current context,
    /// else the socket of Docker or Podman]
    ///
    /// With tcp, DOCKER_CERT_PATH or DOCKER_TLS_VERIFY enables TLS with ca.pem, cert.pem and key.pem from
    /// DOCKER_CERT_PATH or ~/.docker.
    #[arg(long, value_name = "URL")]
    pub(super) docker_host: Option<String>,

    /// The source of container stats: cgroup (the kernel's control groups), api (the engine), or auto: cgroup if
    /// readable, else api [default: auto]
    #[arg(long, value_name = "SOURCE", value_enum, hide_possible_values = true)]
    pub(super) stats_source: Option<AllowedSource>,

    /// The server name in the targets' certificates, for collectors that use https [default: the target's address]
    #[arg(long, value_name = "NAME", value_parser = parse_server_name)]
    pub(super) tls_server_name: Option<ServerName<'static>>,

    #[command(flatten)]
    pub(super) http: HttpFlags,

    /// The prefix of all metric names [default: the collector's name]
    #[arg(long, value_name = "PREFIX", help_heading = "Names")]
    pub(super) metric_key_prefix: Option<Prefix>,

    /// The name of a target in metric names: port, name, name_id, id, image, image_id, image_name, ecs-container,
    /// ecs-family, ecs-task, label:KEY, none (for one fixed target), or slot: the lowest free number, kept while the
    /// container exists; slot:label:KEY, slot:ecs-family and so on number each value separately [default: port; name_id
    /// for collectors of whole containers; name in an ECS task]
    #[arg(long, value_name = "FORMAT", help_heading = "Names")]
    pub(super) instance_name: Option<InstanceName>,

    /// Only these metrics; * matches any characters, as in memory.* or *.rss; repeatable
    #[arg(long = "select", value_name = "GRAPH.METRIC", help_heading = "Output")]
    pub(super) selects: Vec<Pattern>,

    /// All metrics except these; repeatable
    #[arg(long = "exclude", value_name = "GRAPH.METRIC", help_heading = "Output")]
    pub(super) excludes: Vec<Pattern>,

    /// Totals over all targets, for role graphs: any of sum,avg,max,min
    #[arg(
        long = "total",
        value_name = "TOTALS",
        value_enum,
        value_delimiter = ',',
        hide_possible_values = true,
        help_heading = "Output"
    )]
    pub(super) totals: Vec<Total>,

    /// Only totals, no metrics of single targets
    #[arg(long, requires = "totals", help_heading = "Output")]
    pub(super) total_only: bool,

    /// A graph of the numbers of collected and failed targets
    #[arg(long, help_heading = "Output")]
    pub(super) targets_graph: bool,

    /// The largest number of metrics of a run: totals first, then whole targets by slot or name; the others are left
    /// out with a message
    #[arg(long, value_name = "NUMBER", value_parser = parse_number, help_heading = "Output")]
    pub(super) max_metrics: Option<usize>,

    #[command(flatten)]
    pub(super) otlp: OtlpFlags,

    /// The timeout of one target: `500ms`, `10s`; a bare number is seconds
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = format_time(limits::TARGET_TIMEOUT), help_heading = "Limits")]
    pub(super) timeout: Duration,

    /// The deadline of the whole run; metrics that are ready by then are printed
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = format_time(limits::RUN_DEADLINE), help_heading = "Limits")]
    pub(super) deadline: Duration,

    /// The memory of one target's sandbox, including what the host holds for it
    #[arg(long, value_name = "SIZE", default_value = format_size(limits::SANDBOX_MEMORY), value_parser = parse_size, help_heading = "Limits")]
    pub(super) memory_limit: ByteSize,

    /// The memory of all sandboxes together, with responses; a collector waits when none is free
    #[arg(long, value_name = "SIZE", default_value = format_size(limits::TOTAL_MEMORY), value_parser = parse_size, help_heading = "Limits")]
    pub(super) total_memory: ByteSize,

    /// The CPU time of one target's collector; waiting for responses does not count
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = format_time(limits::CALL_CPU), help_heading = "Limits")]
    pub(super) cpu_limit: Duration,

    /// List skipped containers on stderr, with the reason
    #[arg(short, long, help_heading = "Output")]
    pub(super) verbose: bool,
}

impl HostFlags {
    /// Returns the choice of addresses.
    pub(super) fn addresses(&self) -> AddressOptions {
        let choice = self.address.unwrap_or_default();
        AddressOptions { choice, network: self.network.clone(), enters: self.enter_network }
    }

    /// Returns the options of the output. Totals have a fixed order, each once.
    pub(super) fn output(&self, prefix: Prefix) -> Output {
        let totals: BTreeSet<Total> = self.totals.iter().copied().collect();
        Output {
            prefix,
            selection: Selection { select: self.selects.clone(), exclude: self.excludes.clone() },
            totals: totals.into_iter().collect(),
            each_target: !self.total_only,
            targets_graph: self.targets_graph,
            has_names: self.instance_name != Some(InstanceName::Given(Format::Absent)),
            max_metrics: self.max_metrics,
        }
    }

    /// Returns a typed flag about a container engine, and why it does nothing for the source `ecs-task`.
    pub(super) fn about_engine(&self) -> Option<(&'static str, &'static str)> {
        let one_address = "the task metadata has one address for each container";
        let all = [
            ("docker-host", self.docker_host.is_some(), "it names a container engine"),
            ("stats-source", self.stats_source.is_some(), "stats come from the task metadata endpoint"),
            ("address", self.address.is_some(), one_address),
            ("network", self.network.is_some(), one_address),
            ("enter-network", self.enter_network, one_address),
        ];
        all.into_iter().find(|(_, is_typed, _)| *is_typed).map(|(flag, _, reason)| (flag, reason))
    }
}

fn format_time(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

fn parse_number(text: &str) -> Result<usize, Expected> {
    text.parse().ok().filter(|number| *number > 0).ok_or(Expected("a whole number above zero"))
}

fn parse_filter(text: &str) -> Result<(String, String), Expected> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Expected("KEY=VALUE, such as name=api or label=app=web")),
    }
}

/// Parses a time such as `500ms`, or a number of seconds.
///
/// # Errors
/// If it is not one, or zero, or too long.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let time = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?,
        Err(_) => {
            humantime::parse_duration(text).map_err(|_| "expected a time such as 500ms, 10s or 2.5".to_owned())?
        }
    };
    if time.is_zero() || time > limits::LONGEST_DEADLINE {
        return Err(format!("expected a time above zero and at most {}", format_time(limits::LONGEST_DEADLINE)));
    }
    Ok(time)
}

fn parse_server_name(text: &str) -> Result<ServerName<'static>, Expected> {
    text.to_owned().try_into().map_err(|_| Expected("a host name or an IP address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_seconds_or_carries_its_unit() {
        for (text, millis) in [("500ms", 500), ("10s", 10_000), ("10", 10_000), ("2.5", 2_500), ("1m", 60_000)] {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "0", "-1", "NaN", "inf", "1e300", "ten", "0s", "2d"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_filter_needs_a_key_and_keeps_further_equals_signs() {
        assert_eq!(parse_filter("label=app=web"), Ok(("label".to_owned(), "app=web".to_owned())));
        assert_eq!(parse_filter("name="), Ok(("name".to_owned(), String::new())));
        assert!(parse_filter("name").is_err());
        assert!(parse_filter("=web").is_err());
    }
}
