//! A fake engine for what no real one does on demand: faults, errors and odd containers.

use std::os::unix::fs::chown;
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::engine::Container;
use crate::http::{self, Reply};
use crate::server::Server;

/// A fake engine on a Unix socket of its own.
pub struct FakeEngine {
    folder: TempDir,
    _server: Server,
}

impl FakeEngine {
    /// Starts one with these containers (see [`container`]) and the default replies.
    pub fn with_containers(containers: Vec<Value>) -> Self {
        Self::replying(move |path| default_reply(&containers, path))
    }

    /// Starts one that supports only these versions of the API, from the oldest to the newest.
    ///
    /// # Panics
    ///
    /// If a version is not of the form `1.X`.
    pub fn with_versions(oldest: &'static str, newest: &'static str, containers: Vec<Value>) -> Self {
        let supported = minor(oldest)..=minor(newest);
        Self::replying(move |path| {
            if path.ends_with("/version") {
                let version = json!({"Version": "1", "ApiVersion": newest, "MinAPIVersion": oldest, "Os": "linux", "Arch": "amd64"});
                Reply::Whole(200, version.to_string())
            } else if requested_version(path).is_none_or(|asked| supported.contains(&minor(asked))) {
                default_reply(&containers, path)
            } else {
                Reply::Whole(400, json!({"message": "client version"}).to_string())
            }
        })
    }

    /// Starts one that replies to every request by this function.
    ///
    /// # Panics
    ///
    /// If the socket cannot be created.
    pub fn replying(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("docker.sock")).expect("a socket in a new folder");
        Self { folder, _server: http::serve(listener, reply) }
    }

    /// Returns its address in the form of `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.path().display())
    }

    /// Gives the socket to another user than root, as Docker Desktop does.
    ///
    /// # Panics
    ///
    /// If this user is not root.
    pub fn give_to_user(&self) {
        const NOBODY: Option<u32> = Some(65_534);
        chown(self.folder.path().join("docker.sock"), NOBODY, NOBODY).expect("root gives a file away");
    }
}

/// Returns the `1.41` of `/v1.41/containers/json`. A path without a version means the engine's own.
fn requested_version(path: &str) -> Option<&str> {
    path.strip_prefix("/v")?.split_once('/').map(|(version, _)| version).filter(|version| version.starts_with("1."))
}

fn minor(version: &str) -> u32 {
    version.strip_prefix("1.").and_then(|minor| minor.parse().ok()).expect("a version 1.X")
}

/// Replies as an engine with these containers does. Every container was started at a fixed time, is healthy and has the
/// stats of [`docker_on_v2`].
pub fn default_reply(containers: &[Value], path: &str) -> Reply {
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
    } else if path.ends_with("/stats") && containers.iter().any(|container| is_of(container, path)) {
        Reply::Whole(200, docker_on_v2("2026-01-02T03:14:15.926535897Z").to_string())
    } else if let Some(container) = containers.iter().find(|container| is_of(container, path)) {
        Reply::Whole(200, inspected(container).to_string())
    } else {
        Reply::Whole(404, json!({"message": "page not found"}).to_string())
    }
}

/// Returns whether a path requests this one container.
fn is_of(container: &Value, path: &str) -> bool {
    path.contains(container["Id"].as_str().unwrap_or("-"))
}

/// Returns the inspection of a container (see [`container`]).
pub fn inspected(container: &Value) -> Value {
    json!({
        "Id": container["Id"],
        "Name": container["Names"][0],
        "Image": container["ImageID"],
        "Config": {"Image": container["Image"], "Labels": container["Labels"]},
        "RestartCount": 3,
        "State": {
            "Status": "running",
            "Running": true,
            "StartedAt": "2026-01-02T03:04:05.678901234Z",
            "Health": {"Status": "healthy", "FailingStreak": 0, "Log": []},
        },
    })
}

/// Returns a running container as engines list it. Its port 8080 is published as `port` of `ip`.
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

/// Lists a real container under its own name, with a network mode, ports and networks of a scenario.
pub fn listed(real: &Container, mode: &str, ports: &Value, networks: &Value) -> Value {
    let mut listed = container(real.name(), "127.0.0.1", 1);
    listed["Id"] = json!(real.id());
    listed["HostConfig"]["NetworkMode"] = json!(mode);
    listed["Ports"] = ports.clone();
    listed["NetworkSettings"]["Networks"] = networks.clone();
    listed
}

/// Returns complete stats of Docker 20.10 on cgroup version 1, taken at `read`.
///
/// The fields without `total_` count only the outermost cgroup, as in a container with nested cgroups.
pub fn docker_on_v1(read: &str) -> Value {
    json!({
        "read": read,
        "preread": "0001-01-01T00:00:00Z",
        "pids_stats": {"current": 4, "limit": 100},
        "blkio_stats": {
            "io_service_bytes_recursive": operations([
                (254, [("Read", 765_952), ("Write", 33_693_696), ("Sync", 34_459_648), ("Async", 0), ("Discard", 0)]),
                (7, [("Read", 4096), ("Write", 8192), ("Sync", 4096), ("Async", 8192), ("Discard", 512)]),
            ]),
            "io_serviced_recursive": operations([
                (254, [("Read", 14), ("Write", 98), ("Sync", 112), ("Async", 0), ("Discard", 0)]),
                (7, [("Read", 1), ("Write", 2), ("Sync", 1), ("Async", 2), ("Discard", 1)]),
            ]),
            "io_queue_recursive": operations([
                (254, [("Read", 1), ("Write", 5), ("Sync", 2), ("Async", 4), ("Discard", 0)]),
                (7, [("Read", 10), ("Write", 50), ("Sync", 20), ("Async", 40), ("Discard", 0)]),
            ]),
            "io_service_time_recursive": [],
            "io_wait_time_recursive": [],
            "io_merged_recursive": [],
            "io_time_recursive": [],
            "sectors_recursive": [],
        },
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": {
            "cpu_usage": {
                "total_usage": 215_732_441_950_u64,
                "percpu_usage": [37_603_136_888_u64, 178_129_305_062_u64],
                "usage_in_kernelmode": 920_000_000,
                "usage_in_usermode": 214_800_000_000_u64,
            },
            "system_cpu_usage": 24_150_020_000_000_u64,
            "online_cpus": 2,
            "throttling_data": {"periods": 4315, "throttled_periods": 4313, "throttled_time": 241_944_862_981_u64},
        },
        "precpu_stats": no_cpu_time(),
        "memory_stats": {
            "usage": 104_857_600,
            "max_usage": 134_217_728,
            "stats": {
                "cache": 1,
                "rss": 2,
                "inactive_file": 3,
                "hierarchical_memory_limit": 268_435_456,
                "total_active_file": 12_582_912,
                "total_cache": 33_554_432,
                "total_inactive_file": 20_971_520,
                "total_mapped_file": 0,
                "total_rss": 67_108_864,
                "total_rss_huge": 0,
            },
            "limit": 268_435_456,
        },
        "name": "/api",
        "networks": {
            "eth0": traffic([1156, 14, 0, 3], [2312, 28, 2, 5]),
            "eth1": traffic([10_000, 100, 7, 0], [20_000, 200, 0, 0]),
        },
    })
}

/// Returns stats of Docker 28 and 29 on cgroup version 2, taken at `read`.
pub fn docker_on_v2(read: &str) -> Value {
    json!({
        "name": "/api",
        "read": read,
        "preread": "0001-01-01T00:00:00Z",
        "pids_stats": {"current": 6, "limit": 18_446_744_073_709_551_615_u64},
        "cpu_stats": {
            "cpu_usage": {
                "total_usage": 60_000_000_000_u64,
                "usage_in_kernelmode": 20_000_000_000_u64,
                "usage_in_usermode": 40_000_000_000_u64,
            },
            "system_cpu_usage": 24_150_020_000_000_u64,
            "online_cpus": 4,
            "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
        },
        "precpu_stats": no_cpu_time(),
        "memory_stats": {
            "usage": 50_331_648,
            "stats": {
                "active_anon": 4096,
                "active_file": 4_194_304,
                "anon": 31_457_280,
                "file": 16_777_216,
                "inactive_anon": 31_453_184,
                "inactive_file": 12_582_912,
                "pgfault": 18182,
                "slab": 262_144,
            },
            "limit": 2_147_483_648_u64,
        },
        "blkio_stats": block_io(&json!([
                {"major": 259, "minor": 0, "op": "read", "value": 1_048_576},
                {"major": 259, "minor": 0, "op": "write", "value": 2_097_152},
                {"major": 259, "minor": 4, "op": "read", "value": 512},
                {"major": 259, "minor": 4, "op": "write", "value": 1024},
            ])),
        "num_procs": 0,
        "storage_stats": {},
        "networks": {"eth0": traffic([500_000, 600, 0, 0], [700_000, 800, 0, 0])},
    })
}

/// Returns stats of Podman 4.3 as root, by Docker's API, taken at `read`.
pub fn podman(read: &str) -> Value {
    json!({
        "read": read,
        "preread": "0001-01-01T00:00:00Z",
        "pids_stats": {"current": 4},
        "blkio_stats": block_io(&json!([])),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": {
            "cpu_usage": {
                "total_usage": 18_655_263_287_u64,
                "percpu_usage": [180_144_469_u64, 18_475_118_818_u64],
                "usage_in_kernelmode": 44_000_000,
                "usage_in_usermode": 18_611_263_287_u64,
            },
            "system_cpu_usage": 14_714_200_384_925_u64,
            "online_cpus": 2,
            "cpu": 308.509_121_225_085_27,
            "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
        },
        "precpu_stats": {
            "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
            "cpu": 0,
            "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
        },
        "memory_stats": {"usage": 68_587_520, "limit": 268_435_456},
        "name": "api",
        "Id": "0f611fd7".repeat(8),
        "networks": {"network": traffic([612, 0, 0, 0], [1760, 0, 0, 0])},
    })
}

/// Returns the stats of Docker for a container that stopped during the request: the usual form without values.
pub fn stopped() -> Value {
    json!({
        "read": "0001-01-01T00:00:00Z",
        "preread": "0001-01-01T00:00:00Z",
        "pids_stats": {},
        "blkio_stats": block_io(&json!(null)),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": no_cpu_time(),
        "precpu_stats": no_cpu_time(),
        "memory_stats": {},
        "name": "/api",
    })
}

/// Returns `blkio_stats` that count only bytes.
fn block_io(bytes: &Value) -> Value {
    json!({
        "io_service_bytes_recursive": bytes,
        "io_serviced_recursive": null,
        "io_queue_recursive": null,
        "io_service_time_recursive": null,
        "io_wait_time_recursive": null,
        "io_merged_recursive": null,
        "io_time_recursive": null,
        "sectors_recursive": null,
    })
}

/// Returns the `cpu_stats` of a time without a container.
fn no_cpu_time() -> Value {
    json!({
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    })
}

/// Returns the entries of a list of `blkio_stats`, with the `Total` of each device.
fn operations(devices: [(u64, [(&str, u64); 5]); 2]) -> Value {
    let entry = |major, op: &str, value| json!({"major": major, "minor": 0, "op": op, "value": value});
    let device = |(major, kinds): (u64, [(&str, u64); 5])| {
        let sum: u64 = kinds.iter().filter(|(op, _)| op.ends_with("ync")).map(|(_, value)| value).sum();
        let kinds = kinds.into_iter().map(|(op, value)| entry(major, op, value)).collect::<Vec<_>>();
        kinds.into_iter().chain([entry(major, "Total", sum)])
    };
    devices.into_iter().flat_map(device).collect()
}

/// Returns one entry of `networks`: received and sent bytes, packets, errors and dropped packets.
fn traffic(received: [u64; 4], sent: [u64; 4]) -> Value {
    let of = |way: &str, numbers: [u64; 4]| {
        let fields = ["bytes", "packets", "errors", "dropped"].into_iter().zip(numbers);
        fields.map(|(field, number)| (format!("{way}_{field}"), json!(number))).collect::<Vec<_>>()
    };
    of("rx", received).into_iter().chain(of("tx", sent)).collect()
}
