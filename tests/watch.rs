//! `watch`: a live table, in a real terminal.

use std::fmt::Write as _;
use std::process::Command;

use scenarios::agent::Agent;
use scenarios::fake_engine::{FakeEngine, container};
use scenarios::stub_target::StubTarget;
use scenarios::terminal::Terminal;
use scenarios::{mask, stats, wait};
use serde_json::{Value, json};

/// Containers of an engine with values that do not change: three targets, one of which fails, and one without a port.
struct Shop {
    engine: FakeEngine,
    targets: Vec<StubTarget>,
}

impl Shop {
    fn new() -> Self {
        let body = |goroutines: u64| {
            let mut body = stats::body(1, 7);
            body["goroutine_num"] = goroutines.into();
            body["memory_sys"] = (goroutines << 20).into();
            body
        };
        let targets: Vec<StubTarget> =
            [body(3), body(20), json!("not an object"), body(1)].into_iter().map(StubTarget::serving).collect();
        let mut containers: Vec<Value> = ["api", "web", "broken", "other"]
            .iter()
            .zip(&targets)
            .map(|(name, target)| container(name, "127.0.0.1", target.port()))
            .collect();
        containers[3]["Ports"] = json!([]);
        Self { engine: FakeEngine::with_containers(containers), targets }
    }

    fn mask(&self, page: &str) -> String {
        let page = mask::digits(&page.replace(&self.engine.host(), "ENGINE"), "took ", "N");
        self.targets.iter().fold(page, |page, target| page.replace(&target.port().to_string(), "PORT"))
    }

    fn terminal(&self, columns: usize, rows: usize, variables: &[(&str, &str)]) -> Option<Terminal> {
        let host = self.engine.host();
        let variables = [&[("DOCKER_HOST", host.as_str())], variables].concat();
        Terminal::start(columns, rows, &variables)
    }
}

/// A command about gauges alone, which are the same in every collection.
const GAUGES: &str = "mackerel-plugin-wasm watch gostats --instance-name name --select runtime.goroutine_num \
                      --select memory.memory_alloc --select memory.memory_sys";

#[test]
fn table_fits_into_80_columns_and_24_rows() {
    let shop = Shop::new();
    let Some(terminal) = shop.terminal(80, 24, &[]) else { return };
    terminal.line(&format!("{GAUGES} --total sum,max"));
    insta::assert_snapshot!(shop.mask(&terminal.wait_for("every 5s")));
    // Long lines are cut or broken, and rows without room are counted.
    terminal.resize(40, 13);
    insta::assert_snapshot!(shop.mask(&terminal.wait_for("more below")));
}

#[test]
fn keys_sort_and_move_the_table() {
    let shop = Shop::new();
    let Some(terminal) = shop.terminal(80, 24, &[]) else { return };
    terminal.line(GAUGES);
    terminal.wait_for("every 5s");
    let is_before = |page: &str, first: &str, second: &str| {
        let line = |name: &str| page.lines().position(|line| line.starts_with(name));
        line(first) < line(second)
    };
    terminal.key("s");
    terminal.wait_until("the container with the most goroutines is first", |page| is_before(page, "web", "api"));
    terminal.key("r");
    terminal.wait_until("it is last", |page| is_before(page, "api", "web"));
    terminal.key("r");
    terminal.key("n");
    terminal.wait_until("names are sorted", |page| is_before(page, "api", "web"));
    terminal.key("Right");
    let page = terminal.wait_until("the first metric is away", |page| !page.contains("goroutine_num  "));
    assert!(page.contains("memory_alloc"), "{page}");
    terminal.key("Left");
    terminal.wait_for("goroutine_num");
}

/// Returns the line with the exit status, between two equal lines of `stty -g`.
#[track_caller]
fn status_on_restored(page: &str) -> &str {
    let settings: Vec<&str> = page.lines().filter(|line| line.contains(':') && !line.contains(' ')).collect();
    assert!(matches!(settings[..], [before, after] if before == after), "{page}");
    assert!(!page.contains("NAME"), "{page}");
    page.lines().find(|line| line.starts_with("status ")).unwrap_or_default()
}

#[test]
fn terminal_is_restored_if_the_watchdog_ends_the_command() {
    let shop = Shop::new();
    let Some(terminal) = shop.terminal(120, 24, &[]) else { return };
    terminal.line(&format!("clear; stty -g; {GAUGES} --interval 10ms --deadline 1s; echo status $?; stty -g"));
    terminal.wait_for("every 10ms");
    let device = terminal.device();
    // Its pages fill the buffer of the terminal, and writing the next one hangs.
    let stopped = terminal.stop_reading();
    wait::until("the settings from before", || {
        let settings = Command::new("stty").args(["-F", &device, "-a"]).output().expect("stty can be started");
        String::from_utf8_lossy(&settings.stdout).contains(" icanon").then_some(())
    });
    drop(stopped);
    let is_restored = |page: &str| page.contains("status ") && page.trim_end().ends_with('$');
    let page = terminal.wait_until("the page from before", is_restored);
    assert_eq!(status_on_restored(&page), "status 1", "{page}");
    // The line can begin behind a part of the last page, and then continues on the next one.
    let words: String = page.split_whitespace().collect();
    assert!(words.contains("therunhungbeyonditsdeadline"), "{page}");
}

#[test]
fn terminal_is_restored_at_the_end() {
    let shop = Shop::new();
    let Some(terminal) = shop.terminal(120, 24, &[]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pid = folder.path().join("pid");
    let mut expected = String::new();
    for end in ["q", "C-c", "SIGTERM"] {
        terminal.line(&format!(
            "clear; stty -g; sh -c 'echo $$ > {}; exec {GAUGES}'; echo status $?; stty -g",
            pid.display()
        ));
        terminal.wait_for("every 5s");
        if end == "SIGTERM" {
            let pid = std::fs::read_to_string(&pid).expect("the shell wrote it");
            let killed = Command::new("kill").arg(pid.trim()).status();
            assert!(killed.is_ok_and(|status| status.success()), "it runs");
        } else {
            terminal.key(end);
        }
        let page = terminal.wait_until(&format!("the page from before, after {end}"), |page| {
            page.contains("status ") && page.trim_end().ends_with('$')
        });
        let _ = writeln!(expected, "{end}: {}", status_on_restored(&page));
    }
    insta::assert_snapshot!(expected, @"
    q: status 0
    C-c: status 0
    SIGTERM: status 0
    ");
}

#[test]
fn counters_become_rates_in_memory_alone() {
    let shop = Shop::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().display().to_string();
    let Some(terminal) = shop.terminal(80, 24, &[("MACKEREL_PLUGIN_WORKDIR", &folder)]) else { return };
    terminal.line("mackerel-plugin-wasm watch gostats --instance-name name --select gc.gc_num --interval 500ms");
    let has_rate = |page: &str| page.lines().any(|line| line.starts_with("api ") && line.trim_end().ends_with(" 0"));
    terminal.wait_until("a rate of api", has_rate);
    terminal.key("q");
    terminal.wait_until("the end", |page| page.trim_end().ends_with('$'));
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0, "files of state");
}

#[test]
fn engine_that_ends_is_shown_until_it_returns() {
    let shop = Shop::new();
    let Some(terminal) = shop.terminal(80, 24, &[]) else { return };
    terminal.line(&format!("{GAUGES} --interval 500ms"));
    terminal.wait_for("2 collected");
    let socket = shop.engine.host().trim_start_matches("unix://").to_owned();
    let away = format!("{socket}.away");
    std::fs::rename(&socket, &away).expect("a socket can be renamed");
    let page = terminal.wait_for("cannot connect");
    assert!(!page.contains("goroutine_num"), "{page}");
    std::fs::rename(&away, &socket).expect("a socket can be renamed");
    terminal.wait_for("2 collected");
}

#[test]
fn once_prints_a_table() {
    let shop = Shop::new();
    let agent = Agent::with_docker_host(&shop.engine.host());
    let options = "--instance-name name --total sum --select runtime.* --select memory.* --once";
    let output = agent.run(&format!("watch gostats {options}")).exits(0).without_diagnostics();
    insta::assert_snapshot!(shop.mask(&output.stdout));
    assert!(agent.state_files().is_empty());
    let failed = agent.run("watch gostats --once --target 127.0.0.1:1").exits(1);
    assert!(failed.stdout.contains("Connection refused"), "{failed}");
}

#[test]
fn colours_are_only_for_terminals() {
    let shop = Shop::new();
    let red = "\u{1b}[31m";
    let once = format!("{GAUGES} --once");
    let Some(terminal) = shop.terminal(120, 24, &[]) else { return };
    terminal.line(&once);
    terminal.wait_for("broken");
    wait::until("a red note", || terminal.coloured_page().contains(red).then_some(()));
    let Some(terminal) = shop.terminal(120, 24, &[("NO_COLOR", "1")]) else { return };
    terminal.line(&once);
    terminal.wait_for("broken");
    assert!(!terminal.coloured_page().contains(red));
}

#[test]
fn live_table_needs_a_terminal() {
    let output = Agent::without_engine().run("watch gostats").exits(2);
    insta::assert_snapshot!(output.stderr, @"mackerel-plugin-wasm: watch needs a terminal: for one table, add --once");
}
