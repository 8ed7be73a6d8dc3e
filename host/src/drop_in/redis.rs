//! mackerel-plugin-redis.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::IntoRawFd as _;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};

use super::go_flags::{Flag, Kind, Values};
use super::plugin::{Plugin, Words, decimals};
use crate::address::Address;
use crate::env;
use crate::error::Error;
use crate::limits;
use crate::text::foreign;

pub const PLUGIN: Plugin = Plugin { name: "mackerel-plugin-redis", flags: FLAGS, words, number: decimals };

const FLAGS: &[Flag] = &[
    Flag {
        name: "config-command",
        kind: Kind::Text,
        default: "CONFIG",
        help: "Custom CONFIG command; if it is empty, there are no metrics of the capacity",
    },
    Flag { name: "host", kind: Kind::Text, default: "localhost", help: "Hostname" },
    Flag { name: "metric-key-prefix", kind: Kind::Text, default: "redis", help: "Metric key prefix" },
    Flag { name: "password", kind: Kind::Text, default: "", help: "Password; if it is empty, that of $REDIS_PASSWORD" },
    Flag { name: "port", kind: Kind::Text, default: "6379", help: "Port" },
    Flag { name: "socket", kind: Kind::Text, default: "", help: "Not supported" },
    Flag { name: "tempfile", kind: Kind::Text, default: "", help: "The state is kept in the folder NAME.state" },
    Flag { name: "timeout", kind: Kind::Integer, default: "5", help: "Timeout in seconds" },
    Flag { name: "tls", kind: Kind::Switch, default: "false", help: "Enables TLS connection" },
    Flag {
        name: "tls-skip-verify",
        kind: Kind::Switch,
        default: "false",
        help: "Disable TLS certificate verification",
    },
    Flag { name: "username", kind: Kind::Text, default: "default", help: "Username" },
];

fn words(flags: &Values) -> Result<Words, Error> {
    if flags.find("socket").is_some() {
        return Err(Error::failed("-socket is not supported: a collector reaches only TCP ports; use -host and -port"));
    }
    let (host, port) = (flags.text("host"), flags.text("port"));
    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    if let Err(expected) = target.parse::<Address>() {
        return Err(Error::failed(format!("-host and -port are '{}': {expected}", foreign(&target))));
    }
    let timeout = match u64::try_from(flags.integer("timeout")) {
        Ok(0) => limits::TARGET_TIMEOUT,
        Ok(seconds) => Duration::from_secs(seconds).min(limits::LONGEST_DEADLINE),
        Err(_) => return Err(Error::failed("-timeout: expected a number of seconds above zero")),
    };
    let timeout = format!("{}s", timeout.as_secs());
    let mut words = Words::new(&["redis", "--target", &target]);
    words.push_prefix(flags.find("metric-key-prefix").unwrap_or("redis"))?;
    words.push(&["--timeout", &timeout]);
    match flags.find("config-command") {
        Some(command) => words.push(&["--config-command", command]),
        None => words.push(&["--exclude", "capacity.*"]),
    }
    for switch in ["tls", "tls-skip-verify"].into_iter().filter(|name| flags.is_on(name)) {
        words.push(&[&format!("--{switch}")]);
    }
    let from_environment = || env::variable("REDIS_PASSWORD");
    if let Some(password) = flags.find("password").map(str::to_owned).or_else(from_environment) {
        let file =
            file_of(&password).map_err(|error| Error::failed(format!("cannot pass on the password: {error}")))?;
        words.password_file = Some(file);
        // The server's default is the same, and versions before 6 have no users.
        if let Some(name) = flags.find("username").filter(|name| *name != "default") {
            words.push(&["--username", name]);
        }
    }
    Ok(words)
}

/// Returns the path of a file in memory with this secret. It exists until this process ends.
fn file_of(secret: &str) -> io::Result<String> {
    let mut file = File::from(memfd_create("password", MemfdFlags::CLOEXEC)?);
    writeln!(file, "{secret}")?;
    Ok(format!("/proc/self/fd/{}", file.into_raw_fd()))
}
