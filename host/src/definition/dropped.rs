//! Samples of a report that are dropped, with the reason.

use crate::text::foreign;

/// The reason for samples that no graph covers.
pub const UNDECLARED: &str = "without a declared graph";

/// Dropped samples, counted by reason.
#[derive(Debug)]
pub struct Dropped {
    reasons: Vec<Reason>,
    named: usize,
}

#[derive(Debug)]
struct Reason {
    why: &'static str,
    /// The first keys, escaped and cut.
    keys: Vec<String>,
    count: usize,
}

impl Dropped {
    /// Starts without samples. Of each reason, `named` samples are named.
    pub fn new(named: usize) -> Dropped {
        Dropped { reasons: Vec::new(), named }
    }

    /// Adds a sample.
    pub fn add(&mut self, why: &'static str, key: impl Fn() -> String) {
        let place = self.reasons.iter().position(|reason| reason.why == why).unwrap_or_else(|| {
            self.reasons.push(Reason { why, keys: Vec::new(), count: 0 });
            self.reasons.len() - 1
        });
        let reason = &mut self.reasons[place];
        reason.count += 1;
        if reason.keys.len() < self.named {
            reason.keys.push(foreign(&key()).to_string());
        }
    }

    /// Returns one warning for each reason.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.reasons.iter().map(|Reason { why, keys, count }| {
            let key = keys.first().map(String::as_str).unwrap_or_default();
            match count {
                1 => format!("dropped a sample {why}: {key}"),
                _ => format!("dropped {count} samples {why}: {key}, …"),
            }
        })
    }

    /// Returns one warning for each sample that is named, with the declared name that `nearest` finds, and one for all
    /// others.
    pub fn explain(&self, nearest: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let mut all = Vec::new();
        for Reason { why, keys, count } in &self.reasons {
            for key in keys {
                let near = (*why == UNDECLARED).then(|| nearest(key)).flatten();
                let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                all.push(format!("dropped a sample {why}: {key}{near}"));
            }
            let more = count - keys.len();
            if more > 0 {
                all.push(format!("dropped {more} more samples {why}"));
            }
        }
        all
    }
}
