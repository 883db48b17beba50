//! What `attacker` drives: in each round it stores to all of its pages, or to the last quarter of them, in turn, and tells that it is done.

#![no_std]
#![no_main]
// RAM behind the image is written directly.
#![allow(unsafe_code)]

use avisor_guest::control::event;
use avisor_guest::memory::PAGE;
use avisor_guest::{RAM_START, entry, image_end, mmu};

/// Bytes of RAM, as `bench/configs/neighbours-control.toml` has it.
const RAM: usize = 512 << 20;
const LAST_QUARTER: usize = RAM_START + RAM / 4 * 3;

entry!(main);

fn store_from(first: usize) {
    for page in (first..RAM_START + RAM).step_by(PAGE) {
        // SAFETY: RAM behind the image, which nothing else uses.
        unsafe { (page as *mut u64).write_volatile(page as u64) };
    }
}

fn main(_device_tree: usize) -> ! {
    mmu::enable();
    let all = image_end().next_multiple_of(PAGE);
    for from in [all, LAST_QUARTER].into_iter().cycle() {
        store_from(from);
        let _ = event(0, 0, 0);
    }
    unreachable!("a cycle has no end")
}
