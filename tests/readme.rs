//! README.md and README.ja.md have the same content, and their commands work. No engine runs here.

use std::fs;

use scenarios::agent::Agent;
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
    assert_eq!(worked, 3);
}

#[test]
fn image_exists() {
    let picture = fs::read_to_string("../docs/gostats.svg").expect("the picture");
    // Twelve targets and their sum.
    assert_eq!(picture.matches("fill=\"none\"").count(), 13);
}
