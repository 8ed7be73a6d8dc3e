//! The graphs of mackerel-plugin-redis. A metric has the name of its field, unless [`crate::read`] computes it.

use mackerel_collector::{GraphRow, MetricRow, Unit};

pub(crate) const GRAPHS: &[GraphRow] = &[
    GraphRow::new(
        "#.queries",
        "Queries",
        Unit::Integer,
        &[MetricRow::per_minute("total_commands_processed", "Queries")],
    ),
    GraphRow::new(
        "#.connections",
        "Connections",
        Unit::Integer,
        &[
            MetricRow::per_minute("total_connections_received", "Connections").stacked(),
            MetricRow::per_minute("rejected_connections", "Rejected Connections").stacked(),
        ],
    ),
    GraphRow::new(
        "#.clients",
        "Clients",
        Unit::Integer,
        &[
            MetricRow::gauge("connected_clients", "Connected Clients").stacked(),
            MetricRow::gauge("blocked_clients", "Blocked Clients").stacked(),
            MetricRow::gauge("connected_slaves", "Connected Slaves").stacked(),
        ],
    ),
    GraphRow::new(
        "#.keys",
        "Keys",
        Unit::Integer,
        &[
            MetricRow::gauge("keys", "Keys"),
            MetricRow::gauge("expires", "Keys with expiration"),
            MetricRow::per_minute("expired", "Expired Keys"),
            MetricRow::per_minute("evicted_keys", "Evicted Keys"),
        ],
    ),
    GraphRow::new(
        "#.keyspace",
        "Keyspace",
        Unit::Integer,
        &[
            MetricRow::per_minute("keyspace_hits", "Keyspace Hits"),
            MetricRow::per_minute("keyspace_misses", "Keyspace Missed"),
        ],
    ),
    GraphRow::new(
        "#.memory",
        "Memory",
        Unit::Integer,
        &[
            MetricRow::gauge("used_memory", "Used Memory"),
            MetricRow::gauge("used_memory_rss", "Used Memory RSS"),
            MetricRow::gauge("used_memory_peak", "Used Memory Peak"),
            MetricRow::gauge("used_memory_lua", "Used Memory Lua engine"),
        ],
    ),
    GraphRow::new(
        "#.capacity",
        "Capacity",
        Unit::Percentage,
        &[
            MetricRow::gauge("percentage_of_memory", "Percentage of memory"),
            MetricRow::gauge("percentage_of_clients", "Percentage of clients"),
        ],
    ),
    GraphRow::new("#.uptime", "Uptime", Unit::Integer, &[MetricRow::gauge("uptime_in_seconds", "Uptime In Seconds")]),
    // One metric per replica, such as slave0_lag.
    GraphRow::new("#.lag", "Slave Lag", Unit::Seconds, &[MetricRow::gauge("*", "%2")]),
    GraphRow::new("#.offset_delay", "Slave Offset Delay", Unit::Integer, &[MetricRow::gauge("*", "%2")]),
    GraphRow::new(
        "#.cluster",
        "Cluster",
        Unit::Integer,
        &[MetricRow::gauge("cluster_known_nodes", "Known Nodes"), MetricRow::gauge("cluster_size", "Size")],
    ),
    GraphRow::new(
        "#.cluster_state",
        "Cluster State",
        Unit::Integer,
        &[MetricRow::gauge("cluster_state", "State (1: ok, 0: fail)")],
    ),
    GraphRow::new(
        "#.cluster_slots",
        "Cluster Slots",
        Unit::Integer,
        &[
            MetricRow::gauge("cluster_slots_assigned", "Slots Assigned"),
            MetricRow::gauge("cluster_slots_ok", "Slots OK"),
            MetricRow::gauge("cluster_slots_pfail", "Slots PFAIL"),
            MetricRow::gauge("cluster_slots_fail", "Slots FAIL"),
        ],
    ),
    GraphRow::new(
        "#.cluster_stats",
        "Cluster Stats",
        Unit::Integer,
        &[
            MetricRow::per_minute("cluster_stats_messages_ping_sent", "Messages PING Sent"),
            MetricRow::per_minute("cluster_stats_messages_pong_sent", "Messages PONG Sent"),
            MetricRow::per_minute("cluster_stats_messages_fail_sent", "Messages FAIL Sent"),
            MetricRow::per_minute("cluster_stats_messages_sent", "Messages Sent"),
            MetricRow::per_minute("cluster_stats_messages_ping_received", "Messages PING Received"),
            MetricRow::per_minute("cluster_stats_messages_pong_received", "Messages PONG Received"),
            MetricRow::per_minute("cluster_stats_messages_fail_received", "Messages FAIL Received"),
            MetricRow::per_minute("cluster_stats_messages_received", "Messages Received"),
        ],
    ),
];
