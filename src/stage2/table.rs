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

/// The entries of tables that lie one behind the other.
#[inline]
#[allow(unsafe_code)]
pub(super) fn entries_of(tables: &[Table]) -> &[TableEntry] {
    let first = tables.as_ptr().cast::<TableEntry>();
    // SAFETY: a table is `ENTRIES` entries and nothing else: its size, checked below, is theirs, and `repr(C)` begins it with the first. So the
    // slice is the memory of `tables`, borrowed as long, and what it says is in there. Entries are atomics.
    unsafe { core::slice::from_raw_parts(first, tables.len() * ENTRIES) }
}

const _: () = assert!(size_of::<Table>() == ENTRIES * size_of::<TableEntry>());

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
