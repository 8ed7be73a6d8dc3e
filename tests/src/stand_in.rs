//! A Go program's `/stats` that tells what a scenario wants it to tell.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;

use crate::http::{self, Reply};
use crate::port;
use crate::server::Server;

type Answer = dyn Fn() -> Value + Send;

/// The stand-in. It listens on all IPv4 addresses of this machine, so that 127.0.0.1, 127.0.0.2, … are as many targets.
pub struct StandIn {
    port: u16,
    answer: Arc<Mutex<Box<Answer>>>,
    asked: Arc<AtomicUsize>,
    _server: Server,
}

impl StandIn {
    /// Starts one that answers this to everything.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub fn telling(body: Value) -> Self {
        Self::telling_live(move || body.clone())
    }

    /// Starts one that makes up each answer when it is asked.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub fn telling_live(answer: impl Fn() -> Value + Send + 'static) -> Self {
        let listener = port::listen();
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let answer: Arc<Mutex<Box<Answer>>> = Arc::new(Mutex::new(Box::new(answer)));
        let asked = Arc::new(AtomicUsize::new(0));
        let (current, count) = (Arc::clone(&answer), Arc::clone(&asked));
        let server = http::serve(listener, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Reply::Whole(200, lock(&current)().to_string())
        });
        Self { port, answer, asked, _server: server }
    }

    /// From now on, answers this.
    pub fn tells(&self, body: Value) {
        *lock(&self.answer) = Box::new(move || body.clone());
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, as `--target` takes it.
    pub fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What the keys of its metrics begin with, under the default prefix and instance name.
    pub fn key(&self) -> String {
        format!("gostats.{}", self.port)
    }
}

fn lock(answer: &Mutex<Box<Answer>>) -> MutexGuard<'_, Box<Answer>> {
    answer.lock().expect("no answer panics")
}
