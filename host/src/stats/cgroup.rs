//! Stats from the kernel: the files of the container's control group, and the network's in `/proc`.
//!
//! Follows the kernel's documents `cgroup-v1` and `cgroup-v2`.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use procfs::net::{DeviceStatus, InterfaceDeviceStatus};
use procfs::{Current as _, FromRead as _, Meminfo};
use rustix::fs::{CWD, Mode, OFlags};

use super::count::{empty, operations, smallest, sum, used};
use crate::kernel::file::text;
use crate::kernel::tree::{CONTROLLER, Tree, Version};
use crate::moment::Moment;
use crate::sandbox::container::{
    BlockIo, Cpu, Error, Memory, Network, Operations, Parts, Processes, Stats, StatsRequest, Throttling, Traffic,
};

/// The controllers of version 1 that are read. Each is mounted under its name, or has a link of its name.
const CONTROLLERS: [&str; 5] = [CONTROLLER, "cpu", "memory", "blkio", "pids"];

/// The control groups of a run's containers.
#[derive(Debug)]
pub struct Cgroups {
    /// The places of the cgroups.
    found: Tree,
    /// The open roots of the trees, by controller; one for all in version 2. Paths below an open root are short.
    trees: Vec<(&'static str, OwnedFd)>,
    /// True if the kernel has CFQ, the I/O scheduler with counters of its own. Kernels from 5.0 on do not have it.
    cfq: bool,
    /// All memory of the machine, which a container without a limit can use.
    machine: Option<u64>,
    /// The network namespace of this process.
    namespace: Option<u64>,
}

impl Cgroups {
    /// Searches for the cgroups of containers.
    pub fn find(root: &Path, ids: &[String]) -> Cgroups {
        let found = Tree::find(root, ids);
        let open =
            |path: &Path| rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let trees = match found.version {
            Version::V1 => CONTROLLERS.iter().filter_map(|of| Some((*of, open(&root.join(of)).ok()?))).collect(),
            Version::V2 => open(root).map(|tree| ("", tree)).into_iter().collect(),
        };
        let has_cfq = |folder: &str| root.join("blkio").join(folder).join("blkio.io_serviced_recursive").exists();
        let cfq = found.any_folder().is_some_and(has_cfq);
        let machine = Meminfo::current().ok().map(|info| info.mem_total);
        Cgroups { found, trees, cfq, machine, namespace: network_namespace("self") }
    }

    /// Reads the stats of a container now.
    pub fn stats(&self, request: StatsRequest<'_>) -> Result<Stats, Error> {
        let StatsRequest { id, parts, has_interfaces, .. } = request;
        let Some(folder) = self.found.folder(id) else { return Err(self.not_found()) };
        let read = |controller: &str, file: &str| text(self.tree(controller)?, format!("{folder}{file}"));
        let nothing = empty(Moment::now().wall);
        let mut stats = nothing;
        // The root has no limits.
        let parents = folder.matches('/').count() - 1;
        let version = self.found.version;
        let group = Group { version, cfq: self.cfq, machine: self.machine, parents, read: &read };
        group.fill(&mut stats, parts);
        if parts.contains(Parts::NETWORK) && has_interfaces {
            stats.network = self.network(id);
        }
        // A new cgroup has no counts either.
        let is_there = || text(self.tree(CONTROLLER)?, format!("{folder}cgroup.procs"));
        if stats == nothing && is_there().is_none() {
            return Err(Error::Gone);
        }
        Ok(stats)
    }

    /// Explains why a container has no cgroup here: it is gone, unless no container has one.
    fn not_found(&self) -> Error {
        if self.found.any_folder().is_none() {
            return Error::Unavailable(format!(
                "no container has a cgroup below {}: does the engine run on another machine? (--stats-source api)",
                self.found.root.display()
            ));
        }
        Error::Gone
    }

    /// Returns the root of a controller's tree.
    fn tree(&self, controller: &str) -> Option<&OwnedFd> {
        let mut trees = self.trees.iter();
        trees.find(|(of, _)| self.found.version == Version::V2 || *of == controller).map(|(_, tree)| tree)
    }

    /// Reads the traffic of the container's interfaces, which all of its processes share. Not every engine reports
    /// whether they are the host's; the kernel does, to privileged processes.
    fn network(&self, id: &str) -> Network {
        let is_the_hosts =
            |pid: &i32| self.namespace.is_some() && network_namespace(&pid.to_string()) == self.namespace;
        let pid = self.found.processes(id).next().filter(|pid| !is_the_hosts(pid));
        let devices = pid.and_then(|pid| text(CWD, format!("/proc/{pid}/net/dev")));
        traffic(&devices.unwrap_or_default())
    }
}

/// The cgroup of one container.
pub struct Group<'a> {
    /// Its version.
    pub version: Version,
    /// True if the kernel has CFQ.
    pub cfq: bool,
    /// All memory of the machine.
    pub machine: Option<u64>,
    /// The number of its parents below the root. Their limits apply to it too.
    pub parents: usize,
    /// Reads one of its files, or of its parents' by a path that begins with `../`. Takes the controller of version 1
    /// and the file's name.
    pub read: &'a dyn Fn(&str, &str) -> Option<String>,
}

impl Group<'_> {
    /// Fills in `parts`, except the network.
    pub fn fill(&self, stats: &mut Stats, parts: Parts) {
        if parts.contains(Parts::CPU) {
            stats.cpu = self.cpu();
        }
        if parts.contains(Parts::THROTTLING) {
            stats.throttling = self.throttling();
        }
        if parts.contains(Parts::MEMORY) {
            stats.memory = self.memory();
        }
        if parts.contains(Parts::BLOCK_IO) {
            stats.block_io = self.block_io();
        }
        if parts.contains(Parts::PROCESSES) {
            stats.processes = self.processes();
        }
    }

    fn cpu(&self) -> Cpu {
        let (usage, [text, user, system], unit) = match self.version {
            // Version 1 counts both kinds of time in ticks.
            Version::V1 => {
                let tick = 1_000_000_000 / procfs::ticks_per_second().max(1);
                (self.number("cpuacct", "cpuacct.usage"), ["cpuacct.stat", "user", "system"], tick)
            }
            Version::V2 => (None, ["cpu.stat", "user_usec", "system_usec"], 1000),
        };
        let text = self.text("cpuacct", text);
        let time = |key| field(text.as_deref(), key).and_then(|time| time.checked_mul(unit));
        Cpu { usage: usage.or_else(|| time("usage_usec")), user: time(user), system: time(system) }
    }

    /// Reads the effects of the tightest CPU limit: the container's own or a parent's, such as that of an ECS task.
    fn throttling(&self) -> Throttling {
        let share = |level: usize| Some((self.cpu_share(level)?, level));
        let tightest = (0..=self.parents).filter_map(share).min_by(|(one, _), (other, _)| one.total_cmp(other));
        let level = tightest.map_or(0, |(_, level)| level);
        let text = self.text("cpu", &above(level, "cpu.stat"));
        let field = |key| field(text.as_deref(), key);
        let time = field("throttled_time").or_else(|| field("throttled_usec")?.checked_mul(1000));
        Throttling { periods: field("nr_periods"), throttled_periods: field("nr_throttled"), throttled_time: time }
    }

    /// Returns the cores that the limit of a level allows, or `None` if it has no limit. Level 0 is the container.
    fn cpu_share(&self, level: usize) -> Option<f64> {
        let text = |file| self.text("cpu", &above(level, file));
        let (quota, period) = match self.version {
            Version::V1 => (text("cpu.cfs_quota_us")?, text("cpu.cfs_period_us")?),
            Version::V2 => {
                let text = text("cpu.max")?;
                let (quota, period) = text.split_once(' ')?;
                (quota.to_owned(), period.to_owned())
            }
        };
        // Without a limit the quota is -1 or a word.
        let (quota, period): (u32, u32) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
        (period > 0).then(|| f64::from(quota) / f64::from(period))
    }

    fn memory(&self) -> Memory {
        let detail = self.text("memory", "memory.stat");
        let ([rss, cache, inactive], [usage, limit]) = match self.version {
            Version::V1 => (
                ["total_rss", "total_cache", "total_inactive_file"],
                ["memory.usage_in_bytes", "memory.limit_in_bytes"],
            ),
            Version::V2 => (["anon", "file", "inactive_file"], ["memory.current", "memory.max"]),
        };
        let field = |key| field(detail.as_deref(), key);
        let own = self.limit("memory", limit);
        // Version 1 sums up the limits of the parents.
        let limit = own
            .zip(self.machine)
            .map(|(own, machine)| smallest(own, [Some(machine), field("hierarchical_memory_limit")]));
        let usage = self.number("memory", usage);
        Memory { usage, used: used(usage, field(inactive)), limit, rss: field(rss), cache: field(cache) }
    }

    fn block_io(&self) -> BlockIo {
        match self.version {
            Version::V1 => BlockIo {
                queued: self.of_cfq("blkio.io_queued_recursive").unwrap_or_else(|| operations([])),
                serviced: self.of_devices("io_serviced"),
                bytes: self.of_devices("io_service_bytes"),
            },
            Version::V2 => {
                let lines = self.text("", "io.stat").and_then(|text| io_lines(&text));
                let of = |keys: [&'static str; 2]| {
                    // A device has a line after its first operation.
                    let none = lines.is_some().then_some([("read", Some(0)), ("write", Some(0))]);
                    let lines = lines.iter().flatten().filter_map(|(key, number)| {
                        let kind = keys.iter().position(|known| known == key)?;
                        Some((["read", "write"][kind], *number))
                    });
                    operations(none.into_iter().flatten().chain(lines))
                };
                BlockIo { queued: operations([]), serviced: of(["rios", "wios"]), bytes: of(["rbytes", "wbytes"]) }
            }
        }
    }

    /// Reads the operations of version 1, in the order of the engines: those of CFQ, if a device has this scheduler,
    /// else those of the throttling layer, which older kernels count without child cgroups.
    fn of_devices(&self, what: &str) -> Operations {
        let cfq = self.of_cfq(&format!("blkio.{what}_recursive"));
        cfq.filter(|of_cfq| *of_cfq != operations([]))
            .or_else(|| self.operations(&format!("blkio.throttle.{what}_recursive")))
            .or_else(|| self.operations(&format!("blkio.throttle.{what}")))
            .unwrap_or_else(|| operations([]))
    }

    fn of_cfq(&self, file: &str) -> Option<Operations> {
        if self.cfq { self.operations(file) } else { None }
    }

    /// Parses operations in lines such as `254:0 Read 14`.
    fn operations(&self, file: &str) -> Option<Operations> {
        let text = self.text("blkio", file)?;
        Some(operations(text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let (_device, kind, number) = (words.next()?, words.next()?, words.next()?);
            Some((kind, number.parse().ok()))
        })))
    }

    fn processes(&self) -> Processes {
        let limit = self.limit("pids", "pids.max").filter(|limit| *limit < u64::MAX);
        Processes { current: self.number("pids", "pids.current"), limit }
    }

    /// Reads a limit: the smallest of the container's own and its parents'. It is the largest number if there is none.
    fn limit(&self, controller: &str, file: &str) -> Option<u64> {
        let of = |level| limit(&self.text(controller, &above(level, file))?);
        Some(smallest(of(0)?, (1..=self.parents).map(of)))
    }

    /// Reads a file with one number.
    fn number(&self, controller: &str, file: &str) -> Option<u64> {
        self.text(controller, file)?.trim().parse().ok()
    }

    /// Reads a file of the cgroup.
    fn text(&self, controller: &str, file: &str) -> Option<String> {
        (self.read)(controller, file)
    }
}

/// Returns the path of a file of the parent `level` levels above.
fn above(level: usize, file: &str) -> String {
    "../".repeat(level) + file
}

/// Parses a limit. Without one, the file has a word, or in version 1 a number above all memory.
fn limit(text: &str) -> Option<u64> {
    match text.trim() {
        "max" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Parses `/proc/PID/net/dev`, and sums the traffic of all interfaces except `lo`.
pub fn traffic(net_dev: &str) -> Network {
    let devices = InterfaceDeviceStatus::from_read(net_dev.as_bytes()).map(|all| all.0).unwrap_or_default();
    let devices: Vec<DeviceStatus> = devices.into_values().filter(|device| device.name != "lo").collect();
    let sum = |field: fn(&DeviceStatus) -> u64| sum(devices.iter().map(|device| Some(field(device))));
    Network {
        received: Traffic {
            bytes: sum(|of| of.recv_bytes),
            packets: sum(|of| of.recv_packets),
            errors: sum(|of| of.recv_errs),
            dropped: sum(|of| of.recv_drop),
        },
        sent: Traffic {
            bytes: sum(|of| of.sent_bytes),
            packets: sum(|of| of.sent_packets),
            errors: sum(|of| of.sent_errs),
            dropped: sum(|of| of.sent_drop),
        },
    }
}

/// Identifies the network namespace of a process, if this one is allowed to read it.
fn network_namespace(process: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{process}/ns/net")).map(|namespace| namespace.ino()).ok()
}

/// Parses all `KEY=NUMBER` of lines such as `254:0 rbytes=0 wbytes=4096 rios=0 wios=1`; `None` if a line has no device.
fn io_lines(text: &str) -> Option<Vec<(String, Option<u64>)>> {
    let mut fields = Vec::new();
    for line in text.lines() {
        let (device, rest) = line.split_once(' ')?;
        let (major, minor) = device.split_once(':')?;
        let _: (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
        let pairs = rest.split_whitespace().filter_map(|pair| pair.split_once('='));
        fields.extend(pairs.map(|(key, number)| (key.to_owned(), number.parse().ok())));
    }
    Some(fields)
}

/// Parses the number after `key` on a line of its own.
fn field(text: Option<&str>, key: &str) -> Option<u64> {
    let line = text?.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}
