//! A guest's access that stage 2 refused: the first touch of an absent page, and the first store to a clean one.

use super::Snapshots;
use super::backend::{Backend, Mapping, Page};
use super::dirty::BLOCK_FLAG;
use super::fold::FOLD_RESERVE;
use super::frames::{Frame, NoMemory};
use crate::addr::BLOCK_PAGES;

impl Snapshots {
    /// Makes `page` accessible, to a store if `write`, after stage 2 refused a guest's access. The guest then tries again.
    ///
    /// If memory is short, the oldest pools are freed until it suffices. Fails if it never does, which a share of
    /// [`min_frames`](super::min_frames) frames rules out.
    #[inline]
    pub fn fault_in<B: Backend>(
        &mut self,
        b: &mut B,
        page: Page,
        write: bool,
    ) -> Result<(), NoMemory> {
        while let Err(error) = self.try_fault_in(b, page, write) {
            if !self.free_oldest_pool(b) {
                return Err(error);
            }
        }
        Ok(())
    }

    #[inline]
    fn try_fault_in<B: Backend>(
        &mut self,
        b: &mut B,
        page: Page,
        write: bool,
    ) -> Result<(), NoMemory> {
        match b.mapping(page) {
            Mapping::Read(base) if write => self.first_store(b, page, base),
            Mapping::ReadBlock(first) if write => self.first_store_in_block(b, page, first),
            Mapping::AbsentBlock => self.fill_block(b, page),
            Mapping::Absent => self.fill_page(b, page),
            // Another core was faster, or this core's TLB remembers an older mapping.
            _ => {
                b.invalidate_local(page);
                Ok(())
            }
        }
    }

    #[inline]
    fn first_store<B: Backend>(
        &mut self,
        b: &mut B,
        page: Page,
        base: Frame,
    ) -> Result<(), NoMemory> {
        if self.memory.is_exclusive(b, self.base, self.level, page) {
            b.make_page_writable(page);
            self.push_dirty(page, base.0, base);
            return Ok(());
        }
        let private = self.alloc_private_page()?;
        b.copy_frame(base, private);
        b.map_page_writable(page, private);
        self.push_dirty(page, base.0, private);
        self.superseding += 1;
        Ok(())
    }

    fn first_store_in_block<B: Backend>(
        &mut self,
        b: &mut B,
        page: Page,
        first: Frame,
    ) -> Result<(), NoMemory> {
        let start = page / BLOCK_PAGES * BLOCK_PAGES;
        if self.memory.is_exclusive(b, self.base, self.level, page) {
            b.make_block_writable(page);
            self.push_dirty(start | BLOCK_FLAG, first.0, first);
            return Ok(());
        }
        b.split_live(page);
        self.first_store(b, page, Frame(first.0 + page % BLOCK_PAGES))
    }

    fn fill_block<B: Backend>(&mut self, b: &mut B, page: Page) -> Result<(), NoMemory> {
        // Near its end the share has single frames still, and they are enough.
        if self.memory.frames.free_count() <= FOLD_RESERVE + BLOCK_PAGES {
            return self.fill_page(b, page);
        }
        let Ok(first) = self.memory.frames.alloc_block() else {
            return self.fill_page(b, page);
        };
        let start = page / BLOCK_PAGES * BLOCK_PAGES;
        b.zero_frames(first, BLOCK_PAGES);
        b.map_block_writable(start, first);
        self.push_dirty(start | BLOCK_FLAG, 0, first);
        self.added += 1;
        self.present += BLOCK_PAGES;
        Ok(())
    }

    fn fill_page<B: Backend>(&mut self, b: &mut B, page: Page) -> Result<(), NoMemory> {
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
