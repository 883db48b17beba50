//! Pages that are mapped as long as the VM is there: device pages that a guest uses without a trap, and windows. Their tables are made with the
//! VM and never change.

use alloc::vec::Vec;

use super::Descriptor;
use super::descriptor::write;
use crate::addr::{BLOCK_SIZE, Ipa, PAGE_SIZE, Pa};
use crate::arch::memory::table::{ENTRIES, Table};

/// A run of pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PassthroughPages {
    /// Where the guest has them.
    pub ipa: Ipa,
    /// Where they are.
    pub pa: Pa,
    /// How many.
    pub pages: u64,
}

/// The level 2 table of a GiB of IPAs, and a level 3 table for each run of pages in it. On the heap: table walks do not follow a value that
/// moves.
pub(super) struct PassthroughTables(Vec<Table>);

impl PassthroughTables {
    /// Tables that map each of the `runs` by the descriptors that `page` makes. All are in one GiB, each in a 2 MiB block of its own. Panics if a
    /// run is not in one block, or an address is no multiple of a page.
    pub(super) fn new(runs: &[PassthroughPages], page: fn(Pa) -> Descriptor) -> Self {
        let tables = Self((0..=runs.len()).map(|_| Table::empty()).collect());
        for (run, level3) in runs.iter().zip(&tables.0[1..]) {
            assert!(run.ipa.page_offset() == 0 && run.pa.page_offset() == 0);
            let first = (run.ipa.0 % BLOCK_SIZE / PAGE_SIZE) as usize;
            assert!(first as u64 + run.pages <= ENTRIES as u64, "one block");
            for (entry, n) in level3.0[first..].iter().zip(0..run.pages) {
                write(entry, page(Pa(run.pa.0 + n * PAGE_SIZE)));
            }
            let block = (run.ipa.0 / BLOCK_SIZE) as usize % ENTRIES;
            write(&tables.0[0].0[block], Descriptor::table(level3.at()));
        }
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
