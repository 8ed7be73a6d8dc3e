//! Collector: the resource use of containers, under the names of mackerel-plugin-docker, and further graphs on request.
//!
//! The host reads the figures; here they get their names and units.

use mackerel_collector::container::{
    self, ContainerState as State, ContainerStats as Stats, Error, HealthStatus, Parts,
};
use mackerel_collector::{
    CollectError, Collector, Graph, Metric, MetricRow, OptionSpec, Options, Report, Scope, Target, Unit,
};

/// What is known of a container: what its chosen graphs need.
struct Figures {
    stats: Option<Stats>,
    state: Option<State>,
}

/// Where a metric's value is found.
enum Source {
    /// In this part of the resource use.
    Stats(Parts, fn(&Stats) -> Option<f64>),
    /// In what the engine knows beside it.
    State(fn(&State) -> Option<f64>),
}
use Source::{State as OfState, Stats as OfStats};

/// A metric, and where its value is found.
type Row = (MetricRow, Source);

/// A graph, as it is shown where the word of its group stands in `--graphs`.
struct GraphRow {
    group: &'static str,
    key: &'static str,
    label: &'static str,
    unit: Unit,
    stacked: bool,
    metrics: &'static [Row],
}

/// The groups that mackerel-plugin-docker shows.
const DEFAULT_GROUPS: &str = "cpu,memory,blkio";

/// The word that stands for all groups.
const ALL: &str = "all";

/// The graph of `--cpu-format percentage`, and that of `usage`. Both are always defined, as by mackerel-plugin-docker.
const CPU_PERCENTAGE: &str = "cpuacct_percentage.#";
const CPU_USAGE: &str = "cpuacct.#";

const GRAPHS: &[GraphRow] = &[
    GraphRow {
        group: "cpu",
        key: CPU_PERCENTAGE,
        label: "CPU Percentage",
        unit: Unit::Percentage,
        stacked: true,
        metrics: &[
            (MetricRow::per_second("user", "User"), OfStats(Parts::CPU, |s| percent(s.cpu.user))),
            (MetricRow::per_second("system", "System"), OfStats(Parts::CPU, |s| percent(s.cpu.system))),
        ],
    },
    GraphRow {
        group: "cpu",
        key: CPU_USAGE,
        label: "CPU",
        unit: Unit::Integer,
        stacked: true,
        metrics: &[
            (MetricRow::per_minute("user", "User"), OfStats(Parts::CPU, |s| count(s.cpu.user))),
            (MetricRow::per_minute("system", "System"), OfStats(Parts::CPU, |s| count(s.cpu.system))),
        ],
    },
    GraphRow {
        group: "memory",
        key: "memory.#",
        label: "Memory",
        unit: Unit::Bytes,
        stacked: true,
        metrics: &[
            (MetricRow::gauge("cache", "Cache"), OfStats(Parts::MEMORY, |s| count(s.memory.cache))),
            (MetricRow::gauge("rss", "RSS"), OfStats(Parts::MEMORY, |s| count(s.memory.rss))),
        ],
    },
    GraphRow {
        group: "blkio",
        key: "blkio.io_queued.#",
        label: "BlkIO Queued",
        unit: Unit::Integer,
        stacked: true,
        metrics: &[
            (MetricRow::gauge("read", "Read"), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.queued.read))),
            (MetricRow::gauge("write", "Write"), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.queued.write))),
            (MetricRow::gauge("sync", "Sync"), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.queued.synchronous))),
            (MetricRow::gauge("async", "Async"), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.queued.asynchronous))),
        ],
    },
    GraphRow {
        group: "blkio",
        key: "blkio.io_serviced.#",
        label: "BlkIO IOPS",
        unit: Unit::Iops,
        stacked: true,
        metrics: &[
            (MetricRow::per_second("read", "Read"), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.serviced.read))),
            (MetricRow::per_second("write", "Write"), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.serviced.write))),
            (
                MetricRow::per_second("sync", "Sync"),
                OfStats(Parts::BLOCK_IO, |s| count(s.block_io.serviced.synchronous)),
            ),
            (
                MetricRow::per_second("async", "Async"),
                OfStats(Parts::BLOCK_IO, |s| count(s.block_io.serviced.asynchronous)),
            ),
        ],
    },
    GraphRow {
        group: "blkio",
        key: "blkio.io_service_bytes.#",
        label: "BlkIO Bytes",
        unit: Unit::Bytes,
        stacked: true,
        metrics: &[
            (MetricRow::per_minute("read", "Read"), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.bytes.read))),
            (MetricRow::per_minute("write", "Write"), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.bytes.write))),
            (MetricRow::per_minute("sync", "Sync"), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.bytes.synchronous))),
            (
                MetricRow::per_minute("async", "Async"),
                OfStats(Parts::BLOCK_IO, |s| count(s.block_io.bytes.asynchronous)),
            ),
        ],
    },
    GraphRow {
        group: "memory-limit",
        key: "memory_limit.#",
        label: "Memory Limit",
        unit: Unit::Bytes,
        stacked: false,
        metrics: &[
            (MetricRow::gauge("used", "Used"), OfStats(Parts::MEMORY, |s| count(s.memory.used))),
            (MetricRow::gauge("limit", "Limit"), OfStats(Parts::MEMORY, |s| count(s.memory.limit))),
        ],
    },
    GraphRow {
        group: "memory-limit",
        key: "memory_percentage.#",
        label: "Memory Percentage",
        unit: Unit::Percentage,
        stacked: false,
        metrics: &[(
            MetricRow::gauge("used", "Used"),
            OfStats(Parts::MEMORY, |s| share(s.memory.used, s.memory.limit)),
        )],
    },
    GraphRow {
        group: "network",
        key: "network.bytes.#",
        label: "Network Bytes",
        unit: Unit::BytesPerSecond,
        stacked: false,
        metrics: &[
            (
                MetricRow::per_second("received", "Received"),
                OfStats(Parts::NETWORK, |s| count(s.network.received.bytes)),
            ),
            (MetricRow::per_second("sent", "Sent"), OfStats(Parts::NETWORK, |s| count(s.network.sent.bytes))),
        ],
    },
    GraphRow {
        group: "network",
        key: "network.packets.#",
        label: "Network Packets",
        unit: Unit::Float,
        stacked: false,
        metrics: &[
            (
                MetricRow::per_second("received", "Received"),
                OfStats(Parts::NETWORK, |s| count(s.network.received.packets)),
            ),
            (MetricRow::per_second("sent", "Sent"), OfStats(Parts::NETWORK, |s| count(s.network.sent.packets))),
        ],
    },
    GraphRow {
        group: "network",
        key: "network.errors.#",
        label: "Network Errors",
        unit: Unit::Integer,
        stacked: false,
        metrics: &[
            (
                MetricRow::per_minute("received", "Received"),
                OfStats(Parts::NETWORK, |s| count(s.network.received.errors)),
            ),
            (MetricRow::per_minute("sent", "Sent"), OfStats(Parts::NETWORK, |s| count(s.network.sent.errors))),
            (
                MetricRow::per_minute("received_dropped", "Received, Dropped"),
                OfStats(Parts::NETWORK, |s| count(s.network.received.dropped)),
            ),
            (
                MetricRow::per_minute("sent_dropped", "Sent, Dropped"),
                OfStats(Parts::NETWORK, |s| count(s.network.sent.dropped)),
            ),
        ],
    },
    GraphRow {
        group: "processes",
        key: "processes.#",
        label: "Processes and Threads",
        unit: Unit::Integer,
        stacked: false,
        metrics: &[
            (MetricRow::gauge("current", "Current"), OfStats(Parts::PROCESSES, |s| count(s.processes.current))),
            (MetricRow::gauge("limit", "Limit"), OfStats(Parts::PROCESSES, |s| count(s.processes.limit))),
        ],
    },
    GraphRow {
        group: "throttling",
        key: "cpu_throttling.periods.#",
        label: "CPU Limit Periods",
        unit: Unit::Integer,
        stacked: false,
        metrics: &[
            (MetricRow::per_minute("all", "All"), OfStats(Parts::THROTTLING, |s| count(s.throttling.periods))),
            (
                MetricRow::per_minute("throttled", "Throttled"),
                OfStats(Parts::THROTTLING, |s| count(s.throttling.throttled_periods)),
            ),
        ],
    },
    GraphRow {
        group: "throttling",
        key: "cpu_throttling.time.#",
        label: "CPU Throttled Time",
        unit: Unit::Percentage,
        stacked: false,
        metrics: &[(
            MetricRow::per_second("throttled", "Throttled"),
            OfStats(Parts::THROTTLING, |s| percent(s.throttling.throttled_time)),
        )],
    },
    GraphRow {
        group: "restarts",
        key: "restarts.#",
        label: "Restarts",
        unit: Unit::Integer,
        stacked: false,
        metrics: &[(MetricRow::gauge("count", "Count"), OfState(|s| count(s.restarts)))],
    },
    GraphRow {
        group: "health",
        key: "health.#",
        label: "Health",
        unit: Unit::Integer,
        stacked: false,
        metrics: &[
            (MetricRow::gauge("healthy", "Healthy"), OfState(healthy)),
            (
                MetricRow::gauge("failing_streak", "Failing Streak"),
                OfState(|s| count(s.health.as_ref()?.failing_streak)),
            ),
        ],
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
            "What is shown: words joined by commas, of cpu, memory, blkio, memory-limit, network, processes, throttling, restarts, \
            health, or all",
        )
        .default(DEFAULT_GROUPS),
    ];

    fn graphs(options: &Options) -> Result<Vec<Graph>, String> {
        Ok(chosen(options.text("graphs"))?.into_iter().map(Graph::from).collect())
    }

    fn collect(_target: &Target, options: &Options) -> Result<Report, CollectError> {
        let mut rows = chosen(options.text("graphs"))?;
        let other_format = if options.text("cpu-format") == "usage" { CPU_PERCENTAGE } else { CPU_USAGE };
        rows.retain(|row| row.key != other_format);
        let (parts, needs_state) = needs(&rows);
        let mut figures = Figures { stats: None, state: None };
        if !parts.is_empty() {
            figures.stats = Some(container::stats(parts).map_err(CollectError::Container)?);
        }
        if needs_state {
            match container::state() {
                Ok(state) => figures.state = Some(state),
                // Restarts and health are no reason to leave out the rest.
                Err(Error::Unavailable(why)) if figures.stats.is_some() => {
                    eprintln!("restarts and health are left out: {why}");
                }
                Err(error) => return Err(CollectError::Container(error)),
            }
        }
        Ok(report(&rows, &figures))
    }
}

mackerel_collector::export!(Docker);

impl From<&GraphRow> for Graph {
    fn from(row: &GraphRow) -> Graph {
        let metric = |(metric, _): &Row| Metric { stacked: row.stacked, ..Metric::from(metric) };
        Graph {
            key: row.key.to_owned(),
            label: row.label.to_owned(),
            unit: row.unit,
            metrics: row.metrics.iter().map(metric).collect(),
        }
    }
}

/// The parts of the resource use that `rows` show, and whether they show anything beside it.
fn needs(rows: &[&GraphRow]) -> (Parts, bool) {
    rows.iter().flat_map(|row| row.metrics).fold((Parts::empty(), false), |(parts, state), (_, from)| match from {
        OfStats(part, _) => (parts | *part, state),
        OfState(_) => (parts, true),
    })
}

/// The values of `rows`. What is not known is left out.
fn report(rows: &[&GraphRow], figures: &Figures) -> Report {
    let mut report = Report::new();
    for (graph, (metric, from)) in rows.iter().flat_map(|row| row.metrics.iter().map(|metric| (row.key, metric))) {
        let value = match from {
            OfStats(_, find) => figures.stats.as_ref().and_then(find),
            OfState(find) => figures.state.as_ref().and_then(find),
        };
        report.push(graph, metric.name, value);
    }
    report.time = figures.stats.as_ref().map(|stats| stats.time);
    report
}

/// The graphs that the words of `--graphs` choose, in the order of [`GRAPHS`].
fn chosen(words: &str) -> Result<Vec<&'static GraphRow>, String> {
    let words: Vec<&str> = words.split(',').map(str::trim).collect();
    let known = groups();
    if let Some(word) = words.iter().find(|word| **word != ALL && !known.contains(word)) {
        return Err(format!("--graphs has '{word}', which is none of {} and {ALL}", known.join(", ")));
    }
    Ok(GRAPHS.iter().filter(|row| words.contains(&ALL) || words.contains(&row.group)).collect())
}

/// The words that `--graphs` takes, in the order of [`GRAPHS`].
fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&str> = GRAPHS.iter().map(|row| row.group).collect();
    groups.dedup();
    groups
}

/// A count as it is. Beyond 2^53, which is 104 days of CPU time, the last digits are rounded.
#[allow(clippy::cast_precision_loss)]
fn count(number: Option<u64>) -> Option<f64> {
    number.map(|number| number as f64)
}

/// A time in nanoseconds so that its growth per second is per cent: of one core, or of the time that passed.
fn percent(nanoseconds: Option<u64>) -> Option<f64> {
    count(nanoseconds).map(|nanoseconds| nanoseconds / 1e7)
}

/// A part in per cent of the whole.
fn share(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    let (part, whole) = count(part).zip(count(whole))?;
    (whole > 0.0).then_some(part / whole * 100.0)
}

/// 1 or 0; nothing while the check has yet to succeed for the first time.
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
    fn the_words_of_graphs_choose_and_an_unknown_one_is_named() {
        let keys = |words| chosen(words).map(|rows| rows.iter().map(|row| row.key).collect::<Vec<_>>());
        assert_eq!(keys("memory, processes").unwrap(), ["memory.#", "processes.#"]);
        assert_eq!(keys("processes,memory,memory").unwrap(), ["memory.#", "processes.#"]);
        assert_eq!(keys("all").unwrap().len(), GRAPHS.len());
        for (words, word) in [("", ""), ("cpu,", ""), ("cpu,ram", "ram"), ("CPU", "CPU")] {
            let expected = format!(
                "--graphs has '{word}', which is none of cpu, memory, blkio, memory-limit, network, processes, throttling, restarts, health and all"
            );
            assert_eq!(keys(words).unwrap_err(), expected);
        }
    }

    #[test]
    fn help_names_all_words_of_graphs() {
        let help = mackerel_collector::describe::<Docker>("").options[1].help.clone();
        assert!(help.ends_with(&format!(" of {}, or {ALL}", groups().join(", "))), "{help}");
    }

    #[test]
    fn a_share_of_nothing_is_unknown() {
        assert_eq!(share(Some(64), Some(256)), Some(25.0));
        assert_eq!(share(Some(64), Some(0)), None);
        assert_eq!(share(None, Some(256)), None);
        assert_eq!(share(Some(64), None), None);
    }
}
