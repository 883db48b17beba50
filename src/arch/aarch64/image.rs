//! The image in memory and the device tree that came with it: what EL2's tables have in them first.

use core::ops::Range;

use super::mmu::{self, ADDRESS_LIMIT, Attributes};
use super::{fixup, page, percpu};
use crate::addr::PAGE_SIZE;
use crate::arch::tree;

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
pub(super) extern "C" fn map_image(tree: u64) -> u64 {
    // SAFETY: this is the only core in the image and runs this once, before any use of the lock; not through the lock, because an exclusive
    // access is not promised to work on the Device memory that all memory is with the MMU off. Entries are loaded and stored.
    let tables = unsafe { &mut *mmu::EL2.as_mut_ptr() };
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

/// The pages that the device tree at `tree` says it has; none if there is no tree. The MMU may be off.
pub fn tree_pages(tree: u64) -> Range<u64> {
    if !tree.is_multiple_of(8) || tree == 0 {
        return 0..0;
    }
    let Some(end) = tree.checked_add(tree::TREE_MAX) else {
        return 0..0;
    };
    if end > ADDRESS_LIMIT || fixup::probe(tree).is_none() {
        return 0..0;
    }
    page::clean_and_invalidate(tree..tree + 8);
    // SAFETY: the boot protocol has x0 point to the tree on an 8-byte boundary; both was tested. Where a loader passes none, the
    // value is 0, or where older firmware of the Raspberry Pi has its list of tags (QEMU's raspi4b without -dtb: 0x100), which is RAM.
    let [magic, size] = unsafe { (tree as *const [u32; 2]).read_volatile() }.map(u32::from_be);
    if magic != tree::MAGIC || u64::from(size) > tree::TREE_MAX {
        return 0..0;
    }
    mmu::pages(tree..tree + u64::from(size))
}

/// Makes the device tree readable with the MMU off, at whatever exception level: a loader may have left it in the
/// caches.
pub(super) fn clean_tree(tree: u64) {
    page::clean_and_invalidate(tree_pages(tree));
}
