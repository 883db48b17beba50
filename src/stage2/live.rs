//! Changes of entries that guests may be using, one at a time.
//!
//! # Rules for live tables
//!
//! - Another output address needs break-before-make: invalid entry, DSB, TLBI, DSB, new entry (Arm ARM D8.16.1, "Using break-before-make
//!   when updating translation table entries").
//! - A wider permission does not; but the stale entry must leave the TLB, or the access would fault again and again. This core's TLB is enough:
//!   another core that has the stale entry faults once more, and flushes its own. So is the entry for the address that the guest faulted at, if
//!   that is known (`va` below): by another address the guest faults once more, too.
//! - A narrower permission takes effect when TLBI and DSB are done.
//! - Many changes at once *detach* the tables of RAM instead: with its level 1 entries invalid, no walk reaches what lies below, and no TLB
//!   caches it, until the entries are put back.
//! - Nothing here needs an ISB: the ERET into the guest is a context synchronization event.

use super::Stage2;
use super::descriptor::{Descriptor, read, write};
use super::maintenance::Maintenance;
use crate::addr::Va;
use crate::arch::isa::TableEntry;
use crate::snapshot::{Frame, Page};

impl Stage2 {
    /// Maps `page`, which is absent or read-only, writable to `frame`, whose contents are complete for every observer. Splits its block first,
    /// if that is absent.
    #[inline]
    pub fn map_page_writable(&self, m: &mut impl Maintenance, page: Page, frame: Frame) {
        self.divide(page);
        let entry = self.page_entry(page);
        if read(entry).is_valid() {
            // Break: every TLB loses the old frame before any can have the new one.
            write(entry, Descriptor::INVALID);
            m.complete_stores();
            m.invalidate_ipa(self.ipa(page));
            m.complete_invalidations();
            m.invalidate_stage1();
            m.complete_invalidations();
        }
        write(entry, Descriptor::page(self.pa(frame)).writable());
        m.complete_stores();
    }

    /// Maps the block of `page`, which is absent, writable to the 512 frames from `first` on, whose contents are complete for every observer.
    pub fn map_block_writable(&self, m: &mut impl Maintenance, page: Page, first: Frame) {
        // An invalid entry is never cached: nothing to invalidate.
        write(
            self.block_entry(page),
            Descriptor::block(self.pa(first)).writable(),
        );
        m.complete_stores();
    }

    /// Maps `page`, which is absent, read-only to `frame`, and splits its block first, if that is absent. No TLB has an invalid entry: nothing to
    /// invalidate. Complete with [`end_map_clean`](Self::end_map_clean).
    #[inline]
    pub fn map_clean_page(&self, page: Page, frame: Frame) {
        self.divide(page);
        self.set_page(page, Some(frame));
    }

    /// Maps the block of `page`, which is absent, read-only to the 512 frames from `first` on. Complete with [`end_map_clean`](Self::end_map_clean).
    pub fn map_clean_block(&self, page: Page, first: Frame) {
        self.set_block(page, Some(first));
    }

    /// The walks of all cores see what was mapped.
    pub fn end_map_clean(&self, m: &mut impl Maintenance) {
        m.complete_stores();
    }

    /// Makes `page`, whose block is split and which is mapped, writable.
    #[inline]
    pub fn make_page_writable(&self, m: &mut impl Maintenance, page: Page, va: Option<Va>) {
        self.make_writable(m, page, self.page_entry(page), va);
    }

    /// Makes the block of `page`, which is mapped as a whole, writable.
    pub fn make_block_writable(&self, m: &mut impl Maintenance, page: Page, va: Option<Va>) {
        self.make_writable(m, page, self.block_entry(page), va);
    }

    #[inline]
    fn make_writable(
        &self,
        m: &mut impl Maintenance,
        page: Page,
        entry: &TableEntry,
        va: Option<Va>,
    ) {
        write(entry, read(entry).writable());
        m.complete_stores();
        m.invalidate_ipa_here(self.ipa(page), va);
    }

    /// Flushes `page` from this core's TLB.
    pub fn invalidate_local(&self, m: &mut impl Maintenance, page: Page, va: Option<Va>) {
        m.invalidate_ipa_here(self.ipa(page), va);
    }

    /// Flushes all of the VM from the TLBs of all cores.
    pub fn invalidate_vm(&self, m: &mut impl Maintenance) {
        m.invalidate_vm();
        m.complete_invalidations();
    }

    /// Makes the entry that translates `page` executable, after a fetch that it did not permit. Changes nothing if the page is not mapped any
    /// more: the fetch then has a translation fault, not a permission fault.
    pub fn make_executable(&self, m: &mut impl Maintenance, page: Page, va: Option<Va>) {
        let entry = self.leaf_entry(page);
        let descriptor = read(entry);
        if !descriptor.is_valid() {
            return;
        }
        if !descriptor.is_executable() {
            // First the instruction caches lose what was in the frame before, then the guest may fetch from it.
            m.invalidate_instructions(descriptor.address(), self.leaf_bytes(page));
            write(entry, descriptor.executable());
            m.complete_stores();
        }
        m.invalidate_ipa_here(self.ipa(page), va);
    }

    /// The contents of `page` have changed by EL2's doing: who fetches from it fetches them.
    pub fn invalidate_code(&self, m: &mut impl Maintenance, page: Page) {
        let descriptor = read(self.leaf_entry(page));
        if descriptor.is_valid() && descriptor.is_executable() {
            m.invalidate_instructions(descriptor.address(), self.leaf_bytes(page));
        }
    }

    /// Splits the block of `page`, which is mapped, while guests may use it: into pages with the same frames and permissions. The change of one
    /// of the pages, which must follow, completes this.
    pub fn split_live(&self, m: &mut impl Maintenance, page: Page) {
        let entry = self.block_entry(page);
        let table = self.fill_level3(page, read(entry));
        write(entry, Descriptor::INVALID);
        // Completes the invalid entry, and the entries of the new table, which no walk reaches yet.
        m.complete_stores();
        // A TLB may hold the block in pieces: all of them must go before the pages come.
        m.invalidate_vm();
        m.complete_invalidations();
        write(entry, table);
    }
}
