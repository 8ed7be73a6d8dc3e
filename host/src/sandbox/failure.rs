//! Failures: why one target gave no metrics. Its text stands behind the target's name on one line of stderr.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use hyper::StatusCode;
use wasmtime_wasi::I32Exit;

use crate::sandbox::container::Error as ContainerError;
use crate::sandbox::exceeded::Exceeded;
use crate::sandbox::refused::Refused;
use crate::sandbox::{CollectError, HttpError};
use crate::text::{Foreign, foreign};

/// Why one target, or one call of a collector, gave nothing, and what the collector did before.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub cause: Cause,
    /// The end of what the collector wrote to stderr.
    pub wrote: String,
    /// What it tried to reach besides its target.
    pub refused: Refused,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)?;
        if !self.refused.is_empty() {
            write!(f, "; it {}", self.refused)?;
        }
        match Foreign::tail(&self.wrote) {
            wrote if wrote.is_empty() => Ok(()),
            wrote => write!(f, "; it wrote: {wrote}"),
        }
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Failure {
        Failure { cause, wrote: String::new(), refused: Refused::default() }
    }
}

/// Why one target, or one call of a collector, gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Its time was up.
    #[error("{waiting} after {} (--timeout)", humantime::format_duration(*.timeout))]
    Timeout {
        /// What was being done: a whole phrase.
        waiting: &'static str,
        /// The time that it had.
        timeout: Duration,
    },
    /// A call that asks no target took too long.
    #[error("the collector did not come to an end within {} (a fixed limit)", humantime::format_duration(*.0))]
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
    /// The collector passed a limit.
    #[error("the collector {0}")]
    Limit(Exceeded),
    /// The collector ended its own process, which a collector is not.
    #[error("the collector ended itself with the exit status {0}")]
    Exit(i32),
    /// The collector failed in itself.
    #[error("the collector failed: {}", foreign(.0))]
    Trap(String),
    /// The collector's answer is outside the contract.
    #[error("the collector broke its contract: {}", foreign(.0))]
    Contract(String),
}

impl Cause {
    /// Why a call ended in a trap.
    pub fn of(trap: &wasmtime::Error) -> Cause {
        match (Exceeded::of(trap), trap.downcast_ref::<I32Exit>()) {
            (Some(exceeded), _) => Cause::Limit(exceeded),
            (None, Some(I32Exit(status))) => Cause::Exit(*status),
            (None, None) => Cause::Trap(trap.root_cause().to_string()),
        }
    }
}

impl From<Exceeded> for Cause {
    fn from(exceeded: Exceeded) -> Cause {
        Cause::Limit(exceeded)
    }
}

/// Words what a collector says of a target.
fn word(error: &CollectError) -> String {
    match error {
        CollectError::Http(error) => word_http(error),
        CollectError::Container(error) => word_container(error),
        CollectError::Status(status) => word_status(*status),
        CollectError::Unexpected(text) => format!("unexpected answer: {}", foreign(text)),
        CollectError::Other(text) => foreign(text).to_string(),
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
        ContainerError::Unavailable(why) => foreign(why).to_string(),
    }
}

fn word_status(status: u16) -> String {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let reason = reason.map(|reason| format!(" {reason}")).unwrap_or_default();
    let hint = if (300..400).contains(&status) { "; redirects are not followed" } else { "" };
    format!("answered {status}{reason} instead of 200 OK{hint}")
}
