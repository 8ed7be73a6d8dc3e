//! Collectors as files, including files that no compiler creates: hand-written, truncated, or with changed bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use scenarios::agent::{Agent, Output, component};
use scenarios::attack::{lines, one_line, targets};
use scenarios::stub_target::StubTarget;
use scenarios::third_party::slow_to_compile;
use scenarios::{load, mask, stats};
use serde_json::json;

include!("../guests/evil/components/list.rs");

const MINUTE: u64 = 60_000_000_000;

/// The upper limit of a run's memory in bytes, whatever the collector does.
const PEAK: u64 = 200 << 20;

/// Defines a scenario for each WAT file. A missing one is found below.
macro_rules! scenarios {
    ($($folder:ident $name:ident)*) => {
        const _: &[fn()] = &[$($name),*];
        const TEXTS: &[(&str, &str)] = &[$((stringify!($folder), stringify!($name))),*];
    };
}
with_components!(scenarios);

#[test]
fn component_file_prints_the_values_of_the_built_in() {
    let stub_target = StubTarget::serving(json!({}));
    let file = component("gostats");
    let run = |agent: &Agent, collector: &str, minute: u64| {
        stub_target.serve(stats::body(minute * MINUTE, 7 * minute));
        let command = format!("run {collector} --target {} --path /stats", stub_target.target());
        let output = agent.run(&command).exits(0).without_diagnostics();
        let keys = output.metrics().keys().into_iter().map(str::to_owned).collect::<Vec<_>>();
        (keys, output.metrics().of(&stub_target.key()))
    };
    let [built_in, from_file] = [Agent::without_engine(), Agent::without_engine()];
    assert_eq!(run(&from_file, &file, 1), run(&built_in, "gostats", 1));
    for agent in [&from_file, &built_in] {
        agent.let_pass(Duration::from_nanos(MINUTE));
    }
    let second = run(&from_file, &file, 2);
    assert_eq!(second, run(&built_in, "gostats", 2));
    assert_eq!(second.0.len(), 15);
}

#[test]
fn component_file_has_the_definitions_and_help_of_the_built_in() {
    let agent = Agent::without_engine();
    let file = component("gostats");
    let [built_in, from_file] = ["gostats", &file]
        .map(|collector| agent.definitions(&format!("run {collector}")).exits(0).without_diagnostics().stdout);
    assert_eq!(from_file, built_in);
    let [built_in, from_file] = ["gostats", &file]
        .map(|collector| agent.run(&format!("inspect {collector}")).exits(0).without_diagnostics().stdout);
    let pairs = built_in.lines().zip(from_file.lines()).filter(|(built_in, from_file)| built_in != from_file);
    let (left, right): (Vec<_>, Vec<_>) = pairs.unzip();
    let ([left], [right]) = (&left[..], &right[..]) else { panic!("not one line differs: {left:?} {right:?}") };
    assert!(left.starts_with("origin    built in, ") && right.starts_with("origin    file, "), "{left:?} {right:?}");
}

#[test]
fn files_that_are_not_collectors_are_rejected_with_the_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let diagnostic = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("a file in a new folder");
        let output = Agent::without_engine().run(&format!("run {}", path.display())).exits(1);
        assert_eq!(output.stdout, "");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        mask::path(&output.stderr, folder.path(), "FOLDER")
    };
    let diagnostics = [
        diagnostic("empty.wasm", b""),
        diagnostic("text.wasm", b"(component)"),
        diagnostic("words.wasm", "name: a collector, in 言葉\n".as_bytes()),
        diagnostic("native.wasm", b"\x7fELF\x02\x01\x01"),
        diagnostic("archive.wasm", b"\x1f\x8b\x08\0\0\0\0\0"),
        diagnostic("bytes.wasm", b"\0\x01\x02\x03"),
        diagnostic("another-version.wasm", b"\0asm\x02\0\0\0"),
        diagnostic("core-module.wasm", b"\0asm\x01\0\0\0"),
        diagnostic("other-component.wasm", b"\0asm\x0d\0\x01\0"),
    ];
    insta::assert_snapshot!(diagnostics.concat(), @"
    mackerel-plugin-wasm: FOLDER/empty.wasm: not a collector: an empty file; expected a component of the world mackerel:collector/plugin@0.1.2
    mackerel-plugin-wasm: FOLDER/text.wasm: not a collector: WebAssembly text, which must be converted to binary first; expected a component of the world mackerel:collector/plugin@0.1.2
    mackerel-plugin-wasm: FOLDER/words.wasm: not a collector: a text file; expected a component of the world mackerel:collector/plugin@0.1.2
    mackerel-plugin-wasm: FOLDER/native.wasm: not a collector: a native program; expected a component of the world mackerel:collector/plugin@0.1.2
    mackerel-plugin-wasm: FOLDER/archive.wasm: not a collector: an archive; expected a component of the world mackerel:collector/plugin@0.1.2
    mackerel-plugin-wasm: FOLDER/bytes.wasm: not a collector: a file without the WebAssembly header; expected a component of the world mackerel:collector/plugin@0.1.2
    mackerel-plugin-wasm: FOLDER/another-version.wasm: not a collector: WebAssembly of an unknown version; expected a component of the world mackerel:collector/plugin@0.1.2
    mackerel-plugin-wasm: FOLDER/core-module.wasm: not a collector but a core module; expected a component of the world mackerel:collector/plugin@0.1.2: build for a component target such as Rust's wasm32-wasip2, or convert it with: mackerel-plugin-wasm componentize
    mackerel-plugin-wasm: FOLDER/other-component.wasm: not a collector: a component without exports; expected a component of the world mackerel:collector/plugin@0.1.2
    ");
    let whole = fs::read(component("gostats")).expect("a file that can be read");
    let cut = diagnostic("cut.wasm", &whole[..whole.len() / 2]);
    assert!(cut.starts_with("mackerel-plugin-wasm: FOLDER/cut.wasm: "), "{cut}");
}

#[test]
fn every_wat_file_has_a_scenario() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/evil/components");
    for folder_name in ["whole", "inside", "beside"] {
        let entries = fs::read_dir(folder.join(folder_name)).expect("a folder of texts");
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        found.sort();
        let listed = TEXTS.iter().filter(|(folder, _)| *folder == folder_name);
        let listed: Vec<_> =
            listed.map(|(_, name)| folder.join(folder_name).join(name).with_extension("wat")).collect();
        assert_eq!(found, listed);
    }
}

/// Runs a WAT collector on a target that responds with an empty object.
fn run_wat(name: &str) -> Output {
    let target = StubTarget::serving(json!({}));
    let output = Agent::without_engine().run(&format!("run {} --target {}", text(name), target.target()));
    assert!(output.peak < PEAK, "{} bytes: {output}", output.peak);
    output
}

/// Returns the component of a WAT file.
fn text(name: &str) -> String {
    component(&format!("evil/{name}"))
}

/// Returns the one line of a collector that reports nothing.
#[track_caller]
fn rejection(name: &str) -> String {
    let output = run_wat(name).exits(1);
    assert_eq!(output.stdout, "", "{output}");
    one_line(&output).replace(&text(name), "evil.wasm")
}

#[test]
fn valid_wat_collector_runs() {
    let output = run_wat("honest").exits(0).without_diagnostics();
    let keys: Vec<_> = output.metrics().keys().iter().map(|key| mask::digits(key, "text.", "PORT")).collect();
    assert_eq!(keys, ["text.PORT.text.one"]);
}

// Complete files.

#[test]
fn a_command() {
    insta::assert_snapshot!(rejection("a_command"), @"mackerel-plugin-wasm: evil.wasm: not a collector: a command-line program, which exports wasi:cli/run@0.2.6; expected a component of the world mackerel:collector/plugin@0.1.2");
}

#[test]
fn a_core_module() {
    insta::assert_snapshot!(rejection("a_core_module"), @"mackerel-plugin-wasm: evil.wasm: not a collector but a core module; expected a component of the world mackerel:collector/plugin@0.1.2: build for a component target such as Rust's wasm32-wasip2, or convert it with: mackerel-plugin-wasm componentize");
}

#[test]
fn a_wit_package() {
    insta::assert_snapshot!(rejection("a_wit_package"), @"mackerel-plugin-wasm: evil.wasm: not a collector: a WIT package, which describes interfaces and has no code; expected a component of the world mackerel:collector/plugin@0.1.2");
}

#[test]
fn an_empty_component() {
    insta::assert_snapshot!(rejection("an_empty_component"), @"mackerel-plugin-wasm: evil.wasm: not a collector: a component without exports; expected a component of the world mackerel:collector/plugin@0.1.2");
}

#[test]
fn an_http_server() {
    insta::assert_snapshot!(rejection("an_http_server"), @"mackerel-plugin-wasm: evil.wasm: not a collector: an HTTP server, which exports wasi:http/incoming-handler@0.2.6; expected a component of the world mackerel:collector/plugin@0.1.2");
}

#[test]
fn another_export() {
    insta::assert_snapshot!(rejection("another_export"), @"mackerel-plugin-wasm: evil.wasm: not a collector: a component that exports evil:evil/metrics@0.1.0; expected a component of the world mackerel:collector/plugin@0.1.2");
}

#[test]
fn the_export_as_a_function() {
    insta::assert_snapshot!(rejection("the_export_as_a_function"), @"mackerel-plugin-wasm: evil.wasm: not a collector: a component that exports describe; expected a component of the world mackerel:collector/plugin@0.1.2");
}

#[test]
fn the_export_of_an_older_contract() {
    insta::assert_snapshot!(rejection("the_export_of_an_older_contract"), @"mackerel-plugin-wasm: evil.wasm: made for version 0.0.1 of mackerel:collector, but this program runs 0.1.0 to 0.1.2: build the component against that");
}

#[test]
fn the_export_of_another_contract() {
    insta::assert_snapshot!(rejection("the_export_of_another_contract"), @"mackerel-plugin-wasm: evil.wasm: made for version 0.2.0 of mackerel:collector, but this program runs 0.1.0 to 0.1.2: update this program");
}

#[test]
fn the_export_with_other_types() {
    insta::assert_snapshot!(rejection("the_export_with_other_types"), @"mackerel-plugin-wasm: evil.wasm: describe: collector failed: expected 1-tuple, found 0-tuple");
}

// Parts inside a valid collector.

#[test]
fn a_choice_with_line_breaks() {
    insta::assert_snapshot!(rejection("a_choice_with_line_breaks"), @r"mackerel-plugin-wasm: evil.wasm: describe: collector violated the contract: option 'kind' has a word or default with invisible characters: '\u{1b}[2Jbad\r\nmackerel-plugin-wasm: a false l'");
}

#[test]
fn a_default_with_escapes() {
    insta::assert_snapshot!(rejection("a_default_with_escapes"), @r"mackerel-plugin-wasm: evil.wasm: describe: collector violated the contract: option 'kind' has a word or default with invisible characters: '\u{1b}[2J\r\nroot\t\u{202e}# a false line.'");
}

#[test]
fn a_hundred_thousand_options() {
    insta::assert_snapshot!(rejection("a_hundred_thousand_options"), @"mackerel-plugin-wasm: evil.wasm: describe: collector passed more than 4 MiB to the host in one call (fixed limit)");
}

#[test]
fn a_memory_larger_than_allowed() {
    insta::assert_snapshot!(rejection("a_memory_larger_than_allowed"), @"mackerel-plugin-wasm: evil.wasm: describe: collector exceeded 64 MiB of memory (--memory-limit)");
}

#[test]
fn a_name_of_a_mebibyte() {
    insta::assert_snapshot!(rejection("a_name_of_a_mebibyte"), @"mackerel-plugin-wasm: evil.wasm: describe: collector violated the contract: name 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…");
}

#[test]
fn a_name_that_is_not_utf8() {
    insta::assert_snapshot!(rejection("a_name_that_is_not_utf8"), @"mackerel-plugin-wasm: evil.wasm: describe: collector failed: invalid utf-8 sequence of 1 bytes from index 0");
}

#[test]
fn a_path_as_a_name() {
    insta::assert_snapshot!(rejection("a_path_as_a_name"), @"mackerel-plugin-wasm: evil.wasm: describe: collector violated the contract: name '../../etc/cron' contains characters other than a-z, 0-9 and -");
}

#[test]
fn an_invalid_scope() {
    insta::assert_snapshot!(rejection("an_invalid_scope"), @"mackerel-plugin-wasm: evil.wasm: describe: collector failed: unexpected discriminant: 77");
}

#[test]
fn a_summary_of_a_mebibyte() {
    insta::assert_snapshot!(rejection("a_summary_of_a_mebibyte"), @"mackerel-plugin-wasm: evil.wasm: describe: collector violated the contract: 1048576 characters in the summary, limit 300");
}

#[test]
fn a_table_larger_than_allowed() {
    insta::assert_snapshot!(rejection("a_table_larger_than_allowed"), @"mackerel-plugin-wasm: evil.wasm: describe: collector exceeded 100000 table elements (fixed limit)");
}

#[test]
fn a_thousand_options() {
    insta::assert_snapshot!(rejection("a_thousand_options"), @"mackerel-plugin-wasm: evil.wasm: describe: collector violated the contract: 1000 options, limit 100");
}

#[test]
fn an_option_of_the_host() {
    insta::assert_snapshot!(rejection("an_option_of_the_host"), @"mackerel-plugin-wasm: collector evil.wasm declares --target, which is an option of the host: rename it in the collector, or use a version of mackerel-plugin-wasm without that option");
}

#[test]
fn post_return_spins() {
    insta::assert_snapshot!(rejection("post_return_spins"), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector exceeded 1s of CPU time (--cpu-limit)");
}

#[test]
fn post_return_traps() {
    insta::assert_snapshot!(rejection("post_return_traps"), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector failed: wasm trap: wasm `unreachable` instruction executed");
}

#[test]
fn a_description_beyond_memory() {
    insta::assert_snapshot!(rejection("a_description_beyond_memory"), @"mackerel-plugin-wasm: evil.wasm: describe: collector failed: pointer out of bounds of memory");
}

#[test]
fn describe_spins() {
    insta::assert_snapshot!(rejection("describe_spins"), @"mackerel-plugin-wasm: evil.wasm: describe: collector exceeded 1s of CPU time (fixed limit)");
}

#[test]
fn describe_takes_memory() {
    insta::assert_snapshot!(rejection("describe_takes_memory"), @"mackerel-plugin-wasm: evil.wasm: describe: collector exceeded 64 MiB of memory (--memory-limit)");
}

#[test]
fn describe_traps() {
    insta::assert_snapshot!(rejection("describe_traps"), @"mackerel-plugin-wasm: evil.wasm: describe: collector failed: wasm trap: wasm `unreachable` instruction executed");
}

#[test]
fn leftovers_in_tables() {
    // Most of a hundred sandboxes have the tables of others that ended.
    let target = StubTarget::serving(json!({}));
    let targets = targets((1..=100).map(|host| format!("127.0.0.{host}:{}", target.port())));
    let output = Agent::without_engine().run(&format!("run {} {targets}", component("evil/leftovers_in_tables")));
    assert_eq!(output.exits(0).without_diagnostics().metrics().instances().len(), 100);
}

#[test]
fn options_without_end() {
    insta::assert_snapshot!(rejection("options_without_end"), @"mackerel-plugin-wasm: evil.wasm: describe: collector failed: list pointer/length out of bounds of memory");
}

#[test]
fn realloc_misaligned() {
    insta::assert_snapshot!(rejection("realloc_misaligned"), @"mackerel-plugin-wasm: evil.wasm: graphs: collector failed: realloc return: result not aligned");
}

#[test]
fn realloc_beyond_memory() {
    insta::assert_snapshot!(rejection("realloc_beyond_memory"), @"mackerel-plugin-wasm: evil.wasm: graphs: collector failed: realloc return: beyond end of memory");
}

#[test]
fn realloc_spins() {
    insta::assert_snapshot!(rejection("realloc_spins"), @"mackerel-plugin-wasm: evil.wasm: graphs: collector exceeded 1s of CPU time (fixed limit)");
}

#[test]
fn realloc_traps() {
    insta::assert_snapshot!(rejection("realloc_traps"), @"mackerel-plugin-wasm: evil.wasm: graphs: collector failed: wasm trap: wasm `unreachable` instruction executed");
}

#[test]
fn samples_that_share_one_text() {
    insta::assert_snapshot!(rejection("samples_that_share_one_text"), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: collector passed more than 4 MiB to the host in one call (fixed limit)");
}

#[test]
fn start_spins() {
    insta::assert_snapshot!(rejection("start_spins"), @"mackerel-plugin-wasm: evil.wasm: describe: collector exceeded 1s of CPU time (fixed limit)");
}

#[test]
fn start_takes_memory() {
    insta::assert_snapshot!(rejection("start_takes_memory"), @"mackerel-plugin-wasm: evil.wasm: describe: collector exceeded 64 MiB of memory (--memory-limit)");
}

#[test]
fn start_takes_tables() {
    insta::assert_snapshot!(rejection("start_takes_tables"), @"mackerel-plugin-wasm: evil.wasm: describe: collector exceeded 100000 table elements (fixed limit)");
}

#[test]
fn start_traps() {
    insta::assert_snapshot!(rejection("start_traps"), @"mackerel-plugin-wasm: evil.wasm: describe: collector failed: wasm trap: wasm `unreachable` instruction executed");
}

#[test]
fn the_same_option_twice() {
    insta::assert_snapshot!(rejection("the_same_option_twice"), @"mackerel-plugin-wasm: evil.wasm: describe: collector violated the contract: option 'path' is declared twice");
}

// Generated files that are too large to be written by hand.

#[test]
fn a_component_that_compiles_for_long() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("long.wasm");
    fs::write(&path, slow_to_compile()).expect("a file in a new folder");
    let output = Agent::without_engine().run(&format!("run {} --target 127.0.0.1:1", path.display())).exits(1);
    assert_eq!(output.stdout, "");
    let diagnostic = mask::path(&output.stderr, folder.path(), "FOLDER");
    insta::assert_snapshot!(diagnostic, @"mackerel-plugin-wasm: FOLDER/long.wasm: compilation exceeded 15s (fixed limit): compile it once with: mackerel-plugin-wasm install FOLDER/long.wasm");
}

// Parts beside a valid collector.

#[test]
fn a_thousand_instances() {
    insta::assert_snapshot!(rejection("a_thousand_instances"), @"mackerel-plugin-wasm: evil.wasm: describe: collector exceeded 100 instances, tables or memories (fixed limit)");
}

#[test]
fn a_thousand_memories() {
    insta::assert_snapshot!(rejection("a_thousand_memories"), @"mackerel-plugin-wasm: evil.wasm: describe: collector exceeded 100 instances, tables or memories (fixed limit)");
}

#[test]
fn a_thousand_tables() {
    insta::assert_snapshot!(rejection("a_thousand_tables"), @"mackerel-plugin-wasm: evil.wasm: describe: collector exceeded 100 instances, tables or memories (fixed limit)");
}

#[test]
fn imports_a_function() {
    insta::assert_snapshot!(rejection("imports_a_function"), @"mackerel-plugin-wasm: evil.wasm: unsupported imports: root; collectors can import mackerel:collector and WASI 0.2");
}

#[test]
fn imports_an_unknown_interface() {
    insta::assert_snapshot!(rejection("imports_an_unknown_interface"), @"mackerel-plugin-wasm: evil.wasm: unsupported imports: evil:evil/machine; collectors can import mackerel:collector and WASI 0.2");
}

#[test]
fn imports_another_contract() {
    insta::assert_snapshot!(rejection("imports_another_contract"), @"mackerel-plugin-wasm: evil.wasm: made for version 0.2.0 of mackerel:collector, but this program runs 0.1.0 to 0.1.2: update this program");
}

#[test]
fn imports_more_of_a_later_contract() {
    insta::assert_snapshot!(rejection("imports_more_of_a_later_contract"), @"mackerel-plugin-wasm: evil.wasm: made for version 0.1.3 of mackerel:collector, but this program runs 0.1.0 to 0.1.2: update this program");
}

#[test]
fn imports_of_another_type() {
    insta::assert_snapshot!(rejection("imports_of_another_type"), @"mackerel-plugin-wasm: evil.wasm: made for version 0.1.3 of mackerel:collector, but this program runs 0.1.0 to 0.1.2: update this program");
}

#[test]
fn imports_wasi_http() {
    insta::assert_snapshot!(rejection("imports_wasi_http"), @"mackerel-plugin-wasm: evil.wasm: not a collector: component imports instance `wasi:http/outgoing-handler@0.2.0`, but a matching implementation was not found in the linker: instance export `handle` has the wrong type: type mismatch with parameters: expected 2-tuple, found 0-tuple; expected a component of the world mackerel:collector/plugin@0.1.2");
}

#[test]
fn resources_of_its_own_without_end() {
    insta::assert_snapshot!(rejection("resources_of_its_own_without_end"), @"mackerel-plugin-wasm: evil.wasm: describe: collector exceeded 1000 resources (fixed limit)");
}

// Components that are accepted.

#[test]
fn realloc_returns_one_address() {
    // The memory that it overwrites is its own.
    let output = run_wat("realloc_returns_one_address").exits(0).without_diagnostics();
    assert_eq!(output.metrics().count(), 1, "{output}");
}

#[test]
fn a_signalling_nan() {
    let output = run_wat("a_signalling_nan").exits(0);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(one_line(&output).replace(&text("a_signalling_nan"), "evil.wasm"), @"mackerel-plugin-wasm: evil.wasm: 127.0.0.1:PORT: dropped a sample with a value that is not finite: #.text.one");
}

#[test]
fn escapes_in_the_description() {
    let file = text("escapes_in_the_description");
    let agent = Agent::without_engine();
    for command in [format!("inspect {file}"), format!("run {file} --help"), format!("run {file} --unknown")] {
        let output = agent.run(&command);
        for shown in [&output.stdout, &output.stderr] {
            let steers = |letter: char| letter != '\n' && letter.is_control() || letter == '\u{202e}';
            assert!(!shown.contains(steers), "{shown:?}");
            assert!(!shown.lines().any(|line| line.trim_start().starts_with("root")), "{output}");
        }
    }
    let shown = agent.run(&format!("inspect {file}")).exits(0).without_diagnostics();
    let shown: Vec<_> = shown.stdout.lines().filter(|line| line.contains("root")).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    version   \u{1b}[2J\r\nroot\t\u{202e}# a false line.
    collects  \u{1b}[2J\r\nroot\t\u{202e}# a false line.
      --kind  \u{1b}[2J\r\nroot\t\u{202e}# a false line.
      text.#.text  "Text.# \u{1b}[2J\r\nroot\t\u{202e}# a false line.", float
    "#);
}

// Damaged files.

#[test]
fn file_truncated_anywhere_is_rejected_in_one_line() {
    let whole = fs::read(text("honest")).expect("a file that can be read");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("cut.wasm");
    for length in (0..whole.len()).step_by(whole.len() / 40) {
        fs::write(&path, &whole[..length]).expect("a file in a new folder");
        let output = Agent::without_engine().run(&format!("run {}", path.display())).exits(1);
        assert_eq!(output.stdout, "", "{length} bytes: {output}");
        let line = mask::path(&one_line(&output), folder.path(), "FOLDER");
        assert!(line.starts_with("mackerel-plugin-wasm: FOLDER/cut.wasm: not a collector"), "{length} bytes: {line}");
    }
}

#[test]
fn file_with_changed_bytes_never_crashes_the_program() {
    let whole = fs::read(text("honest")).expect("a file that can be read");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("changed.wasm");
    let target = StubTarget::serving(json!({}));
    let agent = Agent::without_engine();
    // A generator of its own, so that every run changes the same bytes.
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 8).expect("24 bits")
    };
    for _ in 0..60 {
        let mut changed = whole.clone();
        for _ in 0..=random() % 3 {
            let place = 8 + random() % (changed.len() - 8);
            changed[place] = u8::try_from(random() % 256).expect("a byte");
        }
        fs::write(&path, &changed).expect("a file in a new folder");
        let output = agent.run(&format!("run {} --target {}", path.display(), target.target()));
        let code = i32::from(output.stdout.is_empty() && !output.stderr.contains(" left out "));
        let output = output.exits(code);
        assert!(output.stderr.lines().count() <= 1, "{output}");
        let _ = lines(&output);
    }
}

#[test]
fn header_before_random_bytes_is_rejected_in_one_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("noise.wasm");
    let mut state = 7_u32;
    for length in [1, 2, 10, 100, 1000, 100_000] {
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24).to_le_bytes()[0]
        });
        let bytes: Vec<u8> = b"\0asm\x0d\0\x01\0".iter().copied().chain(noise.take(length)).collect();
        fs::write(&path, bytes).expect("a file in a new folder");
        let output = Agent::without_engine().run(&format!("run {}", path.display())).exits(1);
        assert_eq!(output.stdout, "", "{output}");
        let _ = one_line(&output);
    }
}

#[test]
fn file_that_is_too_large_is_rejected() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("large.wasm");
    fs::write(&path, b"\0asm\x0d\0\x01\0").expect("a file in a new folder");
    // A sparse file, which takes no space.
    let file = fs::File::options().write(true).open(&path).expect("the new file");
    file.set_len((64 << 20) + 1).expect("a sparse file");
    let output = Agent::without_engine().run(&format!("run {}", path.display())).exits(1);
    assert_eq!(output.stdout, "", "{output}");
    insta::assert_snapshot!(mask::path(&one_line(&output), folder.path(), "FOLDER"), @"mackerel-plugin-wasm: FOLDER/large.wasm: it exceeds 64 MiB");
    assert!(output.peak < PEAK, "{} bytes", output.peak);
}

#[test]
fn failing_components_do_not_affect_another_collector() {
    let _load = load::timed();
    let good: Vec<StubTarget> = (0..5).map(|_| StubTarget::serving(json!({"goroutine_num": 2}))).collect();
    let all = targets(good.iter().map(StubTarget::target));
    let agent = Agent::without_engine();
    let start = |name: &str| agent.start(&format!("run {} {all}", text(name)));
    let failing =
        ["describe_spins", "start_takes_memory", "post_return_spins", "samples_that_share_one_text"].map(start);
    let output = agent.run(&format!("run gostats {all}")).exits(0).without_diagnostics();
    assert_eq!(output.metrics().count(), good.len(), "{output}");
    for failing in failing {
        let _ = lines(&failing.output().exits(1));
    }
}
