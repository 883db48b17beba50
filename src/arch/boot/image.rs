//! The image in memory and the device tree that came with it: what EL2's tables have in them first.

use core::ops::Range;

use crate::addr::PAGE_SIZE;
use crate::arch::device_tree::{MAGIC, TREE_MAX};
use crate::arch::entry::fixup;
use crate::arch::memory::mmu::{self, ADDRESS_LIMIT, Attributes};
use crate::arch::memory::page;
use crate::arch::percpu;

unsafe extern "C" {
    static image_start: u8;
    static rodata_start: u8;
    static data_start: u8;
    static image_end: u8;
}

/// The memory that the image, its bss and stacks occupy.
pub fn range() -> Range<u64> {
    &raw const image_start as u64..&raw const image_end as u64
}

/// Called by the boot stub, MMU off: maps the image and the device tree, all that EL2 needs to find out the rest
/// with its caches on. Returns TTBR0_EL2.
pub(in crate::arch) extern "C" fn map_image(tree: u64) -> u64 {
    // SAFETY: this is the only core in the image and runs this once, before any use of the lock; not through the lock, because an exclusive
    // access is not promised to work on the Device memory that all memory is with the MMU off. Entries are loaded and stored.
    let tables = unsafe { &mut *mmu::EL2_TABLES.as_mut_ptr() };
    let image = range();
    let rodata = &raw const rodata_start as u64;
    let data = &raw const data_start as u64;
    // The pool is fresh and these ranges are disjoint; and nobody could be told of a failure.
    let _ = tables.map(image.start..rodata, Attributes::TEXT);
    let _ = tables.map(rodata..data, Attributes::READ);
    let mut from = data;
    for guard in percpu::guard_pages() {
        let _ = tables.map(from..guard, Attributes::READ_WRITE);
        from = guard + PAGE_SIZE;
    }
    let _ = tables.map(from..image.end, Attributes::READ_WRITE);
    let _ = tables.map(tree_pages(tree), Attributes::READ);
    tables.root()
}

/// The bytes of the device tree at `tree`; `None` if there is no tree. Of it only that is known: its magic number and its size.
pub fn tree(tree: u64) -> Option<&'static [u8]> {
    let pages = tree_pages(tree);
    let size = pages.end.saturating_sub(tree);
    let mut each = pages.step_by(PAGE_SIZE as usize);
    if size == 0 || each.any(|page| fixup::probe(page).is_none()) {
        return None;
    }
    // SAFETY: these pages hold the device tree: its magic number is there, and its size is what gave their end.
    // They are mapped read-only (or the MMU is off), and answer, and the memory map keeps them out of the heap: nothing ever
    // writes there.
    Some(unsafe { core::slice::from_raw_parts(tree as *const u8, size as usize) })
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
    page::clean_and_invalidate(tree..tree + 8);
    // SAFETY: the boot protocol has x0 point to the tree on an 8-byte boundary; both was tested. Where a loader passes none, the
    // value is 0, or where older firmware of the Raspberry Pi has its list of tags (QEMU's raspi4b without -dtb: 0x100), which is RAM.
    let [magic, size] = unsafe { (tree as *const [u32; 2]).read_volatile() }.map(u32::from_be);
    if magic != MAGIC || u64::from(size) > TREE_MAX {
        return 0..0;
    }
    mmu::pages(tree..tree + u64::from(size))
}

/// Makes the device tree readable with the MMU off, at whatever exception level: a loader may have left it in the
/// caches.
pub(in crate::arch) fn clean_tree(tree: u64) {
    page::clean_and_invalidate(tree_pages(tree));
}
