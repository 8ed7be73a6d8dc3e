//! Rules for every output: names and values of Mackerel, and lines of stderr.

use mackerel_plugin_wasm::internals::{Diagnostics, escape};

/// The maximal length of a line of stderr in characters: four texts of third parties (a target's name, two in the
/// message, and the collector's stderr), each cut at 300 characters of up to ten when escaped (`\u{10ffff}`), and the
/// program's own text.
const LONGEST_LINE: usize = 4 * 300 * 10 + 1000;

/// Returns whether Mackerel accepts `text` as one component of a metric's name.
pub fn is_legal_component(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_'))
}

/// Asserts that every line is `KEY<TAB>VALUE<TAB>EPOCH` with a valid key of at least two components and a plain
/// decimal.
pub fn assert_values(text: &str, epoch: u64) {
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    for line in text.split_terminator('\n') {
        let [key, value, time] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("no three fields: {line:?}") };
        assert!(key.split('.').count() >= 2 && key.split('.').all(is_legal_component), "the key: {line:?}");
        assert!(is_plain_decimal(value), "the value: {line:?}");
        assert_eq!(time, epoch.to_string(), "{line:?}");
    }
}

/// Returns whether `text` is digits, with an optional minus and fraction.
fn is_plain_decimal(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    are_digits(whole) && are_digits(fraction)
}

/// Asserts that `text` is one line without control characters and not too long.
pub fn assert_one_line(text: &str) {
    assert!(text.chars().count() <= LONGEST_LINE, "{} characters: {text:.300}", text.chars().count());
    assert_harmless(text, false);
}

/// Asserts the same for a text with several lines, such as help.
pub fn assert_lines(text: &str) {
    assert_harmless(text, true);
}

fn assert_harmless(text: &str, is_multi_line: bool) {
    // Control characters, line and paragraph separators, marks that change the direction of writing, and invisible
    // ones.
    let is_harmful = |c: char| {
        c.is_control() && !(is_multi_line && c == '\n')
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    assert!(!text.contains(is_harmful), "a harmful character: {text:?}");
}

/// Asserts that the diagnostic `what` about `target` is one line of stderr.
pub fn assert_diagnostic(target: &str, what: &str) {
    let mut diagnostics = Diagnostics::new("collector");
    diagnostics.fail_target(target, what);
    let lines = diagnostics.lines();
    assert_eq!(lines.len(), 1);
    assert_one_line(&escape(&lines[0]));
}

/// Returns untrusted bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
