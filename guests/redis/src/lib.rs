//! Collector: what Redis, and what speaks as it does, tells by `INFO`, under the names of mackerel-plugin-redis.

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
    const SUMMARY: &str = "Connections, queries, keys and memory of Redis, as INFO tells them";
    const OPTIONS: &[OptionSpec] = &[
        OptionSpec::secret("password", "What AUTH is given"),
        OptionSpec::text("username", "Whose password it is, where there are users; else that of Redis itself"),
    ];
    const GRAPHS: &[GraphRow] = graphs::GRAPHS;

    fn graphs(options: &Options) -> Result<Vec<Graph>, String> {
        if let (Some(name), None) = (options.find("username"), options.find("password")) {
            return Err(format!("--username '{name}' goes with --password-file"));
        }
        Ok(Self::GRAPHS.iter().map(Graph::from).collect())
    }

    fn collect(target: &Target, options: &Options) -> Result<Report, CollectError> {
        let mut connection = Connection::new(target.connect()?);
        if let Some(password) = options.find("password") {
            log_in(&mut connection, options.find("username"), password)?;
        }
        let info = text(connection.ask(&["INFO"])?)?;
        let is_cluster = info.lines().any(|line| line == "cluster_enabled:1");
        let cluster = if is_cluster { text(connection.ask(&["CLUSTER", "INFO"])?)? } else { String::new() };
        read(&info, &cluster)
    }
}

mackerel_collector::export!(Redis);

/// Gives the password, once it is known that this is a Redis: another server has no business with it, and might repeat it in its answer.
fn log_in(connection: &mut Connection, user: Option<&str>, password: &str) -> Result<(), CollectError> {
    match connection.ask(&["PING"])? {
        // It wants to know first who asks, or has yet to load its data: AUTH is allowed all the same.
        Reply::Error(why) if !["NOAUTH", "NOPERM", "LOADING"].iter().any(|allowed| why.starts_with(allowed)) => {
            return Err(format!("it refuses PING: {why}").into());
        }
        _ => {}
    }
    let words: Vec<&str> = ["AUTH"].into_iter().chain(user).chain([password]).collect();
    // The error's own text can hold the password.
    match connection.ask(&words)? {
        Reply::Text(_) => Ok(()),
        Reply::Error(why) if why.starts_with("WRONGPASS") || why.starts_with("ERR invalid password") => {
            Err("the password (--password-file) is wrong, or the user is disabled or unknown (--username)".into())
        }
        Reply::Error(why) if why.contains("without any password") || why.contains("no password is set") => {
            Err("it has no password, but one is given (--password-file)".into())
        }
        Reply::Error(why) => Err(format!("it refuses AUTH: {}", why.split(' ').next().unwrap_or_default()).into()),
    }
}

/// The text of an answer, or what an error means.
fn text(reply: Reply) -> Result<String, CollectError> {
    match reply {
        Reply::Text(text) => Ok(text),
        Reply::Error(why) if why.starts_with("NOAUTH") => {
            Err(format!("it asks for a password (--password-file): {why}").into())
        }
        Reply::Error(why) => Err(format!("it refuses INFO: {why}").into()),
    }
}
