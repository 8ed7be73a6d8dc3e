//! The task metadata endpoint of ECS, with the containers and the faults of a scenario.
//!
//! The shapes are those of amazon-ecs-agent: names and order of fields, and what is missing in which network mode.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::http::{self, Reply};
use crate::port;
use crate::server::Server;

/// The start of all containers.
pub const STARTED: &str = "2026-11-02T03:04:05.678901234Z";

/// The id in the endpoint's path on a container instance, where it differs from the container's.
const ENDPOINT: &str = "9f1c3a52-7d7f-4f0e-8a6e-0d0c8f1f5a11";

/// A metadata endpoint. It knows the container `agent` as the one that asks.
pub struct TaskMetadata {
    port: u16,
    base: String,
    state: Arc<Mutex<State>>,
    _server: Server,
}

struct State {
    task: Value,
    stats: Value,
    /// Replies in place of the usual ones, by the path below the base.
    replies: Vec<(String, Reply)>,
    requests: Vec<String>,
}

impl State {
    fn reply(&mut self, base: &str, path: &str) -> Reply {
        self.requests.push(path.to_owned());
        let Some(below) = path.strip_prefix(base) else { return not_found(path) };
        if let Some((_, reply)) = self.replies.iter().find(|(of, _)| of == below) {
            return reply.clone();
        }
        match below {
            "/task" => Reply::Whole(200, self.task.to_string()),
            "/task/stats" => Reply::Whole(200, self.stats.to_string()),
            "" => match containers(&self.task).iter().find(|container| container["Name"] == "agent") {
                Some(own) => Reply::Whole(200, own.to_string()),
                None => not_found(path),
            },
            _ => not_found(path),
        }
    }
}

/// The agent's reply to a request about an unknown container: a JSON string.
fn not_found(path: &str) -> Reply {
    Reply::Whole(404, json!(format!("V4 metadata handler: unable to find container of {path}")).to_string())
}

fn containers(task: &Value) -> &[Value] {
    task["Containers"].as_array().map(Vec::as_slice).unwrap_or_default()
}

impl TaskMetadata {
    /// Starts version 4 of the endpoint for this task.
    pub fn of(task: Value) -> Self {
        // On Fargate the path ends with the id of the container that asks.
        let own = containers(&task).iter().find(|container| container["Name"] == "agent");
        let is_fargate = task["LaunchType"] == "FARGATE";
        let id = own.and_then(|own| own["DockerId"].as_str()).filter(|_| is_fargate).unwrap_or(ENDPOINT);
        let base = format!("/v4/{id}");
        Self::at(base, task)
    }

    /// Starts version 3 of the endpoint, the only one of agents before 1.39.
    pub fn of_version_3(task: Value) -> Self {
        Self::at(format!("/v3/{ENDPOINT}"), task)
    }

    fn at(base: String, task: Value) -> Self {
        let listener = port::listen();
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let state = State { task, stats: json!({}), replies: Vec::new(), requests: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let (shared, path) = (Arc::clone(&state), base.clone());
        let server = http::serve(listener, move |requested| lock(&shared).reply(&path, requested));
        Self { port, base, state, _server: server }
    }

    /// Returns the value of the environment variable.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.base)
    }

    /// Returns an agent in a container of the task, without a container engine.
    pub fn agent(&self) -> Agent {
        let version = if self.base.starts_with("/v3") { "" } else { "_V4" };
        let agent = Agent::with_docker_host("");
        agent.with_env(&format!("ECS_CONTAINER_METADATA_URI{version}"), self.url())
    }

    /// Sets the reply to a path below the base: empty, `/task` or `/task/stats`.
    pub fn set_reply(&self, path: &str, reply: Reply) {
        lock(&self.state).replies.push((path.to_owned(), reply));
    }

    /// Sets the stats of containers by name. Others have none.
    ///
    /// # Panics
    ///
    /// If there is no such container.
    pub fn set_stats<const COUNT: usize>(&self, samples: [(&str, Value); COUNT]) {
        let mut state = lock(&self.state);
        let id = |name: &str| {
            let container = containers(&state.task).iter().find(|container| container["Name"] == name);
            container.and_then(|container| container["DockerId"].as_str()).expect("a container of the task").to_owned()
        };
        let by_id: serde_json::Map<String, Value> =
            samples.into_iter().map(|(name, sample)| (id(name), sample)).collect();
        state.stats = by_id.into();
    }

    /// Changes a container.
    ///
    /// # Panics
    ///
    /// If there is no such container.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut state = lock(&self.state);
        let mut all = state.task["Containers"].as_array_mut().into_iter().flatten();
        change(all.find(|container| container["Name"] == name).expect("a container of the task"));
    }

    /// Returns the paths of all requests below the base, in order.
    pub fn requests(&self) -> Vec<String> {
        let requests = lock(&self.state).requests.clone();
        requests.into_iter().map(|path| path.replacen(&self.base, "", 1)).collect()
    }

    /// Masks the endpoint's address in a text.
    pub fn mask(&self, text: &str) -> String {
        text.replace(&self.url(), "ENDPOINT")
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no reply panics")
}

/// Returns a task of a container instance with these containers, as agent 1.100 reports it.
pub fn task<const COUNT: usize>(containers: [Value; COUNT]) -> Value {
    json!({
        "Cluster": "shop",
        "TaskARN": "arn:aws:ecs:eu-west-1:123456789012:task/shop/0123456789abcdef0123456789abcdef",
        "Family": "shop",
        "Revision": "3",
        "ServiceName": "shop",
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "PullStartedAt": "2026-11-02T03:04:00.1Z",
        "PullStoppedAt": "2026-11-02T03:04:03.2Z",
        "AvailabilityZone": "eu-west-1a",
        "LaunchType": "EC2",
        "Containers": Vec::from(containers),
        "VPCID": "vpc-0123456789abcdef0",
    })
}

/// Returns a task with the fields of Fargate, and a memory limit of 512 MiB.
pub fn fargate_task<const COUNT: usize>(containers: [Value; COUNT]) -> Value {
    let mut task = task(containers);
    task["LaunchType"] = json!("FARGATE");
    task["Limits"] = json!({"CPU": 0.25, "Memory": 512});
    task["ClockDrift"] =
        json!({"ClockErrorBound": 0.5, "ReferenceTimestamp": STARTED, "ClockSynchronizationStatus": "SYNCHRONIZED"});
    task["EphemeralStorageMetrics"] = json!({"Utilized": 261, "Reserved": 20496});
    task
}

/// Returns a task of a managed instance.
pub fn managed_task<const COUNT: usize>(containers: [Value; COUNT]) -> Value {
    let mut task = task(containers);
    task["LaunchType"] = json!("MANAGED_INSTANCES");
    task
}

/// Returns a task as agent 1.30 reports it: without the fields that came later.
pub fn agent_1_30<const COUNT: usize>(containers: [Value; COUNT]) -> Value {
    let mut task = task(containers);
    for field in ["ServiceName", "LaunchType", "VPCID", "AvailabilityZone"] {
        remove(&mut task, field);
    }
    for container in task["Containers"].as_array_mut().into_iter().flatten() {
        for field in ["ContainerARN", "LogDriver", "LogOptions"] {
            remove(container, field);
        }
        // Version 3 has neither host ports nor their addresses.
        for port in container["Ports"].as_array_mut().into_iter().flatten() {
            remove(port, "HostIp");
            remove(port, "HostPort");
        }
        for network in container["Networks"].as_array_mut().into_iter().flatten() {
            remove(network, "IPv6Addresses");
        }
    }
    task
}

/// Removes a field.
///
/// # Panics
///
/// If it is not an object.
pub fn remove(object: &mut Value, field: &str) {
    object.as_object_mut().expect("an object").remove(field);
}

/// Returns the id of a container: 64 digits.
fn id(name: &str) -> String {
    let hash = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, hash)).repeat(4)
}

/// Returns the fields that a running container has in every mode.
fn container(name: &str, networks: &Value) -> Value {
    json!({
        "DockerId": id(name),
        "Name": name,
        "DockerName": format!("ecs-shop-3-{name}-ba9e8d8fd2e3b6c6a901"),
        "Image": format!("shop/{name}:1"),
        "ImageID": format!("sha256:{}", "5bde5600".repeat(8)),
        "Labels": {
            "app": "shop",
            "com.amazonaws.ecs.cluster": "shop",
            "com.amazonaws.ecs.container-name": name,
            "com.amazonaws.ecs.task-arn": "arn:aws:ecs:eu-west-1:123456789012:task/shop/0123456789abcdef0123456789abcdef",
            "com.amazonaws.ecs.task-definition-family": "shop",
            "com.amazonaws.ecs.task-definition-version": "3",
        },
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": 2, "Memory": 0},
        "CreatedAt": STARTED,
        "StartedAt": STARTED,
        "Type": "NORMAL",
        "LogDriver": "awslogs",
        "LogOptions": {"awslogs-group": "/shop"},
        "ContainerARN": format!("arn:aws:ecs:eu-west-1:123456789012:container/shop/0123/{name}"),
        "Networks": networks,
    })
}

/// Returns a container in bridge mode at this address. Each of its ports has a dynamic host port, on IPv4 and IPv6.
pub fn bridge(name: &str, address: &str, ports: &[u16]) -> Value {
    let mut container =
        container(name, &json!([{"NetworkMode": "bridge", "IPv4Addresses": [address], "IPv6Addresses": [""]}]));
    let bindings = ports.iter().zip(32768_u16..).flat_map(|(port, host)| {
        ["0.0.0.0", "::"].map(|ip| json!({"ContainerPort": port, "Protocol": "tcp", "HostPort": host, "HostIp": ip}))
    });
    if !ports.is_empty() {
        container["Ports"] = bindings.collect();
    }
    container
}

/// Returns a container on the host network.
pub fn host(name: &str) -> Value {
    container(name, &json!([{"NetworkMode": "host", "IPv4Addresses": [""]}]))
}

/// Returns a container of a task with a network interface of its own.
pub fn awsvpc(name: &str) -> Value {
    container(
        name,
        &json!([{
            "NetworkMode": "awsvpc",
            "IPv4Addresses": ["10.0.2.106"],
            "AttachmentIndex": 0,
            "MACAddress": "0e:9e:32:c7:48:85",
            "IPv4SubnetCIDRBlock": "10.0.2.0/24",
            "DomainNameServers": ["10.0.0.2"],
            "DomainNameSearchList": ["eu-west-1.compute.internal"],
            "PrivateDNSName": "ip-10-0-2-106.eu-west-1.compute.internal",
            "SubnetGatewayIpv4Address": "10.0.2.1/24",
        }]),
    )
}

/// Returns a container on Fargate: its id has another form.
pub fn fargate(name: &str) -> Value {
    let mut container = awsvpc(name);
    let digits: String = id(name).chars().take(32).collect();
    container["DockerId"] = json!(format!("{digits}-1714341083"));
    container["DockerName"] = json!(name);
    container["Snapshotter"] = json!("overlayfs");
    container
}

/// Returns the pause container of a task with a network interface of its own.
pub fn pause() -> Value {
    let mut container = awsvpc("~internal~ecs~pause");
    container["Image"] = json!("amazon/amazon-ecs-pause:0.1.0");
    container["Type"] = json!("CNI_PAUSE");
    container["KnownStatus"] = json!("RESOURCES_PROVISIONED");
    container
}

/// Returns a container that was not created yet.
pub fn pending(name: &str, status: &str) -> Value {
    let mut container = container(name, &Value::Null);
    container["DockerId"] = json!("");
    container["DockerName"] = json!("");
    container["KnownStatus"] = json!(status);
    for field in ["Labels", "CreatedAt", "StartedAt"] {
        remove(&mut container, field);
    }
    container
}

/// Returns a container with another value of a field.
pub fn with(mut container: Value, field: &str, value: impl Into<Value>) -> Value {
    container[field] = value.into();
    container
}
