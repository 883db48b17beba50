//! Asks for a snapshot that is not there, far too often: each time is a line in the log.

#![no_std]
#![no_main]
// The hypercall is written out: the library's asks for results, which are not logged.
#![allow(unsafe_code)]

use core::arch::asm;

use avisor_guest::{entry, power_off, println};

const TIMES: u64 = 5000;

entry!(main);

fn main(_device_tree: usize) -> ! {
    for _ in 0..TIMES {
        // SAFETY: no snapshot has this id, so that nothing changes.
        unsafe { asm!("hvc #2", in("x0") 1_u64 << 60) }
    }
    println!("flood: {TIMES} times");
    power_off()
}
