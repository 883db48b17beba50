//! Changing stage 2 from one map to another: only what differs between the two.

use super::backend::{Backend, Page};
use super::layout::{FANOUT, NodeId, each_difference_of_pair};
use super::map::{BLOCK_LEVEL, FrameStore, RUN_TAG, run_start, span};
use super::nodes;
use super::work::LEAVES_OF_PAGES;

impl FrameStore {
    /// Changes stage 2, which is detached and shows `from`, so that it shows `to`. Both are nodes of `level`, which is [`BLOCK_LEVEL`] or above,
    /// for the pages from `page` on; they are not the same node. Subtrees that both share are skipped: the cost is that of the difference.
    /// What is more than [`work`](Self::work) is deferred: stage 2 does not map it, until it is accessed.
    pub(super) fn remap<B: Backend>(
        &mut self,
        b: &mut B,
        from: NodeId,
        to: NodeId,
        level: u32,
        page: Page,
    ) {
        if level == BLOCK_LEVEL {
            return self.remap_block(b, from, to, page);
        }
        if level == BLOCK_LEVEL + 1 {
            if self.work.is_done() {
                return self.work.defer(b, page);
            }
            if let Some(plain) = Plain::of(b, from, to) {
                return plain.each_difference(b, |b, i, from, to| {
                    self.remap_block(b, from, to, page + i * span(BLOCK_LEVEL));
                });
            }
        }
        for i in 0..FANOUT {
            // Runs are no larger than a block.
            let [from, to] = [from, to].map(|node| match node {
                NodeId::NONE => node,
                node => NodeId(nodes::read(b, node).0[i]),
            });
            if from != to {
                let at = page + i as u32 * span(level - 1);
                self.remap(b, from, to, level - 1, at);
            }
        }
    }

    /// [`remap`](Self::remap) for two different nodes of [`BLOCK_LEVEL`].
    #[inline(never)]
    fn remap_block<B: Backend>(&mut self, b: &mut B, from: NodeId, to: NodeId, page: Page) {
        let plain = Plain::of(b, from, to).filter(|_| !self.work.is_done());
        let Some(plain) = plain else {
            return self.remap_whole(b, to, page);
        };
        if !b.split_unreachable(page) {
            return;
        }
        plain.each_difference(b, |b, i, from, to| {
            if !self.work.is_done() {
                self.remap_group(b, from, to, page + i * span(1));
            }
        });
        if self.work.is_done() {
            b.set_block(page, None);
        }
    }

    /// A block that is not changed page by page.
    #[cold]
    #[inline(never)]
    fn remap_whole<B: Backend>(&mut self, b: &mut B, to: NodeId, page: Page) {
        // A run is mapped as a whole. Pages that would have to be looked up one by one are left to the first access.
        self.work.take(1);
        let run = match to {
            NodeId::NONE => None,
            node => run_start(nodes::read(b, node)),
        };
        b.set_block(page, run.filter(|_| !self.work.cleans));
    }

    /// [`remap`](Self::remap) for two different nodes of level 1, in a block that stage 2 has split.
    #[inline(never)]
    fn remap_group<B: Backend>(&mut self, b: &mut B, from: NodeId, to: NodeId, page: Page) {
        let Some(plain) = Plain::of(b, from, to) else {
            self.work.take(LEAVES_OF_PAGES);
            return self.remap_one_by_one(b, from, to, 1, page);
        };
        plain.each_difference(b, |b, i, from, to| {
            self.work.take(1);
            self.remap_leaf(b, from, to, page + i * span(0));
        });
    }

    /// [`remap`](Self::remap) for two different leaves, in a block that stage 2 has split.
    #[inline(never)]
    fn remap_leaf<B: Backend>(&mut self, b: &mut B, from: NodeId, to: NodeId, page: Page) {
        match Plain::of(b, from, to) {
            Some(plain) if !self.work.cleans => b.set_leaf(page, plain.from, plain.to),
            _ => self.remap_one_by_one(b, from, to, 0, page),
        }
    }

    /// [`remap`](Self::remap) of a group at the most, page by page: one of the two nodes is a run or none, or memory must have what is mapped. A run's
    /// frames do have it, as nothing was ever copied to them.
    #[cold]
    #[inline(never)]
    fn remap_one_by_one<B: Backend>(
        &self,
        b: &mut B,
        from: NodeId,
        to: NodeId,
        level: u32,
        page: Page,
    ) {
        for at in page..page + span(level) {
            let frame = self.frame_of(b, to, level, at);
            if frame == self.frame_of(b, from, level, at) {
                continue;
            }
            if self.work.cleans
                && let Some(frame) = frame
            {
                b.clean_frame(frame);
            }
            b.set_page(at, frame);
        }
    }
}

/// Two different nodes that can be compared entry by entry: both are plain, neither is none or a run.
#[derive(Clone, Copy)]
struct Plain {
    /// Numbers of their first words.
    from: u32,
    to: u32,
}

impl Plain {
    /// These two, if they are plain.
    #[inline(always)]
    fn of<B: Backend>(b: &B, from: NodeId, to: NodeId) -> Option<Self> {
        if from.is_none() || to.is_none() {
            return None;
        }
        let plain = Self {
            from: from.entry_word(0),
            to: to.entry_word(0),
        };
        // No two nodes are runs of the same frames. So if the first two words are equal, which they mostly are, neither is a run.
        let (from, to) = (b.node(plain.from).pairs()[0], b.node(plain.to).pairs()[0]);
        (from == to || (from as u32 != RUN_TAG && to as u32 != RUN_TAG)).then_some(plain)
    }

    /// Calls `f` with index, old entry and new entry wherever they differ.
    #[inline(always)]
    fn each_difference<B: Backend>(
        self,
        b: &mut B,
        mut f: impl FnMut(&mut B, u32, NodeId, NodeId),
    ) {
        // Written out: the compiler keeps it a loop, which takes twice as long.
        self.each_difference_of_pair::<B, 0>(b, &mut f);
        self.each_difference_of_pair::<B, 1>(b, &mut f);
        self.each_difference_of_pair::<B, 2>(b, &mut f);
        self.each_difference_of_pair::<B, 3>(b, &mut f);
    }

    #[inline(always)]
    fn each_difference_of_pair<B: Backend, const PAIR: usize>(
        self,
        b: &mut B,
        f: &mut impl FnMut(&mut B, u32, NodeId, NodeId),
    ) {
        let (old, new) = (
            b.node(self.from).pairs()[PAIR],
            b.node(self.to).pairs()[PAIR],
        );
        each_difference_of_pair(2 * PAIR, old, new, |i, old, new| {
            f(b, i as u32, NodeId(old), NodeId(new));
        });
    }
}
