//! Device pages that a guest uses without help. Their path is made with the VM and never changes.

use alloc::vec::Vec;

use super::{Descriptor, ENTRIES, Table, write};
use crate::addr::{BLOCK_SIZE, Ipa, PAGE_SIZE, Pa};

/// The tables for one block of IPAs: level 2 and level 3. On the heap, as table walks do not follow a `Devices` that moves.
pub(super) struct Devices(Vec<Table>);

impl Devices {
    /// `pages` pages from `ipa` on, all in one block, lead to those from `pa` on.
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

    /// What the level 1 entry for the block is.
    pub(super) fn descriptor(&self) -> Descriptor {
        Descriptor::table(self.0[0].at())
    }

    #[cfg(test)]
    pub(super) fn tables(&self) -> &[Table] {
        &self.0
    }
}
