//! Page tables: memory where it is, devices where they are, and a few pages once more at other addresses.
//!
//! | addresses | what |
//! | --- | --- |
//! | 0 - 1 GiB | the same, Device memory |
//! | 1 - 2 GiB | the same, Normal memory, EL1 only |
//! | [`ALIASES`] and on | pages put there by [`map`] |

use core::arch::{asm, global_asm};

use avisor_guest::Shared;
use avisor_guest::{RAM_START, image_end};

use crate::check::Outcome;

/// Where [`map`] puts pages: the third GiB.
pub const ALIASES: usize = 0x8000_0000;

const VALID: u64 = 1;
const TABLE: u64 = 0b11;
const PAGE: u64 = 0b11;
const ACCESSED: u64 = 1 << 10;
const INNER_SHAREABLE: u64 = 3 << 8;
const DEVICE: u64 = 1 << 2;
const READ_ONLY: u64 = 1 << 7;
const EL0: u64 = 1 << 6;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;

/// Attribute 0: Normal, write-back. Attribute 1: Device-nGnRE.
const MAIR: u64 = 0x04ff;
/// 39-bit addresses below, none above (EPD1); walks write-back and inner shareable; 36-bit physical addresses.
const TCR: u64 = 25 | 1 << 8 | 1 << 10 | 3 << 12 | 25 << 16 | 1 << 23 | 1 << 32;
/// SCTLR_EL1: M, C and I.
const ENABLES: u64 = 1 << 0 | 1 << 2 | 1 << 12;

#[derive(Clone)]
#[repr(C, align(4096))]
struct Table([u64; 512]);

static LEVEL1: Shared<Table> = Shared::new(Table([0; 512]));
static LEVEL2: Shared<Table> = Shared::new(Table([0; 512]));
static LEVEL3: Shared<Table> = Shared::new(Table([0; 512]));

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

fn switch(enable: bool) {
    let sctlr: u64;
    // SAFETY: reads SCTLR_EL1, then sets what the tables need; without effect until the MMU is on.
    unsafe {
        asm!("mrs {}, sctlr_el1", out(reg) sctlr, options(nostack, nomem));
        if enable {
            let root = LEVEL1.address();
            asm!(
                "msr mair_el1, {}", "msr tcr_el1, {}", "msr ttbr0_el1, {}", "isb",
                in(reg) MAIR, in(reg) TCR, in(reg) root, options(nostack),
            );
        }
    }
    let sctlr = if enable {
        sctlr | ENABLES
    } else {
        sctlr & !ENABLES
    };
    // SAFETY: the tables map all RAM and all devices to themselves, so code and stack stay where they are.
    unsafe { avisor_mmu(sctlr, RAM_START + 0x8_0000, image_end()) }
}

/// Builds the tables anew, without aliases, and switches the MMU on.
pub fn enable() {
    let mut level1 = Table([0; 512]);
    level1.0[0] = VALID | ACCESSED | DEVICE | UXN | PXN;
    level1.0[1] = RAM_START as u64 | VALID | ACCESSED | INNER_SHAREABLE | UXN;
    level1.0[2] = LEVEL2.address() as u64 | TABLE;
    let mut level2 = Table([0; 512]);
    level2.0[0] = LEVEL3.address() as u64 | TABLE;
    LEVEL3.set(Table([0; 512]));
    LEVEL2.set(level2);
    LEVEL1.set(level1);
    switch(true);
}

/// Switches the MMU off. Memory outside the image is the caller's to clean.
pub fn disable() {
    switch(false);
}

/// Whether the MMU is on.
pub fn is_on() -> bool {
    let sctlr: u64;
    // SAFETY: reads SCTLR_EL1.
    unsafe { asm!("mrs {}, sctlr_el1", out(reg) sctlr, options(nostack, nomem)) }
    sctlr & 1 != 0
}

/// Runs a test with the MMU on.
pub fn on(test: fn() -> Outcome) -> Outcome {
    enable();
    let outcome = test();
    disable();
    outcome
}

/// Who may do what with an alias.
pub enum Access {
    /// EL1 reads and writes.
    Data,
    /// EL0 reads and writes, as may EL1.
    DataOfEl0,
    /// EL0 executes.
    CodeOfEl0,
}

/// Maps the page at `page` as number `index` of the aliases and returns where it is.
pub fn map(index: usize, page: usize, access: Access) -> usize {
    let rights = match access {
        Access::Data => UXN | PXN,
        Access::DataOfEl0 => EL0 | UXN | PXN,
        Access::CodeOfEl0 => EL0 | READ_ONLY | PXN,
    };
    let mut level3 = LEVEL3.get();
    level3.0[index] = page as u64 | PAGE | ACCESSED | INNER_SHAREABLE | rights;
    LEVEL3.set(level3);
    // SAFETY: the entry was invalid or of an earlier test, whose translations must go.
    unsafe {
        asm!(
            "dsb ishst",
            "tlbi vmalle1",
            "dsb ish",
            "isb",
            options(nostack)
        )
    }
    ALIASES + index * 4096
}
