//! A real Docker engine in a network of its own, with settings that change the networks of the machine: without
//! docker-proxy, without firewall rules, or as a node of a swarm.

use std::fs;
use std::ops::Deref;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agent::Agent;
use crate::engine::Engine;
use crate::go::Program;
use crate::{skip, wait};

/// Makes `/sys` that of the network namespace, with the machine's control groups, and becomes dockerd.
const START: &str = "mount --rbind /sys/fs/cgroup \"$1/cgroup\" && mount -t sysfs sysfs /sys && \
                     mount --move \"$1/cgroup\" /sys/fs/cgroup && ip link set lo up && \
                     exec dockerd --config-file \"$1/daemon.json\"";

/// An engine with a folder, a network namespace and a firewall of its own. Drop it to stop it.
pub struct NamespacedEngine {
    engine: Engine,
    service: Child,
    folder: TempDir,
}

impl NamespacedEngine {
    /// Starts one without docker-proxy: the firewall alone forwards published ports. Reports a missing precondition.
    pub fn without_proxy() -> Option<Self> {
        Self::start("published ports without docker-proxy", 250, &json!({"userland-proxy": false}))
    }

    /// Starts one that makes no firewall rules: docker-proxy alone forwards published ports. Reports a missing
    /// precondition.
    pub fn without_firewall_rules() -> Option<Self> {
        Self::start("networks without firewall rules", 249, &json!({"iptables": false}))
    }

    /// Starts one that is the only node of a swarm. Reports a missing precondition.
    ///
    /// # Panics
    ///
    /// If it does not become a node.
    pub fn swarm() -> Option<Self> {
        let untested = "overlay networks";
        let engine = Self::start(untested, 251, &json!({}))?;
        // A child inherits the namespace of the thread that starts it.
        let link = "link add mpwvxlan type vxlan id 1 dstport 4790".split(' ');
        let probe = engine.within(|| Command::new("ip").args(link).output()).expect("ip can be started");
        if !probe.status.success() {
            skip::notice(&format!("no VXLAN: {}", String::from_utf8_lossy(&probe.stderr).trim()), untested);
            return None;
        }
        let joined = engine.try_docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"]);
        joined.unwrap_or_else(|cause| panic!("docker swarm init: {cause}"));
        Some(engine)
    }

    /// Starts one whose default network is `198.18.THIRD.0/24`, with these settings too, and waits until it responds.
    ///
    /// # Panics
    ///
    /// If it does not start.
    fn start(untested: &str, third: u8, settings: &Value) -> Option<Self> {
        let commands = ["docker", "dockerd", "ip", "iptables", "nsenter", "tar", "unshare"];
        if !skip::has_commands(&commands, untested) || !skip::is_root(untested) {
            return None;
        }
        Program::App.executable()?;
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path();
        let host = format!("unix://{}", path.join("docker.sock").display());
        let mut configuration = json!({
            "data-root": path.join("data"), "exec-root": path.join("exec"), "pidfile": path.join("pid"),
            "hosts": [host], "bip": format!("198.18.{third}.1/24"), "shutdown-timeout": 5,
        });
        for (key, value) in settings.as_object().into_iter().flatten() {
            configuration[key] = value.clone();
        }
        fs::write(path.join("daemon.json"), configuration.to_string()).expect("a file in a new folder");
        fs::create_dir(path.join("cgroup")).expect("a folder in a new folder");
        let log = fs::File::create(path.join("log")).expect("a file in a new folder");
        let service = Command::new("unshare")
            .args(["--net", "--mount", "sh", "-c", START, "sh"])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C ends the scenario, which stops it.
            .process_group(0)
            .spawn()
            .expect("unshare can be started");
        let mut engine = Self { engine: Engine::at(host, Vec::new()), service, folder };
        wait::until("dockerd responds", || {
            let log = || fs::read_to_string(engine.folder.path().join("log")).unwrap_or_default();
            let ended = engine.service.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "dockerd exited: {}", log());
            engine.engine.try_docker(&["version"]).ok()
        });
        Some(engine)
    }

    /// An agent in the engine's network.
    pub fn agent(&self) -> Agent {
        let pid = self.service.id().to_string();
        Agent::with_engine(&self.engine).with_launcher(&["nsenter", "--target", &pid, "--net", "--mount", "--"])
    }

    /// Calls a function whose connections are made in the engine's network.
    ///
    /// # Panics
    ///
    /// If the network cannot be entered, or the function panics.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = Path::new("/proc").join(self.service.id().to_string()).join("ns/net");
        let namespace = fs::File::open(namespace).expect("the namespace of a running process");
        // A thread of its own, which ends in that namespace.
        let enter = || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), network).expect("root enters a namespace");
            work()
        };
        thread::scope(|scope| scope.spawn(enter).join().expect("the function returns"))
    }
}

impl Deref for NamespacedEngine {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Drop for NamespacedEngine {
    fn drop(&mut self) {
        // It ends its containerd. Its mounts and its network end with the last process in their namespaces.
        let _ = kill_process(Pid::from_child(&self.service), Signal::TERM);
        let _ = self.service.wait();
    }
}
