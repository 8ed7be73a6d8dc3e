//! Containers that tell what a scenario wants them to tell, and an agent that asks for them with the collector `docker`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::agent::{Agent, Output};
use crate::fake_engine::{self, FakeEngine, container};
use crate::http::Reply;
use crate::load::{self, Guard};
use crate::stats::Values;

/// The containers behind one fake engine, and the agent beside it. What nobody said otherwise is as [`fake_engine::well_behaved`]
/// has it.
pub struct Fleet {
    engine: FakeEngine,
    agent: Agent,
    told: Arc<Mutex<Told>>,
    _load: Guard,
}

/// A question of the engine's API about one container.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Question {
    /// `/containers/ID/stats`.
    Stats,
    /// `/containers/ID/json`.
    Inspect,
}

#[derive(Default)]
struct Told {
    containers: Vec<Value>,
    replies: HashMap<(String, Question), Reply>,
    asked: Vec<String>,
}

impl Told {
    fn answer(&mut self, path: &str) -> Reply {
        self.asked.push(path.to_owned());
        let question = |(id, question): &(String, Question)| path.contains(&format!("/{id}/{}", question.path()));
        let reply = self.replies.iter().find_map(|(asked, reply)| question(asked).then(|| reply.clone()));
        reply.unwrap_or_else(|| fake_engine::well_behaved(&self.containers, path))
    }

    fn container(&mut self, name: &str) -> &mut Value {
        let name = format!("/{name}");
        let mut containers = self.containers.iter_mut();
        containers.find(|container| container["Names"][0] == name.as_str()).expect("a container of the fleet")
    }
}

impl Question {
    fn path(self) -> &'static str {
        match self {
            Self::Stats => "stats",
            Self::Inspect => "json",
        }
    }
}

impl Fleet {
    /// Running containers of these names.
    pub fn of(names: &[&str]) -> Self {
        let containers = names.iter().map(|name| container(name, "127.0.0.1", 1)).collect();
        let told = Arc::new(Mutex::new(Told { containers, ..Told::default() }));
        let answer = Arc::clone(&told);
        let engine = FakeEngine::answering(move |path| lock(&answer).answer(path));
        let agent = Agent::on(&engine.host());
        Self { engine, agent, told, _load: load::timed() }
    }

    /// From now on, the container tells this when it is asked for its stats.
    pub fn tells(&self, name: &str, stats: &Value) {
        self.replies(name, Question::Stats, Reply::Whole(200, stats.to_string()));
    }

    /// From now on, the engine replies like this.
    pub fn replies(&self, name: &str, question: Question, reply: Reply) {
        let id = self.id(name);
        lock(&self.told).replies.insert((id, question), reply);
    }

    /// Changes what the engine's list says of the container.
    ///
    /// # Panics
    ///
    /// When there is no such container.
    pub fn lists(&self, name: &str, change: impl FnOnce(&mut Value)) {
        change(lock(&self.told).container(name));
    }

    /// Starts the container anew at `started`, as its list and its inspection say.
    pub fn restarts(&self, name: &str, started: &str) {
        self.lists(name, |container| container["Status"] = json!("Up Less than a second"));
        let mut inspected = self.inspected(name);
        inspected["State"]["StartedAt"] = json!(started);
        self.replies(name, Question::Inspect, Reply::Whole(200, inspected.to_string()));
    }

    /// What the engine says of the container when it is inspected and nobody said otherwise.
    pub fn inspected(&self, name: &str) -> Value {
        fake_engine::inspected(lock(&self.told).container(name))
    }

    /// The container's id.
    ///
    /// # Panics
    ///
    /// When there is no such container.
    pub fn id(&self, name: &str) -> String {
        lock(&self.told).container(name)["Id"].as_str().expect("an id").to_owned()
    }

    /// The paths that the engine was asked for since the last call, sorted, with the containers' names in place of their ids.
    pub fn asked(&self) -> Vec<String> {
        let mut told = lock(&self.told);
        let containers = told.containers.clone();
        let mask = |path: String, container: &Value| match (container["Id"].as_str(), container["Names"][0].as_str()) {
            (Some(id), Some(name)) => path.replace(id, name.trim_start_matches('/')),
            _ => path,
        };
        let masked = |path: String| containers.iter().fold(path, mask);
        let mut asked: Vec<_> = std::mem::take(&mut told.asked).into_iter().map(masked).collect();
        asked.sort();
        asked
    }

    /// One run of `docker`, with the containers' names in the metrics' names.
    pub fn run(&self, options: &str) -> Output {
        self.agent.values(&format!("run docker --instance-name name {options}"))
    }

    /// Such a run in which all goes well.
    #[track_caller]
    pub fn runs_well(&self, options: &str) -> Output {
        self.run(options).exits(0).without_complaint()
    }

    /// The agent.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Takes the engine's address out of a text.
    pub fn mask(&self, text: &str) -> String {
        text.replace(&self.engine.host(), "ENGINE")
    }
}

/// What a run of `docker` printed of one container, by graph and metric: `memory.rss`.
pub fn figures(output: &Output, name: &str) -> Values {
    let name = format!(".{name}.");
    let without = |key: &str| key.split_once(&name).map(|(graph, metric)| format!("{graph}.{metric}"));
    output.metrics().of("docker").into_iter().filter_map(|(key, value)| Some((without(&key)?, value))).collect()
}

/// Values as a scenario writes them down.
pub fn values<const COUNT: usize>(values: [(&str, f64); COUNT]) -> Values {
    values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().expect("no answer panics")
}
