//! Fold and protect: dirty pages become the base's, and folded pages become clean.

use super::Snapshots;
use super::backend::{Backend, PageEntries};
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

/// How much a piece of a fold may be: the first page of a leaf counts [`LEAF_WORK`], any other page 1. Some 30,000 instructions.
const FOLDED_AT_A_TIME: u32 = 640;
/// A leaf that is changed, with copies of the nodes above it, against a page more that is changed in it.
const LEAF_WORK: u32 = 8;
/// Entries of the dirty list that are protected at a time.
const PROTECTED_AT_A_TIME: usize = 1024;
/// A dirty list of this length is folded and protected at once.
pub(super) const DIRTY_AT_ONCE: usize = 100;

/// How far the dirty list is folded.
#[derive(Clone, Copy, Default)]
pub(super) struct Folded {
    /// All entries below this one that replace a page of the base are folded.
    superseding: usize,
    /// And all below this one of which the base had nothing.
    added: usize,
}

impl Snapshots {
    /// Writes all dirty pages into the base. Fails if fewer than [`FOLD_RESERVE`] frames would be left; some of the pages are folded then, which
    /// harms nothing.
    pub(super) fn fold<B: Backend>(&mut self, b: &mut B) -> Result<(), NoMemory> {
        self.fold_some(b, Fold::All, FOLD_RESERVE, u32::MAX)
            .map(|_| ())
    }

    /// Whether there is a dirty page that is not folded, or perhaps one.
    #[inline(always)]
    pub(super) fn has_unfolded(&self) -> bool {
        self.superseding | self.added != 0
    }

    /// A piece of what makes all dirty pages clean, while the VM runs; returns whether all of them are. Fails as [`fold`](Self::fold) does.
    ///
    /// First all are folded, then those at the end of the list are protected: what is left is the shorter list. As no snapshot has the base yet,
    /// a store to a page that is clean already makes it dirty and folded again.
    pub(super) fn clean_piece<B: Backend>(&mut self, b: &mut B) -> Result<bool, NoMemory> {
        if self.fold_some(b, Fold::All, FOLD_RESERVE, FOLDED_AT_A_TIME)? {
            self.protect_from(b, self.dirty.len().saturating_sub(PROTECTED_AT_A_TIME));
        }
        Ok(self.dirty.is_empty())
    }

    /// After a snapshot went. If only the running VM holds the base, nothing can go back to the pages that dirty ones replace: a fold frees them, a
    /// piece of them. Returns whether there is more of it.
    pub(super) fn fold_if_only_holder<B: Backend>(&mut self, b: &mut B) -> bool {
        if self.superseding == 0 || self.base.is_none() || nodes::holders(b, self.base) != 1 {
            return false;
        }
        // What is folded has its contents. No vCPU of the VM is loaded here then: as long as pages are owed, the VM makes no call.
        if self.owes_pages() {
            self.write_back_all(b);
        }
        // With other snapshots left it may run out of memory. The frames are then freed when more snapshots have gone.
        self.fold_some(b, Fold::Superseding, 0, FOLDED_AT_A_TIME / 2) == Ok(false)
    }

    /// Folds dirty pages, at the most as many as `limit` says, in the measure of [`FOLDED_AT_A_TIME`]. Returns whether all are.
    fn fold_some<B: Backend>(
        &mut self,
        b: &mut B,
        what: Fold,
        reserve: u32,
        limit: u32,
    ) -> Result<bool, NoMemory> {
        // Pages that replace one go first: that may free memory, which the others need.
        if self.superseding != 0 {
            // Those that are folded are keepers no more, and with them not all that are.
            self.keepers = 0;
            self.begin_way_back(b);
            if !self.fold_pass(b, true, reserve, limit)? {
                return Ok(false);
            }
            self.superseding = 0;
        }
        if what == Fold::All && self.added != 0 {
            self.way_back.forget();
            if !self.fold_pass(b, false, reserve, limit)? {
                return Ok(false);
            }
            self.added = 0;
        }
        Ok(true)
    }

    /// Folds the dirty pages that replace a page of the base; or, if not `superseding`, the dirty pages that the base has nothing of. Returns whether
    /// it has come to the end of the list.
    fn fold_pass<B: Backend>(
        &mut self,
        b: &mut B,
        superseding: bool,
        reserve: u32,
        limit: u32,
    ) -> Result<bool, NoMemory> {
        debug_assert!(!self.owes_pages());
        let (memory, base, level) = (&mut self.memory, &mut self.base, self.level);
        let wanted = |entry: &DirtyEntry| !entry.is_folded() && (entry.base != 0) == superseding;
        let folded = match superseding {
            true => &mut self.folded.superseding,
            false => &mut self.folded.added,
        };
        let mut cursor = Cursor::new();
        let mut next = *folded;
        let mut left = limit;
        while let Some(&entry) = self.dirty.get(next) {
            if left < LEAF_WORK {
                *folded = next;
                return Ok(false);
            }
            if !wanted(&entry) {
                next += 1;
                left -= 1;
                continue;
            }
            if memory.frames.free_count() < reserve {
                return Err(NoMemory);
            }
            if entry.is_block() {
                memory.set_run(b, base, level, entry.page(), Frame(entry.private))?;
                self.dirty[next].fold();
                next += 1;
                left -= LEAF_WORK;
                // The nodes on the way down may be others now.
                cursor = Cursor::new();
                continue;
            }
            let first = next;
            // Entries in a row for pages of one leaf are folded together. `set_in_leaf` draws them after its last step that can fail.
            let changes = core::iter::from_fn(|| {
                let change = self.dirty.get_mut(next)?;
                if !change.same_leaf(entry) || !wanted(change) {
                    return None;
                }
                change.fold();
                next += 1;
                Some((change.page as usize % LEAF_PAGES, change.private))
            });
            memory.set_in_leaf(b, base, level, &mut cursor, entry.page, changes)?;
            left = left.saturating_sub(LEAF_WORK - 1 + (next - first) as u32);
        }
        *folded = next;
        Ok(true)
    }

    /// Makes all dirty pages clean. All of them are folded.
    #[inline(always)]
    pub(super) fn protect<B: Backend>(&mut self, b: &mut B) {
        if !self.dirty.is_empty() {
            self.protect_from(b, 0);
        }
    }

    /// Makes the dirty pages from number `first` of the list on clean. All of them are folded.
    fn protect_from<B: Backend>(&mut self, b: &mut B, first: usize) {
        debug_assert_eq!((self.superseding, self.added), (0, 0));
        if self.dirty.is_empty() {
            return;
        }
        let mut has_blocks = false;
        {
            let mut pages = b.page_entries();
            for entry in &self.dirty[first..] {
                // With its flag a block is no page of RAM.
                if !pages.protect(entry.page) {
                    has_blocks = true;
                }
            }
        }
        if has_blocks {
            self.protect_blocks(b, first);
        }
        self.way_back.note(&self.dirty[first..]);
        self.dirty.truncate(first);
        self.folded = Folded {
            superseding: first,
            added: first,
        };
        self.keepers = 0;
        b.end_protect();
    }

    #[cold]
    #[inline(never)]
    fn protect_blocks<B: Backend>(&mut self, b: &mut B, first: usize) {
        for entry in self.dirty[first..].iter().filter(|entry| entry.is_block()) {
            b.protect_block(entry.page());
        }
    }
}
