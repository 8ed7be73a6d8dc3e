//! A target for gostats that serves the values of a scenario.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use serde_json::Value;

use crate::http::{self, Reply};
use crate::port;
use crate::server::Server;

type Body = dyn Fn() -> Value + Send;

/// A target on all IPv4 addresses of this machine: 127.0.0.1, 127.0.0.2 and so on are different targets.
pub struct StubTarget {
    port: u16,
    body: Arc<Mutex<Box<Body>>>,
    requests: Arc<AtomicUsize>,
    _server: Server,
}

impl StubTarget {
    /// Starts one that serves this body for every path.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub fn serving(body: Value) -> Self {
        Self::serving_with(repeated(body))
    }

    /// Starts one that creates the body for each request.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub fn serving_with(body: impl Fn() -> Value + Send + 'static) -> Self {
        let listener = port::listen();
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let body: Arc<Mutex<Box<Body>>> = Arc::new(Mutex::new(Box::new(body)));
        let requests = Arc::new(AtomicUsize::new(0));
        let (current, count) = (Arc::clone(&body), Arc::clone(&requests));
        let server = http::serve(listener, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Reply::Whole(200, lock(&current)().to_string())
        });
        Self { port, body, requests, _server: server }
    }

    /// Serves this body from now on.
    pub fn serve(&self, body: Value) {
        *lock(&self.body) = Box::new(repeated(body));
    }

    /// Returns the number of requests.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns the port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns its address, as `--target` takes it.
    pub fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the prefix of its metrics, under the default prefix and instance name.
    pub fn key(&self) -> String {
        format!("gostats.{}", self.port)
    }
}

/// Returns a body whose time is exact in the first response, and passes from then on.
fn repeated(body: Value) -> impl Fn() -> Value + Send {
    let first = Cell::new(None);
    move || {
        // No time has passed at the first response.
        let begin = first.get().unwrap_or_else(Instant::now);
        let passed = first.replace(Some(begin)).map_or(0, |begin| begin.elapsed().as_nanos());
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let mut body = body.clone();
        if let Some(time) = body.get_mut("time")
            && let Some(exact) = time.as_u64()
        {
            *time = exact.saturating_add(passed).into();
        }
        body
    }
}

fn lock(body: &Mutex<Box<Body>>) -> MutexGuard<'_, Box<Body>> {
    body.lock().expect("no body panics")
}
