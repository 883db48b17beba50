//! Changing a map: nodes that only this map holds change in place, nodes that another map holds too are copied first (copy on write).

use super::backend::{Backend, Page};
use super::frames::{Frame, NoMemory};
use super::layout::{FANOUT, FANOUT_BITS, MAX_LEVELS, Node, NodeId};
use super::map::{BLOCK_LEVEL, FrameStore, entry_index, run_node, run_start, span};
use super::nodes;

/// Where a fold is in the map that it changes: the nodes on the way down to the last leaf, all of them exclusive to the map. The way to the
/// next leaf begins at the lowest node that is above both. Valid until the map gets another holder, or a run is put into it.
pub struct Cursor {
    /// The nodes on the way, by level.
    path: [NodeId; MAX_LEVELS],
    /// A page of the last leaf.
    last: Option<Page>,
}

impl Cursor {
    /// At no leaf yet: the way down begins at the root.
    pub const fn new() -> Self {
        Self {
            path: [NodeId::NONE; MAX_LEVELS],
            last: None,
        }
    }
}

/// Pages that a leaf has entries for.
pub const LEAF_PAGES: usize = FANOUT;

impl FrameStore {
    fn alloc<B: Backend>(&mut self, b: &mut B, node: &Node) -> Result<NodeId, NoMemory> {
        self.nodes.alloc(b, &mut self.frames, node)
    }

    /// Gives pages of one leaf of the map `root` new frames. It is the leaf of `page`.
    ///
    /// `changes` yields an index in the leaf and a frame for each page. The map takes over one holder of each of these frames. `changes` is
    /// first drawn from after the last step that can fail.
    ///
    /// `root` becomes the id of the changed map, which takes over the caller's holder of the old one; also on an error. The map then has the
    /// same frames as before, and perhaps copies of nodes that it shared.
    #[inline]
    pub fn set_in_leaf<B: Backend>(
        &mut self,
        b: &mut B,
        root: &mut NodeId,
        level: u32,
        cursor: &mut Cursor,
        page: Page,
        changes: impl Iterator<Item = (usize, u32)>,
    ) -> Result<(), NoMemory> {
        self.descend(b, root, level, cursor, page)?;
        let entry = cursor.path[1].entry_word(entry_index(page, 1));
        let mut leaf = NodeId(b.word(entry));
        if leaf.is_none() {
            leaf = self.alloc(b, &Node::EMPTY)?;
            *b.word_mut(entry) = leaf.0;
        }
        if nodes::holders(b, leaf) > 1 {
            let copy = self.copy_leaf(b, leaf, changes)?;
            *b.word_mut(entry) = copy.0;
            return Ok(());
        }
        if let Some(first) = run_start(nodes::read(b, leaf)) {
            self.expand_run(b, leaf, 0, first)?;
        }
        for (i, frame) in changes {
            let old = core::mem::replace(&mut nodes::write(b, leaf).0[i], frame);
            if old != 0 {
                self.frames.unhold(Frame(old));
            }
        }
        Ok(())
    }

    /// Copies a leaf that other maps hold, with `changes` made. The copy adds a holder to those frames only that it has in common with `leaf`.
    /// Takes a holder from `leaf`.
    #[inline]
    fn copy_leaf<B: Backend>(
        &mut self,
        b: &mut B,
        leaf: NodeId,
        changes: impl Iterator<Item = (usize, u32)>,
    ) -> Result<NodeId, NoMemory> {
        self.nodes.reserve(b, &mut self.frames)?;
        let mut frames = *nodes::read(b, leaf);
        if let Some(first) = run_start(&frames) {
            self.expand_run(b, leaf, 0, first)?;
            frames = *nodes::read(b, leaf);
        }
        let copy = self.nodes.alloc_reserved(b, &frames);
        let mut changed = 0;
        for (i, frame) in changes {
            nodes::write(b, copy).0[i] = frame;
            changed |= 1 << i;
        }
        for i in 0..FANOUT {
            if changed & 1 << i == 0 && frames.0[i] != 0 {
                self.frames.hold(Frame(frames.0[i]));
            }
        }
        // A node that was freed for the copy may have been the other holder.
        self.nodes.unhold(b, leaf, 0);
        Ok(copy)
    }

    /// Moves the cursor to the parent of the leaf of `page`, and makes all nodes on the way exclusive to the map.
    #[inline]
    fn descend<B: Backend>(
        &mut self,
        b: &mut B,
        root: &mut NodeId,
        level: u32,
        cursor: &mut Cursor,
        page: Page,
    ) -> Result<(), NoMemory> {
        // The level of the lowest node on the way to both pages.
        let mut at = match cursor.last.take() {
            Some(last) => (page ^ last).checked_ilog2().unwrap_or(0) / FANOUT_BITS,
            None => {
                *root = self.make_exclusive(b, *root, level)?;
                cursor.path[level as usize] = *root;
                level
            }
        };
        while at > 1 {
            cursor.path[at as usize - 1] =
                self.make_child_exclusive(b, cursor.path[at as usize], at, page)?;
            at -= 1;
        }
        cursor.last = Some(page);
        Ok(())
    }

    /// Makes the block of `page`, of which the map `root` has no frame yet, a run of frames from `first` on. `root` is updated as by
    /// [`set_in_leaf`](Self::set_in_leaf).
    pub fn set_run<B: Backend>(
        &mut self,
        b: &mut B,
        root: &mut NodeId,
        level: u32,
        page: Page,
        first: Frame,
    ) -> Result<(), NoMemory> {
        let block = self.alloc(b, &run_node(first))?;
        let placed = self.place_run(b, root, level, page, block);
        if placed.is_err() {
            self.nodes.free(b, &mut self.frames, block);
        }
        placed
    }

    fn place_run<B: Backend>(
        &mut self,
        b: &mut B,
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
        *root = self.make_exclusive(b, *root, level)?;
        let mut node = *root;
        for level in (BLOCK_LEVEL + 2..=level).rev() {
            node = self.make_child_exclusive(b, node, level, page)?;
        }
        let entry = &mut nodes::write(b, node).0[entry_index(page, BLOCK_LEVEL + 1)];
        debug_assert_eq!(*entry, 0);
        *entry = block.0;
        Ok(())
    }

    /// Makes the child of `node` on the way to `page` exclusive to `node`, and returns it. `level` is that of `node`, which is exclusive itself.
    #[inline]
    fn make_child_exclusive<B: Backend>(
        &mut self,
        b: &mut B,
        node: NodeId,
        level: u32,
        page: Page,
    ) -> Result<NodeId, NoMemory> {
        let entry = node.entry_word(entry_index(page, level));
        let owned = self.make_exclusive(b, NodeId(b.word(entry)), level - 1)?;
        *b.word_mut(entry) = owned.0;
        Ok(owned)
    }

    /// A plain node with one holder that says the same as `node`: `node` itself, or a copy. `level` is above 0. The caller's holder of `node`
    /// passes to what is returned.
    #[inline]
    fn make_exclusive<B: Backend>(
        &mut self,
        b: &mut B,
        node: NodeId,
        level: u32,
    ) -> Result<NodeId, NoMemory> {
        if node.is_none() || !self.nodes.has_free_node() {
            return self.make_exclusive_slow(b, node, level);
        }
        let owned = if nodes::holders(b, node) > 1 {
            self.copy_node(b, node, level)
        } else if run_start(nodes::read(b, node)).is_some() {
            NodeId::NONE
        } else {
            node
        };
        match owned {
            NodeId::NONE => self.make_exclusive_slow(b, node, level),
            owned => Ok(owned),
        }
    }

    /// [`make_exclusive`](Self::make_exclusive) for the rare cases: no node yet, a run, or no slab with room.
    #[cold]
    fn make_exclusive_slow<B: Backend>(
        &mut self,
        b: &mut B,
        node: NodeId,
        level: u32,
    ) -> Result<NodeId, NoMemory> {
        if node.is_none() {
            return self.alloc(b, &Node::EMPTY);
        }
        if let Some(first) = run_start(nodes::read(b, node)) {
            self.expand_run(b, node, level, first)?;
        }
        if nodes::holders(b, node) == 1 {
            return Ok(node);
        }
        self.nodes.reserve(b, &mut self.frames)?;
        Ok(self.copy_node(b, node, level))
    }

    /// Copies a plain node that others hold, and takes a holder from it. [`Nodes::reserve`](super::nodes::Nodes::reserve) came before. Returns
    /// none, and copies nothing, if `node` is a run.
    #[inline(never)]
    fn copy_node<B: Backend>(&mut self, b: &mut B, node: NodeId, level: u32) -> NodeId {
        let words = *nodes::read(b, node);
        if run_start(&words).is_some() {
            return NodeId::NONE;
        }
        let copy = self.nodes.alloc_reserved(b, &words);
        for i in 0..FANOUT {
            if words.0[i] != 0 {
                nodes::hold(b, NodeId(words.0[i]));
            }
        }
        // A node that was freed for the copy may have been the other holder.
        self.nodes.unhold(b, node, level);
        copy
    }

    /// Makes the run `node`, whose first frame is `first`, a plain node with the same pages, in place.
    #[cold]
    pub(super) fn expand_run<B: Backend>(
        &mut self,
        b: &mut B,
        node: NodeId,
        level: u32,
        first: Frame,
    ) -> Result<(), NoMemory> {
        let step = span(level) / FANOUT as u32;
        let part = |i: usize| Frame(first.0 + i as u32 * step);
        let entries = if level == 0 {
            core::array::from_fn(|i| {
                self.frames.init_hold(part(i));
                part(i).0
            })
        } else {
            self.nodes
                .alloc_all(b, &mut self.frames, |i| run_node(part(i)))?
        };
        *nodes::write(b, node) = Node(entries);
        Ok(())
    }
}
