//! Prints the CPU time of parts of a run that are too short to be measured from outside. `make bench` runs it.
//!
//! Each line has a part, its median in milliseconds, and the upper limit that is its goal.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use mackerel_plugin_wasm::internals::{
    Clock, EngineHost, Moment, Reachability, Reading, Remembered, Scope, Span, State, choose_target, parse_containers,
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Any moment.
const NOW: Moment = Moment { wall: 1_780_000_000_000_000_000, boot: 3_600_000_000_000 };

fn main() {
    let list = list(1000);
    let reachability = Reachability::published(EngineHost::Local);
    let chosen = || {
        let containers = parse_containers(list.as_bytes()).expect("a list").containers;
        let choose = |container| {
            choose_target(container, Ok(container), Scope::Endpoint, None, &reachability).expect("a target")
        };
        containers.iter().map(choose).collect::<Vec<_>>().len()
    };
    assert_eq!(chosen(), 1000);
    report("parse the list of 1000 containers, choose their ports", 20, median(chosen));

    let state = state(5000);
    let kept = || State::parse(&state.to_bytes().expect("a state can be written")).expect("the same state").targets();
    assert_eq!(kept(), 5000);
    report("write and read the state of 5000 targets", 30, median(kept));
}

/// Returns a list as of Docker, with the labels of the ECS agent.
fn list(count: u16) -> String {
    let container = |index: u16| {
        json!({
            "Id": format!("{index:064x}"),
            "Names": [format!("/ecs-api-12-api-{index}")],
            "Image": "example.com/team/api:1.2.3",
            "ImageID": format!("sha256:{}", "5bde5600".repeat(8)),
            "Command": "/app -listen :8080",
            "Created": 1_767_323_045,
            "Ports": [
                {"IP": "0.0.0.0", "PrivatePort": 8080, "PublicPort": 32768 + index, "Type": "tcp"},
                {"IP": "::", "PrivatePort": 8080, "PublicPort": 32768 + index, "Type": "tcp"},
            ],
            "Labels": {
                "com.amazonaws.ecs.cluster": "production",
                "com.amazonaws.ecs.container-name": "api",
                "com.amazonaws.ecs.task-arn": format!("arn:aws:ecs:ap-northeast-1:123456789012:task/production/{index:032x}"),
                "com.amazonaws.ecs.task-definition-family": "api",
                "com.amazonaws.ecs.task-definition-version": "12",
            },
            "State": "running",
            "Status": "Up 8 minutes",
            "HostConfig": {"NetworkMode": "default"},
            "NetworkSettings": {"Networks": {"bridge": {
                "Gateway": "172.17.0.1", "IPAddress": "172.17.0.2", "IPPrefixLen": 16, "MacAddress": "02:42:ac:11:00:02",
                "NetworkID": "5bde5600".repeat(8), "EndpointID": "5bde5600".repeat(8),
            }}},
            "Mounts": [],
        })
    };
    Value::from((0..count).map(container).collect::<Vec<_>>()).to_string()
}

/// Returns a state with the counters of gostats.
fn state(count: u16) -> State {
    let counters = ["memory_lookups", "memory_mallocs", "memory_frees", "heap_released", "gc_num"];
    let counters: BTreeMap<String, f64> = counters.map(|counter| (format!("#.operation.{counter}"), 1e6)).into();
    let mut state = State::default();
    for index in 0..count {
        let reading = Reading {
            start: Some("2026-01-02T03:04:05.678901234Z".to_owned()),
            time: NOW.wall,
            clock: Clock::Target,
            read: Some(Span { begin: NOW.wall, end: NOW.wall }),
            source: None,
            counters: counters.clone(),
        };
        state.insert(format!("{index:064x}:8080"), Remembered { seen: NOW, reading });
    }
    state
}

/// Returns the median CPU time of some calls.
fn median<T>(call: impl Fn() -> T) -> Duration {
    let used = || {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or_default())
    };
    let mut times: Vec<Duration> = (0..51)
        .map(|_| {
            let before = used();
            black_box(call());
            used().saturating_sub(before)
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn report(part: &str, goal: u64, took: Duration) {
    let missed = if took > Duration::from_millis(goal) { ": MISSED" } else { "" };
    println!("  {part}: {:.1} ms of CPU time, goal {goal}{missed}", took.as_secs_f64() * 1000.0);
}
