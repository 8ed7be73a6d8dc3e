//! Components that are expensive to compile: the number of their parts is limited, and a process of its own bounds
//! memory and time. What is expensive stands beside a valid collector, because it would be rejected earlier without.

use std::fs;

use scenarios::agent::{Agent, component};
use scenarios::stub_target::StubTarget;
use scenarios::third_party::leb;
use scenarios::{load, mask, stats};

/// The upper limit of the program's own memory in bytes.
const PEAK: u64 = 200 << 20;

/// The header of a component, and that of a core module.
const HEADERS: [&[u8]; 2] = [b"\0asm\x0d\0\x01\0", b"\0asm\x01\0\0\0"];

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], leb(content.len()), content.to_vec()].concat()
}

/// Returns a section with `count` times the same entry.
fn repeated(id: u8, entry: &[u8], count: usize) -> Vec<u8> {
    section(id, &[leb(count), entry.repeat(count)].concat())
}

/// Returns a section with a core module of these sections.
fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    section(1, &[HEADERS[1], &sections.concat()].concat())
}

/// Returns a section with a core module of `count` functions with the same body.
fn functions(body: &[u8], count: usize) -> Vec<u8> {
    let function = [leb(body.len()), body.to_vec()].concat();
    module(&[section(1, &[1, 0x60, 0, 0]), repeated(3, &[0], count), repeated(10, &function, count)])
}

/// Returns a section with components within each other.
fn chain(levels: usize) -> Vec<u8> {
    (0..levels).fold(Vec::new(), |inner, _| section(4, &[HEADERS[0], &inner].concat()))
}

/// Returns the one line with which each of these commands rejects gostats with these sections beside it.
#[track_caller]
fn rejection(commands: &[&str], sections: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("hostile.wasm");
    let honest = fs::read(component("gostats")).expect("a file that can be read");
    fs::write(&path, [&honest, sections].concat()).expect("a file in a new folder");
    let agent = Agent::without_engine();
    let mut lines: Vec<String> = Vec::new();
    for command in commands {
        let output = agent.run(&format!("{command} {}", path.display())).exits(1);
        assert_eq!(output.stdout, "");
        assert!(output.peak < PEAK, "{} bytes: {output}", output.peak);
        lines.push(mask::path(&output.stderr, folder.path(), "FOLDER"));
    }
    lines.dedup();
    lines.concat()
}

#[test]
fn components_of_too_many_parts_are_rejected_before_they_are_compiled() {
    let types = |count| module(&[repeated(1, &[0x60, 0, 0], count)]);
    let imports = [section(1, &[1, 0x60, 0, 0]), repeated(2, &[1, b'a', 1, b'b', 0, 0], 100_001)];
    let exports = [
        section(1, &[1, 0x60, 0, 0]),
        repeated(3, &[0], 1),
        repeated(7, &[1, b'a', 0, 0], 100_001),
        repeated(10, &[2, 0, 0x0b], 1),
    ];
    let errors = [
        section(4, HEADERS[0]).repeat(20_000),
        section(1, HEADERS[1]).repeat(20_000),
        chain(20_000),
        chain(11),
        types(100_001),
        types(50_000).repeat(3),
        functions(&[0, 0x0b], 100_001),
        module(&imports),
        module(&exports),
        repeated(7, &[0x40, 0, 1, 0], 100_001),
        repeated(5, &[1, 0], 1001),
    ];
    insta::assert_snapshot!(errors.map(|sections| rejection(&["run", "install"], &sections)).concat(), @"
    mackerel-plugin-wasm: FOLDER/hostile.wasm: too complex: more than 1000 nested modules and components (fixed limit)
    mackerel-plugin-wasm: FOLDER/hostile.wasm: too complex: more than 1000 nested modules and components (fixed limit)
    mackerel-plugin-wasm: FOLDER/hostile.wasm: too complex: more than 10 levels of nested components (fixed limit)
    mackerel-plugin-wasm: FOLDER/hostile.wasm: too complex: more than 10 levels of nested components (fixed limit)
    mackerel-plugin-wasm: FOLDER/hostile.wasm: too complex: more than 100000 types (fixed limit)
    mackerel-plugin-wasm: FOLDER/hostile.wasm: too complex: more than 100000 types (fixed limit)
    mackerel-plugin-wasm: FOLDER/hostile.wasm: too complex: more than 100000 functions (fixed limit)
    mackerel-plugin-wasm: FOLDER/hostile.wasm: too complex: more than 100000 imports (fixed limit)
    mackerel-plugin-wasm: FOLDER/hostile.wasm: too complex: more than 100000 exports and aliases (fixed limit)
    mackerel-plugin-wasm: FOLDER/hostile.wasm: too complex: more than 100000 types (fixed limit)
    mackerel-plugin-wasm: FOLDER/hostile.wasm: too complex: more than 1000 instances (fixed limit)
    ");
}

#[test]
fn functions_that_take_too_much_memory_to_compile_are_rejected() {
    let _load = load::heavy();
    // local.get 0, i32.const 1, i32.add, local.set 0: a million times
    let body = [&[1, 1, 0x7f][..], &[0x20, 0, 0x41, 1, 0x6a, 0x21, 0].repeat(1_000_000), &[0x0b]].concat();
    // A run may exceed its time first.
    insta::assert_snapshot!(rejection(&["install"], &functions(&body, 8)), @"mackerel-plugin-wasm: FOLDER/hostile.wasm: compilation exceeded 768 MiB of memory (fixed limit)");
}

#[test]
fn a_component_of_many_parts_within_the_limits_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("large.wasm");
    let honest = fs::read(component("gostats")).expect("a file that can be read");
    let parts = [module(&[repeated(1, &[0x60, 0, 0], 50_000)]), section(1, HEADERS[1]).repeat(900), chain(9)].concat();
    fs::write(&path, [honest, parts].concat()).expect("a file in a new folder");
    let target = StubTarget::serving(stats::body(1, 1));
    let output = Agent::without_engine().run(&format!("run {} --target {}", path.display(), target.target()));
    assert_eq!(output.exits(0).without_diagnostics().metrics().count(), 9);
}
