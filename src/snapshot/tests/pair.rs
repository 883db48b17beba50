//! A VM, and beside it a naive one that copies all memory at each checkpoint: what one does, both do, and they must agree.

use super::model::{ModelBackend, ModelState, Sparse};
use crate::addr::BLOCK_PAGES;
use crate::config::Accounting;
use crate::snapshot::frames::Frame;
use crate::snapshot::nodes::NODES_PER_SLAB;
use crate::snapshot::*;
use core::task::Poll;
use std::collections::BTreeMap;
use std::iter::successors;
use std::ops::Range;
use std::vec;
use std::vec::Vec;

/// A VM's memory whose guest a test can play.
pub(crate) trait Guest {
    /// What the snapshot logic sees of that memory.
    type Backend: Backend;

    /// The backend.
    fn backend(&self) -> &Self::Backend;
    /// The backend, to change.
    fn backend_mut(&mut self) -> &mut Self::Backend;
    /// The guest loads from `page`; nothing, if the access faults.
    fn load(&self, page: Page) -> Option<u64>;
    /// The guest stores to `page`. Whether that was permitted.
    fn store(&mut self, page: Page, value: u64) -> bool;
    /// What a frame holds, if that can be told.
    fn contents(&self, _: Frame) -> Option<u64> {
        None
    }
    /// Whether something of the block is mapped.
    fn is_mapped(&self, block: u32) -> bool;
    /// How it reaches memory.
    fn reach(&self) -> Reach {
        Reach::Around
    }
    /// Its vCPUs stand still, as for a checkpoint, ...
    fn stop(&mut self) {}
    /// ... and go on.
    fn go_on(&mut self) {}
    /// A piece of what a vCPU is in the midst of has ended, during which the others stayed where they were.
    fn end_piece(&mut self) {}
}

pub(super) const PAGES: u32 = 3 * BLOCK_PAGES;

/// Faults of one store at the most: the copy, a block that is divided, and what the TLB remembers.
const TRIES: usize = 3;

/// A VM, and beside it what a full copy at each checkpoint would know.
pub(super) struct Pair<M = ModelBackend> {
    pub(super) m: M,
    pub(super) state: ModelState,
    pub(super) s: Snapshots,
    pub(super) ram: Sparse,
    pub(super) kept: BTreeMap<u64, (Sparse, u32)>,
    generation: u64,
    /// Frames taken away, so that memory runs out where the test wants it to.
    stolen: Vec<Frame>,
    /// Pieces that were done of checkpoints.
    pub(super) pieces: u32,
}

pub(super) fn plan(accounting: Accounting, capacity: u32) -> PoolPlan {
    PoolPlan {
        capacity,
        accounting,
    }
}

/// A state of which two share a frame.
pub(super) const SMALL: StateSize = size(50, 1);
/// All kinds of states: first parts that share a frame and others, with as little room left as can be; none, some and all of the other parts.
pub(super) const SIZES: [StateSize; 5] = [
    SMALL,
    size(62, 1),
    size(StateSize::NODES_MAX, 1),
    size(40, 2),
    size(StateSize::NODES_MAX, StateSize::PARTS_MAX),
];

const fn size(nodes: usize, parts: usize) -> StateSize {
    StateSize { nodes, parts }
}

/// The smallest share that such a VM runs in.
fn least(pages: u32, plan: PoolPlan, size: StateSize) -> u32 {
    crate::snapshot::min_frames(pages, plan, size) as u32
}

/// The same, with a state of the usual size.
pub(super) fn min_frames(pages: u32, plan: PoolPlan) -> u32 {
    least(pages, plan, SMALL)
}

/// [`Snapshots::fault_in`], as often as it takes.
pub(super) fn faulted_in<B: Backend>(
    s: &mut Snapshots,
    b: &mut B,
    page: Page,
    write: bool,
    reach: Reach,
) -> Result<(), NoMemory> {
    loop {
        match s.fault_in(b, page, write, reach) {
            Ok(()) => return Ok(()),
            Err(NotYet::Unfinished) => {}
            Err(NotYet::NoMemory) if s.reclaim(b) => {}
            Err(NotYet::NoMemory) => return Err(NoMemory),
        }
    }
}

impl Pair {
    pub(super) fn new(plan: PoolPlan, extra: u32) -> Self {
        Self::with_ram(PAGES, plan, extra)
    }

    /// A VM whose share is that many frames more than it must be.
    pub(super) fn with_ram(pages: u32, plan: PoolPlan, extra: u32) -> Self {
        Self::with_state(pages, plan, SMALL, extra)
    }

    pub(super) fn with_state(pages: u32, plan: PoolPlan, size: StateSize, extra: u32) -> Self {
        let machine = |share: &[Range<u32>]| ModelBackend::new(pages, share[1].end + 97);
        Self::on(machine, pages, plan, size, extra)
    }
}

impl<M: Guest> Pair<M> {
    /// The same on another machine, made for its frames.
    pub(super) fn on(
        machine: impl FnOnce(&[Range<u32>]) -> M,
        pages: u32,
        plan: PoolPlan,
        size: StateSize,
        extra: u32,
    ) -> Self {
        let share = least(pages, plan, size) + extra;
        // Two ranges, neither of them aligned.
        let share = [3..100, 1000..1000 + share - 97];
        let frames = Frames::new(&share);
        let m = machine(&share);
        let mut s = Snapshots::new(pages, plan, size, frames).expect("the share suffices");
        // Some restores leave nearly all to the first access, and write back in small pieces.
        let at_once = [s.deferred.at_once, 30, 3, 0][extra as usize % 4];
        s.defer_beyond(at_once);
        s.keep_way_back();
        Self {
            m,
            state: ModelState::default(),
            s,
            ram: Sparse::new(pages, 0),
            kept: BTreeMap::new(),
            generation: 0,
            stolen: vec![],
            pieces: 0,
        }
    }

    /// The guest is about to run: what the last restore left to be written back is.
    pub(super) fn load(&mut self) {
        while self.s.owes_pages() {
            self.s.write_back_piece(self.m.backend_mut());
            self.m.end_piece();
        }
    }

    pub(super) fn write(&mut self, page: u32, value: u64) {
        self.load();
        // Each core may remember what was, once.
        for _ in 0..=TRIES {
            if self.m.store(page, value) {
                self.ram.set(page, value);
                return self.forget_the_freed();
            }
            self.fault_in(page, true);
        }
        panic!("page {page} stays read-only");
    }

    fn fault_in(&mut self, page: u32, write: bool) {
        let reach = self.m.reach();
        let faulted = faulted_in(&mut self.s, self.m.backend_mut(), page, write, reach);
        if faulted.is_err() {
            assert!(!self.stolen.is_empty(), "an access always goes on");
            assert!(self.ids().is_empty(), "there was something left to free");
            self.give_back();
            faulted_in(&mut self.s, self.m.backend_mut(), page, write, reach)
                .expect("with its whole share, it goes on");
        }
    }

    /// From here on, only `left` frames are free.
    pub(super) fn steal(&mut self, left: u32) {
        let frames = &mut self.s.memory.frames;
        while frames.free_count() > left {
            self.stolen.push(frames.alloc().expect("as many are free"));
        }
    }

    /// From here on, the slab that nodes come from has only room for so many.
    pub(super) fn leave_room_for_nodes(&mut self, room: u32) -> Vec<NodeId> {
        let FrameStore { frames, nodes, .. } = &mut self.s.memory;
        let m = self.m.backend_mut();
        let mut fill = || {
            let node = Node([0; 8]);
            nodes.alloc(m, frames, &node).expect("there are frames")
        };
        let slab = |id: NodeId| id.0 >> 10;
        // To the first of a new slab, and then all others of it.
        let mut fillers = vec![fill()];
        while slab(fillers[fillers.len() - 1]) == slab(fillers[0]) {
            fillers.push(fill());
        }
        fillers.extend((1..NODES_PER_SLAB).map(|_| fill()));
        let kept = fillers.len() - room as usize;
        let released = fillers.split_off(kept);
        released
            .into_iter()
            .for_each(|id| nodes.free(m, frames, id));
        fillers
    }

    /// They are not needed any more.
    pub(super) fn release_nodes(&mut self, fillers: Vec<NodeId>) {
        let FrameStore { frames, nodes, .. } = &mut self.s.memory;
        for id in fillers {
            nodes.free(self.m.backend_mut(), frames, id);
        }
    }

    pub(super) fn give_back(&mut self) {
        for frame in self.stolen.drain(..) {
            self.s.memory.frames.free(frame);
        }
    }

    pub(super) fn read(&mut self, page: u32) {
        self.load();
        if self.m.load(page).is_none() {
            self.fault_in(page, false);
            self.forget_the_freed();
        }
        assert_eq!(self.m.load(page), Some(self.ram.get(page)), "page {page}");
    }

    pub(super) fn checkpoint(&mut self, id: u64) -> Result<(), NoMemory> {
        self.load();
        // The guest may run between the pieces.
        while self.s.prepare_checkpoint(self.m.backend_mut()).is_pending() {
            self.pieces += 1;
            let page = self.pieces * 37 % self.s.pages();
            self.read(page);
            self.write(page, u64::from(self.pieces) << 48 | 1);
        }
        self.m.stop();
        let done = loop {
            let (m, state) = (self.m.backend_mut(), &mut self.state);
            if let Poll::Ready(done) = self.s.checkpoint_piece(m, state, || id) {
                break done.map(|_| ());
            }
        };
        self.m.go_on();
        if done.is_ok() {
            self.kept.insert(id, (self.ram.clone(), self.state.value));
        }
        self.forget_the_freed();
        done
    }

    pub(super) fn restore(&mut self, which: Which) {
        let wanted = match which {
            Which::Id(id) => self.kept.contains_key(&id).then_some(id),
            Which::Latest => self.kept.keys().next_back().copied(),
        };
        self.m.stop();
        let (m, state) = (self.m.backend_mut(), &mut self.state);
        assert_eq!(self.s.restore(m, state, which), wanted.ok_or(NotFound));
        self.m.go_on();
        if let Some(id) = wanted {
            let (ram, register) = self.kept[&id].clone();
            self.ram = ram;
            assert_eq!(self.state.value, register);
            assert_eq!(self.s.current(), Some(id));
            // That has nothing wait to be freed any more.
            if self.generation % 2 == 1 {
                let info = self.s.info(self.m.backend_mut(), id).expect("it is there");
                assert_eq!(info.taken, self.state.moment());
            }
            self.generation += 1;
        }
        assert_eq!(self.s.generation(), self.generation);
    }

    pub(super) fn delete(&mut self, id: u64) {
        let there = self.kept.remove(&id).is_some();
        let owed = self.s.owes_pages();
        let pages = self.s.info(self.m.backend_mut(), id).map(|info| info.pages);
        let used = |pair: &mut Self| pair.settled_stats().kept_pages;
        let used_before = used(self);
        assert_eq!(self.s.delete(self.m.backend_mut(), id).is_ok(), there);
        if let Ok(pages) = pages
            && self.stolen.is_empty()
        {
            assert_eq!(
                used_before - used(self),
                pages,
                "what INFO said would go has gone"
            );
        }
        // Before the VM goes on, only others delete, which have none of its vCPUs loaded: each is loaded afterwards.
        if owed && !self.s.owes_pages() {
            self.m.end_piece();
        }
    }

    /// When nothing waits to be freed.
    pub(super) fn settled_stats(&mut self) -> Stats {
        while self.s.settle(self.m.backend_mut()).is_pending() {}
        self.s.stats()
    }

    pub(super) fn reset(&mut self) {
        self.m.stop();
        self.s.reset_ram(self.m.backend_mut());
        self.m.go_on();
        self.ram.clear();
    }

    /// Pools may go to make room: whole, and the oldest first.
    fn forget_the_freed(&mut self) {
        let exist: Vec<u64> = self.ids();
        if let Some(&oldest) = exist.first() {
            assert!(
                self.kept
                    .range(oldest..)
                    .map(|(id, _)| *id)
                    .eq(exist.iter().copied())
            );
        }
        self.kept.retain(|id, _| exist.contains(id));
        assert_eq!(self.kept.len(), exist.len());
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        let mut ids = vec![];
        let mut from = 0;
        while let Ok(id) = self.s.first_id_from(self.m.backend(), from) {
            assert!(id >= from, "#{id} is below #{from}");
            ids.push(id);
            from = id + 1;
        }
        let last_to = |to| self.s.last_id_to(self.m.backend(), to).ok();
        let down = successors(last_to(u64::MAX), |id| id.checked_sub(1).and_then(last_to));
        assert!(down.eq(ids.iter().rev().copied()), "{ids:?}");
        ids
    }
}
