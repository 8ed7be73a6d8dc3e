//! Collectors from registries: a real one, with and without a login, and fake ones with faults.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use scenarios::agent::{Agent, Output, component};
use scenarios::go::Program;
use scenarios::http::{self, Reply};
use scenarios::local::Local;
use scenarios::registry::{LOGIN, Registry};
use scenarios::third_party::{named, padded};
use scenarios::{mask, port};
use serde_json::{Value, json};
use tempfile::TempDir;

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
        let text = self.file("helper.txt", format!("#!/bin/sh\ncat >/dev/null\n{commands}\n").as_bytes());
        // Through another process: a program cannot be started while a process has it open for writing, such as a child
        // of another scenario.
        let mut install = Command::new("install");
        install.args(["-m", "755"]).arg(text).arg(self.folder.path().join("docker-credential-here"));
        assert!(install.status().expect("install").success());
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

fn sha256(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), bytes).expect("a temporary file");
    let sum = Command::new("sha256sum").arg(file.path()).output().expect("sha256sum").stdout;
    String::from_utf8(sum).expect("text").split(' ').next().expect("a sum").to_owned()
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
    let config = |config: Value| drop(shipping.file("config.json", config.to_string().as_bytes()));

    let without = refused();
    // Base64 of "ali:wrong".
    config(json!({"auths": {address.to_string(): {"auth": "YWxpOndyb25n"}}}));
    let wrong = refused();
    config(json!({"auths": {"registry.example.com": {"auth": "YWxpOm9wZW4gc2VzYW1l"}}}));
    let of_another = refused();
    assert_eq!(of_another, without, "the login of another registry was sent");
    config(json!({"auths": {address.to_string(): {"identitytoken": "token"}}}));
    let identity = refused();
    config(json!({"credHelpers": {address.to_string(): "missing"}}));
    let missing = refused();

    // Base64 of "ali:open sesame".
    config(json!({"auths": {address.to_string(): {"auth": "YWxpOm9wZW4gc2VzYW1l"}}}));
    for output in both() {
        let _ = output.exits(0).without_diagnostics();
    }

    let (user, password) = LOGIN;
    let answer = json!({"ServerURL": address.to_string(), "Username": user, "Secret": password});
    shipping.helper(&format!("echo '{answer}'"));
    config(json!({"credHelpers": {address.to_string(): "here"}}));
    for output in both() {
        let _ = output.exits(0).without_diagnostics();
    }
    // A helper that is asked about every registry knows few of them.
    shipping.helper("echo 'credentials not found in native keychain'; exit 1");
    config(json!({"credsStore": "here"}));
    assert_eq!(refused(), without);

    insta::assert_snapshot!([without, wrong, identity, missing].concat());
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

#[test]
fn token_is_fetched_from_the_realm() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let has_token = Arc::new(AtomicBool::new(false));
    let listener = port::listen();
    let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().expect("an address").port()));
    let seen = Arc::clone(&asked);
    let answer = move |path: &str| {
        seen.lock().expect("a lock").push(path.to_owned());
        if path.starts_with("/token?") {
            has_token.store(true, Ordering::Relaxed);
            return Reply::Whole(200, json!({"access_token": "let-me-in"}).to_string());
        }
        if has_token.load(Ordering::Relaxed) {
            return Reply::Whole(404, String::new());
        }
        Reply::Raw(format!(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"http://{address}/token\",service=\"a registry\"\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    };
    let _server = http::serve(listener, answer);
    let shipping = Shipping::new();
    let error = shipping.install(&format!("oci://{address}/team/thing:1")).exits(1).stderr;
    insta::assert_snapshot!(shipping.mask(&error), @"mackerel-plugin-wasm: oci://127.0.0.1:PORT/team/thing:1: 127.0.0.1:PORT has no such repository, tag or digest");
    let asked = asked.lock().expect("a lock").clone();
    let manifest = "/v2/team/thing/manifests/1";
    assert_eq!(asked, [manifest, "/token?scope=repository%3Ateam%2Fthing%3Apull&service=a+registry", manifest]);
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
    insta::assert_snapshot!(shipping.mask(&untrusted), @"mackerel-plugin-wasm: oci://registry.example.com/team/strange:1: no response from registry.example.com: invalid peer certificate: UnknownIssuer");
}
