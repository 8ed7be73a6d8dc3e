//! What happens where a part of the surroundings is missing: a developer is told what was not tested, CI fails.

use std::io::Write as _;

/// Says that `what` is missing and what is not tested for it.
///
/// # Panics
///
/// Where the environment variable `CI` is set, for there nothing may be missing.
pub fn notice(what: &str, untested: &str) {
    let ci = std::env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false");
    assert!(!ci, "{what}: cannot test {untested}");
    // Not `eprintln!`: the test harness would swallow it.
    let _ = writeln!(std::io::stderr(), "\nNOT TESTED: {untested} ({what})\n");
}
