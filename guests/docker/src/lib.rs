//! Collector: the resource use of containers, under the names of mackerel-plugin-docker, and further graphs on request.
//!
//! The host reads the figures; here they get their names and units.

mod bindings {
    //! The contract, as `wit/` has it.
    #![allow(missing_docs, unsafe_code, clippy::pedantic)]
    #[cfg(target_arch = "wasm32")]
    use super::Docker;
    wit_bindgen::generate!({ path: "../../wit", world: "plugin" });
    // Its symbols are no names for a native linker; natively only the unit tests are built.
    #[cfg(target_arch = "wasm32")]
    export!(Docker);
}

use bindings::exports::mackerel::collector::metrics::Guest;
use bindings::mackerel::collector::container::{
    self, ContainerState as State, ContainerStats as Stats, Error, HealthStatus, Parts,
};
use bindings::mackerel::collector::types::{
    CollectError, Description, Graph, Metric, MetricKind, OptionKind, OptionSpec, OptionValue, Period, Report, Sample,
    Scope, Target, Unit,
};

use MetricKind::{Counter, Gauge};
use Period::{Minute, Second};

/// What is known of a container: what its chosen graphs need.
struct Figures {
    stats: Option<Stats>,
    state: Option<State>,
}

/// Where a metric's value is found.
enum From {
    /// In this part of the resource use.
    Stats(Parts, fn(&Stats) -> Option<f64>),
    /// In what the engine knows beside it.
    State(fn(&State) -> Option<f64>),
}
use From::{State as OfState, Stats as OfStats};

/// Of a metric the name, the label, the kind, and where its value is found.
type MetricRow = (&'static str, &'static str, MetricKind, From);

/// A graph, as it is shown where the word of its group stands in `--graphs`.
struct GraphRow {
    group: &'static str,
    key: &'static str,
    label: &'static str,
    unit: Unit,
    stacked: bool,
    metrics: &'static [MetricRow],
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
            ("user", "User", Counter(Second), OfStats(Parts::CPU, |s| percent(s.cpu.user))),
            ("system", "System", Counter(Second), OfStats(Parts::CPU, |s| percent(s.cpu.system))),
        ],
    },
    GraphRow {
        group: "cpu",
        key: CPU_USAGE,
        label: "CPU",
        unit: Unit::Integer,
        stacked: true,
        metrics: &[
            ("user", "User", Counter(Minute), OfStats(Parts::CPU, |s| count(s.cpu.user))),
            ("system", "System", Counter(Minute), OfStats(Parts::CPU, |s| count(s.cpu.system))),
        ],
    },
    GraphRow {
        group: "memory",
        key: "memory.#",
        label: "Memory",
        unit: Unit::Bytes,
        stacked: true,
        metrics: &[
            ("cache", "Cache", Gauge, OfStats(Parts::MEMORY, |s| count(s.memory.cache))),
            ("rss", "RSS", Gauge, OfStats(Parts::MEMORY, |s| count(s.memory.rss))),
        ],
    },
    GraphRow {
        group: "blkio",
        key: "blkio.io_queued.#",
        label: "BlkIO Queued",
        unit: Unit::Integer,
        stacked: true,
        metrics: &[
            ("read", "Read", Gauge, OfStats(Parts::BLOCK_IO, |s| count(s.block_io.queued.read))),
            ("write", "Write", Gauge, OfStats(Parts::BLOCK_IO, |s| count(s.block_io.queued.write))),
            ("sync", "Sync", Gauge, OfStats(Parts::BLOCK_IO, |s| count(s.block_io.queued.synchronous))),
            ("async", "Async", Gauge, OfStats(Parts::BLOCK_IO, |s| count(s.block_io.queued.asynchronous))),
        ],
    },
    GraphRow {
        group: "blkio",
        key: "blkio.io_serviced.#",
        label: "BlkIO IOPS",
        unit: Unit::Iops,
        stacked: true,
        metrics: &[
            ("read", "Read", Counter(Second), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.serviced.read))),
            ("write", "Write", Counter(Second), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.serviced.write))),
            ("sync", "Sync", Counter(Second), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.serviced.synchronous))),
            ("async", "Async", Counter(Second), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.serviced.asynchronous))),
        ],
    },
    GraphRow {
        group: "blkio",
        key: "blkio.io_service_bytes.#",
        label: "BlkIO Bytes",
        unit: Unit::Bytes,
        stacked: true,
        metrics: &[
            ("read", "Read", Counter(Minute), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.bytes.read))),
            ("write", "Write", Counter(Minute), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.bytes.write))),
            ("sync", "Sync", Counter(Minute), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.bytes.synchronous))),
            ("async", "Async", Counter(Minute), OfStats(Parts::BLOCK_IO, |s| count(s.block_io.bytes.asynchronous))),
        ],
    },
    GraphRow {
        group: "memory-limit",
        key: "memory_limit.#",
        label: "Memory Limit",
        unit: Unit::Bytes,
        stacked: false,
        metrics: &[
            ("used", "Used", Gauge, OfStats(Parts::MEMORY, |s| count(s.memory.used))),
            ("limit", "Limit", Gauge, OfStats(Parts::MEMORY, |s| count(s.memory.limit))),
        ],
    },
    GraphRow {
        group: "memory-limit",
        key: "memory_percentage.#",
        label: "Memory Percentage",
        unit: Unit::Percentage,
        stacked: false,
        metrics: &[("used", "Used", Gauge, OfStats(Parts::MEMORY, |s| share(s.memory.used, s.memory.limit)))],
    },
    GraphRow {
        group: "network",
        key: "network.bytes.#",
        label: "Network Bytes",
        unit: Unit::BytesPerSecond,
        stacked: false,
        metrics: &[
            ("received", "Received", Counter(Second), OfStats(Parts::NETWORK, |s| count(s.network.received.bytes))),
            ("sent", "Sent", Counter(Second), OfStats(Parts::NETWORK, |s| count(s.network.sent.bytes))),
        ],
    },
    GraphRow {
        group: "network",
        key: "network.packets.#",
        label: "Network Packets",
        unit: Unit::Float,
        stacked: false,
        metrics: &[
            ("received", "Received", Counter(Second), OfStats(Parts::NETWORK, |s| count(s.network.received.packets))),
            ("sent", "Sent", Counter(Second), OfStats(Parts::NETWORK, |s| count(s.network.sent.packets))),
        ],
    },
    GraphRow {
        group: "network",
        key: "network.errors.#",
        label: "Network Errors",
        unit: Unit::Integer,
        stacked: false,
        metrics: &[
            ("received", "Received", Counter(Minute), OfStats(Parts::NETWORK, |s| count(s.network.received.errors))),
            ("sent", "Sent", Counter(Minute), OfStats(Parts::NETWORK, |s| count(s.network.sent.errors))),
            (
                "received_dropped",
                "Received, Dropped",
                Counter(Minute),
                OfStats(Parts::NETWORK, |s| count(s.network.received.dropped)),
            ),
            (
                "sent_dropped",
                "Sent, Dropped",
                Counter(Minute),
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
            ("current", "Current", Gauge, OfStats(Parts::PROCESSES, |s| count(s.processes.current))),
            ("limit", "Limit", Gauge, OfStats(Parts::PROCESSES, |s| count(s.processes.limit))),
        ],
    },
    GraphRow {
        group: "throttling",
        key: "cpu_throttling.periods.#",
        label: "CPU Limit Periods",
        unit: Unit::Integer,
        stacked: false,
        metrics: &[
            ("all", "All", Counter(Minute), OfStats(Parts::THROTTLING, |s| count(s.throttling.periods))),
            (
                "throttled",
                "Throttled",
                Counter(Minute),
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
            "throttled",
            "Throttled",
            Counter(Second),
            OfStats(Parts::THROTTLING, |s| percent(s.throttling.throttled_time)),
        )],
    },
    GraphRow {
        group: "restarts",
        key: "restarts.#",
        label: "Restarts",
        unit: Unit::Integer,
        stacked: false,
        metrics: &[("count", "Count", Gauge, OfState(|s| count(s.restarts)))],
    },
    GraphRow {
        group: "health",
        key: "health.#",
        label: "Health",
        unit: Unit::Integer,
        stacked: false,
        metrics: &[
            ("healthy", "Healthy", Gauge, OfState(healthy)),
            ("failing_streak", "Failing Streak", Gauge, OfState(|s| count(s.health.as_ref()?.failing_streak))),
        ],
    },
];

/// The collector.
pub struct Docker;

impl Guest for Docker {
    fn describe() -> Description {
        let option = |name: &str, help: &str, kind, default: &str| OptionSpec {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
            default: Some(default.to_owned()),
        };
        let formats = OptionKind::Choice(vec!["percentage".to_owned(), "usage".to_owned()]);
        let graphs = format!("What is shown: words joined by commas, of {}, or {ALL}", groups().join(", "));
        Description {
            name: "docker".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "CPU, memory, block I/O and more of each container".to_owned(),
            scope: Scope::Container,
            options: vec![
                option(
                    "cpu-format",
                    "CPU in per cent of one core, or in nanoseconds per minute",
                    formats,
                    "percentage",
                ),
                option("graphs", &graphs, OptionKind::Text, DEFAULT_GROUPS),
            ],
        }
    }

    fn graphs(options: Vec<OptionValue>) -> Result<Vec<Graph>, String> {
        let graph = |row: &GraphRow| {
            let metric = |(name, label, kind, _): &MetricRow| Metric {
                name: (*name).to_owned(),
                label: (*label).to_owned(),
                stacked: row.stacked,
                kind: *kind,
            };
            Graph {
                key: row.key.to_owned(),
                label: row.label.to_owned(),
                unit: row.unit,
                metrics: row.metrics.iter().map(metric).collect(),
            }
        };
        Ok(chosen(value(&options, "graphs"))?.into_iter().map(graph).collect())
    }

    fn collect(_target: Target, options: Vec<OptionValue>) -> Result<Report, CollectError> {
        let mut rows = chosen(value(&options, "graphs")).map_err(CollectError::Other)?;
        let other_format = if value(&options, "cpu-format") == "usage" { CPU_PERCENTAGE } else { CPU_USAGE };
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

/// The parts of the resource use that `rows` show, and whether they show anything beside it.
fn needs(rows: &[&GraphRow]) -> (Parts, bool) {
    rows.iter().flat_map(|row| row.metrics).fold((Parts::empty(), false), |(parts, state), (.., from)| match from {
        OfStats(part, _) => (parts | *part, state),
        OfState(_) => (parts, true),
    })
}

/// The values of `rows`. What is not known is left out.
fn report(rows: &[&GraphRow], figures: &Figures) -> Report {
    let value = |from: &From| match from {
        OfStats(_, find) => figures.stats.as_ref().and_then(find),
        OfState(find) => figures.state.as_ref().and_then(find),
    };
    let sample = |row: &GraphRow, (metric, _, _, from): &MetricRow| {
        Some(Sample { graph: row.key.to_owned(), metric: (*metric).to_owned(), value: value(from)? })
    };
    let samples = rows.iter().flat_map(|row| row.metrics.iter().filter_map(|metric| sample(row, metric)));
    Report { samples: samples.collect(), time: figures.stats.as_ref().map(|stats| stats.time) }
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

/// The value of an option: all have defaults.
fn value<'a>(options: &'a [OptionValue], name: &str) -> &'a str {
    options.iter().find(|option| option.name == name).map_or("", |option| &option.value)
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
    fn a_share_of_nothing_is_unknown() {
        assert_eq!(share(Some(64), Some(256)), Some(25.0));
        assert_eq!(share(Some(64), Some(0)), None);
        assert_eq!(share(None, Some(256)), None);
        assert_eq!(share(Some(64), None), None);
    }
}
