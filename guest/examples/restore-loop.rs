//! A checkpoint, two changes, and back: both values are as they were, again and again.
//!
//! There is no loop in this program. `hvc #2` continues behind the `hvc #1`, with all memory and all
//! registers as they were there, and that is what makes it go round.

#![no_std]
#![no_main]
// The two hypercalls are written out, to hold `j` in a register of our choice.
#![allow(unsafe_code)]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use avisor_guest::{entry, power_off, println};

/// Lives in memory, which a restore brings back.
static I: AtomicU64 = AtomicU64::new(0);

fn i() -> u64 {
    I.load(Relaxed)
}

entry!(main);

fn main(_device_tree: usize) -> ! {
    // Lives in a register, which a restore brings back too: x20 at both hypercalls.
    let mut j: u64 = 1131796;

    println!("--------- Initialize ---------");
    println!("Initial state: i(static)={}, j(register)={j}", i());

    // SAFETY: `hvc #1` changes no register; that memory may change is assumed by default.
    unsafe { asm!("hvc #1", inout("x20") j) }
    println!("After checkpoint, i(static)={}, j(register)={j}", i());

    I.store(10, Relaxed);
    j = 20;
    println!("After modification, i(static)={}, j(register)={j}", i());

    println!("--------- Restore snapshot ---------");
    // SAFETY: it continues behind the `hvc #1`, in the state that the code there was left in. If it
    // is refused, it changes nothing. x0 = -1 asks for the latest snapshot.
    unsafe { asm!("hvc #2", in("x0") -1_i64, in("x20") j) }

    println!("The restore was refused.");
    power_off()
}
