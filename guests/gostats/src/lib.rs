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
        let (report, notes) = parse(&http::Get::new(options.text("path")).scheme_of(options).body()?)?;
        for note in notes {
            eprintln!("{note}");
        }
        Ok(report)
    }
}

mackerel_collector::export!(Gostats);

/// Parses the handler's JSON, and returns the report with notes for the operator. Fields that the handler's version
/// lacks or that are `null` are omitted, and also others that are not numbers, with a note.
///
/// # Errors
/// If the body is not a JSON object of the handler, or if none of its fields is a number.
pub fn parse(body: &[u8]) -> Result<(Report, Vec<String>), CollectError> {
    let stats = json::read(body, "golang-stats-api-handler's JSON object")?;
    let mut faults = Vec::new();
    let mut report = Report::of_table(Gostats::GRAPHS, |metric| match stats.field(metric.name)? {
        Some(json::Value::Null) => Ok(None),
        _ => Ok(stats.number(metric.name).unwrap_or_else(|error| {
            faults.push(error);
            None
        })),
    })?;
    if report.samples.is_empty() {
        return Err(faults.into_iter().next().unwrap_or_else(|| without_fields(&stats)));
    }
    report.time = stats.field("time")?.and_then(json::Value::as_u64).filter(|time| *time > 0);
    let fault = |fault| match fault {
        CollectError::Unexpected(text) => format!("omitted a metric: {text}"),
        other => format!("omitted a metric: {other:?}"),
    };
    Ok((report, faults.into_iter().map(fault).collect()))
}

/// The error for an object without any field, which names where they are.
fn without_fields(stats: &json::Object) -> CollectError {
    let names: Vec<&str> = Gostats::GRAPHS.iter().flat_map(|graph| graph.metrics).map(|metric| metric.name).collect();
    let place = match stats.objects_with(&names).next() {
        Some(place) => format!("; fields found under '{place}'"),
        None => String::new(),
    };
    CollectError::unexpected(format!("a JSON object without any field of golang-stats-api-handler{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_fields_become_samples_and_unknown_fields_are_ignored() {
        let body =
            br#"{"time":1700000000000000001,"go_version":"go1.26","goroutine_num":7,"gc_num":3,"gc_per_second":0.5,
            "gc_pause":[0.1,0.2],"heap_released":9007199254740991}"#;
        let (report, notes) = parse(body).unwrap();
        assert_eq!(notes, [""; 0]);
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
            (r#"{"goroutine_num":null}"#, "a JSON object without any field of golang-stats-api-handler"),
            (r#"{"goroutine_num":null,"gc_num":[1]}"#, "gc_num is an array, not a number"),
            (
                r#"{"status":{"a":1},"stats":{"gc_num":1}}"#,
                "a JSON object without any field of golang-stats-api-handler; fields found under 'stats'",
            ),
            (r#"{"gc_num":[1]}"#, "gc_num is an array, not a number"),
            ("{}", "a JSON object without any field of golang-stats-api-handler"),
            (r#"{"status":"ok"}"#, "a JSON object without any field of golang-stats-api-handler"),
            ("[1]", "an array instead of golang-stats-api-handler's JSON object"),
            ("", "truncated JSON"),
            (r#"{"gc_num":"#, "truncated JSON"),
            ("<html>", "invalid JSON (expected value at line 1 column 1): <html>"),
            (
                r#"{"gc_num":1} and more"#,
                r#"invalid JSON (trailing characters at line 1 column 14): {"gc_num":1} and more"#,
            ),
            (r#"{"gc_num":NaN}"#, r#"invalid JSON (expected value at line 1 column 11): {"gc_num":NaN}"#),
        ];
        for (body, expected) in cases {
            assert_eq!(parse(body.as_bytes()).unwrap_err(), CollectError::unexpected(expected), "{body}");
        }
    }

    #[test]
    fn a_field_without_a_number_costs_only_itself() {
        let body = "\u{feff}{\"goroutine_num\":null,\"memory_alloc\":1e999,\"gc_num\":\"3\",\"heap_sys\":-4,\"heap_idle\":5.5,\
                    \"heap_inuse\":{},\"heap_idle\":6}";
        let (report, notes) = parse(body.as_bytes()).unwrap();
        let samples: Vec<(&str, f64)> = report.samples.iter().map(|s| (s.metric.as_str(), s.value)).collect();
        assert_eq!(samples, [("heap_sys", -4.0), ("heap_idle", 6.0)]);
        let expected = ["heap_inuse is an object, not a number", "gc_num is a string, not a number"];
        assert_eq!(notes, expected.map(|fault| format!("omitted a metric: {fault}")));
    }

    #[test]
    fn an_invalid_time_is_omitted() {
        for time in ["0", "-1", "\"now\"", "1.5", "null"] {
            let (report, _) = parse(format!(r#"{{"gc_num":1,"time":{time}}}"#).as_bytes()).unwrap();
            assert_eq!(report.time, None, "{time}");
        }
    }
}
