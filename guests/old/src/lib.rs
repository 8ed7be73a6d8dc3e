//! A collector built against version 0.1.0 of the contract, with all of its features: both imports, every kind of
//! option, gauges and counters, and a report with a time. A test checks that it still runs, so its code must not
//! change.

mod bindings {
    //! Version 0.1.0 of the contract, as generated Rust.
    #![allow(missing_docs, unsafe_code, clippy::pedantic)]
    #[cfg(target_arch = "wasm32")]
    use super::Old;
    wit_bindgen::generate!({ path: "../../tests/contract/0.1.0.wit", world: "plugin" });
    // A native linker rejects the names of the exported symbols; native builds only check the code.
    #[cfg(target_arch = "wasm32")]
    export!(Old);
}

use bindings::exports::mackerel::collector::metrics::Guest;
use bindings::mackerel::collector::container::{self, Parts};
use bindings::mackerel::collector::http::{self, Request, Scheme};
use bindings::mackerel::collector::types::{
    CollectError, Description, Graph, Metric, MetricKind, OptionKind, OptionSpec, OptionValue, Period, Report, Sample,
    Scope, Target, Unit,
};
use serde_json::Value;

/// The collector.
pub struct Old;

impl Guest for Old {
    fn describe() -> Description {
        let option = |name: &str, kind, default: Option<&str>| OptionSpec {
            name: name.to_owned(),
            help: format!("Sets {name}"),
            kind,
            default: default.map(str::to_owned),
        };
        Description {
            name: "old".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "All features of version 0.1.0 of the contract".to_owned(),
            scope: Scope::Endpoint,
            options: vec![
                option("path", OptionKind::Text, Some("/stats")),
                option("unit", OptionKind::Choice(vec!["float".to_owned(), "bytes".to_owned()]), Some("bytes")),
                option("also", OptionKind::Many, None),
                option("token", OptionKind::Secret, None),
                option("quiet", OptionKind::Flag, None),
            ],
        }
    }

    fn graphs(options: Vec<OptionValue>) -> Result<Vec<Graph>, String> {
        let is_float = options.iter().any(|option| option.name == "unit" && option.value == "float");
        let metric = |name: &str, kind| Metric { name: name.to_owned(), label: name.to_owned(), stacked: false, kind };
        let counter = metric("memory_mallocs", MetricKind::Counter(Period::Minute));
        let given = options.iter().filter(|option| option.name == "also").map(|option| option.value.as_str());
        let mut metrics = vec![metric("memory_alloc", MetricKind::Gauge), counter];
        metrics.extend(given.map(|name| metric(name, MetricKind::Gauge)));
        let unit = if is_float { Unit::Float } else { Unit::Bytes };
        Ok(vec![Graph { key: "#.old".to_owned(), label: "Old".to_owned(), unit, metrics }])
    }

    fn collect(target: Target, options: Vec<OptionValue>) -> Result<Report, CollectError> {
        if target.container.is_some() {
            container::stats(Parts::CPU).map_err(CollectError::Container)?;
        }
        let path = options.iter().find(|option| option.name == "path").map_or("/", |option| &option.value);
        let request = Request {
            scheme: Scheme::Http,
            path: path.to_owned(),
            headers: vec![("accept".to_owned(), "application/json".to_owned())],
        };
        let response = http::get(&request).map_err(CollectError::Http)?;
        if response.status != 200 {
            return Err(CollectError::Status(response.status));
        }
        let stats: Value =
            serde_json::from_slice(&response.body).map_err(|error| CollectError::Unexpected(error.to_string()))?;
        let also = options.iter().filter(|option| option.name == "also").map(|option| option.value.as_str());
        let sample = |name: &str| {
            let value = stats[name].as_f64()?;
            Some(Sample { graph: "#.old".to_owned(), metric: name.to_owned(), value })
        };
        let names = ["memory_alloc", "memory_mallocs"].into_iter().chain(also);
        Ok(Report { samples: names.filter_map(sample).collect(), time: stats["time"].as_u64() })
    }
}
