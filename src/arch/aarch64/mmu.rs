//! EL2's own translation: an identity map of what EL2 uses and nothing else. Image pages are W^X, all that is not text
//! is execute-never, guard pages are not there, nor is page 0 unless the device tree lies in it.
//!
//! Entries only ever go from invalid to valid, which asks for no break-before-make and no TLBI (D8.16, "TLB
//! maintenance": an invalid entry is never cached); the one exception is [`with_page`].

use core::ops::Range;

use aarch64_cpu::asm::barrier;
use spin::mutex::SpinMutex;

use super::{cpu, fixup};
use crate::addr::PAGE_SIZE;
use crate::arch::el2_tables::Tables;
pub use crate::arch::el2_tables::{ADDRESS_LIMIT, Attributes, MapError};
use crate::arch::tree::TREE_MAX;

/// Attribute 0: Normal memory, write-back, allocating. Attribute 1: Device-nGnRE.
pub(super) const MAIR: u64 = 0x04ff;
/// T0SZ = 25: 39 bits, start at level 1; 4 KiB granule; tables in write-back inner-shareable memory; bits 31 and 23
/// RES1. The boot stub adds PS.
pub(super) const TCR: u64 = 1 << 31 | 1 << 23 | 0b11 << 12 | 0b01 << 10 | 0b01 << 8 | 25;
/// M, C, SA, I, WXN, and the bits that are RES1 in ARMv8.0 (to which later versions gave a meaning: 1 is what v8.0
/// did).
pub(super) const SCTLR: u64 = 0x30c5_0830 | 1 << 19 | 1 << 12 | 1 << 3 | 1 << 2 | 1;

static EL2: SpinMutex<Tables> = SpinMutex::new(Tables::EMPTY);

unsafe extern "C" {
    static image_start: u8;
    static rodata_start: u8;
    static data_start: u8;
    static image_end: u8;
}

/// The memory that the image, its bss and stacks occupy.
pub fn image() -> Range<u64> {
    &raw const image_start as u64..&raw const image_end as u64
}

/// Whole pages that cover `range`.
fn pages(range: Range<u64>) -> Range<u64> {
    range.start & !(PAGE_SIZE - 1)..range.end.next_multiple_of(PAGE_SIZE)
}

/// Called by the boot stub, MMU off: maps the image and the device tree, all that EL2 needs to find out the rest
/// with its caches on. Returns TTBR0_EL2.
pub(super) extern "C" fn map_image(tree: u64) -> u64 {
    // SAFETY: this is the only core in the image and runs this once, before any use of the lock; not through the lock,
    // because atomics are not promised to work on the Device memory that all memory is with the MMU off.
    let tables = unsafe { &mut *EL2.as_mut_ptr() };
    let image = image();
    let rodata = &raw const rodata_start as u64;
    let data = &raw const data_start as u64;
    // The pool is fresh and these ranges are disjoint; and nobody could be told of a failure.
    let _ = tables.map(image.start..rodata, Attributes::TEXT);
    let _ = tables.map(rodata..data, Attributes::READ);
    let mut from = data;
    for guard in cpu::guard_pages() {
        let _ = tables.map(from..guard, Attributes::READ_WRITE);
        from = guard + PAGE_SIZE;
    }
    let _ = tables.map(from..image.end, Attributes::READ_WRITE);
    let _ = tables.map(tree_pages(tree), Attributes::READ);
    tables.root()
}

/// The pages that the device tree at `tree` says it has; none if there is no tree. The MMU may be off.
pub fn tree_pages(tree: u64) -> Range<u64> {
    if !tree.is_multiple_of(8) || tree == 0 {
        return 0..0;
    }
    let Some(end) = tree.checked_add(TREE_MAX) else {
        return 0..0;
    };
    if end > ADDRESS_LIMIT || fixup::probe(tree).is_none() {
        return 0..0;
    }
    super::page::clean_and_invalidate(tree..tree + 8);
    // SAFETY: the boot protocol has x0 point to the tree on an 8-byte boundary; both was tested. Where a loader passes none, the
    // value is 0, or where older firmware of the Raspberry Pi has its list of tags (QEMU's raspi4b without -dtb: 0x100), which is RAM.
    let [magic, size] = unsafe { (tree as *const [u32; 2]).read_volatile() }.map(u32::from_be);
    if magic != crate::arch::tree::MAGIC || u64::from(size) > TREE_MAX {
        return 0..0;
    }
    pages(tree..tree + u64::from(size))
}

/// Makes the device tree readable with the MMU off, at whatever exception level: a loader may have left it in the
/// caches.
pub(super) fn clean_tree(tree: u64) {
    super::page::clean_and_invalidate(tree_pages(tree));
}

/// Maps the pages of `range`, of which none may be mapped yet.
pub fn map(range: Range<u64>, attributes: Attributes) -> Result<(), MapError> {
    let result = EL2.lock().map(pages(range), attributes);
    // The walker sees the entry before the first access through it; the ISB keeps that access behind the DSB.
    barrier::dsb(barrier::ISHST);
    barrier::isb(barrier::SY);
    result
}

/// Maps the page of a device register block unless it is mapped already, as two devices may share a page.
pub fn map_device(range: Range<u64>) -> Result<(), MapError> {
    for page in pages(range).step_by(PAGE_SIZE as usize) {
        let there = EL2.lock().at(page);
        if there != Some(Attributes::DEVICE) {
            map(page..page + PAGE_SIZE, Attributes::DEVICE)?;
        }
    }
    Ok(())
}

/// Calls `f` while the page of `address`, which is RAM, is mapped.
pub fn with_page<R>(address: u64, f: impl FnOnce() -> R) -> Result<R, MapError> {
    let page = address & !(PAGE_SIZE - 1);
    if EL2.lock().at(page).is_some() {
        return Ok(f());
    }
    map(page..page + PAGE_SIZE, Attributes::READ_WRITE)?;
    let result = f();
    EL2.lock().unmap_page(page);
    super::tlb::invalidate_el2_page(page);
    Ok(result)
}
