//! Collectors from registries: a real one, with and without a login, and fake ones with faults.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use scenarios::agent::{Agent, Output, component};
use scenarios::fake_registry::{FakeRegistry, response};
use scenarios::go::Program;
use scenarios::http::{self, Reply};
use scenarios::local::Local;
use scenarios::registry::{LOGIN, Registry};
use scenarios::third_party::{named, padded, sha256};
use scenarios::{mask, port};
use serde_json::{Value, json};
use tempfile::TempDir;

/// [`LOGIN`] as files of logins have it.
const AUTH: &str = "YWxpOm9wZW4gc2VzYW1l";

/// An author and an operator on one machine: files to push, a folder to install into, and docker's configuration.
struct Shipping {
    agent: Agent,
    folder: TempDir,
}

impl Shipping {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let agent = Agent::without_engine()
            .with_env("DOCKER_CONFIG", folder.path())
            .with_env("MACKEREL_PLUGIN_WASM_STORE", folder.path().join("store"))
            .with_env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()));
        let shipping = Self { agent, folder };
        shipping.file("strange.wasm", &named("strange"));
        shipping
    }

    /// Writes a file and returns its path.
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).expect("a file in a folder of our own");
        path
    }

    /// Creates a credential helper of docker, called `here`, with these commands.
    fn helper(&self, commands: &str) {
        self.install_helper(&format!("#!/bin/sh\ncat >/dev/null\n{commands}\n"));
    }

    fn install_helper(&self, script: &str) {
        let text = self.file("helper.txt", script.as_bytes());
        // Through another process: a program cannot be started while a process has it open for writing, such as a child
        // of another scenario.
        let mut install = Command::new("install");
        install.args(["-m", "755"]).arg(text).arg(self.folder.path().join("docker-credential-here"));
        assert!(install.status().expect("install").success());
    }

    /// Writes docker's file of logins.
    fn config(&self, content: &Value) {
        self.file("config.json", content.to_string().as_bytes());
    }

    fn install(&self, reference: &str) -> Output {
        self.agent.run(&format!("install {reference}"))
    }

    fn push(&self, name: &str, reference: &str) -> Output {
        self.agent.run(&format!("push {} {reference}", self.folder.path().join(name).display()))
    }

    /// Returns the pinned digest of the component.
    fn pinned(&self) -> String {
        let pin = fs::read_to_string(self.folder.path().join("store/strange.json")).expect("a pin");
        let pin: Value = serde_json::from_str(&pin).expect("JSON");
        pin["digest"].as_str().expect("a digest").to_owned()
    }

    fn mask(&self, text: &str) -> String {
        let text = mask::path(text, self.folder.path(), "FOLDER");
        mask::size(&mask::digests(&mask::ports(&text)))
    }
}

/// Returns the rest of the line that begins with this key.
#[track_caller]
fn value<'o>(output: &'o Output, key: &str) -> &'o str {
    let line = output.stdout.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_else(|| panic!("no {key} in {output}")).trim()
}

#[test]
fn tag_is_resolved_at_install_time() {
    let Some(registry) = Registry::start() else { return };
    let shipping = Shipping::new();
    let tag = format!("{}/team/strange:1", registry.address());
    let [first, second] = [named("strange"), padded(named("strange"), 100)];
    shipping.file("second.wasm", &second);

    let pushed = shipping.push("strange.wasm", &tag).exits(0).without_diagnostics();
    let one = value(&pushed, "digest ").to_owned();
    assert_eq!(value(&pushed, "component "), format!("sha256:{}", sha256(&first)));
    let manifest = http::get(registry.address(), &format!("/v2/team/strange/manifests/{one}")).expect("a manifest");
    assert_eq!(one, format!("sha256:{}", sha256(manifest.as_bytes())), "{manifest}");

    let installed = shipping.install(&format!("oci://{tag}")).exits(0).without_diagnostics();
    assert!(value(&installed, "origin ").starts_with(&format!("oci://{tag}@{one}, ")), "{installed}");
    assert_eq!(value(&installed, "digest "), format!("sha256:{}", sha256(&first)));
    assert_eq!(shipping.pinned(), sha256(&first));

    let two = value(&shipping.push("second.wasm", &format!("oci://{tag}")).exits(0), "digest ").to_owned();
    assert_ne!(one, two);
    assert_eq!(shipping.pinned(), sha256(&first), "the pin changed with the tag");
    let again = shipping.install(&tag).exits(0).without_diagnostics();
    assert_eq!(shipping.pinned(), sha256(&second));
    let _ = shipping.install(&format!("oci://{tag}@{one}")).exits(0).without_diagnostics();
    assert_eq!(shipping.pinned(), sha256(&first), "the old one is still available by digest");
    let without_tag = tag.strip_suffix(":1").expect("a tag");
    let _ = shipping.install(&format!("oci://{without_tag}@{two}")).exits(0).without_diagnostics();
    assert_eq!(shipping.pinned(), sha256(&second));

    let head = again.stdout.lines().take(4).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(shipping.mask(&format!("{}\n{head}", pushed.stdout)));
}

#[test]
fn pushed_artifact_follows_the_oci_conventions() {
    let Some(registry) = Registry::start() else { return };
    let shipping = Shipping::new();
    let _ = shipping.push("strange.wasm", &format!("{}/strange:1", registry.address())).exits(0);
    let get = |path: &str| http::get(registry.address(), &format!("/v2/strange/{path}")).expect("an answer");
    let mut manifest: Value = serde_json::from_str(&get("manifests/1")).expect("JSON");
    let digest = manifest["config"]["digest"].as_str().expect("a digest").to_owned();
    let mut config: Value = serde_json::from_str(&get(&format!("blobs/{digest}"))).expect("JSON");
    assert_eq!(config["layerDigests"], json!([format!("sha256:{}", sha256(&named("strange")))]));
    let names = |side: &str| -> Vec<String> {
        let names = config["component"][side].as_array().expect("a list").iter();
        // The version of the contract depends on the component.
        let names = names.map(|name| name.as_str().expect("a name").split('@').next().expect("a name").to_owned());
        names.collect()
    };
    assert_eq!(names("exports"), ["mackerel:collector/metrics"]);
    assert!(names("imports").contains(&"mackerel:collector/http".to_owned()), "{config}");
    manifest["config"]["size"] = json!("SIZE");
    manifest["layers"][0]["size"] = json!("SIZE");
    for volatile in ["created", "component"] {
        config[volatile] = json!("VOLATILE");
    }
    let text = format!("{manifest:#}\n{config:#}");
    insta::assert_snapshot!(shipping.mask(&text));
}

#[test]
fn login_is_that_of_docker() {
    let Some(registry) = Registry::with_login() else { return };
    let shipping = Shipping::new();
    let address = registry.address();
    let reference = format!("oci://{address}/strange:1");
    let both = || {
        let push = shipping.push("strange.wasm", &reference);
        [push, shipping.install(&reference)]
    };
    let refused = || both().map(|output| shipping.mask(&output.exits(1).stderr)).concat();
    let accepted = || both().map(|output| drop(output.exits(0).without_diagnostics()));
    let entry = |entry: Value| shipping.config(&json!({"auths": {address.to_string(): entry}}));

    let without = refused();
    // Base64 of "ali:wrong".
    entry(json!({"auth": "YWxpOndyb25n"}));
    let wrong = refused();
    shipping.config(&json!({"auths": {"registry.example.com": {"auth": AUTH}}}));
    let of_another = refused();
    assert_eq!(of_another, without, "the login of another registry was sent");
    let unusable = [
        json!({"identitytoken": "token"}),
        json!({"auth": "no Base64"}),
        json!({"auth": 5}),
        json!({"auth": AUTH, "username": "eve", "password": "other"}),
    ]
    .map(|content| {
        entry(content);
        refused()
    });
    let broken = ["", "{", "[]", "{\"auths\": 5}"].map(|text| {
        shipping.file("config.json", text.as_bytes());
        refused()
    });

    let (user, password) = LOGIN;
    // An empty identity token counts as missing, and odd entries of others do not matter.
    let good = [
        json!({"auth": AUTH}),
        json!({"auth": AUTH, "identitytoken": ""}),
        json!({"username": user, "password": password}),
    ];
    for content in good {
        shipping.config(&json!({"auths": {address.to_string(): content, "other.example.com": 5}, "credsStore": ""}));
        accepted();
    }
    for key in [format!("https://{address}"), format!("http://{address}/v1/"), format!("{address}/strange")] {
        shipping.config(&json!({"auths": {key: {"auth": AUTH}}}));
        accepted();
    }

    let helper = |content: Value| {
        shipping.config(&content);
        refused()
    };
    let missing = helper(json!({"credHelpers": {address.to_string(): "missing"}}));
    let answer = json!({"ServerURL": address.to_string(), "Username": user, "Secret": password});
    shipping.helper(&format!("echo '{answer}'"));
    for content in [json!({"credHelpers": {address.to_string(): "here"}}), json!({"credsStore": "here"})] {
        shipping.config(&content);
        accepted();
    }
    // A helper that is asked about every registry knows few of them.
    shipping.helper("echo 'credentials not found in native keychain'; exit 1");
    assert_eq!(helper(json!({"credsStore": "here"})), without);
    shipping.helper("echo 'the keychain is locked' >&2; exit 1");
    let locked = refused();
    shipping.helper("echo no JSON");
    let invalid = refused();

    let lines = [&[without, wrong][..], &unusable, &broken, &[missing, locked, invalid]].concat();
    insta::assert_snapshot!(lines.concat());
}

#[test]
fn login_is_that_of_podman_if_docker_has_none() {
    let Some(registry) = Registry::with_login() else { return };
    let mut shipping = Shipping::new();
    let address = registry.address();
    let reference = format!("{address}/team/strange:1");
    let login = json!({"auths": {address.to_string(): {"auth": AUTH}}}).to_string();
    let of_namespace =
        json!({"auths": {address.to_string(): {"auth": "YWxpOndyb25n"}, format!("{address}/team"): {"auth": AUTH}}});
    let folder = shipping.folder.path().to_owned();
    fs::create_dir_all(folder.join("run/containers")).expect("a folder");
    fs::create_dir_all(folder.join("home/.config/containers")).expect("a folder");
    shipping.agent =
        shipping.agent.with_env("XDG_RUNTIME_DIR", folder.join("run")).with_env("HOME", folder.join("home"));
    let refused = |shipping: &Shipping| shipping.mask(&shipping.push("strange.wasm", &reference).exits(1).stderr);
    let without = refused(&shipping);
    for (place, content) in [
        ("run/containers/auth.json", &login),
        ("home/.config/containers/auth.json", &login),
        ("config.json", &login),
        ("run/containers/auth.json", &of_namespace.to_string()),
    ] {
        shipping.file(place, content.as_bytes());
        let _ = shipping.push("strange.wasm", &reference).exits(0).without_diagnostics();
        fs::remove_file(folder.join(place)).expect("our own file");
        assert_eq!(refused(&shipping), without);
    }
    // The file that the operator chose is the only one.
    let chosen = shipping.file("chosen.json", login.as_bytes());
    shipping.file("config.json", b"{");
    shipping.agent = shipping.agent.with_env("REGISTRY_AUTH_FILE", &chosen);
    let _ = shipping.push("strange.wasm", &reference).exits(0).without_diagnostics();
    fs::remove_file(&chosen).expect("our own file");
    insta::assert_snapshot!(without + &refused(&shipping), @"
    mackerel-plugin-wasm: oci://127.0.0.1:PORT/team/strange:1: 127.0.0.1:PORT requires a login: docker login 127.0.0.1:PORT
    mackerel-plugin-wasm: oci://127.0.0.1:PORT/team/strange:1: cannot read REGISTRY_AUTH_FILE FOLDER/chosen.json: No such file or directory (os error 2)
    ");
}

#[test]
fn login_of_docker_hub_has_its_own_key() {
    let Some(registry) = Registry::with_login() else { return };
    let certificates = TempDir::new().expect("a temporary folder");
    let folder = certificates.path().display().to_string();
    let to = format!("tcp:{}", registry.address());
    let arguments = ["-to", &to, "-for", "index.docker.io", "-certificates", &folder];
    let Some(front) = Local::start(Program::TlsFront, &arguments) else { return };
    let (proxy, _) = proxy(front.target().parse().expect("an address"));
    let mut shipping = Shipping::new();
    shipping.agent = shipping
        .agent
        .with_env("HTTPS_PROXY", format!("http://{proxy}"))
        .with_env("SSL_CERT_FILE", certificates.path().join("ca.pem"));
    let push = || shipping.push("strange.wasm", "oci://docker.io/team/strange:1");
    let without = push().exits(1).stderr;
    for key in ["https://index.docker.io/v1/", "index.docker.io", "docker.io"] {
        shipping.config(&json!({"auths": {key: {"auth": AUTH}}}));
        let _ = push().exits(0).without_diagnostics();
    }
    let (user, password) = LOGIN;
    let answer = json!({"ServerURL": "", "Username": user, "Secret": password});
    let helper = format!("#!/bin/sh\n[ \"$(cat)\" = https://index.docker.io/v1/ ] && echo '{answer}'\n");
    shipping.install_helper(&helper);
    for content in [json!({"credsStore": "here"}), json!({"credHelpers": {"https://index.docker.io/v1/": "here"}})] {
        shipping.config(&content);
        let _ = push().exits(0).without_diagnostics();
    }
    insta::assert_snapshot!(without, @"mackerel-plugin-wasm: oci://docker.io/team/strange:1: docker.io requires a login: docker login docker.io");
}

/// Starts a registry with these replies, which listens until the test process ends. Returns its address.
fn registry(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> SocketAddr {
    let listener = port::listen();
    let port = listener.local_addr().expect("a bound listener has an address").port();
    mem::forget(http::serve(listener, answer));
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Returns a manifest with one layer.
fn manifest(kind: &str, digest: &str, size: usize) -> Value {
    let config = json!({"mediaType": "application/vnd.wasm.config.v0+json", "digest": digest, "size": 2});
    let layer = json!({"mediaType": kind, "digest": digest, "size": size});
    json!({"schemaVersion": 2, "config": config, "layers": [layer]})
}

#[test]
fn faulty_registry_is_one_line_and_installs_nothing() {
    let text = "no component at all";
    let digest = format!("sha256:{}", sha256(text.as_bytes()));
    let good = manifest("application/wasm", &digest, text.len());
    let whole = |body: &Value| Reply::Whole(200, body.to_string());
    let status =
        |status| Reply::Whole(status, json!({"errors": [{"code": "DENIED", "message": "a\u{1b}[2Jword"}]}).to_string());
    let image = "application/vnd.oci.image.layer.v1.tar+gzip";
    let two = json!({"schemaVersion": 2, "config": good["config"], "layers": [good["layers"][0], good["layers"][0]]});
    let index = json!({"schemaVersion": 2, "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 2,
         "platform": {"os": "linux", "architecture": "amd64"}}]});
    let large = manifest("application/wasm", &digest, (64 << 20) + 1);
    let odd = manifest("application/wasm", "sha256:../../../secret", 3);
    let flood = |head: &str| Reply::Flood(format!("HTTP/1.1 200 OK\r\n{head}\r\n{{\"a\": \""), "x".to_owned());
    let endless = flood("");
    let promised = flood("Content-Length: 200000000\r\n");
    let cut = Reply::Half(good.to_string());
    let chunks = Reply::Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc".to_owned());
    let basic = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let digest_scheme = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest nonce=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

    let shipping = Shipping::new();
    // Each case has the replies for the manifest and for the component.
    let cases = [
        ("404", status(404), status(404)),
        ("403", status(403), status(403)),
        ("401", status(401), status(401)),
        ("basic", Reply::Raw(basic.to_owned()), status(401)),
        ("digest-scheme", Reply::Raw(digest_scheme.to_owned()), status(401)),
        ("500", status(500), status(500)),
        ("no-manifest", whole(&json!(["words"])), status(404)),
        ("no-http", Reply::Raw("SSH-2.0-OpenSSH\r\n".to_owned()), status(404)),
        ("nothing", Reply::Raw(String::new()), status(404)),
        ("silence", Reply::NoResponse, status(404)),
        ("cut-manifest", cut, status(404)),
        ("cut-chunks", chunks, status(404)),
        ("endless-manifest", endless.clone(), status(404)),
        ("promised-manifest", promised.clone(), status(404)),
        ("image", whole(&manifest(image, &digest, 3)), status(404)),
        ("two-layers", whole(&two), status(404)),
        ("index", whole(&index), status(404)),
        ("too-large", whole(&large), endless.clone()),
        ("no-digest", whole(&odd), status(404)),
        ("no-component", whole(&good), status(404)),
        ("cut-component", whole(&good), Reply::Half(text.to_owned())),
        ("endless-component", whole(&good), endless),
        ("another-component", whole(&good), Reply::Whole(200, "no component either".to_owned())),
        ("no-collector", whole(&good), Reply::Whole(200, text.to_owned())),
    ];
    let lines = cases.map(|(name, of_manifest, of_component)| {
        let address = registry(move |path| {
            assert!(path.starts_with("/v2/team/thing/"), "{path}");
            if path.contains("/blobs/") { of_component.clone() } else { of_manifest.clone() }
        });
        let output = shipping.install(&format!("oci://{address}/team/thing:{name}")).exits(1);
        assert_eq!(output.stdout, "");
        assert!(output.peak < 200 << 20, "{} bytes: {output}", output.peak);
        shipping.mask(&output.stderr)
    });
    let wanted = "0".repeat(64);
    let answer = good.clone();
    let address = registry(move |_| Reply::Whole(200, answer.to_string()));
    let other_digest = shipping.install(&format!("oci://{address}/team/thing@sha256:{wanted}")).exits(1).stderr;
    let closed = shipping.install(&format!("oci://127.0.0.1:{}/team/thing:1", port::free())).exits(1).stderr;
    insta::assert_snapshot!(format!("{}{}", lines.concat(), shipping.mask(&format!("{other_digest}{closed}"))));
    assert!(!shipping.folder.path().join("store").exists());
}

/// Starts a registry that requires the token `let-me-in`. Its challenges have these header values, in which `REALM` is
/// its own token server, which returns `token`.
fn with_challenges(challenges: &[&str], token: &str) -> FakeRegistry {
    let challenges: Vec<String> = challenges.iter().map(|value| format!("WWW-Authenticate: {value}")).collect();
    let token = token.to_owned();
    FakeRegistry::start(move |request, address| {
        if request.path.starts_with("/token?") {
            return Some(response("200 OK", &[], token.as_bytes()));
        }
        let realm = |line: &String| line.replace("REALM", &format!("http://{address}/token"));
        let challenges: Vec<String> = challenges.iter().map(realm).collect();
        let challenges: Vec<&str> = challenges.iter().map(String::as_str).collect();
        let is_allowed = request.authorization.as_deref() == Some("Bearer let-me-in");
        (!is_allowed).then(|| response("401 Unauthorized", &challenges, b""))
    })
}

/// A challenge in the usual form.
const BEARER: &str = "Bearer realm=\"REALM\",service=\"a registry\"";

#[test]
fn challenges_are_answered_in_every_form_and_order() {
    let shipping = Shipping::new();
    let both = json!({"token": "let-me-in", "access_token": "let-me-in", "expires_in": 300}).to_string();
    let cases: &[(&[&str], &str)] = &[
        // As Docker Hub and Harbor return it.
        (&[BEARER], &both),
        (&[BEARER], r#"{"token": "let-me-in"}"#),
        (&[BEARER], r#"{"access_token": "let-me-in"}"#),
        (&[BEARER], r#"{"token": "", "access_token": "let-me-in"}"#),
        (&[BEARER], r#"{"access_token": null, "token": "let-me-in"}"#),
        (&["bearer SERVICE=x, Realm=\"REALM\", error=\"invalid_token\""], &both),
        (&["Basic realm=\"a registry\"", BEARER], &both),
        (&[BEARER, "Basic realm=\"a registry\""], &both),
        (&["Basic realm=\"a registry\", Bearer service=x, realm=\"REALM\""], &both),
        (&["Negotiate", BEARER], &both),
        (&["=no challenge", BEARER], &both),
    ];
    for (challenges, token) in cases {
        let registry = with_challenges(challenges, token);
        let reference = format!("oci://{}/team/strange:1", registry.address());
        let _ = shipping.push("strange.wasm", &reference).exits(0).without_diagnostics();
        let _ = shipping.install(&reference).exits(0).without_diagnostics();
    }
}

#[test]
fn token_is_requested_once_with_the_login() {
    let shipping = Shipping::new();
    let registry = with_challenges(&[BEARER], &json!({"token": "let-me-in"}).to_string());
    let address = registry.address();
    shipping.config(&json!({"auths": {address.to_string(): {"auth": AUTH}}}));
    let reference = format!("{address}/team/strange:1");
    let _ = shipping.push("strange.wasm", &reference).exits(0).without_diagnostics();
    let pushed = registry.take_requests();
    let _ = shipping.install(&reference).exits(0).without_diagnostics();
    let both = format!("{}\n\n{}", pushed.join("\n"), registry.take_requests().join("\n"));
    insta::assert_snapshot!(shipping.mask(&both), @"
    HEAD /v2/team/strange/blobs/sha256:DIGEST
    GET /token Basic YWxpOm9wZW4gc2VzYW1l
    HEAD /v2/team/strange/blobs/sha256:DIGEST Bearer let-me-in
    POST /v2/team/strange/blobs/uploads/ Bearer let-me-in
    PUT /v2/team/strange/blobs/uploads/1 Bearer let-me-in
    HEAD /v2/team/strange/blobs/sha256:DIGEST Bearer let-me-in
    POST /v2/team/strange/blobs/uploads/ Bearer let-me-in
    PUT /v2/team/strange/blobs/uploads/1 Bearer let-me-in
    PUT /v2/team/strange/manifests/1 Bearer let-me-in

    GET /v2/team/strange/manifests/1
    GET /token Basic YWxpOm9wZW4gc2VzYW1l
    GET /v2/team/strange/manifests/1 Bearer let-me-in
    GET /v2/team/strange/blobs/sha256:DIGEST Bearer let-me-in
    ");
}

#[test]
fn second_push_of_a_file_uploads_nothing_and_has_the_same_digest() {
    let shipping = Shipping::new();
    let fake = FakeRegistry::start(|_, _| None);
    let real = Registry::start();
    for address in real.iter().map(Registry::address).chain([fake.address()]) {
        let push = || shipping.push("strange.wasm", &format!("{address}/strange:1")).exits(0).without_diagnostics();
        let first = push().stdout;
        let _ = fake.take_requests();
        assert_eq!(push().stdout, first);
    }
    insta::assert_snapshot!(shipping.mask(&fake.take_requests().join("\n")), @"
    HEAD /v2/strange/blobs/sha256:DIGEST
    HEAD /v2/strange/blobs/sha256:DIGEST
    PUT /v2/strange/manifests/1
    ");
}

#[test]
fn failure_after_a_redirect_names_the_other_host() {
    let shipping = Shipping::new();
    let challenge = "WWW-Authenticate: Basic realm=\"storage\"";
    let statuses = ["401 Unauthorized", "403 Forbidden", "404 Not Found", "500 Internal Server Error"];
    let errors = statuses.map(|status| {
        let storage = FakeRegistry::start(move |_, _| Some(response(status, &[challenge], b"the storage's own words")));
        let location = format!("Location: http://{}/blob", storage.address());
        let registry = FakeRegistry::start(move |request, _| {
            let is_asked = request.method == "GET" && request.path.contains("/blobs/");
            is_asked.then(|| response("307 Temporary Redirect", &[&location], b""))
        });
        shipping.config(&json!({"auths": {registry.address().to_string(): {"auth": AUTH}}}));
        let reference = format!("{}/strange:1", registry.address());
        let _ = shipping.push("strange.wasm", &reference).exits(0);
        let error = shipping.install(&reference).exits(1).stderr;
        assert_eq!(storage.take_requests(), ["GET /blob"], "the login was sent to another host");
        shipping.mask(&error)
    });
    let nobody = port::free();
    let gone = FakeRegistry::start(move |_, _| {
        Some(response("302 Found", &[&format!("Location: http://127.0.0.1:{nobody}/blob")], b""))
    });
    let gone = shipping.install(&format!("{}/strange:1", gone.address())).exits(1).stderr;
    insta::assert_snapshot!(errors.concat() + &shipping.mask(&gone), @"
    mackerel-plugin-wasm: oci://127.0.0.1:PORT/strange:1: 127.0.0.1:PORT redirected to 127.0.0.1:PORT, which returned HTTP 401 Unauthorized: the storage's own words
    mackerel-plugin-wasm: oci://127.0.0.1:PORT/strange:1: 127.0.0.1:PORT redirected to 127.0.0.1:PORT, which returned HTTP 403 Forbidden: the storage's own words
    mackerel-plugin-wasm: oci://127.0.0.1:PORT/strange:1: 127.0.0.1:PORT redirected to 127.0.0.1:PORT, which returned HTTP 404 Not Found: the storage's own words
    mackerel-plugin-wasm: oci://127.0.0.1:PORT/strange:1: 127.0.0.1:PORT redirected to 127.0.0.1:PORT, which returned HTTP 500 Internal Server Error: the storage's own words
    mackerel-plugin-wasm: oci://127.0.0.1:PORT/strange:1: 127.0.0.1:PORT redirected to 127.0.0.1:PORT, which did not respond: Connection refused (os error 111)
    ");
}

#[test]
fn older_media_types_and_an_index_with_one_component_are_installed() {
    let shipping = Shipping::new();
    let component = named("strange");
    let digest = format!("sha256:{}", sha256(&component));
    let kinds = [
        "application/wasm",
        "application/vnd.wasm.content.layer.v1+wasm",
        "application/vnd.module.wasm.content.layer.v1+wasm",
    ];
    for kind in kinds {
        let manifest = manifest(kind, &digest, component.len()).to_string();
        let of_manifest = format!("sha256:{}", sha256(manifest.as_bytes()));
        let wasm = json!({"digest": of_manifest, "size": manifest.len(), "platform": {"os": "wasip2", "architecture": "wasm"}});
        let image = json!({"digest": digest, "size": 1, "platform": {"os": "linux", "architecture": "amd64"}});
        let index = json!({"schemaVersion": 2, "manifests": [image, wasm]}).to_string();
        let of_index = format!("sha256:{}", sha256(index.as_bytes()));
        let component = component.clone();
        let registry = FakeRegistry::start(move |request, _| {
            let body = match request.path.rsplit('/').next()? {
                "plain" => manifest.as_bytes(),
                "index" => index.as_bytes(),
                place if place == of_manifest => manifest.as_bytes(),
                _ => &component,
            };
            Some(response("200 OK", &[], body))
        });
        for (tag, pinned) in [("plain", None), ("index", Some(&of_index))] {
            let reference = format!("oci://{}/strange:{tag}", registry.address());
            let installed = shipping.install(&reference).exits(0).without_diagnostics();
            let origin = value(&installed, "origin ");
            assert!(pinned.is_none_or(|digest| origin.starts_with(&format!("{reference}@{digest}"))), "{installed}");
            assert_eq!(shipping.pinned(), sha256(&named("strange")), "{kind}");
        }
    }
}

#[test]
fn file_that_is_not_a_collector_is_not_pushed() {
    let Some(registry) = Registry::start() else { return };
    let shipping = Shipping::new();
    let address = registry.address();
    let evil = |name: &str| {
        shipping.file(&format!("{name}.wasm"), &fs::read(component(&format!("evil/{name}"))).expect("a component"))
    };
    let _ = ["a_core_module", "describe_traps"].map(evil);
    let push = |file: &str, reference: &str| {
        let output = shipping.push(file, reference);
        assert!([Some(1), Some(2)].contains(&output.status.code()), "{output}");
        assert_eq!(output.stdout, "");
        shipping.mask(&output.stderr)
    };
    let errors = [
        push("a_core_module.wasm", &format!("{address}/thing:1")),
        push("describe_traps.wasm", &format!("{address}/thing:1")),
        push("missing.wasm", &format!("{address}/thing:1")),
        push("strange.wasm", &format!("{address}/thing@sha256:{}", "0".repeat(64))),
        push("strange.wasm", "thing:1"),
        push("strange.wasm", "oci://registry.example.com/Thing"),
        push("strange.wasm", &format!("127.0.0.1:{}/thing:1", port::free())),
    ];
    insta::assert_snapshot!(errors.concat());
    assert_eq!(http::get(address, "/v2/_catalog").expect("a list"), "{\"repositories\":[]}\n");
}

/// Starts a TLS proxy that forwards every connection to one address, and records the requested addresses.
fn proxy(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = port::listen();
    let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().expect("an address").port()));
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let serve = move |client: TcpStream| -> io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let mut head = String::new();
        while reader.read_line(&mut head)? > 2 {}
        seen.lock().expect("a lock").push(head.lines().next().unwrap_or_default().to_owned());
        let server = TcpStream::connect(to)?;
        let mut client = client;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        let (mut answers, mut back) = (server.try_clone()?, client);
        thread::spawn(move || {
            let _ = io::copy(&mut answers, &mut back);
            back.shutdown(Shutdown::Write)
        });
        io::copy(&mut reader, &mut &server)?;
        server.shutdown(Shutdown::Write)
    };
    thread::spawn(move || {
        let serve = Arc::new(serve);
        for client in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(client));
        }
    });
    (address, asked)
}

#[test]
fn remote_registries_use_tls_and_the_proxy() {
    let Some(registry) = Registry::start() else { return };
    let certificates = TempDir::new().expect("a temporary folder");
    let folder = certificates.path().display().to_string();
    let to = format!("tcp:{}", registry.address());
    let arguments = ["-to", &to, "-for", "registry.example.com", "-certificates", &folder];
    let Some(front) = Local::start(Program::TlsFront, &arguments) else { return };
    let (proxy, asked) = proxy(front.target().parse().expect("an address"));
    let mut shipping = Shipping::new();
    shipping.agent = shipping.agent.with_env("HTTPS_PROXY", format!("http://{proxy}"));
    let reference = "oci://registry.example.com/team/strange:1";
    let untrusted = shipping.install(reference).exits(1).stderr;
    shipping.agent = shipping.agent.with_env("SSL_CERT_FILE", certificates.path().join("ca.pem"));
    let _ = shipping.push("strange.wasm", reference).exits(0).without_diagnostics();
    let _ = shipping.install(reference).exits(0).without_diagnostics();
    assert_eq!(shipping.pinned(), sha256(&named("strange")));
    let asked = asked.lock().expect("a lock").clone();
    assert!(
        asked.len() >= 3 && asked.iter().all(|line| line == "CONNECT registry.example.com:443 HTTP/1.1"),
        "{asked:?}"
    );
    // Registries on this machine are never reached through a proxy.
    shipping.agent = shipping.agent.with_env("HTTP_PROXY", format!("http://{proxy}"));
    let _ = shipping.install(&format!("oci://{}/team/strange:1", registry.address())).exits(0).without_diagnostics();
    insta::assert_snapshot!(shipping.mask(&untrusted), @"mackerel-plugin-wasm: oci://registry.example.com/team/strange:1: no response from registry.example.com: invalid peer certificate: UnknownIssuer; trust its authority with --registry-ca-file");
}

#[test]
fn certificates_are_those_of_docker_and_of_the_operator() {
    let Some(registry) = Registry::start() else { return };
    let shipping = Shipping::new();
    let certificates = shipping.folder.path().join("certificates");
    fs::create_dir(&certificates).expect("a folder");
    let folder = certificates.display().to_string();
    let to = format!("tcp:{}", registry.address());
    let arguments = ["-mutual", "-to", &to, "-for", "127.0.0.1", "-certificates", &folder];
    let Some(front) = Local::start(Program::TlsFront, &arguments) else { return };
    let home = shipping.folder.path().join("home");
    let of_registry = home.join(".config/docker/certs.d").join(front.target());
    fs::create_dir_all(&of_registry).expect("a folder");
    let agent =
        || Agent::without_engine().with_env("HOME", &home).with_env("MACKEREL_PLUGIN_WASM_STORE", home.join("store"));
    let file = shipping.folder.path().join("strange.wasm");
    let reference = format!("oci://{}/team/strange:1", front.target());
    let push = |options: &str| agent().run(&format!("push {} {reference} {options}", file.display()));
    let copy = |from: &str, to: &str| {
        fs::copy(certificates.join(from), of_registry.join(to)).expect("our own files");
    };
    let error = |options: &str, code: i32| {
        let error = push(options).exits(code).stderr;
        shipping.mask(&error)
    };

    copy("cert.pem", "client.cert");
    let without_key = error("", 1);
    copy("key.pem", "client.key");
    let untrusted = error("", 1);
    let _ = push(&format!("--registry-ca-file {folder}/ca.pem")).exits(0).without_diagnostics();
    copy("ca.pem", "ca.crt");
    let _ = push("").exits(0).without_diagnostics();
    let _ = agent().run(&format!("install {reference}")).exits(0).without_diagnostics();
    let key = error(&format!("--registry-ca-file {folder}/key.pem"), 1);
    let missing = error(&format!("--registry-ca-file {folder}/nowhere.pem"), 1);
    fs::write(of_registry.join("client.key"), "").expect("our own file");
    let empty_key = error("", 1);
    let lines = [without_key, untrusted, key, missing, empty_key].concat();
    insta::assert_snapshot!(lines, @"
    mackerel-plugin-wasm: oci://127.0.0.1:PORT/team/strange:1: FOLDER/home/.config/docker/certs.d/127.0.0.1:PORT/client.key: No such file or directory (os error 2)
    mackerel-plugin-wasm: oci://127.0.0.1:PORT/team/strange:1: no response from 127.0.0.1:PORT: invalid peer certificate: UnknownIssuer; trust its authority with --registry-ca-file
    mackerel-plugin-wasm: oci://127.0.0.1:PORT/team/strange:1: FOLDER/certificates/key.pem: no certificate in PEM
    mackerel-plugin-wasm: oci://127.0.0.1:PORT/team/strange:1: cannot read --registry-ca-file FOLDER/certificates/nowhere.pem: No such file or directory (os error 2)
    mackerel-plugin-wasm: oci://127.0.0.1:PORT/team/strange:1: FOLDER/home/.config/docker/certs.d/127.0.0.1:PORT/client.key: no private key in PEM
    ");
}

#[test]
fn self_signed_certificate_is_accepted_if_exactly_it_is_trusted() {
    let Some(registry) = Registry::start() else { return };
    let to = format!("tcp:{}", registry.address());
    let start = |host: &str| {
        let certificates = TempDir::new().expect("a temporary folder");
        let folder = certificates.path().display().to_string();
        let arguments = ["-self-signed", "-to", &to, "-for", host, "-certificates", &folder];
        Local::start(Program::TlsFront, &arguments).map(|front| (front, certificates))
    };
    let [Some((front, own)), Some((of_other_name, other))] = [start("127.0.0.1"), start("registry.example.com")] else {
        return;
    };
    let shipping = Shipping::new();
    let push = |front: &Local, certificates: &TempDir| {
        let ca = certificates.path().join("ca.pem");
        shipping.push("strange.wasm", &format!("{}/strange:1 --registry-ca-file {}", front.target(), ca.display()))
    };
    let _ = push(&front, &own).exits(0).without_diagnostics();
    let errors =
        [push(&front, &other), push(&of_other_name, &other)].map(|output| shipping.mask(&output.exits(1).stderr));
    insta::assert_snapshot!(errors.concat(), @r#"
    mackerel-plugin-wasm: oci://127.0.0.1:PORT/strange:1: no response from 127.0.0.1:PORT: its certificate is that of an authority; trust exactly this one with --registry-ca-file
    mackerel-plugin-wasm: oci://127.0.0.1:PORT/strange:1: no response from 127.0.0.1:PORT: invalid peer certificate: certificate not valid for name "127.0.0.1"; certificate is only valid for DnsName("registry.example.com")
    "#);
}

#[test]
fn plain_http_must_be_chosen_by_the_name_of_the_registry() {
    let registry = FakeRegistry::start(|_, _| None);
    let (proxy, _) = proxy(registry.address());
    let mut shipping = Shipping::new();
    let reference = "oci://registry.example.com:5000/strange:1";
    shipping.agent = shipping
        .agent
        .with_env("HTTPS_PROXY", format!("http://{proxy}"))
        .with_env("HTTP_PROXY", format!("http://{}", registry.address()));
    let tls = shipping.push("strange.wasm", reference).exits(1).stderr;
    let options = "--registry-plain-http registry.example.com:5000";
    let _ = shipping.push("strange.wasm", &format!("{reference} {options}")).exits(0).without_diagnostics();
    let _ = shipping.install(&format!("{reference} {options}")).exits(0).without_diagnostics();
    let other = shipping.install(&format!("{reference} --registry-plain-http registry.example.com")).exits(2).stderr;
    let file = |option: &str| {
        let file = shipping.folder.path().join("strange.wasm");
        shipping.agent.run(&format!("install {} {option}", file.display())).exits(2).stderr
    };
    let of_file = [file(options), file("--registry-ca-file a.pem")].concat();
    insta::assert_snapshot!([tls, other, of_file].concat(), @"
    mackerel-plugin-wasm: oci://registry.example.com:5000/strange:1: no response from registry.example.com:5000: it does not use TLS; for plain HTTP: --registry-plain-http registry.example.com:5000
    mackerel-plugin-wasm: --registry-plain-http registry.example.com has no effect: the registry is registry.example.com:5000
    mackerel-plugin-wasm: --registry-plain-http has no effect without a registry
    mackerel-plugin-wasm: --registry-ca-file has no effect without a registry
    ");
}
