//! A soak: many runs over containers, some of which keep starting, stopping and restarting, and the log of all their
//! responses.

use std::fs;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::agent::{Agent, Metrics, Output};
use crate::engine::{Container, Engine, Group};

/// Containers of the Go app. The first ones stay, the others come and go.
pub struct Herd<'e> {
    engine: &'e Engine,
    group: &'e Group<'e>,
    members: Vec<Member<'e>>,
    staying: usize,
    made: usize,
    turns: usize,
    /// The lives of the containers that were removed.
    ended: Vec<Life>,
}

struct Member<'e> {
    container: Container<'e>,
    up: bool,
    stays: Vec<Stay>,
}

/// A time in which a container ran undisturbed. Times are in nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Stay {
    port: u16,
    from: u64,
    until: u64,
}

/// A container from one start to its end.
pub struct Life {
    /// The container's name.
    pub name: String,
    /// Its published port.
    pub port: u16,
    /// Its responses under `/stats`, in order.
    pub responses: Vec<Value>,
    stay: Stay,
}

impl Life {
    /// Returns whether it ran undisturbed during all of this run.
    pub fn spans(&self, run: &Run) -> bool {
        self.stay.from <= run.begin && run.end <= self.stay.until
    }

    /// Returns the indices of its responses during this run.
    pub fn responses_in(&self, run: &Run) -> std::ops::Range<usize> {
        let before = |time: u64| self.responses.partition_point(|response| time_of(response) < time);
        before(run.begin)..before(run.end)
    }
}

impl<'e> Herd<'e> {
    /// Starts the containers.
    pub fn start(engine: &'e Engine, group: &'e Group<'e>, staying: usize, moving: usize) -> Self {
        let members = few_at_a_time((0..staying + moving).collect(), |number| Member::start(group, number));
        Self { engine, group, made: members.len(), members, staying, turns: 0, ended: Vec::new() }
    }

    /// Changes the next container: it is restarted, stopped, started, or replaced by another, in turns.
    ///
    /// One at a time: old engines can deadlock if two containers end at once.
    ///
    /// # Panics
    ///
    /// If a container does not start, or its log is incomplete.
    pub fn turn(&mut self) {
        let moving = self.members.len() - self.staying;
        let (index, round) = (self.turns % moving, self.turns / moving);
        let member = &mut self.members[self.staying + index];
        // In the next round, each container gets the next change.
        match (index + round) % 4 {
            1 => member.stop(),
            3 => {
                let next = Member::start(self.group, self.made);
                self.made += 1;
                self.ended.extend(std::mem::replace(member, next).end(self.engine));
            }
            _ => member.restart(),
        }
        self.turns += 1;
    }

    /// Returns the number of containers so far.
    pub fn made(&self) -> usize {
        self.made
    }

    /// Removes all containers and returns their lives.
    pub fn lives(self) -> Vec<Life> {
        let lives = self.members.into_iter().flat_map(|member| member.end(self.engine));
        self.ended.into_iter().chain(lives).collect()
    }
}

impl<'e> Member<'e> {
    fn start(group: &Group<'e>, number: usize) -> Self {
        let options = "--publish 127.0.0.1::8080 --env LOG_RESPONSES=1";
        let container = group.app_with(&format!("app{number}"), options);
        let mut member = Self { container, up: true, stays: Vec::new() };
        member.begin_stay();
        member
    }

    fn restart(&mut self) {
        self.end_stay();
        self.container.restart();
        self.up = true;
        self.begin_stay();
    }

    fn stop(&mut self) {
        self.end_stay();
        self.container.stop();
        self.up = false;
    }

    fn end(mut self, engine: &Engine) -> Vec<Life> {
        // Stopped first, so that its last response is in the log.
        self.stop();
        let lives = self.lives(engine);
        self.container.remove();
        lives
    }

    fn begin_stay(&mut self) {
        self.stays.push(Stay { port: self.container.address().port(), from: now(), until: u64::MAX });
    }

    fn end_stay(&mut self) {
        if let Some(last) = self.stays.last_mut().filter(|_| self.up) {
            last.until = now();
        }
    }

    fn lives(&self, engine: &Engine) -> Vec<Life> {
        let log = engine.try_docker(&["logs", self.container.id()]).expect("the log of a container");
        let mut lives: Vec<Life> = Vec::new();
        for line in log.lines() {
            if let Ok(response) = serde_json::from_str(line) {
                lives.last_mut().expect("it logs that it listens before any response").responses.push(response);
            } else {
                let stay = *self.stays.get(lives.len()).expect("a stay for each start");
                let name = self.container.name().to_owned();
                lives.push(Life { name, port: stay.port, responses: Vec::new(), stay });
            }
        }
        assert_eq!(lives.len(), self.stays.len(), "starts of {}", self.container.name());
        lives
    }
}

/// One run of the program.
pub struct Run {
    /// Its start in nanoseconds since 1970.
    pub begin: u64,
    /// Its end.
    pub end: u64,
    /// Its output.
    pub output: Output,
    /// Its metrics.
    pub metrics: Metrics,
    /// The peak of its memory in KiB.
    pub memory: u64,
    /// The highest number of open files.
    pub files: u64,
}

impl Run {
    /// Runs once and samples the process every millisecond.
    pub fn of(agent: &Agent, command: &str) -> Self {
        let begin = now();
        let running = agent.start(command);
        let (mut memory, mut files) = (0, 0);
        while let Some(peak) = running.peak() {
            memory = peak >> 10;
            files = open_files(running.id()).max(files);
            thread::sleep(Duration::from_millis(1));
        }
        let output = running.output();
        Self { begin, metrics: output.metrics(), output, end: now(), memory, files }
    }
}

fn open_files(process: u32) -> u64 {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, |files| files.count() as u64)
}

fn time_of(response: &Value) -> u64 {
    response["time"].as_u64().expect("a time in ns")
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right");
    u64::try_from(now.as_nanos()).expect("a time of this age")
}

/// Works on all items, four at a time.
fn few_at_a_time<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let waiting = Mutex::new(items.into_iter());
    let next = || waiting.lock().expect("no panic while it is held").next();
    let worker = || std::iter::from_fn(next).map(&work).collect::<Vec<_>>();
    thread::scope(|scope| {
        let workers = [(); 4].map(|()| scope.spawn(worker));
        workers.into_iter().flat_map(|worker| worker.join().expect("no worker panics")).collect()
    })
}
