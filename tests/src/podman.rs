//! A real Podman, which has Docker's API: an engine of its own for one scenario.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::cgroup::is_version_1;
use crate::engine::Engine;
use crate::go::Program;
use crate::{skip, wait};

/// Makes names and ranges of addresses unique.
static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// Programs that connect a container to a bridge: netavark of current packages, else a plugin of CNI, such as Debian
/// 12's.
const NETWORK_PLUGINS: [&str; 5] = [
    "/usr/lib/podman/netavark",
    "/usr/libexec/podman/netavark",
    "/usr/lib/cni/bridge",
    "/usr/libexec/cni/bridge",
    "/opt/cni/bin/bridge",
];

/// A Podman with a folder and a network of its own. Only empty chains of the firewall, which all Podmans share, remain
/// of it.
pub struct Podman {
    engine: Engine,
    service: Child,
    name: String,
    folder: TempDir,
}

impl Podman {
    /// Starts one and waits until it responds. Reports a missing precondition.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start() -> Option<Self> {
        if !is_possible("scenarios with a real Podman") {
            return None;
        }
        Program::App.executable()?;
        let folder = TempDir::new().expect("a temporary folder");
        let name = format!("scenario-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let service = serve(folder.path());
        // Its own cgroup and network, because Podman never removes those that it creates by itself.
        let host = format!("unix://{}", folder.path().join("podman.sock").display());
        let defaults = [("--cgroup-parent", format!("/{name}")), ("--network", name.clone())];
        let engine = Engine::at(host, defaults.map(|(option, value)| [option.to_owned(), value]).to_vec());
        let mut podman = Self { engine, service, name, folder };
        wait::until("podman responds", || {
            let ended = podman.service.try_wait().expect("a child can be waited for");
            let log = || fs::read_to_string(podman.folder.path().join("log")).unwrap_or_default();
            assert!(ended.is_none(), "podman exited: {}", log());
            podman.engine.try_docker(&["version"]).ok()
        });
        podman.make_network();
        Some(podman)
    }

    /// The name of its network.
    pub fn network(&self) -> &str {
        &self.name
    }

    /// Runs podman's own command, for what Docker's API does not have.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn command(&self, words: &str) -> String {
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", self.folder.path().join("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.folder.path().join("storage.conf"));
        let output = command.args(words.split_whitespace()).output().expect("podman can be started");
        assert!(output.status.success(), "podman {words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Creates its network. By default, Podman could choose a range of addresses that another one is about to use.
    fn make_network(&self) {
        let addresses = Command::new("ip").args(["-4", "-oneline", "address"]).output().expect("ip can be started");
        let addresses = String::from_utf8_lossy(&addresses.stdout);
        // From a range that RFC 2544 reserves for benchmarks. Concurrent processes start at different places.
        let start = std::process::id() as usize * 17 + NUMBER.fetch_add(1, Ordering::Relaxed);
        let free = (start..start + 256)
            .map(|number| number % 256)
            .find(|number| !addresses.contains(&format!(" 198.19.{number}.")));
        let number = free.expect("a free range of addresses");
        let network = json!({
            "name": self.name,
            "network_interface": format!("scn-198-19-{number}"),
            "subnets": [{"subnet": format!("198.19.{number}.0/24")}],
        });
        // By Podman's own API: a network that is created by Docker's leaves rules in the firewall.
        let head = "POST /v4.0.0/libpod/networks/create HTTP/1.0\r\nContent-Type: application/json";
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{network}", network.to_string().len());
        let mut response = String::new();
        let result = UnixStream::connect(self.folder.path().join("podman.sock")).and_then(|mut stream| {
            stream.write_all(request.as_bytes())?;
            stream.read_to_string(&mut response)
        });
        result.expect("a response of podman");
        assert!(response.starts_with("HTTP/1.0 200"), "{response}");
    }
}

/// Checks all preconditions of a Podman with containers of its own.
fn is_possible(untested: &str) -> bool {
    // crun refuses version 1 of the control groups, alone or in hybrid mode.
    let runtime: &[&str] = if is_version_1() { &["runc"] } else { &[] };
    // The docker command drives it, and `ip` finds a free range of addresses.
    let commands = [&["podman", "docker", "tar", "ip"], runtime].concat();
    let has_network = NETWORK_PLUGINS.iter().any(|plugin| Path::new(plugin).exists());
    let is_possible = skip::has_commands(&commands, untested) && skip::is_root(untested);
    if is_possible && !has_network {
        skip::notice("neither netavark nor the CNI plugins: no network for Podman", untested);
    }
    is_possible && has_network
}

/// Starts the service with a configuration of its own instead of the machine's.
fn serve(folder: &Path) -> Child {
    let path = folder.display();
    // Podman's default limits may be higher than this machine allows.
    let runtime = if is_version_1() { "runtime = \"runc\"" } else { "" };
    let containers = format!(
        r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
tmp_dir = "{path}/tmp"
{runtime}
[network]
network_config_dir = "{path}/networks"
"#
    );
    // Without an overlay, nothing has to be unmounted at the end.
    let storage = format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{path}/root\"\nrunroot = \"{path}/run\"\n");
    fs::create_dir(folder.join("networks")).expect("a folder in a new folder");
    fs::write(folder.join("containers.conf"), containers).expect("a file in a new folder");
    fs::write(folder.join("storage.conf"), storage).expect("a file in a new folder");
    let log = fs::File::create(folder.join("log")).expect("a file in a new folder");
    Command::new("podman")
        .args(["system", "service", "--time=0"])
        .arg(format!("unix://{path}/podman.sock"))
        .env("CONTAINERS_CONF", folder.join("containers.conf"))
        .env("CONTAINERS_STORAGE_CONF", folder.join("storage.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("podman can be started")
}

impl Deref for Podman {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["network", "rm", &self.name]);
        let _ = self.service.kill();
        let _ = self.service.wait();
        // Its cgroups: one below each controller of version 1, or one of version 2. Those of containers are gone, but
        // Podman's monitor may still be cleaning up in its own.
        let controllers = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
        for group in controllers.chain(["/sys/fs/cgroup".into()]).map(|controller| controller.join(&self.name)) {
            let start = Instant::now();
            while fs::remove_dir(group.join("conmon")).is_err_and(|error| error.kind() == ErrorKind::ResourceBusy)
                && start.elapsed() < Duration::from_secs(5)
            {
                sleep(Duration::from_millis(10));
            }
            let _ = fs::remove_dir(group);
        }
        // The leases of its network.
        let _ = fs::remove_dir_all(Path::new("/var/lib/cni/networks").join(&self.name));
    }
}
