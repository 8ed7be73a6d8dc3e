//! Tasks of ECS in the network mode `awsvpc`, found from their container instance. Their networks are built as the ECS
//! agent builds them, by a pause container without a network of the engine and two interfaces that are moved into it.
//! The network of a pod of Kubernetes on Docker is built in the same way, with one interface.

use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use scenarios::agent::{Agent, Output};
use scenarios::engine::{Container, Engine, Group};
use scenarios::fake_engine::{FakeEngine, listed};
use scenarios::http::{self, Reply};
use scenarios::server::Server;
use scenarios::{port, skip};
use serde_json::{Value, json};

/// The bridge of the ECS agent, the other ends of the tasks' interfaces, and their addresses.
struct Vpc {
    /// The last byte of its addresses.
    number: u8,
}

static NUMBER: AtomicU8 = AtomicU8::new(1);

/// Runs `ip`, of the package iproute2.
fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split_whitespace()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("ip {words}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Runs `ip` in the network of a process.
fn ip_inside(pid: &str, words: &str) {
    let enter = ["--target", pid, "--net", "ip"];
    let output = Command::new("nsenter").args(enter).args(words.split_whitespace()).output().expect("nsenter");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Vpc {
    /// Makes the bridge. The link-local range of the ECS agent is not used, so that a real agent is not disturbed.
    fn new() -> Option<Vpc> {
        let vpc = Vpc { number: NUMBER.fetch_add(1, Ordering::Relaxed) };
        let bridge = vpc.bridge();
        let made =
            ip(&format!("link add {bridge} address 02:42:c6:12:c8:{number:02x} type bridge", number = vpc.number))
                .and_then(|()| ip(&format!("address add 198.18.200.{}/28 dev {bridge}", 16 * vpc.number)))
                .and_then(|()| ip(&format!("link set {bridge} up")));
        match made {
            Ok(()) => Some(vpc),
            Err(cause) => {
                skip::notice(&cause, "tasks of ECS in the mode awsvpc");
                None
            }
        }
    }

    fn bridge(&self) -> String {
        format!("mpwecs{}-{}", self.number, std::process::id() % 10_000)
    }

    /// The address of the task on the bridge.
    fn on_bridge(&self) -> String {
        format!("198.18.200.{}", 16 * self.number + 5)
    }

    /// The address of the task's network interface.
    fn of_interface(&self) -> String {
        format!("198.18.201.{}", 16 * self.number + 6)
    }

    /// Gives the network of `pause` an interface on the bridge.
    fn join_bridge(&self, pause: &Container) {
        let pid = pause.inspect("{{.State.Pid}}");
        let end = format!("mpwv{}b{}", self.number, std::process::id() % 10_000);
        ip(&format!("link add {end} type veth peer name ecs-eth0 netns {pid}")).expect("a pair of interfaces");
        ip(&format!("link set {end} master {} up", self.bridge())).expect("an interface on the bridge");
        ip_inside(&pid, &format!("address add {}/28 dev ecs-eth0", self.on_bridge()));
        ip_inside(&pid, "link set ecs-eth0 up");
    }

    /// Gives the network of `pause` an interface with the other end on this machine, as if it were in another subnet of
    /// the VPC.
    fn add_interface(&self, pause: &Container) {
        let pid = pause.inspect("{{.State.Pid}}");
        let end = format!("mpwv{}i{}", self.number, std::process::id() % 10_000);
        ip(&format!("link add {end} type veth peer name eth0 netns {pid}")).expect("a pair of interfaces");
        ip(&format!("address add 198.18.201.{}/28 dev {end}", 16 * self.number + 1)).expect("an address");
        ip(&format!("link set {end} up")).expect("an interface");
        ip_inside(&pid, &format!("address add {}/28 dev eth0", self.of_interface()));
        ip_inside(&pid, "link set eth0 up");
    }

    /// Replaces its addresses.
    fn mask(&self, text: &str) -> String {
        text.replace(&self.on_bridge(), "BRIDGE").replace(&self.of_interface(), "INTERFACE")
    }
}

impl Drop for Vpc {
    fn drop(&mut self) {
        // The other interfaces end with the network of the pause container.
        ip(&format!("link delete {}", self.bridge())).expect("the bridge is removed");
    }
}

const TASK: &str = "arn:aws:ecs:eu-west-1:012345678901:task/shop/0123456789abcdef0123456789abcdef";

/// Options of `docker run` for a container of the task.
fn labels(name: &str) -> String {
    let label = |key: &str, value: &str| format!("--label com.amazonaws.ecs.{key}={value}");
    let all = [("container-name", name), ("task-arn", TASK), ("task-definition-family", "shop")];
    all.map(|(key, value)| label(key, value)).join(" ")
}

/// Starts a task: a pause container without a network, and an app on port 8080 in its network.
fn start<'e>(group: &Group<'e>, vpc: &Vpc, has_bridge: bool) -> (Container<'e>, Container<'e>) {
    let options = format!("--network none {}", labels("~internal~ecs~pause"));
    let pause = group.app_at("pause", &options, "127.0.0.1:1");
    if has_bridge {
        vpc.join_bridge(&pause);
    }
    vpc.add_interface(&pause);
    let options = format!("--network container:{} {}", pause.id(), labels("api"));
    let app = group.app_at("api", &options, ":8080");
    (pause, app)
}

/// Returns a line for each container of the group, with the notes on it.
fn explained(agent: &Agent, group: &Group, vpc: &Vpc, options: &str) -> String {
    let of_group = |name: &str| group.mask(name) != name;
    group.mask(&all_explained(agent, vpc, &format!("--filter {} {options}", group.filter()), of_group))
}

/// Returns a line for each container whose name is one of these, with the notes on it.
fn all_explained(agent: &Agent, vpc: &Vpc, options: &str, is_ours: impl Fn(&str) -> bool) -> String {
    let output: Output = agent.run(&format!("explain gostats --path /stats --json {options}"));
    let explanation: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    let rows = explanation["containers"].as_array().expect("a list");
    let is_ours = |row: &&Value| row["container"]["name"].as_str().is_some_and(&is_ours);
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let lines = rows.iter().filter(is_ours).map(|row| {
        let [name, address, series, why] =
            [&row["container"]["name"], &row["address"], &row["name"], &row["why"]].map(text);
        let others = row["addresses"].as_array().into_iter().flatten().skip(1);
        let others = others.map(|other| format!("  {}: {}\n", text(&other["address"]), text(&other["reason"])));
        let error = row["error"].as_str().filter(|error| *error != why).map(|error| format!("  error: {error}\n"));
        format!("{name}: {address} as {series}: {why}\n") + &others.chain(error).collect::<String>()
    });
    vpc.mask(&lines.collect::<String>())
}

/// Serves the introspection API of the ECS agent, unless something else has its port.
fn introspection(app: &Container, vpc: &Vpc, (hosted, port): (&Container, u16)) -> Option<Server> {
    let listener = match TcpListener::bind("127.0.0.1:51678") {
        Ok(listener) => listener,
        Err(cause) => {
            skip::notice(&format!("127.0.0.1:51678: {cause}"), "the introspection API of the ECS agent");
            return None;
        }
    };
    let tasks = json!({"Tasks": [{
        "Arn": TASK, "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Family": "shop", "Version": "3",
        "Containers": [{
            "DockerId": app.id(), "DockerName": app.name(), "Name": "api",
            "Ports": [{"ContainerPort": 8080, "Protocol": "tcp", "HostPort": 8080}],
            "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": [vpc.of_interface()]}],
        }, {
            "DockerId": hosted.id(), "DockerName": hosted.name(), "Name": "hosted",
            "Ports": [{"ContainerPort": port, "Protocol": "tcp", "HostPort": port}],
        }, {"DockerId": "0f", "DockerName": "old", "Name": "old"}],
    }]});
    Some(http::serve(listener, move |path| match path {
        "/v1/tasks" => Reply::Whole(200, tasks.to_string()),
        _ => Reply::Whole(404, String::new()),
    }))
}

#[test]
fn task_is_reached_on_the_bridge_of_the_ecs_agent() {
    let Some(engine) = Engine::find_local() else { return };
    let Some(vpc) = Vpc::new() else { return };
    let group = engine.group();
    let (_pause, app) = start(&group, &vpc, true);
    let agent = Agent::with_engine(engine);
    insta::assert_snapshot!(explained(&agent, &group, &vpc, "--container-port 8080"), @"
    api: BRIDGE:8080 as 8080: --container-port, in the network of pause, its own address on a bridge of this machine
      INTERFACE:8080: the address of its task's network interface
    pause: - as -: pause container, not an application (--include-infrastructure)
    ");
    // Without the agent, no port is known.
    insta::assert_snapshot!(explained(&agent, &group, &vpc, ""), @"
    api: - as -: publishes no TCP port; the container listens on 8080: try --container-port 8080
    pause: - as -: pause container, not an application (--include-infrastructure)
    ");
    let port = port::free();
    let options = format!("--network host {}", labels("hosted"));
    let hosted = group.app_at("hosted", &options, &format!("127.0.0.1:{port}"));
    let Some(_agent) = introspection(&app, &vpc, (&hosted, port)) else { return };
    insta::assert_snapshot!(explained(&agent, &group, &vpc, "--instance-name ecs-task --skip name=hosted"), @"
    api: BRIDGE:8080 as 0123456789abcdef0123456789abcdef: the only published port, in the network of pause, its own address on a bridge of this machine
      INTERFACE:8080: the address of its task's network interface
    hosted: - as -: matches --skip name=hosted
    pause: - as -: pause container, not an application (--include-infrastructure)
    ");
    // Only the agent knows the port of a task on the host network, too.
    let of_hosted = explained(&agent, &group, &vpc, "--instance-name ecs-container --skip name=api");
    insta::assert_snapshot!(of_hosted.replace(&port.to_string(), "PORT"), @"
    hosted: 127.0.0.1:PORT as hosted: the only published port, on the host network
    api: - as -: matches --skip name=api
    pause: - as -: pause container, not an application (--include-infrastructure)
    ");
    // The processes of other users can be hidden: the agent alone knows the address of the task then.
    if skip::has_commands(&["mount", "setpriv", "unshare"], "tasks of ECS whose processes are hidden") {
        let hidden = Agent::with_engine(engine).without_visible_processes();
        insta::assert_snapshot!(explained(&hidden, &group, &vpc, "--skip name=hosted"), @"
        api: INTERFACE:8080 as 8080: the only published port, in the network of pause, bound to INTERFACE
        hosted: - as -: matches --skip name=hosted
        pause: - as -: pause container, not an application (--include-infrastructure)
        ");
    }
    for (format, name) in [("ecs-container", "api"), ("slot:ecs-container", "api_1"), ("slot:ecs-family", "shop_1")] {
        let words = format!("run gostats --path /stats --filter {} --instance-name {format}", group.filter());
        let output = agent.run(&words).exits(0);
        assert_eq!(output.metrics().instances().first(), Some(&name), "{output}");
    }
}

#[test]
fn task_without_an_address_on_the_bridge_is_reached_at_its_interface() {
    let Some(engine) = Engine::find_local() else { return };
    let Some(vpc) = Vpc::new() else { return };
    let group = engine.group();
    let (_pause, _app) = start(&group, &vpc, false);
    let agent = Agent::with_engine(engine);
    insta::assert_snapshot!(explained(&agent, &group, &vpc, "--container-port 8080"), @"
    api: INTERFACE:8080 as 8080: --container-port, in the network of pause, the address of its task's network interface
    pause: - as -: pause container, not an application (--include-infrastructure)
    ");
    insta::assert_snapshot!(explained(&agent, &group, &vpc, "--container-port 9090"), @"
    api: - as -: has no TCP port 9090; the container listens on 8080: try --container-port 8080
    pause: - as -: pause container, not an application (--include-infrastructure)
    ");
}

#[test]
fn application_on_the_loopback_address_of_its_task_is_reached_by_entering_its_network() {
    let Some(engine) = Engine::find_local() else { return };
    let Some(vpc) = Vpc::new() else { return };
    let group = engine.group();
    let pause = group.app_at("pause", &format!("--network none {}", labels("~internal~ecs~pause")), "127.0.0.1:1");
    vpc.join_bridge(&pause);
    vpc.add_interface(&pause);
    let options = format!("--network container:{} {}", pause.id(), labels("api"));
    let _app = group.app_at("api", &options, "127.0.0.1:8080");
    let agent = Agent::with_engine(engine);
    insta::assert_snapshot!(explained(&agent, &group, &vpc, "--container-port 8080"), @"
    api: BRIDGE:8080 as 8080: --container-port, in the network of pause, its own address on a bridge of this machine
      INTERFACE:8080: the address of its task's network interface
      error: connection failed: Connection refused (os error 111); the container listens on port 8080 only at its own loopback address
    pause: - as -: pause container, not an application (--include-infrastructure)
    ");
    insta::assert_snapshot!(explained(&agent, &group, &vpc, "--container-port 8080 --enter-network"), @"
    api: 127.0.0.1:8080 as 8080: --container-port, in the network of pause, 127.0.0.1 in its own network (--enter-network)
      INTERFACE:8080: the address of its task's network interface
      127.0.0.1:8080: 127.0.0.1 in its own network (--enter-network)
    pause: - as -: pause container, not an application (--include-infrastructure)
    ");
    let words = format!("run gostats --path /stats --filter {} --container-port 8080 --enter-network", group.filter());
    let output = agent.run(&words).exits(0).without_diagnostics();
    assert_eq!(output.metrics().instances(), ["8080"], "{output}");
    // A collector that connects by itself would reach the address of this machine.
    let words = format!("run redis --filter {} --container-port 8080 --enter-network", group.filter());
    insta::assert_snapshot!(vpc.mask(&group.mask(&agent.run(&words).exits(1).stderr)), @"mackerel-plugin-wasm: redis: api (127.0.0.1:8080): connection failed: Permission denied; denied: 127.0.0.1:8080 (TCP) (a collector can only reach its own target); its own address BRIDGE:8080: Connection refused (os error 111); its own address INTERFACE:8080: Connection refused (os error 111); the container listens on port 8080 only at its own loopback address");
}

#[test]
fn pod_of_kubernetes_on_docker_is_reached_on_the_bridge_of_its_network() {
    let Some(engine) = Engine::find_local() else { return };
    let Some(vpc) = Vpc::new() else { return };
    let group = engine.group();
    let pod = group.app_at("pod", "--network none", "127.0.0.1:1");
    vpc.join_bridge(&pod);
    let in_pod = format!("--network container:{}", pod.id());
    let api = group.app_at("api", &in_pod, ":8080");
    let sidecar = group.app_at("sidecar", &in_pod, ":9090");
    // cri-dockerd gives its containers names by which the plugin knows the one of the pod.
    let named = |app: &Container, name: &str, mode: &str, networks: &Value| {
        let mut named = listed(app, mode, &json!([]), networks);
        named["Names"] = json!([format!("/k8s_{name}_shop-7d9f_default_0f6c_0")]);
        named
    };
    let of_pod = format!("container:{}", pod.id());
    let fake = FakeEngine::with_containers(vec![
        named(&sidecar, "sidecar", &of_pod, &json!({})),
        named(&api, "api", &of_pod, &json!({})),
        named(&pod, "POD", "none", &json!({"none": {"IPAddress": "", "Gateway": ""}})),
    ]);
    let agent = || Agent::with_docker_host(&fake.host());
    insta::assert_snapshot!(all_explained(&agent(), &vpc, "--container-port 8080", |_| true), @"
    k8s_api_shop-7d9f_default_0f6c_0: BRIDGE:8080 as 8080: --container-port, in the network of k8s_POD_shop-7d9f_default_0f6c_0, its own address on a bridge of this machine
    k8s_POD_shop-7d9f_default_0f6c_0: - as -: pause container, not an application (--include-infrastructure)
    k8s_sidecar_shop-7d9f_default_0f6c_0: - as -: shares its network with k8s_api_shop-7d9f_default_0f6c_0, which is the target for TCP port 8080
    ");
    insta::assert_snapshot!(all_explained(&agent(), &vpc, "", |_| true), @"
    k8s_POD_shop-7d9f_default_0f6c_0: - as -: pause container, not an application (--include-infrastructure)
    k8s_api_shop-7d9f_default_0f6c_0: - as -: publishes no TCP port; the container listens on 8080, 9090: choose one with --container-port
    k8s_sidecar_shop-7d9f_default_0f6c_0: - as -: publishes no TCP port; the container listens on 8080, 9090: choose one with --container-port
    ");
    let output = agent().run("run gostats --path /stats --container-port 8080 --instance-name name").exits(0);
    let instances = output.without_diagnostics().metrics();
    assert_eq!(instances.instances(), ["k8s_api_shop-7d9f_default_0f6c_0"]);
}
