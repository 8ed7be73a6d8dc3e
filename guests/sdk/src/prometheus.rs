//! A parser of Prometheus' text format, including `OpenMetrics`.
//!
//! ```
//! use mackerel_collector::prometheus::{self, Kind, Malformed};
//!
//! let page = "# TYPE jobs_total counter\njobs_total{queue=\"mail\"} 42\n";
//! for sample in prometheus::parse(page) {
//!     let sample = sample?;
//!     assert_eq!((&*sample.name, sample.label("queue")), ("jobs_total", Some("mail")));
//!     assert_eq!((sample.value, sample.kind), (42.0, Kind::Counter));
//! }
//! # Ok::<(), Malformed>(())
//! ```

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::slice::Split;

use crate::CollectError;

/// The length of the excerpt of a malformed line in an error, in characters.
const EXCERPT: usize = 60;

/// A byte-order mark, with which some programs begin a page.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// One value with its metric and labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'a> {
    /// The metric's name, including a suffix such as `_bucket` or `_sum` of a histogram or a summary.
    pub name: Cow<'a, str>,
    /// The names and values of the labels, in the order of the page.
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The value, which may be infinite or NaN.
    pub value: f64,
    /// The time of the value, in the unit of the page: milliseconds, or seconds in `OpenMetrics`. Most pages have none.
    pub time: Option<f64>,
    /// The meaning of the value.
    pub kind: Kind,
}

/// The meaning of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A count that only grows: a counter, or a bucket, count or sum of a histogram or a summary.
    Counter,
    /// A current value: a gauge, or a quantile of a summary.
    Gauge,
    /// The page does not declare a type.
    Untyped,
}

/// A line that is not a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The number of the line, from 1.
    pub line: usize,
    /// The fault, in a few words.
    pub cause: &'static str,
    /// The beginning of the line.
    pub excerpt: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Malformed { line, cause, excerpt } = self;
        write!(f, "line {line} is not a metric ({cause}): {excerpt}")
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for CollectError {
    fn from(error: Malformed) -> CollectError {
        CollectError::Unexpected(error.to_string())
    }
}

impl Sample<'_> {
    /// Returns the value of a label, or `None` if there is no such label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| &**value)
    }
}

/// Parses a page into its samples, in order. Help texts and exemplars are skipped.
///
/// Each item is a sample, or an error about one malformed line; the others are not affected. A type applies to all
/// samples of its metric, wherever the page declares it.
pub fn parse(page: &(impl AsRef<[u8]> + ?Sized)) -> Samples<'_> {
    let page = page.as_ref();
    let page = page.strip_prefix(MARK).unwrap_or(page);
    let is_break: fn(&u8) -> bool = |byte| *byte == b'\n';
    let lines = page.split(is_break);
    let mut types = HashMap::new();
    for comment in lines.clone().filter_map(|line| line.trim_ascii().strip_prefix(b"#")) {
        types.extend(std::str::from_utf8(comment).ok().and_then(declared_type));
    }
    Samples { lines, number: 0, types }
}

/// The iterator of [`parse`].
#[derive(Debug, Clone)]
pub struct Samples<'a> {
    lines: Split<'a, u8, fn(&u8) -> bool>,
    /// The number of the last line read, from 1.
    number: usize,
    /// The declared types, by metric name.
    types: HashMap<Cow<'a, str>, &'a str>,
}

impl<'a> Iterator for Samples<'a> {
    type Item = Result<Sample<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.lines.next()?.trim_ascii();
            self.number += 1;
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let text = std::str::from_utf8(line).map_err(|_| "not UTF-8");
            let sample = text.and_then(|text| Rest(text).sample());
            return Some(match sample {
                Ok(sample) => Ok(Sample { kind: self.kind(&sample.name), ..sample }),
                Err(cause) => {
                    let excerpt = String::from_utf8_lossy(line).chars().take(EXCERPT).collect();
                    Err(Malformed { line: self.number, cause, excerpt })
                }
            });
        }
    }
}

/// Returns a metric's name and type if a comment declares them.
fn declared_type(comment: &str) -> Option<(Cow<'_, str>, &str)> {
    let (word, rest) = comment.trim_ascii_start().split_once([' ', '\t'])?;
    let mut rest = Rest(rest.trim_ascii_start());
    let name = (word == "TYPE").then(|| rest.quoted_or(Rest::name))??;
    Some((name, rest.0.trim_ascii()))
}

impl Samples<'_> {
    /// The meaning of this metric's values, by its declared type or that of the metric it is a part of.
    fn kind(&self, name: &str) -> Kind {
        const SUFFIXES: [&str; 8] = ["_bucket", "_sum", "_count", "_total", "_created", "_info", "_gcount", "_gsum"];
        match self.types.get(name) {
            Some(&"counter") => return Kind::Counter,
            Some(&"gauge" | &"summary" | &"info" | &"stateset") => return Kind::Gauge,
            Some(_) => return Kind::Untyped,
            None => {}
        }
        let part = SUFFIXES.iter().find_map(|suffix| Some((*suffix, *self.types.get(name.strip_suffix(suffix)?)?)));
        match part {
            Some(
                ("_total", "counter") | ("_bucket" | "_sum" | "_count", "histogram") | ("_sum" | "_count", "summary"),
            ) => Kind::Counter,
            Some((_, "counter" | "histogram" | "summary" | "gaugehistogram" | "info")) => Kind::Gauge,
            _ => Kind::Untyped,
        }
    }
}

/// The unread rest of a line. Every method skips the white space after what it reads.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// Reads a whole sample: name, labels, value, time and exemplar. Leaves its kind `Untyped`.
    ///
    /// # Errors
    /// The fault, in a few words.
    fn sample(mut self) -> Result<Sample<'a>, &'static str> {
        // A name with other than the usual characters is quoted, within the braces.
        let mut name = self.name();
        let mut labels = Vec::new();
        let is_composite = |rest: &Self| rest.0.starts_with("{count:");
        if !is_composite(&self) && self.take('{') {
            while !self.take('}') {
                let word = self.quoted_or(Rest::name).ok_or("malformed labels")?;
                if self.take('=') {
                    labels.push((word, self.quoted().ok_or("malformed labels")?));
                } else if name.replace(word).is_some() {
                    return Err("malformed labels");
                }
                if !self.take(',') && !self.0.starts_with('}') {
                    return Err("malformed labels");
                }
            }
        }
        let name = name.ok_or("no name")?;
        if is_composite(&self) {
            return Err("several values in one, of OpenMetrics 2");
        }
        let mut words = self.0.split_ascii_whitespace();
        let value = words.next().ok_or("no value")?.parse().map_err(|_| "its value is not a number")?;
        let mut time = None;
        // A time, the time at which a counter started, and exemplars may follow. An exemplar begins with a '#'.
        for word in words.take_while(|word| !word.starts_with('#')) {
            let number = word.strip_prefix("st@").unwrap_or(word).parse().map_err(|_| "its time is not a number")?;
            if !word.starts_with("st@") && time.replace(number).is_some() {
                return Err("text after its time");
            }
        }
        Ok(Sample { name, labels, value, time, kind: Kind::Untyped })
    }

    /// Consumes this character if it comes next.
    fn take(&mut self, expected: char) -> bool {
        match self.0.strip_prefix(expected) {
            Some(rest) => {
                self.0 = rest.trim_ascii_start();
                true
            }
            None => false,
        }
    }

    /// Reads a name in the usual characters.
    fn name(&mut self) -> Option<Cow<'a, str>> {
        let is_legal = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
        let end = self.0.find(|letter| !is_legal(letter)).unwrap_or(self.0.len());
        let (name, rest) = self.0.split_at(end);
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        self.0 = rest.trim_ascii_start();
        Some(Cow::Borrowed(name))
    }

    fn quoted_or(&mut self, other: impl Fn(&mut Self) -> Option<Cow<'a, str>>) -> Option<Cow<'a, str>> {
        if self.0.starts_with('"') { self.quoted() } else { other(self) }
    }

    /// Reads a quoted text.
    fn quoted(&mut self) -> Option<Cow<'a, str>> {
        let text = self.0.strip_prefix('"')?;
        let mut is_escaped = false;
        let end = text.find(|letter| {
            let ends = letter == '"' && !is_escaped;
            is_escaped = letter == '\\' && !is_escaped;
            ends
        })?;
        self.0 = text[end + 1..].trim_ascii_start();
        Some(unescape(&text[..end]))
    }
}

/// Resolves `\\`, `\"` and `\n`. Any other backslash stands for itself.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letters.as_str().chars().next()) {
            ('\\', Some(escaped @ ('\\' | '"' | 'n'))) => {
                plain.push(if escaped == 'n' { '\n' } else { escaped });
                letters.next();
            }
            _ => plain.push(letter),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::Kind::{Counter, Gauge, Untyped};
    use super::*;
    use proptest::prelude::*;

    /// A name, labels and a value.
    type Plain<Text, Labels> = (Text, Labels, f64);

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn only(line: &str) -> Result<Plain<String, Vec<(String, String)>>, String> {
        let mut samples = parse(line);
        let sample = samples.next().expect("a sample").map_err(|error| error.to_string())?;
        assert!(samples.next().is_none());
        let labels = sample.labels.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned()));
        Ok((sample.name.into_owned(), labels.collect(), sample.value))
    }

    #[test]
    fn the_whole_syntax_is_parsed() {
        let cases: [(&str, Plain<&str, Pairs>); 18] = [
            ("up 1", ("up", &[], 1.0)),
            ("\t up \t 1 \r", ("up", &[], 1.0)),
            ("up{} 1", ("up", &[], 1.0)),
            ("job:up:rate5m 0.5 1395066363000", ("job:up:rate5m", &[], 0.5)),
            ("up -3 -3982045", ("up", &[], -3.0)),
            ("up 1e+06", ("up", &[], 1e6)),
            ("up +Inf", ("up", &[], f64::INFINITY)),
            ("up -Inf", ("up", &[], f64::NEG_INFINITY)),
            (r#"up{a="b",c="d"} 1"#, ("up", &[("a", "b"), ("c", "d")], 1.0)),
            (r#"up { a = "b" , c = "" , } 1"#, ("up", &[("a", "b"), ("c", "")], 1.0)),
            (r#"up{a="}{,=# 1"}2"#, ("up", &[("a", "}{,=# 1")], 2.0)),
            (r#"up{a="\\\"\n\x\"",b="\\"} 1"#, ("up", &[("a", "\\\"\n\\x\""), ("b", "\\")], 1.0)),
            (r#"{"my.up","a b"="c"} 1"#, ("my.up", &[("a b", "c")], 1.0)),
            (r#"up_total 5 # {trace_id="x y"} 0.5 1520879607.789"#, ("up_total", &[], 5.0)),
            (r#"b{le="1"} 5 1520879607.789 # {trace_id="x"} 0.5"#, ("b", &[("le", "1")], 5.0)),
            (r#"up_total 5 st@1520879607 # {a="b"} 1 # {a="c"} 2"#, ("up_total", &[], 5.0)),
            ("up_total 5 1520879608 st@1520879607.5", ("up_total", &[], 5.0)),
            ("\u{feff}up 1", ("up", &[], 1.0)),
        ];
        for (line, (name, labels, value)) in cases {
            let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(only(line), Ok((name.to_owned(), labels, value)), "{line}");
        }
        assert!(only("up NaN").unwrap().2.is_nan());
    }

    #[test]
    fn a_malformed_line_is_an_error_with_its_number_cause_and_beginning() {
        let lines = [
            ("<html>", "no name"),
            ("up{日=\"x\"} 1", "malformed labels"),
            ("up", "no value"),
            ("up one", "its value is not a number"),
            ("up 1 now", "its time is not a number"),
            ("up 1 2 3", "text after its time"),
            ("up 1 st@now", "its time is not a number"),
            ("up {count:2,sum:3}", "several values in one, of OpenMetrics 2"),
            (r#"up{a="b"} {count:2,sum:3} st@1"#, "several values in one, of OpenMetrics 2"),
            ("9up 1", "no name"),
            ("up{ 1", "malformed labels"),
            ("up{a} 1", "malformed labels"),
            ("up{a=b} 1", "malformed labels"),
            (r#"up{a="b} 1"#, "malformed labels"),
            (r#"up{a="b" c="d"} 1"#, "malformed labels"),
            ("up{,} 1", "malformed labels"),
            (r#"{a="b"} 1"#, "no name"),
            (r#"up{"down"} 1"#, "malformed labels"),
        ];
        for (line, cause) in lines {
            let page = format!("# one\n\n{line}\nup 1\n");
            let mut samples = parse(&page);
            let error = samples.next().unwrap().unwrap_err().to_string();
            assert_eq!(error, format!("line 3 is not a metric ({cause}): {line}"));
            assert_eq!(samples.next().unwrap().unwrap().value.to_bits(), 1_f64.to_bits(), "the next line is read");
        }
        let mut samples = parse(b"up{a=\"Z\xe9\"} 1\r\nup 2\r\n");
        let error = samples.next().unwrap().unwrap_err().to_string();
        assert_eq!(error, "line 1 is not a metric (not UTF-8): up{a=\"Z\u{fffd}\"} 1");
        assert_eq!(samples.next().unwrap().unwrap().value.to_bits(), 2_f64.to_bits());
        let long = "é".repeat(100);
        assert_eq!(parse(&long).next().unwrap().unwrap_err().excerpt, "é".repeat(60));
    }

    #[test]
    fn a_time_is_read_beside_the_value() {
        let times = |line: &str| parse(line).next().unwrap().unwrap().time;
        assert_eq!(times("up 1"), None);
        assert_eq!(times("up 1 1395066363000"), Some(1_395_066_363_000.0));
        assert_eq!(times("up 1 1395066363.25 st@1395066360 # {} 1 5"), Some(1_395_066_363.25));
        assert_eq!(times("up 1 st@1395066360"), None);
    }

    #[test]
    fn a_declared_type_applies_to_all_parts_of_a_metric_and_to_lines_before_it() {
        let page = r#"
# HELP a_total counter gauge
# TYPE a_total counter
# TYPE	b	gauge
# TYPE c histogram
# TYPE d summary
# TYPE e counter
# TYPE "f.f" counter
# TYPE g gaugehistogram
# TYPE h untyped
#TYPE i counter
a_total 1
b 1
c_bucket{le="+Inf"} 1
c_sum 1
c_count 1
c_created 1
d{quantile="0.5"} NaN
d_sum 1
d_count 1
e_total 1
e_created 1
{"f.f"} 1
g_bucket{le="1"} 1
g_gcount 1
h 1
i 1
b_total 1
j_total 1
k 1
# TYPE k counter
# EOF
"#;
        let kinds: Vec<(String, Kind)> =
            parse(page).map(Result::unwrap).map(|sample| (sample.name.into_owned(), sample.kind)).collect();
        let expected = [
            ("a_total", Counter),
            ("b", Gauge),
            ("c_bucket", Counter),
            ("c_sum", Counter),
            ("c_count", Counter),
            ("c_created", Gauge),
            ("d", Gauge),
            ("d_sum", Counter),
            ("d_count", Counter),
            ("e_total", Counter),
            ("e_created", Gauge),
            ("f.f", Counter),
            ("g_bucket", Gauge),
            ("g_gcount", Gauge),
            ("h", Untyped),
            ("i", Counter),
            ("b_total", Untyped),
            ("j_total", Untyped),
            ("k", Counter),
        ];
        assert_eq!(kinds, expected.map(|(name, kind)| (name.to_owned(), kind)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_parsed_or_rejected(page in any::<Vec<u8>>()) {
            for sample in parse(&page) {
                let _ = sample;
            }
        }

        #[test]
        fn any_text_of_special_characters_is_parsed_or_rejected(page in "[a{}\"\\\\=,# \n+INaf0-9é]{0,60}|# TYPE [a\" ]{0,5}") {
            for sample in parse(&page) {
                let _ = sample;
            }
        }

        #[test]
        fn any_label_value_is_read_back(label in any::<String>(), value in any::<i32>()) {
            let escaped = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let (_, labels, read) = only(&format!("up{{a=\"{escaped}\"}} {value}\n")).unwrap();
            prop_assert_eq!(labels, [("a".to_owned(), label)]);
            prop_assert!((read - f64::from(value)).abs() < 0.5);
        }
    }
}
