//! The manifests of docs/fleet: AWS and Kubernetes know every field, and the program accepts the commands in them.

use std::fs;
use std::process::{Command, Stdio};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::ConfigMap;
use scenarios::agent::Agent;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn read(name: &str) -> String {
    let path = format!("../docs/fleet/{name}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns the documents of a YAML file.
fn documents(name: &str) -> Vec<Value> {
    let text = read(name);
    text.split("\n---\n").map(|text| serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}"))).collect()
}

#[test]
fn aws_knows_every_field() {
    for (schema, file) in [
        ("ecs-task-definition", "ecs-task-definition"),
        ("ecs-service", "ecs-service"),
        ("ssm-document", "ssm-document"),
        ("auto-scaling", "launch-template"),
        ("auto-scaling", "auto-scaling-group"),
    ] {
        let schema: Value =
            serde_json::from_str(&fs::read_to_string(format!("schemas/{schema}.json")).expect("a schema"))
                .expect("JSON");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let manifest = json(&format!("{file}.json"));
        let errors: Vec<_> = validator.iter_errors(&manifest).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{file}");
    }
}

#[test]
fn volumes_of_the_task_exist() {
    let task = json("ecs-task-definition.json");
    let names = |value: &Value, field: &str| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|item| Some(item[field].as_str()?.to_owned())).collect()
    };
    let mounted = names(&task["containerDefinitions"][0]["mountPoints"], "sourceVolume");
    assert_eq!(mounted, names(&task["volumes"], "name"));
    assert_eq!(json("ecs-service.json")["taskDefinition"], task["family"]);
}

/// Asserts that Kubernetes' type keeps every field: an unknown one would be lost.
fn keeps_every_field<T: DeserializeOwned + Serialize>(manifest: &Value) {
    let typed: T = serde_json::from_value(manifest.clone()).unwrap_or_else(|error| panic!("{error} in {manifest}"));
    assert_eq!(serde_json::to_value(typed).expect("JSON"), *manifest);
}

#[test]
fn kubernetes_knows_every_field() {
    for name in ["kubernetes-sidecar.yaml", "kubernetes-daemonset.yaml"] {
        let documents = documents(name);
        assert_eq!(documents.len(), 2, "{name}");
        for manifest in documents {
            match manifest["kind"].as_str() {
                Some("ConfigMap") => keeps_every_field::<ConfigMap>(&manifest),
                Some("Deployment") => keeps_every_field::<Deployment>(&manifest),
                Some("DaemonSet") => keeps_every_field::<DaemonSet>(&manifest),
                kind => panic!("{name}: {kind:?}"),
            }
        }
    }
}

#[test]
fn program_accepts_the_commands_of_the_manifests() {
    let of_kubernetes = ["kubernetes-sidecar.yaml", "kubernetes-daemonset.yaml"].map(|name| {
        let config = documents(name).swap_remove(0);
        config["data"]["mackerel.yaml"].as_str().expect("a configuration").to_owned()
    });
    let mut commands = 0;
    for text in of_kubernetes.into_iter().chain([read("agent.yaml")]) {
        let config: Value = serde_saphyr::from_str(&text).expect("YAML");
        for (name, plugin) in config["plugin"]["metrics"].as_object().expect("plugins") {
            let words: Vec<_> =
                plugin["command"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
            assert_eq!(words[..2], ["mackerel-plugin-wasm", "run"], "{name}");
            // `conf` checks the options of `run`, and connects to nothing.
            let words = [&["conf"], &words[2..]].concat();
            let _ = Agent::without_engine().run_words(&words).exits(0).without_diagnostics();
            commands += 1;
        }
    }
    assert_eq!(commands, 4);
}

#[test]
fn script_of_the_document_passes_sh() {
    let document = json("ssm-document.json");
    let lines = document["mainSteps"][0]["inputs"]["runCommand"].as_array().expect("a script").iter();
    let script: Vec<_> = lines.filter_map(Value::as_str).collect();
    let script = script.join("\n").replace("{{ Release }}", "s3://bucket/1").replace("{{ Collector }}", "");
    assert!(!script.contains("{{"), "{script}");
    let status = Command::new("sh").args(["-n", "-c", &script]).stdin(Stdio::null()).status().expect("sh");
    assert!(status.success(), "{script}");
}
