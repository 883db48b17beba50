//! Page tables that lead anywhere.
//!
//! The first two entries of the root are right, so that this program runs on; all the others are random, as are the
//! tables for the upper half of the addresses. Everything is mapped non-cacheable, so there are no caches to clean.

use core::arch::asm;

use avisor_guest::Shared;

use crate::attempt::{Registers, restore_system, run};
use avisor_guest::random::Random;

#[derive(Clone)]
#[repr(C, align(4096))]
struct Table([u64; 512]);

static ROOT: Shared<Table> = Shared::new(Table([0; 512]));
static BRANCH: Shared<Table> = Shared::new(Table([0; 512]));

/// Attribute 0: Normal, non-cacheable. Attribute 1: Device-nGnRE.
const MAIR: u64 = 0x0444;
/// Block, accessed, inner shareable, at the address that follows.
const BLOCK: u64 = 1 | 1 << 10 | 3 << 8;
/// 39 bits below and above, 4 KiB pages, walks non-cacheable, 44-bit physical addresses.
const TCR: u64 = 25 | 25 << 16 | 2 << 30 | 4 << 32;

/// Writes entry `index` of a table, without copying all of it.
fn put(table: &Shared<Table>, index: usize, entry: u64) {
    // SAFETY: an entry of one of the two tables, through which no reference exists.
    unsafe {
        (table.address() as *mut u64)
            .add(index % 512)
            .write_volatile(entry)
    }
}

/// A descriptor: to anywhere, to tables outside RAM, to the other table.
fn descriptor(random: &mut Random) -> u64 {
    let low = random.below(4);
    match random.below(4) {
        0 => random.next(),
        1 => random.next() & 0x0fff_ffff_f000 | 3,
        2 => BRANCH.address() as u64 | 3,
        _ => random.next() & 0x0fff_c000_0000 | BLOCK & !3 | low,
    }
}

/// Loads, prefetches, translations and cache maintenance (x0: address). No stores: they might arrive, in this program.
const OPERATIONS: [u32; 9] = [
    0xf940_0001, // ldr x1, [x0]
    0x3940_0001, // ldrb w1, [x0]
    0xa940_0801, // ldp x1, x2, [x0]
    0xb840_3001, // ldur w1, [x0, #3]
    0xf980_0000, // prfm pldl1keep, [x0]
    0xd508_7800, // at s1e1r, x0
    0xd508_7840, // at s1e0r, x0
    0xd50b_7e20, // dc civac, x0
    0xd50b_7520, // ic ivau, x0
];

/// An access through bad tables.
pub fn attempt(random: &mut Random) {
    put(&ROOT, 0, BLOCK | 1 << 2 | 3 << 53);
    put(&ROOT, 1, 0x4000_0000 | BLOCK);
    for _ in 0..4 {
        put(&ROOT, 2 + random.below(510) as usize, descriptor(random));
        put(&BRANCH, random.below(512) as usize, descriptor(random));
    }
    // The upper half: our table, no memory at all, or anything with a random ASID.
    let upper = match random.below(3) {
        0 => BRANCH.address() as u64,
        1 => random.next() & 0x0fff_ffff_f000 | 1 << 44,
        _ => random.next(),
    };
    let mut x: Registers = core::array::from_fn(|_| random.next());
    x[0] = if random.once_in(2) {
        random.next() | 0xffff_ff80_0000_0000
    } else {
        0x8000_0000 + random.below((1 << 39) - 0x8000_0000)
    };
    let operation = random.choose(&OPERATIONS);
    // SAFETY: the root maps this program where it is. No cache is on, before or after.
    unsafe {
        asm!(
            "msr mair_el1, {mair}",
            "msr tcr_el1, {tcr}",
            "msr ttbr0_el1, {root}",
            "msr ttbr1_el1, {upper}",
            "dsb sy",
            "isb",
            "tlbi vmalle1",
            "dsb sy",
            "isb",
            "mrs {scratch}, sctlr_el1",
            "orr {scratch}, {scratch}, #1",
            "msr sctlr_el1, {scratch}",
            "isb",
            mair = in(reg) MAIR, tcr = in(reg) TCR, root = in(reg) ROOT.address(), upper = in(reg) upper,
            scratch = out(reg) _, options(nostack),
        );
    }
    run(&[operation], &mut x);
    restore_system();
}
