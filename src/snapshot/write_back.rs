//! How keepers get their old contents: as many as can be done at once in the restore, the others in pieces before the VM goes on.
//!
//! Which they are says [`recent`](super::recent). They are at the front of the dirty list, and those that are owed are the last of them: until they
//! are written back no vCPU of the VM runs, and whatever would look at their contents, as a fold, has them all written back first.

use super::Snapshots;
use super::backend::Backend;
use super::dirty::DirtyEntry;
use super::frames::Frame;

/// Entries of the dirty list that take as long to be taken back as a page to be written back.
const ENTRIES_OF_A_PAGE: usize = 8;

/// How much may be written back before the piece is over, in the measure of [`Backend::write_back`].
pub(super) struct Budget(i32);

impl Budget {
    /// Where so many entries of the dirty list could be taken back.
    pub(super) fn instead_of(entries: usize) -> Self {
        // One at the least: who looks whether the caches are ahead of memory need not know what is still owed.
        Self((entries / ENTRIES_OF_A_PAGE).max(1) as i32)
    }

    #[inline(always)]
    pub(super) fn is_left(&self) -> bool {
        self.0 > 0
    }

    /// Writes the base's contents back into the page of `entry`, which stays dirty.
    #[inline(always)]
    pub(super) fn write_back<B: Backend>(&mut self, b: &mut B, entry: &DirtyEntry) {
        let took = b.write_back(entry.page, Frame(entry.base), Frame(entry.private));
        self.0 -= took;
    }
}

impl Snapshots {
    /// Whether the last restore has left pages to be written back. Until they are, no vCPU of the VM may run, and what its pages hold is not known.
    #[inline]
    pub fn owes_pages(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Writes some of these pages back, if there are any. No walk of the VM's begins on this core meanwhile, nor until its state is loaded again.
    #[cold]
    #[inline(never)]
    pub fn write_back_piece<B: Backend>(&mut self, b: &mut B) {
        b.begin_write_back();
        self.write_some_back(b);
        b.end_write_back();
    }

    #[inline(always)]
    pub(super) fn write_some_back<B: Backend>(&mut self, b: &mut B) {
        let mut budget = Budget::instead_of(self.deferred.at_once);
        let mut written = self.owed.start;
        for entry in &self.dirty[self.owed.clone()] {
            if !budget.is_left() {
                break;
            }
            budget.write_back(b, entry);
            written += 1;
        }
        self.owed.start = written;
    }

    /// Writes all of them back.
    #[cold]
    #[inline(never)]
    pub(super) fn write_back_all<B: Backend>(&mut self, b: &mut B) {
        while self.owes_pages() {
            self.write_back_piece(b);
        }
    }
}
