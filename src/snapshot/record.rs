//! Records: what is known of a snapshot and of a pool, as plain structs, and how they lie in bookkeeping memory.

use super::backend::{Backend, Moment, StateSize};
use super::frames::Frame;
use super::layout::{FRAME_BITS, NODES_PER_FRAME, Node, NodeId};
use super::nodes;
use core::ops::Range;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Nodes of a frame that a snapshot's record takes, in front of the first part of its saved state.
const RECORD_NODES: usize = size_of::<Record>().div_ceil(size_of::<Node>());
const _: () = assert!(RECORD_NODES + StateSize::NODES_MAX <= NODES_PER_FRAME);

const ALIGNED: &str = "nodes are aligned as records are, and a record's address leaves room for it";

/// Where a snapshot's record lies; the first part of the snapshot's saved state follows it. As a number: frame times
/// [`NODES_PER_FRAME`] plus node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordAddr {
    /// The frame that the record lies in.
    pub frame: Frame,
    /// Index in the frame of the record's first node.
    pub node: usize,
}

impl RecordAddr {
    /// How many records with saved states of that size fit in a frame.
    pub fn snapshots_per_frame(state: StateSize) -> u32 {
        (NODES_PER_FRAME / (RECORD_NODES + state.nodes)) as u32
    }

    /// The address behind this record and its state; `None` if the frame has no room for one more of them.
    pub fn next_in_frame(self, state: StateSize) -> Option<Self> {
        let node = self.node + RECORD_NODES + state.nodes;
        let next = Self { node, ..self };
        (next.state_nodes(state).end <= NODES_PER_FRAME).then_some(next)
    }

    /// The address as a number, which is never 0.
    pub fn to_entry(self) -> u32 {
        self.frame.0 << FRAME_BITS | self.node as u32
    }

    /// The address that [`to_entry`](Self::to_entry) made a number of.
    pub fn from_entry(entry: u32) -> Self {
        Self {
            frame: Frame(entry >> FRAME_BITS),
            node: (entry % NODES_PER_FRAME as u32) as usize,
        }
    }

    /// Indices in the frame of the nodes that the first part of the saved state takes.
    pub fn state_nodes(self, state: StateSize) -> Range<usize> {
        let start = self.node + RECORD_NODES;
        start..start + state.nodes
    }
}

/// What bookkeeping memory keeps of a snapshot, in front of its saved state.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Record {
    /// The snapshot that the VM ran on when this one was taken.
    pub parent: StoredId,
    /// When the snapshot was taken.
    pub taken: Moment,
    /// Root of its page map.
    pub root: NodeId,
    /// Node of its pool.
    pub pool: NodeId,
    /// Pages of the VM's RAM that were not absent.
    pub present: u32,
    /// The frames of the other parts of its saved state; those past [`StateSize::parts`] mean nothing.
    pub part_frames: PartFrames,
}

/// A frame for each part of a saved state but the first.
pub type PartFrames = [Frame; StateSize::PARTS_MAX - 1];

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
    /// Reads the record at `addr`.
    pub fn read<B: Backend>(b: &B, addr: RecordAddr) -> Self {
        let nodes = &b.bookkeeping(addr.frame)[addr.node..];
        let (record, _) = Self::ref_from_prefix(nodes.as_bytes()).expect(ALIGNED);
        *record
    }

    /// Writes the record at `addr`.
    pub fn write<B: Backend>(&self, b: &mut B, addr: RecordAddr) {
        let nodes = &mut b.bookkeeping_mut(addr.frame)[addr.node..];
        let (record, _) = Self::mut_from_prefix(nodes.as_mut_bytes()).expect(ALIGNED);
        *record = *self;
    }
}

/// What bookkeeping memory keeps of a pool: one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The next older pool.
    pub older: NodeId,
    /// The next newer pool.
    pub newer: NodeId,
    /// Snapshots ever made in it. The place of one that is deleted is not used again.
    pub made: u32,
    /// Snapshots of it that exist.
    pub live: u32,
    /// Where the next snapshot's record goes, in a frame that the pool has already, as [`RecordAddr::to_entry`] has it; 0: it needs a new frame.
    pub next_record: u32,
    /// An id that is above those of its snapshots, and not above those of a newer pool's.
    pub end: u64,
}

impl Pool {
    /// Reads the pool in `node`.
    pub fn read<B: Backend>(b: &B, node: NodeId) -> Self {
        let w = &nodes::read(b, node).0;
        Self {
            older: NodeId(w[0]),
            newer: NodeId(w[1]),
            made: w[2],
            live: w[3],
            next_record: w[4],
            end: u64::from(w[5]) | u64::from(w[6]) << 32,
        }
    }

    /// The pool as a node.
    pub fn to_node(self) -> Node {
        Node([
            self.older.0,
            self.newer.0,
            self.made,
            self.live,
            self.next_record,
            self.end as u32,
            (self.end >> 32) as u32,
            0,
        ])
    }
}
