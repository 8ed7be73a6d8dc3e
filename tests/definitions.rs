//! Graph definitions, which mackerel-agent requests when it starts. No engine runs here.

use std::fs;

use scenarios::agent::{Agent, Output};
use serde_json::Value;

fn graphs(output: &Output) -> Value {
    let (first, rest) = output.stdout.split_once('\n').expect("two lines");
    assert_eq!(first, "# mackerel-agent-plugin");
    assert_eq!(rest.lines().count(), 1, "the JSON is one line: {output}");
    let json: Value = serde_json::from_str(rest).expect("the second line is JSON");
    json["graphs"].clone()
}

#[test]
fn definitions_are_those_of_mackerel_plugin_gostats() {
    let output = Agent::without_engine().definitions("run gostats").exits(0).without_diagnostics();
    let golden = fs::read_to_string("golden/gostats.meta.txt").expect("the golden file");
    let (_, golden) = golden.split_once('\n').expect("two lines");
    let golden: Value = serde_json::from_str(golden).expect("the golden file holds JSON");
    assert_eq!(graphs(&output), golden["graphs"]);
}

#[test]
fn definitions_use_the_prefix_and_its_title_case() {
    let agent = Agent::without_engine();
    let titles = ["web.go", "my-api_v2", "X"].map(|prefix| {
        let output =
            agent.definitions(&format!("run gostats --metric-key-prefix {prefix}")).exits(0).without_diagnostics();
        let graphs = graphs(&output);
        let graphs = graphs.as_object().expect("an object");
        let titles =
            graphs.iter().map(|(key, graph)| format!("{key}: {}\n", graph["label"].as_str().expect("a label")));
        titles.collect::<String>()
    });
    insta::assert_snapshot!(titles.concat(), @"
    web.go.#.gc: Web.go.# GC
    web.go.#.heap: Web.go.# Heap
    web.go.#.memory: Web.go.# Memory
    web.go.#.operation: Web.go.# Operation
    web.go.#.runtime: Web.go.# Runtime
    my-api_v2.#.gc: My-Api_v2.# GC
    my-api_v2.#.heap: My-Api_v2.# Heap
    my-api_v2.#.memory: My-Api_v2.# Memory
    my-api_v2.#.operation: My-Api_v2.# Operation
    my-api_v2.#.runtime: My-Api_v2.# Runtime
    X.#.gc: X.# GC
    X.#.heap: X.# Heap
    X.#.memory: X.# Memory
    X.#.operation: X.# Operation
    X.#.runtime: X.# Runtime
    ");
}

#[test]
fn definitions_do_not_depend_on_other_options() {
    let agent = Agent::without_engine();
    let plain = agent.definitions("run gostats").exits(0);
    let options =
        "--filter name=api --container-port 8080 --instance-name name --path /stats --scheme https --timeout 1 -v";
    let other = agent.definitions(&format!("run gostats {options}")).exits(0);
    assert_eq!(graphs(&other), graphs(&plain));
}

#[test]
fn definitions_leave_no_state() {
    let agent = Agent::without_engine();
    let _ = agent.definitions("run gostats").exits(0);
    assert!(!agent.state_folder().exists());
}
