//! Notices: everything that goes to stderr. One printer, so that no foreign text reaches a terminal or a log unescaped, and no
//! fault fills the log of every minute.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Write as _;

use crate::limits;

/// Prints one line to stderr. A stderr that is closed is no reason to fail.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "mackerel-plugin-wasm: {}", escape(line));
}

/// Text of a third party, fit for one message: escaped, and cut.
pub fn foreign(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(limits::FOREIGN_TEXT) {
        Some((end, _)) => format!("{}…", escape(&text[..end])),
        None => escape(text),
    }
}

/// The end of what a third party wrote on several lines, fit for one message.
pub fn foreign_tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines.join(" | ");
    match text.char_indices().rev().nth(limits::FOREIGN_TEXT - 1) {
        Some((start, _)) if start > 0 => format!("…{}", escape(&text[start..])),
        _ => escape(&text),
    }
}

/// The last in an error's chain of causes: the system's or the protocol's own words.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// Replaces what a terminal or a log would interpret: control, formatting and other invisible characters.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => escaped.push(c),
            _ => {
                let _ = write!(escaped, "{}", c.escape_debug());
            }
        }
    }
    escaped
}

/// What a run has to say, until its end. Notices alike are folded into one line.
#[derive(Debug)]
pub struct Notices {
    collector: String,
    /// The target, none for what concerns the whole run, and what is said of it; in the order in which it happened.
    lines: Vec<(Option<String>, String)>,
    failures: usize,
    /// What stands at the end of each line.
    end: &'static str,
}

/// The end of each line of `run`: how its reader gets on.
pub const EXPLAIN: &str = "; for more: explain in place of run";

impl Notices {
    /// For a run of `collector`.
    pub fn new(collector: &str) -> Notices {
        Notices { collector: collector.to_owned(), lines: Vec::new(), failures: 0, end: "" }
    }

    /// The same, with this at the end of each line.
    #[must_use]
    pub fn ending(self, end: &'static str) -> Notices {
        Notices { end, ..self }
    }

    /// Says `what` of `target`.
    pub fn of(&mut self, target: &(impl ToString + ?Sized), what: impl Into<String>) {
        self.lines.push((Some(target.to_string()), what.into()));
    }

    /// Says why `target` gave nothing, and counts it.
    pub fn failed(&mut self, target: &(impl ToString + ?Sized), why: impl Into<String>) {
        self.failures += 1;
        self.of(target, why);
    }

    /// How many targets gave nothing.
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// Says `what` of the whole run.
    pub fn of_run(&mut self, what: impl Into<String>) {
        self.lines.push((None, what.into()));
    }

    /// Says the error of what the run can do without.
    pub fn ok<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|what| self.of_run(what)).ok()
    }

    /// Says the warning that comes beside a result.
    pub fn warned<T>(&mut self, (result, warning): (T, Option<String>)) -> T {
        self.lines.extend(warning.map(|what| (None, what)));
        result
    }

    /// The lines as they are printed.
    pub fn lines(&self) -> Vec<String> {
        let mut alike: HashMap<&str, usize> = HashMap::new();
        for (target, what) in &self.lines {
            *alike.entry(what).or_default() += usize::from(target.is_some());
        }
        let mut folded = HashSet::new();
        let line = |(target, what): &'_ (Option<String>, String)| {
            let others = alike[what.as_str()].saturating_sub(1);
            let Notices { collector, end, .. } = self;
            match target {
                None => Some(format!("{collector}: {what}{end}")),
                Some(target) if others < limits::ALIKE => {
                    Some(format!("{collector}: {}: {what}{end}", foreign(target)))
                }
                Some(target) => folded
                    .insert(what.clone())
                    .then(|| format!("{collector}: {} and {others} others: {what}{end}", foreign(target))),
            }
        };
        let mut lines: Vec<String> = self.lines.iter().filter_map(line).collect();
        let more = lines.len().saturating_sub(limits::NOTICES);
        if more > 0 {
            lines.truncate(limits::NOTICES);
            lines.push(format!("{}: and {more} lines more{}", self.collector, self.end));
        }
        lines
    }

    /// Prints everything.
    pub fn print(&self) {
        for line in self.lines() {
            say(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_a_terminal_or_begin_a_line() {
        assert_eq!(foreign("a\u{1b}[31mred\r\nb\u{202e}c\u{0}"), r"a\u{1b}[31mred\r\nb\u{202e}c\0");
        assert_eq!(foreign("日本語 'so' \"ist\" es\\"), "日本語 'so' \"ist\" es\\");
        assert_eq!(foreign(&"x".repeat(1000)), format!("{}…", "x".repeat(limits::FOREIGN_TEXT)));
        assert_eq!(foreign_tail("\n one\u{1b}\n\ntwo \n"), r"one\u{1b} | two");
        assert_eq!(foreign_tail(&"x\n".repeat(1000)).chars().count(), 1 + limits::FOREIGN_TEXT);
    }

    #[test]
    fn few_failures_alike_are_named_and_many_are_counted() {
        let mut notices = Notices::new("gostats");
        for n in 1..=limits::ALIKE {
            notices.of(&format!("few-{n}"), "refused");
        }
        assert_eq!(notices.lines().len(), limits::ALIKE);
        for n in 1..=100 {
            notices.of(&format!("many-{n}"), "no answer");
        }
        notices.of("one", "another cause");
        let lines = notices.lines();
        assert_eq!(lines.len(), limits::ALIKE + 2);
        assert_eq!(lines[limits::ALIKE], "gostats: many-1 and 99 others: no answer");
        assert_eq!(lines[limits::ALIKE + 1], "gostats: one: another cause");
    }

    #[test]
    fn more_lines_than_a_log_should_take_are_counted() {
        let mut notices = Notices::new("evil");
        for n in 0..limits::NOTICES + 7 {
            notices.of(&format!("target-{n}"), format!("something new: {n}"));
        }
        let lines = notices.lines();
        assert_eq!(lines.len(), limits::NOTICES + 1);
        assert_eq!(lines[limits::NOTICES - 1], "evil: target-99: something new: 99");
        assert_eq!(lines[limits::NOTICES], "evil: and 7 lines more");
    }
}
