//! Preconditions of scenarios. A developer reads what was not tested and why; in CI a missing precondition is a
//! failure.

use std::collections::BTreeSet;
use std::env;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

/// Reports, once in a process, that `missing` is missing and that `untested` is therefore not tested.
///
/// # Panics
///
/// If the environment variable `CI` is set, because nothing may be missing there.
pub fn notice(missing: &str, untested: &str) {
    static REPORTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let ci = env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false");
    assert!(!ci, "{missing}: cannot test {untested}");
    let line = format!("NOT TESTED: {untested} ({missing})");
    if REPORTED.lock().unwrap_or_else(PoisonError::into_inner).insert(line.clone()) {
        // Not `eprintln!`: the test harness would capture it.
        let _ = writeln!(std::io::stderr(), "\n{line}\n");
    }
}

/// Returns whether all of these commands are on `PATH`. Reports the missing ones.
pub fn has_commands(commands: &[&str], untested: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |command: &str| env::split_paths(&path).any(|folder| folder.join(command).is_file());
    let missing: Vec<_> =
        commands.iter().filter(|command| !is_there(command)).map(|command| format!("`{command}`")).collect();
    if !missing.is_empty() {
        notice(&format!("no command {}", missing.join(", ")), untested);
    }
    missing.is_empty()
}

/// Returns whether this user is root. Reports it if not.
pub fn is_root(untested: &str) -> bool {
    let is_root = rustix::process::getuid().is_root();
    if !is_root {
        notice("not root", untested);
    }
    is_root
}

/// Returns whether this machine has the IPv6 loopback address. Reports it if not.
pub fn has_ipv6(untested: &str) -> bool {
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    if !has_ipv6 {
        notice("no address [::1]", untested);
    }
    has_ipv6
}
