//! The board's RAM: what of it EL2 maps, and what it gives to the heap.

use core::fmt;
use core::ops::Range;

use super::memory_map::{MemoryMap, TooManyPieces};
use super::tree::Tree;
use crate::addr::{BLOCK_SIZE, PAGE_SIZE};
use crate::arch::boot::image;
use crate::arch::entry::fixup;
use crate::arch::memory::heap;
use crate::arch::memory::mmu::{self, Attributes};

/// What [`claim`] did with the RAM, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Claimed {
    /// What EL2 mapped.
    pub mapped: u64,
    /// What of it the heap got.
    pub free: u64,
}

/// Why there is no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// [`MemoryMap`] has no room for so many pieces.
    TooManyPieces,
    /// EL2's page tables have no room for it.
    TooLarge,
    /// The tree lists none that is free.
    None,
    /// Nothing answers at this physical address, which the tree lists.
    Hole(u64),
}

impl From<TooManyPieces> for Unusable {
    fn from(TooManyPieces: TooManyPieces) -> Self {
        Self::TooManyPieces
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyPieces => f.write_str("memory falls into too many pieces"),
            Self::TooLarge => f.write_str("EL2's page tables have no room for the memory"),
            Self::None => f.write_str("the device tree lists no memory that is free"),
            Self::Hole(hole) => write!(
                f,
                "the device tree lists memory that does not answer: at {hole:#x}"
            ),
        }
    }
}

/// Maps the RAM that the tree lists, and gives what nobody has of it to the heap. For the boot core, once.
pub fn claim(tree: &Tree<'static>) -> Result<Claimed, Unusable> {
    let (mapped, free) = memory(tree)?;
    if mapped
        .pages()
        .any(|range| mmu::map(range, Attributes::READ_WRITE).is_err())
    {
        return Err(Unusable::TooLarge);
    }
    if free.bytes() == 0 {
        return Err(Unusable::None);
    }
    for range in free.pages() {
        if let Some(hole) = hole_in(range.clone()) {
            return Err(Unusable::Hole(hole));
        }
        give(range);
    }
    Ok(Claimed {
        mapped: mapped.bytes(),
        free: free.bytes(),
    })
}

/// Gives RAM to the heap: the one place that knows whose it is.
#[expect(
    unsafe_code,
    reason = "whose the board's RAM is, the board's tree says"
)]
fn give(range: Range<u64>) {
    // SAFETY: `claim` alone calls this, with RAM that the device tree lists and does not reserve, without the image and the tree; it was
    // mapped there, and a second call would not have come here: mapping twice is refused.
    unsafe { heap::add(range) };
}

/// The RAM to map and, of it, the RAM to use. What is mapped already (image, tree) is in neither. Nor is page 0, so
/// that a null pointer faults on every board.
fn memory(tree: &Tree<'static>) -> Result<(MemoryMap, MemoryMap), TooManyPieces> {
    let mut result = Ok(());
    let mut mapped = MemoryMap::default();
    tree.each_memory(|bank| result = result.and(mapped.add(bank.range())));
    for taken in [
        0..PAGE_SIZE,
        image::range(),
        image::tree_pages(tree.address()),
        mmu::ADDRESS_LIMIT..u64::MAX,
    ] {
        mapped.remove(taken)?;
    }
    tree.each_reserved(|reserved, no_map| {
        if no_map {
            result = result.and(mapped.remove(reserved.range()));
        }
    });
    let mut free = mapped.clone();
    tree.each_reserved(|reserved, _| result = result.and(free.remove(reserved.range())));
    result.map(|()| (mapped, free))
}

/// An address in `range`, which is mapped, at which there is no memory: one in each block is looked at, and the last page.
fn hole_in(range: Range<u64>) -> Option<u64> {
    let last = range.end - PAGE_SIZE;
    let mut looked_at = range.step_by(BLOCK_SIZE as usize).chain([last]);
    looked_at.find(|address| fixup::probe(*address).is_none())
}
