//! A guest that runs on with snapshots held: loops over its RAM.

use crate::counter;
use crate::memory::{FIELD, MIB, Ram};
use crate::operations::forget;
use crate::report::named;
use avisor_guest::{RAM_START, snapshot};
use core::arch::asm;

/// Bytes of a cache line.
const LINE: usize = 64;

/// What the loops below take with no, one and a hundred snapshots held, so many `times`; on plain QEMU, without any.
pub fn all(ram: &Ram, times: usize) {
    ram.fill(true);
    make_chain();
    let held: &[usize] = if snapshot::available() {
        &[0, 1, 100]
    } else {
        &[0]
    };
    for &count in held.iter().cycle().take(held.len() * times) {
        for _ in 0..count {
            counter::dirty_and_checkpoint(ram.scattered(100));
        }
        named("pointer chase", count, chase());
        named("memory loop, first pass", count, modify());
        named("memory loop, second pass", count, modify());
        forget();
    }
}

/// Where the pointer chase is: 16 MiB.
const CHAIN: usize = RAM_START + FIELD;
const CHAIN_LINKS: usize = 16 * MIB / LINE;
/// Where the memory loop is: 64 MiB.
const LOOP: usize = CHAIN + 16 * MIB;
const LOOP_SIZE: usize = 64 * MIB;

/// A ring through all lines of the chain, in an order that jumps about: a linear congruential generator of full period.
fn make_chain() {
    let mut line = 0;
    for _ in 0..CHAIN_LINKS {
        let next = (line * 1_664_525 + 1_013_904_223) % CHAIN_LINKS;
        // SAFETY: in the free part of RAM.
        unsafe { ((CHAIN + line * LINE) as *mut usize).write_volatile(CHAIN + next * LINE) };
        line = next;
    }
}

/// Four times around the ring.
fn chase() -> u64 {
    let start = counter::now();
    // SAFETY: follows the ring.
    unsafe {
        asm!(
            "2: ldr {at}, [{at}]", "subs {left}, {left}, #1", "b.ne 2b",
            at = inout(reg) CHAIN => _, left = inout(reg) 4 * CHAIN_LINKS => _, options(nostack)
        )
    };
    counter::now() - start
}

/// Adds one to a word in each line of 64 MiB.
fn modify() -> u64 {
    let start = counter::now();
    // SAFETY: in the free part of RAM.
    unsafe {
        asm!(
            "2: ldr {word}, [{at}]", "add {word}, {word}, #1", "str {word}, [{at}]", "add {at}, {at}, #64",
            "subs {left}, {left}, #64", "b.ne 2b",
            at = inout(reg) LOOP => _, left = inout(reg) LOOP_SIZE => _, word = out(reg) _, options(nostack)
        )
    };
    counter::now() - start
}
