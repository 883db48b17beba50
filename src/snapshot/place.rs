//! Where a map holds the frame of a page: what decides who gets the copy at a first store.

use super::backend::{Backend, Page};
use super::frames::{Frame, NoMemory};
use super::layout::NodeId;
use super::map::{BLOCK_LEVEL, FrameStore, entry_index, run_start};
use super::nodes;

/// Where a map holds the frame of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In nodes that no other map has; if in a run, that goes for all of the run.
    Exclusive,
    /// In one leaf, which other maps may share: this word of bookkeeping memory is its entry for the page.
    Leaf(u32),
    /// In a run that other maps share: this node, of this level.
    Run(NodeId, u32),
    /// In several leaves; or the map has no frame for the page.
    Several,
}

impl FrameStore {
    /// Where the map `root`, whose root is of `level`, holds the frame of `page`.
    #[inline(always)]
    pub fn place_of<B: Backend>(&self, b: &B, root: NodeId, level: u32, page: Page) -> Place {
        let (mut node, mut at) = (root, level);
        // Below a node that others hold, it does not matter who holds what. Mostly that is the root, which a snapshot has.
        while !node.is_none() && nodes::holders(b, node) == 1 {
            let words = nodes::read(b, node);
            if run_start(words).is_some() {
                return Place::Exclusive;
            }
            let next = words.0[entry_index(page, at)];
            if at == 0 {
                return match next != 0 && self.frames.holders(Frame(next)) == 1 {
                    true => Place::Exclusive,
                    false => Place::Several,
                };
            }
            (node, at) = (NodeId(next), at - 1);
        }
        // Runs are no larger than a block.
        while at > BLOCK_LEVEL && !node.is_none() {
            let next = nodes::read(b, node).0[entry_index(page, at)];
            (node, at) = (NodeId(next), at - 1);
        }
        while !node.is_none() {
            let words = nodes::read(b, node);
            if run_start(words).is_some() {
                return Place::Run(node, at);
            }
            let index = entry_index(page, at);
            let next = words.0[index];
            if at == 0 {
                return match next != 0 && self.frames.holders(Frame(next)) == 1 {
                    true => Place::Leaf(node.entry_word(index)),
                    false => Place::Several,
                };
            }
            (node, at) = (NodeId(next), at - 1);
        }
        Place::Several
    }

    /// Expands the run `node`, of `level`, as far as it takes to have an entry of its own for `page` in a leaf, and returns the number of the word
    /// that is this entry. That changes no map's pages, so it is done in place, whoever shares the nodes. Takes 16 nodes at the most.
    #[cold]
    pub fn expand_to_leaf<B: Backend>(
        &mut self,
        b: &mut B,
        node: NodeId,
        level: u32,
        page: Page,
    ) -> Result<u32, NoMemory> {
        let (mut node, mut entry) = (node, 0);
        for level in (0..=level).rev() {
            if let Some(first) = run_start(nodes::read(b, node)) {
                self.expand_run(b, node, level, first)?;
            }
            entry = node.entry_word(entry_index(page, level));
            node = NodeId(b.word(entry));
        }
        Ok(entry)
    }
}
