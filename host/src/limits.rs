//! Every limit, default and timeout of the host, each with its reason.
//!
//! Values that an operator can change are defaults of options of `run`. The limits on collectors stand in one table:
//! `inspect` prints it from there.

use std::time::Duration;

use bytesize::ByteSize;
use humantime::format_duration;

/// Declares limits on collectors, and [`of_collectors`], which lists them: the label, the unit and the option that
/// raises it.
macro_rules! limits_on_collectors {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $value:expr, $label:literal, $unit:ident, $option:literal;)*) => {
        $($(#[$doc])* pub const $name: $type = $value;)*

        /// Returns the limits on a collector for people: label, value, and the option that raises it.
        pub fn of_collectors() -> Vec<(&'static str, String, &'static str)> {
            vec![$(($label, $unit($name), $option)),*]
        }
    };
}

limits_on_collectors! {
    /// All linear memories of one sandbox, and the memory that the host holds for it. Python's and JavaScript's
    /// runtimes need about 30 MB.
    SANDBOX_MEMORY: ByteSize = ByteSize::mib(64), "memory of one sandbox", size, "--memory-limit";

    /// Memory of all sandboxes of a run, with responses and reports. With it a run stays below 200 MiB, which a machine
    /// of 1 GiB can spare for a moment; and a Python runtime fits in four times.
    TOTAL_MEMORY: ByteSize = ByteSize::mib(128), "memory of all sandboxes together", size, "--total-memory";

    /// The part of the total that a sandbox takes from its start. A collector in Rust takes 85 KiB before its response
    /// arrives.
    SANDBOX_BASE: ByteSize = ByteSize::kib(128), "  of it, for each sandbox at its start", size, "";

    /// CPU time of one call, including the host's work for it. A Rust collector takes some milliseconds, the start of a
    /// Python runtime a tenth of a second.
    CALL_CPU: Duration = Duration::from_secs(1), "CPU time of one call", time, "--cpu-limit";

    /// One target, from the lookup of its name to the collector's report. A healthy application returns its statistics
    /// in milliseconds; the deadline leaves room for several timeouts.
    TARGET_TIMEOUT: Duration = Duration::from_secs(5), "timeout of one target", time, "--timeout";

    /// The whole run. mackerel-agent sends SIGTERM after 30 s and SIGKILL 10 s later.
    RUN_DEADLINE: Duration = Duration::from_secs(20), "deadline of the run", time, "--deadline";

    /// `describe` and `graphs`, each: they only build a few records.
    DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5), "timeout of describe and of graphs", time, "";

    /// The stack of a guest's code. A deeper recursion is a trap.
    SANDBOX_STACK: usize = 512 * 1024, "stack", bytes, "";

    /// Elements of all tables of one sandbox. A Go or Python component has a few thousand functions.
    SANDBOX_TABLE_ELEMENTS: usize = 100_000, "table elements", number, "";

    /// Core instances, tables and memories of one sandbox, each. A Rust component has five instances, Python's a few
    /// dozen.
    SANDBOX_INSTANCES: usize = 100, "instances, tables and memories, each", number, "";

    /// Resources that a guest holds, such as streams, of the host and its own. A collector holds a handful.
    SANDBOX_RESOURCES: usize = 1000, "resources", number, "";

    /// Requests of one call: to the target by HTTP, connections to it, and stats of its container. Collectors send one
    /// or two.
    REQUESTS: usize = 100, "requests and connections of one call", number, "";

    /// A response body. gostats reads 700 bytes; a Prometheus page of a large application has some 100 kB.
    HTTP_BODY: ByteSize = ByteSize::mib(4), "response body", size, "--http-body-limit";

    /// The status line and the header fields of a response.
    HTTP_HEAD: usize = 64 * 1024, "response head", bytes, "";

    /// The header fields of a response. Servers send about ten.
    HTTP_FIELDS: usize = 100, "header fields of a response", number, "";

    /// Bytes that a guest passes to the host in one call or result. A report of 10,000 samples with names of usual
    /// length takes 1 MB.
    HANDED_OVER: usize = 4 * 1024 * 1024, "passed to the host in one call", bytes, "";

    /// Random bytes that a guest requests at once. A seed is enough.
    RANDOM_BYTES: usize = 64 * 1024, "random bytes at once", bytes, "";

    /// Samples of one report. Mackerel bills 200 metrics as one standard host.
    SAMPLES: usize = 10_000, "samples of one target", number, "";

    /// Samples of all reports of a run beyond [`SAMPLES_SHARE`]. They are held until its end and take up to 600 bytes
    /// each.
    TOTAL_SAMPLES: usize = 100_000, "samples of all targets together", number, "";

    /// Samples that each report can have in any case: as many metrics as Mackerel bills as one standard host.
    SAMPLES_SHARE: usize = 200, "  plus, for each target", number, "";

    /// Graphs that a collector declares. The built-in ones have up to sixteen.
    GRAPHS: usize = 200, "graphs", number, "";

    /// Metrics of all graphs. Every sample is matched with them.
    METRICS: usize = 1000, "metrics of all graphs", number, "";

    /// Options of a collector, and words of one option.
    OPTIONS: usize = 100, "options, and words of one option", number, "";

    /// Bytes of a prefix, a graph's key, a metric's name, and a label. Sensible ones are far shorter.
    KEY_LENGTH: usize = 255, "bytes of a key, name or label", number, "";

    /// Notes of one call; further ones are ignored. A collector has at most one for each word of an option.
    NOTES: usize = 100, "notes of one call", number, "";

    /// Characters of a third party's text in one message.
    FOREIGN_TEXT: usize = 300, "characters of other texts", number, "";

    /// The beginning and the end of a guest's stderr in one call; the rest is dropped.
    GUEST_STDERR: usize = 4 * 1024, "stderr kept", bytes, "";

    /// A component's file. The largest known ones, in Python, have 20 MB.
    COMPONENT_SIZE: ByteSize = ByteSize::mib(64), "size of a component", size, "";

    /// Components and modules within each other. Python's component has one level, one composed of others a few.
    COMPONENT_NESTING: usize = 10, "levels of nested components", number, "";

    /// Nested modules and components, and their instances. Python's component has 16 modules and 68 instances.
    COMPONENT_PARTS: usize = 1000, "nested modules, and instances, each", number, "";

    /// Types, functions, imports and exports of a component. Python's has 13,000 functions.
    COMPONENT_ITEMS: usize = 100_000, "types, functions, imports, exports", number, "";

    /// Memory of the process that compiles a component. One in Python takes 320 MiB.
    COMPILE_MEMORY: ByteSize = ByteSize::mib(768), "memory to compile a component", size, "";

    /// Compilation of a component in a run, whose deadline leaves no more. A collector in Rust takes a tenth of a
    /// second, one in Python 8 s on an idle machine.
    COMPILE_TIMEOUT: Duration = Duration::from_secs(15), "time to compile a component", time, "";
}

fn size(size: ByteSize) -> String {
    format!("{:.0}", size.display().iec())
}

fn bytes(bytes: usize) -> String {
    size(ByteSize::b(bytes as u64))
}

fn time(time: Duration) -> String {
    format_duration(time).to_string()
}

fn number(number: usize) -> String {
    number.to_string()
}

/// The longest `--timeout` and `--deadline`. It only keeps sums of times within their types.
pub const LONGEST_DEADLINE: Duration = Duration::from_hours(24);

/// Connecting to a container's own address before the published one is tried. Over a bridge of this machine it takes a
/// tenth of a millisecond, unless a firewall drops it.
pub const OWN_ADDRESS_CONNECT: Duration = Duration::from_millis(250);

/// Inspecting one container, such as for its start time: a few milliseconds. Some engines hang on one broken container
/// for ever, while its application still responds.
pub const ENGINE_INSPECT: Duration = Duration::from_secs(1);

/// The engine's list. One container takes about 1.5 kB, so this is enough for some 20,000.
pub const ENGINE_LIST: ByteSize = ByteSize::mib(32);

/// Entries of the engine's list. Each one takes up to a kilobyte here, however short it is, and no engine runs so many
/// containers.
pub const CONTAINERS: usize = 50_000;

/// The engine's response about one container: its state takes about 10 kB, most of it labels, environment and health
/// checks; its stats 3 kB.
pub const ENGINE_CONTAINER: ByteSize = ByteSize::mib(1);

/// One response of the task metadata endpoint of ECS, which is on the same machine. Its own timeout is 5 s.
pub const TASK_METADATA_TIMEOUT: Duration = Duration::from_secs(2);

/// A response of the task metadata endpoint. A task has some 20 containers at most; each takes about 2 kB, and its
/// stats 10 kB.
pub const TASK_METADATA: ByteSize = ByteSize::mib(1);

/// The age of stats from the task metadata endpoint. The ECS agent samples every second, or every 5 to 20 s with
/// `ECS_POLL_METRICS`; an older sample is of a container that it no longer follows.
pub const TASK_SAMPLE_AGE: Duration = Duration::from_secs(30);

/// A large response of the engine: several times the usual size.
pub const ENGINE_LARGE: ByteSize = ByteSize::kib(32);

/// Large responses of the engine that are read and parsed at the same time: all containers are requested at once, and
/// parsing one takes several times its size.
pub const ENGINE_LARGE_AT_ONCE: usize = 4;

/// The time after the deadline in which a run can write its output and state, before the watchdog ends it.
pub const DEADLINE_GRACE: Duration = Duration::from_secs(5);

/// The time in which a run that ends itself tries to write its last line. With a reader on stderr this takes no time.
pub const LAST_WORD: Duration = Duration::from_secs(1);

/// CPU time that a call uses before it takes turns with others. Most calls of a collector in Rust need less, and 600
/// calls that need more have all used this time after 0.6 s, well within the timeout of a target.
pub const SHORT_CPU: Duration = EPOCH;

/// The depth below the root of the cgroups at which a container's is searched. Engines use one to four levels, and
/// engines in containers twice as many.
pub const CGROUP_DEPTH: usize = 8;

/// Cgroups that are searched for those of containers. A large machine has a thousand; a user with cgroups of their own
/// can make more.
pub const CGROUP_FOLDERS: usize = 10_000;

/// Cgroups of one container that are searched for a process. systemd in a container makes some dozens; a container that
/// can make its own can make any number.
pub const CGROUPS_OF_ONE: usize = 100;

/// Processes of one cgroup that are looked at. The oldest is among the first of them.
pub const PROCESSES_OF_ONE: usize = 16;

/// Open files of one process that are searched for a socket. Servers have thousands of connections at most.
pub const FILES_OF_ONE: usize = 10_000;

/// A cgroup's file, and one of `/proc/PID`. A hundred block devices, network interfaces or connections take about
/// 10 kB.
pub const CGROUP_FILE: ByteSize = ByteSize::kib(256);

/// The period after which a computing guest is interrupted, so that other sandboxes and timeouts get their turn. That
/// takes some microseconds.
pub const EPOCH: Duration = Duration::from_millis(1);

/// Memory at the start of a sandbox that [`SANDBOX_BASE`] covers. A collector in Rust or C starts with up to 1,088 KiB,
/// most of it a stack that it never touches, and the kernel only provides touched pages.
pub const SANDBOX_START: ByteSize = ByteSize::kib(1088);

/// Memory that a sandbox takes later and that [`SANDBOX_BASE`] covers too: for a short response.
pub const SANDBOX_GROWTH: ByteSize = ByteSize::kib(64);

/// Sandboxes that can use the last quarter of the total memory at the same time: more than one, so that a slow target
/// does not hold up the others, and few, so that a response of 4 MiB and its copies in the guest fit in for each.
pub const MEMORY_TURNS: usize = 2;

/// Memory that the host holds for a connection: a buffer of the largest size.
pub const CONNECTION_MEMORY: usize = HTTP_HEAD;

/// Data of a TLS connection that a guest reads at once: what one record can have, four times.
pub const TLS_READ: usize = 64 * 1024;

/// Denied attempts of one sandbox that are named; others are counted.
pub const DENIED_NAMED: usize = 3;

/// Labels of one container that begin with the prefix of `run labels`. Sixteen endpoints with a dozen options each fit.
pub const LABELS_OF_ONE: usize = 200;

/// Endpoints that the labels of one container can declare. A pod of sidecars has a handful.
pub const ENDPOINTS_OF_ONE: usize = 16;

/// Characters of the name that labels declare, as the beginning of a target's name.
pub const LABEL_NAME: usize = 64;

/// Bytes of the value of a label that is read. It is a port, a path or a list of names.
pub const LABEL_VALUE: usize = 1024;

/// Characters of a target's name within a key. Docker does not limit the names of containers.
pub const INSTANCE_LENGTH: usize = 128;

/// Characters of the name of a new project. Package managers take more; nobody wants to read them.
pub const PROJECT_NAME: usize = 64;

/// Compilation while a person waits, at `install` and `push`. A Python component takes 8 s on a fast machine.
pub const INSTALL_COMPILE_TIMEOUT: Duration = Duration::from_mins(2);

/// Compiled code, which the compiling process writes into memory beside its own. One in Python has 60 MiB.
pub const COMPILED_SIZE: ByteSize = ByteSize::mib(256);

/// Threads that compile. More would need more memory at the same time.
pub const COMPILE_THREADS: usize = 4;

/// The transfer of a component from or to a registry, from the first connection to the last byte.
pub const TRANSFER_TIMEOUT: Duration = Duration::from_mins(5);

/// Connecting to a registry.
pub const REGISTRY_CONNECT: Duration = Duration::from_secs(10);

/// Silence of a registry: it may have to read slow disks.
pub const REGISTRY_SILENCE: Duration = Duration::from_secs(15);

/// A registry's response, except a component itself. A manifest has 1 kB, a token some more.
pub const REGISTRY_RESPONSE: ByteSize = ByteSize::mib(1);

/// A file of registry logins, such as docker's configuration, which has its current context too. An entry has some
/// hundred bytes, and a token some thousand.
pub const LOGIN_FILE: ByteSize = ByteSize::mib(1);

/// The deadline of `install`, `remove` and `push`: the longest transfer, the longest compilation, and a minute.
pub const SHIPPING_DEADLINE: Duration = Duration::from_mins(8);

/// Compiled files that `test` keeps. An author works on one or two; a Python component takes 60 MB.
pub const CACHED_COMPONENTS: usize = 4;

/// The pin of an installed collector. Its texts are bounded each and have some hundred bytes.
pub const PIN_SIZE: ByteSize = ByteSize::kib(64);

/// The kept results of `describe` and `graphs` of an installed collector. A graph has some hundred bytes.
pub const KEPT_SIZE: ByteSize = ByteSize::mib(1);

/// Sets of options for which the graphs of an installed collector are kept. Each plugin command has one.
pub const KEPT_GRAPHS: usize = 16;

/// The list of the sums of a release. It has about twenty lines.
pub const RELEASE_SUMS: ByteSize = ByteSize::kib(64);

/// The file of a secret. A long token has some kB.
pub const SECRET_FILE: ByteSize = ByteSize::kib(64);

/// A key or a signature of cosign, or a policy of signatures. A key has 200 bytes, a rule of a policy about as many.
pub const KEY_FILE: ByteSize = ByteSize::kib(64);

/// Signatures of one component in a registry. Each is one request.
pub const SIGNATURES: usize = 32;

/// A file of certificates or a key. All roots of a Linux distribution together take some 300 kB.
pub const CERTIFICATE_FILE: ByteSize = ByteSize::mib(4);

/// Waiting for another command that writes to the folder of installed collectors: enough to write 100 MB to a slow
/// disk.
pub const STORE_LOCK: Duration = Duration::from_secs(10);

/// Equal failures that are printed one by one; more of them are folded into one line, because mackerel-agent logs
/// stderr every minute.
pub const ALIKE: usize = 5;

/// Lines of one run on stderr. A collector could write a different text for every target.
pub const DIAGNOSTICS: usize = 100;

/// Waiting for another run that writes the same state: milliseconds, unless that run hangs.
pub const STATE_LOCK: Duration = Duration::from_secs(2);

/// A request of an export, before compression. Mackerel accepts some 3.5 MB, and servers of gRPC 4 MiB by default.
pub const OTLP_REQUEST: usize = 3_000_000;

/// Values of one target in one part of an export. A value with the longest names takes less than 1.5 kB, so that a part
/// fits into a request.
pub const OTLP_VALUES: usize = 1_500;

/// Characters of the value of an attribute, such as a label of a container. Backends cut longer ones, or reject them.
pub const OTLP_ATTRIBUTE: usize = 1_024;

/// The response to an export. It is empty, or has one message.
pub const OTLP_RESPONSE: ByteSize = ByteSize::kib(64);

/// The header fields of the response to an export.
pub const OTLP_HEAD: u32 = 16 * 1024;

/// One request of an export with its retry, unless `OTEL_EXPORTER_OTLP_TIMEOUT` is set: the default of OpenTelemetry.
pub const OTLP_TIMEOUT: Duration = Duration::from_secs(10);

/// The delay before a request of an export is repeated, if the server names no time.
pub const OTLP_RETRY: Duration = Duration::from_secs(1);

/// The shortest time limit of an export, if collecting took the whole deadline. It fits into the grace period.
pub const OTLP_LEAST: Duration = Duration::from_secs(2);

/// A state file. Ten thousand targets take about 5 MB.
pub const STATE_SIZE: ByteSize = ByteSize::mib(16);

/// The time for which counters of a missing target are kept.
pub const STATE_KEPT: Duration = Duration::from_hours(1);

/// The time after its last run for which a command is expected to run again: three of mackerel-agent's minutes, because
/// a slow run can delay the next.
pub const STILL_RUNS: Duration = Duration::from_mins(3);

/// The time after its last run for which the files of a command are kept. A command of a changed configuration never
/// runs again, and one of a machine that was off for a month starts anew.
pub const STATE_REMOVED: Duration = Duration::from_hours(30 * 24);

/// State files that one run looks at. A machine has a handful of plugin commands.
pub const STATE_FILES: usize = 1000;

/// The time for which a slot of a removed container stays reserved (`--instance-name slot`): three of mackerel-agent's
/// minutes, so that a run that hung or overlapped frees nothing, and no minute in Mackerel has points of two
/// containers.
pub const SLOT_KEPT: Duration = Duration::from_mins(3);

/// The difference between the wall clock and the boot clock that does not count as a step of the wall clock: a leap
/// second.
pub const CLOCK_STEP: Duration = Duration::from_secs(1);

/// Targets that are collected at the same time, while they respond fast. Each takes a third of a millisecond of the
/// run's own time, so there is work at any moment.
pub const WINDOW: usize = 16;

/// The window doubles when all targets of it have waited for this time: a local application responds within a
/// millisecond.
pub const WINDOW_STEP: Duration = Duration::from_millis(2);

/// Time after which a running target does not count any more, so that slow targets do not fill the window of fast ones.
/// If all are slow, the window has doubled before.
pub const WINDOW_PATIENCE: Duration = Duration::from_millis(25);

/// Sandboxes that reuse memory at the same time. Making a slot takes more than a microsecond, and more slots make a run
/// no faster, because most sandboxes wait for a response.
pub const POOL_SLOTS: u32 = 24;

/// Memories of a sandbox that reuses them. Collectors in Rust, Go, Python and JavaScript have one.
pub const POOL_MEMORIES: u32 = 1;

/// Tables of a sandbox that reuses them.
pub const POOL_TABLES: u32 = 4;

/// Elements of each of these tables. A collector in Rust has some hundreds. All tables of the pool together are smaller
/// than a huge page, which the kernel would provide as a whole on systems that have them always.
pub const POOL_TABLE_ELEMENTS: usize = 2000;

/// Memory of an ended sandbox that stays mapped for the next. A collector in Rust touches 100 KiB.
pub const POOL_RESIDENT: usize = 256 * 1024;

/// Stack of an ended sandbox that stays mapped for the next. A call of a collector in Rust takes less.
pub const POOL_STACK_RESIDENT: usize = 32 * 1024;

/// Sandboxes that are made before their targets are known. More would only take memory: the engine's list of a hundred
/// containers takes as long as a hundred sandboxes.
pub const PREWARMED_SANDBOXES: usize = 16;

/// File descriptors that are reserved for everything but targets.
pub const SPARE_FILES: u64 = 64;

/// A recording: all responses of one target in one collection. It is kept in a repository.
pub const RECORDING: ByteSize = ByteSize::mib(16);

/// Conversations of a recording, by HTTP and otherwise: as many as a call can begin.
pub const RECORDED: usize = 2 * REQUESTS;

/// The time in which the connections of a dropped sandbox end. Their other ends are closed already.
pub const RECORDING_END: Duration = Duration::from_secs(1);

/// Names, ports or filters that one message lists; others are counted. gostats has 15 metrics.
pub const LISTED: usize = 20;

/// Bytes of such a list. It is one line of a log.
pub const LISTED_LENGTH: usize = 1000;

/// Patterns that `plan` compares for one option of a suggestion. Each is compared with every metric.
pub const SUGGESTED_PATTERNS: usize = 100;

/// Options of one suggestion of `plan`. Nobody wants to type more.
pub const SUGGESTED_OPTIONS: usize = 10;

/// Metrics that Mackerel bills as one host, by the kind of host (<https://mackerel.io/pricing>, 2026). More count as
/// further hosts.
pub static METRICS_OF_HOST: [(&str, usize); 2] = [("standard", 200), ("micro", 30)];

/// Characters of the text of a check, which Mackerel limits (<https://mackerel.io/docs/entry/custom-checks>).
pub const CHECK_MESSAGE: usize = 1024;

/// mackerel-agent's default timeout of a plugin.
pub const AGENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The width of the table of `explain` in columns: half of a wide screen.
pub const TABLE_WIDTH: u16 = 100;

/// The width of a dashboard's grid in columns (<https://mackerel.io/api-docs/entry/dashboards>).
pub const GRID_WIDTH: u32 = 24;

/// The width of a graph: three in a row. Mackerel accepts 6 by 6 to 24 by 32.
pub const GRAPH_WIDTH: u32 = 8;

/// The height of a graph.
pub const GRAPH_HEIGHT: u32 = 8;

/// The height of a section's title over its graphs: two lines. Mackerel accepts 2 at least.
pub const TITLE_HEIGHT: u32 = 3;

/// The period that a graph on a dashboard shows: the last hour, in which each minute is a point.
pub const GRAPH_RANGE: Duration = Duration::from_hours(1);
