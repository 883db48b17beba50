//! Stage 2 descriptors of the 4 KiB granule (Arm ARM DDI 0487, D8.3: VMSAv8-64 translation table format descriptors).

use crate::addr::Pa;
use crate::arch::isa::TableEntry;

/// A stage 2 descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor(pub u64);

const VALID: u64 = 1;
/// At levels 1 and 2: the descriptor is for a table; at level 3: it is for a page.
const TABLE_OR_PAGE: u64 = 1 << 1;
/// MemAttr: Normal memory, Inner and Outer Write-Back Cacheable. What a guest asks for at its stage 1 may only weaken this.
const NORMAL_WRITE_BACK: u64 = 0b1111 << 2;
/// MemAttr: Device-nGnRE. What a guest asks for at its stage 1 may only make it stricter.
const DEVICE_NGNRE: u64 = 0b0001 << 2;
/// S2AP: what the guest may do.
const READ: u64 = 1 << 6;
const WRITE: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 0b11 << 8;
/// The access flag: without it each first access would fault.
const ACCESSED: u64 = 1 << 10;
/// XN\[1\]: with XN\[0\] zero, neither EL1 nor EL0 may execute; and that is the one form known without FEAT_XNX.
const EXECUTE_NEVER: u64 = 1 << 54;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

impl Descriptor {
    /// Nothing is mapped.
    pub const INVALID: Self = Self(0);

    /// A table of the next level.
    pub const fn table(at: Pa) -> Self {
        Self(at.0 | TABLE_OR_PAGE | VALID)
    }

    /// RAM that may be read, but neither written nor executed: a page.
    pub const fn page(at: Pa) -> Self {
        Self(
            at.0 | EXECUTE_NEVER
                | ACCESSED
                | INNER_SHAREABLE
                | READ
                | NORMAL_WRITE_BACK
                | TABLE_OR_PAGE
                | VALID,
        )
    }

    /// Device registers that may be read and written: a page.
    pub const fn device(at: Pa) -> Self {
        Self(at.0 | EXECUTE_NEVER | ACCESSED | WRITE | READ | DEVICE_NGNRE | TABLE_OR_PAGE | VALID)
    }

    /// RAM that may be read, but neither written nor executed: a 2 MiB block.
    pub const fn block(at: Pa) -> Self {
        Self(Self::page(at).0 & !TABLE_OR_PAGE)
    }

    /// This descriptor with permission to write.
    pub const fn writable(self) -> Self {
        Self(self.0 | WRITE)
    }

    /// This descriptor without permission to write.
    pub const fn read_only(self) -> Self {
        Self(self.0 & !WRITE)
    }

    /// This descriptor with permission to execute.
    pub const fn executable(self) -> Self {
        Self(self.0 & !EXECUTE_NEVER)
    }

    /// This block descriptor as that of a page, with the same address and permissions.
    pub const fn as_page(self) -> Self {
        Self(self.0 | TABLE_OR_PAGE)
    }

    /// Whether anything is mapped.
    pub const fn is_valid(self) -> bool {
        self.0 & VALID != 0
    }

    /// Whether it leads to a table. For descriptors of levels 1 and 2; at level 3 a page has the same bits.
    pub const fn is_table(self) -> bool {
        self.0 & (TABLE_OR_PAGE | VALID) == TABLE_OR_PAGE | VALID
    }

    /// Whether the guest may write.
    pub const fn is_writable(self) -> bool {
        self.0 & WRITE != 0
    }

    /// Whether the guest may execute.
    pub const fn is_executable(self) -> bool {
        self.0 & EXECUTE_NEVER == 0
    }

    /// The address of the table, block or page.
    pub const fn address(self) -> Pa {
        Pa(self.0 & ADDRESS)
    }
}

/// The descriptor in `entry`.
#[inline]
pub(super) fn read(entry: &TableEntry) -> Descriptor {
    Descriptor(entry.get())
}

/// Replaces the descriptor in `entry`.
#[inline]
pub(super) fn write(entry: &TableEntry, descriptor: Descriptor) {
    entry.set(descriptor.0);
}
