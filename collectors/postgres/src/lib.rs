//! Collector for `PostgreSQL` 10 and later, with the metric names of mackerel-plugin-postgres.

mod connection;

use mackerel_collector::{CollectError, Collector, GraphRow, MetricRow, OptionSpec, Options, Report, Target, Unit};

use connection::{Connection, Login, QueryError, Row};

/// The collector.
pub struct Postgres;

impl Collector for Postgres {
    const NAME: &str = "postgres";
    const SUMMARY: &str = "Connections, transactions, rows and size of PostgreSQL, from its statistics";
    const OPTIONS: &[OptionSpec] = &[
        OptionSpec::text("user", "The user; it needs the role pg_monitor").default("postgres"),
        OptionSpec::secret("password", "The password"),
        OptionSpec::text("database", "The database to connect to; all are counted").default("postgres"),
    ];
    const GRAPHS: &[GraphRow] = &[
        GraphRow::new(
            "#.connections",
            "Connections",
            Unit::Integer,
            &[
                MetricRow::gauge("active", "Active").stacked(),
                MetricRow::gauge("active_waiting", "Active waiting").stacked(),
                MetricRow::gauge("idle", "Idle").stacked(),
                MetricRow::gauge("idle_in_transaction", "Idle in transaction").stacked(),
                MetricRow::gauge("idle_in_transaction_aborted_", "Idle in transaction (aborted)").stacked(),
                MetricRow::gauge("fastpath_function_call", "fast-path function call").stacked(),
                MetricRow::gauge("disabled", "Disabled").stacked(),
            ],
        ),
        GraphRow::new(
            "#.commits",
            "Commits",
            Unit::Integer,
            &[
                MetricRow::per_minute("xact_commit", "Xact Commit"),
                MetricRow::per_minute("xact_rollback", "Xact Rollback"),
            ],
        ),
        GraphRow::new(
            "#.blocks",
            "Blocks",
            Unit::Integer,
            &[MetricRow::per_minute("blks_read", "Blocks Read"), MetricRow::per_minute("blks_hit", "Blocks Hit")],
        ),
        GraphRow::new(
            "#.rows",
            "Rows",
            Unit::Integer,
            &[
                MetricRow::per_minute("tup_returned", "Returned Rows"),
                MetricRow::per_minute("tup_fetched", "Fetched Rows").stacked(),
                MetricRow::per_minute("tup_inserted", "Inserted Rows").stacked(),
                MetricRow::per_minute("tup_updated", "Updated Rows").stacked(),
                MetricRow::per_minute("tup_deleted", "Deleted Rows").stacked(),
            ],
        ),
        GraphRow::new("#.size", "Data Size", Unit::Integer, &[MetricRow::gauge("total_size", "Total Size")]),
        GraphRow::new("#.deadlocks", "Dead Locks", Unit::Integer, &[MetricRow::per_minute("deadlocks", "Deadlocks")]),
        GraphRow::new(
            "#.iotime",
            "Block I/O time",
            Unit::Float,
            &[
                MetricRow::per_minute("blk_read_time", "Block Read Time (ms)"),
                MetricRow::per_minute("blk_write_time", "Block Write Time (ms)"),
            ],
        ),
        GraphRow::new(
            "#.tempfile",
            "Temporary file",
            Unit::Integer,
            &[MetricRow::per_minute("temp_bytes", "Temporary file size (byte)")],
        ),
        GraphRow::new(
            "#.xlog_location",
            "Amount of Transaction location change",
            Unit::Bytes,
            &[MetricRow::per_minute("xlog_location_bytes", "Amount of Transaction location change (byte)")],
        ),
    ];

    fn collect(target: &Target, options: &Options) -> Result<Report, CollectError> {
        let login = Login {
            user: options.text("user"),
            password: options.find("password"),
            database: options.text("database"),
        };
        let mut connection = Connection::open(target.connect()?, &login)?;
        read(|query| connection.query(query), |note| eprintln!("{note}"))
    }
}

mackerel_collector::export!(Postgres);

/// Queries whose rows are names of metrics and numbers. Times of I/O are measured only with `track_io_timing`.
const QUERIES: [(&str, &str); 4] = [
    (
        "pg_stat_database",
        "SELECT m.* FROM (SELECT sum(xact_commit) a, sum(xact_rollback) b, sum(blks_read) c, sum(blks_hit) d, \
         sum(tup_returned) e, sum(tup_fetched) f, sum(tup_inserted) g, sum(tup_updated) h, sum(tup_deleted) i, \
         sum(deadlocks) j, sum(temp_bytes) k, sum(blk_read_time)::numeric l, sum(blk_write_time)::numeric m \
         FROM pg_stat_database) s, LATERAL (VALUES ('xact_commit', a), ('xact_rollback', b), ('blks_read', c), \
         ('blks_hit', d), ('tup_returned', e), ('tup_fetched', f), ('tup_inserted', g), ('tup_updated', h), \
         ('tup_deleted', i), ('deadlocks', j), ('temp_bytes', k), \
         ('blk_read_time', CASE WHEN current_setting('track_io_timing')::bool THEN l END), \
         ('blk_write_time', CASE WHEN current_setting('track_io_timing')::bool THEN m END)) m",
    ),
    (
        "pg_stat_activity",
        "SELECT n.name, count(a.name) FROM (VALUES ('active'), ('active_waiting'), ('idle'), ('idle_in_transaction'), \
         ('idle_in_transaction_aborted_'), ('fastpath_function_call'), ('disabled')) n (name) LEFT JOIN (SELECT CASE \
         WHEN state = 'active' AND wait_event IS NOT NULL THEN 'active_waiting' \
         ELSE regexp_replace(state, '[^a-z]+', '_', 'g') END FROM pg_stat_activity) a (name) ON a.name = n.name \
         GROUP BY n.name",
    ),
    (
        "pg_database_size",
        "SELECT 'total_size', sum(pg_database_size(oid)) FROM pg_database WHERE has_database_privilege(oid, 'connect')",
    ),
    (
        "pg_current_wal_lsn",
        "SELECT 'xlog_location_bytes', CASE WHEN NOT pg_is_in_recovery() \
         THEN pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') END",
    ),
];

/// Sends the queries. One that the server refuses costs only its own metrics, and is a note for the operator.
fn read(
    mut query: impl FnMut(&str) -> Result<Vec<Row>, QueryError>,
    mut note: impl FnMut(String),
) -> Result<Report, CollectError> {
    let mut rows = Vec::new();
    let mut refused = Vec::new();
    for (source, text) in QUERIES {
        match query(text) {
            Ok(more) => rows.extend(more),
            Err(QueryError::Refused(message)) => refused.push(format!("no metrics from {source}: {message}")),
            Err(QueryError::Broken(error)) => return Err(error),
        }
    }
    let value = |name: &str| {
        let row = rows.iter().find(|row| row.first().is_some_and(|first| first.as_deref() == Some(name)))?;
        row.get(1)?.as_deref()?.parse::<f64>().ok().filter(|number| number.is_finite())
    };
    let report = Report::of_table(Postgres::GRAPHS, |metric| Ok(value(metric.name)))?;
    if report.samples.is_empty() {
        let reason = refused.into_iter().next().unwrap_or_else(|| "no statistics of PostgreSQL".to_owned());
        return Err(reason.into());
    }
    refused.into_iter().for_each(&mut note);
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[(&str, Option<&str>)]) -> Vec<Row> {
        values.iter().map(|(name, value)| vec![Some((*name).to_owned()), value.map(str::to_owned)]).collect()
    }

    #[test]
    fn rows_become_samples_and_null_is_omitted() {
        let answers = [
            rows(&[("xact_commit", Some("12")), ("blk_read_time", None), ("temp_bytes", Some("many"))]),
            rows(&[("active", Some("1")), ("idle", Some("0"))]),
            rows(&[("total_size", Some("7340032"))]),
            rows(&[("xlog_location_bytes", None)]),
        ];
        let mut answers = answers.into_iter();
        let report = read(|_| Ok(answers.next().expect("four queries")), |note| panic!("{note}")).expect("a report");
        let samples: Vec<_> = report.samples.iter().map(|sample| (sample.metric.as_str(), sample.value)).collect();
        assert_eq!(samples, [("active", 1.0), ("idle", 0.0), ("xact_commit", 12.0), ("total_size", 7_340_032.0)]);
    }

    #[test]
    fn refused_query_costs_only_its_own_metrics() {
        let mut notes = Vec::new();
        let answer = |query: &str| {
            if query.contains("pg_database_size") {
                return Err(QueryError::Refused("permission denied".to_owned()));
            }
            Ok(rows(&[("active", Some("1"))]))
        };
        let report = read(answer, |note| notes.push(note)).expect("a report");
        assert_eq!(report.samples.len(), 1);
        assert_eq!(notes, ["no metrics from pg_database_size: permission denied"]);
    }

    #[test]
    fn server_that_refuses_all_queries_is_an_error() {
        let answer = |_: &str| Err(QueryError::Refused("permission denied".to_owned()));
        let error = read(answer, |note| panic!("{note}")).expect_err("no values");
        assert_eq!(error, "no metrics from pg_stat_database: permission denied".into());
    }
}
