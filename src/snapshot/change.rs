//! Changing a map that one owner holds: in place where nobody shares, by copies of the nodes on the way where somebody does.

use super::frames::{Frame, NoMemory};
use super::layout::{FANOUT, FANOUT_BITS, Node, NodeId};
use super::map::{BLOCK_LEVEL, MOST_LEVELS, Memory, index, run, run_start, span};
use super::nodes;
use super::seam::{Machine, Page};

/// Where a fold is in the map that it changes: the way down to the last leaf, which the map holds alone. It is good as long as nobody
/// else gets to hold the map. The next leaf is found from the node that both share.
pub struct Cursor {
    /// By level.
    path: [NodeId; MOST_LEVELS],
    last: Option<Page>,
}

impl Cursor {
    /// Nowhere yet.
    pub const fn new() -> Self {
        Self {
            path: [NodeId::NONE; MOST_LEVELS],
            last: None,
        }
    }
}

/// Pages in a leaf.
pub const LEAF_PAGES: usize = FANOUT;

impl Memory {
    fn alloc<M: Machine>(&mut self, m: &mut M, node: &Node) -> Result<NodeId, NoMemory> {
        self.nodes.alloc(m, &mut self.frames, node)
    }

    /// Gives pages of one leaf of the map `root`, that of `page`, new frames: `changes` are entries of the leaf and frames whose holds
    /// pass to the map; they are asked for when nothing can fail any more. The caller's hold on the old root passes to the new one, to
    /// which `root` is updated in every case: on an error the map says what it said, though perhaps with nodes of its own where it
    /// shared them.
    #[inline]
    pub fn set<M: Machine>(
        &mut self,
        m: &mut M,
        root: &mut NodeId,
        level: u32,
        cursor: &mut Cursor,
        page: Page,
        changes: impl Iterator<Item = (usize, u32)>,
    ) -> Result<(), NoMemory> {
        self.descend(m, root, level, cursor, page)?;
        let entry = cursor.path[1].entry(index(page, 1));
        let mut leaf = NodeId(m.word(entry));
        if leaf.is_none() {
            leaf = self.alloc(m, &Node::EMPTY)?;
            *m.word_mut(entry) = leaf.0;
        }
        if nodes::holders(m, leaf) > 1 {
            let copy = self.copy_leaf(m, leaf, changes)?;
            *m.word_mut(entry) = copy.0;
            return Ok(());
        }
        if let Some(first) = run_start(nodes::read(m, leaf)) {
            self.write_out(m, leaf, 0, first)?;
        }
        for (i, frame) in changes {
            let old = core::mem::replace(&mut nodes::write(m, leaf).0[i], frame);
            if old != 0 {
                self.frames.drop(Frame(old));
            }
        }
        Ok(())
    }

    /// A copy of a leaf that others hold, changed: what it does not take over it need not hold and drop again.
    #[inline]
    fn copy_leaf<M: Machine>(
        &mut self,
        m: &mut M,
        leaf: NodeId,
        changes: impl Iterator<Item = (usize, u32)>,
    ) -> Result<NodeId, NoMemory> {
        self.nodes.make_room(m, &mut self.frames)?;
        let mut frames = *nodes::read(m, leaf);
        if let Some(first) = run_start(&frames) {
            self.write_out(m, leaf, 0, first)?;
            frames = *nodes::read(m, leaf);
        }
        let copy = self.nodes.alloc_in_room(m, &frames);
        let mut changed = 0;
        for (i, frame) in changes {
            nodes::write(m, copy).0[i] = frame;
            changed |= 1 << i;
        }
        for i in 0..FANOUT {
            if changed & 1 << i == 0 && frames.0[i] != 0 {
                self.frames.hold(Frame(frames.0[i]));
            }
        }
        nodes::unhold(m, leaf);
        Ok(copy)
    }

    /// Moves the cursor to the parent of the leaf of `page`, made the map's own all the way down.
    #[inline]
    fn descend<M: Machine>(
        &mut self,
        m: &mut M,
        root: &mut NodeId,
        level: u32,
        cursor: &mut Cursor,
        page: Page,
    ) -> Result<(), NoMemory> {
        // The lowest node on the way to both pages; at first, none.
        let mut at = match cursor.last.take() {
            Some(last) => (page ^ last).checked_ilog2().unwrap_or(0) / FANOUT_BITS,
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
        cursor.last = Some(page);
        Ok(())
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
        let entry = node.entry(index(page, level));
        let owned = self.own(m, NodeId(m.word(entry)), level - 1)?;
        *m.word_mut(entry) = owned.0;
        Ok(owned)
    }

    /// The same node, which is above level 0, written out and held by nobody else: a copy if need be. The caller's hold passes to what is returned.
    #[inline]
    fn own<M: Machine>(&mut self, m: &mut M, node: NodeId, level: u32) -> Result<NodeId, NoMemory> {
        if node.is_none() || !self.nodes.has_room() {
            return self.own_at_leisure(m, node, level);
        }
        let owned = if nodes::holders(m, node) > 1 {
            self.copy_list(m, node)
        } else if run_start(nodes::read(m, node)).is_some() {
            NodeId::NONE
        } else {
            node
        };
        match owned {
            NodeId::NONE => self.own_at_leisure(m, node, level),
            owned => Ok(owned),
        }
    }

    /// The same, whatever it takes.
    #[cold]
    fn own_at_leisure<M: Machine>(
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
        self.nodes.make_room(m, &mut self.frames)?;
        Ok(self.copy_list(m, node))
    }

    /// A copy of a node that others hold, there being room for it; none if it is a run.
    #[inline(never)]
    fn copy_list<M: Machine>(&mut self, m: &mut M, node: NodeId) -> NodeId {
        let words = *nodes::read(m, node);
        if run_start(&words).is_some() {
            return NodeId::NONE;
        }
        let copy = self.nodes.alloc_in_room(m, &words);
        for i in 0..FANOUT {
            if words.0[i] != 0 {
                nodes::hold(m, NodeId(words.0[i]));
            }
        }
        nodes::unhold(m, node);
        copy
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
}
