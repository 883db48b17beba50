//! Stage 2: from the guest's IPAs to frames. It maps RAM, windows, and device pages that a guest uses without help; any other access traps.
//!
//! Level 1 is one page that covers 39 bits of IPA; its entries for RAM lead to level 2 tables, one for each GiB, whose
//! entries are 2 MiB blocks, or level 3 tables of 4 KiB pages. All tables are made with the VM: its size is known, so changing a mapping
//! can never fail. That costs 1/512 of RAM.
//!
//! | an entry of RAM is | how it came to be | what ends it |
//! | --- | --- | --- |
//! | invalid | in the beginning, or a restore or reset to that | the first access |
//! | read-only | a checkpoint or a restore | a store |
//! | writable | a store | a checkpoint or a restore |
//!
//! A valid entry starts *execute-never* when its frame is new to the page. The first fetch faults, and EL2 invalidates the instruction caches,
//! which may hold what was in the frame before. So a page without code never costs an invalidation.
//!
//! Entries that guests may be using change one at a time by the rules in `live`; many at once by those in `many`.

mod descriptor;
mod live;
mod maintenance;
mod many;
mod passthrough;
#[cfg(test)]
mod tests;

pub use descriptor::Descriptor;
pub use maintenance::Maintenance;
pub use many::Pages;
pub use passthrough::PassthroughPages;

use crate::addr::{BLOCK_PAGES, BLOCK_SIZE, Ipa, PAGE_SIZE, Pa};
use crate::arch::isa::{self, TableEntry};
use crate::arch::memory::table::{ENTRIES, Table, entries_of};
use crate::snapshot::{Frame, Mapping, Page};
use alloc::boxed::Box;
use alloc::vec::Vec;
use descriptor::{read, write};
use passthrough::PassthroughTables;

/// Pages that a level 1 entry spans.
const PAGES_PER_GIB: u32 = 1 << 18;

/// The stage 2 tables of a VM.
pub struct Stage2 {
    level1: Box<Table>,
    /// Level 2 tables, one for each GiB of RAM.
    level2: Vec<Table>,
    /// Level 3 tables, one for each 2 MiB block of RAM. Those of blocks that are mapped whole are not in use.
    level3: Vec<Table>,
    /// Tables for device pages below RAM. They stay attached when those of RAM are detached.
    devices: Option<PassthroughTables>,
    /// Tables for windows above RAM. They stay attached, too.
    windows: Option<PassthroughTables>,
    /// Where RAM starts, a multiple of 1 GiB.
    ram: Ipa,
    pages: u32,
    /// Address of frame 0.
    frames: Pa,
}

impl Stage2 {
    /// Tables for `pages` pages of RAM from `ram` on, a multiple of 1 GiB, all of them absent. Frame 0 is at `frames`, a multiple of 2 MiB.
    pub fn new(ram: Ipa, pages: u32, frames: Pa) -> Self {
        assert!(ram.0.is_multiple_of(1 << 30) && frames.0.is_multiple_of(BLOCK_SIZE));
        let tables = |count: u32| (0..count).map(|_| Table::empty()).collect();
        let stage2 = Self {
            level1: Box::new(Table::empty()),
            level2: tables(pages.div_ceil(PAGES_PER_GIB)),
            level3: tables(pages.div_ceil(BLOCK_PAGES)),
            devices: None,
            windows: None,
            ram,
            pages,
            frames,
        };
        stage2.attach();
        stage2
    }

    /// Maps `pages` pages of device registers at `pa` to `ipa`, all in one 2 MiB block below RAM. Called once at the most, before the VM runs:
    /// loading the VM's first vCPU makes the entries complete for table walks.
    pub fn map_device(&mut self, ipa: Ipa, pa: Pa, pages: u64) {
        assert!(self.devices.is_none() && ipa.0 >> 30 < self.ram.0 >> 30);
        let pages = PassthroughPages { ipa, pa, pages };
        let devices = PassthroughTables::new(&[pages], Descriptor::device);
        write(&self.level1.0[(ipa.0 >> 30) as usize], devices.descriptor());
        self.devices = Some(devices);
    }

    /// Maps windows: cacheable memory that the guest may read and write, but not execute. All of them are in the GiB at `base`, above RAM, each in
    /// a 2 MiB block of its own. Called once at the most, before the VM runs, as [`map_device`](Self::map_device). No change of RAM's mappings
    /// touches them.
    pub fn map_windows(&mut self, base: Ipa, windows: &[PassthroughPages]) {
        let gib = (base.0 >> 30) as usize;
        assert!(self.windows.is_none() && gib >= (self.ram.0 >> 30) as usize + self.level2.len());
        assert!(
            windows
                .iter()
                .all(|window| window.ipa.0 >> 30 == base.0 >> 30)
        );
        let tables = PassthroughTables::new(windows, |at| Descriptor::page(at).writable());
        write(&self.level1.0[gib], tables.descriptor());
        self.windows = Some(tables);
    }

    /// The level 1 table, for VTTBR_EL2.
    pub fn root(&self) -> Pa {
        self.level1.at()
    }

    /// The page of RAM that `ipa` lies in; `None` outside RAM.
    #[inline]
    pub fn page_at(&self, ipa: Ipa) -> Option<Page> {
        let page = ipa.0.checked_sub(self.ram.0)? / PAGE_SIZE;
        (page < u64::from(self.pages)).then_some(page as Page)
    }

    /// The first IPA of a page of RAM.
    pub fn ipa(&self, page: Page) -> Ipa {
        Ipa(self.ram.0 + u64::from(page) * PAGE_SIZE)
    }

    /// The address of a frame.
    #[inline]
    pub fn pa(&self, frame: Frame) -> Pa {
        Pa(self.frames.0 + u64::from(frame.0) * PAGE_SIZE)
    }

    /// The address of a word of bookkeeping memory. Words are numbered through all frames, 1024 to a frame.
    #[inline]
    pub fn word_pa(&self, number: u32) -> Pa {
        Pa(self.frames.0 + u64::from(number) * 4)
    }

    fn frame(&self, descriptor: Descriptor) -> Frame {
        Frame(((descriptor.address().0 - self.frames.0) / PAGE_SIZE) as u32)
    }

    fn level1_entries(&self) -> impl Iterator<Item = (&TableEntry, &Table)> {
        let first = (self.ram.0 >> 30) as usize;
        self.level1.0[first..].iter().zip(&self.level2)
    }

    /// Writes the level 1 entries that lead to the tables of RAM.
    fn attach(&self) {
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
        &entries_of(&self.level3)[page as usize]
    }

    /// The entry that translates `page`: of level 3 if its block is split, else of level 2.
    fn leaf_entry(&self, page: Page) -> &TableEntry {
        let block = self.block_entry(page);
        if read(block).is_table() {
            self.page_entry(page)
        } else {
            block
        }
    }

    /// How `page` is mapped.
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

    /// The address of the byte at `ipa`; `None` outside RAM, and where the page is absent.
    pub fn translate(&self, ipa: Ipa) -> Option<Pa> {
        let page = self.page_at(ipa)?;
        let descriptor = read(self.leaf_entry(page));
        descriptor
            .is_valid()
            .then(|| Pa(descriptor.address().0 + ipa.0 % self.leaf_bytes(page)))
    }

    /// How many bytes the entry that translates `page` maps.
    fn leaf_bytes(&self, page: Page) -> u64 {
        match read(self.block_entry(page)).is_table() {
            true => PAGE_SIZE,
            false => BLOCK_SIZE,
        }
    }

    /// Calls `f` with address and size in bytes of what is mapped of the pages from `from` on, piece by piece: of `limit` entries at the most, a
    /// block counting as the pages that are left of it. Returns the page to go on from, which is behind RAM if that was all.
    pub fn each_present_from(&self, from: Page, limit: u32, mut f: impl FnMut(Pa, u64)) -> Page {
        let (mut at, mut left) = (from, limit);
        while at < self.pages && left > 0 {
            let block = read(self.block_entry(at));
            let in_block = at % BLOCK_PAGES;
            let (entry, first, pages) = match block {
                table if table.is_table() => (read(self.page_entry(at)), 0, 1),
                entry if entry.is_valid() => (entry, in_block, (BLOCK_PAGES - in_block).min(left)),
                entry => (entry, 0, BLOCK_PAGES - in_block),
            };
            if entry.is_valid() {
                let pa = entry.address().0 + u64::from(first) * PAGE_SIZE;
                f(Pa(pa), u64::from(pages) * PAGE_SIZE);
                left -= pages;
            } else {
                left -= 1;
            }
            at += pages;
        }
        at
    }

    /// The same of all that is mapped.
    #[cfg(test)]
    pub fn each_present(&self, f: impl FnMut(Pa, u64)) {
        self.each_present_from(0, u32::MAX, f);
    }

    /// Fills the level 3 table of `page` with pages that map what `block` maps. Returns the descriptor of that table.
    fn fill_level3(&self, page: Page, block: Descriptor) -> Descriptor {
        let table = &self.level3[(page / BLOCK_PAGES) as usize];
        let (first, step) = match block.is_valid() {
            true => (block.as_page(), PAGE_SIZE),
            false => (Descriptor::INVALID, 0),
        };
        isa::fill_entries(&table.0, first.0, step);
        Descriptor::table(table.at())
    }

    /// Splits the block of `page`, if it is mapped and not split yet: into pages with the same frames and permissions. No walk can reach it, as the
    /// tables of RAM are detached. Returns whether it is split then.
    #[inline]
    pub fn split_unreachable(&self, page: Page) -> bool {
        let entry = self.block_entry(page);
        read(entry).is_table() || self.split_if_mapped(page, entry)
    }

    #[cold]
    fn split_if_mapped(&self, page: Page, entry: &TableEntry) -> bool {
        let is_mapped = read(entry).is_valid();
        if is_mapped {
            self.split_whole_block(page, entry);
        }
        is_mapped
    }

    /// Splits the block of `page`, if it is not split yet. It is absent then.
    #[inline]
    fn divide(&self, page: Page) {
        let entry = self.block_entry(page);
        if !read(entry).is_table() {
            self.split_whole_block(page, entry);
        }
    }

    #[cold]
    fn split_whole_block(&self, page: Page, entry: &TableEntry) {
        let block = read(entry);
        let table = self.fill_level3(page, block);
        // A walk that sees the table must see its entries, whatever order the core's stores become visible in.
        isa::dmb_ishst();
        write(entry, table);
    }

    /// Whether `page`, which is mapped, may be executed.
    #[inline]
    pub fn is_executable(&self, page: Page) -> bool {
        read(self.leaf_entry(page)).is_executable()
    }
}
