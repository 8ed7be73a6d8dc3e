//! A parser of `INFO` and `CLUSTER INFO`, which have one field and its value per line.

use std::collections::HashMap;

use mackerel_collector::{CollectError, Report};

use crate::graphs::GRAPHS;

/// The values of all fields, by name.
struct Fields<'a>(HashMap<&'a str, &'a str>);

/// Parses the replies to `INFO` and to `CLUSTER INFO`, which is empty without a cluster. Fields that this version of
/// Redis lacks are omitted.
///
/// # Errors
/// If the text is not that of `INFO`, or if a field is not a number: then no field can be trusted.
pub fn read(info: &str, cluster: &str) -> Result<Report, CollectError> {
    let lines = info.lines().chain(cluster.lines()).filter_map(|line| line.split_once(':'));
    let fields = Fields(lines.map(|(name, value)| (name, value.trim_ascii_end())).collect());
    if !fields.0.contains_key("uptime_in_seconds") {
        return Err(CollectError::unexpected("INFO without uptime_in_seconds"));
    }
    let mut report = Report::of_table(GRAPHS, |metric| match metric.name {
        "keys" => sum_of_databases(info, &fields, "keys"),
        "expires" => sum_of_databases(info, &fields, "expires"),
        "expired" => fields.number("expired_keys"),
        "percentage_of_memory" => fields.share("used_memory", "maxmemory"),
        "percentage_of_clients" => fields.share("connected_clients", "maxclients"),
        "cluster_state" => Ok(fields.0.get("cluster_state").map(|state| f64::from(u8::from(*state == "ok")))),
        // Replicas are reported below.
        "*" => Ok(None),
        name => fields.number(name),
    })?;
    replicas(&fields, &mut report)?;
    Ok(report)
}

impl Fields<'_> {
    /// Returns the number in a field, or `None` if there is no such field.
    fn number(&self, name: &str) -> Result<Option<f64>, CollectError> {
        self.0.get(name).map(|value| number(name, value)).transpose()
    }

    /// Returns a field in per cent of its limit. `None` if either is missing or the limit is 0, which means unlimited.
    fn share(&self, part: &str, whole: &str) -> Result<Option<f64>, CollectError> {
        let (part, whole) = (self.number(part)?, self.number(whole)?);
        Ok(part.zip(whole.filter(|whole| *whole > 0.0)).map(|(part, whole)| part / whole * 100.0))
    }

    /// Returns the fields whose name is this word and a number, such as `db0`.
    fn numbered<'a>(&'a self, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let is_numbered = move |name: &str| {
            name.strip_prefix(word).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
        };
        self.0.iter().filter(move |(name, _)| is_numbered(name)).map(|(name, value)| (*name, *value))
    }
}

/// Sums `keys` or `expires` over all databases. Redis omits empty databases, so a section without lines means 0, and no
/// section means `None`.
fn sum_of_databases(info: &str, fields: &Fields, what: &str) -> Result<Option<f64>, CollectError> {
    if !info.lines().any(|line| line.trim_ascii_end() == "# Keyspace") {
        return Ok(None);
    }
    let mut sum = 0.0;
    for (name, value) in fields.numbered("db") {
        sum += part(name, value, what)?.unwrap_or_default();
    }
    Ok(Some(sum))
}

/// Reports the lag and the offset delay of each replica.
fn replicas(fields: &Fields, report: &mut Report) -> Result<(), CollectError> {
    let offset = fields.number("master_repl_offset")?;
    for (name, value) in fields.numbered("slave") {
        report.push("#.lag", format!("{name}_lag"), part(name, value, "lag")?);
        let delay = offset.zip(part(name, value, "offset")?).map(|(ours, theirs)| ours - theirs);
        report.push("#.offset_delay", format!("{name}_offset_delay"), delay);
    }
    Ok(())
}

/// Returns one number of a value such as `keys=1,expires=0,avg_ttl=0`.
fn part(name: &str, value: &str, what: &str) -> Result<Option<f64>, CollectError> {
    let text = value.split(',').find_map(|pair| pair.strip_prefix(what)?.strip_prefix('='));
    text.map(|text| number(&format!("{what} of {name}"), text)).transpose()
}

/// Parses the finite number in the field `name`.
fn number(name: &str, text: &str) -> Result<f64, CollectError> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| CollectError::unexpected(format!("{name} is '{text}', not a number")))
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
        let report = read(info, cluster).unwrap();
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
    fn another_text_is_an_error_that_says_what_is_wrong() {
        for (info, error) in [
            ("", "INFO without uptime_in_seconds"),
            ("PONG", "INFO without uptime_in_seconds"),
            ("uptime_in_seconds:\r\n", "uptime_in_seconds is '', not a number"),
            ("uptime_in_seconds:1\nused_memory:1M", "used_memory is '1M', not a number"),
            ("uptime_in_seconds:NaN", "uptime_in_seconds is 'NaN', not a number"),
            ("uptime_in_seconds:1\n# Keyspace\ndb0:keys=x", "keys of db0 is 'x', not a number"),
            ("uptime_in_seconds:1\nslave7:lag=inf", "lag of slave7 is 'inf', not a number"),
        ] {
            assert_eq!(read(info, ""), Err(CollectError::unexpected(error)), "{info}");
        }
    }
}
