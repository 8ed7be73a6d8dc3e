//! The ledger: the state that a run takes over from the last run and leaves to the next: counters, slots, and the
//! targets within the budget.
//!
//! The state is read twice: without the lock before collecting, because the engine's work is planned with it, and again
//! under the lock, because another run can have written it meanwhile. A run that cannot lock uses what it read first,
//! and writes nothing.

use std::path::Path;

use crate::diagnostics::Diagnostics;
use crate::moment::Moment;
use crate::pipeline::budget::Budget;
use crate::pipeline::find::Found;
use crate::pipeline::name::{self, InstanceName};
use crate::pipeline::output::Output;
use crate::pipeline::series::Series;
use crate::pipeline::state::{Locked, Remembered, State, StateFile};

/// The state between two runs, as one run uses it.
pub struct Ledger {
    /// The file, until it is locked.
    file: Option<StateFile>,
    locked: Option<Locked>,
    state: State,
    begun: Moment,
}

impl Ledger {
    /// Reads the state of the last run, for a run that began at `begun`. Without a file the run has no counters.
    pub fn open(file: Option<StateFile>, begun: Moment, diagnostics: &mut Diagnostics) -> Ledger {
        let state = file.as_ref().and_then(|file| diagnostics.ok(file.read(begun))).unwrap_or_default();
        Ledger { file, locked: None, state, begun }
    }

    /// Goes on from a state that is not in a file.
    pub fn in_memory(state: State, begun: Moment) -> Ledger {
        Ledger { file: None, locked: None, state, begun }
    }

    /// Returns the state for the next run, which is not in a file.
    pub fn into_state(mut self) -> State {
        self.state.forget_old(self.begun);
        self.state
    }

    /// The state of the last run.
    pub fn last(&self) -> &State {
        &self.state
    }

    /// The path of the state file, if there is one and it is not locked.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(StateFile::path)
    }

    /// Returns true if there is a state file that no run has written.
    pub fn is_first_run(&self) -> bool {
        self.file.is_some() && self.state.is_new()
    }

    /// Locks the state until [`Ledger::commit`], and reads it again if another run replaced it.
    pub async fn lock(&mut self, diagnostics: &mut Diagnostics) {
        if let Some(file) = self.file.take() {
            self.locked = diagnostics.ok(file.lock().await);
        }
        if let Some(locked) = &self.locked {
            self.state = locked.read_since(std::mem::take(&mut self.state), self.begun).unwrap_or_default();
        }
    }

    /// Names the series. Slots need the lock, and new ones are written at once: otherwise the next run could give an
    /// unwritten slot to another target, and one series would have points of two containers.
    pub fn name(
        &mut self,
        format: &InstanceName,
        found: &Found,
        series: &mut [Series<'_>],
        diagnostics: &mut Diagnostics,
    ) {
        let names = match format {
            InstanceName::Slot(label) => self.slots(label.as_deref(), found, diagnostics),
            InstanceName::Given(format) => Some(diagnostics.with_warning(name::assign(format, &found.targets))),
        };
        for series in series.iter_mut() {
            series.name = names.as_ref().map(|names| names[series.position].clone());
        }
        series.sort_by(|a, b| a.name.cmp(&b.name));
    }

    fn slots(&mut self, label: Option<&str>, found: &Found, diagnostics: &mut Diagnostics) -> Option<Vec<String>> {
        let names = self.locked.as_ref().and_then(|locked| {
            let (names, is_new) = assign_slots(&mut self.state, label, found, self.begun);
            if is_new { diagnostics.ok(locked.replace(&self.state)).map(|()| names) } else { Some(names) }
        });
        if names.is_none() {
            self.locked = None;
            diagnostics.warn("no metrics of single targets: slots need the state file (--instance-name slot)");
        }
        names
    }

    /// Names all targets as the next run will, in their order, and returns a warning if the format does not make the
    /// names unique. Slots need no lock here, because they are not written.
    pub fn foresee_names(&mut self, format: &InstanceName, found: &Found) -> (Vec<String>, Option<String>) {
        match format {
            InstanceName::Slot(label) => (assign_slots(&mut self.state, label.as_deref(), found, self.begun).0, None),
            InstanceName::Given(format) => name::assign(format, &found.targets),
        }
    }

    /// Decides what is posted of `series` by `output`, and remembers it for the next run.
    pub fn budget(&mut self, output: &Output, format: &InstanceName, found: &Found, series: &[Series<'_>]) -> Budget {
        let budget = Budget::new(output, format, series, &self.state.within, found);
        self.state.within.clone_from(&budget.within);
        budget
    }

    /// Turns counters into rates since the last run, and remembers them for the next.
    pub fn rates(&mut self, series: &mut [Series<'_>], diagnostics: &mut Diagnostics) {
        // After all of them were read.
        let now = Moment::now();
        for series in series {
            let identity = series.target.identity();
            // Host time is the clock of all containers and of most fixed targets.
            let last = self.state.get(&identity).filter(|last| !now.is_set_since(last.seen));
            let is_continued = last.is_some();
            if let Some(fault) = series.rate(last.map(|last| &last.reading)) {
                diagnostics.warn_target(series.target, fault);
            }
            self.state.has_rates |= is_continued;
            if let Some(reading) = series.reading.take() {
                self.state.insert(identity, Remembered { seen: self.begun, reading });
            }
        }
    }

    /// Writes the state and releases the lock. The first run of a command warns about another one with the same prefix.
    pub fn commit(mut self, diagnostics: &mut Diagnostics) {
        if let Some(locked) = &self.locked {
            self.state.forget_old(self.begun);
            diagnostics.ok(locked.replace(&self.state));
            let now = Moment::now();
            if self.state.is_new()
                && let Some(neighbour) = locked.neighbour(now)
            {
                diagnostics.warn(neighbour);
            }
            locked.remove_old(now);
        }
    }
}

/// Names the targets by their slots in `state`, and returns true if any slot is new.
fn assign_slots(state: &mut State, label: Option<&str>, found: &Found, begun: Moment) -> (Vec<String>, bool) {
    state.slots.assign(label, &found.targets, &found.listed_ids(), begun, Moment::now())
}
