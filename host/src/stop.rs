//! The end of a run: its deadline, SIGTERM or SIGINT.
//!
//! mackerel-agent sends SIGTERM after 30 s and loses the output of a plugin that a signal kills. So a signal is a
//! request to print what is ready.

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::diagnostics;
use crate::error::Error;
use crate::limits;
use crate::mutex::lock;

/// The deadline and the signals of a run.
pub struct Stop {
    deadline: Duration,
    at: tokio::time::Instant,
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Starts listening for signals, for a run that began at `started`. From here on signals do not kill the process.
    ///
    /// # Errors
    /// If the signals cannot be handled.
    pub fn new(started: Instant, deadline: Duration) -> Result<Stop, Error> {
        let listen = |kind| signal(kind).map_err(|error| Error::failed(format!("cannot handle signals: {error}")));
        Ok(Stop {
            deadline,
            at: (started + deadline).into(),
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits until the run has to end, and returns the words after "when": the reason.
    pub async fn wait(&mut self) -> String {
        tokio::select! {
            () = tokio::time::sleep_until(self.at) => {
                format!("the run's deadline of {} passed (--deadline)", humantime::format_duration(self.deadline))
            }
            _ = self.terminate.recv() => "the run received SIGTERM".to_owned(),
            _ = self.interrupt.recv() => "the run received SIGINT".to_owned(),
        }
    }
}

/// Ends the process if a run outlives its deadline and a grace period, whatever it hangs in: a disk, a pipe without a
/// reader, the compilation of a component.
pub struct Watchdog {
    started: Instant,
    end: Mutex<Instant>,
    /// The exit status if a run hangs.
    status: u8,
    /// The step before the end, if there is one.
    last_step: Mutex<Option<LastStep>>,
}

/// A step before the end of the process.
type LastStep = Box<dyn FnOnce() + Send>;

impl Watchdog {
    /// Starts now, with the default deadline until another one is set. A run that hangs ends with this exit status.
    pub fn new(status: u8) -> Watchdog {
        let started = Instant::now();
        let end = Mutex::new(started + limits::RUN_DEADLINE + limits::DEADLINE_GRACE);
        Watchdog { started, end, status, last_step: Mutex::new(None) }
    }

    /// The start of the run.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Sets the deadline, counted from the start.
    pub fn set_deadline(&self, deadline: Duration) {
        *lock(&self.end) = self.started + deadline + limits::DEADLINE_GRACE;
    }

    /// Sets a step that precedes the end of a process that hangs, such as the restoration of the terminal. It runs on a
    /// thread of its own, and must not wait for a lock that the run can hold.
    pub fn set_last_step(&self, step: impl FnOnce() + Send + 'static) {
        *lock(&self.last_step) = Some(Box::new(step));
    }

    /// Ends the process if it is late.
    pub fn check(&self) {
        if Instant::now() > *lock(&self.end) {
            end_in_time(
                lock(&self.last_step).take(),
                "ended: the run hung beyond its deadline, in a disk, a pipe without a reader, or the compilation of a component",
            );
            std::process::exit(self.status.into());
        }
    }
}

/// Takes the last step and prints a last line. Both can hang as the run does: in a terminal or a pipe without a reader.
fn end_in_time(step: Option<LastStep>, line: &'static str) {
    let (done, is_done) = mpsc::channel();
    let end = move || {
        if let Some(step) = step {
            step();
        }
        diagnostics::print(line);
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(end).is_ok() {
        let _ = is_done.recv_timeout(limits::LAST_WORD);
    }
}
