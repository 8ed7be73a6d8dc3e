//! Masks what changes from run to run, so that whole texts can be compared.

use std::path::Path;

/// Replaces the port of every local address by `PORT`.
pub fn ports(text: &str) -> String {
    ["127.0.0.1:", "[::1]:", "0.0.0.0:", "[::]:"]
        .iter()
        .fold(text.to_owned(), |text, address| digits(&text, address, "PORT"))
}

/// Replaces a path by `name`.
pub fn path(text: &str, path: &Path, name: &str) -> String {
    text.replace(&path.display().to_string(), name)
}

/// Replaces the number after every `before` by `name`.
pub fn digits(text: &str, before: &str, name: &str) -> String {
    let mut pieces = text.split(before);
    let mut masked = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(|letter: char| letter.is_ascii_digit());
        masked.push_str(before);
        if rest.len() < piece.len() {
            masked.push_str(name);
        }
        masked.push_str(rest);
    }
    masked
}

/// Replaces every SHA-256 (64 hexadecimal digits) by `DIGEST`, and the compatibility hash of compiled code by
/// `COMPATIBILITY`.
pub fn digests(text: &str) -> String {
    let mut masked = String::new();
    let mut digits = String::new();
    for letter in text.chars().chain(['\0']) {
        if letter.is_ascii_hexdigit() {
            digits.push(letter);
            continue;
        }
        match digits.len() {
            64 => masked.push_str("DIGEST"),
            16 if masked.ends_with("DIGEST-") => masked.push_str("COMPATIBILITY"),
            _ => masked.push_str(&digits),
        }
        digits.clear();
        masked.push(letter);
    }
    masked.trim_end_matches('\0').to_owned()
}

/// Replaces sizes in KiB by `SIZE`.
pub fn size(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for place in 1..words.len() {
        let is_number =
            !words[place - 1].is_empty() && words[place - 1].bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if is_number && words[place].starts_with("KiB") {
            words[place - 1] = "SIZE";
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::{digests, ports};

    #[test]
    fn only_digests_are_masked() {
        let digest = "0123456789abcdef".repeat(4);
        assert_eq!(
            digests(&format!("a {digest}-0123456789abcdef.code {digest}0 0123456789abcdef {digest}")),
            format!("a DIGEST-COMPATIBILITY.code {digest}0 0123456789abcdef DIGEST")
        );
    }

    #[test]
    fn only_ports_are_masked() {
        assert_eq!(
            ports("a (127.0.0.1:32768): 500; [::1]:80, 127.0.0.1:x"),
            "a (127.0.0.1:PORT): 500; [::1]:PORT, 127.0.0.1:x"
        );
    }
}
