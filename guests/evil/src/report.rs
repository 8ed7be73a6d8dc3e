//! Attacks by the content of reports and errors.

use std::hash::{BuildHasher as _, RandomState};

use crate::bindings::mackerel::collector::http;
use crate::bindings::mackerel::collector::types::{CollectError, Report, Sample};
use crate::{Outcome, honest, saw};

const MIB: usize = 1 << 20;

fn sample(graph: impl Into<String>, metric: impl Into<String>, value: f64) -> Sample {
    Sample { graph: graph.into(), metric: metric.into(), value }
}

#[allow(clippy::unnecessary_wraps)] // all attacks have one signature
fn report(samples: Vec<Sample>) -> Outcome {
    Ok(Report { samples, time: None })
}

/// A valid report of one sample.
pub(crate) fn one() -> Outcome {
    report(vec![sample("#.evil", "one", 1.0)])
}

pub(crate) fn undeclared_samples() -> Outcome {
    report(vec![
        sample("#.evil", "one", 1.0),
        sample("#.evil", "three", 3.0),
        sample("#.good", "one", 1.0),
        sample("#.evil", "two\t9\t9\nother.key", 2.0),
        sample("", "", 0.0),
    ])
}

pub(crate) fn illegal_sample_names() -> Outcome {
    let mebibyte = "x".repeat(MIB);
    let graphs = ["", ".", "#", "*", "evil", "evil.#", "#.evil.", ".#.evil", "#.ev il", "#.*", "#.evil\0", &mebibyte];
    let metrics = ["", "*", "#", "one.two", "one ", "ONE", "one\0", &mebibyte];
    let graphs = graphs.iter().map(|graph| sample(*graph, "one", 1.0));
    let metrics = metrics.iter().map(|metric| sample("#.evil", *metric, 1.0));
    report(graphs.chain(metrics).chain([sample("#.evil", "two", 2.0)]).collect())
}

pub(crate) fn escapes_in_sample_names() -> Outcome {
    report(vec![
        sample("\u{1b}[2J#.evil\r\nmackerel-plugin-wasm: \u{202e}a false message", "one", 1.0),
        sample("#.evil", "one", 1.0),
    ])
}

pub(crate) fn a_sample_name_of_32_mib() -> Outcome {
    report(vec![sample("x".repeat(32 * MIB), "one", 1.0)])
}

pub(crate) fn values_that_are_not_finite() -> Outcome {
    report(vec![
        sample("#.evil", "one", f64::NAN),
        sample("#.evil", "two", f64::INFINITY),
        sample("#.evil", "total", f64::NEG_INFINITY),
        sample("#.evil", "two", 2.0),
    ])
}

pub(crate) fn extreme_values() -> Outcome {
    report(vec![sample("#.evil", "one", 1e308), sample("#.evil", "two", -5e-324)])
}

/// Reports the target's `total`, and its `time` if the response has one.
pub(crate) fn a_counter_from_the_target() -> Outcome {
    let stats = honest::stats()?;
    let samples = stats["total"].as_f64().map(|total| sample("#.evil", "total", total)).into_iter().collect();
    Ok(Report { samples, time: stats["time"].as_u64() })
}

pub(crate) fn the_same_sample_twice() -> Outcome {
    report(vec![sample("#.evil", "one", 1.0), sample("#.evil", "one", 2.0)])
}

/// Reports another value in every run.
pub(crate) fn random_values() -> Outcome {
    report(vec![sample("#.evil", "one", f64::from(random_number()))])
}

/// Returns a random number.
pub(crate) fn random_number() -> u32 {
    // The standard library seeds its hash at random.
    let bytes = RandomState::new().hash_one(()).to_le_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

pub(crate) fn as_many_samples_as_allowed() -> Outcome {
    report(vec![sample("#.evil", "one", 1.0); 10_000])
}

pub(crate) fn too_many_samples() -> Outcome {
    report(vec![sample("#.evil", "one", 1.0); 20_000])
}

/// About as many as fit into the memory of a sandbox.
pub(crate) fn a_million_samples() -> Outcome {
    report(vec![sample("", "", 1.0); 1_000_000])
}

pub(crate) fn escapes_in_the_error() -> Outcome {
    saw("\u{1b}[2J\r\nmackerel-plugin-wasm: \u{202e}a false message")
}

pub(crate) fn escapes_in_an_http_error() -> Outcome {
    Err(CollectError::Http(http::Error::Protocol("\u{1b}[2J\r\nmackerel-plugin-wasm: a false message".to_owned())))
}

pub(crate) fn an_error_of_32_mib() -> Outcome {
    saw("x".repeat(32 * MIB))
}

pub(crate) fn an_invalid_status() -> Outcome {
    Err(CollectError::Status(u16::MAX))
}

pub(crate) fn an_invalid_limit() -> Outcome {
    Err(CollectError::Http(http::Error::BodyTooLarge(u64::MAX)))
}
