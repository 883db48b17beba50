//! How bookkeeping memory is laid out: frames of [`NODES_PER_FRAME`] nodes, nodes of [`FANOUT`] words of 32 bits. Words are numbered through
//! all frames.

use super::frames::Frame;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// log2 of [`FANOUT`].
pub const FANOUT_BITS: u32 = 3;
/// Entries of a node.
pub const FANOUT: usize = 1 << FANOUT_BITS;
/// log2 of [`NODES_PER_FRAME`].
pub const FRAME_BITS: u32 = 7;
/// Levels of the largest map: frames have numbers below [`MAX_FRAMES`](super::MAX_FRAMES).
pub const MAX_LEVELS: usize = 8;
/// Nodes of a frame.
pub const NODES_PER_FRAME: usize = 1 << FRAME_BITS;
/// log2 of the words of a frame.
const WORD_BITS: u32 = FRAME_BITS + FANOUT_BITS;

/// A frame that serves as bookkeeping memory.
pub type Bookkeeping = [Node; NODES_PER_FRAME];

const _: () = assert!(size_of::<Bookkeeping>() as u64 == crate::addr::PAGE_SIZE);

/// What a node holds. Its alignment lets it be copied in few instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(16))]
pub struct Node(pub [u32; FANOUT]);

impl Node {
    /// All words 0.
    pub const EMPTY: Self = Self([0; FANOUT]);

    /// Whether all words are 0.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        let [a, b, c, d] = self.pairs();
        a | b | c | d == 0
    }

    /// Two words each, the first in the low half.
    #[inline(always)]
    pub fn pairs(&self) -> [u64; FANOUT / 2] {
        zerocopy::transmute!(self.0)
    }
}

/// Calls `f` with index, old word and new word where two words differ from two others: number `i` and the one behind it. Most words of two nodes are
/// equal: by pairs they are compared twice as fast.
#[inline(always)]
pub fn each_difference_of_pair(i: usize, old: u64, new: u64, mut f: impl FnMut(usize, u32, u32)) {
    if old == new {
        return;
    }
    if old as u32 != new as u32 {
        f(i, old as u32, new as u32);
    }
    if old >> 32 != new >> 32 {
        f(i + 1, (old >> 32) as u32, (new >> 32) as u32);
    }
}

/// Names a node by the number of the word that counts its holders: frame times 1024, plus the node's index in its frame. 0 says "none".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct NodeId(pub u32);

impl NodeId {
    /// No node.
    pub const NONE: Self = Self(0);

    /// The node at `index` of `frame`; only the low bits of `index` count.
    #[inline]
    pub fn new(frame: Frame, index: u32) -> Self {
        Self(frame.0 << WORD_BITS | index & (NODES_PER_FRAME as u32 - 1))
    }

    /// Whether it is no node.
    #[inline]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The frame that the node lies in.
    #[inline]
    pub fn frame(self) -> Frame {
        Frame(self.0 >> WORD_BITS)
    }

    /// The node's index in its frame.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize % NODES_PER_FRAME
    }

    /// The number of the word that is the node's entry `i`.
    #[inline]
    pub fn entry_word(self, i: usize) -> u32 {
        self.frame().0 << WORD_BITS | (self.index() << FANOUT_BITS) as u32 | i as u32
    }
}
