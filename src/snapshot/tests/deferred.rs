//! What a restore leaves for later: pages that are mapped at their first access, and frames that are freed in pieces.

use super::pair::*;
use crate::addr::BLOCK_PAGES;
use crate::config::Accounting;
use crate::snapshot::deferred::TAKEN_BACK_AT_ONCE;
use crate::snapshot::*;

const MANY: u32 = 32 * BLOCK_PAGES;

/// A VM of which all pages are in snapshot #0, half of them others in #1, and its blocks are divided.
fn vm() -> Pair {
    let mut vm = Pair::with_ram(MANY, plan(Accounting::OnDemand, 8), 4 * MANY);
    for page in 0..MANY {
        vm.write(page, 1);
    }
    vm.checkpoint(100).unwrap();
    for page in 0..MANY {
        vm.write(page, 2);
    }
    vm.checkpoint(0).unwrap();
    for page in (0..MANY).step_by(2) {
        vm.write(page, 3);
    }
    vm.checkpoint(1).unwrap();
    vm.delete(100);
    vm.settled_stats();
    vm
}

fn dirty_all(vm: &mut Pair) {
    for page in 0..MANY {
        vm.write(page, 4);
    }
}

/// A restore, and how many mappings it changed.
fn changes(vm: &mut Pair, id: u64) -> u32 {
    let before = vm.m.changes;
    vm.restore(Which::Id(id));
    vm.m.changes - before
}

#[test]
fn a_restore_changes_little_however_much_was_stored() {
    for (id, all) in [(1, true), (0, false), (0, true)] {
        let mut vm = vm();
        if all {
            dirty_all(&mut vm);
        }
        let free = vm.s.memory.frames.free_count();
        let changed = changes(&mut vm, id);
        assert!(changed < 2000, "{changed} for #{id}");
        // What it dropped is free as soon as it is asked for.
        assert!(vm.s.memory.frames.free_count() < free + 2000);
        assert_eq!(vm.s.has_waiting(), all);
        vm.audit();
        // All of it is there, at the first access.
        for page in (0..MANY).step_by(3) {
            vm.read(page);
        }
        for page in (1..MANY).step_by(7) {
            vm.write(page, 5);
        }
        vm.audit();
        vm.checkpoint(2).unwrap();
        for id in [0, 2, 1, 2] {
            vm.restore(Which::Id(id));
            vm.audit();
        }
        (0..MANY).for_each(|page| vm.read(page));
    }
}

/// What it takes back at once costs no access.
#[test]
fn little_is_mapped_at_once() {
    let mut vm = vm();
    for page in 0..TAKEN_BACK_AT_ONCE as u32 {
        vm.write(page * 11 % MANY, 4);
    }
    vm.restore(Which::Id(1));
    assert!((0..MANY).all(|page| vm.m.readable(page).is_some()));
    assert!(!vm.s.has_waiting());
    vm.write(7, 5);
    vm.checkpoint(2).unwrap();
    vm.restore(Which::Id(1));
    assert!((0..MANY).all(|page| vm.m.readable(page).is_some()));
    vm.audit();
}

/// Stores free what waits, a piece each; and meanwhile the VM goes back again, in all ways.
#[test]
fn what_was_dropped_is_freed_beside_whatever_comes() {
    for next in 0..6 {
        let mut vm = vm();
        dirty_all(&mut vm);
        vm.restore(Which::Id(1));
        let free = vm.s.memory.frames.free_count();
        vm.write(9, 5);
        let piece = vm.s.memory.frames.free_count() - free;
        assert!((400..600).contains(&piece), "{piece}");
        for i in 0..10 {
            vm.write(i * 512, 6);
        }
        assert!(vm.s.has_waiting());
        match next {
            0 => vm.restore(Which::Id(1)),
            1 => vm.restore(Which::Id(0)),
            2 => vm.checkpoint(2).unwrap(),
            3 => vm.reset(),
            4 => vm.delete(0),
            _ => {
                dirty_all(&mut vm);
                assert!(!vm.s.has_waiting());
                vm.restore(Which::Id(0));
            }
        }
        vm.audit();
        vm.write(9, 7);
        vm.audit();
        vm.restore(Which::Id(1));
        vm.audit();
    }
}

/// Memory that a restore dropped is there before any snapshot goes.
#[test]
fn no_snapshot_goes_while_a_dropped_page_waits() {
    let mut vm = vm();
    dirty_all(&mut vm);
    vm.restore(Which::Id(1));
    vm.steal(2);
    for page in 0..1000 {
        vm.write(page, 5);
    }
    assert_eq!(vm.ids(), [0, 1]);
    vm.give_back();
    vm.audit();
}

/// Where each page must be cleaned, an access maps no more than its leaf; and a whole block is mapped by leaves too.
#[test]
fn where_pages_are_cleaned_an_access_maps_a_few() {
    let mut vm = vm();
    vm.write(4 * BLOCK_PAGES, 5);
    vm.m.unmaps_all = true;
    vm.restore(Which::Id(1));
    assert!((0..MANY).all(|page| vm.m.readable(page).is_none()));
    vm.m.cleans = true;
    for page in [9, BLOCK_PAGES + 70] {
        vm.read(page);
        let leaf = page / 8 * 8;
        let mapped = (0..MANY).filter(|&page| vm.m.readable(page).is_some());
        let mapped: std::vec::Vec<_> = mapped.filter(|at| at / 512 == page / 512).collect();
        assert_eq!(mapped, (leaf..leaf + 8).collect::<std::vec::Vec<_>>());
    }
    vm.write(10, 6);
    vm.read(11);
    vm.audit();
    vm.m.unmaps_all = false;
    vm.restore(Which::Id(1));
    vm.audit();
    (0..MANY).for_each(|page| vm.read(page));
}

/// A run is mapped as a whole; beside a page that the base has, one that it has not is filled with zeros. No block is free as a whole.
#[test]
fn each_form_of_a_block_is_mapped_at_an_access() {
    let mut vm = Pair::with_ram(4 * BLOCK_PAGES, plan(Accounting::OnDemand, 8), 6 * PAGES);
    vm.write(0, 1);
    // As no block is free, a page.
    vm.steal(BLOCK_PAGES / 2);
    vm.write(BLOCK_PAGES + 3, 1);
    vm.give_back();
    vm.checkpoint(0).unwrap();
    vm.m.unmaps_all = true;
    for (page, form) in [
        (5, Mapping::ReadBlock(Frame(0))),
        (BLOCK_PAGES + 3, Mapping::Read(Frame(0))),
        (BLOCK_PAGES + 4, Mapping::Write),
        (2 * BLOCK_PAGES, Mapping::Write),
    ] {
        vm.restore(Which::Id(0));
        vm.audit();
        vm.read(page);
        let [is, should] = [vm.m.mapping(page), form].map(|form| core::mem::discriminant(&form));
        assert_eq!(is, should, "{page}");
        vm.write(page, 2);
        vm.audit();
    }
}

#[test]
fn rv_zeroing_and_checkpoint_both_get_on() {
    let mut vm = Pair::with_ram(
        4 * BLOCK_PAGES,
        plan(Accounting::OnDemand, 8),
        4 * BLOCK_PAGES,
    );
    vm.write(0, 1);
    vm.steal(BLOCK_PAGES + 3);
    for round in 0..1000 {
        let filled =
            vm.s.fault_in(&mut vm.m, 2 * BLOCK_PAGES, true, Reach::Around);
        let taken = vm.s.checkpoint_piece(&mut vm.m, &mut vm.state, || 0);
        if filled.is_ok() || taken.is_ready() {
            std::eprintln!("round {round}: {filled:?} {taken:?}");
            return;
        }
    }
    panic!("neither gets on");
}

/// Leaves that a restore maps one by one where each is cleaned: pages.
#[test]
fn rv_overshoot() {
    let mut vm = vm();
    // Little is dirty; all pages of the first block differ between #0 and #1.
    vm.m.cleans = true;
    vm.m.written_back = 0;
    vm.restore(Which::Id(0));
    std::eprintln!("{} pages cleaned in one restore", vm.m.written_back);
    assert!(vm.m.written_back <= 130);
}
