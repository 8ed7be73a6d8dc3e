//! A hostile and broken collector: one function per fault that the host must survive, chosen by `--attack`, or by the label
//! `attack` of a container. Beside it, the same collector is an honest one: every target that is not attacked is read as it
//! should be.
//!
//! A fault that shows in what the guest sees is handed on as the text of an error, so that the test beside it reads it. The
//! texts are short, for the host cuts them.
#![allow(clippy::wildcard_imports)] // the lists of attacks name them all

mod bindings {
    //! The contract, as `wit/` has it.
    #![allow(missing_docs, unsafe_code, clippy::pedantic)]
    #[cfg(target_arch = "wasm32")]
    use super::Evil;
    wit_bindgen::generate!({ path: "../../wit", world: "plugin" });
    // Its symbols are no names for a native linker; natively only the unit tests are built.
    #[cfg(target_arch = "wasm32")]
    export!(Evil);
}

mod ends;
mod graphs;
mod honest;
mod reach;
mod report;
mod share;
mod talk;
mod through;
mod writing;

use bindings::exports::mackerel::collector::metrics::Guest;
use bindings::mackerel::collector::types::{
    CollectError, Description, Graph, OptionKind, OptionSpec, OptionValue, Report, Scope, Target,
};
use ends::*;
use graphs::*;
use reach::*;
use report::*;
use share::*;
use through::*;
use writing::*;

include!("attacks.rs");

/// What an attack in `collect` gives, if it gives anything.
type Outcome = Result<Report, CollectError>;

/// What an attack in `graphs` gives, if it gives anything.
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

/// The attack of this name.
fn find<A: Copy>(attacks: &[(&str, A)], name: Option<&str>) -> Option<A> {
    attacks.iter().find(|(attack, _)| Some(*attack) == name).map(|(_, attack)| *attack)
}

/// The value of an option.
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
            name: "evil".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Faults that the host must survive".to_owned(),
            scope: Scope::Endpoint,
            options: vec![
                option("attack", "Which fault", OptionKind::Choice(names.map(|name| (*name).to_owned()).collect())),
                option("at", "Only at targets of these ports", OptionKind::Many),
                option("say", "Lines that are said to the target over TCP", OptionKind::Many),
                option("secret", "What `%` stands for in them", OptionKind::Secret),
                option("by-label", "The faults that containers have in their label `attack`", OptionKind::Flag),
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
            return talk::collect(&target, &options);
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

/// Hands on what an attack saw.
fn saw(text: impl Into<String>) -> Outcome {
    Err(CollectError::Other(text.into()))
}
