//! A VM's memory, as snapshots see it, and its lines in the log.

use super::backend::{Core, VmBackend};
use super::log_budget::LogBudget;
use crate::addr::{Ipa, PAGE_SIZE, Pa, Va};
use crate::device::{CPU_INTERFACE_BASE, CPU_INTERFACE_SIZE, WINDOWS_BASE, Window};
use crate::snapshot::{Backend, Bookkeeping, Frame, Mapping, Page, Reach};
use crate::stage2::{PassthroughPages, Stage2};
use alloc::vec::Vec;
use core::fmt;
use log::Level;

/// Where RAM starts, as on QEMU's `virt`.
pub const RAM_BASE: Ipa = Ipa(0x4000_0000);

/// In [`GuestMemory::around`]: a vCPU went around the caches behind a restore that had left something in them.
const MIXES: u16 = 1 << 15;
/// vCPU 0 is on, with its caches off.
const FIRST: u16 = 1;
/// Pages that are cleaned at a time, some 230 instructions each.
pub const CLEANED_AT_A_TIME: u32 = 128;

/// The memory of one VM.
pub struct GuestMemory<B> {
    /// The board's side of it.
    pub backend: B,
    /// The RAM as the CPUs see it.
    pub stage2: Stage2,
    /// The caches may be ahead of memory: what was copied through them is in frames that snapshots have.
    is_ahead: bool,
    /// The same of frames that are mapped. Then no vCPU that is on goes around the caches, and each traps before it does.
    is_mapped_ahead: bool,
    /// Who goes around the caches: a bit for each vCPU that is on, as far as was seen last, and [`MIXES`].
    around: u16,
    /// The vCPUs whose writes of stage 1 registers trap because of a restore: a bit for each.
    watched: u8,
    /// A restore writes pages back around the caches, and cleans what else it maps.
    restores_around: bool,
    /// It wrote a page back through the caches.
    is_written_back: bool,
    /// A restore has left pages to be mapped at their first access.
    has_deferred: bool,
    /// The caches may be ahead of memory in frames of these pages, by EL2's doing.
    is_deferred_ahead: bool,
    /// Caches and memory were made to agree on all that was mapped, for the guest, since a restore had left pages to be mapped later: these have to
    /// be cleaned as they are mapped.
    is_deferred_behind: bool,
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
            is_ahead: false,
            is_mapped_ahead: false,
            around: FIRST,
            watched: 0,
            restores_around: false,
            is_written_back: false,
            has_deferred: false,
            is_deferred_ahead: false,
            is_deferred_behind: false,
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
    /// noted before the first piece that this one does ([`note_caches`](Self::note_caches)).
    #[cold]
    pub fn clean_piece(&mut self, next: &mut Page) -> bool {
        self.is_deferred_behind |= self.has_deferred;
        let backend = &mut self.backend;
        let clean = |at, bytes| backend.clean_and_invalidate(at, bytes);
        *next = self
            .stage2
            .each_present_from(*next, CLEANED_AT_A_TIME, clean);
        if self.stage2.page_at(self.stage2.ipa(*next)).is_some() {
            return false;
        }
        *next = 0;
        self.is_mapped_ahead = false;
        true
    }

    /// The same before a vCPU is to go around the caches, unless memory has all that is mapped anyway. Copies that are not mapped now, but in
    /// snapshots, are left as they are.
    ///
    /// Once: from here on all is copied around the caches, so that no guest can have all of its RAM cleaned again and again.
    pub fn clean_if_ahead(&mut self, next: &mut Page) -> bool {
        if !self.is_mapped_ahead {
            return true;
        }
        self.around |= MIXES;
        self.clean_piece(next)
    }

    /// Whether all vCPUs that are on, but for number `own`, go through the caches, and EL2 may copy through them as well.
    #[inline]
    pub fn others_go_through_caches(&self, own: usize) -> bool {
        self.around & !(1 << own) == 0
    }

    /// Notes how vCPU number `index` reaches memory, which is on.
    pub fn note_caches(&mut self, index: usize, around: bool) {
        self.around = self.around & !(1 << index) | u16::from(around) << index;
    }

    /// Notes which vCPUs that are on go around the caches, a bit for each. The others go through them, or are off.
    #[inline]
    pub fn note_all_caches(&mut self, around: u8) {
        self.around = self.around & MIXES | u16::from(around);
    }

    /// Notes the vCPUs whose writes of stage 1 registers trap because of a restore, a bit for each.
    pub fn note_watched(&mut self, vcpus: u8) {
        self.watched = vcpus;
    }

    /// Whether vCPU number `index` is among those.
    pub fn is_watched(&self, index: usize) -> bool {
        self.watched & 1 << index != 0
    }

    /// vCPU number `index` is not among those any more.
    pub fn forget_watched(&mut self, index: usize) {
        self.watched &= !(1 << index);
    }

    /// Whether memory may lack what the caches have in frames that are mapped, by EL2's doing.
    #[inline]
    pub fn is_mapped_ahead(&self) -> bool {
        self.is_mapped_ahead
    }

    /// What a restore wrote back through the caches is mapped, and a snapshot's after the next checkpoint.
    #[inline]
    fn note_written_back(&mut self) {
        let written = core::mem::take(&mut self.is_written_back);
        self.is_ahead |= written;
        self.is_mapped_ahead |= written;
    }

    #[cold]
    #[inline(never)]
    fn copy_around(&mut self, from: Pa, to: Pa) {
        self.backend.copy_page(from, to);
    }

    /// Nothing is mapped any more, and vCPU 0 alone is on, as the VM starts again.
    pub fn forget_mapped(&mut self) {
        (self.is_mapped_ahead, self.around, self.watched) = (false, FIRST, 0);
        (self.has_deferred, self.is_deferred_ahead) = (false, false);
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
    fn copy_frame(&mut self, from: Frame, to: Frame, reach: Reach) {
        let (from, to) = (self.stage2.pa(from), self.stage2.pa(to));
        match reach {
            Reach::Cached => {
                self.is_ahead = true;
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

    #[inline]
    fn protect_page(&mut self, page: Page) {
        self.stage2.protect_page(page);
    }

    fn protect_block(&mut self, page: Page) {
        self.stage2.protect_block(page);
    }

    fn end_protect(&mut self) {
        self.stage2.end_protect(&mut self.backend);
    }

    #[inline]
    fn begin_restore(&mut self, around: bool) -> bool {
        let unmaps_all = around && self.is_mapped_ahead;
        if unmaps_all {
            // Instead of all that is mapped, what is accessed is cleaned.
            self.around |= MIXES;
            self.is_mapped_ahead = false;
        }
        self.restores_around = around || self.around & MIXES != 0;
        unmaps_all
    }

    #[inline]
    fn cleans_what_it_maps(&self) -> bool {
        self.is_deferred_behind || self.restores_around && self.is_ahead
    }

    /// - What EL2 copied through the caches may be in frames that a vCPU reaches around them; unless those that are on are watched, so that all that is
    ///   mapped is cleaned before one of them does.
    /// - What the guest itself stored through the caches, it may have had cleaned since, by set and way.
    #[inline]
    fn cleans_what_is_accessed(&self) -> bool {
        let is_watched = self.around == 0 && self.is_mapped_ahead;
        self.is_deferred_behind || self.is_deferred_ahead && !is_watched
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
        self.has_deferred = true;
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

    fn set_block(&mut self, page: Page, first: Option<Frame>) {
        self.has_deferred |= first.is_none();
        self.stage2.set_block(page, first);
    }

    #[inline]
    fn end_remap(&mut self) {
        self.note_written_back();
        self.is_mapped_ahead |= self.is_ahead && !self.restores_around;
        self.is_deferred_ahead |= self.is_ahead && self.has_deferred;
        self.stage2.end_remap(&mut self.backend);
    }

    #[inline]
    fn write_back(&mut self, page: Page, from: Frame, to: Frame) {
        let (from, to) = (self.stage2.pa(from), self.stage2.pa(to));
        if self.restores_around {
            self.copy_around(from, to);
        } else {
            self.is_written_back = true;
            self.backend.copy_page_cached(from, to);
        }
        // The guest may execute the page without another fault: no core fetches what was there before.
        if self.stage2.is_executable(page) {
            self.backend.invalidate_instructions(to, PAGE_SIZE);
        }
    }

    #[inline]
    fn begin_write_back(&mut self) {
        self.stage2.begin_write_back(&mut self.backend);
    }

    fn end_write_back(&mut self) {
        self.note_written_back();
        let only_here = self.runs_only_here;
        self.stage2.end_write_back(&mut self.backend, only_here);
    }
}
