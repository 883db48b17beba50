//! What differs between two maps, and stage 2 changed accordingly.

use super::frames::Frame;
use super::layout::{FANOUT, NodeId};
use super::map::{BLOCK_LEVEL, Memory, RUN, run_start, span};
use super::nodes;
use super::seam::{Machine, Page};
use crate::addr::BLOCK_PAGES;

impl Memory {
    /// Changes stage 2 where the maps `from` and `to` differ; both are nodes of `level`, which is that of blocks or above, that start at
    /// `page`, and not the same. Subtrees that they share are skipped, so the cost is that of the difference.
    pub fn remap<M: Machine>(&self, m: &mut M, from: NodeId, to: NodeId, level: u32, page: Page) {
        let step = span(level) / FANOUT as u32;
        if level == BLOCK_LEVEL {
            self.remap_block(m, from, to, page);
        } else if !are_lists(m, from, to) {
            self.remap_absent(m, from, to, level, page);
        } else if level == BLOCK_LEVEL + 1 {
            each_difference(m, from, to, |m, i, old, new| {
                self.remap_block(m, old, new, page + i * step);
            });
        } else {
            each_difference(m, from, to, |m, i, old, new| {
                self.remap(m, old, new, level - 1, page + i * step);
            });
        }
    }

    /// The same for two different blocks.
    #[inline(never)]
    fn remap_block<M: Machine>(&self, m: &mut M, from: NodeId, to: NodeId, page: Page) {
        if are_lists(m, from, to) {
            m.divide(page);
            each_difference(m, from, to, |m, i, old, new| {
                self.remap_group(m, old, new, page + i * span(1));
            });
            return;
        }
        let run = run_at(m, to);
        if to.is_none() || run.is_some() {
            m.set_block(page, run);
        } else {
            m.divide(page);
            self.remap_one_by_one(m, from, to, BLOCK_LEVEL, page);
        }
    }

    /// The same at level 1.
    fn remap_group<M: Machine>(&self, m: &mut M, from: NodeId, to: NodeId, page: Page) {
        if !are_lists(m, from, to) {
            return self.remap_one_by_one(m, from, to, 1, page);
        }
        each_difference(m, from, to, |m, i, old, new| {
            self.remap_leaf(m, old, new, page + i * span(0))
        });
    }

    /// The same at level 0.
    fn remap_leaf<M: Machine>(&self, m: &mut M, from: NodeId, to: NodeId, page: Page) {
        if !are_lists(m, from, to) {
            return self.remap_one_by_one(m, from, to, 0, page);
        }
        each_difference(m, from, to, |m, i, _, new| {
            m.set_page(page + i, Frame::from_entry(new.0))
        });
    }

    /// The same above blocks, where one of the two is absent.
    #[inline(never)]
    fn remap_absent<M: Machine>(
        &self,
        m: &mut M,
        from: NodeId,
        to: NodeId,
        level: u32,
        page: Page,
    ) {
        for i in 0..FANOUT {
            let entry = |m: &M, node: NodeId| match node {
                NodeId::NONE => NodeId::NONE,
                node => NodeId(nodes::read(m, node).0[i]),
            };
            let at = page + i as u32 * (span(level) / FANOUT as u32);
            let (old, new) = (entry(m, from), entry(m, to));
            if old != new {
                self.remap(m, old, new, level - 1, at);
            }
        }
    }

    /// The same where one of the two is a run or absent, of a block at the most.
    #[inline(never)]
    fn remap_one_by_one<M: Machine>(
        &self,
        m: &mut M,
        from: NodeId,
        to: NodeId,
        level: u32,
        page: Page,
    ) {
        for at in page..page + span(level).min(BLOCK_PAGES) {
            let frame = self.get(m, to, level, at);
            if frame != self.get(m, from, level, at) {
                m.set_page(at, frame);
            }
        }
    }
}

fn run_at<M: Machine>(m: &M, node: NodeId) -> Option<Frame> {
    if node.is_none() {
        None
    } else {
        run_start(nodes::read(m, node))
    }
}

/// Whether two different nodes can be compared entry by entry: neither is absent or a run.
#[inline(always)]
fn are_lists<M: Machine>(m: &M, from: NodeId, to: NodeId) -> bool {
    if from.is_none() || to.is_none() {
        return false;
    }
    // A run differs from any other node in its first two words (no two nodes are runs of the same frames), so most of the time one
    // comparison says it.
    let (old, new) = (pair(m, from, 0), pair(m, to, 0));
    old == new || (old as u32 != RUN && new as u32 != RUN)
}

/// Two entries at once, the lower one in the lower half: most are equal, and so are compared twice as fast.
#[inline(always)]
fn pair<M: Machine>(m: &M, node: NodeId, i: usize) -> u64 {
    let pairs: &[u64; FANOUT / 2] = zerocopy::transmute_ref!(nodes::read(m, node));
    pairs[i]
}

/// Calls `f` with index, old and new entry where two nodes differ.
#[inline(always)]
fn each_difference<M: Machine>(
    m: &mut M,
    from: NodeId,
    to: NodeId,
    mut f: impl FnMut(&mut M, u32, NodeId, NodeId),
) {
    for i in 0..FANOUT / 2 {
        let (old, new) = (pair(m, from, i), pair(m, to, i));
        if old == new {
            continue;
        }
        let first = 2 * i as u32;
        if old as u32 != new as u32 {
            f(m, first, NodeId(old as u32), NodeId(new as u32));
        }
        if old >> 32 != new >> 32 {
            f(
                m,
                first + 1,
                NodeId((old >> 32) as u32),
                NodeId((new >> 32) as u32),
            );
        }
    }
}
