//! Many changes at once, and what they complete with: permissions that narrow, the tables of RAM while they are detached, and memory that is
//! written back under the guest's own tables.

use super::Stage2;
use super::descriptor::{Descriptor, read, write};
use super::maintenance::Maintenance;
use crate::addr::{BLOCK_PAGES, PAGE_SIZE};
use crate::arch::isa::{self, TableEntry};
use crate::arch::memory::table::{ENTRIES, entries_of};
use crate::snapshot::{Frame, LEAF_PAGES, Node, Page, PageEntries, each_difference_of_pair};

/// The entries of pages, at hand to change many of them.
pub struct Pages<'a> {
    entries: &'a [TableEntry],
    /// A read-only page in frame 0.
    first: u64,
}

impl PageEntries for Pages<'_> {
    #[inline(always)]
    fn set(&mut self, page: Page, frame: u32) -> bool {
        let Some(entry) = self.entries.get(page as usize) else {
            return false;
        };
        let descriptor = match frame {
            0 => Descriptor::INVALID,
            frame => Descriptor(self.first + u64::from(frame) * PAGE_SIZE),
        };
        write(entry, descriptor);
        true
    }

    #[inline(always)]
    fn protect(&mut self, page: Page) -> bool {
        let Some(entry) = self.entries.get(page as usize) else {
            return false;
        };
        write(entry, read(entry).read_only());
        true
    }
}

impl Stage2 {
    /// The entries of pages whose blocks are split. Pages are made read-only while the VM is stopped, and that takes effect at
    /// [`end_protect`](Self::end_protect) at the latest. They are set while the tables of RAM are detached.
    #[inline(always)]
    pub fn pages(&self) -> Pages<'_> {
        Pages {
            entries: entries_of(&self.level3),
            first: Descriptor::page(self.pa(Frame(0))).0,
        }
    }

    /// Maps those of a leaf's pages, from `page` on, whose frame is another in `to` than in `from`: read-only; 0 makes a page absent. The tables of RAM
    /// are detached.
    #[inline(always)]
    pub fn set_leaf(&self, page: Page, from: &Node, to: &Node) {
        let (leaves, _) = entries_of(&self.level3).as_chunks::<LEAF_PAGES>();
        let entries = &leaves[page as usize / LEAF_PAGES];
        let mut map = |i: usize, _, frame| {
            write(&entries[i], self.clean_page(Frame::from_entry(frame)));
        };
        let (from, to) = (from.pairs(), to.pairs());
        each_difference_of_pair(0, from[0], to[0], &mut map);
        each_difference_of_pair(2, from[1], to[1], &mut map);
        each_difference_of_pair(4, from[2], to[2], &mut map);
        each_difference_of_pair(6, from[3], to[3], &mut map);
    }

    #[inline(always)]
    fn clean_page(&self, frame: Option<Frame>) -> Descriptor {
        frame.map_or(Descriptor::INVALID, |frame| {
            Descriptor::page(self.pa(frame))
        })
    }

    /// Makes the block of `page`, which is mapped as a whole, read-only. Takes effect at [`end_protect`](Self::end_protect) at the latest.
    pub fn protect_block(&self, page: Page) {
        let entry = self.block_entry(page);
        write(entry, read(entry).read_only());
    }

    /// Completes what was made read-only of [`pages`](Self::pages), and [`protect_block`](Self::protect_block): no core writes to those pages any more.
    pub fn end_protect(&self, m: &mut impl Maintenance) {
        m.complete_stores();
        m.invalidate_vm();
        m.complete_invalidations();
    }

    /// Detaches the tables of RAM: no core has a translation of RAM from here on.
    pub fn begin_remap(&self, m: &mut impl Maintenance) {
        for (entry, _) in self.level1_entries() {
            write(entry, Descriptor::INVALID);
        }
        m.complete_stores();
        m.invalidate_vm();
        m.complete_invalidations();
    }

    /// Maps `page`, whose block is split, read-only to `frame`, or makes it absent. The tables of RAM are detached.
    #[inline]
    pub fn set_page(&self, page: Page, frame: Option<Frame>) {
        write(self.page_entry(page), self.clean_page(frame));
    }

    /// Maps the block of `page` as a whole, read-only to the 512 frames from `first` on, or makes it absent. The tables of RAM are detached.
    pub fn set_block(&self, page: Page, first: Option<Frame>) {
        let descriptor = first.map_or(Descriptor::INVALID, |first| {
            Descriptor::block(self.pa(first))
        });
        write(self.block_entry(page), descriptor);
    }

    /// Makes `count` blocks absent from that of `page` on, its first page. The tables of RAM are detached.
    pub fn unmap_blocks(&self, page: Page, count: u32) {
        let first = (page / BLOCK_PAGES) as usize;
        let mut blocks = first..first + count as usize;
        while !blocks.is_empty() {
            let (table, at) = (&self.level2[blocks.start / ENTRIES], blocks.start % ENTRIES);
            let end = ENTRIES.min(at + blocks.len());
            match end - at {
                ENTRIES => isa::fill_entries(&table.0, Descriptor::INVALID.0, 0),
                _ => {
                    for entry in &table.0[at..end] {
                        write(entry, Descriptor::INVALID);
                    }
                }
            }
            blocks.start += end - at;
        }
    }

    /// Memory is about to change under the guest's tables, while no vCPU of the VM runs. A walk of the one that is loaded on this core could find an
    /// entry as it was and as it is, and the TLB would have both (D8.16, "TLB conflict aborts"). One that is loaded on another core, in the midst of the
    /// same, makes no access before it has had the VM's lock, behind the invalidation on all cores that ends each piece.
    pub fn begin_write_back(&self, m: &mut impl Maintenance) {
        m.stop_walks();
    }

    /// Has no translation left of stage 1 as it was, after memory changed under the guest's tables while no vCPU of the VM ran. What stage 2
    /// says is the same. If `only_here`, no other core than this one has run a vCPU of the VM.
    pub fn end_write_back(&self, m: &mut impl Maintenance, only_here: bool) {
        // What was written is what the guest's walks see.
        m.complete_stores();
        if only_here {
            m.invalidate_stage1_here();
        } else {
            m.invalidate_stage1();
            m.complete_invalidations();
        }
    }

    /// Attaches the tables of RAM again.
    pub fn end_remap(&self, m: &mut impl Maintenance) {
        // Completes the entries below before a walk can reach them.
        m.complete_stores();
        self.attach();
        m.complete_stores();
    }
}
