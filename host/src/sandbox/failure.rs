//! Failures: the reason for which one target has no metrics. The text follows the target's name on one line of stderr.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use wasmtime_wasi::I32Exit;

use super::activity::Waiting;
use super::container::Error as ContainerError;
use super::denied::Denied;
use super::exceeded::Exceeded;
use super::http_settings::HttpSettings;
use super::remark::Remark;
use super::status;
use super::wire::mackerel::collector::http::Error as HttpError;
use super::wire::mackerel::collector::types::CollectError;
use crate::text::{Foreign, foreign};

/// A failed call of a collector, with its stderr, denied attempts and remark.
#[derive(Debug)]
pub struct Failure {
    /// The cause.
    pub cause: Cause,
    /// The beginning and the end of the collector's stderr.
    pub stderr: String,
    /// The denied attempts to reach anything but the target.
    pub denied: Denied,
    /// The host's remark on the last HTTP exchange.
    pub remark: Option<Remark>,
    /// The settings of requests, whose secrets are not shown.
    pub http: Option<Arc<HttpSettings>>,
    /// Hints on the target's addresses and ports.
    pub hints: Vec<String>,
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(self.remark.as_ref()))?;
        self.hints.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

impl Failure {
    /// Returns the text without hints and what differs from response to response. Failures that are alike are printed
    /// once.
    pub fn kind(&self) -> String {
        self.text(self.remark.as_ref().map(Remark::without_details).as_ref())
    }

    fn text(&self, remark: Option<&Remark>) -> String {
        let mut text = self.cause.to_string();
        match (remark, &self.cause) {
            (Some(Remark::Status(reply)), Cause::Collector(CollectError::Status(status)))
                if *status == reply.status() =>
            {
                text.push_str(&reply.details());
            }
            // The limit is the failure, whatever the target did.
            (Some(_), Cause::Limit(_)) | (None, _) => {}
            (Some(remark), _) => {
                let remark = remark.to_string();
                if !text.contains(&remark) {
                    text = format!("{text}; {remark}");
                }
            }
        }
        if !self.denied.is_empty() {
            text = format!("{text}; {}", self.denied);
        }
        let stderr = Foreign::ends(&self.stderr);
        if !stderr.is_empty() {
            text = format!("{text}; stderr: {stderr}");
        }
        match &self.http {
            Some(http) => http.hide_secrets(text),
            None => text,
        }
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Failure {
        Failure { cause, stderr: String::new(), denied: Denied::default(), remark: None, http: None, hints: Vec::new() }
    }
}

/// The cause of a failed call.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The target's timeout passed.
    #[error("{} after {} (--timeout)", waiting.timed_out(), humantime::format_duration(*.timeout))]
    Timeout {
        /// The activity at that time.
        waiting: Waiting,
        /// The timeout.
        timeout: Duration,
    },
    /// The timeout of a call that does not use a target passed.
    #[error("collector timed out after {} (fixed limit)", humantime::format_duration(*.0))]
    CallTimeout(Duration),
    /// The run ended first.
    #[error("{} when {stop}", waiting.unfinished())]
    Stopped {
        /// The activity at that time.
        waiting: Waiting,
        /// The reason for which the run ended.
        stop: String,
    },
    /// The target's name has no address.
    #[error("cannot look up '{host}': {source}")]
    Lookup {
        /// The name.
        host: Foreign,
        /// The resolver's error.
        source: io::Error,
    },
    /// The target's name cannot be a server name for TLS.
    #[error("'{0}' is not a valid server name for TLS (--tls-server-name)")]
    ServerName(Foreign),
    /// The labels of its container declare options that it cannot have.
    #[error("labels: {0}")]
    Labels(Foreign),
    /// The response can be another container's.
    #[error("container was stopped, restarted or moved to another network since the engine listed it")]
    Replaced,
    /// The collector's own error.
    #[error("{}", format_error(.0))]
    Collector(CollectError),
    /// The collector exceeded a limit.
    #[error(transparent)]
    Limit(#[from] Exceeded),
    /// The collector ended itself, as a program does.
    #[error("collector exited with status {0}")]
    Exit(i32),
    /// The collector failed in itself.
    #[error("collector failed: {0}")]
    Trap(Foreign),
    /// The collector returned something outside the contract.
    #[error("collector violated the contract: {0}")]
    Contract(Foreign),
}

impl Cause {
    /// Returns the cause of a trap.
    pub fn of(trap: &wasmtime::Error) -> Cause {
        match (Exceeded::of(trap), trap.downcast_ref::<I32Exit>()) {
            (Some(exceeded), _) => Cause::Limit(exceeded),
            (None, Some(I32Exit(status))) => Cause::Exit(*status),
            (None, None) => Cause::Trap(Foreign::new(&trap.root_cause().to_string())),
        }
    }
}

/// Formats a collector's error about its target.
fn format_error(error: &CollectError) -> String {
    match error {
        CollectError::Http(error) => format_http_error(error),
        CollectError::Container(error) => format_container_error(error),
        CollectError::Status(status) => format_status(*status),
        CollectError::Unexpected(text) => format!("unexpected response: {}", foreign(text)),
        CollectError::Other(text) => foreign(text).to_string(),
    }
}

fn format_http_error(error: &HttpError) -> String {
    match error {
        HttpError::InvalidRequest(reason) => format!("invalid request: {}", foreign(reason)),
        HttpError::Connect(reason) => format!("connection failed: {}", foreign(reason)),
        HttpError::Protocol(reason) => foreign(reason).to_string(),
        HttpError::BodyTooLarge(limit) => {
            format!("response body exceeds {:.0} (--http-body-limit)", ByteSize::b(*limit).display().iec())
        }
        HttpError::NoEndpoint => "collector sent an HTTP request, but the target has no port".to_owned(),
    }
}

fn format_container_error(error: &ContainerError) -> String {
    match error {
        ContainerError::NoContainer => {
            "collector requested container stats, but the target has no container".to_owned()
        }
        ContainerError::Gone => "container stopped or removed since the engine listed it".to_owned(),
        ContainerError::Unavailable(reason) => foreign(reason).to_string(),
    }
}

fn format_status(status: u16) -> String {
    let hint = if (300..400).contains(&status) { "; redirects are not followed" } else { "" };
    format!("{} instead of 200 OK{hint}", status::line(status))
}
