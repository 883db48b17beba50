//! What operations cost in what hardware pays for by waiting: cache and TLB maintenance, barriers, bytes copied. `make bench` prints the table.

use super::guest::*;
use crate::addr::PAGE_SIZE;
use crate::fake::worst::{Counts, Luck, Worst};
use crate::fake::{Asked, FakeBoard, FakeCore};
use crate::vm::Vm;
use std::boxed::Box;
use std::println;

/// A guest with its caches on, or off, on a board that has caches.
pub(super) fn guest(caches: bool) -> Guest {
    let share = share(0, 32);
    let worst = Worst::new(2, Luck::GOOD);
    worst.enter(0);
    let board = FakeBoard::with(core::slice::from_ref(&share), worst.clone());
    let plan = Box::leak(Box::new(PLAN));
    let vm = Vm::new(plan, 0, board, &[share], |vcpu| vcpu).unwrap();
    let mut core = FakeCore::new(0);
    core.worst = Some(worst);
    let mut guest = Guest { vm, core };
    guest.on_core(|_, _| ());
    if caches {
        switch_on(&mut guest);
    }
    // RAM is there, its block is divided, and there is a snapshot.
    guest.store(DATA, 10);
    guest.checkpoint();
    guest.store(DATA + 8 * PAGE_SIZE, 1);
    guest
}

/// As after the guest wrote the two registers: M, C and I, and Write-Back walks of the lower half only.
pub(super) fn switch_on(guest: &mut Guest) {
    guest.core().system.sctlr |= 1 << 12 | 5;
    guest.core().system.tcr = 1 << 23 | 1 << 10 | 1 << 8;
}

/// What `action` costs, and the bytes that it copies.
pub(super) fn cost(guest: &mut Guest, action: impl FnOnce(&mut Guest)) -> (Counts, u64) {
    let worst = guest.core.worst.clone().unwrap();
    guest.board().recorder.asked.clear();
    worst.take_counts();
    action(guest);
    let counts = worst.take_counts();
    let copied =
        |asked: &&(Asked, u64)| matches!(asked.0, Asked::Copy { .. } | Asked::CopyCached { .. });
    let copies = guest.board().recorder.asked.iter().filter(copied).count();
    (counts, copies as u64 * PAGE_SIZE)
}

/// A line of the table.
fn print(what: &str, (counts, bytes): (Counts, u64)) {
    let Counts {
        dc,
        ic,
        ic_all,
        tlbi,
        tlbi_broadcast,
        dsb,
    } = counts;
    println!(
        "{what:<56} {dc:>5} {ic:>5} {ic_all:>7} {tlbi:>7} {tlbi_broadcast:>10} {dsb:>5} {bytes:>8}"
    );
}

/// Prints the line, and judges what has a bound: DC, and TLBI for all cores.
fn judge(what: &str, cost: (Counts, u64), dc: u32, broadcast: u32) {
    print(what, cost);
    let found = [cost.0.dc, cost.0.tlbi_broadcast, cost.0.ic_all];
    assert_eq!(found, [dc, broadcast, 0], "{what}: {cost:?}");
}

pub(super) const LINES: u32 = 64;

#[test]
fn what_hardware_pays_for() {
    println!(
        "\n{:<56} {:>5} {:>5} {:>7} {:>7} {:>10} {:>5} {:>8}",
        "what hardware pays for", "DC", "IC", "IC all", "TLBI", "broadcast", "DSB", "bytes"
    );
    let mut vm = guest(true);
    let first = cost(&mut vm, |vm| vm.store(DATA, 20));
    judge("first store to a page", first, 0, 0);
    assert_eq!(first.1, PAGE_SIZE);
    // A run of frames becomes pages in both stage 2 and the map: break-before-make, once for 512 pages.
    vm.store(UNTOUCHED, 1);
    vm.checkpoint();
    let block = cost(&mut vm, |vm| vm.store(UNTOUCHED, 2));
    judge("first store in a block", block, 0, 1);
    vm.checkpoint();
    for pages in [0, 1, 100] {
        for page in 0..pages {
            vm.store(UNTOUCHED + page * PAGE_SIZE, 3);
        }
        let checkpoint = cost(&mut vm, |vm| _ = vm.checkpoint());
        let what = std::format!("checkpoint, {pages} pages dirtied");
        // With nothing dirty there is nothing to protect.
        judge(&what, checkpoint, 0, pages.min(1) as u32);
    }
    vm.store(UNTOUCHED, 4);
    let restore = cost(&mut vm, |vm| vm.restore(LATEST, 1));
    judge("restore, pages remapped", restore, 0, 1);
    vm.fetch(DATA);
    vm.store(DATA, 5);
    vm.restore(LATEST, 1);
    let fetch = cost(&mut vm, |vm| _ = vm.fetch(DATA));
    judge("first fetch from a page", fetch, LINES, 0);
    assert_eq!(fetch.0.ic, LINES);
    written_back();
    let mut vm = guest(false);
    let around = cost(&mut vm, |vm| vm.store(DATA, 20));
    judge(
        "first store to a page, around the caches",
        around,
        3 * LINES,
        0,
    );
}

/// Rounds with the same two pages: from the third on they are written back in place.
fn written_back() {
    let mut vm = guest(true);
    vm.store(UNTOUCHED, 1);
    vm.checkpoint();
    let mut last = Default::default();
    for broadcast in [1, 1, 0, 0] {
        for page in 0..2 {
            vm.store(UNTOUCHED + page * PAGE_SIZE, 2);
        }
        last = cost(&mut vm, |vm| vm.restore(LATEST, 1));
        judge("restore", last, 0, broadcast);
    }
    judge("restore, pages written back in place only", last, 0, 0);
    assert_eq!(last.1, 2 * PAGE_SIZE);
    // One that may be executed has its instructions forgotten, by address.
    vm.fetch(UNTOUCHED);
    vm.store(UNTOUCHED, 3);
    let restore = cost(&mut vm, |vm| vm.restore(LATEST, 1));
    judge("the same, one of them executable", restore, LINES, 0);
    assert_eq!(restore.0.ic, LINES);
    let nothing = cost(&mut vm, |vm| vm.restore(LATEST, 1));
    assert_eq!(nothing.0.tlbi_broadcast, 0);
}
