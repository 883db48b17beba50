//! A VM that is no business of the others': it fills its memory, and looks at it again and again until a window says that they are done. Nothing changes.

#![no_std]
#![no_main]
// RAM is read and written directly.
#![allow(unsafe_code)]

use core::sync::atomic::Ordering::Acquire;

use avisor_guest::memory::{load, store};
use avisor_guest::random::pattern;
use avisor_guest::window::Window;
use avisor_guest::{RAM_START, entry, mmu, power_off, println};

/// Where its words are: behind its image and its device tree.
const START: usize = RAM_START + (9 << 20);
const BYTES: usize = 4 << 20;

entry!(main);

fn words() -> impl Iterator<Item = usize> {
    (START..START + BYTES).step_by(8)
}

fn main(device_tree: usize) -> ! {
    mmu::enable();
    let Some(window) = Window::find(device_tree, "over") else {
        println!("witness: no window");
        power_off();
    };
    for word in words() {
        // SAFETY: RAM, 8-byte aligned, which nothing else uses.
        unsafe { store(word, pattern(word as u64)) }
    }
    let mut is_over = false;
    while !is_over {
        is_over = window.words()[0].load(Acquire) != 0;
        if let Some(word) = words().find(|&word| load(word) != pattern(word as u64)) {
            println!("witness: {word:#x} is {:#x}", load(word));
            power_off();
        }
    }
    println!("witness: nothing has changed");
    power_off()
}
