//! Where a VM was: a snapshot of each stop. The hypervisor knows which snapshot each one came from, those of the guest itself and those of
//! `checkpoint_every` among them; kept here is what it does not know, and what it forgets with a snapshot that is deleted.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::machine::{Id, Machine, Refused};

/// Snapshots of stops that are kept at once, unless the user says otherwise.
pub const LIMIT: usize = 64;

/// Snapshots that are remembered, at least: some 50 bytes each.
const SEEN: usize = 16_384;

/// How a stop was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It did not run: the snapshot has the same as the one before.
    None,
    /// By one instruction of this vCPU.
    Step(usize),
    /// Any other way.
    Run,
}

/// A snapshot that was seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    parent: Option<Id>,
    way: Way,
}

/// The history of a VM.
pub struct History {
    /// Whether stops are kept.
    pub is_on: bool,
    limit: usize,
    /// Those taken here, the oldest first.
    stops: VecDeque<Id>,
    seen: BTreeMap<Id, Seen>,
    /// What the VM, which stands, has not left since.
    here: Option<Id>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            is_on: true,
            limit: LIMIT,
            stops: VecDeque::new(),
            seen: BTreeMap::new(),
            here: None,
        }
    }
}

impl History {
    /// The snapshot of where the VM stands, if there is one.
    pub fn here(&self) -> Option<Id> {
        self.here
    }

    /// How many stops are kept at the most.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How the snapshot of a stop was reached.
    pub fn way(&self, id: Id) -> Way {
        self.seen.get(&id).map_or(Way::Run, |seen| seen.way)
    }

    /// It runs, or is somewhere else.
    pub fn leave(&mut self) {
        self.here = None;
    }

    /// It went back to this one.
    pub fn arrive(&mut self, id: Id) {
        self.here = Some(id);
    }

    /// Keeps so many stops at the most: two at least, between which a run is run again.
    pub fn set_limit(&mut self, machine: &mut impl Machine, limit: usize) {
        self.limit = limit.max(2);
        self.shorten(machine);
    }

    /// It has stopped: keeps that, if stops are kept. A snapshot that cannot be taken is none.
    pub fn stop(&mut self, machine: &mut impl Machine, way: Way) {
        if self.is_on
            && self.here.is_none()
            && let Ok(id) = self.checkpoint(machine, way)
        {
            self.keep(machine, id);
        }
    }

    /// Takes a snapshot of where the VM stands, which stays until somebody deletes it.
    pub fn checkpoint(&mut self, machine: &mut impl Machine, way: Way) -> Result<Id, Refused> {
        let id = machine.checkpoint()?;
        let parent = machine.info(id)?.parent;
        self.seen.insert(id, Seen { parent, way });
        self.here = Some(id);
        Ok(id)
    }

    /// Keeps a snapshot as one of those of stops, until there are too many.
    pub fn keep(&mut self, machine: &mut impl Machine, id: Id) {
        self.stops.push_back(id);
        self.shorten(machine);
    }

    /// The snapshot before this one that is still there and has something else.
    pub fn before(&mut self, machine: &impl Machine, id: Id) -> Option<Id> {
        let mut at = id;
        loop {
            let parent = self.parent(machine, at)?;
            let is_there = machine.next(parent) == Ok(parent);
            if is_there && self.way(at) != Way::None {
                return Some(parent);
            }
            at = parent;
        }
    }

    /// The snapshots that `from` comes from, it first, or that the VM comes from: the newest first. Some of them may be gone.
    pub fn line(&mut self, machine: &impl Machine, from: Option<Id>) -> Vec<Id> {
        // A parent's number is smaller: there is none below the first that exists.
        let first = machine.next(0).unwrap_or(Id::MAX);
        let now = || machine.line(None).ok()?[0];
        let mut line = Vec::new();
        let mut at = from.or_else(now);
        while let Some(id) = at.filter(|&id| id >= first) {
            line.push(id);
            at = self.parent(machine, id);
        }
        line
    }

    /// What the snapshot comes from, which is asked for once, as it does not change. Each call tells of three.
    fn parent(&mut self, machine: &impl Machine, id: Id) -> Option<Id> {
        if !self.seen.contains_key(&id) {
            let line = machine.line(Some(id)).ok()?;
            if line[0] != Some(id) {
                return None;
            }
            for pair in line.windows(2) {
                // What was told of one that is gone by now stays.
                if let [Some(id), parent] = *pair {
                    let way = Way::Run;
                    self.seen.entry(id).or_insert(Seen { parent, way });
                }
            }
        }
        self.seen.get(&id)?.parent
    }

    /// Deletes the oldest stops that are too many.
    fn shorten(&mut self, machine: &mut impl Machine) {
        while self.stops.len() > self.limit {
            // The oldest that the VM does not stand at.
            let Some(place) = self.stops.iter().position(|&id| Some(id) != self.here) else {
                return;
            };
            if let Some(id) = self.stops.remove(place) {
                // A pool that was freed took it along.
                let _ = machine.delete(id);
            }
        }
        // Nobody asks for the way to what is long gone.
        let most = SEEN.max(16 * self.limit);
        while self.seen.len() > most {
            self.seen.pop_first();
        }
    }
}
