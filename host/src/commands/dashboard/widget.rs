//! The format of a dashboard, as Mackerel's API and `mkr dashboards push` take it
//! (<https://mackerel.io/api-docs/entry/dashboards>).

use serde::Serialize;

/// A dashboard.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dashboard {
    /// The id of the dashboard that it replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The title.
    pub title: String,
    /// A note.
    pub memo: String,
    /// The end of its address in Mackerel.
    pub url_path: String,
    /// The widgets.
    pub widgets: Vec<Widget>,
}

/// A part of a dashboard.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Widget {
    /// A text.
    Markdown {
        /// The title.
        title: String,
        /// The text.
        markdown: String,
        /// The place.
        layout: Layout,
    },
    /// A graph.
    Graph {
        /// The title.
        title: String,
        /// The values.
        graph: Graph,
        /// The period.
        range: Range,
        /// The place.
        layout: Layout,
    },
}

/// The values of a graph. None of these formats has a unit except that of a role graph's definition.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Graph {
    /// A graph of all hosts of a role.
    #[serde(rename_all = "camelCase")]
    Role {
        /// `SERVICE:ROLE`.
        role_fullname: String,
        /// The name of the graph, with `*` for its metrics.
        name: String,
        /// True to stack the lines.
        is_stacked: bool,
    },
    /// An expression over metrics of hosts.
    Expression {
        /// The expression.
        expression: String,
    },
    /// A query of labelled metrics.
    Query {
        /// The query, in PromQL.
        query: String,
        /// The names of the lines, with `{{KEY}}` for an attribute.
        legend: String,
    },
}

/// The period that a graph shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Range {
    /// The last `period` seconds, moved by `offset` seconds.
    Relative {
        /// The length in seconds.
        period: u64,
        /// The move in seconds.
        offset: i64,
    },
}

/// The place of a widget on the grid.
#[derive(Debug, Serialize)]
pub struct Layout {
    /// The first column.
    pub x: u32,
    /// The first row.
    pub y: u32,
    /// The number of columns.
    pub width: u32,
    /// The number of rows.
    pub height: u32,
}
