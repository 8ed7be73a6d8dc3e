//! The limit that a guest passed. Passing it ends the call, so that the operator reads the limit and not what the guest made of it.

use std::time::Duration;

use bytesize::ByteSize;
use wasmtime::component::ResourceTableError;

use crate::limits;

/// Which limit, its value, and how to raise it: all that stands behind "the collector …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// Memory of one sandbox.
    #[error("needs more than {:.0} of memory (--memory-limit)", .0.display().iec())]
    Memory(ByteSize),
    /// Memory of all sandboxes of a run.
    #[error("needs more memory than is left of the {:.0} of all sandboxes together (--total-memory)", .0.display().iec())]
    TotalMemory(ByteSize),
    /// Table elements of one sandbox.
    #[error("needs more than {} table elements (a fixed limit)", limits::SANDBOX_TABLE_ELEMENTS)]
    TableElements,
    /// Instances, tables or memories of one sandbox.
    #[error("is made of more than {} instances, tables or memories (a fixed limit)", limits::SANDBOX_INSTANCES)]
    Instances,
    /// CPU time of one call that the operator bounds.
    #[error("computed for more than {} (--cpu-limit)", humantime::format_duration(*.0))]
    Cpu(Duration),
    /// CPU time of one call that asks no target.
    #[error("computed for more than {} (a fixed limit)", humantime::format_duration(limits::CALL_CPU))]
    FixedCpu,
    /// Requests of one call.
    #[error("sent more than {} requests (a fixed limit)", limits::REQUESTS)]
    Requests,
    /// Bytes that a guest hands to the host at once.
    #[error("handed over more than {} at once (a fixed limit)", in_binary_units(limits::HANDED_OVER))]
    HandedOver,
    /// Resources that a guest holds.
    #[error("holds more than {} resources (a fixed limit)", limits::SANDBOX_RESOURCES)]
    Resources,
    /// Samples of one report.
    #[error("reported more than {} samples (a fixed limit)", limits::SAMPLES)]
    Samples,
    /// Samples of all reports of a run.
    #[error(
        "reported more samples than are left of the {} of all targets together (a fixed limit)",
        limits::TOTAL_SAMPLES
    )]
    TotalSamples,
    /// Random bytes that a guest asks for at once.
    #[error("asked for more than {} of random bytes at once (a fixed limit)", in_binary_units(limits::RANDOM_BYTES))]
    RandomBytes,
}

impl Exceeded {
    /// The limit that ended a call with `trap`; none where it ended for another reason.
    ///
    /// wasmtime has types for some of its limits alone. The others are known by their texts, which scenarios hold it to.
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
