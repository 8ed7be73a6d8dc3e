//! Collector for the resource use of containers, with the metric names of mackerel-plugin-docker and further graphs on
//! request.
//!
//! The host reads the stats; this collector gives them names and units.

use mackerel_collector::container::{
    self, ContainerState as State, ContainerStats as Stats, Error, HealthStatus, Parts,
};
use mackerel_collector::{
    CollectError, Collector, Graph, GraphRow, MetricRow, OptionSpec, Options, Report, Scope, Target, Unit,
};

/// The readings of one container: those that the selected graphs need.
struct Readings {
    stats: Option<Stats>,
    state: Option<State>,
}

/// The readings that a graph needs, and a function that returns the value of each of its metrics, in their order.
enum Values {
    Stats(Parts, &'static [fn(&Stats) -> Option<f64>]),
    State(&'static [fn(&State) -> Option<f64>]),
}

/// A graph and its values. `--graphs` selects graphs by their group.
struct Entry {
    group: &'static str,
    graph: GraphRow,
    values: Values,
}

/// Defines an [`Entry`]: group, key, title and unit of the graph, its readings, and one line for each metric.
macro_rules! entry {
    (
        $group:literal, $key:expr, $label:literal, $unit:ident, $readings:ident $(($part:ident))?;
        $($kind:ident($name:literal, $legend:literal) $(.$stacked:ident())? => $value:expr,)+
    ) => {
        Entry {
            group: $group,
            graph: GraphRow::new($key, $label, Unit::$unit, &[$(MetricRow::$kind($name, $legend)$(.$stacked())?),+]),
            values: Values::$readings($(Parts::$part,)? &[$($value),+]),
        }
    };
}

/// The groups of mackerel-plugin-docker.
const DEFAULT_GROUPS: &str = "cpu,memory,blkio";

/// The word that selects all groups.
const ALL: &str = "all";

/// The graphs of `--cpu-format percentage` and `--cpu-format usage`. Like mackerel-plugin-docker, the group `cpu`
/// defines both.
const CPU_PERCENTAGE: &str = "cpuacct_percentage.#";
const CPU_USAGE: &str = "cpuacct.#";

const ENTRIES: &[Entry] = &[
    entry! { "cpu", CPU_PERCENTAGE, "CPU Percentage", Percentage, Stats(CPU);
        per_second("user", "User").stacked() => |stats| percent(stats.cpu.user),
        per_second("system", "System").stacked() => |stats| percent(stats.cpu.system),
    },
    entry! { "cpu", CPU_USAGE, "CPU", Integer, Stats(CPU);
        per_minute("user", "User").stacked() => |stats| count(stats.cpu.user),
        per_minute("system", "System").stacked() => |stats| count(stats.cpu.system),
    },
    entry! { "memory", "memory.#", "Memory", Bytes, Stats(MEMORY);
        gauge("cache", "Cache").stacked() => |stats| count(stats.memory.cache),
        gauge("rss", "RSS").stacked() => |stats| count(stats.memory.rss),
    },
    entry! { "blkio", "blkio.io_queued.#", "BlkIO Queued", Integer, Stats(BLOCK_IO);
        gauge("read", "Read").stacked() => |stats| count(stats.block_io.queued.read),
        gauge("write", "Write").stacked() => |stats| count(stats.block_io.queued.write),
        gauge("sync", "Sync").stacked() => |stats| count(stats.block_io.queued.synchronous),
        gauge("async", "Async").stacked() => |stats| count(stats.block_io.queued.asynchronous),
    },
    entry! { "blkio", "blkio.io_serviced.#", "BlkIO IOPS", Iops, Stats(BLOCK_IO);
        per_second("read", "Read").stacked() => |stats| count(stats.block_io.serviced.read),
        per_second("write", "Write").stacked() => |stats| count(stats.block_io.serviced.write),
        per_second("sync", "Sync").stacked() => |stats| count(stats.block_io.serviced.synchronous),
        per_second("async", "Async").stacked() => |stats| count(stats.block_io.serviced.asynchronous),
    },
    entry! { "blkio", "blkio.io_service_bytes.#", "BlkIO Bytes", Bytes, Stats(BLOCK_IO);
        per_minute("read", "Read").stacked() => |stats| count(stats.block_io.bytes.read),
        per_minute("write", "Write").stacked() => |stats| count(stats.block_io.bytes.write),
        per_minute("sync", "Sync").stacked() => |stats| count(stats.block_io.bytes.synchronous),
        per_minute("async", "Async").stacked() => |stats| count(stats.block_io.bytes.asynchronous),
    },
    entry! { "memory-limit", "memory_limit.#", "Memory Limit", Bytes, Stats(MEMORY);
        gauge("used", "Used") => |stats| count(stats.memory.used),
        gauge("limit", "Limit") => |stats| count(stats.memory.limit),
    },
    entry! { "memory-limit", "memory_percentage.#", "Memory Percentage", Percentage, Stats(MEMORY);
        gauge("used", "Used") => |stats| share(stats.memory.used, stats.memory.limit),
    },
    entry! { "network", "network.bytes.#", "Network Bytes", BytesPerSecond, Stats(NETWORK);
        per_second("received", "Received") => |stats| count(stats.network.received.bytes),
        per_second("sent", "Sent") => |stats| count(stats.network.sent.bytes),
    },
    entry! { "network", "network.packets.#", "Network Packets", Float, Stats(NETWORK);
        per_second("received", "Received") => |stats| count(stats.network.received.packets),
        per_second("sent", "Sent") => |stats| count(stats.network.sent.packets),
    },
    entry! { "network", "network.errors.#", "Network Errors", Integer, Stats(NETWORK);
        per_minute("received", "Received") => |stats| count(stats.network.received.errors),
        per_minute("sent", "Sent") => |stats| count(stats.network.sent.errors),
        per_minute("received_dropped", "Received, Dropped") => |stats| count(stats.network.received.dropped),
        per_minute("sent_dropped", "Sent, Dropped") => |stats| count(stats.network.sent.dropped),
    },
    entry! { "processes", "processes.#", "Processes and Threads", Integer, Stats(PROCESSES);
        gauge("current", "Current") => |stats| count(stats.processes.current),
        gauge("limit", "Limit") => |stats| count(stats.processes.limit),
    },
    entry! { "throttling", "cpu_throttling.periods.#", "CPU Limit Periods", Integer, Stats(THROTTLING);
        per_minute("all", "All") => |stats| count(stats.throttling.periods),
        per_minute("throttled", "Throttled") => |stats| count(stats.throttling.throttled_periods),
    },
    entry! { "throttling", "cpu_throttling.time.#", "CPU Throttled Time", Percentage, Stats(THROTTLING);
        per_second("throttled", "Throttled") => |stats| percent(stats.throttling.throttled_time),
    },
    entry! { "restarts", "restarts.#", "Restarts", Integer, State;
        gauge("count", "Count") => |state| count(state.restarts),
    },
    entry! { "health", "health.#", "Health", Integer, State;
        gauge("healthy", "Healthy") => healthy,
        gauge("failing_streak", "Failing Streak") => |state| count(state.health.as_ref()?.failing_streak),
    },
];

/// The collector.
pub struct Docker;

impl Collector for Docker {
    const NAME: &str = "docker";
    const SUMMARY: &str = "CPU, memory, block I/O and more of each container";
    const SCOPE: Scope = Scope::Container;
    const OPTIONS: &[OptionSpec] = &[
        OptionSpec::choice(
            "cpu-format",
            "CPU in per cent of one core, or in nanoseconds per minute",
            &["percentage", "usage"],
        )
        .default("percentage"),
        OptionSpec::text(
            "graphs",
            "Groups of graphs to show, joined by commas: cpu, memory, blkio, memory-limit, network, processes, \
            throttling, restarts, health; or all",
        )
        .default(DEFAULT_GROUPS),
    ];

    fn graphs(options: &Options) -> Result<Vec<Graph>, String> {
        Ok(selected(options.text("graphs"))?.into_iter().map(|entry| Graph::from(&entry.graph)).collect())
    }

    fn collect(_target: &Target, options: &Options) -> Result<Report, CollectError> {
        let mut entries = selected(options.text("graphs"))?;
        let other_format = if options.text("cpu-format") == "usage" { CPU_PERCENTAGE } else { CPU_USAGE };
        entries.retain(|entry| entry.graph.key != other_format);
        let (parts, needs_state) = needs(&entries);
        let mut readings = Readings { stats: None, state: None };
        if !parts.is_empty() {
            readings.stats = Some(container::stats(parts).map_err(CollectError::Container)?);
        }
        if needs_state {
            match container::state() {
                Ok(state) => readings.state = Some(state),
                // The stats are worth reporting without restarts and health.
                Err(Error::Unavailable(reason)) if readings.stats.is_some() => {
                    eprintln!("omitted restarts and health: {reason}");
                }
                Err(error) => return Err(CollectError::Container(error)),
            }
        }
        Ok(report(&entries, &readings))
    }
}

mackerel_collector::export!(Docker);

/// The parts of the stats that these graphs need, and true if one of them needs the state.
fn needs(entries: &[&Entry]) -> (Parts, bool) {
    entries.iter().fold((Parts::empty(), false), |(parts, state), entry| match entry.values {
        Values::Stats(part, _) => (parts | part, state),
        Values::State(_) => (parts, true),
    })
}

/// Reports the values of these graphs. Unknown values are omitted.
fn report(entries: &[&Entry], readings: &Readings) -> Report {
    let mut report = Report::new();
    for Entry { graph, values, .. } in entries {
        let values: Vec<Option<f64>> = match values {
            Values::Stats(_, values) => values.iter().map(|value| value(readings.stats.as_ref()?)).collect(),
            Values::State(values) => values.iter().map(|value| value(readings.state.as_ref()?)).collect(),
        };
        for (metric, value) in graph.metrics.iter().zip(values) {
            report.push(graph.key, metric.name, value);
        }
    }
    report.time = readings.stats.as_ref().map(|stats| stats.time);
    report
}

/// The graphs of these groups, a value of `--graphs`, in the order of [`ENTRIES`].
fn selected(words: &str) -> Result<Vec<&'static Entry>, String> {
    let words: Vec<&str> = words.split(',').map(str::trim).collect();
    let known = groups();
    if let Some(word) = words.iter().find(|word| **word != ALL && !known.contains(word)) {
        return Err(format!("--graphs: unknown group '{word}'; available: {}, {ALL}", known.join(", ")));
    }
    Ok(ENTRIES.iter().filter(|entry| words.contains(&ALL) || words.contains(&entry.group)).collect())
}

/// All groups, in the order of [`ENTRIES`].
fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&str> = ENTRIES.iter().map(|entry| entry.group).collect();
    groups.dedup();
    groups
}

/// Converts a count unchanged. Beyond 2^53, such as 104 days of CPU time, the last digits are rounded.
#[allow(clippy::cast_precision_loss)]
fn count(number: Option<u64>) -> Option<f64> {
    number.map(|number| number as f64)
}

/// Converts nanoseconds so that their growth per second is in per cent: of one core, or of the time that passed.
fn percent(nanoseconds: Option<u64>) -> Option<f64> {
    count(nanoseconds).map(|nanoseconds| nanoseconds / 1e7)
}

/// Returns a part in per cent of the whole, or `None` if either is unknown or the whole is 0.
fn share(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    let (part, whole) = count(part).zip(count(whole))?;
    (whole > 0.0).then_some(part / whole * 100.0)
}

/// Returns 1 if the container is healthy and 0 if not, or `None` before the health check's first success.
fn healthy(state: &State) -> Option<f64> {
    match state.health.as_ref()?.status {
        HealthStatus::Healthy => Some(1.0),
        HealthStatus::Unhealthy => Some(0.0),
        HealthStatus::Starting => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_select_graphs_and_an_unknown_group_is_an_error() {
        let keys =
            |words| selected(words).map(|entries| entries.iter().map(|entry| entry.graph.key).collect::<Vec<_>>());
        assert_eq!(keys("memory, processes").unwrap(), ["memory.#", "processes.#"]);
        assert_eq!(keys("processes,memory,memory").unwrap(), ["memory.#", "processes.#"]);
        assert_eq!(keys("all").unwrap().len(), ENTRIES.len());
        for (words, word) in [("", ""), ("cpu,", ""), ("cpu,ram", "ram"), ("CPU", "CPU")] {
            let expected = format!(
                "--graphs: unknown group '{word}'; available: cpu, memory, blkio, memory-limit, network, processes, \
                 throttling, restarts, health, all"
            );
            assert_eq!(keys(words).unwrap_err(), expected);
        }
    }

    #[test]
    fn help_lists_all_groups() {
        let help = mackerel_collector::describe::<Docker>("").options[1].help.clone();
        assert!(help.ends_with(&format!(": {}; or {ALL}", groups().join(", "))), "{help}");
    }

    #[test]
    fn a_share_of_zero_or_of_an_unknown_whole_is_unknown() {
        assert_eq!(share(Some(64), Some(256)), Some(25.0));
        assert_eq!(share(Some(64), Some(0)), None);
        assert_eq!(share(None, Some(256)), None);
        assert_eq!(share(Some(64), None), None);
    }
}
