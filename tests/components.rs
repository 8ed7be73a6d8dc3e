//! Collectors that come as a file.

use std::fs;

use scenarios::agent::{Agent, component};
use scenarios::stand_in::StandIn;
use scenarios::{mask, stats};

const MINUTE: u64 = 60_000_000_000;

#[test]
fn a_file_prints_what_the_built_in_prints() {
    let stand_in = StandIn::telling(stats::body(MINUTE, 7));
    let file = component("gostats");
    let run = |agent: &Agent, collector: &str| {
        let command = format!("run {collector} --target {} --path /stats", stand_in.target());
        let output = agent.values(&command).exits(0).without_complaint();
        let keys = output.metrics().keys().into_iter().map(str::to_owned).collect::<Vec<_>>();
        (keys, output.metrics().of(&stand_in.key()))
    };
    let [built_in, from_file] = [Agent::alone(), Agent::alone()];
    assert_eq!(run(&from_file, &file), run(&built_in, "gostats"));
    stand_in.tells(stats::body(2 * MINUTE, 14));
    let second = run(&from_file, &file);
    assert_eq!(second, run(&built_in, "gostats"));
    assert_eq!(second.0.len(), 15);
}

#[test]
fn a_file_has_the_definitions_and_the_help_of_the_built_in() {
    let agent = Agent::alone();
    let file = component("gostats");
    let [built_in, from_file] = ["gostats", &file]
        .map(|collector| agent.definitions(&format!("run {collector}")).exits(0).without_complaint().stdout);
    assert_eq!(from_file, built_in);
    let [built_in, from_file] = ["gostats", &file]
        .map(|collector| agent.values(&format!("inspect {collector}")).exits(0).without_complaint().stdout);
    let pairs = built_in.lines().zip(from_file.lines()).filter(|(built_in, from_file)| built_in != from_file);
    let (left, right): (Vec<_>, Vec<_>) = pairs.unzip();
    let ([left], [right]) = (&left[..], &right[..]) else { panic!("not one line differs: {left:?} {right:?}") };
    assert!(left.starts_with("origin    built in, ") && right.starts_with("origin    file, "), "{left:?} {right:?}");
}

#[test]
fn files_that_are_no_collectors_are_refused_with_their_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let complaint = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("a file in a new folder");
        let output = Agent::alone().values(&format!("run {}", path.display())).exits(1);
        assert_eq!(output.stdout, "");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        mask::path(&output.stderr, folder.path(), "FOLDER")
    };
    let complaints = [
        complaint("empty.wasm", b""),
        complaint("text.wasm", b"(component)"),
        complaint("native.wasm", b"\x7fELF\x02\x01\x01"),
        complaint("core-module.wasm", b"\0asm\x01\0\0\0"),
        complaint("other-component.wasm", b"\0asm\x0d\0\x01\0"),
    ];
    insta::assert_snapshot!(complaints.concat(), @"
    mackerel-plugin-wasm: FOLDER/empty.wasm: is no collector: it does not begin like a WebAssembly file
    mackerel-plugin-wasm: FOLDER/text.wasm: is no collector: it does not begin like a WebAssembly file
    mackerel-plugin-wasm: FOLDER/native.wasm: is no collector: it does not begin like a WebAssembly file
    mackerel-plugin-wasm: FOLDER/core-module.wasm: is no collector, which is a component of the world mackerel:collector/plugin@0.1.0: failed to parse WebAssembly module: attempted to parse a wasm module with a component parser
    mackerel-plugin-wasm: FOLDER/other-component.wasm: is no collector, which is a component of the world mackerel:collector/plugin@0.1.0: no exported instance named `mackerel:collector/metrics@0.1.0`
    ");
    let whole = fs::read(component("gostats")).expect("a file that can be read");
    let cut = complaint("cut.wasm", &whole[..whole.len() / 2]);
    assert!(cut.starts_with("mackerel-plugin-wasm: FOLDER/cut.wasm: "), "{cut}");
}
