//! Help, lists, and errors for people who type a command. No engine runs here.

use scenarios::agent::Agent;

/// Returns stderr of a wrong command.
fn error(arguments: &str) -> String {
    let output = Agent::without_engine().run(arguments).exits(2);
    assert_eq!(output.stdout, "", "stdout of {output}");
    output.stderr
}

#[test]
fn unknown_option_is_one_line_with_a_similar_one() {
    let errors = [
        "run gostats --fliter name=api",
        "run gostats --uri http://localhost/stats",
        "run gostats --fliter=name=api --uri x",
        "run gostats -x",
        "run gostats --metric go_*",
        "run redis --password secret",
        "plan gostats --josn",
        "conf gostats --cloudinit",
        "run gostats --\u{1b}[31mred",
    ];
    let errors = errors.map(|command| {
        let stderr = error(command);
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        format!("{}\n    {stderr}", command.escape_debug())
    });
    insta::assert_snapshot!(errors.concat(), @r"
    run gostats --fliter name=api
        mackerel-plugin-wasm: unknown option --fliter (did you mean --filter?); mackerel-plugin-wasm run gostats --help lists all options
    run gostats --uri http://localhost/stats
        mackerel-plugin-wasm: unknown option --uri; mackerel-plugin-wasm run gostats --help lists all options
    run gostats --fliter=name=api --uri x
        mackerel-plugin-wasm: unknown option --fliter (did you mean --filter?); mackerel-plugin-wasm run gostats --help lists all options
    run gostats -x
        mackerel-plugin-wasm: unknown option -x; mackerel-plugin-wasm run gostats --help lists all options
    run gostats --metric go_*
        mackerel-plugin-wasm: unknown option --metric (did you mean --max-metrics?); mackerel-plugin-wasm run gostats --help lists all options
    run redis --password secret
        mackerel-plugin-wasm: unknown option --password (did you mean --password-file?); mackerel-plugin-wasm run redis --help lists all options
    plan gostats --josn
        mackerel-plugin-wasm: unknown option --josn (did you mean --json?); mackerel-plugin-wasm plan gostats --help lists all options
    conf gostats --cloudinit
        mackerel-plugin-wasm: unknown option --cloudinit (did you mean --cloud-init?); mackerel-plugin-wasm conf gostats --help lists all options
    run gostats --\u{1b}[31mred
        mackerel-plugin-wasm: unknown option --\u{1b}[31mred; mackerel-plugin-wasm run gostats --help lists all options
    ");
}

#[test]
fn choice_lists_its_values() {
    insta::assert_snapshot!(error("run gostats --scheme ftp"), @"
    error: invalid value 'ftp' for '--scheme <SCHEME>'
      [possible values: http, https]

      tip: a similar value exists: 'http'

    For more information, try '--help'.
    ");
}

#[test]
fn option_without_its_value_is_rejected() {
    insta::assert_snapshot!(error("run gostats --path"), @"
    error: a value is required for '--path <PATH>' but none was supplied

    For more information, try '--help'.
    ");
}

#[test]
fn invalid_values_are_rejected_with_the_reason() {
    let errors = [
        "--filter api",
        "--filter =api",
        "--container-port 0",
        "--container-port 65536",
        "--target localhost",
        "--target localhost:http",
        "--target http://localhost:80",
        "--target [::1:80",
        "--docker-host ftp://localhost",
        "--metric-key-prefix a..b",
        "--metric-key-prefix a.#",
        "--metric-key-prefix größe",
        "--instance-name ip",
        "--instance-name label:",
        "--timeout soon",
        "--timeout 0",
        "--timeout -1",
        "--deadline 0",
        "--memory-limit much",
        "--memory-limit 0",
        "--path stats",
        "surplus",
    ];
    let errors = errors.map(|options| {
        let stderr = error(&format!("run gostats {options}"));
        format!("{options}\n    {}\n", stderr.lines().next().unwrap_or_default())
    });
    insta::assert_snapshot!(errors.concat());
}

#[test]
fn conflicting_options_are_rejected() {
    let errors = [
        "--filter name=api",
        "--container-port 8080",
        "--docker-host unix:///var/run/docker.sock",
        "--instance-name name",
    ];
    let errors = errors.map(|option| {
        let stderr = error(&format!("run gostats --target 127.0.0.1:1 {option}"));
        format!("{option}\n    {}\n", stderr.lines().next().unwrap_or_default())
    });
    insta::assert_snapshot!(errors.concat(), @"
    --filter name=api
        error: the argument '--target <HOST:PORT>' cannot be used with '--filter <KEY=VALUE>'
    --container-port 8080
        error: the argument '--target <HOST:PORT>' cannot be used with '--container-port <PORT>'
    --docker-host unix:///var/run/docker.sock
        error: the argument '--target <HOST:PORT>' cannot be used with '--docker-host <URL>'
    --instance-name name
        mackerel-plugin-wasm: --target cannot be used with this --instance-name: a fixed target has no container; use --instance-name port
    ");
}

#[test]
fn unknown_collector_lists_the_known_ones() {
    insta::assert_snapshot!(error("run gostat"), @"mackerel-plugin-wasm: unknown collector 'gostat'; available: docker, gostats, prometheus, redis; a component can be run by the path of its .wasm file");
}

#[test]
fn missing_file_is_rejected() {
    insta::assert_snapshot!(error("run ./nowhere.wasm"), @"mackerel-plugin-wasm: ./nowhere.wasm: no such file");
}

#[test]
fn missing_collector_and_command_are_rejected() {
    insta::assert_snapshot!([error(""), error("run")].join("\n---\n"));
}

#[test]
fn help_shows_the_options_of_host_and_collector() {
    let output = Agent::without_engine().run("run gostats --help").exits(0).without_diagnostics();
    insta::assert_snapshot!(output.stdout);
}

#[test]
fn help_wraps_at_the_width_of_the_terminal() {
    for width in [60, 80, 140] {
        for command in ["--help", "install --help", "run docker --help", "run gostats -h", "conf redis --help"] {
            let agent = Agent::without_engine().with_env("COLUMNS", width.to_string());
            let output = agent.run(command).exits(0).without_diagnostics();
            let longest = output.stdout.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(longest <= width, "{command} at {width}: {output}");
        }
    }
}

#[test]
fn help_shows_the_commands() {
    let output = Agent::without_engine().run("--help").exits(0).without_diagnostics();
    insta::assert_snapshot!(output.stdout);
}

#[test]
fn list_shows_the_collectors() {
    let output = Agent::without_engine().run("list").exits(0).without_diagnostics();
    insta::assert_snapshot!(output.stdout, @"
    docker     0.1.0     CPU, memory, block I/O and more of each container (built in)
    gostats    0.1.0     Go runtime statistics from golang-stats-api-handler (built in)
    prometheus 0.1.0     Selected metrics in Prometheus' text format (built in)
    redis      0.1.0     Connections, queries, keys and memory of Redis, from INFO (built in)
    ");
}

#[test]
fn inspect_shows_the_capabilities_of_a_collector() {
    let output = Agent::without_engine().run("inspect gostats").exits(0).without_diagnostics();
    // Masked values that depend on the compiler: the size, the digest, and the imports of its standard library.
    let changes = |line: &&str| ["origin ", "digest ", "  wasi:"].iter().any(|start| line.starts_with(start));
    let (changing, fixed): (Vec<_>, Vec<_>) = output.stdout.lines().partition(changes);
    insta::assert_snapshot!(fixed.join("\n"));
    let digest = changing.iter().find_map(|line| line.strip_prefix("digest    sha256:")).expect("a digest");
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    assert!(changing.iter().any(|line| line.starts_with("origin    built in, ") && line.ends_with(" KiB")), "{output}");
}

#[test]
fn reference_lists_the_enforced_limits() {
    let output = Agent::without_engine().run("inspect gostats").exits(0).without_diagnostics();
    let (_, limits) = output.stdout.split_once("\nlimits\n").expect("a section of limits");
    assert!(limits.lines().count() > 20, "{limits}");
    let reference = include_str!("../docs/reference.md");
    assert!(
        reference.contains(&format!("```\nlimits\n{limits}```\n")),
        "docs/reference.md should show this:\n{limits}"
    );
}

#[test]
fn durations_are_seconds_or_have_a_unit() {
    let agent = Agent::without_engine();
    for timeout in ["3", "0.5", "500ms", "10s", "1m"] {
        // Port 1 is closed: the options are parsed, then the one target fails.
        let _ = agent.run(&format!("run gostats --target 127.0.0.1:1 --timeout {timeout}")).exits(1);
    }
}

#[test]
fn version_is_one_line_or_lists_all_parts() {
    let agent = Agent::without_engine();
    let version = format!("mackerel-plugin-wasm {}\n", env!("CARGO_PKG_VERSION"));
    for words in ["--version", "-V"] {
        assert_eq!(agent.run(words).exits(0).without_diagnostics().stdout, version, "{words}");
    }
    for words in ["--version --verbose", "--verbose -V"] {
        let printed = agent.run(words).exits(0).without_diagnostics().stdout;
        assert!(printed.starts_with(&version) && printed.lines().count() == 5, "{printed}");
    }
    assert!(error("--version list").contains("cannot be used with '--version'"));
}
