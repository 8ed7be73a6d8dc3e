//! Container stats in a test: recorded while they are read, and replayed.

use std::sync::{Arc, Mutex};

use wasmtime_wasi::async_trait;

use super::played::Played;
use super::recording::Call;
use crate::mutex::lock;
use crate::sandbox::activity::Waiting;
use crate::sandbox::container::{Error, Parts, Source, State, Stats, StatsReader, StatsRequest};

/// Returns the names of parts, as in the contract.
fn names(parts: Parts) -> Vec<String> {
    let all = [
        (Parts::CPU, "cpu"),
        (Parts::THROTTLING, "throttling"),
        (Parts::MEMORY, "memory"),
        (Parts::BLOCK_IO, "block-io"),
        (Parts::NETWORK, "network"),
        (Parts::PROCESSES, "processes"),
    ];
    all.into_iter().filter(|(part, _)| parts.contains(*part)).map(|(_, name)| name.to_owned()).collect()
}

/// Reads stats through another reader, and records them.
pub struct Recorder {
    live: Arc<dyn StatsReader>,
    calls: Mutex<Vec<Call>>,
}

impl Recorder {
    /// Records what `live` returns.
    pub fn new(live: Arc<dyn StatsReader>) -> Recorder {
        Recorder { live, calls: Mutex::default() }
    }

    /// Returns the calls so far, in their order.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }
}

#[async_trait]
impl StatsReader for Recorder {
    async fn stats(&self, request: StatsRequest<'_>) -> Result<(Stats, Source), Error> {
        let result = self.live.stats(request).await;
        let source = result.as_ref().ok().map(|(_, source)| *source);
        let answer = result.clone().map(|(stats, _)| Box::new(stats));
        lock(&self.calls).push(Call::Stats { parts: names(request.parts), source, answer });
        result
    }

    async fn state(&self, id: &str) -> Result<State, Error> {
        let answer = self.live.state(id).await;
        lock(&self.calls).push(Call::State { answer: answer.clone() });
        answer
    }

    fn waits_for(&self) -> Waiting {
        self.live.waits_for()
    }
}

/// Replays recorded calls, each once.
pub struct Replayed(Mutex<(Vec<Call>, Vec<String>)>);

impl Replayed {
    /// Replays these calls.
    pub fn new(calls: Vec<Call>) -> Replayed {
        Replayed(Mutex::new((calls, Vec::new())))
    }

    /// Returns the calls that were not recorded, and the recorded ones that were not made.
    pub fn finish(&self) -> Played {
        let (left, wrong) = &*lock(&self.0);
        let unused = left.iter().map(|call| format!("container {} not requested (container.json)", name(call)));
        Played { wrong: wrong.clone(), unused: unused.collect() }
    }

    /// Takes the first remaining call that matches.
    fn take(&self, requested: &str, matches: impl Fn(&Call) -> bool) -> Result<Call, Error> {
        let (left, wrong) = &mut *lock(&self.0);
        if let Some(index) = left.iter().position(matches) {
            return Ok(left.remove(index));
        }
        let rest: Vec<String> = left.iter().map(name).collect();
        let rest = if rest.is_empty() { "nothing".to_owned() } else { rest.join(", ") };
        wrong.push(format!("collector requested container {requested}, which is not recorded; left: {rest}"));
        Err(Error::Unavailable("not in the recording".to_owned()))
    }
}

/// Returns the name of a call.
fn name(call: &Call) -> String {
    match call {
        Call::Stats { parts, .. } => name_of_stats(parts),
        Call::State { .. } => "state".to_owned(),
    }
}

fn name_of_stats(parts: &[String]) -> String {
    format!("stats ({})", parts.join(", "))
}

#[async_trait]
impl StatsReader for Replayed {
    async fn stats(&self, request: StatsRequest<'_>) -> Result<(Stats, Source), Error> {
        let wanted = names(request.parts);
        let matches = |call: &Call| matches!(call, Call::Stats { parts, .. } if *parts == wanted);
        match self.take(&name_of_stats(&wanted), matches)? {
            Call::Stats { answer, source, .. } => Ok((*answer?, source.unwrap_or(Source::Api))),
            Call::State { .. } => Err(Error::Gone),
        }
    }

    async fn state(&self, _id: &str) -> Result<State, Error> {
        match self.take("state", |call| matches!(call, Call::State { .. }))? {
            Call::State { answer } => answer,
            Call::Stats { .. } => Err(Error::Gone),
        }
    }
}
