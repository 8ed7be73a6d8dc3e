//! A real Docker engine, and containers with real Go programs.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{fs, thread};

use serde_json::Value;

use crate::go::Program;
use crate::load::{self, Guard};
use crate::{http, mask, skip, wait};

/// An engine that responds, driven by the docker command. Clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    host: String,
    /// Default options of `docker run`, as names and values.
    defaults: Vec<[String; 2]>,
    images: Arc<Mutex<HashMap<(Program, Check), String>>>,
}

/// The health check of an image.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Check {
    None,
    EverySecond,
}

impl Engine {
    /// Returns the engine of `DOCKER_HOST`, by default that of the local socket. Reports a missing engine, command or
    /// Go.
    pub fn find() -> Option<&'static Self> {
        static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
        ENGINE.get_or_init(Self::connect).as_ref()
    }

    fn connect() -> Option<Self> {
        let untested = "scenarios with real containers";
        if !skip::has_commands(&["docker", "tar"], untested) {
            return None;
        }
        Program::App.executable()?;
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
        let engine = Self::at(host, Vec::new());
        if let Err(cause) = engine.try_docker(&["version"]) {
            skip::notice(&format!("no Docker engine at {}: {cause}", engine.host), untested);
            return None;
        }
        Some(engine)
    }

    /// Returns the engine if it is on this machine and can limit containers, so that the kernel's own numbers can be
    /// read. Reports what is missing.
    pub fn find_local() -> Option<&'static Self> {
        static MISSING: OnceLock<Option<String>> = OnceLock::new();
        let engine = Self::find()?;
        let missing = MISSING.get_or_init(|| engine.missing_locally()).as_ref();
        if let Some(missing) = missing {
            skip::notice(missing, "scenarios that compare with the kernel's cgroups");
        }
        missing.is_none().then_some(engine)
    }

    fn missing_locally(&self) -> Option<String> {
        let info = self.docker(&["info", "--format", "{{json .}}"]);
        let info: Value = serde_json::from_str(&info).expect("docker info prints JSON");
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        if self.socket().is_none() || info["KernelVersion"].as_str() != Some(kernel.trim()) {
            return Some(format!("the engine at {} is not on this machine", self.host));
        }
        if !Path::new("/sys/fs/cgroup").exists() {
            return Some("no cgroups at /sys/fs/cgroup".to_owned());
        }
        let limits = [("MemoryLimit", "memory"), ("CpuCfsQuota", "CPU time"), ("PidsLimit", "processes")];
        let missing = limits.into_iter().find(|(field, _)| info[*field].as_bool() == Some(false));
        missing.map(|(_, resource)| format!("the engine at {} cannot limit {resource}", self.host))
    }

    /// Removes the container with this id.
    pub fn remove(&self, id: &str) {
        self.docker(&["rm", "--force", id]);
    }

    /// Starts the container with this id, and waits until its program writes its address.
    pub fn start(&self, id: &str) {
        self.docker(&["start", id]);
        wait::until(&format!("{id} listens"), || self.docker(&["logs", id]).contains(':').then_some(()));
    }

    /// Restarts the container with this id, and waits until its program writes its address once more.
    pub fn restart(&self, id: &str) {
        let lines = || self.docker(&["logs", id]).lines().count();
        let before = lines();
        self.docker(&["restart", "--time", "0", id]);
        wait::until(&format!("{id} listens"), || (lines() > before).then_some(()));
    }

    /// Disconnects the container with this id from a network.
    pub fn disconnect(&self, network: &str, id: &str) {
        self.docker(&["network", "disconnect", network, id]);
    }

    /// Stops the container with this id.
    pub fn stop(&self, id: &str) {
        self.docker(&["stop", "--time", "0", id]);
    }

    /// An engine that responds at this host, with default options for its containers.
    /// Returns true if it makes cgroups itself, and does not leave that to systemd.
    pub fn makes_cgroups(&self) -> bool {
        self.docker(&["info", "--format", "{{.CgroupDriver}}"]).trim() == "cgroupfs"
    }

    pub(crate) fn at(host: String, defaults: Vec<[String; 2]>) -> Self {
        Self { host, defaults, images: Arc::default() }
    }

    /// Returns the path of its Unix socket.
    pub fn socket(&self) -> Option<&Path> {
        self.host.strip_prefix("unix://").map(Path::new)
    }

    /// Returns the disk of the engine's containers and volumes, as a file of `/dev`. Reports it if that is not a block
    /// device.
    ///
    /// # Panics
    ///
    /// If the engine is on another machine.
    pub fn disk(&self) -> Option<String> {
        let root = self.docker(&["info", "--format", "{{.DockerRootDir}}"]);
        let device = fs::metadata(&root).unwrap_or_else(|error| panic!("{root}: {error}")).dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let Ok(block) = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")) else {
            skip::notice(&format!("{root} is not on a block device"), "block I/O");
            return None;
        };
        // I/O is counted for the disk, not for its partitions.
        let disk = if block.join("partition").exists() { block.parent().expect("a disk") } else { &block };
        Some(format!("/dev/{}", disk.file_name()?.to_str()?))
    }

    /// Returns its address in the form of `DOCKER_HOST`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A group of containers for one scenario. No heavy work runs while it exists.
    pub fn group(&self) -> Group<'_> {
        self.group_with(load::timed())
    }

    /// A group of containers that keep the engine busy. No timed work runs while it exists.
    pub fn heavy_group(&self) -> Group<'_> {
        self.group_with(load::heavy())
    }

    fn group_with(&self, load: Guard) -> Group<'_> {
        static GROUPS: AtomicUsize = AtomicUsize::new(0);
        let number = GROUPS.fetch_add(1, Ordering::Relaxed);
        let name = format!("scenario-{}-{number}", std::process::id());
        Group { engine: self, name, networks: Mutex::default(), services: Mutex::default(), _load: load }
    }

    #[track_caller]
    fn docker(&self, arguments: &[&str]) -> String {
        self.try_docker(arguments).unwrap_or_else(|cause| panic!("docker {arguments:?}: {cause}"))
    }

    pub(crate) fn try_docker(&self, arguments: &[&str]) -> Result<String, String> {
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

    /// Returns the image of a Go program, which holds only its executable. Created once for each version of the
    /// program.
    fn image(&self, program: Program, check: Check) -> String {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.entry((program, check)).or_insert_with(|| self.make_image(program, check)).clone()
    }

    fn make_image(&self, program: Program, check: Check) -> String {
        let path = program.executable().expect("Go is there because the engine was found");
        let mut hasher = DefaultHasher::new();
        fs::read(&path).expect("an executable that was built").hash(&mut hasher);
        check.hash(&mut hasher);
        let image = format!("scenarios-{}:{:016x}", program.name(), hasher.finish());
        let folder = path.parent().expect("an executable is in a folder");
        let mut changes = vec![format!("ENTRYPOINT [\"/{}\"]", program.name())];
        // `docker run` can only set checks by a shell, and the image has none. Podman does not support this
        // instruction.
        if check == Check::EverySecond {
            changes.push(r#"HEALTHCHECK --interval=1s CMD ["/work", "-check"]"#.to_owned());
        }
        self.import(&image, &changes, folder, &[program.name()]);
        image
    }

    /// Creates an image of these files below `folder`, unless it exists. Symbolic links are followed.
    pub(crate) fn import(&self, image: &str, changes: &[String], folder: &Path, files: &[&str]) {
        if self.try_docker(&["image", "inspect", image]).is_ok() {
            return;
        }
        let mut tar = Command::new("tar");
        let mut tar = tar.arg("-chC").arg(folder).args(files).stdout(Stdio::piped()).spawn().expect("tar");
        let mut import = self.command();
        import.arg("import").args(changes.iter().flat_map(|change| ["--change", change.as_str()]));
        import.args(["-", image]).stdin(tar.stdout.take().expect("stdout is piped"));
        let output = import.output().expect("docker can be started");
        assert!(tar.wait().is_ok_and(|status| status.success()), "tar of {files:?}");
        assert!(output.status.success(), "docker import: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Returns the image of this machine's redis-server. Reports it if there is none.
    fn redis_image(&self) -> Option<String> {
        let untested = "the collector redis with a real Redis";
        let has_client = skip::has_commands(&["redis-cli"], untested);
        has_client.then(|| self.image_of_executable("/usr/bin/redis-server", untested)).flatten()
    }
}

/// The containers of one scenario. Drop it to remove them.
pub struct Group<'e> {
    engine: &'e Engine,
    name: String,
    networks: Mutex<Vec<String>>,
    services: Mutex<Vec<String>>,
    _load: Guard,
}

impl<'e> Group<'e> {
    pub(crate) fn engine(&self) -> &'e Engine {
        self.engine
    }

    /// Returns the beginning of the names of its containers.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the `--filter` that matches them.
    pub fn filter(&self) -> String {
        format!("label=scenario={}", self.name)
    }

    /// Starts a Go app on a dynamic port and waits until it responds.
    pub fn app(&self, name: &str) -> Container<'e> {
        self.app_with(name, "--publish 8080")
    }

    /// Starts a Go app that listens on port 8080, with options of `docker run`, and waits until it responds.
    pub fn app_with(&self, name: &str, options: &str) -> Container<'e> {
        let app = self.run(name, options, Program::App, "-listen :8080");
        app.wait_until_responds("/served");
        app
    }

    /// Starts a Go app that listens at this address of its own, with options of `docker run`, and waits until it does.
    pub fn app_at(&self, name: &str, options: &str, listen: &str) -> Container<'e> {
        let app = self.run(name, options, Program::App, &format!("-listen {listen}"));
        wait::until(&format!("{name} listens"), || self.engine.docker(&["logs", app.id()]).contains(':').then_some(()));
        app
    }

    /// Starts a container of the app's image in which nothing runs but `sleep` of this machine, whose programs are
    /// mounted by options of `docker run`.
    pub fn sleeping(&self, name: &str, options: &str) -> Container<'e> {
        self.run(name, &format!("{options} --entrypoint /usr/bin/sleep"), Program::App, "60")
    }

    /// Makes a Go app that listens on port 8080 and is not started, and returns its id.
    pub fn created_app(&self, name: &str, options: &str) -> String {
        let label = self.filter().replacen("label=", "--label=", 1);
        let name = format!("{}-{name}", self.name);
        let image = self.engine.image(Program::App, Check::None);
        let mut command = vec!["create", &label, "--name", &name];
        command.extend(options.split_whitespace());
        command.extend([image.as_str(), "-listen", ":8080"]);
        self.engine.docker(&command)
    }

    /// Makes a network with options of `docker network create`, and returns its name. It is removed with the group.
    pub fn network(&self, name: &str, options: &str) -> String {
        let name = format!("{}-{name}", self.name);
        let mut command = vec!["network", "create"];
        command.extend(options.split_whitespace());
        command.push(&name);
        self.engine.docker(&command);
        self.networks.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        name
    }

    /// Makes a macvlan network with these first three bytes of its addresses, on the bridge of another network.
    pub fn macvlan(&self, name: &str, subnet: &str, parent: &str) -> String {
        let id = self.engine.docker(&["network", "inspect", "--format", "{{.Id}}", parent]);
        let parent = format!("--opt parent=br-{}", &id[..12]);
        self.network(name, &format!("--driver macvlan {parent} --subnet {subnet}.0/24 --gateway {subnet}.1"))
    }

    /// Connects a container to another network.
    pub fn connect(&self, network: &str, container: &Container) {
        self.engine.docker(&["network", "connect", network, container.id()]);
    }

    /// Makes a service of a swarm with one task, whose Go app listens on port 8080, with options of `docker service
    /// create`. Returns the task's container when its app listens. The service is removed with the group.
    pub fn service(&self, name: &str, options: &str) -> Container<'e> {
        let name = format!("{}-{name}", self.name);
        let label = self.filter().replacen("label=", "--container-label=", 1);
        let image = self.engine.image(Program::App, Check::None);
        // The image is in no registry.
        let mut command = vec!["service", "create", "--detach", "--no-resolve-image", &label, "--name", &name];
        command.extend(options.split_whitespace());
        command.extend([image.as_str(), "-listen", ":8080"]);
        self.engine.docker(&command);
        self.services.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        let of_service = format!("label=com.docker.swarm.service.name={name}");
        let list = ["ps", "--no-trunc", "--filter", &of_service, "--format", "{{.ID}} {{.Names}}"];
        let (id, name) = wait::until(&format!("a task of {name} runs"), || {
            let task = self.engine.docker(&list);
            task.split_once(' ').map(|(id, name)| (id.to_owned(), name.to_owned()))
        });
        wait::until(&format!("{name} listens"), || self.engine.docker(&["logs", &id]).contains(':').then_some(()));
        let mut container = Container { engine: self.engine, id, name, image, address: None };
        container.find_address();
        container
    }

    /// Starts a Go app with Prometheus metrics on a dynamic port and waits until it responds.
    pub fn prometheus_app(&self, name: &str) -> Container<'e> {
        self.prometheus_app_with(name, "")
    }

    /// As [`prometheus_app`](Self::prometheus_app), with further options of `docker run`.
    pub fn prometheus_app_with(&self, name: &str, further: &str) -> Container<'e> {
        let app = self.run(name, &format!("--publish 8080 {further}"), Program::PromApp, "-listen :8080");
        app.wait_until_responds("/served");
        app
    }

    /// Starts a Redis on a dynamic port, with further options, and waits until it responds. Reports it if there is
    /// none.
    pub fn redis(&self, name: &str, options: &str) -> Option<Container<'e>> {
        self.redis_with(name, "", options)
    }

    /// As [`redis`](Self::redis), with further options of `docker run` too.
    pub fn redis_with(&self, name: &str, further: &str, options: &str) -> Option<Container<'e>> {
        let options = format!("--port 8080 --protected-mode no --dir / {options}");
        let redis = self.run_image(name, &format!("--publish 8080 {further}"), self.engine.redis_image()?, &options);
        wait::until(&format!("{} responds", redis.name), || {
            let mut stream = TcpStream::connect(redis.address()).ok()?;
            stream.write_all(b"PING\r\n").ok()?;
            // It also responds if it requires a password.
            (stream.read(&mut [0]).ok()? == 1).then_some(())
        });
        Some(redis)
    }

    /// Starts a replica of a Redis in the network of its container. Reports it if there is none.
    pub fn redis_replica(&self, name: &str, of: &Container) -> Option<Container<'e>> {
        let network = format!("--network container:{}", of.id);
        let options = "--port 8081 --dir / --replicaof 127.0.0.1 8080";
        Some(self.run_image(name, &network, self.engine.redis_image()?, options))
    }

    /// Starts a Go app that ends at once and is restarted again and again. Returns in one of the longer pauses.
    pub fn crashing(&self, name: &str) -> Container<'e> {
        let app = self.run(name, "--publish 8080 --restart always", Program::App, "-no-such-option");
        // The engine doubles the pause each time, from a tenth of a second.
        wait::until(&format!("{} is restarted a few times", app.name), || {
            let state = app.inspect("{{.State.Restarting}} {{.RestartCount}}");
            let (is_paused, count) = state.trim().split_once(' ')?;
            (is_paused == "true" && count.parse::<u32>().ok()? >= 5).then_some(())
        });
        app
    }

    /// Starts Go apps on dynamic ports and waits until all respond.
    pub fn apps(&self, count: usize) -> Vec<Container<'e>> {
        let names: Vec<_> = (0..count).map(|number| format!("app{number}")).collect();
        concurrently(&names, |name| self.app(name))
    }

    /// Starts a Go app on the host network and waits until it responds.
    pub fn app_in_host_network(&self, name: &str, port: u16) -> Container<'e> {
        let mut app = self.run(name, "--network host", Program::App, &format!("-listen 127.0.0.1:{port}"));
        app.address = Some(SocketAddr::from(([127, 0, 0, 1], port)));
        app.wait_until_responds("/served");
        app
    }

    /// Starts misbehaving servers on dynamic ports, named after their behaviours, and waits until they are ready.
    pub fn faults(&self, behaviours: &[&str]) -> Vec<Container<'e>> {
        concurrently(behaviours, |behaviour| {
            let server = self.run(behaviour, "--publish 8080", Program::Faults, behaviour);
            if *behaviour != "closed" {
                server.wait_until_responds("/ready");
            }
            server
        })
    }

    /// Starts the Go program that uses known amounts of resources, with options of `docker run`, and waits until it is
    /// done.
    pub fn work(&self, name: &str, options: &str, arguments: &str) -> Container<'e> {
        let work = self.run(name, options, Program::Work, arguments);
        work.wait_until_done(1);
        work
    }

    /// Starts the same program with a health check that succeeds.
    pub fn work_with_health_check(&self, name: &str, options: &str, arguments: &str) -> Container<'e> {
        let image = self.engine.image(Program::Work, Check::EverySecond);
        let work = self.run_image(name, options, image, arguments);
        work.wait_until_done(1);
        work
    }

    /// Removes the group's name from the names of its containers, and replaces their own addresses by `OWN`.
    pub fn mask(&self, text: &str) -> String {
        let format = "{{range .IPAM.Config}}{{.Subnet}} {{end}}";
        let subnets = self.engine.docker(&["network", "inspect", "bridge", "--format", format]);
        let prefixes = subnets.split_whitespace().filter_map(|subnet| subnet.split_once(".0/"));
        prefixes
            .map(|(prefix, _)| format!("{prefix}."))
            .fold(text.replace(&format!("{}-", self.name), ""), |text, prefix| {
                mask::digits(&text, &prefix, "").replace(&prefix, "OWN")
            })
    }

    /// Runs a container. Options and arguments are split at white space.
    fn run(&self, name: &str, options: &str, program: Program, arguments: &str) -> Container<'e> {
        self.run_image(name, options, self.engine.image(program, Check::None), arguments)
    }

    pub(crate) fn run_image(&self, name: &str, options: &str, image: String, arguments: &str) -> Container<'e> {
        let label = self.filter().replacen("label=", "--label=", 1);
        let name = format!("{}-{name}", self.name);
        let mut command = vec!["run", "--detach", &label, "--name", &name];
        let defaults = self.engine.defaults.iter().filter(|[name, _]| !options.contains(name.as_str()));
        command.extend(defaults.flatten().map(String::as_str));
        command.extend(options.split_whitespace());
        command.push(&image);
        command.extend(arguments.split_whitespace());
        let id = self.engine.docker(&command);
        let mut container = Container { engine: self.engine, id, name, image, address: None };
        container.find_address();
        container
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        // A swarm replaces the containers of its services.
        for service in self.services.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = self.engine.try_docker(&["service", "rm", service]);
        }
        let ours = self.engine.try_docker(&["ps", "--all", "--quiet", "--filter", &self.filter()]).unwrap_or_default();
        let mut remove = vec!["rm", "--force", "--volumes"];
        remove.extend(ours.split_whitespace());
        if remove.len() > 3 {
            let _ = self.engine.try_docker(&remove);
        }
        for network in self.networks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = self.engine.try_docker(&["network", "rm", network]);
        }
    }
}

/// A container of a group.
pub struct Container<'e> {
    engine: &'e Engine,
    id: String,
    name: String,
    image: String,
    address: Option<SocketAddr>,
}

impl Container<'_> {
    /// Returns the full id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the name, without a slash.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of the image.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Returns the address of its port 8080: the published one, by default the container's own.
    ///
    /// # Panics
    ///
    /// If it has none.
    pub fn address(&self) -> SocketAddr {
        self.address.unwrap_or_else(|| panic!("{} has no address", self.name))
    }

    /// Returns its own address on a network, if it is on it.
    ///
    /// # Panics
    ///
    /// If the engine does not inspect it.
    pub fn own_address(&self, network: &str) -> Option<IpAddr> {
        let networks = self.inspect("{{json .NetworkSettings.Networks}}");
        let networks: Value = serde_json::from_str(&networks).expect("inspect gives JSON");
        networks[network]["IPAddress"].as_str()?.parse().ok()
    }

    /// Returns this machine's address on the container's network: the source address of packets to the container.
    ///
    /// The engine is not asked, because Docker 20.10 lists no gateway for the bridge that its first start made.
    ///
    /// # Panics
    ///
    /// If the container has no address, or this machine has no route to it.
    pub fn host_address(&self) -> IpAddr {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
        socket.connect(self.address()).unwrap_or_else(|error| panic!("no route to {}: {error}", self.name));
        socket.local_addr().expect("a connected socket has an address").ip()
    }

    /// Returns the prefix of its metrics, under the default prefix and instance name.
    pub fn key(&self) -> String {
        format!("gostats.{}", self.address().port())
    }

    /// Returns all responses of the app under `/stats` since its start.
    ///
    /// # Panics
    ///
    /// If the app does not respond.
    pub fn served(&self) -> Vec<Value> {
        let served = http::get(self.address(), "/served").unwrap_or_else(|error| panic!("{}: {error}", self.name));
        serde_json::from_str(&served).expect("a JSON array")
    }

    /// Returns the last of them.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn last_served(&self) -> Value {
        self.served().pop().unwrap_or_else(|| panic!("{} received no request", self.name))
    }

    /// Restarts it and waits until its app responds. The engine may assign other ports.
    pub fn restart(&mut self) {
        self.engine.docker(&["restart", "--time", "0", &self.id]);
        self.find_address();
        self.wait_until_responds("/served");
    }

    /// Waits until the engine's list shows how many seconds it has been up.
    pub fn wait_until_seconds_up(&self) {
        let filter = format!("id={}", self.id);
        let status = || self.engine.docker(&["ps", "--filter", &filter, "--format", "{{.Status}}"]);
        wait::until(&format!("{} is up for a second", self.name), || {
            let status = status();
            (status.contains(" second") && !status.contains("Less than")).then_some(())
        });
    }

    /// Restarts the program for known work and waits until it is done.
    pub fn restart_work(&self) {
        let before = self.times_done();
        self.engine.docker(&["restart", "--time", "0", &self.id]);
        self.wait_until_done(before + 1);
    }

    /// Does more work in it, and waits until it is done.
    pub fn do_work(&self, arguments: &str) {
        let mut command = vec!["exec", &self.id, "/work", "-quit"];
        command.extend(arguments.split_whitespace());
        self.engine.docker(&command);
    }

    /// Returns what `docker stats` shows.
    pub fn docker_stats(&self, format: &str) -> String {
        self.engine.docker(&["stats", "--no-stream", "--format", format, &self.id])
    }

    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        self.engine.docker(arguments)
    }

    /// Returns its log, stdout and stderr.
    ///
    /// # Panics
    ///
    /// If there is no docker command.
    pub fn log(&self) -> String {
        let output = self.engine.command().args(["logs", &self.id]).output().expect("docker can be started");
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
    }

    /// Runs a command within it, and returns its stdout.
    pub fn exec(&self, command: &str) -> String {
        let mut words = vec!["exec", &self.id];
        words.extend(command.split_whitespace());
        self.engine.docker(&words)
    }

    /// Returns what `docker inspect` shows.
    pub fn inspect(&self, format: &str) -> String {
        self.engine.docker(&["inspect", "--format", format, &self.id])
    }

    /// Returns its CPU time since its start, from the kernel.
    pub fn cpu(&self) -> Cpu {
        let groups = self.groups();
        let usage = file(&groups, ("cpuacct", "cpuacct.stat"), "cpu.stat");
        let limit = file(&groups, ("cpu", "cpu.stat"), "cpu.stat");
        // In hundredths of a second and in nanoseconds under version 1, in microseconds under version 2.
        let v1 = usage.starts_with("user ");
        let (names, second) = if v1 { (["user", "system"], 1e2) } else { (["user_usec", "system_usec"], 1e6) };
        let throttled = if v1 { field(&limit, "throttled_time") / 1e9 } else { field(&limit, "throttled_usec") / 1e6 };
        Cpu {
            used: names.iter().map(|name| field(&usage, name) / second).sum(),
            periods: field(&limit, "nr_periods"),
            throttled_periods: field(&limit, "nr_throttled"),
            throttled,
        }
    }

    /// Returns its anonymous memory in bytes, from the kernel.
    pub fn anonymous_memory(&self) -> f64 {
        let stat = file(&self.groups(), ("memory", "memory.stat"), "memory.stat");
        field(&stat, if stat.contains("total_rss ") { "total_rss" } else { "anon" })
    }

    /// Returns the bytes that it wrote since its start, by device number, from the kernel.
    ///
    /// Cgroup version 1 counts only devices with a limit.
    ///
    /// # Panics
    ///
    /// If the kernel's file is invalid.
    pub fn written(&self) -> BTreeMap<String, f64> {
        let stat = file(&self.groups(), ("blkio", "blkio.throttle.io_service_bytes_recursive"), "io.stat");
        let written = stat.lines().filter_map(|line| {
            let (device, rest) = line.split_once(' ')?;
            let bytes = rest
                .strip_prefix("Write ")
                .or_else(|| rest.split_whitespace().find_map(|pair| pair.strip_prefix("wbytes=")))?;
            Some((device.to_owned(), bytes.parse().expect("a number")))
        });
        written.collect()
    }

    /// Pauses it.
    pub fn pause(&self) {
        self.engine.docker(&["pause", &self.id]);
    }

    /// Resumes it.
    pub fn resume(&self) {
        self.engine.docker(&["unpause", &self.id]);
    }

    /// Stops it.
    pub fn stop(&self) {
        self.engine.stop(&self.id);
    }

    /// Removes it.
    pub fn remove(self) {
        self.engine.remove(&self.id);
    }

    fn find_address(&mut self) {
        let network = self.engine.docker(&["inspect", "--format", "{{json .NetworkSettings}}", &self.id]);
        let network: Value = serde_json::from_str(&network).expect("inspect gives JSON");
        let bindings = network["Ports"]["8080/tcp"].as_array().cloned().unwrap_or_default();
        let published = bindings.iter().filter_map(|binding| {
            // Podman omits the address of all interfaces.
            let ip = Some(binding["HostIp"].as_str()?).filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0").parse().ok()?;
            Some(SocketAddr::new(reachable(ip), binding["HostPort"].as_str()?.parse().ok()?))
        });
        let own = network["Networks"]["bridge"]["IPAddress"].as_str().and_then(|ip| ip.parse().ok());
        let own = own.map(|ip| SocketAddr::new(ip, 8080));
        // IPv4 is preferred.
        self.address = published.min_by_key(SocketAddr::is_ipv6).or(own);
    }

    /// Returns the kernel's list of its cgroups.
    fn groups(&self) -> String {
        let path = format!("/proc/{}/cgroup", self.inspect("{{.State.Pid}}"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn wait_until_done(&self, times: usize) {
        wait::until(&format!("{} is done", self.name), || (self.times_done() >= times).then_some(()));
    }

    fn times_done(&self) -> usize {
        let log = self.engine.try_docker(&["logs", &self.id]).unwrap_or_default();
        log.lines().filter(|line| *line == "done").count()
    }

    fn wait_until_responds(&self, path: &str) {
        wait::until(&format!("{} responds", self.name), || http::get(self.address(), path).ok());
    }
}

/// The CPU time of a container since its start, from the kernel. Times are in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// Time in user and kernel mode.
    pub used: f64,
    /// Periods with a limit.
    pub periods: f64,
    /// Periods in which the limit was reached.
    pub throttled_periods: f64,
    /// Time that it waited for the next period.
    pub throttled: f64,
}

/// Reads a file of a cgroup. The first names are the controller and the file of version 1.
fn file(groups: &str, (controller, v1): (&str, &str), v2: &str) -> String {
    let group = |of: &str| groups.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(of)?.strip_prefix(":/"));
    let root = Path::new("/sys/fs/cgroup");
    let path = match group(controller) {
        Some(group) => root.join(controller).join(group).join(v1),
        None => root.join(group("").expect("a group of version 2")).join(v2),
    };
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns a field of a file whose lines have a name and a number.
fn field(stat: &str, name: &str) -> f64 {
    let value = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {stat}"))
}

/// Returns the address at which a port is reached that is published at `ip`.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

fn concurrently<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let workers: Vec<_> = items.iter().map(|item| scope.spawn(|| work(item))).collect();
        workers.into_iter().map(|worker| worker.join().expect("no start panics")).collect()
    })
}
