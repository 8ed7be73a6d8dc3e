//! Selection: which of a collector's metrics are posted, by `--select` and `--exclude`.
//!
//! A pattern is held against `GRAPH.METRIC`: the graph's key without its `#`, and the metric's name. In a pattern `*` stands for any
//! characters, dots among them. A declared `*` stands for names that only the target knows, so a pattern fits it where it fits one of
//! them.

use std::fmt;
use std::str::FromStr;

use crate::definition::Definitions;
use crate::limits;
use crate::text::listed;

/// What `--select` and `--exclude` take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.*".contains(&b);
        if text.is_empty() || text.len() > 2 * limits::KEY_LENGTH || !text.bytes().all(legal) {
            return Err("expected GRAPH.METRIC, such as memory.memory_sys, gc.* or *.rss".to_owned());
        }
        Ok(Pattern(text.to_owned()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern {
    /// Whether the pattern fits all of `name`: a `*` in it is a character like any other, which only a `*` fits.
    fn covers(&self, name: &str) -> bool {
        have_common(self.0.as_bytes(), name.as_bytes(), false)
    }

    /// Whether the pattern fits something that `declared` stands for.
    fn meets(&self, declared: &str) -> bool {
        have_common(self.0.as_bytes(), declared.as_bytes(), true)
    }
}

/// Whether there is a text that both fit, where `*` stands for any characters: in `name` only where it is `open`.
fn have_common(pattern: &[u8], name: &[u8], open: bool) -> bool {
    // `fits[n]` is whether the pattern from `p` on and the name from `n` on have a text in common; `p` goes from the end.
    let mut fits = vec![false; name.len() + 1];
    for p in (0..=pattern.len()).rev() {
        let shorter = fits.clone();
        for n in (0..=name.len()).rev() {
            let (head, other) = (pattern.get(p), name.get(n));
            fits[n] = match (head, other) {
                (None, None) => true,
                (Some(b'*'), _) => shorter[n] || other.is_some() && fits[n + 1],
                (_, Some(b'*')) if open => fits[n + 1] || head.is_some() && shorter[n],
                (Some(head), Some(other)) => head == other && shorter[n + 1],
                _ => false,
            };
        }
    }
    fits[0]
}

/// Which metrics are posted: those that some pattern of `select` fits, all where there is none, but for those that a pattern of
/// `exclude` fits.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `--select`.
    pub select: Vec<Pattern>,
    /// `--exclude`.
    pub exclude: Vec<Pattern>,
}

impl Selection {
    /// Whether a metric is posted. `name` is its graph's key without the `#`, and its own name.
    pub fn keeps(&self, name: &str) -> bool {
        let is_selected = self.select.is_empty() || self.select.iter().any(|pattern| pattern.covers(name));
        is_selected && !self.exclude.iter().any(|pattern| pattern.covers(name))
    }

    /// Whether a declared metric is defined: what it stands for can be posted.
    pub fn defines(&self, declared: &str) -> bool {
        let is_selected = self.select.is_empty() || self.select.iter().any(|pattern| pattern.meets(declared));
        is_selected && !self.exclude.iter().any(|pattern| pattern.covers(declared))
    }

    /// Whether something is chosen at all.
    pub fn is_empty(&self) -> bool {
        self.select.is_empty() && self.exclude.is_empty()
    }

    /// Holds the patterns against what a collector declares.
    ///
    /// # Errors
    /// Where a pattern fits nothing, or all of them leave nothing: what there is.
    pub fn check(&self, definitions: &Definitions) -> Result<(), String> {
        // A collector may declare nothing at all.
        if self.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = definitions.names().collect();
        let options = [("--select", &self.select), ("--exclude", &self.exclude)];
        let patterns = options.into_iter().flat_map(|(option, all)| all.iter().map(move |pattern| (option, pattern)));
        for (option, pattern) in patterns {
            if !names.iter().any(|name| pattern.meets(name)) {
                return Err(format!("{option} {pattern} fits no metric; there is {}", listed(&names)));
            }
        }
        if names.iter().any(|name| self.defines(name)) {
            return Ok(());
        }
        Err(format!("--select and --exclude leave no metric; there is {}", listed(&names)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(select: &[&str], exclude: &[&str]) -> Selection {
        let patterns = |all: &[&str]| all.iter().map(|text| text.parse().unwrap()).collect();
        Selection { select: patterns(select), exclude: patterns(exclude) }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, fits) in [
            ("memory.rss", "memory.rss", true),
            ("memory.rss", "memory.rss2", false),
            ("memory.*", "memory.rss", true),
            ("memory.*", "memory_limit.used", false),
            ("memory*", "memory_limit.used", true),
            ("*.read", "blkio.io_queued.read", true),
            ("blkio.*", "blkio.io_queued.read", true),
            ("*io*re*d", "blkio.io_queued.read", true),
            ("*", "a", true),
            ("**", "a", true),
            ("a*a", "a", false),
            ("rss", "memory.rss", false),
        ] {
            assert_eq!(selection(&[pattern], &[]).keeps(name), fits, "{pattern} {name}");
            assert_eq!(selection(&[], &[pattern]).keeps(name), !fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_declared_star_is_defined_while_something_of_it_can_be_posted() {
        for (select, exclude, is_defined) in [
            (&["http.rate.code_200"][..], &[][..], true),
            (&["http.*"], &[], true),
            (&["*_200"], &[], true),
            (&["other.*"], &[], false),
            (&[], &["http.rate.code_200"], true),
            (&[], &["http.*"], false),
            (&["http.*"], &["*.rate.*"], false),
        ] {
            assert_eq!(selection(select, exclude).defines("http.rate.*"), is_defined, "{select:?} {exclude:?}");
        }
        assert!(selection(&["http.rate.code_200"], &[]).keeps("http.rate.code_200"));
        assert!(!selection(&["http.rate.code_200"], &[]).keeps("http.rate.code_404"));
    }

    #[test]
    fn a_collector_without_graphs_needs_no_choice_and_allows_none() {
        let nothing = Definitions::new(Vec::new()).unwrap();
        assert_eq!(selection(&[], &[]).check(&nothing), Ok(()));
        assert_eq!(selection(&["a"], &[]).check(&nothing).unwrap_err(), "--select a fits no metric; there is none");
    }

    #[test]
    fn patterns_that_could_take_long_do_not() {
        let (pattern, name) = ("*a".repeat(200), "a".repeat(500) + "b");
        assert!(!selection(&[&pattern], &[]).keeps(&name));
    }
}
