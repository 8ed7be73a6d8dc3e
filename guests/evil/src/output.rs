//! Attacks through the standard streams.

use std::io::Write as _;

use wasip2::cli::{stderr, stdout};
use wasip2::io::streams::OutputStream;

use crate::report::one;
use crate::{Outcome, saw};

pub(crate) fn stderr_flood() -> Outcome {
    for n in 0..100_000 {
        eprintln!("line {n} of a flood");
    }
    one()
}

pub(crate) fn stderr_escapes() -> Outcome {
    eprintln!("\u{1b}[2J\u{1b}]0;title\u{7}mackerel-plugin-wasm: a false message");
    one()
}

pub(crate) fn stderr_that_is_not_utf8() -> Outcome {
    match std::io::stderr().write_all(b"\xff\xfe\0\x80 \xc3(\xed\xa0\x80 end") {
        Ok(()) => one(),
        Err(error) => saw(error.to_string()),
    }
}

/// Writes 32 MiB in one call, more than a stream accepts.
fn all_at_once(stream: &OutputStream) -> Outcome {
    match stream.write(&vec![b'x'; 32 << 20]) {
        Ok(()) => one(),
        Err(error) => saw(format!("{error:?}")),
    }
}

pub(crate) fn stderr_in_one_call() -> Outcome {
    all_at_once(&stderr::get_stderr())
}

pub(crate) fn stdout_in_one_call() -> Outcome {
    all_at_once(&stdout::get_stdout())
}

/// The host would have to produce the zeroes.
pub(crate) fn zeroes_without_end() -> Outcome {
    match stderr::get_stderr().write_zeroes(u64::MAX) {
        Ok(()) => one(),
        Err(error) => saw(format!("{error:?}")),
    }
}

/// Prints a metric itself, which only the host may do.
pub(crate) fn metrics_on_stdout() -> Outcome {
    println!("evil.other.evil.one\t666\t1700000000");
    one()
}
