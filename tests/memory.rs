//! The memory of a run, whatever its targets respond and however many there are.

use std::sync::Arc;

use scenarios::agent::{Agent, Output};
use scenarios::attack::targets;
use scenarios::http::{self, Reply};
use scenarios::load;
use scenarios::port;
use scenarios::server::Server;
use scenarios::stub_target::StubTarget;
use serde_json::json;

/// The upper limit of a run's memory in bytes.
const PEAK: u64 = 200 << 20;

/// A response just below the limit of 4 MiB.
const LARGE: usize = (4 << 20) - 100;

/// The small targets in every run.
const SMALL: usize = 20;

/// A target that returns this body, at every address of 127.0.0.0/8.
fn serving(body: String) -> (u16, Server) {
    let listener = port::listen();
    let port = listener.local_addr().expect("a bound listener has an address").port();
    let body = Arc::new(body);
    (port, http::serve(listener, move |_| Reply::Whole(200, String::clone(&body))))
}

/// Returns `count` addresses of such a target.
fn addresses(port: u16, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |index| format!("127.0.{}.{}:{port}", index / 250, index % 250 + 1))
}

/// Runs gostats on `count` targets with large responses, and on small ones behind them.
#[track_caller]
fn run_beside_large_responses(count: usize) -> Output {
    let _load = load::timed();
    let body = json!({"goroutine_num": 1, "unused": "x".repeat(LARGE - 100)});
    let (port, _server) = serving(body.to_string());
    let small: Vec<_> = (0..SMALL).map(|_| StubTarget::serving(json!({"goroutine_num": 2}))).collect();
    let large = targets(addresses(port, count));
    let small = targets(small.iter().map(StubTarget::target));
    Agent::without_engine().run(&format!("run gostats --timeout 25s --deadline 25s {large} {small}"))
}

/// Asserts that the run stays below its limit, and that no small target is lost.
#[track_caller]
fn assert_bounded(output: &Output) {
    let small = output.stdout.lines().filter(|line| line.contains(".goroutine_num\t2\t")).count();
    assert_eq!(small, SMALL, "{}", output.stderr);
    assert!(output.peak < PEAK, "{} bytes", output.peak);
}

#[test]
fn sixty_responses_of_4_mib_take_less_than_200_mib() {
    let output = run_beside_large_responses(60).exits(0).without_diagnostics();
    assert_eq!(output.metrics().count(), 60 + SMALL);
    assert_bounded(&output);
}

#[test]
fn two_hundred_responses_of_4_mib_take_less_than_200_mib() {
    assert_bounded(&run_beside_large_responses(200).exits(0));
}

#[test]
fn six_hundred_responses_of_4_mib_take_less_than_200_mib() {
    assert_bounded(&run_beside_large_responses(600).exits(0));
}

#[test]
fn a_thousand_responses_of_4_mib_take_less_than_200_mib() {
    assert_bounded(&run_beside_large_responses(1000).exits(0));
}

#[test]
fn large_responses_that_never_end_do_not_hold_up_others() {
    let _load = load::timed();
    let listener = port::listen();
    let port = listener.local_addr().expect("a bound listener has an address").port();
    // All but the last byte.
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    let body = format!("{head}{}", " ".repeat(LARGE - 1));
    let _server = http::serve(listener, move |_| Reply::Hang(body.clone()));
    let small: Vec<_> = (0..SMALL).map(|_| StubTarget::serving(json!({"goroutine_num": 2}))).collect();
    let output = Agent::without_engine().run(&format!(
        "run gostats --timeout 10s {} {}",
        targets(addresses(port, 200)),
        targets(small.iter().map(StubTarget::target))
    ));
    assert_bounded(&output.exits(0));
}
