//! Records: what is known of a snapshot and of a pool, as plain structs, and how they lie in bookkeeping memory.

use super::frames::Frame;
use super::nodes::{self, Node, NodeId};
use super::seam::{Machine, StateSize};
use core::ops::Range;

/// Nodes of a frame that a snapshot's record takes, in front of the machine's saved state.
const RECORD_NODES: usize = 1;
/// The node of a frame that says where the other parts of the saved state are, if there are any: a word for each.
const MORE: usize = 127;
const _: () = assert!(RECORD_NODES + StateSize::NODES_MAX <= MORE);

/// Where a snapshot's record and saved state lie: a frame, and which of the equal parts of it. As a number: frame times 128 plus part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The frame.
    pub frame: Frame,
    /// The part.
    pub part: u32,
}

impl Place {
    /// Snapshots that share a frame.
    pub fn sharing(state: StateSize) -> u32 {
        match state.parts {
            1 => (128 / (RECORD_NODES + state.nodes)) as u32,
            _ => 1,
        }
    }

    /// As a number that is never 0.
    pub fn to_entry(self) -> u32 {
        self.frame.0 << 7 | self.part
    }

    /// Out of [`to_entry`](Self::to_entry).
    pub fn from_entry(entry: u32) -> Self {
        Self {
            frame: Frame(entry >> 7),
            part: entry & 127,
        }
    }

    fn record_at(self, state: StateSize) -> usize {
        self.part as usize * (RECORD_NODES + state.nodes)
    }

    /// The nodes of the first part of the saved state.
    pub fn state_at(self, state: StateSize) -> Range<usize> {
        let start = self.record_at(state) + RECORD_NODES;
        start..start + state.nodes
    }

    /// The frames of the other parts.
    pub fn more<M: Machine>(self, m: &M, state: StateSize) -> impl Iterator<Item = Frame> {
        let words = match state.parts {
            1 => [0; 8],
            _ => m.bookkeeping(self.frame)[MORE].0,
        };
        words.into_iter().take(state.parts - 1).map(Frame)
    }

    /// Notes the frames of the other parts.
    pub fn set_more<M: Machine>(self, m: &mut M, more: [u32; 8]) {
        m.bookkeeping_mut(self.frame)[MORE] = Node(more);
    }
}

/// What is known of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The snapshot that the VM ran on when this one was taken.
    pub parent: Option<u64>,
    /// The guest's virtual counter then.
    pub counter: u64,
    /// Its page map.
    pub root: NodeId,
    /// Its pool.
    pub pool: NodeId,
    /// Pages of the VM that were present.
    pub present: u32,
    /// When it was taken, by the clock that no restore takes back. Of its counts, the low [`TAKEN_SHIFT`] bits are not kept.
    pub taken: u64,
}

/// The clocks of the boards count this far in less than 20 ms.
const TAKEN_SHIFT: u32 = 20;

fn split(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// No id, where an id is stored.
const NO_ID: u64 = u64::MAX;

impl Record {
    /// Reads the record at `place`.
    pub fn read<M: Machine>(m: &M, place: Place, state: StateSize) -> Self {
        let at = place.record_at(state);
        let w = &m.bookkeeping(place.frame)[at].0;
        let parent = join(w[0], w[1]);
        Self {
            parent: (parent != NO_ID).then_some(parent),
            counter: join(w[2], w[3]),
            root: NodeId(w[4]),
            pool: NodeId(w[5]),
            present: w[6],
            taken: u64::from(w[7]) << TAKEN_SHIFT,
        }
    }

    /// Writes the record at `place`.
    pub fn write<M: Machine>(&self, m: &mut M, place: Place, state: StateSize) {
        let at = place.record_at(state);
        let [parent_low, parent_high] = split(self.parent.unwrap_or(NO_ID));
        let [counter_low, counter_high] = split(self.counter);
        let node = Node([
            parent_low,
            parent_high,
            counter_low,
            counter_high,
            self.root.0,
            self.pool.0,
            self.present,
            (self.taken >> TAKEN_SHIFT) as u32,
        ]);
        m.bookkeeping_mut(place.frame)[at] = node;
    }
}

/// What is known of a pool; it is one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The next older pool.
    pub older: NodeId,
    /// The next newer pool.
    pub newer: NodeId,
    /// Snapshots ever made in it: places that are taken.
    pub made: u32,
    /// Snapshots that exist.
    pub live: u32,
    /// The frame that the next snapshot shares, as a [`Place`] with the part that is free; 0: it needs a new one.
    pub next_place: u32,
}

impl Pool {
    /// Reads the pool in `node`.
    pub fn read<M: Machine>(m: &M, node: NodeId) -> Self {
        let w = &nodes::read(m, node).0;
        Self {
            older: NodeId(w[0]),
            newer: NodeId(w[1]),
            made: w[2],
            live: w[3],
            next_place: w[4],
        }
    }

    /// The pool as a node.
    pub fn to_node(self) -> Node {
        Node([
            self.older.0,
            self.newer.0,
            self.made,
            self.live,
            self.next_place,
            0,
            0,
            0,
        ])
    }
}
