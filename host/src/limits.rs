//! Every limit, default and timeout of the host, each with its reason.
//!
//! What an operator can change is an option of `run`, and the value here is its default.

use std::time::Duration;

use bytesize::ByteSize;

/// `--timeout`: one target, from the look-up of its name to the collector's report. A healthy application answers its
/// statistics in milliseconds; several times this fits into the deadline's margin.
pub const TARGET_TIMEOUT: Duration = Duration::from_secs(5);

/// `--deadline`: the whole run. mackerel-agent sends SIGTERM after 30 s and SIGKILL 10 s later.
pub const RUN_DEADLINE: Duration = Duration::from_secs(20);

/// The longest `--timeout` and `--deadline`. Both exist to be short; this only keeps sums of times within their types.
pub const LONGEST_DEADLINE: Duration = Duration::from_hours(24);

/// What the engine knows of one container, such as when it was started: a few milliseconds. Some engines hang on one broken container
/// for ever; its application can still answer.
pub const ENGINE_INSPECT: Duration = Duration::from_secs(1);

/// How long after its deadline a run may still write and save, before it ends itself without regard to what blocks it.
pub const DEADLINE_GRACE: Duration = Duration::from_secs(5);

/// `--memory-limit`: all linear memories of one sandbox together. Python's and JavaScript's runtimes need about 30 MB.
pub const SANDBOX_MEMORY: ByteSize = ByteSize::mib(64);

/// Table elements of one sandbox, all tables together. A Go or Python component has a few thousand functions.
pub const SANDBOX_TABLE_ELEMENTS: usize = 100_000;

/// The stack of a guest's WebAssembly code. A deeper recursion is a trap.
pub const SANDBOX_STACK: usize = 512 * 1024;

/// How deep below the root of the control groups a container's is looked for. Engines put it one to four deep, and engines within
/// containers twice as deep.
pub const CGROUP_DEPTH: usize = 8;

/// How many control groups are looked into for those of containers. A large machine has a thousand; any user with groups of his own
/// can make more.
pub const CGROUP_FOLDERS: usize = 10_000;

/// The size of a control group's file. A hundred block devices take about 10 kB.
pub const CGROUP_FILE: ByteSize = ByteSize::kib(256);

/// How often a guest that computes without end is interrupted, so that the other sandboxes and the clock get their turn.
pub const EPOCH: Duration = Duration::from_millis(10);

/// `describe` and `graphs`, each: they only build a few records, and no target is asked.
pub const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What is kept of a guest's stderr in one call; the rest is cut.
pub const GUEST_STDERR: usize = 4 * 1024;

/// A response's body. gostats reads 700 bytes; a Prometheus page of a large application has some 100 kB.
pub const HTTP_BODY: ByteSize = ByteSize::mib(4);

/// A response's status line and header fields, in bytes.
pub const HTTP_HEAD: usize = 64 * 1024;

/// Samples in one report. Mackerel takes 200 metrics from a standard host.
pub const SAMPLES: usize = 10_000;

/// A prefix, a graph's key, and a metric's name, each in characters. No sensible one comes near.
pub const KEY_LENGTH: usize = 255;

/// A target's name within a key, in characters. Docker bounds no container's name.
pub const INSTANCE_LENGTH: usize = 128;

/// Text of a third party (a guest, a target, an engine) in one message.
pub const FOREIGN_TEXT: usize = 300;

/// The size of a component's file. The largest known, Python's, have 20 MB.
pub const COMPONENT_SIZE: ByteSize = ByteSize::mib(64);

/// Failures alike that are named one by one; more of them are folded into one line. mackerel-agent logs stderr every
/// minute.
pub const ALIKE: usize = 5;

/// How long a run waits for another that is just writing the same state: milliseconds, unless that one hangs.
pub const STATE_LOCK: Duration = Duration::from_secs(2);

/// The size of a state file that is read. Ten thousand targets take about 5 MB.
pub const STATE_SIZE: ByteSize = ByteSize::mib(64);

/// How long the counters of a target that is not seen any more are kept.
pub const STATE_KEPT: Duration = Duration::from_hours(1);

/// How many sandboxes are made before their targets are known. More would take memory for little: the engine's list of a hundred
/// containers takes as long as a hundred sandboxes.
pub const BEFOREHAND: usize = 100;

/// File descriptors that are left for everything but targets.
pub const SPARE_FILES: u64 = 64;
