//! The findings of a test: the checks of a collector against the contract.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;

use super::collected::Collected;
use super::played::Played;
use crate::definition::{Definitions, Point, Prefix};
use crate::error::Error;
use crate::options::Options;
use crate::pipeline::{protocol, series};
use crate::sandbox::failure::Cause;
use crate::sandbox::{Description, MetricKind};
use crate::store::component::{CallError, Component};
use crate::text::foreign;

/// Returns true for the count of a counter.
fn is_counter(point: &Point) -> bool {
    matches!(point.kind, MetricKind::Counter(_))
}

/// The units of the contract.
const UNITS: [&str; 9] = [
    "float",
    "integer",
    "percentage",
    "seconds",
    "milliseconds",
    "bytes",
    "bytes-per-second",
    "bits-per-second",
    "iops",
];

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Error,
    Warning,
    Note,
}

/// The findings of a test, in order of occurrence.
#[derive(Debug, Default)]
pub struct Findings(Vec<(Weight, String)>);

impl Findings {
    /// Adds a violation of the contract: the exit status becomes 1.
    pub fn error(&mut self, what: impl Into<String>) {
        self.0.push((Weight::Error, what.into()));
    }

    /// Adds something that is probably wrong.
    pub fn warning(&mut self, what: impl Into<String>) {
        self.0.push((Weight::Warning, what.into()));
    }

    /// Adds something that an author may want to know.
    pub fn note(&mut self, what: impl Into<String>) {
        self.0.push((Weight::Note, what.into()));
    }

    /// Takes the result of a call without a target. A failure of the collector is a finding.
    pub fn of<T>(&mut self, result: Result<T, CallError>) -> Result<Option<T>, Error> {
        match result {
            Ok(result) => Ok(Some(result)),
            Err(error @ CallError::Failed { function, .. }) => {
                let text = error.without_name();
                // The bindings of each language word it in their own way.
                if function == "graphs"
                    && ["discriminant", "enum", "unit", "Unit"].iter().any(|word| text.contains(word))
                {
                    self.note(format!("graphs: a unit is one of {}", UNITS.join(", ")));
                }
                self.error(text);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Checks that the collector declares the same a second time.
    pub async fn compare_declarations(
        &mut self,
        component: &Component,
        description: &Description,
        options: &Options,
        definitions: &Definitions,
    ) -> Result<(), Error> {
        if self.of(component.describe().await)?.is_some_and(|again| again != *description) {
            self.error("describe: returns another description the second time; it must not depend on state");
        }
        if let Some(again) = self.of(component.definitions(options.collector.values()).await)? {
            let pairs = definitions.graphs().iter().zip(again.graphs());
            let other = pairs.into_iter().find(|(first, second)| first != second).map(|(first, _)| &first.key);
            let (count, count_again) = (definitions.graphs().len(), again.graphs().len());
            match other {
                Some(key) => {
                    self.error(format!("graphs: returns another '{key}' the second time for the same options"));
                }
                None if count != count_again => {
                    self.error(format!(
                        "graphs: returns {count} graphs, and {count_again} the second time for the same options"
                    ));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Adds the findings of a replay.
    pub fn of_playing(&mut self, Played { wrong, unused }: &Played) {
        for wrong in wrong {
            self.error(format!("replay: {wrong}"));
        }
        for unused in unused {
            self.note(format!("replay: {unused}"));
        }
    }

    /// Adds the findings of one collection. Returns true if there is a report.
    pub fn of_collection(&mut self, collected: &Collected, definitions: &Definitions, prefix: &Prefix) -> bool {
        let found = match &collected.outcome.report {
            Ok(found) => found,
            Err(why) => {
                self.error(format!("collect: {}", collected.told(&why.to_string())));
                if why.denied.is_empty() && matches!(why.cause, Cause::Collector(_)) {
                    self.of_requests(collected);
                }
                return false;
            }
        };
        for warning in found.dropped.explain(|key| definitions.nearest(key)) {
            self.error(format!("collect: {}", collected.told(&warning)));
        }
        for unmatched in series::unmatched(std::slice::from_ref(&collected.outcome)) {
            self.note(format!("collect: {unmatched}"));
        }
        if !collected.outcome.denied.is_empty() {
            let denied = collected.outcome.denied.to_string();
            self.error(format!("collect: {}", collected.told(&denied)));
        }
        for Point { key, value, .. } in found.points.iter().filter(|point| is_counter(point) && point.value < 0.0) {
            self.error(format!("collect: counter '{key}' is negative: {value}; a counter counts from zero"));
        }
        if found.points.is_empty() {
            self.warning("collect: no metrics");
            self.of_requests(collected);
        }
        let came: BTreeSet<(usize, usize)> = found.points.iter().map(|point| point.order).collect();
        for (g, graph) in definitions.graphs().iter().enumerate() {
            let missing = graph.metrics.iter().enumerate().filter(|(m, _)| !came.contains(&(g, *m)));
            let missing: Vec<&str> = missing.map(|(_, metric)| metric.name.as_str()).collect();
            if !missing.is_empty() {
                let (key, _) = Definitions::title(graph, prefix);
                self.note(format!("collect: no metrics for {key}: {}", foreign(&missing.join(", "))));
            }
        }
        true
    }

    /// Adds a note if a collector without metrics sent nothing: some languages have a network of their own in
    /// WebAssembly, whose use the host does not notice.
    fn of_requests(&mut self, collected: &Collected) {
        if collected.has_address && collected.outcome.usage.requests() == 0 {
            self.note(
                "collect: the collector sent nothing to the target; a network library reaches it only through \
                 mackerel:collector/http, wasi:http or wasi:sockets (in Go: the packages collector and transport)",
            );
        }
    }

    /// Checks that a real target has the same names the second time, and that no counter fell. Values can differ.
    pub fn compare_live(&mut self, first: &Collected, second: &Collected) {
        let (Ok(first), second) = (&first.outcome.report, &second.outcome.report) else { return };
        let second = match second {
            Ok(second) => second,
            Err(why) => return self.error(format!("collect: failed the second time: {why}")),
        };
        let names = |points: &[Point]| points.iter().map(|point| point.key.clone()).collect::<BTreeSet<_>>();
        if let Some(name) = names(&first.points).symmetric_difference(&names(&second.points)).next() {
            self.warning(format!("collect: '{name}' was reported only one time of two"));
        }
        let before: BTreeMap<&str, f64> = first.points.iter().map(|point| (point.key.as_str(), point.value)).collect();
        for Point { key, value, .. } in second.points.iter().filter(|point| is_counter(point)) {
            if let Some(before) = before.get(key.as_str()).filter(|before| *before > value) {
                // The Go plugins have such counters too, and a target can be restarted between the calls.
                self.warning(format!(
                    "collect: counter '{key}' fell from {before} to {value} between two calls; a value that can fall \
                     is a gauge"
                ));
            }
        }
    }

    /// Checks that equal responses give equal results. `when` completes "failed …".
    pub fn compare(&mut self, first: &Collected, again: &Collected, when: &str) {
        let (first, second) = match (&first.outcome.report, &again.outcome.report) {
            (Ok(first), Ok(second)) => (first, second),
            (Ok(_), Err(why)) => {
                return self.error(format!("collect: failed {when}: {}", again.told(&why.to_string())));
            }
            (Err(_), Ok(_)) => return self.error(format!("collect: did not fail {when}, for the same responses")),
            (Err(before), Err(why)) => {
                if first.told(&before.to_string()) != again.told(&why.to_string()) {
                    self.error(format!("collect: failed otherwise {when}: {}", again.told(&why.to_string())));
                }
                return;
            }
        };
        let values =
            |points: &[Point]| points.iter().map(|point| (point.key.clone(), point.value)).collect::<BTreeMap<_, _>>();
        let (once, again) = (values(&first.points), values(&second.points));
        let keys: BTreeSet<&String> = once.keys().chain(again.keys()).collect();
        // Bit by bit: equal responses give equal values.
        let other =
            keys.into_iter().find(|key| once.get(*key).map(|v| v.to_bits()) != again.get(*key).map(|v| v.to_bits()));
        let shown = |value: Option<&f64>| value.map_or("nothing".to_owned(), f64::to_string);
        if let Some(key) = other {
            let (once, again) = (shown(once.get(key)), shown(again.get(key)));
            self.error(format!("collect: '{key}' is {once}, and {again} {when}, for the same responses"));
        } else if first.time != second.time {
            self.error(format!("collect: the report's time differs {when}: it must be the target's"));
        }
    }

    fn has_errors(&self) -> bool {
        self.0.iter().any(|(weight, _)| *weight == Weight::Error)
    }

    /// Prints the metrics, and the findings after them.
    pub fn print(mut self, metrics: &str) -> Result<ExitCode, Error> {
        self.0.sort_by_key(|(weight, _)| *weight);
        let mut text = metrics.to_owned();
        for (weight, what) in &self.0 {
            let weight = match weight {
                Weight::Error => "error",
                Weight::Warning => "warning",
                Weight::Note => "note",
            };
            let _ = writeln!(text, "{weight}: {}", crate::text::escape(what));
        }
        protocol::print(&text)?;
        Ok(if self.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_are_those_of_the_contract() {
        let types = include_str!("../../../../wit/types.wit");
        let (_, units) = types.split_once("enum unit {").expect("the units");
        let (units, _) = units.split_once('}').expect("their end");
        let names = units.lines().map(str::trim).filter(|line| !line.starts_with("///") && !line.is_empty());
        assert_eq!(names.collect::<Vec<_>>(), UNITS.map(|unit| format!("{unit},")));
    }
}
