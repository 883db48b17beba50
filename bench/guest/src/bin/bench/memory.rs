//! The guest's RAM: which pages are dirtied, what they hold, and loops over them.

use crate::counter::{self, Pages};
use crate::operations::forget;
use crate::{has_snapshots, named};
use avisor_guest::RAM_START;
use core::arch::asm;

const MIB: usize = 1 << 20;
const PAGE: usize = 4096;
/// Program, stack and device tree lie below.
const FIELD: usize = 16 * MIB;
/// The smallest guest's RAM: what is the same in all guests keeps to it.
const SMALLEST: usize = 128 * MIB;
/// Bytes of a cache line.
const LINE: usize = 64;

/// RAM, of which everything from [`FIELD`] on is free.
pub struct Ram {
    size: usize,
}

impl Ram {
    pub fn new(mib: usize) -> Self {
        Self { size: mib * MIB }
    }

    pub fn pages(&self) -> usize {
        self.size / PAGE
    }

    /// `k` pages all over RAM; of the free part, unless that is too small.
    pub fn scattered(&self, k: usize) -> Pages {
        let first = FIELD / PAGE;
        if k > self.pages() - first {
            return Pages::scattered(0, self.pages(), k);
        }
        Pages::scattered(first, self.pages() - first, k)
    }

    /// `k` pages, the same in a guest of any size.
    pub fn same_scattered(&self, k: usize) -> Pages {
        Ram { size: SMALLEST }.scattered(k)
    }

    /// `k` scattered pages, other ones for another `seed`.
    pub fn scattered_from(&self, seed: usize, k: usize) -> Pages {
        let first = FIELD / PAGE;
        let half = (self.pages() - first) / 2;
        Pages::scattered(first + seed % half, half, k)
    }

    /// `k` pages in a row.
    pub fn adjacent(&self, k: usize) -> Pages {
        let free = self.pages() - FIELD / PAGE;
        Pages::adjacent(if k > free { 0 } else { FIELD / PAGE }, k)
    }

    pub fn all(&self) -> Pages {
        self.adjacent(self.pages())
    }

    /// All of RAM is in use, as in a guest that has run for a while.
    pub fn make_present(&self) {
        counter::loop_alone(self.all());
    }

    /// Fills the free part: with zeros, or with numbers in which nobody finds a pattern.
    pub fn fill(&self, random: bool) {
        let mut word = u64::from(random);
        for at in (RAM_START + FIELD..RAM_START + self.size).step_by(8) {
            // xorshift: from 0 to 0.
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            // SAFETY: in the free part.
            unsafe { (at as *mut u64).write_volatile(word) };
        }
    }

    /// Copies as many bytes as there is RAM, with load and store pairs, 32 MiB at a time. Where from and where to are no power of two
    /// apart: QEMU's TLB would have both in one place.
    pub fn full_copy(&self) -> u64 {
        // Once for all first stores.
        self.copy();
        let start = counter::now();
        self.copy();
        counter::now() - start
    }

    fn copy(&self) {
        const AT_ONCE: usize = 32 * MIB;
        let to = RAM_START + FIELD + 50 * MIB + 5 * PAGE;
        for _ in 0..self.size / AT_ONCE {
            // SAFETY: both in the free part of the smallest guest.
            unsafe {
                asm!(
                    "2: ldp {a}, {b}, [{from}]",
                    "ldp {c}, {d}, [{from}, #16]",
                    "ldp {e}, {f}, [{from}, #32]",
                    "ldp {g}, {h}, [{from}, #48]",
                    "stp {a}, {b}, [{to}]",
                    "stp {c}, {d}, [{to}, #16]",
                    "stp {e}, {f}, [{to}, #32]",
                    "stp {g}, {h}, [{to}, #48]",
                    "add {from}, {from}, #64",
                    "add {to}, {to}, #64",
                    "subs {left}, {left}, #64",
                    "b.ne 2b",
                    from = inout(reg) RAM_START + FIELD => _, to = inout(reg) to => _, left = inout(reg) AT_ONCE => _,
                    a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
                    e = out(reg) _, f = out(reg) _, g = out(reg) _, h = out(reg) _, options(nostack)
                )
            };
        }
    }
}

/// What the loops below take with no, one and a hundred snapshots held, so many `times`; on plain QEMU, without any.
pub fn running(ram: &Ram, times: usize) {
    ram.fill(true);
    make_chain();
    let held: &[usize] = if has_snapshots() { &[0, 1, 100] } else { &[0] };
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
