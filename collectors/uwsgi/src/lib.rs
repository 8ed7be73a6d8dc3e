//! Collector for uWSGI, from its stats server, with the metric names of mackerel-plugin-uwsgi-vassal.

use std::io::Read as _;

use mackerel_collector::{
    CollectError, Collector, GraphRow, MetricRow, OptionSpec, Options, Report, Target, Unit, http, json,
};

/// The collector.
pub struct Uwsgi;

impl Collector for Uwsgi {
    const NAME: &str = "uwsgi";
    const SUMMARY: &str = "Workers and requests of uWSGI, from its stats server";
    const OPTIONS: &[OptionSpec] =
        &[OptionSpec::flag("stats-http", "Speak HTTP, for a stats server with uWSGI's option stats-http")];
    const GRAPHS: &[GraphRow] = &[
        GraphRow::new(
            "#.workers",
            "Workers",
            Unit::Integer,
            &[
                MetricRow::gauge("busy", "Busy").stacked(),
                MetricRow::gauge("idle", "Idle").stacked(),
                MetricRow::gauge("cheap", "Cheap").stacked(),
                MetricRow::gauge("pause", "Pause").stacked(),
            ],
        ),
        GraphRow::new("#.req", "Requests", Unit::Float, &[MetricRow::per_minute("requests", "Requests")]),
    ];

    fn collect(target: &Target, options: &Options) -> Result<Report, CollectError> {
        if options.flag("stats-http") {
            return parse(&http::get("/")?);
        }
        // The server writes its JSON to everyone who connects, and closes the connection.
        let mut stats = Vec::new();
        target.connect()?.take(LIMIT + 1).read_to_end(&mut stats)?;
        if stats.len() as u64 > LIMIT {
            return Err(CollectError::unexpected(format!("response exceeds {LIMIT} bytes")));
        }
        parse(&stats)
    }
}

mackerel_collector::export!(Uwsgi);

/// The largest response, in bytes. A worker with one app has 1 kB.
const LIMIT: u64 = 4 << 20;

/// Parses the statistics: counts the workers by status, and sums their requests.
///
/// # Errors
/// If it is not the JSON object of a stats server, or has no list of workers.
pub fn parse(stats: &[u8]) -> Result<Report, CollectError> {
    // A stats server with HTTP waits for a request, and gives up.
    if stats.is_empty() {
        return Err(CollectError::unexpected("an empty response: try --stats-http"));
    }
    let object = json::read(stats, "the JSON object of uWSGI's stats server")?;
    let Some(json::Value::Array(workers)) = object.field("workers")? else {
        return Err(CollectError::unexpected("a JSON object without a list of workers"));
    };
    // A worker that handles a signal has another status, and is not counted.
    let in_status = |status: &str| workers.iter().filter(|worker| worker["status"] == status).count();
    let requests: Option<u64> = workers.iter().map(|worker| worker["requests"].as_u64()).sum();
    #[allow(clippy::cast_precision_loss)] // Exact up to 2^53.
    Report::of_table(Uwsgi::GRAPHS, |metric| {
        Ok(match metric.name {
            "requests" => requests.map(|count| count as f64),
            word => Some(in_status(word) as f64),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(stats: &str) -> Vec<(String, f64)> {
        let report = parse(stats.as_bytes()).expect("the statistics of a server");
        report.samples.into_iter().map(|sample| (sample.metric, sample.value)).collect()
    }

    fn expected(values: &[(&str, f64)]) -> Vec<(String, f64)> {
        values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn workers_are_counted_and_requests_are_summed() {
        let stats = r#"{"version":"2.0.21","workers":[
            {"id":1,"requests":10,"status":"busy"},{"id":2,"requests":5,"status":"idle"},
            {"id":3,"requests":1,"status":"idle"},{"id":4,"requests":0,"status":"cheap"},
            {"id":5,"requests":2,"status":"sig1"}]}"#;
        let all = [("busy", 1.0), ("idle", 2.0), ("cheap", 1.0), ("pause", 0.0), ("requests", 18.0)];
        assert_eq!(values(stats), expected(&all));
    }

    #[test]
    fn sum_without_the_requests_of_a_worker_is_omitted() {
        let stats = r#"{"workers":[{"requests":10,"status":"busy"},{"status":"busy"}]}"#;
        assert_eq!(values(stats), expected(&[("busy", 2.0), ("idle", 0.0), ("cheap", 0.0), ("pause", 0.0)]));
    }

    #[test]
    fn other_responses_are_errors() {
        for (stats, error) in [
            ("", "an empty response: try --stats-http"),
            (r#"{"workers":[{"requests":1"#, "truncated JSON"),
            ("[]", "an array instead of the JSON object of uWSGI's stats server"),
            (r#"{"vassals":[]}"#, "a JSON object without a list of workers"),
        ] {
            assert_eq!(parse(stats.as_bytes()), Err(CollectError::unexpected(error)));
        }
    }
}
