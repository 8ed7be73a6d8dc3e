//! Containers that are left out: those of orchestrators, and those that `--skip` names.

use scenarios::agent::Agent;
use scenarios::engine::Engine;
use scenarios::fake_engine::{FakeEngine, container};
use serde_json::{Value, json};

/// Returns a container with another name of its image and with this label.
fn labelled(name: &str, port: u16, image: &str, label: (&str, &str)) -> Value {
    let mut one = container(name, "127.0.0.1", port);
    one["Image"] = json!(image);
    one["Labels"] = json!({label.0: label.1});
    one
}

/// A container instance of ECS. Nothing listens on its ports, so the containers that are requested are the failures.
fn ecs_instance() -> FakeEngine {
    const NAME: &str = "com.amazonaws.ecs.container-name";
    FakeEngine::with_containers(vec![
        labelled("ecs-shop-3-api-aa", 1, "shop/api:1", (NAME, "api")),
        labelled("ecs-shop-3-logs-bb", 2, "amazon/aws-for-fluent-bit:stable", (NAME, "log_router")),
        labelled(
            "ecs-shop-3-internalecspause-api-cc",
            3,
            "amazon/amazon-ecs-pause:0.1.0",
            (NAME, "~internal~ecs~pause-api"),
        ),
        labelled("ecs-shop-3-sc-dd", 4, "ecs-service-connect-agent:interface-v1", (NAME, "ecs-service-connect-Ab")),
        labelled("ecs-agent", 5, "amazon/amazon-ecs-agent:latest", ("a", "b")),
    ])
}

#[test]
fn containers_of_an_orchestrator_are_not_requested() {
    let engine = ecs_instance();
    let output = Agent::with_docker_host(&engine.host()).run("run gostats").exits(1);
    insta::assert_snapshot!(output.stderr, @"
    mackerel-plugin-wasm: gostats: ecs-shop-3-api-aa (127.0.0.1:1): connection failed: Connection refused (os error 111)
    mackerel-plugin-wasm: gostats: ecs-shop-3-logs-bb (127.0.0.1:2): connection failed: Connection refused (os error 111)
    ");
}

#[test]
fn explain_lists_the_containers_of_an_orchestrator_with_the_reason() {
    let engine = ecs_instance();
    let output = Agent::with_docker_host(&engine.host()).run("explain gostats --skip name=logs --json");
    let explanation: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let rows = explanation["containers"].as_array().expect("a list");
    let line = |row: &Value| format!("{}: {}", row["container"]["name"], row["why"]);
    insta::assert_snapshot!(rows.iter().map(line).collect::<Vec<_>>().join("\n"), @r#"
    "ecs-shop-3-api-aa": "the only published port, bound to 127.0.0.1"
    "ecs-agent": "ECS agent, not an application (--include-infrastructure)"
    "ecs-shop-3-internalecspause-api-cc": "pause container, not an application (--include-infrastructure)"
    "ecs-shop-3-logs-bb": "matches --skip name=logs"
    "ecs-shop-3-sc-dd": "ECS Service Connect, not an application (--include-infrastructure)"
    "#);
}

#[test]
fn every_container_that_an_orchestrator_adds_is_left_out_with_its_kind() {
    const NAME: &str = "com.amazonaws.ecs.container-name";
    const TASK: &str = "com.amazonaws.ecs.task-arn";
    let relay = ("instance-service-connect-relay", "own/relay", (TASK, "arn:::::/service-connect-relay-1"));
    let added = [
        relay,
        ("ecs-shop-3-volume-aa", "amazon/amazon-ecs-pause:0.1.0", (NAME, "~internal~ecs-emptyvolume-source")),
        ("ecs-shop-3-namespace-bb", "own/pause-copy", (NAME, "~internal~ecs~pause~namespace")),
        ("k8s_POD_api-7d9f_default_0f6c1c5e_0", "sha256:5bde56", ("io.kubernetes.pod.name", "api-7d9f")),
        ("sandbox", "registry.k8s.io/pause:3.9", ("a", "b")),
        ("519bc99d5c7f-infra", "localhost/podman-pause:4.3.1-0", ("a", "b")),
        ("619bc99d5c7f-infra", "", ("a", "b")),
        // Applications with similar names.
        ("k8s_api_api-7d9f_default_0f6c1c5e_0", "shop/api:1", ("io.kubernetes.container.name", "api")),
        ("web-infra", "shop/infra:1", ("a", "b")),
        ("envoy", "public.ecr.aws/appmesh/aws-appmesh-envoy:v1", (NAME, "envoy")),
    ];
    let containers = added.iter().zip(1..).map(|((name, image, label), port)| labelled(name, port, image, *label));
    let engine = FakeEngine::with_containers(containers.collect());
    let agent = || Agent::with_docker_host(&engine.host());
    let output = agent().run("explain gostats --json");
    let explanation: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let rows = explanation["containers"].as_array().expect("a list").iter();
    let lines = rows.map(|row| format!("{} {}: {}\n", row["container"]["name"], row["address"], row["why"]));
    insta::assert_snapshot!(lines.collect::<String>(), @r#"
    "envoy" "127.0.0.1:10": "the only published port, bound to 127.0.0.1"
    "k8s_api_api-7d9f_default_0f6c1c5e_0" "127.0.0.1:8": "the only published port, bound to 127.0.0.1"
    "web-infra" "127.0.0.1:9": "the only published port, bound to 127.0.0.1"
    "519bc99d5c7f-infra" null: "pause container, not an application (--include-infrastructure)"
    "619bc99d5c7f-infra" null: "pause container, not an application (--include-infrastructure)"
    "ecs-shop-3-namespace-bb" null: "pause container, not an application (--include-infrastructure)"
    "ecs-shop-3-volume-aa" null: "volume container of ECS, not an application (--include-infrastructure)"
    "instance-service-connect-relay" null: "ECS Service Connect, not an application (--include-infrastructure)"
    "k8s_POD_api-7d9f_default_0f6c1c5e_0" null: "pause container, not an application (--include-infrastructure)"
    "sandbox" null: "pause container, not an application (--include-infrastructure)"
    "#);
    insta::assert_snapshot!(agent().run("run gostats").exits(1).stderr, @"
    mackerel-plugin-wasm: gostats: envoy (127.0.0.1:10): connection failed: Connection refused (os error 111)
    mackerel-plugin-wasm: gostats: k8s_api_api-7d9f_default_0f6c1c5e_0 (127.0.0.1:8): connection failed: Connection refused (os error 111)
    mackerel-plugin-wasm: gostats: web-infra (127.0.0.1:9): connection failed: Connection refused (os error 111)
    ");
}

#[test]
fn orchestrator_containers_are_included_on_request() {
    let engine = ecs_instance();
    let output = Agent::with_docker_host(&engine.host())
        .run("run gostats --include-infrastructure --skip name=api --skip image=shop/api")
        .exits(1);
    insta::assert_snapshot!(output.stderr, @"
    mackerel-plugin-wasm: gostats: ecs-agent (127.0.0.1:5): connection failed: Connection refused (os error 111)
    mackerel-plugin-wasm: gostats: ecs-shop-3-logs-bb (127.0.0.1:2): connection failed: Connection refused (os error 111)
    mackerel-plugin-wasm: gostats: ecs-shop-3-sc-dd (127.0.0.1:4): connection failed: Connection refused (os error 111)
    ");
}

#[test]
fn skipped_containers_are_the_opposite_of_filtered_ones() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let [kept, skipped] = ["kept", "skipped"].map(|name| group.app(name));
    for skip in [format!("name=^{}$", skipped.name()), format!("name={}", skipped.name())] {
        let command = format!("run gostats --filter {} --path /stats --skip {skip}", group.filter());
        let metrics = Agent::with_engine(engine).run(&command).exits(0).without_diagnostics().metrics();
        assert_eq!(metrics.instances(), [kept.key().trim_start_matches("gostats.")], "{skip}");
    }
    let all = format!(
        "run gostats --filter {} --path /stats --skip label={}",
        group.filter(),
        group.filter().trim_start_matches("label=")
    );
    assert_eq!(Agent::with_engine(engine).run(&all).exits(0).without_diagnostics().metrics().count(), 0);
    assert_eq!(skipped.served().len(), 0, "a skipped container was requested");
}
