//! Rates: a counter's growth since the last run, per second or per minute.
//!
//! A rate is left out rather than guessed: for a new target, after its restart, if the counter fell, if no time passed, if the wall
//! clock was stepped, and if the stats had another source.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sandbox::Period;
use crate::sandbox::container::Source;

/// The counters of a target in one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The start time of the container, as the engine formats it; `None` for fixed targets.
    pub start: Option<String>,
    /// The time of the counters in nanoseconds since 1970.
    pub time: u64,
    /// The clock of `time`.
    pub clock: Clock,
    /// The source of the container's stats, if the collector requested them. Counters of two sources are never compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The counters by the keys of their points.
    pub counters: BTreeMap<String, f64>,
}

/// The clock of a reading. Times of two clocks are never compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// This machine's.
    Host,
    /// The target's own, reported by its collector.
    Target,
}

impl Reading {
    /// Returns the growth of the counter `key` since `last`, per `period`.
    pub fn rate(&self, last: Option<&Reading>, key: &str, period: Period) -> Option<f64> {
        let last =
            last.filter(|last| last.start == self.start && last.clock == self.clock && last.source == self.source)?;
        let nanoseconds = self.time.checked_sub(last.time).filter(|time| *time > 0)?;
        let growth = self.counters.get(key)? - last.counters.get(key)?;
        let periods = match period {
            Period::Second => 1e9,
            Period::Minute => 60e9,
        };
        // Nanoseconds up to 104 days are exact as a float, and longer times to 16 digits.
        #[allow(clippy::cast_precision_loss)]
        let rate = growth * periods / nanoseconds as f64;
        (growth >= 0.0 && rate.is_finite()).then_some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(seconds: f64, count: f64) -> Reading {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let time = 1_700_000_000_000_000_000 + (seconds * 1e9) as u64;
        Reading {
            start: Some("2026-01-01T00:00:00.000000001Z".to_owned()),
            time,
            clock: Clock::Target,
            source: Some(Source::Cgroup),
            counters: BTreeMap::from([("#.gc.gc_num".to_owned(), count)]),
        }
    }

    fn per_minute(last: &Reading, now: &Reading) -> Option<f64> {
        now.rate(Some(last), "#.gc.gc_num", Period::Minute)
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
        assert_eq!(reading(30.0, 160.0).rate(Some(&last), "#.gc.gc_num", Period::Second), Some(2.0));
    }

    #[test]
    fn a_rate_with_unknown_growth_is_left_out() {
        let last = reading(0.0, 100.0);
        let now = reading(60.0, 160.0);
        let restarted = Reading { start: Some("2026-01-01T00:00:01Z".to_owned()), ..now.clone() };
        let other_clock = Reading { clock: Clock::Host, ..now.clone() };
        let other_source = Reading { source: Some(Source::Api), ..now.clone() };
        let no_counter = Reading { counters: BTreeMap::new(), ..now.clone() };
        assert_eq!(now.rate(None, "#.gc.gc_num", Period::Minute), None, "first sight");
        assert_eq!(per_minute(&last, &restarted), None, "restart");
        assert_eq!(per_minute(&last, &other_clock), None, "another clock");
        assert_eq!(per_minute(&last, &other_source), None, "another source");
        assert_eq!(per_minute(&no_counter, &now), None, "a counter that is new");
        assert_eq!(per_minute(&last, &reading(60.0, 99.0)), None, "the count fell");
        assert_eq!(per_minute(&last, &reading(0.0, 160.0)), None, "no time passed");
        assert_eq!(per_minute(&now, &last), None, "the clock was set back");
        assert_eq!(per_minute(&reading(0.0, -1e308), &reading(1e-9, 1e308)), None, "more than a float holds");
    }
}
