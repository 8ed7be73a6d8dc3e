//! The figures of a container: kept while they are asked for, and played back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use wasmtime_wasi::async_trait;

use super::player::Played;
use crate::sandbox::container::{Error, Parts, State, Stats, StatsReader};
use crate::stats::Source;

/// A question about the container, and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "asked", rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    /// Its use of resources.
    Stats {
        /// The parts that were asked for.
        parts: Vec<String>,
        /// Where the figures came from.
        source: Option<Source>,
        /// Or why there were none.
        answer: Result<Box<Stats>, Error>,
    },
    /// What the engine knows beyond its list.
    State {
        /// Or why it does not.
        answer: Result<State, Error>,
    },
}

/// The parts' names, as the contract has them.
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

/// Asks, and keeps what comes.
pub struct Recorder {
    live: Arc<dyn StatsReader>,
    calls: Mutex<Vec<Call>>,
}

impl Recorder {
    /// Before who tells of the container.
    pub fn new(live: Arc<dyn StatsReader>) -> Recorder {
        Recorder { live, calls: Mutex::default() }
    }

    /// What was asked, in its order.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }
}

fn lock<T>(calls: &Mutex<T>) -> MutexGuard<'_, T> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl StatsReader for Recorder {
    async fn stats(
        &self,
        id: &str,
        parts: Parts,
        has_interfaces: bool,
        settled: Option<Source>,
    ) -> Result<(Stats, Source), Error> {
        let result = self.live.stats(id, parts, has_interfaces, settled).await;
        let source = result.as_ref().ok().map(|(_, source)| *source);
        let answer = result.clone().map(|(stats, _)| Box::new(stats));
        lock(&self.calls).push(Call::Stats { parts: names(parts), source, answer });
        result
    }

    async fn state(&self, id: &str) -> Result<State, Error> {
        let answer = self.live.state(id).await;
        lock(&self.calls).push(Call::State { answer: answer.clone() });
        answer
    }
}

/// Answers as it was answered before, each time once.
pub struct Replayed(Mutex<(Vec<Call>, Vec<String>)>);

impl Replayed {
    /// With these answers.
    pub fn new(calls: Vec<Call>) -> Replayed {
        Replayed(Mutex::new((calls, Vec::new())))
    }

    /// What was asked and is not recorded, and what is recorded and was not asked.
    pub fn finish(&self) -> Played {
        let (left, wrong) = &*lock(&self.0);
        let unused =
            left.iter().map(|call| format!("the container's {} was not asked for (container.json)", name(call)));
        Played { wrong: wrong.clone(), unused: unused.collect() }
    }

    /// The first answer that is left to a question.
    fn take(&self, asked: &str, is_it: impl Fn(&Call) -> bool) -> Result<Call, Error> {
        let (left, wrong) = &mut *lock(&self.0);
        if let Some(index) = left.iter().position(is_it) {
            return Ok(left.remove(index));
        }
        let there_is: Vec<String> = left.iter().map(name).collect();
        let there_is = match there_is.as_slice() {
            [] => "nothing more is".to_owned(),
            all => format!("there is {}", all.join(", ")),
        };
        wrong.push(format!("the collector asked for the container's {asked}, which is not recorded; {there_is}"));
        Err(Error::Unavailable("this is not in the recording".to_owned()))
    }
}

/// What is asked for.
fn name(call: &Call) -> String {
    match call {
        Call::Stats { parts, .. } => name_of_stats(parts),
        Call::State { .. } => "state".to_owned(),
    }
}

fn name_of_stats(parts: &[String]) -> String {
    format!("use of resources ({})", parts.join(", "))
}

#[async_trait]
impl StatsReader for Replayed {
    async fn stats(
        &self,
        _id: &str,
        parts: Parts,
        _has_interfaces: bool,
        _settled: Option<Source>,
    ) -> Result<(Stats, Source), Error> {
        let wanted = names(parts);
        let is_it = |call: &Call| matches!(call, Call::Stats { parts, .. } if *parts == wanted);
        match self.take(&name_of_stats(&wanted), is_it)? {
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
