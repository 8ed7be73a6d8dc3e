//! Series: what one target contributes to the output, first as collected, then with its counters as rates.

use crate::definition::Point;
use crate::diagnostics::Diagnostics;
use crate::moment::Moment;
use crate::pipeline::collect::{CheckedReport, Outcome};
use crate::pipeline::rate::{Clock, Reading};
use crate::pipeline::target::Target;
use crate::sandbox::MetricKind;
use crate::sandbox::container::Source;
use crate::text::Foreign;

/// The points of one target.
#[derive(Debug)]
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
        let mut series = Vec::with_capacity(targets.len());
        for (position, (target, outcome)) in targets.iter().zip(outcomes).enumerate() {
            for warning in warnings(&outcome) {
                diagnostics.warn_target(target, warning);
            }
            let Outcome { report, start, seen, source, .. } = outcome;
            match report {
                Ok(CheckedReport { points, time, .. }) => {
                    let reading = start.ok().map(|start| reading(&points, start, time, seen, source));
                    series.push(Series { position, target, name: None, points, reading });
                }
                Err(failure) => diagnostics.fail_target_alike(target, &failure, failure.kind()),
            }
        }
        series
    }

    /// Turns counters into rates since `last`, and drops those that have none.
    pub fn rate(&mut self, last: Option<&Reading>) {
        let reading = self.reading.as_ref();
        self.points.retain_mut(|point| {
            let MetricKind::Counter(period) = point.kind else { return true };
            let rate = reading.and_then(|reading| reading.rate(last, &point.key, period));
            if let Some(rate) = rate {
                point.value = rate;
            }
            rate.is_some()
        });
    }
}

/// Returns the warnings about a target that has metrics.
pub fn warnings(outcome: &Outcome) -> Vec<String> {
    let Outcome { report: Ok(report), start, stderr, denied, .. } = outcome else { return Vec::new() };
    let mut warnings = Vec::new();
    if !stderr.is_empty() {
        warnings.push(format!("collector stderr: {}", Foreign::tail(stderr)));
    }
    if !denied.is_empty() {
        warnings.push(denied.to_string());
    }
    warnings.extend(report.warnings.iter().cloned());
    if let Err(error) = start {
        warnings.push(format!("no counters: the start time of the container is unknown: {error}"));
    }
    warnings
}

/// Takes the counters out of `points`, with the time at which they were read.
fn reading(
    points: &[Point],
    start: Option<String>,
    time: Option<u64>,
    seen: Moment,
    source: Option<Source>,
) -> Reading {
    let (time, clock) = time.map_or((seen.wall, Clock::Host), |time| (time, Clock::Target));
    let counters = points.iter().filter(|point| point.kind != MetricKind::Gauge);
    Reading { start, time, clock, source, counters: counters.map(|point| (point.key.clone(), point.value)).collect() }
}
