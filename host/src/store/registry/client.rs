//! The client of one registry: requests with the authorization that it requires.
//!
//! Responses are untrusted until their digest is checked: each is bounded in size, and their text is shown as foreign
//! text. Logins and tokens are only sent to the registry itself and to the token server that it names, and only by TLS
//! unless the registry has none.

use std::sync::{Arc, Mutex};

use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use oci_spec::distribution::Reference;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, WWW_AUTHENTICATE,
};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::artifact::{MANIFEST, MANIFESTS, of_manifest};
use super::fault::Fault;
use super::login::Login;
use super::options::RegistryOptions;
use super::trust::Trust;
use crate::address::Address;
use crate::limits;
use crate::mutex::lock;
use crate::text::{Foreign, foreign, root_cause};

/// The actions on a repository for which a token is requested.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    /// Fetching.
    Pull,
    /// Uploading.
    Push,
}

/// A client of one repository of a registry.
pub struct Client<'a> {
    reference: &'a Reference,
    access: Access,
    base: Url,
    http: reqwest::Client,
    login: Option<Login>,
    authorization: Option<HeaderValue>,
    /// The address to which the registry redirected the current request.
    redirected: Arc<Mutex<Option<Url>>>,
}

/// A token server's response. Some servers fill both fields with the same token.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Client<'_> {
    /// Prepares a client for the repository of a reference. Nothing is sent.
    ///
    /// # Errors
    /// If a certificate or a login cannot be read.
    pub async fn of<'a>(
        reference: &'a Reference,
        access: Access,
        options: &RegistryOptions,
    ) -> Result<Client<'a>, Fault> {
        let registry = reference.registry();
        let trust = Trust::of(registry, options.ca_file.as_deref())?;
        let is_local = is_local(registry);
        // docker uses plain HTTP on this machine, too. A certificate shows that the registry has TLS.
        let is_plain = options.is_plain_http(registry) || is_local && trust.is_empty();
        let scheme = if is_plain { "http" } else { "https" };
        let setup = |error: &dyn std::error::Error| Fault::Setup(foreign(&error.to_string()));
        let base = format!("{scheme}://{}/v2/{}/", reference.resolve_registry(), reference.repository());
        let base = Url::parse(&base).map_err(|error| setup(&error))?;
        let redirected: Arc<Mutex<Option<Url>>> = Arc::default();
        let seen = Arc::clone(&redirected);
        let redirect = Policy::custom(move |attempt| {
            *lock(&seen) = Some(attempt.url().clone());
            Policy::default().redirect(attempt)
        });
        let http = reqwest::Client::builder()
            .redirect(redirect)
            .user_agent(concat!("mackerel-plugin-wasm/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(trust.config()?)
            .https_only(!is_plain)
            .connect_timeout(limits::REGISTRY_CONNECT)
            .read_timeout(limits::REGISTRY_SILENCE);
        let http = if is_local { http.no_proxy() } else { http };
        let http = http.build().map_err(|error| setup(&error))?;
        let login = Login::find(reference).await?;
        Ok(Client { reference, access, base, http, login, authorization: None, redirected })
    }

    /// Fetches a manifest by its tag or digest.
    ///
    /// # Errors
    /// If it cannot be fetched, or has another digest than the wanted one.
    pub async fn manifest(&mut self, wanted: &str) -> Result<Vec<u8>, Fault> {
        let request = self.http.get(self.url(&format!("manifests/{wanted}"))?).header(ACCEPT, MANIFESTS);
        let response = self.send(request).await?;
        let bytes = body(self.successful(response).await?, "manifest", limits::REGISTRY_RESPONSE.as_u64()).await?;
        if wanted.contains(':') { checked(bytes, "manifest", wanted) } else { Ok(bytes) }
    }

    /// Fetches the index of the manifests that refer to the one with this digest.
    ///
    /// # Errors
    /// If it cannot be fetched. Older registries do not have it.
    pub async fn referrers(&mut self, digest: &str) -> Result<Vec<u8>, Fault> {
        let request = self.http.get(self.url(&format!("referrers/{digest}"))?).header(ACCEPT, MANIFESTS);
        let response = self.send(request).await?;
        body(self.successful(response).await?, "index", limits::REGISTRY_RESPONSE.as_u64()).await
    }

    /// Fetches a blob of at most `size` bytes. Errors name it `part`.
    ///
    /// # Errors
    /// If it cannot be fetched, or has another digest.
    pub async fn blob(&mut self, part: &'static str, digest: &str, size: u64) -> Result<Vec<u8>, Fault> {
        let request = self.http.get(self.url(&format!("blobs/{digest}"))?);
        let response = self.send(request).await?;
        checked(body(self.successful(response).await?, part, size).await?, part, digest)
    }

    /// Uploads a blob, unless the repository has it.
    ///
    /// # Errors
    /// If the registry does not accept it.
    pub async fn push_blob(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        let digest = of_manifest(&bytes);
        let request = self.http.head(self.url(&format!("blobs/{digest}"))?);
        if self.send(request).await?.status() == StatusCode::OK {
            return Ok(());
        }
        // Some proxies reject a request without a length.
        let request = self.http.post(self.url("blobs/uploads/")?).header(CONTENT_LENGTH, 0);
        let response = self.send(request).await?;
        let response = self.successful(response).await?;
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let location = location.and_then(|location| response.url().join(location).ok());
        let mut location = location.ok_or_else(|| Fault::Location(self.reference.registry().to_owned()))?;
        location.query_pairs_mut().append_pair("digest", &digest);
        self.put(location, "application/octet-stream", bytes).await
    }

    /// Uploads a manifest under a tag.
    ///
    /// # Errors
    /// If the registry does not accept it.
    pub async fn push_manifest(&mut self, tag: &str, bytes: Vec<u8>) -> Result<(), Fault> {
        self.put(self.url(&format!("manifests/{tag}"))?, MANIFEST, bytes).await
    }

    async fn put(&mut self, url: Url, kind: &'static str, bytes: Vec<u8>) -> Result<(), Fault> {
        let response = self.send(self.http.put(url).header(CONTENT_TYPE, kind).body(bytes)).await?;
        self.successful(response).await.map(drop)
    }

    /// Returns an address below that of the repository.
    fn url(&self, rest: &str) -> Result<Url, Fault> {
        self.base.join(rest).map_err(|error| Fault::Setup(foreign(&error.to_string())))
    }

    /// Returns true for an address of the registry itself.
    fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Sends a request, and repeats it with authorization if the registry requires it.
    async fn send(&mut self, request: RequestBuilder) -> Result<Response, Fault> {
        let again = request.try_clone();
        let response = self.send_once(request).await?;
        // Another host, to which the registry redirected, must not get the login.
        if response.status() != StatusCode::UNAUTHORIZED || !self.is_own(response.url()) {
            return Ok(response);
        }
        // A token can also have expired.
        self.authorization = self.answer(response.headers()).await?;
        match again {
            Some(again) if self.authorization.is_some() => self.send_once(again).await,
            _ => Ok(response),
        }
    }

    async fn send_once(&self, request: RequestBuilder) -> Result<Response, Fault> {
        let mut request = request.build().map_err(|error| Fault::Setup(foreign(&root_cause(&error))))?;
        if let Some(authorization) = self.authorization.as_ref().filter(|_| self.is_own(request.url())) {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        *lock(&self.redirected) = None;
        self.http.execute(request).await.map_err(|error| self.no_response(&error))
    }

    /// Returns a response with a status of success.
    async fn successful(&self, response: Response) -> Result<Response, Fault> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let registry = self.reference.registry().to_owned();
        if !self.is_own(response.url()) {
            let host = foreign(response.url().authority());
            return Err(Fault::Redirected { registry, host, status, message: message(response).await });
        }
        Err(match status {
            StatusCode::UNAUTHORIZED => self.unauthorized(),
            StatusCode::FORBIDDEN => match &self.login {
                Some(login) => Fault::Forbidden { registry, user: foreign(&login.user) },
                None => Fault::LoginRequired(registry),
            },
            StatusCode::NOT_FOUND => Fault::NotFound(registry),
            status => Fault::Status { registry, status, message: message(response).await },
        })
    }

    fn unauthorized(&self) -> Fault {
        let registry = self.reference.registry().to_owned();
        match &self.login {
            Some(login) => Fault::LoginRejected { registry, file: login.file.clone() },
            None => Fault::LoginRequired(registry),
        }
    }

    fn no_response(&self, error: &reqwest::Error) -> Fault {
        let registry = self.reference.registry().to_owned();
        let reason = explain(error, &registry);
        match lock(&self.redirected).as_ref().filter(|url| !self.is_own(url)) {
            Some(url) => Fault::RedirectedToNothing { registry, host: foreign(url.authority()), reason },
            None => Fault::NoResponse { registry, reason },
        }
    }

    /// Returns the Authorization header that answers the challenges of a response, or `None`. A token is preferred to
    /// the login, whatever the order of the challenges.
    async fn answer(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Fault> {
        let texts: Vec<&str> = headers.get_all(WWW_AUTHENTICATE).iter().flat_map(HeaderValue::to_str).collect();
        let challenges: Vec<ChallengeRef<'_>> =
            texts.iter().copied().flat_map(ChallengeParser::new).flatten().collect();
        let of = |scheme: &'static str| {
            challenges.iter().filter(move |challenge| challenge.scheme.eq_ignore_ascii_case(scheme))
        };
        for bearer in of("bearer") {
            if let Some(realm) = parameter(bearer, "realm") {
                return self.token(&realm, parameter(bearer, "service")).await.map(Some);
            }
        }
        Ok(of("basic").next().and_then(|_| self.basic()))
    }

    /// Returns the login as a basic Authorization header.
    fn basic(&self) -> Option<HeaderValue> {
        let login = self.login.as_ref()?;
        let request = self.http.get(self.base.clone()).basic_auth(&login.user, Some(&login.password)).build().ok()?;
        request.headers().get(AUTHORIZATION).cloned()
    }

    /// Requests a token from the server that the registry names.
    async fn token(&self, realm: &str, service: Option<String>) -> Result<HeaderValue, Fault> {
        let registry = self.reference.registry();
        let failed = |reason: String| Fault::Token { registry: registry.to_owned(), realm: foreign(realm), reason };
        let mut url = Url::parse(realm).map_err(|error| failed(format!("is not a valid address: {error}")))?;
        let actions = match self.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        url.query_pairs_mut()
            .append_pair("scope", &format!("repository:{}:{actions}", self.reference.repository()))
            .extend_pairs(service.map(|service| ("service", service)));
        let mut request = self.http.get(url);
        if let Some(basic) = self.basic() {
            request = request.header(AUTHORIZATION, basic);
        }
        let response =
            request.send().await.map_err(|error| failed(format!("did not respond: {}", explain(&error, registry))))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.unauthorized()),
            status => return Err(failed(format!("returned HTTP {status}"))),
        }
        let bytes = body(response, "token", limits::REGISTRY_RESPONSE.as_u64()).await?;
        let invalid = || failed("returned no valid token".to_owned());
        let Token { token, access_token } = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
        let token = [token, access_token].into_iter().flatten().find(|token| !token.is_empty()).ok_or_else(invalid)?;
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| invalid())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Returns a parameter of a challenge.
fn parameter(challenge: &ChallengeRef<'_>, name: &str) -> Option<String> {
    let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.to_unescaped())
}

/// Returns true for a registry on this machine.
fn is_local(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    Address::is_here(host.trim_start_matches('[').trim_end_matches(']'))
}

/// Returns the cause of a failed request, and the fix if it is known.
fn explain(error: &reqwest::Error, registry: &str) -> String {
    let cause = foreign(&root_cause(error));
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            format!("{cause}; trust its authority with --registry-ca-file")
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            format!("it does not use TLS; for plain HTTP: --registry-plain-http {registry}")
        }
        Some(error) if format!("{error:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is that of an authority; trust exactly this one with --registry-ca-file".to_owned()
        }
        _ => cause.to_string(),
    }
}

/// Returns the error of TLS among the causes of an error.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref() {
            return Some(error);
        }
        // An error of the system hides the one that it was made of.
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| cause.source());
    }
    None
}

/// Returns the message of an error response: that of a registry, or the first line of a text; empty if there is none.
async fn message(response: Response) -> Foreign {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<RegistryError>,
    }
    #[derive(Deserialize)]
    struct RegistryError {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let bytes = body(response, "response", limits::REGISTRY_RESPONSE.as_u64()).await.unwrap_or_default();
    if let Ok(Errors { errors }) = serde_json::from_slice(&bytes) {
        let first = errors.first().map(|error| [error.code.as_str(), error.message.as_str()]);
        let parts: Vec<&str> = first.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        return foreign(&parts.join(": "));
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if line.starts_with(['<', '{']) { Foreign::default() } else { foreign(line) }
}

/// Reads a response body of at most `limit` bytes.
async fn body(mut response: Response, part: &'static str, limit: u64) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let incomplete = |error: reqwest::Error| Fault::Incomplete { part, reason: foreign(&root_cause(&error)) };
        let Some(chunk) = chunk.map_err(incomplete)? else { return Ok(bytes) };
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(Fault::TooLarge { part, limit });
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// Returns bytes that have the wanted digest.
fn checked(bytes: Vec<u8>, part: &'static str, wanted: &str) -> Result<Vec<u8>, Fault> {
    let found = of_manifest(&bytes);
    if found == wanted { Ok(bytes) } else { Err(Fault::Digest { part, found, wanted: wanted.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_registry_on_this_machine_is_local() {
        for registry in ["localhost:5000", "localhost", "127.0.0.1:5000", "[::1]:5000"] {
            assert!(is_local(registry), "{registry}");
        }
        for registry in ["10.0.0.1:5000", "localhost.example.com", "127.example.com:80", "registry.example.com"] {
            assert!(!is_local(registry), "{registry}");
        }
    }
}
