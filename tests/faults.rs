//! Targets that misbehave, alone and together with good ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use scenarios::agent::{Agent, component};
use scenarios::engine::Engine;
use scenarios::go::Program;
use scenarios::local::Local;
use scenarios::stub_target::StubTarget;
use scenarios::{http, load, mask, port, stats, wait};

/// The behaviours of `tests/faults` that are tried in containers too.
const BEHAVIOURS: [&str; 21] = [
    "array",
    "claims-1-gib",
    "closed",
    "empty",
    "escapes",
    "half",
    "header-flood",
    "html",
    "huge",
    "huge-unsized",
    "nested",
    "never",
    "not-http",
    "not-utf-8",
    "nothing",
    "numbers-texts",
    "other-object",
    "redirect",
    "status-404",
    "status-500",
    "trickle",
];

#[test]
fn bad_container_does_not_affect_others() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let good = group.apps(3);
    let _bad = group.faults(&BEHAVIOURS);
    let agent = Agent::with_engine(engine);
    let command = format!("run gostats --filter {} --path /stats --timeout 2s --deadline 10s", group.filter());

    let output = agent.run(&command).exits(0);
    let again = agent.run(&command).exits(0);
    for app in &good {
        let [one, two] = &app.served()[..] else { panic!("{} did not get one request per run", app.name()) };
        stats::assert_same(&output.metrics().of(&app.key()), &stats::gauges(one));
        stats::assert_same(&again.metrics().of(&app.key()), &stats::all(one, two));
    }
    assert_eq!(output.metrics().instances().len(), good.len(), "metrics of a bad container: {output}");
    assert!(output.elapsed < Duration::from_secs(10 + 5), "the deadline has passed: {output}");
    // The engine lists containers by age, which varies.
    let stderr = group.mask(&mask::ports(&output.stderr));
    let mut lines: Vec<_> = stderr.lines().collect();
    lines.sort_unstable();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn bad_target_is_one_line_with_address_and_cause() {
    let _load = load::timed();
    let mut diagnostics = String::new();
    for behaviour in BEHAVIOURS {
        if behaviour == "closed" {
            continue; // Needs a container: only docker-proxy accepts connections to a closed port.
        }
        let Some(server) = Local::start(Program::Faults, &[behaviour]) else { return };
        let output =
            Agent::without_engine().run(&format!("run gostats --target {} --timeout 1s", server.target())).exits(1);
        assert_eq!(output.stdout, "", "{output}");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        assert!(output.stderr.contains(&server.target()), "{output}");
        diagnostics.extend([behaviour, "\n    ", &mask::ports(&output.stderr)]);
    }
    insta::assert_snapshot!(diagnostics);
}

/// Returns stderr of a run for each behaviour, which has to be one line.
fn lines_about(behaviours: &[&str], options: &str, collector: &str) -> Option<String> {
    let mut diagnostics = String::new();
    for behaviour in behaviours {
        let server = Local::start(Program::Faults, &[behaviour])?;
        let output =
            Agent::without_engine().run(&format!("run {collector} --target {} {options}", server.target())).exits(1);
        assert_eq!((output.stdout.as_str(), output.stderr.lines().count()), ("", 1), "{behaviour}: {output}");
        diagnostics.extend([behaviour, "\n    ", &mask::ports(&output.stderr)]);
    }
    Some(diagnostics)
}

#[test]
fn another_protocol_is_named_with_what_came() {
    let protocols = ["amqp", "http2", "mysql", "not-http", "redis", "smtp", "text", "tls"];
    let Some(lines) = lines_about(&protocols, "", "gostats") else { return };
    insta::assert_snapshot!(lines);
}

#[test]
fn another_protocol_where_tls_was_asked_is_named() {
    let Some(lines) = lines_about(&["closed-tls", "not-tls", "plain-http"], "--scheme https", "gostats") else {
        return;
    };
    insta::assert_snapshot!(lines);
}

#[test]
fn odd_responses_are_named() {
    let odd = ["content-length-nonsense", "half-chunked", "half-head", "interim-flood", "interim-only", "many-headers"];
    let Some(lines) = lines_about(&odd, "--timeout 4s", "gostats") else { return };
    insta::assert_snapshot!(lines);
}

#[test]
fn chunks_of_one_byte_are_named_if_they_use_up_the_cpu_time() {
    let Some(lines) = lines_about(&["one-byte-chunks"], "--timeout 25s --deadline 25s --cpu-limit 300ms", "gostats")
    else {
        return;
    };
    insta::assert_snapshot!(lines, @"
    one-byte-chunks
        mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: response in very small chunks exceeded 300ms of CPU time (--cpu-limit)
    ");
}

#[test]
fn gzip_is_decoded_within_the_limits_and_other_codings_are_named() {
    let Some(server) = Local::start(Program::Faults, &["gzip"]) else { return };
    let output = Agent::without_engine().run(&format!("run gostats --target {}", server.target())).exits(0);
    assert!(output.without_diagnostics().metrics().count() > 5);
    let Some(lines) = lines_about(&["brotli", "gzip-bomb", "gzip-half", "gzip-not", "gzip-unannounced"], "", "gostats")
    else {
        return;
    };
    insta::assert_snapshot!(lines);
}

/// Behaviours that respond with an error status.
const ERROR_PAGES: [&str; 15] = [
    "basic",
    "bearer",
    "digest",
    "flask",
    "forbidden",
    "https-needed",
    "json-error",
    "login",
    "misdirected",
    "moved",
    "moved-to-https",
    "nginx",
    "no-challenge",
    "quoted",
    "status-404",
];

#[test]
fn error_status_comes_with_the_page_and_the_option_that_helps() {
    let Some(lines) = lines_about(&ERROR_PAGES, "", "gostats") else { return };
    insta::assert_snapshot!(lines);
}

#[test]
fn collector_that_uses_wasi_http_gets_the_same_remarks() {
    let behaviours = ["basic", "gzip", "interim-flood", "moved", "nginx", "not-http", "tls"];
    let collector = format!("{} --get-by-wasi-http", component("evil"));
    let Some(lines) = lines_about(&behaviours, "", &collector) else { return };
    insta::assert_snapshot!(lines.replace(&component("evil"), "evil.wasm"));
}

#[test]
fn alike_error_pages_with_different_texts_are_one_line() {
    let number = Arc::new(AtomicUsize::new(0));
    let listener = port::listen();
    let port = listener.local_addr().expect("a bound listener has an address").port();
    let _server = http::serve(listener, move |_| {
        http::Reply::Whole(500, format!("request {} failed", number.fetch_add(1, Ordering::Relaxed)))
    });
    let targets: Vec<_> = (1..=20).map(|number| format!("--target 127.0.2.{number}:{port}")).collect();
    let output = Agent::without_engine().run(&format!("run gostats {}", targets.join(" "))).exits(1);
    let stderr = mask::digits(&output.stderr.replace(&port.to_string(), "PORT"), "request ", "NUMBER");
    insta::assert_snapshot!(stderr, @"mackerel-plugin-wasm: gostats: 127.0.2.1:PORT and 19 others: HTTP 500 Internal Server Error instead of 200 OK: request NUMBER failed");
}

#[test]
fn closed_port_is_one_line() {
    let output = Agent::without_engine().run("run gostats --target 127.0.0.1:1").exits(1);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(output.stderr, @"mackerel-plugin-wasm: gostats: 127.0.0.1:1: connection failed: Connection refused (os error 111)");
}

#[test]
fn unknown_host_name_is_one_line() {
    let output = Agent::without_engine().run("run gostats --target there-is-no-such-host.invalid:80").exits(1);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(output.stderr, @"mackerel-plugin-wasm: gostats: there-is-no-such-host.invalid:80: cannot look up 'there-is-no-such-host.invalid': failed to lookup address information: Name or service not known");
}

#[test]
fn endless_body_is_not_read_completely() {
    for behaviour in ["huge", "huge-unsized", "header-flood"] {
        let Some(server) = Local::start(Program::Faults, &[behaviour]) else { return };
        let _ = Agent::without_engine().run(&format!("run gostats --target {}", server.target())).exits(1);
        // Data that was sent and not read is in socket buffers.
        assert!(server.sent() < 32 << 20, "{behaviour}: {} bytes were sent", server.sent());
    }
}

#[test]
fn many_equal_failures_are_one_line_with_their_number() {
    let Some(server) = Local::start(Program::Faults, &["status-500"]) else { return };
    let good = StubTarget::serving(stats::body(1, 1));
    // All of 127.0.0.0/8 is this machine, and only 127.0.0.1 listens.
    let refusing: Vec<_> = (1..=100).map(|number| format!("--target 127.0.1.{number}:{}", server.port())).collect();
    let command = format!("run gostats {} --target {} --target {}", refusing.join(" "), server.target(), good.target());
    let output = Agent::without_engine().run(&command).exits(0);
    assert_eq!(output.metrics().instances(), [good.port().to_string()]);
    let port = server.port().to_string();
    insta::assert_snapshot!(mask::ports(&output.stderr).replace(&port, "PORT"), @r#"
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: HTTP 500 Internal Server Error instead of 200 OK: {"time":1700000000000000000,"goroutine_num":12,"cgo_call_num":1,"memory_alloc":1,"memory_sys":1,"memory_stack":1,"memory…
    mackerel-plugin-wasm: gostats: 127.0.1.1:PORT and 99 others: connection failed: Connection refused (os error 111)
    "#);
}

#[test]
fn five_equal_failures_are_five_lines() {
    let command = "run gostats --target 127.0.0.1:1 --target 127.0.0.1:2 --target 127.0.0.1:3 --target 127.0.0.1:4 --target 127.0.0.1:5";
    let output = Agent::without_engine().run(command).exits(1);
    assert_eq!(output.stderr.lines().count(), 5, "{output}");
}

#[test]
fn ready_targets_are_printed_at_the_deadline() {
    let _load = load::timed();
    let Some(never) = Local::start(Program::Faults, &["never"]) else { return };
    let good = StubTarget::serving(stats::body(1, 1));
    let command =
        format!("run gostats --target {} --target {} --timeout 60s --deadline 2s", never.target(), good.target());
    let output = Agent::without_engine().run(&command).exits(0);
    assert!((Duration::from_secs(2)..Duration::from_secs(2 + 5)).contains(&output.elapsed), "{output}");
    stats::assert_same(&output.metrics().of(&good.key()), &stats::gauges(&stats::body(1, 1)));
    insta::assert_snapshot!(mask::ports(&output.stderr), @"mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: no response when the run's deadline of 2s passed (--deadline)");
}

#[test]
fn ready_targets_are_printed_at_a_signal() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let good = group.apps(2);
    let _never = group.faults(&["never"]);
    let command = format!("run gostats --filter {} --path /stats --timeout 60s --deadline 60s", group.filter());
    for (number, signal) in [(1, Signal::TERM), (2, Signal::INT)] {
        let agent = Agent::with_engine(engine);
        let running = agent.start(&command);
        wait::until("the good targets got a request", || {
            good.iter().all(|app| app.served().len() == number).then_some(())
        });
        running.wait_until_idle();
        running.signal(signal);
        let output = running.output().exits(0);
        for app in &good {
            stats::assert_same(&output.metrics().of(&app.key()), &stats::gauges(&app.last_served()));
        }
        let stderr = group.mask(&mask::ports(&output.stderr)).replace("SIGTERM", "SIGNAL").replace("SIGINT", "SIGNAL");
        insta::allow_duplicates! { insta::assert_snapshot!(stderr, @"mackerel-plugin-wasm: gostats: never (OWN:8080): no response when the run received SIGNAL"); }
    }
}

#[test]
fn values_printed_at_a_signal_are_kept_in_the_state() {
    let _load = load::timed();
    let Some(never) = Local::start(Program::Faults, &["never"]) else { return };
    let good = StubTarget::serving(stats::body(1_000_000_000, 1000));
    let agent = Agent::without_engine();
    let command = format!("run gostats --target {} --target {}", never.target(), good.target());
    let running = agent.start(&command);
    wait::until("the good target got a request", || (good.requests() == 1).then_some(()));
    running.wait_until_idle();
    running.signal(Signal::TERM);
    let _ = running.output().exits(0);
    agent.let_pass(Duration::from_mins(1));
    good.serve(stats::body(61_000_000_000, 1010));
    let metrics = agent.run(&format!("{command} --timeout 500ms")).exits(0).metrics();
    assert!((metrics.of(&good.key())["gc.gc_num"] - 10.0).abs() < 1e-9);
}

#[test]
fn recovered_target_keeps_its_rates() {
    let Some(server) = Local::start(Program::Faults, &["status-500"]) else { return };
    let good = StubTarget::serving(stats::body(1_000_000_000, 1000));
    let agent = Agent::without_engine();
    let command = format!("run gostats --target {} --target {}", server.target(), good.target());
    let _ = agent.run(&command).exits(0);
    good.serve(serde_json::json!("not now"));
    let _ = agent.run(&command).exits(1);
    agent.let_pass(Duration::from_mins(2));
    good.serve(stats::body(121_000_000_000, 1010));
    let metrics = agent.run(&command).exits(0).metrics();
    assert!((metrics.of(&good.key())["gc.gc_num"] - 5.0).abs() < 1e-9);
}
