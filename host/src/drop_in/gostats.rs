//! mackerel-plugin-gostats.

use url::Url;

use super::go_flags::{Flag, Kind, Values};
use super::plugin::{Plugin, Words, whole_or_decimals};
use crate::error::Error;
use crate::text::foreign;

pub const PLUGIN: Plugin = Plugin { name: "mackerel-plugin-gostats", flags: FLAGS, words, number: whole_or_decimals };

const FLAGS: &[Flag] = &[
    Flag { name: "host", kind: Kind::Text, default: "localhost", help: "Hostname" },
    Flag { name: "metric-key-prefix", kind: Kind::Text, default: "gostats", help: "Metric key prefix" },
    Flag { name: "path", kind: Kind::Text, default: "/api/stats", help: "Path" },
    Flag { name: "port", kind: Kind::Text, default: "8080", help: "Port" },
    Flag { name: "scheme", kind: Kind::Text, default: "http", help: "Scheme" },
    Flag { name: "tempfile", kind: Kind::Text, default: "", help: "The state is kept in the folder NAME.state" },
    Flag { name: "uri", kind: Kind::Text, default: "", help: "URI, instead of scheme, host, port and path" },
];

fn words(flags: &Values) -> Result<Words, Error> {
    let parts = ["scheme", "host", "port", "path"].map(|name| flags.text(name));
    let [scheme, host, port, path] = parts;
    let uri = flags.find("uri").map_or_else(|| format!("{scheme}://{host}:{port}{path}"), str::to_owned);
    let fault = |reason: &str| Error::failed(format!("cannot request '{}': {reason}", foreign(&uri)));
    let url = Url::parse(&uri).map_err(|error| fault(&error.to_string()))?;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(fault("expected http:// or https:// and a host"));
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(fault("expected http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::failed(
            "a user name in the URI is not supported: use mackerel-plugin-wasm run gostats with --http-user",
        ));
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let (target, path) = (format!("{host}:{port}"), format!("{}{query}", url.path()));
    let mut words = Words::new(&["gostats", "--target", &target, "--scheme", url.scheme(), "--path", &path]);
    words.push_prefix(flags.text("metric-key-prefix"))?;
    Ok(words)
}
