//! `conf` writes configuration from which mackerel-agent runs the typed command, and by which an instance sets itself
//! up.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Ended, Stdio};

use scenarios::agent::{Agent, Output, component, program};
use scenarios::engine::Engine;
use scenarios::registry::Registry;
use scenarios::stub_target::StubTarget;
use scenarios::third_party::{named, sha256};
use scenarios::{mask, skip, stats};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The options that a cloud-config requires.
const NEEDED: &str =
    "--cloud-init --ecs-cluster shop --api-key-from ssm:/mackerel/api-key --plugin-from s3://tools/plugin";

/// A cloud-config with all options except those of a third-party collector.
const ALL: &str = "conf redis --filter label=app=cache --cloud-init --ecs-cluster shop --role shop:cache \
    --api-key-from ssm:/mackerel/api-key --plugin-from s3://tools/plugin --password-file /etc/redis/password \
    --secret-from /etc/redis/password=secretsmanager:redis --total sum --deadline 60s";

/// A cloud-config with as few options as possible.
const LEAST: &str = "conf gostats --cloud-init --ecs-cluster shop --api-key-from file:/etc/api-key \
    --plugin-from https://example.com/plugin?version=1&os=linux";

/// A plugin's section of mackerel-agent.conf.
#[derive(Debug)]
struct Plugin {
    section: String,
    command: Vec<String>,
    timeout_seconds: Option<u64>,
    env: BTreeMap<String, String>,
}

impl Plugin {
    /// Parses a configuration with exactly one plugin.
    fn read(conf: &str) -> Self {
        let conf: Value = toml::from_str(conf).unwrap_or_else(|error| panic!("{error} in {conf}"));
        let metrics = conf["plugin"]["metrics"].as_object().unwrap_or_else(|| panic!("no plugin: {conf}"));
        assert_eq!(conf, json!({"plugin": {"metrics": metrics}}), "nothing else");
        let (section, plugin) = metrics.iter().next().expect("a section");
        assert_eq!(metrics.len(), 1, "{conf}");
        let known = ["command", "timeout_seconds", "env"];
        assert!(plugin.as_object().expect("a table").keys().all(|key| known.contains(&key.as_str())), "{conf}");
        let texts = |value: &Value| value.as_str().expect("a text").to_owned();
        let env = plugin["env"].as_object().into_iter().flatten();
        Self {
            section: section.clone(),
            command: plugin["command"].as_array().expect("a list").iter().map(texts).collect(),
            timeout_seconds: plugin["timeout_seconds"].as_u64(),
            env: env.map(|(name, value)| (name.clone(), texts(value))).collect(),
        }
    }

    /// Runs `conf` with these arguments on this agent's machine.
    fn of(agent: &Agent, words: &str) -> Self {
        Self::read(&agent.run(&format!("conf {words}")).exits(0).without_diagnostics().stdout)
    }

    /// Returns the arguments after the program.
    fn arguments(&self) -> Vec<&str> {
        self.command[1..].iter().map(String::as_str).collect()
    }

    /// Runs the plugin as mackerel-agent does, in the agent's environment and folder.
    fn run(&self, folder: &Path, meta: &str) -> (String, String) {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).current_dir("/").stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("MACKEREL_PLUGIN_WORKDIR", folder);
        command.envs(&self.env).env("MACKEREL_AGENT_PLUGIN_META", meta);
        let Ended { status, stdout, stderr } = command.output().expect("the program can be started");
        let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8(text).expect("UTF-8"));
        assert!(status.success(), "{self:?}: {stderr}");
        (stdout, stderr)
    }

    /// Returns the keys of the printed values.
    fn keys(&self, folder: &Path) -> Vec<String> {
        let (stdout, stderr) = self.run(folder, "");
        assert_eq!(stderr, "");
        stdout.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }
}

/// Returns stderr of a wrong command.
fn error(arguments: &str) -> String {
    let output = Agent::without_engine().run(arguments).exits(2);
    assert_eq!(output.stdout, "", "stdout of {output}");
    output.stderr
}

/// Runs the program with arguments that may contain white space, on a machine without an engine.
fn conf_of(words: &[&str]) -> String {
    let mut command = Command::new(program());
    command.arg("conf").args(words).env_remove("DOCKER_HOST").stdin(Stdio::null());
    let Ended { status, stdout, stderr } = command.output().expect("the program can be started");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

#[test]
fn run_command_becomes_a_section_of_the_agents_configuration() {
    let agent = Agent::without_engine();
    let output = agent.run("conf gostats --filter name=api --path /stats").exits(0).without_diagnostics();
    insta::assert_snapshot!(mask::path(&output.stdout, &program(), "PROGRAM"), @r#"
    # Another section for gostats needs its own --section and --metric-key-prefix: mackerel-agent reads one section of
    # each name, and metrics of equal names overwrite each other.
    [plugin.metrics.gostats]
    command = ["PROGRAM", "run", "gostats", "--filter", "name=api", "--path", "/stats"]

    [plugin.metrics.gostats.env]
    DOCKER_HOST = "unix:///nonexistent/docker.sock"
    "#);
    let plugin = Plugin::read(&output.stdout);
    assert_eq!(plugin.section, "gostats");
    let own = Path::new(&plugin.command[0]);
    assert!(own.is_absolute(), "{plugin:?}");
    assert_eq!(fs::canonicalize(own).expect("it is there"), fs::canonicalize(program()).expect("it is there"));
    assert_eq!(plugin.arguments(), ["run", "gostats", "--filter", "name=api", "--path", "/stats"]);
    assert_eq!(plugin.timeout_seconds, None, "the agent's default timeout is enough");
}

#[test]
fn section_is_named_after_the_metric_prefix_without_dots() {
    let plugin = Plugin::of(&Agent::without_engine(), "gostats --metric-key-prefix web.go");
    assert_eq!(plugin.section, "web_go");
}

#[test]
fn two_sections_of_one_collector_have_two_names() {
    let agent = Agent::without_engine();
    let front = "gostats --filter label=app=front";
    let back = "gostats --section gostats-back --metric-key-prefix gostats_back --filter label=app=back";
    // Both in one file, as an operator joins them.
    let conf = [front, back].map(|words| agent.run(&format!("conf {words}")).exits(0).without_diagnostics().stdout);
    let conf: Value = toml::from_str(&conf.concat()).expect("TOML without repeated tables");
    let sections: Vec<_> = conf["plugin"]["metrics"].as_object().expect("sections").keys().collect();
    assert_eq!(sections, ["gostats", "gostats-back"]);
    let command = conf["plugin"]["metrics"]["gostats-back"]["command"].as_array().expect("a command");
    let words: Vec<_> = command[1..].iter().filter_map(Value::as_str).collect();
    assert_eq!(words.join(" "), "run gostats --metric-key-prefix gostats_back --filter label=app=back");
}

#[test]
fn section_names_the_file_of_a_cloud_config() {
    let config = CloudConfig::of(&format!("conf gostats {NEEDED} --section back"));
    let plugin = Plugin::read(config.content("/etc/mackerel-agent/conf.d/back.conf"));
    assert_eq!((plugin.section.as_str(), plugin.arguments()), ("back", vec!["run", "gostats"]));
}

#[test]
fn invalid_section_names_are_rejected() {
    let long = "a".repeat(65);
    let errors = ["a.b", "größe", "../back", "", &long].map(|name| {
        let output = Agent::without_engine().run(&format!("conf gostats --section={name}")).exits(2);
        output.stderr.lines().next().unwrap_or_default().to_owned() + "\n"
    });
    insta::assert_snapshot!(errors.concat(), @"
    error: invalid value 'a.b' for '--section <NAME>': expected a name of at most 64 characters a-z, A-Z, 0-9, - and _
    error: invalid value 'größe' for '--section <NAME>': expected a name of at most 64 characters a-z, A-Z, 0-9, - and _
    error: invalid value '../back' for '--section <NAME>': expected a name of at most 64 characters a-z, A-Z, 0-9, - and _
    error: invalid value '' for '--section <NAME>': expected a name of at most 64 characters a-z, A-Z, 0-9, - and _
    error: invalid value 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' for '--section <NAME>': expected a name of at most 64 characters a-z, A-Z, 0-9, - and _
    ");
}

/// Arguments that have a special meaning in a shell, TOML or YAML.
const SPECIAL: [&str; 14] = [
    r#"label=a"b\c"#,
    "name=日本 語",
    "label=x='y'",
    "label=tab\there",
    "label=two\nlines\n",
    "label=\n  indented",
    "label='''\"\"\"",
    "label=$HOME$(id)`id`",
    "label=x # no comment",
    "label=*",
    "label=a\\",
    "label=\r\nold",
    "label= @CLUSTER @SECTION ",
    "label=--cloud-init",
];

#[test]
fn arguments_arrive_unchanged() {
    let words: Vec<_> =
        ["gostats"].into_iter().chain(SPECIAL.into_iter().flat_map(|word| ["--filter", word])).collect();
    let expected = [vec!["run"], words.clone()].concat();
    assert_eq!(Plugin::read(&conf_of(&words)).arguments(), expected);
    let all: Vec<_> = words.into_iter().chain(NEEDED.split(' ')).collect();
    let config = CloudConfig::read(&conf_of(&all));
    assert_eq!(Plugin::read(config.content("/etc/mackerel-agent/conf.d/gostats.conf")).arguments(), expected);
}

#[test]
fn argument_that_yaml_cannot_hold_is_rejected() {
    let output = Agent::without_engine().run(&format!("conf gostats --filter label=a\u{feff}b {NEEDED}")).exits(2);
    insta::assert_snapshot!(output.stderr, @r"mackerel-plugin-wasm: cloud-init's YAML cannot contain: label=a\u{feff}b");
    assert_eq!(output.stdout, "");
}

#[test]
fn relative_paths_become_absolute() {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("strange.wasm"), named("strange")).expect("a file");
    let (path, whole) =
        (folder.path().display().to_string(), |name: &str| folder.path().join(name).display().to_string());
    let agent = Agent::without_engine().with_launcher(&["env", "--chdir", &path]);
    let target = StubTarget::serving(stats::body(60_000_000_000, 7));
    let words = format!("--target {} --path /stats", target.target());
    let plugin = Plugin::of(&agent, &format!("./strange.wasm {words}"));
    let expected = format!("run {} {words}", whole("strange.wasm"));
    assert_eq!(plugin.arguments().join(" "), expected);
    assert_eq!(plugin.env, BTreeMap::new(), "a request to the engine");
    // If it is not installed, the agent's log has the advice about the compilation.
    let (values, _) = plugin.run(folder.path(), "");
    assert!(values.starts_with(&format!("strange.{}.", target.port())), "{values}");
    // The file of the secret need not exist: only the run reads it.
    for words in ["--password-file pw", "--password-file=pw", "--password-file ./pw"] {
        let plugin = Plugin::of(&agent, &format!("redis {words} --total sum"));
        assert_eq!(plugin.arguments().join(" "), format!("run redis --password-file {} --total sum", whole("pw")));
    }
}

#[test]
fn files_about_requests_become_absolute_and_are_not_read() {
    let agent = Agent::without_engine().with_launcher(&["env", "--chdir", "/"]);
    let words = "gostats --target 127.0.0.1:1 --scheme https --http-header Host:api.example.com --http-header-file headers \
        --http-user mackerel --http-password-file=password --tls-ca-file ca.pem";
    let plugin = Plugin::of(&agent, words);
    let expected = "run gostats --target 127.0.0.1:1 --scheme https --http-header Host:api.example.com \
        --http-header-file /headers --http-user mackerel --http-password-file /password --tls-ca-file /ca.pem";
    assert_eq!(plugin.arguments().join(" "), expected);
    let plugin = Plugin::of(&agent, "gostats --target 127.0.0.1:1 --http-bearer-token-file token");
    assert_eq!(plugin.arguments().join(" "), "run gostats --target 127.0.0.1:1 --http-bearer-token-file /token");
}

#[test]
fn secret_header_in_arguments_is_not_written_into_the_configuration() {
    for header in ["Authorization:s3cr3t", "X-Api-Key:s3cr3t"] {
        let error = error(&format!("conf gostats --http-header {header}"));
        assert!(!error.contains("s3cr3t"), "{error}");
    }
    insta::assert_snapshot!(error("conf gostats --http-header Authorization:s3cr3t"), @"mackerel-plugin-wasm: conf would write the value of the header authorization into the configuration: put the header into a file and use --http-header-file");
}

#[test]
fn trusted_roots_of_the_environment_are_included() {
    let agent = || {
        let agent = Agent::without_engine().with_launcher(&["env", "--chdir", "/etc"]);
        agent.with_env("SSL_CERT_FILE", "ca.pem").with_env("SSL_CERT_DIR", "certs:/opt/certs")
    };
    let env = |agent: Agent, words: &str| {
        let env = Plugin::of(&agent, words).env;
        env.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    let both = "SSL_CERT_DIR=/etc/certs:/opt/certs SSL_CERT_FILE=/etc/ca.pem";
    assert_eq!(env(agent(), "gostats --target 127.0.0.1:1 --scheme https"), both);
    assert_eq!(env(agent(), "gostats --target 127.0.0.1:1 --scheme https --tls-ca-file own.pem"), "");
    assert_eq!(env(agent(), "docker --docker-host unix:///run/docker.sock"), "");
    let tls = agent().with_env("DOCKER_CERT_PATH", "docker");
    let with_engine = format!("DOCKER_CERT_PATH=/etc/docker {both}");
    assert_eq!(env(tls, "docker --docker-host tcp://engine.example:2376"), with_engine);
    let output = agent().run(&format!("conf gostats {NEEDED}")).exits(0);
    insta::assert_snapshot!(output.stderr, @"
    mackerel-plugin-wasm: SSL_CERT_FILE of this shell is not carried over to the instance: use --tls-ca-file
    mackerel-plugin-wasm: SSL_CERT_DIR of this shell is not carried over to the instance: use --tls-ca-file
    ");
}

#[test]
fn cloud_config_fetches_the_files_about_requests() {
    let words = "gostats --scheme https --tls-ca-file /etc/ca.pem --http-bearer-token-file /etc/token";
    let error = error(&format!("conf {words} {NEEDED}"));
    insta::assert_snapshot!(error, @"mackerel-plugin-wasm: unknown source of the file /etc/token: add --secret-from /etc/token=ssm:PARAMETER");
    let from = "--secret-from /etc/ca.pem=file:/etc/ca.pem --secret-from /etc/token=ssm:/token";
    let config = Agent::without_engine().run(&format!("conf {words} {NEEDED} {from}")).exits(0).without_diagnostics();
    let config = CloudConfig::read(&config.stdout);
    let lines: Vec<_> = config
        .content(config.script())
        .lines()
        .filter(|line| line.contains("/etc/ca.pem") || line.contains("/etc/token"))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    mkdir -p "$(dirname /etc/token)"
    rm -f /etc/token
    aws ssm get-parameter --with-decryption --name '/token' --query Parameter.Value --output text > /etc/token
    [ -s /etc/token ] || { echo '/etc/token: the file is empty' >&2; exit 1; }
    [ -s /etc/ca.pem ] || { echo '/etc/ca.pem: the file is empty' >&2; exit 1; }
    "#);
}

#[test]
fn required_environment_variables_are_included() {
    let engine = "tcp://engine.example:2376";
    let tls = || {
        Agent::with_docker_host(engine).with_env("DOCKER_TLS_VERIFY", "1").with_env("DOCKER_CERT_PATH", "/etc/docker")
    };
    let env = |agent: Agent, words: &str| {
        let env = Plugin::of(&agent, words).env;
        env.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(env(Agent::with_docker_host(engine), "gostats"), format!("DOCKER_HOST={engine}"));
    let all = format!("DOCKER_CERT_PATH=/etc/docker DOCKER_HOST={engine} DOCKER_TLS_VERIFY=1");
    assert_eq!(env(tls(), "gostats"), all);
    assert_eq!(env(Agent::with_docker_host(""), "gostats"), "");
    assert_eq!(env(Agent::with_docker_host(engine), &format!("gostats --docker-host {engine}")), "");
    let tls_alone = "DOCKER_CERT_PATH=/etc/docker DOCKER_TLS_VERIFY=1";
    assert_eq!(env(tls(), &format!("gostats --docker-host {engine}")), tls_alone);
    assert_eq!(env(tls(), "gostats --target 127.0.0.1:80"), "");
    // An instance is another machine.
    let config = tls().run(&format!("conf gostats {NEEDED}")).exits(0).without_diagnostics();
    let config = CloudConfig::read(&config.stdout);
    assert_eq!(Plugin::read(config.content("/etc/mackerel-agent/conf.d/gostats.conf")).env, BTreeMap::new());
}

#[test]
fn store_folder_of_an_installed_collector_is_included() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("strange.wasm");
    fs::write(&file, named("strange")).expect("a file");
    let store = folder.path().join("store");
    let agent = Agent::without_engine().with_env("MACKEREL_PLUGIN_WASM_STORE", &store);
    let _ = agent.run(&format!("install {}", file.display())).exits(0).without_diagnostics();
    let plugin = Plugin::of(&agent, "strange --target 127.0.0.1:1");
    assert_eq!(plugin.arguments(), ["run", "strange", "--target", "127.0.0.1:1"]);
    let store = store.display().to_string();
    assert_eq!(plugin.env, BTreeMap::from([("MACKEREL_PLUGIN_WASM_STORE".to_owned(), store)]));
    let (definitions, errors) = plugin.run(folder.path(), "1");
    assert!(definitions.contains("\"strange.#.memory\"") && errors.is_empty(), "{definitions}{errors}");
    // An instance can only install from a registry.
    let error = agent.run(&format!("conf strange {NEEDED}")).exits(2).stderr;
    insta::assert_snapshot!(error, @"mackerel-plugin-wasm: the instance has no file strange: push it to a registry with mackerel-plugin-wasm push, and install it from there");
}

#[test]
fn timeout_is_set_if_the_run_may_outlast_the_agents_default() {
    let agent = Agent::without_engine();
    let timeout = |words: &str| Plugin::of(&agent, &format!("gostats {words}")).timeout_seconds;
    assert_eq!(timeout(""), None);
    assert_eq!(timeout("--deadline 10s"), None);
    assert!(timeout("--deadline 60s") > Some(60));
    assert!(timeout("--deadline 29.5") > Some(30));
}

#[test]
fn agent_runs_the_typed_command() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let _apps = group.apps(2);
    let words = "--path /stats --total sum --select memory.* --instance-name slot --targets-graph";
    let agent = Agent::with_engine(engine);
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("plugin.conf");
    let output = agent.run(&format!("conf gostats --filter {} {words}", group.filter())).exits(0).without_diagnostics();
    fs::write(&file, output.stdout).expect("a file");
    let plugin = Plugin::read(&fs::read_to_string(&file).expect("our own file"));
    let (definitions, errors) = plugin.run(folder.path(), "1");
    let typed = agent.definitions(&format!("run gostats --filter {} {words}", group.filter())).exits(0);
    assert_eq!((definitions, errors), (typed.stdout, String::new()));
    let keys = plugin.keys(folder.path());
    insta::assert_snapshot!(keys.join("\n"));
    assert_eq!(plugin.keys(folder.path()), keys, "a slot is kept");
}

/// A parsed cloud-config.
#[derive(Debug)]
struct CloudConfig(Value);

impl CloudConfig {
    fn read(text: &str) -> Self {
        assert!(text.starts_with("#cloud-config\n"), "{text}");
        let config: Value = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"));
        let sections: Vec<_> = config.as_object().expect("an object").keys().collect();
        assert_eq!(sections, ["runcmd", "write_files"]);
        Self(config)
    }

    fn of(command: &str) -> Self {
        Self::read(&Agent::without_engine().run(command).exits(0).without_diagnostics().stdout)
    }

    /// Returns the files as paths, permissions and contents.
    fn files(&self) -> Vec<[&str; 3]> {
        let files = self.0["write_files"].as_array().expect("a list").iter();
        files
            .map(|file| ["path", "permissions", "content"].map(|field| file[field].as_str().expect("a text")))
            .collect()
    }

    /// Returns the content of this file.
    fn content(&self, path: &str) -> &str {
        let file = self.files().into_iter().find(|[of, ..]| *of == path);
        file.unwrap_or_else(|| panic!("no {path}: {self:?}"))[2]
    }

    /// Returns the path of the setup script, the only command that is run.
    fn script(&self) -> &str {
        let path = &self.0["runcmd"][0][0];
        assert_eq!(self.0["runcmd"], json!([[path]]), "one command of one word");
        path.as_str().expect("a text")
    }
}

#[test]
fn cloud_config_snapshot() {
    let agent = Agent::without_engine();
    let text = |command: &str| mask::digests(&agent.run(command).exits(0).without_diagnostics().stdout);
    insta::assert_snapshot!("cloud_config_with_all", text(ALL));
    insta::assert_snapshot!("cloud_config_with_the_least", text(LEAST));
}

#[test]
fn cloud_config_writes_the_agents_files() {
    let config = CloudConfig::of(ALL);
    let paths: Vec<_> = config.files().into_iter().map(|[path, permissions, _]| (path, permissions)).collect();
    let expected = [
        ("/etc/sysconfig/mackerel-agent", "0644"),
        ("/etc/mackerel-agent/conf.d/redis.conf", "0644"),
        ("/usr/local/sbin/mackerel-plugin-wasm-setup", "0755"),
    ];
    assert_eq!(paths, expected);
    assert_eq!(config.script(), "/usr/local/sbin/mackerel-plugin-wasm-setup");
    assert_eq!(config.content("/etc/sysconfig/mackerel-agent"), "AUTO_RETIREMENT=1\n");
    let plugin = Plugin::read(config.content("/etc/mackerel-agent/conf.d/redis.conf"));
    assert_eq!(plugin.section, "redis");
    // All options except those of `conf` itself.
    let command = "/usr/local/bin/mackerel-plugin-wasm run redis --filter label=app=cache --password-file /etc/redis/password \
        --total sum --deadline 60s";
    assert_eq!(plugin.command.join(" "), command);
    assert!(plugin.timeout_seconds > Some(60), "{plugin:?}");
}

#[test]
fn options_of_conf_accept_an_equals_sign() {
    let needed = NEEDED.replace("--ecs-cluster ", "--ecs-cluster=").replace("-from ", "-from=");
    let config = CloudConfig::of(&format!("conf gostats {needed} --role=shop:api --path=/role"));
    let plugin = Plugin::read(config.content("/etc/mackerel-agent/conf.d/gostats.conf"));
    assert_eq!(plugin.arguments(), ["run", "gostats", "--path", "/role"]);
}

#[test]
fn setup_script_passes_sh_and_shellcheck() {
    let folder = TempDir::new().expect("a temporary folder");
    let is_there = skip::has_commands(&["shellcheck"], "the style of the script that sets an instance up");
    for command in [ALL, LEAST] {
        let config = CloudConfig::of(command);
        let path = folder.path().join("setup");
        fs::write(&path, config.content(config.script())).expect("a file");
        for checker in [&["sh", "-n"][..], &["shellcheck"]].into_iter().take(1 + usize::from(is_there)) {
            let found = Command::new(checker[0]).args(&checker[1..]).arg(&path).output().expect("it can be started");
            let said = [found.stdout, found.stderr].concat();
            assert!(found.status.success() && said.is_empty(), "{checker:?}: {}", String::from_utf8_lossy(&said));
        }
    }
}

/// The commands of the machine that the setup script can use.
const TOOLS: [&str; 11] =
    ["cat", "cp", "dirname", "grep", "install", "mkdir", "mktemp", "rm", "sh", "sha256sum", "tail"];

/// Replacements for commands that use the network or that Debian lacks. They log their calls.
const FAKE_COMMANDS: [(&str, &str); 7] = [
    (
        "aws",
        r#"echo "aws $* (in $AWS_DEFAULT_REGION)" >> "$STAGE/log"
case "$1 $2" in
's3 cp') cp "$STAGE/program" "$5" ;;
*)
    while [ "$1" != --name ] && [ "$1" != --secret-id ]; do shift; done
    cat "$STAGE/secrets/$2"
    ;;
esac"#,
    ),
    (
        "curl",
        r#"echo "curl $*" >> "$STAGE/log"
case "$6" in
https://mackerel.io/*) echo 'echo "what curl got is run" >> "$STAGE/log"' > "$5" ;;
*) cp "$STAGE/program" "$5" ;;
esac"#,
    ),
    (
        "yum",
        r#"[ -e /etc/mackerel-agent/mackerel-agent.conf ] && state='configured'
echo "yum $* (the agent is ${state:-not configured})" >> "$STAGE/log"
case "$3" in
awscli-2) exit 1 ;;
awscli) install -m 755 "$STAGE/stand-ins/aws" "$STAGE/bin/aws" ;;
esac"#,
    ),
    (
        "rpm",
        r#"echo "rpm $*" >> "$STAGE/log"
install -m 755 "$4" "$STAGE/local/bin/mackerel-plugin-wasm""#,
    ),
    ("uname", r#"cat "$STAGE/arch""#),
    ("systemctl", r#"echo "systemctl $*" >> "$STAGE/log""#),
    ("cloud-init", "[ \"$*\" = 'query region' ] && echo ap-northeast-1"),
];

/// An ECS container instance as its setup script sees it: /etc and /usr/local of its own, and no network.
struct Instance {
    stage: TempDir,
    script: String,
}

impl Instance {
    /// Creates an instance on which cloud-init has written the files. Reports it if this user cannot mount.
    fn with(config: &CloudConfig) -> Option<Self> {
        let mut probe = Command::new("unshare");
        probe.args(["--mount", "--net", "mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null());
        if !probe.status().is_ok_and(|status| status.success()) {
            skip::notice("cannot mount in a namespace of mounts: not root?", "that an instance sets itself up");
            return None;
        }
        let instance = Self { stage: TempDir::new().expect("a temporary folder"), script: config.script().to_owned() };
        for folder in ["bin", "etc/ecs", "local/bin", "stand-ins", "secrets/mackerel", "tmp"] {
            fs::create_dir_all(instance.path(folder)).expect("a folder of our own");
        }
        for tool in TOOLS {
            let path =
                ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool)).into_iter().find(|path| path.exists());
            symlink(path.unwrap_or_else(|| panic!("no {tool}")), instance.path("bin").join(tool)).expect("a link");
        }
        for (name, text) in FAKE_COMMANDS {
            instance.write(&format!("bin/{name}"), "755", &format!("#!/bin/sh\n{text}\n"));
        }
        symlink(program(), instance.path("program")).expect("a link");
        instance.write("secrets//mackerel/api-key", "600", "the-api-key\n");
        instance.write("secrets/redis", "600", "open sesame\n");
        for [path, permissions, content] in config.files() {
            let place = path.strip_prefix("/usr/local/").map(|rest| format!("local/{rest}"));
            instance.write(&place.unwrap_or_else(|| path.trim_start_matches('/').to_owned()), permissions, content);
        }
        Some(instance)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.stage.path().join(name)
    }

    /// Writes a file through another process: a program cannot be started while a process has it open for writing, such
    /// as a child of another scenario.
    fn write(&self, name: &str, permissions: &str, content: &str) {
        let text = self.path("text");
        fs::write(&text, content).expect("a file of our own");
        let mut install = Command::new("install");
        install.args(["-D", "-m", permissions]).arg(text).arg(self.path(name));
        assert!(install.status().expect("install").success(), "{name}");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn permissions(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}")).permissions().mode() & 0o7777
    }

    /// Runs the setup script as cloud-init does.
    fn set_up(&self) -> Ended {
        let order = r#"umask 022
mount --bind "$STAGE/etc" /etc
mount --bind "$STAGE/local" /usr/local
PATH=$STAGE/bin exec "$0""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "sh", "-euc", order, &self.script]).stdin(Stdio::null()).current_dir("/");
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("STAGE", self.stage.path()).env("TMPDIR", self.path("tmp"));
        command.output().expect("unshare can be started")
    }

    /// Runs it with success.
    #[track_caller]
    fn set_up_successfully(&self) {
        let Ended { status, stderr, .. } = self.set_up();
        assert!(status.success(), "{status}: {}{}", String::from_utf8_lossy(&stderr), self.log());
    }

    /// Runs it, expects a failure that starts neither the agent nor its service, and returns its output.
    #[track_caller]
    fn fails(&self) -> String {
        let Ended { status, stdout, stderr } = self.set_up();
        let said = [stdout, stderr].map(|text| String::from_utf8(text).expect("UTF-8")).concat();
        assert!(!status.success(), "{said}");
        assert!(!self.log().contains("mackerel-agent"), "{}", self.log());
        self.mask(&said)
    }

    /// Returns the logged calls.
    fn log(&self) -> String {
        self.mask(&fs::read_to_string(self.path("log")).unwrap_or_default())
    }

    /// Masks the names of temporary files.
    fn mask(&self, text: &str) -> String {
        let text = mask::path(text, self.stage.path(), "STAGE");
        let mut pieces = text.split("STAGE/tmp/tmp.");
        let first = pieces.next().unwrap_or_default().to_owned();
        pieces
            .fold(first, |masked, piece| masked + "NEW" + piece.trim_start_matches(|c: char| c.is_ascii_alphanumeric()))
    }

    /// Returns the agent's configuration.
    fn agent(&self) -> Value {
        toml::from_str(&self.read("etc/mackerel-agent/mackerel-agent.conf")).expect("TOML")
    }
}

#[test]
fn instance_sets_itself_up() {
    let Some(instance) = Instance::with(&CloudConfig::of(ALL)) else { return };
    instance.write("etc/ecs/ecs.config", "644", "ECS_ENABLE_TASK_IAM_ROLE=true\n");
    instance.set_up_successfully();
    insta::assert_snapshot!(instance.log());
    let check = |instance: &Instance| {
        assert_eq!(instance.read("etc/ecs/ecs.config"), "ECS_ENABLE_TASK_IAM_ROLE=true\nECS_CLUSTER=shop\n");
        let expected = json!({
            "apikey": "the-api-key",
            "include": "/etc/mackerel-agent/conf.d/*.conf",
            "roles": ["shop:cache"],
            "host_status": {"on_start": "working", "on_stop": "poweroff"},
        });
        assert_eq!(instance.agent(), expected);
        assert_eq!(instance.permissions("etc/mackerel-agent/mackerel-agent.conf"), 0o600);
        assert_eq!(instance.read("etc/redis/password"), "open sesame\n");
        assert_eq!(instance.permissions("etc/redis/password"), 0o600);
        assert_eq!(instance.permissions("local/bin/mackerel-plugin-wasm"), 0o755);
        assert_eq!(fs::read_dir(instance.path("tmp")).expect("a folder").count(), 0, "leftover files");
    };
    check(&instance);
    let version = |program: &Path| Command::new(program).arg("--version").output().expect("it can be started").stdout;
    let installed = version(&instance.path("local/bin/mackerel-plugin-wasm"));
    assert!(!installed.is_empty());
    assert_eq!(installed, version(&program()));
    // A second run by hand changes nothing.
    let log = instance.log();
    instance.set_up_successfully();
    check(&instance);
    assert_eq!(instance.log(), log.repeat(2));
}

#[test]
fn instance_with_all_files_does_not_call_aws() {
    let Some(instance) = Instance::with(&CloudConfig::of(LEAST)) else { return };
    fs::remove_file(instance.path("bin/aws")).expect("our own file");
    instance.write("etc/api-key", "600", "another-key");
    instance.set_up_successfully();
    insta::assert_snapshot!(instance.log(), @"
    curl -fsSL --retry 5 -o NEW https://example.com/plugin?version=1&os=linux
    curl -fsSL --retry 5 -o NEW https://mackerel.io/file/script/amznlinux/setup-yum-v2.sh
    what curl got is run
    yum install -y mackerel-agent (the agent is configured)
    systemctl enable --now mackerel-agent
    ");
    let agent = instance.agent();
    assert_eq!((&agent["apikey"], agent.get("roles")), (&json!("another-key"), None));
    assert_eq!(instance.read("etc/ecs/ecs.config"), "ECS_CLUSTER=shop\n");
}

#[test]
fn instance_installs_a_missing_aws_command() {
    let Some(instance) = Instance::with(&CloudConfig::of(ALL)) else { return };
    fs::rename(instance.path("bin/aws"), instance.path("stand-ins/aws")).expect("our own file");
    instance.set_up_successfully();
    let first: Vec<_> = instance.log().lines().take(3).map(str::to_owned).collect();
    insta::assert_snapshot!(first.join("\n"), @"
    yum install -y awscli-2 (the agent is not configured)
    yum install -y awscli (the agent is not configured)
    aws s3 cp --only-show-errors s3://tools/plugin NEW (in ap-northeast-1)
    ");
}

#[test]
fn instance_rejects_a_program_with_another_digest() {
    let said = [ALL, LEAST].map(|command| {
        let instance = Instance::with(&CloudConfig::of(command))?;
        fs::remove_file(instance.path("program")).expect("our own file");
        let mut bytes = fs::read(program()).expect("the program");
        let last = bytes.last_mut().expect("a byte");
        *last ^= 1;
        fs::write(instance.path("program"), bytes).expect("a file");
        let said = instance.fails();
        assert!(!instance.path("local/bin/mackerel-plugin-wasm").exists());
        assert!(!instance.path("etc/mackerel-agent/mackerel-agent.conf").exists());
        Some(said)
    });
    let [Some(first), Some(second)] = said else { return };
    assert_eq!(first, second);
    insta::assert_snapshot!(first, @"
    NEW: FAILED
    sha256sum: WARNING: 1 computed checksum did NOT match
    ");
}

/// Returns the sums of a release whose packages are all this file.
fn sums(package: &Path) -> String {
    let digest = sha256(&fs::read(package).expect("a file"));
    let line = |arch: &str| format!("{digest}  mackerel-plugin-wasm-{}-1.{arch}.rpm\n", env!("CARGO_PKG_VERSION"));
    line("x86_64") + &line("aarch64")
}

#[test]
fn instance_installs_the_package_for_its_architecture() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("SHA256SUMS");
    fs::write(&file, sums(&program())).expect("a file");
    let command = "conf gostats --cloud-init --ecs-cluster shop --api-key-from file:/etc/api-key";
    for (url, arch) in [("https://example.com/1/", "x86_64"), ("s3://tools/1", "aarch64"), ("s3://tools/1", "riscv64")]
    {
        let command = format!("{command} --plugin-from {url} --plugin-sums {}", file.display());
        let text = Agent::without_engine().run(&command).exits(0).without_diagnostics().stdout;
        assert!(text.contains("[\"/usr/bin/mackerel-plugin-wasm\", \"run\", \"gostats\"]"), "{text}");
        // The package's path on this machine is not the test's to write to.
        let config = CloudConfig::read(&text.replace("/usr/bin/mackerel", "/usr/local/bin/mackerel"));
        let Some(instance) = Instance::with(&config) else { return };
        instance.write("etc/api-key", "600", "key");
        instance.write("arch", "644", arch);
        if arch == "riscv64" {
            insta::assert_snapshot!(instance.fails(), @"there is no package for riscv64");
            continue;
        }
        instance.set_up_successfully();
        let log: Vec<_> = instance.log().lines().take(2).map(str::to_owned).collect();
        let version = env!("CARGO_PKG_VERSION");
        let name = format!("mackerel-plugin-wasm-{version}-1.{arch}.rpm");
        let download = match arch {
            "x86_64" => format!("curl -fsSL --retry 5 -o NEW https://example.com/1/{name}"),
            _ => format!("aws s3 cp --only-show-errors s3://tools/1/{name} NEW (in ap-northeast-1)"),
        };
        assert_eq!(log, [download, "rpm -U --replacepkgs --oldpackage NEW".to_owned()]);
        assert_eq!(instance.permissions("local/bin/mackerel-plugin-wasm"), 0o755);
    }
}

#[test]
fn program_that_does_not_run_on_the_instance_ends_the_set_up() {
    let folder = TempDir::new().expect("a temporary folder");
    let package = folder.path().join("package");
    fs::write(&package, "of another architecture").expect("a file");
    let file = folder.path().join("SHA256SUMS");
    fs::write(&file, sums(&package)).expect("a file");
    let command = LEAST.replace("https://example.com/plugin?version=1&os=linux", "https://example.com/1");
    let command = format!("{command} --plugin-sums {}", file.display());
    let text = Agent::without_engine().run(&command).exits(0).without_diagnostics().stdout;
    let config = CloudConfig::read(&text.replace("/usr/bin/mackerel", "/usr/local/bin/mackerel"));
    let Some(instance) = Instance::with(&config) else { return };
    instance.write("etc/api-key", "600", "key");
    instance.write("arch", "644", "x86_64");
    fs::remove_file(instance.path("program")).expect("our own file");
    fs::copy(&package, instance.path("program")).expect("a copy");
    let said = instance.fails();
    assert!(said.contains("/usr/local/bin/mackerel-plugin-wasm"), "{said}");
    assert!(!instance.path("etc/mackerel-agent/mackerel-agent.conf").exists());
}

#[test]
fn sums_without_a_package_are_rejected() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("SHA256SUMS");
    fs::write(&file, format!("{}  mackerel-plugin-wasm_linux_amd64.zip\n", "0".repeat(64))).expect("a file");
    let wrong = error(&format!("conf gostats {NEEDED} --plugin-sums {}", file.display()));
    insta::assert_snapshot!(mask::path(&wrong, &file, "FILE"), @"mackerel-plugin-wasm: --plugin-sums FILE: no rpm package for x86_64: use the file SHA256SUMS of a release");
    let old = fs::read_to_string(&file).expect("our own file").replace("_linux_amd64.zip", "-0.0.1-1.x86_64.rpm");
    fs::write(&file, old.clone() + &old.replace("x86_64", "aarch64")).expect("a file");
    let output =
        Agent::without_engine().run(&format!("conf gostats {NEEDED} --plugin-sums {}", file.display())).exits(0);
    let first = output.stderr.lines().next().unwrap_or_default();
    assert!(first.ends_with("but the instance installs mackerel-plugin-wasm-0.0.1-1.x86_64.rpm: options can differ"));
}

#[test]
fn further_sections_come_from_also() {
    let agent = Agent::without_engine();
    let conf = agent.run_words(&["conf", "gostats", "--also", "docker --graphs cpu,memory --section usage"]);
    let conf: Value = toml::from_str(&conf.exits(0).without_diagnostics().stdout).expect("TOML");
    let command = |section: &str| -> String {
        let words = conf["plugin"]["metrics"][section]["command"].as_array().unwrap_or_else(|| panic!("{conf}"));
        words[1..].iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(command("gostats"), "run gostats");
    assert_eq!(command("usage"), "run docker --graphs cpu,memory");

    let words =
        ["gostats", "--also", "docker --graphs cpu,memory", "--also", "redis --password-file /etc/redis/password"];
    let secret = ["--secret-from", "/etc/redis/password=ssm:/redis"];
    let all: Vec<_> = words.into_iter().chain(NEEDED.split(' ')).chain(secret).collect();
    let config = CloudConfig::read(&conf_of(&all));
    let files: Vec<_> = config.files().into_iter().map(|[path, ..]| path.to_owned()).collect();
    let expected = ["gostats", "docker", "redis"].map(|name| format!("/etc/mackerel-agent/conf.d/{name}.conf"));
    assert_eq!(files[1..4], expected);
    let plugin = Plugin::read(config.content("/etc/mackerel-agent/conf.d/docker.conf"));
    assert_eq!(plugin.arguments(), ["run", "docker", "--graphs", "cpu,memory"]);
    assert!(config.content(config.script()).contains("'/redis'"), "{config:?}");
}

#[test]
fn wrong_also_is_rejected() {
    let errors = ["", "'", "gostats", "gostat", "docker --graphs disk", "docker --cloud-init"].map(|also| {
        let output = Agent::without_engine().run_words(&["conf", "gostats", "--also", also]).exits(2);
        format!("{also}\n    {}\n", output.stderr.lines().next().unwrap_or_default())
    });
    insta::assert_snapshot!(errors.concat());
}

#[test]
fn instance_without_its_secrets_starts_no_agent() {
    let spoils: [fn(&Instance); 4] = [
        |instance| fs::remove_file(instance.path("program")).expect("our own file"),
        |instance| fs::remove_file(instance.path("secrets/mackerel/api-key")).expect("our own file"),
        |instance| instance.write("secrets/mackerel/api-key", "600", ""),
        |instance| fs::remove_file(instance.path("secrets/redis")).expect("our own file"),
    ];
    let config = CloudConfig::of(ALL);
    let said = spoils.map(|spoil| {
        let instance = Instance::with(&config)?;
        spoil(&instance);
        let said = instance.fails();
        assert!(!instance.path("etc/mackerel-agent/mackerel-agent.conf").exists());
        Some(said)
    });
    let said: Option<Vec<_>> = said.into_iter().collect();
    let Some(said) = said else { return };
    insta::assert_snapshot!(said.join("---\n"));
}

#[test]
fn cloud_config_contains_no_secret() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("password");
    fs::write(&file, "open sesame").expect("a file");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("our own file");
    let file = file.display();
    let options = format!("--password-file {file} --secret-from {file}=file:/run/password");
    for command in [format!("conf redis {options} {NEEDED}"), format!("conf redis --password-file {file}")] {
        let text = Agent::without_engine().run(&command).exits(0).without_diagnostics().stdout;
        assert!(!text.contains("sesame"), "{text}");
    }
}

#[test]
fn registry_collector_is_installed_by_digest() {
    let Some(registry) = Registry::start() else { return };
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("strange.wasm");
    fs::write(&file, named("strange")).expect("a file");
    let store = folder.path().join("store");
    let agent =
        Agent::without_engine().with_env("DOCKER_CONFIG", folder.path()).with_env("MACKEREL_PLUGIN_WASM_STORE", store);
    let reference = format!("oci://{}/tools/strange:1", registry.address());
    let succeeds = |command: &str| -> Output { agent.run(command).exits(0).without_diagnostics() };
    let pushed = succeeds(&format!("push {} {reference}", file.display()));
    let _ = succeeds(&format!("install {reference}"));
    let config = CloudConfig::read(&succeeds(&format!("conf strange {NEEDED}")).stdout);
    let script = config.content(config.script());
    let line = script.lines().find(|line| line.contains(" install oci:")).expect("a line that installs");
    let masked = mask::ports(&mask::digests(line));
    insta::assert_snapshot!(masked, @"/usr/local/bin/mackerel-plugin-wasm install oci://127.0.0.1:PORT/tools/strange:1@sha256:DIGEST");
    let (_, digest) = line.split_once('@').expect("a digest");
    assert!(pushed.stdout.contains(digest), "{line}: {pushed}");
    // Variables are expanded.
    let installed = agent.run(line.trim_start_matches("/usr/local/bin/mackerel-plugin-wasm "));
    let _ = installed.exits(0).without_diagnostics();
    let plugin = Plugin::read(config.content("/etc/mackerel-agent/conf.d/strange.conf"));
    assert_eq!((plugin.arguments(), &plugin.env), (vec!["run", "strange"], &BTreeMap::new()));
}

#[test]
fn invalid_options_are_rejected_with_the_reason() {
    let other = |from: &str, to: &str| NEEDED.replace(from, to);
    let file = component("gostats");
    let errors = [
        "gostats --cloud-init".to_owned(),
        "gostats --ecs-cluster shop".to_owned(),
        "gostats --role shop:api".to_owned(),
        format!("gostats {}", other("ssm:/mackerel/api-key", "file:api-key")),
        format!("gostats {}", other("ssm:/mackerel/api-key", "ssm:it's")),
        format!("gostats {}", other("s3://tools/plugin", "http://example.com/plugin")),
        format!("gostats {}", other("s3://tools/plugin", "https://example.com/it's")),
        format!("gostats {}", other("shop", "größe")),
        format!("gostats {NEEDED} --role shop"),
        format!("redis {NEEDED} --password-file /etc/redis/password"),
        format!("redis {NEEDED} --password-file password"),
        format!("redis {NEEDED} --secret-from /etc/redis/password=ssm:/redis"),
        format!("redis {NEEDED} --password-file /etc/redis/password --secret-from /etc/redis/password"),
        format!("{file} {NEEDED}"),
    ];
    let errors = errors.map(|words| {
        let shown = words.replace(&file, "FILE").replace(NEEDED, "NEEDED");
        format!("{shown}\n{}\n", error(&format!("conf {words}")).replace(&file, "FILE"))
    });
    insta::assert_snapshot!(errors.concat());
    // A name of two words, and a secret in place of its location.
    let in_two = Command::new(program()).args(["conf", "gostats", "--cloud-init", "--ecs-cluster", "a b"]).output();
    let in_two = in_two.expect("the program can be started");
    assert_eq!(in_two.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8_lossy(&in_two.stderr), @"
    error: invalid value 'a b' for '--ecs-cluster <NAME>': expected a cluster name of a-z, A-Z, 0-9, - and _

    For more information, try '--help'.
    ");
    let key = error(&format!("conf gostats {}", other("ssm:/mackerel/api-key", "s3cr3t")));
    insta::assert_snapshot!("a_key_in_place_of_where_it_is", key);
}
