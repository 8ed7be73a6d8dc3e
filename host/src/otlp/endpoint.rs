//! The endpoint of an export and its settings, from the options and OpenTelemetry's variables
//! (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).
//!
//! An option wins over a variable, and `OTEL_EXPORTER_OTLP_METRICS_*` over `OTEL_EXPORTER_OTLP_*`. No error shows a
//! header's value: it can be the API key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use crate::address::Address;
use crate::file;
use crate::limits;
use crate::sandbox::http::is_connection_header;
use crate::text::{Expected, Foreign, foreign};

/// An endpoint of OTLP/gRPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The address.
    pub address: Address,
    /// True for `https`.
    pub has_tls: bool,
}

/// The option with the file of the API key.
pub const KEY_FILE: &str = "--otlp-api-key-file";

/// The variable with the API key, as in Mackerel's own programs. It is only sent to Mackerel.
pub const KEY_VARIABLE: &str = "MACKEREL_APIKEY";

/// The header with the API key (<https://mackerel.io/docs/entry/howto/labeled-metrics/post-metrics>).
const KEY_HEADER: HeaderName = HeaderName::from_static("mackerel-api-key");

/// The host of Mackerel's endpoint.
const MACKEREL: &str = "otlp.mackerelio.com";

/// The variable of the file of certificates.
pub const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";

/// The port of OTLP/gRPC.
const PORT: u16 = 4317;

impl FromStr for Endpoint {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Endpoint, Expected> {
        let wrong =
            Expected("http://HOST:PORT or https://HOST:PORT, without a path, such as https://otlp.mackerelio.com:4317");
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        let has_tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let address = rest.parse().or_else(|_| format!("{rest}:{PORT}").parse());
        Ok(Endpoint { address: address.map_err(|_| wrong)?, has_tls })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.has_tls { "https" } else { "http" }, self.address)
    }
}

impl Endpoint {
    /// Resolves the endpoint. `typed` is that of `--otlp`, and `variable` returns the value of an environment variable
    /// that is set.
    ///
    /// # Errors
    /// If the variable has an unusable value.
    pub fn resolve(
        typed: Option<&Endpoint>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Endpoint, SettingsError> {
        let set = ENDPOINT_VARIABLES.into_iter().find_map(|name| Some((variable(name)?, name.to_owned())));
        match (typed, set) {
            (Some(endpoint), _) => Ok(endpoint.clone()),
            (None, Some((value, variable))) => value.parse().map_err(|expected| wrong(variable, &value, expected)),
            (None, None) => Ok(Endpoint { address: Address { host: MACKEREL.to_owned(), port: PORT }, has_tls: true }),
        }
    }

    /// Returns true for the endpoint of Mackerel.
    pub fn is_mackerel(&self) -> bool {
        // Never without TLS, which would show the key.
        self.has_tls && self.address.host.eq_ignore_ascii_case(MACKEREL)
    }
}

/// The settings of an export.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The header fields of each request.
    pub headers: HeaderMap,
    /// The timeout of one request with its retry.
    pub timeout: Duration,
    /// True to compress requests with gzip.
    pub is_compressed: bool,
    /// The file with the only trusted certificates.
    pub certificate: Option<PathBuf>,
    /// The attributes of `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`.
    pub attributes: BTreeMap<String, String>,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A variable has a malformed value.
    #[error("{variable} '{value}': {expected}")]
    Value {
        /// The variable.
        variable: String,
        /// Its value.
        value: Foreign,
        /// The expected form.
        expected: Expected,
    },
    /// A variable or file with secrets has a malformed value, which the error omits.
    #[error("{variable}: {expected}")]
    Secret {
        /// The variable, or the option with the file.
        variable: String,
        /// The expected form.
        expected: Expected,
    },
    /// The file of the API key cannot be read.
    #[error(transparent)]
    File(#[from] file::Error),
    /// There is no API key for Mackerel's endpoint, which requires one.
    #[error("no API key for {MACKEREL}: use {KEY_FILE}, {KEY_VARIABLE} or OTEL_EXPORTER_OTLP_HEADERS")]
    NoKey,
}

impl From<SettingsError> for crate::error::Error {
    fn from(error: SettingsError) -> crate::error::Error {
        crate::error::Error::usage(error)
    }
}

/// The variables with attributes.
const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";

/// Returns the two variables of a setting, the one that wins first.
fn variables_of(name: &str) -> [String; 2] {
    ["METRICS_", ""].map(|signal| format!("OTEL_EXPORTER_OTLP_{signal}{name}"))
}

/// The variables of the endpoint, which `--otlp ENDPOINT` replaces.
pub const ENDPOINT_VARIABLES: [&str; 2] = ["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The variables of the file of certificates.
pub const CERTIFICATE_VARIABLES: [&str; 2] = ["OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", CERTIFICATE];

/// Other variables that change an export.
pub const OTHER_VARIABLES: [&str; 6] = [
    "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    ATTRIBUTES,
    SERVICE_NAME,
];

/// The variables that can have the API key.
pub const SECRET_VARIABLES: [&str; 3] =
    ["OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS", KEY_VARIABLE];

impl Settings {
    /// Resolves the settings. `typed` is the endpoint of `--otlp`, `key_file` that of the API key, and `variable`
    /// returns the value of an environment variable that is set.
    ///
    /// # Errors
    /// If a variable has an unusable value, or the API key is missing or cannot be read.
    pub fn new(
        typed: Option<&Endpoint>,
        key_file: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Settings, SettingsError> {
        let setting = |name: &str| variables_of(name).into_iter().find_map(|of| Some((variable(&of)?, of)));
        if let Some((value, variable)) = setting("PROTOCOL").filter(|(value, _)| value != "grpc") {
            return Err(wrong(variable, &value, Expected("grpc, the only supported protocol")));
        }
        let endpoint = Endpoint::resolve(typed, &variable)?;
        let timeout = match setting("TIMEOUT") {
            None => limits::OTLP_TIMEOUT,
            Some((value, variable)) => match value.trim().parse() {
                Ok(millis @ 1..) => Duration::from_millis(millis).min(limits::LONGEST_DEADLINE),
                _ => return Err(wrong(variable, &value, Expected("a number of milliseconds above zero"))),
            },
        };
        let is_compressed = match setting("COMPRESSION") {
            None => true,
            Some((value, variable)) => match value.as_str() {
                "gzip" => true,
                "none" => false,
                _ => return Err(wrong(variable, &value, Expected("gzip or none"))),
            },
        };
        let mut headers = match setting("HEADERS") {
            None => HeaderMap::new(),
            Some((value, variable)) => headers(&value).ok_or(SettingsError::Secret {
                variable,
                expected: Expected("NAME=VALUE,NAME=VALUE, with %XX for special characters"),
            })?,
        };
        if let Some(path) = key_file {
            let text = file::read_named_text(KEY_FILE, path, limits::SECRET_FILE)?;
            headers.insert(KEY_HEADER, key(&format!("{KEY_FILE} {}", path.display()), &text)?);
        } else if endpoint.is_mackerel() && !headers.contains_key(KEY_HEADER) {
            let text = variable(KEY_VARIABLE).ok_or(SettingsError::NoKey)?;
            headers.insert(KEY_HEADER, key(KEY_VARIABLE, &text)?);
        }
        let mut attributes = match variable(ATTRIBUTES) {
            None => BTreeMap::new(),
            Some(value) => pairs(&value)
                .ok_or_else(|| {
                    wrong(
                        ATTRIBUTES.to_owned(),
                        &value,
                        Expected("NAME=VALUE,NAME=VALUE, with %XX for special characters"),
                    )
                })?
                .into_iter()
                .collect(),
        };
        attributes.extend(variable(SERVICE_NAME).map(|name| ("service.name".to_owned(), name)));
        let certificate = setting("CERTIFICATE").map(|(path, _)| path.into());
        Ok(Settings { endpoint, headers, timeout, is_compressed, certificate, attributes })
    }
}

fn wrong(variable: String, value: &str, expected: Expected) -> SettingsError {
    SettingsError::Value { variable, value: foreign(value), expected }
}

/// Makes the header's value of an API key, from a text that can end with a line feed.
fn key(source: &str, text: &str) -> Result<HeaderValue, SettingsError> {
    let is_plain = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    let value = Some(text.trim()).filter(is_plain).and_then(|text| HeaderValue::from_str(text).ok());
    let wrong = || SettingsError::Secret { variable: source.to_owned(), expected: Expected("an API key on one line") };
    Ok(secret(value.ok_or_else(wrong)?))
}

/// Keeps a value out of the compression of header fields, and out of debugging output.
fn secret(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

fn headers(text: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs(text)? {
        let name: HeaderName = name.parse().ok()?;
        // The call sets these itself.
        let is_of_grpc = matches!(name.as_str(), "content-type" | "host") || name.as_str().starts_with("grpc-");
        if is_of_grpc || is_connection_header(&name) {
            return None;
        }
        headers.append(name, secret(value.parse().ok()?));
    }
    Some(headers)
}

/// Splits `NAME=VALUE,NAME=VALUE`. Values can have `%XX` for any character.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decode = |text: &str| Some(percent_decode_str(text.trim()).decode_utf8().ok()?.into_owned());
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        Some((decode(name).filter(|name| !name.is_empty())?, decode(value)?))
    };
    parts.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(typed: Option<&str>, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let typed: Option<Endpoint> = typed.map(|text| text.parse().unwrap());
        let variable = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        Settings::new(typed.as_ref(), None, variable).map_err(|error| error.to_string())
    }

    #[test]
    fn an_endpoint_has_tls_unless_it_begins_with_http() {
        for (text, shown) in [
            ("otlp.mackerelio.com:4317", "https://otlp.mackerelio.com:4317"),
            ("https://collector", "https://collector:4317"),
            ("HTTP://127.0.0.1:14317/", "http://127.0.0.1:14317"),
            ("http://[::1]", "http://[::1]:4317"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown, "{text}");
        }
        for text in ["", "http://", "grpc://a:1", "http://a:4318/v1/metrics", "http://user@a:1", "a:0", "a b"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_option_wins_over_a_variable_and_one_of_metrics_over_one_of_all_signals() {
        let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:1");
        let metrics = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://metrics:1");
        let endpoint = |typed, variables: &[_]| settings(typed, variables).unwrap().endpoint.to_string();
        assert_eq!(endpoint(Some("http://typed:1"), &[general, metrics]), "http://typed:1");
        assert_eq!(endpoint(None, &[general, metrics]), "http://metrics:1");
        assert_eq!(endpoint(None, &[general]), "http://general:1");
        assert_eq!(endpoint(None, &[("MACKEREL_APIKEY", "key")]), "https://otlp.mackerelio.com:4317");
    }

    #[test]
    fn only_mackerel_gets_the_key_of_its_own_variable() {
        let key = ("MACKEREL_APIKEY", "s3cret");
        let sent =
            |settings: &Settings| settings.headers.get("Mackerel-Api-Key").map(|key| key.to_str().unwrap().to_owned());
        assert_eq!(sent(&settings(None, &[key]).unwrap()), Some("s3cret".to_owned()));
        assert_eq!(sent(&settings(Some("http://collector:4317"), &[key]).unwrap()), None);
        let header = ("OTEL_EXPORTER_OTLP_HEADERS", "mackerel-api-key=other,X-Scope=a%2Cb");
        let both = settings(None, &[key, header]).unwrap();
        assert_eq!(sent(&both), Some("other".to_owned()));
        assert_eq!(both.headers["x-scope"], "a,b");
        assert!(settings(None, &[]).unwrap_err().starts_with("no API key for otlp.mackerelio.com"));
    }

    #[test]
    fn an_unusable_variable_is_named_and_a_secret_one_is_not_shown() {
        for (variable, value, error) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL 'http/protobuf': expected"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "OTEL_EXPORTER_OTLP_TIMEOUT '10s': expected a number"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "0", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT '0': expected a number"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "OTEL_EXPORTER_OTLP_COMPRESSION 'zstd': expected gzip or none"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret", "OTEL_EXPORTER_OTLP_HEADERS: expected NAME=VALUE"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "te=s3cret", "OTEL_EXPORTER_OTLP_HEADERS: expected NAME=VALUE"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a", "OTEL_RESOURCE_ATTRIBUTES 'a': expected NAME=VALUE"),
        ] {
            let given = settings(Some("http://a:1"), &[(variable, value)]).unwrap_err();
            assert!(given.starts_with(error) && !given.contains("s3cret"), "{given}");
        }
    }

    #[test]
    fn the_service_name_has_a_variable_of_its_own() {
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a, deployment.environment.name=prod%20eu");
        let given = settings(Some("http://a:1"), &[attributes, ("OTEL_SERVICE_NAME", "b")]).unwrap().attributes;
        let expected = [("deployment.environment.name", "prod eu"), ("service.name", "b")];
        assert_eq!(given, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }
}
