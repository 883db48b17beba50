//! What `driver` drives: in each round it stores to so many pages as its restorer says, and tells that it is done.

#![no_std]
#![no_main]
// RAM behind the image is written directly.
#![allow(unsafe_code)]

use avisor_guest::control::event;
use avisor_guest::memory::PAGE;
use avisor_guest::{Checkpoint, RAM_START, checkpoint, entry, mmu};

/// Program, stack and device tree lie below.
const FIELD: usize = RAM_START + (16 << 20);
/// Pages that may be stored to: as far from each other as nodes of a page map span.
const PAGES: usize = 100;
const STEP: usize = 64 * PAGE;

entry!(main);

fn store(pages: usize) {
    for page in 0..pages {
        // SAFETY: RAM that nobody else uses.
        unsafe { ((FIELD + page * STEP) as *mut u64).write_volatile(1) };
    }
}

fn main(_device_tree: usize) -> ! {
    // As a fuzzer's target has its caches on.
    mmu::enable();
    // Each is there, and its block is divided.
    store(PAGES);
    let _ = checkpoint();
    store(PAGES);
    let pages = match checkpoint() {
        Ok(Checkpoint::Taken(id)) => {
            let _ = event(0, id.0, 0);
            0
        }
        // No restorer passes 0.
        Ok(Checkpoint::Restored { value, .. }) => value as usize - 1,
        Err(_) => 0,
    };
    store(pages.min(PAGES));
    loop {
        let _ = event(1, 0, 0);
    }
}
