//! Legal names of metrics and series: in the characters `-a-zA-Z0-9_`, with a limited length.

use mackerel_collector::prometheus::Sample;

/// The limit of one component's length, in bytes. The host accepts a name of two such components, a prefix and a
/// target's name.
const LENGTH: usize = 100;

/// The name of a series without labels.
const UNLABELLED: &str = "value";

/// Converts a metric's name to a component.
pub(crate) fn component(name: &str) -> String {
    truncate(&legal(name))
}

/// Returns the name of a series: its labels, sorted by name, such as `code_200_method_get`.
pub(crate) fn series<N: AsRef<str>, V: AsRef<str>>(labels: &[(N, V)]) -> String {
    let mut parts: Vec<String> =
        labels.iter().map(|(name, value)| format!("{}_{}", legal(name.as_ref()), legal(value.as_ref()))).collect();
    parts.sort();
    if parts.is_empty() { UNLABELLED.to_owned() } else { truncate(&parts.join("_")) }
}

/// Returns a metric's name with all labels, sorted by name. Identifies a series.
pub(crate) fn identity(sample: &Sample) -> String {
    let mut labels: Vec<_> = sample.labels.iter().collect();
    labels.sort();
    let words = labels.into_iter().flat_map(|(name, value)| [&**name, &**value]);
    let words: Vec<&str> = std::iter::once(&*sample.name).chain(words).collect();
    words.join("\0")
}

/// Truncates a text that exceeds [`LENGTH`], and appends a suffix that is the same in every run.
pub(crate) fn truncate(text: &str) -> String {
    if text.len() <= LENGTH { text.to_owned() } else { with_suffix(text, text) }
}

/// Appends a hash of `identity` to a name, which is truncated if necessary. The same in every run.
pub(crate) fn with_suffix(name: &str, identity: &str) -> String {
    let suffix = format!("_{:08x}", hash(identity));
    let mut end = name.len().min(LENGTH - suffix.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &name[..end])
}

/// Computes FNV-1a. The hash of the standard library can change with its version.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Replaces every illegal character with `_`.
fn legal(text: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    text.chars().map(letter).collect()
}
