//! A guest's access that stage 2 refused: the first touch of an absent page, and the first store to a clean one.

use super::Snapshots;
use super::backend::{Backend, Mapping, Page, Reach};
use super::dirty::BLOCK_FLAG;
use super::fold::FOLD_RESERVE;
use super::frames::{Frame, NoMemory};
use super::place::Place;
use crate::addr::BLOCK_PAGES;

/// Pages that are filled with zeros at a time: some 200 instructions each.
const ZEROED_AT_A_TIME: u32 = 128;

/// Why a page is not accessible yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotYet {
    /// Memory is short.
    NoMemory,
    /// A piece of what it takes is done.
    Unfinished,
}

impl From<NoMemory> for NotYet {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// A block that is being filled with zeros, for the first access to an absent one.
#[derive(Clone, Copy)]
pub(super) struct Zeroing {
    pub(super) first: Frame,
    /// Pages of it that are filled.
    pages: u32,
}

impl Snapshots {
    /// Makes `page` accessible, to a store if `write`, after stage 2 refused a guest's access, which reached it as `reach` says. The guest then
    /// tries again.
    ///
    /// Fails if memory is short: [`reclaim`](Self::reclaim) frees a piece of what can be freed, and the guest faults again. Or if what it takes is done
    /// in pieces: then the guest faults again for each of them.
    #[inline]
    pub fn fault_in<B: Backend>(
        &mut self,
        b: &mut B,
        page: Page,
        write: bool,
        reach: Reach,
    ) -> Result<(), NotYet> {
        let frame = match b.mapping(page) {
            Mapping::Read(frame) if write => frame,
            Mapping::ReadBlock(first) if write => match self.leave_block(b, page, first) {
                Some(frame) => frame,
                None => return Ok(()),
            },
            absent @ (Mapping::AbsentBlock | Mapping::Absent) => {
                let in_absent_block = absent == Mapping::AbsentBlock;
                return self.access_absent(b, page, in_absent_block, write, reach);
            }
            // Another core was faster, or this core's TLB remembers an older mapping.
            _ => {
                b.invalidate_local(page);
                return Ok(());
            }
        };
        Ok(self.first_store(b, page, frame, reach)?)
    }

    /// The first store to `page`, which is clean and whose frame is `frame`. The VM keeps its frame, if no more than one leaf holds it: the
    /// fresh frame, with the contents as they were, takes its place in that leaf, and so in all maps that share the leaf. Then the page's entry
    /// of stage 2 keeps its output address. Where several leaves hold it, the VM gets the fresh frame.
    #[inline(always)]
    fn first_store<B: Backend>(
        &mut self,
        b: &mut B,
        page: Page,
        frame: Frame,
        reach: Reach,
    ) -> Result<(), NoMemory> {
        let entry = match self.memory.place_of(b, self.base, self.level, page) {
            Place::Exclusive => {
                // What a restore left in the caches must not go over what is stored around them.
                if reach == Reach::Around {
                    b.clean_frame(frame);
                }
                b.make_page_writable(page);
                self.push_dirty(page, frame.0, frame);
                return Ok(());
            }
            Place::Leaf(entry) => Some(entry),
            // The nodes may take a new slab, beside the copy and what a fold may need.
            Place::Run(node, level) if self.memory.frames.free_count() > FOLD_RESERVE + 1 => {
                Some(self.memory.expand_to_leaf(b, node, level, page)?)
            }
            Place::Run(..) | Place::Several => None,
        };
        let fresh = self.alloc_private_page()?;
        // What the VM gets, memory has as well.
        let copied = entry.map_or(Reach::Around, |_| reach);
        b.copy_frame(frame, fresh, copied);
        // What is written back in place is written through the caches.
        let keeper = reach == Reach::Cached && self.recent.has(page);
        match entry {
            Some(entry) => {
                *b.word_mut(entry) = fresh.0;
                b.make_page_writable(page);
                self.push_entry(page, fresh.0, frame, keeper);
            }
            None => {
                b.map_page_writable(page, fresh);
                self.push_entry(page, frame.0, fresh, keeper);
            }
        }
        self.superseding += 1;
        Ok(())
    }

    /// The first store to a page of the block that is mapped to the frames from `first` on. If no other map has the block, it becomes writable as
    /// a whole. Else it is split in stage 2, and the page's frame is returned: its first store must follow.
    #[inline(never)]
    fn leave_block<B: Backend>(&mut self, b: &mut B, page: Page, first: Frame) -> Option<Frame> {
        let (base, level) = (self.base, self.level);
        if self.memory.is_exclusive_run(b, base, level, page) {
            b.make_block_writable(page);
            let start = page / BLOCK_PAGES * BLOCK_PAGES;
            self.push_dirty(start | BLOCK_FLAG, first.0, first);
            return None;
        }
        b.split_live(page);
        Some(Frame(first.0 + page % BLOCK_PAGES))
    }

    /// Maps the block of `page`, which is absent, filled with zeros: a piece of that, of any block that is wanted.
    #[inline(never)]
    pub(super) fn fill_block<B: Backend>(&mut self, b: &mut B, page: Page) -> Result<(), NotYet> {
        let Some(Zeroing { first, pages }) = self.zeroing.take().or_else(|| self.begin_zeroing())
        else {
            return Ok(self.fill_page(b, page)?);
        };
        let piece = ZEROED_AT_A_TIME.min(BLOCK_PAGES - pages);
        b.zero_frames(Frame(first.0 + pages), piece);
        let pages = pages + piece;
        if pages < BLOCK_PAGES {
            self.zeroing = Some(Zeroing { first, pages });
            #[cfg(test)]
            {
                self.pieces += 1;
            }
            return Err(NotYet::Unfinished);
        }
        let start = page / BLOCK_PAGES * BLOCK_PAGES;
        b.map_block_writable(start, first);
        self.push_dirty(start | BLOCK_FLAG, 0, first);
        self.added += 1;
        self.present += BLOCK_PAGES;
        Ok(())
    }

    fn begin_zeroing(&mut self) -> Option<Zeroing> {
        // Near its end the share has single frames still, and they are enough.
        if self.memory.frames.free_count() <= self.pools.frames_for_commit() + BLOCK_PAGES {
            return None;
        }
        let first = self.memory.frames.alloc_block().ok()?;
        Some(Zeroing { first, pages: 0 })
    }

    /// Memory is short: the block that is being filled is free again, if there is one. Returns whether there was.
    pub(super) fn abandon_zeroing(&mut self) -> bool {
        let zeroing = self.zeroing.take();
        if let Some(Zeroing { first, .. }) = zeroing {
            self.memory.frames.free_block(first);
        }
        zeroing.is_some()
    }

    /// Frames that count as free, though they are being filled with zeros.
    pub(super) fn zeroing_count(&self) -> u32 {
        self.zeroing.map_or(0, |_| BLOCK_PAGES)
    }

    #[inline(never)]
    pub(super) fn fill_page<B: Backend>(&mut self, b: &mut B, page: Page) -> Result<(), NoMemory> {
        let private = self.alloc_private_page()?;
        b.zero_frames(private, 1);
        b.map_page_writable(page, private);
        self.push_dirty(page, 0, private);
        self.added += 1;
        self.present += 1;
        Ok(())
    }

    #[inline]
    fn alloc_private_page(&mut self) -> Result<Frame, NoMemory> {
        if self.memory.frames.free_count() <= FOLD_RESERVE {
            return Err(NoMemory);
        }
        self.memory.frames.alloc()
    }
}
