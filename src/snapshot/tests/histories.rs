//! The snapshot logic against a naive one that copies all memory, and an audit of every frame after every step.

use super::pair::{Guest, PAGES, Pair, SIZES, plan};
use crate::addr::BLOCK_PAGES;
use crate::config::Accounting;
use crate::fake::{cases, performed};
use crate::snapshot::frames::MAX_FRAMES;
use crate::snapshot::*;
use proptest::prelude::*;
use std::vec::Vec;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Write {
        page: u32,
        count: u32,
    },
    Read {
        page: u32,
    },
    Register(u32),
    Checkpoint,
    Restore(u16),
    RestoreLatest,
    /// Stores to a few pages and back to the latest, again and again.
    Rounds {
        page: u32,
        rounds: u32,
    },
    Delete(u16),
    Reset,
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..PAGES, 1..40_u32).prop_map(|(page, count)| Op::Write { page, count }),
        1 => (0..PAGES / 2).prop_map(|page| Op::Write { page, count: PAGES / 2 }),
        2 => (0..PAGES).prop_map(|page| Op::Read { page }),
        1 => any::<u32>().prop_map(Op::Register),
        6 => Just(Op::Checkpoint),
        4 => any::<u16>().prop_map(Op::Restore),
        1 => Just(Op::RestoreLatest),
        2 => (0..PAGES, 2..8_u32).prop_map(|(page, rounds)| Op::Rounds { page, rounds }),
        2 => any::<u16>().prop_map(Op::Delete),
        1 => Just(Op::Reset),
    ]
}

pub(super) fn any_plan() -> impl Strategy<Value = (PoolPlan, StateSize)> {
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

pub(super) fn step<M: Guest>(pair: &mut Pair<M>, op: &Op, next_id: &mut u64, stamp: u64) {
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
        Op::Rounds { page, rounds } => {
            for round in 0..rounds {
                let pages = page..(page + 4).min(pair.s.pages());
                // Not all of them each time.
                for at in pages.filter(|at| (at + round) % 5 != 0) {
                    pair.write(at, stamp << 16 | u64::from(at + round));
                }
                pair.restore(Which::Latest);
            }
        }
        Op::Delete(choice) => pair.delete(pick(choice, *next_id)),
        Op::Reset => pair.reset(),
    }
}

proptest! {
    #![proptest_config(cases(100))]

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
        performed("snapshot::tests::histories", ops.len());
        for (stamp, (vm, op)) in ops.iter().enumerate() {
            let vm = vm % vms.len();
            step(&mut vms[vm], op, &mut next_id, stamp as u64 + 1);
            vms[vm].audit();
        }
        vms.iter_mut().for_each(Pair::audit);
    }

    #[test]
    fn memory_runs_out_anywhere(
        (plan, size) in any_plan(),
        extra in 0..PAGES,
        ops in prop::collection::vec((op(), prop::option::of(0..12_u32)), 1..50),
    ) {
        let mut vm = Pair::with_state(PAGES, plan, size, extra);
        let mut next_id = 0;
        performed("snapshot::tests::histories", ops.len());
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
pub(super) const FAR: [u32; 7] = [
    BLOCK_PAGES,
    PAGES,
    (20 << 20) / 4096,
    (150 << 20) / 4096,
    1 << 18,
    3 << 18,
    1 << 20,
];

/// The plan, with a pool that such a VM can have: frames have numbers for 16 GiB, for the VM, the pool's snapshots, and a rest with the nodes.
pub(super) fn plan_for(plan: PoolPlan, pages: u32) -> PoolPlan {
    let most = MAX_FRAMES / pages - 2;
    PoolPlan {
        capacity: plan.capacity.min(most),
        ..plan
    }
}

/// Pages on both sides of where nodes of each level begin, in blocks as far from each other as `pages` allow.
fn far_page(choice: u32, pages: u32) -> u32 {
    const BLOCKS: [u32; 12] = [0, 1, 7, 8, 9, 63, 64, 511, 512, 513, 2046, 2047];
    const WITHIN: [u32; 6] = [0, 1, 8, 63, 64, BLOCK_PAGES - 1];
    let last = pages / BLOCK_PAGES - 1;
    let block = BLOCKS[choice as usize / WITHIN.len() % BLOCKS.len()].min(last);
    block * BLOCK_PAGES + WITHIN[choice as usize % WITHIN.len()]
}

/// An operation of [`op`], on pages of [`far_page`].
pub(super) fn far(op: Op, pages: u32) -> Op {
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
    #![proptest_config(cases(60))]

    /// Guests of all sizes, of whose RAM little is touched, in places far from each other.
    #[test]
    fn a_guest_of_any_size_agrees_with_the_naive_model(
        (plan, size) in any_plan(),
        pages in prop::sample::select(FAR.as_slice()),
        extra in 0..2 * PAGES,
        ops in prop::collection::vec((op(), prop::option::weighted(0.1, 0..12_u32)), 1..80),
    ) {
        let mut vm = Pair::with_state(pages, plan_for(plan, pages), size, extra);
        let mut next_id = 0;
        performed("snapshot::tests::histories", ops.len());
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
