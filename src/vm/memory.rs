//! A VM's memory, as snapshots see it, and its lines in the log.

use super::backend::{Core, VmBackend};
use super::coherence::Coherence;
use super::log_budget::LogBudget;
use crate::addr::{Ipa, PAGE_SIZE, Pa, Va};
use crate::device::{CPU_INTERFACE_BASE, CPU_INTERFACE_SIZE, WINDOWS_BASE, Window};
use crate::snapshot::{Backend, Bookkeeping, Frame, Mapping, Node, Page, PageEntries, Reach};
use crate::stage2::{PassthroughPages, Stage2};
use alloc::vec::Vec;
use core::fmt;
use log::Level;

/// Where RAM starts, as on QEMU's `virt`.
pub const RAM_BASE: Ipa = Ipa(0x4000_0000);

/// Pages that are cleaned at a time, some 230 instructions each.
pub const CLEANED_AT_A_TIME: u32 = 128;
/// How long a copy around the caches takes, times one through them.
const AROUND: i32 = 4;
/// The same of the invalidation of a page's instructions.
const INVALIDATION: i32 = 3;

/// The memory of one VM.
pub struct GuestMemory<B> {
    /// The board's side of it.
    pub backend: B,
    /// The RAM as the CPUs see it.
    pub stage2: Stage2,
    /// What the caches may have that memory has not.
    pub caches: Coherence,
    /// The guest's address whose access is being made to be permitted, where it is known that no other access of its needs to be.
    pub faulting: Option<Va>,
    /// For a restore: the core that does it is the only one that ever runs a vCPU of the VM.
    pub runs_only_here: bool,
    /// How many lines it may cause in the log.
    log_budget: LogBudget,
}

impl<B: VmBackend> GuestMemory<B> {
    /// `pages` pages of RAM, all of it absent, whose frame 0 is at `frames`, the virtual CPU interface (GICV), and the VM's windows.
    pub fn new(backend: B, pages: u32, frames: Pa, windows: &[Window]) -> Self {
        let mut stage2 = Stage2::new(RAM_BASE, pages, frames);
        stage2.map_device(
            CPU_INTERFACE_BASE,
            backend.gicv_base(),
            CPU_INTERFACE_SIZE / PAGE_SIZE,
        );
        let mapped = |window: &Window| PassthroughPages {
            ipa: window.ipa(),
            pa: backend.window_base(window.number),
            pages: window.bytes / PAGE_SIZE,
        };
        let windows: Vec<_> = windows.iter().map(mapped).collect();
        if !windows.is_empty() {
            stage2.map_windows(WINDOWS_BASE, &windows);
        }
        Self {
            backend,
            stage2,
            caches: Coherence::new(),
            runs_only_here: false,
            faulting: None,
            log_budget: LogBudget::default(),
        }
    }

    /// Has memory agree with the caches on all that is mapped, a piece of it: a vCPU is about to go around the caches that did not before, and
    /// does not run until all is done. `next` is the page to go on from, 0 to begin with. Returns whether all is done; `next` is 0 again then.
    /// What a restore left to be mapped later is cleaned then, from here on.
    ///
    /// What is mapped anew between two pieces needs no cleaning: whatever EL2 maps while a vCPU goes around the caches is clean, and so it is
    /// noted before the first piece that this one does ([`Coherence::note`]).
    #[cold]
    pub fn clean_piece(&mut self, next: &mut Page) -> bool {
        self.caches.note_cleaning();
        let backend = &mut self.backend;
        let clean = |at, bytes| backend.clean_and_invalidate(at, bytes);
        *next = self
            .stage2
            .each_present_from(*next, CLEANED_AT_A_TIME, clean);
        if self.stage2.page_at(self.stage2.ipa(*next)).is_some() {
            return false;
        }
        *next = 0;
        self.caches.note_cleaned();
        true
    }

    /// The same before a vCPU is to go around the caches, unless memory has all that is mapped anyway. Copies that are not mapped now, but in
    /// snapshots, are left as they are.
    ///
    /// Once: from here on all is copied around the caches, so that no guest can have all of its RAM cleaned again and again.
    pub fn clean_if_ahead(&mut self, next: &mut Page) -> bool {
        if !self.caches.is_mapped_ahead() {
            return true;
        }
        self.caches.note_mix();
        self.clean_piece(next)
    }

    #[cold]
    #[inline(never)]
    fn copy_around(&mut self, from: Pa, to: Pa) {
        self.backend.copy_page(from, to);
    }

    /// Writes a line about the VM into the log, unless it has too many there already. Every line that a guest can cause goes this way. The
    /// line begins with the VM's name if there are several VMs.
    #[cold]
    pub fn log_line(&mut self, level: Level, message: fmt::Arguments) {
        self.log_left_out(false);
        if self
            .log_budget
            .admit(B::Core::physical_count(), B::Core::frequency())
        {
            log::log!(level, "{}{message}", self.prefix());
        }
    }

    /// Says how many lines were left out, if it is time to, or now for the `last` time.
    pub fn log_left_out(&mut self, last: bool) {
        let count = match last {
            true => self.log_budget.take_left_out_at_last(),
            false => self
                .log_budget
                .take_left_out(B::Core::physical_count(), B::Core::frequency()),
        };
        if let Some(count) = count {
            log::warn!("{}too many lines: {count} were left out", self.prefix());
        }
    }

    fn prefix(&self) -> Prefix {
        Prefix(self.backend.log_name())
    }
}

/// A VM's name in front of a line.
struct Prefix(Option<&'static str>);

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "{name}: "),
            None => Ok(()),
        }
    }
}

impl<B: VmBackend> Backend for GuestMemory<B> {
    fn log(&mut self, message: fmt::Arguments) {
        self.log_line(Level::Info, message);
    }

    #[inline]
    fn bookkeeping(&self, frame: Frame) -> &Bookkeeping {
        self.backend.bookkeeping(self.stage2.pa(frame))
    }

    #[inline]
    fn bookkeeping_mut(&mut self, frame: Frame) -> &mut Bookkeeping {
        self.backend.bookkeeping_mut(self.stage2.pa(frame))
    }

    #[inline]
    fn word(&self, number: u32) -> u32 {
        self.backend.word(self.stage2.word_pa(number))
    }

    #[inline]
    fn word_mut(&mut self, number: u32) -> &mut u32 {
        self.backend.word_mut(self.stage2.word_pa(number))
    }

    #[inline]
    fn node(&self, number: u32) -> &Node {
        self.backend.node(self.stage2.word_pa(number))
    }

    #[inline]
    fn node_mut(&mut self, number: u32) -> &mut Node {
        self.backend.node_mut(self.stage2.word_pa(number))
    }

    #[inline]
    fn copy_frame(&mut self, from: Frame, to: Frame, reach: Reach) {
        let (from, to) = (self.stage2.pa(from), self.stage2.pa(to));
        match reach {
            Reach::Cached => {
                self.caches.note_copy();
                self.backend.copy_page_cached(from, to);
            }
            Reach::Around => self.backend.copy_page(from, to),
        }
    }

    #[cold]
    #[inline(never)]
    fn clean_frame(&mut self, frame: Frame) {
        self.backend
            .clean_and_invalidate(self.stage2.pa(frame), PAGE_SIZE);
    }

    fn zero_frames(&mut self, first: Frame, pages: u32) {
        self.backend
            .zero(self.stage2.pa(first), u64::from(pages) * PAGE_SIZE);
    }

    #[inline]
    fn mapping(&self, page: Page) -> Mapping {
        self.stage2.mapping(page)
    }

    #[inline]
    fn map_page_writable(&mut self, page: Page, frame: Frame) {
        self.stage2
            .map_page_writable(&mut self.backend, page, frame);
    }

    fn map_block_writable(&mut self, page: Page, first: Frame) {
        self.stage2
            .map_block_writable(&mut self.backend, page, first);
    }

    #[inline]
    fn make_page_writable(&mut self, page: Page) {
        self.stage2
            .make_page_writable(&mut self.backend, page, self.faulting);
    }

    fn make_block_writable(&mut self, page: Page) {
        self.stage2
            .make_block_writable(&mut self.backend, page, self.faulting);
    }

    fn split_live(&mut self, page: Page) {
        self.stage2.split_live(&mut self.backend, page);
    }

    fn invalidate_local(&mut self, page: Page) {
        self.stage2
            .invalidate_local(&mut self.backend, page, self.faulting);
    }

    #[inline(always)]
    fn page_entries(&mut self) -> impl PageEntries {
        self.stage2.pages()
    }

    fn protect_block(&mut self, page: Page) {
        self.stage2.protect_block(page);
    }

    fn end_protect(&mut self) {
        self.stage2.end_protect(&mut self.backend);
    }

    #[inline]
    fn begin_restore(&mut self, around: bool) -> bool {
        self.caches.begin_restore(around)
    }

    #[inline]
    fn cleans_what_it_maps(&self) -> bool {
        self.caches.cleans_what_it_maps()
    }

    #[inline]
    fn cleans_what_is_accessed(&self) -> bool {
        self.caches.cleans_what_is_accessed()
    }

    #[inline]
    fn map_clean_page(&mut self, page: Page, frame: Frame) {
        if self.cleans_what_is_accessed() {
            self.clean_frame(frame);
        }
        self.stage2.map_clean_page(page, frame);
    }

    fn map_clean_block(&mut self, page: Page, first: Frame) {
        self.stage2.map_clean_block(page, first);
    }

    fn end_map_clean(&mut self) {
        self.stage2.end_map_clean(&mut self.backend);
    }

    fn unmap_blocks(&mut self, page: Page, count: u32) {
        self.caches.note_deferred();
        self.stage2.unmap_blocks(page, count);
    }

    fn begin_remap(&mut self) {
        self.stage2.begin_remap(&mut self.backend);
    }

    #[inline]
    fn split_unreachable(&mut self, page: Page) -> bool {
        self.stage2.split_unreachable(page)
    }

    #[inline]
    fn set_page(&mut self, page: Page, frame: Option<Frame>) {
        self.stage2.set_page(page, frame);
    }

    #[inline(always)]
    fn set_leaf(&mut self, page: Page, from: u32, to: u32) {
        self.stage2.set_leaf(page, self.node(from), self.node(to));
    }

    fn set_block(&mut self, page: Page, first: Option<Frame>) {
        if first.is_none() {
            self.caches.note_deferred();
        }
        self.stage2.set_block(page, first);
    }

    #[inline]
    fn end_remap(&mut self) {
        self.caches.end_remap();
        self.stage2.end_remap(&mut self.backend);
    }

    #[inline]
    fn write_back(&mut self, page: Page, from: Frame, to: Frame) -> i32 {
        let (from, to) = (self.stage2.pa(from), self.stage2.pa(to));
        let mut took = 1;
        if self.caches.restores_around() {
            took = AROUND;
            self.copy_around(from, to);
        } else {
            self.caches.note_write_back();
            self.backend.copy_page_cached(from, to);
        }
        // The guest may execute the page without another fault: no core fetches what was there before.
        if self.stage2.is_executable(page) {
            took += INVALIDATION;
            self.backend.invalidate_instructions(to, PAGE_SIZE);
        }
        took
    }

    #[inline]
    fn begin_write_back(&mut self) {
        self.stage2.begin_write_back(&mut self.backend);
    }

    fn end_write_back(&mut self) {
        self.caches.end_write_back();
        let only_here = self.runs_only_here;
        self.stage2.end_write_back(&mut self.backend, only_here);
    }
}
