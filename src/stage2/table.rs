//! A translation table.

use super::Descriptor;
use crate::addr::Pa;
use crate::arch::isa::TableEntry;

/// Entries of a table.
pub(super) const ENTRIES: usize = 512;

/// A translation table of any level, one page.
#[repr(C, align(4096))]
pub(super) struct Table(pub(super) [TableEntry; ENTRIES]);

impl Table {
    /// A table without valid entries.
    pub(super) fn new() -> Self {
        Self([const { TableEntry::invalid() }; ENTRIES])
    }

    /// The table's address. EL2 maps memory at its physical address.
    pub(super) fn at(&self) -> Pa {
        Pa(core::ptr::from_ref(self).addr() as u64)
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
