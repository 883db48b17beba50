//! Page maps: which frame holds each page of the guest's RAM, at one moment.
//!
//! A map is a persistent radix tree with eight entries to a node. Level 0 nodes hold frames, the others hold nodes
//! of the level below; 0 is a page (or a whole subtree) that was never touched and reads as zeros. A level 2 node
//! spans a 2 MiB block.
//!
//! ```text
//! level 2 (512 pages)        [ a b . . . . . . ]          a map is the id of its root;
//!                              |  \                        two maps that share a node agree on its pages
//! level 1 (64 pages)   [ c . . . ]  [ run: frames 4096.. ]
//!                        |
//! level 0 (8 pages)    [ f7 f8 . f12 ... ]
//! ```
//!
//! A **run** is the short form of a node whose pages lie in consecutive frames: a tag and the first frame. A node that is no run is *plain*.
//! RAM starts as runs of a block. A run is expanded, one level at a time, when the way to a changed page leads through it. That changes the
//! node's form and no page, so it is done in place even when several maps share the node.
//!
//! [`set_in_leaf`](FrameStore::set_in_leaf), in [`change`](super::change), changes a map. A node with one holder changes in place; any other
//! node is copied first, and each of its children gets one more holder. So what a map that a snapshot holds says never changes, and a change costs the
//! nodes on the way from the root, once between two snapshots. At a first store, a frame may be replaced by one with the same contents in a
//! leaf, whoever shares it ([`place`](super::place)).

use super::backend::{Backend, Page};
use super::frames::{Frame, Frames};
use super::layout::{FANOUT, FANOUT_BITS, Node, NodeId};
use super::nodes::{self, FREED_AT_A_TIME, Nodes};
use super::work::Work;

/// The level whose nodes span a block.
pub(super) const BLOCK_LEVEL: u32 = 2;
/// A node's first entry if the node is a run; the second entry is then the first frame. No frame and no node has this number.
pub(super) const RUN_TAG: u32 = 1;

/// Pages that a node of `level` spans.
pub(super) const fn span(level: u32) -> u32 {
    1 << (FANOUT_BITS * (level + 1))
}

/// Index of the entry for `page` in a node of `level`.
pub(super) const fn entry_index(page: Page, level: u32) -> usize {
    (page >> (FANOUT_BITS * level)) as usize % FANOUT
}

/// Level of the root of a map of `pages` pages: the smallest that spans them all, and no less than a block.
pub fn root_level(pages: u32) -> u32 {
    let mut level = BLOCK_LEVEL;
    while u64::from(span(level)) < u64::from(pages) {
        level += 1;
    }
    level
}

/// How many nodes a map of `pages` pages can have at the most.
pub fn max_nodes(pages: u32) -> u32 {
    (0..=root_level(pages))
        .map(|level| pages.div_ceil(span(level)))
        .sum()
}

/// The node that says: a run of frames from `first` on.
pub(super) fn run_node(first: Frame) -> Node {
    Node([RUN_TAG, first.0, 0, 0, 0, 0, 0, 0])
}

/// The first frame of the run, if `node` is a run.
pub(super) fn run_start(node: &Node) -> Option<Frame> {
    (node.0[0] == RUN_TAG).then_some(Frame(node.0[1]))
}

/// A VM's share of memory: its frames, and the nodes in them. Page maps live here; each is the id of its root, and all have the same level.
pub struct FrameStore {
    /// The frames and how many holders each has.
    pub frames: Frames,
    /// The allocator of nodes.
    pub nodes: Nodes,
    /// What a restore still remaps at once.
    pub work: Work,
}

impl FrameStore {
    /// The frame of `page` in the map `root`, whose root is of `level`; `None` if the map has none.
    #[inline(never)]
    pub fn frame_of<B: Backend>(
        &self,
        b: &B,
        root: NodeId,
        level: u32,
        page: Page,
    ) -> Option<Frame> {
        let mut node = root;
        for level in (0..=level).rev() {
            if node.is_none() {
                return None;
            }
            let words = nodes::read(b, node);
            if let Some(first) = run_start(words) {
                return Some(Frame(first.0 + page % span(level)));
            }
            node = NodeId(words.0[entry_index(page, level)]);
        }
        Frame::from_entry(node.0)
    }

    /// Takes a holder from the map `root`. What has no holder then waits to be freed.
    pub fn unhold_map<B: Backend>(&mut self, b: &mut B, root: NodeId, level: u32) {
        if !root.is_none() {
            self.nodes.unhold(b, root, level);
        }
    }

    /// The same, and frees what has no holder then at once, as far as it is little.
    pub fn drop_map<B: Backend>(&mut self, b: &mut B, root: NodeId, level: u32) {
        let (nodes, frames) = (&mut self.nodes, &mut self.frames);
        // What waited before is left to who needs memory.
        let is_first = nodes.waiting.is_empty();
        if !root.is_none() {
            nodes.unhold(b, root, level);
        }
        if is_first && !nodes.waiting.is_empty() {
            nodes.free_waiting(b, frames, FREED_AT_A_TIME);
        }
    }

    /// Whether the map `root` has `page` in a run that no other map has.
    pub fn is_exclusive_run<B: Backend>(
        &self,
        b: &B,
        root: NodeId,
        level: u32,
        page: Page,
    ) -> bool {
        let mut node = root;
        for level in (0..=level).rev() {
            if node.is_none() || nodes::holders(b, node) > 1 {
                return false;
            }
            let words = nodes::read(b, node);
            if run_start(words).is_some() {
                return true;
            }
            node = NodeId(words.0[entry_index(page, level)]);
        }
        false
    }
}
