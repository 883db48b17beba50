//! Counts, some calls deep: what a debugger shows of it is known.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use avisor_guest::timer::{microseconds, pause};
use avisor_guest::{entry, mmu, power_off, println};

/// How often it went round.
#[unsafe(no_mangle)]
#[allow(unsafe_code)]
static COUNTER: AtomicU64 = AtomicU64::new(0);
/// What never changes.
#[unsafe(no_mangle)]
#[allow(unsafe_code)]
static CONSTANT: AtomicU64 = AtomicU64::new(0x1234_5678_9abc_def0);

entry!(main);

fn main(_device_tree: usize) -> ! {
    mmu::enable();
    println!("deep: begins with {:#x}", CONSTANT.load(Relaxed));
    println!("deep: {}", outer(1));
    power_off()
}

#[inline(never)]
fn outer(n: u64) -> u64 {
    middle(black_box(n + 1)) + black_box(1)
}

#[inline(never)]
fn middle(n: u64) -> u64 {
    inner(black_box(n + 1)) + black_box(1)
}

#[inline(never)]
fn inner(n: u64) -> u64 {
    while black_box(true) {
        COUNTER.fetch_add(1, Relaxed);
        pause(microseconds(100));
    }
    black_box(n)
}
