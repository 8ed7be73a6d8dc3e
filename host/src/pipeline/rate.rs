//! Rates: a counter's growth since the last run, per second or per minute.
//!
//! The target's own clock is exact, because it does not count the time that responses take. It is used if it fits this
//! machine's: a clock that stands still, or counts in another unit, would make rates infinite or a billion times too
//! high. Container stats come from the kernel or the engine, whose clocks need no check.
//!
//! A rate is left out rather than guessed: for a new target, after its restart, if the counter fell, if no time passed,
//! if the wall clock was stepped, and if the stats had another source.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sandbox::Period;
use crate::sandbox::container::Source;

/// The factor by which the time that passed for a target can differ from the time that passed here. A target that takes
/// its values at intervals of its own reports older ones.
const TOLERANCE: u64 = 2;

/// The counters of a target in one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The start time of the container, as the engine formats it; `None` for fixed targets.
    pub start: Option<String>,
    /// The time of the counters in nanoseconds since 1970.
    pub time: u64,
    /// The clock of `time`.
    pub clock: Clock,
    /// The time in which they were read. Older versions did not store it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Span>,
    /// The source of the container's stats, if the collector requested them. Counters of two sources are never
    /// compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The counters by the keys of their points.
    pub counters: BTreeMap<String, f64>,
}

/// The clock of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// This machine's.
    Host,
    /// The target's own, reported by its collector.
    Target,
}

/// The time that a collector took, by this machine's clock in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its start.
    pub begin: u64,
    /// Its end.
    pub end: u64,
}

/// The time between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed {
    nanoseconds: u64,
    /// The reason for which it is not the target's own.
    pub fault: Option<ClockFault>,
}

/// A fault of a target's clock. The text follows the target's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// No time passed for the target.
    #[error("the target's time has not changed since the last run; rates use this machine's clock")]
    StoodStill,
    /// The time was set back.
    #[error("the target's time went back since the last run; rates use this machine's clock")]
    WentBack,
    /// Another time passed than on this machine.
    #[error("the target's time is not in nanoseconds, or its clock was set; rates use this machine's clock")]
    Implausible,
}

impl Reading {
    /// Returns the time since `last`, or `None` if the two cannot be compared or no time passed.
    pub fn since(&self, last: &Reading) -> Option<Elapsed> {
        if last.start != self.start || last.source != self.source {
            return None;
        }
        let fault = match (self.clock, last.clock) {
            (Clock::Target, Clock::Target) if self.source.is_some() => {
                let nanoseconds = self.time.checked_sub(last.time).filter(|time| *time > 0)?;
                return Some(Elapsed { nanoseconds, fault: None });
            }
            (Clock::Target, Clock::Target) => match self.target_time_since(last, self.read?, last.read?) {
                Ok(nanoseconds) => return Some(Elapsed { nanoseconds, fault: None }),
                // Two runs overlapped: it is unknown which response is older.
                Err(_) if self.read?.begin < last.read?.end => return None,
                Err(fault) => Some(fault),
            },
            _ => None,
        };
        let nanoseconds = self.host_time()?.checked_sub(last.host_time()?).filter(|time| *time > 0)?;
        Some(Elapsed { nanoseconds, fault })
    }

    /// Returns the time since `last` by the target's clock, if as much can have passed between the two responses.
    fn target_time_since(&self, last: &Reading, read: Span, last_read: Span) -> Result<u64, ClockFault> {
        let shortest = read.begin.saturating_sub(last_read.end) / TOLERANCE;
        let longest = read.end.saturating_sub(last_read.begin).saturating_mul(TOLERANCE);
        match self.time.checked_sub(last.time) {
            Some(0) => Err(ClockFault::StoodStill),
            Some(time) if (shortest..=longest).contains(&time) => Ok(time),
            Some(_) => Err(ClockFault::Implausible),
            None => Err(ClockFault::WentBack),
        }
    }

    /// The time by this machine's clock.
    fn host_time(&self) -> Option<u64> {
        match (self.read, self.clock) {
            (Some(read), _) => Some(read.begin),
            (None, Clock::Host) => Some(self.time),
            (None, Clock::Target) => None,
        }
    }

    /// Returns the growth of the counter `key` since `last`, which was `elapsed` ago, per `period`.
    pub fn rate(&self, last: &Reading, elapsed: Elapsed, key: &str, period: Period) -> Option<f64> {
        let growth = self.counters.get(key)? - last.counters.get(key)?;
        let periods = match period {
            Period::Second => 1e9,
            Period::Minute => 60e9,
        };
        // Nanoseconds up to 104 days are exact as a float, and longer times to 16 digits.
        #[allow(clippy::cast_precision_loss)]
        let rate = growth * periods / elapsed.nanoseconds as f64;
        (growth >= 0.0 && rate.is_finite()).then_some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A reading at this time by the target's clock, which the host began 5 ms before and ended 5 ms later.
    fn reading(seconds: f64, count: f64) -> Reading {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let time = 1_700_000_000 * SECOND + (seconds * 1e9) as u64;
        Reading {
            start: Some("2026-01-01T00:00:00.000000001Z".to_owned()),
            time,
            clock: Clock::Target,
            read: Some(Span { begin: time - SECOND / 200, end: time + SECOND / 200 }),
            source: None,
            counters: BTreeMap::from([("#.gc.gc_num".to_owned(), count)]),
        }
    }

    fn rate(last: &Reading, now: &Reading, period: Period) -> Option<f64> {
        now.rate(last, now.since(last)?, "#.gc.gc_num", period)
    }

    fn per_minute(last: &Reading, now: &Reading) -> Option<f64> {
        rate(last, now, Period::Minute)
    }

    #[test]
    fn a_rate_is_growth_over_elapsed_time() {
        let last = reading(0.0, 100.0);
        for (seconds, count, expected) in [
            (30.0, 110.0, 20.0),
            (60.0, 110.0, 10.0),
            (90.0, 145.0, 30.0),
            (0.5, 101.0, 120.0),
            (5.0 * 3600.0, 400.0, 1.0),
            (60.0, 100.0, 0.0),
        ] {
            assert_eq!(per_minute(&last, &reading(seconds, count)), Some(expected), "{seconds} s");
        }
        assert_eq!(rate(&last, &reading(30.0, 160.0), Period::Second), Some(2.0));
    }

    #[test]
    fn a_rate_with_unknown_growth_is_left_out() {
        let last = reading(0.0, 100.0);
        let now = reading(60.0, 160.0);
        let restarted = Reading { start: Some("2026-01-01T00:00:01Z".to_owned()), ..now.clone() };
        let other_source = Reading { source: Some(Source::Api), ..now.clone() };
        let no_counter = Reading { counters: BTreeMap::new(), ..now.clone() };
        assert_eq!(per_minute(&last, &restarted), None, "restart");
        assert_eq!(per_minute(&last, &other_source), None, "another source");
        assert_eq!(per_minute(&no_counter, &now), None, "a counter that is new");
        assert_eq!(per_minute(&last, &reading(60.0, 99.0)), None, "the count fell");
        assert_eq!(per_minute(&last, &reading(0.0, 160.0)), None, "no time passed");
        assert_eq!(per_minute(&now, &last), None, "this machine's clock was set back");
        assert_eq!(per_minute(&reading(0.0, -1e308), &reading(1.0, 1e308)), None, "more than a float holds");
        let of_older_version = Reading { read: None, ..last };
        assert_eq!(per_minute(&of_older_version, &now), None, "the target's clock cannot be checked");
    }

    #[test]
    fn a_target_clock_that_does_not_fit_is_replaced_by_the_hosts() {
        let last = reading(0.0, 100.0);
        let of = |passed: i64| {
            let now = reading(60.0, 160.0);
            let now = Reading { time: last.time.checked_add_signed(passed).unwrap(), ..now };
            (per_minute(&last, &now), now.since(&last).unwrap().fault)
        };
        assert_eq!(of(0), (Some(60.0), Some(ClockFault::StoodStill)));
        assert_eq!(of(-1), (Some(60.0), Some(ClockFault::WentBack)));
        for unit in [1, 1_000, 1_000_000] {
            assert_eq!(of(60 * unit), (Some(60.0), Some(ClockFault::Implausible)), "60 s in units of 1/{unit} s");
        }
        assert_eq!(of(3600 * 1_000_000_000), (Some(60.0), Some(ClockFault::Implausible)), "the clock was set");
        assert_eq!(of(50 * 1_000_000_000), (Some(72.0), None), "values that the target took 10 s ago");
    }

    #[test]
    fn the_clock_of_container_stats_is_not_checked() {
        let of = |reading: Reading| Reading { source: Some(Source::Cgroup), read: None, ..reading };
        let last = of(reading(0.0, 100.0));
        assert_eq!(per_minute(&last, &of(reading(30.0, 110.0))), Some(20.0));
        assert_eq!(per_minute(&last, &of(reading(0.0, 110.0))), None, "no time passed");
        assert_eq!(per_minute(&of(reading(30.0, 90.0)), &last), None, "it was set back");
    }

    #[test]
    fn a_target_that_ceases_to_report_its_time_keeps_its_rates() {
        let last = reading(0.0, 100.0);
        let now = reading(60.0, 160.0);
        let by_host = |of: &Reading| Reading { time: of.read.unwrap().begin, clock: Clock::Host, ..of.clone() };
        for (last, now) in
            [(by_host(&last), now.clone()), (last.clone(), by_host(&now)), (by_host(&last), by_host(&now))]
        {
            assert_eq!(per_minute(&last, &now), Some(60.0));
            assert_eq!(now.since(&last).unwrap().fault, None);
        }
        let of_older_version = Reading { read: None, ..by_host(&last) };
        assert_eq!(per_minute(&of_older_version, &now), Some(60.0));
    }
}
