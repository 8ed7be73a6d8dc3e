//! Completions and manual pages have every command and option of the program, and the shells accept them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use scenarios::agent::Agent;
use scenarios::skip;
use tempfile::TempDir;

/// The commands that take a collector.
const OF_COLLECTORS: [&str; 8] = ["run", "test", "plan", "explain", "check", "watch", "conf", "dashboard"];

/// Returns stdout of a command that succeeds.
fn text(arguments: &str) -> String {
    Agent::without_engine().run(arguments).exits(0).without_diagnostics().stdout
}

/// Returns the long options in a help text.
fn options(help: &str) -> BTreeSet<String> {
    let of = |line: &str| Some(format!("--{}", line.trim_start().split_once("--")?.1.split([' ', '\n']).next()?));
    help.lines().filter(|line| line.trim_start().starts_with('-')).filter_map(of).collect()
}

/// Returns the options of every command about every built-in collector, by the words that name the command.
fn expected() -> Vec<(String, BTreeSet<String>)> {
    let list = text("list");
    let collectors: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(collectors.len(), 4, "{list}");
    let mut expected = Vec::new();
    let with_labels = ["run", "plan", "explain", "conf", "dashboard"].map(|command| (command, "labels"));
    let with_collector = OF_COLLECTORS.iter().flat_map(|command| collectors.iter().map(|of| (*command, *of)));
    for (command, collector) in with_collector.chain(with_labels) {
        let words = format!("{command} {collector}");
        let options = options(&text(&format!("{words} --help")));
        assert!(options.len() > 10, "{words}: {options:?}");
        expected.push((words, options));
    }
    expected
}

#[test]
fn scripts_have_every_option_of_every_collector() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&format!("completions {shell}"));
        for (words, options) in expected() {
            for option in options {
                // fish writes an option as `-l NAME`.
                let option = if shell == "fish" { option.replacen("--", "-l ", 1) } else { option };
                assert!(script.contains(&option), "{shell}: {words} {option}");
            }
        }
    }
}

#[test]
fn bash_completes_an_option_of_a_collector() {
    if !skip::has_commands(&["bash"], "completions of bash") {
        return;
    }
    let folder = TempDir::new().expect("a temporary folder");
    let script = folder.path().join("script");
    fs::write(&script, text("completions bash")).expect("a file");
    let complete = |words: &str| {
        let order = r#". "$0"; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_mackerel__plugin__wasm mackerel-plugin-wasm "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
echo "${COMPREPLY[*]}""#;
        let output = Command::new("bash").args(["-c", order]).arg(&script).arg(words).output().expect("bash");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    };
    assert_eq!(complete("mackerel-plugin-wasm compl"), "completions");
    assert_eq!(complete("mackerel-plugin-wasm run gos"), "gostats");
    assert_eq!(complete("mackerel-plugin-wasm run gostats --pa"), "--path");
    assert_eq!(complete("mackerel-plugin-wasm run redis --password"), "--password-file");
    assert_eq!(complete("mackerel-plugin-wasm conf docker --cloud"), "--cloud-init");
}

#[test]
fn hidden_options_are_not_completed() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&format!("completions {shell}"));
        assert!(!script.contains("from-stdin") && !script.contains("man-pages"), "{shell}");
    }
    let script = text("completions fish");
    let of_docker: Vec<_> = script.lines().filter(|line| line.contains("__fish_seen_subcommand_from docker")).collect();
    assert!(of_docker.iter().any(|line| line.contains("-l graphs")), "{of_docker:?}");
    assert!(!of_docker.iter().any(|line| line.contains("-l target ")), "docker has no ports: {of_docker:?}");
}

#[test]
fn manual_pages_have_every_option_of_every_collector() {
    let folder = TempDir::new().expect("a temporary folder");
    let pages = folder.path().join("man");
    assert_eq!(text(&format!("man-pages {}", pages.display())), "");
    let page = |words: &str| {
        let name = format!("mackerel-plugin-wasm-{}.1", words.replace(' ', "-"));
        fs::read_to_string(pages.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    for (words, options) in expected() {
        let page = page(&words);
        for option in options {
            assert!(page.contains(&option.replace('-', r"\-")), "{words} {option}");
        }
    }
    assert!(page("install").contains(r"\-\-all"));
    let names: Vec<_> = fs::read_dir(&pages).expect("the pages").flatten().map(|entry| entry.file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("stdin")), "{names:?}");
}
