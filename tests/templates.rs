//! The start of an author: projects that `new` writes, built with the tools of their languages, and `componentize`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use scenarios::agent::{Agent, Output, component};
use scenarios::engine::Engine;
use scenarios::project::{GO, JAVASCRIPT, Language, PYTHON, Project, RUST};
use scenarios::stub_target::StubTarget;
use scenarios::{mask, port};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Checks the collector of a new project, which is the same in every language.
fn collects_from_a_container(language: Language) {
    let (Some(engine), Some(project)) = (Engine::find(), Project::new("queue", language)) else { return };
    project.build();
    let agent = installed(&project, engine, "queue");
    let group = engine.group();
    let app = group.app("app");
    let key = format!("queue.{}", app.address().port());
    let run = |options: &str| agent.run(&format!("run queue --filter {} {options}", group.filter()));

    let before = Instant::now();
    let first = run("").exits(0).without_diagnostics().metrics();
    let between = Instant::now();
    assert_eq!(first.order_of(&key), ["jobs.waiting"], "a counter in the first run");
    let pause = between.elapsed();
    let second = run("").exits(0).without_diagnostics().metrics();
    let longest = before.elapsed();
    assert_eq!(second.order_of(&key), ["jobs.waiting", "jobs.done"]);
    let values = second.of(&key);
    assert!((values["jobs.waiting"] - 3.0).abs() < f64::EPSILON, "{values:?}");
    // Growth of 60 in a time that is bounded on both sides.
    let per_minute = 60.0 * 60.0 / longest.as_secs_f64()..60.0 * 60.0 / pause.as_secs_f64();
    assert!(per_minute.contains(&values["jobs.done"]), "{values:?}, expected {per_minute:?}");

    let partly = run(&say(r#"{"queue": {"waiting": 2.5}}"#)).exits(0).without_diagnostics().metrics();
    assert_eq!(partly.of(&key), [("jobs.waiting".to_owned(), 2.5)].into());
    let nothing = run(&say(r#"{"queue": {}}"#)).exits(0).without_diagnostics().metrics();
    assert_eq!(nothing.count(), 0);

    let expected = json!({"graphs": {"queue.#.jobs": {
        "label": "Queue.# Jobs",
        "unit": "integer",
        "metrics": [
            {"name": "waiting", "label": "Waiting", "stacked": false},
            {"name": "done", "label": "Done per minute", "stacked": false},
        ],
    }}});
    let definitions = agent.definitions("run queue").exits(0).without_diagnostics();
    let (head, body) = definitions.stdout.split_once('\n').expect("two lines");
    assert_eq!(head, "# mackerel-agent-plugin");
    assert_eq!(serde_json::from_str::<Value>(body).expect("JSON"), expected);

    let mask = |output: Output, code: i32| {
        let stderr = group.mask(&output.exits(code).stderr);
        stderr.replace("OWN:8080", "ADDRESS").replace(&app.address().to_string(), "ADDRESS")
    };
    let faults = [
        mask(run("--path queue"), 2),
        mask(run("--path /nowhere"), 1),
        mask(run(&say("")), 1),
        mask(run(&say("<html lang=ja>こんにちは、世界! That is no JSON, and far too long.</html>")), 1),
        mask(run("--path /say?h%FFllo"), 1),
        mask(run(&say(r#"{"queue": {"waiting": "3"}}"#)), 1),
    ];
    // The Rust SDK has its own error texts.
    let name = if language.name == RUST.name { "faults_rust" } else { "faults" };
    insta::assert_snapshot!(name, faults.concat());
    let port = port::free();
    // A machine of its own: another command with the same prefix would be reported.
    let rejected = with_store_of(&project, engine).run(&format!("run queue --target 127.0.0.1:{port}"));
    let rejected = mask(rejected, 1).replace(&port.to_string(), "PORT");
    insta::assert_snapshot!("refused", rejected);
}

/// Installs the component of a project and returns an agent for it. Without that, every run would compile it.
fn installed(project: &Project, engine: &Engine, name: &str) -> Agent {
    let store = store_of(project);
    project.run(&format!("MACKEREL_PLUGIN_WASM_STORE={} mackerel-plugin-wasm install ./{name}.wasm", store.display()));
    with_store_of(project, engine)
}

/// Returns an agent that has not run anything, for the component that was installed.
fn with_store_of(project: &Project, engine: &Engine) -> Agent {
    Agent::with_engine(engine).with_env("MACKEREL_PLUGIN_WASM_STORE", store_of(project))
}

fn store_of(project: &Project) -> PathBuf {
    project.path().join("store")
}

/// Returns the option with which the app responds with this text.
fn say(text: &str) -> String {
    let encoded: Vec<_> = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("--path /say?{}", encoded.concat())
}

#[test]
fn rust_project_builds_and_collects() {
    collects_from_a_container(RUST);
}

#[test]
fn go_project_builds_and_collects() {
    collects_from_a_container(GO);
}

#[test]
fn python_project_builds_and_collects() {
    collects_from_a_container(PYTHON);
}

#[test]
fn javascript_project_builds_and_collects() {
    collects_from_a_container(JAVASCRIPT);
}

#[test]
fn rust_project_builds_without_warnings() {
    let Some(project) = Project::new("queue", RUST) else { return };
    for command in ["cargo build", "cargo clippy --all-targets", "cargo build --release --target wasm32-wasip2"] {
        project.run(&format!("{command} > output.txt 2>&1; cat output.txt; ! grep '^warning' output.txt"));
    }
}

/// Changes the code of a project, builds it, and returns the findings of `test` on a target that responds.
fn findings_of(project: &Project, file: &str, changes: &[(&str, &str)], build: &str) -> String {
    let path = project.path().join(file);
    let before = fs::read_to_string(&path).expect("the code of a project");
    let edited = changes.iter().fold(before.clone(), |code, (old, new)| {
        assert!(code.contains(old), "no {old} in {file}");
        code.replacen(old, new, 1)
    });
    fs::write(&path, edited).expect("our own file");
    project.run(build);
    fs::write(&path, before).expect("our own file");
    // Compiled here, the compiled form is kept: an agent does not wait for so long.
    let store = store_of(project);
    let variable = format!("MACKEREL_PLUGIN_WASM_STORE={}", store.display());
    project.run(&format!("{variable} mackerel-plugin-wasm test queue.wasm --target 127.0.0.1:1 || true"));
    let target = StubTarget::serving(json!({"queue": {"waiting": 3}}));
    let component = project.path().join("queue.wasm");
    let command = format!("test {} --path /stats --target {}", component.display(), target.target());
    let output = Agent::without_engine().with_env("MACKEREL_PLUGIN_WASM_STORE", store).run(&command).exits(1);
    assert_eq!(target.requests(), 0, "{output}");
    mask::ports(&mask::path(&output.stdout, &project.path(), "PROJECT"))
}

#[test]
fn faults_that_go_authors_make_are_explained() {
    let Some(project) = Project::new("queue", GO) else { return };
    let graphs = "if path := options.Get(\"path\");";
    let findings = [
        // Go has a network of its own in WebAssembly, which refuses every connection.
        findings_of(
            &project,
            "main.go",
            &[
                ("\"fmt\"", "\"fmt\"\n\t\"net\""),
                ("Collect(_ collector.Target", "Collect(target collector.Target"),
                (
                    "body, err := collector.Get(options.Get(\"path\"))",
                    "_, err := net.Dial(\"tcp\", fmt.Sprintf(\"%s:%d\", target.Host, target.Port))\n\tvar body []byte",
                ),
            ],
            "make",
        ),
        // The stacks after the first line are longer than a message.
        findings_of(&project, "main.go", &[(graphs, &format!("panic(\"no such table\")\n\t{graphs}"))], "make"),
        findings_of(&project, "main.go", &[("collector.Integer", "collector.Unit(12)")], "make"),
    ];
    // The stacks depend on the version of Go.
    let without_stacks = |text: &str| {
        text.lines()
            .map(|line| line.split(" | goroutine").next().unwrap_or_default().to_owned() + "\n")
            .collect::<String>()
    };
    insta::assert_snapshot!(without_stacks(&findings.join("--\n")), @r#"
    error: collect: dial tcp 127.0.0.1:PORT: address 127.0.0.1:PORT: connect: Connection refused
    note: collect: the collector sent nothing to the target; a network library reaches it only through mackerel:collector/http, wasi:http or wasi:sockets (in Go: the packages collector and transport)
    --
    error: graphs: collector failed: wasm trap: wasm `unreachable` instruction executed; stderr: panic: no such table
    --
    error: graphs: collector failed: unexpected discriminant: 12
    note: graphs: a unit is one of float, integer, percentage, seconds, milliseconds, bytes, bytes-per-second, bits-per-second, iops
    "#);
}

#[test]
fn unit_that_does_not_exist_is_answered_with_all_units() {
    let Some(project) = Project::new("queue", JAVASCRIPT) else { return };
    project.run("npm install");
    let change = [("unit: \"integer\"", "unit: \"percent\"")];
    insta::assert_snapshot!(findings_of(&project, "collector.js", &change, "npm run build"), @r#"
    error: graphs: collector failed: wasm trap: wasm `unreachable` instruction executed; stderr: thread '<unnamed>' (1) panicked at crates/runtime/src/call.rs:302:36: | unknown enum case: percent | note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
    note: graphs: a unit is one of float, integer, percentage, seconds, milliseconds, bytes, bytes-per-second, bits-per-second, iops
    "#);
}

/// Returns stderr of `new`.
fn error(arguments: &str, code: i32) -> String {
    let output = Agent::without_engine().run(arguments).exits(code);
    assert_eq!(output.stdout, "", "stdout of {output}");
    output.stderr
}

#[test]
fn invalid_names_are_rejected() {
    let folder = TempDir::new().expect("a temporary folder");
    let names = ["Queue", "1queue", "queue-", "job_queue", "job/queue", "..", "größe", &"q".repeat(65)];
    let errors = names.map(|name| error(&format!("new {name} --lang go --dir {}", folder.path().display()), 2));
    insta::assert_snapshot!(errors.concat(), @"
    mackerel-plugin-wasm: 'Queue' cannot be a collector's name: expected a-z, 0-9 and -, with a letter first and no - at the end, at most 64 characters
    mackerel-plugin-wasm: '1queue' cannot be a collector's name: expected a-z, 0-9 and -, with a letter first and no - at the end, at most 64 characters
    mackerel-plugin-wasm: 'queue-' cannot be a collector's name: expected a-z, 0-9 and -, with a letter first and no - at the end, at most 64 characters
    mackerel-plugin-wasm: 'job_queue' cannot be a collector's name: expected a-z, 0-9 and -, with a letter first and no - at the end, at most 64 characters
    mackerel-plugin-wasm: 'job/queue' cannot be a collector's name: expected a-z, 0-9 and -, with a letter first and no - at the end, at most 64 characters
    mackerel-plugin-wasm: '..' cannot be a collector's name: expected a-z, 0-9 and -, with a letter first and no - at the end, at most 64 characters
    mackerel-plugin-wasm: 'größe' cannot be a collector's name: expected a-z, 0-9 and -, with a letter first and no - at the end, at most 64 characters
    mackerel-plugin-wasm: 'qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq' cannot be a collector's name: expected a-z, 0-9 and -, with a letter first and no - at the end, at most 64 characters
    ");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "a file was written");
}

#[test]
fn names_of_built_in_collectors_are_rejected() {
    let folder = TempDir::new().expect("a temporary folder");
    let new = |name: &str| error(&format!("new {name} --lang rust --dir {}", folder.path().display()), 2);
    insta::assert_snapshot!(["docker", "gostats", "prometheus", "redis"].map(new).concat(), @"
    mackerel-plugin-wasm: docker is a built-in collector: choose another name
    mackerel-plugin-wasm: gostats is a built-in collector: choose another name
    mackerel-plugin-wasm: prometheus is a built-in collector: choose another name
    mackerel-plugin-wasm: redis is a built-in collector: choose another name
    ");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "a file was written");
}

#[test]
fn existing_files_are_not_overwritten() {
    let folder = TempDir::new().expect("a temporary folder");
    let command = format!("new queue --lang go --dir {}", folder.path().display());
    fs::write(folder.path().join("queue"), "mine").expect("a file");
    let file = error(&command, 2);
    assert_eq!(fs::read_to_string(folder.path().join("queue")).expect("a file"), "mine");
    fs::remove_file(folder.path().join("queue")).expect("a file");
    fs::create_dir(folder.path().join("queue")).expect("a folder");
    let empty = error(&command, 2);
    assert_eq!(fs::read_dir(folder.path().join("queue")).expect("a folder").count(), 0, "a file was written");
    insta::assert_snapshot!([file, empty].concat().replace(&folder.path().display().to_string(), "DIR"), @"
    mackerel-plugin-wasm: DIR/queue exists already: choose another name
    mackerel-plugin-wasm: DIR/queue exists already: choose another name
    ");
}

#[test]
fn unwritable_folder_is_named() {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("file"), "").expect("a file");
    let nowhere = error(&format!("new queue --lang go --dir {}/nowhere", folder.path().display()), 2);
    let file = error(&format!("new queue --lang go --dir {}/file", folder.path().display()), 2);
    // Nobody can create folders there, not even root.
    let kernel = error("new queue --lang go --dir /proc", 1);
    insta::assert_snapshot!([nowhere, file, kernel].concat().replace(&folder.path().display().to_string(), "DIR"), @"
    mackerel-plugin-wasm: no such folder: DIR/nowhere
    mackerel-plugin-wasm: no such folder: DIR/file
    mackerel-plugin-wasm: cannot create /proc/queue: No such file or directory (os error 2)
    ");
}

#[test]
fn unknown_language_lists_the_supported_ones() {
    insta::assert_snapshot!(error("new queue --lang cobol", 2), @"
    error: invalid value 'cobol' for '--lang <LANGUAGE>'
      [possible values: rust, go, python, javascript]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(error("new queue", 2), @"
    error: the following required arguments were not provided:
      --lang <LANGUAGE>

    Usage: mackerel-plugin-wasm new --lang <LANGUAGE> <NAME>

    For more information, try '--help'.
    ");
}

#[test]
fn project_contains_the_contract_and_prints_the_next_steps() {
    let folder = TempDir::new().expect("a temporary folder");
    for language in ["rust", "go", "python", "javascript"] {
        let name = format!("in-{language}");
        let command = format!("new {name} --lang {language} --dir {}", folder.path().display());
        let output = Agent::without_engine().run(&command).exits(0).without_diagnostics();
        let reported = output.stdout.replace(&folder.path().display().to_string(), "DIR");
        insta::assert_snapshot!(format!("new_{language}"), reported);
        let wit = |folder: &Path| {
            let files = fs::read_dir(folder).expect("a folder of WIT").flatten();
            let mut files: Vec<_> =
                files.map(|file| (file.file_name(), fs::read_to_string(file.path()).expect("WIT"))).collect();
            files.sort();
            files
        };
        let place = if language == "rust" { "sdk/wit" } else { "wit" };
        let there = wit(&folder.path().join(&name).join(place));
        assert_eq!(there, wit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")), "{language}");
    }
}

#[test]
fn componentize_rejects_other_files_with_the_reason() {
    let folder = TempDir::new().expect("a temporary folder");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a file");
    // An empty module, a truncated one, one whose only export has another name, and one with the right names and wrong
    // types.
    let magic = *b"\0asm\x01\0\0\0";
    write("text.wasm", b"package main");
    write("empty.wasm", b"");
    write("bare.wasm", &magic);
    write("cut.wasm", &[&magic[..], &[1, 4, 1, 0x60]].concat());
    let one = |name: &str, export: &str| write(name, &module(&[export]));
    one("graphs.wasm", &format!("mackerel:collector/metrics@{}#graphs", version()));
    one("old.wasm", "mackerel:collector/metrics@0.0.1#describe");
    let all = ["describe", "graphs", "collect"].map(|name| format!("mackerel:collector/metrics@{}#{name}", version()));
    write("types.wasm", &module(&all.each_ref().map(String::as_str)));
    let names = ["text", "empty", "bare", "cut", "graphs", "old", "types", "nowhere"];
    let mut errors = names.map(|name| {
        let path = folder.path().join(name).with_extension("wasm");
        error(&format!("componentize {}", path.display()), 1)
    });
    errors[7] +=
        &error(&format!("componentize {}", component("gostats")), 1).replace(&component("gostats"), "DIR/gostats.wasm");
    let errors = errors.concat().replace(&folder.path().display().to_string(), "DIR");
    insta::assert_snapshot!(errors.replace(&version(), "VERSION"), @"
    mackerel-plugin-wasm: DIR/text.wasm: not a WebAssembly module: no WebAssembly header
    mackerel-plugin-wasm: DIR/empty.wasm: not a WebAssembly module: no WebAssembly header
    mackerel-plugin-wasm: DIR/bare.wasm: not a collector: missing exports: mackerel:collector/metrics@VERSION#describe, mackerel:collector/metrics@VERSION#graphs, mackerel:collector/metrics@VERSION#collect
    mackerel-plugin-wasm: DIR/cut.wasm: not a WebAssembly module: unexpected end-of-file (at offset 0xa)
    mackerel-plugin-wasm: DIR/graphs.wasm: not a collector: missing exports: mackerel:collector/metrics@VERSION#describe, mackerel:collector/metrics@VERSION#collect
    mackerel-plugin-wasm: DIR/old.wasm: not a collector: missing exports: mackerel:collector/metrics@VERSION#describe, mackerel:collector/metrics@VERSION#graphs, mackerel:collector/metrics@VERSION#collect
    mackerel-plugin-wasm: DIR/types.wasm: not a collector: failed to decode world from module: module was not valid: failed to classify export `mackerel:collector/metrics@VERSION#describe`: failed to validate export for `mackerel:collector/metrics@VERSION`: type mismatch for function `describe`: expected `[] -> [I32]` but found `[] -> []`
    mackerel-plugin-wasm: DIR/nowhere.wasm: No such file or directory (os error 2)
    mackerel-plugin-wasm: DIR/gostats.wasm: already a component: it can be run as it is
    ");
    let made = fs::read_dir(folder.path()).expect("a folder").flatten();
    assert!(
        made.into_iter().all(|file| !file.file_name().to_string_lossy().contains("component")),
        "a file was written"
    );
}

/// Returns the contract's version in `wit/`.
fn version() -> String {
    let world = include_str!("../wit/world.wit");
    let package = world.lines().find_map(|line| line.strip_prefix("package mackerel:collector@")?.strip_suffix(';'));
    package.expect("the package's line").to_owned()
}

/// Returns a core module that exports a function without parameters and results under these names.
fn module(exports: &[&str]) -> Vec<u8> {
    let size = |bytes: &[u8]| {
        let mut rest = bytes.len();
        let mut size = Vec::new();
        while rest > 127 {
            size.push(u8::try_from(rest & 127).expect("seven bits") | 128);
            rest >>= 7;
        }
        size.push(u8::try_from(rest).expect("seven bits"));
        [&size, bytes].concat()
    };
    let count = u8::try_from(exports.len()).expect("a few");
    let entries = exports.iter().map(|name| [size(name.as_bytes()), vec![0, 0]].concat());
    let section = |id: u8, content: &[u8]| [&[id][..], &size(content)].concat();
    let entries = [vec![count], entries.collect::<Vec<_>>().concat()].concat();
    let sections =
        [section(1, &[1, 0x60, 0, 0]), section(3, &[1, 0]), section(7, &entries), section(10, &[1, 2, 0, 0x0b])];
    [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat()
}

#[test]
fn go_package_covers_the_whole_contract() {
    let (Some(engine), Some(project)) = (Engine::find(), Project::new("everything", GO)) else { return };
    fs::write(project.path().join("main.go"), include_str!("everything/main.go")).expect("a file");
    project.run("make");
    let agent = installed(&project, engine, "everything");
    let group = engine.group();
    let app = group.app("app");
    let port = app.address().port();
    let run =
        |options: &str| agent.run(&format!("run everything --filter {} --address published {options}", group.filter()));
    let found = |options: &str| {
        let metrics = run(options).exits(0).without_diagnostics().metrics();
        metrics.of(&format!("everything.found.{port}"))
    };
    let values = |values: &[(&str, f64)]| values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();

    assert_eq!(found(""), values(&[("fast", 0.0), ("words", 0.0), ("token", 0.0), ("loud", 0.0), ("none", 0.0)]));
    let token = project.path().join("token");
    fs::write(&token, "geheim\n").expect("a file");
    let all = format!("--mode fast --word one --word three --token-file {} --loud --none some", token.display());
    assert_eq!(found(&all), values(&[("fast", 1.0), ("words", 8.0), ("token", 6.0), ("loud", 4.0), ("none", 4.0)]));

    let label = group.filter().len() - "label=scenario=".len();
    let target = [("port", port.into()), ("loopback", 1.0), ("inside", 8080.0), ("id", 64.0)];
    let label = f64::from(u32::try_from(label).expect("a short name"));
    assert_eq!(found("--do target"), values(&[&target[..], &[("labels", label)]].concat()));

    // The time of the report advances by sixty seconds, and so does the host's.
    let key = format!("everything.{port}.unit0");
    let counters = || run("--do counters").exits(0).without_diagnostics().metrics().of(&key);
    assert_eq!(counters(), values(&[("gauge", 60.0)]));
    agent.let_pass(Duration::from_mins(1));
    assert_eq!(counters(), values(&[("gauge", 120.0), ("second", 3.0), ("minute", 120.0)]));

    assert_eq!(run("--do nothing").exits(0).without_diagnostics().metrics().count(), 0);
    let stats = found("--do stats");
    assert_eq!(stats.keys().collect::<Vec<_>>(), ["processes", "restarts", "rss"], "only the requested stats");
    assert!(stats["rss"] > 100_000.0 && stats["processes"] >= 1.0, "{stats:?}");
    assert_eq!(found("--do connect"), values(&[("body", 5000.0)]));
    assert_eq!(found("--do garbage"), values(&[("bytes", 495_000.0)]));
    assert_eq!(found("--do client"), values(&[("body", 5000.0), ("status", 200.0), ("type", 25.0)]));

    let faults =
        ["closed", "refused", "elsewhere", "post", "header", "tls", "status", "unexpected", "other", "empty", "panic"]
            .map(|what| {
                let stderr = group.mask(&run(&format!("--do {what}")).exits(1).stderr);
                stderr.replace(&app.address().to_string(), "ADDRESS")
            });
    insta::assert_snapshot!("faults_everything", faults.concat());
    let definitions = agent.definitions("run everything").exits(0).without_diagnostics();
    insta::assert_snapshot!("definitions_everything", definitions.stdout);
}
