//! What ends a run before all targets have answered: its deadline, SIGTERM or SIGINT.
//!
//! mackerel-agent sends SIGTERM after 30 s and loses the output of a plugin that a signal kills. So a signal is taken as a
//! request to print what is ready.

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::diagnostics;
use crate::error::Error;
use crate::limits;

/// The end of a run, as it was given.
pub struct Stop {
    deadline: Duration,
    at: tokio::time::Instant,
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// For a run that began at `started` and has `deadline`. From here on signals do not kill the process.
    ///
    /// # Errors
    /// Where signals cannot be had.
    pub fn new(started: Instant, deadline: Duration) -> Result<Stop, Error> {
        let listen = |kind| signal(kind).map_err(|error| Error::failed(format!("cannot listen for signals: {error}")));
        Ok(Stop {
            deadline,
            at: (started + deadline).into(),
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits until the run has to end, and says why.
    pub async fn wait(&mut self) -> String {
        tokio::select! {
            () = tokio::time::sleep_until(self.at) => {
                format!("the run's {} were over (--deadline)", humantime::format_duration(self.deadline))
            }
            _ = self.terminate.recv() => "SIGTERM came".to_owned(),
            _ = self.interrupt.recv() => "SIGINT came".to_owned(),
        }
    }
}

/// Ends the process when a run outlives its deadline by more than a grace, whatever it hangs in: a disk, a pipe that nobody
/// reads, the compilation of a component.
pub struct Watchdog {
    started: Instant,
    end: Mutex<Instant>,
}

impl Watchdog {
    /// A watch over a run that begins now, by the default deadline until another one is set.
    pub fn new() -> Watchdog {
        let started = Instant::now();
        Watchdog { started, end: Mutex::new(started + limits::RUN_DEADLINE + limits::DEADLINE_GRACE) }
    }

    /// When the run began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Sets the run's deadline, counted from its begin.
    pub fn set_deadline(&self, deadline: Duration) {
        if let Ok(mut end) = self.end.lock() {
            *end = self.started + deadline + limits::DEADLINE_GRACE;
        }
    }

    /// Looks at the clock, and ends the process when it is time.
    pub fn check(&self) {
        if self.end.lock().is_ok_and(|end| Instant::now() > *end) {
            say_in_time(
                "the run hung beyond its deadline and was ended: a disk, a pipe that nobody reads, or a component that takes too long to compile",
            );
            std::process::exit(1);
        }
    }
}

/// Says something on a stderr that can be the very pipe that nobody reads.
fn say_in_time(line: &'static str) {
    let (said, is_said) = mpsc::channel();
    let say = move || {
        diagnostics::print(line);
        let _ = said.send(());
    };
    if thread::Builder::new().spawn(say).is_ok() {
        let _ = is_said.recv_timeout(limits::LAST_WORD);
    }
}

impl Default for Watchdog {
    fn default() -> Self {
        Watchdog::new()
    }
}
