//! Selectors of series: by a metric's name or prefix, and by labels.

use std::str::FromStr;

use mackerel_collector::prometheus::{Sample, parse as samples};

/// The value of one `--metric` option.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// The selector as the operator wrote it.
    pub text: String,
    /// The metric's full name, or `None` if the selector is a prefix.
    pub name: Option<String>,
    /// The full name or the prefix.
    prefix: String,
    labels: Vec<(String, String)>,
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Selector, String> {
        let invalid = || {
            format!(
                "--metric '{text}' is neither a metric name, such as go_goroutines, nor a prefix and '*', such as \
                 'go_*'; labels follow in braces, as in 'requests_total{{code=\"200\"}}'"
            )
        };
        let (name, labels) = text.find('{').map_or((text, ""), |brace| text.split_at(brace));
        let (name, labels) = (name.trim_ascii(), labels.trim_ascii());
        if !labels.is_empty() && !labels.ends_with('}') {
            return Err(invalid());
        }
        let (prefix, is_whole) = name.strip_suffix('*').map_or((name, true), |prefix| (prefix, false));
        // A name and labels have the syntax of a sample's; a name in quotes stands in the braces. Any name stands in
        // for a prefix, which can be empty.
        let line = format!("{}{labels} 0", if is_whole { name } else { "any" });
        let is_usual = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':');
        let is_right = |sample: &Sample| is_whole == (name.is_empty() || sample.name == name);
        let sample = samples(&line).next().and_then(Result::ok).filter(|sample| is_usual && is_right(sample));
        let sample = sample.ok_or_else(invalid)?;
        let labels = sample.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let prefix = if is_whole { sample.name.to_string() } else { prefix.to_owned() };
        Ok(Selector { text: text.to_owned(), name: is_whole.then(|| prefix.clone()), prefix, labels })
    }
}

impl Selector {
    /// Returns true if the selector matches this series.
    pub fn selects(&self, sample: &Sample) -> bool {
        self.has_name(&sample.name) && self.labels.iter().all(|(name, value)| sample.label(name) == Some(value))
    }

    /// Returns true if the selector matches a metric of this name, with the right labels.
    pub fn has_name(&self, name: &str) -> bool {
        if self.name.is_some() { name == self.prefix } else { self.is_similar(name) }
    }

    /// Returns true if a metric's name begins with the selector's name or prefix.
    pub fn is_similar(&self, name: &str) -> bool {
        name.starts_with(&self.prefix)
    }
}
