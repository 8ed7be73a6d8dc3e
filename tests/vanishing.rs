//! Containers that disappear or pause during a run, on real engines.

use std::sync::{Mutex, PoisonError};

use scenarios::agent::{Agent, Output};
use scenarios::engine::{Container, Engine};
use scenarios::podman::Podman;
use scenarios::proxy::{EngineProxy, Passing};

const SOURCES: [&str; 3] = ["cgroup", "api", "auto"];

const GONE: &str = "mackerel-plugin-wasm: docker: gone: container stopped or removed since the engine listed it\n";

/// Runs with three containers, one of which is removed or stopped at the first moment that `when` accepts. Returns the
/// output and the expected keys of the two others.
fn run_and_interrupt(
    engine: &Engine,
    source: &str,
    how: fn(&Engine, &str),
    when: fn(&Passing, &str) -> bool,
) -> (Output, Vec<String>) {
    let group = engine.group();
    let [one, gone, three] = ["one", "gone", "three"].map(|name| group.work(name, "", ""));
    let (id, ours, done) = (gone.id().to_owned(), engine.clone(), Mutex::new(false));
    let proxy = EngineProxy::start(engine, move |passing| {
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        if !*done && when(&passing, &id) {
            *done = true;
            how(&ours, &id);
        }
    });
    let command = format!("run docker --graphs processes --stats-source {source} --filter {}", group.filter());
    let mut output = Agent::with_docker_host(&proxy.host()).run(&command).exits(0);
    output.stderr = group.mask(&output.stderr);
    (output, vec![key(&one), key(&three)])
}

fn key(container: &Container) -> String {
    format!("docker.processes.{}_{}.current", container.name(), &container.id()[..6])
}

fn listed(passing: &Passing, _: &str) -> bool {
    matches!(passing, Passing::Response(path, _) if path.contains("/containers/json"))
}

fn asked_for_stats(passing: &Passing, id: &str) -> bool {
    matches!(passing, Passing::Request(path) if path.contains(&format!("{id}/stats")))
}

#[test]
fn container_removed_after_the_list_is_one_line() {
    let Some(engine) = Engine::find_local() else { return };
    for how in [Engine::remove, Engine::stop] {
        for source in SOURCES {
            let (output, others) = run_and_interrupt(engine, source, how, listed);
            assert_eq!(output.stderr, GONE, "{source}: {output}");
            assert_eq!(output.metrics().keys(), others, "{source}: {output}");
        }
    }
}

#[test]
fn container_removed_during_its_stats_is_one_line_or_complete() {
    let Some(engine) = Engine::find_local() else { return };
    let (output, others) = run_and_interrupt(engine, "api", Engine::remove, asked_for_stats);
    println!("{output}");
    // The engine may have counted before the removal.
    let metrics = output.metrics();
    let keys = metrics.keys();
    let there = keys.iter().any(|key| !others.contains(&(*key).to_owned()));
    assert_eq!(output.stderr, if there { "" } else { GONE }, "{output}");
    assert_eq!(keys.len(), if there { 3 } else { 2 }, "{output}");
}

#[test]
fn container_removed_from_podman_is_one_line() {
    let Some(podman) = Podman::start() else { return };
    for source in ["api", "auto"] {
        let (output, others) = run_and_interrupt(&podman, source, Engine::remove, listed);
        assert_eq!(output.stderr, GONE, "{source}: {output}");
        assert_eq!(output.metrics().keys(), others, "{source}: {output}");
    }
}

#[test]
fn paused_and_stopped_containers_are_skipped() {
    let Some(engine) = Engine::find_local() else { return };
    let group = engine.group();
    let [one, paused, stopped] = ["one", "paused", "stopped"].map(|name| group.work(name, "", ""));
    paused.pause();
    stopped.stop();
    for source in SOURCES {
        let command = format!("run docker --graphs processes --stats-source {source} --filter {}", group.filter());
        let output = Agent::with_engine(engine).run(&command).exits(0).without_diagnostics();
        assert_eq!(output.metrics().keys(), [key(&one)], "{source}");
    }
}
