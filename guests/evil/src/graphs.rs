//! Attacks in `graphs`: illegal graphs, and calls that fail.
#![allow(clippy::unnecessary_wraps)] // all attacks have one signature

use std::net::TcpStream;

use crate::bindings::mackerel::collector::container::{self, Parts};
use crate::bindings::mackerel::collector::types::{Graph, Metric};
use crate::forbidden::get;
use crate::honest::{gauge, graph};
use crate::{Graphs, exhaustion, honest};

fn mebibyte() -> String {
    "x".repeat(1 << 20)
}

fn with_key(key: &str) -> Graphs {
    Ok(vec![graph(key, vec![gauge("one")])])
}

fn with_metrics(names: &[&str]) -> Graphs {
    Ok(vec![graph("#.evil", names.iter().copied().map(gauge).collect())])
}

/// Runs an attack in `collect` that is expected not to return.
fn never_returns(attack: fn() -> crate::Outcome) -> Graphs {
    match attack() {
        Ok(_) => Err("a report".to_owned()),
        Err(error) => Err(format!("{error:?}")),
    }
}

pub(crate) fn graphs_spin() -> Graphs {
    never_returns(exhaustion::spin)
}

/// There is no target, so every address is denied.
pub(crate) fn graphs_connect_elsewhere() -> Graphs {
    let _ = TcpStream::connect("127.0.0.1:1");
    Ok(honest::graphs())
}

pub(crate) fn graphs_sleep() -> Graphs {
    never_returns(exhaustion::sleep)
}

pub(crate) fn graphs_panic() -> Graphs {
    panic!("the collector knows no graphs");
}

pub(crate) fn graphs_take_memory() -> Graphs {
    never_returns(exhaustion::memory_bit_by_bit)
}

pub(crate) fn graphs_exit() -> Graphs {
    std::process::exit(0);
}

/// There is no target, so every request fails.
pub(crate) fn graphs_send_requests() -> Graphs {
    Err(format!("{}, {:?}, {:?}", get("/", &[]), container::stats(Parts::all()).err(), container::state().err()))
}

pub(crate) fn a_key_without_a_hash_sign() -> Graphs {
    with_key("evil")
}

pub(crate) fn a_key_with_two_hash_signs() -> Graphs {
    with_key("#.evil.#")
}

pub(crate) fn a_key_that_is_illegal() -> Graphs {
    with_key("#.\u{1b}[2Jevil\n\tevil")
}

pub(crate) fn a_key_that_is_empty() -> Graphs {
    with_key("")
}

pub(crate) fn a_key_of_a_mebibyte() -> Graphs {
    with_key(&format!("#.{}", mebibyte()))
}

pub(crate) fn the_same_key_twice() -> Graphs {
    Ok(vec![graph("#.evil", vec![gauge("one")]), graph("#.evil", vec![gauge("two")])])
}

pub(crate) fn a_metric_that_is_illegal() -> Graphs {
    with_metrics(&["one", "t\u{1b}w\no"])
}

pub(crate) fn a_metric_that_is_empty() -> Graphs {
    with_metrics(&[""])
}

pub(crate) fn a_metric_of_a_mebibyte() -> Graphs {
    Ok(vec![graph("#.evil", vec![Metric { label: String::new(), ..gauge(&mebibyte()) }])])
}

pub(crate) fn the_same_metric_twice() -> Graphs {
    with_metrics(&["one", "two", "one"])
}

pub(crate) fn a_graph_without_metrics() -> Graphs {
    with_metrics(&[])
}

fn many_graphs(count: usize) -> Graphs {
    Ok((0..count).map(|n| graph(&format!("#.{n}"), vec![gauge("one")])).collect())
}

fn many_metrics(count: usize) -> Graphs {
    Ok(vec![graph("#.evil", (0..count).map(|n| gauge(&n.to_string())).collect())])
}

pub(crate) fn a_hundred_thousand_graphs() -> Graphs {
    many_graphs(100_000)
}

pub(crate) fn a_thousand_graphs() -> Graphs {
    many_graphs(1000)
}

pub(crate) fn a_hundred_thousand_metrics() -> Graphs {
    many_metrics(100_000)
}

pub(crate) fn ten_thousand_metrics() -> Graphs {
    many_metrics(10_000)
}

/// Legal: a label can be any text.
pub(crate) fn escapes_in_labels() -> Graphs {
    let label = "\u{1b}[2J\"}\r\n# mackerel-agent-plugin\n\u{202e}{\u{0}\u{2028}</script>".to_owned();
    let metric = Metric { label: label.clone(), ..gauge("one") };
    Ok(vec![Graph { label, ..graph("#.evil", vec![metric]) }])
}

/// Legal, but different in every call.
pub(crate) fn random_graphs() -> Graphs {
    with_key(&format!("#.evil{}", crate::report::random_number()))
}

pub(crate) fn a_label_of_a_mebibyte() -> Graphs {
    Ok(vec![Graph { label: mebibyte(), ..graph("#.evil", vec![gauge("one")]) }])
}

pub(crate) fn an_error_of_a_mebibyte() -> Graphs {
    Err(format!("\u{1b}[2J\nmackerel-plugin-wasm: a false message\n{}", mebibyte()))
}
