//! Fold and protect: dirty pages become the base's, and folded pages become clean.

use super::Snapshots;
use super::change::{Cursor, LEAF_PAGES};
use super::dirty::Dirty;
use super::frames::{Frame, NoMemory};
use super::nodes;
use super::seam::Machine;

/// Frames that are left to a fold of [`Fold::Superseded`] when nothing else may take any more: enough for the nodes of its first pages.
/// From then on it feeds itself, for with no snapshot left each page that it folds needs 24 nodes at the most and frees a frame, which
/// holds 112. So what is behind dirty pages can always be had.
pub(super) const FOLD_RESERVE: u32 = 2;

/// What a fold writes into the base.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fold {
    /// The dirty pages that supersede one of the base.
    Superseded,
    /// All dirty pages.
    All,
}

impl Snapshots {
    /// Writes the dirty pages into the base, as a checkpoint does; leaves [`FOLD_RESERVE`].
    pub(super) fn fold<M: Machine>(&mut self, m: &mut M) -> Result<(), NoMemory> {
        self.fold_some(m, Fold::All, FOLD_RESERVE)
    }

    /// After a snapshot went: if only the running VM is left on its base, the pages behind the dirty ones are of no use to anybody.
    pub(super) fn fold_if_alone<M: Machine>(&mut self, m: &mut M) {
        if !self.base.is_none() && nodes::holders(m, self.base) == 1 {
            // It may run out of memory as long as there are other snapshots; those pages then wait until more have gone.
            let _ = self.fold_some(m, Fold::Superseded, 0);
        }
    }

    fn fold_some<M: Machine>(
        &mut self,
        m: &mut M,
        what: Fold,
        reserve: u32,
    ) -> Result<(), NoMemory> {
        // What supersedes a page goes first: it may free memory, which the rest needs.
        if self.superseding != 0 {
            self.fold_pass(m, true, reserve)?;
            self.superseding = 0;
        }
        if what == Fold::All && self.added != 0 {
            self.fold_pass(m, false, reserve)?;
            self.added = 0;
        }
        Ok(())
    }

    /// Folds the pages that supersede one of the base, or the others.
    fn fold_pass<M: Machine>(
        &mut self,
        m: &mut M,
        superseding: bool,
        reserve: u32,
    ) -> Result<(), NoMemory> {
        let (memory, base, level) = (&mut self.memory, &mut self.base, self.level);
        let wanted = |entry: &Dirty| !entry.is_folded() && (entry.base != 0) == superseding;
        let mut cursor = Cursor::new();
        let mut next = 0;
        while let Some(&entry) = self.dirty.get(next) {
            if !wanted(&entry) {
                next += 1;
                continue;
            }
            if memory.frames.free() < reserve {
                return Err(NoMemory);
            }
            if entry.is_block() {
                memory.set_block(m, base, level, entry.page(), Frame(entry.private))?;
                self.dirty[next].base = entry.private;
                next += 1;
                // The way down may be another one now.
                cursor = Cursor::new();
                continue;
            }
            // Entries in a row that are pages of one leaf go together. They are asked for when nothing can fail any more.
            let changes = core::iter::from_fn(|| {
                let change = self.dirty.get_mut(next)?;
                if !change.shares_leaf(entry) || !wanted(change) {
                    return None;
                }
                change.base = change.private;
                next += 1;
                Some((change.page as usize % LEAF_PAGES, change.private))
            });
            memory.set(m, base, level, &mut cursor, entry.page, changes)?;
        }
        Ok(())
    }

    /// All folded pages become clean.
    pub(super) fn protect<M: Machine>(&mut self, m: &mut M) {
        debug_assert_eq!((self.superseding, self.added), (0, 0));
        if self.dirty.is_empty() {
            return;
        }
        for entry in &self.dirty {
            if entry.is_block() {
                m.protect_block(entry.page());
            } else {
                m.protect_page(entry.page());
            }
        }
        self.dirty.clear();
        m.end_protect();
    }
}
