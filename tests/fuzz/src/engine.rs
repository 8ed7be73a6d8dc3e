//! Responses of an engine: anything that speaks HTTP can be at its address.

use std::collections::HashSet;
use std::time::Duration;

use mackerel_plugin_wasm::internals::{
    Cause, CollectError, Container, EngineHost, EngineSample, Inspection, InstanceName, LabelPrefix, Parts,
    Reachability, Scope, Stats, Target, Wanted, assign_names, choose_target, empty_stats, parse_containers,
    parse_state, parse_stats,
};
use serde_json::Value;

use crate::rules::{assert_diagnostic, is_legal_component};

/// The formats of `--instance-name`.
const FORMATS: [&str; 9] =
    ["port", "name", "name_id", "id", "image", "image_id", "image_name", "label:app", "label:com.example/a b"];

/// The list of containers: its targets have valid addresses and distinct names.
pub fn list(bytes: &[u8]) {
    let Ok(list) = parse_containers(bytes) else { return };
    let containers = list.containers;
    assert_diagnostic("list", &list.unreadable.to_string());
    for container in &containers {
        let longest = Duration::from_secs(u64::MAX);
        assert!(container.up_at_least().is_none_or(|time| time <= longest));
        assert_declarations(container);
    }
    for engine in [EngineHost::Local, EngineHost::Remote("engine.example".to_owned())] {
        for wanted in [None, Some(80)] {
            let targets = targets(&containers, Scope::Endpoint, wanted, &engine);
            for address in targets.iter().map(|target| target.address().expect("an endpoint has an address")) {
                assert!(address.port > 0);
                assert!(!matches!(address.host.as_str(), "" | "0.0.0.0" | "::"), "{address}");
                assert!(engine == EngineHost::Local || !address.host.starts_with("127."), "{address}");
            }
            assert_distinct(&targets);
        }
    }
    assert_distinct(&targets(&containers, Scope::Container, None, &EngineHost::Local));
}

/// Returns the targets among `containers`. Asserts that the reasons of all others are valid lines.
fn targets(containers: &[Container], scope: Scope, wanted: Option<u16>, engine: &EngineHost) -> Vec<Target> {
    let mut targets = Vec::new();
    for container in containers {
        let reachability = Reachability::published(engine.clone());
        match choose_target(container, Ok(container), scope, wanted.map(Wanted::by_option), &reachability) {
            Ok(target) => targets.push(target),
            Err(reason) => assert_diagnostic(&container.name, &reason.to_string()),
        }
    }
    targets
}

/// Reads the labels of a container as declarations of endpoints, with the beginning of each key as the prefix. Asserts
/// that the endpoints are few and have ports and collectors, and that all faults are valid lines.
fn assert_declarations(container: &Container) {
    let beginnings = container.labels.keys().filter_map(|key| key.split('.').next()?.parse::<LabelPrefix>().ok());
    for prefix in beginnings {
        let declared = prefix.endpoints(&container.labels);
        assert!(declared.endpoints.len() <= 16);
        for endpoint in &declared.endpoints {
            assert!(!endpoint.collector.is_empty() && endpoint.port != Some(0), "{endpoint:?}");
            assert_diagnostic(&container.name, &endpoint.describe(&prefix));
        }
        for fault in &declared.faults {
            assert_diagnostic(&container.name, &fault.to_string());
        }
    }
}

/// Asserts that all targets have distinct names in every format, and distinct identities in the state.
pub fn assert_distinct(targets: &[Target]) {
    let identities: HashSet<String> = targets.iter().map(Target::identity).collect();
    assert_eq!(identities.len(), targets.len(), "{identities:?}");
    for format in FORMATS.map(|format| format.parse::<InstanceName>().expect("a format")) {
        let InstanceName::Given(format) = format else { panic!("a slot") };
        let (names, warning) = assign_names(&format, targets);
        assert_eq!(names.len(), targets.len());
        for (name, target) in names.iter().zip(targets) {
            assert!(is_legal_component(name), "{format:?}: {name:?}");
            // A name has at most 128 characters, and a suffix with an id 64.
            assert!(name.len() <= 128 + 1 + 64, "{format:?}: {name}");
            assert_diagnostic(&target.to_string(), warning.as_deref().unwrap_or_default());
        }
        let different: HashSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{format:?}: {names:?}");
    }
}

/// The inspection of a container.
pub fn inspect(bytes: &[u8]) {
    let Ok(response) = serde_json::from_slice::<Inspection>(bytes) else { return };
    let raw: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let state = parse_state(&response);
    if !raw.is_object() || !are_objects([&raw["State"], &raw["State"]["Health"]]) {
        return;
    }
    if let Some(restarts) = state.restarts {
        assert_eq!(count(&raw["RestartCount"]), Some(restarts));
    }
    if let Some(health) = state.health {
        assert!(raw["State"]["Health"]["Status"].is_string());
        assert!(health.failing_streak.is_none() || count(&raw["State"]["Health"]["FailingStreak"]).is_some());
    }
}

/// The stats of a container: only what was requested, and only values of the response.
pub fn stats(bytes: &[u8]) {
    let Ok(response) = serde_json::from_slice::<EngineSample>(bytes) else { return };
    let raw: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let stats = match parse_stats(response.clone(), Parts::all(), true) {
        Ok(stats) => stats,
        Err(error) => {
            let cause = Cause::Collector(CollectError::Container(error));
            return assert_diagnostic("api-1 (127.0.0.1:32768)", &cause.to_string());
        }
    };
    assert_consistent(&stats);
    assert_ne!(stats.processes.limit, Some(u64::MAX), "this number stands for no limit");
    let nothing = parse_stats(response.clone(), Parts::empty(), true).expect("the time is the same");
    assert_eq!(nothing, empty_stats(stats.time));
    let hosts_network = parse_stats(response, Parts::all(), false).expect("the time is the same");
    assert_eq!(hosts_network, Stats { network: nothing.network, ..stats });

    let devices = raw["blkio_stats"]["io_serviced_recursive"].as_array().into_iter().flatten();
    let networks = raw["networks"].as_object().into_iter().flat_map(|networks| networks.values());
    let parts = [&raw["cpu_stats"], &raw["cpu_stats"]["cpu_usage"], &raw["memory_stats"], &raw["blkio_stats"]];
    if !raw.is_object() || !are_objects(parts.into_iter().chain(devices.clone()).chain(networks.clone())) {
        return;
    }
    assert_eq!(stats.cpu.user, count(&raw["cpu_stats"]["cpu_usage"]["usage_in_usermode"]));
    assert!(stats.memory.limit <= count(&raw["memory_stats"]["limit"]));
    // An entry that is missing, or whose kind is not text, could be of any kind.
    if devices.clone().any(|entry| entry.is_null() || !entry["op"].is_string() && !entry["op"].is_null()) {
        return assert_eq!(stats.block_io.serviced.read, None);
    }
    let reads = devices.filter(|entry| entry["op"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("read")));
    assert_sum(stats.block_io.serviced.read, reads.map(|entry| count(&entry["value"])));
    assert_sum(stats.network.received.bytes, networks.map(|network| count(&network["rx_bytes"])));
}

/// Returns a count, as a number or as text.
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Returns whether all values are objects or missing. Serde also accepts a list of the fields of a record, and skipped
/// values need not be valid text; no engine sends either, so nothing is compared then.
fn are_objects<'a>(values: impl IntoIterator<Item = &'a Value>) -> bool {
    values.into_iter().all(|value| value.is_object() || value.is_null())
}

/// Asserts the relations between the stats of one container.
pub fn assert_consistent(stats: &Stats) {
    if let Some(used) = stats.memory.used {
        assert!(stats.memory.usage.is_some_and(|usage| used <= usage));
    }
}

/// Asserts that `sum` is the sum of `counts`: `None` if there are none, one is missing, or the sum overflows.
pub fn assert_sum(sum: Option<u64>, counts: impl Iterator<Item = Option<u64>>) {
    let counts: Vec<Option<u64>> = counts.collect();
    let expected = if counts.is_empty() {
        None
    } else {
        let known: Option<Vec<u64>> = counts.iter().copied().collect();
        known.and_then(|known| u64::try_from(known.into_iter().map(u128::from).sum::<u128>()).ok())
    };
    assert_eq!(sum, expected, "{counts:?}");
}
