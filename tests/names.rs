//! What stands in a key in place of the `#`.

use std::collections::BTreeSet;

use scenarios::agent::Agent;
use scenarios::engine::Engine;
use scenarios::fake_engine::{FakeEngine, container};
use scenarios::stand_in::StandIn;
use scenarios::{mask, stats};
use serde_json::json;

#[test]
fn each_format_shows_its_part_of_the_container() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let app = group.app_with("api", "--publish 8080 --label com.example.role=web/front");
    let instance = |format: &str| {
        let agent = Agent::beside(engine);
        let command = format!("run gostats --filter {} --path /stats --instance-name {format}", group.filter());
        let metrics = agent.values(&command).exits(0).without_complaint().metrics();
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
fn a_container_without_the_label_is_still_shown() {
    let stand_in = StandIn::telling(stats::body(1, 1));
    let engine = FakeEngine::with_containers(vec![container("api", "127.0.0.1", stand_in.port())]);
    let output = Agent::on(&engine.host()).values("run gostats --instance-name label:role").exits(0);
    assert_eq!(output.metrics().count(), 9);
    insta::assert_snapshot!(format!("{:?}\n{}", output.metrics().instances(), mask::ports(&output.stderr)), @r#"
    ["e74fc0"]
    mackerel-plugin-wasm: gostats: --instance-name gives no name of its own to api (127.0.0.1:PORT): the beginning of the container's id is put in
    "#);
}

#[test]
fn containers_that_would_share_a_name_are_told_apart_the_same_way_on_every_run() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let mut apps = group.apps(3);
    let agent = Agent::beside(engine);
    let command = format!("run gostats --filter {} --path /stats --instance-name image", group.filter());
    let instances = || {
        let metrics = agent.values(&command).exits(0).metrics();
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
fn targets_on_the_same_port_of_two_hosts_are_told_apart() {
    let stand_in = StandIn::telling(stats::body(1, 1));
    let port = stand_in.port();
    let command = format!("run gostats --target 127.0.0.1:{port} --target 127.0.0.2:{port}");
    let metrics = Agent::alone().values(&command).exits(0).metrics();
    assert_eq!(metrics.count(), 2 * 9);
    assert_eq!(metrics.instances().len(), 2);
}

#[test]
fn a_target_that_is_given_twice_is_one() {
    let stand_in = StandIn::telling(stats::body(1, 1));
    let target = stand_in.target();
    let metrics = Agent::alone().values(&format!("run gostats --target {target} --target {target}")).exits(0).metrics();
    assert_eq!(metrics.count(), 9);
    assert_eq!(stand_in.asked(), 1);
}

#[test]
fn keys_are_legal_whatever_a_container_is_called() {
    let stand_in = StandIn::telling(stats::body(1, 1));
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
    let mut containers: Vec<_> =
        (1..).zip(names).map(|(number, name)| container(name, &format!("127.0.0.{number}"), stand_in.port())).collect();
    let mut nameless = container("nameless", "127.0.1.1", stand_in.port());
    nameless["Names"] = json!([]);
    let mut null = container("null", "127.0.1.2", stand_in.port());
    null["Names"] = json!(null);
    containers.extend([nameless, null]);
    let count = containers.len();

    let engine = FakeEngine::with_containers(containers);
    let agent = Agent::on(&engine.host());
    for format in ["name", "name_id", "label:none"] {
        let metrics = agent.values(&format!("run gostats --instance-name {format}")).exits(0).metrics();
        assert_eq!(metrics.count(), count * 9, "{format}");
        assert_eq!(metrics.instances().len(), count, "{format}");
    }
    let output = agent.values("run gostats --instance-name name").exits(0);
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
