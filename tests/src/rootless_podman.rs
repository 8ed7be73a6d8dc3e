//! A real Podman of a user without privileges, as `podman system service` of that user provides it.

use std::fs::{self, Permissions};
use std::ops::Deref;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use crate::agent::{Agent, program};
use crate::cgroup::is_version_1;
use crate::engine::Engine;
use crate::go::Program;
use crate::{skip, wait};

/// The user's id, and that of the user's group. No other program on the machine uses them.
const USER: u32 = 48_214;

/// Makes the user known, and gives it the device that slirp4netns opens, in a namespace of mounts.
const START: &str = "for file in passwd subuid subgid; do mount --bind \"$1/$file\" /etc/$file || exit; done; \
                     mount -t tmpfs tun /dev/net && mknod -m 666 /dev/net/tun c 10 200 && mount --make-rshared / && \
                     shift && exec \"$@\"";

/// A Podman with a user and a folder of its own. Drop it to stop it.
pub struct RootlessPodman {
    engine: Engine,
    service: Child,
    folder: TempDir,
}

impl RootlessPodman {
    /// Starts one and waits until it responds. Reports a missing precondition.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start() -> Option<Self> {
        let untested = "scenarios with a rootless Podman";
        let runtime: &[&str] = if is_version_1() { &["runc"] } else { &[] };
        let commands = ["podman", "newuidmap", "slirp4netns", "catatonit", "setpriv", "unshare", "docker", "tar"];
        if !skip::has_commands(&[&commands, runtime].concat(), untested) || !skip::is_root(untested) {
            return None;
        }
        Program::App.executable()?;
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path();
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("the owner sets permissions");
        for name in ["home", "run", "plugin"] {
            own_folder(&path.join(name));
        }
        // Its own program, because the folder of the build can be private.
        fs::copy(program(), path.join("program")).expect("the program can be copied");
        add_line(path, "passwd", &format!("scenario:x:{USER}:{USER}::{}:/bin/sh", path.join("home").display()));
        for ids in ["subuid", "subgid"] {
            add_line(path, ids, "scenario:900000000:65536");
        }
        let host = format!("unix://{}", path.join("run/podman/podman.sock").display());
        let mut podman = Self { engine: Engine::at(host, Vec::new()), service: serve(path), folder };
        wait::until("podman responds", || {
            let log = || fs::read_to_string(podman.folder.path().join("log")).unwrap_or_default();
            let ended = podman.service.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "podman exited: {}", log());
            podman.engine.try_docker(&["version"]).ok()
        });
        Some(podman)
    }

    /// An agent of the same user, to which nobody names the engine.
    pub fn agent_of_user(&self) -> Agent {
        let user = [format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".to_owned()];
        let folder = self.folder.path();
        Agent::with_docker_host("")
            .with_launcher(&["setpriv", &user[0], &user[1], &user[2]])
            .with_program(folder.join("program"))
            .with_workdir(folder.join("plugin"))
            .with_env("MACKEREL_PLUGIN_WASM_STORE", folder.join("plugin/store"))
            .with_env("HOME", folder.join("home"))
            .with_env("XDG_RUNTIME_DIR", folder.join("run"))
    }

    /// Returns the user's `XDG_RUNTIME_DIR`.
    pub fn runtime_folder(&self) -> PathBuf {
        self.folder.path().join("run")
    }
}

/// Creates a folder that belongs to the user alone.
fn own_folder(path: &Path) {
    fs::create_dir(path).expect("a folder in a new folder");
    fs::set_permissions(path, Permissions::from_mode(0o700)).expect("the owner sets permissions");
    chown(path, Some(USER), Some(USER)).expect("root gives folders away");
}

/// Copies a file of `/etc` into the folder, with one more line.
fn add_line(folder: &Path, name: &str, line: &str) {
    let mut text = fs::read_to_string(Path::new("/etc").join(name)).unwrap_or_default();
    text.push_str(line);
    text.push('\n');
    fs::write(folder.join(name), text).expect("a file in a new folder");
}

/// Starts the service as the user.
fn serve(folder: &Path) -> Child {
    let runtime = if is_version_1() { "runtime = \"runc\"" } else { "" };
    let containers = format!(
        "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\nlog_driver = \"k8s-file\"\n\
         [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nlock_type = \"file\"\n{runtime}\n"
    );
    // Without an overlay, nothing has to be unmounted at the end.
    let storage = format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\n", folder.join("home/root").display());
    fs::write(folder.join("containers.conf"), containers).expect("a file in a new folder");
    fs::write(folder.join("storage.conf"), storage).expect("a file in a new folder");
    let log = fs::File::create(folder.join("log")).expect("a file in a new folder");
    Command::new("unshare")
        .args(["--mount", "sh", "-c", START, "sh"])
        .arg(folder)
        .args(["setpriv", &format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"])
        .args(["podman", "system", "service", "--time=0"])
        .env("HOME", folder.join("home"))
        .env("XDG_RUNTIME_DIR", folder.join("run"))
        .env("CONTAINERS_CONF", folder.join("containers.conf"))
        .env("CONTAINERS_STORAGE_CONF", folder.join("storage.conf"))
        .current_dir(folder.join("home"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
        .expect("unshare can be started")
}

impl Deref for RootlessPodman {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Drop for RootlessPodman {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.service), Signal::KILL);
        let _ = self.service.wait();
        // The process that keeps the user's namespaces has a group of its own.
        let pause = fs::read_to_string(self.runtime_folder().join("libpod/tmp/pause.pid")).unwrap_or_default();
        if let Some(pause) = pause.trim().parse().ok().and_then(Pid::from_raw) {
            let _ = kill_process(pause, Signal::KILL);
        }
    }
}
