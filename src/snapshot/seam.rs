//! The seams between the snapshot logic and the machine: everything that the logic asks of it.
//!
//! [`Machine`] is memory and stage 2, [`State`] the rest of what the guest can notice.
//!
//! On the host both are a model that the tests can look into.

use core::fmt;

use super::frames::Frame;
use super::layout::{Bookkeeping, Node};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Number of a page of the guest's RAM: (IPA - RAM base) / 4 KiB.
pub type Page = u32;

/// What stage 2 says of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// Nothing is mapped in the page's whole block.
    AbsentBlock,
    /// The block is divided into pages, and this one is not mapped.
    Absent,
    /// The whole block is mapped read-only; its first frame.
    ReadBlock(Frame),
    /// The whole block is mapped writable.
    WriteBlock,
    /// The page is mapped read-only; its frame.
    Read(Frame),
    /// The page is mapped writable.
    Write,
}

/// What the snapshot logic needs of the machine.
///
/// The mapping calls come in two kinds. Those of the fault path ([`give_page`](Self::give_page) to [`refresh`](Self::refresh))
/// take effect before they return, whatever the other cores cache. Between [`begin_remap`](Self::begin_remap)
/// and [`end_remap`](Self::end_remap) no translation of the VM exists at all, so that
/// [`divide`](Self::divide), [`set_page`](Self::set_page) and [`set_block`](Self::set_block) need no maintenance one by one.
pub trait Machine {
    /// A bookkeeping frame's contents.
    fn bookkeeping(&self, frame: Frame) -> &Bookkeeping;
    /// A bookkeeping frame's contents, to change.
    fn bookkeeping_mut(&mut self, frame: Frame) -> &mut Bookkeeping;

    /// A word of bookkeeping memory, by its number: frame times 1024 plus the word in it.
    fn word(&self, number: u32) -> u32;
    /// The same, to change.
    fn word_mut(&mut self, number: u32) -> &mut u32;

    /// Copies a page of guest memory between frames.
    fn copy(&mut self, from: Frame, to: Frame);
    /// Fills `pages` frames with zeros, for the guest to read.
    fn zero(&mut self, first: Frame, pages: u32);

    /// What stage 2 says of `page`.
    fn mapping(&self, page: Page) -> Mapping;
    /// Maps `page` writable to another frame than before (or for the first time).
    fn give_page(&mut self, page: Page, frame: Frame);
    /// Maps the block of `page`, absent before, writable.
    fn give_block(&mut self, page: Page, first: Frame);
    /// Makes the read-only `page` writable; its frame stays.
    fn widen_page(&mut self, page: Page);
    /// Makes the read-only block of `page` writable; its frames stay.
    fn widen_block(&mut self, page: Page);
    /// Divides the block of `page` into pages, mapped as the block was, for one of them to be changed: with that it takes effect.
    fn split(&mut self, page: Page);
    /// The mapping already permits what faulted: drops what this core's TLB remembers of it.
    fn refresh(&mut self, page: Page);

    /// Makes a writable `page` read-only; takes effect at [`end_protect`](Self::end_protect) at the latest.
    fn protect_page(&mut self, page: Page);
    /// Makes a writable block read-only, likewise.
    fn protect_block(&mut self, page: Page);
    /// All that was protected is read-only for every core from here on.
    fn end_protect(&mut self);

    /// Takes all translations of the VM away, to change many of them.
    fn begin_remap(&mut self);
    /// Divides the block of `page` into pages, mapped as the block was, if it is not divided yet.
    fn divide(&mut self, page: Page);
    /// Maps `page`, whose block is divided, read-only to `frame` or to nothing.
    fn set_page(&mut self, page: Page, frame: Option<Frame>);
    /// Maps the block of `page` read-only as a whole, or to nothing.
    fn set_block(&mut self, page: Page, first: Option<Frame>);
    /// Puts the translations back.
    fn end_remap(&mut self);

    /// Tells the operator.
    fn log(&mut self, message: fmt::Arguments) {
        log::info!("{message}");
    }
}

/// How much a snapshot keeps besides RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateSize {
    /// Nodes of 32 bytes of each part, at most [`StateSize::NODES_MAX`].
    pub nodes: usize,
    /// Parts, 1 to [`StateSize::PARTS_MAX`]. As many first parts share a frame as fit, with the records of their snapshots; each other part has a
    /// frame of its own.
    pub parts: usize,
}

impl StateSize {
    /// Nodes of a part at the most: a frame less a snapshot's record.
    pub const NODES_MAX: usize = 126;
    /// Parts at the most.
    pub const PARTS_MAX: usize = 4;
}

/// A moment at which a VM stood still, by two clocks, in ticks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Moment {
    /// The physical count: a clock that no restore takes back.
    pub physical: u64,
    /// The guest's virtual counter.
    pub counter: u64,
}

/// What a snapshot keeps besides RAM: registers and devices of a VM whose vCPUs stand still meanwhile.
pub trait State {
    /// When the VM was stopped.
    fn moment(&mut self) -> Moment;
    /// The snapshot that is about to be loaded was taken then. Before the first part.
    fn set_moment(&mut self, taken: Moment);
    /// Saves a part, for the snapshot `id`, into exactly [`StateSize::nodes`] nodes; all of them, the first one first.
    fn save(&mut self, id: u64, part: usize, to: &mut [Node]);
    /// Loads a part back; all of them, the first one first. All memory is as the snapshot has it, but no translation of it exists yet.
    fn load(&mut self, part: usize, from: &[Node]);
}
