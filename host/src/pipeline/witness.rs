//! The witness: confirms after a response that it came from the target's container.
//!
//! Between the engine's list and the request, a container can be stopped, restarted, removed or moved to another
//! network, and another one can get its address or its published port. While the same container runs and has the
//! address, no other one can have it. The proof is one of these:
//!
//! - A process of the container was started before the list was complete, and its network namespace has the address.
//!   It costs no request to the engine, and needs processes that are visible here.
//! - The engine reports the same start time as before the request, and the address. It is asked only if the processes
//!   of other containers are visible, but not of this one, or if the own address is used without them.
//!
//! A published port is accepted without a proof if no processes are visible, as with an engine on another machine: an
//! engine does not reuse a dynamic port soon.

use crate::engine::{ContainerError, Engine};
use crate::moment::Moment;
use crate::pipeline::process::Processes;
use crate::pipeline::target::Target;

/// Knows whether the containers of targets are still those of the engine's list.
pub struct Witness<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The processes of the containers, if they are on this machine.
    pub processes: &'a Processes,
    /// The time at which the list was complete.
    pub listed: Moment,
}

impl Witness<'_> {
    /// Returns true if the response came from the target's container. `place` is that of the address in use, and
    /// `start` the container's start time before the request.
    pub async fn confirms(&self, target: &Target, place: usize, start: Option<&Option<String>>) -> bool {
        let (Some(container), Some(route)) = (&target.container, target.routes.usable.get(place)) else { return true };
        if target.process.is_some() {
            return self.sees_same(target, place);
        }
        if route.own.is_none() && !self.processes.are_visible() {
            return true;
        }
        match self.engine.inspect(&container.id).await {
            Ok(inspection) => {
                let is_same_start = match start {
                    Some(Some(start)) => inspection.started_at() == Some(start),
                    _ => route.own.is_none(),
                };
                is_same_start && route.own.is_none_or(|own| inspection.has_address(own))
            }
            Err(ContainerError::Gone) => false,
            // An engine can hang on one container, whose application still responds.
            Err(_) => route.own.is_none(),
        }
    }

    /// Returns false if the processes prove that the container is another one, or is not at the address in use any
    /// more.
    pub fn sees_same(&self, target: &Target, place: usize) -> bool {
        let (Some(container), Some(process)) = (&target.container, target.process) else { return true };
        let Some(route) = target.routes.usable.get(place) else { return true };
        let has_run = |id: &str, known, address| self.processes.has_run_since(id, known, self.listed, address);
        let has_owner_run = || target.network_owner.as_ref().is_none_or(|owner| has_run(owner, None, None));
        has_run(&container.id, Some(process), route.own) && has_owner_run()
    }

    /// Returns a hint on the port of a target, if its container does not listen on it.
    pub fn suggestion(&self, target: &Target) -> Option<String> {
        let container = target.container.as_ref()?;
        if target.process.is_none() || container.host_network {
            return None;
        }
        self.processes.suggestion(&container.id, Some(target.container_port?))
    }
}
