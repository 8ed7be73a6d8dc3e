//! Rules for prose in the source: summaries that begin with a verb or a noun, and lines that fit the screen.

use std::fs;
use std::path::Path;

use crate::files;

/// Doc-comment lines that may begin with one of [`QUESTIONS`]. The number may only fall.
const ALLOWED_QUESTIONS: usize = 0;

/// Words that turn a summary into a riddle: "What is read" is "The bytes read", "Whether" is "Returns true if".
const QUESTIONS: [&str; 4] = ["What ", "Whether ", "Where ", "Who "];

/// The longest line of a comment, in characters; rustfmt keeps code to the same.
const WIDTH: usize = 120;

/// Returns the faults, a line each.
pub(crate) fn check(root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    let (mut questions, mut all) = (Vec::new(), 0);
    for (folder, extension) in [("host/src", "rs"), ("guests/sdk", "rs"), ("collectors", "rs"), ("wit", "wit")] {
        for path in files(&root.join(folder), extension) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            for (number, line) in (1..).zip(text.lines()) {
                let Some(doc) = line.trim_start().strip_prefix("///").or_else(|| line.trim_start().strip_prefix("//!"))
                else {
                    continue;
                };
                all += 1;
                if QUESTIONS.iter().any(|word| doc.trim_start().starts_with(word)) {
                    questions.push(format!("{}:{number}:{doc}", shown(root, &path)));
                }
            }
        }
    }
    if questions.len() > ALLOWED_QUESTIONS {
        faults.push(format!(
            "{} of {all} lines of documentation begin with What, Whether, Where or Who; {ALLOWED_QUESTIONS} are allowed",
            questions.len()
        ));
        faults.extend(questions);
    }
    for (folder, extension) in [
        ("host", "rs"),
        ("guests", "rs"),
        ("collectors", "rs"),
        ("tests", "rs"),
        ("xtask", "rs"),
        ("wit", "wit"),
        ("scripts", "sh"),
    ] {
        for path in files(&root.join(folder), extension) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            for (number, line) in (1..).zip(text.lines()) {
                let is_comment =
                    line.trim_start().starts_with("//") || extension == "sh" && line.trim_start().starts_with('#');
                // A row of a table cannot be wrapped.
                let is_row = line.trim_start().trim_start_matches(['/', '!']).trim_start().starts_with('|');
                if is_comment && !is_row && line.chars().count() > WIDTH {
                    faults.push(format!("{}:{number}: a comment of more than {WIDTH} columns", shown(root, &path)));
                }
            }
        }
    }
    faults
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
