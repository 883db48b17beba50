//! A restore: the dirty pages are taken back, and stage 2 changes where the base and the snapshot's map differ.

use super::backend::{Backend, PageEntries, SaveState};
use super::fold::{FOLD_RESERVE, Folded};
use super::frames::Frame;
use super::layout::NodeId;
use super::nodes;
use super::recent::{KEEPERS_MAX, Round};
use super::record::Record;
use super::work::{CLEANING, Work};
use super::write_back::Budget;
use super::{NotFound, Snapshots, Which};

impl Snapshots {
    /// Takes the VM back to a snapshot; returns its id. Needs no memory. Pages may have to be [written back](Self::write_back_piece) before it goes on.
    /// Fails if there is no such snapshot, and changes nothing then. The VM must be stopped.
    pub fn restore<B: Backend>(
        &mut self,
        b: &mut B,
        state: &mut impl SaveState,
        which: Which,
    ) -> Result<u64, NotFound> {
        let id = match which {
            Which::Id(id) => id,
            Which::Latest => self.newest.ok_or(NotFound)?,
        };
        let addr = self.find_in_line(b, id)?;
        let record = Record::read(b, addr);
        let size = self.pools.state;
        let unmaps_all = b.begin_restore(
            state.goes_around_caches(&b.bookkeeping(addr.frame)[addr.state_nodes(size)]),
        );
        let round = self.next_round(record.root);
        // With nothing but keepers, if anything, stage 2 stays as it is.
        let only_keepers = round == Round::Keep && self.has_only_keepers();
        let is_remapped =
            unmaps_all || record.root != self.base || !(self.dirty.is_empty() || only_keepers);
        if is_remapped {
            b.begin_remap();
            self.switch_base(b, record.root, round, unmaps_all);
        } else {
            b.begin_write_back();
            self.owed = 0..self.dirty.len();
            self.write_some_back(b);
            b.end_write_back();
        }
        // The time is set once, before any vCPU is loaded: timers of vCPUs are compared with it.
        state.set_moment(record.taken);
        state.load(0, &b.bookkeeping(addr.frame)[addr.state_nodes(size)]);
        for part in 1..size.parts {
            let nodes = &b.bookkeeping(record.part_frames[part - 1])[..size.nodes];
            state.load(part, nodes);
        }
        if is_remapped {
            b.end_remap();
        }
        self.present = record.present;
        self.current = Some(id);
        self.generation += 1;
        Ok(id)
    }

    /// Takes the VM's RAM back to its first state: all of it absent. The snapshots stay. The VM must be stopped.
    pub fn reset_ram<B: Backend>(&mut self, b: &mut B) {
        b.begin_remap();
        self.recent.forget();
        self.switch_base(b, NodeId::NONE, Round::First, true);
        b.end_remap();
        self.present = 0;
        self.current = None;
    }

    /// What becomes of the dirty pages at a restore to the map `root`.
    fn next_round(&mut self, root: NodeId) -> Round {
        // Keepers take memory beside the base's pages: none, where it may be short. What waits to be freed is not there yet.
        if root != self.base || self.memory.frames.free_count() < KEEPERS_MAX + FOLD_RESERVE {
            self.recent.forget();
            return Round::First;
        }
        self.recent.next_round()
    }

    /// Whether all dirty pages, if any, are written back in place.
    fn has_only_keepers(&self) -> bool {
        self.keepers <= KEEPERS_MAX && self.keepers as usize == self.dirty.len()
    }

    /// Takes keepers to the front of the dirty list, and writes the base's contents back into the first of them; remembers all others. Returns
    /// how many keepers there are.
    fn keep<B: Backend>(&mut self, b: &mut B, round: Round, mut budget: Budget) -> usize {
        let (mut kept, mut written) = (0, 0);
        for i in 0..self.dirty.len() {
            let entry = self.dirty[i];
            if round == Round::Keep && kept < KEEPERS_MAX as usize && entry.is_keeper() {
                if budget.is_left() {
                    budget.write_back(b, &entry);
                    written += 1;
                }
                self.dirty.swap(kept, i);
                kept += 1;
            } else if !entry.is_block() && entry.base != 0 {
                self.recent.remember(entry.page);
            }
        }
        self.owed = written..kept;
        kept
    }

    /// Has memory agree with the caches on what the base has of the dirty pages from number `first` of the list on. Blocks need none of it:
    /// nothing was ever copied to their frames, which were filled with zeroes around the caches.
    #[cold]
    #[inline(never)]
    fn clean_base<B: Backend>(&mut self, b: &mut B, first: usize) {
        let pages = self.dirty[first..].iter().filter(|entry| !entry.is_block());
        pages
            .filter_map(|entry| Frame::from_entry(entry.base))
            .for_each(|frame| b.clean_frame(frame));
    }

    /// Drops the dirty blocks from number `first` of the list on.
    #[inline(never)]
    fn drop_blocks<B: Backend>(&mut self, b: &mut B, first: usize) {
        for entry in self.dirty[first..].iter().filter(|entry| entry.is_block()) {
            b.set_block(entry.page(), Frame::from_entry(entry.base));
            if !entry.is_folded() {
                self.memory.frames.free_block(Frame(entry.private));
            }
        }
    }

    /// Drops the dirty pages, but for keepers if `round` says so. Stage 2, which is detached, shows the base then.
    #[inline]
    fn drop_dirty<B: Backend>(&mut self, b: &mut B, round: Round, budget: Budget) {
        let kept = match round {
            Round::First => 0,
            Round::Drop | Round::Keep => self.keep(b, round, budget),
        };
        if b.cleans_what_it_maps() {
            self.clean_base(b, kept);
        }
        let mut has_blocks = false;
        {
            let mut freeing = self.memory.frames.begin_free();
            let mut pages = b.page_entries();
            let mut left = &self.dirty[kept..];
            while let Some((&entry, behind)) = left.split_first() {
                left = behind;
                // With its flag a block is no page of RAM.
                let is_page = pages.set(entry.page, entry.base);
                has_blocks |= !is_page;
                if is_page && !entry.is_folded() {
                    freeing.free(Frame(entry.private));
                }
            }
        }
        if has_blocks {
            self.drop_blocks(b, kept);
        }
        self.dirty.truncate(kept);
    }

    /// Drops the dirty pages, but for keepers if `round` says so, and makes the map `root` the base. Stage 2, which is detached, shows it then, as far as
    /// that is done at once: nothing of it with `unmaps_all`.
    fn switch_base<B: Backend>(&mut self, b: &mut B, root: NodeId, round: Round, unmaps_all: bool) {
        let entries = self.dirty.len();
        let at_once = match b.cleans_what_it_maps() {
            true => self.deferred.at_once / CLEANING,
            false => self.deferred.at_once,
        };
        self.owed = 0..0;
        match unmaps_all || entries > at_once {
            true => self.defer_dirty(b, unmaps_all),
            false => self.drop_dirty(b, round, Budget::instead_of(at_once - entries)),
        }
        let kept = self.dirty.len();
        // Keepers are not folded.
        self.folded = Folded::default();
        (self.superseding, self.added) = (kept as u32, 0);
        self.keepers = kept as u32;
        if root != self.base {
            if self.way_back.leads(self.base, root) && !b.cleans_what_it_maps() {
                self.way_back.go(b);
            } else if !unmaps_all {
                self.memory.work = Work::beside(b, entries, self.blocks());
                self.memory.remap(b, self.base, root, self.level, 0);
            }
            self.way_back.forget();
            if !root.is_none() {
                nodes::hold(b, root);
            }
            self.memory.drop_map(b, self.base, self.level);
            self.base = root;
        }
    }
}
