//! The way back to the snapshot before: when it is gone, and when a walk of both maps finds what differs.

use super::pair::*;
use crate::addr::BLOCK_PAGES;
use crate::config::Accounting;
use crate::snapshot::*;

/// Pages that differ, each in a leaf of its own.
const DIFFERENT: u32 = 40;
const STEP: u32 = 8;

fn store(vm: &mut Pair, value: u64) {
    for page in 0..DIFFERENT {
        vm.write(page * STEP, value + u64::from(page));
    }
}

/// A VM with snapshots #0 to #2, behind the last of which nothing was stored.
fn vm() -> Pair {
    // As many entries of the dirty list as ever are taken back at once.
    let mut vm = Pair::new(plan(Accounting::OnDemand, 8), 4000);
    for id in 0..3 {
        store(&mut vm, 1000 * (id + 1));
        vm.checkpoint(id).unwrap();
    }
    vm
}

/// A restore, and how often it looked at bookkeeping memory.
fn looks(vm: &mut Pair, id: u64) -> u32 {
    let before = vm.m.looks.get();
    vm.restore(Which::Id(id));
    let looks = vm.m.looks.get() - before;
    vm.audit();
    looks
}

#[test]
fn a_step_back_looks_at_no_page_of_the_maps() {
    let mut vm = vm();
    let back = looks(&mut vm, 1);
    assert!(back < DIFFERENT / 2, "{back} looks");
    // The way is known for one step.
    let further = looks(&mut vm, 0);
    assert!(further > 2 * DIFFERENT, "{further} looks");
    // And not from elsewhere.
    let forth = looks(&mut vm, 2);
    assert!(forth > 2 * DIFFERENT, "{forth} looks");
    let again = looks(&mut vm, 1);
    assert!(again > 2 * DIFFERENT, "{again} looks");
}

#[test]
fn what_was_stored_since_goes_first() {
    let mut vm = vm();
    // Those of the way, and neighbours in their leaves.
    for page in 0..DIFFERENT * STEP / 2 {
        vm.write(page, 7);
    }
    let back = looks(&mut vm, 1);
    assert!(back < DIFFERENT / 2, "{back} looks");
}

#[test]
fn the_way_is_known_over_restores_of_its_end() {
    let mut vm = vm();
    for value in 0..5 {
        store(&mut vm, value);
        vm.restore(Which::Id(2));
    }
    let back = looks(&mut vm, 1);
    assert!(back < DIFFERENT / 2, "{back} looks");
}

#[test]
fn a_checkpoint_of_nothing_changes_nothing_of_the_way() {
    let mut vm = vm();
    vm.checkpoint(3).unwrap();
    let back = looks(&mut vm, 1);
    assert!(back < DIFFERENT / 2, "{back} looks");
}

#[test]
fn a_way_that_begins_at_absent_blocks_is_not_gone() {
    let mut vm = vm();
    vm.s.defer_beyond(3);
    store(&mut vm, 5);
    // That leaves nearly all to the first accesses.
    vm.restore(Which::Id(2));
    assert_eq!(vm.m.mapping(0), Mapping::AbsentBlock);
    looks(&mut vm, 1);
}

#[test]
fn a_fold_after_the_snapshot_went_ends_the_way() {
    let mut vm = vm();
    store(&mut vm, 5);
    // The VM alone has the base now: what is dirty is folded into it.
    vm.delete(2);
    vm.settled_stats();
    let back = looks(&mut vm, 1);
    assert!(back > DIFFERENT, "{back} looks");
}

#[test]
fn of_more_pages_than_are_kept_no_way_is() {
    let mut vm = Pair::with_ram(4 * BLOCK_PAGES, plan(Accounting::OnDemand, 8), 12_000);
    for id in 0..3 {
        for page in 0..3 * BLOCK_PAGES {
            vm.write(page, id);
        }
        vm.checkpoint(id).unwrap();
    }
    looks(&mut vm, 1);
}

#[test]
fn a_way_is_made_in_pieces() {
    const MANY: u32 = 300;
    let mut vm = Pair::with_ram(8 * BLOCK_PAGES, plan(Accounting::OnDemand, 8), 12_000);
    for id in 0..3 {
        for page in 0..MANY {
            vm.write(page * STEP, id);
        }
        if id == 2 {
            // A page that is folded and clean already is stored to again, before the checkpoint.
            assert!(vm.s.prepare_checkpoint(vm.m.backend_mut()).is_pending());
            while vm.s.prepare_checkpoint(vm.m.backend_mut()).is_pending() {}
            vm.write(0, 77);
        }
        vm.checkpoint(id).unwrap();
    }
    let back = looks(&mut vm, 1);
    assert!(back < DIFFERENT / 2, "{back} looks");
}

#[test]
fn a_page_that_was_absent_ends_the_way() {
    let mut vm = Pair::with_ram(4 * BLOCK_PAGES, plan(Accounting::OnDemand, 8), 4000);
    store(&mut vm, 1000);
    vm.checkpoint(0).unwrap();
    store(&mut vm, 2000);
    vm.write(2 * BLOCK_PAGES, 1);
    vm.checkpoint(1).unwrap();
    let back = looks(&mut vm, 0);
    assert!(back > DIFFERENT, "{back} looks");
    assert_eq!(vm.m.mapping(2 * BLOCK_PAGES), Mapping::AbsentBlock);
}

#[test]
fn a_vm_that_nobody_controls_keeps_none() {
    let frames = Frames::new(&[512..1024, 1024..4096]);
    let plan = plan(Accounting::OnDemand, 3);
    let kept = Snapshots::new(BLOCK_PAGES, plan, SMALL, frames).map(|mut snapshots| {
        let before = snapshots.way_back.bytes();
        snapshots.keep_way_back();
        (before, snapshots.way_back.bytes())
    });
    assert_eq!(kept, Some((0, Snapshots::WAY_BACK_BYTES)));
}
