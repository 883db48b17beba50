//! The core that a VM runs on, as [`vm`](crate::vm) asks for it.

use alloc::vec::Vec;
use core::ops::Range;

use aarch64_cpu::registers::{HCR_EL2, ReadWriteable};

use super::{SystemState, control, el1, heap, id, page, switch, timer, tlb};
use crate::addr::{Ipa, Pa, Va};
use crate::arch::vcpu::{Registers, Trap};
use crate::device::Console;
use crate::driver::console;
use crate::snapshot::Bookkeeping;
use crate::stage2::Maintenance;
use crate::trap::inject::{ExceptionState, PstateFeatures};
use crate::trap::sysreg::{SysReg, VmRegister};
use crate::vm::Hardware;

/// This core. There is one for each VM, and each VM has memory of its own.
pub struct Core {
    vmid: u8,
    /// What [`Hardware::bookkeeping`] and the calls that change memory are good for.
    memory: Vec<Range<Pa>>,
}

impl Core {
    /// The core, for a VM with the given VMID, which has the memory that is returned beside it: all whole blocks of
    /// the heap, but for `keep` bytes.
    pub fn with_memory(vmid: u8, keep: u64) -> (Self, Vec<Range<Pa>>) {
        let memory = heap::take_blocks(keep);
        (
            Self {
                vmid,
                memory: memory.clone(),
            },
            memory,
        )
    }
}

impl Maintenance for Core {
    #[inline]
    fn stores_complete(&mut self) {
        tlb::dsb_ishst();
    }

    #[inline]
    fn invalidations_complete(&mut self) {
        tlb::dsb_ish();
    }

    #[inline]
    fn invalidate_ipa(&mut self, ipa: Ipa) {
        tlb::invalidate_ipa(ipa);
    }

    #[inline]
    fn invalidate_stage1(&mut self) {
        tlb::invalidate_stage1();
    }

    #[inline]
    fn invalidate_ipa_here(&mut self, ipa: Ipa) {
        tlb::invalidate_ipa_local(ipa);
        // Stage 2 must be forgotten before the combined entries go, or they could come back from it.
        tlb::dsb_nsh();
        tlb::invalidate_stage1_local();
        tlb::dsb_nsh();
    }

    #[inline]
    fn invalidate_vm(&mut self) {
        tlb::invalidate_vm();
    }

    fn invalidate_instructions(&mut self) {
        page::invalidate_instruction_caches();
    }
}

impl Console for Core {
    fn put(&mut self, byte: u8) {
        console::put(byte);
    }

    fn get(&mut self) -> Option<u8> {
        console::get()
    }
}

impl Core {
    /// Whether `bytes` from `at` on are the VM's memory.
    fn owns(&self, at: Pa, bytes: u64) -> bool {
        self.memory
            .iter()
            .any(|range| range.start <= at && at.0 + bytes <= range.end.0)
    }
}

impl Hardware for Core {
    type System = SystemState;

    fn activate(&mut self, root: Pa) {
        // The tables are there for the first walk.
        tlb::dsb_ishst();
        control::set_stage2(root, self.vmid);
        // A VMID that served before a reset of the board's firmware or another VM may still be in the TLBs.
        tlb::invalidate_vm();
        tlb::dsb_ish();
        tlb::isb();
    }

    #[inline]
    fn run(&mut self, registers: &mut Registers) -> Trap {
        switch::run(registers)
    }

    fn reset_system(&mut self) {
        SystemState::reset().load();
    }

    fn save_system(to: &mut SystemState) {
        to.save();
    }

    fn load_system(from: &SystemState) {
        from.load();
    }

    fn virtual_count(&mut self) -> u64 {
        timer::virtual_count()
    }

    fn set_virtual_count(&mut self, count: u64) {
        timer::set_virtual_count(count);
    }

    fn exception_state(&mut self) -> ExceptionState {
        el1::exception_state()
    }

    fn set_exception_state(&mut self, state: &ExceptionState) {
        el1::set_exception_state(state);
    }

    fn pstate_features(&mut self) -> PstateFeatures {
        PstateFeatures::from_id_registers(
            id::read_id_register(0, 7, 1),
            id::read_id_register(0, 4, 1),
        )
    }

    fn pend_serror(&mut self) {
        HCR_EL2.modify(HCR_EL2::VSE::SET);
    }

    fn write_vm_register(&mut self, register: VmRegister, value: u64) {
        el1::write_vm_register(register, value);
    }

    fn release_vm_registers(&mut self) {
        HCR_EL2.modify(HCR_EL2::TVM::CLEAR);
    }

    fn translate(&mut self, va: Va) -> Option<Ipa> {
        el1::translate(va)
    }

    fn id_register(&mut self, reg: SysReg) -> u64 {
        id::read_id_register(reg.op1().into(), reg.crm().into(), reg.op2().into())
    }

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
        // SAFETY: the assertion; the VM has one vCPU, which does not run now, and no Rust reference points into guest memory.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), at.0 as *mut u8, bytes.len()) };
        // The guest starts with its caches off and reads memory directly.
        page::clean_and_invalidate(at.0..at.0 + length);
    }
}
