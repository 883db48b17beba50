//! Has its virtual timer due again and again, a few instructions from now; it interrupts nobody.
//!
//! An emulator that counts instructions runs one core after the other, each until the next timer is due at the most: milliseconds, where a slice is all
//! that there is to wait for. Beside this VM, on a core of its own, the others go on by a few instructions in turn, as cores do that run at the same time.

#![no_std]
#![no_main]

use avisor_guest::entry;
use avisor_guest::timer::{ENABLE, IMASK, Timer};

/// 16 ns each, in which the cores execute 16 instructions together.
const TICKS: i32 = 4;

entry!(main);

fn main(_device_tree: usize) -> ! {
    Timer::Virtual.set_control(ENABLE | IMASK);
    loop {
        Timer::Virtual.set_left(TICKS);
    }
}
