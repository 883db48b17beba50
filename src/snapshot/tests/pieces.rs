//! What is done in pieces, while the guest may run in between.

use super::pair::*;
use crate::config::Accounting;
use crate::snapshot::*;

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
