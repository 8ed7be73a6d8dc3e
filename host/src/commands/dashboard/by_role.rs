//! Graphs of a role's hosts.
//!
//! Graphs with a wildcard are not role graphs, so their metrics are drawn by expressions; totals are role graphs.
//! Expressions use `roleSlots`, which also covers hosts that left the role: `role` loses the history of a retired host
//! (<https://mackerel.io/docs/entry/advanced/advanced-graph>).

use std::fmt::Write as _;

use super::section::{Drawn, Section, title};
use super::widget::Graph;
use crate::commands::role::Role;
use crate::pipeline::output::{Of, PostedGraph};
use crate::pipeline::total::Total;
use crate::sandbox::Metric;
use crate::text::escape;

/// Draws a graph of totals as it is, and one with a wildcard metric by metric.
pub fn drawn(posted: &PostedGraph, role: &Role) -> Vec<Drawn> {
    let key = format!("custom.{}", posted.key);
    let is_role_graph = match posted.of {
        Of::Targets => true,
        Of::Total(..) => !posted.key.contains('*'),
        Of::EachTarget(_) => false,
    };
    if is_role_graph {
        let graph = Graph::Role {
            role_fullname: role.to_string(),
            name: posted.pattern("*"),
            // Sums of hosts add up to the sum of the role.
            is_stacked: matches!(posted.of, Of::Total(_, Total::Sum)),
        };
        return vec![Drawn { title: posted.label.clone(), key, graph }];
    }
    let drawn = |metric: &Metric| {
        let expression = format!("roleSlots('{role}', '{}')", posted.pattern(&metric.name));
        Drawn { title: title(posted, metric), key: key.clone(), graph: Graph::Expression { expression } }
    };
    posted.metrics.iter().map(drawn).collect()
}

/// Lists the addresses of all graphs, for an hour, a day and a week each. They use expressions for all graphs.
pub fn addresses(sections: &[Section], organization: &str) -> String {
    let mut text = String::new();
    // Characters that a form does not encode are encoded too, and a plus is not used for a space.
    let encoded = |text: &str| {
        let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        encoded.replace('+', "%20").replace('*', "%2A")
    };
    for section in sections {
        for Drawn { title, graph, .. } in &section.drawn {
            let (expression, title) = match graph {
                Graph::Role { role_fullname, name, .. } => {
                    (format!("roleSlots('{role_fullname}', '{name}')"), title.clone())
                }
                Graph::Expression { expression } => (expression.clone(), format!("{}: {title}", section.title)),
                // Mackerel embeds no queries.
                Graph::Query { .. } => continue,
            };
            let _ = writeln!(text, "{}", escape(&title));
            for period in ["1h", "1d", "1w"] {
                let _ = writeln!(
                    text,
                    "  https://mackerel.io/embed/orgs/{organization}/advanced-graph?query={}&unit={}&title={}&period={period}",
                    encoded(&expression),
                    encoded(section.unit),
                    encoded(&title),
                );
            }
        }
    }
    text
}
