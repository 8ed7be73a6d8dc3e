//! A parser of `INFO` and `CLUSTER INFO`, which have one field and its value per line.

use std::collections::HashMap;

use mackerel_collector::{CollectError, Report};

use crate::graphs::GRAPHS;

/// The values of all fields, by name.
struct Fields<'a>(HashMap<&'a str, &'a str>);

/// Fields that name servers that are compatible with Redis. They report a section of keys even if they do not count
/// keys.
const OTHER_SERVERS: [&str; 3] = ["garnet_version", "kvrocks_version", "pika_version"];

/// Fields that Garnet reports as 0 unless it monitors them.
const MONITORED: [&str; 4] =
    ["connected_clients", "rejected_connections", "total_commands_processed", "total_connections_received"];

/// The source of the server's limits of memory and clients.
#[derive(Debug, Clone, Copy)]
pub enum Limits {
    /// `INFO`. A percentage without a limit is omitted.
    Reported,
    /// The configuration, and `INFO` if it has none. The percentage of memory without a limit is 0.
    Configured {
        /// `maxmemory`, in bytes; 0 means no limit.
        memory: Option<f64>,
        /// `maxclients`.
        clients: Option<f64>,
    },
}

/// Parses the replies to `INFO` and to `CLUSTER INFO`, which is empty without a cluster. Fields that the server lacks,
/// or whose value is not a number, are omitted.
///
/// # Errors
/// If there is no known field with a number.
pub fn read(info: &str, cluster: &str, limits: Limits) -> Result<Report, CollectError> {
    let lines = info.lines().chain(cluster.lines()).filter_map(|line| line.split_once(':'));
    let mut fields = Fields(lines.map(|(name, value)| (name, value.trim_ascii())).collect());
    if fields.0.get("monitor_task") == Some(&"disabled") {
        fields.0.retain(|name, _| !MONITORED.contains(name));
    }
    let (is_configured, max_memory, max_clients) = match limits {
        Limits::Reported => (false, None, None),
        Limits::Configured { memory, clients } => (true, memory, clients),
    };
    let mut report = Report::of_table(GRAPHS, |metric| {
        Ok(match metric.name {
            "keys" => sum_of_databases(info, &fields, "keys"),
            "expires" => sum_of_databases(info, &fields, "expires"),
            "expired" => fields.number("expired_keys"),
            "percentage_of_memory" => {
                let limit = max_memory.or_else(|| fields.number("maxmemory"));
                let unlimited = (is_configured && limit == Some(0.0)).then_some(0.0);
                share(fields.number("used_memory"), limit).or(unlimited)
            }
            "percentage_of_clients" => {
                // Dragonfly's name has an underscore.
                let reported = || fields.number("maxclients").or_else(|| fields.number("max_clients"));
                share(fields.number("connected_clients"), max_clients.or_else(reported))
            }
            "cluster_state" => fields.0.get("cluster_state").map(|state| f64::from(u8::from(*state == "ok"))),
            // Replicas are reported below.
            "*" => None,
            name => fields.number(name),
        })
    })?;
    replicas(&fields, &mut report);
    if report.samples.is_empty() {
        return Err(CollectError::unexpected("a reply to INFO without any known field"));
    }
    Ok(report)
}

impl Fields<'_> {
    /// Returns the number in a field.
    fn number(&self, name: &str) -> Option<f64> {
        number(self.0.get(name)?)
    }

    /// Returns the fields whose name is this word and a number, such as `db0`.
    fn numbered<'a>(&'a self, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let is_numbered = move |name: &str| {
            name.strip_prefix(word).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
        };
        self.0.iter().filter(move |(name, _)| is_numbered(name)).map(|(name, value)| (*name, *value))
    }
}

/// Returns a part in per cent of the whole. `None` if the whole is 0, which means unlimited.
fn share(part: Option<f64>, whole: Option<f64>) -> Option<f64> {
    Some(part? / whole.filter(|whole| *whole > 0.0)? * 100.0)
}

/// Sums `keys` or `expires` over all databases. Redis omits empty databases, so its section without lines means 0.
/// `None` if the server does not know the number.
fn sum_of_databases(info: &str, fields: &Fields, what: &str) -> Option<f64> {
    if was_never_scanned(info, fields) {
        return None;
    }
    let numbers: Vec<f64> = fields.numbered("db").filter_map(|(_, value)| part(value, what)).collect();
    if !numbers.is_empty() {
        return Some(numbers.into_iter().sum());
    }
    let is_redis = !OTHER_SERVERS.iter().any(|name| fields.0.contains_key(name));
    let mut lines = info.lines().map(str::trim_ascii).skip_while(|line| *line != "# Keyspace");
    let has_section = lines.next().is_some();
    let is_empty = lines.next().is_none_or(|line| line.is_empty() || line.starts_with('#'));
    (is_redis && has_section && is_empty).then_some(0.0)
}

/// Returns true for Kvrocks before its first `DBSIZE SCAN`, until which it reports 0 keys. Its versions differ.
fn was_never_scanned(info: &str, fields: &Fields) -> bool {
    let says_so = |line: &str| {
        line.starts_with("# WARN: DBSIZE SCAN never") || line.starts_with("# Last ") && line.contains(" 1970")
    };
    fields.0.get("last_dbsize_scan_timestamp") == Some(&"0") || info.lines().any(says_so)
}

/// Reports the lag and the offset delay of each replica.
fn replicas(fields: &Fields, report: &mut Report) {
    let offset = fields.number("master_repl_offset");
    for (name, value) in fields.numbered("slave") {
        report.push("#.lag", format!("{name}_lag"), part(value, "lag"));
        let delay = offset.zip(part(value, "offset")).map(|(ours, theirs)| ours - theirs);
        report.push("#.offset_delay", format!("{name}_offset_delay"), delay);
    }
}

/// Returns one number of a value such as `keys=1,expires=0,avg_ttl=0`.
fn part(value: &str, what: &str) -> Option<f64> {
    number(value.split(',').find_map(|pair| pair.strip_prefix(what)?.strip_prefix('='))?)
}

/// Parses a number. None of the fields can be negative: that means that the server does not know it.
pub(crate) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An excerpt of the reply of Redis 7.0.
    const INFO: &str = "# Server\r
redis_version:7.0.15\r
uptime_in_seconds:91\r
\r
# Clients\r
connected_clients:25\r
maxclients:10000\r
blocked_clients:0\r
\r
# Memory\r
used_memory:1048576\r
used_memory_human:1.00M\r
maxmemory:4194304\r
maxmemory_policy:noeviction\r
\r
# Stats\r
total_commands_processed:12345\r
expired_keys:17\r
\r
# Replication\r
role:master\r
connected_slaves:2\r
slave0:ip=172.17.0.3,port=6379,state=online,offset=940,lag=1\r
slave1:ip=172.17.0.4,port=6379,state=wait_bgsave,offset=0\r
master_repl_offset:1000\r
slave_read_only:1\r
\r
# Keyspace\r
db0:keys=10,expires=3,avg_ttl=5000\r
db12:keys=5,expires=0,avg_ttl=0,subexpiry=0\r
";

    fn samples(info: &str, cluster: &str) -> Vec<String> {
        samples_with(info, cluster, Limits::Reported)
    }

    fn samples_with(info: &str, cluster: &str, limits: Limits) -> Vec<String> {
        let report = read(info, cluster, limits).unwrap();
        let mut samples: Vec<_> = report
            .samples
            .iter()
            .map(|sample| format!("{}.{} {}", sample.graph, sample.metric, sample.value))
            .collect();
        samples.sort();
        samples
    }

    #[test]
    fn known_fields_become_samples_and_missing_fields_are_omitted() {
        let expected = [
            "#.capacity.percentage_of_clients 0.25",
            "#.capacity.percentage_of_memory 25",
            "#.clients.blocked_clients 0",
            "#.clients.connected_clients 25",
            "#.clients.connected_slaves 2",
            "#.keys.expired 17",
            "#.keys.expires 3",
            "#.keys.keys 15",
            "#.lag.slave0_lag 1",
            "#.memory.used_memory 1048576",
            "#.offset_delay.slave0_offset_delay 60",
            "#.offset_delay.slave1_offset_delay 1000",
            "#.queries.total_commands_processed 12345",
            "#.uptime.uptime_in_seconds 91",
        ];
        assert_eq!(samples(INFO, ""), expected);
    }

    #[test]
    fn an_empty_keyspace_is_zero_and_a_limit_of_zero_omits_the_share() {
        let expected = ["#.keys.expires 0", "#.keys.keys 0", "#.memory.used_memory 5", "#.uptime.uptime_in_seconds 1"];
        assert_eq!(samples("uptime_in_seconds:1\nused_memory:5\nmaxmemory:0\n# Keyspace\n", ""), expected);
        assert_eq!(samples("uptime_in_seconds:1", ""), ["#.uptime.uptime_in_seconds 1"]);
    }

    #[test]
    fn limits_of_the_configuration_come_first_and_no_limit_of_memory_is_zero() {
        let of = |info: &str, memory, clients| samples_with(info, "", Limits::Configured { memory, clients });
        let info = "used_memory:5\nmaxmemory:50\nconnected_clients:1\nmaxclients:10\n";
        let capacity = |samples: Vec<String>| -> Vec<String> {
            samples.into_iter().filter_map(|sample| Some(sample.strip_prefix("#.capacity.")?.to_owned())).collect()
        };
        let both = |clients: &str, memory: &str| {
            [format!("percentage_of_clients {clients}"), format!("percentage_of_memory {memory}")]
        };
        assert_eq!(capacity(of(info, Some(20.0), Some(4.0))), both("25", "25"));
        assert_eq!(capacity(of(info, Some(0.0), Some(4.0))), both("25", "0"));
        assert_eq!(capacity(of(info, None, None)), both("10", "10"));
        assert_eq!(capacity(of("used_memory:5\nmaxmemory:0", None, None)), ["percentage_of_memory 0"]);
        assert_eq!(capacity(of("used_memory:5", None, None)), [""; 0]);
    }

    #[test]
    fn the_state_of_a_cluster_is_1_or_0() {
        let of = |state: &str| samples("uptime_in_seconds:1", &format!("cluster_state:{state}\r\ncluster_size:3\r\n"));
        let expected = |state| {
            [
                "#.cluster.cluster_size 3".to_owned(),
                format!("#.cluster_state.cluster_state {state}"),
                "#.uptime.uptime_in_seconds 1".to_owned(),
            ]
        };
        assert_eq!(of("ok"), expected(1));
        assert_eq!(of("fail"), expected(0));
    }

    #[test]
    fn a_field_that_is_not_a_number_costs_only_itself() {
        let info = "uptime_in_seconds:1\nmaster_repl_offset:N/A\nused_memory:1M\nrejected_connections:-1\n\
                    slave0:ip=a,state=online,offset=5,lag=(db0:0)\nblocked_clients:\nevicted_keys:NaN\n\
                    keyspace_hits:inf\nkeyspace_misses:2\n# Keyspace\ndb0:keys=x,expires=3\ndb1:keys=4,expires=1\n";
        let expected =
            ["#.keys.expires 4", "#.keys.keys 4", "#.keyspace.keyspace_misses 2", "#.uptime.uptime_in_seconds 1"];
        assert_eq!(samples(info, ""), expected);
    }

    #[test]
    fn keys_are_omitted_where_their_number_is_unknown() {
        let keys = |info: &str| -> Vec<String> {
            let all = samples(&format!("uptime_in_seconds:1\n{info}"), "");
            all.into_iter().filter(|sample| sample.starts_with("#.keys.")).collect()
        };
        let unknown: [&str; 7] = [
            "",
            "garnet_version:1.0.0\n# Keyspace\n",
            "kvrocks_version:2.17.0\n# Keyspace\nlast_dbsize_scan_timestamp:0\ndb0:keys=0,expires=0\nsequence:0\n",
            "kvrocks_version:2.0.5\n# Keyspace\n# Last scan db time: Thu Jan  1 00:00:00 1970\ndb0:keys=0,expires=0\n",
            "kvrocks_version:2.9.0\n# Keyspace\n# WARN: DBSIZE SCAN never performed yet\ndb0:keys=0,expires=0\n",
            "pika_version:3.4.0\n# Keyspace\n# Time:1970-01-01 08:00:00\ndb0 Strings_keys=0, expires=0, invalid_keys=0\n",
            "# Keyspace\nanother form\n",
        ];
        for info in unknown {
            assert_eq!(keys(info), [""; 0], "{info}");
        }
        let known = "kvrocks_version:2.17.0\n# Keyspace\nlast_dbsize_scan_timestamp:1791035032\ndb0:keys=7,expires=2\n";
        assert_eq!(keys(known), ["#.keys.expires 2", "#.keys.keys 7"]);
        assert_eq!(keys("db0:keys=7,expires=2"), ["#.keys.expires 2", "#.keys.keys 7"], "Redis 2.4 has no sections");
    }

    #[test]
    fn figures_that_garnet_does_not_monitor_are_omitted() {
        let info = |monitor| {
            format!(
                "uptime_in_seconds:1\nmonitor_task:{monitor}\nconnected_clients:0\nconnected_slaves:0\n\
                 total_commands_processed:0\n"
            )
        };
        assert_eq!(samples(&info("disabled"), ""), ["#.clients.connected_slaves 0", "#.uptime.uptime_in_seconds 1"]);
        assert_eq!(samples(&info("enabled"), "").len(), 4);
    }

    #[test]
    fn another_text_is_an_error() {
        for info in ["", "PONG", "uptime_in_seconds:\r\n", "uptime_in_seconds:NaN", "used_memory:1M"] {
            let error = CollectError::unexpected("a reply to INFO without any known field");
            assert_eq!(read(info, "", Limits::Reported), Err(error), "{info}");
        }
    }
}
