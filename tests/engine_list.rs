//! The engine's list of containers: shapes that engines have or had, and odd ones. An odd container costs no other its
//! metrics.

use scenarios::agent::Agent;
use scenarios::fake_engine::{self, FakeEngine, container};
use scenarios::http::Reply;
use scenarios::stub_target::StubTarget;
use scenarios::{mask, stats};
use serde_json::{Value, json};

/// Returns the exit status, the names in the metrics, and stderr for each list. Each list has a title.
fn outcomes(lists: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let outcome = |(what, list): (&str, String)| {
        let engine = FakeEngine::replying(move |path| {
            if path.contains("/containers/json") {
                Reply::Whole(200, list.clone())
            } else {
                // Every container has the same inspection.
                Reply::Whole(200, fake_engine::inspected(&json!({"Names": ["/any"]})).to_string())
            }
        });
        let output = Agent::with_docker_host(&engine.host()).run("run gostats --instance-name name");
        let code = [0, 1].into_iter().find(|code| output.to_string().contains(&format!("exit status: {code} ")));
        let code = code.unwrap_or_else(|| panic!("{what}: {output}"));
        let stderr = output.stderr.replace(&engine.host(), "ENGINE").replace('\n', "\n    ");
        let stderr =
            ["127.0.0.2:", "column "].iter().fold(stderr, |text, before| mask::digits(&text, before, "NUMBER"));
        let names = output.metrics().instances().join(" ");
        format!("{what}: exit {code}, [{names}]\n    {}\n", stderr.trim_end())
    };
    lists.into_iter().map(outcome).collect()
}

/// Returns lists nested to this depth.
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn response_that_is_not_a_list_is_one_line() {
    let lists = [
        ("nothing", ""),
        ("null", "null"),
        ("an object", "{}"),
        ("a string", "\"containers\""),
        ("two lists", "[][]"),
        ("half a list", "[{\"Id\": "),
    ];
    insta::assert_snapshot!(outcomes(lists.map(|(what, list)| (what, list.to_owned()))), @r#"
    nothing: exit 1, []
        mackerel-plugin-wasm: unexpected response from ENGINE: not a container engine? (EOF while parsing a value at line 1 column NUMBER)
    null: exit 1, []
        mackerel-plugin-wasm: unexpected response from ENGINE: not a container engine? (invalid type: null, expected a list of containers at line 1 column NUMBER)
    an object: exit 1, []
        mackerel-plugin-wasm: unexpected response from ENGINE: not a container engine? (invalid type: map, expected a list of containers at line 1 column NUMBER)
    a string: exit 1, []
        mackerel-plugin-wasm: unexpected response from ENGINE: not a container engine? (invalid type: string "containers", expected a list of containers at line 1 column NUMBER)
    two lists: exit 1, []
        mackerel-plugin-wasm: unexpected response from ENGINE: not a container engine? (trailing characters at line 1 column NUMBER)
    half a list: exit 1, []
        mackerel-plugin-wasm: unexpected response from ENGINE: not a container engine? (EOF while parsing a value at line 1 column NUMBER)
    "#);
}

#[test]
fn entry_that_is_not_a_container_is_one_line() {
    let lists = [
        ("null in the list", "[null]"),
        ("a list in the list", "[[]]"),
        ("a number out of range", "[1e400]"),
        ("an empty object", "[{}]"),
        ("an error in place of containers", r#"[{"message": "on \u001b[31mfire"}]"#),
    ];
    let lists = lists.map(|(what, list)| (what, list.to_owned()));
    let lists = lists
        .into_iter()
        .chain([("deep nesting", nested(100_000)), ("many of them", format!("[{}]", vec!["{}"; 1000].join(",")))]);
    insta::assert_snapshot!(outcomes(lists), @"
    null in the list: exit 1, []
        mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: entry 1 (expected an object, found null)
    a list in the list: exit 1, []
        mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: entry 1 (expected an object, found a list)
    a number out of range: exit 1, []
        mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: entry 1 (expected an object, found a number)
    an empty object: exit 1, []
        mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: entry 1 (no id)
    an error in place of containers: exit 1, []
        mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: entry 1 (no id)
    deep nesting: exit 1, []
        mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: entry 1 (expected an object, found a list)
    many of them: exit 1, []
        mackerel-plugin-wasm: gostats: 1000 containers in the engine's list cannot be read: entry 1 (no id), entry 2 (no id), entry 3 (no id), entry 4 (no id), entry 5 (no id) and 995 more
    ");
}

/// Returns the ports of the container `odd`, with these numbers.
fn ports(private: &Value, public: &Value) -> Value {
    json!([{"IP": "127.0.0.2", "PrivatePort": private, "PublicPort": public, "Type": "tcp"}])
}

/// A change of a container in the list.
type Change = (&'static str, &'static str, Value);

/// Returns lists of a good container and one with each of these changes, by JSON pointer.
fn changed<const COUNT: usize>(port: u16, changes: [Change; COUNT]) -> Vec<(&'static str, String)> {
    let good = container("api", "127.0.0.1", port);
    let list = |(what, place, value): Change| {
        let mut odd = container("odd", "127.0.0.2", port);
        let (parent, field) = place.rsplit_once('/').expect("a place");
        let parent = odd.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
        parent.insert(field.to_owned(), value);
        (what, json!([good, odd]).to_string())
    };
    changes.map(list).into()
}

/// Returns a list in which the field of the container `odd` is this JSON, which need not be valid for a parser.
fn raw(port: u16, place: &'static str, text: &str) -> String {
    changed(port, [("", place, json!("RAW"))]).remove(0).1.replace("\"RAW\"", text)
}

#[test]
fn container_without_a_usable_id_is_named() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let port = stub_target.port();
    let mut lists = changed(
        port,
        [
            ("two containers of one id", "/Id", container("api", "127.0.0.1", port)["Id"].clone()),
            ("no id", "/Id", json!("")),
            ("a null id", "/Id", json!(null)),
            ("a number for an id", "/Id", json!(7)),
            ("an id with a path", "/Id", json!("../../info")),
            ("a long id", "/Id", json!("a".repeat(65))),
        ],
    );
    lists.extend([
        ("the same field twice", raw(port, "/Id", r#""", "Id": "b""#)),
        ("the same container twice", json!(vec![container("api", "127.0.0.1", port); 2]).to_string()),
    ]);
    insta::assert_snapshot!(outcomes(lists), @"
    two containers of one id: exit 0, [api]
        
    no id: exit 0, [api]
        mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: odd (no id)
    a null id: exit 0, [api]
        mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: odd (no id)
    a number for an id: exit 0, [api]
        mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: odd (no id)
    an id with a path: exit 0, [api]
        mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: odd (id '../../info' is not 1 to 64 letters, digits and dashes)
    a long id: exit 0, [api]
        mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: odd (id 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' is not 1 to 64 letters, digits and dashes)
    the same field twice: exit 0, [api]
        mackerel-plugin-wasm: gostats: 1 container in the engine's list cannot be read: entry 2 (duplicate field `Id` at line 1 column NUMBER)
    the same container twice: exit 0, [api]
        
    ");
}

#[test]
fn port_that_cannot_be_read_is_quoted() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let port = stub_target.port();
    let mut lists = changed(
        port,
        [
            ("port 70000", "/Ports", ports(&json!(8080), &json!(70_000))),
            ("port -1", "/Ports", ports(&json!(8080), &json!(-1))),
            ("port 80.5", "/Ports", ports(&json!(80.5), &json!(80))),
            ("port 0", "/Ports", ports(&json!(8080), &json!(0))),
            ("an address that is none", "/Ports", json!([{"IP": "localhost", "PrivatePort": 8080, "PublicPort": 80}])),
            ("null in the ports", "/Ports", json!([null])),
            ("a second port that cannot be read", "/Ports", json!([{"PrivatePort": 1, "PublicPort": 1}, "9090/tcp"])),
            ("a protocol of tomorrow", "/Ports", json!([{"PrivatePort": 8080, "PublicPort": 80, "Type": "quic"}])),
            ("ports that are an object", "/Ports", json!({"8080/tcp": 1})),
            ("ports that are text", "/Ports", json!("0.0.0.0:80->8080/tcp")),
        ],
    );
    lists.extend([("port 1e400", raw(port, "/Ports", r#"[{"PrivatePort": 8080, "PublicPort": 1e400}]"#))]);
    insta::assert_snapshot!(outcomes(lists), @r#"
    port 70000: exit 0, [api]
        mackerel-plugin-wasm: gostats: odd: a port in the engine's list cannot be read: {"IP":"127.0.0.2","PrivatePort":8080,"PublicPort":70000,"Type":"tcp"}
    port -1: exit 0, [api]
        mackerel-plugin-wasm: gostats: odd: a port in the engine's list cannot be read: {"IP":"127.0.0.2","PrivatePort":8080,"PublicPort":-1,"Type":"tcp"}
    port 80.5: exit 0, [api]
        mackerel-plugin-wasm: gostats: odd: a port in the engine's list cannot be read: {"IP":"127.0.0.2","PrivatePort":80.5,"PublicPort":80,"Type":"tcp"}
    port 0: exit 0, [api]
        
    an address that is none: exit 0, [api]
        mackerel-plugin-wasm: gostats: odd: a port in the engine's list cannot be read: {"IP":"localhost","PrivatePort":8080,"PublicPort":80}
    null in the ports: exit 0, [api]
        mackerel-plugin-wasm: gostats: odd: a port in the engine's list cannot be read: null
    a second port that cannot be read: exit 0, [api]
        mackerel-plugin-wasm: gostats: odd: a port in the engine's list cannot be read: "9090/tcp"
    a protocol of tomorrow: exit 0, [api]
        
    ports that are an object: exit 0, [api]
        mackerel-plugin-wasm: gostats: odd: a port in the engine's list cannot be read: {"8080/tcp":1}
    ports that are text: exit 0, [api]
        mackerel-plugin-wasm: gostats: odd: a port in the engine's list cannot be read: "0.0.0.0:80->8080/tcp"
    port 1e400: exit 0, [api]
        mackerel-plugin-wasm: gostats: odd: a port in the engine's list cannot be read: {"PrivatePort": 8080, "PublicPort": 1e400}
    "#);
}

#[test]
fn odd_field_costs_only_itself() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let port = stub_target.port();
    let mut lists = changed(
        port,
        [
            ("a state of tomorrow", "/State", json!("dreaming")),
            ("a state that is an object", "/State", json!({"Status": "running"})),
        ],
    );
    lists.extend([
        ("deep nesting where a name is", raw(port, "/Names", &nested(100_000))),
        ("deep nesting where nobody looks", raw(port, "/Tomorrow", &nested(100_000))),
        ("made in 1e400", raw(port, "/Created", "1e400")),
        ("half a surrogate pair in the name", raw(port, "/Names", r#"["/\ud800"]"#)),
    ]);
    insta::assert_snapshot!(outcomes(lists), @"
    a state of tomorrow: exit 0, [api]
        
    a state that is an object: exit 0, [api odd]
        
    deep nesting where a name is: exit 0, [1a2a9d1921e7 api]
        
    deep nesting where nobody looks: exit 0, [api odd]
        
    made in 1e400: exit 0, [api odd]
        
    half a surrogate pair in the name: exit 0, [1a2a9d1921e7 api]
        
    ");
}

#[test]
fn labels_and_ports_can_have_other_forms() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let port = stub_target.port();
    let lists = changed(
        port,
        [
            ("a null label", "/Labels", json!({"a": null, "b": "c"})),
            ("labels that are a list", "/Labels", json!([])),
            ("labels that are a list of texts", "/Labels", json!(["a=b"])),
            ("a label that is a number", "/Labels", json!({"a": 1, "b": true, "c": {"d": []}})),
            ("null labels", "/Labels", json!(null)),
            ("a port as text", "/Ports", ports(&json!("8080"), &json!(port.to_string()))),
            (
                "a protocol in capitals",
                "/Ports",
                json!([{"IP": "127.0.0.2", "PrivatePort": 8080, "PublicPort": port, "Type": "TCP"}]),
            ),
            ("no protocol", "/Ports", json!([{"IP": "127.0.0.2", "PrivatePort": 8080, "PublicPort": port}])),
            (
                "brackets around the address",
                "/Ports",
                json!([{"IP": "[127.0.0.2]", "PrivatePort": 8080, "PublicPort": port, "Type": "tcp"}]),
            ),
        ],
    );
    insta::assert_snapshot!(outcomes(lists), @"
    a null label: exit 0, [api odd]
        
    labels that are a list: exit 0, [api odd]
        
    labels that are a list of texts: exit 0, [api odd]
        
    a label that is a number: exit 0, [api odd]
        
    null labels: exit 0, [api odd]
        
    a port as text: exit 0, [api odd]
        
    a protocol in capitals: exit 0, [api odd]
        
    no protocol: exit 0, [api odd]
        
    brackets around the address: exit 0, [api odd]
        
    ");
}

#[test]
fn ids_and_names_can_have_other_forms() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let port = stub_target.port();
    let lists = changed(
        port,
        [
            ("a short id", "/Id", json!("0f611fd7beef")),
            ("an id that is a name", "/Id", json!("odd-1")),
            ("a name that is text", "/Names", json!("/odd")),
            ("a name without a slash", "/Names", json!(["odd"])),
            ("null among the names", "/Names", json!([null, 7, "/odd"])),
            ("no name", "/Names", json!([])),
            ("null names", "/Names", json!(null)),
            ("an empty name", "/Names", json!(["/"])),
            ("links", "/Names", json!(["/a/db", "/odd", "/web/db"])),
            ("Docker Swarm before 1.12", "/Names", json!(["/node-1/odd"])),
        ],
    );
    insta::assert_snapshot!(outcomes(lists), @"
    a short id: exit 0, [api odd]
        
    an id that is a name: exit 0, [api odd]
        
    a name that is text: exit 0, [api odd]
        
    a name without a slash: exit 0, [api odd]
        
    null among the names: exit 0, [api odd]
        
    no name: exit 0, [1a2a9d1921e7 api]
        
    null names: exit 0, [1a2a9d1921e7 api]
        
    an empty name: exit 0, [1a2a9d1921e7 api]
        
    links: exit 0, [api odd]
        
    Docker Swarm before 1.12: exit 0, [api node-1_odd]
        
    ");
}

#[test]
fn all_other_fields_can_have_other_forms() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let port = stub_target.port();
    let lists = changed(
        port,
        [
            ("a number for the image", "/Image", json!(7)),
            ("no image id", "/ImageID", json!(null)),
            ("a list for the image id", "/ImageID", json!([])),
            ("a state in capitals", "/State", json!("Running")),
            ("no state, as Docker before 1.9", "/State", json!(null)),
            ("a number for the status", "/Status", json!(0)),
            ("no host configuration, as Podman before 5.6", "/HostConfig", json!(null)),
            ("a list for the host configuration", "/HostConfig", json!([])),
            ("a number for the network mode", "/HostConfig", json!({"NetworkMode": 1})),
            ("no network settings, as Docker before 1.10", "/NetworkSettings", json!(null)),
            ("a list for the network settings", "/NetworkSettings", json!([])),
            ("null networks, as Podman", "/NetworkSettings", json!({"Networks": null})),
            ("a null network", "/NetworkSettings", json!({"Networks": {"a": null, "b": {"IPAddress": null}}})),
            ("a list of networks", "/NetworkSettings", json!({"Networks": ["bridge"]})),
            ("a number for the address", "/NetworkSettings", json!({"Networks": {"bridge": {"IPAddress": 1}}})),
            ("text for the mounts", "/Mounts", json!("none")),
            ("an object for the command, as Podman's own API", "/Command", json!(["/app", "-v"])),
            ("a text for the time", "/Created", json!("2026-01-02T03:04:05Z")),
            ("fields of tomorrow", "/Health", json!({"Status": "starting"})),
            ("a manifest, as Docker 28", "/ImageManifestDescriptor", json!({"digest": "sha256:0"})),
            ("an empty object for a platform", "/Platform", json!({})),
        ],
    );
    insta::assert_snapshot!(outcomes(lists), @"
    a number for the image: exit 0, [api odd]
        
    no image id: exit 0, [api odd]
        
    a list for the image id: exit 0, [api odd]
        
    a state in capitals: exit 0, [api odd]
        
    no state, as Docker before 1.9: exit 0, [api odd]
        
    a number for the status: exit 0, [api odd]
        
    no host configuration, as Podman before 5.6: exit 0, [api odd]
        
    a list for the host configuration: exit 0, [api odd]
        
    a number for the network mode: exit 0, [api odd]
        
    no network settings, as Docker before 1.10: exit 0, [api odd]
        
    a list for the network settings: exit 0, [api odd]
        
    null networks, as Podman: exit 0, [api odd]
        
    a null network: exit 0, [api odd]
        
    a list of networks: exit 0, [api odd]
        
    a number for the address: exit 0, [api odd]
        
    text for the mounts: exit 0, [api odd]
        
    an object for the command, as Podman's own API: exit 0, [api odd]
        
    a text for the time: exit 0, [api odd]
        
    fields of tomorrow: exit 0, [api odd]
        
    a manifest, as Docker 28: exit 0, [api odd]
        
    an empty object for a platform: exit 0, [api odd]
    ");
}
