//! The kind of source of a run, selected from the options and the environment alone.

use clap::ValueEnum;

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
#[derive(Debug, Clone, Copy, Default)]
pub struct Selected {
    /// The kind.
    pub kind: SourceKind,
    /// The reason, for `explain`.
    pub reason: &'static str,
    /// True if neither an engine nor a task is known.
    pub is_guess: bool,
}

impl Selected {
    /// Selects the kind of source. `has_fixed` is true with `--target`, and `engine` is the engine's URL, if typed.
    pub fn new(choice: SourceChoice, has_fixed: bool, engine: Option<&str>) -> Selected {
        let of = |kind, reason| Selected { kind, reason, is_guess: false };
        if has_fixed {
            return of(SourceKind::Fixed, "--target");
        }
        match choice {
            SourceChoice::Engine => of(SourceKind::Engine, "--source engine"),
            SourceChoice::EcsTask => of(SourceKind::EcsTask, "--source ecs-task"),
            SourceChoice::Auto => match (engine::expected(engine), ecs::variable()) {
                (Some(reason), _) => of(SourceKind::Engine, reason),
                (None, Some(("ECS_CONTAINER_METADATA_URI", _))) => {
                    of(SourceKind::EcsTask, "no container engine, and ECS_CONTAINER_METADATA_URI is set")
                }
                (None, Some(_)) => {
                    of(SourceKind::EcsTask, "no container engine, and ECS_CONTAINER_METADATA_URI_V4 is set")
                }
                (None, None) => {
                    let reason = "default";
                    Selected { kind: SourceKind::Engine, reason, is_guess: true }
                }
            },
        }
    }
}
