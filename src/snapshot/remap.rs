//! Changing stage 2 from one map to another: only what differs between the two.

use super::backend::{Backend, Page};
use super::frames::Frame;
use super::layout::{FANOUT, NodeId};
use super::map::{BLOCK_LEVEL, FrameStore, RUN_TAG, run_start, span};
use super::nodes;
use super::work::LEAVES_OF_PAGES;

impl FrameStore {
    /// Changes stage 2, which is detached and shows `from`, so that it shows `to`. Both are nodes of `level`, which is [`BLOCK_LEVEL`] or above,
    /// for the pages from `page` on; they are not the same node. Subtrees that both share are skipped: the cost is that of the difference.
    /// What is more than [`work`](Self::work) is deferred: stage 2 does not map it, until it is accessed.
    /// With `CLEAN`, memory has what is mapped then ([`Backend::clean_frame`]): a parameter of the type, as a look at each page would double
    /// what the page costs.
    pub(super) fn remap<B: Backend, const CLEAN: bool>(
        &mut self,
        b: &mut B,
        from: NodeId,
        to: NodeId,
        level: u32,
        page: Page,
    ) {
        let step = span(level) / FANOUT as u32;
        if level == BLOCK_LEVEL {
            self.remap_block::<B, CLEAN>(b, from, to, page);
        } else if level == BLOCK_LEVEL + 1 && self.work.is_done() {
            self.work.defer(b, page);
        } else if !both_plain(b, from, to) {
            self.remap_absent::<B, CLEAN>(b, from, to, level, page);
        } else if level == BLOCK_LEVEL + 1 {
            each_difference(b, from, to, |b, i, old, new| {
                self.remap_block::<B, CLEAN>(b, old, new, page + i * step);
            });
        } else {
            each_difference(b, from, to, |b, i, old, new| {
                self.remap::<B, CLEAN>(b, old, new, level - 1, page + i * step);
            });
        }
    }

    /// [`remap`](Self::remap) for two different nodes of [`BLOCK_LEVEL`].
    #[inline(never)]
    fn remap_block<B: Backend, const CLEAN: bool>(
        &mut self,
        b: &mut B,
        from: NodeId,
        to: NodeId,
        page: Page,
    ) {
        if both_plain(b, from, to) && !self.work.is_done() {
            if b.split_unreachable(page) {
                each_difference(b, from, to, |b, i, old, new| {
                    if !self.work.is_done() {
                        self.remap_group::<B, CLEAN>(b, old, new, page + i * span(1));
                    }
                });
                if self.work.is_done() {
                    b.set_block(page, None);
                }
            }
            return;
        }
        // A run is mapped as a whole. Pages that would have to be looked up one by one are left to the first access.
        self.work.take(1);
        b.set_block(page, run_at(b, to).filter(|_| !CLEAN));
    }

    /// [`remap`](Self::remap) for two different nodes of level 1, in a block that stage 2 has split.
    #[inline(never)]
    fn remap_group<B: Backend, const CLEAN: bool>(
        &mut self,
        b: &mut B,
        from: NodeId,
        to: NodeId,
        page: Page,
    ) {
        if !both_plain(b, from, to) {
            self.work.take(LEAVES_OF_PAGES);
            return self.remap_one_by_one::<B, CLEAN>(b, from, to, 1, page);
        }
        each_difference(b, from, to, |b, i, old, new| {
            self.work.take(1);
            self.remap_leaf::<B, CLEAN>(b, old, new, page + i * span(0))
        });
    }

    /// [`remap`](Self::remap) for two different leaves, in a block that stage 2 has split.
    #[inline(never)]
    fn remap_leaf<B: Backend, const CLEAN: bool>(
        &self,
        b: &mut B,
        from: NodeId,
        to: NodeId,
        page: Page,
    ) {
        if !both_plain(b, from, to) {
            return self.remap_one_by_one::<B, CLEAN>(b, from, to, 0, page);
        }
        each_difference(b, from, to, |b, i, _, new| {
            set_page::<B, CLEAN>(b, page + i, Frame::from_entry(new.0))
        });
    }

    /// [`remap`](Self::remap) above [`BLOCK_LEVEL`], where one of the two nodes is none.
    #[inline(never)]
    fn remap_absent<B: Backend, const CLEAN: bool>(
        &mut self,
        b: &mut B,
        from: NodeId,
        to: NodeId,
        level: u32,
        page: Page,
    ) {
        for i in 0..FANOUT {
            let entry = |b: &B, node: NodeId| match node {
                NodeId::NONE => NodeId::NONE,
                node => NodeId(nodes::read(b, node).0[i]),
            };
            let at = page + i as u32 * (span(level) / FANOUT as u32);
            let (old, new) = (entry(b, from), entry(b, to));
            if old != new {
                self.remap::<B, CLEAN>(b, old, new, level - 1, at);
            }
        }
    }

    /// [`remap`](Self::remap) of a group at the most, where one of the two nodes is a run or none: page by page.
    #[inline(never)]
    fn remap_one_by_one<B: Backend, const CLEAN: bool>(
        &self,
        b: &mut B,
        from: NodeId,
        to: NodeId,
        level: u32,
        page: Page,
    ) {
        for at in page..page + span(level) {
            let frame = self.frame_of(b, to, level, at);
            if frame != self.frame_of(b, from, level, at) {
                set_page::<B, CLEAN>(b, at, frame);
            }
        }
    }
}

/// Maps a page, and with `CLEAN` has memory agree with the caches on its frame first. A run needs none of it, as nothing was ever copied to its
/// frames.
#[inline(always)]
fn set_page<B: Backend, const CLEAN: bool>(b: &mut B, page: Page, frame: Option<Frame>) {
    if CLEAN && let Some(frame) = frame {
        b.clean_frame(frame);
    }
    b.set_page(page, frame);
}

/// The first frame of the run, if `node` is a run.
fn run_at<B: Backend>(b: &B, node: NodeId) -> Option<Frame> {
    if node.is_none() {
        None
    } else {
        run_start(nodes::read(b, node))
    }
}

/// Whether two different nodes can be compared entry by entry: both are plain, neither is none or a run.
#[inline(always)]
fn both_plain<B: Backend>(b: &B, from: NodeId, to: NodeId) -> bool {
    if from.is_none() || to.is_none() {
        return false;
    }
    // No two nodes are runs of the same frames. So if the first two words are equal, which they mostly are, neither is a run.
    let (old, new) = (entry_pair(b, from, 0), entry_pair(b, to, 0));
    old == new || (old as u32 != RUN_TAG && new as u32 != RUN_TAG)
}

/// Entries 2 `i` and 2 `i` + 1 of `node`, the first in the low half. Most entries of two nodes are equal: by pairs they are compared twice as
/// fast.
#[inline(always)]
fn entry_pair<B: Backend>(b: &B, node: NodeId, i: usize) -> u64 {
    let pairs: &[u64; FANOUT / 2] = zerocopy::transmute_ref!(nodes::read(b, node));
    pairs[i]
}

/// Calls `f` with index, old entry and new entry wherever two plain nodes differ.
#[inline(always)]
fn each_difference<B: Backend>(
    b: &mut B,
    from: NodeId,
    to: NodeId,
    mut f: impl FnMut(&mut B, u32, NodeId, NodeId),
) {
    for i in 0..FANOUT / 2 {
        let (old, new) = (entry_pair(b, from, i), entry_pair(b, to, i));
        if old == new {
            continue;
        }
        let first = 2 * i as u32;
        if old as u32 != new as u32 {
            f(b, first, NodeId(old as u32), NodeId(new as u32));
        }
        if old >> 32 != new >> 32 {
            f(
                b,
                first + 1,
                NodeId((old >> 32) as u32),
                NodeId((new >> 32) as u32),
            );
        }
    }
}
