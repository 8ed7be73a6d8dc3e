//! Exceeded limits. Exceeding one ends the call, so that the operator reads the limit and not the guest's reaction to
//! it.

use std::time::Duration;

use bytesize::ByteSize;
use wasmtime::component::ResourceTableError;

use super::activity::Waiting;
use crate::limits;

/// A limit that a collector exceeded: its value, and the option that raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// Memory of one sandbox.
    #[error("collector exceeded {:.0} of memory (--memory-limit)", .0.display().iec())]
    Memory(ByteSize),
    /// Memory of all sandboxes of a run.
    #[error("all sandboxes together exceeded {:.0} of memory (--total-memory)", .0.display().iec())]
    TotalMemory(ByteSize),
    /// Table elements of one sandbox.
    #[error("collector exceeded {} table elements (fixed limit)", limits::SANDBOX_TABLE_ELEMENTS)]
    TableElements,
    /// Instances, tables or memories of one sandbox.
    #[error("collector exceeded {} instances, tables or memories (fixed limit)", limits::SANDBOX_INSTANCES)]
    Instances,
    /// CPU time of one call, by the operator's limit.
    #[error("collector exceeded {} of CPU time (--cpu-limit)", humantime::format_duration(*.0))]
    Cpu(Duration),
    /// CPU time of one call, used for a response in very small chunks.
    #[error(
        "response in very small chunks exceeded {} of CPU time (--cpu-limit)",
        humantime::format_duration(*.0)
    )]
    CpuOfChunks(Duration),
    /// CPU time of one call that does not use a target.
    #[error("collector exceeded {} of CPU time (fixed limit)", humantime::format_duration(limits::CALL_CPU))]
    FixedCpu,
    /// Requests of one call.
    #[error("collector exceeded {} requests (fixed limit)", limits::REQUESTS)]
    Requests,
    /// Bytes that a guest passes to the host in one call.
    #[error(
        "collector passed more than {} to the host in one call (fixed limit)",
        in_binary_units(limits::HANDED_OVER)
    )]
    HandedOver,
    /// Resources that a guest holds.
    #[error("collector exceeded {} resources (fixed limit)", limits::SANDBOX_RESOURCES)]
    Resources,
    /// Samples of one report.
    #[error("collector exceeded {} samples (fixed limit)", limits::SAMPLES)]
    Samples,
    /// Samples of all reports of a run.
    #[error("all targets together exceeded {} samples (fixed limit)", limits::TOTAL_SAMPLES)]
    TotalSamples,
    /// Random bytes that a guest requests at once.
    #[error(
        "collector requested more than {} of random bytes at once (fixed limit)",
        in_binary_units(limits::RANDOM_BYTES)
    )]
    RandomBytes,
}

impl Exceeded {
    /// Names a response in very small chunks as the cause, if the call was reading one.
    #[must_use]
    pub fn in_state(self, activity: Waiting) -> Exceeded {
        match self {
            Exceeded::Cpu(limit) if activity == Waiting::SmallChunks => Exceeded::CpuOfChunks(limit),
            other => other,
        }
    }

    /// Returns the limit that ended a call with `trap`, or `None` if it ended for another reason.
    ///
    /// wasmtime has types for some of its limits only. The others are recognised by their texts; scenarios notice a
    /// change.
    pub fn of(trap: &wasmtime::Error) -> Option<Exceeded> {
        if let Some(exceeded) = trap.downcast_ref::<Exceeded>() {
            return Some(*exceeded);
        }
        if let Some(ResourceTableError::Full) = trap.downcast_ref() {
            return Some(Exceeded::Resources);
        }
        let text = trap.root_cause().to_string();
        let texts = [
            ("store handle limit exceeded", Exceeded::Resources),
            ("resource limit exceeded", Exceeded::Instances),
            ("fuel allocated for hostcalls", Exceeded::HandedOver),
            ("requested len", Exceeded::RandomBytes),
        ];
        texts.into_iter().find(|(part, _)| text.contains(part)).map(|(_, exceeded)| exceeded)
    }
}

fn in_binary_units(bytes: usize) -> String {
    format!("{:.0}", ByteSize::b(bytes as u64).display().iec())
}
