//! The way back to the snapshot before, for a debugger that goes from stop to stop.
//!
//! Where two maps differ, [`remap`](super::remap) finds by a walk of both: some 130 instructions for a page that lies alone. A checkpoint knows it
//! already: what it folds is where the new snapshot differs from the one that the VM ran on, and the dirty list has both frames of each page. So a
//! VM that another one controls keeps that list, and a restore of the snapshot before takes ten instructions a page:
//!
//! ```text
//! checkpoint   dirty list: (page, frame, old frame)      the frame is folded into the base; (page, old frame) is a step of the way
//! restore      of the snapshot before: each page is mapped to its old frame
//!              of any other: a walk of both maps; the way is forgotten
//! ```
//!
//! The way stays right as long as the base does. A first store exchanges a frame in a leaf of the base only ([`place`](super::place)), and a page of the way
//! is in another leaf there than in the map before: the fold has copied it. A leaf that both maps share changes for both. And its block stays split in
//! stage 2, until a restore makes it absent, which forgets the way.

use super::Snapshots;
use super::backend::{Backend, Page, PageEntries};
use super::dirty::DirtyEntry;
use super::layout::NodeId;
use super::nodes;
use alloc::vec::Vec;

/// The most pages that are kept. Of more, as a restore of another snapshot does much at once, most is left to the first accesses anyway.
const PAGES_MAX: usize = 1024;

/// Where the base differs from the map that it was before the last checkpoint.
#[derive(Default)]
pub(super) struct WayBack {
    /// The root of that map; none: the way is not known.
    before: NodeId,
    /// The base's root, since a snapshot has it; none: the checkpoint is not done yet.
    here: NodeId,
    /// Each page that differs, and its entry in the map before. Without room for any, no way is kept.
    pages: Vec<(Page, u32)>,
}

impl WayBack {
    /// Bytes of heap that a VM takes for it that keeps it.
    pub(super) const BYTES: u64 = (PAGES_MAX * size_of::<(Page, u32)>()) as u64;

    /// The next restore begins elsewhere.
    #[inline]
    pub(super) fn forget(&mut self) {
        (self.before, self.here) = (NodeId::NONE, NodeId::NONE);
    }

    /// Whether pages are folded for a checkpoint that is not done yet.
    #[inline]
    fn is_in_making(&self) -> bool {
        !self.before.is_none() && self.here.is_none()
    }

    /// The checkpoint is done: a snapshot has the base, whose root is `base`.
    #[inline]
    pub(super) fn end(&mut self, base: NodeId) {
        if self.is_in_making() {
            self.here = base;
        }
    }

    /// Whether this is the way from the base, whose root is `base`, to the map `root`, another one.
    #[inline]
    pub(super) fn leads(&self, base: NodeId, root: NodeId) -> bool {
        !self.before.is_none() && (self.here, self.before) == (base, root)
    }

    /// Notes pages that a fold has changed, before they leave the dirty list.
    #[inline]
    pub(super) fn note(&mut self, entries: &[DirtyEntry]) {
        if self.is_in_making() {
            self.note_all(entries);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_all(&mut self, entries: &[DirtyEntry]) {
        for entry in entries {
            match entry.replaced() {
                None => {}
                Some(_) if self.pages.len() == PAGES_MAX => return self.forget(),
                Some(old) => self.pages.push((entry.page, old)),
            }
        }
    }

    /// Goes it: stage 2, which is detached and shows the base, shows the map before. A page that was folded twice is mapped as it was first.
    #[cold]
    #[inline(never)]
    pub(super) fn go<B: Backend>(&self, b: &mut B) {
        let mut entries = b.page_entries();
        for &(page, old) in self.pages.iter().rev() {
            entries.set(page, old);
        }
    }
}

impl Snapshots {
    /// Bytes of heap that [`keep_way_back`](Self::keep_way_back) takes.
    pub const WAY_BACK_BYTES: u64 = WayBack::BYTES;

    /// From here on, the way back to the snapshot before is kept, as for a VM that another one controls.
    pub fn keep_way_back(&mut self) {
        self.way_back.pages.reserve_exact(PAGES_MAX);
    }

    /// Pages are about to be folded that replace one of the base.
    #[inline]
    pub(super) fn begin_way_back<B: Backend>(&mut self, b: &B) {
        if self.way_back.pages.capacity() != 0 {
            self.begin_kept_way_back(b);
        }
    }

    #[cold]
    #[inline(never)]
    fn begin_kept_way_back<B: Backend>(&mut self, b: &B) {
        if self.way_back.is_in_making() {
            return;
        }
        self.way_back.forget();
        // If no snapshot has the base, none is behind the way.
        if !self.base.is_none() && nodes::holders(b, self.base) > 1 {
            self.way_back.pages.clear();
            self.way_back.before = self.base;
        }
    }
}

#[cfg(test)]
impl WayBack {
    /// Each page that differs, and its entry in the map before. The first one of a page counts.
    pub(super) fn pages(&self) -> &[(Page, u32)] {
        &self.pages
    }

    /// Bytes of heap that it takes.
    pub(super) fn bytes(&self) -> u64 {
        (self.pages.capacity() * size_of::<(Page, u32)>()) as u64
    }
}
