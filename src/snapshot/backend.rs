//! What the snapshot logic stands on: everything that it asks of the machine.
//!
//! [`Backend`] is memory and stage 2, [`SaveState`] is the rest of what the guest can notice. In the tests both are a model that they can
//! look into.

use core::fmt;

use super::frames::Frame;
use super::layout::{Bookkeeping, Node};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Number of a page of the guest's RAM: (IPA - RAM base) / 4 KiB.
pub type Page = u32;

/// How stage 2 maps a page of RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// Nothing is mapped in the page's whole 2 MiB block.
    AbsentBlock,
    /// The block is split into pages, and this page is not mapped.
    Absent,
    /// The whole block is mapped read-only, to the 512 frames from this one on.
    ReadBlock(Frame),
    /// The whole block is mapped writable.
    WriteBlock,
    /// The page is mapped read-only, to this frame.
    Read(Frame),
    /// The page is mapped writable.
    Write,
}

/// How the guest reaches the page that it accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Through the caches, which all cores and EL2 agree on.
    Cached,
    /// Around the caches, or perhaps so.
    Around,
}

/// Bookkeeping memory, guest memory, and stage 2 of one VM.
///
/// Calls that change stage 2 are of two kinds:
/// - `map_*`, `make_*`, [`split_live`](Self::split_live) and [`invalidate_local`](Self::invalidate_local) are the fault path's: guests run on
///   other cores, and the change takes effect before the call returns, whatever those cores cache.
/// - `map_clean_*` are, too. An entry that was invalid is in no TLB.
/// - Between [`begin_remap`](Self::begin_remap) and [`end_remap`](Self::end_remap) the tables of RAM are detached: no translation of the VM
///   exists, so [`split_unreachable`](Self::split_unreachable), [`set_page`](Self::set_page) and [`set_block`](Self::set_block) need no
///   maintenance one by one.
pub trait Backend {
    /// The contents of a bookkeeping frame.
    fn bookkeeping(&self, frame: Frame) -> &Bookkeeping;
    /// The contents of a bookkeeping frame, to change.
    fn bookkeeping_mut(&mut self, frame: Frame) -> &mut Bookkeeping;

    /// A word of bookkeeping memory, by its number: frame times 1024, plus the index of the word in the frame.
    fn word(&self, number: u32) -> u32;
    /// A word of bookkeeping memory, to change, by the same number.
    fn word_mut(&mut self, number: u32) -> &mut u32;
    /// A node of bookkeeping memory, by the number of its first word.
    fn node(&self, number: u32) -> &Node;
    /// A node of bookkeeping memory, to change, by the number of its first word.
    fn node_mut(&mut self, number: u32) -> &mut Node;

    /// Copies a page of guest memory from one frame to another, completely: the guest may be given the copy. It reaches the page as `reach`
    /// says.
    fn copy_frame(&mut self, from: Frame, to: Frame, reach: Reach);
    /// Has memory and the caches agree on a frame that the guest is about to reach around the caches.
    fn clean_frame(&mut self, frame: Frame);
    /// Fills `pages` frames from `first` on with zeros, completely: the guest may be given them.
    fn zero_frames(&mut self, first: Frame, pages: u32);

    /// How stage 2 maps `page`.
    fn mapping(&self, page: Page) -> Mapping;
    /// Maps `page`, which is absent or read-only, writable to `frame`, which is not the frame it was mapped to.
    fn map_page_writable(&mut self, page: Page, frame: Frame);
    /// Maps the block of `page`, which is absent, writable to the 512 frames from `first` on.
    fn map_block_writable(&mut self, page: Page, first: Frame);
    /// Makes the read-only `page` writable. Its frame stays.
    fn make_page_writable(&mut self, page: Page);
    /// Makes the read-only block of `page` writable. Its frames stay.
    fn make_block_writable(&mut self, page: Page);
    /// Splits the block of `page` into pages that are mapped as the block was. Takes effect with the change of one of the pages, which
    /// must follow.
    fn split_live(&mut self, page: Page);
    /// Flushes `page` from this core's TLB. For a mapping that already permits what faulted.
    fn invalidate_local(&mut self, page: Page);

    /// Whether [`map_clean_page`](Self::map_clean_page) takes long, as it cleans the frame.
    fn cleans_what_is_accessed(&self) -> bool;
    /// Maps `page`, which is absent, read-only to `frame`, which was mapped there when the last restore ended, had that not left it to the first
    /// access. If its block is absent, the others of the block are absent still. Takes effect at [`end_map_clean`](Self::end_map_clean).
    fn map_clean_page(&mut self, page: Page, frame: Frame);
    /// The same for the block of `page`, its first, and the 512 frames from `first` on. Not if that [takes long](Self::cleans_what_is_accessed).
    fn map_clean_block(&mut self, page: Page, first: Frame);
    /// Completes [`map_clean_page`](Self::map_clean_page) and [`map_clean_block`](Self::map_clean_block).
    fn end_map_clean(&mut self);

    /// The entries of pages, to change many of them.
    fn page_entries(&mut self) -> impl PageEntries;
    /// Makes the writable block of `page` read-only. Takes effect at [`end_protect`](Self::end_protect) at the latest.
    fn protect_block(&mut self, page: Page);
    /// Completes [`protect`](PageEntries::protect) and [`protect_block`](Self::protect_block): every core finds those pages read-only.
    fn end_protect(&mut self);

    /// Begins a restore. If `around`, a vCPU goes around the caches then: memory must have all that is mapped when the restore ends, before a vCPU
    /// is in a core whose stage 2 has it. Returns whether nothing may stay mapped, as much would have to be cleaned.
    fn begin_restore(&mut self, around: bool) -> bool;
    /// Whether the restore that has begun has to clean what it maps ([`clean_frame`](Self::clean_frame)).
    fn cleans_what_it_maps(&self) -> bool;
    /// Detaches the tables of RAM, to change many mappings: no core has a translation of the VM from here on.
    fn begin_remap(&mut self);
    /// While detached: splits the block of `page` into pages that are mapped as the block was, if it is not split yet. Returns whether it is then:
    /// a block that is absent is not.
    fn split_unreachable(&mut self, page: Page) -> bool;
    /// While detached: maps `page`, whose block is split, read-only to `frame`, or makes it absent.
    fn set_page(&mut self, page: Page, frame: Option<Frame>);
    /// While detached: the same for those of a leaf's pages, from `page` on, that differ in two leaves: they are mapped as `to` says. Leaves by the
    /// numbers of their first words; neither is a run.
    fn set_leaf(&mut self, page: Page, from: u32, to: u32);
    /// While detached: maps the block of `page` as a whole, read-only to the 512 frames from `first` on, or makes it absent.
    fn set_block(&mut self, page: Page, first: Option<Frame>);
    /// While detached: makes `count` blocks absent from that of `page` on, its first page. What the base has there is mapped when it is accessed.
    fn unmap_blocks(&mut self, page: Page, count: u32);
    /// Attaches the tables of RAM again.
    fn end_remap(&mut self);
    /// [`write_back`](Self::write_back) follows where the tables of RAM are not detached: no walk of the VM's begins until its state is loaded.
    fn begin_write_back(&mut self);
    /// Copies the frame `from` to the frame `to`, which `page` is mapped writable to, while the VM is stopped. Takes effect at
    /// [`end_write_back`](Self::end_write_back) or [`end_remap`](Self::end_remap). Returns how long that takes, at the most: 1 stands for a copy
    /// through the caches, some 170 instructions.
    fn write_back(&mut self, page: Page, from: Frame, to: Frame) -> i32;
    /// Completes [`write_back`](Self::write_back) where the tables of RAM were not detached: no core has a translation that came from tables of
    /// the guest's as they were before. What stage 2 says is the same as before. The VM's state is loaded behind this.
    fn end_write_back(&mut self);

    /// Writes a line about the VM into the log.
    fn log(&mut self, message: fmt::Arguments);
}

/// Entries of pages, whose blocks are split. A page that RAM does not have is left alone, and the answer is `false`.
pub trait PageEntries {
    /// While detached: maps `page` read-only to the frame that the entry of a map names, or makes it absent if that is 0.
    fn set(&mut self, page: Page, frame: u32) -> bool;
    /// Makes the writable `page` read-only. Takes effect at [`Backend::end_protect`] at the latest.
    fn protect(&mut self, page: Page) -> bool;
}

/// How much memory a snapshot takes for what it keeps besides RAM. It is divided into parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateSize {
    /// Size of each part in nodes of 32 bytes, 1 to [`StateSize::NODES_MAX`].
    pub nodes: usize,
    /// Parts, 1 to [`StateSize::PARTS_MAX`]. The first parts of several snapshots share a frame, with those snapshots' records, as many as fit;
    /// each other part has a frame of its own.
    pub parts: usize,
}

impl StateSize {
    /// Size of the largest part in nodes: a frame less a snapshot's record.
    pub const NODES_MAX: usize = 126;
    /// The most parts.
    pub const PARTS_MAX: usize = 4;
}

/// A moment at which a VM stood still, by two clocks. Both count ticks of the board's counter frequency.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Moment {
    /// The physical count, a clock that no restore takes back.
    pub physical: u64,
    /// The guest's virtual counter.
    pub counter: u64,
}

/// What a snapshot keeps besides RAM: registers and devices of a VM. Its vCPUs stand still meanwhile.
pub trait SaveState {
    /// The moment at which the VM was stopped.
    fn moment(&mut self) -> Moment;
    /// Sets the time to that of a snapshot that was taken at `taken`. Called before the first [`load`](Self::load).
    fn set_moment(&mut self, taken: Moment);
    /// Whether a vCPU goes around the caches in the state that [`save`](Self::save) made, whose first part is `first`.
    fn goes_around_caches(&self, first: &[Node]) -> bool;
    /// Saves part number `part` for the snapshot `id` into `to`, which is [`StateSize::nodes`] long. Called for each part, from 0 up.
    fn save(&mut self, id: u64, part: usize, to: &mut [Node]);
    /// Loads part number `part` from what [`save`](Self::save) made. Called for each part, from 0 up, when RAM is as the snapshot has it and
    /// stage 2 is still detached.
    fn load(&mut self, part: usize, from: &[Node]);
}
