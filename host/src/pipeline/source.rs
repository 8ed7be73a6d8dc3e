//! The kind of source of a run, selected from the options and the environment alone.

use clap::ValueEnum;

use crate::engine::EngineEndpoint;
use crate::{ecs, engine};

/// `--source`: the source of containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SourceChoice {
    /// The engine if there is one, else the ECS task.
    #[default]
    Auto,
    /// The container engine.
    Engine,
    /// The ECS task in which this program runs.
    EcsTask,
}

/// A kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceKind {
    /// Endpoints that the operator named.
    Fixed,
    /// A container engine.
    #[default]
    Engine,
    /// The ECS task in which this program runs.
    EcsTask,
}

/// The selected kind of source.
#[derive(Debug, Clone, Default)]
pub struct Selected {
    /// The kind.
    pub kind: SourceKind,
    /// The reason, for `explain`. An engine has a reason of its own.
    pub reason: String,
    /// The endpoints at which an engine is expected.
    pub endpoints: Vec<EngineEndpoint>,
    /// True if neither an engine nor a task is known.
    pub is_guess: bool,
}

impl Selected {
    /// Selects the kind of source. `has_fixed` is true with `--target`, and `engine` is the engine's URL, if typed.
    pub fn new(choice: SourceChoice, has_fixed: bool, engine: Option<&str>) -> Selected {
        let endpoints = if has_fixed { Vec::new() } else { engine::expected(engine) };
        let of =
            |kind, reason: &str, endpoints| Selected { kind, reason: reason.to_owned(), endpoints, is_guess: false };
        if has_fixed {
            return of(SourceKind::Fixed, "--target", endpoints);
        }
        match choice {
            SourceChoice::Engine => of(SourceKind::Engine, "", endpoints),
            SourceChoice::EcsTask => of(SourceKind::EcsTask, "--source ecs-task", Vec::new()),
            SourceChoice::Auto => match (endpoints.is_empty(), ecs::variable()) {
                (false, _) => of(SourceKind::Engine, "", endpoints),
                (true, Some((variable, _))) => {
                    of(SourceKind::EcsTask, &format!("no container engine, and {variable} is set"), endpoints)
                }
                (true, None) => Selected { is_guess: true, ..of(SourceKind::Engine, "", endpoints) },
            },
        }
    }
}
