//! Called by the name of a Go plugin, the program takes its flags and prints what it prints. The Go plugins themselves
//! run beside it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use scenarios::agent::{Agent, Output, program};
use scenarios::engine::Engine;
use scenarios::fake_engine::{self, FakeEngine, container, docker_on_v1};
use scenarios::http::Reply;
use scenarios::original::{Original, lines};
use scenarios::stub_target::StubTarget;
use scenarios::{mask, stats, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

const MINUTE: Duration = Duration::from_mins(1);

/// A folder with links to the program, by the names of the Go plugins.
struct Links(TempDir);

impl Links {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        for name in ["gostats", "docker", "redis"] {
            symlink(program(), folder.path().join(format!("mackerel-plugin-{name}"))).expect("a symbolic link");
        }
        Self(folder)
    }

    /// Returns an agent whose plugin is the link of this name.
    fn agent(&self, name: &str) -> Agent {
        let program = self.0.path().join(format!("mackerel-plugin-{name}"));
        Agent::with_docker_host("unix:///nonexistent/docker.sock").with_program(program)
    }
}

/// Returns the graphs of definitions.
fn graphs(text: &str) -> Value {
    let (first, json) = text.split_once('\n').expect("two lines");
    assert_eq!(first, "# mackerel-agent-plugin");
    serde_json::from_str::<Value>(json).expect("the second line is JSON")["graphs"].take()
}

fn golden(name: &str) -> Value {
    graphs(&fs::read_to_string(format!("golden/{name}.meta.txt")).expect("the golden file"))
}

fn definitions(name: &str, arguments: &str) -> Value {
    let output = Links::new().agent(name).definitions(arguments).exits(0).without_diagnostics();
    graphs(&output.stdout)
}

fn printed(output: Output) -> BTreeSet<String> {
    lines(&output.exits(0).without_diagnostics().stdout)
}

/// Returns the definitions that the Go plugin prints.
fn originals(original: &Original, arguments: &str) -> Value {
    let output = original.run("1", arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    graphs(&String::from_utf8_lossy(&output.stdout))
}

/// Removes the graphs of replicas, which mackerel-plugin-redis defines only if there are any, a line each.
fn without_replicas(mut graphs: Value, prefix: &str) -> Value {
    for graph in ["lag", "offset_delay"] {
        graphs.as_object_mut().expect("an object").remove(&format!("{prefix}.{graph}"));
    }
    graphs
}

#[test]
fn definitions_are_the_golden_ones_of_the_go_plugins() {
    assert_eq!(definitions("gostats", "-metric-key-prefix=gostats.#"), golden("gostats"));
    assert_eq!(definitions("docker", ""), golden("docker"));
    let redis = without_replicas(definitions("redis", "--metric-key-prefix redis.#"), "redis.#");
    assert_eq!(redis, golden("redis"));
}

#[test]
fn definitions_of_other_prefixes_are_those_of_mackerel_plugin_gostats() {
    let Some(original) = Original::of("gostats") else { return };
    for flags in ["", "-metric-key-prefix=gostats.32768", "-metric-key-prefix my-api_v2", "-metric-key-prefix=web.#"] {
        assert_eq!(definitions("gostats", flags), originals(&original, flags), "{flags}");
    }
}

/// Returns a response with fractions, at `time`.
fn body(time: u64) -> Value {
    let mut body = stats::body(time, 7);
    body["gc_per_second"] = json!(0.5);
    body["gc_pause_per_second"] = json!(0.016_644_123);
    body
}

#[test]
fn values_are_those_of_mackerel_plugin_gostats_line_by_line() {
    let Some(original) = Original::of("gostats") else { return };
    let links = Links::new();
    let agent = links.agent("gostats");
    let now = stats::now();
    let target = StubTarget::serving(body(now));
    let port = target.port();
    for flags in [
        format!("-host=127.0.0.1 -port {port} -path=/stats -metric-key-prefix=gostats.{port}"),
        format!("--uri http://127.0.0.1:{port}/a?b=c -tempfile={}", agent.workdir().join("state").display()),
    ] {
        let theirs = flags.replace(&agent.workdir().display().to_string(), &original.workdir().display().to_string());
        let first = printed(agent.run(&flags));
        assert_eq!(first.len(), stats::GAUGES.len(), "{first:?}");
        assert_eq!(first, original.lines(&theirs), "first run with {flags}");
    }
    agent.let_pass(MINUTE);
    original.let_a_minute_pass();
    target.serve(body(now + 60_000_000_000));
    let flags = format!("-host=127.0.0.1 -port {port} -path=/stats -metric-key-prefix=gostats.{port}");
    let second = printed(agent.run(&flags));
    assert_eq!(second.len(), stats::GAUGES.len() + stats::COUNTERS.len(), "{second:?}");
    assert_eq!(second, original.lines(&flags), "second run");
    insta::assert_snapshot!(mask::ports(
        &second.into_iter().collect::<Vec<_>>().join("\n").replace(&port.to_string(), "PORT")
    ));
}

#[test]
fn value_that_the_go_plugin_rounds_to_zero_is_printed_in_full() {
    let mut body = stats::body(stats::now(), 7);
    body["gc_pause_per_second"] = json!(0.000_000_123);
    let target = StubTarget::serving(body);
    let output = Links::new().agent("gostats").run(&format!("-host 127.0.0.1 -port {}", target.port())).exits(0);
    assert!(output.stdout.contains("gostats.gc.gc_pause_per_second\t0.000000123\t"), "{output}");
}

#[test]
fn tempfile_is_the_place_of_the_state() {
    let target = StubTarget::serving(stats::body(stats::now(), 7));
    let (links, folder) = (Links::new(), TempDir::new().expect("a temporary folder"));
    let agent = links.agent("gostats");
    let tempfile = folder.path().join("gostats");
    fs::write(&tempfile, r#"{"_lastTime":1}"#).expect("the state of the Go plugin");
    let flags = format!("-host 127.0.0.1 -port {} -tempfile {}", target.port(), tempfile.display());
    let _ = agent.run(&flags).exits(0).without_diagnostics();
    let place = folder.path().join("gostats.state");
    let mode = fs::metadata(&place).expect("the folder of the state").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let states = fs::read_dir(&place).expect("a folder").flatten().map(|entry| entry.path());
    assert_eq!(states.filter(|path| path.extension().is_some_and(|extension| extension == "json")).count(), 1);
    assert!(agent.state_files().is_empty(), "{:?}", agent.state_files());
    wait::until("a second run has counters", || {
        let output = agent.run(&flags).exits(0);
        (output.metrics().count() == stats::GAUGES.len() + stats::COUNTERS.len()).then_some(())
    });

    let flags = format!("-host 127.0.0.1 -port {} -tempfile /nonexistent/gostats", target.port());
    let output = agent.run(&flags).exits(0);
    insta::assert_snapshot!(mask::ports(&output.stderr));
}

#[test]
fn flags_that_the_go_plugins_reject_are_rejected_with_their_exit_status() {
    let links = Links::new();
    let mut text = String::new();
    for (name, flags) in [
        ("gostats", "-unknown"),
        ("gostats", "-port"),
        ("gostats", "---port=1"),
        ("gostats", "-uri ftp://127.0.0.1/"),
        ("gostats", "-uri 127.0.0.1"),
        ("gostats", "-host 127.0.0.1 -port 1"),
        ("docker", "-metric-key-prefix=docker"),
        ("docker", "-name-format names"),
        ("docker", "-name-format label"),
        ("docker", "-method File"),
        ("docker", "-method Socket"),
        ("docker", "-host unix:///nonexistent/docker.sock"),
        ("redis", "-timeout 5s"),
        ("redis", "-tls=yes"),
        ("redis", "-host 127.0.0.1 -port 1"),
        ("gostats", "-help"),
    ] {
        let output = links.agent(name).run(flags);
        assert_eq!(output.stdout, "", "{output}");
        let code = output.status.code().expect("an exit status");
        if let Some(original) = Original::of(name) {
            assert_eq!(original.run("", flags).status.code(), Some(code), "mackerel-plugin-{name} {flags}");
        }
        let _ = writeln!(text, "mackerel-plugin-{name} {flags}: {code}\n{}", output.stderr);
    }
    insta::assert_snapshot!(text);
}

#[test]
fn flags_without_a_counterpart_are_named() {
    let links = Links::new();
    let mut text = String::new();
    for (name, flags, code) in [
        ("redis", "-socket /run/redis.sock", 1),
        ("redis", "-timeout -1", 1),
        ("gostats", "-uri http://user:password@127.0.0.1:1/", 1),
        ("gostats", "-metric-key-prefix a.#.b", 1),
        ("gostats", "-metric-key-prefix a..b", 1),
        ("redis", "-host a/b", 1),
        ("gostats", "-metric-key-prefix gostats.#", 0),
    ] {
        let output = links.agent(name).run(flags).exits(code);
        assert_eq!(output.stdout, "", "{output}");
        let _ = writeln!(text, "mackerel-plugin-{name} {flags}\n{}", output.stderr);
    }
    insta::assert_snapshot!(text);
}

/// The stats of two containers a minute apart. Each has one block device: of several, mackerel-plugin-docker prints the
/// last one.
fn docker_stats(minutes: u64, path: &str) -> Value {
    let mut stats = docker_on_v1(&format!("2026-01-02T03:{:02}:15.926535897Z", 14 + minutes));
    for list in ["io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive"] {
        let list = stats["blkio_stats"][list].as_array_mut().expect("a list of operations");
        list.retain(|operation| operation["major"] == 254);
    }
    let seconds = |seconds: u64| seconds * 1_000_000_000;
    let cpu = &mut stats["cpu_stats"];
    // Of two processors.
    cpu["system_cpu_usage"] = json!(seconds(24_150 + minutes * 120));
    let used = if path.contains("/web/") { 9 } else { 6 };
    cpu["cpu_usage"]["usage_in_usermode"] = json!(seconds(214 + minutes * used));
    cpu["cpu_usage"]["usage_in_kernelmode"] = json!(seconds(92 + minutes));
    stats["precpu_stats"]["online_cpus"] = json!(2);
    stats
}

#[test]
fn values_are_those_of_mackerel_plugin_docker_line_by_line() {
    let Some(original) = Original::of("docker") else { return };
    let mut containers = vec![container("web", "127.0.0.1", 1), container("api.v2", "127.0.0.1", 2)];
    containers[0]["Labels"] = json!({"app": "front/end"});
    containers[1]["Labels"] = json!({"app": "api"});
    let is_later = Arc::new(AtomicBool::new(false));
    let later = Arc::clone(&is_later);
    let served = containers.clone();
    let engine = FakeEngine::replying(move |path| {
        // The Go plugin asks by name.
        let by_name = |path: &str| {
            let id = |container: &Value| container["Id"].as_str().unwrap_or_default().to_owned();
            let name = |container: &Value| container["Names"][0].as_str().unwrap_or_default().to_owned() + "/";
            served.iter().fold(path.to_owned(), |path, container| {
                path.replace(&format!("/{}/", id(container)), &name(container))
            })
        };
        if path.contains("/stats") {
            let minutes = u64::from(later.load(Ordering::Relaxed));
            return Reply::Whole(200, docker_stats(minutes, &by_name(path)).to_string());
        }
        fake_engine::default_reply(&served, path)
    });
    // IOPS are an integer division by 60 there, so always 0.
    let without_iops = |lines: BTreeSet<String>| -> BTreeSet<String> {
        lines.into_iter().filter(|line| !line.contains(".io_serviced.")).collect()
    };
    let links = Links::new();
    let formats = ["", "-name-format name", "-name-format=id", "-name-format label -label app", "-cpu-format usage"];
    for format in formats {
        let agent = links.agent("docker");
        let flags = format!("-host {} {format}", engine.host());
        let theirs = format!("{flags} -tempfile {}", original.workdir().join("state").display());
        is_later.store(false, Ordering::Relaxed);
        assert_eq!(printed(agent.run(&flags)), original.lines(&theirs), "first run with {flags}");
        agent.let_pass(MINUTE);
        original.let_a_minute_pass();
        is_later.store(true, Ordering::Relaxed);
        let second = without_iops(printed(agent.run(&flags)));
        if format == "-cpu-format usage" {
            // The Go plugin's clock has whole seconds, so only its keys are the same.
            let keys = |lines: BTreeSet<String>| -> BTreeSet<String> {
                lines.iter().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
            };
            assert_eq!(keys(second), keys(without_iops(original.lines(&theirs))));
        } else {
            assert_eq!(second, without_iops(original.lines(&theirs)), "second run with {flags}");
        }
        fs::remove_file(original.workdir().join("state")).expect("the state of the Go plugin");
    }
    let agent = links.agent("docker");
    let flags = format!("-host {} -name-format name", engine.host());
    is_later.store(false, Ordering::Relaxed);
    let _ = agent.run(&flags).exits(0);
    agent.let_pass(MINUTE);
    is_later.store(true, Ordering::Relaxed);
    let second: Vec<String> = printed(agent.run(&flags)).into_iter().collect();
    insta::assert_snapshot!(second.join("\n"));
}

#[test]
fn keys_on_a_real_engine_are_those_of_mackerel_plugin_docker() {
    let Some(engine) = Engine::find() else { return };
    let Some(original) = Original::of("docker") else { return };
    if !engine.host().starts_with("unix://") {
        return;
    }
    let group = engine.group();
    let (one, two) = (group.app("one"), group.app("two"));
    let of_group = |lines: BTreeSet<String>| -> BTreeSet<String> {
        let names = [one.name(), two.name()].map(|name| format!(".{name}."));
        let keys = lines.iter().filter_map(|line| Some(line.split_once(' ')?.0.to_owned()));
        keys.filter(|key| names.iter().any(|name| key.contains(name.as_str()))).collect()
    };
    let flags = format!("-host {} -name-format name", engine.host());
    let agent = Links::new();
    let agent = agent.agent("docker");
    // Containers of other scenarios can vanish meanwhile, which ends mackerel-plugin-docker without any value.
    let theirs = || {
        wait::until("mackerel-plugin-docker succeeds", || {
            let output = original.run("", &flags);
            output.status.success().then(|| lines(&String::from_utf8_lossy(&output.stdout)))
        })
    };
    let ours = |output: Output| of_group(lines(&output.stdout));
    assert_eq!(ours(agent.run(&flags)), of_group(theirs()));
    agent.let_pass(MINUTE);
    original.let_a_minute_pass();
    // Which block operations there are depends on the version of control groups and on the source.
    let without_block_io = |keys: BTreeSet<String>| -> BTreeSet<String> {
        keys.into_iter().filter(|key| !key.starts_with("docker.blkio.")).collect()
    };
    let second = without_block_io(ours(agent.run(&flags)));
    assert_eq!(second.len(), 8, "{second:?}");
    assert_eq!(second, without_block_io(of_group(theirs())));
}

/// Runs the loop in which the Go plugin is used with dynamic ports, with the plugin in `folder`.
fn run_loop(engine: &Engine, name: &str, folder: &std::path::Path, workdir: &std::path::Path) -> BTreeSet<String> {
    let script = format!(
        "for PORT in $(docker ps --format='{{{{.Ports}}}}' --filter name={name} | cut -f1 -d- | cut -f2 -d:); do\n\
         mackerel-plugin-gostats -port ${{PORT}} -path=/stats -metric-key-prefix=gostats.${{PORT}}\n\
         done\n"
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display()))
        .env("DOCKER_HOST", engine.host())
        .env("MACKEREL_PLUGIN_WORKDIR", workdir)
        .env("MACKEREL_AGENT_PLUGIN_META", "")
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let keys = lines(&String::from_utf8_lossy(&output.stdout));
    keys.iter().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
}

#[test]
fn shell_loop_over_docker_ps_works_unchanged() {
    let Some(engine) = Engine::find() else { return };
    let Some(original) = Original::of("gostats") else { return };
    let group = engine.group();
    let apps = group.apps(2);
    let (links, workdir) = (Links::new(), TempDir::new().expect("a temporary folder"));
    let prefix = apps[0].name().trim_end_matches("app0").to_owned();
    let theirs = run_loop(engine, &prefix, original.folder(), original.workdir());
    let ours = run_loop(engine, &prefix, links.0.path(), workdir.path());
    assert_eq!(ours.len(), 2 * stats::GAUGES.len(), "{ours:?}");
    assert_eq!(ours, theirs);
}

#[test]
fn values_are_those_of_mackerel_plugin_redis() {
    let Some(engine) = Engine::find() else { return };
    let Some(original) = Original::of("redis") else { return };
    let group = engine.group();
    let password = "a-s3cret-of-its-own";
    let Some(open) = group.redis("open", "") else { return };
    let Some(limited) = group.redis("limited", &format!("--requirepass {password} --maxmemory 64mb --maxclients 200"))
    else {
        return;
    };
    let links = Links::new();
    let agent = links.agent("redis");
    let of = |redis: &scenarios::engine::Container| {
        let address = redis.address();
        format!("-host={} -port {}", address.ip(), address.port())
    };
    // These values change with each connection, or from moment to moment.
    let changes = [
        ".memory.",
        ".uptime.",
        ".queries.",
        ".connections.total",
        ".capacity.percentage_of_memory",
        ".clients.connected_clients",
        ".capacity.percentage_of_clients",
    ];
    let compare = |ours: BTreeSet<String>, theirs: BTreeSet<String>, flags: &str| {
        let mut text = String::new();
        let masked = |lines: &BTreeSet<String>| -> BTreeSet<String> {
            let mask = |line: &String| match line.split_once(' ') {
                // Without a limit it is 0.
                Some((key, "0.000000")) if key.ends_with("percentage_of_memory") => line.clone(),
                Some((key, _)) if changes.iter().any(|part| key.contains(part)) => {
                    format!("{key} DECIMALS")
                }
                _ => line.clone(),
            };
            lines.iter().map(mask).collect()
        };
        let (ours, theirs) = (masked(&ours), masked(&theirs));
        assert_eq!(ours, theirs, "{flags}");
        for line in ours {
            text += &line;
            text.push('\n');
        }
        text
    };
    let mut last = String::new();
    for flags in [
        of(&open),
        format!("{} -metric-key-prefix redis.6379", of(&open)),
        format!("{} -config-command=", of(&open)),
        format!("{} -config-command=NOCONFIG -password {password}", of(&limited)),
        format!("{} -password={password} -username default -timeout 3", of(&limited)),
    ] {
        let is_without_config = flags.contains("NOCONFIG");
        let first = agent.run(&flags).exits(0);
        let (first, theirs) = (lines(&first.stdout), original.lines(&flags));
        if is_without_config {
            // INFO has the limits too.
            let extra: Vec<_> = first.difference(&theirs).filter(|line| line.contains(".capacity.")).collect();
            assert_eq!(extra.len(), 2, "{extra:?}");
            continue;
        }
        compare(first, theirs, &flags);
        agent.let_pass(MINUTE);
        original.let_a_minute_pass();
        last = compare(printed(agent.run(&flags)), original.lines(&flags), &flags);
    }
    insta::assert_snapshot!(last);
    let shown: Vec<_> = agent.state_files().iter().map(|path| fs::read_to_string(path).expect("a state")).collect();
    assert!(!shown.concat().contains(password), "{shown:?}");
}

#[test]
fn definitions_are_those_of_mackerel_plugin_redis_with_a_server() {
    let Some(engine) = Engine::find() else { return };
    let Some(original) = Original::of("redis") else { return };
    let group = engine.group();
    let Some(redis) = group.redis("open", "") else { return };
    let flags = format!("-host {} -port {}", redis.address().ip(), redis.address().port());
    let ours = definitions("redis", &flags);
    let replicas = ["lag", "offset_delay"].map(|graph| format!("redis.{graph}: {}\n", ours[format!("redis.{graph}")]));
    insta::assert_snapshot!(replicas.concat());
    assert_eq!(without_replicas(ours, "redis"), originals(&original, &flags));
}

#[test]
fn redis_password_of_the_environment_is_used_and_never_shown() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let Some(redis) = group.redis("closed", "--requirepass a-s3cret-of-its-own") else { return };
    let flags = format!("-host {} -port {}", redis.address().ip(), redis.address().port());
    let links = Links::new();
    let run = |password: &str| links.agent("redis").with_env("REDIS_PASSWORD", password).run(&flags);
    let opened = run("a-s3cret-of-its-own").exits(0).without_diagnostics();
    assert!(opened.metrics().count() > 10, "{opened}");
    let rejected = run("another-s3cret").exits(1);
    insta::assert_snapshot!(mask::ports(&rejected.stderr));
}
