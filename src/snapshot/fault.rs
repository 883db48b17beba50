//! A guest's access that stage 2 refused: the first touch of an absent page, and the first store to a clean one.

use super::Snapshots;
use super::dirty::BLOCK;
use super::fold::FOLD_RESERVE;
use super::frames::{Frame, NoMemory};
use super::seam::{Machine, Mapping, Page};
use crate::addr::BLOCK_PAGES;

impl Snapshots {
    /// A guest's access to `page` faulted, and stage 2 is the reason: makes the access possible. The VM then tries again.
    ///
    /// If memory runs out, the oldest pools are freed until it suffices; an error says that even this did not help,
    /// which a share of [`least_share`](super::Pools) frames rules out.
    #[inline]
    pub fn touch<M: Machine>(
        &mut self,
        m: &mut M,
        page: Page,
        write: bool,
    ) -> Result<(), NoMemory> {
        while let Err(error) = self.try_touch(m, page, write) {
            if !self.free_oldest_pool(m) {
                return Err(error);
            }
        }
        Ok(())
    }

    #[inline]
    fn try_touch<M: Machine>(
        &mut self,
        m: &mut M,
        page: Page,
        write: bool,
    ) -> Result<(), NoMemory> {
        match m.mapping(page) {
            Mapping::Read(base) if write => self.first_store(m, page, base),
            Mapping::ReadBlock(first) if write => self.first_store_in_block(m, page, first),
            Mapping::AbsentBlock => self.fill_block(m, page),
            Mapping::Absent => self.fill_page(m, page),
            // Another core was faster, or this one's TLB remembers what was.
            _ => {
                m.refresh(page);
                Ok(())
            }
        }
    }

    #[inline]
    fn first_store<M: Machine>(
        &mut self,
        m: &mut M,
        page: Page,
        base: Frame,
    ) -> Result<(), NoMemory> {
        if self.memory.is_exclusive(m, self.base, self.level, page) {
            m.widen_page(page);
            self.note(page, base.0, base);
            return Ok(());
        }
        let private = self.alloc_page()?;
        m.copy(base, private);
        m.give_page(page, private);
        self.note(page, base.0, private);
        self.superseding += 1;
        Ok(())
    }

    fn first_store_in_block<M: Machine>(
        &mut self,
        m: &mut M,
        page: Page,
        first: Frame,
    ) -> Result<(), NoMemory> {
        let start = page / BLOCK_PAGES * BLOCK_PAGES;
        if self.memory.is_exclusive(m, self.base, self.level, page) {
            m.widen_block(page);
            self.note(start | BLOCK, first.0, first);
            return Ok(());
        }
        m.split(page);
        self.first_store(m, page, Frame(first.0 + page % BLOCK_PAGES))
    }

    fn fill_block<M: Machine>(&mut self, m: &mut M, page: Page) -> Result<(), NoMemory> {
        // A share whose whole blocks are used up still has single frames.
        if self.memory.frames.free() <= FOLD_RESERVE + BLOCK_PAGES {
            return self.fill_page(m, page);
        }
        let Ok(first) = self.memory.frames.alloc_block() else {
            return self.fill_page(m, page);
        };
        let start = page / BLOCK_PAGES * BLOCK_PAGES;
        m.zero(first, BLOCK_PAGES);
        m.give_block(start, first);
        self.note(start | BLOCK, 0, first);
        self.added += 1;
        self.present += BLOCK_PAGES;
        Ok(())
    }

    fn fill_page<M: Machine>(&mut self, m: &mut M, page: Page) -> Result<(), NoMemory> {
        let private = self.alloc_page()?;
        m.zero(private, 1);
        m.give_page(page, private);
        self.note(page, 0, private);
        self.added += 1;
        self.present += 1;
        Ok(())
    }

    #[inline]
    fn alloc_page(&mut self) -> Result<Frame, NoMemory> {
        if self.memory.frames.free() <= FOLD_RESERVE {
            return Err(NoMemory);
        }
        self.memory.frames.alloc()
    }
}
