//! Legal names for metrics and series: of the characters `-a-zA-Z0-9_`, and not too long.

use mackerel_collector::prometheus::Sample;

/// How long a component of a name becomes, in bytes: two of them, a prefix and a target's name make a name that the host takes.
const LENGTH: usize = 100;

/// What a series without labels is called.
const UNLABELLED: &str = "value";

/// A metric's name as a component.
pub(crate) fn component(name: &str) -> String {
    cut(&legal(name))
}

/// What a series is called by its labels, in the order of their names: `code_200_method_get`.
pub(crate) fn series<N: AsRef<str>, V: AsRef<str>>(labels: &[(N, V)]) -> String {
    let mut parts: Vec<String> =
        labels.iter().map(|(name, value)| format!("{}_{}", legal(name.as_ref()), legal(value.as_ref()))).collect();
    parts.sort();
    if parts.is_empty() { UNLABELLED.to_owned() } else { cut(&parts.join("_")) }
}

/// A metric's name with all labels, in the order of their names: what tells a series from every other.
pub(crate) fn in_full(sample: &Sample) -> String {
    let mut labels: Vec<_> = sample.labels.iter().collect();
    labels.sort();
    let words = labels.into_iter().flat_map(|(name, value)| [&**name, &**value]);
    let words: Vec<&str> = std::iter::once(&*sample.name).chain(words).collect();
    words.join("\0")
}

/// Text as it is where it is short enough, else its beginning and a suffix that is the same in every run.
pub(crate) fn cut(text: &str) -> String {
    if text.len() <= LENGTH { text.to_owned() } else { with_suffix(text, text) }
}

/// The beginning of a name, and what tells `of` from other texts. It is the same in every run.
pub(crate) fn with_suffix(name: &str, of: &str) -> String {
    let suffix = format!("_{:08x}", fingerprint(of));
    let mut end = name.len().min(LENGTH - suffix.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &name[..end])
}

/// FNV-1a: the standard library's own differs from version to version.
fn fingerprint(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn legal(text: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    text.chars().map(letter).collect()
}
