//! Failures: why one target gave no metrics. Its text stands behind the target's name on one line of stderr.

use std::time::Duration;

use bytesize::ByteSize;
use hyper::StatusCode;

use crate::notice::{foreign, foreign_tail};
use crate::sandbox::container::Error as ContainerError;
use crate::sandbox::{CollectError, HttpError};

/// Why one target, or one call of a collector, gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Its time was up.
    #[error("{waiting} after {} (--timeout)", humantime::format_duration(*.timeout))]
    Timeout {
        /// What was being done: a whole phrase.
        waiting: &'static str,
        /// The time that it had.
        timeout: Duration,
    },
    /// A call that asks no target took too long.
    #[error("the collector was still computing after {}", humantime::format_duration(*.0))]
    Silent(Duration),
    /// The run ended before it.
    #[error("{waiting} when {stop}")]
    Stopped {
        /// What was being done: a whole phrase.
        waiting: &'static str,
        /// Why the run ended.
        stop: String,
    },
    /// The target's name leads nowhere.
    #[error("cannot look up '{}': {}", foreign(.host), foreign(.why))]
    Name {
        /// The name.
        host: String,
        /// The resolver's words.
        why: String,
    },
    /// The collector's own word.
    #[error("{}", word(.0))]
    Collector(CollectError),
    /// The collector wanted more memory than it has.
    #[error("the collector needs more than {:.0} of memory (--memory-limit)", .0.display().iec())]
    Memory(ByteSize),
    /// The collector wanted more tables than it has.
    #[error("the collector needs more than {0} table elements, which is the limit")]
    Table(usize),
    /// The collector failed in itself.
    #[error("the collector failed: {}{}", foreign(.trap), said(.stderr))]
    Trap {
        /// The trap.
        trap: String,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// The collector's answer is outside the contract.
    #[error("the collector broke its contract: {}", foreign(.0))]
    Contract(String),
}

/// Words what a collector says of a target.
fn word(error: &CollectError) -> String {
    match error {
        CollectError::Http(error) => word_http(error),
        CollectError::Container(error) => word_container(error),
        CollectError::Status(status) => word_status(*status),
        CollectError::Unexpected(text) => format!("unexpected answer: {}", foreign(text)),
        CollectError::Other(text) => foreign(text),
    }
}

fn word_http(error: &HttpError) -> String {
    match error {
        HttpError::InvalidRequest(why) => format!("this request cannot be sent: {}", foreign(why)),
        HttpError::Connect(why) => format!("no connection: {}", foreign(why)),
        HttpError::Protocol(why) => format!("no whole answer: {}", foreign(why)),
        HttpError::BodyTooLarge(limit) => {
            format!("the answer's body is larger than {:.0}, which is the limit", ByteSize::b(*limit).display().iec())
        }
        HttpError::NoEndpoint => "the collector asked for HTTP where there is no address".to_owned(),
    }
}

fn word_container(error: &ContainerError) -> String {
    match error {
        ContainerError::NoContainer => {
            "the collector asked for a container's figures where there is no container".to_owned()
        }
        ContainerError::Gone => "it was stopped or removed since the engine listed it".to_owned(),
        ContainerError::Unavailable(why) => foreign(why),
    }
}

fn word_status(status: u16) -> String {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    let hint = if (300..400).contains(&status) { "; redirects are not followed" } else { "" };
    format!("answered {status} {reason} instead of 200 OK{hint}")
}

/// The end of what a collector wrote before it failed.
fn said(stderr: &str) -> String {
    match foreign_tail(stderr) {
        text if text.is_empty() => text,
        text => format!("; it wrote: {text}"),
    }
}
