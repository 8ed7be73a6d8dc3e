//! Engines and targets with TLS.

use std::fs;

use scenarios::agent::{Agent, Output};
use scenarios::fake_engine::{FakeEngine, container};
use scenarios::go::Program;
use scenarios::local::Local;
use scenarios::stub_target::StubTarget;
use scenarios::{mask, stats};
use tempfile::TempDir;

/// TLS in front of a server, and the certificates of its clients.
struct Front {
    process: Local,
    certificates: TempDir,
}

impl Front {
    /// Starts it. Reports it if there is no Go.
    fn start(to: &str, host: &str, more: &[&str]) -> Option<Self> {
        let certificates = tempfile::tempdir().expect("a temporary folder");
        let folder = certificates.path().display().to_string();
        let arguments = [&["-to", to, "-for", host, "-certificates", &folder], more].concat();
        Some(Self { process: Local::start(Program::TlsFront, &arguments)?, certificates })
    }

    fn before_target(target: &str, host: &str) -> Option<Self> {
        Self::before_target_with(target, host, &[])
    }

    fn before_target_with(target: &str, host: &str, more: &[&str]) -> Option<Self> {
        Self::start(&format!("tcp:{target}"), host, more)
    }

    /// Returns the option that trusts this authority.
    fn ca_option(&self) -> String {
        format!("--tls-ca-file {}", self.certificates.path().join("ca.pem").display())
    }

    fn before_engine(engine: &FakeEngine, host: &str) -> Option<Self> {
        Self::start(&engine.host().replace("unix://", "unix:"), host, &["-mutual"])
    }

    /// Returns the agent of an operator who trusts this authority.
    fn trusted(&self, agent: Agent) -> Agent {
        agent.with_env("SSL_CERT_FILE", self.certificates.path().join("ca.pem"))
    }

    /// Returns the agent of an operator who uses this engine.
    fn agent(&self) -> Agent {
        let agent = Agent::with_docker_host(&format!("tcp://{}", self.process.target()));
        agent.with_env("DOCKER_TLS_VERIFY", "1").with_env("DOCKER_CERT_PATH", self.certificates.path())
    }

    fn mask(&self, text: &str) -> String {
        mask::ports(&mask::path(text, self.certificates.path(), "CERTIFICATES"))
    }
}

fn ask(agent: &Agent, front: &Front, options: &str) -> Output {
    agent.run(&format!("run gostats --scheme https --target {} {options}", front.process.target()))
}

#[test]
fn target_with_a_trusted_certificate_is_read() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let Some(front) = Front::before_target(&stub_target.target(), "127.0.0.1") else { return };
    let agent = front.trusted(Agent::without_engine());
    let metrics = ask(&agent, &front, "").exits(0).without_diagnostics().metrics();
    stats::assert_same(&metrics.of(&format!("gostats.{}", front.process.port())), &stats::gauges(&stats::body(1, 1)));
}

#[test]
fn untrusted_certificate_is_rejected() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let Some(front) = Front::before_target(&stub_target.target(), "127.0.0.1") else { return };
    let output = ask(&Agent::without_engine(), &front, "").exits(1);
    assert_eq!((output.stdout.as_str(), stub_target.requests()), ("", 0));
    insta::assert_snapshot!(front.mask(&output.stderr), @"mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: untrusted certificate: its issuer is not among the trusted roots (--tls-ca-file or SSL_CERT_FILE)");
}

#[test]
fn tls_server_name_selects_the_expected_name() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let Some(front) = Front::before_target(&stub_target.target(), "api.example.com") else { return };
    let agent = front.trusted(Agent::without_engine());
    let output = ask(&agent, &front, "").exits(1);
    assert_eq!((output.stdout.as_str(), stub_target.requests()), ("", 0));
    insta::assert_snapshot!(front.mask(&output.stderr), @"mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: certificate is for api.example.com, not for 127.0.0.1 (--tls-server-name)");

    let metrics = ask(&agent, &front, "--tls-server-name api.example.com").exits(0).without_diagnostics().metrics();
    assert_eq!(metrics.count(), stats::GAUGES.len());
}

#[test]
fn ca_file_replaces_the_trusted_roots_of_the_machine() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let Some(front) = Front::before_target(&stub_target.target(), "127.0.0.1") else { return };
    let Some(other) = Front::before_target(&stub_target.target(), "127.0.0.1") else { return };
    let metrics = ask(&Agent::without_engine(), &front, &front.ca_option()).exits(0).without_diagnostics().metrics();
    assert_eq!(metrics.count(), stats::GAUGES.len());
    let trusting = front.trusted(Agent::without_engine());
    let output = ask(&trusting, &front, &other.ca_option()).exits(1);
    insta::assert_snapshot!(front.mask(&output.stderr), @"mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: untrusted certificate: its issuer has the name of a trusted root, and another key (--tls-ca-file)");
}

#[test]
fn self_signed_certificate_is_accepted_if_it_is_the_trusted_one() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let Some(front) = Front::before_target_with(&stub_target.target(), "127.0.0.1", &["-self-signed"]) else { return };
    let Some(misnamed) = Front::before_target_with(&stub_target.target(), "a.example", &["-self-signed"]) else {
        return;
    };
    for (agent, options) in
        [(Agent::without_engine(), front.ca_option()), (front.trusted(Agent::without_engine()), String::new())]
    {
        let metrics = ask(&agent, &front, &options).exits(0).without_diagnostics().metrics();
        assert_eq!(metrics.count(), stats::GAUGES.len());
    }
    let untrusted = ask(&Agent::without_engine(), &front, "").exits(1);
    let misnamed = ask(&Agent::without_engine(), &misnamed, &misnamed.ca_option()).exits(1);
    insta::assert_snapshot!(front.mask(&(untrusted.stderr + &misnamed.stderr)), @"
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: untrusted certificate: it is self-signed, or an authority's own (--tls-ca-file with this certificate)
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: certificate is for a.example, not for 127.0.0.1 (--tls-server-name)
    ");
}

#[test]
fn expired_certificate_is_named_with_its_date() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let Some(front) = Front::before_target_with(&stub_target.target(), "127.0.0.1", &["-expired"]) else { return };
    let output = ask(&Agent::without_engine(), &front, &front.ca_option()).exits(1);
    insta::assert_snapshot!(front.mask(&output.stderr), @"mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: certificate expired at 2001-02-03T04:05:06Z");
}

#[test]
fn skip_verify_accepts_any_certificate() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    for more in [&["-expired"][..], &["-self-signed"]] {
        let Some(front) = Front::before_target_with(&stub_target.target(), "a.example", more) else { return };
        let metrics =
            ask(&Agent::without_engine(), &front, "--tls-skip-verify").exits(0).without_diagnostics().metrics();
        assert_eq!(metrics.count(), stats::GAUGES.len());
    }
}

#[test]
fn required_client_certificate_is_named() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let Some(front) = Front::before_target_with(&stub_target.target(), "127.0.0.1", &["-mutual"]) else { return };
    let output = ask(&Agent::without_engine(), &front, &front.ca_option()).exits(1);
    insta::assert_snapshot!(front.mask(&output.stderr), @"mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: the target requires a client certificate, which is not supported");
}

#[test]
fn unusable_roots_are_named() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let Some(front) = Front::before_target(&stub_target.target(), "127.0.0.1") else { return };
    let path = front.certificates.path().join("ca.pem");
    let ask = |what: &str, text: &str| {
        fs::write(&path, text).expect("a certificate");
        let output = ask(&Agent::without_engine(), &front, &front.ca_option());
        assert_eq!((output.stdout.as_str(), output.stderr.lines().count()), ("", 1), "{output}");
        format!("{what}: {:?}\n    {}", output.status.code(), front.mask(&output.stderr))
    };
    let damaged = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";
    let lines = [ask("empty", ""), ask("no PEM", "nonsense"), ask("damaged", damaged)];
    insta::assert_snapshot!(lines.concat(), @"
    empty: Some(2)
        mackerel-plugin-wasm: cannot read --tls-ca-file CERTIFICATES/ca.pem: it is empty
    no PEM: Some(2)
        mackerel-plugin-wasm: --tls-ca-file CERTIFICATES/ca.pem: expected certificates in PEM: no items found
    damaged: Some(1)
        mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: no usable certificate in --tls-ca-file CERTIFICATES/ca.pem
    ");
}

#[test]
fn https_to_a_plain_target_is_one_line() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let output =
        Agent::without_engine().run(&format!("run gostats --scheme https --target {}", stub_target.target())).exits(1);
    insta::assert_snapshot!(mask::ports(&output.stderr), @"mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: connection closed during the TLS handshake; if the target speaks plain HTTP, leave out --scheme https");
}

#[test]
fn http_to_a_tls_target_is_one_line() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let Some(front) = Front::before_target(&stub_target.target(), "127.0.0.1") else { return };
    let output = Agent::without_engine().run(&format!("run gostats --target {}", front.process.target())).exits(1);
    insta::assert_snapshot!(mask::ports(&output.stderr), @"mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection closed before any response; if the target speaks TLS, try --scheme https");
}

#[test]
fn engine_uses_the_certificates_of_docker_cert_path() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let engine = FakeEngine::with_containers(vec![container("api", "127.0.0.1", stub_target.port())]);
    let Some(front) = Front::before_engine(&engine, "127.0.0.1") else { return };
    let metrics = front.agent().run("run gostats").exits(0).without_diagnostics().metrics();
    assert_eq!(metrics.instances(), [stub_target.port().to_string()]);
}

#[test]
fn untrusted_engine_or_client_is_one_line() {
    let engine = FakeEngine::with_containers(vec![]);
    let Some(front) = Front::before_engine(&engine, "127.0.0.1") else { return };
    let Some(stranger) = Front::before_engine(&engine, "127.0.0.1") else { return };
    let Some(misnamed) = Front::before_engine(&engine, "docker.example.com") else { return };
    let nothing = tempfile::tempdir().expect("a temporary folder");
    let diagnostics = [
        ("another authority", front.agent().with_env("DOCKER_CERT_PATH", stranger.certificates.path())),
        ("another name", misnamed.agent()),
        ("no certificates", front.agent().with_env("DOCKER_CERT_PATH", nothing.path())),
        ("no TLS", Agent::with_docker_host(&format!("tcp://{}", front.process.target()))),
    ];
    let diagnostics = diagnostics.map(|(what, agent)| {
        let output = agent.run("run gostats").exits(1);
        assert_eq!(output.stdout, "", "{what}: {output}");
        assert_eq!(output.stderr.lines().count(), 1, "{what}: {output}");
        let stderr = mask::path(&output.stderr, nothing.path(), "NOTHING");
        format!("{what}\n    {}", misnamed.mask(&stranger.mask(&front.mask(&stderr))))
    });
    insta::assert_snapshot!(diagnostics.concat(), @r#"
    another authority
        mackerel-plugin-wasm: cannot connect to the container engine at tcp://127.0.0.1:PORT: invalid peer certificate: BadSignature: is Docker running? (--docker-host or DOCKER_HOST selects another engine)
    another name
        mackerel-plugin-wasm: cannot connect to the container engine at tcp://127.0.0.1:PORT: invalid peer certificate: certificate not valid for name "127.0.0.1"; certificate is only valid for DnsName("docker.example.com"): is Docker running? (--docker-host or DOCKER_HOST selects another engine)
    no certificates
        mackerel-plugin-wasm: cannot use TLS to the container engine at tcp://127.0.0.1:PORT: cannot read NOTHING/ca.pem: No such file or directory (os error 2) (DOCKER_CERT_PATH names the folder)
    no TLS
        mackerel-plugin-wasm: no response from the container engine at tcp://127.0.0.1:PORT: connection closed before message completed (--docker-host or DOCKER_HOST selects another engine)
    "#);
}

#[test]
fn engine_without_client_certificates_works() {
    let stub_target = StubTarget::serving(stats::body(1, 1));
    let engine = FakeEngine::with_containers(vec![container("api", "127.0.0.1", stub_target.port())]);
    let Some(front) = Front::start(&engine.host().replace("unix://", "unix:"), "127.0.0.1", &[]) else { return };
    for file in ["cert.pem", "key.pem"] {
        fs::remove_file(front.certificates.path().join(file)).expect("a certificate");
    }
    let metrics = front.agent().run("run gostats").exits(0).without_diagnostics().metrics();
    assert_eq!(metrics.instances(), [stub_target.port().to_string()]);
}

#[test]
fn unusable_engine_certificate_is_one_line() {
    let engine = FakeEngine::with_containers(vec![]);
    let Some(other) = Front::before_engine(&engine, "127.0.0.1") else { return };
    let another_key = fs::read_to_string(other.certificates.path().join("key.pem")).expect("a certificate");
    let broken = [
        ("ca.pem", Some("")),
        ("ca.pem", Some("-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n")),
        ("cert.pem", Some("nonsense")),
        ("cert.pem", None),
        ("key.pem", Some("-----BEGIN PRIVATE KEY-----\n")),
        ("key.pem", Some(&another_key)),
        ("key.pem", None),
    ];
    let diagnostic = |(file, text): (&str, Option<&str>)| {
        let front = Front::before_engine(&engine, "127.0.0.1")?;
        let path = front.certificates.path().join(file);
        text.map_or_else(|| fs::remove_file(&path), |text| fs::write(&path, text)).expect("a certificate");
        let output = front.agent().run("run gostats").exits(1);
        assert_eq!((output.stdout.as_str(), output.stderr.lines().count()), ("", 1), "{output}");
        Some(front.mask(&output.stderr))
    };
    let Some(diagnostics) = broken.into_iter().map(diagnostic).collect::<Option<String>>() else { return };
    insta::assert_snapshot!(diagnostics, @"
    mackerel-plugin-wasm: cannot use TLS to the container engine at tcp://127.0.0.1:PORT: cannot read CERTIFICATES/ca.pem: no items found (DOCKER_CERT_PATH names the folder)
    mackerel-plugin-wasm: cannot use TLS to the container engine at tcp://127.0.0.1:PORT: cannot use CERTIFICATES/ca.pem: invalid peer certificate: BadEncoding (DOCKER_CERT_PATH names the folder)
    mackerel-plugin-wasm: cannot use TLS to the container engine at tcp://127.0.0.1:PORT: cannot read CERTIFICATES/cert.pem: no items found (DOCKER_CERT_PATH names the folder)
    mackerel-plugin-wasm: cannot use TLS to the container engine at tcp://127.0.0.1:PORT: cannot read CERTIFICATES/cert.pem: No such file or directory (os error 2) (DOCKER_CERT_PATH names the folder)
    mackerel-plugin-wasm: cannot use TLS to the container engine at tcp://127.0.0.1:PORT: cannot read CERTIFICATES/key.pem: missing section end marker: [80, 82, 73, 86, 65, 84, 69, 32, 75, 69, 89] (DOCKER_CERT_PATH names the folder)
    mackerel-plugin-wasm: cannot use TLS to the container engine at tcp://127.0.0.1:PORT: cannot use CERTIFICATES/cert.pem: keys may not be consistent: KeyMismatch (DOCKER_CERT_PATH names the folder)
    mackerel-plugin-wasm: cannot use TLS to the container engine at tcp://127.0.0.1:PORT: cannot read CERTIFICATES/key.pem: No such file or directory (os error 2) (DOCKER_CERT_PATH names the folder)
    ");
}
