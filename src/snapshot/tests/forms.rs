//! Restores from each form of a map to each other. A map's nodes are runs, plain, or not there at all.

use super::pair::{PAGES, Pair, plan};
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
    assert_eq!(vm.s.fault_in(&mut vm.m, 0, true), Ok(()));
    assert_eq!(vm.ids(), []);
    assert_eq!((vm.m.mapping(0), vm.m.copies), (Mapping::Write, 0));
}
