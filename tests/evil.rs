//! A hostile or broken collector: what it can see, the line that the operator reads, and a good target in the same run
//! that loses nothing. Each attack is a function of the same name in `guests/evil`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use scenarios::agent::{Agent, Output, component};
use scenarios::attack::{GoodTarget, Scene, lines, one_line, targets};
use scenarios::engine::{Container, Engine};
use scenarios::stub_target::StubTarget;
use scenarios::witness::Witness;
use scenarios::{load, mask, stats};
use serde_json::{Value, json};

include!("../guests/evil/src/attacks.rs");

/// The upper limit of a run's memory in bytes, however many targets attack it.
const PEAK: u64 = 200 << 20;

/// Defines a scenario for each attack; without one, this does not compile.
macro_rules! scenarios {
    ($($name:ident)*) => { const _: &[fn()] = &[$($name),*]; };
}
with_attacks_in_collect!(scenarios);
with_attacks_in_graphs!(scenarios);

/// Returns the one line of an attack that reports nothing.
#[track_caller]
fn diagnostic(name: &str, options: &str) -> String {
    Scene::new().attack(name, options).diagnostic()
}

/// Returns the metrics that an attack still reports, and the one line.
#[track_caller]
fn values_and_diagnostic(name: &str, options: &str) -> (Vec<(String, f64)>, String) {
    Scene::new().attack(name, options).values_and_diagnostic()
}

/// Returns the one valid sample of an attack.
fn only_value() -> Vec<(String, f64)> {
    vec![("evil.one".to_owned(), 1.0)]
}

// More than its share of resources.

#[test]
fn spin() {
    insta::assert_snapshot!(diagnostic("spin", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exceeded 1s of CPU time (--cpu-limit)");
}

#[test]
fn spin_through_the_host() {
    insta::assert_snapshot!(diagnostic("spin_through_the_host", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exceeded 1s of CPU time (--cpu-limit)");
}

#[test]
fn sleep() {
    insta::assert_snapshot!(diagnostic("sleep", "--timeout 2s"), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector timed out after 2s (--timeout)");
}

#[test]
fn sleep_until_the_end_of_time() {
    insta::assert_snapshot!(diagnostic("sleep_until_the_end_of_time", "--timeout 2s"), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector timed out after 2s (--timeout)");
}

#[test]
fn deep_recursion() {
    insta::assert_snapshot!(diagnostic("deep_recursion", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector failed: wasm trap: out of bounds memory access");
}

#[test]
fn memory_at_once() {
    insta::assert_snapshot!(diagnostic("memory_at_once", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exceeded 64 MiB of memory (--memory-limit)");
}

#[test]
fn memory_bit_by_bit() {
    insta::assert_snapshot!(diagnostic("memory_bit_by_bit", "--memory-limit 8MiB"), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exceeded 8 MiB of memory (--memory-limit)");
}

#[test]
fn memory_held_while_waiting() {
    let scene = Scene::new();
    scene.target.never_responds();
    insta::assert_snapshot!(scene.attack("memory_held_while_waiting", "--timeout 2s").diagnostic(), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: no response after 2s (--timeout)");
}

#[test]
fn pollables_without_end() {
    insta::assert_snapshot!(diagnostic("pollables_without_end", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exceeded 1000 resources (fixed limit)");
}

#[test]
fn streams_without_end() {
    insta::assert_snapshot!(diagnostic("streams_without_end", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exceeded 1000 resources (fixed limit)");
}

#[test]
fn sockets_without_end() {
    insta::assert_snapshot!(diagnostic("sockets_without_end", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: after 0 of each: tcp made, udp access-denied; denied: UDP socket (a collector can only reach its own target)");
}

#[test]
fn tcp_sockets_without_end() {
    insta::assert_snapshot!(diagnostic("tcp_sockets_without_end", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exceeded 100 requests (fixed limit)");
}

#[test]
fn a_poll_of_two_million_handles() {
    insta::assert_snapshot!(diagnostic("a_poll_of_two_million_handles", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector passed more than 4 MiB to the host in one call (fixed limit)");
}

#[test]
fn random_bytes_at_once() {
    insta::assert_snapshot!(diagnostic("random_bytes_at_once", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector requested more than 64 KiB of random bytes at once (fixed limit)");
}

#[test]
fn the_largest_number_of_random_bytes() {
    insta::assert_snapshot!(diagnostic("the_largest_number_of_random_bytes", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector requested more than 64 KiB of random bytes at once (fixed limit)");
}

#[test]
fn insecure_random_bytes_at_once() {
    insta::assert_snapshot!(diagnostic("insecure_random_bytes_at_once", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector requested more than 64 KiB of random bytes at once (fixed limit)");
}

#[test]
fn a_thousand_requests() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.attack("a_thousand_requests", "").diagnostic(), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exceeded 100 requests (fixed limit)");
    assert_eq!(scene.target.requests().len(), 100);
}

#[test]
fn invalid_requests_without_end() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.attack("invalid_requests_without_end", "").diagnostic(), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exceeded 100 requests (fixed limit)");
    assert_eq!(scene.target.requests(), [""; 0]);
}

// Other ways to end.

#[test]
fn panic_with_text() {
    let diagnostic = mask::digits(&diagnostic("panic_with_text", ""), "ends.rs:", "LINE");
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector failed: wasm trap: wasm `unreachable` instruction executed; stderr: thread '<unnamed>' (1) panicked at guests/evil/src/ends.rs:LINE:5: | the collector does not know what to do | note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace");
}

#[test]
fn abort() {
    insta::assert_snapshot!(diagnostic("abort", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector failed: wasm trap: wasm `unreachable` instruction executed");
}

#[test]
fn exit_with_success() {
    insta::assert_snapshot!(diagnostic("exit_with_success", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exited with status 0");
}

#[test]
fn exit_with_failure() {
    // It exits with 3. WASI reports only success or failure, not the number.
    insta::assert_snapshot!(diagnostic("exit_with_failure", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exited with status 1");
}

// Output.

#[test]
fn stderr_flood() {
    let (values, diagnostic) = values_and_diagnostic("stderr_flood", "");
    assert_eq!(values, only_value());
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector stderr: line 0 of a flood | line 1 of a flood | line 2 of a flood | line 3 of a flood | line 4 of a flood | line 5 of a flood | line 6 of a flood | line 7 of a flood | line 8 of a flood | line 9 of a flood | line 10 of a flood | line 11 of a flood | line 12 of a flood | … | line 99999 of a flood");
}

#[test]
fn stderr_escapes() {
    let (values, diagnostic) = values_and_diagnostic("stderr_escapes", "");
    assert_eq!(values, only_value());
    insta::assert_snapshot!(diagnostic, @r"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector stderr: \u{1b}[2J\u{1b}]0;title\u{7}mackerel-plugin-wasm: a false message");
}

#[test]
fn stderr_that_is_not_utf8() {
    let (values, diagnostic) = values_and_diagnostic("stderr_that_is_not_utf8", "");
    assert_eq!(values, only_value());
    insta::assert_snapshot!(diagnostic, @r"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector stderr: ��\0� �(��� end");
}

#[test]
fn stderr_in_one_call() {
    insta::assert_snapshot!(diagnostic("stderr_in_one_call", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector passed more than 4 MiB to the host in one call (fixed limit)");
}

#[test]
fn stdout_in_one_call() {
    insta::assert_snapshot!(diagnostic("stdout_in_one_call", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector passed more than 4 MiB to the host in one call (fixed limit)");
}

#[test]
fn zeroes_without_end() {
    insta::assert_snapshot!(diagnostic("zeroes_without_end", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector failed: cannot write more zeroes than `check_write` allows");
}

#[test]
fn metrics_on_stdout() {
    assert_eq!(Scene::new().attack("metrics_on_stdout", "").values_only(), only_value());
}

#[test]
fn tls_connections_without_end() {
    insta::assert_snapshot!(diagnostic("tls_connections_without_end", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exceeded 100 requests (fixed limit)");
}

#[test]
fn notes_without_end() {
    // The good target has no notes, so none is true for all targets.
    let scene = Scene::new();
    assert_eq!(scene.attack("notes_without_end", "").values_only(), only_value());
    // Alone it has a hundred, each escaped and cut, as many as a run prints.
    let target = scene.target.target();
    let command = format!("run {} --attack notes_without_end --target {target}", component("evil"));
    let output = Agent::without_engine().run(&command);
    let output = output.exits(0);
    let stderr = output.stderr.replace(&component("evil"), "evil.wasm");
    assert_eq!(stderr.lines().count(), 100, "{output}");
    // The advice about compiling, which a slow machine prints, takes the place of one.
    let notes = stderr.lines().filter(|line| !line.ends_with(": and 1 more lines"));
    for (number, line) in notes.enumerate() {
        let begin = format!("mackerel-plugin-wasm: evil.wasm: --attack '\\u{{1b}}[2J{number}\\nxxx");
        assert!(line.starts_with(&begin) && line.ends_with("…' matches nothing on the target; hint"), "{line}");
        assert!(line.chars().count() < 400, "{line}");
    }
}

// Memory that is reused.

#[test]
fn leftovers() {
    let _load = load::timed();
    // Most of a hundred sandboxes have the memory of others that ended.
    let number = AtomicU64::new(0);
    let target = StubTarget::serving_with(move || json!({"goroutine_num": number.fetch_add(1, Ordering::Relaxed)}));
    let targets = targets((1..=100).map(|host| format!("127.0.0.{host}:{}", target.port())));
    let output = Agent::without_engine().run(&format!("run {} --attack leftovers {targets}", component("evil")));
    let masked = mask::digits(&mask::digits(&lines(&output.exits(1)), "127.0.0.", "N"), "127.0.0.N:", "PORT");
    let mut reported: Vec<&str> = masked.lines().collect();
    reported.sort_unstable();
    insta::assert_snapshot!(reported.join("\n"), @"
    mackerel-plugin-wasm: evil.wasm: 127.0.0.N:PORT and 49 others: 0 marks and 0 words in new pages, then its own marks
    mackerel-plugin-wasm: evil.wasm: 127.0.0.N:PORT and 49 others: collector failed: wasm trap: out of bounds memory access
    ");
}

// Samples.

#[test]
fn undeclared_samples() {
    let (values, diagnostic) = values_and_diagnostic("undeclared_samples", "");
    assert_eq!(values, only_value());
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: dropped 4 samples without a declared graph: #.evil.three, …");
}

#[test]
fn illegal_sample_names() {
    let (values, diagnostic) = values_and_diagnostic("illegal_sample_names", "");
    assert_eq!(values, [("evil.two".to_owned(), 2.0)]);
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: dropped 20 samples without a declared graph: .one, …");
}

#[test]
fn escapes_in_sample_names() {
    let (values, diagnostic) = values_and_diagnostic("escapes_in_sample_names", "");
    assert_eq!(values, only_value());
    insta::assert_snapshot!(diagnostic, @r"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: dropped a sample without a declared graph: \u{1b}[2J#.evil\r\nmackerel-plugin-wasm: \u{202e}a false message.one");
}

#[test]
fn a_sample_name_of_32_mib() {
    insta::assert_snapshot!(diagnostic("a_sample_name_of_32_mib", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector passed more than 4 MiB to the host in one call (fixed limit)");
}

#[test]
fn values_that_are_not_finite() {
    let (values, diagnostic) = values_and_diagnostic("values_that_are_not_finite", "");
    assert_eq!(values, [("evil.two".to_owned(), 2.0)]);
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: dropped 3 samples with a value that is not finite: #.evil.one, …");
}

#[test]
fn extreme_values() {
    let scene = Scene::new();
    let attacked = scene.attack("extreme_values", "");
    assert_eq!(attacked.values_only(), [("evil.one".to_owned(), 1e308), ("evil.two".to_owned(), -5e-324)]);
    let figure = |metric: &str| {
        let line = attacked.output().stdout.lines().find(|line| line.contains(metric));
        line.and_then(|line| line.split('\t').nth(1)).map(str::to_owned)
    };
    assert_eq!(figure("evil.one"), Some(format!("1{}", "0".repeat(308))));
    assert_eq!(figure("evil.two"), Some(format!("-0.{}5", "0".repeat(323))));
}

#[test]
fn a_counter_from_the_target() {
    let minute = |number: u64| 1_700_000_000_000_000_000 + number * 60_000_000_000;
    // The values of the target in each run, and the printed growth per minute.
    let runs = [
        (json!({"total": -1e308, "time": minute(0)}), None),
        // The growth is larger than the largest number.
        (json!({"total": 1e308, "time": minute(1)}), None),
        (json!({"total": 1e308, "time": minute(2)}), Some(0.0)),
        (json!({"total": 10, "time": minute(3)}), None),
        (json!({"total": 15, "time": minute(4)}), Some(5.0)),
        (json!({"total": 22, "time": minute(5)}), Some(7.0)),
    ];
    let scene = Scene::new();
    for (answer, growth) in runs {
        scene.target.serve(answer);
        scene.agent.let_pass(Duration::from_mins(1));
        let values = scene.attack("a_counter_from_the_target", "").values_only();
        let right = growth.map(|growth| ("evil.total".to_owned(), growth)).into_iter().collect();
        stats::assert_same(&values.into_iter().collect(), &right);
    }
}

#[test]
fn the_same_sample_twice() {
    let (values, diagnostic) = values_and_diagnostic("the_same_sample_twice", "");
    assert_eq!(values, only_value());
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: dropped a sample with the key of an earlier one: #.evil.one");
}

#[test]
fn random_values() {
    // One run cannot see a fault.
    let scene = Scene::new();
    let values = scene.attack("random_values", "").values_only();
    assert_eq!(values.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["evil.one"]);
}

#[test]
fn as_many_samples_as_allowed() {
    let (values, diagnostic) = values_and_diagnostic("as_many_samples_as_allowed", "");
    assert_eq!(values, only_value());
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: dropped 9999 samples with the key of an earlier one: #.evil.one, …");
}

#[test]
fn too_many_samples() {
    insta::assert_snapshot!(diagnostic("too_many_samples", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exceeded 10000 samples (fixed limit)");
}

#[test]
fn a_million_samples() {
    insta::assert_snapshot!(diagnostic("a_million_samples", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector passed more than 4 MiB to the host in one call (fixed limit)");
}

// Errors.

#[test]
fn escapes_in_the_error() {
    insta::assert_snapshot!(diagnostic("escapes_in_the_error", ""), @r"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: \u{1b}[2J\r\nmackerel-plugin-wasm: \u{202e}a false message");
}

#[test]
fn escapes_in_an_http_error() {
    insta::assert_snapshot!(diagnostic("escapes_in_an_http_error", ""), @r"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: \u{1b}[2J\r\nmackerel-plugin-wasm: a false message");
}

#[test]
fn an_error_of_32_mib() {
    insta::assert_snapshot!(diagnostic("an_error_of_32_mib", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector passed more than 4 MiB to the host in one call (fixed limit)");
}

#[test]
fn an_invalid_status() {
    insta::assert_snapshot!(diagnostic("an_invalid_status", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: HTTP 65535 instead of 200 OK");
}

#[test]
fn an_invalid_limit() {
    insta::assert_snapshot!(diagnostic("an_invalid_limit", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: response body exceeds 16 EiB (--http-body-limit)");
}

// Other addresses.

#[test]
fn addresses_of_this_machine() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.attack("addresses_of_this_machine", "").diagnostic(), @r#"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: 27 refused, connected to ["127.0.0.1:PORT"]; denied: lookup of '127.1', lookup of '2130706433', lookup of '0x7f000001' and 13 more (a collector can only reach its own target)"#);
    scene.target.assert_nothing_elsewhere();
    let requests = scene.target.requests().into_iter().filter(|request| !request.is_empty());
    assert_eq!(requests.count(), 1, "one for its ports, beside connections without any");
}

#[test]
fn sockets_of_every_kind() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.attack("sockets_of_every_kind", "").diagnostic(), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: tcp connected, PermissionDenied; listen PermissionDenied; udp PermissionDenied; low tcp bind access-denied, connect access-denied; low udp access-denied; denied: UDP socket, 127.0.0.1:PORT (TCP), 127.0.0.1:PORT (TCP, listening) (a collector can only reach its own target)");
    scene.target.assert_nothing_elsewhere();
    let requests = scene.target.requests().into_iter().filter(|request| !request.is_empty());
    assert_eq!(requests.count(), 1, "one for its ports, beside connections without any");
}

#[test]
fn connections_elsewhere_beside_a_good_report() {
    let scene = Scene::new();
    let (values, diagnostic) = scene.attack("connections_elsewhere_beside_a_good_report", "").values_and_diagnostic();
    assert_eq!(values, only_value());
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: denied: 127.0.0.1:PORT (TCP), lookup of 'registry.example' (a collector can only reach its own target)");
    scene.target.assert_nothing_elsewhere();
}

#[test]
fn name_lookups() {
    insta::assert_snapshot!(diagnostic("name_lookups", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: localhost permanent-resolver-failure; LOCALHOST permanent-resolver-failure; 127.0.0.1 Ok(Some(IpAddress::Ipv4((127, 0, 0, 1)))); ::1 Ok(Some(IpAddress::Ipv6((0, 0, 0, 0, 0, 0, 0, 1))));; denied: lookup of 'localhost', lookup of 'LOCALHOST' (a collector can only reach its own target)");
}

#[test]
fn addresses_by_wasi_http() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.attack("addresses_by_wasi_http", "").diagnostic(), @r#"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: 25 refused, and sent to ["127.0.0.1:PORT", "[::ffff:127.0.0.1]:PORT", "[::ffff:7f00:1]:PORT"]; denied: http://127.1:PORT (GET), http://2130706433:PORT (GET), http://0x7f000001:PORT (GET) and 22 more (a collector can only reach its own target)"#);
    scene.target.assert_nothing_elsewhere();
    insta::assert_snapshot!(scene.target.requests().join("\n"), @"
    GET /stats HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET / HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET / HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET / HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    ");
}

#[test]
fn authorities_by_wasi_http() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.attack("authorities_by_wasi_http", "").diagnostic(), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: 8 refused, and sent [2, 3]; denied: http://127.0.0.1:PORT (GET), http://127.0.0.1:PORT (GET), http://:80 (GET) (a collector can only reach its own target)");
    scene.target.assert_nothing_elsewhere();
    insta::assert_snapshot!(scene.target.requests().join("\n"), @"
    GET /stats HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET / HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET / HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    ");
}

#[test]
fn a_redirect_by_wasi_http() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.attack("a_redirect_by_wasi_http", "").diagnostic(), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: Ok((302, 0)); the target returned HTTP 302 Found; Location: http://127.0.0.1:PORT/");
    scene.target.assert_nothing_elsewhere();
}

#[test]
fn headers_by_wasi_http() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.attack("headers_by_wasi_http", "").diagnostic(), @r#"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: sent ["accept"]"#);
    insta::assert_snapshot!(scene.target.requests().join("\n"), @"
    GET /stats HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET / HTTP/1.1 | accept: other | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    ");
}

#[test]
fn methods_by_wasi_http() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.attack("methods_by_wasi_http", "").diagnostic(), @r#"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: connect Err("refused"), trace Err("refused"), ftp Err("ErrorCode::HttpProtocolError"), post Ok(200); denied: http://127.0.0.1:PORT (CONNECT), http://127.0.0.1:PORT (TRACE) (a collector can only reach its own target)"#);
    scene.target.assert_nothing_elsewhere();
    insta::assert_snapshot!(scene.target.requests().join("\n"), @"
    GET /stats HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    POST / HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    ");
}

#[test]
fn a_body_without_end_by_wasi_http() {
    insta::assert_snapshot!(diagnostic("a_body_without_end_by_wasi_http", ""), @r#"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: Err("HTTP response body size exceeds limit: 4194304 bytes within 4 MiB"); response body exceeds 4 MiB (--http-body-limit)"#);
}

#[test]
fn a_request_without_end_by_wasi_http() {
    let options = "--timeout 1s --cpu-limit 10s";
    insta::assert_snapshot!(diagnostic("a_request_without_end_by_wasi_http", options), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: no response after 1s (--timeout)");
}

#[test]
fn requests_without_end_by_wasi_http() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.attack("requests_without_end_by_wasi_http", "").diagnostic(), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exceeded 100 requests (fixed limit)");
    assert!(scene.target.requests().len() <= 100);
}

#[test]
fn the_longest_timeouts_by_wasi_http() {
    insta::assert_snapshot!(diagnostic("the_longest_timeouts_by_wasi_http", "--timeout 2s"), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: no response after 2s (--timeout)");
}

#[test]
fn a_short_timeout_by_wasi_http() {
    insta::assert_snapshot!(diagnostic("a_short_timeout_by_wasi_http", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: ErrorCode::ConnectionReadTimeout");
}

#[test]
fn paths_that_try_to_escape() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.attack("paths_that_try_to_escape", "").diagnostic(), @r#"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: 18 refused, and sent ["//other:1/", "///other/", "/\\other/", "/@other", "/../../etc/passwd", "/%2e%2e/%0d%0ahost:other", "/日本", "/\u{202e}", "/a?b=c&d=http://other/", "/user:password@other/"]"#);
    insta::assert_snapshot!(scene.target.requests().join("\n"), @r"
    GET //other:1/ HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET ///other/ HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET /\\other/ HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET /@other HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET /../../etc/passwd HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET /%2e%2e/%0d%0ahost:other HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET /日本 HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET /\u{202e} HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET /a?b=c&d=http://other/ HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET /user:password@other/ HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    ");
}

#[test]
fn a_path_of_100_kb() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.attack("a_path_of_100_kb", "").diagnostic(), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: refused");
    assert_eq!(scene.target.requests(), [""; 0]);
}

#[test]
fn headers_that_the_host_sets() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.attack("headers_that_the_host_sets", "").diagnostic(), @r#"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: 19 refused, and sent ["accept"]"#);
    insta::assert_snapshot!(scene.target.requests().join("\n"), @"GET / HTTP/1.1 | accept: application/json | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)");
}

#[test]
fn ten_thousand_headers() {
    insta::assert_snapshot!(diagnostic("ten_thousand_headers", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: HTTP 200");
}

#[test]
fn forty_thousand_headers() {
    insta::assert_snapshot!(diagnostic("forty_thousand_headers", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: refused");
}

#[test]
fn a_header_of_a_mebibyte() {
    insta::assert_snapshot!(diagnostic("a_header_of_a_mebibyte", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: HTTP 200");
}

#[test]
fn stats_without_a_container() {
    insta::assert_snapshot!(diagnostic("stats_without_a_container", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector requested container stats, but the target has no container");
}

#[test]
fn stats_and_state_a_thousand_times() {
    // Without an engine there is nothing to request. A real one follows below.
    insta::assert_snapshot!(diagnostic("stats_and_state_a_thousand_times", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exceeded 100 requests (fixed limit)");
}

#[test]
fn environment() {
    insta::assert_snapshot!(diagnostic("environment", ""), @r#"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: variables [] [], arguments [] [], folder Some("/") None"#);
}

#[test]
fn files() {
    insta::assert_snapshot!(diagnostic("files", ""), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: folders 0, opened []");
}

#[test]
fn standard_input() {
    insta::assert_snapshot!(diagnostic("standard_input", ""), @r#"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: read Ok(0): """#);
}

// Graphs.

/// Returns the one line of an attack that ends the run with this exit status.
#[track_caller]
fn graphs_error(name: &str, code: i32) -> String {
    Scene::new().attack_graphs(name, code, "")
}

#[test]
fn graphs_spin() {
    insta::assert_snapshot!(graphs_error("graphs_spin", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector exceeded 1s of CPU time (fixed limit)");
}

#[test]
fn graphs_connect_elsewhere() {
    let (agent, good) = (Agent::without_engine(), GoodTarget::default());
    let command = format!("run {} --attack graphs_connect_elsewhere", component("evil"));
    let values = agent.run(&format!("{command} --target {}", good.target())).exits(0);
    good.assert_complete(&values);
    insta::assert_snapshot!(one_line(&values), @"mackerel-plugin-wasm: evil.wasm: denied: 127.0.0.1:PORT (TCP) (a collector can only reach its own target)");
    assert_eq!(agent.definitions(&command).exits(0).stderr, values.stderr);
}

#[test]
fn graphs_sleep() {
    insta::assert_snapshot!(graphs_error("graphs_sleep", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector timed out after 5s (fixed limit)");
}

#[test]
fn graphs_panic() {
    let graphs_error = mask::digits(&graphs_error("graphs_panic", 1), "graphs.rs:", "LINE");
    insta::assert_snapshot!(graphs_error, @"mackerel-plugin-wasm: evil.wasm: graphs: collector failed: wasm trap: wasm `unreachable` instruction executed; stderr: thread '<unnamed>' (1) panicked at guests/evil/src/graphs.rs:LINE:5: | the collector knows no graphs | note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace");
}

#[test]
fn graphs_take_memory() {
    insta::assert_snapshot!(graphs_error("graphs_take_memory", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector exceeded 64 MiB of memory (--memory-limit)");
}

#[test]
fn graphs_exit() {
    insta::assert_snapshot!(graphs_error("graphs_exit", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector exited with status 0");
}

#[test]
fn graphs_send_requests() {
    insta::assert_snapshot!(graphs_error("graphs_send_requests", 2), @"mackerel-plugin-wasm: evil.wasm: Error::NoEndpoint, Some(Error::NoContainer), Some(Error::NoContainer)");
}

#[test]
fn a_key_without_a_hash_sign() {
    insta::assert_snapshot!(graphs_error("a_key_without_a_hash_sign", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector violated the contract: graph key 'evil' must contain '#' exactly once");
}

#[test]
fn a_key_with_two_hash_signs() {
    insta::assert_snapshot!(graphs_error("a_key_with_two_hash_signs", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector violated the contract: graph key '#.evil.#' must contain '#' exactly once");
}

#[test]
fn a_key_that_is_illegal() {
    insta::assert_snapshot!(graphs_error("a_key_that_is_illegal", 1), @r"mackerel-plugin-wasm: evil.wasm: graphs: collector violated the contract: graph key '#.\u{1b}[2Jevil\n\tevil' has components that Mackerel does not allow");
}

#[test]
fn a_key_that_is_empty() {
    insta::assert_snapshot!(graphs_error("a_key_that_is_empty", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector violated the contract: graph key '' has components that Mackerel does not allow");
}

#[test]
fn a_key_of_a_mebibyte() {
    insta::assert_snapshot!(graphs_error("a_key_of_a_mebibyte", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector violated the contract: 1048578 bytes in a graph key, limit 255");
}

#[test]
fn the_same_key_twice() {
    insta::assert_snapshot!(graphs_error("the_same_key_twice", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector violated the contract: graph '#.evil' is declared twice");
}

#[test]
fn a_metric_that_is_illegal() {
    insta::assert_snapshot!(graphs_error("a_metric_that_is_illegal", 1), @r"mackerel-plugin-wasm: evil.wasm: graphs: collector violated the contract: metric 't\u{1b}w\no' of graph '#.evil' has a name that Mackerel does not allow");
}

#[test]
fn a_metric_that_is_empty() {
    insta::assert_snapshot!(graphs_error("a_metric_that_is_empty", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector violated the contract: metric '' of graph '#.evil' has a name that Mackerel does not allow");
}

#[test]
fn a_metric_of_a_mebibyte() {
    insta::assert_snapshot!(graphs_error("a_metric_of_a_mebibyte", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector violated the contract: metric 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…");
}

#[test]
fn the_same_metric_twice() {
    insta::assert_snapshot!(graphs_error("the_same_metric_twice", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector violated the contract: metric of graph '#.evil' 'one' is declared twice");
}

#[test]
fn a_graph_without_metrics() {
    insta::assert_snapshot!(graphs_error("a_graph_without_metrics", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector violated the contract: graph '#.evil' has no metrics");
}

#[test]
fn a_hundred_thousand_graphs() {
    insta::assert_snapshot!(graphs_error("a_hundred_thousand_graphs", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector passed more than 4 MiB to the host in one call (fixed limit)");
}

#[test]
fn a_thousand_graphs() {
    insta::assert_snapshot!(graphs_error("a_thousand_graphs", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector violated the contract: 1000 graphs, limit 200");
}

#[test]
fn a_hundred_thousand_metrics() {
    insta::assert_snapshot!(graphs_error("a_hundred_thousand_metrics", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector passed more than 4 MiB to the host in one call (fixed limit)");
}

#[test]
fn ten_thousand_metrics() {
    insta::assert_snapshot!(graphs_error("ten_thousand_metrics", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector violated the contract: 10000 metrics of all graphs, limit 1000");
}

#[test]
fn escapes_in_labels() {
    // Any text is a valid label: it arrives unchanged and cannot leave its place in the JSON.
    let label = "\u{1b}[2J\"}\r\n# mackerel-agent-plugin\n\u{202e}{\u{0}\u{2028}</script>";
    let definitions =
        Agent::without_engine().definitions(&format!("run {} --attack escapes_in_labels", component("evil")));
    let definitions = definitions.exits(0).without_diagnostics();
    let ["# mackerel-agent-plugin", json] = definitions.stdout.split_terminator('\n').collect::<Vec<_>>()[..] else {
        panic!("not two lines: {definitions}")
    };
    assert!(!json.chars().any(char::is_control), "{json:?}");
    let json: Value = serde_json::from_str(json).expect("JSON");
    let graph = &json["graphs"]["evil.#.evil"];
    assert_eq!(graph["label"], format!("Evil.# {label}"));
    assert_eq!(graph["metrics"], json!([{"name": "one", "label": label, "stacked": false}]));
}

#[test]
fn random_graphs() {
    // One run cannot see a fault: graphs are requested once and apply to all targets. Here they do not match the
    // report.
    let target = StubTarget::serving(json!({"goroutine_num": 1}));
    let output = Agent::without_engine().run(&format!(
        "run {} --attack random_graphs --target {}",
        component("evil"),
        target.target()
    ));
    assert_eq!(output.exits(0).stdout, "");
}

#[test]
fn a_label_of_a_mebibyte() {
    insta::assert_snapshot!(graphs_error("a_label_of_a_mebibyte", 1), @"mackerel-plugin-wasm: evil.wasm: graphs: collector violated the contract: 1048576 bytes in a label of graph '#.evil', limit 255");
}

#[test]
fn an_error_of_a_mebibyte() {
    insta::assert_snapshot!(graphs_error("an_error_of_a_mebibyte", 2), @r"mackerel-plugin-wasm: evil.wasm: \u{1b}[2J\nmackerel-plugin-wasm: a false message\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…");
}

// Many targets at once.

#[test]
fn collectors_that_fail_before_any_target_do_not_affect_another() {
    let _load = load::timed();
    let good: Vec<StubTarget> = (0..5).map(|_| StubTarget::serving(json!({"gc_num": 1, "goroutine_num": 2}))).collect();
    let targets = targets(good.iter().map(StubTarget::target));
    let agent = Agent::without_engine();
    let evil = component("evil");
    let start = |attack: &str| agent.start(&format!("run {evil} --attack {attack} {targets}"));
    let failing = ["graphs_spin", "graphs_take_memory", "graphs_panic"].map(start);
    let output = agent.run(&format!("run gostats {targets}")).exits(0).without_diagnostics();
    assert_eq!(output.metrics().count(), good.len(), "{output}");
    for failing in failing {
        let _ = one_line(&failing.output().exits(1));
    }
}

#[test]
fn sandboxes_that_exhaust_the_memory_pool_do_not_affect_small_ones() {
    let _load = load::timed();
    // The pool holds three times 40 MiB, not five times. A sandbox that waits for its target does not release memory.
    let evil: Vec<Witness> = (0..5).map(|_| Witness::new()).collect();
    evil.iter().for_each(Witness::never_responds);
    let at: Vec<String> = evil.iter().map(|witness| format!("--at {}", witness.port())).collect();
    let evil = targets(evil.iter().map(Witness::target));
    let good = GoodTarget::many(5);
    let output = Agent::without_engine().run(&format!(
        "run {} --attack memory_held_while_waiting {} {evil} {} --timeout 3s",
        component("evil"),
        at.join(" "),
        targets(good.iter().map(GoodTarget::target)),
    ));
    let output = output.exits(0);
    for good in &good {
        good.assert_complete(&output);
    }
    assert_eq!(output.metrics().count(), good.len(), "{output}");
    let lines = lines(&output);
    assert_eq!(lines.lines().count(), 5, "{output}");
    assert!(lines.lines().all(|line| line.ends_with(" after 3s (--timeout)")), "{output}");
    assert!(output.peak < PEAK, "{} bytes", output.peak);
}

/// Runs an attack on `count` targets, listed before five good ones. The good ones must be complete.
#[track_caller]
fn many_beside_five_good(attack: &str, count: u8) -> Output {
    let _load = load::timed();
    // All addresses of one target.
    let evil = StubTarget::serving(json!({}));
    let good = GoodTarget::many(5);
    let output = Agent::without_engine().run(&format!(
        "run {} --attack {attack} --at {} {} {}",
        component("evil"),
        evil.port(),
        targets((1..=count).map(|host| format!("127.0.0.{host}:{}", evil.port()))),
        targets(good.iter().map(GoodTarget::target)),
    ));
    let output = output.exits(0);
    for good in &good {
        good.assert_complete(&output);
    }
    assert!(output.peak < PEAK, "{} bytes", output.peak);
    output
}

#[test]
fn targets_beyond_the_sample_limit_of_a_run_do_not_affect_others() {
    // Ten fit into the limit, eleven do not.
    let output = many_beside_five_good("as_many_samples_as_allowed", 11);
    let refused = " all targets together exceeded 100000 samples (fixed limit)";
    assert_eq!(output.stderr.lines().filter(|line| line.ends_with(refused)).count(), 1, "{output}");
}

#[test]
fn hundred_spinning_sandboxes_do_not_affect_others() {
    let output = many_beside_five_good("spin", 100);
    assert_eq!(output.metrics().count(), 5, "{output}");
    insta::assert_snapshot!(lines(&output), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT and 99 others: collector timed out after 5s (--timeout)");
}

#[test]
fn a_late_response_is_read_before_spinning_sandboxes_get_another_turn() {
    let _load = load::timed();
    let evil = StubTarget::serving(json!({}));
    // It comes when the others have computed for longer than it takes, and it takes several turns.
    let numbers: Vec<u32> = (0..100_000).collect();
    let good = StubTarget::serving_with(move || {
        thread::sleep(Duration::from_secs(3));
        json!({"goroutine_num": 3, "numbers": numbers})
    });
    let output = Agent::without_engine().run(&format!(
        "run {} --attack spin --at {} --timeout 4s {} --target {}",
        component("evil"),
        evil.port(),
        targets((1..=60).map(|host| format!("127.0.0.{host}:{}", evil.port()))),
        good.target(),
    ));
    assert_eq!(output.exits(0).metrics().count(), 1);
}

#[test]
fn six_hundred_spinning_sandboxes_do_not_affect_others() {
    let _load = load::timed();
    let evil = StubTarget::serving(json!({}));
    let good = GoodTarget::many(5);
    let addresses = (0..600).map(|number| format!("127.0.{}.{}:{}", number / 200, number % 200 + 1, evil.port()));
    let output = Agent::without_engine().run(&format!(
        "run {} --attack spin --at {} {} {}",
        component("evil"),
        evil.port(),
        targets(addresses),
        targets(good.iter().map(GoodTarget::target)),
    ));
    let output = output.exits(0);
    for good in &good {
        good.assert_complete(&output);
    }
    assert_eq!(output.metrics().instances().len(), good.len(), "{output}");
}

#[test]
fn ten_evil_containers_do_not_affect_twenty_good_ones() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let evil = [
        "spin",
        "sleep",
        "deep_recursion",
        "memory_at_once",
        "pollables_without_end",
        "a_thousand_requests",
        "stats_and_state_a_thousand_times",
        "panic_with_text",
        "exit_with_failure",
        "too_many_samples",
    ];
    let good = group.apps(20);
    let start = |attack: &&str| group.app_with(attack, &format!("--publish 8080 --label attack={attack}"));
    let _evil: Vec<Container> = evil.iter().map(start).collect();
    let agent = Agent::with_engine(engine);
    let command = format!("run {} --by-label --filter {} --deadline 20s", component("evil"), group.filter());
    let output = agent.run(&command).exits(0);
    for good in &good {
        let served = good.served();
        let [served] = &served[..] else { panic!("{} requests: {output}", served.len()) };
        let right = ["goroutine_num", "heap_sys", "memory_mallocs", "memory_sys"];
        let right = right.map(|name| (format!("stats.{name}"), served[name].as_f64().expect("a number")));
        let key = format!("evil.{}", good.address().port());
        assert_eq!(output.metrics().of(&key), right.into_iter().collect(), "{output}");
    }
    assert_eq!(output.metrics().count(), 4 * good.len(), "{output}");
    let lines = mask::digits(&group.mask(&lines(&output)), "ends.rs:", "LINE");
    insta::assert_snapshot!(lines, @"
    mackerel-plugin-wasm: evil.wasm: a_thousand_requests (127.0.0.1:PORT): collector exceeded 100 requests (fixed limit)
    mackerel-plugin-wasm: evil.wasm: deep_recursion (127.0.0.1:PORT): collector failed: wasm trap: out of bounds memory access
    mackerel-plugin-wasm: evil.wasm: exit_with_failure (127.0.0.1:PORT): collector exited with status 1
    mackerel-plugin-wasm: evil.wasm: memory_at_once (127.0.0.1:PORT): collector exceeded 64 MiB of memory (--memory-limit)
    mackerel-plugin-wasm: evil.wasm: panic_with_text (127.0.0.1:PORT): collector failed: wasm trap: wasm `unreachable` instruction executed; stderr: thread '<unnamed>' (1) panicked at guests/evil/src/ends.rs:LINE:5: | the collector does not know what to do | note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
    mackerel-plugin-wasm: evil.wasm: pollables_without_end (127.0.0.1:PORT): collector exceeded 1000 resources (fixed limit)
    mackerel-plugin-wasm: evil.wasm: sleep (127.0.0.1:PORT): collector timed out after 5s (--timeout)
    mackerel-plugin-wasm: evil.wasm: spin (127.0.0.1:PORT): collector exceeded 1s of CPU time (--cpu-limit)
    mackerel-plugin-wasm: evil.wasm: stats_and_state_a_thousand_times (127.0.0.1:PORT): collector exceeded 100 requests (fixed limit)
    mackerel-plugin-wasm: evil.wasm: too_many_samples (127.0.0.1:PORT): collector exceeded 10000 samples (fixed limit)
    ");
    assert!(output.elapsed < Duration::from_secs(20), "{:?}", output.elapsed);
    assert!(output.peak < PEAK, "{} bytes", output.peak);
}
