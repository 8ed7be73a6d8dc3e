//! Generated inputs: real ones with changes, ones that are made to collide, and random bytes.

use std::fs;
use std::path::Path;

use fuzz::{Kind, kind};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

/// Returns the real inputs of a kind.
fn corpus(kind: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(kind);
    let mut paths: Vec<_> = fs::read_dir(folder).expect("a corpus").map(|file| file.expect("a file").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file that can be read")).collect()
}

/// Tries `inputs` on a kind.
fn hold<T: AsRef<[u8]> + std::fmt::Debug>(name: &str, cases: u32, inputs: impl Strategy<Value = T>) {
    let Kind { check, .. } = kind(name).expect("a kind");
    // Findings are saved by hand, with a name, in the corpus.
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&inputs, |input| {
        check(input.as_ref());
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Texts with a special meaning somewhere.
const MEANINGFUL: &[&str] = &[
    "",
    " ",
    "\n",
    "\t",
    "#",
    "*",
    ".",
    "..",
    "/",
    "-",
    "--",
    "a.b",
    "日本語",
    "\u{1b}[31m",
    "\u{202e}",
    "\0",
    "0.0.0.0",
    "::",
    "::1",
    "127.0.0.1",
    "host",
    "none",
    "tcp",
    "running",
    "starting",
    "Up -1 minutes",
    "Up 9 years",
    "filters",
    "targets",
    "timeout",
    "help",
    "version",
    "max",
    "254:0",
    "-1",
    "1e999",
    "18446744073709551615",
    "18446744073709551616",
    "0001-01-01T00:00:00Z",
];

/// Generates unexpected texts.
fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(MEANINGFUL).prop_map(str::to_owned),
        2 => any::<String>(),
        1 => "[a-z0-9-]{1,12}",
        1 => (0_usize..2_000).prop_map(|length| "x".repeat(length)),
    ]
}

/// Generates JSON values of unexpected types.
fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        odd_text().prop_map(Value::from),
        select([json!(null), json!(true), json!([]), json!({}), json!([[]]), json!({"": 0})].to_vec()),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select([0, 1, 65_535, 65_536, u64::MAX].to_vec()).prop_map(Value::from),
    ]
}

/// Generates one change of a JSON document: its place and kind.
fn change() -> impl Strategy<Value = (Index, u8, Value)> {
    (any::<Index>(), 0..4_u8, odd_value())
}

/// Generates real JSON with a few changes: with many, hardly anything would be read.
fn changed_json(kind: &'static str) -> impl Strategy<Value = Vec<u8>> {
    // Inputs that are not JSON are tried as they are.
    let documents: Vec<Value> = corpus(kind).iter().filter_map(|bytes| serde_json::from_slice(bytes).ok()).collect();
    (select(documents), prop::collection::vec(change(), 1..4)).prop_map(|(mut json, changes)| {
        for (place, how, value) in changes {
            let place = place.index(count(&json));
            make(&mut json, &mut { place }, how, &value);
        }
        json.to_string().into_bytes()
    })
}

/// Returns the number of values in a document.
fn count(json: &Value) -> usize {
    1 + match json {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// Makes one change at the value with the index `place`.
fn make(json: &mut Value, place: &mut usize, how: u8, value: &Value) {
    if *place == 0 {
        match (how, &mut *json) {
            (0, Value::Array(values)) if !values.is_empty() => values.push(values[0].clone()),
            (0, Value::Object(fields)) => drop(fields.insert("other".to_owned(), value.clone())),
            (1, Value::Array(values)) => drop(values.pop()),
            (1, Value::Object(fields)) => {
                let first = fields.keys().next().cloned();
                first.and_then(|key| fields.remove(&key));
            }
            (2, Value::String(text)) => text.push_str(value.as_str().unwrap_or(" ")),
            _ => *json = value.clone(),
        }
        *place = usize::MAX;
        return;
    }
    let children: &mut dyn Iterator<Item = &mut Value> = match json {
        Value::Array(values) => &mut values.iter_mut(),
        Value::Object(fields) => &mut fields.values_mut(),
        _ => return,
    };
    for child in children {
        if *place == usize::MAX {
            return;
        }
        *place -= 1;
        make(child, place, how, value);
    }
}

/// Generates real text with some changed words.
fn changed_words(kind: &'static str) -> impl Strategy<Value = String> {
    // Inputs that are not text are tried as they are.
    let texts: Vec<String> = corpus(kind).into_iter().filter_map(|bytes| String::from_utf8(bytes).ok()).collect();
    (select(texts), prop::collection::vec((any::<Index>(), odd_text()), 0..10)).prop_map(|(text, changes)| {
        let mut words: Vec<&str> = text.split_inclusive([' ', '\n', '-', '=']).collect();
        for (place, word) in &changes {
            let place = place.index(words.len());
            words[place] = word;
        }
        words.concat()
    })
}

/// Generates real bytes, truncated and with some changed.
fn changed_bytes(kind: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<Index>(), any::<u8>()), 0..10);
    (select(corpus(kind)), changes, prop::option::of(any::<Index>())).prop_map(|(mut bytes, changes, cut)| {
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let length = cut.map_or(bytes.len(), |cut| cut.index(bytes.len()));
        bytes.truncate(length);
        bytes
    })
}

/// Generates random bytes.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

macro_rules! kinds {
    ($($name:ident: $kind:literal, $changed:ident;)*) => {$(
        #[test]
        fn $name() {
            hold($kind, 3000, $changed($kind));
            hold($kind, 200, bytes());
        }
    )*};
}

kinds! {
    engine_list_has_valid_addresses_and_distinct_names: "engine-list", changed_json;
    ecs_task_has_valid_addresses_and_distinct_names: "ecs-task", changed_json;
    engine_inspection_is_reported_unchanged: "engine-inspect", changed_json;
    engine_stats_are_reported_unchanged_or_omitted: "engine-stats", changed_json;
    cgroup_files_are_reported_unchanged_or_omitted: "cgroup-files", changed_words;
    cgroup_folder_belongs_to_a_container_only_by_id: "cgroup-folder", changed_words;
    network_traffic_is_summed_or_omitted: "net-dev", changed_words;
    state_is_read_completely_or_rejected: "state", changed_json;
    otlp_response_is_a_message_or_one_line: "otlp-response", changed_bytes;
    pin_refers_to_its_own_files_or_is_rejected: "pin", changed_json;
    file_is_a_component_or_one_line: "component", changed_bytes;
    gostats_body_is_reported_unchanged_or_rejected: "gostats", changed_json;
    prometheus_page_has_valid_names_or_is_rejected: "prometheus", changed_words;
    redis_info_is_reported_as_numbers_or_rejected: "redis", changed_words;
    description_makes_a_command_line_or_is_rejected: "description", changed_json;
    report_is_printed_in_mackerels_form: "report", changed_json;
    failure_is_one_line: "failure", changed_words;
}

/// Container ids with a common start, and names that are other names with a part of their ids.
#[test]
fn colliding_container_names_stay_distinct() {
    let ids = [
        "aa".repeat(32),
        format!("{}b", "a".repeat(63)),
        format!("{}{}", "a".repeat(12), "c".repeat(52)),
        "d".repeat(64),
    ];
    let pieces = |id: &String| [6, 12, 64].map(|length| id[..length].to_owned());
    let suffixes: Vec<String> = ids.iter().flat_map(pieces).chain([String::new()]).collect();
    let name = prop::collection::vec(select(suffixes), 0..3).prop_map(|parts| format!("/a_{}", parts.join("_")));
    let list = prop::collection::vec(name, 4).prop_map(move |names| {
        let container = |(id, name): (&String, String)| {
            json!({"Id": id, "Names": [name], "State": "running", "Labels": {"app": name.trim_start_matches('/')},
                "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}]})
        };
        ids.iter().zip(names).map(container).collect::<Value>().to_string()
    });
    hold("engine-list", 2000, list);
}

/// Any number that a counter can have.
#[test]
fn counters_are_read_as_written() {
    let finite = any::<f64>().prop_filter("finite", |number| number.is_finite());
    let state = prop::collection::vec(finite, 1..5).prop_map(|numbers| {
        let counters: Value =
            numbers.iter().enumerate().map(|(n, number)| (n.to_string(), Value::from(*number))).collect();
        let reading = json!({"start": null, "time": 1, "clock": "host", "counters": counters});
        json!({"format": 1, "targets": {"a": {"seen": {"wall": 1, "boot": 1}, "reading": reading}}}).to_string()
    });
    hold("state", 2000, state);
}

/// Graphs and samples with few names, so that they meet.
#[test]
fn matching_samples_are_printed_once() {
    let part = || select(["#", "*", "a", "b", "a b", ""].as_slice());
    let key = || prop::collection::vec(part(), 1..4).prop_map(|parts| parts.join("."));
    let metric = (part(), select(["gauge", "second", "minute"].as_slice()))
        .prop_map(|(name, kind)| json!({"name": name, "kind": kind, "label": "A"}));
    let graph = (key(), prop::collection::vec(metric, 1..3))
        .prop_map(|(key, metrics)| json!({"key": key, "label": "A", "metrics": metrics}));
    let value =
        prop_oneof![any::<f64>().prop_map(|value| json!(value.to_string())), any::<f64>().prop_map(Value::from)];
    let sample = (key(), part(), value)
        .prop_map(|(graph, metric, value)| json!({"graph": graph, "metric": metric, "value": value}));
    let report = (prop::collection::vec(graph, 1..3), prop::collection::vec(sample, 0..8), any::<u64>())
        .prop_map(|(graphs, samples, time)| json!({"graphs": graphs, "samples": samples, "time": time}).to_string());
    hold("report", 3000, report);
}
