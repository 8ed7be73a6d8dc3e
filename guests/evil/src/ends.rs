//! Attacks that end the instance without a report.

use std::process;

use crate::Outcome;

pub(crate) fn panic_with_text() -> Outcome {
    panic!("the collector does not know what to do");
}

pub(crate) fn abort() -> Outcome {
    process::abort();
}

pub(crate) fn exit_with_success() -> Outcome {
    process::exit(0);
}

pub(crate) fn exit_with_failure() -> Outcome {
    process::exit(3);
}
