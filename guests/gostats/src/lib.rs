//! Collector for the runtime statistics of a Go program that serves golang-stats-api-handler's JSON, with the metric
//! names of mackerel-plugin-gostats.

use mackerel_collector::{
    CollectError, Collector, Graph, GraphRow, MetricRow, OptionSpec, Options, Report, Target, Unit, http, json,
};

/// The collector.
pub struct Gostats;

impl Collector for Gostats {
    const NAME: &str = "gostats";
    const SUMMARY: &str = "Go runtime statistics from golang-stats-api-handler";
    const OPTIONS: &[OptionSpec] =
        &[OptionSpec::text("path", "The path of the handler").default("/api/stats"), http::SCHEME];
    /// The graphs of mackerel-plugin-gostats. Each metric has the name of its JSON field.
    const GRAPHS: &[GraphRow] = &[
        GraphRow::new(
            "#.runtime",
            "Runtime",
            Unit::Integer,
            &[
                MetricRow::gauge("goroutine_num", "Goroutine Num"),
                MetricRow::per_minute("cgo_call_num", "CGO Call Num"),
            ],
        ),
        GraphRow::new(
            "#.memory",
            "Memory",
            Unit::Bytes,
            &[
                MetricRow::gauge("memory_alloc", "Alloc"),
                MetricRow::gauge("memory_sys", "Sys"),
                MetricRow::gauge("memory_stack", "Stack In Use"),
            ],
        ),
        GraphRow::new(
            "#.operation",
            "Operation",
            Unit::Integer,
            &[
                MetricRow::per_minute("memory_lookups", "Pointer Lookups"),
                MetricRow::per_minute("memory_mallocs", "Mallocs"),
                MetricRow::per_minute("memory_frees", "Frees"),
            ],
        ),
        GraphRow::new(
            "#.heap",
            "Heap",
            Unit::Bytes,
            &[
                MetricRow::gauge("heap_sys", "Sys"),
                MetricRow::gauge("heap_idle", "Idle"),
                MetricRow::gauge("heap_inuse", "In Use"),
                MetricRow::per_minute("heap_released", "Released"),
            ],
        ),
        GraphRow::new(
            "#.gc",
            "GC",
            Unit::Float,
            &[
                MetricRow::per_minute("gc_num", "GC Num"),
                MetricRow::gauge("gc_per_second", "GC Per Second"),
                MetricRow::gauge("gc_pause_per_second", "GC Pause Per Second"),
            ],
        ),
    ];

    fn graphs(options: &Options) -> Result<Vec<Graph>, String> {
        options.path("path")?;
        Ok(Self::GRAPHS.iter().map(Graph::from).collect())
    }

    fn collect(_target: &Target, options: &Options) -> Result<Report, CollectError> {
        parse(&http::Get::new(options.text("path")).scheme_of(options).body()?)
    }
}

mackerel_collector::export!(Gostats);

/// Parses the handler's JSON. Fields that the handler's version lacks are omitted.
///
/// # Errors
/// If the body is not a JSON object of the handler, or if a field is not a number: then no field can be trusted.
pub fn parse(body: &[u8]) -> Result<Report, CollectError> {
    let stats = json::read(body, "golang-stats-api-handler's JSON object")?;
    let mut report = Report::of_table(Gostats::GRAPHS, |metric| stats.number(metric.name))?;
    if report.samples.is_empty() {
        return Err(CollectError::unexpected("a JSON object without any field of golang-stats-api-handler"));
    }
    report.time = stats.field("time")?.and_then(json::Value::as_u64).filter(|time| *time > 0);
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_fields_become_samples_and_unknown_fields_are_ignored() {
        let body =
            br#"{"time":1700000000000000001,"go_version":"go1.26","goroutine_num":7,"gc_num":3,"gc_per_second":0.5,
            "gc_pause":[0.1,0.2],"heap_released":9007199254740991}"#;
        let report = parse(body).unwrap();
        assert_eq!(report.time, Some(1_700_000_000_000_000_001));
        let samples: Vec<(&str, f64)> = report.samples.iter().map(|s| (s.metric.as_str(), s.value)).collect();
        assert_eq!(
            samples,
            [
                ("goroutine_num", 7.0),
                ("heap_released", 9_007_199_254_740_991.0),
                ("gc_num", 3.0),
                ("gc_per_second", 0.5)
            ]
        );
    }

    #[test]
    fn another_response_is_an_error_that_says_what_it_is() {
        let cases = [
            (r#"{"goroutine_num":"7"}"#, "goroutine_num is a string, not a number"),
            (r#"{"goroutine_num":null}"#, "goroutine_num is null, not a number"),
            (r#"{"gc_num":[1]}"#, "gc_num is an array, not a number"),
            ("{}", "a JSON object without any field of golang-stats-api-handler"),
            (r#"{"status":"ok"}"#, "a JSON object without any field of golang-stats-api-handler"),
            ("[1]", "an array instead of golang-stats-api-handler's JSON object"),
            ("", "truncated JSON"),
            (r#"{"gc_num":"#, "truncated JSON"),
            ("<html>", "invalid JSON (expected value at line 1 column 1): <html>"),
            (r#"{"gc_num":1e999}"#, r#"invalid JSON (number out of range at line 1 column 15): {"gc_num":1e999}"#),
            (r#"{"gc_num":NaN}"#, r#"invalid JSON (expected value at line 1 column 11): {"gc_num":NaN}"#),
        ];
        for (body, expected) in cases {
            assert_eq!(parse(body.as_bytes()).unwrap_err(), CollectError::unexpected(expected), "{body}");
        }
    }

    #[test]
    fn an_invalid_time_is_omitted() {
        for time in ["0", "-1", "\"now\"", "1.5", "null"] {
            let report = parse(format!(r#"{{"gc_num":1,"time":{time}}}"#).as_bytes()).unwrap();
            assert_eq!(report.time, None, "{time}");
        }
    }
}
