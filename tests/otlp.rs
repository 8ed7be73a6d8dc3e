//! `--otlp`: labelled metrics, received by the OpenTelemetry Collector's own receiver, and by one with chosen replies.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use scenarios::agent::{Agent, Output};
use scenarios::engine::Engine;
use scenarios::fake_otlp::{ACCEPTED, FakeOtlp, Reply};
use scenarios::otlp::{Arrived, Receiver};
use scenarios::stats::Values;
use scenarios::stub_target::StubTarget;
use scenarios::{mask, port, stats};
use serde_json::Value;

use crate::prometheus::Page;

/// Returns the values of one target, by graph and metric.
fn of_target<'a>(arrived: &'a [Arrived], instance: &str) -> Vec<&'a Arrived> {
    arrived.iter().filter(|one| one.resource.get("instance").is_some_and(|name| name == instance)).collect()
}

/// Returns gauges or sums by graph and metric.
fn values(arrived: &[&Arrived], is_sum: bool) -> Values {
    let of = arrived.iter().filter(|one| one.is_sum == is_sum);
    let value = |one: &&Arrived| (one.name.strip_prefix("gostats.").expect("the prefix").to_owned(), one.value);
    of.map(value).collect()
}

/// Runs gostats on a target with chosen values, and sends them to `endpoint`.
fn send(agent: &Agent, endpoint: &str, options: &str) -> Output {
    let target = StubTarget::serving(stats::body(stats::now(), 7));
    agent.run(&format!("run gostats --target {} --otlp {endpoint} {options}", target.target()))
}

#[test]
fn what_a_run_sends_is_what_it_prints_with_counters_as_read() {
    let (Some(engine), Some(receiver)) = (Engine::find(), Receiver::start()) else { return };
    let (group, agent) = (engine.group(), Agent::with_engine(engine));
    let apps = group.apps(20);
    let command =
        format!("run gostats --path /stats --filter {} --otlp {} --otlp-also", group.filter(), receiver.endpoint());
    for run in 0..2 {
        let before = receiver.arrived().len();
        let output = agent.run(&command).exits(0).without_diagnostics();
        let arrived = receiver.arrived().split_off(before);
        let times: BTreeSet<u64> = arrived.iter().map(|one| one.time).collect();
        let epoch: u64 = output.stdout.trim().rsplit('\t').next().and_then(|time| time.parse().ok()).expect("a time");
        assert_eq!(times.iter().map(|time| time / 1_000_000_000).collect::<Vec<_>>(), [epoch]);
        for app in &apps {
            let key = app.key();
            let instance = key.strip_prefix("gostats.").expect("the prefix");
            let of_app = of_target(&arrived, instance);
            let served = app.served().swap_remove(run);
            let counter = |name: &&str| {
                let field = name.rsplit('.').next().unwrap_or_default();
                ((*name).to_owned(), served[field].as_f64().expect("a number"))
            };
            assert_eq!(values(&of_app, true), stats::COUNTERS.iter().map(counter).collect::<Values>(), "{key}");
            let printed: Values = output
                .metrics()
                .of(&key)
                .into_iter()
                .filter(|(name, _)| stats::GAUGES.contains(&name.as_str()))
                .collect();
            assert_eq!(values(&of_app, false), printed, "{key}");
            assert_eq!(of_app.len(), stats::GAUGES.len() + stats::COUNTERS.len());
        }
        assert_eq!(arrived.len(), 20 * (stats::GAUGES.len() + stats::COUNTERS.len()));
    }
}

#[test]
fn target_is_described_by_the_attributes_of_its_container() {
    let (Some(engine), Some(receiver)) = (Engine::find(), Receiver::start()) else { return };
    let (group, agent) = (engine.group(), Agent::with_engine(engine));
    let labels = "--publish 8080 --label team=web --label com.docker.compose.service=shop \
                  --label com.amazonaws.ecs.task-arn=arn:aws:ecs:eu-west-1:012345678901:task/blue/5f0e";
    let app = group.app_with("api", labels);
    let agent = agent.with_env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod");
    let options = "--instance-name slot --otlp-label team --otlp-label absent";
    let command =
        format!("run gostats --path /stats --filter {} {options} --otlp {}", group.filter(), receiver.endpoint());
    let output = agent.run(&command).exits(0).without_diagnostics();
    assert_eq!(output.stdout, "", "nothing is printed without --otlp-also");
    let arrived = receiver.arrived();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let image = app.image().rsplit_once(':').map_or(app.image(), |(name, _)| name).to_owned();
    let expected = [
        ("aws.ecs.cluster.arn", "arn:aws:ecs:eu-west-1:012345678901:cluster/blue"),
        ("aws.ecs.task.arn", "arn:aws:ecs:eu-west-1:012345678901:task/blue/5f0e"),
        ("container.id", app.id()),
        ("container.image.name", &image),
        ("container.label.team", "web"),
        ("container.name", app.name()),
        ("deployment.environment.name", "prod"),
        ("host.name", host.trim()),
        ("instance", "1"),
        ("server.port", "8080"),
        ("service.name", "shop"),
    ];
    let expected: BTreeMap<String, String> =
        expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    assert!(arrived.iter().all(|one| one.resource == expected), "{:?}", arrived.first());
    let units: BTreeMap<&str, &str> = arrived.iter().map(|one| (one.name.as_str(), one.unit.as_str())).collect();
    assert_eq!((units["gostats.memory.memory_sys"], units["gostats.gc.gc_num"]), ("By", "1"));
}

#[test]
fn restart_of_a_container_gives_its_counters_a_new_start_time() {
    let (Some(engine), Some(receiver)) = (Engine::find(), Receiver::start()) else { return };
    let (group, agent) = (engine.group(), Agent::with_engine(engine));
    let mut app = group.app("api");
    let command = format!("run gostats --path /stats --filter {} --otlp {}", group.filter(), receiver.endpoint());
    for _ in 0..2 {
        let before = receiver.arrived().len();
        let _ = agent.run(&command).exits(0).without_diagnostics();
        let started: Timestamp = app.inspect("{{.State.StartedAt}}").trim().parse().expect("a time");
        let arrived = receiver.arrived().split_off(before);
        let starts: BTreeSet<i128> = arrived.iter().filter(|one| one.is_sum).map(|one| one.start.into()).collect();
        assert_eq!(starts, [started.as_nanosecond()].into());
        assert!(arrived.iter().filter(|one| !one.is_sum).all(|one| one.start == 0), "gauges have no start");
        app.restart();
    }
}

#[test]
fn collectors_that_labels_choose_send_in_one_export() {
    let (Some(engine), Some(receiver)) = (Engine::find(), Receiver::start()) else { return };
    let (group, agent) = (engine.group(), Agent::with_engine(engine));
    let labels =
        "--publish 8080 --label mackerel-plugin-wasm.collector=gostats --label mackerel-plugin-wasm.path=/stats";
    let app = group.app_with("api", labels);
    let command =
        format!("run labels --allow gostats --every docker --filter {} --otlp {}", group.filter(), receiver.endpoint());
    let _ = agent.run(&command).exits(0).without_diagnostics();
    assert_eq!(receiver.requests().len(), 1);
    let arrived = receiver.arrived();
    assert!(arrived.iter().all(|one| one.resource["container.id"] == app.id()));
    let prefixes: BTreeSet<&str> = arrived.iter().filter_map(|one| one.name.split('.').next()).collect();
    assert_eq!(prefixes, ["docker", "gostats"].into());
    // Stats of the kernel: CPU time is a counter, whose rate is a percentage.
    let cpu = arrived.iter().find(|one| one.name == "docker.cpuacct_percentage.user").expect("a counter");
    assert_eq!((cpu.is_sum, cpu.unit.as_str()), (true, "%.s"));
}

#[test]
fn totals_and_numbers_of_targets_are_sent_as_they_are_printed() {
    let Some(receiver) = Receiver::start() else { return };
    let targets = [StubTarget::serving(stats::body(1, 1)), StubTarget::serving(stats::body(2, 2))];
    let targets = targets.each_ref().map(|target| format!("--target {}", target.target())).join(" ");
    let options = "--total sum,max --targets-graph --total-only --otlp-also";
    let agent = Agent::without_engine();
    let output = agent
        .run(&format!("run gostats {targets} {options} --otlp {}", receiver.endpoint()))
        .exits(0)
        .without_diagnostics();
    let arrived = receiver.arrived();
    let sent: Vec<(&str, f64)> = arrived.iter().map(|one| (one.name.as_str(), one.value)).collect();
    let printed = output.stdout.lines().map(|line| {
        let mut fields = line.split('\t');
        (fields.next().expect("a key"), fields.next().and_then(|value| value.parse().ok()).expect("a value"))
    });
    assert_eq!(sent, printed.collect::<Vec<_>>());
    let unit = |name: &str| arrived.iter().find(|one| one.name == name).map(|one| one.unit.as_str());
    assert_eq!(unit("gostats_sum.memory.memory_sys"), Some("By"));
    assert!(arrived.iter().all(|one| !one.is_sum && one.resource.keys().collect::<Vec<_>>() == ["host.name"]));
}

#[test]
fn series_of_a_wildcard_have_an_attribute_and_share_a_name() {
    let Some(receiver) = Receiver::start() else { return };
    let page = "# TYPE jobs gauge\njobs{queue=\"mail\"} 3\njobs{queue=\"pdf\"} 4\n";
    let target = Page::of(page);
    let command = format!("run prometheus --metric jobs {} --otlp {}", target.target(), receiver.endpoint());
    let _ = Agent::without_engine().run(&command).exits(0).without_diagnostics();
    let arrived = receiver.arrived();
    let sent: Vec<_> = arrived.iter().map(|one| format!("{} {:?} {}", one.name, one.attributes, one.value)).collect();
    insta::assert_debug_snapshot!(sent);
}

#[test]
fn failed_export_is_one_line_and_costs_no_printed_value() {
    // A retry of RESOURCE_EXHAUSTED needs google.rpc.RetryInfo, here of 20 ms.
    let retry = "CAgaMwoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIHCgUQgNrECQ";
    let never = "CAgaPgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxISChAI//////////9/EP////8H";
    let cases: [(&str, Reply, usize); 11] = [
        ("unavailable", Reply::Status(14, "no%20backend", ""), 2),
        ("exhausted for a while", Reply::Status(8, "slow%20down", retry), 2),
        ("exhausted for 292 billion years", Reply::Status(8, "come%20back", never), 1),
        ("exhausted for good", Reply::Status(8, "over%20quota", ""), 1),
        ("unauthenticated", Reply::Status(16, "unknown%20key", ""), 1),
        ("invalid", Reply::Status(3, "%1B[31mred%0Anext", ""), 1),
        ("16 MiB", Reply::Large(16 << 20), 1),
        ("partial", Reply::Partial(4, "too old"), 1),
        ("HTTP 404", Reply::Http(404), 1),
        ("HTTP 503", Reply::Http(503), 2),
        ("slow", Reply::Never, 1),
    ];
    let mut all = String::new();
    for (name, reply, requests) in cases {
        let server = FakeOtlp::start(move |_| reply.clone());
        let agent = Agent::without_engine().with_env("OTEL_EXPORTER_OTLP_TIMEOUT", "3000");
        let output = send(&agent, &server.endpoint(), "--otlp-also").exits(1);
        assert_eq!((output.metrics().count(), server.requests()), (stats::GAUGES.len(), requests), "{name}: {output}");
        assert_eq!(output.stderr.lines().count(), 1, "{name}: {output}");
        let _ = write!(all, "{name}: {}", mask::ports(&output.stderr));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn request_is_repeated_once_if_the_server_can_recover() {
    let server = FakeOtlp::start(|before| if before == 0 { Reply::Status(14, "", "") } else { ACCEPTED });
    let _ = send(&Agent::without_engine(), &server.endpoint(), "").exits(0).without_diagnostics();
    assert_eq!((server.requests(), server.header("grpc-encoding").as_deref()), (2, Some("gzip")));
}

#[test]
fn export_ends_at_its_timeout_or_the_deadline_but_has_two_seconds() {
    let server = FakeOtlp::start(|_| Reply::Never);
    for (timeout, deadline, seconds) in [("500", "20s", 0.5..2.0), ("60000", "3s", 2.5..4.0), ("60000", "1s", 2.0..4.0)]
    {
        let agent = Agent::without_engine().with_env("OTEL_EXPORTER_OTLP_TIMEOUT", timeout);
        let begun = Instant::now();
        let output = send(&agent, &server.endpoint(), &format!("--deadline {deadline}")).exits(1);
        let took = begun.elapsed().as_secs_f64();
        assert!(seconds.contains(&took), "{timeout} {deadline}: {took}");
        assert!(output.stderr.contains("no response in time"), "{output}");
    }
}

#[test]
fn run_without_an_engine_sends_the_number_of_failed_targets() {
    let Some(receiver) = Receiver::start() else { return };
    let command = format!("run gostats --targets-graph --otlp {}", receiver.endpoint());
    let _ = Agent::without_engine().run(&command).exits(1);
    let sent: Vec<_> = receiver.arrived().into_iter().map(|one| (one.name, one.value)).collect();
    assert_eq!(sent, [("gostats_targets.collected".to_owned(), 0.0), ("gostats_targets.failed".to_owned(), 1.0)]);
}

#[test]
fn warning_of_the_server_is_printed() {
    let server = FakeOtlp::start(|_| Reply::Partial(0, "this name is deprecated"));
    let output = send(&Agent::without_engine(), &server.endpoint(), "").exits(0);
    insta::assert_snapshot!(mask::ports(&output.stderr), @"mackerel-plugin-wasm: http://127.0.0.1:PORT warns: this name is deprecated");
}

#[test]
fn endpoint_without_a_server_is_reported() {
    let endpoint = format!("http://127.0.0.1:{}", port::free());
    let output = send(&Agent::without_engine(), &endpoint, "").exits(1);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(mask::ports(&output.stderr), @"mackerel-plugin-wasm: cannot send 15 values to http://127.0.0.1:PORT: no connection: Connection refused (os error 111)");
    let target = StubTarget::serving(stats::body(1, 1));
    let output = send(&Agent::without_engine(), &format!("http://{}", target.target()), "").exits(1);
    // The server closes the connection before or after the request is written.
    let (begin, end) = ("HTTP/2 failed: ", ": not an endpoint of OTLP/gRPC?\n");
    assert!(output.stderr.contains(begin) && output.stderr.ends_with(end), "{output}");
}

#[test]
fn certificate_of_the_endpoint_has_to_be_trusted() {
    let Some(receiver) = Receiver::start_with_tls() else { return };
    let output = send(&Agent::without_engine(), &receiver.endpoint(), "--otlp-also").exits(1);
    assert_eq!((output.metrics().count(), receiver.requests().len()), (stats::GAUGES.len(), 0));
    insta::assert_snapshot!(mask::ports(&output.stderr), @"mackerel-plugin-wasm: cannot send 15 values to https://127.0.0.1:PORT: TLS handshake failed: untrusted certificate: trust its issuer with OTEL_EXPORTER_OTLP_CERTIFICATE or SSL_CERT_FILE");
    let agent = Agent::without_engine().with_env("OTEL_EXPORTER_OTLP_CERTIFICATE", receiver.certificate());
    let _ = send(&agent, &receiver.endpoint(), "").exits(0).without_diagnostics();
    assert_eq!(receiver.arrived().len(), stats::GAUGES.len() + stats::COUNTERS.len());
}

#[test]
fn api_key_comes_from_a_file_and_other_headers_from_a_variable() {
    let Some(receiver) = Receiver::start() else { return };
    let agent = || Agent::without_engine().with_env("MACKEREL_APIKEY", "of-mackerel-alone");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = folder.path().join("key");
    fs::write(&key, "s3cret\n").expect("a new file");
    let option = format!("--otlp-api-key-file {}", key.display());
    let _ = send(&agent(), &receiver.endpoint(), &option).exits(0).without_diagnostics();
    let _ = send(&agent(), &receiver.endpoint(), "").exits(0).without_diagnostics();
    let keys: Vec<String> = receiver.requests().iter().map(|request| request["keys"].to_string()).collect();
    assert_eq!(keys, [r#""[s3cret]""#, r#""[]""#]);

    let server = FakeOtlp::start(|_| ACCEPTED);
    let agent = agent()
        .with_env("OTEL_EXPORTER_OTLP_HEADERS", "X-Scope-OrgID=a%20b")
        .with_env("OTEL_EXPORTER_OTLP_COMPRESSION", "none");
    let _ = send(&agent, &server.endpoint(), "").exits(0).without_diagnostics();
    let header = |name| server.header(name);
    assert_eq!(
        (header("x-scope-orgid").as_deref(), header("grpc-encoding"), header("te").as_deref()),
        (Some("a b"), None, Some("trailers"))
    );
}

#[test]
fn endpoint_of_a_variable_is_used_and_wrong_settings_are_usage_errors() {
    let server = FakeOtlp::start(|_| ACCEPTED);
    let agent = || Agent::without_engine();
    let _ = send(&agent().with_env("OTEL_EXPORTER_OTLP_ENDPOINT", server.endpoint()), "", "")
        .exits(0)
        .without_diagnostics();
    assert_eq!(server.requests(), 1);
    let mut all = send(&agent(), "", "").exits(2).stderr;
    all += &send(&agent(), "http://127.0.0.1:4318/v1/metrics", "").exits(2).stderr;
    for (variable, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_RESOURCE_ATTRIBUTES", "prod"),
    ] {
        all += &send(&agent().with_env(variable, value), &server.endpoint(), "").exits(2).stderr;
    }
    for command in ["plan", "check", "watch", "test"] {
        let output = agent().run(&format!("{command} gostats --target 127.0.0.1:1 --otlp"));
        let _ = write!(all, "{}{}", output.stdout, output.stderr);
    }
    assert_eq!(server.requests(), 1);
    insta::assert_snapshot!(all);
}

#[test]
fn definitions_are_printed_only_if_values_are() {
    let agent = Agent::without_engine();
    let definitions =
        |options: &str| agent.definitions(&format!("run gostats --target 127.0.0.1:1 {options}")).exits(0).stdout;
    assert_eq!(definitions("--otlp"), "# mackerel-agent-plugin\n{\"graphs\":{}}\n");
    assert_eq!(definitions("--otlp --otlp-also"), definitions(""));
}

#[test]
fn run_that_sends_goes_on_with_the_state_of_one_that_prints() {
    let server = FakeOtlp::start(|_| ACCEPTED);
    let target = StubTarget::serving(stats::body(stats::now(), 7));
    let agent = Agent::without_engine();
    let command = format!("run gostats --target {}", target.target());
    assert_eq!(agent.run(&command).exits(0).metrics().count(), stats::GAUGES.len());
    let minute_later = |minutes: u64, count| {
        agent.let_pass(Duration::from_mins(1));
        target.serve(stats::body(stats::now() + minutes * 60_000_000_000, count));
    };
    minute_later(1, 8);
    let _ = agent.run(&format!("{command} --otlp {}", server.endpoint())).exits(0).without_diagnostics();
    minute_later(2, 11);
    let printed = agent.run(&command).exits(0).without_diagnostics().metrics().of(&target.key());
    // The growth since the run that sent its values. Since the run before, it would be 2 per minute.
    assert_eq!(format!("{:.0}", printed["gc.gc_num"]), "3");
    assert_eq!((printed.len(), agent.state_files().len()), (stats::GAUGES.len() + stats::COUNTERS.len(), 1));
}

#[test]
fn section_sends_labelled_metrics_and_has_no_secret() {
    let agent = Agent::without_engine();
    let agent = agent
        .with_env("MACKEREL_APIKEY", "s3cret")
        .with_env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod");
    let output = agent
        .run("conf gostats --filter name=api --otlp --otlp-api-key-file /etc/mackerel-agent/otlp.key --otlp-label team")
        .exits(0)
        .without_diagnostics();
    let program = scenarios::agent::program();
    let text = mask::path(&output.stdout, &program.canonicalize().expect("it exists"), "PROGRAM");
    let text = mask::path(&text, agent.workdir(), "WORKDIR");
    insta::assert_snapshot!(text);
}

#[test]
fn section_has_a_fix_for_each_secret_that_it_omits() {
    let agent = || Agent::without_engine().with_env("MACKEREL_APIKEY", "s3cret");
    let with_header = || agent().with_env("OTEL_EXPORTER_OTLP_HEADERS", "X-Scope-OrgID=s3cret");
    let key_file = "--otlp --otlp-api-key-file /etc/mackerel-agent/otlp.key";
    let other = "https://otel.example.com:4317";
    let omitted = |agent: &Agent, options: &str| {
        let output = agent.run(&format!("conf gostats --filter name=api {options}")).exits(0);
        assert!(!output.stdout.contains("s3cret"), "{output}");
        format!("{options}\n{}", output.stderr)
    };
    let all = [
        omitted(&agent(), "--otlp"),
        omitted(&agent(), key_file),
        omitted(&agent(), &format!("--otlp {other}")),
        omitted(&with_header(), "--otlp"),
        omitted(&with_header(), key_file),
        omitted(&with_header(), &format!("--otlp {other}")),
        omitted(&with_header().with_env("OTEL_EXPORTER_OTLP_ENDPOINT", other), "--otlp "),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

/// A graph of a dashboard: the metric that it draws, and the attributes that distinguish its lines.
struct Query {
    name: String,
    by: Vec<String>,
    is_counter: bool,
}

/// Parses the queries of a dashboard for this run.
fn queries(run: &str) -> Vec<Query> {
    let output = Agent::without_engine().run(&format!("dashboard {run}")).exits(0).without_diagnostics();
    let dashboard: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let graphs = dashboard["widgets"].as_array().expect("widgets").iter().map(|widget| &widget["graph"]);
    let query = |graph: &Value| {
        let text = graph["query"].as_str().expect("a query");
        let rest = text.strip_prefix("max by (").unwrap_or_else(|| panic!("another query: {text}"));
        let (by, rest) = rest.split_once(") (").expect("attributes");
        let by: Vec<String> = by.split(", ").map(str::to_owned).collect();
        let legend: Vec<String> = by.iter().map(|key| format!("{{{{{key}}}}}")).collect();
        assert_eq!(graph["legend"], legend.join(" "), "{text}");
        let inner = rest.trim_end_matches(" * 60").strip_suffix(')').expect("a bracket");
        let counter = inner.strip_prefix("irate(").and_then(|of| of.strip_suffix("[$__rate_interval])"));
        let name = counter.unwrap_or(inner);
        let name = name.strip_prefix("{__name__=\"").and_then(|of| of.strip_suffix("\"}")).unwrap_or(name);
        Query { name: name.to_owned(), by, is_counter: counter.is_some() }
    };
    graphs.filter(|graph| graph.is_object()).map(query).collect()
}

/// Asserts that the dashboard for a run draws each value that arrived of its last export, each as a line of its own.
/// Returns the metrics that it draws and that did not arrive.
fn assert_drawn(run: &str, arrived: &[Arrived]) -> Vec<String> {
    let queries = queries(run);
    let mut lines = BTreeSet::new();
    for one in arrived {
        let of_name: Vec<_> = queries.iter().filter(|query| query.name == one.name).collect();
        let [query] = of_name[..] else { panic!("{run}: {} queries of {}", of_name.len(), one.name) };
        assert_eq!(query.is_counter, one.is_sum, "{run}: {}", one.name);
        let value = |key: &String| {
            let value = one.resource.get(key).or_else(|| one.attributes.get(key));
            value.unwrap_or_else(|| panic!("{run}: {} has no {key}: {one:?}", one.name))
        };
        let line: Vec<&String> = query.by.iter().map(value).collect();
        assert!(lines.insert((&one.name, line.clone())), "{run}: two values of {} are {line:?}", one.name);
    }
    let has_arrived = |query: &Query| arrived.iter().any(|one| one.name == query.name);
    queries.iter().filter(|query| !has_arrived(query)).map(|query| query.name.clone()).collect()
}

/// Runs twice with a minute between, so that counters have totals, and returns the values of the second export.
fn second_export(agent: &Agent, run: &str, receiver: &Receiver) -> Vec<Arrived> {
    let command = format!("run {run} {}", receiver.endpoint());
    let _ = agent.run(&command).exits(0);
    let before = receiver.arrived().len();
    agent.let_pass(Duration::from_mins(1));
    let _ = agent.run(&command).exits(0);
    receiver.arrived().split_off(before)
}

#[test]
fn dashboard_draws_what_is_sent_of_fixed_targets() {
    let Some(receiver) = Receiver::start() else { return };
    let agent = Agent::without_engine();
    let stub = StubTarget::serving(stats::body(stats::now(), 7));
    let two = format!("--target 127.0.0.1:{0} --target 127.0.0.2:{0}", stub.port());
    for options in ["", "--total sum,max --targets-graph", "--total avg --total-only", "--metric-key-prefix my-web.1"] {
        let run = format!("gostats {two} {options} --otlp");
        let arrived = second_export(&agent, &run, &receiver);
        assert_eq!(assert_drawn(&run, &arrived), [""; 0], "{run}");
    }
    let run = format!("gostats --target 127.0.0.1:{} --instance-name none --otlp", stub.port());
    assert_eq!(assert_drawn(&run, &second_export(&agent, &run, &receiver)), [""; 0]);

    let page = Page::of(
        "# TYPE jobs gauge\njobs{queue=\"mail\"} 3\njobs{queue=\"pdf\"} 4\nup 1\n\
         # TYPE done counter\ndone_total{queue=\"mail\"} 7\ndone_total{queue=\"pdf\"} 8\n",
    );
    for options in ["", "--total sum,min", "--total sum --total-only"] {
        let run =
            format!("prometheus --metric jobs --metric up --metric done_total {} {options} --otlp", page.target());
        let missing = assert_drawn(&run, &second_export(&agent, &run, &receiver));
        // The page decides whether a metric is a gauge or a counter, whose name ends in `rate`. The dashboard has both.
        let other = |name: &String| name.strip_suffix(".rate").map_or_else(|| format!("{name}.rate"), str::to_owned);
        assert!(!missing.is_empty() && !missing.iter().any(|name| missing.contains(&other(name))), "{run} {missing:?}");
    }
}

#[test]
fn dashboard_draws_what_is_sent_of_containers() {
    let (Some(engine), Some(receiver)) = (Engine::find(), Receiver::start()) else { return };
    let (group, agent) = (engine.group(), Agent::with_engine(engine));
    let labels = "--publish 8080 --label com.docker.compose.service=shop \
                  --label mackerel-plugin-wasm.collector=gostats --label mackerel-plugin-wasm.path=/stats";
    let _apps = [group.app_with("api", labels), group.app_with("web", labels)];
    let of = |options: &str| format!("{options} --filter {} --otlp", group.filter());
    for options in [
        "gostats --path /stats",
        "gostats --path /stats --instance-name slot --otlp-service-label com.docker.compose.service",
        "docker --instance-name name --total sum",
        "labels --allow gostats --every docker",
    ] {
        let run = of(options);
        let missing = assert_drawn(&run, &second_export(&agent, &run, &receiver));
        // Block I/O depends on the kernel and on what a container did.
        let missing: Vec<_> = missing.iter().filter(|name| !name.contains(".blkio.")).collect();
        assert_eq!(missing, [""; 0], "{run}");
    }
}
