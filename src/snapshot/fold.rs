//! Fold and protect: dirty pages become the base's, and folded pages become clean.

use super::Snapshots;
use super::backend::Backend;
use super::change::{Cursor, LEAF_PAGES};
use super::dirty::DirtyEntry;
use super::frames::{Frame, NoMemory};
use super::nodes;

/// Frames that only a fold of [`Fold::Superseding`] may take. Two frames give it the nodes for its first pages. With no snapshot left, each
/// page that it folds frees a frame, which makes 112 nodes, and needs 24 nodes at the most. So the frames behind dirty pages can always be
/// freed.
pub(super) const FOLD_RESERVE: u32 = 2;

/// Which dirty pages a fold writes into the base.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fold {
    /// Those that replace a page of the base.
    Superseding,
    /// All of them.
    All,
}

impl Snapshots {
    /// Writes all dirty pages into the base. Fails if fewer than [`FOLD_RESERVE`] frames would be left; some of the pages are folded then, which
    /// harms nothing.
    pub(super) fn fold<B: Backend>(&mut self, b: &mut B) -> Result<(), NoMemory> {
        self.fold_some(b, Fold::All, FOLD_RESERVE)
    }

    /// After a snapshot went. If only the running VM holds the base, nothing can go back to the pages that dirty ones replace: a fold frees them.
    pub(super) fn fold_if_only_holder<B: Backend>(&mut self, b: &mut B) {
        if !self.base.is_none() && nodes::holders(b, self.base) == 1 {
            // With other snapshots left it may run out of memory. The frames are then freed when more snapshots have gone.
            let _ = self.fold_some(b, Fold::Superseding, 0);
        }
    }

    fn fold_some<B: Backend>(
        &mut self,
        b: &mut B,
        what: Fold,
        reserve: u32,
    ) -> Result<(), NoMemory> {
        // Pages that replace one go first: that may free memory, which the others need.
        if self.superseding != 0 {
            // Those that are folded are keepers no more, and with them not all that are.
            self.keepers = 0;
            self.fold_pass(b, true, reserve)?;
            self.superseding = 0;
        }
        if what == Fold::All && self.added != 0 {
            self.fold_pass(b, false, reserve)?;
            self.added = 0;
        }
        Ok(())
    }

    /// Folds the dirty pages that replace a page of the base; or, if not `superseding`, the dirty pages that the base has nothing of.
    fn fold_pass<B: Backend>(
        &mut self,
        b: &mut B,
        superseding: bool,
        reserve: u32,
    ) -> Result<(), NoMemory> {
        let (memory, base, level) = (&mut self.memory, &mut self.base, self.level);
        let wanted = |entry: &DirtyEntry| !entry.is_folded() && (entry.base != 0) == superseding;
        let mut cursor = Cursor::new();
        let mut next = 0;
        while let Some(&entry) = self.dirty.get(next) {
            if !wanted(&entry) {
                next += 1;
                continue;
            }
            if memory.frames.free_count() < reserve {
                return Err(NoMemory);
            }
            if entry.is_block() {
                memory.set_run(b, base, level, entry.page(), Frame(entry.private))?;
                self.dirty[next].base = entry.private;
                next += 1;
                // The nodes on the way down may be others now.
                cursor = Cursor::new();
                continue;
            }
            // Entries in a row for pages of one leaf are folded together. `set_in_leaf` draws them after its last step that can fail.
            let changes = core::iter::from_fn(|| {
                let change = self.dirty.get_mut(next)?;
                if !change.same_leaf(entry) || !wanted(change) {
                    return None;
                }
                change.base = change.private;
                next += 1;
                Some((change.page as usize % LEAF_PAGES, change.private))
            });
            memory.set_in_leaf(b, base, level, &mut cursor, entry.page, changes)?;
        }
        Ok(())
    }

    /// Makes all dirty pages clean. All of them are folded.
    pub(super) fn protect<B: Backend>(&mut self, b: &mut B) {
        debug_assert_eq!((self.superseding, self.added), (0, 0));
        if self.dirty.is_empty() {
            return;
        }
        for entry in &self.dirty {
            if entry.is_block() {
                b.protect_block(entry.page());
            } else {
                b.protect_page(entry.page());
            }
        }
        self.dirty.clear();
        self.keepers = 0;
        b.end_protect();
    }
}
