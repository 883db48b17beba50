//! The snapshot logic against a naive one that copies all memory, and an audit of every frame after every step.

use super::frames::Frame;
use super::model::ModelMachine;
use super::*;
use crate::addr::BLOCK_PAGES;
use crate::config::Accounting;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

const PAGES: u32 = 3 * BLOCK_PAGES;

/// A VM, and beside it what a full copy at each checkpoint would know.
pub(super) struct Pair {
    pub(super) m: ModelMachine,
    pub(super) s: Snapshots,
    pub(super) ram: Vec<u64>,
    pub(super) kept: BTreeMap<u64, (Vec<u64>, u32)>,
    generation: u64,
    /// Frames taken away, so that memory runs out where the test wants it to.
    stolen: Vec<Frame>,
}

fn plan(accounting: Accounting, capacity: u32) -> PoolPlan {
    PoolPlan {
        capacity,
        accounting,
    }
}

/// The smallest share that such a VM runs in.
fn least_share(pages: u32, plan: PoolPlan) -> u32 {
    Pools::new(pages, plan, 50).least_share() as u32
}

impl Pair {
    fn new(plan: PoolPlan, extra: u32) -> Self {
        Self::with_ram(PAGES, plan, extra)
    }

    /// A VM whose share is that many frames more than it must be.
    fn with_ram(pages: u32, plan: PoolPlan, extra: u32) -> Self {
        let share = least_share(pages, plan) + extra;
        // Two ranges, neither of them aligned.
        let frames = Frames::new(&[3..100, 1000..1000 + share - 97]);
        let m = ModelMachine::new(pages, 1000 + share);
        let s = Snapshots::new(pages, plan, m.state_nodes(), frames).expect("the share suffices");
        Self {
            m,
            s,
            ram: vec![0; pages as usize],
            kept: BTreeMap::new(),
            generation: 0,
            stolen: vec![],
        }
    }

    fn write(&mut self, page: u32, value: u64) {
        for _ in 0..3 {
            if self.m.store(page, value) {
                self.ram[page as usize] = value;
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

    fn read(&mut self, page: u32) {
        if self.m.load(page).is_none() {
            self.touch(page, false);
            self.forget_the_freed();
        }
        assert_eq!(
            self.m.load(page),
            Some(self.ram[page as usize]),
            "page {page}"
        );
    }

    fn checkpoint(&mut self, id: u64) -> Result<(), NoMemory> {
        let done = self.s.checkpoint(&mut self.m, || id).map(|_| ());
        if done.is_ok() {
            self.kept.insert(id, (self.ram.clone(), self.m.register));
        }
        self.forget_the_freed();
        done
    }

    fn restore(&mut self, which: Which) {
        let wanted = match which {
            Which::Id(id) => self.kept.contains_key(&id).then_some(id),
            Which::Latest => self.kept.keys().next_back().copied(),
        };
        assert_eq!(self.s.restore(&mut self.m, which), wanted.ok_or(NotFound));
        if let Some(id) = wanted {
            let (ram, register) = self.kept[&id].clone();
            self.ram = ram;
            assert_eq!(self.m.register, register);
            self.generation += 1;
        }
        assert_eq!(self.s.generation(), self.generation);
    }

    fn delete(&mut self, id: u64) {
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
        self.ram.fill(0);
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

fn any_plan() -> impl Strategy<Value = PoolPlan> {
    (any::<bool>(), 1..4_u32).prop_map(|(reserved, capacity)| PoolPlan {
        capacity,
        accounting: if reserved {
            Accounting::Reserved
        } else {
            Accounting::OnDemand
        },
    })
}

/// Any id that was ever given out, whoever it belongs to, or a little past that.
fn pick(choice: u16, next_id: u64) -> u64 {
    u64::from(choice) % (next_id + 2)
}

fn step(pair: &mut Pair, op: &Op, next_id: &mut u64, stamp: u64) {
    match *op {
        Op::Write { page, count } => {
            for at in page..(page + count).min(PAGES) {
                pair.write(at, stamp << 16 | u64::from(at));
            }
        }
        Op::Read { page } => pair.read(page),
        Op::Register(value) => pair.m.register = value,
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
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn several_vms_agree_with_the_naive_model(
        plans in prop::collection::vec((any_plan(), 0..2 * PAGES), 1..4),
        ops in prop::collection::vec((0..3_usize, op()), 1..80),
    ) {
        let mut vms: Vec<Pair> = plans.into_iter().map(|(plan, extra)| Pair::new(plan, extra)).collect();
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
        plan in any_plan(),
        extra in 0..PAGES,
        ops in prop::collection::vec((op(), prop::option::of(0..12_u32)), 1..50),
    ) {
        let mut vm = Pair::new(plan, extra);
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
            let mut vm = Pair::new(plan(accounting, 2), PAGES);
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

/// The known scenario: pools go {0 1 2}{3 4} -> {0 1 2}{3 4 5} -> {3 4 5}{6} -> {3 4 5}{6 7}.
#[test]
fn the_third_pool_frees_the_first() {
    let plan = plan(Accounting::Reserved, 3);
    // Room for two pools and some of a third.
    let mut vm = Pair::new(plan, 5 * PAGES);
    let run = |vm: &mut Pair, id: u64| {
        vm.write(7, id + 100);
        vm.checkpoint(id).unwrap();
    };
    for id in 0..5 {
        run(&mut vm, id);
    }
    vm.restore(Which::Id(1));
    assert_eq!(vm.m.load(7), Some(101));
    run(&mut vm, 5);
    assert_eq!(vm.ids(), [0, 1, 2, 3, 4, 5]);
    run(&mut vm, 6);
    assert_eq!(vm.ids(), [3, 4, 5, 6]);
    run(&mut vm, 7);
    assert_eq!(vm.ids(), [3, 4, 5, 6, 7]);
    assert_eq!(vm.s.stats().pools, 2);
    vm.restore(Which::Id(1));
    vm.audit();
}

#[test]
fn a_checkpoint_costs_what_changed() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 3), 4 * PAGES);
    vm.write(0, 1);
    vm.checkpoint(0).unwrap();
    let before = vm.s.memory.frames.free();
    vm.write(1, 2);
    vm.write(1, 3);
    vm.checkpoint(1).unwrap();
    vm.restore(Which::Id(0));
    vm.restore(Which::Id(1));
    assert_eq!(
        vm.m.copies, 1,
        "one page changed, once between two checkpoints"
    );
    assert!(before - vm.s.memory.frames.free() <= 2);
    assert_eq!(vm.s.info(&mut vm.m, 1).unwrap().parent, Some(0));
    assert_eq!(vm.s.info(&mut vm.m, 0).unwrap().pages, 1);
}

#[test]
fn without_snapshots_no_page_is_copied() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 3), 0);
    vm.write(0, 1);
    vm.checkpoint(0).unwrap();
    vm.write(5, 1);
    vm.delete(0);
    let copies = vm.m.copies;
    for page in 0..BLOCK_PAGES {
        vm.write(page, 9);
    }
    assert_eq!(vm.m.copies, copies);
    vm.audit();
}

#[test]
fn what_only_a_snapshot_holds_is_what_its_deletion_frees() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 8), 4 * PAGES);
    vm.write(0, 1);
    vm.checkpoint(0).unwrap();
    vm.write(0, 2);
    vm.write(1, 2);
    vm.checkpoint(1).unwrap();
    vm.write(1, 3);
    assert_eq!(
        vm.s.info(&mut vm.m, 1).unwrap().pages,
        1,
        "page 1 as it was; page 0 is still the VM's"
    );
    vm.checkpoint(2).unwrap();
    let used = |vm: &Pair| vm.s.stats().pages;
    let before = used(&vm);
    assert_eq!(vm.s.info(&mut vm.m, 1).unwrap().pages, 1);
    vm.delete(1);
    assert_eq!(before - used(&vm), 1);
    vm.restore(Which::Id(0));
    vm.audit();
}

#[test]
fn thousands_of_snapshots_fit_on_demand() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 3), 4000);
    vm.write(0, 1);
    for id in 0..3000 {
        vm.write((id as u32 * 97) % PAGES, id);
        vm.checkpoint(id * 5).unwrap();
    }
    assert!(vm.kept.len() > 1500, "only {} fit", vm.kept.len());
    let oldest = *vm.kept.keys().next().unwrap();
    vm.restore(Which::Id(oldest));
    vm.audit();
    assert_eq!(vm.s.next(&vm.m, oldest + 1), Ok(oldest + 5));
}

#[test]
fn a_share_that_is_too_small_is_refused() {
    let plan = plan(Accounting::Reserved, 3);
    let frames = Frames::new(&[2..3, 3..least_share(PAGES, plan) + 1]);
    assert!(Snapshots::new(PAGES, plan, 50, frames).is_none());
}

/// Pages that the base has nothing for yet come before those that it has, and memory is full: folding the first would need what
/// folding the others frees.
#[test]
fn a_store_goes_on_when_only_the_running_vm_is_left() {
    let blocks = 1200;
    let mut vm = Pair::with_ram(
        blocks * BLOCK_PAGES,
        plan(Accounting::OnDemand, 3),
        300 * BLOCK_PAGES,
    );
    let half = blocks / 2;
    for block in 0..half {
        vm.write(block * BLOCK_PAGES, 1);
    }
    vm.checkpoint(0).unwrap();
    for block in half..blocks - 10 {
        vm.write(block * BLOCK_PAGES, 2);
    }
    for page in 0..half * BLOCK_PAGES {
        vm.write(page, 3);
    }
    for block in blocks - 10..blocks {
        vm.write(block * BLOCK_PAGES, 4);
    }
    assert!(vm.kept.is_empty(), "the snapshot was in the way");
    vm.audit();
}

/// The VM's nodes end up in as many slabs as there are, between those of snapshots that are gone.
#[test]
fn scattered_nodes_leave_room_for_ram() {
    for extra in [0, 64, 200] {
        let blocks = 16;
        let mut vm = Pair::with_ram(
            blocks * BLOCK_PAGES,
            plan(Accounting::OnDemand, 1024),
            extra,
        );
        for page in 0..blocks / 2 * BLOCK_PAGES {
            vm.write(page, 1);
        }
        let mut id = 0;
        for leaf in 0..blocks / 2 * BLOCK_PAGES / 8 {
            for _ in 0..20 {
                vm.write(leaf * 8, id);
                vm.checkpoint(id).unwrap();
                id += 1;
            }
            if vm.s.memory.frames.free() < 200 {
                break;
            }
        }
        for id in vm.ids() {
            vm.delete(id);
        }
        for page in 0..blocks * BLOCK_PAGES {
            vm.write(page, 5);
        }
        vm.audit();
    }
}
