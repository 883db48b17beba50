//! The snapshot logic against a naive one that copies all memory, and an audit of every frame after every step.

use super::frames::Frame;
use super::model::{ModelMachine, ModelState, Sparse};
use super::*;
use crate::addr::BLOCK_PAGES;
use crate::config::Accounting;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

pub(super) const PAGES: u32 = 3 * BLOCK_PAGES;

/// A VM, and beside it what a full copy at each checkpoint would know.
pub(super) struct Pair {
    pub(super) m: ModelMachine,
    state: ModelState,
    pub(super) s: Snapshots,
    pub(super) ram: Sparse,
    pub(super) kept: BTreeMap<u64, (Sparse, u32)>,
    generation: u64,
    /// Frames taken away, so that memory runs out where the test wants it to.
    stolen: Vec<Frame>,
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
    super::least_share(pages, plan, size) as u32
}

/// The same, with a state of the usual size.
pub(super) fn least_share(pages: u32, plan: PoolPlan) -> u32 {
    least(pages, plan, SMALL)
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
        let share = least(pages, plan, size) + extra;
        // Two ranges, neither of them aligned.
        let frames = Frames::new(&[3..100, 1000..1000 + share - 97]);
        let m = ModelMachine::new(pages, 1000 + share);
        let s = Snapshots::new(pages, plan, size, frames).expect("the share suffices");
        Self {
            m,
            state: ModelState::default(),
            s,
            ram: Sparse::new(pages, 0),
            kept: BTreeMap::new(),
            generation: 0,
            stolen: vec![],
        }
    }

    pub(super) fn write(&mut self, page: u32, value: u64) {
        for _ in 0..3 {
            if self.m.store(page, value) {
                self.ram.set(page, value);
                return self.forget_the_freed();
            }
            self.touch(page, true);
        }
        panic!("page {page} stays read-only");
    }

    fn touch(&mut self, page: u32, write: bool) {
        if self.s.touch(&mut self.m, page, write).is_err() {
            assert!(!self.stolen.is_empty(), "an access always goes on");
            assert!(self.ids().is_empty(), "there was something left to free");
            self.give_back();
            self.s
                .touch(&mut self.m, page, write)
                .expect("with its whole share, it goes on");
        }
    }

    /// From here on, only `left` frames are free.
    fn steal(&mut self, left: u32) {
        let frames = &mut self.s.memory.frames;
        while frames.free() > left {
            self.stolen.push(frames.alloc().expect("as many are free"));
        }
    }

    fn give_back(&mut self) {
        for frame in self.stolen.drain(..) {
            self.s.memory.frames.release(frame);
        }
    }

    pub(super) fn read(&mut self, page: u32) {
        if self.m.load(page).is_none() {
            self.touch(page, false);
            self.forget_the_freed();
        }
        assert_eq!(self.m.load(page), Some(self.ram.get(page)), "page {page}");
    }

    pub(super) fn checkpoint(&mut self, id: u64) -> Result<(), NoMemory> {
        let (m, state) = (&mut self.m, &mut self.state);
        let done = self.s.checkpoint(m, state, || id).map(|_| ());
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
        let (m, state) = (&mut self.m, &mut self.state);
        assert_eq!(self.s.restore(m, state, which), wanted.ok_or(NotFound));
        if let Some(id) = wanted {
            let (ram, register) = self.kept[&id].clone();
            self.ram = ram;
            assert_eq!(self.state.value, register);
            assert_eq!(self.s.current(), Some(id));
            let info = self.s.info(&mut self.m, id).expect("it is there");
            assert_eq!(info.taken, self.state.moment());
            self.generation += 1;
        }
        assert_eq!(self.s.generation(), self.generation);
    }

    pub(super) fn delete(&mut self, id: u64) {
        let there = self.kept.remove(&id).is_some();
        let pages = self.s.info(&mut self.m, id).map(|info| info.pages);
        let used = |pair: &Self| pair.s.stats().pages;
        let used_before = used(self);
        assert_eq!(self.s.delete(&mut self.m, id).is_ok(), there);
        if let Ok(pages) = pages
            && self.stolen.is_empty()
        {
            assert_eq!(
                used_before - used(self),
                pages,
                "what INFO said would go has gone"
            );
        }
    }

    fn reset(&mut self) {
        self.s.reset(&mut self.m);
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
        while let Ok(id) = self.s.next(&self.m, from) {
            ids.push(id);
            from = id + 1;
        }
        ids
    }
}

#[derive(Clone, Debug)]
enum Op {
    Write { page: u32, count: u32 },
    Read { page: u32 },
    Register(u32),
    Checkpoint,
    Restore(u16),
    RestoreLatest,
    Delete(u16),
    Reset,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..PAGES, 1..40_u32).prop_map(|(page, count)| Op::Write { page, count }),
        1 => (0..PAGES / 2).prop_map(|page| Op::Write { page, count: PAGES / 2 }),
        2 => (0..PAGES).prop_map(|page| Op::Read { page }),
        1 => any::<u32>().prop_map(Op::Register),
        6 => Just(Op::Checkpoint),
        4 => any::<u16>().prop_map(Op::Restore),
        1 => Just(Op::RestoreLatest),
        2 => any::<u16>().prop_map(Op::Delete),
        1 => Just(Op::Reset),
    ]
}

fn any_plan() -> impl Strategy<Value = (PoolPlan, StateSize)> {
    let size = prop::sample::select(SIZES.as_slice());
    (any::<bool>(), 1..4_u32, size).prop_map(|(reserved, capacity, size)| {
        let accounting = match reserved {
            true => Accounting::Reserved,
            false => Accounting::OnDemand,
        };
        (plan(accounting, capacity), size)
    })
}

/// Any id that was ever given out, whoever it belongs to, or a little past that.
fn pick(choice: u16, next_id: u64) -> u64 {
    u64::from(choice) % (next_id + 2)
}

fn step(pair: &mut Pair, op: &Op, next_id: &mut u64, stamp: u64) {
    match *op {
        Op::Write { page, count } => {
            for at in page..(page + count).min(pair.s.pages()) {
                pair.write(at, stamp << 16 | u64::from(at));
            }
        }
        Op::Read { page } => pair.read(page),
        Op::Register(value) => pair.state.value = value >> 4,
        Op::Checkpoint => {
            if pair.checkpoint(*next_id).is_ok() {
                *next_id += 1;
            }
        }
        Op::Restore(choice) => pair.restore(Which::Id(pick(choice, *next_id))),
        Op::RestoreLatest => pair.restore(Which::Latest),
        Op::Delete(choice) => pair.delete(pick(choice, *next_id)),
        Op::Reset => pair.reset(),
    }
}

proptest! {
    #![proptest_config(crate::arch::fake::cases(100))]

    #[test]
    fn several_vms_agree_with_the_naive_model(
        plans in prop::collection::vec((any_plan(), 0..2 * PAGES), 1..4),
        ops in prop::collection::vec((0..3_usize, op()), 1..80),
    ) {
        let mut vms: Vec<Pair> = plans
            .into_iter()
            .map(|((plan, size), extra)| Pair::with_state(PAGES, plan, size, extra))
            .collect();
        let mut next_id = 0;
        for (stamp, (vm, op)) in ops.iter().enumerate() {
            let vm = vm % vms.len();
            step(&mut vms[vm], op, &mut next_id, stamp as u64 + 1);
            vms[vm].audit();
        }
        vms.iter().for_each(Pair::audit);
    }

    #[test]
    fn memory_runs_out_anywhere(
        (plan, size) in any_plan(),
        extra in 0..PAGES,
        ops in prop::collection::vec((op(), prop::option::of(0..12_u32)), 1..50),
    ) {
        let mut vm = Pair::with_state(PAGES, plan, size, extra);
        let mut next_id = 0;
        for (stamp, (op, left)) in ops.iter().enumerate() {
            if let Some(left) = left {
                vm.steal(*left);
            }
            step(&mut vm, op, &mut next_id, stamp as u64 + 1);
            vm.give_back();
            vm.audit();
        }
    }
}

/// Guests for each height of the map, from one block to 4 GiB.
const FAR: [u32; 7] = [
    BLOCK_PAGES,
    PAGES,
    (20 << 20) / 4096,
    (150 << 20) / 4096,
    1 << 18,
    3 << 18,
    1 << 20,
];

/// Pages on both sides of where nodes of each level begin, in blocks as far from each other as `pages` allow.
fn far_page(choice: u32, pages: u32) -> u32 {
    const BLOCKS: [u32; 12] = [0, 1, 7, 8, 9, 63, 64, 511, 512, 513, 2046, 2047];
    const WITHIN: [u32; 6] = [0, 1, 8, 63, 64, BLOCK_PAGES - 1];
    let last = pages / BLOCK_PAGES - 1;
    let block = BLOCKS[choice as usize / WITHIN.len() % BLOCKS.len()].min(last);
    block * BLOCK_PAGES + WITHIN[choice as usize % WITHIN.len()]
}

/// An operation of [`op`], on pages of [`far_page`].
fn far(op: Op, pages: u32) -> Op {
    match op {
        // Now and then a block that is dirtied as a whole.
        Op::Write { page, count } if count > 40 => Op::Write {
            page: far_page(page, pages) / BLOCK_PAGES * BLOCK_PAGES,
            count: BLOCK_PAGES,
        },
        Op::Write { page, count } => Op::Write {
            page: far_page(page, pages),
            count: count % 4 + 1,
        },
        Op::Read { page } => Op::Read {
            page: far_page(page, pages),
        },
        op => op,
    }
}

proptest! {
    #![proptest_config(crate::arch::fake::cases(60))]

    /// Guests of all sizes, of whose RAM little is touched, in places far from each other.
    #[test]
    fn a_guest_of_any_size_agrees_with_the_naive_model(
        (plan, size) in any_plan(),
        pages in prop::sample::select(FAR.as_slice()),
        extra in 0..2 * PAGES,
        ops in prop::collection::vec((op(), prop::option::weighted(0.1, 0..12_u32)), 1..80),
    ) {
        // Frames have numbers for 16 GiB: for the VM, the pool's snapshots, and a rest with the nodes.
        let most = MAX_FRAMES / pages - 2;
        let plan = PoolPlan { capacity: plan.capacity.min(most), ..plan };
        let mut vm = Pair::with_state(pages, plan, size, extra);
        let mut next_id = 0;
        for (stamp, (op, left)) in ops.into_iter().enumerate() {
            if let Some(left) = left {
                vm.steal(left);
            }
            step(&mut vm, &far(op, pages), &mut next_id, stamp as u64 + 1);
            vm.give_back();
            vm.audit();
        }
    }
}

/// A fixed history in which, at each step in turn, only so many frames are left, from none to more than the step needs: each of its
/// allocations fails once, and what comes then must do without.
#[test]
fn every_allocation_fails_once() {
    let ops = [
        Op::Write {
            page: 0,
            count: 700,
        },
        Op::Checkpoint,
        Op::Write {
            page: 100,
            count: 80,
        },
        Op::Checkpoint,
        Op::Write { page: 0, count: 20 },
        Op::Checkpoint,
        Op::Restore(0),
        Op::Write {
            page: 1100,
            count: 3,
        },
        Op::Checkpoint,
        Op::Delete(0),
        Op::Write {
            page: 90,
            count: 30,
        },
        Op::Checkpoint,
        Op::RestoreLatest,
    ];
    for accounting in [Accounting::Reserved, Accounting::OnDemand] {
        for (short, left) in (0..ops.len()).flat_map(|short| (0..40).map(move |left| (short, left)))
        {
            let size = SIZES[left as usize % SIZES.len()];
            let mut vm = Pair::with_state(PAGES, plan(accounting, 2), size, PAGES);
            let mut next_id = 0;
            for (stamp, op) in ops.iter().enumerate() {
                if stamp == short {
                    vm.steal(left);
                }
                step(&mut vm, op, &mut next_id, stamp as u64 + 1);
                vm.give_back();
                if stamp >= short {
                    vm.audit();
                }
            }
        }
    }
}
