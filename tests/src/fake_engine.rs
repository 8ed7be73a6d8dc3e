//! An engine for what no real one does on demand: faults, refusals and odd containers.

use std::os::unix::net::UnixListener;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{self, Reply};

/// The fake. It answers on a Unix socket of its own.
pub struct FakeEngine {
    folder: TempDir,
}

impl FakeEngine {
    /// Starts one that knows these containers (as [`container`] makes them) and behaves.
    pub fn with_containers(containers: Vec<Value>) -> Self {
        Self::answering(move |path| well_behaved(&containers, path))
    }

    /// Starts one that answers everything like this.
    ///
    /// # Panics
    ///
    /// When the socket cannot be made.
    pub fn answering(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("docker.sock")).expect("a socket in a new folder");
        http::serve_unix(listener, Arc::new(answer));
        Self { folder }
    }

    /// Where it is, as `DOCKER_HOST` has it.
    pub fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.path().display())
    }
}

/// How an engine answers that knows these containers. A container whose `Id` is asked for singly was started at a
/// fixed time.
pub fn well_behaved(containers: &[Value], path: &str) -> Reply {
    let path = path.split('?').next().unwrap_or_default();
    let version = json!({
        "Version": "28.0.0",
        "ApiVersion": "1.48",
        "MinAPIVersion": "1.24",
        "Os": "linux",
        "Arch": "amd64",
    });
    if path.ends_with("/_ping") {
        Reply::Whole(200, "\"OK\"".to_owned())
    } else if path.ends_with("/version") {
        Reply::Whole(200, version.to_string())
    } else if path.ends_with("/containers/json") {
        Reply::Whole(200, json!(containers).to_string())
    } else if let Some(container) =
        containers.iter().find(|container| path.contains(container["Id"].as_str().unwrap_or("-")))
    {
        let started = json!({
            "Id": container["Id"],
            "Name": container["Names"][0],
            "Image": container["ImageID"],
            "Config": {"Image": container["Image"], "Labels": container["Labels"]},
            "State": {"Status": "running", "Running": true, "StartedAt": "2026-01-02T03:04:05.678901234Z"},
        });
        Reply::Whole(200, started.to_string())
    } else {
        Reply::Whole(404, json!({"message": "page not found"}).to_string())
    }
}

/// A running container as engines list them, the port 8080 of which is published as `port` of `ip`.
pub fn container(name: &str, ip: &str, port: u16) -> Value {
    let id = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    json!({
        "Id": format!("{id:016x}").repeat(4),
        "Names": [format!("/{name}")],
        "Image": "example.com/team/api:1.2.3",
        "ImageID": format!("sha256:{}", "5bde5600".repeat(8)),
        "Command": "/app",
        "Created": 1_767_323_045,
        "Ports": [{"IP": ip, "PrivatePort": 8080, "PublicPort": port, "Type": "tcp"}],
        "Labels": {},
        "State": "running",
        "Status": "Up 8 minutes",
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
        "Mounts": [],
    })
}
