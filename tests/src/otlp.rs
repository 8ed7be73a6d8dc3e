//! The OTLP receiver of the OpenTelemetry Collector, and the metrics that it received.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::go::Program;
use crate::local::Local;

/// A receiver. Drop it to end it.
pub struct Receiver {
    process: Local,
    folder: TempDir,
    has_tls: bool,
}

/// A value that arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The attributes of its resource.
    pub resource: BTreeMap<String, String>,
    /// The name of its metric.
    pub name: String,
    /// The unit of its metric.
    pub unit: String,
    /// True for a cumulative, monotonic sum, and false for a gauge.
    pub is_sum: bool,
    /// Its own attributes.
    pub attributes: BTreeMap<String, String>,
    /// The start of a sum in nanoseconds since 1970; 0 if it is unknown.
    pub start: u64,
    /// Its time in nanoseconds since 1970.
    pub time: u64,
    /// The value.
    pub value: f64,
}

impl Receiver {
    /// Starts one. Reports it if there is no Go.
    pub fn start() -> Option<Self> {
        Self::start_with(false)
    }

    /// Starts one with TLS and a certificate of its own.
    pub fn start_with_tls() -> Option<Self> {
        Self::start_with(true)
    }

    fn start_with(has_tls: bool) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (received, certificate) = (path("received"), path("certificate.pem"));
        let mut arguments = vec!["-received", &received];
        if has_tls {
            arguments.extend(["-certificate", &certificate]);
        }
        let process = Local::start(Program::OtelReceiver, &arguments)?;
        Some(Self { process, folder, has_tls })
    }

    /// Returns its endpoint, as `--otlp` takes it.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", if self.has_tls { "https" } else { "http" }, self.process.target())
    }

    /// Returns the path of its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// Returns the requests since its start.
    ///
    /// # Panics
    ///
    /// If it wrote something else than JSON.
    pub fn requests(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("received")).expect("the receiver made its file");
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    /// Returns the values of all requests since its start, in order.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.requests().iter().flat_map(|request| arrived(&request["metrics"])).collect()
    }
}

fn arrived(metrics: &Value) -> Vec<Arrived> {
    let mut all = Vec::new();
    for resource in list(&metrics["resourceMetrics"]) {
        for metric in list(&resource["scopeMetrics"]).iter().flat_map(|scope| list(&scope["metrics"])) {
            let (gauge, sum) = (&metric["gauge"], &metric["sum"]);
            let is_sum = sum["aggregationTemporality"] == 2 && sum["isMonotonic"] == true;
            assert!(is_sum != gauge.is_object(), "neither a gauge nor a cumulative, monotonic sum: {metric}");
            let time = |point: &Value, name: &str| {
                point[name].as_str().map_or(0, |time| time.parse().expect("nanoseconds since 1970"))
            };
            all.extend(list(if is_sum { &sum["dataPoints"] } else { &gauge["dataPoints"] }).iter().map(|point| {
                Arrived {
                    resource: attributes(&resource["resource"]["attributes"]),
                    name: text(&metric["name"]),
                    unit: text(&metric["unit"]),
                    is_sum,
                    attributes: attributes(&point["attributes"]),
                    start: time(point, "startTimeUnixNano"),
                    time: time(point, "timeUnixNano"),
                    value: point["asDouble"].as_f64().unwrap_or_else(|| panic!("not a number: {point}")),
                }
            }));
        }
    }
    all
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn attributes(value: &Value) -> BTreeMap<String, String> {
    let value_of = |value: &Value| match (value["stringValue"].as_str(), value["intValue"].as_str()) {
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        _ => panic!("neither a text nor a number: {value}"),
    };
    list(value).iter().map(|of| (text(&of["key"]), value_of(&of["value"]))).collect()
}
