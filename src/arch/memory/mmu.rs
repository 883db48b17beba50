//! EL2's own translation: an identity map of what EL2 uses and nothing else. Image pages are W^X, all that is not text
//! is execute-never, guard pages are not there, nor is page 0 unless the device tree lies in it.
//!
//! Entries only ever go from invalid to valid, which asks for no break-before-make and no TLBI (D8.16, "TLB
//! maintenance": an invalid entry is never cached); the one exception is [`with_page`].

use core::ops::Range;

use spin::mutex::SpinMutex;

use super::tlb;
use crate::addr::PAGE_SIZE;
use crate::arch::isa;
use crate::arch::memory::el2_tables::Tables;
pub use crate::arch::memory::el2_tables::{ADDRESS_LIMIT, Attributes, MapError};

/// Attribute 0: Normal memory, write-back, allocating. Attribute 1: Device-nGnRE.
pub const MAIR: u64 = 0x04ff;
/// T0SZ = 25: 39 bits, start at level 1; 4 KiB granule; tables in write-back inner-shareable memory; bits 31 and 23
/// RES1. The boot stub adds PS.
pub const TCR: u64 = 1 << 31 | 1 << 23 | 0b11 << 12 | 0b01 << 10 | 0b01 << 8 | 25;
/// M, C, SA, I, WXN, and the bits that are RES1 in ARMv8.0 (to which later versions gave a meaning: 1 is what v8.0
/// did).
pub const SCTLR: u64 = 0x30c5_0830 | 1 << 19 | 1 << 12 | 1 << 3 | 1 << 2 | 1;

/// The tables of all cores.
pub static EL2_TABLES: SpinMutex<Tables> = SpinMutex::new(Tables::empty());

/// Whole pages that cover `range`.
pub(in crate::arch) fn pages(range: Range<u64>) -> Range<u64> {
    range.start & !(PAGE_SIZE - 1)..range.end.next_multiple_of(PAGE_SIZE)
}

/// Maps the pages of `range`, of which none may be mapped yet.
pub fn map(range: Range<u64>, attributes: Attributes) -> Result<(), MapError> {
    let result = EL2_TABLES.lock().map(pages(range), attributes);
    // The walker sees the entry before the first access through it; the ISB keeps that access behind the DSB, and its address from being
    // translated before (B2, "Data Synchronization Barrier").
    isa::dsb_ishst();
    isa::isb();
    result
}

/// Maps the page of a device register block unless it is mapped already, as two devices may share a page.
pub fn map_device(range: Range<u64>) -> Result<(), MapError> {
    for page in pages(range).step_by(PAGE_SIZE as usize) {
        let there = EL2_TABLES.lock().at(page);
        if there != Some(Attributes::DEVICE) {
            map(page..page + PAGE_SIZE, Attributes::DEVICE)?;
        }
    }
    Ok(())
}

/// Calls `f` while the page of `address`, which is RAM, is mapped.
pub fn with_page<R>(address: u64, f: impl FnOnce() -> R) -> Result<R, MapError> {
    let page = address & !(PAGE_SIZE - 1);
    if EL2_TABLES.lock().at(page).is_some() {
        return Ok(f());
    }
    map(page..page + PAGE_SIZE, Attributes::READ_WRITE)?;
    let result = f();
    EL2_TABLES.lock().unmap_page(page);
    tlb::invalidate_el2_page(page);
    Ok(result)
}
