//! The guest's RAM: which pages are dirtied, and what they hold.

use crate::counter::{self, Pages};
use avisor_guest::RAM_START;
use core::arch::asm;

pub const MIB: usize = 1 << 20;
const PAGE: usize = 4096;
/// Program, stack and device tree lie below.
pub const FIELD: usize = 16 * MIB;
/// The smallest guest's RAM: what is the same in all guests keeps to it.
const SMALLEST: usize = 128 * MIB;

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

    /// A page in another block than the first [`adjacent`](Self::adjacent) ones.
    pub fn in_another_block(&self) -> Pages {
        const BLOCK: usize = 2 * MIB;
        Pages::adjacent((FIELD + BLOCK) / PAGE, 1)
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
