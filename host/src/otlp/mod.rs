//! The export: the values of a run as labelled metrics, by OTLP/gRPC (`--otlp`).
//!
//! Each target is a resource, so the backend distinguishes targets by attributes and not by names. Counters go out as
//! read: the backend makes rates. Nothing is kept on disk for the export, and nothing is sent later.

pub mod endpoint;
mod grpc;
mod message;
mod resource;

use std::path::PathBuf;

use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use tokio::time::{Instant, sleep, timeout_at};

use self::endpoint::{Endpoint, Settings, SettingsError};
pub use self::grpc::retry_after;
use self::grpc::{CallError, Connection};
pub use self::message::{SERIES, metric_name};
use self::resource::{Common, LabelChoice};
use crate::definition::Definitions;
use crate::engine::EngineHost;
use crate::env;
use crate::moment::Moment;
use crate::pipeline::output::{Output, PostedGraph, Value};
use crate::pipeline::series::Series;
use crate::text::{Foreign, plural};

/// The options about the export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OtlpOptions {
    /// The endpoint, if it was typed.
    pub endpoint: Option<Endpoint>,
    /// True to print the values too.
    pub also: bool,
    /// The file of Mackerel's API key.
    pub api_key_file: Option<PathBuf>,
    /// The keys of labels that become attributes.
    pub labels: Vec<String>,
    /// The key of the label with the name of the service.
    pub service_label: Option<String>,
}

/// The export of one run.
pub struct Export {
    settings: Settings,
    common: Common,
    /// The time of all values, in nanoseconds since 1970.
    time: u64,
    parts: Vec<ResourceMetrics>,
}

/// A failed export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A request failed.
    #[error("cannot send {values} to {endpoint}: {source}")]
    Call {
        /// The values that were not sent.
        values: String,
        /// The endpoint.
        endpoint: Endpoint,
        /// The cause.
        source: CallError,
    },
    /// There was no response in time.
    #[error("cannot send {values} to {endpoint}: no response in time (OTEL_EXPORTER_OTLP_TIMEOUT, --deadline)")]
    Timeout {
        /// The values that were not sent.
        values: String,
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// The server rejected some values.
    #[error("{endpoint} rejected {rejected} of {all}: {message}")]
    Rejected {
        /// The endpoint.
        endpoint: Endpoint,
        /// The number of values that were rejected.
        rejected: u64,
        /// The values.
        all: String,
        /// The server's message.
        message: Foreign,
    },
}

/// The call that sends metrics.
const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

impl Export {
    /// Starts the export of a run that began at `begun`.
    ///
    /// # Errors
    /// As of [`Settings::new`].
    pub fn new(options: &OtlpOptions, begun: Moment) -> Result<Export, SettingsError> {
        let OtlpOptions { endpoint, api_key_file, .. } = options;
        let settings = Settings::new(endpoint.as_ref(), api_key_file.as_deref(), env::variable)?;
        let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let common = Common { host_name, given: settings.attributes.clone() };
        Ok(Export { settings, common, time: begun.wall, parts: Vec::new() })
    }

    /// Adds the values of each target that has a name, before its counters become rates. `engine` is the machine of
    /// the targets' engine.
    pub fn add_targets(
        &mut self,
        options: &OtlpOptions,
        output: &Output,
        definitions: &Definitions,
        engine: &EngineHost,
        series: &[Series<'_>],
    ) {
        if !output.each_target {
            return;
        }
        let labels = LabelChoice { keys: &options.labels, service: options.service_label.as_deref() };
        for series in series.iter().filter(|series| series.name.is_some()) {
            let resource = self.common.of_target(&labels, engine, series);
            self.parts.extend(message::of_target(&resource, output, definitions, series, self.time));
        }
    }

    /// Adds values about all targets together.
    pub fn add_values(&mut self, graphs: &[PostedGraph], values: &[Value]) {
        self.parts.extend(message::of_values(&self.common.of_all(), graphs, values, self.time));
    }

    /// Sends everything until `end`. Returns the server's warnings.
    ///
    /// # Errors
    /// If the server does not accept everything.
    pub async fn send(self, end: Instant) -> Result<Vec<String>, ExportError> {
        let Export { settings, parts, .. } = self;
        let all = message::count(&parts);
        let (mut connection, mut sent, mut rejected) = (None, 0, 0);
        let mut messages = Vec::new();
        for request in message::requests(parts) {
            let count = message::count(&request.resource_metrics);
            let values = || {
                let left = plural(all - sent, "value");
                if sent > 0 { format!("{left} of {all}") } else { left }
            };
            let endpoint = || settings.endpoint.clone();
            let end = end.min(Instant::now() + settings.timeout);
            let sending = send_one(&settings, &mut connection, &request, end);
            let response = timeout_at(end, sending).await;
            let response = response.map_err(|_| ExportError::Timeout { values: values(), endpoint: endpoint() })?;
            let response =
                response.map_err(|source| ExportError::Call { values: values(), endpoint: endpoint(), source })?;
            sent += count;
            if let Some(partial) = response.partial_success {
                rejected += u64::try_from(partial.rejected_data_points).unwrap_or_default();
                messages.extend(Some(partial.error_message).filter(|message| !message.is_empty()));
            }
        }
        let endpoint = settings.endpoint;
        if rejected > 0 {
            let message = Foreign::new(messages.first().map_or("without a reason", String::as_str));
            return Err(ExportError::Rejected { endpoint, rejected, all: plural(all, "value"), message });
        }
        Ok(messages.iter().map(|message| format!("{endpoint} warns: {}", Foreign::new(message))).collect())
    }
}

/// Sends a request, and repeats it once if it can succeed then and there is time before `end`.
async fn send_one(
    settings: &Settings,
    connection: &mut Option<Connection>,
    request: &ExportMetricsServiceRequest,
    end: Instant,
) -> Result<ExportMetricsServiceResponse, CallError> {
    let frame = grpc::frame(request, settings.is_compressed);
    let error = match attempt(settings, connection, frame.clone()).await {
        Ok(response) => return Ok(response),
        Err(error) => error,
    };
    match error.retry_after() {
        // The server's time can be too long, or overflow.
        Some(delay) if Instant::now().checked_add(delay).is_some_and(|at| at < end) => sleep(delay).await,
        _ => return Err(error),
    }
    // The old connection can be the cause.
    *connection = None;
    attempt(settings, connection, frame).await
}

async fn attempt(
    settings: &Settings,
    connection: &mut Option<Connection>,
    frame: bytes::Bytes,
) -> Result<ExportMetricsServiceResponse, CallError> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(grpc::connect(settings).await?),
    };
    parse_response(&grpc::call(connection, settings, EXPORT, frame).await?)
}

/// Parses the body of a response.
///
/// # Errors
/// If it is not one whole message.
pub fn parse_response(body: &[u8]) -> Result<ExportMetricsServiceResponse, CallError> {
    grpc::message(body)
}
