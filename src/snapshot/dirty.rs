//! The dirty list: the pages that the guest has stored to since the last checkpoint or restore.

use super::Snapshots;
use super::change::LEAF_PAGES;
use super::frames::Frame;
use super::seam::Page;

/// An entry of the dirty list. Its size is a power of two: that counts, for there are many.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
pub(super) struct Dirty {
    /// The page, or the first of a block.
    pub(super) page: u32,
    /// What the base holds there; 0: nothing.
    pub(super) base: u32,
    /// What the guest writes to.
    pub(super) private: u32,
}

/// In [`Dirty::page`]: the entry is for a whole block.
pub(super) const BLOCK: u32 = 1 << 31;

impl Dirty {
    pub(super) fn page(self) -> Page {
        self.page & !BLOCK
    }

    pub(super) fn is_block(self) -> bool {
        self.page & BLOCK != 0
    }

    /// Whether both are pages of one leaf of a map. (A block shares none: its flag differs, or its pages.)
    pub(super) fn shares_leaf(self, other: Self) -> bool {
        ((self.page ^ other.page) as usize) < LEAF_PAGES
    }

    /// Whether the base holds what the guest writes to.
    pub(super) fn is_folded(self) -> bool {
        self.base == self.private
    }
}

impl Snapshots {
    #[inline]
    pub(super) fn note(&mut self, page: u32, base: u32, private: Frame) {
        let entry = Dirty {
            page,
            base,
            private: private.0,
        };
        self.dirty.push(entry);
    }
}

#[cfg(test)]
impl Dirty {
    pub(super) fn private_frames(self) -> core::ops::Range<u32> {
        self.private..self.private + if self.is_block() { BLOCK_PAGES } else { 1 }
    }
}
