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
//! A **run** is the short form of a node whose pages lie in consecutive frames: a flag and the first frame. RAM starts as
//! runs of a block; a run is written out, one level at a time, when the way to a changed page leads through it. That changes its form,
//! not what it says, so it is done in place even when several maps share it.
//!
//! [`set`](Memory::set), in [`change`](super::change), changes a map that one owner holds. Nodes that nobody else holds change in place; any other
//! is copied first, and its children are then held once more. So a map that a snapshot holds never changes, and
//! a change costs the nodes on the way from the root, once between two snapshots.

use super::frames::{Frame, Frames};
use super::layout::{FANOUT, FANOUT_BITS, Node, NodeId};
use super::nodes::{self, Nodes};
use super::seam::{Machine, Page};

/// The level whose nodes span a block.
pub(super) const BLOCK_LEVEL: u32 = 2;
/// As a node's first entry, where it names neither a frame nor a node: the node is a run, whose first frame comes next.
pub(super) const RUN: u32 = 1;
/// Levels of the largest map: frames have numbers below [`MAX_FRAMES`](super::MAX_FRAMES).
pub(super) const MOST_LEVELS: usize = 8;

/// Pages that a node of `level` spans.
pub(super) const fn span(level: u32) -> u32 {
    1 << (FANOUT_BITS * (level + 1))
}

/// Index of the entry for `page` in a node of `level`.
pub(super) const fn index(page: Page, level: u32) -> usize {
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

/// The most nodes that a map of `pages` pages can have.
pub fn most_nodes(pages: u32) -> u32 {
    (0..=root_level(pages))
        .map(|level| pages.div_ceil(span(level)))
        .sum()
}

/// A node written as a run.
pub(super) fn run(first: Frame) -> Node {
    Node([RUN, first.0, 0, 0, 0, 0, 0, 0])
}

pub(super) fn run_start(node: &Node) -> Option<Frame> {
    (node.0[0] == RUN).then_some(Frame(node.0[1]))
}

/// A VM's share of memory: its frames, and the nodes in them.
pub struct Memory {
    /// Who holds each frame.
    pub frames: Frames,
    /// The nodes.
    pub nodes: Nodes,
}

impl Memory {
    /// The frame of `page` in the map `root`.
    pub fn get<M: Machine>(&self, m: &M, root: NodeId, level: u32, page: Page) -> Option<Frame> {
        let mut node = root;
        for level in (0..=level).rev() {
            if node.is_none() {
                return None;
            }
            let words = nodes::read(m, node);
            if let Some(first) = run_start(words) {
                return Some(Frame(first.0 + page % span(level)));
            }
            node = NodeId(words.0[index(page, level)]);
        }
        Frame::from_entry(node.0)
    }

    /// Whether no other map holds the frame of `page` in `root`; nor, if it is a run, any frame of that run.
    pub fn is_exclusive<M: Machine>(&self, m: &M, root: NodeId, level: u32, page: Page) -> bool {
        self.is_exclusive_below(m, root, level, page, 1)
    }

    /// The same where the root may be held `root_holders` times.
    fn is_exclusive_below<M: Machine>(
        &self,
        m: &M,
        root: NodeId,
        level: u32,
        page: Page,
        root_holders: u32,
    ) -> bool {
        let mut node = root;
        let mut allowed = root_holders;
        for level in (0..=level).rev() {
            if node.is_none() || nodes::holders(m, node) > allowed {
                return false;
            }
            let words = nodes::read(m, node);
            if run_start(words).is_some() {
                return true;
            }
            node = NodeId(words.0[index(page, level)]);
            allowed = 1;
        }
        node.0 != 0 && self.frames.holders(Frame(node.0)) == 1
    }

    /// Lets go of a map: what nobody else holds is freed.
    pub fn drop_map<M: Machine>(&mut self, m: &mut M, root: NodeId, level: u32) {
        if !root.is_none() && nodes::unhold(m, root) == 0 {
            self.free_node(m, root, level);
        }
    }

    /// Frees a node that nobody holds any more, and what only it held: level by level. Nodes that wait for their turn are linked through
    /// the words that counted their holders.
    fn free_node<M: Machine>(&mut self, m: &mut M, root: NodeId, level: u32) {
        let mut now = root;
        for level in (1..=level).rev() {
            let mut below = NodeId::NONE;
            while !now.is_none() {
                now = self.free_waiting(m, now, level, |_, m, children| {
                    below = drop_children(m, children, below);
                });
            }
            now = below;
        }
        while !now.is_none() {
            now = self.free_waiting(m, now, 0, |memory, _, frames| memory.drop_frames(frames));
        }
    }

    /// Frees one of the nodes that wait, after `drop` has let go of its entries or its run has; returns the next one.
    #[inline(always)]
    fn free_waiting<M: Machine>(
        &mut self,
        m: &mut M,
        node: NodeId,
        level: u32,
        drop: impl FnOnce(&mut Self, &mut M, &Node),
    ) -> NodeId {
        let next = NodeId(m.word(node.0));
        let entries = *nodes::read(m, node);
        if let Some(first) = run_start(&entries) {
            self.release_run(first, level);
        } else {
            drop(self, m, &entries);
        }
        self.nodes.release(m, &mut self.frames, node);
        next
    }

    #[inline]
    fn drop_frames(&mut self, frames: &Node) {
        for i in 0..FANOUT {
            if frames.0[i] != 0 {
                self.frames.drop(Frame(frames.0[i]));
            }
        }
    }

    fn release_run(&mut self, first: Frame, level: u32) {
        if level == BLOCK_LEVEL {
            return self.frames.release_block(first);
        }
        for frame in first.0..first.0 + span(level) {
            self.frames.release(Frame(frame));
        }
    }

    /// Pages that would be freed with the map (or part) `node` if its holder let go; none if there are several holders.
    pub fn exclusive_pages<M: Machine>(&self, m: &M, node: NodeId, level: u32) -> u32 {
        if node.is_none() || nodes::holders(m, node) > 1 {
            return 0;
        }
        let words = nodes::read(m, node);
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
            .map(|&child| self.exclusive_pages(m, NodeId(child), level - 1))
            .sum()
    }

    /// Whether the frame of `page` is held by `root` alone, which itself has two holders: the running VM and a snapshot.
    pub fn is_exclusive_to_shared_root<M: Machine>(
        &self,
        m: &M,
        root: NodeId,
        level: u32,
        page: Page,
    ) -> bool {
        self.is_exclusive_below(m, root, level, page, 2)
    }
}

/// Lets go of children; those that nobody holds any more go in front of the list `waiting`.
#[inline]
fn drop_children<M: Machine>(m: &mut M, children: &Node, mut waiting: NodeId) -> NodeId {
    for i in 0..FANOUT {
        let child = NodeId(children.0[i]);
        if !child.is_none() && nodes::unhold(m, child) == 0 {
            *m.word_mut(child.0) = waiting.0;
            waiting = child;
        }
    }
    waiting
}
