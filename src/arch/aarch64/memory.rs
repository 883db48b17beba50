//! What a VM has of the board, as [`vm`](crate::vm) asks for it: its memory, the TLBs, its end of the console.

use alloc::vec::Vec;
use core::ops::Range;

use super::{Core, page, tlb};
use crate::addr::{Ipa, Pa};
use crate::arch::isa;
use crate::device::Console;
use crate::driver::{console, gic::Gic};
use crate::snapshot::Bookkeeping;
use crate::stage2::Maintenance;
use crate::vm::Hardware;

/// A VM's memory and console.
pub struct VmMemory {
    /// The VM's number.
    vm: usize,
    /// What [`Hardware::bookkeeping`] and the calls that change memory are good for.
    memory: Vec<Range<Pa>>,
    virtual_interface: Pa,
}

impl VmMemory {
    /// The memory of VM number `vm`: ranges of the heap that were taken out of it for good, for this VM alone.
    pub fn new(vm: usize, memory: Vec<Range<Pa>>, gic: &Gic) -> Self {
        Self {
            vm,
            memory,
            virtual_interface: gic.virtual_interface(),
        }
    }

    /// Whether `bytes` from `at` on are the VM's memory.
    fn owns(&self, at: Pa, bytes: u64) -> bool {
        self.memory
            .iter()
            .any(|range| range.start <= at && at.0 + bytes <= range.end.0)
    }
}

impl Maintenance for VmMemory {
    #[inline]
    fn stores_complete(&mut self) {
        isa::dsb_ishst();
    }

    #[inline]
    fn invalidations_complete(&mut self) {
        isa::dsb_ish();
    }

    #[inline]
    fn invalidate_ipa(&mut self, ipa: Ipa) {
        isa::tlbi_ipas2e1is(ipa);
    }

    #[inline]
    fn invalidate_stage1(&mut self) {
        isa::tlbi_vmalle1is();
    }

    #[inline]
    fn invalidate_ipa_here(&mut self, ipa: Ipa) {
        tlb::invalidate_ipa_here(ipa);
    }

    #[inline]
    fn invalidate_vm(&mut self) {
        isa::tlbi_vmalls12e1is();
    }

    fn invalidate_instructions(&mut self, at: Pa, bytes: u64) {
        debug_assert!(self.owns(at, bytes));
        page::invalidate_instructions(at.0..at.0 + bytes);
    }
}

impl Console for VmMemory {
    fn put(&mut self, byte: u8) {
        console::put(self.vm, byte);
    }

    fn get(&mut self) -> Option<u8> {
        console::get(self.vm)
    }
}

impl Hardware for VmMemory {
    type Core = Core;

    #[inline]
    fn bookkeeping(&self, at: Pa) -> &Bookkeeping {
        debug_assert!(self.owns(at, 4096));
        // SAFETY: `at` is the address of a frame out of this VM's share, which is RAM in EL2's map that nobody else has. Bookkeeping frames
        // are not mapped for the guest, and the only references to them come from here and `bookkeeping_mut`, bound to the borrow of `self`.
        unsafe { &*(at.0 as *const Bookkeeping) }
    }

    #[inline]
    fn bookkeeping_mut(&mut self, at: Pa) -> &mut Bookkeeping {
        debug_assert!(self.owns(at, 4096));
        // SAFETY: as above; the borrow of `self` is exclusive. Any bits make valid nodes.
        unsafe { &mut *(at.0 as *mut Bookkeeping) }
    }

    #[inline]
    fn word(&self, at: Pa) -> u32 {
        debug_assert!(self.owns(at, 4));
        // SAFETY: as above; callers number whole words.
        unsafe { *(at.0 as *const u32) }
    }

    #[inline]
    fn word_mut(&mut self, at: Pa) -> &mut u32 {
        debug_assert!(self.owns(at, 4));
        // SAFETY: as above; the borrow of `self` is exclusive.
        unsafe { &mut *(at.0 as *mut u32) }
    }

    #[inline]
    fn copy_page(&mut self, from: Pa, to: Pa) {
        debug_assert!(self.owns(from, 4096) && self.owns(to, 4096));
        // SAFETY: both are frames of this VM's share; `to` was free until now and is not mapped for the guest yet.
        unsafe { page::copy_page(from, to) };
    }

    fn zero(&mut self, at: Pa, bytes: u64) {
        debug_assert!(self.owns(at, bytes));
        // SAFETY: frames of this VM's share, free until now and not mapped for the guest yet.
        unsafe { page::zero(at, bytes) };
    }

    fn clean_and_invalidate(&mut self, at: Pa, bytes: u64) {
        debug_assert!(self.owns(at, bytes));
        page::clean_and_invalidate(at.0..at.0 + bytes);
    }

    fn write(&mut self, at: Pa, bytes: &[u8]) {
        let length = bytes.len() as u64;
        assert!(self.owns(at, length));
        // SAFETY: the assertion; no Rust reference points into guest memory, and no vCPU of the VM runs: `Shared::load`, which writes image and
        // tree, is called for a VM that is being made or was stopped.
        unsafe { page::write(at, bytes) };
    }

    fn instruction(&mut self, at: Pa) -> u32 {
        debug_assert!(self.owns(at, 4));
        // SAFETY: a word of a frame out of this VM's share, which is RAM in EL2's map.
        unsafe { page::read_word(at) }
    }

    fn log_name(&self) -> Option<&'static str> {
        console::log_name(self.vm)
    }

    fn virtual_interface(&self) -> Pa {
        self.virtual_interface
    }
}
