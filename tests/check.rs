//! `check`: the exit status and the line of a check plugin of mackerel-agent.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use scenarios::agent::{Agent, Output};
use scenarios::engine::Engine;
use scenarios::fake_engine::{FakeEngine, container};
use scenarios::fleet::Fleet;
use scenarios::stub_target::StubTarget;
use scenarios::{mask, port, stats};
use serde_json::{Value, json};

const OK: i32 = 0;
const WARNING: i32 = 1;
const CRITICAL: i32 = 2;
const UNKNOWN: i32 = 3;

const MINUTE: u64 = 60_000_000_000;

/// Returns the line of a check, with ports masked.
#[track_caller]
fn line(output: &Output) -> String {
    assert!(output.stdout.ends_with('\n') && output.stdout.lines().count() == 1, "one line: {output}");
    assert!(output.stdout.chars().count() <= 1025, "mackerel-agent takes 1,024 characters: {output}");
    mask::ports(&output.stdout)
}

/// Checks a target and returns the line with the exit status in front.
fn checked(target: &StubTarget, options: &[&str]) -> String {
    let target = target.target();
    let words = [&["check", "gostats", "--target", &target], options].concat();
    let output = Agent::without_engine().run_words(&words).without_diagnostics();
    format!("{}: {}", output.status.code().unwrap_or(-1), line(&output))
}

#[test]
fn thresholds_decide_the_status() {
    let target = StubTarget::serving(stats::body(stats::now(), 7));
    let lines = [
        &[][..],
        &["--warning", "memory.memory_sys>8MiB", "--critical", "memory.memory_sys > 16MiB"],
        &["--warning", "memory.memory_sys>=8MiB", "--critical", "memory.memory_sys > 16MiB"],
        &["--warning", "memory.memory_sys>4MiB", "--critical", "memory.memory_sys>=8388608"],
        &["--critical", "runtime.goroutine_num<1", "--critical", "heap.*>4MB"],
        &["--warning", "*.memory_*>1TiB", "--critical", "gc.gc_per_second<=-1"],
    ]
    .map(|options| checked(&target, options));
    insta::assert_snapshot!(lines.concat());
}

#[test]
fn metric_that_no_target_reports_is_unknown_unless_another_result_is_worse() {
    let mut body = stats::body(stats::now(), 7);
    body.as_object_mut().expect("an object").remove("memory_sys");
    let target = StubTarget::serving(body);
    let lines = [
        &["--critical", "memory.memory_sys>1GiB"][..],
        &["--critical", "memory.memory_sys>1GiB", "--warning", "runtime.goroutine_num>1"],
    ]
    .map(|options| checked(&target, options));
    insta::assert_snapshot!(lines.concat());
}

#[test]
fn target_that_fails_is_critical_unless_it_is_tolerated() {
    let target = StubTarget::serving(stats::body(stats::now(), 7));
    let closed = [port::free(), port::free()].map(|port| format!("127.0.0.1:{port}"));
    let mut lines = String::new();
    for (options, code) in [
        ("", CRITICAL),
        ("--max-failed 1", CRITICAL),
        ("--max-failed 2", OK),
        ("--max-failed 2 --warning runtime.goroutine_num>1", WARNING),
        ("--critical runtime.goroutine_num>1", CRITICAL),
    ] {
        let [one, two] = &closed;
        let targets = format!("--target {} --target {one} --target {two}", target.target());
        let output = Agent::without_engine().run(&format!("check gostats {targets} {options}")).exits(code);
        assert_eq!(output.stderr.lines().count(), 2, "the log has each failure: {output}");
        lines += &line(&output);
    }
    insta::assert_snapshot!(lines);
}

#[test]
fn check_without_targets_is_unknown_unless_none_is_allowed() {
    let mut without_port = container("api", "127.0.0.1", 1);
    without_port["Ports"] = json!([]);
    let engine = FakeEngine::with_containers(vec![without_port]);
    let agent = Agent::with_docker_host(&engine.host());
    let mut lines = String::new();
    for (options, code) in [("", UNKNOWN), ("--allow-none", OK)] {
        let output = agent.run(&format!("check gostats {options}")).exits(code);
        lines += &line(&output);
    }
    let empty = FakeEngine::with_containers(Vec::new());
    let output = Agent::with_docker_host(&empty.host()).run("check gostats").exits(UNKNOWN);
    lines += &line(&output);
    insta::assert_snapshot!(lines);
}

#[test]
fn engine_that_does_not_respond_is_unknown() {
    let output = Agent::without_engine().run("check docker --allow-none").exits(UNKNOWN).without_diagnostics();
    insta::assert_snapshot!(line(&output));
}

#[test]
fn counter_has_a_rate_from_the_second_run_of_the_same_check() {
    let now = stats::now();
    let target = StubTarget::serving(stats::body(now, 0));
    let agent = Agent::without_engine();
    let run = |command: &str, code: i32| {
        let output = agent.run(&format!("{command} gostats --target {}", target.target()));
        output.exits(code).without_diagnostics()
    };
    let check = |threshold: &str, code: i32| {
        let words = ["check", "gostats", "--target", &target.target(), "--critical", threshold];
        line(&agent.run_words(&words).exits(code).without_diagnostics())
    };
    let minute = |minutes: u64| {
        agent.let_pass(Duration::from_nanos(MINUTE));
        target.serve(stats::body(now + minutes * MINUTE, minutes * 20));
    };
    // Rates have further decimals by the time that a response takes.
    let rounded = |line: String| -> String {
        let round = |word: &str| match word.parse::<f64>() {
            Ok(number) => format!("{number:.0}"),
            Err(_) => word.to_owned(),
        };
        line.split(' ').map(round).collect::<Vec<_>>().join(" ")
    };
    // A check does not use the state of `run`.
    for minutes in 1..=2 {
        minute(minutes);
        let _ = run("run", OK);
    }
    minute(3);
    let mut lines = check("gc.gc_num>19", OK);
    minute(4);
    lines += &check("gc.gc_num>19", CRITICAL);
    // Nor that of another check.
    lines += &check("gc.gc_num>21", OK);
    minute(5);
    lines += &check("gc.gc_num>19", CRITICAL);
    lines += &check("gc.gc_num>21", OK);
    assert_eq!(agent.state_files().len(), 3, "{:?}", agent.state_files());
    // A check without counters has none.
    let _ = check("memory.memory_sys>1GiB", OK);
    assert_eq!(agent.state_files().len(), 3, "{:?}", agent.state_files());
    // The counters of `run` have grown by 20 a minute since its own last run.
    let output = run("run", OK);
    let growth = output.metrics().of(&target.key())["gc.gc_num"];
    assert!((growth - 20.0).abs() < 0.1, "{output}");
    insta::assert_snapshot!(rounded(lines));
}

#[test]
fn command_line_that_cannot_be_used_is_unknown() {
    let agent = Agent::without_engine();
    let mut lines = String::new();
    for words in [
        &["check"][..],
        &["check", "nothing"],
        &["check", "gostats", "--unknown"],
        &["check", "gostats", "--max-failed", "some"],
        &["check", "gostats", "--critical", "memory.memory_sys"],
        &["check", "gostats", "--critical", "memory.sys>1"],
        &["check", "gostats", "--warning", "memory.*>5s"],
        &["check", "gostats", "--total", "sum"],
        &["check", "gostats", "--select", "memory.*"],
        &["check", "gostats", "--instance-name", "port"],
        &["check", "gostats", "--metric-key-prefix", "a"],
        &["check", "gostats", "--targets-graph"],
        &["check", "redis", "--target", "127.0.0.1:1", "--password-file", "/nonexistent/\u{1b}file\n"],
    ] {
        let output = agent.run_words(words).exits(UNKNOWN).without_diagnostics();
        let _ = write!(lines, "{}\n    {}", words.join(" ").escape_debug(), line(&output));
    }
    insta::assert_snapshot!(lines);
    let help = agent.run("check gostats --help").exits(0).without_diagnostics();
    assert!(help.stdout.contains("--max-failed <N>"), "{help}");
}

#[test]
fn line_has_no_more_than_mackerel_agent_takes_and_names_of_containers_are_escaped() {
    let hostile = ["\u{1b}[2J\r\napi OK: fine", "\u{202e}abc", "'; rm -rf /", "a\tb"];
    let names: Vec<String> = (0..50)
        .map(|number| {
            format!("{}{number}", hostile.get(number).map_or_else(|| "x".repeat(100), |name| (*name).to_owned()))
        })
        .collect();
    let fleet = Fleet::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for (options, code) in [("--critical memory.rss>1MiB", CRITICAL), ("--warning memory.*>=0", WARNING)] {
        let output = fleet.agent().run(&format!("check docker {options}")).exits(code);
        let line = line(&output);
        assert!(!line.trim_end().contains(char::is_control) && !line.contains('\u{202e}'), "{line:?}");
        assert!(line.chars().count() > 800, "as many as fit: {line}");
    }
    let output = fleet.agent().run("check docker --critical memory.rss>1MiB").exits(CRITICAL);
    insta::assert_snapshot!(line(&output));
    let one = Fleet::of(&[&"y".repeat(5000)]);
    let output = one.agent().run("check docker --critical memory.rss>1MiB").exits(CRITICAL);
    assert!(line(&output).contains("memory.rss"), "{output}");
}

#[test]
fn restarting_container_is_a_failed_target() {
    let fleet = Fleet::of(&["api", "web"]);
    fleet.edit_listed("web", |container| {
        container["State"] = json!("restarting");
        container["Status"] = json!("Restarting (1) 5 seconds ago");
    });
    let output = fleet.agent().run("check docker").exits(CRITICAL);
    insta::assert_snapshot!(line(&output));
}

#[test]
fn containers_of_a_real_engine_are_checked_and_named() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let _apps = group.apps(2);
    let agent = Agent::with_engine(engine);
    let mut lines = String::new();
    let words = |options: &str| format!("check gostats --filter {} --path /stats {options}", group.filter());
    let output = agent.run(&words("")).exits(OK).without_diagnostics();
    lines += &line(&output);
    let output = agent.run(&words("--critical runtime.goroutine_num<1000000")).exits(CRITICAL).without_diagnostics();
    // The number of goroutines is the app's own affair.
    let text = mask::digits(&line(&output), "goroutine_num ", "NUMBER");
    lines += &text;
    let _fault = group.faults(&["closed"]);
    let output = agent.run(&words("")).exits(CRITICAL);
    lines += &line(&output);
    let output = agent.run(&words("--max-failed 1")).exits(OK);
    lines += &line(&output);
    insta::assert_snapshot!(group.mask(&lines));
}

/// Returns the only check of a configuration.
fn section(conf: &str) -> (String, Vec<String>) {
    let conf: Value = toml::from_str(conf).unwrap_or_else(|error| panic!("{error} in {conf}"));
    let checks = conf["plugin"]["checks"].as_object().expect("checks");
    assert_eq!(conf, json!({"plugin": {"checks": checks}}), "nothing else");
    assert_eq!(checks.len(), 1, "{conf}");
    let (name, check) = checks.iter().next().expect("a section");
    let words = check["command"].as_array().expect("a list").iter();
    (name.clone(), words.map(|word| word.as_str().expect("a text").to_owned()).collect())
}

#[test]
fn conf_prints_the_section_of_a_check_that_runs() {
    let target = StubTarget::serving(stats::body(stats::now(), 7));
    let agent = Agent::without_engine();
    let address = target.target();
    let words = [
        "conf",
        "gostats",
        "--check",
        "--section",
        "api_memory",
        "--target",
        &address,
        "--warning",
        "memory.memory_sys > 4MiB",
        "--critical",
        "gc.*<-1",
        "--max-failed",
        "1",
        "--allow-none",
        "--timeout",
        "2s",
    ];
    let output = agent.run_words(&words).exits(0).without_diagnostics();
    let (name, command) = section(&output.stdout);
    assert_eq!(name, "api_memory");
    let program = command[0].clone();
    let shown = output.stdout.replace(&program, "PROGRAM");
    insta::assert_snapshot!(mask::ports(&shown));

    let result = Command::new(&program)
        .args(&command[1..])
        .env_clear()
        .env("MACKEREL_PLUGIN_WORKDIR", agent.workdir())
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .expect("the program can be started");
    assert_eq!(result.status.code(), Some(WARNING), "{}", String::from_utf8_lossy(&result.stderr));
    assert!(String::from_utf8_lossy(&result.stdout).starts_with("gostats WARNING: 127.0.0.1:"));
    assert!(fs::read_dir(agent.state_folder()).is_ok(), "the state is in the agent's folder");
}

#[test]
fn conf_rejects_a_check_that_would_be_unknown() {
    let agent = Agent::without_engine();
    let mut text = String::new();
    for words in [
        &["conf", "gostats", "--check", "--critical", "memory.sys>1"][..],
        &["conf", "gostats", "--check", "--total", "sum"],
        &["conf", "gostats", "--critical", "memory.memory_sys>1"],
        &["conf", "gostats", "--max-failed", "1"],
    ] {
        let output = agent.run_words(words).exits(2);
        assert_eq!(output.stdout, "", "{output}");
        text += &output.stderr;
    }
    for other in ["--also docker", "--container-agent"] {
        let output = agent.run(&format!("conf gostats --check {other}")).exits(2);
        text += output.stderr.lines().next().unwrap_or_default();
        text += "\n";
    }
    insta::assert_snapshot!(text);
}
