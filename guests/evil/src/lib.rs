//! A hostile and broken collector: one function for each fault that the host must survive. `--attack`, or the label
//! `attack` of a container, selects it. Without an attack the collector is honest, so that a test can check the other
//! targets.
//!
//! An attack reports its observations as the text of an error, which its test reads. The texts are short, because the
//! host truncates them.
#![allow(clippy::wildcard_imports)] // the lists in attacks.rs name every function

mod bindings {
    //! The contract in `wit/`, as generated Rust.
    #![allow(missing_docs, unsafe_code, clippy::pedantic)]
    #[cfg(target_arch = "wasm32")]
    use super::Evil;
    wit_bindgen::generate!({ path: "../../wit", world: "plugin" });
    // A native linker rejects the names of the exported symbols; native builds only check the code.
    #[cfg(target_arch = "wasm32")]
    export!(Evil);
}

mod conversation;
mod ends;
mod exhaustion;
mod forbidden;
mod graphs;
mod honest;
mod leftovers;
mod output;
mod report;
mod wasi_http;

use std::hint::black_box;

use bindings::exports::mackerel::collector::metrics::Guest;
use bindings::mackerel::collector::types::{
    CollectError, Description, Graph, OptionKind, OptionSpec, OptionValue, Report, Scope, Target,
};
use ends::*;
use exhaustion::*;
use forbidden::*;
use graphs::*;
use leftovers::*;
use output::*;
use report::*;
use wasi_http::*;

include!("attacks.rs");

/// The result of an attack in `collect`.
type Outcome = Result<Report, CollectError>;

/// The result of an attack in `graphs`.
type Graphs = Result<Vec<Graph>, String>;

macro_rules! table_of_collect {
    ($($name:ident)*) => {
        const IN_COLLECT: &[(&str, fn() -> Outcome)] = &[$((stringify!($name), $name)),*];
    };
}
with_attacks_in_collect!(table_of_collect);

macro_rules! table_of_graphs {
    ($($name:ident)*) => {
        const IN_GRAPHS: &[(&str, fn() -> Graphs)] = &[$((stringify!($name), $name)),*];
    };
}
with_attacks_in_graphs!(table_of_graphs);

/// Returns the attack of this name.
fn find<A: Copy>(attacks: &[(&str, A)], name: Option<&str>) -> Option<A> {
    attacks.iter().find(|(attack, _)| Some(*attack) == name).map(|(_, attack)| *attack)
}

/// Returns the value of an option.
fn value<'a>(options: &'a [OptionValue], name: &str) -> Option<&'a str> {
    options.iter().find(|option| option.name == name).map(|option| option.value.as_str())
}

/// The collector.
pub struct Evil;

impl Guest for Evil {
    fn describe() -> Description {
        let names = IN_COLLECT.iter().map(|(name, _)| name).chain(IN_GRAPHS.iter().map(|(name, _)| name));
        let option = |name: &str, help: &str, kind| OptionSpec {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
            default: None,
        };
        Description {
            // In the data, where a test can replace it by another name.
            name: black_box("evil").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Faults that the host must survive".to_owned(),
            scope: Scope::Endpoint,
            options: vec![
                option("attack", "The attack", OptionKind::Choice(names.map(|name| (*name).to_owned()).collect())),
                option("at", "Attack only targets with this port", OptionKind::Many),
                option("say", "A line to send to the target over TCP", OptionKind::Many),
                option("secret", "The text that replaces `%` in these lines", OptionKind::Secret),
                option("get-by-wasi-http", "Only request / with wasi:http, and report what came", OptionKind::Flag),
                option("by-label", "Attack as the label `attack` of the container says", OptionKind::Flag),
            ],
        }
    }

    fn graphs(options: Vec<OptionValue>) -> Graphs {
        match find(IN_GRAPHS, value(&options, "attack")) {
            Some(attack) => attack(),
            None => Ok(honest::graphs()),
        }
    }

    fn collect(target: Target, options: Vec<OptionValue>) -> Outcome {
        if value(&options, "say").is_some() {
            return conversation::collect(&target, &options);
        }
        if value(&options, "get-by-wasi-http").is_some() {
            return wasi_http::get_target(&target);
        }
        let port = target.endpoint.map(|endpoint| endpoint.port.to_string()).unwrap_or_default();
        let labels = target.container.map(|container| container.labels).unwrap_or_default();
        let label = labels.iter().find(|(key, _)| key == "attack").map(|(_, value)| value.as_str());
        let at: Vec<&str> = options.iter().filter(|option| option.name == "at").map(|at| at.value.as_str()).collect();
        let is_here = at.is_empty() || at.contains(&port.as_str());
        let by_label = value(&options, "by-label").and(label);
        let chosen = value(&options, "attack").filter(|_| is_here).or(by_label);
        match find(IN_COLLECT, chosen) {
            Some(attack) => attack(),
            None => honest::collect(),
        }
    }
}

/// Reports the observations of an attack to its test.
fn saw(text: impl Into<String>) -> Outcome {
    Err(CollectError::Other(text.into()))
}
