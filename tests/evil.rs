//! Collectors that are hostile or broken: what the operator reads, and what it costs. Each fault is a function of this name
//! in `guests/evil`.

use scenarios::agent::{Agent, Output, component};
use scenarios::mask;
use scenarios::stand_in::StandIn;
use serde_json::json;

include!("../guests/evil/src/attacks.rs");

/// Every attack has its scenario here, or this does not compile.
macro_rules! scenarios {
    ($($name:ident)*) => { const _: &[fn()] = &[$($name),*]; };
}
with_all_attacks!(scenarios);

/// Runs one attack against a target that answers everything with an empty object.
fn attack(name: &str, options: &str) -> Output {
    let target = StandIn::telling(json!({}));
    let collector = component("evil");
    let command = format!("run {collector} --attack {name} --target {} {options}", target.target());
    Agent::alone().values(&command)
}

/// The one line of an attack that gives nothing.
#[track_caller]
fn complaint(output: Output) -> String {
    let output = output.exits(1);
    assert_eq!(output.stdout, "", "{output}");
    assert_eq!(output.stderr.lines().count(), 1, "{output}");
    mask::ports(&output.stderr)
}

/// The metrics by their last two words, and the one line beside them.
#[track_caller]
fn metrics_and_complaint(output: Output) -> (Vec<String>, String) {
    let output = output.exits(0);
    assert_eq!(output.stderr.lines().count(), 1, "{output}");
    let key = |key: &str| key.split('.').skip(2).collect::<Vec<_>>().join(".");
    (output.metrics().keys().into_iter().map(key).collect(), mask::ports(&output.stderr))
}

#[test]
fn spin() {
    insta::assert_snapshot!(complaint(attack("spin", "--timeout 300ms")), @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: the collector was still computing after 300ms (--timeout)");
}

#[test]
fn a_collector_that_spins_costs_the_others_nothing() {
    let good: Vec<StandIn> = (0..10).map(|_| StandIn::telling(json!({"gc_num": 1, "goroutine_num": 2}))).collect();
    let targets: Vec<String> = good.iter().map(|target| format!("--target {}", target.target())).collect();
    // The one collector serves good and bad targets alike: it spins where the target is not what it expects.
    let collector = component("evil");
    let agent = Agent::alone();
    let spinning = agent.start(&format!("run {collector} --attack spin {} --timeout 2s", targets.join(" ")));
    let output = agent.values(&format!("run gostats {}", targets.join(" "))).exits(0).without_complaint();
    assert_eq!(output.metrics().count(), good.len(), "{output}");
    let spun = spinning.output().exits(1);
    assert_eq!(
        mask::ports(&spun.stderr),
        "mackerel-plugin-wasm: evil: 127.0.0.1:PORT and 9 others: the collector was still computing after 2s (--timeout)\n"
    );
}

#[test]
fn sleep() {
    insta::assert_snapshot!(complaint(attack("sleep", "--timeout 300ms")), @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: the collector was still computing after 300ms (--timeout)");
}

#[test]
fn memory_at_once() {
    insta::assert_snapshot!(complaint(attack("memory_at_once", "")), @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: the collector needs more than 64 MiB of memory (--memory-limit)");
}

#[test]
fn memory_bit_by_bit() {
    insta::assert_snapshot!(complaint(attack("memory_bit_by_bit", "--memory-limit 8MiB")), @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: the collector needs more than 8 MiB of memory (--memory-limit)");
}

#[test]
fn deep_recursion() {
    insta::assert_snapshot!(complaint(attack("deep_recursion", "")), @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: the collector failed: wasm trap: out of bounds memory access");
}

#[test]
fn panic_with_text() {
    let complaint = complaint(attack("panic_with_text", ""));
    let complaint = mask::digits(&complaint, "lib.rs:", "LINE");
    insta::assert_snapshot!(complaint, @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: the collector failed: wasm trap: wasm `unreachable` instruction executed; it wrote: thread '<unnamed>' (1) panicked at guests/evil/src/lib.rs:LINE:5: | the collector does not know what to do | note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace");
}

#[test]
fn stderr_flood() {
    let (metrics, complaint) = metrics_and_complaint(attack("stderr_flood", ""));
    assert_eq!(metrics, ["evil.one"]);
    insta::assert_snapshot!(complaint, @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: the collector wrote: …7 of a flood | line 99988 of a flood | line 99989 of a flood | line 99990 of a flood | line 99991 of a flood | line 99992 of a flood | line 99993 of a flood | line 99994 of a flood | line 99995 of a flood | line 99996 of a flood | line 99997 of a flood | line 99998 of a flood | line 99999 of a flood");
}

#[test]
fn stderr_escapes() {
    let (metrics, complaint) = metrics_and_complaint(attack("stderr_escapes", ""));
    assert_eq!(metrics, ["evil.one"]);
    insta::assert_snapshot!(complaint, @r"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: the collector wrote: \u{1b}[2J\u{1b}]0;title\u{7}mackerel-plugin-wasm: a false message");
}

#[test]
fn undeclared_samples() {
    let (metrics, complaint) = metrics_and_complaint(attack("undeclared_samples", ""));
    assert_eq!(metrics, ["evil.one"]);
    insta::assert_snapshot!(complaint, @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: left out 4 samples that no graph declares: #.evil.three, …");
}

#[test]
fn values_that_are_no_numbers() {
    let (metrics, complaint) = metrics_and_complaint(attack("values_that_are_no_numbers", ""));
    assert_eq!(metrics, ["evil.two"]);
    insta::assert_snapshot!(complaint, @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: left out 2 samples whose value is not a finite number: #.evil.one, …");
}

#[test]
fn the_same_sample_twice() {
    let (metrics, complaint) = metrics_and_complaint(attack("the_same_sample_twice", ""));
    assert_eq!(metrics, ["evil.one"]);
    insta::assert_snapshot!(complaint, @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: left out a sample that came before in the same report: #.evil.one");
}

#[test]
fn too_many_samples() {
    insta::assert_snapshot!(complaint(attack("too_many_samples", "")), @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: the collector broke its contract: 20000 samples in one report, 10000 are the limit");
}

#[test]
fn paths_that_try_to_escape() {
    insta::assert_snapshot!(complaint(attack("paths_that_try_to_escape", "")), @r#"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: "http://127.0.0.1:PORT/" refused; "//127.0.0.1:PORT/" answered 200; "@127.0.0.1:PORT/" refused; "127.0.0.1:PORT" refused; "" refused; "*" refused; "/a b" refused; "/\r\nhost: other\r\n\r\n" refused; "/#fragment" refused;"#);
}

#[test]
fn headers_that_are_the_hosts() {
    insta::assert_snapshot!(complaint(attack("headers_that_are_the_hosts", "")), @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: host refused; Content-Length refused; transfer-encoding refused; connection refused; x y refused; x refused; accept answered 200;");
}

#[test]
fn a_container_where_there_is_none() {
    insta::assert_snapshot!(complaint(attack("a_container_where_there_is_none", "")), @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: the collector asked for a container's figures where there is no container");
}

#[test]
fn sockets() {
    insta::assert_snapshot!(complaint(attack("sockets", "")), @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: tcp PermissionDenied, PermissionDenied; name Uncategorized; listen PermissionDenied; udp PermissionDenied");
}

#[test]
fn environment_and_files() {
    insta::assert_snapshot!(complaint(attack("environment_and_files", "")), @"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: 0 variables, 0 arguments, no folder, no file");
}

#[test]
fn escapes_in_the_error() {
    insta::assert_snapshot!(complaint(attack("escapes_in_the_error", "")), @r"mackerel-plugin-wasm: evil: 127.0.0.1:PORT: \u{1b}[2J\r\nmackerel-plugin-wasm: \u{202e}a false message");
}
