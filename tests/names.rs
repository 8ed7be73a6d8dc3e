//! Instance names: the part of a key in place of the `#`.

use std::collections::BTreeSet;

use scenarios::agent::Agent;
use scenarios::engine::Engine;
use scenarios::fake_engine::{FakeEngine, container};
use scenarios::stub_target::StubTarget;
use scenarios::{mask, stats};
use serde_json::json;

#[test]
fn each_format_names_by_its_property() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let app = group.app_with("api", "--publish 8080 --label com.example.role=web/front");
    let instance = |format: &str| {
        let agent = Agent::with_engine(engine);
        let command = format!("run gostats --filter {} --path /stats --instance-name {format}", group.filter());
        let metrics = agent.run(&command).exits(0).without_diagnostics().metrics();
        metrics.instances().concat()
    };
    let legal =
        |text: &str| text.replace(|letter: char| !letter.is_ascii_alphanumeric() && !"-_".contains(letter), "_");
    assert_eq!(instance("port"), app.address().port().to_string());
    assert_eq!(instance("name"), app.name());
    assert_eq!(instance("name_id"), format!("{}_{}", app.name(), &app.id()[..6]));
    assert_eq!(instance("id"), app.id());
    assert_eq!(instance("image"), legal(app.image()));
    assert_eq!(instance("image_id"), format!("{}_{}", legal(app.image()), &app.id()[..6]));
    assert_eq!(instance("image_name"), format!("{}_{}", legal(app.image()), app.name()));
    assert_eq!(instance("label:com.example.role"), "web_front");
}

#[test]
fn container_without_the_label_is_still_printed() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let engine = FakeEngine::with_containers(vec![container("api", "127.0.0.1", stub_target.port())]);
    let output = Agent::with_docker_host(&engine.host()).run("run gostats --instance-name label:role").exits(0);
    assert_eq!(output.metrics().count(), 9);
    insta::assert_snapshot!(format!("{:?}\n{}", output.metrics().instances(), mask::ports(&output.stderr)), @r#"
    ["e74fc0"]
    mackerel-plugin-wasm: gostats: no container has the label 'role' (--instance-name label:role); available: none
    "#);
}

#[test]
fn containers_with_equal_names_get_stable_suffixes() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let mut apps = group.apps(3);
    let agent = Agent::with_engine(engine);
    let command = format!("run gostats --filter {} --path /stats --instance-name image", group.filter());
    let instances = || {
        let metrics = agent.run(&command).exits(0).metrics();
        metrics.instances().into_iter().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let first = instances();
    assert_eq!(first.len(), 3, "{first:?}");
    assert_eq!(instances(), first);

    apps.pop().expect("three apps").remove();
    let rest = instances();
    assert!(rest.len() == 2 && rest.is_subset(&first), "{rest:?} of {first:?}");
}

#[test]
fn equal_ports_of_two_hosts_get_different_names() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let port = stub_target.port();
    let command = format!("run gostats --target 127.0.0.1:{port} --target 127.0.0.2:{port}");
    let metrics = Agent::without_engine().run(&command).exits(0).metrics();
    assert_eq!(metrics.count(), 2 * 9);
    assert_eq!(metrics.instances().len(), 2);
}

#[test]
fn repeated_target_counts_once() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let target = stub_target.target();
    let metrics =
        Agent::without_engine().run(&format!("run gostats --target {target} --target {target}")).exits(0).metrics();
    assert_eq!(metrics.count(), 9);
    assert_eq!(stub_target.requests(), 1);
}

#[test]
fn keys_are_valid_for_any_container_name() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let long = "long".repeat(2500);
    let names = [
        "größe",
        "容器",
        "two words",
        "line\nend",
        "tab\there",
        "\u{1b}[31mred",
        "a.b.c",
        "..",
        "#",
        "*",
        "%1",
        "",
        "-",
        "_",
        "a/b",
        "\0",
        long.as_str(),
    ];
    let mut containers: Vec<_> = (1..)
        .zip(names)
        .map(|(number, name)| container(name, &format!("127.0.0.{number}"), stub_target.port()))
        .collect();
    let mut nameless = container("nameless", "127.0.1.1", stub_target.port());
    nameless["Names"] = json!([]);
    let mut null = container("null", "127.0.1.2", stub_target.port());
    null["Names"] = json!(null);
    containers.extend([nameless, null]);
    let count = containers.len();

    let engine = FakeEngine::with_containers(containers);
    for format in ["name", "name_id", "label:none"] {
        let metrics = Agent::with_docker_host(&engine.host())
            .run(&format!("run gostats --instance-name {format}"))
            .exits(0)
            .metrics();
        assert_eq!(metrics.count(), count * 9, "{format}");
        assert_eq!(metrics.instances().len(), count, "{format}");
    }
    let output = Agent::with_docker_host(&engine.host()).run("run gostats --instance-name name").exits(0);
    insta::assert_snapshot!(output.metrics().instances().join("\n").replace(&long, "LONG"), @"
    -
    5b9bc4ba5281
    6b5808729ba2
    _1
    __31mred
    ___07da1a
    ___a7124d
    __af639e
    __af63a7
    __af63bd
    __af6412
    a_b
    a_b_c
    cbf29ce48422
    gr__e
    line_end
    longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglong
    tab_here
    two_words
    ");
}

/// Runs `docker` with these containers.
fn docker(agent: &Agent, options: &str) -> (Vec<String>, String) {
    let output = agent.run(&format!("run docker --stats-source api --graphs memory {options}")).exits(0);
    let metrics = output.metrics();
    let instance = |key: &str| key.rsplit('.').nth(1).expect("docker.memory.INSTANCE.METRIC").to_owned();
    let mut instances: Vec<_> = metrics.keys().into_iter().map(instance).collect();
    assert_eq!(instances.len() % 2, 0, "cache and rss of each container: {output}");
    instances.dedup();
    (instances, output.stderr)
}

#[test]
fn docker_names_are_those_of_mackerel_plugin_docker() {
    let mut api = container("shop-api.1", "127.0.0.1", 1);
    api["Labels"] = json!({"com.example.role": "web/front"});
    let id = api["Id"].as_str().expect("an id").to_owned();
    let short = &id[..6];
    let engine = FakeEngine::with_containers(vec![api]);
    let agent = Agent::with_docker_host(&engine.host());
    for (options, name) in [
        ("", format!("shop-api_1_{short}")),
        ("--instance-name name_id", format!("shop-api_1_{short}")),
        ("--instance-name name", "shop-api_1".to_owned()),
        ("--instance-name id", id.clone()),
        ("--instance-name image", "example_com_team_api_1_2_3".to_owned()),
        ("--instance-name image_id", format!("example_com_team_api_1_2_3_{short}")),
        ("--instance-name image_name", "example_com_team_api_1_2_3_shop-api_1".to_owned()),
        ("--instance-name label:com.example.role", "web_front".to_owned()),
    ] {
        assert_eq!(docker(&agent, options), (vec![name], String::new()), "{options}");
    }
}

#[test]
fn docker_name_falls_back_to_the_id_with_one_warning() {
    let mut nameless = container("nameless", "127.0.0.1", 1);
    nameless["Names"] = json!([]);
    let mut empty = container("empty", "127.0.0.1", 1);
    empty["Labels"] = json!({"role": ""});
    let mut labelled = container("labelled", "127.0.0.1", 1);
    labelled["Labels"] = json!({"role": "web"});
    let engine = FakeEngine::with_containers(vec![nameless, empty, labelled]);
    let agent = Agent::with_docker_host(&engine.host());
    let (instances, stderr) = docker(&agent, "--instance-name label:role");
    assert_eq!(instances.len(), 3, "{instances:?}");
    insta::assert_snapshot!(format!("{}\n{stderr}", instances.join(" ")), @"
    6b5808 904fef web
    mackerel-plugin-wasm: docker: --instance-name is not unique for 6b5808729ba2 and 1 more container; appended the container id
    ");
    assert_eq!(docker(&agent, "--instance-name label:role"), (instances, stderr), "the same in the next run");
    let (instances, stderr) = docker(&agent, "--instance-name name");
    insta::assert_snapshot!(format!("{}\n{stderr}", instances.join(" ")), @"6b5808729ba2 empty labelled");
}

#[test]
fn docker_containers_with_equal_names_get_stable_suffixes() {
    let of = |names: &[&str]| {
        FakeEngine::with_containers(names.iter().map(|name| container(name, "127.0.0.1", 1)).collect())
    };
    let (engine, other) = (of(&["api", "web", "a.b", "a_b"]), of(&["a_b", "web", "api"]));
    let agent = Agent::without_engine();
    let run = |engine: &FakeEngine, format: &str| {
        docker(&agent, &format!("--docker-host {} --instance-name {format}", engine.host()))
    };
    let (all, stderr) = run(&engine, "image");
    assert_eq!(all.len(), 4, "{all:?}");
    insta::assert_snapshot!(format!("{}\n{stderr}", all.join(" ")), @"
    example_com_team_api_1_2_3_5ea0e1 example_com_team_api_1_2_3_e61d99 example_com_team_api_1_2_3_e6c4a3 example_com_team_api_1_2_3_e74fc0
    mackerel-plugin-wasm: docker: --instance-name is not unique for a.b and 3 more containers; appended the container id
    ");
    assert_eq!(run(&engine, "image"), (all.clone(), stderr), "the same in the next run");
    let (fewer, _) = run(&other, "image");
    assert!(fewer.len() == 3 && fewer.iter().all(|name| all.contains(name)), "{fewer:?} of {all:?}");

    let (names, stderr) = run(&engine, "name");
    insta::assert_snapshot!(format!("{}\n{stderr}", names.join(" ")), @"
    a_b_e61d99 a_b_e6c4a3 api web
    mackerel-plugin-wasm: docker: --instance-name is not unique for a.b and 1 more container; appended the container id
    ");
}

#[test]
fn docker_keys_are_valid_for_any_container_name() {
    let names =
        ["größe", "容器", "two words", "line\nend", "\u{1b}[31mred", "a.b", "..", "#", "*", "%1", "", "-", "a/b", "\0"];
    let containers = names.map(|name| container(name, "127.0.0.1", 1)).to_vec();
    let engine = FakeEngine::with_containers(containers);
    let agent = Agent::with_docker_host(&engine.host());
    for format in ["name", "name_id", "image_name", "label:none"] {
        let (instances, _) = docker(&agent, &format!("--instance-name {format}"));
        assert_eq!(instances.iter().collect::<BTreeSet<_>>().len(), names.len(), "{format}: {instances:?}");
    }
}
