//! Containers whose stats a scenario sets, and an agent that runs the collector `docker`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::agent::{Agent, Output};
use crate::fake_engine::{self, FakeEngine, container};
use crate::http::Reply;
use crate::load::{self, Guard};
use crate::stats::Values;

/// Containers of a fake engine, and an agent. Replies that a scenario does not set are those of
/// [`fake_engine::default_reply`].
pub struct Fleet {
    engine: FakeEngine,
    agent: Agent,
    state: Arc<Mutex<State>>,
    _load: Guard,
}

/// A request of the engine's API about one container.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Request {
    /// `/containers/ID/stats`.
    Stats,
    /// `/containers/ID/json`.
    Inspect,
}

#[derive(Default)]
struct State {
    containers: Vec<Value>,
    replies: HashMap<(String, Request), Reply>,
    requests: Vec<String>,
}

impl State {
    fn reply(&mut self, path: &str) -> Reply {
        self.requests.push(path.to_owned());
        let matches = |(id, request): &(String, Request)| path.contains(&format!("/{id}/{}", request.path()));
        let reply = self.replies.iter().find_map(|(key, reply)| matches(key).then(|| reply.clone()));
        reply.unwrap_or_else(|| fake_engine::default_reply(&self.containers, path))
    }

    fn container(&mut self, name: &str) -> &mut Value {
        let name = format!("/{name}");
        let mut containers = self.containers.iter_mut();
        containers.find(|container| container["Names"][0] == name.as_str()).expect("a container of the fleet")
    }
}

impl Request {
    fn path(self) -> &'static str {
        match self {
            Self::Stats => "stats",
            Self::Inspect => "json",
        }
    }
}

impl Fleet {
    /// Starts an engine with running containers of these names.
    pub fn of(names: &[&str]) -> Self {
        let containers = names.iter().map(|name| container(name, "127.0.0.1", 1)).collect();
        let state = Arc::new(Mutex::new(State { containers, ..State::default() }));
        let shared = Arc::clone(&state);
        let engine = FakeEngine::replying(move |path| lock(&shared).reply(path));
        let agent = Agent::with_docker_host(&engine.host());
        Self { engine, agent, state, _load: load::timed() }
    }

    /// Sets the stats of a container.
    pub fn set_stats(&self, name: &str, stats: &Value) {
        self.set_reply(name, Request::Stats, Reply::Whole(200, stats.to_string()));
    }

    /// Sets the reply to one request about a container.
    pub fn set_reply(&self, name: &str, request: Request, reply: Reply) {
        let id = self.id(name);
        lock(&self.state).replies.insert((id, request), reply);
    }

    /// Changes the container in the engine's list.
    ///
    /// # Panics
    ///
    /// If there is no such container.
    pub fn edit_listed(&self, name: &str, change: impl FnOnce(&mut Value)) {
        change(lock(&self.state).container(name));
    }

    /// Restarts the container at `started`, in the list and in the inspection.
    pub fn restart(&self, name: &str, started: &str) {
        self.edit_listed(name, |container| container["Status"] = json!("Up Less than a second"));
        let mut inspected = self.inspected(name);
        inspected["State"]["StartedAt"] = json!(started);
        self.set_reply(name, Request::Inspect, Reply::Whole(200, inspected.to_string()));
    }

    /// Returns the default inspection of the container.
    pub fn inspected(&self, name: &str) -> Value {
        fake_engine::inspected(lock(&self.state).container(name))
    }

    /// Returns the container's id.
    ///
    /// # Panics
    ///
    /// If there is no such container.
    pub fn id(&self, name: &str) -> String {
        lock(&self.state).container(name)["Id"].as_str().expect("an id").to_owned()
    }

    /// Returns the requested paths since the last call, sorted, with names in place of container ids.
    pub fn requests(&self) -> Vec<String> {
        let mut state = lock(&self.state);
        let containers = state.containers.clone();
        let mask = |path: String, container: &Value| match (container["Id"].as_str(), container["Names"][0].as_str()) {
            (Some(id), Some(name)) => path.replace(id, name.trim_start_matches('/')),
            _ => path,
        };
        let masked = |path: String| containers.iter().fold(path, mask);
        let mut requests: Vec<_> = std::mem::take(&mut state.requests).into_iter().map(masked).collect();
        requests.sort();
        requests
    }

    /// Runs `docker` with container names as instance names.
    pub fn run(&self, options: &str) -> Output {
        self.agent.run(&format!("run docker --instance-name name {options}"))
    }

    /// Runs it with success and without diagnostics.
    #[track_caller]
    pub fn run_without_diagnostics(&self, options: &str) -> Output {
        self.run(options).exits(0).without_diagnostics()
    }

    /// Returns the agent.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Replaces the engine's address in a text.
    pub fn mask(&self, text: &str) -> String {
        text.replace(&self.engine.host(), "ENGINE")
    }
}

/// Returns the metrics of one container in a run of `docker`, by graph and metric: `memory.rss`.
pub fn stats_of(output: &Output, name: &str) -> Values {
    let name = format!(".{name}.");
    let without = |key: &str| key.split_once(&name).map(|(graph, metric)| format!("{graph}.{metric}"));
    output.metrics().of("docker").into_iter().filter_map(|(key, value)| Some((without(&key)?, value))).collect()
}

/// Returns values by name.
pub fn values<const COUNT: usize>(values: [(&str, f64); COUNT]) -> Values {
    values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no reply panics")
}
