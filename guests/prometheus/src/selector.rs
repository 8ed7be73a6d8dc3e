//! What the operator chooses: by a metric's name or its beginning, and by labels.

use std::str::FromStr;

use mackerel_collector::prometheus::{Sample, parse as samples};

/// One `--metric`.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// As the operator wrote it.
    pub text: String,
    /// The metric's name, where it is chosen in full.
    pub name: Option<String>,
    /// What its name begins with.
    beginning: String,
    labels: Vec<(String, String)>,
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Selector, String> {
        let refused = || {
            format!(
                "--metric '{text}' is neither a metric's name, such as go_goroutines, nor its beginning and '*', such as 'go_*'; \
                 labels follow in braces, as in 'requests_total{{code=\"200\"}}'"
            )
        };
        let (name, labels) = text.find('{').map_or((text, ""), |brace| text.split_at(brace));
        let (name, labels) = (name.trim_ascii(), labels.trim_ascii());
        if !labels.is_empty() && !labels.ends_with('}') {
            return Err(refused());
        }
        let (beginning, is_whole) = name.strip_suffix('*').map_or((name, true), |beginning| (beginning, false));
        // A name and labels are read as those of a sample are. The beginning can be empty.
        let line = format!("{}{labels} 0", if is_whole { name } else { "any" });
        let sample = samples(&line).next().and_then(Result::ok).filter(|sample| is_whole == (sample.name == name));
        let sample = sample.filter(|_| beginning.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':'));
        let sample = sample.ok_or_else(refused)?;
        let labels = sample.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let name = is_whole.then(|| name.to_owned());
        Ok(Selector { text: text.to_owned(), name, beginning: beginning.to_owned(), labels })
    }
}

impl Selector {
    /// Whether it chooses this series.
    pub fn selects(&self, sample: &Sample) -> bool {
        let has_name = if self.name.is_some() { sample.name == self.beginning } else { self.is_near(&sample.name) };
        has_name && self.labels.iter().all(|(name, value)| sample.label(name) == Some(value))
    }

    /// Whether a metric's name begins as the one that is chosen.
    pub fn is_near(&self, name: &str) -> bool {
        name.starts_with(&self.beginning)
    }
}
