//! A collector for mackerel-plugin-wasm that reads the numbers of a queue's jobs from a program's JSON.

use mackerel_collector::{
    CollectError, Collector, Graph, GraphRow, MetricRow, OptionSpec, Options, Report, Target, Unit, http, json,
};

struct Queue;

impl Collector for Queue {
    const NAME: &str = "{{name}}";
    const SUMMARY: &str = "Waiting and finished jobs of a queue";
    const OPTIONS: &[OptionSpec] = &[OptionSpec::text("path", "The path of the JSON").default("/queue")];
    const GRAPHS: &[GraphRow] = &[GraphRow::new(
        "#.jobs",
        "Jobs",
        Unit::Integer,
        &[MetricRow::gauge("waiting", "Waiting"), MetricRow::per_minute("done", "Done per minute")],
    )];

    fn graphs(options: &Options) -> Result<Vec<Graph>, String> {
        options.path("path")?;
        Ok(Self::GRAPHS.iter().map(Graph::from).collect())
    }

    fn collect(_target: &Target, options: &Options) -> Result<Report, CollectError> {
        parse(&http::get(options.text("path"))?)
    }
}

mackerel_collector::export!(Queue);

/// Parses `{"queue": {"waiting": 3, "done": 120}}`. A missing number is omitted, never reported as zero.
fn parse(body: &[u8]) -> Result<Report, CollectError> {
    let object = json::read(body, "a queue's JSON object")?;
    if object.field("queue")?.is_none() {
        return Err(CollectError::unexpected("JSON without a queue"));
    }
    Report::of_table(Queue::GRAPHS, |metric| object.number(&format!("queue.{}", metric.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(body: &str) -> Vec<(String, f64)> {
        let report = parse(body.as_bytes()).expect("a queue");
        report.samples.into_iter().map(|sample| (sample.metric, sample.value)).collect()
    }

    #[test]
    fn numbers_are_reported() {
        let expected = [("waiting".to_owned(), 3.0), ("done".to_owned(), 120.0)];
        assert_eq!(values(r#"{"queue": {"waiting": 3, "done": 120}}"#), expected);
    }

    #[test]
    fn missing_numbers_are_omitted() {
        assert_eq!(values(r#"{"queue": {"done": 0}}"#), [("done".to_owned(), 0.0)]);
    }

    #[test]
    fn other_responses_are_errors() {
        for body in ["", "<html>", "[]", "{}", r#"{"queue": 3}"#, r#"{"queue": {"waiting": "3"}}"#] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
