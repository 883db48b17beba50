//! A guest that touches memory for the first time when there is hardly any left. Half of its RAM is in a snapshot and is
//! changed page by page, until the snapshot has to go; what that leaves free are single pages. What was never touched
//! before must still come, full of zeroes.

#![no_std]
#![no_main]
// RAM behind the image is read and written directly.
#![allow(unsafe_code)]

use avisor_guest::memory::{self, BLOCK, PAGE, load};
use avisor_guest::{
    Id, RAM_START, checkpoint_here, entry, image_end, power_off, println, snapshot,
};

/// What tests/configs/absent.toml gives it.
const RAM: usize = 720 << 20;
/// Blocks left to the end.
const LEFT_OUT: usize = 6;

entry!(main);

fn main(device_tree: usize) -> ! {
    let blocks = || {
        (image_end().next_multiple_of(BLOCK)..RAM_START + RAM)
            .step_by(BLOCK)
            .filter(move |&block| block != device_tree / BLOCK * BLOCK)
    };
    let (half, most) = (blocks().count() / 2, blocks().count() - LEFT_OUT);
    let held = || blocks().take(half);
    // The first page of each block, the second of each, and so on: when memory runs out, every block is in pieces.
    let pages = || {
        (0..BLOCK)
            .step_by(PAGE)
            .flat_map(move |page| held().map(move |block| block + page))
    };

    held().for_each(|block| store(block, 1));
    checkpoint_here();
    blocks()
        .take(most)
        .skip(half)
        .for_each(|block| store(block, 2));
    pages().for_each(|page| store(page, page as u64));
    let freed = snapshot::next(Id(0)).is_err();
    println!("absent: the snapshot was freed: {freed}");
    for block in blocks().skip(most) {
        let zero = (block..block + BLOCK)
            .step_by(PAGE)
            .all(|page| load(page) == 0);
        assert!(zero, "the block at {block:#x} is not empty");
        store(block, 3);
    }
    println!("absent: the last blocks came, all zero");

    let right = pages().all(|page| load(page) == page as u64)
        && blocks().take(most).skip(half).all(|block| load(block) == 2)
        && blocks().skip(most).all(|block| load(block) == 3);
    println!("absent: all as it was stored: {right}");
    power_off()
}

fn store(address: usize, value: u64) {
    // SAFETY: RAM behind the image, 8-byte aligned, not in the device tree's block; nothing else uses it.
    unsafe { memory::store(address, value) }
}
