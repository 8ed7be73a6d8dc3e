//! Collector for nginx, from the page of its module `stub_status`, with the metric names of mackerel-plugin-nginx.

use mackerel_collector::{
    CollectError, Collector, Graph, GraphRow, MetricRow, OptionSpec, Options, Report, Target, Unit, http,
};

/// The collector.
pub struct Nginx;

impl Collector for Nginx {
    const NAME: &str = "nginx";
    const SUMMARY: &str = "Connections and requests of nginx, from stub_status";
    const OPTIONS: &[OptionSpec] =
        &[OptionSpec::text("path", "The location of stub_status").default("/nginx_status"), http::SCHEME];
    const GRAPHS: &[GraphRow] = &[
        GraphRow::new(
            "#.connections",
            "Connections",
            Unit::Integer,
            &[MetricRow::gauge("connections", "Active connections")],
        ),
        GraphRow::new(
            "#.requests",
            "requests",
            Unit::Float,
            &[
                MetricRow::per_minute("accepts", "Accepted connections"),
                MetricRow::per_minute("handled", "Handled connections"),
                MetricRow::per_minute("requests", "Handled requests"),
            ],
        ),
        GraphRow::new(
            "#.queue",
            "connection status",
            Unit::Integer,
            &[
                MetricRow::gauge("reading", "Reading"),
                MetricRow::gauge("writing", "Writing"),
                MetricRow::gauge("waiting", "Waiting"),
            ],
        ),
    ];

    fn graphs(options: &Options) -> Result<Vec<Graph>, String> {
        options.path("path")?;
        Ok(Self::GRAPHS.iter().map(Graph::from).collect())
    }

    fn collect(_target: &Target, options: &Options) -> Result<Report, CollectError> {
        parse(&http::Get::new(options.text("path")).scheme_of(options).body()?)
    }
}

mackerel_collector::export!(Nginx);

/// The line above the counters. Tengine adds a column, `request_time`.
const HEAD: &str = "server accepts handled requests";

/// The length of the excerpt of another page, in characters.
const EXCERPT: usize = 40;

/// Parses the page. A number that it lacks is omitted.
///
/// # Errors
/// If it is not a page of `stub_status`.
pub fn parse(page: &[u8]) -> Result<Report, CollectError> {
    let page = String::from_utf8_lossy(page);
    let labelled = |label: &str| page.split_once(label)?.1.split_whitespace().next()?.parse::<f64>().ok();
    let Some(connections) = labelled("Active connections:") else {
        let excerpt: String = page.chars().take(EXCERPT).collect();
        return Err(CollectError::unexpected(format!("not a page of stub_status: '{excerpt}'")));
    };
    let counters = page.lines().skip_while(|line| !line.starts_with(HEAD)).nth(1).unwrap_or_default();
    let counters: Vec<f64> = counters.split_whitespace().map_while(|number| number.parse().ok()).collect();
    Report::of_table(Nginx::GRAPHS, |metric| {
        Ok(match metric.name {
            "connections" => Some(connections),
            "accepts" => counters.first().copied(),
            "handled" => counters.get(1).copied(),
            "requests" => counters.get(2).copied(),
            "reading" => labelled("Reading:"),
            "writing" => labelled("Writing:"),
            _ => labelled("Waiting:"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(page: &str) -> Vec<(String, f64)> {
        let report = parse(page.as_bytes()).expect("a page of stub_status");
        report.samples.into_iter().map(|sample| (format!("{}.{}", sample.graph, sample.metric), sample.value)).collect()
    }

    fn expected(values: &[(&str, f64)]) -> Vec<(String, f64)> {
        values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn all_numbers_are_reported() {
        let page = "Active connections: 291 \nserver accepts handled requests\n 16630948 16630947 31070465 \n\
                    Reading: 6 Writing: 179 Waiting: 106 \n";
        let all = [
            ("#.connections.connections", 291.0),
            ("#.requests.accepts", 16_630_948.0),
            ("#.requests.handled", 16_630_947.0),
            ("#.requests.requests", 31_070_465.0),
            ("#.queue.reading", 6.0),
            ("#.queue.writing", 179.0),
            ("#.queue.waiting", 106.0),
        ];
        assert_eq!(values(page), expected(&all));
    }

    #[test]
    fn column_of_tengine_is_ignored() {
        let page = "Active connections: 1\nserver accepts handled requests request_time\n 28 27 58 70613\n";
        let all = [
            ("#.connections.connections", 1.0),
            ("#.requests.accepts", 28.0),
            ("#.requests.handled", 27.0),
            ("#.requests.requests", 58.0),
        ];
        assert_eq!(values(page), expected(&all));
    }

    #[test]
    fn missing_numbers_are_omitted() {
        assert_eq!(values("Active connections: 1\n"), expected(&[("#.connections.connections", 1.0)]));
    }

    #[test]
    fn other_pages_are_errors() {
        for page in ["", "<html>Welcome to nginx!</html>", "Active connections:", "Active connections: many"] {
            let error = CollectError::unexpected(format!("not a page of stub_status: '{page}'"));
            assert_eq!(parse(page.as_bytes()), Err(error));
        }
    }
}
