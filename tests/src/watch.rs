//! Watches the stats of a real container: values before and after some work, and their bounds.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::agent::Agent;
use crate::engine::{Container, Cpu, Engine, Group};
use crate::proxy::{EngineProxy, Passing};
use crate::stats::Values;

/// One core in percent.
pub const PERCENT: f64 = 100.0;

/// One core in nanoseconds per minute.
pub const NANOSECONDS: f64 = 60e9;

/// The tolerance between two equal doubles.
pub const ROUNDING: f64 = 1e-9;

/// An agent that watches one container through one stats source.
pub struct Watch<'a> {
    container: &'a Container<'a>,
    agent: Agent,
    command: String,
    /// The time of the engine's last stats, as it reports it.
    read: Arc<Mutex<Option<f64>>>,
    _proxy: EngineProxy,
}

/// The values of one run.
pub struct Look {
    /// The metrics, without prefix and instance: `memory.rss`.
    pub values: Values,
    /// The earliest and latest time at which the stats were taken, in seconds.
    pub time: (f64, f64),
    /// The CPU time in the kernel before and after the run.
    pub cpu: (Cpu, Cpu),
}

impl<'a> Watch<'a> {
    /// Watches through this stats source, with further options. The group must have only this container.
    pub fn on(engine: &Engine, group: &Group, container: &'a Container<'a>, source: &str, options: &str) -> Self {
        let read = Arc::new(Mutex::new(None));
        let note = Arc::clone(&read);
        let proxy = EngineProxy::start(engine, move |passing| {
            if let Passing::Response(path, response) = passing
                && path.contains("/stats")
                && let Some(time) = time_of(response)
            {
                *note.lock().unwrap_or_else(PoisonError::into_inner) = Some(time);
            }
        });
        let command = format!("run docker --filter {} --stats-source {source} {options}", group.filter());
        Self { container, agent: Agent::with_docker_host(&proxy.host()), command, read, _proxy: proxy }
    }

    /// Watches through each source.
    pub fn both(engine: &Engine, group: &Group, container: &'a Container<'a>, options: &str) -> [Self; 2] {
        ["cgroup", "api"].map(|source| Self::on(engine, group, container, source, options))
    }

    /// Runs once.
    ///
    /// # Panics
    ///
    /// If the run has diagnostics, or prints another container.
    pub fn look(&self) -> Look {
        let cpu = self.container.cpu();
        let start = now();
        let output = self.agent.run(&self.command).exits(0).without_diagnostics();
        let end = now();
        let cpu = (cpu, self.container.cpu());
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).take();
        let time = read.map_or((start, end), |read| (read, read));
        Look { values: without_instance(self.container, &output.metrics().of("docker")), time, cpu }
    }
}

/// Removes the instance name of the container from the keys.
///
/// # Panics
///
/// If a key has another instance name.
pub fn without_instance(container: &Container, values: &Values) -> Values {
    let instance = format!(".{}_{}.", container.name(), &container.id()[..6]);
    let without = |key: &String| {
        assert!(key.contains(&instance), "{key} is not of {instance}");
        key.replacen(&instance, ".", 1)
    };
    values.iter().map(|(key, value)| (without(key), *value)).collect()
}

/// Returns the `read` of stats as seconds of the day. `None` if this is not the beginning of stats.
fn time_of(stats: &str) -> Option<f64> {
    let (_, read) = stats.split_once(r#""read":""#)?;
    let time = &read[read.find('T').expect("a date before the time") + 1..read.find('Z').expect("in UTC")];
    Some(time.split(':').fold(0.0, |total, part| total * 60.0 + part.parse::<f64>().expect("a number")))
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right").as_secs_f64()
}

/// Looks through all watches at the same time.
///
/// # Panics
///
/// If one of them fails.
pub fn looks<const N: usize>(watches: &[Watch; N]) -> [Look; N] {
    thread::scope(|scope| {
        watches.each_ref().map(|watch| scope.spawn(|| watch.look())).map(|look| look.join().expect("a run"))
    })
}

/// The values before and after some work.
pub struct Around {
    /// Before the work.
    pub before: Look,
    /// After the work.
    pub after: Look,
}

impl Around {
    /// Looks through all watches before and after the work.
    ///
    /// # Panics
    ///
    /// If one of them fails.
    pub fn all<const N: usize>(watches: &[Watch; N], work: impl FnOnce()) -> [Self; N] {
        let before = looks(watches);
        work();
        let mut after = looks(watches).into_iter();
        before.map(|before| Self { before, after: after.next().expect("as many") })
    }

    /// Returns the least and the most time between both looks.
    pub fn seconds(&self) -> (f64, f64) {
        let ((first, second), (third, fourth)) = (self.before.time, self.after.time);
        // The engine's times are those of a day and may have passed midnight.
        ((third - second).rem_euclid(86_400.0), (fourth - first).rem_euclid(86_400.0))
    }

    /// Asserts that a counter, printed as growth per `per` seconds, grew within this range.
    ///
    /// # Panics
    ///
    /// If it did not.
    #[track_caller]
    pub fn assert_grew(&self, metric: &str, per: f64, right: &RangeInclusive<f64>) {
        let rate = self.after.values[metric] / per;
        let (least, most) = self.seconds();
        assert!(
            rate * least <= right.end() * (1.0 + ROUNDING) && rate * most >= right.start() * (1.0 - ROUNDING),
            "{metric} grew by {} to {}, right is {right:?}: {:?}",
            rate * least,
            rate * most,
            self.after.values
        );
    }

    /// Returns the least and the most growth of a count of the kernel between both looks.
    pub fn kernel(&self, count: impl Fn(Cpu) -> f64) -> RangeInclusive<f64> {
        let (least, most) = ((self.before.cpu.1, self.after.cpu.0), (self.before.cpu.0, self.after.cpu.1));
        count(least.1) - count(least.0)..=count(most.1) - count(most.0)
    }

    /// Asserts that the CPU time is that of the kernel, and of a busy loop that is limited to half a core. Returns it
    /// in cores.
    ///
    /// One core is printed as `core`.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    pub fn assert_half_a_core(&self, metric: &str, core: f64) -> f64 {
        let cores = ["user", "system"].map(|mode| self.after.values[&format!("{metric}.{mode}")] / core).iter().sum();
        let (least, most) = self.seconds();
        // The kernel counts both modes in hundredths of a second, so the sums of both looks can be off by four of them.
        let (least_used, most_used) = self.kernel(|cpu| cpu.used).into_inner();
        assert!(
            cores * most >= least_used - 0.04 && cores * least <= most_used + 0.04,
            "{cores} cores for {least} to {most} s, and the kernel says {least_used} to {most_used} s of CPU time"
        );
        // 50 ms of every 100. Between two readings 2 s apart, there can be one share more or less: 2.5 points. The rest
        // is for the time that the kernel assigns in advance, 5 ms to each core. On a busy machine, the loop does not
        // get its share in every period, and is then not throttled in it.
        let missed = self.missed();
        assert!((0.45 - missed..=0.55).contains(&cores), "{cores} cores, and {missed} not used");
        cores
    }

    /// Returns how much of half a core a busy loop may have missed, in cores: 50 ms in each period without throttling.
    pub fn missed(&self) -> f64 {
        0.05 * self.kernel(|cpu| cpu.periods - cpu.throttled_periods).end() / self.seconds().0
    }
}

/// Sleeps while the container works. This is the time that is measured, not a wait for a condition.
pub fn wait_while_it_works(time: Duration) {
    thread::sleep(time);
}
