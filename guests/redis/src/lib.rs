//! Collector for Redis and compatible servers, from `INFO`, with the metric names of mackerel-plugin-redis.

mod connection;
mod graphs;
mod info;

use mackerel_collector::{CollectError, Collector, Graph, GraphRow, OptionSpec, Options, Report, Target};

use connection::{Connection, Reply};
pub use info::read;

/// The collector.
pub struct Redis;

impl Collector for Redis {
    const NAME: &str = "redis";
    const SUMMARY: &str = "Connections, queries, keys and memory of Redis, from INFO";
    const OPTIONS: &[OptionSpec] = &[
        OptionSpec::secret("password", "The password for AUTH"),
        OptionSpec::text("username", "The ACL user for AUTH; the default user if it is not given"),
    ];
    const GRAPHS: &[GraphRow] = graphs::GRAPHS;

    fn graphs(options: &Options) -> Result<Vec<Graph>, String> {
        if let (Some(name), None) = (options.find("username"), options.find("password")) {
            return Err(format!("--username '{name}' requires --password-file"));
        }
        Ok(Self::GRAPHS.iter().map(Graph::from).collect())
    }

    fn collect(target: &Target, options: &Options) -> Result<Report, CollectError> {
        let mut connection = Connection::new(target.connect()?);
        if let Some(password) = options.find("password") {
            log_in(&mut connection, options.find("username"), password)?;
        }
        let info = text(connection.send(&["INFO"])?)?;
        let is_cluster = info.lines().any(|line| line == "cluster_enabled:1");
        let cluster = if is_cluster { text(connection.send(&["CLUSTER", "INFO"])?)? } else { String::new() };
        read(&info, &cluster)
    }
}

mackerel_collector::export!(Redis);

/// Sends the password, but first checks that the server is Redis: another server could repeat the password in its
/// response.
fn log_in(connection: &mut Connection, user: Option<&str>, password: &str) -> Result<(), CollectError> {
    match connection.send(&["PING"])? {
        // These errors mean that AUTH comes first or that Redis is loading its data. AUTH is allowed in both cases.
        Reply::Error(message)
            if !["NOAUTH", "NOPERM", "LOADING"].iter().any(|allowed| message.starts_with(allowed)) =>
        {
            return Err(format!("PING failed: {message}").into());
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

/// Returns the text of the reply to `INFO` or `CLUSTER INFO`.
fn text(reply: Reply) -> Result<String, CollectError> {
    match reply {
        Reply::Text(text) => Ok(text),
        Reply::Error(message) if message.starts_with("NOAUTH") => {
            Err(format!("password required (--password-file): {message}").into())
        }
        Reply::Error(message) => Err(format!("INFO failed: {message}").into()),
    }
}
