//! Restores from each form of a map to each other. A map's nodes are runs, plain, or not there at all.

use super::pair::{PAGES, Pair, faulted_in, plan};
use crate::addr::BLOCK_PAGES;
use crate::config::Accounting;
use crate::snapshot::*;

/// The guest stores to pages while no whole block is free.
fn write_one_by_one(vm: &mut Pair, pages: [u32; 4], value: u64) {
    vm.steal(BLOCK_PAGES / 2);
    for page in pages {
        vm.write(page, value);
    }
    vm.give_back();
}

/// The last two blocks of VMs whose maps have two to four levels above a block's.
#[test]
fn a_restore_leads_from_each_form_to_each_other() {
    for blocks in [2, 20, 65] {
        let plan = plan(Accounting::OnDemand, 8);
        let vm = Pair::with_ram(blocks * BLOCK_PAGES, plan, 6 * PAGES);
        all_forms(vm, (blocks - 2) * BLOCK_PAGES);
    }
}

fn all_forms(mut vm: Pair, first: u32) {
    // Nothing; two whole blocks; of one of them, one page is another; ...
    vm.checkpoint(0).unwrap();
    vm.write(first, 1);
    vm.write(first + BLOCK_PAGES, 1);
    vm.checkpoint(1).unwrap();
    vm.write(first, 2);
    vm.checkpoint(2).unwrap();
    // ... pages in two leaves of one group, and in a second group; more leaves, another group and another block.
    vm.reset();
    write_one_by_one(&mut vm, [0, 8, 9, 64].map(|page| first + page), 3);
    assert_eq!(vm.m.mapping(first + 1), Mapping::Absent);
    vm.checkpoint(3).unwrap();
    write_one_by_one(
        &mut vm,
        [1, 16, 128, BLOCK_PAGES].map(|page| first + page),
        4,
    );
    vm.checkpoint(4).unwrap();
    vm.audit();
    for from in 0..5 {
        for to in 0..5 {
            vm.restore(Which::Id(from));
            vm.restore(Which::Id(to));
            vm.audit();
        }
    }
    // What the snapshot has as a whole, or not at all, is mapped as a whole again.
    for (id, there) in [(1, true), (0, false)] {
        vm.restore(Which::Id(4));
        vm.restore(Which::Id(id));
        let mapping = vm.m.mapping(first + BLOCK_PAGES);
        assert_eq!(
            matches!(mapping, Mapping::ReadBlock(_)),
            there,
            "{mapping:?}"
        );
        assert_eq!(mapping == Mapping::AbsentBlock, !there, "{mapping:?}");
    }
    // What each of them held alone goes with it.
    vm.reset();
    for id in [1, 3, 0, 2, 4] {
        vm.delete(id);
        vm.audit();
    }
}

/// What both maps share is not looked at.
#[test]
fn a_restore_looks_only_where_the_maps_differ() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 8), 4 * PAGES);
    for page in 0..PAGES {
        vm.write(page, 1);
    }
    for id in 0..3 {
        vm.write(7, id);
        vm.checkpoint(id).unwrap();
    }
    vm.m.looks.set(0);
    vm.s.restore(&mut vm.m, &mut vm.state, Which::Id(1))
        .unwrap();
    let looks = vm.m.looks.get();
    assert!(looks < 100, "{looks} looks for one page");
}

/// The way to the next leaf begins at the lowest node above both, not at the root.
#[test]
fn a_fold_costs_the_same_wherever_its_pages_lie() {
    let pages = 1 << 18;
    let mut vm = Pair::with_ram(pages, plan(Accounting::OnDemand, 8), 4 * PAGES);
    let write_group =
        |vm: &mut Pair, first: u32| (0..64).step_by(8).for_each(|i| vm.write(first + i, 1));
    let places = [0, pages - 64];
    for first in places {
        write_group(&mut vm, first);
    }
    vm.checkpoint(0).unwrap();
    let [near, far] = places.map(|first| {
        write_group(&mut vm, first);
        vm.m.looks.set(0);
        vm.s.fold(&mut vm.m).unwrap();
        let looks = vm.m.looks.get();
        vm.checkpoint(u64::from(first) + 1).unwrap();
        looks
    });
    assert!(near.abs_diff(far) < 8, "{near} looks, and {far}");
}

/// The snapshots get the copy, all of those that share the leaf; where they have leaves of their own, the VM gets it.
#[test]
fn the_vm_keeps_a_frame_that_one_leaf_holds() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 8), 3000);
    for page in [0, 1, 64] {
        vm.write(page, 1);
    }
    vm.checkpoint(0).unwrap();
    vm.write(64, 2);
    vm.checkpoint(1).unwrap();
    // Both snapshots have the leaf of pages 0 and 1, and it is a run.
    for (page, kept) in [(0, true), (1, true), (65, false)] {
        let before = vm.m.readable(page);
        vm.write(page, 3);
        assert_eq!(vm.m.readable(page) == before, kept, "page {page}");
        vm.audit();
    }
    for id in [0, 1, 0] {
        vm.restore(Which::Id(id));
        [0, 1, 64, 65].into_iter().for_each(|page| vm.read(page));
        vm.audit();
    }
}

/// Without room for the nodes that a run would become, the VM gets the copy.
#[test]
fn a_first_store_takes_no_nodes_that_a_fold_may_need() {
    for left in 0..6 {
        let mut vm = Pair::new(plan(Accounting::OnDemand, 3), 3000);
        vm.write(0, 1);
        vm.checkpoint(0).unwrap();
        let fillers = vm.leave_room_for_nodes(0);
        vm.steal(left);
        let before = vm.m.readable(0);
        vm.write(0, 2);
        let (kept, snapshots) = (vm.m.readable(0) == before, vm.ids().len());
        match left {
            // The snapshot is freed for the store.
            0..=2 => assert_eq!((kept, snapshots), (true, 0)),
            3 => assert_eq!((kept, snapshots), (false, 1)),
            _ => assert_eq!((kept, snapshots), (true, 1)),
        }
        assert!(vm.s.memory.frames.free_count() >= left.min(fold::FOLD_RESERVE));
        vm.give_back();
        vm.release_nodes(fillers);
        vm.restore(Which::Latest);
        vm.audit();
    }
}

/// The base has a leaf of its own, and in that leaf a frame that another map has too.
#[test]
fn a_frame_of_another_map_is_copied_though_its_leaf_is_not() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 3), 3000);
    vm.write(0, 1);
    vm.write(1, 1);
    vm.checkpoint(0).unwrap();
    vm.write(0, 2);
    vm.checkpoint(1).unwrap();
    vm.delete(1);
    vm.write(1, 3);
    vm.restore(Which::Id(0));
    vm.read(1);
    vm.audit();
}

#[test]
fn a_store_frees_a_pool_and_goes_on() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 3), 3000);
    vm.write(0, 1);
    vm.checkpoint(0).unwrap();
    vm.steal(0);
    assert_eq!(
        faulted_in(&mut vm.s, &mut vm.m, 0, true, Reach::Around),
        Ok(())
    );
    assert_eq!(vm.ids(), []);
    assert_eq!((vm.m.mapping(0), vm.m.copies), (Mapping::Write, 0));
}
