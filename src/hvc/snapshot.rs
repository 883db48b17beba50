//! The snapshot calls, as a VM makes them for itself, and its controller for it.

use crate::snapshot::Which;

/// A snapshot call by SMCCC. Ids are as the guest gave them, existing or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SnapshotCall {
    /// Take a snapshot.
    Checkpoint,
    /// Go back.
    Restore {
        /// Where to.
        which: Which,
        /// What the CHECKPOINT that returns again has in x1: the value passed, 1 for 0, so never 0.
        value: u64,
    },
    /// Forget a snapshot.
    Delete {
        /// Its id.
        id: u64,
    },
    /// Ask about a snapshot.
    Info {
        /// Its id.
        id: u64,
    },
    /// Find the first snapshot from an id on, and what it comes from.
    Next {
        /// The id to begin with; `u64::MAX`: what the VM comes from.
        id: u64,
    },
    /// Ask about pools and memory.
    Stats,
    /// Ask for the number of restores.
    Generation,
}
