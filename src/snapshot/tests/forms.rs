//! Restores from each form of a map to each other. A map's nodes are runs, plain, or not there at all.

use super::pair::{PAGES, Pair, plan};
use crate::addr::BLOCK_PAGES;
use crate::config::Accounting;
use crate::snapshot::*;

/// The guest stores to pages while no whole block is free.
fn write_one_by_one(vm: &mut Pair, pages: &[u32], value: u64) {
    vm.steal(BLOCK_PAGES / 2);
    for &page in pages {
        vm.write(page, value);
    }
    vm.give_back();
}

#[test]
fn a_restore_leads_from_each_form_to_each_other() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 8), 6 * PAGES);
    // Nothing; two whole blocks; of one of them, one page is another; ...
    vm.checkpoint(0).unwrap();
    vm.write(0, 1);
    vm.write(BLOCK_PAGES, 1);
    vm.checkpoint(1).unwrap();
    vm.write(0, 2);
    vm.checkpoint(2).unwrap();
    // ... pages in two leaves of one group, and in a second group; more leaves, another group and another block.
    vm.reset();
    write_one_by_one(&mut vm, &[0, 8, 9, 64], 3);
    assert_eq!(vm.m.mapping(1), Mapping::Absent);
    vm.checkpoint(3).unwrap();
    write_one_by_one(&mut vm, &[1, 16, 128, BLOCK_PAGES], 4);
    vm.checkpoint(4).unwrap();
    vm.audit();
    for from in 0..5 {
        for to in 0..5 {
            vm.restore(Which::Id(from));
            vm.restore(Which::Id(to));
            vm.audit();
        }
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
