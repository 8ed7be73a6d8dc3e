//! Files that options and variables name: anything but a regular file of a sensible size is an error at once.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use scenarios::agent::Agent;
use scenarios::{mask, stub_target::StubTarget};
use serde_json::json;
use tempfile::TempDir;

/// A folder with a file of each kind that is not usable.
struct Kinds {
    folder: TempDir,
    _socket: UnixListener,
}

impl Kinds {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("folder")).expect("a new folder");
        pipe(&path("pipe"));
        std::os::unix::fs::symlink("/dev/zero", path("endless")).expect("a new link");
        fs::write(path("empty"), "").expect("a new file");
        fs::write(path("latin"), b"p\xe4ssword").expect("a new file");
        let large = fs::File::create(path("large")).expect("a new file");
        large.set_len(100 << 20).expect("a sparse file");
        let socket = UnixListener::bind(path("socket")).expect("a new socket");
        Self { folder, _socket: socket }
    }

    /// Returns one line for each kind: the first line of stderr of a command with the file's path for `FILE`.
    fn errors(&self, agent: &Agent, command: &str, code: i32) -> String {
        let names = ["missing", "folder", "pipe", "socket", "endless", "empty", "latin", "large"];
        names.map(|name| self.error(agent, command, name, code)).concat()
    }

    fn error(&self, agent: &Agent, command: &str, name: &str, code: i32) -> String {
        let path = self.folder.path().join(name).display().to_string();
        let output = agent.run(&command.replace("FILE", &path)).exits(code);
        assert_eq!(output.stdout, "", "{output}");
        assert!(output.peak < 64 << 20, "{} bytes", output.peak);
        self.masked(&output.stderr)
    }

    fn masked(&self, text: &str) -> String {
        mask::ports(&mask::path(text, self.folder.path(), "DIR"))
    }
}

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a new pipe");
}

#[test]
fn secret_must_be_a_regular_file() {
    let kinds = Kinds::new();
    let command = "run redis --target 127.0.0.1:1 --password-file FILE";
    insta::assert_snapshot!(kinds.errors(&Agent::without_engine(), command, 2), @"
    mackerel-plugin-wasm: cannot read --password-file DIR/missing: No such file or directory (os error 2)
    mackerel-plugin-wasm: cannot read --password-file DIR/folder: it is a folder, not a regular file
    mackerel-plugin-wasm: cannot read --password-file DIR/pipe: it is a pipe, not a regular file
    mackerel-plugin-wasm: cannot read --password-file DIR/socket: it is a socket or a device, not a regular file
    mackerel-plugin-wasm: cannot read --password-file DIR/endless: it is a device, not a regular file
    mackerel-plugin-wasm: cannot read --password-file DIR/empty: it is empty
    mackerel-plugin-wasm: cannot read --password-file DIR/latin: it is not UTF-8 text
    mackerel-plugin-wasm: cannot read --password-file DIR/large: it exceeds 64 KiB
    ");
}

#[test]
fn secret_can_be_a_link_to_a_regular_file_as_in_docker_and_kubernetes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("..data")).expect("a new folder");
    fs::write(folder.path().join("..data/password"), "secret\n").expect("a new file");
    let link = folder.path().join("password");
    std::os::unix::fs::symlink("..data/password", &link).expect("a new link");
    let command = format!("run redis --target 127.0.0.1:1 --password-file {}", link.display());
    let output = Agent::without_engine().run(&command).exits(1);
    insta::assert_snapshot!(output.stderr, @"mackerel-plugin-wasm: redis: 127.0.0.1:1: connection failed: Connection refused");
}

#[test]
fn component_must_be_a_regular_file() {
    let kinds = Kinds::new();
    let path = kinds.folder.path();
    for name in ["folder", "pipe", "socket", "endless", "empty", "latin", "large"] {
        fs::rename(path.join(name), path.join(format!("{name}.wasm"))).expect("a new name");
    }
    let names = ["folder.wasm", "pipe.wasm", "socket.wasm", "endless.wasm", "empty.wasm", "latin.wasm", "large.wasm"];
    let agent = Agent::without_engine();
    let errors = |command: &str| names.map(|name| kinds.error(&agent, command, name, 1)).concat();
    let run = errors("run FILE --target 127.0.0.1:1");
    insta::assert_snapshot!(run, @"
    mackerel-plugin-wasm: DIR/folder.wasm: it is a folder, not a regular file
    mackerel-plugin-wasm: DIR/pipe.wasm: it is a pipe, not a regular file
    mackerel-plugin-wasm: DIR/socket.wasm: it is a socket or a device, not a regular file
    mackerel-plugin-wasm: DIR/endless.wasm: it is a device, not a regular file
    mackerel-plugin-wasm: DIR/empty.wasm: not a collector: an empty file; expected a component of the world mackerel:collector/plugin@0.1.2
    mackerel-plugin-wasm: DIR/latin.wasm: not a collector: a file without the WebAssembly header; expected a component of the world mackerel:collector/plugin@0.1.2
    mackerel-plugin-wasm: DIR/large.wasm: it exceeds 64 MiB
    ");
    assert_eq!(errors("install FILE"), run);
    assert_eq!(errors("test FILE --target 127.0.0.1:1"), run);
}

#[test]
fn certificates_must_be_a_regular_file() {
    let kinds = Kinds::new();
    let target = StubTarget::serving(json!({}));
    let (mut roots, mut engine) = (String::new(), String::new());
    for name in ["pipe", "endless", "folder", "large", "missing"] {
        let path = kinds.folder.path().join(name);
        let agent = Agent::without_engine().with_env("SSL_CERT_FILE", &path);
        let output = agent.run(&format!("run gostats --scheme https --target {}", target.target())).exits(1);
        roots += &kinds.masked(&output.stderr);

        let folder = tempfile::tempdir().expect("a temporary folder");
        std::os::unix::fs::symlink(path, folder.path().join("ca.pem")).expect("a new link");
        let agent = Agent::with_docker_host("tcp://127.0.0.1:1").with_env("DOCKER_CERT_PATH", folder.path());
        let output = agent.run("run gostats").exits(1);
        engine += &mask::ports(&mask::path(&output.stderr, folder.path(), "CERTIFICATES"));
    }
    insta::assert_snapshot!(roots, @"
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: cannot read SSL_CERT_FILE DIR/pipe: it is a pipe, not a regular file
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: cannot read SSL_CERT_FILE DIR/endless: it is a device, not a regular file
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: cannot read SSL_CERT_FILE DIR/folder: it is a folder, not a regular file
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: cannot read SSL_CERT_FILE DIR/large: it exceeds 4 MiB
    mackerel-plugin-wasm: gostats: 127.0.0.1:PORT: connection failed: cannot read SSL_CERT_FILE DIR/missing: No such file or directory (os error 2)
    ");
    insta::assert_snapshot!(engine, @"
    mackerel-plugin-wasm: cannot use TLS to the container engine at tcp://127.0.0.1:PORT: cannot read CERTIFICATES/ca.pem: it is a pipe, not a regular file (DOCKER_CERT_PATH names the folder)
    mackerel-plugin-wasm: cannot use TLS to the container engine at tcp://127.0.0.1:PORT: cannot read CERTIFICATES/ca.pem: it is a device, not a regular file (DOCKER_CERT_PATH names the folder)
    mackerel-plugin-wasm: cannot use TLS to the container engine at tcp://127.0.0.1:PORT: cannot read CERTIFICATES/ca.pem: it is a folder, not a regular file (DOCKER_CERT_PATH names the folder)
    mackerel-plugin-wasm: cannot use TLS to the container engine at tcp://127.0.0.1:PORT: cannot read CERTIFICATES/ca.pem: it exceeds 4 MiB (DOCKER_CERT_PATH names the folder)
    mackerel-plugin-wasm: cannot use TLS to the container engine at tcp://127.0.0.1:PORT: cannot read CERTIFICATES/ca.pem: No such file or directory (os error 2) (DOCKER_CERT_PATH names the folder)
    ");
}

#[test]
fn recording_must_be_made_of_regular_files() {
    let kinds = Kinds::new();
    let agent = Agent::without_engine();
    let mut errors = String::new();
    for name in ["folder", "pipe", "socket", "endless", "latin", "large"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::rename(kinds.folder.path().join(name), folder.path().join("target.json")).expect("a new name");
        let output = agent.run(&format!("test gostats --replay {}", folder.path().display())).exits(1);
        errors += &mask::path(&output.stderr, folder.path(), "RECORDING");
    }
    insta::assert_snapshot!(errors, @"
    mackerel-plugin-wasm: RECORDING/target.json: cannot be read: it is a folder, not a regular file
    mackerel-plugin-wasm: RECORDING/target.json: cannot be read: it is a pipe, not a regular file
    mackerel-plugin-wasm: RECORDING/target.json: cannot be read: it is a socket or a device, not a regular file
    mackerel-plugin-wasm: RECORDING/target.json: cannot be read: it is a device, not a regular file
    mackerel-plugin-wasm: RECORDING/target.json: cannot be read: it is not UTF-8 text
    mackerel-plugin-wasm: RECORDING/target.json: the recording exceeds 16 MiB (fixed limit)
    ");
}
