//! Series: the points of one target for the output, first as collected, then with its counters as rates.

use std::time::Duration;

use crate::definition::Point;
use crate::diagnostics::Diagnostics;
use crate::pipeline::collect::{CheckedReport, Outcome};
use crate::pipeline::rate::{Clock, ClockFault, Reading, Span};
use crate::pipeline::target::Target;
use crate::sandbox::MetricKind;
use crate::sandbox::container::Source;
use crate::sandbox::notes::Unmatched;
use crate::text::Foreign;

/// The points of one target.
#[derive(Debug, Clone)]
pub struct Series<'a> {
    /// The position of the target among all targets of the run.
    pub position: usize,
    /// The target.
    pub target: &'a Target,
    /// Its name in metric names, or `None` if it has none and only counts in totals.
    pub name: Option<String>,
    /// The points in the order of the definitions. Counters are as collected until [`Series::rate`] turns them into
    /// rates.
    pub points: Vec<Point>,
    /// The counters as collected, or `None` if it is unknown when their container was started.
    pub reading: Option<Reading>,
}

impl<'a> Series<'a> {
    /// Pairs targets with their outcomes. A failure becomes a diagnostic.
    pub fn of_outcomes(
        targets: &'a [Target],
        outcomes: Vec<Outcome>,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Series<'a>> {
        for warning in unmatched(&outcomes) {
            diagnostics.warn(warning);
        }
        let mut series = Vec::with_capacity(targets.len());
        for (position, (target, outcome)) in targets.iter().zip(outcomes).enumerate() {
            for warning in warnings(&outcome) {
                diagnostics.warn_target(target, warning);
            }
            let Outcome { report, start, seen, source, took, route, .. } = outcome;
            match report {
                Ok(CheckedReport { points, time, .. }) => {
                    let read = Span { begin: seen.wall, end: seen.wall.saturating_add(nanoseconds(took)) };
                    let reading = start.ok().map(|start| reading(&points, start, time, read, source));
                    series.push(Series { position, target, name: None, points, reading });
                }
                Err(failure) => diagnostics.fail_target_alike(&target.at(route), &failure, failure.kind()),
            }
        }
        series
    }

    /// Turns counters into rates since `last`, and drops those that have none. Returns the fault of the target's clock
    /// if that was of no use.
    pub fn rate(&mut self, last: Option<&Reading>) -> Option<ClockFault> {
        let readings = self.reading.as_ref().zip(last);
        let elapsed = readings.and_then(|(reading, last)| Some((reading, last, reading.since(last)?)));
        let mut fault = None;
        self.points.retain_mut(|point| {
            let MetricKind::Counter(period) = point.kind else { return true };
            let rate = elapsed.and_then(|(reading, last, elapsed)| {
                fault = elapsed.fault;
                reading.rate(last, elapsed, &point.key, period)
            });
            if let Some(rate) = rate {
                point.value = rate;
            }
            rate.is_some()
        });
        fault
    }
}

/// Returns one warning for each value of an option that selects nothing at any target that was read.
pub fn unmatched(outcomes: &[Outcome]) -> Vec<String> {
    let mut read = outcomes.iter().filter_map(|outcome| outcome.report.as_ref().ok());
    let Some(first) = read.next() else { return Vec::new() };
    let others: Vec<&CheckedReport> = read.collect();
    let is_same = |a: &Unmatched, b: &Unmatched| a.option == b.option && a.value == b.value;
    let is_unmatched = |note: &Unmatched, report: &CheckedReport| report.unmatched.iter().any(|own| is_same(note, own));
    let targets = match others.len() {
        0 => "the target".to_owned(),
        more => format!("any of {} targets", more + 1),
    };
    let warning = |Unmatched { option, value, hint }: &Unmatched| {
        let hint = if hint.is_empty() { String::new() } else { format!("; {hint}") };
        format!("--{option} '{value}' matches nothing on {targets}{hint}")
    };
    let everywhere = first.unmatched.iter().filter(|note| others.iter().all(|other| is_unmatched(note, other)));
    everywhere.map(warning).collect()
}

/// Returns the warnings about a target that has metrics.
pub fn warnings(outcome: &Outcome) -> Vec<String> {
    let Outcome { report: Ok(report), start, stderr, denied, .. } = outcome else { return Vec::new() };
    let mut warnings = Vec::new();
    if !stderr.is_empty() {
        warnings.push(format!("collector stderr: {}", Foreign::ends(stderr)));
    }
    if !denied.is_empty() {
        warnings.push(denied.to_string());
    }
    warnings.extend(report.dropped.warnings());
    if let Err(error) = start {
        warnings.push(format!("no counters: the start time of the container is unknown: {error}"));
    }
    warnings
}

/// Takes the counters out of `points`, which were read in this time.
fn reading(points: &[Point], start: Option<String>, time: Option<u64>, read: Span, source: Option<Source>) -> Reading {
    let (time, clock) = time.map_or((read.begin, Clock::Host), |time| (time, Clock::Target));
    let counters = points.iter().filter(|point| point.kind != MetricKind::Gauge);
    let counters = counters.map(|point| (point.key.clone(), point.value)).collect();
    Reading { start, time, clock, read: Some(read), source, counters }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
