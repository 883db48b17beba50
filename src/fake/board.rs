//! A board: memory, the guest's way there, and a console.

use super::abort::{Abort, PERMISSION, TRANSLATION};
use super::cpu::FakeCore;
use super::memory::Memory;
use super::recorder::{Asked, Recorder};
use super::worst::tables::leaf_entry;
use super::worst::{Access, Fault, Luck, Worst, mutants};
use crate::addr::{Ipa, PAGE_SIZE, Pa, Va};
use crate::arch::isa;
use crate::arch::memory::{page, tlb};
use crate::arch::vcpu::{Trap, walks};
use crate::device::Console;
use crate::device::gic::VCPUS_MAX;
use crate::guest_image::device_tree::Seed;
use crate::snapshot::{Bookkeeping, Node};
use crate::stage2::Maintenance;
use crate::vm::VmBackend;
use std::boxed::Box;
use std::collections::VecDeque;
use std::ops::Range;
use std::vec::Vec;

/// A VM's memory and its console.
pub struct FakeBoard {
    /// What its memory is used for; and what is in it, if not `cached`.
    pub memory: Memory,
    /// The cores, their TLBs and caches.
    pub worst: Worst,
    /// What guests see of memory is the cores' business, caches and all.
    cached: bool,
    /// What was asked of it, in order; watches the stage 2 entry that [`watch`](Self::watch) names.
    pub recorder: Recorder<Box<dyn Fn() -> u64 + Send>>,
    /// What the guest printed.
    pub printed: Vec<u8>,
    /// How often it was said that the rest of a control sequence does not come.
    pub abandoned: u32,
    /// What is there to be read by it.
    pub typed: VecDeque<u8>,
    /// What the log calls its VM, if there are several.
    pub log_name: Option<&'static str>,
    /// The memory of each window.
    pub windows: Vec<Pa>,
    /// Seeds for guests, those that are left.
    pub seeds: VecDeque<Seed>,
}

impl FakeBoard {
    /// A board with this memory that does at once what it is told.
    pub fn new(share: &[Range<Pa>]) -> Self {
        Self::with_luck(share, Luck::GOOD)
    }

    /// A board with this memory whose TLBs are what `luck` makes of them; memory is as without caches.
    pub fn with_luck(share: &[Range<Pa>], luck: Luck) -> Self {
        Self {
            cached: false,
            ..Self::with(share, Worst::new(VCPUS_MAX, luck))
        }
    }

    /// A board with this memory and these cores, between which and memory there are caches.
    pub fn with(share: &[Range<Pa>], worst: Worst) -> Self {
        Self {
            memory: Memory::new(share),
            worst,
            cached: true,
            recorder: Recorder {
                asked: Vec::new(),
                watch: None,
            },
            printed: Vec::new(),
            abandoned: 0,
            typed: VecDeque::new(),
            log_name: None,
            windows: Vec::new(),
            seeds: VecDeque::new(),
        }
    }

    /// From here on, notes say what the stage 2 entry for `ipa` held then. Those so far are gone.
    pub fn watch(&mut self, ipa: Ipa) {
        let root = self.worst.root(0);
        self.recorder = Recorder {
            asked: Vec::new(),
            watch: Some(Box::new(move || leaf_entry(root, ipa))),
        };
    }

    /// EL2 is about to write to this frame for itself: its cache has lines of it then.
    fn take_for_bookkeeping(&self, at: Pa) {
        if self.cached && !self.memory.is_bookkeeping(at) {
            self.worst.scribble(at.0 / PAGE_SIZE);
        }
    }

    /// An access of the guest on core 0, with its MMU off: where it goes, or the trap instead.
    pub fn access(&mut self, ipa: Ipa, access: Access) -> Result<Pa, Trap> {
        let translated = self.worst.translate(0, ipa.0, access);
        translated
            .map(Pa)
            .map_err(|fault| trap(fault, ipa.0, access))
    }
}

/// The trap of an access to `va` that stage 2 refused. After a permission fault HPFAR_EL2 is UNKNOWN.
pub fn trap(fault: Fault, va: u64, access: Access) -> Trap {
    let abort = match access {
        Access::Load => Abort::load(va),
        Access::Store => Abort::store(va),
        Access::Fetch => Abort::fetch(va),
    };
    let (status, reported) = match fault.permission {
        true => (PERMISSION, 0xdead_b000),
        false => (TRANSLATION, fault.ipa),
    };
    Abort {
        status: status & !3 | fault.level,
        ipa: Ipa(reported),
        s1ptw: fault.walk,
        ..abort
    }
    .trap()
}

impl Maintenance for FakeBoard {
    #[track_caller]
    fn complete_stores(&mut self) {
        self.recorder.complete_stores();
        isa::dsb_ishst();
    }

    #[track_caller]
    fn complete_invalidations(&mut self) {
        self.recorder.complete_invalidations();
        isa::dsb_ish();
    }

    #[track_caller]
    fn invalidate_ipa(&mut self, ipa: Ipa) {
        self.recorder.invalidate_ipa(ipa);
        isa::tlbi_ipas2e1is(ipa);
    }

    #[track_caller]
    fn invalidate_stage1(&mut self) {
        self.recorder.invalidate_stage1();
        isa::tlbi_vmalle1is();
    }

    #[track_caller]
    fn stop_walks(&mut self) {
        self.recorder.stop_walks();
        if !mutants::is_left_out() {
            walks::stop_walks();
        }
    }

    #[track_caller]
    fn invalidate_stage1_here(&mut self) {
        self.recorder.invalidate_stage1_here();
        if !mutants::is_left_out() {
            tlb::invalidate_stage1_here();
        }
    }

    #[track_caller]
    fn invalidate_ipa_here(&mut self, ipa: Ipa, va: Option<Va>) {
        self.recorder.invalidate_ipa_here(ipa, va);
        if !mutants::is_left_out() {
            tlb::invalidate_ipa_here(ipa, va);
        }
    }

    #[track_caller]
    fn invalidate_vm(&mut self) {
        self.recorder.invalidate_vm();
        isa::tlbi_vmalls12e1is();
    }

    #[track_caller]
    fn invalidate_instructions(&mut self, at: Pa, bytes: u64) {
        self.recorder.invalidate_instructions(at, bytes);
        if !mutants::is_left_out() {
            page::invalidate_instructions(at.0..at.0 + bytes);
        }
    }
}

impl Console for FakeBoard {
    fn put(&mut self, byte: u8) {
        self.printed.push(byte);
    }

    fn abandon_sequence(&mut self) {
        self.abandoned += 1;
    }

    fn get(&mut self) -> Option<u8> {
        self.typed.pop_front()
    }
}

impl VmBackend for FakeBoard {
    type Core = FakeCore;

    fn bookkeeping(&self, at: Pa) -> &Bookkeeping {
        self.memory.bookkeeping(at)
    }

    fn bookkeeping_mut(&mut self, at: Pa) -> &mut Bookkeeping {
        self.take_for_bookkeeping(at);
        self.memory.bookkeeping_mut(at)
    }

    fn word(&self, at: Pa) -> u32 {
        *self.memory.word(at)
    }

    fn word_mut(&mut self, at: Pa) -> &mut u32 {
        self.take_for_bookkeeping(Pa(at.0 - at.page_offset()));
        self.memory.word_mut(at)
    }

    fn node(&self, at: Pa) -> &Node {
        let in_frame = at.page_offset();
        &self.bookkeeping(Pa(at.0 - in_frame))[in_frame as usize / size_of::<Node>()]
    }

    fn node_mut(&mut self, at: Pa) -> &mut Node {
        let in_frame = at.page_offset();
        &mut self.bookkeeping_mut(Pa(at.0 - in_frame))[in_frame as usize / size_of::<Node>()]
    }

    fn copy_page(&mut self, from: Pa, to: Pa) {
        self.recorder.note(Asked::Copy { from, to });
        self.memory.copy(from, to);
        if self.cached {
            // SAFETY: the board's memory.
            unsafe { page::copy_page(from, to) };
        }
    }

    fn copy_page_cached(&mut self, from: Pa, to: Pa) {
        self.recorder.note(Asked::CopyCached { from, to });
        self.memory.copy(from, to);
        if self.cached {
            // SAFETY: the board's memory.
            unsafe { page::copy_page_cached(from, to) };
        }
    }

    fn zero(&mut self, at: Pa, bytes: u64) {
        self.recorder.note(Asked::Zero(at, bytes));
        self.memory.zero(at, bytes);
        if self.cached {
            // SAFETY: the board's memory.
            unsafe { page::zero(at, bytes) };
        }
    }

    #[track_caller]
    fn clean_and_invalidate(&mut self, at: Pa, bytes: u64) {
        self.recorder.note(Asked::CleanAndInvalidate(at, bytes));
        if self.cached && !mutants::is_left_out() {
            page::clean_and_invalidate(at.0..at.0 + bytes);
        }
    }

    fn write(&mut self, at: Pa, bytes: &[u8]) {
        self.recorder.note(Asked::Write(at, bytes.len() as u64));
        self.memory.write(at, bytes);
        if self.cached {
            // SAFETY: the board's memory.
            unsafe { page::write(at, bytes) };
        }
    }

    fn read(&mut self, at: Pa, to: &mut [u8]) {
        assert!(at.page_offset() + to.len() as u64 <= PAGE_SIZE);
        if self.cached {
            // SAFETY: the board's memory.
            return unsafe { page::read(at, to) };
        }
        for (at, byte) in (at.0..).zip(to) {
            *byte = self.memory.read(Pa(at));
        }
    }

    fn write_beside_guests(&mut self, at: Pa, bytes: &[u8]) {
        assert!(at.page_offset() + bytes.len() as u64 <= PAGE_SIZE);
        self.recorder.note(Asked::Write(at, bytes.len() as u64));
        self.memory.write(at, bytes);
        if self.cached {
            // SAFETY: the board's memory.
            unsafe { page::write_beside_guests(at, bytes) };
        }
    }

    fn copy_from(&mut self, other: &mut Self, from: Pa, to: Pa, bytes: u64) {
        assert!(from.page_offset() + bytes <= PAGE_SIZE && to.page_offset() + bytes <= PAGE_SIZE);
        let contents: Vec<u8> = (from.0..from.0 + bytes)
            .map(|at| other.memory.read(Pa(at)))
            .collect();
        self.memory.write(to, &contents);
        if self.cached {
            // SAFETY: the board's memory.
            unsafe { page::copy_beside_guests(from, to, bytes) };
        }
    }

    fn read_instruction(&mut self, at: Pa) -> u32 {
        assert!(at.0.is_multiple_of(4));
        if self.cached {
            // SAFETY: the board's memory.
            return unsafe { page::read_word(at) };
        }
        u32::from_le_bytes(std::array::from_fn(|i| {
            self.memory.read(Pa(at.0 + i as u64))
        }))
    }

    fn log_name(&self) -> Option<&'static str> {
        self.log_name
    }

    fn gicv_base(&self) -> Pa {
        Pa(0x0804_0000)
    }

    fn window_base(&self, number: usize) -> Pa {
        self.windows[number]
    }

    fn draw_seed(&mut self) -> Option<Seed> {
        self.seeds.pop_front()
    }
}
