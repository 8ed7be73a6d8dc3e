//! HTTP requests to targets as the operator wants them: headers, credentials, sizes.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use scenarios::agent::{Agent, component};
use scenarios::line_server::LineServer;
use scenarios::stub_target::StubTarget;
use scenarios::witness::Witness;
use scenarios::{mask, stats};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Files that options name.
struct Files(TempDir);

impl Files {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file of our own");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces `@NAME` in options by the path of the file NAME.
    fn options(&self, options: &str) -> String {
        options.replace('@', &format!("{}/", self.0.path().display()))
    }

    fn mask(&self, text: &str) -> String {
        mask::path(text, self.0.path(), "FILES")
    }
}

/// Returns the first request of a run with these words, which may contain white space.
fn request(collector: &str, words: &[&str]) -> String {
    let target = Witness::new();
    let target_address = target.target();
    let mut all = vec!["run", collector, "--target", &target_address];
    all.extend(words);
    let output = Agent::without_engine().run_words(&all);
    assert!(output.stderr.lines().count() <= 1, "{output}");
    target.requests().first().unwrap_or_else(|| panic!("no request: {output}")).clone()
}

#[test]
fn host_and_user_agent_are_the_hosts_unless_the_operator_sets_them() {
    let evil = component("evil");
    let requests = [
        request("gostats", &[]),
        request("gostats", &["--http-header", "Host: api.example.com:8080", "--http-header", "user-agent:probe/1"]),
        request("prometheus", &["--metric", "up", "--http-header", "Accept: */*"]),
        request("gostats", &["--http-header", "X-Tag: a", "--http-header", "X-Tag: b", "--http-header", "X-Empty:"]),
        request(&evil, &["--get-by-wasi-http"]),
        request(&evil, &["--get-by-wasi-http", "--http-header", "Host: api.example.com", "--http-header", "X-Tag: a"]),
    ];
    insta::assert_snapshot!(requests.join("\n"), @"
    GET /api/stats HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (gostats)
    GET /api/stats HTTP/1.1 | host: api.example.com:8080 | user-agent: probe/1
    GET /metrics HTTP/1.1 | user-agent: mackerel-plugin-wasm/0.1.0 (prometheus) | host: 127.0.0.1:PORT | accept: */*
    GET /api/stats HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (gostats) | x-tag: a | x-tag: b | x-empty: 
    GET / HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil)
    GET / HTTP/1.1 | user-agent: mackerel-plugin-wasm/0.1.0 (evil) | host: api.example.com | x-tag: a
    ");
}

#[test]
fn credentials_come_from_files() {
    let files = Files::with(&[
        ("headers", "X-Api-Key: open sesame\r\n\n  \nX-Scope:  größe 1\n"),
        ("password", "pa:ss wörd \n"),
        ("token", "abc.def\n"),
    ]);
    let options = [
        "--http-header-file @headers",
        "--http-user mackerel --http-password-file @password",
        "--http-bearer-token-file @token",
        "--http-header-file @headers --http-bearer-token-file @token",
    ];
    let requests = options.map(|options| {
        let options = files.options(options);
        let words: Vec<&str> = options.split(' ').collect();
        let by_wasi_http = [&["--get-by-wasi-http"][..], &words].concat();
        format!("{}\n{}", request("gostats", &words), request(&component("evil"), &by_wasi_http))
    });
    insta::assert_snapshot!(requests.join("\n"), @"
    GET /api/stats HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (gostats) | x-api-key: open sesame | x-scope: größe 1
    GET / HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil) | x-api-key: open sesame | x-scope: größe 1
    GET /api/stats HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (gostats) | authorization: Basic bWFja2VyZWw6cGE6c3Mgd8O2cmQg
    GET / HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil) | authorization: Basic bWFja2VyZWw6cGE6c3Mgd8O2cmQg
    GET /api/stats HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (gostats) | authorization: Bearer abc.def
    GET / HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil) | authorization: Bearer abc.def
    GET /api/stats HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (gostats) | x-api-key: open sesame | x-scope: größe 1 | authorization: Bearer abc.def
    GET / HTTP/1.1 | host: 127.0.0.1:PORT | user-agent: mackerel-plugin-wasm/0.1.0 (evil) | x-api-key: open sesame | x-scope: größe 1 | authorization: Bearer abc.def
    ");
}

#[test]
fn options_about_requests_that_cannot_be_used_are_rejected() {
    let files = Files::with(&[
        ("headers", "Authorization: Bearer s3cr3t\n"),
        ("no-colon", "X-A: 1\ns3cr3t\n"),
        ("empty", ""),
        ("blank", "\n\n"),
        ("password", "s3cr3t\n"),
        ("two-lines", "s3cr3t\ns3cr3t\n"),
        ("control", "s3cr3t\u{1}"),
    ]);
    fs::write(files.path("latin"), b"s3cr3t \xe9").expect("a file of our own");
    let lines = [
        "gostats --http-header s3cr3t",
        "gostats --http-header X_A(:s3cr3t",
        "gostats --http-header X-A:s3cr3t\u{1}",
        "gostats --http-header Content-Length:1",
        "gostats --http-header Connection:close",
        "gostats --http-header Transfer-Encoding:chunked",
        "gostats --http-header Host:http://a/",
        "gostats --http-header Host:a --http-header host:b",
        "gostats --http-header authorization:s3cr3t --http-bearer-token-file @password",
        "gostats --http-header-file @headers --http-user a --http-password-file @password",
        "gostats --http-user a --http-password-file @password --http-bearer-token-file @password",
        "gostats --http-header-file @no-colon",
        "gostats --http-header-file @blank",
        "gostats --http-header-file @latin",
        "gostats --http-header-file @missing",
        "gostats --http-header-file /dev/zero",
        "gostats --http-user a",
        "gostats --http-password-file @password",
        "gostats --http-user a:b --http-password-file @password",
        "gostats --http-bearer-token-file @empty",
        "gostats --http-bearer-token-file @two-lines",
        "gostats --http-bearer-token-file @control",
        "gostats --http-body-limit 64MiB",
        "gostats --http-body-limit much",
        "gostats --tls-skip-verify",
        "gostats --tls-ca-file @password",
        "gostats --scheme https --tls-ca-file @password",
        "gostats --scheme https --tls-ca-file @password --tls-skip-verify",
        "docker --http-header X-A:1",
        "docker --tls-skip-verify",
        "redis --http-bearer-token-file @password",
    ];
    let errors = lines.map(|line| {
        let output = Agent::without_engine().run(&format!("run {}", files.options(line))).exits(2);
        assert_eq!(output.stdout, "", "{output}");
        assert!(!output.stderr.contains("s3cr3t"), "{output}");
        format!("{}\n    {}\n", line.escape_debug(), files.mask(output.stderr.lines().next().unwrap_or_default()))
    });
    insta::assert_snapshot!(errors.concat());
}

/// A target that shows the credentials of each request in its response.
fn echo() -> LineServer {
    let seen = Mutex::new(String::new());
    LineServer::start(None, move |line| {
        let mut seen = seen.lock().expect("no panic");
        if line.is_empty() {
            let body = format!("rejected: {seen}");
            seen.clear();
            return Some(format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
        if line.starts_with("authorization: ") || line.starts_with("x-api-key: ") {
            *seen = line.to_owned();
        }
        Some(String::new())
    })
}

#[test]
fn secrets_are_in_no_output() {
    let files =
        Files::with(&[("password", "open sesame\n"), ("token", "t0ken\n"), ("headers", "X-Api-Key: k3y-of-all\n")]);
    let secrets = ["open sesame", "t0ken", "k3y-of-all", "bWFja2VyZWw6b3BlbiBzZXNhbWU=", "s3cr3t"];
    let mut all = String::new();
    for options in [
        "--http-user mackerel --http-password-file @password",
        "--http-bearer-token-file @token",
        "--http-header-file @headers",
        "--http-header Authorization:s3cr3t",
        "--http-header=X-Api-Key:s3cr3t",
    ] {
        for command in ["run", "explain", "explain --json", "plan", "dashboard"] {
            let target = echo();
            let (name, more) = command.split_once(' ').unwrap_or((command, ""));
            let options = files.options(options);
            let output =
                Agent::without_engine().run(&format!("{name} gostats {options} --target {} {more}", target.target()));
            let text = format!("{}{}", output.stdout, output.stderr);
            for secret in secrets {
                assert!(!text.contains(secret), "{secret}: {output}");
            }
            if matches!(command, "run" | "explain") {
                all.push_str(&files.mask(&mask::ports(&text)));
            }
        }
    }
    let all: Vec<_> = all.lines().filter(|line| line.contains("gostats")).collect();
    insta::assert_snapshot!(all.join("\n"));
}

/// Returns a body of gostats with this size.
fn padded(size: usize) -> Value {
    let mut body = stats::body(1, 1);
    body["padding"] = json!("x".repeat(size));
    body
}

#[test]
fn body_limit_can_be_raised_within_the_memory_limit() {
    let target = StubTarget::serving(padded(6 << 20));
    let run =
        |options: &str| Agent::without_engine().run(&format!("run gostats --target {} {options}", target.target()));
    let lines = [run("").exits(1), run("--http-body-limit 5MiB").exits(1)].map(|output| mask::ports(&output.stderr));
    insta::assert_snapshot!(lines.concat(), @"
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: response body exceeds 4 MiB (--http-body-limit)
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: response body exceeds 5 MiB (--http-body-limit)
    ");
    let output = run("--http-body-limit 8MiB").exits(0).without_diagnostics();
    assert_eq!(output.metrics().count(), stats::GAUGES.len());
    let output = run("--http-body-limit 64MiB --memory-limit 128MiB").exits(0).without_diagnostics();
    assert_eq!(output.metrics().count(), stats::GAUGES.len());
}

#[test]
fn state_key_contains_headers_that_are_not_secret() {
    let target = StubTarget::serving(stats::body(1, 1));
    let files = Files::with(&[("one", "first"), ("two", "second")]);
    let agent = Agent::without_engine();
    let run = |options: &str| {
        let _ = agent
            .run(&format!("run gostats --target {} {}", target.target(), files.options(options)))
            .exits(0)
            .without_diagnostics();
        agent.state_files().len()
    };
    let counts = [
        run(""),
        run("--http-header Host:a"),
        run("--http-header Host:b"),
        run("--http-header X-Api-Key:a"),
        run("--http-bearer-token-file @one"),
        run("--http-bearer-token-file @two"),
        run("--http-body-limit 8MiB"),
    ];
    assert_eq!(counts, [1, 2, 3, 3, 3, 3, 3], "a rotated secret keeps the counters");
}
