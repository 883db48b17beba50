//! A controller reads and sets the registers of its target's vCPUs. What the calls return is x0, or an error.

use super::debug::hide_step;
use super::quiesce::STOPPED;
use super::reach::{Memory, UNFINISHED};
use super::saved::SavedVcpus;
use super::vcpu::{RunState, Vcpu};
use super::{Core, System, Vm, VmBackend, VmShared};
use crate::arch::vcpu::exchange::{VERSION, VcpuRegisters, is_pstate};
use crate::hvc::error;
use crate::snapshot::NotFound;
use crate::trap::sysreg::{caches_are_on, goes_through_caches};
use zerocopy::{FromZeros, IntoBytes};

impl<B: VmBackend> Vm<B> {
    /// REGISTERS of this VM: into the memory of its controller.
    #[inline(never)]
    pub(super) fn registers(
        &self,
        core: &mut B::Core,
        own: &mut VmShared<B>,
        id: Option<u64>,
        vcpu: u64,
        to: Memory,
    ) -> Result<u64, i64> {
        let index = self.check_registers(own, vcpu, to)?;
        let shared = self.lock_from_outside();
        let mut registers = VcpuRegisters::new_zeroed();
        registers.version = VERSION;
        match id {
            None => {
                let mut held = self.quiesce(core, None);
                let run_state = self.vcpus[index].run_state();
                if let Some(vcpu) = held.get(index)
                    && run_state != RunState::Off
                {
                    // In the midst of RUN it waits for no interrupt.
                    let waits = run_state == RunState::Waiting && !vcpu.in_run;
                    registers.state = if waits { 2 } else { 1 };
                    registers.registers = vcpu.registers;
                    hide_step::<B::Core>(&vcpu.debug, &mut registers.registers, &mut vcpu.system);
                    B::Core::export(&vcpu.system, &mut registers);
                }
                self.release(core, held);
                if !self.gate.is_closed_for(STOPPED) {
                    core.set_alarm_no_later(B::Core::physical_count());
                }
            }
            Some(id) => {
                let part = SavedVcpus::<System<B>>::part_of(index);
                let nodes = shared.snapshots.saved_part(&shared.memory, id, part);
                let nodes = nodes.map_err(|NotFound| error::NOT_FOUND)?;
                SavedVcpus::new(part, nodes).export::<B::Core>(index, &mut registers);
            }
        }
        drop(shared);
        own.prepare_stores(Memory {
            bytes: size_of::<VcpuRegisters>() as u64,
            ..to
        })?;
        own.put(to.ipa, registers.as_bytes());
        Ok(size_of::<VcpuRegisters>() as u64)
    }

    /// The vCPU's number, if there is one, and its registers have room there.
    fn check_registers(&self, own: &VmShared<B>, vcpu: u64, memory: Memory) -> Result<usize, i64> {
        own.check(memory)?;
        let index = usize::try_from(vcpu).ok();
        match index.filter(|&index| index < self.vcpus.len()) {
            Some(index) if memory.bytes >= size_of::<VcpuRegisters>() as u64 => Ok(index),
            _ => Err(error::INVALID_PARAMETER),
        }
    }

    /// SET_REGISTERS of this VM: from the memory of its controller.
    #[inline(never)]
    pub(super) fn set_registers(
        &self,
        core: &mut B::Core,
        own: &mut VmShared<B>,
        vcpu: u64,
        from: Memory,
    ) -> Result<u64, i64> {
        let index = self.check_registers(own, vcpu, from)?;
        let mut registers = VcpuRegisters::new_zeroed();
        own.get(from.ipa, registers.as_mut_bytes());
        let shared = &mut *self.lock_from_outside();
        self.load_before(core, shared)?;
        let mut held = self.quiesce(core, None);
        let done = match held.get(index) {
            Some(vcpu) => self.set_vcpu_registers(core, shared, (index, vcpu), &registers),
            None => Err(error::INVALID_PARAMETER),
        };
        self.release(core, held);
        if !self.gate.is_closed_for(STOPPED) {
            core.set_alarm_no_later(B::Core::physical_count());
        }
        done.map(|()| 0)
    }

    /// Cleans the VM's memory before a vCPU has registers in place of those `before`, as where it writes SCTLR_EL1 itself: a piece of it, and [`UNFINISHED`].
    /// What is clean stays so as long as the VM is stopped.
    fn clean_before(
        &self,
        shared: &mut VmShared<B>,
        before: &VcpuRegisters,
        registers: &VcpuRegisters,
    ) -> Result<(), i64> {
        let switches = caches_are_on(before.sctlr) != caches_are_on(registers.sctlr);
        let around = !goes_through_caches(registers.sctlr, registers.tcr);
        let is_behind = around && shared.memory.caches.is_mapped_ahead();
        if !switches && !is_behind {
            return Ok(());
        }
        if !self.gate.is_closed_for(STOPPED) {
            return Err(error::DENIED);
        }
        let mut next = shared.cleaned;
        let is_clean = match switches {
            true => self.clean_piece(shared, &mut next),
            false => shared.memory.clean_if_ahead(&mut next),
        };
        shared.cleaned = next;
        if is_clean { Ok(()) } else { Err(UNFINISHED) }
    }

    fn set_vcpu_registers(
        &self,
        core: &mut B::Core,
        shared: &mut VmShared<B>,
        (index, vcpu): (usize, &mut Vcpu<System<B>>),
        registers: &VcpuRegisters,
    ) -> Result<(), i64> {
        let slot = &self.vcpus[index];
        if slot.run_state() == RunState::Off {
            return Err(error::DENIED);
        }
        let pstate = vcpu.registers.pstate;
        if registers.version != VERSION || !is_pstate(registers.registers.pstate, pstate) {
            return Err(error::INVALID_PARAMETER);
        }
        let mut before = VcpuRegisters::new_zeroed();
        B::Core::export(&vcpu.system, &mut before);
        core.borrow_stage2(self.number, shared.memory.stage2.root());
        let cleaned = self.clean_before(shared, &before, registers);
        core.return_stage2();
        cleaned?;
        vcpu.registers = registers.registers;
        vcpu.debug.replace(&mut vcpu.registers);
        B::Core::import(&mut vcpu.system, registers);
        // It goes on where it was told to, whatever it waited for.
        slot.take_awaits();
        vcpu.in_run = false;
        vcpu.unfinished.forget_trap();
        slot.end_wait();
        slot.set_deadline(self.timer_deadline(vcpu));
        let around = !goes_through_caches(registers.sctlr, registers.tcr);
        shared.memory.caches.note(index, around);
        core.borrow_stage2(self.number, shared.memory.stage2.root());
        // It has other tables of stage 1 now, and did not invalidate what the TLBs have of those before.
        let memory = &mut shared.memory;
        memory.stage2.invalidate_vm(&mut memory.backend);
        core.return_stage2();
        Ok(())
    }
}
