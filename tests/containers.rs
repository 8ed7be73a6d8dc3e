//! Real Go apps in real containers: they are found, and their values are printed.

use scenarios::agent::Agent;
use scenarios::engine::{Container, Engine, Group};
use scenarios::{http, port, stats, wait};
use serde_json::Value;

fn command(group: &Group) -> String {
    format!("run gostats --filter {} --path /stats", group.filter())
}

/// Makes an app work until its counters exceed those before, so that no smaller counter reveals a restart.
fn outgrow(app: &Container, before: &Value) {
    wait::until("the app's counters have grown", || {
        let stats = http::get(app.address(), "/stats").expect("the app responds");
        let stats: Value = serde_json::from_str(&stats).expect("JSON");
        (stats["memory_mallocs"].as_u64() > before["memory_mallocs"].as_u64()).then_some(())
    });
}

#[test]
fn ten_containers_print_gauges_at_first_and_rates_afterwards() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let apps = group.apps(10);
    let agent = Agent::with_engine(engine);

    let first = agent.run(&command(&group)).exits(0).without_diagnostics().metrics();
    assert_eq!(first.count(), 10 * 9);
    let second = agent.run(&command(&group)).exits(0).without_diagnostics().metrics();
    let third = agent.run(&command(&group)).exits(0).without_diagnostics().metrics();
    for app in &apps {
        let [one, two, three] = &app.served()[..] else { panic!("{} did not get one request per run", app.name()) };
        stats::assert_same(&first.of(&app.key()), &stats::gauges(one));
        stats::assert_same(&second.of(&app.key()), &stats::all(one, two));
        stats::assert_same(&third.of(&app.key()), &stats::all(two, three));
    }
    assert!(second.count() + third.count() <= 2 * 10 * 15, "metrics of no app");
}

#[test]
fn lines_have_the_same_order_in_every_run() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let apps = group.apps(3);
    let agent = Agent::with_engine(engine);
    let [first, second] = [(); 2].map(|()| agent.run(&command(&group)).exits(0).metrics());
    let gauges_of_second: Vec<_> = second.keys().into_iter().filter(|key| first.keys().contains(key)).collect();
    assert_eq!(gauges_of_second, first.keys());
    assert_eq!(first.instances().len(), apps.len(), "the lines of one container stand together");

    insta::assert_snapshot!(first.order_of(&apps[0].key()).join("\n"), @"
    runtime.goroutine_num
    memory.memory_alloc
    memory.memory_sys
    memory.memory_stack
    heap.heap_sys
    heap.heap_idle
    heap.heap_inuse
    gc.gc_per_second
    gc.gc_pause_per_second
    ");
}

#[test]
fn restarted_container_prints_gauges_and_omits_counters() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let other = group.app("other");
    // Only its start time shows the restart: name, id, address and keys stay the same.
    let mut restarted = group.app_with("restarted", &format!("--publish 127.0.0.1:{}:8080", port::free()));
    let agent = Agent::with_engine(engine);
    let _ = agent.run(&command(&group)).exits(0).without_diagnostics();
    let [before, other_before] = [restarted.last_served(), other.last_served()];

    restarted.restart();
    // Up for a whole second, which the engine's list shows, but for less time than since the last run.
    restarted.wait_until_seconds_up();
    outgrow(&restarted, &before);
    let second = agent.run(&command(&group)).exits(0).without_diagnostics().metrics();
    let [after, other_after] = [restarted.last_served(), other.last_served()];
    stats::assert_same(&second.of(&restarted.key()), &stats::gauges(&after));
    stats::assert_same(&second.of(&other.key()), &stats::all(&other_before, &other_after));

    let third = agent.run(&command(&group)).exits(0).without_diagnostics().metrics();
    stats::assert_same(&third.of(&restarted.key()), &stats::all(&after, &restarted.last_served()));
}

#[test]
fn reused_port_prints_gauges_and_omits_counters() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let other = group.app("other");
    let publish = format!("--publish 127.0.0.1:{}:8080", port::free());
    let old = group.app_with("old", &publish);
    let agent = Agent::with_engine(engine);
    let _ = agent.run(&command(&group)).exits(0).without_diagnostics();
    let [before, other_before] = [old.last_served(), other.last_served()];

    old.remove();
    let new = group.app_with("new", &publish);
    outgrow(&new, &before);
    let second = agent.run(&command(&group)).exits(0).without_diagnostics().metrics();
    let [after, other_after] = [new.last_served(), other.last_served()];
    stats::assert_same(&second.of(&new.key()), &stats::gauges(&after));
    stats::assert_same(&second.of(&other.key()), &stats::all(&other_before, &other_after));
}

#[test]
fn container_missed_by_one_run_keeps_its_rates() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let [always, paused] = ["always", "paused"].map(|name| group.app(name));
    let agent = Agent::with_engine(engine);
    let _ = agent.run(&command(&group)).exits(0).without_diagnostics();
    let before = paused.last_served();

    paused.pause();
    let second = agent.run(&command(&group)).exits(0).without_diagnostics().metrics();
    assert_eq!(second.instances(), [always.address().port().to_string()]);

    paused.resume();
    let third = agent.run(&command(&group)).exits(0).without_diagnostics().metrics();
    stats::assert_same(&third.of(&paused.key()), &stats::all(&before, &paused.last_served()));
}

#[test]
fn no_matching_container_is_not_a_failure() {
    let Some(engine) = Engine::find() else { return };
    let output = Agent::with_engine(engine).run("run gostats --filter name=there-is-no-such-container").exits(0);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(output.stderr, @"mackerel-plugin-wasm: gostats: no container matches --filter name=there-is-no-such-container");
}

#[test]
fn linked_container_keeps_its_own_name() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let db = group.app("db");
    let agent = Agent::with_engine(engine);
    let instances = || {
        let metrics = agent.run(&format!("{} --instance-name name", command(&group))).exits(0).metrics();
        metrics.instances().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(instances(), [db.name()]);
    // Its list of names then begins with `/…-api/database`.
    let api = group.app_with("api", &format!("--publish 8080 --link {}:database", db.name()));
    assert_eq!(instances(), [api.name(), db.name()]);
    api.remove();
    assert_eq!(instances(), [db.name()]);
}

#[test]
fn filters_are_those_of_docker_ps() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let api = group.app_with("api", "--publish 8080 --label tier=front");
    let web = group.app_with("web", "--publish 8080 --label tier=front");
    let db = group.app_with("db", "--publish 8080 --label tier=back");
    let agent = Agent::with_engine(engine);
    let found = |filters: &str| {
        let metrics = agent.run(&format!("{} {filters}", command(&group))).exits(0).without_diagnostics().metrics();
        [&api, &web, &db]
            .into_iter()
            .filter(|app| !metrics.of(&app.key()).is_empty())
            .map(|app| group.mask(app.name()))
            .collect::<Vec<_>>()
    };
    assert_eq!(found("--filter name=api"), ["api"]);
    assert_eq!(found("--filter name=api --filter name=db"), ["api", "db"]);
    assert_eq!(found("--filter label=tier=front"), ["api", "web"]);
    assert_eq!(found("--filter label=tier=front --filter name=web"), ["web"]);
    assert_eq!(found(&format!("--filter id={}", web.id())), ["web"]);
    assert_eq!(found(&format!("--filter ancestor={}", web.image())), ["api", "web", "db"]);
    assert_eq!(found("--filter expose=8080/tcp --filter publish=8080"), ["api", "web", "db"]);
    assert_eq!(found(&format!("--filter before={}", db.id())), ["api", "web"]);
}

#[test]
fn unknown_filter_is_rejected_with_the_engines_message() {
    let Some(engine) = Engine::find() else { return };
    let output = Agent::with_engine(engine).run("run gostats --filter nmae=api").exits(2);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(output.stderr.replace(engine.host(), "ENGINE"), @"mackerel-plugin-wasm: container engine at ENGINE rejected the request: Invalid filter 'nmae'");
}

#[test]
fn stopped_container_is_ignored() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let [running, stopped] = ["running", "stopped"].map(|name| group.app(name));
    stopped.stop();
    let metrics = Agent::with_engine(engine).run(&command(&group)).exits(0).without_diagnostics().metrics();
    assert_eq!(metrics.instances(), [running.address().port().to_string()]);
}

#[test]
fn plugins_with_different_options_do_not_share_state() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let [one, two] = ["one", "two"].map(|name| group.app(name));
    let agent = Agent::with_engine(engine);
    let ones = format!("{} --filter name=one", command(&group));
    let twos = format!("{} --filter name=two --metric-key-prefix web.go", command(&group));
    for _ in 0..2 {
        let _ = agent.run(&ones).exits(0).without_diagnostics();
        let _ = agent.run(&twos).exits(0).without_diagnostics();
    }
    let [last_of_one, last_of_two] = [&one, &two].map(Container::last_served);
    let ones = agent.run(&ones).exits(0).without_diagnostics().metrics();
    let twos = agent.run(&twos).exits(0).without_diagnostics().metrics();
    stats::assert_same(&ones.of(&one.key()), &stats::all(&last_of_one, &one.last_served()));
    stats::assert_same(
        &twos.of(&format!("web.go.{}", two.address().port())),
        &stats::all(&last_of_two, &two.last_served()),
    );
}
