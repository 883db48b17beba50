//! Nodes: the one kind of small object that all bookkeeping is made of; eight 32-bit words and, beside them, a count of their holders.
//!
//! They live in frames of the VM's own share, 112 to a frame (a *slab*), so that what a guest's snapshots need is
//! counted against that guest and nobody else, and comes back to it when they go:
//!
//! ```text
//! node 0                        | 1       | 2 .. 15                   | 16            128
//!    free fresh used prev next  | unused  | 112 counts, slot by slot  |  112 nodes ...
//! ```

use super::frames::{Frame, Frames, NoMemory};
use super::seam::{Bookkeeping, Machine};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Nodes in a slab.
pub const NODES_PER_SLAB: u32 = 128 - FIRST_SLOT;
/// Entries of a node.
pub const FANOUT: usize = 8;

/// Slots before this one hold the counts and the slab's own fields. The count of slot `n` is word `n` of the slab.
const FIRST_SLOT: u32 = 16;
/// The node of a slab that has its own fields; their words are:
const FIELDS: usize = 0;
/// Head of the list of given-back slots, linked through their first words; 0: none.
const FREE: usize = 0;
/// The next slot that was never used; 128: none.
const FRESH: usize = 1;
/// Slots in use.
const USED: usize = 2;
/// Neighbours in the list of slabs with room.
const PREV: usize = 3;
const NEXT: usize = 4;

/// What a node holds. Its alignment lets it be copied in few instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(32))]
pub struct Node(pub [u32; FANOUT]);

impl Node {
    /// All words 0.
    pub const EMPTY: Self = Self([0; FANOUT]);
}

/// Names a node: frame number times 128 plus the slot in it. 0 says "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeId(pub u32);

impl NodeId {
    /// No node.
    pub const NONE: Self = Self(0);

    /// Whether it is no node.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    fn frame(self) -> Frame {
        Frame(self.0 >> 7)
    }

    fn slot(self) -> u32 {
        self.0 & 127
    }

    fn place(self) -> usize {
        self.slot() as usize
    }

    /// The word that counts its holders.
    fn count(self) -> (usize, usize) {
        (self.place() / FANOUT, self.place() % FANOUT)
    }
}

/// All nodes of a VM.
pub struct Nodes {
    /// First slab with room; 0: none.
    room: u32,
    /// Frames that are slabs.
    slabs: u32,
}

impl Nodes {
    /// No nodes yet.
    pub const fn new() -> Self {
        Self { room: 0, slabs: 0 }
    }

    /// Frames that nodes take.
    pub fn slabs(&self) -> u32 {
        self.slabs
    }

    /// A node, held once, that contains `node`.
    #[inline]
    pub fn alloc<M: Machine>(
        &mut self,
        m: &mut M,
        frames: &mut Frames,
        node: &Node,
    ) -> Result<NodeId, NoMemory> {
        if self.room == 0 {
            self.add_slab(m, frames)?;
        }
        let slab = m.bookkeeping_mut(Frame(self.room));
        let fields = &mut slab[FIELDS].0;
        let free = fields[FREE];
        let slot = if free != 0 {
            free
        } else {
            fields[FRESH] += 1;
            fields[FRESH] - 1
        };
        let id = NodeId(self.room << 7 | slot & 127);
        fields[USED] += 1;
        let (used, next) = (fields[USED], fields[NEXT]);
        if free != 0 {
            slab[FIELDS].0[FREE] = slab[id.place()].0[0];
        }
        *count_mut(slab, id) = 1;
        slab[id.place()] = *node;
        if used == NODES_PER_SLAB {
            self.room = next;
            if next != 0 {
                m.bookkeeping_mut(Frame(next))[FIELDS].0[PREV] = 0;
            }
        }
        Ok(id)
    }

    /// A node for each of `contents`, held once: what a parent's entries become.
    pub fn alloc_all<M: Machine>(
        &mut self,
        m: &mut M,
        frames: &mut Frames,
        contents: &[Node; FANOUT],
    ) -> Result<[u32; FANOUT], NoMemory> {
        let mut ids = [0; FANOUT];
        if self.room == 0 {
            self.add_slab(m, frames)?;
        }
        let slab = m.bookkeeping_mut(Frame(self.room));
        let fields = &mut slab[FIELDS].0;
        let fresh = fields[FRESH];
        // The usual case: that many were never used, in a row, and the slab does not become full.
        if fresh + FANOUT as u32 <= 128 && fields[USED] + (FANOUT as u32) < NODES_PER_SLAB {
            fields[FRESH] += FANOUT as u32;
            fields[USED] += FANOUT as u32;
            for (i, node) in contents.iter().enumerate() {
                let id = NodeId(self.room << 7 | (fresh + i as u32) & 127);
                *count_mut(slab, id) = 1;
                slab[id.place()] = *node;
                ids[i] = id.0;
            }
            return Ok(ids);
        }
        for i in 0..FANOUT {
            match self.alloc(m, frames, &contents[i]) {
                Ok(id) => ids[i] = id.0,
                Err(error) => {
                    for &id in &ids[..i] {
                        self.release(m, frames, NodeId(id));
                    }
                    return Err(error);
                }
            }
        }
        Ok(ids)
    }

    fn add_slab<M: Machine>(&mut self, m: &mut M, frames: &mut Frames) -> Result<(), NoMemory> {
        let frame = frames.alloc()?;
        let mut fields = Node::EMPTY;
        fields.0[FRESH] = FIRST_SLOT;
        m.bookkeeping_mut(frame)[FIELDS] = fields;
        self.room = frame.0;
        self.slabs += 1;
        Ok(())
    }

    /// Gives a node back that nobody holds any more.
    #[inline]
    pub fn release<M: Machine>(&mut self, m: &mut M, frames: &mut Frames, id: NodeId) {
        let frame = id.frame();
        let slab = m.bookkeeping_mut(frame);
        slab[id.place()].0[0] = slab[FIELDS].0[FREE];
        let fields = &mut slab[FIELDS].0;
        fields[FREE] = id.slot();
        fields[USED] -= 1;
        let used = fields[USED];
        if used == 0 {
            self.unlink(m, frame);
            self.slabs -= 1;
            frames.release(frame);
        } else if used == NODES_PER_SLAB - 1 {
            [fields[PREV], fields[NEXT]] = [0, self.room];
            if self.room != 0 {
                m.bookkeeping_mut(Frame(self.room))[FIELDS].0[PREV] = frame.0;
            }
            self.room = frame.0;
        }
    }

    fn unlink<M: Machine>(&mut self, m: &mut M, frame: Frame) {
        let fields = &m.bookkeeping(frame)[FIELDS].0;
        let (prev, next) = (fields[PREV], fields[NEXT]);
        match prev {
            0 => self.room = next,
            prev => m.bookkeeping_mut(Frame(prev))[FIELDS].0[NEXT] = next,
        }
        if next != 0 {
            m.bookkeeping_mut(Frame(next))[FIELDS].0[PREV] = prev;
        }
    }
}

fn count_mut(slab: &mut Bookkeeping, id: NodeId) -> &mut u32 {
    let (node, word) = id.count();
    &mut slab[node].0[word]
}

/// A node's words.
#[inline]
pub fn read<M: Machine>(m: &M, id: NodeId) -> &Node {
    &m.bookkeeping(id.frame())[id.place()]
}

/// A node's words, to change.
#[inline]
pub fn write<M: Machine>(m: &mut M, id: NodeId) -> &mut Node {
    &mut m.bookkeeping_mut(id.frame())[id.place()]
}

/// How many hold the node.
#[inline]
pub fn holders<M: Machine>(m: &M, id: NodeId) -> u32 {
    let (node, word) = id.count();
    m.bookkeeping(id.frame())[node].0[word]
}

/// One more holds the node.
#[inline]
pub fn hold<M: Machine>(m: &mut M, id: NodeId) {
    *count_mut(m.bookkeeping_mut(id.frame()), id) += 1;
}

/// One less holds the node; returns how many are left.
#[inline]
pub fn unhold<M: Machine>(m: &mut M, id: NodeId) -> u32 {
    let holders = count_mut(m.bookkeeping_mut(id.frame()), id);
    *holders -= 1;
    *holders
}
