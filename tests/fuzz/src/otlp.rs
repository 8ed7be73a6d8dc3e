//! The response of a receiver of labelled metrics: anything can be at its endpoint.

use mackerel_plugin_wasm::internals::{parse_otlp_response, parse_otlp_retry};

use crate::rules::assert_diagnostic;

/// Parses the body of a response, and the details of a status. An error is one line.
pub fn response(bytes: &[u8]) {
    if let Err(error) = parse_otlp_response(bytes) {
        assert_diagnostic("endpoint", &error.to_string());
    }
    let _ = parse_otlp_retry(bytes);
}
