//! The collector prometheus, on programs with Prometheus' own client library.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::time::Instant;

use scenarios::agent::{Agent, Output};
use scenarios::engine::{Container, Engine};
use scenarios::go::Program;
use scenarios::local::Local;
use scenarios::server::Server;
use scenarios::{http, mask, port};

/// Series of the app: their printed name, and their name on the page.
const GAUGES: [(&str, &str); 3] = [
    ("go_goroutines.value", "go_goroutines"),
    ("promapp_kept_bytes.value", "promapp_kept_bytes"),
    ("promapp_wait_seconds.quantile_0_5", "promapp_wait_seconds{quantile=\"0.5\"}"),
];
const COUNTERS: [(&str, &str); 8] = [
    ("promapp_latency_seconds_bucket.rate.le_0_1", "promapp_latency_seconds_bucket{le=\"0.1\"}"),
    ("promapp_latency_seconds_bucket.rate.le_1", "promapp_latency_seconds_bucket{le=\"1\"}"),
    ("promapp_latency_seconds_bucket.rate.le__Inf", "promapp_latency_seconds_bucket{le=\"+Inf\"}"),
    ("promapp_latency_seconds_count.rate.value", "promapp_latency_seconds_count"),
    ("promapp_latency_seconds_sum.rate.value", "promapp_latency_seconds_sum"),
    ("promapp_requests_total.rate.code_200_path__a", "promapp_requests_total{code=\"200\",path=\"/a\"}"),
    ("promapp_wait_seconds_count.rate.value", "promapp_wait_seconds_count"),
    ("promapp_wait_seconds_sum.rate.value", "promapp_wait_seconds_sum"),
];

fn work(app: &Container, query: &str, times: u32) {
    for _ in 0..times {
        http::get(app.address(), &format!("/work?{query}")).expect("the work is done");
    }
}

/// Returns the pages that the app served.
fn pages(app: &Container) -> Vec<String> {
    let served = http::get(app.address(), "/served").expect("the app responds");
    serde_json::from_str(&served).expect("an array of texts")
}

/// Returns the value of a series on a page.
#[track_caller]
fn reported(page: &str, series: &str) -> f64 {
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in {page}")).parse().expect("a number")
}

#[test]
fn values_are_those_of_the_app() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let apps = ["one", "two"].map(|name| group.prometheus_app(name));
    for (app, times) in apps.iter().zip([3, 5]) {
        work(app, "code=200&path=%2Fa", times);
    }
    let agent = Agent::with_engine(engine);
    let chosen = "--metric promapp_* --metric go_goroutines";
    let command = format!("run prometheus --filter {} {chosen}", group.filter());

    let before = Instant::now();
    let first = agent.run(&command).exits(0).without_diagnostics();
    let between = Instant::now();
    for (app, times) in apps.iter().zip([2, 7]) {
        work(app, "code=200&path=%2Fa", times);
    }
    let shortest = between.elapsed().as_secs_f64();
    let second = agent.run(&command).exits(0).without_diagnostics();
    let longest = before.elapsed().as_secs_f64();

    for app in &apps {
        let key = format!("prometheus.{}", app.address().port());
        let [one, two] = &pages(app)[..] else { panic!("{} did not get one request per run", app.name()) };
        for (output, page) in [(&first, one), (&second, two)] {
            let values = output.metrics().of(&key);
            for (metric, series) in GAUGES {
                assert_eq!(values.get(metric), Some(&reported(page, series)), "{metric} in {output}");
            }
        }
        let (first, second) = (first.metrics().of(&key), second.metrics().of(&key));
        assert_eq!((first.len(), second.len()), (GAUGES.len(), GAUGES.len() + COUNTERS.len()), "{first:?} {second:?}");
        for (metric, series) in COUNTERS {
            let growth = reported(two, series) - reported(one, series);
            let rate = second.get(metric).unwrap_or_else(|| panic!("no {metric} in {second:?}"));
            assert!(growth > 0.0 || series.contains("0.1"), "{series} did not grow");
            let allowed = growth / longest..=growth / shortest;
            assert!(allowed.contains(rate), "{metric}: {rate} is not in {allowed:?}");
        }
    }
}

#[test]
fn label_values_can_be_any_text_and_series_stay_distinct() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let app = group.prometheus_app("odd");
    // The last two become equal when characters that are illegal in a name are replaced.
    let paths = ["%22%5C%0A%7D%20%E6%97%A5", "", "%2Fsame", "_same"];
    for (path, times) in paths.iter().zip(1..) {
        work(&app, &format!("code=200&path={path}"), times);
    }
    let agent = Agent::with_engine(engine);
    let command = format!("run prometheus --filter {} --metric promapp_requests_total", group.filter());
    let first = agent.run(&command).exits(0);
    for (path, times) in paths.iter().zip(1..) {
        work(&app, &format!("code=200&path={path}"), times);
    }
    let second = agent.run(&command).exits(0);
    let port = app.address().port().to_string();
    insta::assert_snapshot!(group.mask(&mask::ports(&first.stderr)));
    let metrics = second.metrics();
    let keys = metrics.keys().join("\n").replace(&port, "PORT");
    insta::assert_snapshot!(keys);
    // Each series grows by another number, so none can be taken for another. The smallest growth is the unit.
    let values: Vec<f64> = metrics.of(&format!("prometheus.{port}")).into_values().collect();
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let mut shares: Vec<f64> = values.iter().map(|value| (value / smallest).round()).collect();
    shares.sort_by(f64::total_cmp);
    assert_eq!(shares, [1.0, 2.0, 3.0, 4.0], "{second}");
}

#[test]
fn definitions_are_those_of_the_chosen_metrics() {
    let chosen = "--metric http_requests_total --metric go_goroutines --metric process_*";
    let output =
        Agent::without_engine().definitions(&format!("run prometheus {chosen}")).exits(0).without_diagnostics();
    assert_eq!(output.stdout, fs::read_to_string("golden/prometheus.meta.txt").expect("the golden file"));
}

#[test]
fn metrics_that_cannot_be_printed_are_one_line_with_the_fix() {
    let Some(app) = Local::start(Program::PromApp, &[]) else { return };
    let agent = Agent::without_engine();
    let address = app.target().parse().expect("an address");
    for path in 0..250 {
        http::get(address, &format!("/work?code=200&path=%2F{path}")).expect("the work is done");
    }
    let diagnostic = |options: &str, code: i32| {
        let output = agent.run(&format!("run prometheus {options} --target {}", app.target())).exits(code);
        assert_eq!(output.stdout, "", "{output}");
        format!("{options}\n    {}", mask::ports(&output.stderr))
    };
    let diagnostics = [
        diagnostic("", 2),
        diagnostic("--metric promapp-requests", 2),
        diagnostic("--metric go_goroutines --path metrics", 2),
        diagnostic("--metric *", 1),
        diagnostic("--metric promapp_latency_seconds", 0),
        diagnostic("--metric up", 0),
        diagnostic("--metric up --path /served", 1),
        diagnostic("--metric up --path /nowhere", 1),
    ];
    insta::assert_snapshot!(diagnostics.concat());
    let narrow = format!("run prometheus --metric promapp_requests_total{{path=\"/7\"}} --target {}", app.target());
    assert_eq!(agent.run(&narrow).exits(0).without_diagnostics().stdout, "", "a counter in its first run");
}

/// A target that serves a page. Drop it to end it.
pub struct Page {
    port: u16,
    _server: Server,
}

impl Page {
    /// Serves the response to each request's head.
    fn responding(respond: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = port::listen();
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let server = Server::start(listener, move |mut stream| {
            let mut head = String::new();
            let mut lines = BufReader::new(&mut stream);
            while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).is_ok_and(|length| length > 0) {}
            let _ = stream.write_all(&respond(&head));
        });
        Self { port, _server: server }
    }

    /// Serves a page of text.
    pub fn of(text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        Self::responding(move |_| [b"HTTP/1.0 200 OK\r\n\r\n", &text[..]].concat())
    }

    pub fn target(&self) -> String {
        format!("--target 127.0.0.1:{}", self.port)
    }
}

/// Returns what a run prints, with the diagnostics.
fn shown(output: &Output) -> String {
    let values: Vec<_> =
        output.stdout.lines().filter_map(|line| line.rsplit_once('\t')).map(|(line, _)| line).collect();
    let values: Vec<_> = values.iter().filter_map(|line| line.splitn(3, '.').nth(2)).collect();
    mask::ports(&format!("{}\n{}", values.join("\n"), output.stderr))
}

#[test]
fn malformed_lines_cost_only_themselves() {
    let text = fs::read("fuzz/corpus/prometheus/faults-between-samples.txt").expect("a page");
    let page = Page::of(text);
    let command = format!("run prometheus {} --metric up --metric {{\"my.total\"}}", page.target());
    let output = Agent::without_engine().run(&command).exits(0);
    insta::assert_snapshot!(shown(&output));
}

#[test]
fn metric_that_matches_nothing_anywhere_is_one_line_for_all_targets() {
    let both = "a_total{code=\"200\"} 1\nb 2\n";
    let pages = [both, "b 3\n", both].map(Page::of);
    let targets = pages.iter().map(Page::target).collect::<Vec<_>>().join(" ");
    let run = |metrics: &str| Agent::without_engine().run(&format!("run prometheus {targets} {metrics}")).exits(0);
    // One target does not have it yet.
    let _ = run("--metric b --metric a_total").without_diagnostics();
    let lines =
        ["--metric b --metric a_total{code=\"500\"}", "--metric c --metric d*"].map(|metrics| run(metrics).stderr);
    insta::assert_snapshot!(lines.concat());
    let one = format!("run prometheus {} --metric a_total{{code=\"500\"}}", pages[0].target());
    let output = Agent::without_engine().run(&one).exits(0);
    insta::assert_snapshot!(shown(&output));
    let explained =
        Agent::without_engine().run(&format!("explain prometheus {targets} --metric c --metric b")).exits(0);
    insta::assert_snapshot!(explained.stdout.lines().filter(|line| line.contains("--metric 'c'")).collect::<String>());
}

#[test]
fn target_that_does_not_accept_the_preferred_format_is_asked_without_it() {
    let page = Page::responding(|head| {
        let accept = head.lines().find_map(|line| line.strip_prefix("accept: "));
        match accept {
            Some("text/plain;version=0.0.4, */*;q=0.1") => b"HTTP/1.0 406 Not Acceptable\r\n\r\n".to_vec(),
            Some(other) => panic!("an unexpected header: {other}"),
            None => b"HTTP/1.0 200 OK\r\n\r\nup 1\n".to_vec(),
        }
    });
    let output = Agent::without_engine().run(&format!("run prometheus {} --metric up", page.target())).exits(0);
    assert_eq!(shown(&output.without_diagnostics()), "up.value\t1\n");
}

#[test]
fn newest_sample_of_a_series_is_printed() {
    let page = Page::of("r{a=\"1\"} 1 1700000000000\nr{a=\"1\"} 3 1700000120000\nr{a=\"1\"} 2 1700000060000\n");
    let output = Agent::without_engine().run(&format!("run prometheus {} --metric r", page.target())).exits(0);
    assert_eq!(shown(&output.without_diagnostics()), "r.a_1\t3\n");
}

#[test]
fn inspect_works_before_metrics_are_chosen() {
    let output = Agent::without_engine().run("inspect prometheus").exits(0).without_diagnostics();
    let (_, graphs) = output.stdout.split_once("\ngraphs\n").expect("a section of graphs");
    insta::assert_snapshot!(graphs.lines().next().unwrap_or_default(), @"  none with the default options: --metric is required, once or more: a name such as go_goroutines, or a prefix such as 'go_*'");
}
