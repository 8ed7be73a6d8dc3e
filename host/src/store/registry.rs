//! Registries: components as OCI artifacts of one layer, identified by their digests. The typed faults take most of the
//! lines.
//!
//! Responses are untrusted until their digest is checked: each is bounded in size, all of them in time, and their text
//! is shown as foreign text. oci-client reads responses of any size, so components are fetched here; only the push, to
//! a registry that its user trusts with a login, uses it.
//!
//! Registries on this machine use plain HTTP, as in docker; all others HTTPS, also after a redirect. Logins are those
//! that docker stores. Proxies of the environment are used.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bytesize::ByteSize;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use http_auth::parse_challenges;
use oci_client::Reference;
use oci_client::client::{Client, ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{OciImageManifest, OciManifest};
use oci_client::secrets::RegistryAuth;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};

use crate::contract;
use crate::limits;
use crate::sandbox::Description;
use crate::store::digest::{digest, is_digest};
use crate::text::{Foreign, foreign, root_cause};
use crate::tls;

/// The scheme of a reference.
pub const SCHEME: &str = "oci://";

/// The media types of manifests that are recognised.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// The media types of a component and its parts in a registry, by the Wasm OCI artifact layout of the CNCF:
/// <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>.
const MANIFEST_MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const WASM_CONFIG_MEDIA_TYPE: &str = "application/vnd.wasm.config.v0+json";
const WASM_LAYER_MEDIA_TYPE: &str = "application/wasm";

/// The configuration of a component in a registry, by the same layout.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WasmConfig {
    /// Always the same time, so that the same component gets the same digest.
    created: &'static str,
    architecture: &'static str,
    os: &'static str,
    layer_digests: Vec<String>,
    component: ComponentNames,
}

/// The names of a component's imports and exports.
#[derive(Serialize)]
struct ComponentNames {
    exports: Vec<String>,
    imports: Vec<String>,
}

impl WasmConfig {
    fn of_component(bytes: &[u8]) -> WasmConfig {
        let (imports, exports) = contract::names(bytes);
        WasmConfig {
            created: "1970-01-01T00:00:00Z",
            architecture: "wasm",
            os: "wasip2",
            layer_digests: vec![format!("sha256:{}", digest(bytes))],
            component: ComponentNames { exports, imports },
        }
    }
}

/// A transfer that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not a reference.
    #[error("{text}: {reason}: expected oci://REGISTRY/REPOSITORY with :TAG or @sha256:DIGEST")]
    Reference {
        /// The text.
        text: Foreign,
        /// The fault.
        reason: String,
    },
    /// The transfer failed.
    #[error("{SCHEME}{reference}: {fault}")]
    Transfer {
        /// The reference.
        reference: String,
        /// The fault.
        #[source]
        fault: Fault,
    },
}

impl From<Error> for crate::error::Error {
    fn from(error: Error) -> crate::error::Error {
        match error {
            Error::Reference { .. } => crate::error::Error::usage(error),
            Error::Transfer { .. } => crate::error::Error::failed(error),
        }
    }
}

/// The fault of a transfer. The text follows the reference.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The transfer takes too long.
    #[error("transfer exceeded {} (fixed limit)", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// TLS or the HTTP client cannot be set up.
    #[error("cannot set up the connection: {0}")]
    Setup(Foreign),
    /// There is no response.
    #[error("no response from {registry}: {reason}")]
    NoResponse {
        /// The registry.
        registry: String,
        /// The cause.
        reason: Foreign,
    },
    /// A login is required.
    #[error("{0} requires a login: docker login {0}")]
    LoginRequired(String),
    /// The login is rejected.
    #[error("{0} rejected the login that docker stores: docker login {0}")]
    LoginRejected(String),
    /// Docker stores an identity token, which is not supported.
    #[error(
        "docker stores an identity token for {0}, which is not supported: docker login {0} with a user and a password or token"
    )]
    IdentityToken(String),
    /// Docker's login cannot be read.
    #[error("cannot read the login that docker stores for {registry}: {reason}")]
    Login {
        /// The registry.
        registry: String,
        /// The cause.
        reason: Foreign,
    },
    /// The user has no access.
    #[error("{registry} denies access to {user}")]
    Forbidden {
        /// The registry.
        registry: String,
        /// The user.
        user: Foreign,
    },
    /// There is no such repository, tag or digest.
    #[error("{0} has no such repository, tag or digest")]
    NotFound(String),
    /// The registry returns another status.
    #[error("{registry} returned HTTP {status}")]
    Status {
        /// The registry.
        registry: String,
        /// The status.
        status: StatusCode,
    },
    /// The registry rejects a push.
    #[error("{registry} returned HTTP {status} to the push: {message}")]
    Rejected {
        /// The registry.
        registry: String,
        /// The status.
        status: String,
        /// The registry's message.
        message: Foreign,
    },
    /// A push failed otherwise.
    #[error("push failed: {0}")]
    Push(Foreign),
    /// The token server that the registry names does not give a token.
    #[error("{registry} requires a token from {realm}, which {reason}")]
    Token {
        /// The registry.
        registry: String,
        /// The token server.
        realm: Foreign,
        /// The fault.
        reason: String,
    },
    /// A part of the response is incomplete.
    #[error("incomplete {part}: {reason}")]
    Incomplete {
        /// The part.
        part: &'static str,
        /// The cause.
        reason: Foreign,
    },
    /// A part of the response is too large.
    #[error("{part} exceeds {limit} bytes")]
    TooLarge {
        /// The part.
        part: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A part of the response has another digest.
    #[error("{part} has digest {found} instead of {wanted}")]
    Digest {
        /// The part.
        part: &'static str,
        /// The digest of the response.
        found: String,
        /// The wanted digest.
        wanted: String,
    },
    /// The manifest is not JSON of a manifest.
    #[error("invalid manifest")]
    Manifest,
    /// The manifest names something that is not a digest.
    #[error("invalid manifest: '{0}' is not a digest")]
    ManifestDigest(Foreign),
    /// The reference leads to a list of images.
    #[error("not a component but a list of images for several platforms")]
    Index,
    /// The manifest is not that of a component.
    #[error("not a component, which has one layer of type {WASM_LAYER_MEDIA_TYPE}: has {count} ({types})")]
    Layers {
        /// The number of layers.
        count: usize,
        /// Their types.
        types: Foreign,
    },
    /// The component is too large.
    #[error("component exceeds {:.0} (fixed limit)", .0.display().iec())]
    Size(ByteSize),
}

/// Parses a reference, with or without `oci://`.
///
/// # Errors
/// If it is not a reference, or names no registry.
pub fn parse(text: &str) -> Result<Reference, Error> {
    let wrong = |reason: &str| Error::Reference { text: foreign(text), reason: reason.to_owned() };
    let plain = text.strip_prefix(SCHEME).unwrap_or(text);
    // docker would take a reference without a registry for one of Docker Hub.
    let registry = plain.split_once('/').map_or("", |(registry, _)| registry);
    if !registry.contains(['.', ':']) && registry != "localhost" {
        return Err(wrong("no registry"));
    }
    let reference: Reference = plain.parse().map_err(|error: oci_client::ParseError| wrong(&error.to_string()))?;
    if reference.digest().is_some_and(|digest| !is_digest(digest)) {
        return Err(wrong("only sha256 digests are supported"));
    }
    Ok(reference)
}

/// Fetches a component. Returns its bytes, and the reference with the digest of its manifest, which the bytes were
/// checked against.
///
/// # Errors
/// If it cannot be fetched, or differs from the digests of the reference or the manifest.
pub async fn pull(reference: &Reference) -> Result<(Vec<u8>, String), Error> {
    let work = async {
        let mut registry = Registry::of(reference).await?;
        let manifest = registry.manifest().await?;
        let bytes = registry.layer(&manifest).await?;
        let whole = reference.whole();
        let without_digest = whole.split_once('@').map_or(whole.as_str(), |(tagged, _)| tagged);
        Ok((bytes, format!("{SCHEME}{without_digest}@{}", manifest.digest)))
    };
    within_timeout(reference, work).await
}

/// Pushes a component, and returns the digest of its manifest.
///
/// # Errors
/// If the registry does not accept it.
pub async fn push(reference: &Reference, bytes: Vec<u8>, description: &Description) -> Result<String, Error> {
    // oci-client takes rustls' default provider. If one is set already, it is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    within_timeout(reference, push_parts(reference, bytes, description)).await
}

async fn push_parts(reference: &Reference, bytes: Vec<u8>, description: &Description) -> Result<String, Fault> {
    let auth = match login(reference).await? {
        Some((user, password)) => RegistryAuth::Basic(user, password),
        None => RegistryAuth::Anonymous,
    };
    let has_login = auth != RegistryAuth::Anonymous;
    let protocol = if is_local(reference) { ClientProtocol::Http } else { ClientProtocol::Https };
    let config = ClientConfig { protocol, connect_timeout: Some(limits::REGISTRY_CONNECT), ..ClientConfig::default() };
    let client = Client::try_from(config).map_err(|error| Fault::Setup(foreign(&error.to_string())))?;
    // Texts and numbers: this cannot fail.
    let config = serde_json::to_vec(&WasmConfig::of_component(&bytes)).unwrap_or_default();
    let config = Config::new(config, WASM_CONFIG_MEDIA_TYPE.to_owned(), None);
    let layers = [ImageLayer::new(bytes, WASM_LAYER_MEDIA_TYPE.to_owned(), None)];
    let annotation = |key: &str, value: &str| (format!("org.opencontainers.image.{key}"), value.to_owned());
    let annotations = BTreeMap::from([
        annotation("title", &description.name),
        annotation("version", &description.version),
        annotation("description", &description.summary),
    ]);
    let mut manifest = OciImageManifest::build(&layers, &config, Some(annotations));
    manifest.media_type = Some(MANIFEST_MEDIA_TYPE.to_owned());
    let manifest_bytes = serde_json::to_vec(&manifest).unwrap_or_default();
    let manifest_digest = format!("sha256:{}", digest(&manifest_bytes));
    let failed = |error: OciDistributionError| push_fault(reference, has_login, &error);
    client.store_auth_if_needed(reference.resolve_registry(), &auth).await;
    let [layer] = layers;
    client.push_blob(reference, layer.data, &manifest.layers[0].digest).await.map_err(failed)?;
    client.push_blob(reference, config.data, &manifest.config.digest).await.map_err(failed)?;
    let media_type = HeaderValue::from_static(MANIFEST_MEDIA_TYPE);
    client.push_manifest_raw(reference, manifest_bytes, media_type).await.map_err(failed)?;
    Ok(manifest_digest)
}

/// Runs a transfer within its timeout.
async fn within_timeout<T>(reference: &Reference, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Error> {
    let result = tokio::time::timeout(limits::TRANSFER_TIMEOUT, work).await;
    result
        .unwrap_or(Err(Fault::Timeout(limits::TRANSFER_TIMEOUT)))
        .map_err(|fault| Error::Transfer { reference: reference.to_string(), fault })
}

/// Returns the fault of a failed push.
fn push_fault(reference: &Reference, has_login: bool, error: &OciDistributionError) -> Fault {
    let registry = reference.registry();
    match error {
        OciDistributionError::ServerError { code: 401, .. }
        | OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_) => unauthorized(registry, has_login),
        OciDistributionError::ServerError { code, message, .. } => Fault::Rejected {
            registry: registry.to_owned(),
            status: StatusCode::from_u16(*code).map_or_else(|_| code.to_string(), |status| status.to_string()),
            message: foreign(message),
        },
        OciDistributionError::RequestError(error) => no_response(registry, error),
        error => Fault::Push(foreign(&error.to_string())),
    }
}

fn unauthorized(registry: &str, has_login: bool) -> Fault {
    let registry = registry.to_owned();
    if has_login { Fault::LoginRejected(registry) } else { Fault::LoginRequired(registry) }
}

fn no_response(registry: &str, error: &reqwest::Error) -> Fault {
    Fault::NoResponse { registry: registry.to_owned(), reason: foreign(&root_cause(error)) }
}

/// Returns true for a registry on this machine.
fn is_local(reference: &Reference) -> bool {
    let registry = reference.registry();
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Returns the user and the password that docker stores for a registry, if any.
async fn login(reference: &Reference) -> Result<Option<(String, String)>, Fault> {
    let registry = reference.registry().to_owned();
    let server = registry.clone();
    let unreadable = |reason: &str| Fault::Login { registry: registry.clone(), reason: foreign(reason) };
    // A credential helper is a program of its own, which can take its time.
    let login = tokio::task::spawn_blocking(move || docker_credential::get_credential(&server))
        .await
        .map_err(|error| unreadable(&error.to_string()))?;
    match login {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Some((user, password))),
        Ok(DockerCredential::IdentityToken(_)) => Err(Fault::IdentityToken(registry)),
        Err(
            CredentialRetrievalError::NoCredentialConfigured
            | CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::ConfigReadError,
        ) => Ok(None),
        // The sentence with which docker's helpers report that they have no login.
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
            Ok(None)
        }
        Err(error) => Err(unreadable(&error.to_string())),
    }
}

/// A registry from which one component is fetched.
struct Registry<'a> {
    reference: &'a Reference,
    http: reqwest::Client,
    login: Option<(String, String)>,
    authorization: Option<HeaderValue>,
}

/// The parts of a manifest that are used.
struct Manifest {
    digest: String,
    layer: String,
    size: u64,
}

/// A token server's response.
#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

impl Registry<'_> {
    async fn of(reference: &Reference) -> Result<Registry<'_>, Fault> {
        let is_local = is_local(reference);
        let roots = tls::native_roots().map_err(|error| Fault::Setup(foreign(&error.to_string())))?;
        let tls = tls::client(roots).map_err(|error| Fault::Setup(foreign(&error.to_string())))?;
        let http = reqwest::Client::builder()
            .user_agent(concat!("mackerel-plugin-wasm/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls.with_no_client_auth())
            .https_only(!is_local)
            .connect_timeout(limits::REGISTRY_CONNECT)
            .read_timeout(limits::REGISTRY_SILENCE);
        let http = if is_local { http.no_proxy() } else { http };
        let http = http.build().map_err(|error| Fault::Setup(foreign(&error.to_string())))?;
        Ok(Registry { reference, http, login: login(reference).await?, authorization: None })
    }

    fn url(&self, rest: &str) -> String {
        let scheme = if is_local(self.reference) { "http" } else { "https" };
        let (registry, repository) = (self.reference.resolve_registry(), self.reference.repository());
        format!("{scheme}://{registry}/v2/{repository}/{rest}")
    }

    /// Fetches the manifest, and checks the digest of the reference, if it has one.
    async fn manifest(&mut self) -> Result<Manifest, Fault> {
        let wanted = self.reference.digest().or(self.reference.tag()).unwrap_or("latest");
        let url = self.url(&format!("manifests/{wanted}"));
        let response = self.get(&url, MANIFESTS).await?;
        let bytes = body(response, "manifest", limits::REGISTRY_RESPONSE.as_u64()).await?;
        let found = format!("sha256:{}", digest(&bytes));
        if let Some(wanted) = self.reference.digest().filter(|wanted| *wanted != found) {
            return Err(Fault::Digest { part: "manifest", found, wanted: wanted.to_owned() });
        }
        match serde_json::from_slice(&bytes).map_err(|_| Fault::Manifest)? {
            OciManifest::Image(manifest) => Manifest::of_component(found, &manifest),
            OciManifest::ImageIndex(_) => Err(Fault::Index),
        }
    }

    /// Fetches the component, and checks its digest.
    async fn layer(&mut self, manifest: &Manifest) -> Result<Vec<u8>, Fault> {
        let url = self.url(&format!("blobs/{}", manifest.layer));
        let response = self.get(&url, "*/*").await?;
        let bytes = body(response, "component", manifest.size).await?;
        let found = format!("sha256:{}", digest(&bytes));
        if found != manifest.layer {
            return Err(Fault::Digest { part: "component", found, wanted: manifest.layer.clone() });
        }
        Ok(bytes)
    }

    /// Sends a GET request, and repeats it with authorization if the registry requires it.
    async fn get(&mut self, url: &str, accept: &'static str) -> Result<Response, Fault> {
        let registry = self.reference.registry();
        let mut response = self.send(self.http.get(url).header(ACCEPT, accept)).await?;
        if response.status() == StatusCode::UNAUTHORIZED && self.authorization.is_none() {
            self.authorization = self.authorization(response.headers()).await?;
            if self.authorization.is_some() {
                response = self.send(self.http.get(url).header(ACCEPT, accept)).await?;
            }
        }
        let name = || registry.to_owned();
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::UNAUTHORIZED => Err(unauthorized(registry, self.login.is_some())),
            StatusCode::FORBIDDEN => Err(match &self.login {
                Some((user, _)) => Fault::Forbidden { registry: name(), user: foreign(user) },
                None => Fault::LoginRequired(name()),
            }),
            StatusCode::NOT_FOUND => Err(Fault::NotFound(name())),
            status => Err(Fault::Status { registry: name(), status }),
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Fault> {
        let request = match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        };
        request.send().await.map_err(|error| no_response(self.reference.registry(), &error))
    }

    /// Returns the Authorization header that answers a challenge, or `None`.
    async fn authorization(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Fault> {
        let header = headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        for challenge in parse_challenges(header).unwrap_or_default() {
            let parameter = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                return Ok(self.basic());
            }
            if let (true, Some(realm)) = (challenge.scheme.eq_ignore_ascii_case("bearer"), parameter("realm")) {
                return self.token(&realm, parameter("service")).await.map(Some);
            }
        }
        Ok(None)
    }

    /// Returns the login as a basic Authorization header.
    fn basic(&self) -> Option<HeaderValue> {
        let (user, password) = self.login.as_ref()?;
        let request = self.http.get("http://localhost").basic_auth(user, Some(password)).build().ok()?;
        request.headers().get(AUTHORIZATION).cloned()
    }

    /// Requests a token to pull from the server that the registry names.
    async fn token(&self, realm: &str, service: Option<String>) -> Result<HeaderValue, Fault> {
        let registry = self.reference.registry();
        let failed = |reason: String| Fault::Token { registry: registry.to_owned(), realm: foreign(realm), reason };
        let scope = format!("repository:{}:pull", self.reference.repository());
        let mut query = vec![("scope", scope)];
        query.extend(service.map(|service| ("service", service)));
        let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let separator = if realm.contains('?') { '&' } else { '?' };
        let mut request = self.http.get(format!("{realm}{separator}{query}"));
        if let Some(basic) = self.basic() {
            request = request.header(AUTHORIZATION, basic);
        }
        let response = request
            .send()
            .await
            .map_err(|error| failed(format!("did not respond: {}", foreign(&root_cause(&error)))))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(unauthorized(registry, self.login.is_some()));
            }
            status => return Err(failed(format!("returned HTTP {status}"))),
        }
        let bytes = body(response, "token", limits::REGISTRY_RESPONSE.as_u64()).await?;
        let invalid = || failed("returned no valid token".to_owned());
        let token: Token = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.token)).map_err(|_| invalid())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Manifest {
    /// Takes the component's layer out of a manifest with this digest.
    fn of_component(digest: String, manifest: &OciImageManifest) -> Result<Manifest, Fault> {
        let layer = match &manifest.layers[..] {
            [layer] if layer.media_type == WASM_LAYER_MEDIA_TYPE => layer,
            layers => {
                let types: Vec<&str> = layers.iter().take(3).map(|layer| layer.media_type.as_str()).collect();
                return Err(Fault::Layers { count: layers.len(), types: foreign(&types.join(", ")) });
            }
        };
        if !is_digest(&layer.digest) {
            return Err(Fault::ManifestDigest(foreign(&layer.digest)));
        }
        let size = u64::try_from(layer.size).unwrap_or_default();
        if size > limits::COMPONENT_SIZE.as_u64() {
            return Err(Fault::Size(limits::COMPONENT_SIZE));
        }
        Ok(Manifest { digest, layer: layer.digest.clone(), size })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_its_registry() {
        let whole = |text: &str| parse(text).map(|reference| reference.whole()).map_err(|error| error.to_string());
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(whole("oci://registry.example.com/a/b:1"), Ok("registry.example.com/a/b:1".to_owned()));
        assert_eq!(whole("registry.example.com/a"), Ok("registry.example.com/a:latest".to_owned()));
        assert_eq!(whole("localhost/a:1"), Ok("localhost/a:1".to_owned()));
        let pinned = format!("registry.example.com:5000/a:1@{digest}");
        assert_eq!(whole(&pinned), Ok(pinned));
        for wrong in [
            "a",
            "a/b:1",
            "oci://a/b",
            "oci://",
            "registry.example.com/A:1",
            "registry.example.com/a@sha256:0",
            "",
            "/",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_registry_on_this_machine_is_used_without_tls() {
        let is_local = |text: &str| is_local(&parse(text).expect("a reference"));
        assert!(is_local("localhost:5000/a") && is_local("localhost/a") && is_local("127.0.0.1:5000/a"));
        let others = ["10.0.0.1:5000/a", "localhost.example.com/a", "127.example.com:80/a", "registry.example.com/a"];
        assert!(!others.iter().any(|text| is_local(text)));
    }
}
