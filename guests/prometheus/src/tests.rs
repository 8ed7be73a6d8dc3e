//! Tests of selectors, graphs and names on whole pages.

use super::*;
use mackerel_collector::MetricKind;

const PAGE: &str = r#"
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200",method="get"} 1027
requests_total{code="404",method="get"} 3
# TYPE in_flight gauge
in_flight 2
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.5"} 4
latency_seconds_bucket{le="+Inf"} 5
latency_seconds_sum 1.5
latency_seconds_count 5
# TYPE wait_seconds summary
wait_seconds{quantile="0.99"} NaN
wait_seconds{quantile="0.5"} 0.25
wait_seconds_sum 8
old_style_total 7
old_style 8
"#;

fn options(metrics: &[&str]) -> Options {
    let given: Vec<(&str, &str)> = metrics.iter().map(|metric| ("metric", *metric)).collect();
    Options::of::<Prometheus>(&given)
}

fn page_of(page: &[u8], metrics: &[&str]) -> Result<Page, CollectError> {
    read(page, &selectors(&options(metrics)).expect("valid selectors"))
}

fn read_page(page: &str, metrics: &[&str]) -> Result<Vec<(String, f64)>, CollectError> {
    Ok(page_of(page.as_bytes(), metrics)?
        .report
        .samples
        .into_iter()
        .map(|sample| (format!("{}.{}", sample.graph, sample.metric), sample.value))
        .collect())
}

/// The reported samples as text, one per line.
fn shown(page: &str, metrics: &[&str]) -> String {
    match read_page(page, metrics) {
        Ok(samples) => samples.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join("\n"),
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn the_type_selects_the_graph_and_the_labels_form_the_name() {
    assert_eq!(
        shown(PAGE, &["*"]),
        "\
#.in_flight.value 2
#.latency_seconds_bucket.rate.le_0_5 4
#.latency_seconds_bucket.rate.le__Inf 5
#.latency_seconds_count.rate.value 5
#.latency_seconds_sum.rate.value 1.5
#.old_style.value 8
#.old_style_total.rate.value 7
#.requests_total.rate.code_200_method_get 1027
#.requests_total.rate.code_404_method_get 3
#.wait_seconds.quantile_0_5 0.25
#.wait_seconds_sum.rate.value 8"
    );
}

#[test]
fn names_prefixes_and_labels_select() {
    let count = |metrics: &[&str]| read_page(PAGE, metrics).map(|samples| samples.len());
    assert_eq!(count(&["in_flight"]), Ok(1));
    assert_eq!(count(&["requests_total"]), Ok(2));
    assert_eq!(count(&["requests_total{code=\"404\"}"]), Ok(1));
    assert_eq!(count(&["requests_total {code = \"404\", method=\"get\",}", "requests_*"]), Ok(2));
    assert_eq!(count(&["*{code=\"200\"}"]), Ok(1));
    assert_eq!(count(&["latency_*", "in_flight", "in_flight"]), Ok(5));
}

#[test]
fn a_selector_without_match_is_reported_with_similar_metrics() {
    let unmatched = |page: &str, metrics: &[&str]| {
        let unmatched = page_of(page.as_bytes(), metrics).unwrap().unmatched;
        unmatched.iter().map(|Unmatched { selector, hint }| format!("{selector}: {hint}")).collect::<Vec<_>>()
    };
    assert_eq!(
        unmatched(PAGE, &["latency_seconds", "in_flight", "go_*"]),
        [
            "latency_seconds: similar: latency_seconds_bucket, latency_seconds_count, latency_seconds_sum",
            "go_*: 9 metrics are available, such as in_flight, latency_seconds_bucket, latency_seconds_count",
        ]
    );
    assert_eq!(
        unmatched(PAGE, &["requests_total{code=\"500\"}"]),
        ["requests_total{code=\"500\"}: requests_total has other labels"]
    );
    assert_eq!(unmatched("up 1", &["down"]), ["down: available: up"]);
    assert_eq!(unmatched("# EOF\n", &["up"]), ["up: the page has no metrics"]);
    assert_eq!(unmatched(PAGE, &["requests_total", "requests_total"]), [""; 0], "both match the same series");
}

#[test]
fn a_page_without_any_metric_is_an_error() {
    let error = |page| page_of(page, &["up"]).unwrap_err();
    assert_eq!(error(b"<html>\n</html>"), CollectError::unexpected("line 1 is not a metric (no name): <html>"));
    assert_eq!(error(b" \n"), CollectError::unexpected("an empty page"));
}

#[test]
fn malformed_lines_cost_only_themselves() {
    let page = b"\xef\xbb\xbf# TYPE up gauge\r\nup 1\r\nup{city=\"Z\xfcrich\"} 2\r\nbad\nworse one\ntotal 3 st@1.5\n";
    let Page { report, notes, unmatched } = page_of(page, &["up", "total"]).unwrap();
    assert_eq!(report.samples.len(), 2);
    assert_eq!(
        notes,
        ["skipped 3 malformed lines, first: line 3 is not a metric (not UTF-8): up{city=\"Z\u{fffd}rich\"} 2"]
    );
    assert_eq!(unmatched, []);
    let notes = page_of(b"up 1\nbad\n", &["up"]).unwrap().notes;
    assert_eq!(notes, ["skipped a malformed line: line 2 is not a metric (no value): bad"]);
}

#[test]
fn the_newest_sample_of_a_series_is_kept() {
    for page in [
        "r{a=\"1\"} 1 1000\nr{a=\"1\"} 2 3000\nr{a=\"1\"} 3 2000\n",
        "r{a=\"1\"} 1 1.5\nr{a=\"1\"} 2 1.75\n",
        "r{a=\"1\"} 1 1000\nr{a=\"1\"} 2\nr{a=\"1\"} 3 4000\n",
        // Of equally old ones, the first.
        "r{a=\"1\"} 2\nr{a=\"1\"} 1\n",
        "r{b=\"2\",a=\"1\"} 2 5\nr{a=\"1\",b=\"2\"} 1 5\n",
    ] {
        let samples = read_page(page, &["r"]).unwrap();
        assert_eq!(samples.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [2.0], "{page}");
    }
    let history = (0..1000).map(|time| format!("r {time} {time}\n")).collect::<Vec<_>>().concat();
    assert_eq!(read_page(&history, &["r"]), Ok(vec![("#.r.value".to_owned(), 999.0)]), "one series, not 1000");
}

#[test]
fn a_name_in_quotes_is_selected() {
    let page = "# TYPE \"my.total\" counter\n{\"my.total\",\"a.b\"=\"c\"} 5\n";
    let expected = Ok(vec![("#.my_total.rate.a_b_c".to_owned(), 5.0)]);
    assert_eq!(read_page(page, &["{\"my.total\"}"]), expected);
    assert_eq!(read_page(page, &["{\"my.total\",\"a.b\"=\"c\"}"]), expected);
    assert_eq!(read_page(page, &["my*"]), expected);
    assert_eq!(read_page(page, &["{\"my.total\",\"a.b\"=\"d\"}"]), Ok(Vec::new()));
    let keys = Prometheus::graphs(&options(&["{\"my.total\"}"])).unwrap().into_iter().map(|graph| graph.key);
    assert_eq!(keys.collect::<Vec<_>>(), ["#.my_total", "#.my_total.rate"]);
}

#[test]
fn too_many_series_are_an_error_that_names_the_largest_metric() {
    let page = |series: usize| {
        let lines = (0..series).map(|number| format!("requests_total{{code=\"200\",path=\"/{number}\"}} 1\n"));
        lines.collect::<String>() + "up 1\n"
    };
    assert_eq!(read_page(&page(199), &["*"]).map(|samples| samples.len()), Ok(200));
    assert_eq!(
        read_page(&page(1000), &["*"]),
        Err("--metric matches 1001 series (limit 200), 1000 of them of requests_total: select fewer, such as \
             --metric 'requests_total{path=\"/0\"}'"
            .into())
    );
}

#[test]
fn series_of_the_same_name_get_stable_suffixes() {
    let page = "r{path=\"/a\"} 1\nr{path=\"_a\"} 2\nr{path=\"b\"} 3\n";
    let swapped = "r{path=\"b\"} 3\nr{path=\"_a\"} 2\nr{path=\"/a\"} 1\n";
    let samples = read_page(page, &["r"]).unwrap();
    let names: Vec<&str> = samples.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(names, ["#.r.path__a_9104641c", "#.r.path__a_712b412c", "#.r.path_b"]);
    let sorted = |mut samples: Vec<(String, f64)>| {
        samples.sort_by(|a, b| a.0.cmp(&b.0));
        samples
    };
    assert_eq!(sorted(read_page(swapped, &["r"]).unwrap()), sorted(samples));
    // Names that differ only in a colon stay apart; labels in another order are the same series.
    assert_eq!(read_page("a:b 1\na_b 2\n", &["a*"]).unwrap().len(), 2);
    assert_eq!(read_page("a{x=\"1\",y=\"2\"} 1\n", &["a"]), read_page("a{y=\"2\",x=\"1\"} 1\n", &["a"]));
}

#[test]
fn names_are_legal_and_bounded_for_any_labels() {
    let long = format!("r{{path=\"{}\"}} 1\nr{{path=\"{}é\"}} 2\n", "é/".repeat(500), "é/".repeat(500));
    let samples = read_page(&long, &["r"]).unwrap();
    assert_eq!(samples.len(), 2);
    for (key, _) in &samples {
        let metric = key.strip_prefix("#.r.").unwrap();
        assert!(metric.len() <= 100 && metric.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{metric}");
    }
    assert_ne!(samples[0].0, samples[1].0);
}

#[test]
fn each_selected_metric_has_a_graph_for_gauges_and_one_for_rates() {
    let graphs = Prometheus::graphs(&options(&["a_bytes_total", "go_*", "b_seconds", "a_bytes_total{x=\"y\"}", "*"]));
    let graphs: Vec<_> = graphs
        .unwrap()
        .into_iter()
        .map(|graph| {
            let [Metric { name, label, kind, .. }] = &graph.metrics[..] else { panic!("one metric") };
            assert_eq!((name.as_str(), *kind == MetricKind::Gauge), ("*", graph.key.matches('.').count() == 1));
            format!("{} \"{}\" {:?} {label}", graph.key, graph.label, graph.unit)
        })
        .collect();
    assert_eq!(
        graphs,
        [
            "#.a_bytes_total \"a_bytes_total\" Unit::Bytes %2",
            "#.a_bytes_total.rate \"a_bytes_total per Second\" Unit::BytesPerSecond %2",
            "#.b_seconds \"b_seconds\" Unit::Seconds %2",
            "#.b_seconds.rate \"b_seconds per Second\" Unit::Float %2",
            "#.* \"Gauges\" Unit::Float %2 %3",
            "#.*.rate \"Rates per Second\" Unit::Float %2 %3",
        ]
    );
}

#[test]
fn an_invalid_selector_is_rejected_with_the_expected_syntax() {
    for text in
        ["", "9a", "a b", "a*b", "a**", "a{", "a{b}", "a{b=c}", "a} 1", "a{b=\"c\"} 1", "日*", "a\nb", "{b=\"c\"}"]
    {
        let error = selectors(&options(&[text])).unwrap_err();
        assert!(error.starts_with(&format!("--metric '{text}' is neither a metric name,")), "{error}");
    }
    assert!(selectors(&options(&[])).unwrap_err().starts_with("--metric is required"));
}
