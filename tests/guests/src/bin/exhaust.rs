//! A guest that uses up all memory for snapshots, and goes on: it dirties half of its pages between two checkpoints, until
//! the oldest snapshots have gone many times over. Its own memory must be right throughout, and so must be what it finds
//! when it goes back, to the latest snapshot and to the oldest that is left.
//!
//! It tells what made snapshots go. With `reserved` accounting a checkpoint may, a store never; `on-demand` lets a store.

#![no_std]
#![no_main]
// RAM behind the image is read and written directly.
#![allow(unsafe_code)]

use avisor_guest::memory::{self, PAGE, load};
use avisor_guest::{
    Checkpoint, Id, checkpoint, entry, image_end, power_off, println, restore_with, snapshot,
};

/// Pages behind the image: 24 MiB of the 32 that it has. The device tree, half-way into RAM, is jumped over.
const PAGES: usize = 24 << 20 >> 12;
const TREE: core::ops::Range<usize> = 0x4100_0000..0x4120_0000;
/// Checkpoints. Each holds 12 MiB that the next one does not share.
const ROUNDS: u64 = 96;

/// Restores pass on which of them it was.
const TO_LATEST: u64 = 1;
const TO_OLDEST: u64 = 2;
const TO_LATEST_AGAIN: u64 = 3;

entry!(main);

fn main(_device_tree: usize) -> ! {
    let mut freed_by_stores = false;
    let mut freed_by_checkpoints = false;
    for round in 1..=ROUNDS {
        let before = snapshot::next(Id(0)).ok();
        write(round);
        let between = snapshot::next(Id(0)).ok();
        freed_by_stores |= before != between;
        check(round);
        match checkpoint() {
            // The first checkpoint makes the first snapshot: that is no freeing.
            Ok(Checkpoint::Taken(_)) => {
                let after = snapshot::next(Id(0)).ok();
                freed_by_checkpoints |= between.is_some() && between != after;
            }
            Ok(Checkpoint::Restored { value, .. }) => restored(round, value),
            Err(error) => panic!("round {round}: no checkpoint: {error}"),
        }
    }
    println!("exhaust: {ROUNDS} checkpoints");
    println!("exhaust: snapshots were freed by stores: {freed_by_stores}");
    println!("exhaust: snapshots were freed by checkpoints: {freed_by_checkpoints}");
    scramble();
    go_to(Id::LATEST, TO_LATEST)
}

/// Back at the checkpoint that ended `round`, from where it runs no further rounds.
fn restored(round: u64, value: u64) -> ! {
    check(round);
    match value {
        TO_LATEST => {
            assert_eq!(round, ROUNDS, "the latest snapshot is another one");
            println!("exhaust: the latest snapshot is right");
            let oldest = snapshot::next(Id(0)).expect("one was just restored");
            scramble();
            go_to(oldest, TO_OLDEST)
        }
        TO_OLDEST => {
            println!("exhaust: the oldest snapshot is right");
            // Stores in the past: they take memory as well.
            scramble();
            go_to(Id::LATEST, TO_LATEST_AGAIN)
        }
        _ => {
            println!("exhaust: the latest snapshot is right again");
            power_off()
        }
    }
}

fn go_to(id: Id, value: u64) -> ! {
    let error = restore_with(id, value);
    panic!("the way to snapshot {id} was refused: {error}")
}

/// Each round changes every other page: the one half in odd rounds, the other in even ones.
fn write(round: u64) {
    pages()
        .filter(|&(number, _)| (number ^ round) & 1 == 0)
        .for_each(|(number, page)| store(page, content(number, round)));
}

/// Every page has what the last round that changed it has put there.
fn check(round: u64) {
    for (number, page) in pages() {
        let changed = round - ((number ^ round) & 1);
        let want = if changed == 0 {
            0
        } else {
            content(number, changed)
        };
        let got = load(page);
        assert_eq!(got, want, "after round {round}, in page {number}");
    }
}

fn scramble() {
    pages().for_each(|(_, page)| store(page, !0));
}

fn content(number: u64, round: u64) -> u64 {
    number << 32 | round
}

/// Numbers, and one word of each page.
fn pages() -> impl Iterator<Item = (u64, usize)> {
    (0..PAGES)
        .map(|n| (n as u64, image_end() + n * PAGE + n % 512 * 8))
        .filter(|(_, page)| !TREE.contains(page))
}

fn store(address: usize, value: u64) {
    // SAFETY: RAM behind the image, 8-byte aligned; nothing else uses it.
    unsafe { memory::store(address, value) }
}
