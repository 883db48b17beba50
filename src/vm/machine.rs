//! A VM's machine: what the guest runs on, all of which a snapshot takes back.

use super::hardware::Hardware;
use crate::addr::{Ipa, PAGE_SIZE, Pa};
use crate::arch::vcpu::Registers;
use crate::device::Devices;
use crate::snapshot::{Bookkeeping, Frame, Machine, Mapping, Node, Page};
use crate::stage2::Stage2;
use crate::trap::sysreg::{VmRegister, caches_are_on};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Where RAM starts, as on QEMU's `virt`.
pub const RAM_BASE: Ipa = Ipa(0x4000_0000);

/// The machine of one VM.
pub struct GuestMachine<H> {
    /// The core that it runs on.
    pub hardware: H,
    /// Its memory.
    pub stage2: Stage2,
    /// The vCPU's general registers.
    pub registers: Registers,
    /// Its devices.
    pub devices: Devices,
    /// The checkpoint being taken was asked for by SMCCC: x0 and x1 are its results. After a restore: so was the one gone back to.
    pub returns_results: bool,
}

/// What a snapshot keeps besides the core's and the devices' state.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Rest {
    registers: Registers,
    virtual_count: u64,
    /// [`GuestMachine::returns_results`], 0 or 1.
    returns_results: u64,
}

/// The parts of a saved state, in place.
struct Saved<'a, S> {
    system: &'a mut S,
    rest: &'a mut Rest,
    devices: &'a mut Devices,
}

impl<'a, S: FromBytes + IntoBytes + KnownLayout> Saved<'a, S> {
    /// Nodes that it takes.
    const NODES: usize =
        (size_of::<S>() + size_of::<Rest>() + size_of::<Devices>()).div_ceil(size_of::<Node>());

    fn at(nodes: &'a mut [Node]) -> Self {
        let parts = S::mut_from_prefix(nodes.as_mut_bytes())
            .ok()
            .and_then(|(system, bytes)| {
                let (rest, bytes) = Rest::mut_from_prefix(bytes).ok()?;
                let (devices, _) = Devices::mut_from_prefix(bytes).ok()?;
                Some((system, rest, devices))
            });
        let (system, rest, devices) =
            parts.expect("nodes are aligned to 16 bytes, and there are NODES of them");
        Self {
            system,
            rest,
            devices,
        }
    }
}

impl<H: Hardware> GuestMachine<H> {
    /// A machine with `pages` pages of RAM whose frames are counted from `frames` on.
    pub fn new(hardware: H, pages: u32, frames: Pa) -> Self {
        Self {
            hardware,
            stage2: Stage2::new(RAM_BASE, pages, frames),
            registers: Registers::reset(0, 0),
            devices: Devices::default(),
            returns_results: false,
        }
    }

    /// Nodes that a saved state takes.
    pub const STATE_NODES: usize = Saved::<H::System>::NODES;

    /// Everything but RAM is as after a reset.
    pub fn reset(&mut self) {
        self.devices = Devices::default();
        self.hardware.set_virtual_count(0);
        self.hardware.reset_system();
    }

    /// Writes a register for the guest. When that switches its caches on, nothing that EL2's map of the guest's memory brought into them
    /// while it wrote around them may be there any more: the guest would read what was there before.
    pub fn write_vm_register(&mut self, register: VmRegister, value: u64) {
        let hardware = &mut self.hardware;
        hardware.write_vm_register(register, value);
        if register == VmRegister::Sctlr && caches_are_on(value) {
            self.stage2
                .each_present(|at, bytes| hardware.clean_and_invalidate(at, bytes));
            hardware.release_vm_registers();
        }
    }
}

impl<H: Hardware> Machine for GuestMachine<H> {
    #[inline]
    fn bookkeeping(&self, frame: Frame) -> &Bookkeeping {
        self.hardware.bookkeeping(self.stage2.pa(frame))
    }

    #[inline]
    fn bookkeeping_mut(&mut self, frame: Frame) -> &mut Bookkeeping {
        self.hardware.bookkeeping_mut(self.stage2.pa(frame))
    }

    #[inline]
    fn word(&self, number: u32) -> u32 {
        self.hardware.word(self.stage2.frame_word(number))
    }

    #[inline]
    fn word_mut(&mut self, number: u32) -> &mut u32 {
        self.hardware.word_mut(self.stage2.frame_word(number))
    }

    #[inline]
    fn copy(&mut self, from: Frame, to: Frame) {
        self.hardware
            .copy_page(self.stage2.pa(from), self.stage2.pa(to));
    }

    fn zero(&mut self, first: Frame, pages: u32) {
        self.hardware
            .zero(self.stage2.pa(first), u64::from(pages) * PAGE_SIZE);
    }

    #[inline]
    fn mapping(&self, page: Page) -> Mapping {
        self.stage2.mapping(page)
    }

    #[inline]
    fn give_page(&mut self, page: Page, frame: Frame) {
        self.stage2.give_page(&mut self.hardware, page, frame);
    }

    fn give_block(&mut self, page: Page, first: Frame) {
        self.stage2.give_block(&mut self.hardware, page, first);
    }

    fn widen_page(&mut self, page: Page) {
        self.stage2.widen(&mut self.hardware, page);
    }

    fn widen_block(&mut self, page: Page) {
        self.stage2.widen(&mut self.hardware, page);
    }

    fn split(&mut self, page: Page) {
        self.stage2.split(&mut self.hardware, page);
    }

    fn refresh(&mut self, page: Page) {
        self.stage2.refresh(&mut self.hardware, page);
    }

    #[inline]
    fn protect_page(&mut self, page: Page) {
        self.stage2.protect_page(page);
    }

    fn protect_block(&mut self, page: Page) {
        self.stage2.protect_block(page);
    }

    fn end_protect(&mut self) {
        self.stage2.end_protect(&mut self.hardware);
    }

    fn begin_remap(&mut self) {
        self.stage2.begin_remap(&mut self.hardware);
    }

    #[inline]
    fn divide(&mut self, page: Page) {
        self.stage2.divide(page);
    }

    #[inline]
    fn set_page(&mut self, page: Page, frame: Option<Frame>) {
        self.stage2.set_page(page, frame);
    }

    fn set_block(&mut self, page: Page, first: Option<Frame>) {
        self.stage2.set_block(page, first);
    }

    fn end_remap(&mut self) {
        self.stage2.end_remap(&mut self.hardware);
    }

    fn state_nodes(&self) -> usize {
        Self::STATE_NODES
    }

    fn save_state(&mut self, frame: Frame, at: usize, id: u64) -> u64 {
        if self.returns_results {
            [self.registers.x[0], self.registers.x[1]] = [id, 0];
        }
        let virtual_count = self.hardware.virtual_count();
        let pa = self.stage2.pa(frame);
        // The core's state goes straight to its place, without a copy on the stack.
        let nodes = &mut self.hardware.bookkeeping_mut(pa)[at..at + Self::STATE_NODES];
        let saved = Saved::<H::System>::at(nodes);
        saved.rest.registers = self.registers;
        saved.rest.virtual_count = virtual_count;
        saved.rest.returns_results = u64::from(self.returns_results);
        *saved.devices = self.devices;
        H::save_system(saved.system);
        virtual_count
    }

    fn load_state(&mut self, frame: Frame, at: usize) {
        let pa = self.stage2.pa(frame);
        let nodes = &mut self.hardware.bookkeeping_mut(pa)[at..at + Self::STATE_NODES];
        let saved = Saved::<H::System>::at(nodes);
        self.registers = saved.rest.registers;
        self.devices = *saved.devices;
        self.returns_results = saved.rest.returns_results != 0;
        // The count first: a timer that is loaded before would be compared with the count of another time.
        let virtual_count = saved.rest.virtual_count;
        self.hardware.set_virtual_count(virtual_count);
        let nodes = &mut self.hardware.bookkeeping_mut(pa)[at..at + Self::STATE_NODES];
        H::load_system(Saved::<H::System>::at(nodes).system);
    }
}
