//! Hides what changes from run to run, so that whole texts can be compared.

use std::path::Path;

/// Shows the port behind every address of this machine or of a container as `PORT`.
pub fn ports(text: &str) -> String {
    ["127.0.0.1:", "[::1]:", "0.0.0.0:", "[::]:"]
        .iter()
        .fold(text.to_owned(), |text, address| digits(&text, address, "PORT"))
}

/// Shows a folder as `NAME`.
pub fn path(text: &str, path: &Path, name: &str) -> String {
    text.replace(&path.display().to_string(), name)
}

/// Shows the number behind every `before` as `NAME`.
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

#[cfg(test)]
mod tests {
    use super::ports;

    #[test]
    fn ports_are_hidden_and_nothing_else() {
        assert_eq!(
            ports("a (127.0.0.1:32768): 500; [::1]:80, 127.0.0.1:x"),
            "a (127.0.0.1:PORT): 500; [::1]:PORT, 127.0.0.1:x"
        );
    }
}
