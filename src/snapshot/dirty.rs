//! The dirty list: the pages that the guest has stored to since the last checkpoint or restore.

use super::Snapshots;
use super::backend::Page;
use super::change::LEAF_PAGES;
use super::frames::Frame;

/// An entry of the dirty list: a page, or a whole block. Its size is a power of two, which makes walking the list cheaper.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
pub(super) struct DirtyEntry {
    /// The page, or the first of a block.
    pub(super) page: u32,
    /// The frame that the guest writes to.
    pub(super) private: u32,
    /// The frame that the base has there, with the contents of before the store; 0: none.
    pub(super) base: u32,
    /// 1 if a restore of the base is to write the page back in place ([`recent`](super::recent)), else 0. Of an entry that was folded: what the base had
    /// there before; 0: nothing, or the store was to a page that nobody shares.
    note: u32,
}

/// In [`DirtyEntry::page`]: the entry is for a whole block.
pub(super) const BLOCK_FLAG: u32 = 1 << 31;

impl DirtyEntry {
    /// The page, or the first page of the block.
    pub(super) fn page(self) -> Page {
        self.page & !BLOCK_FLAG
    }

    /// Whether the entry is for a whole block.
    pub(super) fn is_block(self) -> bool {
        self.page & BLOCK_FLAG != 0
    }

    /// Whether both entries are for pages of one leaf of a map. A block has no leaf with anything else: [`BLOCK_FLAG`] differs, or its pages.
    pub(super) fn same_leaf(self, other: Self) -> bool {
        ((self.page ^ other.page) as usize) < LEAF_PAGES
    }

    /// Whether a restore of the base writes the page back in place.
    pub(super) fn is_keeper(self) -> bool {
        self.note != 0 && !self.is_folded()
    }

    /// Whether the base has the frame that the guest writes to.
    pub(super) fn is_folded(self) -> bool {
        self.base == self.private
    }

    /// The base has the frame that the guest writes to from here on.
    #[inline(always)]
    pub(super) fn fold(&mut self) {
        (self.base, self.note) = (self.private, self.base);
    }

    /// The frame that a fold has replaced in the base, if it did.
    #[inline(always)]
    pub(super) fn replaced(self) -> Option<u32> {
        (self.is_folded() && self.note != 0).then_some(self.note)
    }
}

impl Snapshots {
    #[inline]
    pub(super) fn push_dirty(&mut self, page: u32, base: u32, private: Frame) {
        self.push_entry(page, base, private, false);
    }

    #[inline]
    pub(super) fn push_entry(&mut self, page: u32, base: u32, private: Frame, keeper: bool) {
        let entry = DirtyEntry {
            page,
            private: private.0,
            base,
            note: keeper.into(),
        };
        self.dirty.push(entry);
        self.keepers += u32::from(keeper);
        if self.dirty.len() > self.deferred.watched_from {
            self.note_watched_entry(entry.page());
        }
    }
}

#[cfg(test)]
impl DirtyEntry {
    /// The frames that the guest writes to.
    pub(super) fn private_frames(self) -> core::ops::Range<u32> {
        let pages = match self.is_block() {
            true => crate::addr::BLOCK_PAGES,
            false => 1,
        };
        self.private..self.private + pages
    }
}
