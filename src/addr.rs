//! Addresses and sizes. Three address spaces meet in a hypervisor, and mixing them up is *the* hypervisor bug;
//! so each is a type of its own.

use core::fmt;
use core::ops::Range;

/// Bytes in a page: the 4 KiB granule, the only one that Avisor uses.
pub const PAGE_SIZE: u64 = 4096;
/// Bytes that a level 2 block descriptor maps with the 4 KiB granule.
pub const BLOCK_SIZE: u64 = 2 << 20;
/// Pages in a block.
pub const BLOCK_PAGES: u32 = (BLOCK_SIZE / PAGE_SIZE) as u32;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// The address `bytes` further on; `None` past the end of the address space.
            pub fn checked_add(self, bytes: u64) -> Option<Self> {
                self.0.checked_add(bytes).map(Self)
            }

            /// Offset within the 4 KiB page.
            pub const fn page_offset(self) -> u64 {
                self.0 % PAGE_SIZE
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

address! {
    /// A physical address: what the memory system sees.
    Pa
}
address! {
    /// An intermediate physical address: what a guest takes for physical.
    Ipa
}
address! {
    /// A virtual address of a guest, translated by its own stage 1.
    Va
}

/// `range` shrunk to whole units of `align` bytes (a power of two); empty if none fits.
pub fn align_inwards(range: Range<u64>, align: u64) -> Range<u64> {
    let start = range
        .start
        .checked_next_multiple_of(align)
        .unwrap_or(u64::MAX);
    let end = range.end & !(align - 1);
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inwards_keeps_whole_units_only() {
        assert_eq!(align_inwards(1..0x3000, 0x1000), 0x1000..0x3000);
        assert_eq!(align_inwards(0x1001..0x1fff, 0x1000), 0x2000..0x2000);
        assert_eq!(
            align_inwards(u64::MAX - 5..u64::MAX, 0x1000),
            u64::MAX..u64::MAX
        );
    }
}
