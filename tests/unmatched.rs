//! Options that match nothing, and engines that are not the expected one: `explain` and `plan` report them, and `run`
//! reports names that exist nowhere.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use scenarios::agent::{Agent, Output};
use scenarios::engine::Engine;
use scenarios::fake_engine::{FakeEngine, container};
use scenarios::skip;
use scenarios::stats;
use scenarios::stub_target::StubTarget;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Returns the notes of `explain`, and stderr of `plan` and of `run`. Each has to end with this exit status.
#[track_caller]
fn reports(agent: &Agent, words: &str, code: i32) -> String {
    let explained = agent.run(&format!("explain {words} --json")).exits(code);
    let explained: Value =
        serde_json::from_str(&explained.stdout).unwrap_or_else(|error| panic!("{error}: {explained}"));
    let notes = explained["notes"].as_array().expect("notes").iter().filter_map(Value::as_str);
    let notes: String = notes.flat_map(|note| [note, "\n"]).collect();
    let stderr = |command: &str| agent.run(&format!("{command} {words}")).exits(code).stderr;
    format!("explain\n{notes}plan\n{}run\n{}", stderr("plan"), stderr("run"))
}

#[test]
fn filter_that_matches_nothing_is_named() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let _api = group.app("api");
    let stopped = group.app_with("stopped", "--publish 8080 --label tier=back");
    stopped.stop();
    let filter = group.filter();
    let report = |options: &str, code: i32| {
        let report =
            reports(&Agent::with_engine(engine), &format!("gostats --path /stats --filter {filter} {options}"), code);
        report.replace(&filter, "label=scenario=GROUP")
    };
    insta::assert_snapshot!(report("--filter name=no-such-name", 0), @"
    explain
    gostats: no container matches --filter name=no-such-name
    plan
    mackerel-plugin-wasm: gostats: no container matches --filter name=no-such-name
    run
    mackerel-plugin-wasm: gostats: no container matches --filter name=no-such-name
    ");
    // Each matches a container, but not the same one.
    insta::assert_snapshot!(report("--filter name=api --filter label=tier=back", 0), @"
    explain
    gostats: no container matches --filter label=scenario=GROUP --filter name=api --filter label=tier=back
    plan
    mackerel-plugin-wasm: gostats: no container matches --filter label=scenario=GROUP --filter name=api --filter label=tier=back
    run
    mackerel-plugin-wasm: gostats: no container matches --filter label=scenario=GROUP --filter name=api --filter label=tier=back
    ");
    // One of two names is wrong.
    insta::assert_snapshot!(report("--filter name=api --filter name=no-such-name", 0), @"
    explain
    gostats: no container matches --filter name=no-such-name
    plan
    mackerel-plugin-wasm: gostats: no container matches --filter name=no-such-name
    run
    ");
    // A stopped container matches, so nothing is misspelt.
    insta::assert_snapshot!(report("--filter label=tier=back", 0), @"
    explain
    plan
    run
    ");
}

#[test]
fn port_that_no_container_has_is_named() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let web = container("web", "127.0.0.1", stub_target.port());
    let mut ftp = container("ftp", "127.0.0.1", 1);
    let port = |number: u16| json!({"PrivatePort": number, "Type": "tcp"});
    ftp["Ports"] = [21].into_iter().chain(30_000..31_000).map(port).collect();
    let engine = FakeEngine::with_containers(vec![web, ftp]);
    let agent = || Agent::with_docker_host(&engine.host());
    insta::assert_snapshot!(reports(&agent(), "gostats --container-port 9999", 0), @"
    explain
    gostats: no container has TCP port 9999 (--container-port); available: 21, 8080, 30000-30999
    plan
    mackerel-plugin-wasm: gostats: no container has TCP port 9999 (--container-port); available: 21, 8080, 30000-30999
    run
    mackerel-plugin-wasm: gostats: no container has TCP port 9999 (--container-port); available: 21, 8080, 30000-30999
    ");
    insta::assert_snapshot!(reports(&agent(), "gostats --container-port 8080", 0), @"
    explain
    plan
    run
    ");
}

#[test]
fn containers_without_a_port_are_explained() {
    let mut portless = container("portless", "127.0.0.1", 1);
    portless["Ports"] = json!([]);
    let mut paused = container("paused", "127.0.0.1", 1);
    paused["State"] = json!("paused");
    let engine = FakeEngine::with_containers(vec![portless, paused]);
    insta::assert_snapshot!(reports(&Agent::with_docker_host(&engine.host()), "gostats", 0), @"
    explain
    gostats: no target in 1 running container, such as portless: publishes no TCP port
    plan
    mackerel-plugin-wasm: gostats: no target in 1 running container, such as portless: publishes no TCP port
    run
    ");
}

#[test]
fn port_that_swarms_ingress_network_publishes_is_explained() {
    let mut task = container("web.1.abc", "127.0.0.1", 1);
    task["Ports"] = json!([{"PrivatePort": 8080, "Type": "tcp"}]);
    task["Labels"] = json!({"com.docker.swarm.service.name": "web", "com.docker.swarm.task.id": "abc"});
    task["NetworkSettings"]["Networks"] = json!({"ingress": {"IPAddress": "10.0.0.5"}});
    let engine = FakeEngine::with_containers(vec![task]);
    let agent = || Agent::with_docker_host(&engine.host());
    for words in ["gostats", "gostats --container-port 8080"] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(reports(&agent(), words, 0), @"
            explain
            gostats: no target in 1 running container, such as web.1.abc: Swarm's ingress network publishes its ports and chooses the container: publish with mode=host
            plan
            mackerel-plugin-wasm: gostats: no target in 1 running container, such as web.1.abc: Swarm's ingress network publishes its ports and chooses the container: publish with mode=host
            run
            ");
        }
    }
}

#[test]
fn label_that_no_container_has_is_named() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let mut api = container("api", "127.0.0.1", stub_target.port());
    api["Labels"] = json!({"com.example.role": "api", "tier": "front"});
    let mut web = container("web", "127.0.0.2", stub_target.port());
    web["Labels"] = json!({"tier": "back"});
    let engine = FakeEngine::with_containers(vec![api, web]);
    let agent = || Agent::with_docker_host(&engine.host());
    insta::assert_snapshot!(reports(&agent(), "gostats --instance-name label:com.example.rule", 0), @"
    explain
    gostats: no container has the label 'com.example.rule' (--instance-name label:com.example.rule); available: com.example.role, tier
    plan
    mackerel-plugin-wasm: gostats: no container has the label 'com.example.rule' (--instance-name label:com.example.rule); available: com.example.role, tier
    run
    mackerel-plugin-wasm: gostats: no container has the label 'com.example.rule' (--instance-name label:com.example.rule); available: com.example.role, tier
    ");
    let agent_with_slots = agent();
    let slots = reports(&agent_with_slots, "gostats --instance-name slot:label:Tier", 0);
    let files = agent_with_slots.state_files();
    let slots = files.iter().fold(slots, |text, file| text.replace(&file.display().to_string(), "STATE"));
    insta::assert_snapshot!(slots, @"
    explain
    gostats: no container has the label 'Tier' (--instance-name slot:label:Tier); available: com.example.role, tier
    gostats: slots are those of the state file STATE (MACKEREL_PLUGIN_WORKDIR)
    plan
    mackerel-plugin-wasm: gostats: no container has the label 'Tier' (--instance-name slot:label:Tier); available: com.example.role, tier
    run
    mackerel-plugin-wasm: gostats: no container has the label 'Tier' (--instance-name slot:label:Tier); available: com.example.role, tier
    ");
    assert_eq!(reports(&agent(), "gostats --instance-name label:tier", 0), "explain\nplan\nrun\n");
}

#[test]
fn command_fails_if_all_targets_fail() {
    let agent = Agent::without_engine();
    insta::assert_snapshot!(reports(&agent, "gostats --target 127.0.0.1:1", 1), @"
    explain
    plan
    mackerel-plugin-wasm: gostats: 127.0.0.1:1: connection failed: Connection refused (os error 111)
    run
    mackerel-plugin-wasm: gostats: 127.0.0.1:1: connection failed: Connection refused (os error 111)
    ");
    let engine = FakeEngine::with_containers(vec![container("api", "127.0.0.1", 1)]);
    let agent = Agent::with_docker_host(&engine.host());
    let _ = reports(&agent, "gostats", 1);
    let engine = FakeEngine::with_containers(vec![json!({"Names": ["/odd"]})]);
    let agent = Agent::with_docker_host(&engine.host());
    insta::assert_snapshot!(reports(&agent, "gostats", 1), @"
    explain
    gostats: 1 container in the engine's list cannot be read: odd (no id)
    plan
    mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: odd (no id)
    run
    mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: odd (no id)
    ");
}

/// Returns an agent whose docker has this context, and whose default engine has this socket.
fn with_context(home: &Path, context: &str, socket: &str) -> Agent {
    fs::create_dir_all(home.join(".docker")).expect("a folder");
    fs::write(home.join(".docker/config.json"), json!({"currentContext": context, "auths": 7}).to_string())
        .expect("a file");
    // An empty variable counts as unset.
    let agent = Agent::with_docker_host("").with_env("HOME", home);
    let script = format!("mount -t tmpfs run /run && ln -s {socket} /run/docker.sock && exec \"$@\"");
    agent.with_launcher(&["unshare", "--mount", "sh", "-c", &script, "sh"])
}

/// Returns whether scenarios can replace `/run`.
fn can_mount() -> bool {
    let mount = Command::new("unshare").args(["--mount", "mount", "-t", "tmpfs", "run", "/run"]).output();
    let can_mount = mount.is_ok_and(|output| output.status.success()) && Path::new("/var/run").is_symlink();
    if !can_mount {
        skip::notice("cannot mount in a namespace of mounts: not root?", "docker contexts");
    }
    can_mount
}

#[test]
fn docker_context_that_is_not_followed_is_named() {
    if !can_mount() {
        return;
    }
    let home = TempDir::new().expect("a temporary folder");
    let error = |output: Output| output.exits(1).stderr;
    let missing = with_context(home.path(), "colima", "/nonexistent/docker.sock");
    insta::assert_snapshot!(error(missing.run("run docker")), @"mackerel-plugin-wasm: cannot connect to the container engine at unix:///var/run/docker.sock: no such socket: docker context 'colima' is not followed: docker has no context of this name; set DOCKER_HOST to an engine's URL; not in an ECS task either: ECS_CONTAINER_METADATA_URI_V4 is not set");
    let default = with_context(home.path(), "default", "/nonexistent/docker.sock");
    insta::assert_snapshot!(error(default.run("run docker")), @"mackerel-plugin-wasm: cannot connect to the container engine at unix:///var/run/docker.sock: no such socket: is Docker running? (--docker-host or DOCKER_HOST selects another engine); not in an ECS task either: ECS_CONTAINER_METADATA_URI_V4 is not set");
    let default = default.with_env("DOCKER_CONTEXT", "remote");
    insta::assert_snapshot!(error(default.run("run docker")), @"mackerel-plugin-wasm: cannot connect to the container engine at unix:///var/run/docker.sock: no such socket: docker context 'remote' is not followed: docker has no context of this name; set DOCKER_HOST to an engine's URL; not in an ECS task either: ECS_CONTAINER_METADATA_URI_V4 is not set");
    // An engine that was named is the right one.
    let named = missing.with_env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    insta::assert_snapshot!(error(named.run("run docker")), @"mackerel-plugin-wasm: cannot connect to the container engine at unix:///nonexistent/docker.sock: no such socket: is Docker running? (--docker-host or DOCKER_HOST selects another engine)");

    let stub_target = StubTarget::serving(stats::body(1, 1));
    let engine = FakeEngine::with_containers(vec![container("api", "127.0.0.1", stub_target.port())]);
    let agent = with_context(home.path(), "colima", engine.host().trim_start_matches("unix://"));
    insta::assert_snapshot!(reports(&agent, "gostats", 0), @"
    explain
    gostats: docker context 'colima' is not followed: docker has no context of this name; set DOCKER_HOST to an engine's URL
    plan
    mackerel-plugin-wasm: gostats: docker context 'colima' is not followed: docker has no context of this name; set DOCKER_HOST to an engine's URL
    run
    ");
    let engine = FakeEngine::with_containers(Vec::new());
    let agent = with_context(home.path(), "colima", engine.host().trim_start_matches("unix://"));
    insta::assert_snapshot!(reports(&agent, "gostats", 0), @"
    explain
    gostats: docker context 'colima' is not followed: docker has no context of this name; set DOCKER_HOST to an engine's URL
    plan
    mackerel-plugin-wasm: gostats: docker context 'colima' is not followed: docker has no context of this name; set DOCKER_HOST to an engine's URL
    run
    mackerel-plugin-wasm: gostats: docker context 'colima' is not followed: docker has no context of this name; set DOCKER_HOST to an engine's URL
    ");
}

#[test]
fn docker_context_with_a_socket_is_followed() {
    if !can_mount() {
        return;
    }
    let home = TempDir::new().expect("a temporary folder");
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let engine = FakeEngine::with_containers(vec![container("api", "127.0.0.1", stub_target.port())]);
    let agent = with_context(home.path(), "away", "/nonexistent/docker.sock");
    // The folder's name is the SHA-256 of the context's.
    let digest = Command::new("sh").args(["-c", "printf away | sha256sum | cut -d ' ' -f 1"]).output();
    let digest = String::from_utf8(digest.expect("sha256sum").stdout).expect("hexadecimal digits");
    let folder = home.path().join(".docker/contexts/meta").join(digest.trim());
    fs::create_dir_all(&folder).expect("a folder");
    let meta = json!({"Name": "away", "Metadata": {}, "Endpoints": {"docker": {"Host": engine.host()}}});
    fs::write(folder.join("meta.json"), meta.to_string()).expect("a file");
    let output = agent.run("run gostats").exits(0).without_diagnostics();
    assert_eq!(output.metrics().instances(), [stub_target.port().to_string()]);
    let explained = agent.run("explain gostats").exits(0).stdout;
    let line = explained.lines().nth(1).expect("a second line");
    assert_eq!(line, format!("on the container engine at {} (docker context 'away')", engine.host()));
}

#[test]
fn podmans_socket_is_found_if_docker_does_not_respond() {
    if !can_mount() {
        return;
    }
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let engine = FakeEngine::with_containers(vec![container("api", "127.0.0.1", stub_target.port())]);
    let engine = (engine.host().trim_start_matches("unix://").to_owned(), engine);
    // A socket without a listener, as an engine leaves behind that was killed.
    let folder = TempDir::new().expect("a temporary folder");
    let dead = folder.path().join("dead.sock");
    drop(UnixListener::bind(&dead).expect("a socket in a new folder"));
    let runtime = |script: &str| {
        let script = format!("mount -t tmpfs run /run && {script} && exec \"$@\"");
        Agent::with_docker_host("").with_launcher(&["unshare", "--mount", "sh", "-c", &script, "sh"])
    };
    let second = |agent: &Agent| {
        let explained = agent.run("explain gostats").exits(0).stdout;
        explained.lines().nth(1).expect("a second line").to_owned()
    };
    let socket = &engine.0;
    let root = runtime(&format!(
        "ln -s {} /run/docker.sock && mkdir /run/podman && ln -s {socket} /run/podman/podman.sock",
        dead.display()
    ));
    insta::assert_snapshot!(second(&root), @"on the container engine at unix:///run/podman/podman.sock (/run/podman/podman.sock exists)");
    let user = runtime(&format!("mkdir -p /run/user/7/podman && ln -s {socket} /run/user/7/podman/podman.sock"))
        .with_env("XDG_RUNTIME_DIR", "/run/user/7");
    insta::assert_snapshot!(second(&user), @"on the container engine at unix:///run/user/7/podman/podman.sock (/run/user/7/podman/podman.sock exists)");
    let docker = runtime(&format!("mkdir -p /run/user/7 && ln -s {socket} /run/user/7/docker.sock"))
        .with_env("XDG_RUNTIME_DIR", "/run/user/7");
    insta::assert_snapshot!(second(&docker), @"on the container engine at unix:///run/user/7/docker.sock (/run/user/7/docker.sock exists)");
    let none = runtime(&format!("ln -s {} /run/docker.sock", dead.display()));
    insta::assert_snapshot!(none.run("run gostats").exits(1).stderr, @"mackerel-plugin-wasm: cannot connect to the container engine at unix:///var/run/docker.sock: Connection refused (os error 111): is Docker running? (--docker-host or DOCKER_HOST selects another engine)");
}
