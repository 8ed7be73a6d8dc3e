//! Collector for Redis and compatible servers, from `INFO`, with the metric names of mackerel-plugin-redis.

mod connection;
mod graphs;
mod info;

use mackerel_collector::{CollectError, Collector, Graph, GraphRow, OptionSpec, Options, Report, Target, TlsError};

use connection::{Connection, Reply};
pub use info::{Limits, read};

/// The collector.
pub struct Redis;

impl Collector for Redis {
    const NAME: &str = "redis";
    const SUMMARY: &str = "Connections, queries, keys and memory of Redis, from INFO";
    const OPTIONS: &[OptionSpec] = &[
        OptionSpec::secret("password", "The password for AUTH"),
        OptionSpec::text("username", "The ACL user for AUTH; the default user if it is not given"),
        OptionSpec::flag("tls", "Connect over TLS"),
        OptionSpec::text(
            "config-command",
            "Read the limits of memory and clients by this command, such as CONFIG; without a limit of memory its \
             percentage is 0 then, as in mackerel-plugin-redis",
        ),
    ];
    const GRAPHS: &[GraphRow] = graphs::GRAPHS;

    fn graphs(options: &Options) -> Result<Vec<Graph>, String> {
        if let (Some(name), None) = (options.find("username"), options.find("password")) {
            return Err(format!("--username '{name}' requires --password-file"));
        }
        Ok(Self::GRAPHS.iter().map(Graph::from).collect())
    }

    fn collect(target: &Target, options: &Options) -> Result<Report, CollectError> {
        let mut connection = connect(target, options.flag("tls"))?;
        if let Some(password) = options.find("password") {
            log_in(&mut connection, options.find("username"), password)?;
        }
        let info = text("INFO", connection.send(&["INFO"])?)?;
        let is_cluster = info.lines().any(|line| line == "cluster_enabled:1");
        let cluster = if is_cluster { cluster_info(&mut connection) } else { String::new() };
        let limits = match options.find("config-command") {
            Some(command) => Limits::Configured {
                memory: configured(&mut connection, command, "maxmemory"),
                clients: configured(&mut connection, command, "maxclients"),
            },
            None => Limits::Reported,
        };
        read(&info, &cluster, limits)
    }
}

mackerel_collector::export!(Redis);

fn connect(target: &Target, by_tls: bool) -> Result<Connection, CollectError> {
    if !by_tls {
        return Ok(Connection::new(target.connect()?, false));
    }
    match target.connect_tls() {
        Ok(stream) => Ok(Connection::new(stream, true)),
        Err(TlsError::NotTls) => Err("the server does not use TLS on this port: try without --tls".into()),
        Err(error) => Err(error.into()),
    }
}

/// Errors of Redis to `PING` after which `AUTH` is possible: it comes first, or Redis refuses to work for now.
const REFUSALS: [&str; 10] = [
    "NOAUTH",
    "NOPERM",
    "LOADING",
    "MISCONF",
    "MASTERDOWN",
    "READONLY",
    "BUSY",
    "ERR operation not permitted",
    "ERR unknown command '",
    "ERR unknown command `",
];

/// Sends the password, but first checks that the server is Redis: another server could repeat the password in its
/// response.
fn log_in(connection: &mut Connection, user: Option<&str>, password: &str) -> Result<(), CollectError> {
    match connection.send(&["PING"])? {
        Reply::Error(message) if !REFUSALS.iter().any(|refusal| message.starts_with(refusal)) => {
            return Err(failed("PING", &message));
        }
        _ => {}
    }
    let words: Vec<&str> = ["AUTH"].into_iter().chain(user).chain([password]).collect();
    // The error message can contain the password, so at most its first word is shown.
    match connection.send(&words)? {
        Reply::Text(_) => Ok(()),
        Reply::Error(message) if message.starts_with("WRONGPASS") || message.starts_with("ERR invalid password") => {
            Err("wrong password (--password-file), or unknown or disabled user (--username)".into())
        }
        Reply::Error(message) if message.contains("without any password") || message.contains("no password is set") => {
            Err("a password is given (--password-file), but Redis has none".into())
        }
        Reply::Error(message) => Err(format!("AUTH failed: {}", message.split(' ').next().unwrap_or_default()).into()),
    }
}

/// Returns the reply to `CLUSTER INFO`, or an empty text and a note for the operator: the user may not have the
/// permission, and the other metrics do not need it.
fn cluster_info(connection: &mut Connection) -> String {
    let command = ["CLUSTER", "INFO"];
    let reply = connection.send(&command).and_then(|reply| text(&command.join(" "), reply));
    reply.unwrap_or_else(|error| {
        eprintln!("no metrics of the cluster: {}", reason(error));
        String::new()
    })
}

/// Returns a limit of the server's configuration, or `None` and a note for the operator: `INFO` can have it too, and
/// the other metrics do not need it.
fn configured(connection: &mut Connection, command: &str, name: &str) -> Option<f64> {
    let words = [command, "GET", name];
    let reply = connection.send_for_value(&words).and_then(|reply| text(&words.join(" "), reply));
    let value = reply.and_then(|value| info::number(&value).ok_or_else(|| format!("{name} is not a number").into()));
    value.map_err(|error| eprintln!("{name} is that of INFO, if it has one: {}", reason(error))).ok()
}

/// Returns the text of an error that costs only a part of the metrics.
fn reason(error: CollectError) -> String {
    match error {
        CollectError::Other(why) | CollectError::Unexpected(why) => why,
        other => format!("{other:?}"),
    }
}

/// Returns the text of a reply.
fn text(command: &str, reply: Reply) -> Result<String, CollectError> {
    match reply {
        Reply::Text(text) => Ok(text),
        Reply::Error(message) => Err(failed(command, &message)),
    }
}

/// The error for a command that Redis refused.
fn failed(command: &str, message: &str) -> CollectError {
    let text = if message.starts_with("NOAUTH") || message.starts_with("ERR operation not permitted") {
        format!("password required (--password-file): {message}")
    } else if message.starts_with("ERR max number of clients") {
        format!("the server has no free connection (its maxclients): {message}")
    } else if message.starts_with("NOPERM") {
        let permission = command.to_ascii_lowercase().replace(' ', "|");
        format!("{command} failed: {message}; grant the user +{permission}")
    } else {
        format!("{command} failed: {message}")
    };
    text.into()
}
