//! Selection: the metrics that are posted, by `--select` and `--exclude`.
//!
//! A pattern is matched with `GRAPH.METRIC`: the graph's key without its `#`, and the metric's name. In a pattern `*`
//! matches any characters, dots included. A declared `*` covers names that only the target knows, so a pattern matches
//! it if it can match one of them.

use std::fmt;
use std::str::FromStr;

use crate::definition::Definitions;
use crate::limits;
use crate::text::{Expected, listed};

/// A pattern of `--select` or `--exclude`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl FromStr for Pattern {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Pattern, Expected> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.*".contains(&b);
        if text.is_empty() || text.len() > 2 * limits::KEY_LENGTH || !text.bytes().all(legal) {
            return Err(Expected("GRAPH.METRIC, such as memory.memory_sys, gc.* or *.rss"));
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
    /// Returns true if the pattern matches `name`, in which `*` is an ordinary character.
    pub fn covers(&self, name: &str) -> bool {
        have_common(self.0.as_bytes(), name.as_bytes(), false)
    }

    /// Returns true if the pattern matches a name that `declared` covers.
    pub fn meets(&self, declared: &str) -> bool {
        have_common(self.0.as_bytes(), declared.as_bytes(), true)
    }
}

/// Returns true if a text matches both patterns. In `name`, `*` matches any characters only if it is `open`.
fn have_common(pattern: &[u8], name: &[u8], open: bool) -> bool {
    // `fits[n]`: a text matches both the pattern from `p` and the name from `n`. `p` runs from the end.
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

/// The selected metrics: those that a pattern of `select` matches, or all if there is none, except those that a pattern
/// of `exclude` matches.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `--select`.
    pub select: Vec<Pattern>,
    /// `--exclude`.
    pub exclude: Vec<Pattern>,
}

/// Patterns that select nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// A pattern matches no declared metric.
    #[error("{option} {pattern} matches no metric; available: {available}")]
    NoMatch {
        /// The option.
        option: &'static str,
        /// The pattern.
        pattern: String,
        /// The declared metrics.
        available: String,
    },
    /// The patterns together leave no metric.
    #[error("--select and --exclude leave no metric; available: {available}")]
    NothingLeft {
        /// The declared metrics.
        available: String,
    },
}

impl Selection {
    /// Returns true if a metric is posted. `name` is its graph's key without the `#`, and its own name.
    pub fn keeps(&self, name: &str) -> bool {
        let is_selected = self.select.is_empty() || self.select.iter().any(|pattern| pattern.covers(name));
        is_selected && !self.exclude.iter().any(|pattern| pattern.covers(name))
    }

    /// Returns true if a declared metric is defined: some name that it covers can be posted.
    pub fn defines(&self, declared: &str) -> bool {
        let is_selected = self.select.is_empty() || self.select.iter().any(|pattern| pattern.meets(declared));
        is_selected && !self.exclude.iter().any(|pattern| pattern.covers(declared))
    }

    /// Returns true if there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.select.is_empty() && self.exclude.is_empty()
    }

    /// Checks the patterns against the declared metrics.
    ///
    /// # Errors
    /// If a pattern matches nothing, or all of them leave nothing.
    pub fn check(&self, definitions: &Definitions) -> Result<(), SelectionError> {
        // A collector can declare nothing at all.
        if self.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = definitions.names().collect();
        let options = [("--select", &self.select), ("--exclude", &self.exclude)];
        let patterns = options.into_iter().flat_map(|(option, all)| all.iter().map(move |pattern| (option, pattern)));
        for (option, pattern) in patterns {
            if !names.iter().any(|name| pattern.meets(name)) {
                return Err(SelectionError::NoMatch {
                    option,
                    pattern: pattern.to_string(),
                    available: available(&names),
                });
            }
        }
        if names.iter().any(|name| self.defines(name)) {
            return Ok(());
        }
        Err(SelectionError::NothingLeft { available: available(&names) })
    }
}

/// Lists the declared metrics. Only `inspect` has all of many.
pub fn available(names: &[String]) -> String {
    let hint = if names.len() > limits::LISTED { " (inspect lists all)" } else { "" };
    listed(names) + hint
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(select: &[&str], exclude: &[&str]) -> Selection {
        let patterns = |all: &[&str]| all.iter().map(|text| text.parse().unwrap()).collect();
        Selection { select: patterns(select), exclude: patterns(exclude) }
    }

    #[test]
    fn a_star_matches_any_characters() {
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
    fn a_declared_star_is_defined_if_a_name_that_it_covers_can_be_posted() {
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
    fn a_collector_without_graphs_rejects_every_pattern() {
        let nothing = Definitions::new(Vec::new()).unwrap();
        assert_eq!(selection(&[], &[]).check(&nothing), Ok(()));
        let error = selection(&["a"], &[]).check(&nothing).unwrap_err();
        assert_eq!(error.to_string(), "--select a matches no metric; available: none");
    }

    #[test]
    fn many_stars_match_in_polynomial_time() {
        let (pattern, name) = ("*a".repeat(200), "a".repeat(500) + "b");
        assert!(!selection(&[&pattern], &[]).keeps(&name));
    }
}
