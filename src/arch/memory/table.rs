//! Translation tables of the 4 KiB granule, of any level and any regime (Arm ARM D8.2, "Translation process").

use crate::addr::Pa;
use crate::arch::isa::TableEntry;

/// Entries of a table.
pub const ENTRIES: usize = 512;

/// A table, one page.
#[repr(C, align(4096))]
pub struct Table(pub [TableEntry; ENTRIES]);

const _: () = assert!(size_of::<Table>() == ENTRIES * size_of::<TableEntry>());

impl Table {
    /// A table without valid entries. As a static it is in bss, out of the image's file.
    pub const fn empty() -> Self {
        Self([const { TableEntry::invalid() }; ENTRIES])
    }

    /// The table's address. EL2 maps memory at its physical address.
    pub fn at(&self) -> Pa {
        Pa(core::ptr::from_ref(self).addr() as u64)
    }
}

/// The entries of tables that lie one behind the other.
#[inline(always)]
pub fn entries_of(tables: &[Table]) -> &[TableEntry] {
    let first = tables.as_ptr().cast::<TableEntry>();
    // SAFETY: a table is `ENTRIES` entries and nothing else, as is asserted above, and `repr(C)` begins it with the first. So the slice is the memory of
    // `tables`, borrowed as long. Entries are atomics, and any value is one.
    unsafe { core::slice::from_raw_parts(first, tables.len() * ENTRIES) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_tables_are_one_behind_the_other() {
        let tables = [const { Table::empty() }; 3];
        let entries = entries_of(&tables);
        assert_eq!(entries.len(), 3 * ENTRIES);
        for (table, first) in tables.iter().zip([0, ENTRIES, 2 * ENTRIES]) {
            for i in [0, 1, ENTRIES - 1] {
                assert!(core::ptr::eq(&table.0[i], &entries[first + i]));
            }
        }
        assert!(entries_of(&[]).is_empty());
    }
}
