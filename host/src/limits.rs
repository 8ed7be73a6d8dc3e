//! Every limit, default and timeout of the host, each with its reason.
//!
//! What an operator can change is an option of `run`, and the value here is its default.

use std::time::Duration;

use bytesize::ByteSize;
use humantime::format_duration;

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

/// The engine's list. A container takes about 1.5 kB in it, so this is some 20,000.
pub const ENGINE_LIST: ByteSize = ByteSize::mib(32);

/// What the engine tells of one container: its state takes about 10 kB, most of it labels, environment and the last health checks;
/// its use of resources 3 kB. All containers are asked about at once, so this much can come from each of them.
pub const ENGINE_CONTAINER: ByteSize = ByteSize::mib(1);

/// How long after its deadline a run may still write and save, before it ends itself without regard to what blocks it.
pub const DEADLINE_GRACE: Duration = Duration::from_secs(5);

/// How long a run that ends itself tries to say so. Where somebody reads its stderr, that is done at once.
pub const LAST_WORD: Duration = Duration::from_secs(1);

/// `--memory-limit`: all linear memories of one sandbox together, and what the host holds for it. Python's and JavaScript's runtimes
/// need about 30 MB.
pub const SANDBOX_MEMORY: ByteSize = ByteSize::mib(64);

/// `--total-memory`: what all sandboxes of a run take together beyond [`SANDBOX_SHARE`]. A run stays below 200 MiB with it, which a
/// machine of 1 GiB can do without for a moment; and a Python runtime fits in four times.
pub const TOTAL_MEMORY: ByteSize = ByteSize::mib(128);

/// The memory that every sandbox has to itself, whatever the others take: enough for a collector that is compiled ahead, as Rust's and
/// C's are, of which the kernel then hands out only what is touched.
pub const SANDBOX_SHARE: ByteSize = ByteSize::mib(2);

/// Table elements of one sandbox, all tables together. A Go or Python component has a few thousand functions.
pub const SANDBOX_TABLE_ELEMENTS: usize = 100_000;

/// Core instances, tables and memories of one sandbox, each. A Rust component has five instances, Python's a few dozen.
pub const SANDBOX_INSTANCES: usize = 100;

/// Resources that a guest holds, such as streams: those of the host, and its own. A collector holds a handful.
pub const SANDBOX_RESOURCES: usize = 1000;

/// What a guest hands to the host in one call or result, in the host's memory. The largest report that is allowed, 10,000 samples
/// under names of usual length, takes 1 MB.
pub const HANDED_OVER: usize = 4 * 1024 * 1024;

/// Random bytes that a guest asks for at once. Nobody needs more than a seed.
pub const RANDOM_BYTES: usize = 64 * 1024;

/// The stack of a guest's WebAssembly code. A deeper recursion is a trap.
pub const SANDBOX_STACK: usize = 512 * 1024;

/// `--cpu-limit`: how long one call computes, the host's work for it included. A Rust collector takes some milliseconds, a Python
/// runtime's start a tenth of a second.
pub const CALL_CPU: Duration = Duration::from_secs(1);

/// How long a call computes without regard to others; from then on it takes turns. A collector that is compiled ahead needs less.
pub const SHORT_CPU: Duration = Duration::from_millis(5);

/// How deep below the root of the control groups a container's is looked for. Engines put it one to four deep, and engines within
/// containers twice as deep.
pub const CGROUP_DEPTH: usize = 8;

/// How many control groups are looked into for those of containers. A large machine has a thousand; any user with groups of his own
/// can make more.
pub const CGROUP_FOLDERS: usize = 10_000;

/// How many of one container's control groups are looked into for a process. systemd in a container makes some dozens; a container that
/// may make its own can make any number.
pub const CGROUPS_OF_ONE: usize = 100;

/// The size of a control group's file, and of `/proc/PID/net/dev`. A hundred block devices or network interfaces take about 10 kB.
pub const CGROUP_FILE: ByteSize = ByteSize::kib(256);

/// How often a guest that computes without end is interrupted, so that the other sandboxes and the clock get their turn.
pub const EPOCH: Duration = Duration::from_millis(5);

/// `describe` and `graphs`, each: they only build a few records, and no target is asked.
pub const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What is kept of a guest's stderr in one call; the rest is cut.
pub const GUEST_STDERR: usize = 4 * 1024;

/// Requests of one call: to the target by HTTP, connections to it, and questions about its container. Collectors send one or two.
pub const REQUESTS: usize = 100;

/// What the host holds for a connection that a guest opened itself, by `wasi:http` or `wasi:sockets`: buffers for both ways.
pub const CONNECTION_MEMORY: usize = 4 * HTTP_HEAD;

/// How many attempts to reach something else than its target are told of one sandbox, each by itself. More say nothing new.
pub const REFUSED_TOLD: usize = 3;

/// A response's body. gostats reads 700 bytes; a Prometheus page of a large application has some 100 kB.
pub const HTTP_BODY: ByteSize = ByteSize::mib(4);

/// A response's status line and header fields, in bytes.
pub const HTTP_HEAD: usize = 64 * 1024;

/// Samples in one report. Mackerel takes 200 metrics from a standard host.
pub const SAMPLES: usize = 10_000;

/// Samples of all reports of a run together, beyond [`SAMPLES_SHARE`]. They are held until its end, and take up to 600 bytes each.
pub const TOTAL_SAMPLES: usize = 100_000;

/// Samples that every target's report may have, whatever the others report: what Mackerel takes from a standard host.
pub const SAMPLES_SHARE: usize = 200;

/// Graphs that a collector declares. The built-in ones have up to sixteen.
pub const GRAPHS: usize = 200;

/// Metrics that a collector declares, of all graphs together. Every sample is held against them.
pub const METRICS: usize = 1000;

/// Options that a collector takes, and words that one option allows.
pub const OPTIONS: usize = 100;

/// A prefix, a graph's key, a metric's name, and a label, each in bytes. No sensible one comes near.
pub const KEY_LENGTH: usize = 255;

/// A target's name within a key, in characters. Docker bounds no container's name.
pub const INSTANCE_LENGTH: usize = 128;

/// Text of a third party (a guest, a target, an engine) in one message, in characters.
pub const FOREIGN_TEXT: usize = 300;

/// The size of a component's file. The largest known, Python's, have 20 MB.
pub const COMPONENT_SIZE: ByteSize = ByteSize::mib(64);

/// The name of a new project, in characters. Package managers take more, and nobody wants to read them.
pub const PROJECT_NAME: usize = 64;

/// How long the compilation of a component that is no built-in takes: a run's deadline leaves no more. A collector in Rust takes a tenth
/// of a second, one in Python 8 s where nobody else computes.
pub const COMPILE_TIMEOUT: Duration = Duration::from_secs(15);

/// The same where a person waits for it, at `install` and `push`. Python's runtime takes 8 s on a fast machine, and all that is to be
/// had of a slow one.
pub const INSTALL_COMPILE_TIMEOUT: Duration = Duration::from_mins(2);

/// How long a component comes from a registry, or goes there, from the first connection to the last byte.
pub const TRANSFER_TIMEOUT: Duration = Duration::from_mins(5);

/// How long a registry takes to accept a connection.
pub const REGISTRY_CONNECT: Duration = Duration::from_secs(10);

/// How long a registry says nothing while it is waited for: it may have to fetch what it is asked for from slow disks.
pub const REGISTRY_SILENCE: Duration = Duration::from_secs(15);

/// What a registry answers, except for a component itself. A manifest has 1 kB, a token some more.
pub const REGISTRY_ANSWER: ByteSize = ByteSize::mib(1);

/// How long `install`, `remove` and `push` take in all, before they end themselves: what they may wait for, and a minute.
pub const SHIPPING_DEADLINE: Duration = Duration::from_mins(8);

/// The size of the note of an installed collector: its texts are bounded each, and have some hundred bytes.
pub const PIN_SIZE: ByteSize = ByteSize::kib(64);

/// How long a command waits for another that is just writing to the folder of installed collectors: as long as it takes to write
/// some 100 MB to a slow disk.
pub const STORE_LOCK: Duration = Duration::from_secs(10);

/// Failures alike that are named one by one; more of them are folded into one line. mackerel-agent logs stderr every
/// minute.
pub const ALIKE: usize = 5;

/// Lines of one run on stderr. A collector could say something else of every target.
pub const DIAGNOSTICS: usize = 100;

/// How long a run waits for another that is just writing the same state: milliseconds, unless that one hangs.
pub const STATE_LOCK: Duration = Duration::from_secs(2);

/// The size of a state file, read and written. Ten thousand targets take about 5 MB.
pub const STATE_SIZE: ByteSize = ByteSize::mib(16);

/// How long the counters of a target that is not seen any more are kept.
pub const STATE_KEPT: Duration = Duration::from_hours(1);

/// How long a slot is held for a container that is gone (`--instance-name slot`): three of mackerel-agent's minutes, so that one run that
/// hung or overlapped frees nothing, and no minute in Mackerel has points of two containers.
pub const SLOT_KEPT: Duration = Duration::from_mins(3);

/// How far this machine's clock may be off between two runs without having been set: a leap second.
pub const CLOCK_STEP: Duration = Duration::from_secs(1);

/// How many sandboxes are made before their targets are known. More would take memory for little: the engine's list of a hundred
/// containers takes as long as a hundred sandboxes.
pub const PREWARMED_SANDBOXES: usize = 100;

/// File descriptors that are left for everything but targets.
pub const SPARE_FILES: u64 = 64;

/// A recording: all that one target says in one collection. The page of a large application has some 100 kB, and a recording is kept in
/// a repository.
pub const RECORDING: ByteSize = ByteSize::mib(16);

/// Conversations of a recording, by HTTP and otherwise: as many as a call can begin.
pub const RECORDED: usize = 2 * REQUESTS;

/// How long connections of a sandbox that is gone may take to end. Their other ends are closed already.
pub const RECORDING_END: Duration = Duration::from_secs(1);

/// How many names an error lists. A collector declares a thousand at most; of more than these nobody reads the last.
pub const LISTED: usize = 100;

/// Metrics that Mackerel bills as one host, by the host's kind (facts of 2026: <https://mackerel.io/pricing>). More make it count as further
/// hosts.
pub const METRICS_OF_HOST: [(&str, usize); 2] = [("standard", 200), ("micro", 30)];

/// How long mackerel-agent lets a plugin run where its configuration says nothing.
pub const AGENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The width of a dashboard's grid, in columns (<https://mackerel.io/api-docs/entry/dashboards>).
pub const GRID_WIDTH: u32 = 24;

/// A graph on it: three in a row. Mackerel takes 6 by 6 at least, and 24 by 32 at most.
pub const GRAPH_WIDTH: u32 = 8;

/// The height of a graph.
pub const GRAPH_HEIGHT: u32 = 8;

/// A section's title over its graphs: two lines. Mackerel takes 2 at least.
pub const TITLE_HEIGHT: u32 = 3;

/// What a graph on a dashboard shows: the last hour, in which a minute is still a point.
pub const GRAPH_RANGE: Duration = Duration::from_hours(1);

/// The limits on a collector, as people are shown them: what is bounded, the value, and the option that raises it.
pub fn of_collectors() -> Vec<(&'static str, String, &'static str)> {
    let size = |size: ByteSize| format!("{:.0}", size.display().iec());
    let bytes = |bytes: usize| size(ByteSize::b(bytes as u64));
    let time = |time: Duration| format_duration(time).to_string();
    let number = |number: usize| number.to_string();
    vec![
        ("memory of one sandbox", size(SANDBOX_MEMORY), "--memory-limit"),
        ("memory of all sandboxes together", size(TOTAL_MEMORY), "--total-memory"),
        ("  besides, each one's own", size(SANDBOX_SHARE), ""),
        ("CPU time of one call", time(CALL_CPU), "--cpu-limit"),
        ("time of one target", time(TARGET_TIMEOUT), "--timeout"),
        ("time of the whole run", time(RUN_DEADLINE), "--deadline"),
        ("time of describe and graphs, each", time(DESCRIBE_TIMEOUT), ""),
        ("stack", bytes(SANDBOX_STACK), ""),
        ("table elements", number(SANDBOX_TABLE_ELEMENTS), ""),
        ("instances, tables and memories, each", number(SANDBOX_INSTANCES), ""),
        ("resources held", number(SANDBOX_RESOURCES), ""),
        ("requests and connections of one call", number(REQUESTS), ""),
        ("body of one answer", size(HTTP_BODY), ""),
        ("head of one answer", bytes(HTTP_HEAD), ""),
        ("handed over to the host at once", bytes(HANDED_OVER), ""),
        ("random bytes at once", bytes(RANDOM_BYTES), ""),
        ("samples of one target", number(SAMPLES), ""),
        ("samples of all targets together", number(TOTAL_SAMPLES), ""),
        ("  besides, each one's own", number(SAMPLES_SHARE), ""),
        ("graphs", number(GRAPHS), ""),
        ("metrics of all graphs together", number(METRICS), ""),
        ("options, and words of one option", number(OPTIONS), ""),
        ("bytes of a key, a name or a label", number(KEY_LENGTH), ""),
        ("characters of other texts", number(FOREIGN_TEXT), ""),
        ("stderr that is kept", bytes(GUEST_STDERR), ""),
        ("size of a component", size(COMPONENT_SIZE), ""),
        ("time to compile a component", time(COMPILE_TIMEOUT), ""),
    ]
}
