//! README.md and README.ja.md have the same content, and their commands work. No engine runs here.

use std::fs;
use std::process::Command;

use scenarios::agent::{Agent, program};
use scenarios::{port, skip};
use tempfile::TempDir;

/// Returns the blocks of code in a text, with their languages.
fn blocks(text: &str) -> Vec<&str> {
    text.split("```").skip(1).step_by(2).collect()
}

fn both() -> [String; 2] {
    ["../README.md", "../README.ja.md"].map(|path| fs::read_to_string(path).expect("a README"))
}

/// Returns the number of lines that begin with this.
fn count(text: &str, start: &str) -> usize {
    text.lines().filter(|line| line.starts_with(start)).count()
}

#[test]
fn languages_have_the_same_commands_and_sections() {
    let [english, japanese] = both();
    assert!(blocks(&english).len() > 10, "{:?}", blocks(&english));
    assert_eq!(blocks(&english), blocks(&japanese));
    for start in ["## ", "### ", "| ", "**", "1. ", "5. ", "!["] {
        assert_eq!(count(&english, start), count(&japanese, start), "lines that begin with {start:?}");
    }
}

#[test]
fn pages_have_the_same_commands_and_sections_in_both_languages() {
    for (page, fewest) in [("ecs", 9), ("labels", 5), ("labelled-metrics", 3)] {
        let paths = [format!("../docs/{page}.md"), format!("../docs/{page}.ja.md")];
        let [english, japanese] = paths.map(|path| fs::read_to_string(path).expect("a page"));
        assert!(blocks(&english).len() >= fewest, "{:?}", blocks(&english));
        assert_eq!(blocks(&english), blocks(&japanese), "{page}");
        for start in ["## ", "### ", "| ", "1. ", "4. ", "- "] {
            let counts = [&english, &japanese].map(|text| count(text, start));
            assert_eq!(counts[0], counts[1], "lines of {page} that begin with {start:?}");
        }
    }
}

#[test]
fn sidecar_can_be_tried_without_aws() {
    if !skip::has_commands(&["python3"], "the example of docs/ecs.md") {
        return;
    }
    let page = fs::read_to_string("../docs/ecs.md").expect("a page");
    let example = blocks(&page).into_iter().find(|block| block.contains("http.server")).expect("an example");
    let port = port::free();
    let wait =
        "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 18080))' 2> /dev/null; do :; done\n";
    let script = example.trim_start_matches("sh\n").replace("sleep 1\n", wait).replace("18080", &port.to_string());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", program().parent().expect("a folder").display());
    let mut shell = Command::new("sh");
    shell.args(["-euc", &script]).current_dir(&folder).env("PATH", path);
    let output = shell.env("MACKEREL_PLUGIN_WORKDIR", folder.path()).output().expect("a shell");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
    assert_eq!(stderr, "");
    assert!(stdout.contains("in the ECS task shop:1, by the metadata at"), "{stdout}");
    assert!(stdout.contains("prometheus.api.orders_open.value\t7\t"), "{stdout}");
}

#[test]
fn languages_list_every_option_of_run() {
    let help = Agent::without_engine().run("run gostats --help").exits(0).without_diagnostics().stdout;
    let flag = |line: &str| line.split_whitespace().find(|word| word.starts_with("--")).map(str::to_owned);
    let flags: Vec<String> = help.lines().filter(|line| line.trim_start().starts_with('-')).filter_map(flag).collect();
    assert!(flags.len() > 15, "{flags:?}");
    for text in both() {
        let is_there = |flag: &&String| text.contains(flag.as_str()) || *flag == "--verbose" || *flag == "--help";
        assert_eq!(flags.iter().filter(|flag| !is_there(flag)).collect::<Vec<_>>(), [""; 0]);
    }
}

#[test]
fn commands_without_containers_work_as_written() {
    let [english, _] = both();
    let commands = blocks(&english).into_iter().flat_map(str::lines);
    let commands = commands.filter_map(|line| line.strip_prefix("mackerel-plugin-wasm "));
    let folder = TempDir::new().expect("a temporary folder");
    let sums = folder.path().join("SHA256SUMS");
    let line =
        |arch: &str| format!("{}  mackerel-plugin-wasm-{}-1.{arch}.rpm\n", "0".repeat(64), env!("CARGO_PKG_VERSION"));
    fs::write(&sums, line("x86_64") + &line("aarch64")).expect("a file");
    let mut worked = 0;
    for command in commands.filter(|command| ["conf ", "dashboard "].iter().any(|word| command.starts_with(word))) {
        let (arguments, file) = command.rsplit_once(" > ").expect("into a file");
        let words = shlex::split(&arguments.replace("SHA256SUMS", &sums.display().to_string())).expect("words");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = Agent::without_engine().run_words(&words).exits(0).without_diagnostics();
        assert!(output.stdout.len() > 100, "{file}: {output}");
        worked += 1;
    }
    assert_eq!(worked, 4);
}

#[test]
fn image_exists() {
    let picture = fs::read_to_string("../docs/gostats.svg").expect("the picture");
    // Twelve targets and their sum.
    assert_eq!(picture.matches("fill=\"none\"").count(), 13);
}
