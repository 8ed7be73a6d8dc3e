//! The operator's settings for HTTP requests to targets. They are applied outside of the sandbox: no collector sees a
//! header that they add.

use bytesize::ByteSize;
use hyper::header::{self, HeaderMap, HeaderValue};

use super::trust::{Roots, Trust};
use crate::address::Address;
use crate::limits;

/// The settings of one command line.
#[derive(Debug)]
pub struct HttpSettings {
    /// The header fields that every request gets. They replace the collector's own of the same name.
    pub headers: HeaderMap,
    /// The `User-Agent` of requests that have none.
    pub user_agent: HeaderValue,
    /// The option that sets `Authorization`.
    pub authorization_from: Option<&'static str>,
    /// The secrets in `headers`, which no message may show.
    pub secrets: Vec<String>,
    /// The limit of a response body.
    pub body_limit: ByteSize,
    /// The certificates that targets can present.
    pub trust: Trust,
    /// The collector's options that messages can name.
    pub hints: Hints,
}

/// The options of a collector that change its requests. A message names only those that exist.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints {
    /// `--scheme`, with http and https.
    pub has_scheme: bool,
    /// `--path`.
    pub has_path: bool,
}

impl Default for HttpSettings {
    fn default() -> HttpSettings {
        HttpSettings {
            headers: HeaderMap::new(),
            user_agent: HeaderValue::from_static("mackerel-plugin-wasm"),
            authorization_from: None,
            secrets: Vec::new(),
            body_limit: limits::HTTP_BODY,
            trust: Trust::default(),
            hints: Hints::default(),
        }
    }
}

impl HttpSettings {
    /// Returns true if the operator sets `Host`.
    pub fn has_host(&self) -> bool {
        self.headers.contains_key(header::HOST)
    }

    /// Returns the `Host` of requests to `address`.
    pub fn host(&self, address: &Address) -> String {
        let own = self.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        own.map_or_else(|| address.to_string(), str::to_owned)
    }

    /// Completes the header of a collector's request to `address`: `Host`, `User-Agent` and the operator's own fields.
    pub fn complete(&self, headers: &mut HeaderMap, address: &Address) {
        if let Ok(host) = HeaderValue::from_str(&address.to_string()) {
            headers.insert(header::HOST, host);
        }
        headers.entry(header::USER_AGENT).or_insert_with(|| self.user_agent.clone());
        for name in self.headers.keys() {
            headers.remove(name);
        }
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
    }

    /// Describes the settings for people, without values.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let names: Vec<String> = self.headers.keys().map(ToString::to_string).collect();
        if !names.is_empty() {
            notes.push(format!(
                "requests have these header fields of the operator: {} (values are not shown)",
                names.join(", ")
            ));
        }
        match self.trust.roots() {
            Roots::Machine => {}
            Roots::File(path, _) => {
                notes.push(format!("only the certificates in {} are trusted (--tls-ca-file)", path.display()));
            }
            Roots::Any => notes.push("certificates of targets are not checked (--tls-skip-verify)".to_owned()),
        }
        notes
    }

    /// Replaces the secrets in a text.
    pub fn hide_secrets(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| text.replace(secret, "(hidden)"))
    }
}

/// Returns the `User-Agent` of a collector's requests.
pub fn user_agent(collector: &str) -> HeaderValue {
    let text = format!("mackerel-plugin-wasm/{} ({collector})", env!("CARGO_PKG_VERSION"));
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("mackerel-plugin-wasm"))
}
