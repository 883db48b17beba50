//! What is done in pieces, while the guest may run in between.

use super::pair::*;
use crate::config::Accounting;
use crate::snapshot::*;
use core::task::Poll;

/// A checkpoint of many pages is prepared in pieces, while the guest goes on storing. Nothing is lost, and what is left at the end is little.
#[test]
fn a_checkpoint_of_many_pages_is_prepared_in_pieces() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 3), 4 * PAGES);
    for page in 0..PAGES {
        vm.write(page, 1);
    }
    vm.checkpoint(0).unwrap();
    assert_eq!(vm.pieces, 0, "blocks are few");
    // In an order in which no two pages of a leaf follow each other.
    for page in (0..PAGES).map(|i| i * 11 % PAGES) {
        vm.write(page, 2);
    }
    vm.checkpoint(1).unwrap();
    assert!(vm.pieces > PAGES / 100, "{}", vm.pieces);
    vm.audit();
    for id in [0, 1, 0] {
        vm.restore(Which::Id(id));
        vm.audit();
    }
}

/// What was prepared is as good as nothing, if no checkpoint follows.
#[test]
fn a_checkpoint_that_does_not_come_leaves_the_vm_as_it_is() {
    for pieces in 1..20 {
        let mut vm = Pair::new(plan(Accounting::OnDemand, 3), 4 * PAGES);
        vm.write(0, 1);
        vm.checkpoint(0).unwrap();
        for page in 0..600 {
            vm.write(page, 2);
        }
        for _ in 0..pieces {
            let _ = vm.s.prepare_checkpoint(&mut vm.m);
            vm.audit();
        }
        vm.write(7, 3);
        vm.audit();
        match pieces % 3 {
            0 => vm.restore(Which::Id(0)),
            1 => vm.reset(),
            _ => vm.delete(0),
        }
        vm.audit();
        vm.checkpoint(1).unwrap();
        vm.restore(Which::Latest);
        vm.audit();
    }
}

/// Pages of a VM whose maps have more nodes than are freed, or looked at, in a piece.
const MANY: u32 = 2 * PAGES;

/// A VM whose snapshot #0 alone has all pages, each in a frame of its own that no run has.
fn with_pages_of_its_own() -> Pair {
    let mut vm = Pair::with_ram(MANY, plan(Accounting::OnDemand, 2), 4 * MANY);
    for round in 0..3 {
        for page in 0..MANY {
            vm.write(page, round);
        }
        vm.checkpoint(round).unwrap();
    }
    vm
}

/// What a snapshot had that goes is freed in pieces. While it waits, the guest goes on, and what is asked of memory finds it as if it were free.
#[test]
fn what_goes_is_freed_in_pieces() {
    let mut vm = with_pages_of_its_own();
    let pages = vm.s.info(&mut vm.m, 1).unwrap().pages;
    assert_eq!(pages, MANY);
    let free = vm.s.memory.frames.free_count();
    vm.kept.remove(&1);
    vm.s.delete(&mut vm.m, 1).unwrap();
    let first = vm.s.memory.frames.free_count() - free;
    assert!((1..600).contains(&first), "{first}");
    assert!(vm.s.has_waiting());
    let mut pieces = 0;
    while vm.s.settle(&mut vm.m).is_pending() {
        let before = vm.s.memory.frames.free_count();
        vm.write(pieces * 8 + 1, 8);
        pieces += 1;
        assert!(vm.s.memory.frames.free_count() < before + 600);
    }
    assert!(pieces >= 2, "{pieces}");
    vm.audit();
}

/// A slab is not added while a node waits, though all are full.
#[test]
fn a_node_that_waits_is_there_for_who_needs_one() {
    let mut vm = with_pages_of_its_own();
    vm.kept.remove(&1);
    vm.s.delete(&mut vm.m, 1).unwrap();
    let slabs = vm.s.memory.nodes.slabs();
    for page in (0..PAGES).step_by(8) {
        vm.write(page, 7);
    }
    vm.s.fold(&mut vm.m).unwrap();
    assert!(vm.s.has_waiting());
    assert!(vm.s.memory.nodes.slabs() <= slabs);
    vm.audit();
}

/// Frames that wait to be freed are there for who needs them, before any snapshot goes.
#[test]
fn no_snapshot_goes_while_something_waits_to_be_freed() {
    let mut vm = with_pages_of_its_own();
    vm.kept.remove(&1);
    vm.s.delete(&mut vm.m, 1).unwrap();
    vm.steal(2);
    for page in 0..PAGES {
        vm.write(page, 9);
    }
    assert_eq!(vm.ids(), [0, 2]);
    vm.give_back();
    vm.audit();
}

/// A pool that goes is gone as a whole, however long it takes to free what its snapshots had.
#[test]
fn a_pool_that_goes_is_gone_at_once() {
    let mut vm = with_pages_of_its_own();
    assert!(vm.s.reclaim(&mut vm.m));
    assert!(vm.s.has_waiting());
    let stats = vm.s.stats();
    assert_eq!((stats.snapshots, stats.pools), (1, 1));
    assert_eq!(vm.ids(), [2]);
    vm.kept.retain(|&id, _| id == 2);
    for id in [0, 1] {
        assert_eq!(vm.s.info(&mut vm.m, id), Err(NotFound));
        assert_eq!(vm.s.delete(&mut vm.m, id), Err(NotFound));
        vm.restore(Which::Id(id));
    }
    assert!(vm.s.has_waiting(), "all of that asked for no memory");
    vm.restore(Which::Latest);
    vm.audit();
    let told = "freed the oldest snapshot pool: snapshots #0 to #1, ";
    assert!(vm.m.lines.last().unwrap().starts_with(told));
    // The only pool there is: then none is the newest, until there is another.
    while vm.s.pools.count > 0 && vm.s.reclaim(&mut vm.m) {
        assert!(vm.ids().is_empty());
        vm.kept.clear();
        vm.restore(Which::Latest);
    }
    vm.write(3, 4);
    vm.checkpoint(9).unwrap();
    vm.write(3, 5);
    vm.restore(Which::Latest);
    vm.audit();
}

/// The pages that a snapshot keeps alone are counted in pieces. Between them the guest goes on, which changes nothing of them.
#[test]
fn pages_are_counted_in_pieces() {
    let mut vm = with_pages_of_its_own();
    // #1 has a map of its own, #2 has the base's.
    for page in (0..MANY).step_by(2) {
        vm.write(page, 6);
    }
    for (id, expected) in [(1, MANY), (2, MANY / 2)] {
        assert_eq!(vm.s.info(&mut vm.m, id).unwrap().pages, expected);
        let (mut count, mut pieces) = (Count::NOT_BEGUN, 0);
        let info = loop {
            vm.m.looks.take();
            match vm.s.info_piece(&mut vm.m, id, &mut count) {
                Poll::Ready(info) => break info.unwrap(),
                Poll::Pending => pieces += 1,
            }
            let looks = vm.m.looks.take();
            assert!(looks < 10_000, "{looks}");
            vm.write(pieces * 4 % MANY, 10);
        };
        assert_eq!(info.pages, expected, "#{id}");
        assert!(pieces >= 1, "{pieces}");
    }
    // One that goes meanwhile is not found.
    let mut count = Count::NOT_BEGUN;
    assert!(vm.s.info_piece(&mut vm.m, 1, &mut count).is_pending());
    vm.delete(1);
    assert_eq!(
        vm.s.info_piece(&mut vm.m, 1, &mut count),
        Poll::Ready(Err(NotFound))
    );
    // One whose map is the base's no more, as the VM has a newer one, is counted anew.
    let mut count = Count::NOT_BEGUN;
    assert!(vm.s.info_piece(&mut vm.m, 2, &mut count).is_pending());
    vm.checkpoint(3).unwrap();
    let info = loop {
        if let Poll::Ready(info) = vm.s.info_piece(&mut vm.m, 2, &mut count) {
            break info.unwrap();
        }
    };
    assert_eq!(info.pages, vm.s.info(&mut vm.m, 2).unwrap().pages);
}

/// A VM that goes back and is saved, again and again, has the count begin anew once.
#[test]
fn counting_ends_whatever_the_vm_does_meanwhile() {
    let mut vm = with_pages_of_its_own();
    let (mut count, mut pieces) = (Count::NOT_BEGUN, 0);
    let done = loop {
        for page in (0..MANY).step_by(2) {
            vm.write(page, 6);
        }
        if let Poll::Ready(done) = vm.s.info_piece(&mut vm.m, 2, &mut count) {
            break done;
        }
        pieces += 1;
        assert!(pieces < 40, "it goes on for ever");
        match pieces % 2 {
            0 => vm.restore(Which::Id(2)),
            _ => vm.checkpoint(10).unwrap(),
        }
        if pieces % 2 == 0 {
            vm.delete(10);
        }
    };
    assert!(done.is_ok() && pieces >= 2, "{pieces}");
}
