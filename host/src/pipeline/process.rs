//! The processes of a run's containers, as the kernel shows them to this process. They prove that an address still
//! belongs to a container, and show its listening ports, without a request to the engine.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::path::Path;

use crate::kernel::process::{Listening, Process};
use crate::kernel::tree::{self, Tree};
use crate::moment::Moment;
use crate::text::ranges;

/// The processes of containers. The control groups are searched once, when the first is needed.
#[derive(Debug, Default)]
pub struct Processes {
    ids: Vec<String>,
    tree: OnceCell<Tree>,
    are_visible: OnceCell<bool>,
}

impl Processes {
    /// Prepares to find the processes of the containers with these ids.
    pub fn new(ids: Vec<String>) -> Processes {
        Processes { ids, ..Processes::default() }
    }

    /// Returns a process of a container; `None` if it has none, or this process does not see them. Control groups list
    /// processes that `/proc` hides from other users.
    pub fn of(&self, id: &str) -> Option<Process> {
        self.all(id).find(|process| process.is_visible())
    }

    /// Returns true if this process sees those of any container.
    pub fn are_visible(&self) -> bool {
        *self.are_visible.get_or_init(|| self.ids.iter().any(|id| self.of(id).is_some()))
    }

    fn all(&self, id: &str) -> impl Iterator<Item = Process> {
        let ids = &self.ids;
        let tree = (!ids.is_empty()).then(|| self.tree.get_or_init(|| Tree::find(Path::new(tree::ROOT), ids)));
        tree.into_iter().flat_map(move |tree| tree.processes(id)).map(Process)
    }

    /// Returns true if a container runs without a restart since before `moment`, in a network with `address` if that is
    /// given. `known` is a process that it had: most often it is still there, and nothing is searched.
    pub fn has_run_since(&self, id: &str, known: Option<Process>, moment: Moment, address: Option<IpAddr>) -> bool {
        let has_run = |process: &Process| process.started().is_some_and(|started| started <= moment.boot);
        let oldest = known.filter(has_run).or_else(|| self.all(id).find(has_run));
        oldest.is_some_and(|process| address.is_none_or(|address| process.has_address(address)))
    }

    /// Returns the ports on which a container's network listens; `None` if they cannot be read.
    pub fn listening(&self, id: &str) -> Option<Listening> {
        self.of(id)?.listening()
    }

    /// Returns true if a process of the container itself listens on `port`, which other containers of its network can
    /// do too. Other users' processes are only visible with privileges.
    pub fn serves(&self, id: &str, port: u16) -> bool {
        let Some(sockets) = self.listening(id).map(|listening| listening.sockets(port)) else { return false };
        self.all(id).any(|process| process.has_socket(&sockets))
    }

    /// Returns the ports of a container on which something listens, with the option that chooses one, for messages.
    pub fn suggestion(&self, id: &str, port: Option<u16>) -> Option<String> {
        let listening = self.listening(id)?;
        let others = listening.ports();
        match (port, &others[..]) {
            (Some(port), _) if listening.is_only_loopback(port) => {
                Some(format!("the container listens on port {port} only at its own loopback address"))
            }
            (Some(port), _) if listening.has(port) => None,
            (Some(port), []) => Some(format!("nothing in the container listens on port {port}")),
            (None, []) => None,
            (_, [other]) => Some(format!("the container listens on {other}: try --container-port {other}")),
            (_, others) => {
                Some(format!("the container listens on {}: choose one with --container-port", ranges(others)))
            }
        }
    }
}
