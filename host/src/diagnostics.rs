//! Diagnostics: everything that goes to stderr. One printer, so that no text of a third party reaches a terminal or a
//! log unescaped, and so that a fault of many targets does not fill the log of every minute.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::rc::Rc;

use crate::limits;
use crate::text::{escape, foreign};

/// Prints one line to stderr. A closed stderr is not an error.
pub fn print(line: &str) {
    let _ = writeln!(std::io::stderr(), "mackerel-plugin-wasm: {}", escape(line));
}

/// Prints a text of this program with several lines, such as a help text.
pub fn print_text(text: &str) {
    let _ = write!(std::io::stderr(), "{text}");
}

/// The diagnostics of one run, printed at its end. Lines that differ in the target alone are folded into one.
#[derive(Debug)]
pub struct Diagnostics {
    collector: Rc<str>,
    /// In order of occurrence.
    lines: Vec<Line>,
    failures: usize,
    /// The command that a last line names.
    details: Option<String>,
}

/// One diagnostic.
#[derive(Debug)]
struct Line {
    /// The collector.
    collector: Rc<str>,
    /// The target, or `None` for the whole run.
    target: Option<String>,
    text: String,
    /// The text without what differs from target to target. Lines with the same kind are folded.
    kind: String,
    /// True if it is the reason for which a target has no metrics.
    is_failure: bool,
}

impl Diagnostics {
    /// Starts the diagnostics of a run of `collector`.
    pub fn new(collector: &str) -> Diagnostics {
        Diagnostics { collector: collector.into(), lines: Vec::new(), failures: 0, details: None }
    }

    /// Adds a last line that names the command for details. It is printed only if there is any other line.
    #[must_use]
    pub fn pointing_to(self, command: String) -> Diagnostics {
        Diagnostics { details: Some(command), ..self }
    }

    /// Adds a warning about one target.
    #[allow(clippy::needless_pass_by_value)] // so that texts and errors can be given as they come
    pub fn warn_target(&mut self, target: &(impl ToString + ?Sized), text: impl ToString) {
        let text = text.to_string();
        self.push(Some(target.to_string()), text.clone(), text, false);
    }

    /// Adds the reason for which a target has no metrics, and counts the failure.
    #[allow(clippy::needless_pass_by_value)] // as above
    pub fn fail_target(&mut self, target: &(impl ToString + ?Sized), reason: impl ToString) {
        self.failures += 1;
        let text = reason.to_string();
        self.push(Some(target.to_string()), text.clone(), text, true);
    }

    /// As [`fail_target`](Diagnostics::fail_target), for a reason that is folded with others of the same `kind`.
    pub fn fail_target_alike(&mut self, target: &(impl ToString + ?Sized), reason: &impl ToString, kind: String) {
        self.failures += 1;
        self.push(Some(target.to_string()), reason.to_string(), kind, true);
    }

    /// Adds one line for several failed targets, and counts them.
    #[allow(clippy::needless_pass_by_value)] // as above
    pub fn fail(&mut self, targets: usize, reason: impl ToString) {
        self.failures += targets;
        let text = reason.to_string();
        self.push(None, text.clone(), text, true);
    }

    /// Counts failures that have a line elsewhere.
    pub fn count_failures(&mut self, targets: usize) {
        self.failures += targets;
    }

    /// Adds the diagnostics of one of several collectors.
    pub fn absorb(&mut self, other: Diagnostics) {
        self.lines.extend(other.lines);
        self.failures += other.failures;
    }

    fn push(&mut self, target: Option<String>, text: String, kind: String, is_failure: bool) {
        self.lines.push(Line { collector: Rc::clone(&self.collector), target, text, kind, is_failure });
    }

    /// The number of failed targets.
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// Adds a warning about the whole run.
    #[allow(clippy::needless_pass_by_value)] // as above
    pub fn warn(&mut self, text: impl ToString) {
        let text = text.to_string();
        self.push(None, text.clone(), text, false);
    }

    /// Adds warnings about the whole run.
    pub fn warn_all(&mut self, texts: Vec<String>) {
        for text in texts {
            self.warn(text);
        }
    }

    /// Turns an error that the run survives into a warning.
    pub fn ok<T>(&mut self, result: Result<T, impl ToString>) -> Option<T> {
        result.map_err(|error| self.warn(error)).ok()
    }

    /// Takes the warning off a result.
    pub fn with_warning<T>(&mut self, (result, warning): (T, Option<String>)) -> T {
        self.warn_all(warning.into_iter().collect());
        result
    }

    /// Formats all lines, folded and at most [`limits::DIAGNOSTICS`] of them.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.folded(true, |_| true);
        if let Some(command) = self.details.as_ref().filter(|_| !lines.is_empty()) {
            lines.push(format!("{}: for details: {command}", self.collector));
        }
        lines
    }

    /// Formats the failures alone, without the collector's name.
    pub fn failed(&self) -> Vec<String> {
        self.folded(false, |line| line.is_failure)
    }

    fn folded(&self, names_collector: bool, wanted: impl Fn(&Line) -> bool) -> Vec<String> {
        let mut targets_by_kind: HashMap<(&str, &str), usize> = HashMap::new();
        for Line { collector, target, kind, .. } in self.lines.iter().filter(|line| wanted(line)) {
            *targets_by_kind.entry((collector, kind)).or_default() += usize::from(target.is_some());
        }
        let mut folded = HashSet::new();
        let line = |Line { collector, target, text, kind, .. }: &'_ Line| {
            let others = targets_by_kind[&(&**collector, kind.as_str())].saturating_sub(1);
            let line = match target {
                None => Some(text.clone()),
                Some(target) if others < limits::ALIKE => Some(format!("{}: {text}", foreign(target))),
                Some(target) => folded
                    .insert((Rc::clone(collector), kind.clone()))
                    .then(|| format!("{} and {others} others: {text}", foreign(target))),
            };
            line.map(|line| if names_collector { format!("{collector}: {line}") } else { line })
        };
        let mut lines: Vec<String> = self.lines.iter().filter(|line| wanted(line)).filter_map(line).collect();
        let more = lines.len().saturating_sub(limits::DIAGNOSTICS);
        if more > 0 {
            lines.truncate(limits::DIAGNOSTICS);
            let of = if names_collector { format!("{}: ", self.collector) } else { String::new() };
            lines.push(format!("{of}and {more} more lines"));
        }
        lines
    }

    /// Prints all lines.
    pub fn print(&self) {
        for line in self.lines() {
            print(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_equal_failures_are_listed_and_many_are_folded() {
        let mut diagnostics = Diagnostics::new("gostats");
        for n in 1..=limits::ALIKE {
            diagnostics.warn_target(&format!("few-{n}"), "connection refused");
        }
        assert_eq!(diagnostics.lines().len(), limits::ALIKE);
        for n in 1..=100 {
            diagnostics.warn_target(&format!("many-{n}"), "timed out");
        }
        diagnostics.warn_target("one", "another cause");
        let lines = diagnostics.lines();
        assert_eq!(lines.len(), limits::ALIKE + 2);
        assert_eq!(lines[limits::ALIKE], "gostats: many-1 and 99 others: timed out");
        assert_eq!(lines[limits::ALIKE + 1], "gostats: one: another cause");
    }

    #[test]
    fn failures_that_differ_in_details_alone_are_folded() {
        let mut diagnostics = Diagnostics::new("gostats");
        for n in 0..=limits::ALIKE {
            diagnostics.fail_target_alike(&format!("target-{n}"), &format!("HTTP 500: id {n}"), "HTTP 500".to_owned());
        }
        assert_eq!(diagnostics.lines(), ["gostats: target-0 and 5 others: HTTP 500: id 0"]);
        assert_eq!(diagnostics.failures(), limits::ALIKE + 1);
    }

    #[test]
    fn lines_over_the_limit_are_counted() {
        let mut diagnostics = Diagnostics::new("evil");
        for n in 0..limits::DIAGNOSTICS + 7 {
            diagnostics.warn_target(&format!("target-{n}"), format!("something new: {n}"));
        }
        let lines = diagnostics.lines();
        assert_eq!(lines.len(), limits::DIAGNOSTICS + 1);
        assert_eq!(lines[limits::DIAGNOSTICS - 1], "evil: target-99: something new: 99");
        assert_eq!(lines[limits::DIAGNOSTICS], "evil: and 7 more lines");
    }
}
