//! The MMU: memory and devices where they are, or tables of the program's own.
//!
//! With the MMU off all memory is Device memory. A program that shares memory between CPUs, or uses atomics with read,
//! modify and write, needs it on.

use core::arch::{asm, global_asm};

use crate::{RAM_START, Shared, image_end};

/// A descriptor that is one.
pub const VALID: u64 = 1;
/// The next table, in level 1 or 2.
pub const TABLE: u64 = 0b11;
/// A page, in level 3.
pub const PAGE: u64 = 0b11;
/// The access flag.
pub const ACCESSED: u64 = 1 << 10;
/// Inner shareable, as all memory is.
pub const INNER_SHAREABLE: u64 = 3 << 8;
/// Device-nGnRE instead of memory.
pub const DEVICE: u64 = 1 << 2;
/// No stores.
pub const READ_ONLY: u64 = 1 << 7;
/// EL0 may access it.
pub const EL0: u64 = 1 << 6;
/// EL1 must not execute it.
pub const PXN: u64 = 1 << 53;
/// EL0 must not execute it.
pub const UXN: u64 = 1 << 54;

/// Attribute 0: Normal, write-back. Attribute 1: Device-nGnRE.
pub const MAIR: u64 = 0x04ff;
/// 39-bit addresses below, none above (EPD1); walks write-back and inner shareable; 40-bit physical addresses.
pub const TCR: u64 = 25 | 1 << 8 | 1 << 10 | 3 << 12 | 25 << 16 | 1 << 23 | 2 << 32;
/// SCTLR_EL1: M, C and I.
const ENABLES: u64 = 1 << 0 | 1 << 2 | 1 << 12;

/// A table of any level.
#[derive(Clone)]
#[repr(C, align(4096))]
pub struct Table(pub [u64; 512]);

impl Table {
    /// Nothing.
    pub const EMPTY: Self = Self([0; 512]);
    /// Level 1: devices and memory where they are. Entries from the 17th GiB on are free.
    pub const IDENTITY: Self = {
        let mut table = Self::EMPTY;
        table.0[0] = VALID | ACCESSED | DEVICE | UXN | PXN;
        let mut gib = 1;
        while gib <= 16 {
            table.0[gib] = (gib as u64) << 30 | VALID | ACCESSED | INNER_SHAREABLE | UXN;
            gib += 1;
        }
        table
    };
}

/// In the image, so that it needs no store.
static IDENTITY: Shared<Table> = Shared::new(Table::IDENTITY);

global_asm!(
    r#"
    // avisor_mmu(sctlr, start, end): changes SCTLR_EL1, and makes cache and memory agree on start..end.
    // Whichever way the switch goes: what was written with caches on must reach memory, and what was written
    // without must not be hidden by an old line. No stack in between: it is in the range.
    .section .text.avisor_mmu, "ax"
avisor_mmu:
    mrs     x3, sctlr_el1
    tbz     x0, #0, 1f
    // Switching on: first the cache, then the MMU.
0:  dc      civac, x1
    add     x1, x1, #64
    cmp     x1, x2
    b.lo    0b
    dsb     sy
    tlbi    vmalle1
    dsb     nsh
1:  msr     sctlr_el1, x0
    isb
    ic      iallu
    dsb     nsh
    isb
    tbz     x3, #0, 3f
    // It was on: the rest of the cache.
2:  dc      civac, x1
    add     x1, x1, #64
    cmp     x1, x2
    b.lo    2b
    dsb     sy
3:  ret
"#
);

unsafe extern "C" {
    fn avisor_mmu(sctlr: u64, start: usize, end: usize);
}

/// SCTLR_EL1.
pub fn control() -> u64 {
    let sctlr: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, sctlr_el1", out(reg) sctlr, options(nostack, nomem)) }
    sctlr
}

/// TTBR0_EL1: the level 1 table.
pub fn root() -> u64 {
    let root: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, ttbr0_el1", out(reg) root, options(nostack, nomem)) }
    root
}

/// Whether this CPU's MMU is on.
pub fn is_on() -> bool {
    control() & 1 != 0
}

/// Switches this CPU's MMU on, with memory and devices where they are.
pub fn enable() {
    // SAFETY: everything stays where it is.
    unsafe { enable_with(IDENTITY.address()) }
}

/// Switches this CPU's MMU on, with the level 1 table at `root`.
///
/// # Safety
/// The tables must map the program, with its stack, and the UART to themselves, and stay while the MMU is on.
pub unsafe fn enable_with(root: usize) {
    // SAFETY: without effect until the MMU is on.
    unsafe {
        asm!(
            "msr mair_el1, {}", "msr tcr_el1, {}", "msr ttbr0_el1, {}", "isb",
            in(reg) MAIR, in(reg) TCR, in(reg) root, options(nostack),
        );
    }
    switch(control() | ENABLES);
}

/// Switches this CPU's MMU off. Memory outside the image is the caller's to clean.
pub fn disable() {
    switch(control() & !ENABLES);
}

fn switch(sctlr: u64) {
    // SAFETY: the tables map the program to itself, so code and stack stay where they are.
    unsafe { avisor_mmu(sctlr, RAM_START + 0x8_0000, image_end()) }
}
