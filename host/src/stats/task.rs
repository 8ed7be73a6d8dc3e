//! Stats from the task metadata endpoint of ECS: those of the engine, as the ECS agent sampled them last.
//!
//! A container without a sample has `null` or `{}`, and one that the agent no longer follows has the same sample in
//! every response. Neither has stats: zeros and old values would be wrong.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use wasmtime_wasi::async_trait;

use super::api::parse_stats;
use super::count::smallest;
use crate::ecs::{HealthCheck, Task, TaskContainer};
use crate::engine::{Lenient, Sample};
use crate::limits;
use crate::sandbox::activity::Waiting;
use crate::sandbox::container::{Error, Health, HealthStatus, Source, State, Stats, StatsReader, StatsRequest};

/// Memory limits from here on mean that there is none. The kernel rounds the largest number to pages.
const NO_LIMIT: u64 = 1 << 62;

/// Reads the stats of the containers of a task. All of them come by one request.
pub struct TaskReader {
    task: Task,
    states: Arc<HashMap<String, State>>,
}

/// Returns the restarts and the health of a container.
pub fn state(container: &TaskContainer) -> State {
    let health = container.health.map(|health| Health {
        status: match health {
            HealthCheck::Healthy => HealthStatus::Healthy,
            HealthCheck::Unhealthy => HealthStatus::Unhealthy,
        },
        failing_streak: None,
    });
    State { restarts: container.restarts, health }
}

impl TaskReader {
    /// Prepares to read the stats of the containers of `task`; `states` has their restarts and health by id.
    pub fn new(task: &Task, states: &Arc<HashMap<String, State>>) -> TaskReader {
        TaskReader { task: task.clone(), states: Arc::clone(states) }
    }
}

#[async_trait]
impl StatsReader for TaskReader {
    async fn stats(&self, request: StatsRequest<'_>) -> Result<(Stats, Source), Error> {
        let samples = self.task.samples().await;
        let samples = samples.as_ref().as_ref().map_err(|error| Error::Unavailable(error.clone()))?;
        let sample = samples.get(request.id).cloned().unwrap_or_default();
        let stats = parse(sample, request, Timestamp::now(), self.task.memory_limit)?;
        Ok((stats, Source::Api))
    }

    async fn state(&self, id: &str) -> Result<State, Error> {
        self.states.get(id).copied().ok_or(Error::Gone)
    }

    fn waits_for(&self) -> Waiting {
        Waiting::TaskMetadata
    }
}

/// Takes the requested parts out of a sample. `limit` is the memory limit of the task.
///
/// # Errors
/// If there is no sample, or it is older than [`limits::TASK_SAMPLE_AGE`].
fn parse(
    sample: Lenient<Sample>,
    request: StatsRequest<'_>,
    now: Timestamp,
    limit: Option<u64>,
) -> Result<Stats, Error> {
    let unavailable = |reason: String| Err(Error::Unavailable(reason));
    let Some(sample) = sample.0.filter(|sample| sample.read.0.is_some()) else {
        return unavailable(
            "task metadata has no stats of it: just started, or ECS_DISABLE_METRICS is set on the instance".to_owned(),
        );
    };
    let mut stats = match parse_stats(sample, request.parts, request.has_interfaces) {
        // The agent follows containers, not the list of this run.
        Err(Error::Gone) => return unavailable("task metadata has no stats of it: it has just stopped".to_owned()),
        stats => stats?,
    };
    let now = u64::try_from(now.as_nanosecond()).unwrap_or_default();
    if u128::from(now.saturating_sub(stats.time)) > limits::TASK_SAMPLE_AGE.as_nanos() {
        let age = now.saturating_sub(stats.time) / 1_000_000_000;
        return unavailable(format!(
            "its stats in the task metadata are {age} s old: the ECS agent no longer reads them"
        ));
    }
    if let Some(own) = stats.memory.limit {
        stats.memory.limit = Some(smallest(own, [limit])).filter(|limit| *limit < NO_LIMIT);
    }
    Ok(stats)
}
