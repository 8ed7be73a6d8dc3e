//! Watches a real container for what it uses: what is printed before and after some work, with the bounds within which
//! it has to be.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::agent::Agent;
use crate::engine::{Container, Cpu, Engine, Group};
use crate::relay::{Passing, Relay};
use crate::stats::Values;

/// One core as it is printed in percent.
pub const PERCENT: f64 = 100.0;

/// One core as it is printed in nanoseconds per minute.
pub const NANOSECONDS: f64 = 60e9;

/// What is allowed for between two doubles that are to be the same.
pub const ROUNDING: f64 = 1e-9;

/// An agent that watches one container through one source.
pub struct Watch<'a> {
    container: &'a Container<'a>,
    agent: Agent,
    command: String,
    /// When the engine last took figures, by its own words.
    read: Arc<Mutex<Option<f64>>>,
    _relay: Relay,
}

/// What it saw in one run.
pub struct Look {
    /// The metrics, without prefix and instance: `memory.rss`.
    pub values: Values,
    /// In which time the figures were taken, in seconds.
    pub time: (f64, f64),
    /// What the kernel had counted of CPU time before and after.
    pub cpu: (Cpu, Cpu),
}

impl<'a> Watch<'a> {
    /// Through this source of figures, with these further options. The group has this container alone.
    pub fn on(engine: &Engine, group: &Group, container: &'a Container<'a>, source: &str, options: &str) -> Self {
        let read = Arc::new(Mutex::new(None));
        let note = Arc::clone(&read);
        let relay = Relay::before(engine, move |passing| {
            if let Passing::Answer(path, answer) = passing
                && path.contains("/stats")
                && let Some(time) = time_of(answer)
            {
                *note.lock().unwrap_or_else(PoisonError::into_inner) = Some(time);
            }
        });
        let command = format!("run docker --filter {} --stats-source {source} {options}", group.filter());
        Self { container, agent: Agent::on(&relay.host()), command, read, _relay: relay }
    }

    /// The same through each source.
    pub fn both(engine: &Engine, group: &Group, container: &'a Container<'a>, options: &str) -> [Self; 2] {
        ["cgroup", "api"].map(|source| Self::on(engine, group, container, source, options))
    }

    /// Runs once.
    ///
    /// # Panics
    ///
    /// When the run complains, or prints something of another container.
    pub fn look(&self) -> Look {
        let cpu = self.container.cpu();
        let start = now();
        let output = self.agent.values(&self.command).exits(0).without_complaint();
        let end = now();
        let cpu = (cpu, self.container.cpu());
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).take();
        let time = read.map_or((start, end), |read| (read, read));
        Look { values: without_instance(self.container, &output.metrics().of("docker")), time, cpu }
    }
}

/// The names that remain when the container's own is taken out.
///
/// # Panics
///
/// When there is another's.
pub fn without_instance(container: &Container, values: &Values) -> Values {
    let instance = format!(".{}_{}.", container.name(), &container.id()[..6]);
    let without = |key: &String| {
        assert!(key.contains(&instance), "{key} is not of {instance}");
        key.replacen(&instance, ".", 1)
    };
    values.iter().map(|(key, value)| (without(key), *value)).collect()
}

/// Seconds of the day of the `read` that the engine's stats begin with, if this is their beginning.
fn time_of(stats: &str) -> Option<f64> {
    let (_, read) = stats.split_once(r#""read":""#)?;
    let time = &read[read.find('T').expect("a date before the time") + 1..read.find('Z').expect("in UTC")];
    Some(time.split(':').fold(0.0, |total, part| total * 60.0 + part.parse::<f64>().expect("a number")))
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right").as_secs_f64()
}

/// All look at the same time.
///
/// # Panics
///
/// When one of them does not see what it should.
pub fn looks<const N: usize>(watches: &[Watch; N]) -> [Look; N] {
    thread::scope(|scope| {
        watches.each_ref().map(|watch| scope.spawn(|| watch.look())).map(|look| look.join().expect("a run"))
    })
}

/// What was seen before and after some work.
pub struct Around {
    /// Before it.
    pub before: Look,
    /// After it.
    pub after: Look,
}

impl Around {
    /// All watch the same work.
    ///
    /// # Panics
    ///
    /// When one of them does not see what it should.
    pub fn all<const N: usize>(watches: &[Watch; N], work: impl FnOnce()) -> [Self; N] {
        let before = looks(watches);
        work();
        let mut after = looks(watches).into_iter();
        before.map(|before| Self { before, after: after.next().expect("as many") })
    }

    /// The least and the most time between the two.
    pub fn seconds(&self) -> (f64, f64) {
        let ((first, second), (third, fourth)) = (self.before.time, self.after.time);
        // Of a day: the engine's times may have passed midnight.
        ((third - second).rem_euclid(86_400.0), (fourth - first).rem_euclid(86_400.0))
    }

    /// Asserts that a counter, printed per so many seconds, grew by as much as this.
    ///
    /// # Panics
    ///
    /// When it did not.
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

    /// By how much a count of the kernel's grew between the two: the least and the most.
    pub fn kernel(&self, count: impl Fn(Cpu) -> f64) -> RangeInclusive<f64> {
        let (least, most) = ((self.before.cpu.1, self.after.cpu.0), (self.before.cpu.0, self.after.cpu.1));
        count(least.1) - count(least.0)..=count(most.1) - count(most.0)
    }

    /// Asserts that the printed CPU time is what the kernel counted, and that of a loop that is always busy and held to
    /// half a core. Gives it in cores. One core is printed as `core`.
    ///
    /// # Panics
    ///
    /// When it is not.
    #[track_caller]
    pub fn assert_half_a_core(&self, metric: &str, core: f64) -> f64 {
        let cores = ["user", "system"].map(|mode| self.after.values[&format!("{metric}.{mode}")] / core).iter().sum();
        let (least, most) = self.seconds();
        // The kernel counts both modes in hundredths of a second: of two sums of two, each can be wrong by as much.
        let (least_used, most_used) = self.kernel(|cpu| cpu.used).into_inner();
        assert!(
            cores * most >= least_used - 0.04 && cores * least <= most_used + 0.04,
            "{cores} cores for {least} to {most} s, and the kernel says {least_used} to {most_used} s of CPU time"
        );
        // 50 ms of every 100. Between two readings 2 s apart, one such share can be there once more or once less: 2.5
        // points. The rest is for what the kernel hands out beforehand, 5 ms to each core. On a busy machine the loop
        // does not get its share in every period, but then the limit does not make it wait.
        let missed = self.missed();
        assert!((0.45 - missed..=0.55).contains(&cores), "{cores} cores, and {missed} not used");
        cores
    }

    /// What a loop that is always busy and held to half a core can have missed of it, in cores: 50 ms in each period in
    /// which the limit was not used up.
    pub fn missed(&self) -> f64 {
        0.05 * self.kernel(|cpu| cpu.periods - cpu.throttled_periods).end() / self.seconds().0
    }
}

/// A time in which nothing is done but what the container does by itself: what is measured, and no wait.
pub fn let_it_work(time: Duration) {
    thread::sleep(time);
}
