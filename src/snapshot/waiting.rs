//! What waits to be freed: nodes whose last holder went, with all below them that goes with them.
//!
//! Nothing is freed as a whole, for that would take as long as a map is large. The nodes of a level that wait are a list, linked through the words
//! that counted their holders. A node that is freed lets go of its entries; those whose last holder that was wait in turn:
//!
//! ```text
//! waiting[1] -> node a, count word: b -> node b, count word: 0
//! waiting[0] -> ...                                               gathered from the entries of those that were freed
//! ```
//!
//! Who needs a frame frees what waits first, a piece at a time, before memory is taken to be short; and a new slab is made only if nothing
//! waits. So what waits takes no memory from anybody: it counts as free.

use super::backend::Backend;
use super::frames::{Frame, Frames};
use super::layout::{FANOUT, Node, NodeId};
use super::map::{BLOCK_LEVEL, run_start, span};
use super::nodes::{self, Nodes};

impl Nodes {
    /// Frees `limit` of the nodes that wait, at the most. Returns how many more it could have been.
    pub(super) fn free_waiting<B: Backend>(
        &mut self,
        b: &mut B,
        frames: &mut Frames,
        limit: u32,
    ) -> u32 {
        let mut left = limit;
        // From the top down: what a level adds to the next one is freed with that.
        while left != 0 && !self.waiting.is_empty() {
            let level = self.waiting.levels.ilog2();
            let mut now = self.waiting.first[level as usize];
            if level == 0 {
                while left != 0 && !now.is_none() {
                    now = self.free_first(b, frames, now, 0, |_, frames, entries| {
                        for i in 0..FANOUT {
                            if entries.0[i] != 0 {
                                frames.unhold(Frame(entries.0[i]));
                            }
                        }
                    });
                    left -= 1;
                }
                self.waiting.set(0, now);
                break;
            }
            let mut below = self.waiting.first[level as usize - 1];
            while left != 0 && !now.is_none() {
                now = self.free_first(b, frames, now, level, |b, _, children| {
                    for i in 0..FANOUT {
                        let child = NodeId(children.0[i]);
                        if !child.is_none() && nodes::unhold(b, child) == 0 {
                            *b.word_mut(child.0) = below.0;
                            below = child;
                        }
                    }
                });
                left -= 1;
            }
            self.waiting.set(level, now);
            self.waiting.set(level - 1, below);
        }
        left
    }

    /// Frees `node`, of `level`, the first of a list, and returns the next one. Its run is freed, or `unhold_entries` takes the holder from its
    /// entries.
    #[inline(always)]
    fn free_first<B: Backend>(
        &mut self,
        b: &mut B,
        frames: &mut Frames,
        node: NodeId,
        level: u32,
        unhold_entries: impl FnOnce(&mut B, &mut Frames, &Node),
    ) -> NodeId {
        let next = NodeId(b.word(node.0));
        // By its slab's address, which freeing it needs as well.
        let entries = b.bookkeeping(node.frame())[node.index()];
        match run_start(&entries) {
            Some(first) => free_run(frames, first, level),
            None => unhold_entries(b, frames, &entries),
        }
        self.free_in_line(b, frames, node);
        next
    }

    /// Takes a holder from `node`, of `level`, which is freed in time if that was the last one.
    #[inline]
    pub(super) fn unhold<B: Backend>(&mut self, b: &mut B, node: NodeId, level: u32) {
        if nodes::unhold(b, node) == 0 {
            self.waiting.push(b, node, level);
        }
    }
}

fn free_run(frames: &mut Frames, first: Frame, level: u32) {
    if level == BLOCK_LEVEL {
        return frames.free_block(first);
    }
    for frame in first.0..first.0 + span(level) {
        frames.free(Frame(frame));
    }
}
