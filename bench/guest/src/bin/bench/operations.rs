//! What each operation costs.

use crate::counter::{self, Pages};
use crate::memory::Ram;
use crate::report::{named, report};
use avisor_guest::{Id, console, mmu, smccc, snapshot};

/// Numbers of pages for the table.
const SOME: [usize; 5] = [0, 1, 10, 100, 1000];
/// For the fuzzer's loop.
const FUZZER: [usize; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
/// Rounds of the fuzzer's loop: the last counts, when whatever may be learnt of the pages is.
const ROUNDS: u64 = 16;
/// log2 of the entries of a node of a page map, as src/snapshot/map.rs has it.
const NODE_BITS: u32 = 3;

pub fn counts(ram: &Ram) {
    report("SMCCC call", counter::call(smccc::VERSION, 0));
    report("device read", counter::load(console::PL011 + 0x18));
    ram.make_present();
    first_store_around(ram);
    mmu::enable();
    first_stores(ram);
    checkpoints(ram);
    for k in SOME {
        named("restore of the base", k, counter::restore(ram.scattered(k)));
        forget();
    }
    for k in FUZZER {
        named(
            "fuzzer's round",
            k,
            counter::fuzzer_round(ram.scattered(k), ROUNDS),
        );
        forget();
    }
    named(
        "restore across 1000 checkpoints",
        100,
        counter::restore_across(ram.scattered(100), 1000, false),
    );
    forget();
    for k in SOME {
        deletion(ram, k);
    }
}

/// Cost against the pages dirtied, up to all there are.
pub fn curves(ram: &Ram) {
    ram.make_present();
    mmu::enable();
    divide_blocks(ram);
    for bits in 0..=ram.pages().ilog2() {
        let k = 1 << bits;
        let of = ram.scattered(k);
        named("checkpoint, scattered", k, counter::checkpoint(of));
        forget();
        let row = ram.adjacent(k);
        named("checkpoint, adjacent", k, counter::checkpoint(row));
        forget();
        named("restore of the base", k, counter::restore(of));
        forget();
        named("fuzzer's round", k, counter::fuzzer_round(of, ROUNDS));
        forget();
    }
    report("full copy", ram.full_copy());
}

/// The same work in guests of any size.
pub fn size(ram: &Ram) {
    ram.make_present();
    mmu::enable();
    divide_blocks(ram);
    let of = ram.same_scattered(100);
    report("checkpoint", counter::checkpoint(of));
    forget();
    report("restore", counter::restore(of));
    forget();
    let of = ram.scattered(100);
    report("checkpoint, all over RAM", counter::checkpoint(of));
    forget();
    report("restore, all over RAM", counter::restore(of));
    forget();
    report("full copy", ram.full_copy());
}

/// With the guest's caches off: the copy is for memory, not for the caches.
fn first_store_around(ram: &Ram) {
    let one = ram.in_another_block();
    // The first time it is its block that it has to divide.
    counter::first_stores(one);
    let cost = counter::first_stores(one) - counter::loop_alone(one);
    report("first store to a page, around the caches", cost);
    forget();
}

fn first_stores(ram: &Ram) {
    let one = ram.adjacent(1);
    let alone = counter::loop_alone(one);
    report("first store in a block", counter::first_stores(one) - alone);
    // A page whose block is divided, and whose way in the map is not yet, or is.
    report("first store to a page", counter::first_stores(one) - alone);
    let many = ram.scattered(1000);
    counter::checkpoint(many);
    let cost = counter::first_stores(many) - counter::loop_alone(many);
    report("first store to a page, mean of 1000", cost / 1000);
    forget();
}

fn checkpoints(ram: &Ram) {
    // Since their block was divided nobody has stored to these, but for a few of the smaller numbers.
    for k in SOME {
        let of = ram.scattered(k);
        let cost = counter::checkpoint(of);
        named("checkpoint, scattered, first time", k, cost);
        named("checkpoint, scattered", k, counter::checkpoint(of));
        forget();
    }
    for k in SOME {
        let of = ram.adjacent(k);
        named("checkpoint, adjacent", k, counter::checkpoint(of));
        forget();
    }
}

/// Frees a snapshot that alone holds `k` pages, and the nodes on the way to them.
fn deletion(ram: &Ram, k: usize) {
    let of = ram.scattered(k);
    let id = counter::dirty_and_checkpoint(of);
    let next = counter::dirty_and_checkpoint(of);
    if id < 0 || next < 0 {
        return;
    }
    let id = id as u64;
    let frames = snapshot::info(Id(id)).map_or(0, |info| info.own_pages as usize);
    let cost = counter::delete(id);
    named(
        "freeing a snapshot",
        frames + nodes_above(of, ram.pages()),
        cost,
    );
    forget();
}

/// Nodes on the way to these pages in a map of `pages` pages.
fn nodes_above(of: Pages, pages: usize) -> usize {
    let levels = pages.ilog2().div_ceil(NODE_BITS);
    let above = |level: u32| {
        let node = move |page: usize| page >> (NODE_BITS * (level + 1));
        let is_first =
            |&(i, page): &(usize, usize)| !of.numbers().take(i).any(|p| node(p) == node(page));
        of.numbers().enumerate().filter(is_first).count()
    };
    (0..levels).map(above).sum()
}

/// Every block is mapped by pages from here on.
fn divide_blocks(ram: &Ram) {
    counter::checkpoint(ram.all());
    counter::checkpoint(ram.all());
    forget();
}

/// Frees all snapshots.
pub fn forget() {
    while let Ok(id) = snapshot::next(Id(0)) {
        if snapshot::delete(id).is_err() {
            return;
        }
    }
}
