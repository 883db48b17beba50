//! The board's side of a VM, as [`vm`](crate::vm) asks for it: its memory, the TLBs, its end of the console.

use alloc::vec::Vec;
use core::ops::Range;

use super::{BoardCore, console, second};
use crate::addr::{Ipa, Pa, Va};
use crate::arch::isa;
use crate::arch::memory::ram::Ram;
use crate::arch::memory::tlb;
use crate::arch::vcpu::walks;
use crate::board::gic::Gic;
use crate::board::seed::Seeds;
use crate::config::Uart;
use crate::device::Console;
use crate::guest_image::device_tree::Seed;
use crate::snapshot::{Bookkeeping, Node};
use crate::stage2::Maintenance;
use crate::vm::VmBackend;

/// The board's side of a VM: its memory, and its end of the console.
pub struct BoardBackend {
    /// The VM's number.
    vm: usize,
    /// Where its UART leads.
    uart: Uart,
    ram: Ram,
    gicv_base: Pa,
    /// Where its guest's seeds come from, if the board has one.
    seeds: Option<Seeds>,
}

impl BoardBackend {
    /// For VM number `vm`, whose UART leads to `uart`. `memory` are ranges of the heap that were taken out of it for good, for this VM alone; `windows` are others, for all
    /// VMs.
    pub fn new(
        vm: usize,
        uart: Uart,
        memory: Vec<Range<Pa>>,
        windows: &'static [Range<Pa>],
        gic: &Gic,
        seeds: Option<Seeds>,
    ) -> Self {
        Self {
            vm,
            uart,
            ram: Ram::new(memory).with_windows(windows),
            gicv_base: gic.gicv_base(),
            seeds,
        }
    }
}

impl Maintenance for BoardBackend {
    #[inline]
    fn complete_stores(&mut self) {
        isa::dsb_ishst();
    }

    #[inline]
    fn complete_invalidations(&mut self) {
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
    fn stop_walks(&mut self) {
        walks::stop_walks();
    }

    #[inline]
    fn invalidate_stage1_here(&mut self) {
        tlb::invalidate_stage1_here();
    }

    #[inline]
    fn invalidate_ipa_here(&mut self, ipa: Ipa, va: Option<Va>) {
        tlb::invalidate_ipa_here(ipa, va);
    }

    #[inline]
    fn invalidate_vm(&mut self) {
        isa::tlbi_vmalls12e1is();
    }

    fn invalidate_instructions(&mut self, at: Pa, bytes: u64) {
        self.ram.invalidate_instructions(at, bytes);
    }
}

impl Console for BoardBackend {
    fn put(&mut self, byte: u8) {
        match self.uart {
            Uart::Console => console::put(self.vm, byte),
            Uart::Second => second::put(byte),
        }
    }

    #[inline]
    fn unsent(&self) -> u32 {
        match self.uart {
            Uart::Console => console::unsent(self.vm),
            Uart::Second => second::unsent(),
        }
    }

    #[inline]
    fn is_quiet(&self) -> bool {
        match self.uart {
            Uart::Console => console::is_quiet(self.vm),
            Uart::Second => second::is_quiet(),
        }
    }

    fn abandon_sequence(&mut self) {
        match self.uart {
            Uart::Console => console::abandon_sequence(self.vm),
            // Nobody looks for sequences there.
            Uart::Second => {}
        }
    }

    fn get(&mut self) -> Option<u8> {
        match self.uart {
            Uart::Console => console::get(self.vm),
            Uart::Second => second::get(),
        }
    }

    #[inline]
    fn may_have_input(&self) -> bool {
        match self.uart {
            Uart::Console => console::may_have_input(self.vm),
            Uart::Second => second::may_have_input(),
        }
    }
}

impl VmBackend for BoardBackend {
    type Core = BoardCore;

    #[inline]
    fn bookkeeping(&self, at: Pa) -> &Bookkeeping {
        self.ram.get(at)
    }

    #[inline]
    fn bookkeeping_mut(&mut self, at: Pa) -> &mut Bookkeeping {
        self.ram.get_mut(at)
    }

    #[inline]
    fn word(&self, at: Pa) -> u32 {
        *self.ram.get(at)
    }

    #[inline]
    fn word_mut(&mut self, at: Pa) -> &mut u32 {
        self.ram.get_mut(at)
    }

    #[inline]
    fn node(&self, at: Pa) -> &Node {
        self.ram.get(at)
    }

    #[inline]
    fn node_mut(&mut self, at: Pa) -> &mut Node {
        self.ram.get_mut(at)
    }

    #[inline]
    fn copy_page(&mut self, from: Pa, to: Pa) {
        self.ram.copy_page(from, to);
    }

    #[inline]
    fn copy_page_cached(&mut self, from: Pa, to: Pa) {
        self.ram.copy_page_cached(from, to);
    }

    fn zero(&mut self, at: Pa, bytes: u64) {
        self.ram.zero(at, bytes);
    }

    fn clean_and_invalidate(&mut self, at: Pa, bytes: u64) {
        self.ram.clean_and_invalidate(at, bytes);
    }

    fn write(&mut self, at: Pa, bytes: &[u8]) {
        self.ram.write(at, bytes);
    }

    fn read(&mut self, at: Pa, to: &mut [u8]) {
        self.ram.read(at, to);
    }

    fn write_beside_guests(&mut self, at: Pa, bytes: &[u8]) {
        self.ram.write_beside_guests(at, bytes);
    }

    #[inline]
    fn copy_from(&mut self, other: &mut Self, from: Pa, to: Pa, bytes: u64) {
        self.ram.copy_from(&mut other.ram, from, to, bytes);
    }

    fn read_instruction(&mut self, at: Pa) -> u32 {
        self.ram.instruction(at)
    }

    fn log_name(&self) -> Option<&'static str> {
        console::log_name(self.vm)
    }

    fn gicv_base(&self) -> Pa {
        self.gicv_base
    }

    fn window_base(&self, number: usize) -> Pa {
        self.ram.window_base(number)
    }

    fn draw_seed(&mut self) -> Option<Seed> {
        self.seeds.as_mut().map(Seeds::draw)
    }
}
