//! The allocator of nodes, and the counts of their holders. A node ([`Node`]) is the one kind of small object that all bookkeeping is made of.
//!
//! Nodes live in frames of the VM's own share, 112 to a frame (a *slab*). So what a guest's snapshots need is counted against that guest,
//! and is free for that guest again when they are deleted:
//!
//! ```text
//! node 0                        | 1       | 2 .. 15                   | 16            128
//!    free fresh used prev next  | unused  | 112 counts, slot by slot  |  112 nodes ...
//! ```

use super::backend::Backend;
use super::frames::{Frame, Frames, NoMemory};
use super::layout::{Bookkeeping, FANOUT, MAX_LEVELS, NODES_PER_FRAME, Node, NodeId};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Nodes that a slab has room for.
pub const NODES_PER_SLAB: u32 = NODES_PER_FRAME as u32 - FIRST_SLOT;

/// Index in the frame of a slab's first node. The space below it holds the slab's own fields and the counts.
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
/// Neighbours in the list of partial slabs.
const PREV: usize = 3;
const NEXT: usize = 4;

/// The first of the last [`FANOUT`] slots.
const LAST_ROW: u32 = (NODES_PER_FRAME - FANOUT) as u32;

/// Nodes that are freed at a time, with eight frames each: some 30,000 instructions at the most.
pub(super) const FREED_AT_A_TIME: u32 = 64;

/// The nodes that wait, by level.
pub(super) struct Waiting {
    /// The first of each level's list.
    pub(super) first: [NodeId; MAX_LEVELS],
    /// A bit for each level of which a node waits.
    pub(super) levels: u32,
}

impl Waiting {
    /// None waits.
    pub(super) const fn new() -> Self {
        Self {
            first: [NodeId::NONE; MAX_LEVELS],
            levels: 0,
        }
    }

    /// Whether none waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.levels == 0
    }

    /// `node`, of `level`, has no holder any more.
    #[inline]
    pub(super) fn push<B: Backend>(&mut self, b: &mut B, node: NodeId, level: u32) {
        let first = &mut self.first[level as usize];
        *b.word_mut(node.0) = first.0;
        *first = node;
        self.levels |= 1 << level;
    }

    /// From here on `first` is the list of `level`.
    #[inline]
    pub(super) fn set(&mut self, level: u32, first: NodeId) {
        self.first[level as usize] = first;
        self.levels = self.levels & !(1 << level) | u32::from(!first.is_none()) << level;
    }
}

/// All nodes of a VM.
pub struct Nodes {
    /// Frame of the first partial slab, which has nodes that are not in use; 0: there is none.
    first_partial: u32,
    /// Frames that are slabs.
    slabs: u32,
    /// Those that are to be freed.
    pub(super) waiting: Waiting,
}

impl Nodes {
    /// No nodes yet.
    pub const fn new() -> Self {
        Self {
            first_partial: 0,
            slabs: 0,
            waiting: Waiting::new(),
        }
    }

    /// Frames that are slabs.
    pub fn slabs(&self) -> u32 {
        self.slabs
    }

    /// A new node with one holder and the contents `node`. Fails if that takes a new slab and no frame is free.
    #[inline(never)]
    pub fn alloc<B: Backend>(
        &mut self,
        b: &mut B,
        frames: &mut Frames,
        node: &Node,
    ) -> Result<NodeId, NoMemory> {
        self.reserve(b, frames)?;
        Ok(self.alloc_reserved(b, node))
    }

    /// Whether the next node is there without a new slab.
    #[inline]
    pub fn has_free_node(&self) -> bool {
        self.first_partial != 0
    }

    /// Makes sure that [`alloc_reserved`](Self::alloc_reserved) finds a node: adds a slab if none is partial.
    #[inline]
    pub fn reserve<B: Backend>(&mut self, b: &mut B, frames: &mut Frames) -> Result<(), NoMemory> {
        if self.first_partial == 0 {
            self.make_partial(b, frames)
        } else {
            Ok(())
        }
    }

    /// As [`alloc`](Self::alloc), but cannot fail. [`reserve`](Self::reserve) comes before each call.
    #[inline]
    pub fn alloc_reserved<B: Backend>(&mut self, b: &mut B, node: &Node) -> NodeId {
        let slab = b.bookkeeping_mut(Frame(self.first_partial));
        let fields = words_mut(slab);
        let free = fields[FREE];
        let slot = if free != 0 {
            free
        } else {
            fields[FRESH] += 1;
            fields[FRESH] - 1
        };
        let id = NodeId::new(Frame(self.first_partial), slot);
        fields[USED] += 1;
        let (used, next) = (fields[USED], fields[NEXT]);
        if free != 0 {
            words_mut(slab)[FREE] = slab[id.index()].0[0];
        }
        words_mut(slab)[id.index()] = 1;
        slab[id.index()] = *node;
        if used == NODES_PER_SLAB {
            self.first_partial = next;
            if next != 0 {
                words_mut(b.bookkeeping_mut(Frame(next)))[PREV] = 0;
            }
        }
        id
    }

    /// As many new nodes as a node has entries, each with one holder; the contents of number `i` are `contents(i)`. Returns their ids, as a
    /// parent's entries. Fails, and allocates none, if no frame is free for a new slab.
    #[inline(always)]
    pub fn alloc_all<B: Backend>(
        &mut self,
        b: &mut B,
        frames: &mut Frames,
        contents: impl Fn(usize) -> Node,
    ) -> Result<[u32; FANOUT], NoMemory> {
        let mut ids = [0; FANOUT];
        self.reserve(b, frames)?;
        let slab = b.bookkeeping_mut(Frame(self.first_partial));
        let fields = words_mut(slab);
        let fresh = fields[FRESH];
        // The usual case: the slab has that many nodes in a row that were never used, and one more: it does not become full.
        if fresh < LAST_ROW {
            fields[FRESH] += FANOUT as u32;
            fields[USED] += FANOUT as u32;
            for (i, entry) in ids.iter_mut().enumerate() {
                let id = NodeId::new(Frame(self.first_partial), fresh + i as u32);
                words_mut(slab)[id.index()] = 1;
                slab[id.index()] = contents(i);
                *entry = id.0;
            }
            return Ok(ids);
        }
        for i in 0..FANOUT {
            if let Err(error) = self.reserve(b, frames) {
                for &id in &ids[..i] {
                    self.free(b, frames, NodeId(id));
                }
                return Err(error);
            }
            ids[i] = self.alloc_reserved(b, &contents(i)).0;
        }
        Ok(ids)
    }

    /// Has a slab that has nodes which are not in use. All slabs are full: a node that waits makes room in one of them, and a new one is added only if
    /// none does.
    #[cold]
    fn make_partial<B: Backend>(&mut self, b: &mut B, frames: &mut Frames) -> Result<(), NoMemory> {
        if !self.waiting.is_empty() && self.free_waiting(b, frames, 1) == 0 {
            return Ok(());
        }
        let frame = frames.alloc()?;
        let fields = words_mut(b.bookkeeping_mut(frame));
        [fields[FREE], fields[FRESH], fields[USED]] = [0, FIRST_SLOT, 0];
        [fields[PREV], fields[NEXT]] = [0, 0];
        self.first_partial = frame.0;
        self.slabs += 1;
        Ok(())
    }

    /// Frees a node whose last holder went. The last node of a slab frees the slab's frame.
    #[inline(never)]
    pub fn free<B: Backend>(&mut self, b: &mut B, frames: &mut Frames, id: NodeId) {
        self.free_in_line(b, frames, id);
    }

    /// The same, where many are freed.
    #[inline(always)]
    pub(super) fn free_in_line<B: Backend>(&mut self, b: &mut B, frames: &mut Frames, id: NodeId) {
        let frame = id.frame();
        let slab = b.bookkeeping_mut(frame);
        slab[id.index()].0[0] = words(slab)[FREE];
        let fields = words_mut(slab);
        fields[FREE] = id.index() as u32;
        fields[USED] -= 1;
        let used = fields[USED];
        // Most of the time the slab neither becomes empty nor was full: one comparison.
        if (1..NODES_PER_SLAB - 1).contains(&used) {
            return;
        }
        if used == 0 {
            self.unlink(b, frame);
            self.slabs -= 1;
            frames.free(frame);
        } else {
            [fields[PREV], fields[NEXT]] = [0, self.first_partial];
            if self.first_partial != 0 {
                words_mut(b.bookkeeping_mut(Frame(self.first_partial)))[PREV] = frame.0;
            }
            self.first_partial = frame.0;
        }
    }

    fn unlink<B: Backend>(&mut self, b: &mut B, frame: Frame) {
        let fields = words(b.bookkeeping(frame));
        let (prev, next) = (fields[PREV], fields[NEXT]);
        match prev {
            0 => self.first_partial = next,
            prev => words_mut(b.bookkeeping_mut(Frame(prev)))[NEXT] = next,
        }
        if next != 0 {
            words_mut(b.bookkeeping_mut(Frame(next)))[PREV] = prev;
        }
    }
}

/// The node's words.
#[inline]
pub fn read<B: Backend>(b: &B, id: NodeId) -> &Node {
    b.node(id.entry_word(0))
}

/// The node's words, to change.
#[inline]
pub fn write<B: Backend>(b: &mut B, id: NodeId) -> &mut Node {
    b.node_mut(id.entry_word(0))
}

/// How many holders the node has: maps, parents, and records.
#[inline]
pub fn holders<B: Backend>(b: &B, id: NodeId) -> u32 {
    b.word(id.0)
}

/// Adds a holder to the node.
#[inline]
pub fn hold<B: Backend>(b: &mut B, id: NodeId) {
    *b.word_mut(id.0) += 1;
}

/// Takes a holder from the node; returns how many are left. The caller frees the node if that is 0.
#[inline]
pub fn unhold<B: Backend>(b: &mut B, id: NodeId) -> u32 {
    let holders = b.word_mut(id.0);
    *holders -= 1;
    *holders
}
