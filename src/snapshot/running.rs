//! The running VM: its dirty list, and how pages move between the states of the table in [the module above](super).

use super::change::{Cursor, LEAF_PAGES};
use super::frames::{Frame, NoMemory};
use super::nodes;
use super::seam::{Machine, Mapping, Page, State};
use super::{NodeId, NotFound, Snapshots, Which};
use crate::addr::BLOCK_PAGES;

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

/// An entry of the dirty list. Its size is a power of two: that counts, for there are many.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
pub(super) struct Dirty {
    /// The page, or the first of a block.
    page: u32,
    /// What the base holds there; 0: nothing.
    base: u32,
    /// What the guest writes to.
    private: u32,
}

/// In [`Dirty::page`]: the entry is for a whole block.
const BLOCK: u32 = 1 << 31;

impl Dirty {
    pub(super) fn page(self) -> Page {
        self.page & !BLOCK
    }

    fn is_block(self) -> bool {
        self.page & BLOCK != 0
    }

    /// Whether both are pages of one leaf of a map. (A block shares none: its flag differs, or its pages.)
    fn shares_leaf(self, other: Self) -> bool {
        ((self.page ^ other.page) as usize) < LEAF_PAGES
    }

    /// Whether the base holds what the guest writes to.
    pub(super) fn is_folded(self) -> bool {
        self.base == self.private
    }
}

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

    #[inline]
    fn note(&mut self, page: u32, base: u32, private: Frame) {
        let entry = Dirty {
            page,
            base,
            private: private.0,
        };
        self.dirty.push(entry);
    }

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

    /// Takes the VM back to a snapshot; returns its id. Needs no memory. A refused id changes nothing.
    pub fn restore<M: Machine>(
        &mut self,
        m: &mut M,
        state: &mut impl State,
        which: Which,
    ) -> Result<u64, NotFound> {
        let id = match which {
            Which::Id(id) => id,
            Which::Latest => self.newest.ok_or(NotFound)?,
        };
        let (place, record) = self.find(m, id)?;
        m.begin_remap();
        self.rebase(m, record.root);
        let size = self.pools.state();
        // The time is set once, before any vCPU is loaded whose timers are compared with it.
        state.set_moment(record.taken);
        state.load(0, &m.bookkeeping(place.frame)[place.state(size)]);
        for part in 1..size.parts {
            let nodes = &m.bookkeeping(record.more[part - 1])[..size.nodes];
            state.load(part, nodes);
        }
        m.end_remap();
        self.present = record.present;
        self.current = Some(id);
        self.generation += 1;
        Ok(id)
    }

    /// Takes the VM's RAM back to what it was in the beginning: all of it absent. Its snapshots stay.
    pub fn reset<M: Machine>(&mut self, m: &mut M) {
        m.begin_remap();
        self.rebase(m, NodeId::NONE);
        m.end_remap();
        self.present = 0;
        self.current = None;
    }

    /// Takes the dirty list back, then goes from the base to the map `root`.
    fn rebase<M: Machine>(&mut self, m: &mut M, root: NodeId) {
        for entry in &self.dirty {
            let base = Frame::from_entry(entry.base);
            match (entry.is_block(), entry.is_folded()) {
                (true, folded) => {
                    m.set_block(entry.page(), base);
                    if !folded {
                        self.memory.frames.release_block(Frame(entry.private));
                    }
                }
                (false, folded) => {
                    m.set_page(entry.page(), base);
                    if !folded {
                        self.memory.frames.release(Frame(entry.private));
                    }
                }
            }
        }
        self.dirty.clear();
        (self.superseding, self.added) = (0, 0);
        if root != self.base {
            self.memory.remap(m, self.base, root, self.level, 0);
            if !root.is_none() {
                nodes::hold(m, root);
            }
            self.memory.drop_map(m, self.base, self.level);
            self.base = root;
        }
    }
}

#[cfg(test)]
impl Dirty {
    pub(super) fn base_entry(self) -> u32 {
        self.base
    }

    pub(super) fn private_frames(self) -> core::ops::Range<u32> {
        self.private..self.private + if self.is_block() { BLOCK_PAGES } else { 1 }
    }
}
