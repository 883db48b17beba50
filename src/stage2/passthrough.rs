//! Device pages that a guest uses without a trap. Their tables are made with the VM and never change.

use alloc::vec::Vec;

use super::Descriptor;
use super::table::{ENTRIES, Table, write};
use crate::addr::{BLOCK_SIZE, Ipa, PAGE_SIZE, Pa};

/// The level 2 and level 3 tables for one block of IPAs. On the heap: table walks do not follow a value that moves.
pub(super) struct PassthroughTables(Vec<Table>);

impl PassthroughTables {
    /// Tables that map `pages` pages from `ipa` on, all in one 2 MiB block, to those from `pa` on. Panics if they are not in one block, or an
    /// address is no multiple of a page.
    pub(super) fn new(ipa: Ipa, pa: Pa, pages: u64) -> Self {
        assert!(ipa.page_offset() == 0 && pa.page_offset() == 0);
        let first = (ipa.0 % BLOCK_SIZE / PAGE_SIZE) as usize;
        assert!(first as u64 + pages <= ENTRIES as u64, "one block");
        let [level2, level3] = [Table::new(), Table::new()];
        for (entry, page) in level3.0[first..].iter().zip(0..pages) {
            write(entry, Descriptor::device(Pa(pa.0 + page * PAGE_SIZE)));
        }
        let tables = Self([level2, level3].into());
        let block = (ipa.0 / BLOCK_SIZE) as usize % ENTRIES;
        write(&tables.0[0].0[block], Descriptor::table(tables.0[1].at()));
        tables
    }

    /// The level 1 entry that leads to these tables.
    pub(super) fn descriptor(&self) -> Descriptor {
        Descriptor::table(self.0[0].at())
    }

    #[cfg(test)]
    pub(super) fn tables(&self) -> &[Table] {
        &self.0
    }
}
