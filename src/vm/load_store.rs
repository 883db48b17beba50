//! A load or store to a device that the syndrome does not describe: write-back, pairs, and what else has no ISV. The instruction is read in the
//! guest's memory and carried out.
//!
//! What was read need not be what trapped: another vCPU may have changed the code, its mapping or the VM's memory since. So the instruction must
//! agree with the syndrome, in whether it writes and where. If it does not, the trap has not happened: the guest runs the instruction that is
//! there now. An instruction that is not decoded ([`LoadStore::decode`]), or that has a part outside of devices, is an external abort; that is known
//! before the first part is done. The parts of a pair are done in the order of their addresses.
//!
//! Bytes are in little-endian order, as for an access with a syndrome: a guest is shown a CPU that has no other.

use super::exit::ExitContext;
use super::{Core, VmBackend};
use crate::addr::{Ipa, PAGE_SIZE, Va};
use crate::arch::vcpu::Registers;
use crate::arch::vcpu::Stage1Access;
use crate::device::Region;
use crate::trap::access::{Access, step_over, write_register};
use crate::trap::instruction::{LoadStore, Target};
use crate::trap::memory_fault::{FaultKind, MemoryFault};

/// PSTATE.nRW: AArch32.
const AARCH32: u64 = 1 << 4;
/// PSTATE.EL, SP and their mode bits; EL0; EL1 on SP_EL1.
const MODE: u64 = 0xf;
const EL0: u64 = 0b0000;
const EL1H: u64 = 0b0101;
/// PSTATE.PAN.
const PAN: u64 = 1 << 22;
/// Bits of an address below its tag. If there is none, stage 1 has seen to it that the others are as they must be.
const UNTAGGED: u64 = (1 << 56) - 1;

/// Why an instruction is not carried out.
#[derive(Debug)]
enum NotEmulated {
    /// The instruction does not agree with the syndrome: the guest runs it again.
    Retry,
    /// The guest gets an external abort.
    Abort,
}

/// A part of an instruction: a register's access at an offset in a device.
type Part = (Region, u64, Access);

impl<B: VmBackend> ExitContext<'_, B> {
    /// The fault, outside of RAM, of an access that is not emulated from its syndrome.
    #[cold]
    #[inline(never)]
    pub(super) fn load_store(&mut self, fault: &MemoryFault) {
        match self.try_load_store(fault) {
            Ok(()) => {
                let Registers { pc, pstate, .. } = &mut self.vcpu.registers;
                step_over(pc, pstate, 4);
            }
            Err(NotEmulated::Retry) => {}
            Err(NotEmulated::Abort) => self.inject_external_abort(fault),
        }
    }

    fn try_load_store(&mut self, fault: &MemoryFault) -> Result<(), NotEmulated> {
        use FaultKind::{AccessFlag, AddressSize, Permission, Translation};
        let refused_by_stage2 = matches!(
            fault.kind(),
            Translation | Permission | AccessFlag | AddressSize
        );
        let aarch32 = self.vcpu.registers.pstate & AARCH32 != 0;
        if !refused_by_stage2 || aarch32 || fault.fetch() || fault.s1ptw() {
            return Err(NotEmulated::Abort);
        }
        let far = fault.far().ok_or(NotEmulated::Abort)?;
        let page_ipa = fault
            .page_ipa()
            .or_else(|| self.translate(Va(far.0 - far.page_offset()), Stage1Access::El1Read))
            .ok_or(NotEmulated::Retry)?;
        Region::at(Ipa(page_ipa.0 + far.page_offset())).ok_or(NotEmulated::Abort)?;
        let word = self.fetch_instruction().ok_or(NotEmulated::Retry)?;
        let instruction = LoadStore::decode(word).ok_or(NotEmulated::Abort)?;
        let sp = self.core.stack_pointer(self.is_on_sp_el1());
        let registers = &self.vcpu.registers;
        let target = instruction.target(&registers.x, sp, registers.pc);
        let distance = far.0.wrapping_sub(target.address) & UNTAGGED;
        if instruction.store != fault.write() || distance >= instruction.bytes() {
            return Err(NotEmulated::Retry);
        }
        let parts = self.parts(&instruction, &target, far, page_ipa);
        for (device, offset, access) in parts.ok_or(NotEmulated::Abort)?.into_iter().flatten() {
            self.access_part(device, offset, access, instruction.store);
        }
        match target.write_back {
            Some((31, sp)) => self.core.set_stack_pointer(self.is_on_sp_el1(), sp),
            Some((base, value)) => write_register(&mut self.vcpu.registers.x, base, value),
            None => {}
        }
        Ok(())
    }

    /// The instruction at the pc, unless the guest itself could not fetch it now.
    fn fetch_instruction(&mut self) -> Option<u32> {
        // EL1 may read what EL0 may execute. That it may be executed, the guest's fetch has shown.
        let pc = Va(self.vcpu.registers.pc);
        let ipa = self.translate(pc, Stage1Access::El1Read)?;
        let at = self.shared.readable(ipa)?;
        let memory = &mut self.shared.memory;
        // No pc is misaligned here: that is an exception to EL1 before its instruction is executed.
        at.0.is_multiple_of(4)
            .then(|| memory.backend.read_instruction(at))
    }

    fn is_on_sp_el1(&self) -> bool {
        self.vcpu.registers.pstate & MODE == EL1H
    }

    /// Where the parts of an instruction go, if all of them go to devices.
    fn parts(
        &mut self,
        instruction: &LoadStore,
        target: &Target,
        far: Va,
        page_ipa: Ipa,
    ) -> Option<[Option<Part>; 2]> {
        let mut parts = [None; 2];
        for (part, (distance, access)) in parts.iter_mut().zip(instruction.accesses()) {
            let va = Va(target.address.wrapping_add(distance));
            let is_in_page_of_far = (va.0 ^ far.0) & UNTAGGED < PAGE_SIZE;
            let ipa = match is_in_page_of_far {
                true => Ipa(page_ipa.0 + va.page_offset()),
                false => self.other_page(va, instruction.store)?,
            };
            if va.page_offset() + u64::from(access.size) > PAGE_SIZE {
                return None;
            }
            let (region, offset) = Region::at(ipa)?;
            *part = Some((region, offset, access));
        }
        Some(parts)
    }

    /// Where the guest's access in the page that has not faulted goes, if stage 1 permits it.
    fn other_page(&mut self, va: Va, write: bool) -> Option<Ipa> {
        let pstate = self.vcpu.registers.pstate;
        let access = match (pstate & MODE == EL0, write) {
            (true, false) => Stage1Access::El0Read,
            (true, true) => Stage1Access::El0Write,
            (false, false) => Stage1Access::El1Read,
            (false, true) => Stage1Access::El1Write,
        };
        // With PAN, EL1 must not reach what EL0 can.
        let is_kept_out = pstate & MODE != EL0
            && pstate & PAN != 0
            && self.translate(va, Stage1Access::El0Read).is_some();
        match is_kept_out {
            true => None,
            false => self.translate(va, access),
        }
    }

    /// See [`Core::translate_stage1`].
    #[inline(never)]
    fn translate(&mut self, va: Va, access: Stage1Access) -> Option<Ipa> {
        self.core.translate_stage1(va, access)
    }

    /// A load, or with `write` a store, of a register.
    fn access_part(&mut self, region: Region, offset: u64, access: Access, write: bool) {
        match region {
            Region::Device(device) => self.access_device(device, offset, access, write),
            Region::Distributor => self.with_all_lrs_synced(|context| {
                context
                    .shared
                    .gic
                    .note_vtimer_line(context.index, context.core);
                context.access_distributor(offset, access, write);
            }),
            Region::Deactivation => self.deactivation_fault(offset, access, write),
            Region::Absent(absent) => self.access_absent(absent, offset, access, write),
        }
    }
}
