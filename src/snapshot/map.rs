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
//! [`set`](Memory::set) changes a map that one owner holds. Nodes that nobody else holds change in place; any other
//! is copied first, and its children are then held once more. So a map that a snapshot holds never changes, and
//! a change costs the nodes on the way from the root, once between two snapshots.

use super::frames::{Frame, Frames, NoMemory};
use super::nodes::{self, FANOUT, Node, NodeId, Nodes};
use super::seam::{Machine, Page};
use crate::addr::BLOCK_PAGES;

/// log2 of the entries.
const BITS: u32 = 3;
/// The level whose nodes span a block.
pub(super) const BLOCK_LEVEL: u32 = 2;
/// As a node's first entry, where it names neither a frame nor a node: the node is a run, whose first frame comes next.
pub(super) const RUN: u32 = 1;
/// Levels of the largest map: frames have numbers below [`MAX_FRAMES`](super::MAX_FRAMES).
const MOST_LEVELS: usize = 8;

/// Pages that a node of `level` spans.
pub(super) const fn span(level: u32) -> u32 {
    1 << (BITS * (level + 1))
}

/// Index of the entry for `page` in a node of `level`.
const fn index(page: Page, level: u32) -> usize {
    (page >> (BITS * level)) as usize % FANOUT
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
fn run(first: Frame) -> Node {
    Node([RUN, first.0, 0, 0, 0, 0, 0, 0])
}

pub(super) fn run_start(node: &Node) -> Option<Frame> {
    (node.0[0] == RUN).then_some(Frame(node.0[1]))
}

/// Where a fold is in the map that it changes: the way down to the last page, which the map holds alone. It is good as long as
/// nobody else gets to hold the map. Pages in order find their way from the node that they share with the one before.
pub struct Cursor {
    /// By level.
    path: [NodeId; MOST_LEVELS],
    last: Option<Page>,
    /// Entries of the leaf, one bit each, whose frames it does not hold yet though it should: it is a copy, and what is replaced before
    /// the cursor moves on need not be held and dropped again.
    owed: u8,
}

impl Cursor {
    /// Nowhere yet.
    pub const fn new() -> Self {
        Self {
            path: [NodeId::NONE; MOST_LEVELS],
            last: None,
            owed: 0,
        }
    }
}

/// A VM's share of memory: its frames, and the nodes in them.
pub struct Memory {
    /// Who holds each frame.
    pub frames: Frames,
    /// The nodes.
    pub nodes: Nodes,
}

impl Memory {
    fn alloc<M: Machine>(&mut self, m: &mut M, node: &Node) -> Result<NodeId, NoMemory> {
        self.nodes.alloc(m, &mut self.frames, node)
    }

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

    /// Makes `page` of the map `root` the given frame, whose hold passes to the map. The caller's hold on the old root passes to the
    /// new one, to which `root` is updated in every case: on an error the map says what it said, though perhaps with nodes of its own
    /// where it shared them. After the last page, or an error, comes [`settle`](Self::settle).
    #[inline]
    pub fn set<M: Machine>(
        &mut self,
        m: &mut M,
        root: &mut NodeId,
        level: u32,
        cursor: &mut Cursor,
        page: Page,
        frame: Frame,
    ) -> Result<(), NoMemory> {
        if cursor
            .last
            .is_none_or(|last| (page ^ last) >= FANOUT as u32)
        {
            self.descend(m, root, level, cursor, page)?;
        }
        cursor.last = Some(page);
        let i = index(page, 0);
        let entry = &mut nodes::write(m, cursor.path[0]).0[i];
        let old = core::mem::replace(entry, frame.0);
        if cursor.owed & 1 << i != 0 {
            cursor.owed &= !(1 << i);
        } else if old != 0 {
            self.frames.drop(Frame(old));
        }
        Ok(())
    }

    /// The leaf at the cursor holds all that is in it.
    pub fn settle<M: Machine>(&mut self, m: &mut M, cursor: &mut Cursor) {
        if cursor.owed != 0 {
            let leaf = nodes::read(m, cursor.path[0]);
            for i in 0..FANOUT {
                if cursor.owed & 1 << i != 0 && leaf.0[i] != 0 {
                    self.frames.hold(Frame(leaf.0[i]));
                }
            }
            cursor.owed = 0;
        }
    }

    /// Moves the cursor to the leaf of `page`, made the map's own all the way down.
    fn descend<M: Machine>(
        &mut self,
        m: &mut M,
        root: &mut NodeId,
        level: u32,
        cursor: &mut Cursor,
        page: Page,
    ) -> Result<(), NoMemory> {
        self.settle(m, cursor);
        // The lowest node on the way to both pages; at first, none.
        let mut at = match cursor.last.take() {
            Some(last) => (page ^ last).ilog2() / BITS,
            None => {
                *root = self.own(m, *root, level)?;
                cursor.path[level as usize] = *root;
                level
            }
        };
        while at > 1 {
            cursor.path[at as usize - 1] = self.own_child(m, cursor.path[at as usize], at, page)?;
            at -= 1;
        }
        cursor.owed = self.own_leaf(m, cursor, page)?;
        Ok(())
    }

    /// The same for the last step, to level 0. Returns the entries that the leaf owes.
    fn own_leaf<M: Machine>(
        &mut self,
        m: &mut M,
        cursor: &mut Cursor,
        page: Page,
    ) -> Result<u8, NoMemory> {
        let parent = cursor.path[1];
        let i = index(page, 1);
        let mut leaf = NodeId(nodes::read(m, parent).0[i]);
        let mut owed = 0;
        if leaf.is_none() {
            leaf = self.alloc(m, &Node::EMPTY)?;
        } else {
            if let Some(first) = run_start(nodes::read(m, leaf)) {
                self.write_out(m, leaf, 0, first)?;
            }
            if nodes::holders(m, leaf) > 1 {
                let frames = *nodes::read(m, leaf);
                let copy = self.alloc(m, &frames)?;
                nodes::unhold(m, leaf);
                leaf = copy;
                owed = u8::MAX;
            }
        }
        nodes::write(m, parent).0[i] = leaf.0;
        cursor.path[0] = leaf;
        Ok(owed)
    }

    /// Makes the block of `page`, of which the map `root` has nothing yet, a run that starts at `first`.
    pub fn set_block<M: Machine>(
        &mut self,
        m: &mut M,
        root: &mut NodeId,
        level: u32,
        page: Page,
        first: Frame,
    ) -> Result<(), NoMemory> {
        let block = self.alloc(m, &run(first))?;
        let placed = self.place_block(m, root, level, page, block);
        if placed.is_err() {
            self.nodes.release(m, &mut self.frames, block);
        }
        placed
    }

    fn place_block<M: Machine>(
        &mut self,
        m: &mut M,
        root: &mut NodeId,
        level: u32,
        page: Page,
        block: NodeId,
    ) -> Result<(), NoMemory> {
        if level == BLOCK_LEVEL {
            debug_assert!(root.is_none());
            *root = block;
            return Ok(());
        }
        *root = self.own(m, *root, level)?;
        let mut node = *root;
        for level in (BLOCK_LEVEL + 2..=level).rev() {
            node = self.own_child(m, node, level, page)?;
        }
        let entry = &mut nodes::write(m, node).0[index(page, BLOCK_LEVEL + 1)];
        debug_assert_eq!(*entry, 0);
        *entry = block.0;
        Ok(())
    }

    /// The child on the way to `page`, made the parent's own; `level` is the parent's.
    #[inline]
    fn own_child<M: Machine>(
        &mut self,
        m: &mut M,
        node: NodeId,
        level: u32,
        page: Page,
    ) -> Result<NodeId, NoMemory> {
        let i = index(page, level);
        let child = NodeId(nodes::read(m, node).0[i]);
        let owned = self.own(m, child, level - 1)?;
        if owned != child {
            nodes::write(m, node).0[i] = owned.0;
        }
        Ok(owned)
    }

    /// The same node, which is above level 0, written out and held by nobody else: a copy if need be. The caller's hold passes to what is returned.
    #[inline]
    fn own<M: Machine>(&mut self, m: &mut M, node: NodeId, level: u32) -> Result<NodeId, NoMemory> {
        let is_own = !node.is_none()
            && nodes::holders(m, node) == 1
            && run_start(nodes::read(m, node)).is_none();
        if is_own {
            Ok(node)
        } else {
            self.make_own(m, node, level)
        }
    }

    #[inline(never)]
    fn make_own<M: Machine>(
        &mut self,
        m: &mut M,
        node: NodeId,
        level: u32,
    ) -> Result<NodeId, NoMemory> {
        if node.is_none() {
            return self.alloc(m, &Node::EMPTY);
        }
        if let Some(first) = run_start(nodes::read(m, node)) {
            self.write_out(m, node, level, first)?;
        }
        if nodes::holders(m, node) == 1 {
            return Ok(node);
        }
        self.copy_node(m, node)
    }

    /// A copy of a node above level 0.
    fn copy_node<M: Machine>(&mut self, m: &mut M, node: NodeId) -> Result<NodeId, NoMemory> {
        let words = *nodes::read(m, node);
        let copy = self.alloc(m, &words)?;
        for i in 0..FANOUT {
            if words.0[i] != 0 {
                nodes::hold(m, NodeId(words.0[i]));
            }
        }
        nodes::unhold(m, node);
        Ok(copy)
    }

    /// Turns the run `node` into its long form, in place.
    #[cold]
    fn write_out<M: Machine>(
        &mut self,
        m: &mut M,
        node: NodeId,
        level: u32,
        first: Frame,
    ) -> Result<(), NoMemory> {
        let step = span(level) / FANOUT as u32;
        let part = |i: usize| Frame(first.0 + i as u32 * step);
        let entries = if level == 0 {
            core::array::from_fn(|i| {
                self.frames.hold_first(part(i));
                part(i).0
            })
        } else {
            let children = core::array::from_fn(|i| run(part(i)));
            self.nodes.alloc_all(m, &mut self.frames, &children)?
        };
        *nodes::write(m, node) = Node(entries);
        Ok(())
    }

    /// Lets go of a map: what nobody else holds is freed.
    pub fn drop_map<M: Machine>(&mut self, m: &mut M, root: NodeId, level: u32) {
        if !root.is_none() && nodes::unhold(m, root) == 0 {
            self.free_node(m, root, level);
        }
    }

    /// Frees a node that nobody holds any more, and what only it held.
    fn free_node<M: Machine>(&mut self, m: &mut M, node: NodeId, level: u32) {
        let words = *nodes::read(m, node);
        self.nodes.release(m, &mut self.frames, node);
        if let Some(first) = run_start(&words) {
            return self.release_run(first, level);
        }
        for i in 0..FANOUT {
            match words.0[i] {
                0 => {}
                frame if level == 0 => self.frames.drop(Frame(frame)),
                child if nodes::unhold(m, NodeId(child)) == 0 => {
                    self.free_node(m, NodeId(child), level - 1)
                }
                _ => {}
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

    /// Pages that would be freed with the map (or part) `node` if one of its holders let go, out of `holders`.
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
