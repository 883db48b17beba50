//! Stage 2: from the guest's IPAs to frames. It maps RAM, and device pages that a guest uses without help; any other access traps.
//!
//! Level 1 is one page that covers 39 bits of IPA; its entries for RAM lead to level 2 tables, one for each GiB, whose
//! entries are 2 MiB blocks, or level 3 tables of 4 KiB pages. All tables are made with the VM: its size is known, so changing a mapping
//! can never fail. That costs 1/512 of RAM.
//!
//! | an entry of RAM is | how it came to be | what ends it |
//! | --- | --- | --- |
//! | invalid | in the beginning, or taken back to that | the first access |
//! | read-only | a checkpoint or a restore | a store |
//! | writable | a store | a checkpoint or a restore |
//!
//! Any of the valid ones starts *execute-never* when its frame is new to the page. The first fetch faults, and invalidates the instruction
//! caches: they may remember what the frame held before. So a page that holds no code never pays for that.
//!
//! # Rules for live tables
//!
//! - Another output address needs break-before-make: invalid entry, DSB, TLBI, DSB, new entry (Arm ARM D8.16.1, "Using break-before-make
//!   when updating translation table entries").
//! - A wider permission does not; but the stale entry must go, or the access would fault for ever. This core's is enough: another core faults
//!   once more and comes to the same place.
//! - A narrower permission takes effect when TLBI and DSB are done.
//! - Many changes at once break the path instead, the level 1 entries: nothing below can be walked or cached until they are put back.
//! - Nothing here needs an ISB: the ERET into the guest is a context synchronization event.

mod descriptor;
mod devices;
mod maintenance;
#[cfg(test)]
mod tests;

pub use descriptor::Descriptor;
pub use maintenance::Maintenance;

use crate::addr::{BLOCK_PAGES, BLOCK_SIZE, Ipa, PAGE_SIZE, Pa};
use crate::arch::isa::{self, TableEntry};
use crate::snapshot::{Frame, Mapping, Page};
use alloc::boxed::Box;
use alloc::vec::Vec;
use devices::Devices;

/// Entries of a table.
const ENTRIES: usize = 512;
/// Pages that a level 1 entry spans.
const PAGES_PER_GIB: u32 = 1 << 18;

/// A translation table.
#[repr(C, align(4096))]
struct Table([TableEntry; ENTRIES]);

impl Table {
    fn new() -> Self {
        Self([const { TableEntry::invalid() }; ENTRIES])
    }

    /// EL2 maps memory where it is.
    fn at(&self) -> Pa {
        Pa(core::ptr::from_ref(self).addr() as u64)
    }
}

fn read(entry: &TableEntry) -> Descriptor {
    Descriptor(entry.get())
}

fn write(entry: &TableEntry, descriptor: Descriptor) {
    entry.set(descriptor.0);
}

/// The stage 2 tables of a VM.
pub struct Stage2 {
    level1: Box<Table>,
    /// One for each GiB of RAM.
    level2: Vec<Table>,
    /// One for each block of RAM, in use or not.
    level3: Vec<Table>,
    /// Below RAM, and not touched when the path to RAM is broken.
    devices: Option<Devices>,
    /// Where RAM starts: a multiple of 1 GiB.
    ram: Ipa,
    pages: u32,
    /// Frame 0.
    frames: Pa,
}

impl Stage2 {
    /// Tables for `pages` pages of RAM from `ram` on, all of them absent; frames are counted from `frames`.
    pub fn new(ram: Ipa, pages: u32, frames: Pa) -> Self {
        assert!(ram.0.is_multiple_of(1 << 30) && frames.0.is_multiple_of(BLOCK_SIZE));
        let tables = |count: u32| (0..count).map(|_| Table::new()).collect();
        let stage2 = Self {
            level1: Box::new(Table::new()),
            level2: tables(pages.div_ceil(PAGES_PER_GIB)),
            level3: tables(pages.div_ceil(BLOCK_PAGES)),
            devices: None,
            ram,
            pages,
            frames,
        };
        stage2.link();
        stage2
    }

    /// Maps `pages` pages of device registers from `ipa` on, all in one block below RAM, to those from `pa` on. Once, and before the VM runs:
    /// its activation is what makes the entries complete for table walks.
    pub fn map_device(&mut self, ipa: Ipa, pa: Pa, pages: u64) {
        assert!(self.devices.is_none() && ipa.0 >> 30 < self.ram.0 >> 30);
        let devices = self.devices.insert(Devices::new(ipa, pa, pages));
        write(&self.level1.0[(ipa.0 >> 30) as usize], devices.descriptor());
    }

    /// The level 1 table, for VTTBR_EL2.
    pub fn root(&self) -> Pa {
        self.level1.at()
    }

    /// The page of RAM that `ipa` lies in.
    #[inline]
    pub fn page_at(&self, ipa: Ipa) -> Option<Page> {
        let page = ipa.0.checked_sub(self.ram.0)? / PAGE_SIZE;
        (page < u64::from(self.pages)).then_some(page as Page)
    }

    /// The IPA of a page of RAM.
    pub fn ipa(&self, page: Page) -> Ipa {
        Ipa(self.ram.0 + u64::from(page) * PAGE_SIZE)
    }

    /// Where a frame is.
    #[inline]
    pub fn pa(&self, frame: Frame) -> Pa {
        Pa(self.frames.0 + u64::from(frame.0) * PAGE_SIZE)
    }

    /// Where a word of bookkeeping memory is: they are numbered through all frames.
    #[inline]
    pub fn frame_word(&self, number: u32) -> Pa {
        Pa(self.frames.0 + u64::from(number) * 4)
    }

    fn frame(&self, descriptor: Descriptor) -> Frame {
        Frame(((descriptor.address().0 - self.frames.0) / PAGE_SIZE) as u32)
    }

    fn level1_entries(&self) -> impl Iterator<Item = (&TableEntry, &Table)> {
        let first = (self.ram.0 >> 30) as usize;
        self.level1.0[first..].iter().zip(&self.level2)
    }

    fn link(&self) {
        for (entry, table) in self.level1_entries() {
            write(entry, Descriptor::table(table.at()));
        }
    }

    #[inline]
    fn block_entry(&self, page: Page) -> &TableEntry {
        &self.level2[(page / PAGES_PER_GIB) as usize].0[(page / BLOCK_PAGES) as usize % ENTRIES]
    }

    #[inline]
    fn page_entry(&self, page: Page) -> &TableEntry {
        &self.level3[(page / BLOCK_PAGES) as usize].0[page as usize % ENTRIES]
    }

    /// The entry that translates `page`.
    fn leaf(&self, page: Page) -> &TableEntry {
        let block = self.block_entry(page);
        if read(block).is_table() {
            self.page_entry(page)
        } else {
            block
        }
    }

    /// What is said of `page`.
    #[inline]
    pub fn mapping(&self, page: Page) -> Mapping {
        let block = read(self.block_entry(page));
        if block.is_table() {
            return match read(self.page_entry(page)) {
                entry if !entry.is_valid() => Mapping::Absent,
                entry if entry.is_writable() => Mapping::Write,
                entry => Mapping::Read(self.frame(entry)),
            };
        }
        match block {
            entry if !entry.is_valid() => Mapping::AbsentBlock,
            entry if entry.is_writable() => Mapping::WriteBlock,
            entry => Mapping::ReadBlock(self.frame(entry)),
        }
    }

    /// Where the byte at `ipa` lies, if its page is present.
    pub fn translate(&self, ipa: Ipa) -> Option<Pa> {
        let page = self.page_at(ipa)?;
        let descriptor = read(self.leaf(page));
        descriptor
            .is_valid()
            .then(|| Pa(descriptor.address().0 + ipa.0 % self.leaf_bytes(page)))
    }

    /// How many bytes the entry that translates `page` is for.
    fn leaf_bytes(&self, page: Page) -> u64 {
        match read(self.block_entry(page)).is_table() {
            true => PAGE_SIZE,
            false => BLOCK_SIZE,
        }
    }

    /// Calls `f` with where each present block and page is, and its bytes.
    pub fn each_present(&self, mut f: impl FnMut(Pa, u64)) {
        let mut visit = |entry: Descriptor, bytes| {
            if entry.is_valid() {
                f(entry.address(), bytes);
            }
        };
        for block in (0..self.pages).step_by(BLOCK_PAGES as usize) {
            match read(self.block_entry(block)) {
                table if table.is_table() => {
                    let entries = &self.level3[(block / BLOCK_PAGES) as usize].0;
                    entries
                        .iter()
                        .for_each(|entry| visit(read(entry), PAGE_SIZE));
                }
                entry => visit(entry, BLOCK_SIZE),
            }
        }
    }

    /// Maps `page`, which is not writable, writable to `frame`. Its contents must be complete for every observer.
    #[inline]
    pub fn give_page(&self, m: &mut impl Maintenance, page: Page, frame: Frame) {
        self.divide(page);
        let entry = self.page_entry(page);
        if read(entry).is_valid() {
            // Break: all cores forget the old frame before any can see the new one.
            write(entry, Descriptor::INVALID);
            m.stores_complete();
            m.invalidate_ipa(self.ipa(page));
            m.invalidations_complete();
            m.invalidate_stage1();
            m.invalidations_complete();
        }
        write(entry, Descriptor::page(self.pa(frame)).writable());
        m.stores_complete();
    }

    /// Maps the absent block of `page` writable to the 512 frames from `first` on.
    pub fn give_block(&self, m: &mut impl Maintenance, page: Page, first: Frame) {
        // An invalid entry is never cached: nothing to invalidate.
        write(
            self.block_entry(page),
            Descriptor::block(self.pa(first)).writable(),
        );
        m.stores_complete();
    }

    /// Makes what `page` is mapped by writable, a page or a block.
    pub fn widen(&self, m: &mut impl Maintenance, page: Page) {
        let entry = self.leaf(page);
        write(entry, read(entry).writable());
        m.stores_complete();
        m.invalidate_ipa_here(self.ipa(page));
    }

    /// Drops what this core's TLB remembers of `page`.
    pub fn refresh(&self, m: &mut impl Maintenance, page: Page) {
        m.invalidate_ipa_here(self.ipa(page));
    }

    /// Drops all that any core's TLB remembers of the VM.
    pub fn forget(&self, m: &mut impl Maintenance) {
        m.invalidate_vm();
        m.invalidations_complete();
    }

    /// A fetch from `page` was not permitted: permits it. `false` if the page is absent, so that it is something else that is missing.
    pub fn permit_fetch(&self, m: &mut impl Maintenance, page: Page) -> bool {
        let entry = self.leaf(page);
        let descriptor = read(entry);
        if !descriptor.is_valid() {
            return false;
        }
        if !descriptor.is_executable() {
            // First forget what the frame held before, then let it be fetched from.
            m.invalidate_instructions(descriptor.address(), self.leaf_bytes(page));
            write(entry, descriptor.executable());
            m.stores_complete();
        }
        m.invalidate_ipa_here(self.ipa(page));
        true
    }

    /// Divides the block of `page`: pages with the same frames and permissions. The change of one of them that follows completes it.
    pub fn split(&self, m: &mut impl Maintenance, page: Page) {
        let entry = self.block_entry(page);
        let table = self.fill_level3(page, read(entry));
        write(entry, Descriptor::INVALID);
        // The invalid entry, and the new table's too, which nothing leads to yet.
        m.stores_complete();
        // A TLB may hold the block in pieces: all of them must go before the pages come.
        m.invalidate_vm();
        m.invalidations_complete();
        write(entry, table);
    }

    /// Fills the level 3 table of `page` with what `block` maps; returns the descriptor of that table.
    fn fill_level3(&self, page: Page, block: Descriptor) -> Descriptor {
        let table = &self.level3[(page / BLOCK_PAGES) as usize];
        let (mut descriptor, step) = match block.is_valid() {
            true => (block.as_page(), PAGE_SIZE),
            false => (Descriptor::INVALID, 0),
        };
        // Eight at a time: most of what dividing a block costs is this loop.
        for entries in table.0.as_chunks::<8>().0 {
            for entry in entries {
                write(entry, descriptor);
                descriptor = descriptor.offset(step);
            }
        }
        Descriptor::table(table.at())
    }

    /// Divides the block of `page`, if it is not yet: pages with the same frames and permissions. No walk can reach it, or it is absent.
    #[inline]
    pub fn divide(&self, page: Page) {
        let entry = self.block_entry(page);
        if !read(entry).is_table() {
            self.divide_whole(page, entry);
        }
    }

    #[cold]
    fn divide_whole(&self, page: Page, entry: &TableEntry) {
        let block = read(entry);
        let table = self.fill_level3(page, block);
        // The table's entries are in place before it can be walked, whatever order the core's stores leave it in.
        isa::dmb_ishst();
        write(entry, table);
    }

    /// Makes `page`, which is mapped as such, read-only from [`end_protect`](Self::end_protect) on.
    #[inline]
    pub fn protect_page(&self, page: Page) {
        let entry = self.page_entry(page);
        write(entry, read(entry).read_only());
    }

    /// Makes the block of `page`, which is mapped as a whole, read-only likewise.
    pub fn protect_block(&self, page: Page) {
        let entry = self.block_entry(page);
        write(entry, read(entry).read_only());
    }

    /// No core writes to what was protected any more.
    pub fn end_protect(&self, m: &mut impl Maintenance) {
        m.stores_complete();
        m.invalidate_vm();
        m.invalidations_complete();
    }

    /// Breaks the path to all of RAM.
    pub fn begin_remap(&self, m: &mut impl Maintenance) {
        for (entry, _) in self.level1_entries() {
            write(entry, Descriptor::INVALID);
        }
        m.stores_complete();
        m.invalidate_vm();
        m.invalidations_complete();
    }

    /// Maps `page`, whose block is divided, read-only to `frame` or to nothing. The path is broken.
    #[inline]
    pub fn set_page(&self, page: Page, frame: Option<Frame>) {
        let descriptor = frame.map_or(Descriptor::INVALID, |frame| {
            Descriptor::page(self.pa(frame))
        });
        write(self.page_entry(page), descriptor);
    }

    /// Maps the block of `page` read-only as a whole, or to nothing. The path is broken.
    pub fn set_block(&self, page: Page, first: Option<Frame>) {
        let descriptor = first.map_or(Descriptor::INVALID, |first| {
            Descriptor::block(self.pa(first))
        });
        write(self.block_entry(page), descriptor);
    }

    /// Makes the path whole again.
    pub fn end_remap(&self, m: &mut impl Maintenance) {
        // What lies below is complete before it can be walked.
        m.stores_complete();
        self.link();
        m.stores_complete();
    }
}
