//! The result of one collection of a test.

use std::fmt::Write as _;
use std::time::Duration;

use bytesize::ByteSize;

use crate::definition::{Point, Prefix};
use crate::diagnostics;
use crate::limits;
use crate::options::Options;
use crate::pipeline::collect::Outcome;
use crate::sandbox::{MetricKind, Period};
use crate::text::{Foreign, foreign};

/// The result of one collection.
pub struct Collected {
    /// The target.
    pub target: String,
    /// The outcome.
    pub outcome: Outcome,
    /// The CPU time of the call.
    pub cpu: Duration,
    /// The duration of the call.
    pub time: Duration,
    /// True if the target has an address, to which requests can be sent.
    pub has_address: bool,
    /// The address that the collector got, and the target's own, if they differ.
    pub led: Option<(String, String)>,
}

impl Collected {
    /// The points of the report; none if there is no report.
    pub fn points(&self) -> &[Point] {
        self.outcome.report.as_ref().map(|found| found.points.as_slice()).unwrap_or_default()
    }

    /// Formats the metrics, a line each: gauges as printed by `run`, counters as read.
    pub fn metrics(&self, prefix: &Prefix) -> String {
        let mut lines = String::new();
        for Point { key, kind, value, .. } in self.points() {
            let kind = match kind {
                MetricKind::Gauge => "",
                MetricKind::Counter(Period::Second) => "\tcounter, per second",
                MetricKind::Counter(Period::Minute) => "\tcounter, per minute",
            };
            // Adding zero makes -0 a plain 0.
            let _ = writeln!(lines, "{prefix}.{key}\t{}{kind}", value + 0.0);
        }
        lines
    }

    /// Replaces the address that the collector got, which changes every time, by the target's own.
    pub fn told(&self, text: &str) -> String {
        match &self.led {
            Some((led, own)) => text.replace(led, own),
            None => text.to_owned(),
        }
    }

    /// Prints the usage beside the limits.
    pub fn tell_usage(&self, name: &str, options: &Options) {
        let size = |bytes: u64| ByteSize::b(bytes).display().iec();
        let time = |time: Duration| {
            humantime::format_duration(Duration::from_micros(time.as_micros().try_into().unwrap_or(u64::MAX)))
        };
        let Collected { target, outcome, cpu, time: took, .. } = self;
        let bounds = options.bounds;
        diagnostics::print(&format!(
            "{name}: {}: used {:.1} of {:.0} memory, {} of {} CPU time, {} of {} time, {} of {} requests",
            foreign(target),
            size(outcome.usage.peak()),
            bounds.memory.display().iec(),
            time(*cpu),
            time(bounds.cpu),
            time(*took),
            time(options.settings.timeout),
            outcome.usage.requests(),
            limits::REQUESTS,
        ));
        if !outcome.stderr.is_empty() {
            diagnostics::print(&format!("{name}: collector stderr: {}", Foreign::ends(&outcome.stderr)));
        }
    }
}
