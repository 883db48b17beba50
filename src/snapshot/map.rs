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
use super::nodes::{self, Nodes};

/// The level whose nodes span a block.
pub(super) const BLOCK_LEVEL: u32 = 2;
/// A node's first entry if the node is a run; the second entry is then the first frame. No frame and no node has this number.
pub(super) const RUN_TAG: u32 = 1;
/// Levels of the largest map: frames have numbers below [`MAX_FRAMES`](super::MAX_FRAMES).
pub(super) const MAX_LEVELS: usize = 8;

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
}

impl FrameStore {
    /// The frame of `page` in the map `root`, whose root is of `level`; `None` if the map has none.
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

    /// Takes a holder from the map `root`, and frees what has no holder then.
    pub fn unhold_map<B: Backend>(&mut self, b: &mut B, root: NodeId, level: u32) {
        if !root.is_none() && nodes::unhold(b, root) == 0 {
            self.free_subtree(b, root, level);
        }
    }

    /// Frees a node whose last holder went, and all below it that loses its last holder by that. Goes level by level. The nodes of a level
    /// that are to be freed are a list, linked through the words that counted their holders:
    ///
    /// ```text
    /// now -> node a, count word: b -> node b, count word: 0      of this level
    /// below -> ...                                               of the level below, gathered from their entries
    /// ```
    fn free_subtree<B: Backend>(&mut self, b: &mut B, root: NodeId, level: u32) {
        let mut now = root;
        for level in (1..=level).rev() {
            let mut below = NodeId::NONE;
            while !now.is_none() {
                now = self.free_queued(b, now, level, |_, b, children| {
                    below = unhold_children(b, children, below);
                });
            }
            now = below;
        }
        while !now.is_none() {
            now = self.free_queued(b, now, 0, |memory, _, frames| memory.unhold_frames(frames));
        }
    }

    /// Frees `node`, the first of the list, and returns the next one. Its run is freed, or `unhold_entries` takes the holder from its entries.
    #[inline(always)]
    fn free_queued<B: Backend>(
        &mut self,
        b: &mut B,
        node: NodeId,
        level: u32,
        unhold_entries: impl FnOnce(&mut Self, &mut B, &Node),
    ) -> NodeId {
        let next = NodeId(b.word(node.0));
        let entries = *nodes::read(b, node);
        if let Some(first) = run_start(&entries) {
            self.free_run(first, level);
        } else {
            unhold_entries(self, b, &entries);
        }
        self.nodes.free(b, &mut self.frames, node);
        next
    }

    #[inline]
    fn unhold_frames(&mut self, frames: &Node) {
        for i in 0..FANOUT {
            if frames.0[i] != 0 {
                self.frames.unhold(Frame(frames.0[i]));
            }
        }
    }

    fn free_run(&mut self, first: Frame, level: u32) {
        if level == BLOCK_LEVEL {
            return self.frames.free_block(first);
        }
        for frame in first.0..first.0 + span(level) {
            self.frames.free(Frame(frame));
        }
    }

    /// How many pages would be freed if the only holder of `node`, of `level`, went; 0 if it has several holders.
    pub fn exclusive_pages<B: Backend>(&self, b: &B, node: NodeId, level: u32) -> u32 {
        if node.is_none() || nodes::holders(b, node) > 1 {
            return 0;
        }
        let words = nodes::read(b, node);
        if run_start(words).is_some() {
            return span(level);
        }
        let entries = words.0.iter().filter(|&&entry| entry != 0);
        if level == 0 {
            return entries
                .filter(|&&frame| self.frames.holders(Frame(frame)) == 1)
                .count() as u32;
        }
        entries
            .map(|&child| self.exclusive_pages(b, NodeId(child), level - 1))
            .sum()
    }

    /// Whether the map `root`, which the running VM and one snapshot hold, has a frame for `page` that no other map has; if it is in a run,
    /// whether that goes for all of the run.
    pub fn is_exclusive_to_shared_root<B: Backend>(
        &self,
        b: &B,
        root: NodeId,
        level: u32,
        page: Page,
    ) -> bool {
        match self.exclusive_frame(b, root, level, page, 2) {
            Ok(frame) => frame.is_some_and(|frame| self.frames.holders(frame) == 1),
            Err(_) => true,
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
        self.exclusive_frame(b, root, level, page, 1).is_err()
    }

    /// The frame that the map `root` has for `page`, in nodes that no other map has, but for the root, which may have `root_holders` holders; `None`
    /// if there is none, or other maps have those nodes. An error is the run that it is in.
    #[inline]
    fn exclusive_frame<B: Backend>(
        &self,
        b: &B,
        root: NodeId,
        level: u32,
        page: Page,
        root_holders: u32,
    ) -> Result<Option<Frame>, NodeId> {
        let mut node = root;
        let mut allowed = root_holders;
        for level in (0..=level).rev() {
            if node.is_none() || nodes::holders(b, node) > allowed {
                return Ok(None);
            }
            let words = nodes::read(b, node);
            if run_start(words).is_some() {
                return Err(node);
            }
            node = NodeId(words.0[entry_index(page, level)]);
            allowed = 1;
        }
        Ok(Frame::from_entry(node.0))
    }
}

/// Takes a holder from each of `children`. Those whose last holder went are put in front of the list `waiting`, whose new head is returned.
#[inline]
fn unhold_children<B: Backend>(b: &mut B, children: &Node, mut waiting: NodeId) -> NodeId {
    for i in 0..FANOUT {
        let child = NodeId(children.0[i]);
        if !child.is_none() && nodes::unhold(b, child) == 0 {
            *b.word_mut(child.0) = waiting.0;
            waiting = child;
        }
    }
    waiting
}
