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
use super::layout::{Bookkeeping, FANOUT, NODES_PER_FRAME, Node, NodeId};
use super::seam::Machine;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Nodes in a slab.
pub const NODES_PER_SLAB: u32 = NODES_PER_FRAME as u32 - FIRST_SLOT;

/// What would be the nodes before this one holds the slab's own fields and the counts.
const FIRST_SLOT: u32 = 16;

/// A slab's first nodes as words: its own fields, and from [`FIRST_SLOT`] on the count of each slot.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C, align(16))]
struct Slab {
    words: [u32; NODES_PER_FRAME],
    nodes: [Node; NODES_PER_SLAB as usize],
}

fn words(slab: &Bookkeeping) -> &[u32; NODES_PER_FRAME] {
    let slab: &Slab = zerocopy::transmute_ref!(slab);
    &slab.words
}

fn words_mut(slab: &mut Bookkeeping) -> &mut [u32; NODES_PER_FRAME] {
    let slab: &mut Slab = zerocopy::transmute_mut!(slab);
    &mut slab.words
}

// Words of a slab that are its own fields.
/// Head of the list of given-back slots, linked through their first words; 0: none.
const FREE: usize = 0;
/// The next slot that was never used; [`NODES_PER_FRAME`]: none.
const FRESH: usize = 1;
/// Slots in use.
const USED: usize = 2;
/// Neighbours in the list of slabs with room.
const PREV: usize = 3;
const NEXT: usize = 4;

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
        self.make_room(m, frames)?;
        Ok(self.alloc_in_room(m, node))
    }

    /// Whether the next node can be had.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.room != 0
    }

    /// Sees to it that the next node can be had.
    #[inline]
    pub fn make_room<M: Machine>(
        &mut self,
        m: &mut M,
        frames: &mut Frames,
    ) -> Result<(), NoMemory> {
        if self.room == 0 {
            self.add_slab(m, frames)
        } else {
            Ok(())
        }
    }

    /// The same as [`alloc`](Self::alloc), after [`make_room`](Self::make_room).
    #[inline]
    pub fn alloc_in_room<M: Machine>(&mut self, m: &mut M, node: &Node) -> NodeId {
        let slab = m.bookkeeping_mut(Frame(self.room));
        let fields = words_mut(slab);
        let free = fields[FREE];
        let slot = if free != 0 {
            free
        } else {
            fields[FRESH] += 1;
            fields[FRESH] - 1
        };
        let id = NodeId::new(Frame(self.room), slot);
        fields[USED] += 1;
        let (used, next) = (fields[USED], fields[NEXT]);
        if free != 0 {
            words_mut(slab)[FREE] = slab[id.index()].0[0];
        }
        words_mut(slab)[id.index()] = 1;
        slab[id.index()] = *node;
        if used == NODES_PER_SLAB {
            self.room = next;
            if next != 0 {
                words_mut(m.bookkeeping_mut(Frame(next)))[PREV] = 0;
            }
        }
        id
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
        let fields = words_mut(slab);
        let fresh = fields[FRESH];
        // The usual case: that many were never used, in a row, and the slab does not become full.
        if fresh + FANOUT as u32 <= NODES_PER_FRAME as u32
            && fields[USED] + (FANOUT as u32) < NODES_PER_SLAB
        {
            fields[FRESH] += FANOUT as u32;
            fields[USED] += FANOUT as u32;
            for (i, node) in contents.iter().enumerate() {
                let id = NodeId::new(Frame(self.room), fresh + i as u32);
                words_mut(slab)[id.index()] = 1;
                slab[id.index()] = *node;
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

    #[cold]
    fn add_slab<M: Machine>(&mut self, m: &mut M, frames: &mut Frames) -> Result<(), NoMemory> {
        let frame = frames.alloc()?;
        let fields = words_mut(m.bookkeeping_mut(frame));
        [fields[FREE], fields[FRESH], fields[USED]] = [0, FIRST_SLOT, 0];
        [fields[PREV], fields[NEXT]] = [0, 0];
        self.room = frame.0;
        self.slabs += 1;
        Ok(())
    }

    /// Gives a node back that nobody holds any more.
    #[inline]
    pub fn release<M: Machine>(&mut self, m: &mut M, frames: &mut Frames, id: NodeId) {
        let frame = id.frame();
        let slab = m.bookkeeping_mut(frame);
        slab[id.index()].0[0] = words(slab)[FREE];
        let fields = words_mut(slab);
        fields[FREE] = id.index() as u32;
        fields[USED] -= 1;
        let used = fields[USED];
        // Most of the time, neither: one comparison.
        if (1..NODES_PER_SLAB - 1).contains(&used) {
            return;
        }
        if used == 0 {
            self.unlink(m, frame);
            self.slabs -= 1;
            frames.release(frame);
        } else {
            [fields[PREV], fields[NEXT]] = [0, self.room];
            if self.room != 0 {
                words_mut(m.bookkeeping_mut(Frame(self.room)))[PREV] = frame.0;
            }
            self.room = frame.0;
        }
    }

    fn unlink<M: Machine>(&mut self, m: &mut M, frame: Frame) {
        let fields = words(m.bookkeeping(frame));
        let (prev, next) = (fields[PREV], fields[NEXT]);
        match prev {
            0 => self.room = next,
            prev => words_mut(m.bookkeeping_mut(Frame(prev)))[NEXT] = next,
        }
        if next != 0 {
            words_mut(m.bookkeeping_mut(Frame(next)))[PREV] = prev;
        }
    }
}

/// A node's words.
#[inline]
pub fn read<M: Machine>(m: &M, id: NodeId) -> &Node {
    &m.bookkeeping(id.frame())[id.index()]
}

/// A node's words, to change.
#[inline]
pub fn write<M: Machine>(m: &mut M, id: NodeId) -> &mut Node {
    &mut m.bookkeeping_mut(id.frame())[id.index()]
}

/// How many hold the node.
#[inline]
pub fn holders<M: Machine>(m: &M, id: NodeId) -> u32 {
    m.word(id.0)
}

/// One more holds the node.
#[inline]
pub fn hold<M: Machine>(m: &mut M, id: NodeId) {
    *m.word_mut(id.0) += 1;
}

/// One less holds the node; returns how many are left.
#[inline]
pub fn unhold<M: Machine>(m: &mut M, id: NodeId) -> u32 {
    let holders = m.word_mut(id.0);
    *holders -= 1;
    *holders
}
