//! Nodes: the one kind of small object that all bookkeeping is made of; eight 32-bit words and, beside them, a count of their holders.
//!
//! They live in frames of the VM's own share, 113 to a frame (a *slab*), so that what a guest's snapshots need is
//! counted against that guest and nobody else, and comes back to it when they go:
//!
//! ```text
//! word 0            113   114   115   116   120                            1024
//!      | 113 counts | free fresh used prev next | 113 nodes of 8 words ...    |
//! ```

use super::frames::{Frame, Frames, NoMemory};
use super::seam::Machine;

/// Nodes in a slab.
pub const NODES_PER_SLAB: u32 = 113;

const NODE_WORDS: usize = 8;
const FIRST_SLOT: u32 = 128 - NODES_PER_SLAB;
/// Head of the list of given-back slots, linked through their first words; 0: none.
const FREE: usize = 113;
/// The next slot that was never used; 128: none.
const FRESH: usize = 114;
/// Slots in use.
const USED: usize = 115;
/// Neighbours in the list of slabs with room.
const PREV: usize = 116;
const NEXT: usize = 117;

/// What a node holds.
pub type Node = [u32; NODE_WORDS];

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

    fn words(self) -> usize {
        self.slot() as usize * NODE_WORDS
    }

    fn count(self) -> usize {
        ((self.slot() - FIRST_SLOT) & 127) as usize
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
        let slab = m.words_mut(Frame(self.room));
        let slot = if slab[FREE] != 0 {
            let slot = slab[FREE] & 127;
            slab[FREE] = slab[slot as usize * NODE_WORDS];
            slot
        } else {
            slab[FRESH] += 1;
            (slab[FRESH] - 1) & 127
        };
        let id = NodeId(self.room << 7 | slot);
        slab[id.count()] = 1;
        slab[id.words()..][..NODE_WORDS].copy_from_slice(node);
        slab[USED] += 1;
        if slab[USED] == NODES_PER_SLAB {
            self.room = slab[NEXT];
            if self.room != 0 {
                m.words_mut(Frame(self.room))[PREV] = 0;
            }
        }
        Ok(id)
    }

    fn add_slab<M: Machine>(&mut self, m: &mut M, frames: &mut Frames) -> Result<(), NoMemory> {
        let frame = frames.alloc()?;
        let slab = m.words_mut(frame);
        slab[FREE] = 0;
        slab[FRESH] = FIRST_SLOT;
        slab[USED] = 0;
        slab[PREV] = 0;
        slab[NEXT] = 0;
        self.room = frame.0;
        self.slabs += 1;
        Ok(())
    }

    /// Gives a node back that nobody holds any more.
    pub fn release<M: Machine>(&mut self, m: &mut M, frames: &mut Frames, id: NodeId) {
        let frame = id.frame();
        let slab = m.words_mut(frame);
        slab[id.words()] = slab[FREE];
        slab[FREE] = id.slot();
        slab[USED] -= 1;
        match slab[USED] {
            0 => {
                self.unlink(m, frame);
                self.slabs -= 1;
                frames.release(frame);
            }
            used if used == NODES_PER_SLAB - 1 => {
                slab[PREV] = 0;
                slab[NEXT] = self.room;
                if self.room != 0 {
                    m.words_mut(Frame(self.room))[PREV] = frame.0;
                }
                self.room = frame.0;
            }
            _ => {}
        }
    }

    fn unlink<M: Machine>(&mut self, m: &mut M, frame: Frame) {
        let slab = m.words(frame);
        let (prev, next) = (slab[PREV], slab[NEXT]);
        match prev {
            0 => self.room = next,
            prev => m.words_mut(Frame(prev))[NEXT] = next,
        }
        if next != 0 {
            m.words_mut(Frame(next))[PREV] = prev;
        }
    }
}

/// A node's words.
#[inline]
pub fn read<M: Machine>(m: &M, id: NodeId) -> &Node {
    let words = m.words(id.frame());
    words[id.words()..][..NODE_WORDS]
        .try_into()
        .expect("a node has eight words")
}

/// A node's words, to change.
#[inline]
pub fn write<M: Machine>(m: &mut M, id: NodeId) -> &mut Node {
    let words = m.words_mut(id.frame());
    (&mut words[id.words()..][..NODE_WORDS])
        .try_into()
        .expect("a node has eight words")
}

/// How many hold the node.
#[inline]
pub fn holders<M: Machine>(m: &M, id: NodeId) -> u32 {
    m.words(id.frame())[id.count()]
}

/// One more holds the node.
#[inline]
pub fn hold<M: Machine>(m: &mut M, id: NodeId) {
    m.words_mut(id.frame())[id.count()] += 1;
}

/// One less holds the node; returns how many are left.
#[inline]
pub fn unhold<M: Machine>(m: &mut M, id: NodeId) -> u32 {
    let holders = &mut m.words_mut(id.frame())[id.count()];
    *holders -= 1;
    *holders
}
