//! A real registry: Debian's docker-registry on a port of its own, with a temporary folder.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::skip;
use crate::third_party::sha256;

/// The user and password of a registry with a login.
pub const LOGIN: (&str, &str) = ("ali", "open sesame");

/// The same in the form of htpasswd.
const HTPASSWD: &str = "ali:$2b$04$255FcyzTmB1XY8HbdtmIreMzFuT5ZJJ9JEFT70vXCVuCQExEHJdaK\n";

/// A registry. Drop it to end it.
pub struct Registry {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Registry {
    /// Starts one without a login. Reports it if there is no docker-registry.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start() -> Option<Self> {
        Self::with("")
    }

    /// Starts one that requires [`LOGIN`].
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn with_login() -> Option<Self> {
        Self::with("auth: {htpasswd: {realm: test, path: FOLDER/htpasswd}}")
    }

    fn with(auth: &str) -> Option<Self> {
        if !skip::has_commands(&["docker-registry"], "a real registry") {
            return None;
        }
        let folder = TempDir::new().expect("a temporary folder");
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: FOLDER/data}}}}\nhttp: {{addr: '127.0.0.1:0', relativeurls: true}}\n{auth}\n"
        );
        let path = folder.path().join("config.yml");
        fs::write(&path, config.replace("FOLDER", &folder.path().display().to_string())).expect("a file");
        fs::write(folder.path().join("htpasswd"), HTPASSWD).expect("a file");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("docker-registry can be started");
        let mut log = BufReader::new(process.stderr.take().expect("stderr is piped"));
        let address = loop {
            let mut line = String::new();
            let length = log.read_line(&mut line).expect("its log can be read");
            assert_ne!(length, 0, "docker-registry exited before it listened");
            let listening = line.split_once("listening on ").map(|(_, rest)| rest);
            let address = listening.and_then(|rest| rest.split(|c: char| !"0123456789.:".contains(c)).next());
            if let Some(Ok(address)) = address.map(str::parse) {
                break address;
            }
        };
        // It would block if nobody read its log.
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Some(Self { process, address, _folder: folder })
    }

    /// Returns its address, as references contain it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Uploads a blob as other tools do, and returns its digest.
    ///
    /// # Panics
    ///
    /// If the registry does not accept it.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = format!("sha256:{}", sha256(bytes));
        let response = self.send(&format!("POST /v2/{repository}/blobs/uploads/"), "", b"");
        let location = response.lines().find_map(|line| line.strip_prefix("Location: ")).expect("a Location").trim();
        let request = format!("PUT {location}&digest={digest}");
        let response = self.send(&request, "application/octet-stream", bytes);
        assert!(response.starts_with("HTTP/1.1 201 "), "{request}: {response}");
        digest
    }

    /// Uploads a manifest as other tools do, and returns its digest.
    ///
    /// # Panics
    ///
    /// If the registry does not accept it.
    pub fn put_manifest(&self, repository: &str, tag: &str, manifest: &Value) -> String {
        let bytes = manifest.to_string();
        let kind = manifest["mediaType"].as_str().expect("a media type");
        let response = self.send(&format!("PUT /v2/{repository}/manifests/{tag}"), kind, bytes.as_bytes());
        assert!(response.starts_with("HTTP/1.1 201 "), "{tag}: {response}");
        format!("sha256:{}", sha256(bytes.as_bytes()))
    }

    fn send(&self, request: &str, kind: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        let head = format!(
            "{request} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).expect("a request");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        response
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
