//! Single histories, each for one thing that the snapshot logic promises.

use super::pair::{Guest, PAGES, Pair, SIZES, SMALL, faulted_in, min_frames, plan};
use crate::addr::BLOCK_PAGES;
use crate::config::Accounting;
use crate::snapshot::fold::FOLD_RESERVE;
use crate::snapshot::*;

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
    let before = vm.s.memory.frames.free_count();
    vm.write(1, 2);
    vm.write(1, 3);
    vm.checkpoint(1).unwrap();
    vm.restore(Which::Id(0));
    vm.restore(Which::Id(1));
    assert_eq!(
        vm.m.copies, 1,
        "one page changed, once between two checkpoints"
    );
    assert!(before - vm.s.memory.frames.free_count() <= 2);
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
    let used = |vm: &mut Pair| vm.settled_stats().kept_pages;
    let before = used(&mut vm);
    assert_eq!(vm.s.info(&mut vm.m, 1).unwrap().pages, 1);
    vm.delete(1);
    assert_eq!(before - used(&mut vm), 1);
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
    assert_eq!(vm.s.first_id_from(&vm.m, oldest + 1), Ok(oldest + 5));
}

#[test]
fn a_share_that_is_too_small_is_refused() {
    let plan = plan(Accounting::Reserved, 3);
    let frames = Frames::new(&[2..3, 3..min_frames(PAGES, plan) + 1]);
    assert!(Snapshots::new(PAGES, plan, SMALL, frames).is_none());
}

/// With the least share and all of RAM in use there is a checkpoint; with reserved accounting as many as a pool takes, all of whose pages are
/// the snapshots' own.
#[test]
fn the_least_share_keeps_what_is_promised() {
    let plans = [(Accounting::OnDemand, 1), (Accounting::Reserved, 3)];
    for (size, (accounting, capacity)) in SIZES.into_iter().flat_map(|s| plans.map(|p| (s, p))) {
        let mut vm = Pair::with_state(PAGES, plan(accounting, capacity), size, 0);
        for id in 0..u64::from(capacity) {
            for page in 0..PAGES {
                vm.write(page, id + 1);
            }
            assert_eq!(vm.checkpoint(id), Ok(()), "#{id}, {accounting:?}, {size:?}");
            assert_eq!(vm.ids().len() as u64, id + 1);
            vm.audit();
        }
        // No more is asked for than that takes, nodes and what a fold may need included.
        let free = vm.s.memory.frames.free_count();
        let spare = match accounting {
            // A slab for each node of the VM's.
            Accounting::OnDemand => map::max_nodes(PAGES),
            // The VM may change all of its RAM once more.
            Accounting::Reserved => PAGES,
        };
        assert!(free <= spare + 24, "{free} free, {accounting:?}, {size:?}");
        vm.restore(Which::Id(0));
    }
}

/// However few nodes and frames are left, a checkpoint that succeeds leaves a later fold what it needs.
#[test]
fn a_checkpoint_leaves_a_fold_its_reserve() {
    for size in SIZES {
        for (room, left) in (0..12).flat_map(|room| (0..14).map(move |left| (room, left))) {
            let mut vm = Pair::with_state(PAGES, plan(Accounting::OnDemand, 2), size, PAGES);
            vm.write(0, 1);
            let fillers = vm.leave_room_for_nodes(room);
            vm.steal(left);
            if vm.checkpoint(0).is_ok() {
                assert!(
                    vm.s.memory.frames.free_count() >= FOLD_RESERVE,
                    "{room} {left} {size:?}"
                );
            }
            vm.give_back();
            vm.release_nodes(fillers);
            vm.audit();
        }
    }
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
            if vm.s.memory.frames.free_count() < 200 {
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

/// As long as a block is left beside what a fold may need, RAM comes in whole blocks.
#[test]
fn a_block_is_given_as_a_whole_while_there_is_one() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 1), 4 * BLOCK_PAGES);
    vm.steal(2 * BLOCK_PAGES - 4);
    vm.read(BLOCK_PAGES);
    assert_eq!(vm.m.mapping(BLOCK_PAGES), Mapping::WriteBlock);
    // Half of that is less than a block.
    vm.steal(FOLD_RESERVE + BLOCK_PAGES);
    vm.read(2 * BLOCK_PAGES);
    assert_eq!(vm.m.mapping(2 * BLOCK_PAGES), Mapping::Write);
    vm.give_back();
    vm.audit();
}

#[test]
fn the_dirty_list_takes_the_heap_that_is_kept_for_it() {
    for pages in [BLOCK_PAGES, PAGES, 64 * BLOCK_PAGES] {
        let pair = Pair::with_ram(pages, plan(Accounting::OnDemand, 3), 100);
        // And two words for each 64 pages: which of them were dirtied in the rounds before.
        let recent = pages.div_ceil(64) as usize * 16;
        let lists = pair.s.dirty.capacity() + pair.s.deferred.dropped.capacity();
        // And a bit for each block.
        let touched = pages.div_ceil(64 * BLOCK_PAGES) as usize * 8;
        let taken = lists * size_of::<DirtyEntry>() + recent + touched;
        assert_eq!(Snapshots::heap_bytes(pages.into()), taken as u64);
        assert_eq!(pair.s.pages(), pages);
    }
}

#[test]
fn the_latest_is_the_newest_that_is_left() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 3), 1000);
    for id in 0..6 {
        vm.write(7, id + 100);
        vm.checkpoint(id).unwrap();
    }
    for (deleted, left) in [(5, 4), (2, 4), (4, 3), (3, 1)] {
        vm.delete(deleted);
        vm.restore(Which::Latest);
        assert_eq!(vm.s.current(), Some(left));
        vm.read(7);
    }
}

#[test]
fn a_load_that_faulted_for_nothing_copies_nothing() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 3), 3000);
    // A page, and a whole block.
    vm.write(7, 1);
    vm.write(BLOCK_PAGES, 2);
    vm.checkpoint(0).unwrap();
    vm.m.stale = true;
    for page in [7, BLOCK_PAGES, BLOCK_PAGES + 9] {
        let (mapping, free) = (vm.m.mapping(page), vm.s.memory.frames.free_count());
        assert!(
            matches!(mapping, Mapping::Read(_) | Mapping::ReadBlock(_)),
            "{mapping:?}"
        );
        faulted_in(&mut vm.s, &mut vm.m, page, false, Reach::Around).unwrap();
        assert_eq!(vm.m.mapping(page), mapping);
        assert_eq!(vm.s.memory.frames.free_count(), free);
    }
}

#[test]
fn a_fold_begins_with_its_reserve_and_not_below() {
    for left in 0..=FOLD_RESERVE {
        let mut vm = Pair::new(plan(Accounting::OnDemand, 3), 3000);
        vm.write(7, 1);
        vm.checkpoint(0).unwrap();
        vm.write(7, 2);
        vm.steal(left);
        let done = vm.s.fold(&mut vm.m);
        assert_eq!(done.is_ok(), left == FOLD_RESERVE, "{left} frames");
        if done.is_err() {
            assert_eq!(vm.s.memory.frames.free_count(), left);
        }
        vm.give_back();
        assert_eq!(vm.s.fold(&mut vm.m), Ok(()));
    }
}

/// The fold of a checkpoint copies so many nodes that it runs out of frames: the oldest pool goes, and the fold goes on.
#[test]
fn a_checkpoint_frees_a_pool_for_its_fold() {
    let pages = 6 * BLOCK_PAGES;
    let mut vm = Pair::with_ram(pages, plan(Accounting::OnDemand, 1), 2 * pages);
    let write_each_leaf =
        |vm: &mut Pair, value| (0..pages).step_by(8).for_each(|page| vm.write(page, value));
    for id in 0..2 {
        write_each_leaf(&mut vm, id);
        vm.checkpoint(id).unwrap();
    }
    write_each_leaf(&mut vm, 2);
    let fillers = vm.leave_room_for_nodes(0);
    vm.steal(vm.s.pools.frames_for_commit());
    vm.checkpoint(2).unwrap();
    assert_eq!(vm.ids(), [1, 2]);
    vm.give_back();
    vm.release_nodes(fillers);
    vm.restore(Which::Id(1));
    vm.audit();
}

/// A fold of pages that the base has nothing of takes memory and frees none.
#[test]
fn a_deletion_folds_only_what_frees_memory() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 3), 3000);
    vm.write(0, 1);
    vm.checkpoint(0).unwrap();
    vm.write(0, 2);
    vm.write(BLOCK_PAGES, 3);
    vm.delete(0);
    let folded =
        vm.s.dirty
            .iter()
            .map(|entry| (entry.page(), entry.is_folded()));
    assert!(folded.eq([(0, true), (BLOCK_PAGES, false)]));
}

#[test]
fn the_log_tells_of_each_pool() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 2), PAGES);
    for id in 0..4 {
        vm.write(7, id);
        vm.checkpoint(id).unwrap();
    }
    let free = vm.s.memory.frames.free_count();
    assert!(vm.s.reclaim(&mut vm.m));
    // Page 7 as #0 and #1 have it, and the frame of their states.
    assert_eq!(vm.s.memory.frames.free_count() - free, 3);
    // 2 snapshots of 6 MiB.
    let new = "new snapshot pool size: 12MB";
    let freed = "freed the oldest snapshot pool: snapshots #0 to #1, 3 pages";
    assert_eq!(vm.m.lines, [new, new, freed]);
}
