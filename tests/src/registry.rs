//! A real registry: Debian's docker-registry on a port of its own, with a temporary folder.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

use crate::skip;

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
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
