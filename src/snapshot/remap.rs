//! What differs between two maps, and stage 2 changed accordingly.

use super::frames::Frame;
use super::map::{BLOCK_LEVEL, Memory, RUN, run_start, span};
use super::nodes::{self, FANOUT, NodeId};
use super::seam::{Machine, Page};
use crate::addr::BLOCK_PAGES;

impl Memory {
    /// Changes stage 2 where the maps `from` and `to` differ; both are nodes of `level` that start at `page`. Subtrees that they share
    /// are skipped, so the cost is that of the difference.
    pub fn remap<M: Machine>(&self, m: &mut M, from: NodeId, to: NodeId, level: u32, page: Page) {
        if from == to {
            return;
        }
        if level == BLOCK_LEVEL {
            let run = run_at(m, to);
            if to.is_none() || run.is_some() {
                return m.set_block(page, run);
            }
            m.divide(page);
        }
        if is_list(m, from) && is_list(m, to) {
            let step = span(level) / FANOUT as u32;
            each_difference(m, from, to, |m, i, old, new| {
                let at = page + i * step;
                match level {
                    1 => self.remap_leaf(m, old, new, at),
                    _ => self.remap(m, old, new, level - 1, at),
                }
            });
        } else if level > BLOCK_LEVEL {
            self.remap_absent(m, from, to, level, page);
        } else {
            self.remap_one_by_one(m, from, to, level, page);
        }
    }

    /// The same at level 0.
    fn remap_leaf<M: Machine>(&self, m: &mut M, from: NodeId, to: NodeId, page: Page) {
        if is_list(m, from) && is_list(m, to) {
            each_difference(m, from, to, |m, i, _, new| {
                m.set_page(page + i, Frame::from_entry(new.0))
            });
        } else {
            self.remap_one_by_one(m, from, to, 0, page);
        }
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
            self.remap(m, entry(m, from), entry(m, to), level - 1, at);
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

/// Whether it is a node with entries: neither absent nor a run.
fn is_list<M: Machine>(m: &M, node: NodeId) -> bool {
    !node.is_none() && nodes::read(m, node).0[0] != RUN
}

/// Calls `f` with index, old and new entry where two nodes differ.
#[inline]
fn each_difference<M: Machine>(
    m: &mut M,
    from: NodeId,
    to: NodeId,
    mut f: impl FnMut(&mut M, u32, NodeId, NodeId),
) {
    /// A node's entries two by two: most are equal, and this compares them twice as fast.
    type Pairs = [u64; FANOUT / 2];
    let old: &Pairs = zerocopy::transmute_ref!(nodes::read(m, from));
    let new: &Pairs = zerocopy::transmute_ref!(nodes::read(m, to));
    let mut differing = 0_u32;
    for pair in 0..FANOUT / 2 {
        differing |= u32::from(old[pair] != new[pair]) << (2 * pair);
    }
    while differing != 0 {
        let first = differing.trailing_zeros();
        differing &= differing - 1;
        for i in [first, first + 1] {
            let entry = |m: &M, node| NodeId(nodes::read(m, node).0[i as usize % FANOUT]);
            let (old, new) = (entry(m, from), entry(m, to));
            if old != new {
                f(m, i, old, new);
            }
        }
    }
}
