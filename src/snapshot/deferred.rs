//! What a restore leaves for later, so that it takes no longer the more it has to take back.
//!
//! Stage 2 need not map all that the base has: a page is mapped at its first access ([`access_absent`](Snapshots::access_absent)). So where a restore
//! has to change much of stage 2, it makes the blocks of those pages absent, which takes a store for each block, and the base is another one at
//! once. And the dirty list goes as a whole: the frames that the guest wrote to are freed in pieces, by who needs memory, and at stores.
//!
//! ```text
//! stage 2 of a block        before the restore         behind it        at its first access
//!                           pages, some dirty          absent           pages as the base has them, read-only
//! dirty list                [ many entries ]           [ ]              [ new entries ]
//! dropped                   [ ]                        [ many entries ] [ fewer with each store ]
//! ```
//!
//! Little is changed at once, as ever: then no access faults for it.
//!
//! A block that is absent in stage 2 is the guest's to touch as any other: no TLB holds anything of it, as the tables of RAM were detached when it
//! became absent, and an invalid entry is never cached (Arm ARM D8.16, "TLB maintenance"). So mapping it needs no invalidation.

use super::Snapshots;
use super::backend::{Backend, Mapping, Page, Reach};
use super::dirty::DirtyEntry;
use super::fault::NotYet;
use super::frames::{Frame, Frames};
use super::layout::{FANOUT, NodeId};
use super::map::{BLOCK_LEVEL, FrameStore, entry_index, run_start, span};
use super::nodes;
use crate::addr::BLOCK_PAGES;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// Entries of the dirty list that a restore takes back at once: some 30 instructions each.
pub(super) const TAKEN_BACK_AT_ONCE: usize = 1300;
/// Entries of the list of dropped ones that are freed in a piece at the least, and at the most: some 20 instructions each.
const FREED_AT_LEAST: usize = 512;
const FREED_AT_MOST: usize = 1536;
/// Blocks of a word of [`Deferred::touched`] of which so many were touched are unmapped all together.
const MOST_OF_A_WORD: u32 = 16;

/// What restores have left for later.
pub(super) struct Deferred {
    /// Entries of the dirty list that a restore took off it: their frames wait to be freed. As long as there are some, [`Snapshots::dirty`] is the
    /// shorter one of two vectors, else this is.
    pub(super) dropped: Vec<DirtyEntry>,
    /// Blocks of the pages on the dirty list, but for those of its first [`Deferred::at_once`] entries: a bit for each. Perhaps some more.
    touched: Vec<u64>,
    /// Entries of the dirty list that a restore takes back at once.
    pub(super) at_once: usize,
    /// An entry of the dirty list from this place on is not just put there.
    pub(super) watched_from: usize,
}

impl Deferred {
    /// Nothing, for a VM of `pages` pages.
    pub(super) fn new(pages: u32) -> Self {
        Self {
            dropped: Vec::with_capacity(shorter(pages)),
            touched: vec![0; touched_words(pages)],
            at_once: TAKEN_BACK_AT_ONCE,
            watched_from: TAKEN_BACK_AT_ONCE,
        }
    }

    /// Bytes of heap that this takes for `pages` pages.
    pub(super) fn bytes(pages: u32) -> u64 {
        (shorter(pages) * size_of::<DirtyEntry>() + touched_words(pages) * size_of::<u64>()) as u64
    }

    fn touch(&mut self, page: Page) {
        let block = page / BLOCK_PAGES;
        self.touched[block as usize / 64] |= 1 << (block % 64);
    }
}

/// Entries of the shorter one of the two lists: one for each piece in which the longest list is freed, and no fewer than a restore takes back at once.
fn shorter(pages: u32) -> usize {
    let pages = pages as usize;
    let pieces = pages.div_ceil(FREED_AT_MOST) + 1;
    TAKEN_BACK_AT_ONCE.max(pieces).min(pages)
}

/// Entries of the list of dropped ones that are freed in a piece, for a VM of `pages` pages: with each piece comes one entry of the shorter list.
fn freed_at_a_time(pages: u32) -> usize {
    let pieces = shorter(pages).saturating_sub(1).max(1);
    FREED_AT_LEAST.max((pages as usize).div_ceil(pieces))
}

fn touched_words(pages: u32) -> usize {
    pages.div_ceil(64 * BLOCK_PAGES) as usize
}

fn free_all(frames: &mut Frames, entries: impl Iterator<Item = DirtyEntry>) {
    for entry in entries.filter(|entry| !entry.is_folded()) {
        match entry.is_block() {
            true => frames.free_block(Frame(entry.private)),
            false => frames.free(Frame(entry.private)),
        }
    }
}

impl Snapshots {
    /// How many blocks RAM has.
    pub(super) fn blocks(&self) -> u32 {
        self.pages.div_ceil(BLOCK_PAGES)
    }

    /// Takes all entries off the dirty list; the blocks that they are of, or with `all` all blocks, become absent in stage 2, which is detached.
    #[cold]
    #[inline(never)]
    pub(super) fn defer_dirty<B: Backend>(&mut self, b: &mut B, all: bool) {
        let deferred = &mut self.deferred;
        // Entries in a row are mostly of one block.
        let mut last = u32::MAX;
        for entry in self.dirty.iter().take(deferred.at_once) {
            let block = entry.page() / BLOCK_PAGES;
            if block != last {
                deferred.touch(entry.page());
                last = block;
            }
        }
        for (i, touched) in deferred.touched.iter_mut().enumerate() {
            let touched = core::mem::take(touched);
            if !all {
                unmap_touched(b, i as u32 * 64, touched, self.pages.div_ceil(BLOCK_PAGES));
            }
        }
        if all {
            b.unmap_blocks(0, self.blocks());
        }
        // Its blocks must be split in stage 2.
        self.way_back.forget();
        if !self.deferred.dropped.is_empty() {
            // It has room: as many went from there, at the least, as are on the shorter list.
            self.deferred.dropped.append(&mut self.dirty);
        } else if self.dirty.len() > self.deferred.at_once {
            core::mem::swap(&mut self.dirty, &mut self.deferred.dropped);
            self.deferred.watched_from = 0;
        } else {
            free_all(&mut self.memory.frames, self.dirty.drain(..));
        }
    }

    /// The page, or the block, of the newest entry of the dirty list is one that a restore does not take back at once; or there are dropped entries,
    /// and a piece of these is freed.
    #[cold]
    #[inline(never)]
    pub(super) fn note_watched_entry(&mut self, page: Page) {
        self.deferred.touch(page);
        self.free_dropped();
    }

    /// Frees a piece of what a restore dropped. Returns whether there was something.
    #[inline]
    pub fn free_dropped(&mut self) -> bool {
        let is_some = !self.deferred.dropped.is_empty();
        if is_some {
            self.free_some_dropped();
        }
        is_some
    }

    #[cold]
    #[inline(never)]
    fn free_some_dropped(&mut self) {
        let deferred = &mut self.deferred;
        let count = deferred.dropped.len();
        let piece = freed_at_a_time(self.pages);
        let first = count.saturating_sub(piece);
        free_all(&mut self.memory.frames, deferred.dropped.drain(first..));
        if deferred.dropped.is_empty() {
            // The longer one is the dirty list again. What is on the other was pushed since: one for each piece, or fewer.
            deferred.dropped.append(&mut self.dirty);
            core::mem::swap(&mut self.dirty, &mut deferred.dropped);
            deferred.watched_from = deferred.at_once;
        }
    }

    /// Makes `page` accessible, which stage 2 does not map, nor with `in_absent_block` any page of its block: as the base has it, or filled with
    /// zeros.
    #[cold]
    #[inline(never)]
    pub(super) fn access_absent<B: Backend>(
        &mut self,
        b: &mut B,
        page: Page,
        in_absent_block: bool,
        write: bool,
        reach: Reach,
    ) -> Result<(), NotYet> {
        let block = self.memory.block_of(b, self.base, self.level, page);
        if !block.is_none() {
            self.memory.map_clean(b, block, page, in_absent_block);
            let is_mapped = self.memory.frame_of(b, block, BLOCK_LEVEL, page).is_some();
            if is_mapped {
                return match write {
                    true => self.fault_in(b, page, true, reach),
                    false => Ok(()),
                };
            }
        }
        // Whole blocks may be among what waits.
        self.free_dropped();
        match in_absent_block && block.is_none() {
            true => self.fill_block(b, page),
            false => Ok(self.fill_page(b, page)?),
        }
    }

    /// A restore takes no more than so many entries of the dirty list back at once.
    #[cfg(test)]
    pub(crate) fn defer_beyond(&mut self, entries: usize) {
        (self.deferred.at_once, self.deferred.watched_from) = (entries, entries);
    }

    /// The frame of `page` in the base; `None` if the page is absent there. What a page holds that stage 2 does not map.
    pub fn frame_in_base<B: Backend>(&self, b: &B, page: Page) -> Option<Frame> {
        self.memory.frame_of(b, self.base, self.level, page)
    }
}

/// Unmaps the blocks from number `first` on that have a bit in `touched`; of `blocks` that there are.
fn unmap_touched(b: &mut impl Backend, first: u32, mut touched: u64, blocks: u32) {
    if touched.count_ones() > MOST_OF_A_WORD {
        b.unmap_blocks(first * BLOCK_PAGES, (blocks - first).min(64));
        return;
    }
    while touched != 0 {
        let block = first + touched.trailing_zeros();
        touched &= touched - 1;
        b.set_block(block * BLOCK_PAGES, None);
    }
}

impl FrameStore {
    /// The node of [`BLOCK_LEVEL`] that the map `root`, whose root is of `level`, has for the block of `page`.
    fn block_of<B: Backend>(&self, b: &B, root: NodeId, level: u32, page: Page) -> NodeId {
        let mut node = root;
        // Runs are no larger than a block.
        for level in (BLOCK_LEVEL + 1..=level).rev() {
            if node.is_none() {
                return node;
            }
            node = NodeId(nodes::read(b, node).0[entry_index(page, level)]);
        }
        node
    }

    /// Maps what `block`, the node of `page`'s block, has: all of it if nothing of the block is mapped yet; or, if that takes long, the pages of
    /// `page`'s leaf.
    fn map_clean<B: Backend>(&self, b: &mut B, block: NodeId, page: Page, in_absent_block: bool) {
        let start = page / BLOCK_PAGES * BLOCK_PAGES;
        let leaf = page / span(0) * span(0);
        let pages = match in_absent_block && !b.cleans_what_is_accessed() {
            true => start..start + BLOCK_PAGES,
            false => leaf..leaf + span(0),
        };
        let run = run_start(nodes::read(b, block));
        match run.filter(|_| pages.start == start && pages.end == start + BLOCK_PAGES) {
            Some(first) => b.map_clean_block(start, first),
            None if in_absent_block => {
                let map = |b: &mut B, page, frame| b.map_clean_page(page, frame);
                self.each_page(b, (block, BLOCK_LEVEL, start), &pages, &map);
            }
            None => {
                let map = |b: &mut B, page, frame| {
                    if b.mapping(page) == Mapping::Absent {
                        b.map_clean_page(page, frame);
                    }
                };
                self.each_page(b, (block, BLOCK_LEVEL, start), &pages, &map);
            }
        }
        b.end_map_clean();
    }

    /// Calls `f` with each of `pages` that a node has, and with its frame. The node comes with its level and its first page.
    fn each_page<B: Backend>(
        &self,
        b: &mut B,
        (node, level, first): (NodeId, u32, Page),
        pages: &Range<Page>,
        f: &impl Fn(&mut B, Page, Frame),
    ) {
        let within = first.max(pages.start)..(first + span(level)).min(pages.end);
        if node.is_none() || within.is_empty() {
            return;
        }
        let words = *nodes::read(b, node);
        if let Some(frame) = run_start(&words) {
            return within.for_each(|page| f(b, page, Frame(frame.0 + page - first)));
        }
        for (i, &entry) in (0..).zip(&words.0) {
            let at = first + i * (span(level) / FANOUT as u32);
            match level {
                0 if entry != 0 => f(b, at, Frame(entry)),
                0 => {}
                _ => self.each_page(b, (NodeId(entry), level - 1, at), pages, f),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_list_is_freed_before_the_shorter_one_is_full() {
        for pages in [64, 512, 1 << 11, 1 << 15, 1 << 18, 1 << 21, 15 << 18] {
            let piece = freed_at_a_time(pages);
            assert!((FREED_AT_LEAST..=FREED_AT_MOST).contains(&piece), "{pages}");
            assert!(
                (pages as usize).div_ceil(piece) <= shorter(pages),
                "{pages}"
            );
            assert!(shorter(pages) <= pages as usize);
        }
    }
}
