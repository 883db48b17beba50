//! Records: what is known of a snapshot and of a pool, as plain structs, and how they lie in bookkeeping memory.

use super::frames::Frame;
use super::layout::{FRAME_BITS, NODES_PER_FRAME, Node, NodeId};
use super::nodes;
use super::seam::{Machine, Moment, StateSize};
use core::ops::Range;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Nodes of a frame that a snapshot's record takes, in front of the first part of its saved state.
const RECORD_NODES: usize = size_of::<Record>().div_ceil(size_of::<Node>());
const _: () = assert!(RECORD_NODES + StateSize::NODES_MAX <= NODES_PER_FRAME);

const ALIGNED: &str = "nodes are aligned as records are, and a place has room for one";

/// Where a snapshot's record lies, and behind it the first part of its saved state: a frame, and the first node there. As a number: frame
/// times 128 plus node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The frame.
    pub frame: Frame,
    /// The record's first node.
    pub node: usize,
}

impl Place {
    /// Snapshots that share a frame.
    pub fn sharing(state: StateSize) -> u32 {
        (NODES_PER_FRAME / (RECORD_NODES + state.nodes)) as u32
    }

    /// The next place in the same frame.
    pub fn next(self, state: StateSize) -> Option<Self> {
        let node = self.node + RECORD_NODES + state.nodes;
        let next = Self { node, ..self };
        (next.state(state).end <= NODES_PER_FRAME).then_some(next)
    }

    /// As a number that is never 0.
    pub fn to_entry(self) -> u32 {
        self.frame.0 << FRAME_BITS | self.node as u32
    }

    /// Out of [`to_entry`](Self::to_entry).
    pub fn from_entry(entry: u32) -> Self {
        Self {
            frame: Frame(entry >> FRAME_BITS),
            node: (entry % NODES_PER_FRAME as u32) as usize,
        }
    }

    /// The nodes of the first part of the saved state.
    pub fn state(self, state: StateSize) -> Range<usize> {
        let start = self.node + RECORD_NODES;
        start..start + state.nodes
    }
}

/// What is known of a snapshot.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Record {
    /// The snapshot that the VM ran on when this one was taken.
    pub parent: StoredId,
    /// When it was taken.
    pub taken: Moment,
    /// Its page map.
    pub root: NodeId,
    /// Its pool.
    pub pool: NodeId,
    /// Pages of the VM that were present.
    pub present: u32,
    /// The frames of the other parts of its saved state, as many as there are.
    pub more: MoreFrames,
}

/// A frame for each part of a saved state but the first.
pub type MoreFrames = [Frame; StateSize::PARTS_MAX - 1];

/// An id or none, as 64 bits.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct StoredId(u64);

impl StoredId {
    const NONE: Self = Self(u64::MAX);

    /// The id, if there is one.
    pub fn get(self) -> Option<u64> {
        (self.0 != Self::NONE.0).then_some(self.0)
    }
}

impl From<Option<u64>> for StoredId {
    fn from(id: Option<u64>) -> Self {
        id.map_or(Self::NONE, Self)
    }
}

impl Record {
    /// Reads the record at `place`.
    pub fn read<M: Machine>(m: &M, place: Place) -> Self {
        let nodes = &m.bookkeeping(place.frame)[place.node..];
        let (record, _) = Self::ref_from_prefix(nodes.as_bytes()).expect(ALIGNED);
        *record
    }

    /// Writes the record at `place`.
    pub fn write<M: Machine>(&self, m: &mut M, place: Place) {
        let nodes = &mut m.bookkeeping_mut(place.frame)[place.node..];
        let (record, _) = Self::mut_from_prefix(nodes.as_mut_bytes()).expect(ALIGNED);
        *record = *self;
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
