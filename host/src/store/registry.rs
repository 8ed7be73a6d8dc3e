//! Registries: where components are kept as OCI artifacts, one layer each, and known by their digests.
//!
//! What a registry sends is foreign until its digest is right: every answer is bounded in size and all of them in time, and text of it
//! is shown as foreign text. oci-client reads answers whole, whatever their size; so components are fetched here, and only the push,
//! to a registry that its user trusts with a login, is left to it.
//!
//! Registries of this machine speak plain HTTP, as docker has it; all others HTTPS, also where they send somebody else. Logins are
//! those that docker keeps. The environment's proxy is asked as by other tools.

use std::collections::BTreeMap;
use std::net::IpAddr;

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
use crate::error::Error;
use crate::limits;
use crate::sandbox::Description;
use crate::store::digest::digest;
use crate::text::{foreign, root_cause};
use crate::tls;

/// What a reference may begin with.
pub const SCHEME: &str = "oci://";

/// The manifests that are understood, if only to say what they are.
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

/// Reads a reference, `oci://` in front or not.
///
/// # Errors
/// A usage error where it is none, or names no registry.
pub fn parse(text: &str) -> Result<Reference, Error> {
    let wrong = |why: &str| {
        Error::usage(format!(
            "{}: {why}: expected oci://REGISTRY/REPOSITORY:TAG, or @sha256:… for the tag",
            foreign(text)
        ))
    };
    let plain = text.strip_prefix(SCHEME).unwrap_or(text);
    // Elsewhere, what names no registry is meant for a well-known one.
    let registry = plain.split_once('/').map_or("", |(registry, _)| registry);
    if !registry.contains(['.', ':']) && registry != "localhost" {
        return Err(wrong("it names no registry"));
    }
    let reference: Reference = plain.parse().map_err(|error: oci_client::ParseError| wrong(&error.to_string()))?;
    if reference.digest().is_some_and(|digest| !is_digest(digest)) {
        return Err(wrong("only digests of the kind sha256 are checked"));
    }
    Ok(reference)
}

/// Fetches a component, and gives its bytes and the reference with the manifest's digest, which they were checked against.
///
/// # Errors
/// Where it cannot be had, or is not what the reference or its manifest says.
pub async fn pull(reference: &Reference) -> Result<(Vec<u8>, String), Error> {
    let work = async {
        let mut registry = Registry::of(reference).await?;
        let manifest = registry.manifest().await?;
        let bytes = registry.layer(&manifest).await?;
        // A reference without a digest, and then the digest that was found.
        let whole = reference.whole();
        let tagged = whole.split_once('@').map_or(whole.as_str(), |(tagged, _)| tagged);
        Ok((bytes, format!("{SCHEME}{tagged}@{}", manifest.digest)))
    };
    in_time(reference, work).await
}

/// Puts a component into a registry, and gives its manifest's digest.
///
/// # Errors
/// Where the registry does not take it.
pub async fn push(reference: &Reference, bytes: Vec<u8>, description: &Description) -> Result<String, Error> {
    // Who trusts whom is the same as everywhere here; a provider that was set before is this one too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let protocol = if is_local(reference) { ClientProtocol::Http } else { ClientProtocol::Https };
    let work = async {
        let auth = match login(reference).await? {
            Some((user, password)) => RegistryAuth::Basic(user, password),
            None => RegistryAuth::Anonymous,
        };
        let has_login = auth != RegistryAuth::Anonymous;
        let config =
            ClientConfig { protocol, connect_timeout: Some(limits::REGISTRY_CONNECT), ..ClientConfig::default() };
        let client = Client::try_from(config).map_err(|error| error.to_string())?;
        let config = WasmConfig::of_component(&bytes);
        let config = serde_json::to_vec(&config).map_err(|error| error.to_string())?;
        let config = Config::new(config, WASM_CONFIG_MEDIA_TYPE.to_owned(), None);
        let layer = ImageLayer::new(bytes, WASM_LAYER_MEDIA_TYPE.to_owned(), None);
        let annotation = |key: &str, value: &str| (format!("org.opencontainers.image.{key}"), value.to_owned());
        let annotations = BTreeMap::from([
            annotation("title", &description.name),
            annotation("version", &description.version),
            annotation("description", &description.summary),
        ]);
        let layers = [layer];
        let mut manifest = OciImageManifest::build(&layers, &config, Some(annotations));
        manifest.media_type = Some(MANIFEST_MEDIA_TYPE.to_owned());
        let manifest_bytes = serde_json::to_vec(&manifest).map_err(|error| error.to_string())?;
        let manifest_digest = format!("sha256:{}", digest(&manifest_bytes));
        let wrong = |error: OciDistributionError| refusal(reference, has_login, &error);
        client.store_auth_if_needed(reference.resolve_registry(), &auth).await;
        let [layer] = layers;
        client.push_blob(reference, layer.data, &manifest.layers[0].digest).await.map_err(wrong)?;
        client.push_blob(reference, config.data, &manifest.config.digest).await.map_err(wrong)?;
        let kind = HeaderValue::from_static(MANIFEST_MEDIA_TYPE);
        client.push_manifest_raw(reference, manifest_bytes, kind).await.map_err(wrong)?;
        Ok(manifest_digest)
    };
    in_time(reference, work).await
}

/// Waits for work with a registry, as long as that may take.
async fn in_time<T>(reference: &Reference, work: impl Future<Output = Result<T, String>>) -> Result<T, Error> {
    let failed = |why: String| Error::failed(format!("{SCHEME}{reference}: {why}"));
    let result = tokio::time::timeout(limits::TRANSFER_TIMEOUT, work).await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(limits::TRANSFER_TIMEOUT);
        Err(format!("the transfer was not done after {limit}, which is the limit"))
    });
    result.map_err(failed)
}

/// Words why a push failed.
fn refusal(reference: &Reference, has_login: bool, error: &OciDistributionError) -> String {
    let registry = reference.registry();
    match error {
        OciDistributionError::ServerError { code: 401, .. }
        | OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_) => unauthorized(registry, has_login),
        OciDistributionError::ServerError { code, message, .. } => {
            let status = StatusCode::from_u16(*code).map_or_else(|_| code.to_string(), |status| status.to_string());
            format!("{registry} answered {status} to the push: {}", foreign(message))
        }
        OciDistributionError::RequestError(error) => unreachable(registry, error),
        error => format!("the push failed: {}", foreign(&error.to_string())),
    }
}

fn unauthorized(registry: &str, has_login: bool) -> String {
    let what = if has_login { "refuses the login that docker keeps for it" } else { "asks for a login" };
    format!("{registry} {what}: docker login {registry}")
}

fn unreachable(registry: &str, error: &reqwest::Error) -> String {
    format!("no answer from {registry}: {}", foreign(&root_cause(error)))
}

/// Whether the registry is on this machine.
fn is_local(reference: &Reference) -> bool {
    let registry = reference.registry();
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The user and password that docker keeps for a registry; none where it keeps none.
async fn login(reference: &Reference) -> Result<Option<(String, String)>, String> {
    let registry = reference.registry().to_owned();
    let server = registry.clone();
    // A helper is a program of its own, which can take its time.
    let login = tokio::task::spawn_blocking(move || docker_credential::get_credential(&server)).await;
    match login.map_err(|error| error.to_string())? {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Some((user, password))),
        Ok(DockerCredential::IdentityToken(_)) => Err(format!(
            "docker keeps an identity token for {registry}, which is not understood: docker login with a user and a password or token"
        )),
        Err(
            CredentialRetrievalError::NoCredentialConfigured
            | CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::ConfigReadError,
        ) => Ok(None),
        Err(CredentialRetrievalError::HelperFailure { helper, stdout, .. }) if is_unknown(&stdout) => {
            let _ = helper;
            Ok(None)
        }
        Err(error) => {
            Err(format!("the login that docker keeps for {registry} cannot be had: {}", foreign(&error.to_string())))
        }
    }
}

/// Whether a helper of docker's says that it knows no login, for which it has a sentence of its own.
fn is_unknown(stdout: &str) -> bool {
    stdout.contains("credentials not found")
}

/// A registry that one component is fetched from.
struct Registry<'a> {
    reference: &'a Reference,
    http: reqwest::Client,
    login: Option<(String, String)>,
    authorization: Option<HeaderValue>,
}

/// What a manifest says of a component.
struct Manifest {
    digest: String,
    layer: String,
    size: u64,
}

/// A registry's permission to pull.
#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

impl Registry<'_> {
    async fn of(reference: &Reference) -> Result<Registry<'_>, String> {
        let is_local = is_local(reference);
        let tls = tls::client(tls::native_roots())?.with_no_client_auth();
        let http = reqwest::Client::builder()
            .user_agent(concat!("mackerel-plugin-wasm/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls)
            .https_only(!is_local)
            .connect_timeout(limits::REGISTRY_CONNECT)
            .read_timeout(limits::REGISTRY_SILENCE);
        let http = if is_local { http.no_proxy() } else { http };
        let http = http.build().map_err(|error| error.to_string())?;
        Ok(Registry { reference, http, login: login(reference).await?, authorization: None })
    }

    fn url(&self, rest: &str) -> String {
        let scheme = if is_local(self.reference) { "http" } else { "https" };
        let (registry, repository) = (self.reference.resolve_registry(), self.reference.repository());
        format!("{scheme}://{registry}/v2/{repository}/{rest}")
    }

    /// Fetches the manifest and checks it, against the reference's digest where that has one.
    async fn manifest(&mut self) -> Result<Manifest, String> {
        let wanted = self.reference.digest().or(self.reference.tag()).unwrap_or("latest");
        let url = self.url(&format!("manifests/{wanted}"));
        let answer = self.get(&url, MANIFESTS).await?;
        let limit = limits::REGISTRY_ANSWER;
        let bytes = self.body(answer, "the manifest", limit.as_u64()).await?;
        let found = format!("sha256:{}", digest(&bytes));
        if let Some(wanted) = self.reference.digest().filter(|wanted| *wanted != found) {
            return Err(format!("the manifest that came has another digest: {found} instead of {wanted}"));
        }
        let manifest: OciManifest = serde_json::from_slice(&bytes)
            .map_err(|error| format!("what came as its manifest is none: {}", foreign(&error.to_string())))?;
        let manifest = match manifest {
            OciManifest::Image(manifest) => manifest,
            OciManifest::ImageIndex(_) => {
                return Err("is no component but a list of images for several kinds of machines".to_owned());
            }
        };
        match &manifest.layers[..] {
            [layer] if layer.media_type == WASM_LAYER_MEDIA_TYPE => {
                if !is_digest(&layer.digest) {
                    return Err(format!("its manifest names '{}', which is no digest", foreign(&layer.digest)));
                }
                let size = u64::try_from(layer.size).unwrap_or_default();
                let limit = limits::COMPONENT_SIZE;
                if size > limit.as_u64() {
                    return Err(format!("is larger than {:.0}, which is the limit", limit.display().iec()));
                }
                Ok(Manifest { digest: found, layer: layer.digest.clone(), size })
            }
            layers => {
                let kinds: Vec<&str> = layers.iter().take(3).map(|layer| layer.media_type.as_str()).collect();
                Err(format!(
                    "is no component, which has one layer of the type {WASM_LAYER_MEDIA_TYPE}: it has {} ({})",
                    layers.len(),
                    foreign(&kinds.join(", "))
                ))
            }
        }
    }

    /// Fetches the component.
    async fn layer(&mut self, manifest: &Manifest) -> Result<Vec<u8>, String> {
        let url = self.url(&format!("blobs/{}", manifest.layer));
        let answer = self.get(&url, "*/*").await?;
        let bytes = self.body(answer, "the component", manifest.size).await?;
        let found = format!("sha256:{}", digest(&bytes));
        if found != manifest.layer {
            let wanted = &manifest.layer;
            return Err(format!("the component that came has another digest: {found} instead of {wanted}"));
        }
        Ok(bytes)
    }

    /// Asks for something, and once more with the registry's permission where it wants one.
    async fn get(&mut self, url: &str, accept: &'static str) -> Result<Response, String> {
        let registry = self.reference.registry();
        let mut answer = self.send(self.http.get(url).header(ACCEPT, accept)).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && self.authorization.is_none() {
            self.authorization = self.permission(answer.headers()).await?;
            if self.authorization.is_some() {
                answer = self.send(self.http.get(url).header(ACCEPT, accept)).await?;
            }
        }
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::UNAUTHORIZED => Err(unauthorized(registry, self.login.is_some())),
            StatusCode::FORBIDDEN => Err(match &self.login {
                Some((user, _)) => format!("{registry} does not let {} read it", foreign(user)),
                None => format!("{registry} lets nobody read it without a login: docker login {registry}"),
            }),
            StatusCode::NOT_FOUND => Err(format!("{registry} has no such repository, tag or digest")),
            status => Err(format!("{registry} answered {status}")),
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, String> {
        let request = match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        };
        request.send().await.map_err(|error| unreachable(self.reference.registry(), &error))
    }

    /// What is to be shown to a registry that wants to know who asks, by what it says of that; none where nothing can be.
    async fn permission(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, String> {
        let wanted = headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let challenges = parse_challenges(wanted).unwrap_or_default();
        for challenge in challenges {
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

    /// The login, as it is shown.
    fn basic(&self) -> Option<HeaderValue> {
        let (user, password) = self.login.as_ref()?;
        let request = self.http.get("http://localhost").basic_auth(user, Some(password)).build().ok()?;
        request.headers().get(AUTHORIZATION).cloned()
    }

    /// Asks for the permission to pull where the registry says that it is given.
    async fn token(&self, realm: &str, service: Option<String>) -> Result<HeaderValue, String> {
        let registry = self.reference.registry();
        let failed = |why: &str| format!("{registry} sends to {} for a permission, and {why}", foreign(realm));
        let scope = format!("repository:{}:pull", self.reference.repository());
        let mut query = vec![("scope", scope)];
        query.extend(service.map(|service| ("service", service)));
        let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let joint = if realm.contains('?') { '&' } else { '?' };
        let mut request = self.http.get(format!("{realm}{joint}{query}"));
        if let Some(basic) = self.basic() {
            request = request.header(AUTHORIZATION, basic);
        }
        let answer = request.send().await.map_err(|error| failed(&foreign(&root_cause(&error)).to_string()))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(unauthorized(registry, self.login.is_some()));
            }
            status => return Err(failed(&format!("that answered {status}"))),
        }
        let bytes = self.body(answer, "the permission", limits::REGISTRY_ANSWER.as_u64()).await?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|_| failed("what came is none"))?;
        let mut value =
            HeaderValue::try_from(format!("Bearer {}", token.token)).map_err(|_| failed("what came is none"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Reads an answer's body, of so many bytes at most.
    async fn body(&self, mut answer: Response, what: &str, limit: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        loop {
            let part = answer.chunk().await;
            let part = part.map_err(|error| format!("{what} did not come whole: {}", foreign(&root_cause(&error))))?;
            let Some(part) = part else { return Ok(bytes) };
            if (bytes.len() + part.len()) as u64 > limit {
                return Err(format!("{what} that came is larger than {limit} bytes, as it may be at most"));
            }
            bytes.extend_from_slice(&part);
        }
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
    fn only_this_machine_is_asked_without_tls() {
        let is_local = |text: &str| is_local(&parse(text).expect("a reference"));
        assert!(is_local("localhost:5000/a") && is_local("localhost/a") && is_local("127.0.0.1:5000/a"));
        let others = ["10.0.0.1:5000/a", "localhost.example.com/a", "127.example.com:80/a", "registry.example.com/a"];
        assert!(!others.iter().any(|text| is_local(text)));
    }
}
