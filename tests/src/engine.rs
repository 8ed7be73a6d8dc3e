//! A real Docker engine, and real Go programs in its containers.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::{fs, thread};

use serde_json::Value;

use crate::go::Program;
use crate::{http, skip, wait};

/// An engine that answers, and the Docker command line to drive it.
pub struct Engine {
    host: String,
    images: Mutex<HashMap<Program, String>>,
}

impl Engine {
    /// The engine of `DOCKER_HOST`, else of the local socket. `None` where none answers or where there is no Go, which
    /// is then said once.
    pub fn find() -> Option<&'static Self> {
        static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
        ENGINE.get_or_init(Self::connect).as_ref()
    }

    fn connect() -> Option<Self> {
        Program::App.executable()?;
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
        let engine = Self { host, images: Mutex::default() };
        if let Err(cause) = engine.try_docker(&["version"]) {
            let what = format!("no Docker engine at {}: {cause}", engine.host);
            skip::notice(&what, "all that needs real containers");
            return None;
        }
        Some(engine)
    }

    /// Where it is, as `DOCKER_HOST` has it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A group of containers for one scenario.
    pub fn group(&'static self) -> Group {
        static GROUPS: AtomicUsize = AtomicUsize::new(0);
        let number = GROUPS.fetch_add(1, Ordering::Relaxed);
        Group { engine: self, name: format!("scenario-{}-{number}", std::process::id()) }
    }

    #[track_caller]
    fn docker(&self, arguments: &[&str]) -> String {
        self.try_docker(arguments).unwrap_or_else(|cause| panic!("docker {arguments:?}: {cause}"))
    }

    fn try_docker(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.command().args(arguments).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", &self.host);
        command
    }

    /// The image of a Go program: its executable and nothing else. Made once for as long as the program stays the same.
    fn image(&self, program: Program) -> String {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.entry(program).or_insert_with(|| self.make_image(program)).clone()
    }

    fn make_image(&self, program: Program) -> String {
        let path = program.executable().expect("Go is there, for the engine was found");
        let mut hasher = DefaultHasher::new();
        fs::read(&path).expect("an executable that was built").hash(&mut hasher);
        let image = format!("scenarios-{}:{:016x}", program.name(), hasher.finish());
        if self.try_docker(&["image", "inspect", &image]).is_err() {
            let folder = path.parent().expect("an executable is in a folder");
            let mut tar = Command::new("tar")
                .arg("-cC")
                .arg(folder)
                .arg(program.name())
                .stdout(Stdio::piped())
                .spawn()
                .expect("tar");
            let entrypoint = format!("ENTRYPOINT [\"/{}\"]", program.name());
            let mut import = self.command();
            import
                .args(["import", "--change", &entrypoint, "-", &image])
                .stdin(tar.stdout.take().expect("stdout is piped"));
            let output = import.output().expect("docker can be started");
            assert!(tar.wait().is_ok_and(|status| status.success()), "tar of {}", path.display());
            assert!(output.status.success(), "docker import: {}", String::from_utf8_lossy(&output.stderr));
        }
        image
    }
}

/// The containers of one scenario. They are removed with it, also when the scenario fails.
pub struct Group {
    engine: &'static Engine,
    name: String,
}

impl Group {
    /// What `--filter` finds them by.
    pub fn filter(&self) -> String {
        format!("label=scenario={}", self.name)
    }

    /// Starts a Go app on a dynamic port and waits until it answers.
    pub fn app(&self, name: &str) -> Container {
        self.app_with(name, "--publish 8080")
    }

    /// Starts a Go app that listens on port 8080, with options of `docker run`, and waits until it answers.
    pub fn app_with(&self, name: &str, options: &str) -> Container {
        let app = self.run(name, options, Program::App, "-listen :8080");
        app.until_answers("/served");
        app
    }

    /// Starts so many Go apps on dynamic ports, and waits until all answer.
    pub fn apps(&self, count: usize) -> Vec<Container> {
        let names: Vec<_> = (0..count).map(|number| format!("app{number}")).collect();
        all_at_once(&names, |name| self.app(name))
    }

    /// Starts a Go app that listens on this port of the machine itself, and waits until it answers.
    pub fn app_in_host_network(&self, name: &str, port: u16) -> Container {
        let mut app = self.run(name, "--network host", Program::App, &format!("-listen 127.0.0.1:{port}"));
        app.address = Some(SocketAddr::from(([127, 0, 0, 1], port)));
        app.until_answers("/served");
        app
    }

    /// Starts servers on dynamic ports, each of which misbehaves in the way that it is named after, and waits until
    /// they do.
    pub fn faults(&self, behaviours: &[&str]) -> Vec<Container> {
        all_at_once(behaviours, |behaviour| {
            let server = self.run(behaviour, "--publish 8080", Program::Faults, behaviour);
            if *behaviour != "closed" {
                server.until_answers("/ready");
            }
            server
        })
    }

    /// Takes this group's name off its containers' names.
    pub fn mask(&self, text: &str) -> String {
        text.replace(&format!("{}-", self.name), "")
    }

    /// Runs a container. The options and arguments are split at white space.
    fn run(&self, name: &str, options: &str, program: Program, arguments: &str) -> Container {
        let label = self.filter().replacen("label=", "--label=", 1);
        let name = format!("{}-{name}", self.name);
        let image = self.engine.image(program);
        let mut command = vec!["run", "--detach", &label, "--name", &name];
        command.extend(options.split_whitespace());
        command.push(&image);
        command.extend(arguments.split_whitespace());
        let id = self.engine.docker(&command);
        let mut container = Container { engine: self.engine, id, name, image, address: None };
        container.find_address();
        container
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let ours = self.engine.try_docker(&["ps", "--all", "--quiet", "--filter", &self.filter()]).unwrap_or_default();
        let mut remove = vec!["rm", "--force", "--volumes"];
        remove.extend(ours.split_whitespace());
        if remove.len() > 3 {
            let _ = self.engine.try_docker(&remove);
        }
    }
}

/// A container of a group.
pub struct Container {
    engine: &'static Engine,
    id: String,
    name: String,
    image: String,
    address: Option<SocketAddr>,
}

impl Container {
    /// The full id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name, without a slash.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The image's name.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Where its port 8080 is reached: an address that it is published at, else its own.
    ///
    /// # Panics
    ///
    /// When it has none.
    pub fn address(&self) -> SocketAddr {
        self.address.unwrap_or_else(|| panic!("{} has no address", self.name))
    }

    /// What the keys of its metrics begin with, under the default prefix and instance name.
    pub fn key(&self) -> String {
        format!("gostats.{}", self.address().port())
    }

    /// Every answer that the app gave under `/stats` since its start.
    ///
    /// # Panics
    ///
    /// When the app does not tell.
    pub fn served(&self) -> Vec<Value> {
        let served = http::get(self.address(), "/served").unwrap_or_else(|error| panic!("{}: {error}", self.name));
        serde_json::from_str(&served).expect("a JSON array")
    }

    /// The last of them.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn last_served(&self) -> Value {
        self.served().pop().unwrap_or_else(|| panic!("{} was not asked", self.name))
    }

    /// Starts it anew and waits until its app answers. The engine may give it other ports.
    pub fn restart(&mut self) {
        self.engine.docker(&["restart", "--time", "0", &self.id]);
        self.find_address();
        self.until_answers("/served");
    }

    /// Waits until the engine's list says for how many seconds it has been up.
    pub fn until_seconds_up(&self) {
        let filter = format!("id={}", self.id);
        let status = || self.engine.docker(&["ps", "--filter", &filter, "--format", "{{.Status}}"]);
        wait::until(&format!("{} is up for a second", self.name), || {
            let status = status();
            (status.contains(" second") && !status.contains("Less than")).then_some(())
        });
    }

    /// Freezes it.
    pub fn pause(&self) {
        self.engine.docker(&["pause", &self.id]);
    }

    /// Ends its freeze.
    pub fn resume(&self) {
        self.engine.docker(&["unpause", &self.id]);
    }

    /// Stops it, and leaves it stopped.
    pub fn stop(&self) {
        self.engine.docker(&["stop", "--time", "0", &self.id]);
    }

    /// Removes it.
    pub fn remove(self) {
        self.engine.docker(&["rm", "--force", &self.id]);
    }

    fn find_address(&mut self) {
        let network = self.engine.docker(&["inspect", "--format", "{{json .NetworkSettings}}", &self.id]);
        let network: Value = serde_json::from_str(&network).expect("inspect gives JSON");
        let bindings = network["Ports"]["8080/tcp"].as_array().cloned().unwrap_or_default();
        let published = bindings.iter().filter_map(|binding| {
            let ip = binding["HostIp"].as_str()?.parse().ok()?;
            Some(SocketAddr::new(reachable(ip), binding["HostPort"].as_str()?.parse().ok()?))
        });
        let own = network["Networks"]["bridge"]["IPAddress"].as_str().and_then(|ip| ip.parse().ok());
        let own = own.map(|ip| SocketAddr::new(ip, 8080));
        // As people expect it: IPv4 where there is a choice.
        self.address = published.min_by_key(SocketAddr::is_ipv6).or(own);
    }

    fn until_answers(&self, path: &str) {
        wait::until(&format!("{} answers", self.name), || http::get(self.address(), path).ok());
    }
}

/// Where a port that is published at this address is reached.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

fn all_at_once<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let workers: Vec<_> = items.iter().map(|item| scope.spawn(|| work(item))).collect();
        workers.into_iter().map(|worker| worker.join().expect("every container starts")).collect()
    })
}
