//! `test`: the result of a collector on a real target, and on a recording of a target that is gone.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use scenarios::agent::{Agent, Output, component};
use scenarios::engine::Engine;
use scenarios::go::Program;
use scenarios::line_server::LineServer;
use scenarios::local::Local;
use scenarios::stub_target::StubTarget;
use scenarios::third_party::{named, padded};
use scenarios::witness::Witness;
use scenarios::{load, mask, stats};
use serde_json::{Value, json};
use tempfile::TempDir;

const MINUTE: u64 = 60_000_000_000;

/// A folder for recordings.
struct Recordings(TempDir);

impl Recordings {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// Returns the path of a recording.
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns `--record` with the path of this recording.
    fn record(&self, name: &str) -> String {
        format!("--record {}", self.path(name).display())
    }

    /// Returns `--replay` with the path of this recording.
    fn replay(&self, name: &str) -> String {
        format!("--replay {}", self.path(name).display())
    }

    /// Returns the files of a recording with their contents.
    fn files(&self, name: &str) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.path(name)).expect("a recording").flatten();
        let text = |path: &Path| fs::read_to_string(path).expect("a recording is text");
        entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), text(&entry.path()))).collect()
    }

    /// Returns all files of a recording as one text.
    fn page(&self, name: &str) -> String {
        let files = self.files(name).into_iter().map(|(name, text)| format!("--- {name}\n{}\n", text.trim_end()));
        mask::ports(&files.collect::<String>())
    }

    /// Edits a file of a recording.
    fn edit(&self, name: &str, file: &str, change: impl Fn(&str) -> String) {
        let path = self.path(name).join(file);
        let text = fs::read_to_string(&path).expect("a file of a recording");
        let changed = change(&text);
        assert_ne!(changed, text, "an edit of {file}");
        fs::write(path, changed).expect("a new file");
    }

    /// Copies a recording.
    fn copy(&self, name: &str, copy: &str) {
        fs::create_dir(self.path(copy)).expect("a new folder");
        for (file, text) in self.files(name) {
            fs::write(self.path(copy).join(file), text).expect("a new file");
        }
    }

    /// Masks what changes from run to run.
    fn mask(&self, text: &str) -> String {
        mask::ports(&mask::path(&text.replace(&component("evil"), "evil.wasm"), self.0.path(), "DESK"))
    }

    /// Returns stderr with masked resource use.
    fn stderr(&self, output: &Output) -> String {
        let lines = output.stderr.lines().map(|line| match line.split_once(": used ") {
            Some((before, used)) => {
                let amounts: Vec<&str> = used.split(", ").collect();
                assert_eq!(amounts.len(), 4, "{output}");
                assert!(amounts.iter().all(|amount| amount.contains(" of ")), "{output}");
                format!("{before}: used …\n")
            }
            None => format!("{line}\n"),
        });
        self.mask(&lines.collect::<String>())
    }
}

/// Appends a paragraph to a text.
fn add(page: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines = std::iter::once(title.to_owned()).chain(lines.map(|line| format!("    {line}")));
    page.extend(lines.map(|line| line + "\n"));
}

/// Tests a collector on a machine without an engine.
fn test(arguments: &str) -> Output {
    Agent::without_engine().run(&format!("test {arguments}"))
}

/// Tests the evil collector.
fn test_evil(arguments: &str) -> Output {
    test(&format!("{} {arguments}", component("evil")))
}

/// Returns the output for one response of gostats: gauges and counters as reported.
fn printed(answer: &Value) -> BTreeMap<String, String> {
    let line = |metric: &&str, kind: &str| {
        let (_, field) = metric.split_once('.').expect("a graph and a metric");
        (format!("gostats.#.{metric}"), format!("{}{kind}", answer[field]))
    };
    let gauges = stats::GAUGES.iter().map(|metric| line(metric, ""));
    gauges.chain(stats::COUNTERS.iter().map(|metric| line(metric, "\tcounter, per minute"))).collect()
}

/// Returns the metrics on the stdout of a test.
fn metrics(output: &Output) -> BTreeMap<String, String> {
    let lines = output.stdout.lines().filter_map(|line| line.split_once('\t'));
    lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Parses metrics, so that values are compared as numbers.
fn as_numbers(metrics: &BTreeMap<String, String>) -> BTreeMap<String, (f64, String)> {
    let number = |text: &str| {
        let (value, kind) = text.split_once('\t').unwrap_or((text, ""));
        (value.parse().expect("a number"), kind.to_owned())
    };
    metrics.iter().map(|(key, text)| (key.clone(), number(text))).collect()
}

// From a real container, and after it is gone.

#[test]
fn recording_replays_a_stopped_go_app() {
    let Some(engine) = Engine::find() else { return };
    let (group, recordings) = (engine.group(), Recordings::new());
    let app = group.app("app");
    let command = format!("test gostats --filter {} --path /stats {}", group.filter(), recordings.record("app"));
    let recorded = Agent::with_engine(engine).run(&command).exits(0);
    assert_eq!(as_numbers(&metrics(&recorded)), as_numbers(&printed(&app.last_served())), "{recorded}");
    assert_eq!(app.served().len(), 1, "a recording sends one request");
    let (id, image) = (app.id().to_owned(), app.image().to_owned());
    let target: Value = serde_json::from_str(&recordings.files("app")["target.json"]).expect("JSON");
    let reported = json!([id, app.name(), image, 8080]);
    app.remove();
    let container = &target["container"];
    assert_eq!(json!([container["id"], container["name"], container["image"], container["port"]]), reported);

    for _ in 0..2 {
        let replayed = test(&format!("gostats --path /stats {}", recordings.replay("app"))).exits(0);
        assert_eq!(replayed.stdout, recorded.stdout);
    }
}

#[test]
fn recording_replays_the_stats_of_a_removed_container() {
    let Some(engine) = Engine::find() else { return };
    let (group, recordings) = (engine.group(), Recordings::new());
    let app = group.app("app");
    let command = format!("test docker --filter {} --graphs all {}", group.filter(), recordings.record("app"));
    let recorded = Agent::with_engine(engine).run(&command).exits(0);
    app.remove();
    let calls: Value = serde_json::from_str(&recordings.files("app")["container.json"]).expect("JSON");
    let stats = &calls[0]["answer"]["Ok"];
    let printed = metrics(&recorded);
    assert_eq!(printed["docker.memory.#.rss"], stats["memory"]["rss"].to_string(), "{recorded}");
    assert_eq!(printed["docker.restarts.#.count"], "0", "{recorded}");

    let replay = |options: &str| test(&format!("docker {options} {}", recordings.replay("app")));
    assert_eq!(replay("--graphs all").exits(0).stdout, recorded.stdout);
    recordings.edit("app", "container.json", |text| text.replace("\"restarts\": 0", "\"restarts\": 17"));
    let edited = recorded.stdout.replace("docker.restarts.#.count\t0", "docker.restarts.#.count\t17");
    assert_eq!(replay("--graphs all").exits(0).stdout, edited);
    insta::assert_snapshot!(replay("--graphs cpu,health").exits(1).stdout, @"
    error: replay: collector requested container stats (cpu), which is not recorded; left: stats (cpu, throttling, memory, block-io, network, processes), state
    error: collect: not in the recording
    note: replay: container stats (cpu, throttling, memory, block-io, network, processes) not requested (container.json)
    note: replay: container state not requested (container.json)
    ");
    recordings.edit("app", "container.json", |text| text.replace("\"restarts\"", "\"restart\""));
    insta::assert_snapshot!(recordings.stderr(&replay("--graphs all").exits(1)), @r#"mackerel-plugin-wasm: DESK/app/container.json: unknown field "restart""#);
}

// The content of a recording.

#[test]
fn recording_is_readable_and_editable_text() {
    let (stub_target, recordings) = (StubTarget::serving(stats::body(MINUTE, 7)), Recordings::new());
    let options = "gostats --path /stats?full=1";
    let recorded = test(&format!("{options} --target {} {}", stub_target.target(), recordings.record("one"))).exits(0);
    assert_eq!(as_numbers(&metrics(&recorded)), as_numbers(&printed(&stats::body(MINUTE, 7))), "{recorded}");
    insta::assert_snapshot!(recordings.stderr(&recorded), @"
    mackerel-plugin-wasm: gostats: recorded in DESK/one: 1 HTTP request
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: used …
    ");
    insta::assert_snapshot!(recordings.page("one"), @r#"
    --- 001.http
    > GET /stats?full=1
    < 200
    < content-type: application/json

    {"cgo_call_num":7,"cpu_num":2,"gc_last":1700000000000000000,"gc_next":4194304,"gc_num":7,"gc_pause":[0.031,0.042],"gc_pause_per_second":0.125,"gc_per_second":0.25,"go_arch":"amd64","go_os":"linux","go_version":"go1.26.8","gomaxprocs":2,"goroutine_num":12,"heap_alloc":1048576,"heap_idle":3000000,"heap_inuse":1194304,"heap_objects":4321,"heap_released":7,"heap_sys":4194304,"memory_alloc":1048576,"memory_frees":7,"memory_lookups":7,"memory_mallocs":7,"memory_stack":65536,"memory_sys":8388608,"memory_total_alloc":9048576,"time":60000000000}
    --- target.json
    {
      "format": 1,
      "collector": "gostats 0.1.0",
      "endpoint": "127.0.0.1:PORT"
    }
    "#);

    recordings.edit("one", "001.http", |text| text.replace("\"goroutine_num\":12", "\"goroutine_num\": 4711"));
    let edited = test(&format!("{options} {}", recordings.replay("one"))).exits(0);
    let changed = recorded.stdout.replace("goroutine_num\t12", "goroutine_num\t4711");
    assert_eq!(edited.stdout, changed);
    // The status is the target's, too.
    recordings.edit("one", "001.http", |text| text.replace("< 200", "< 503"));
    insta::assert_snapshot!(test(&format!("{options} {}", recordings.replay("one"))).exits(1).stdout, @r#"error: collect: HTTP 503 Service Unavailable instead of 200 OK: {"cgo_call_num":7,"cpu_num":2,"gc_last":1700000000000000000,"gc_next":4194304,"gc_num":7,"gc_pause":[0.031,0.042],"gc_pa…"#);
}

#[test]
fn recording_sends_the_requests_of_a_run() {
    let (witness, recordings) = (Witness::new(), Recordings::new());
    // Another address of this machine than the one of the recordings.
    let options = format!("gostats --target 127.0.0.2:{}", witness.port());
    witness.serve(stats::body(MINUTE, 7));
    let _ = Agent::without_engine().run(&format!("run {options}")).exits(0);
    let _ = test(&format!("{options} {}", recordings.record("one"))).exits(0);
    let [run, recorded] = &witness.requests()[..] else { panic!("not two requests: {:?}", witness.requests()) };
    assert_eq!(recorded.to_lowercase(), run.to_lowercase());
    assert!(run.contains("127.0.0.2"), "{run}");
}

#[test]
fn response_with_a_secret_of_the_request_is_not_recorded() {
    let recordings = Recordings::new();
    fs::write(recordings.path("token"), "t0ken-of-all").expect("a new file");
    let is_shown = |is_shown: bool| {
        LineServer::start(None, move |line| {
            let token = if is_shown { "t0ken-of-all" } else { "another" };
            let body = format!("{{\"goroutine_num\": 1, \"token\": \"{token}\"}}");
            let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            Some(if line.is_empty() { response } else { String::new() })
        })
    };
    let test = |target: &LineServer, name: &str| {
        let token = recordings.path("token");
        let record = recordings.record(name);
        Agent::without_engine().run(&format!(
            "test gostats --target {} --http-bearer-token-file {} {record}",
            target.target(),
            token.display()
        ))
    };
    let silent = is_shown(false);
    let _ = test(&silent, "silent").exits(0);
    assert!(silent.received().contains(&"authorization: Bearer t0ken-of-all".to_owned()), "{:?}", silent.received());
    assert!(!recordings.page("silent").contains("t0ken-of-all"));
    let output = test(&is_shown(true), "shown").exits(1);
    assert!(!format!("{}{}", output.stdout, output.stderr).contains("t0ken-of-all"), "{output}");
    assert!(!recordings.path("shown").exists());
    insta::assert_snapshot!(recordings.mask(&output.stdout), @"
    gostats.#.runtime.goroutine_num	1
    error: record: the target's response has a secret of the options about HTTP requests
    note: collect: no metrics for gostats.#.runtime: cgo_call_num
    note: collect: no metrics for gostats.#.memory: memory_alloc, memory_sys, memory_stack
    note: collect: no metrics for gostats.#.operation: memory_lookups, memory_mallocs, memory_frees
    note: collect: no metrics for gostats.#.heap: heap_sys, heap_idle, heap_inuse, heap_released
    note: collect: no metrics for gostats.#.gc: gc_num, gc_per_second, gc_pause_per_second
    ");
}

/// A database that sends a greeting and responds only after the right secret.
fn database() -> LineServer {
    LineServer::start(Some("+HELLO"), |line| match line {
        "AUTH:hunter22" => Some("+OK, hunter22".to_owned()),
        "clients" => Some("11".to_owned()),
        "commands" => Some("47".to_owned()),
        "QUIT" => None,
        _ => Some("-ERR".to_owned()),
    })
}

#[test]
fn custom_protocol_is_recorded_by_turns_without_the_secret() {
    let (recordings, database) = (Recordings::new(), database());
    let file = |name: &str, secret: &str| {
        fs::write(recordings.path(name), secret).expect("a new file");
        format!("--secret-file {}", recordings.path(name).display())
    };
    let words = "--say < --say AUTH:% --say clients --say / --say < --say AUTH:% --say commands";
    let own = file("own", "hunter22\n");
    let recorded =
        test_evil(&format!("{words} {own} --target {} {}", database.target(), recordings.record("one"))).exits(0);
    insta::assert_snapshot!(recorded.stdout, @"
    evil.#.evil.one	11
    evil.#.evil.two	47
    note: collect: no metrics for evil.#.evil: total
    note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    ");
    insta::assert_snapshot!(recordings.stderr(&recorded), @"
    mackerel-plugin-wasm: evil.wasm: recorded in DESK/one: 2 connections
    mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: used …
    ");
    insta::assert_snapshot!(recordings.page("one"), @r#"
    --- 001.tcp
    < +HELLO\r\n
    > AUTH:\{secret}\r\n
    < +OK, \{secret}\r\n
    > clients\r\n
    < 11\r\n
    --- 002.tcp
    < +HELLO\r\n
    > AUTH:\{secret}\r\n
    < +OK, \{secret}\r\n
    > commands\r\n
    < 47\r\n
    --- target.json
    {
      "format": 1,
      "collector": "evil 0.1.0",
      "endpoint": "127.0.0.1:PORT",
      "secrets": {
        "secret": 8
      }
    }
    "#);
    let said = ["AUTH:hunter22", "clients", "AUTH:hunter22", "commands"];
    assert_eq!(database.received(), said, "a recording sends everything once");

    // The replay needs no secret, and works with another one.
    for secret in [own, String::new(), file("other", "a longer one, which nobody else has")] {
        assert_eq!(
            test_evil(&format!("{words} {secret} {}", recordings.replay("one"))).exits(0).stdout,
            recorded.stdout
        );
    }
    assert_eq!(database.received().len(), said.len(), "a replay sends nothing to the target");
}

#[test]
fn connections_replay_in_any_order() {
    let recordings = Recordings::new();
    let database = LineServer::start(None, |line| Some(line.len().to_string()));
    let record =
        |words: &str| test_evil(&format!("{words} --target {} {}", database.target(), recordings.record("one")));
    let recorded = record("--say aa --say / --say bbbb").exits(0);
    insta::assert_snapshot!(recorded.stdout, @"
    evil.#.evil.one	2
    evil.#.evil.two	4
    note: collect: no metrics for evil.#.evil: total
    note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    ");
    insta::assert_snapshot!(test_evil(&format!("--say bbbb --say / --say aa {}", recordings.replay("one"))).exits(0).stdout, @"
    evil.#.evil.one	4
    evil.#.evil.two	2
    note: collect: no metrics for evil.#.evil: total
    note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    ");
}

#[test]
fn requests_by_wasi_http_are_recorded() {
    let (witness, recordings) = (Witness::new(), Recordings::new());
    let words = "--say POST:/a --say POST:/redirect --say POST:/a";
    let recorded = test_evil(&format!("{words} --target {} {}", witness.target(), recordings.record("one"))).exits(0);
    insta::assert_snapshot!(recorded.stdout, @"
    evil.#.evil.one	200
    evil.#.evil.two	302
    evil.#.evil.total	200	counter, per minute
    note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    ");
    assert_eq!(
        recordings.files("one").keys().map(String::as_str).collect::<Vec<_>>(),
        ["001.http", "002.http", "003.http", "target.json"]
    );
    let asked = witness.requests().len();
    let turned = "--say POST:/redirect --say POST:/a --say POST:/a";
    insta::assert_snapshot!(test_evil(&format!("{turned} {}", recordings.replay("one"))).exits(0).stdout, @"
    evil.#.evil.one	302
    evil.#.evil.two	200
    evil.#.evil.total	200	counter, per minute
    note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    ");
    assert_eq!(witness.requests().len(), asked);
}

#[test]
fn encrypted_connections_are_tested_and_not_recorded() {
    let (stub_target, recordings, certificates) =
        (StubTarget::serving(stats::body(MINUTE, 7)), Recordings::new(), Recordings::new());
    let folder = certificates.0.path().display().to_string();
    let to = format!("tcp:{}", stub_target.target());
    let front = Local::start(Program::TlsFront, &["-to", &to, "-for", "127.0.0.1", "-certificates", &folder]);
    let Some(front) = front else { return };
    let agent = Agent::without_engine().with_env("SSL_CERT_FILE", certificates.path("ca.pem"));
    let command = format!("test gostats --scheme https --path /stats --target {}", front.target());
    let live = agent.run(&command).exits(0);
    assert_eq!(as_numbers(&metrics(&live)), as_numbers(&printed(&stats::body(MINUTE, 7))), "{live}");
    let recorded = agent.run(&format!("{command} {}", recordings.record("one"))).exits(1);
    insta::assert_snapshot!(recordings.mask(&recorded.stdout), @"
    error: record: the collector uses TLS, which cannot be replayed: record from a target without TLS
    error: collect: connection failed: connection closed during the TLS handshake; if the target speaks plain HTTP, leave out --scheme https
    ");
    assert!(!recordings.path("one").exists());
}

#[test]
fn recording_beyond_the_limit_is_not_written() {
    let (witness, recordings) = (Witness::new(), Recordings::new());
    let database = LineServer::start(None, |_| Some("x".repeat(17 << 20)));
    let record = |words: &str, target: &str| {
        let output = test_evil(&format!("{words} --target {target} {}", recordings.record("one"))).exits(1);
        assert!(!recordings.path("one").exists());
        recordings.mask(&output.stdout)
    };
    insta::assert_snapshot!(record("--say POST:/flood", &witness.target()), @"
    error: record: POST /flood: incomplete response: larger than 16 MiB, the limit of a recording
    error: collect: ErrorCode::HttpProtocolError; connection closed before any response
    ");
    insta::assert_snapshot!(record("--say anything", &database.target()), @"
    error: record: the target sent more than 16 MiB, the limit of a recording
    warning: collect: no metrics
    note: collect: no metrics for evil.#.evil: one, two, total
    note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    ");
}

// Data that a recording does not have.

#[test]
fn unrecorded_request_is_shown_with_the_recorded_ones() {
    let (recordings, witness) = (Recordings::new(), Witness::new());
    let answers = |line: &str| Some(line.len().to_string());
    let database = LineServer::start(None, answers);
    let record = |words: &str, target: &str, name: &str| {
        let output = test_evil(&format!("{words} --target {target} {}", recordings.record(name)));
        assert_eq!(output.status.code(), Some(0), "{output}");
    };
    record("--say POST:/a --say POST:/b", &witness.target(), "http");
    record("--say one --say two", &database.target(), "tcp");
    let mut page = String::new();
    for (words, name) in [
        ("--say POST:/a --say POST:/c", "http"),
        ("--say POST:/a --say POST:/a", "http"),
        ("--say POST:/b", "http"),
        ("--say one", "http"),
        ("--attack extreme_values", "http"),
        ("--say one --say three", "tcp"),
        ("--say one --say two --say three", "tcp"),
        ("--say three", "tcp"),
        ("--say one --say two --say / --say one", "tcp"),
        ("--say one", "tcp"),
        ("--say POST:/a", "tcp"),
        ("--attack extreme_values", "tcp"),
    ] {
        let output = test_evil(&format!("{words} {}", recordings.replay(name)));
        let code = output.status.code().expect("an exit status");
        let lines = output.stdout.lines().filter(|line| !line.starts_with("note: collect") && !line.contains('\t'));
        add(&mut page, &format!("{name}: {words} ({code})"), lines.map(str::to_owned));
    }
    insta::assert_snapshot!(page, @r"
    http: --say POST:/a --say POST:/c (1)
        error: replay: the collector sent POST /c, which is not recorded; recorded: POST /a, POST /b
        error: collect: ErrorCode::HttpProtocolError; connection closed before any response
        note: replay: POST /b was not requested (002.http)
    http: --say POST:/a --say POST:/a (1)
        error: replay: the collector sent POST /a more often than recorded (1)
        error: collect: ErrorCode::HttpProtocolError; connection closed before any response
        note: replay: POST /b was not requested (002.http)
    http: --say POST:/b (0)
        note: replay: POST /a was not requested (001.http)
    http: --say one (1)
        error: replay: the collector opened a connection and sent 'one\r\n', which is not recorded; recorded: POST /a, POST /b
        error: collect: unexpected response: the connection was closed
        note: replay: POST /a was not requested (001.http)
        note: replay: POST /b was not requested (002.http)
    http: --attack extreme_values (0)
        note: replay: POST /a was not requested (001.http)
        note: replay: POST /b was not requested (002.http)
    tcp: --say one --say three (1)
        error: replay: the collector sent 'three\r\n' where 'two\r\n' is recorded (001.tcp)
        error: collect: unexpected response: the connection was closed
    tcp: --say one --say two --say three (1)
        error: replay: the collector sent 'three\r\n' where the recorded connection ends (001.tcp)
        error: collect: unexpected response: the connection was closed
    tcp: --say three (1)
        error: replay: the collector opened a connection and sent 'three\r\n', which is not recorded; recorded: a connection that sends 'one\r\n'
        error: collect: unexpected response: the connection was closed
        note: replay: a recorded connection was not opened (001.tcp)
    tcp: --say one --say two --say / --say one (1)
        error: replay: the collector opened a connection and sent 'one\r\n', which is not recorded; 001.tcp begins with these bytes and was replayed already
        error: collect: unexpected response: the connection was closed
    tcp: --say one (0)
        note: replay: the collector closed a recorded connection early (001.tcp)
    tcp: --say POST:/a (1)
        error: replay: the collector sent POST /a, which is not recorded; recorded: a connection that sends 'one\r\n'
        error: collect: ErrorCode::HttpProtocolError; connection closed before any response
        note: replay: a recorded connection was not opened (001.tcp)
    tcp: --attack extreme_values (0)
        note: replay: a recorded connection was not opened (001.tcp)
    ");
}

// Invalid recordings.

#[test]
fn invalid_recording_is_shown_with_file_and_line() {
    let (stub_target, recordings) = (StubTarget::serving(stats::body(MINUTE, 7)), Recordings::new());
    let _ = test(&format!("gostats --target {} {}", stub_target.target(), recordings.record("good"))).exits(0);
    fs::create_dir(recordings.path("empty")).expect("a new folder");
    let broken = |name: &str, file: &str, change: &dyn Fn(&str) -> String| {
        recordings.copy("good", name);
        recordings.edit(name, file, change);
    };
    broken("torn-head", "target.json", &|text| text[..text.len() / 2].to_owned());
    broken("newer", "target.json", &|text| text.replace("\"format\": 1", "\"format\": 2"));
    broken("no-format", "target.json", &|text| text.replace("\"format\": 1", "\"format\": \"one\""));
    broken("more", "target.json", &|text| text.replace("\"format\": 1,", "\"format\": 1, \"speed\": 2,"));
    broken("torn", "001.http", &|text| text[..20].to_owned());
    broken("edited", "001.http", &|text| text.replace("< 200", "< OK"));
    broken("escape", "001.http", &|text| text.replace("> GET ", "> GET /\\y"));
    broken("secret", "001.http", &|text| text.replace("> GET ", "> GET /\\{password}"));
    broken("of-a-container", "target.json", &|text| text.replace("\"endpoint\"", "\"container\""));
    broken("large", "001.http", &|text| text.to_owned() + &" ".repeat(17 << 20));
    recordings.copy("good", "many");
    for number in 100..400 {
        fs::copy(recordings.path("good").join("001.http"), recordings.path("many").join(format!("{number}.http")))
            .expect("a copy");
    }
    let mut page = String::new();
    for name in [
        "missing",
        "empty",
        "torn-head",
        "newer",
        "no-format",
        "more",
        "torn",
        "edited",
        "escape",
        "secret",
        "of-a-container",
        "large",
        "many",
    ] {
        let output = test(&format!("gostats {}", recordings.replay(name)));
        assert_eq!((output.status.code(), output.stdout.as_str()), (Some(1), ""), "{output}");
        page.push_str(&recordings.mask(&output.stderr));
    }
    let output = test(&format!("docker {}", recordings.replay("good"))).exits(1);
    page.push_str(&recordings.mask(&output.stderr));
    insta::assert_snapshot!(page, @r#"
    mackerel-plugin-wasm: DESK/missing: not a recording: target.json is missing; --record makes one
    mackerel-plugin-wasm: DESK/empty: not a recording: target.json is missing; --record makes one
    mackerel-plugin-wasm: DESK/torn-head/target.json: cannot be read: EOF while parsing a string at line 3 column 24
    mackerel-plugin-wasm: DESK/newer/target.json: the recording has format 2, and this program reads format 1: a newer one made it
    mackerel-plugin-wasm: DESK/no-format/target.json: its "format" is not 1
    mackerel-plugin-wasm: DESK/more/target.json: cannot be read: unknown field `speed`, expected one of `format`, `collector`, `endpoint`, `container`, `secrets` at line 2 column 22
    mackerel-plugin-wasm: DESK/torn/001.http:2: expected '< STATUS', such as '< 200'
    mackerel-plugin-wasm: DESK/edited/001.http:2: expected '< STATUS', such as '< 200'
    mackerel-plugin-wasm: DESK/escape/001.http:1: invalid escape '\y/a': expected \n, \r, \t, \\, \xNN or \{OPTION}
    mackerel-plugin-wasm: DESK/secret/001.http:1: '\{password}' is not a secret option of the collector
    mackerel-plugin-wasm: DESK/of-a-container/target.json: cannot be read: invalid type: string "127.0.0.1:PORT", expected struct Container at line 4 column 32
    mackerel-plugin-wasm: DESK/large/001.http: the recording exceeds 16 MiB (fixed limit)
    mackerel-plugin-wasm: DESK/many: 301 conversations, limit 200
    mackerel-plugin-wasm: DESK/good: the recording is of a port, but the collector reads whole containers
    "#);
}

#[test]
fn recording_replaces_only_an_older_recording() {
    let (stub_target, recordings) = (StubTarget::serving(stats::body(MINUTE, 7)), Recordings::new());
    let record = |name: &str| test(&format!("gostats --target {} {}", stub_target.target(), recordings.record(name)));
    let _ = record("one").exits(0);
    for (file, text) in [("README.md", "Mine."), ("expected.txt", "Mine too."), ("7.http", "Mine as well.")] {
        fs::write(recordings.path("one").join(file), text).expect("a new file");
    }
    fs::write(recordings.path("one").join("002.http"), "> GET /old\n< 200\n\n").expect("a new file");
    fs::write(recordings.path("one").join("001.tcp"), "> old\n").expect("a new file");
    stub_target.serve(stats::body(MINUTE, 8));
    let _ = record("one").exits(0);
    let files = recordings.files("one");
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["001.http", "7.http", "README.md", "expected.txt", "target.json"]);
    assert!(files["001.http"].contains("\"gc_num\":8"), "{}", files["001.http"]);

    fs::create_dir(recordings.path("other")).expect("a new folder");
    fs::write(recordings.path("other").join("notes.txt"), "Mine.").expect("a new file");
    let asked = stub_target.requests();
    insta::assert_snapshot!(recordings.mask(&record("other").exits(1).stderr), @"mackerel-plugin-wasm: DESK/other: has files that are not a recording: name a new folder, or one that --record made");
    assert_eq!(stub_target.requests(), asked, "the recording is checked before the target is read");
    assert_eq!(recordings.files("other").len(), 1);
}

#[test]
fn response_that_makes_the_collector_fail_is_recorded() {
    let (stub_target, recordings) = (StubTarget::serving(json!("no statistics")), Recordings::new());
    let record = |target: &str| test(&format!("gostats --target {target} {}", recordings.record("one")));
    let failed = record(&stub_target.target()).exits(1);
    insta::assert_snapshot!(failed.stdout, @"error: collect: unexpected response: a string instead of golang-stats-api-handler's JSON object");
    insta::assert_snapshot!(recordings.stderr(&failed), @"
    mackerel-plugin-wasm: gostats: recorded in DESK/one: 1 HTTP request
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: used …
    ");
    let replayed = test(&format!("gostats {}", recordings.replay("one"))).exits(1);
    assert_eq!(replayed.stdout, failed.stdout);

    // Without any response there is nothing to record, and an older recording is kept.
    let before = recordings.page("one");
    let nobody = scenarios::port::free();
    let refused = record(&format!("127.0.0.1:{nobody}")).exits(1);
    insta::assert_snapshot!(recordings.mask(&refused.stdout), @"
    error: record: connection to 127.0.0.1:PORT failed: Connection refused (os error 111)
    error: collect: connection closed before any response; if the target speaks TLS, try --scheme https
    ");
    insta::assert_snapshot!(recordings.stderr(&refused), @"
    mackerel-plugin-wasm: gostats: not recorded
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: used …
    ");
    assert_eq!(recordings.page("one"), before);
}

// The compiled form of a file.

#[test]
fn compiled_form_is_kept_between_tests_and_not_used_if_it_was_changed() {
    let (stub_target, folder) = (StubTarget::serving(stats::body(MINUTE, 7)), Recordings::new());
    let agent = Agent::without_engine();
    let cache = agent.workdir().join("store/cache");
    let run = |size: usize| {
        let file = folder.path("collector.wasm");
        fs::write(&file, padded(named("strange"), size)).expect("a file");
        let output = agent.run(&format!("test {} --path /stats --target {}", file.display(), stub_target.target()));
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        output.exits(0).stdout
    };
    // Identifies the files and their content.
    let kept = || {
        let entries = fs::read_dir(&cache).expect("a folder").map(|entry| entry.expect("an entry").path());
        let identity = |path: PathBuf| {
            let meta = fs::metadata(&path).expect("a file");
            assert_eq!(meta.mode() & 0o7777, 0o600, "{}", path.display());
            (path, (meta.ino(), meta.ctime_nsec()))
        };
        entries.map(identity).collect::<BTreeMap<_, _>>()
    };
    let of_kind = |kind: &str| {
        let mut paths = kept().into_keys().filter(|path| path.extension().is_some_and(|found| found == kind));
        paths.next().expect("a file of this kind")
    };
    let first = run(1);
    let once = kept();
    assert_eq!(once.len(), 2, "{once:?}");
    assert_eq!(run(1), first);
    assert_eq!(kept(), once, "it was compiled again");

    let spoils: [&dyn Fn(); 4] = [
        &|| fs::write(of_kind("code"), "").expect("our own file"),
        &|| fs::remove_file(of_kind("code")).expect("our own file"),
        &|| fs::write(of_kind("json"), "{").expect("our own file"),
        &|| fs::set_permissions(of_kind("code"), Permissions::from_mode(0o660)).expect("our own file"),
    ];
    for spoil in spoils {
        spoil();
        assert_eq!(run(1), first);
        assert_eq!(kept().len(), 2, "the damage is repaired");
    }
    // Only the newest components are kept.
    for size in 2..8 {
        assert_eq!(run(size), first);
    }
    assert_eq!(kept().len(), 2 * 4);
}

// Faults of collectors.

/// Returns the findings of a test of the evil collector, for each attack.
fn findings(faults: &[(&str, &str)]) -> String {
    let _load = load::timed();
    let mut page = String::new();
    for (fault, options) in faults {
        let target = StubTarget::serving(json!({"goroutine_num": 1}));
        let output = test_evil(&format!("--attack {fault} {options} --target {}", target.target()));
        let code = output.status.code().expect("an exit status");
        let short =
            |line: &str| if line.len() > 200 { format!("{} …", line.split_at(200).0) } else { line.to_owned() };
        let shown = |line: &str| mask::digits(&mask::ports(line), ".rs:", "LINE");
        add(&mut page, &format!("{fault} ({code})"), output.stdout.lines().map(|line| short(&shown(line))));
    }
    page
}

#[test]
fn dropped_samples_are_found() {
    insta::assert_snapshot!(findings(&[
        ("undeclared_samples", ""),
        ("illegal_sample_names", ""),
        ("escapes_in_sample_names", ""),
        ("values_that_are_not_finite", ""),
        ("the_same_sample_twice", ""),
    ]), @r"
    undeclared_samples (1)
        evil.#.evil.one	1
        error: collect: dropped a sample without a declared graph: #.evil.three; did you mean #.evil.total?
        error: collect: dropped a sample without a declared graph: #.good.one
        error: collect: dropped a sample without a declared graph: #.evil.two\t9\t9\nother.key
        error: collect: dropped a sample without a declared graph: .
        note: collect: no metrics for evil.#.evil: two, total
        note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    illegal_sample_names (1)
        evil.#.evil.two	2
        error: collect: dropped a sample without a declared graph: .one
        error: collect: dropped a sample without a declared graph: ..one
        error: collect: dropped a sample without a declared graph: #.one
        error: collect: dropped a sample without a declared graph: *.one
        error: collect: dropped a sample without a declared graph: evil.one; did you mean #.evil.one?
        error: collect: dropped a sample without a declared graph: evil.#.one
        error: collect: dropped a sample without a declared graph: #.evil..one; did you mean #.evil.one?
        error: collect: dropped a sample without a declared graph: .#.evil.one; did you mean #.evil.one?
        error: collect: dropped a sample without a declared graph: #.ev il.one; did you mean #.evil.one?
        error: collect: dropped a sample without a declared graph: #.*.one
        error: collect: dropped a sample without a declared graph: #.evil\0.one; did you mean #.evil.one?
        error: collect: dropped a sample without a declared graph: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx …
        error: collect: dropped a sample without a declared graph: #.evil.; did you mean #.evil.two?
        error: collect: dropped a sample without a declared graph: #.evil.*; did you mean #.evil.two?
        error: collect: dropped a sample without a declared graph: #.evil.#; did you mean #.evil.two?
        error: collect: dropped a sample without a declared graph: #.evil.one.two; did you mean #.evil.two?
        error: collect: dropped a sample without a declared graph: #.evil.one; did you mean #.evil.one?
        error: collect: dropped a sample without a declared graph: #.evil.ONE; did you mean #.evil.one?
        error: collect: dropped a sample without a declared graph: #.evil.one\0; did you mean #.evil.one?
        error: collect: dropped a sample without a declared graph: #.evil.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx …
        note: collect: no metrics for evil.#.evil: one, total
        note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    escapes_in_sample_names (1)
        evil.#.evil.one	1
        error: collect: dropped a sample without a declared graph: \u{1b}[2J#.evil\r\nmackerel-plugin-wasm: \u{202e}a false message.one
        note: collect: no metrics for evil.#.evil: two, total
        note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    values_that_are_not_finite (1)
        evil.#.evil.two	2
        error: collect: dropped a sample with a value that is not finite: #.evil.one
        error: collect: dropped a sample with a value that is not finite: #.evil.two
        error: collect: dropped a sample with a value that is not finite: #.evil.total
        note: collect: no metrics for evil.#.evil: one, total
        note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    the_same_sample_twice (1)
        evil.#.evil.one	1
        error: collect: dropped a sample with the key of an earlier one: #.evil.one
        note: collect: no metrics for evil.#.evil: two, total
        note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    ");
}

#[test]
fn contract_violations_in_collect_are_found() {
    insta::assert_snapshot!(findings(&[
        ("too_many_samples", ""),
        ("panic_with_text", ""),
        ("exit_with_failure", ""),
        ("an_invalid_status", ""),
        ("spin", "--cpu-limit 100ms"),
        ("sleep", "--timeout 500ms"),
        ("memory_bit_by_bit", "--memory-limit 8MiB"),
        ("a_thousand_requests", ""),
        ("connections_elsewhere_beside_a_good_report", ""),
        ("extreme_values", ""),
    ]), @r"
    too_many_samples (1)
        error: collect: collector exceeded 10000 samples (fixed limit)
    panic_with_text (1)
        error: collect: collector failed: wasm trap: wasm `unreachable` instruction executed; stderr: thread '<unnamed>' (1) panicked at guests/evil/src/ends.rs:LINE:5: | the collector does not know what to d …
    exit_with_failure (1)
        error: collect: collector exited with status 1
    an_invalid_status (1)
        error: collect: HTTP 65535 instead of 200 OK
        note: collect: the collector sent nothing to the target; a network library reaches it only through mackerel:collector/http, wasi:http or wasi:sockets (in Go: the packages collector and transport)
    spin (1)
        error: collect: collector exceeded 100ms of CPU time (--cpu-limit)
    sleep (1)
        error: collect: collector timed out after 500ms (--timeout)
    memory_bit_by_bit (1)
        error: collect: collector exceeded 8 MiB of memory (--memory-limit)
    a_thousand_requests (1)
        error: collect: collector exceeded 100 requests (fixed limit)
    connections_elsewhere_beside_a_good_report (1)
        evil.#.evil.one	1
        error: collect: denied: lookup of 'registry.example' (a collector can only reach its own target)
        note: collect: no metrics for evil.#.evil: two, total
        note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    extreme_values (0)
        evil.#.evil.one	1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000 …
        evil.#.evil.two	-0.0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000 …
        note: collect: no metrics for evil.#.evil: total
        note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    ");
}

#[test]
fn counters_that_fall_or_are_negative_are_found() {
    let next = AtomicI64::new(100);
    let database = LineServer::start(None, move |line| match line {
        "falling" => Some(next.fetch_sub(1, Ordering::Relaxed).to_string()),
        "negative" => Some("-5".to_owned()),
        _ => Some("1".to_owned()),
    });
    let test = |word: &str, code: i32| {
        let output = test_evil(&format!("--say gauge --say gauge --say {word} --target {}", database.target()));
        output.exits(code).stdout.replace(
            "note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs\n",
            "",
        )
    };
    insta::assert_snapshot!([test("counter", 0), test("falling", 0), test("negative", 1)].join("--\n"), @"
    evil.#.evil.one	1
    evil.#.evil.two	1
    evil.#.evil.total	1	counter, per minute
    --
    evil.#.evil.one	1
    evil.#.evil.two	1
    evil.#.evil.total	100	counter, per minute
    warning: collect: counter '#.evil.total' fell from 100 to 99 between two calls; a value that can fall is a gauge
    --
    evil.#.evil.one	1
    evil.#.evil.two	1
    evil.#.evil.total	-5	counter, per minute
    error: collect: counter '#.evil.total' is negative: -5; a counter counts from zero
    ");
}

#[test]
fn contract_violations_in_graphs_are_found() {
    insta::assert_snapshot!(findings(&[
        ("a_key_without_a_hash_sign", ""),
        ("a_key_that_is_illegal", ""),
        ("the_same_key_twice", ""),
        ("a_metric_that_is_illegal", ""),
        ("a_graph_without_metrics", ""),
        ("a_thousand_graphs", ""),
        ("a_label_of_a_mebibyte", ""),
        ("graphs_panic", ""),
        ("graphs_exit", ""),
    ]), @r"
    a_key_without_a_hash_sign (1)
        error: graphs: collector violated the contract: graph key 'evil' must contain '#' exactly once
    a_key_that_is_illegal (1)
        error: graphs: collector violated the contract: graph key '#.\u{1b}[2Jevil\n\tevil' has components that Mackerel does not allow
    the_same_key_twice (1)
        error: graphs: collector violated the contract: graph '#.evil' is declared twice
    a_metric_that_is_illegal (1)
        error: graphs: collector violated the contract: metric 't\u{1b}w\no' of graph '#.evil' has a name that Mackerel does not allow
    a_graph_without_metrics (1)
        error: graphs: collector violated the contract: graph '#.evil' has no metrics
    a_thousand_graphs (1)
        error: graphs: collector violated the contract: 1000 graphs, limit 200
    a_label_of_a_mebibyte (1)
        error: graphs: collector violated the contract: 1048576 bytes in a label of graph '#.evil', limit 255
    graphs_panic (1)
        error: graphs: collector failed: wasm trap: wasm `unreachable` instruction executed; stderr: thread '<unnamed>' (1) panicked at guests/evil/src/graphs.rs:LINE:5: | the collector knows no graphs | note …
    graphs_exit (1)
        error: graphs: collector exited with status 0
    ");
}

#[test]
fn contract_violations_in_describe_are_found() {
    let names =
        ["describe_traps", "a_path_as_a_name", "the_same_option_twice", "an_option_of_the_host", "a_thousand_options"];
    let mut page = String::new();
    for name in names {
        let file = component(&format!("evil/{name}"));
        let output = test(&format!("{file} --target 127.0.0.1:1")).exits(1);
        let reported = format!("{}{}", output.stdout, output.stderr).replace(&file, "FILE");
        add(&mut page, name, reported.lines().map(str::to_owned));
    }
    insta::assert_snapshot!(page, @"
    describe_traps
        error: describe: collector failed: wasm trap: wasm `unreachable` instruction executed
    a_path_as_a_name
        error: describe: collector violated the contract: name '../../etc/cron' contains characters other than a-z, 0-9 and -
    the_same_option_twice
        error: describe: collector violated the contract: option 'path' is declared twice
    an_option_of_the_host
        mackerel-plugin-wasm: collector FILE declares --target, which is an option of the host: rename it in the collector, or use a version of mackerel-plugin-wasm without that option
    a_thousand_options
        error: describe: collector violated the contract: 1000 options, limit 100
    ");
}

#[test]
fn varying_results_are_found() {
    let (stub_target, recordings) = (StubTarget::serving(json!({"goroutine_num": 1})), Recordings::new());
    let numbers = |text: &str| {
        let mask = |text: String, before: &str| mask::digits(&text, before, "N");
        ["evil#.evil", " is ", ", and ", "one\t", "#.evil"]
            .iter()
            .fold(recordings.mask(text), |text, before| mask(text, before))
    };
    let target = stub_target.target();
    let graphs = test_evil(&format!("--attack random_graphs --target {target}")).exits(1);
    insta::assert_snapshot!(numbers(&graphs.stdout), @"
    error: graphs: returns another '#.evilN' the second time for the same options
    error: collect: dropped a sample without a declared graph: #.stats.goroutine_num
    warning: collect: no metrics
    note: collect: no metrics for evil.#.evilN: one
    ");
    // The values of a real target vary, so this is not reported.
    let values = test_evil(&format!("--attack random_values --target {target}")).exits(0);
    insta::assert_snapshot!(numbers(&values.stdout), @"
    evil.#.evil.one	N
    note: collect: no metrics for evil.#.evil: two, total
    note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    ");
    let recorded =
        test_evil(&format!("--attack random_values --target {target} {}", recordings.record("one"))).exits(1);
    insta::assert_snapshot!(numbers(&recorded.stdout), @"
    evil.#.evil.one	N
    error: collect: '#.evil.one' is N, and N from the recording, for the same responses
    note: collect: no metrics for evil.#.evil: two, total
    note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    ");
    let replayed = test_evil(&format!("--attack random_values {}", recordings.replay("one"))).exits(1);
    insta::assert_snapshot!(numbers(&replayed.stdout), @"
    evil.#.evil.one	N
    error: collect: '#.evil.one' is N, and N the second time, for the same responses
    note: collect: no metrics for evil.#.evil: two, total
    note: collect: no metrics for evil.#.stats: goroutine_num, heap_sys, memory_sys, memory_mallocs
    ");
}

// The choice of the target.

#[test]
fn test_takes_one_target() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let (_one, _two) = (group.app("one"), group.app("two"));
    let error = |options: &str, code: i32| {
        let output = Agent::with_engine(engine).run(&format!("test gostats --path /stats {options}")).exits(code);
        assert_eq!(output.stdout, "", "{output}");
        mask::ports(&group.mask(&output.stderr))
    };
    let filter = group.filter();
    let page = [
        error(&format!("--filter {filter}"), 2),
        error(&format!("--filter {filter} --filter name=three"), 1),
        error("--target 127.0.0.1:1 --target 127.0.0.1:2", 2),
    ];
    insta::assert_snapshot!(page.concat(), @"
    mackerel-plugin-wasm: test takes one target, but there are 2: one (OWN:8080), two (OWN:8080); choose one with --filter or --target
    mackerel-plugin-wasm: no target: no running container matches (-v lists the reasons); use --filter, --container-port or --target
    mackerel-plugin-wasm: test takes one target, but there are 2: 127.0.0.1:PORT, 127.0.0.1:PORT; choose one with --filter or --target
    ");
    let tested =
        Agent::with_engine(engine).run(&format!("test gostats --path /stats --filter {filter} --filter name=two"));
    assert_eq!(metrics(&tested.exits(0)).len(), 15);
}

#[test]
fn options_without_effect_on_a_test_are_rejected() {
    let error = |options: &str| {
        let output = test(options).exits(2);
        output.stderr.lines().next().unwrap_or_default().to_owned() + "\n"
    };
    let page = [
        error("gostats --replay a --target 127.0.0.1:1"),
        error("gostats --replay a --record b"),
        error("gostats --replay a --filter name=b"),
        error("docker --replay a --stats-source api"),
        error("gostats --target 127.0.0.1:1 --instance-name port"),
    ];
    insta::assert_snapshot!(page.concat(), @"
    error: the argument '--replay <DIR>' cannot be used with '--target <HOST:PORT>'
    error: the argument '--replay <DIR>' cannot be used with '--record <DIR>'
    error: the argument '--replay <DIR>' cannot be used with '--filter <KEY=VALUE>'
    error: the argument '--replay <DIR>' cannot be used with '--stats-source <SOURCE>'
    mackerel-plugin-wasm: --instance-name cannot be used with test: it prints '#' instead of the target's name
    ");
}
