//! A guest's access to a system register that traps.

use super::exit::{ExitAction, ExitContext};
use super::{Core, Vm, VmBackend, VmShared};
use crate::arch::vcpu::Stage1Register;
use crate::trap::aarch32::{condition_holds, flags_read};
use crate::trap::answer::answer;
use crate::trap::esr::Esr;
use crate::trap::inject::GuestException;
use crate::trap::sysreg::{
    Answer, DebugRegister, SysRegAccess, TimerRegister, caches_are_on, goes_through_caches,
};

impl<B: VmBackend> Vm<B> {
    /// Cleans all of the VM's memory out of the caches, its windows too. Caches and memory are not taken to agree until a vCPU switches its caches on.
    pub(super) fn clean_caches(&self, shared: &mut VmShared<B>) {
        shared.caches_agree = false;
        shared.memory.clean();
        let backend = &mut shared.memory.backend;
        for window in self.config.windows {
            let at = backend.window_base(window.number);
            backend.clean_and_invalidate(at, window.bytes);
        }
    }
}

impl<B: VmBackend> ExitContext<'_, B> {
    /// A trapped access to a system register.
    #[inline(never)]
    pub(super) fn system_register(mut self, access: SysRegAccess, esr: Esr) -> ExitAction {
        self.access_register(access, esr);
        ExitAction::Resume
    }

    #[inline]
    fn access_register(&mut self, access: SysRegAccess, esr: Esr) {
        if !condition_holds(esr, self.vcpu.registers.pstate) {
            return self.step_over(esr);
        }
        let core = &mut *self.core;
        match answer(access, |reg| core.id_register(reg)) {
            Answer::Value(value) => self.complete_read(access, value),
            Answer::Ignored => {}
            Answer::Write(register) => {
                let value = access.write_value(&self.vcpu.registers.x);
                self.write_stage1_register(register, value);
            }
            Answer::Timer(register) => self.timer_register(register, access),
            Answer::SetWay => self.flush_and_trap(),
            Answer::Debug(register) => self.debug_register(register, access),
            Answer::Undefined => return self.inject(GuestException::Undefined),
        }
        self.step_over(esr);
    }

    fn complete_read(&mut self, access: SysRegAccess, value: u64) {
        let registers = &mut self.vcpu.registers;
        match flags_read(access, registers.pstate, value) {
            Some(pstate) => registers.pstate = pstate,
            None => access.complete_read(&mut registers.x, value),
        }
    }

    fn debug_register(&mut self, register: DebugRegister, access: SysRegAccess) {
        if access.write {
            let value = access.write_value(&self.vcpu.registers.x);
            self.vcpu.debug.write(register, value);
            self.core.load_debug(&self.vcpu.debug);
        } else {
            self.complete_read(access, self.vcpu.debug.read(register));
        }
    }

    /// The physical counter and timer, in virtual time: a restore takes them back.
    fn timer_register(&mut self, register: TimerRegister, access: SysRegAccess) {
        let now = self.vm.virtual_count();
        let vcpu = &mut *self.vcpu;
        if access.write {
            let value = access.write_value(&vcpu.registers.x);
            vcpu.timer.write(register, value, now);
            self.update_timer();
        } else {
            let value = vcpu.timer.read(register, now);
            access.complete_read(&mut vcpu.registers.x, value);
        }
    }

    /// Writes a register for the guest. If the write switches the guest's caches on or off, or makes its table walks go around them, caches and
    /// memory are made to agree.
    #[cold]
    #[inline(never)]
    fn write_stage1_register(&mut self, register: Stage1Register, value: u64) {
        match register {
            Stage1Register::Sctlr => self.write_sctlr(value),
            Stage1Register::Tcr => self.core.write_stage1_register(register, value),
            _ => return self.core.write_stage1_register(register, value),
        }
        let around = !goes_through_caches(self.core.sctlr(), self.core.tcr());
        self.shared.memory.note_caches(self.index, around);
        if around {
            self.shared.memory.clean_if_ahead();
        }
        // As long as memory is behind, it must be seen who begins to read it.
        if register == Stage1Register::Sctlr
            && caches_are_on(value)
            && !self.shared.memory.is_mapped_ahead()
        {
            self.core.untrap_stage1_registers();
            self.shared.memory.take_watched(self.index);
        }
    }

    fn write_sctlr(&mut self, value: u64) {
        let register = Stage1Register::Sctlr;
        match (caches_are_on(self.core.sctlr()), caches_are_on(value)) {
            (false, true) => self.switch_caches_on(value),
            (true, false) => {
                // Off first: no line comes back behind the maintenance.
                self.core.write_stage1_register(register, value);
                self.vm.clean_caches(self.shared);
            }
            _ => self.core.write_stage1_register(register, value),
        }
    }

    /// The guest switches its caches on. By then, the lines must be gone that EL2's map of the guest's memory brought into the caches while
    /// the guest wrote around them: the guest would read the old contents.
    fn switch_caches_on(&mut self, sctlr: u64) {
        // Once: for the vCPUs that follow it is the guest that keeps its memory in order, as it must on any machine.
        if !self.shared.caches_agree {
            self.vm.clean_caches(self.shared);
            self.shared.caches_agree = true;
        }
        // Not before: with the caches on, the guest's regime could bring old lines in at once, if only by speculation.
        self.core
            .write_stage1_register(Stage1Register::Sctlr, sctlr);
    }

    /// DC ISW, CSW or CISW. By set and way a cache is maintained, and not the memory of a VM: other vCPUs' lines in other cores' caches stay,
    /// and other VMs' go (D7.5.9.16, "Cache maintenance by set/way"). What a guest means by its loop is all of its memory: that is cleaned by
    /// address at the first of them. The guest is then about to switch its caches off, or has done so. From here on that is watched, and what
    /// follows of the loop finds the registers trapped and does nothing.
    #[cold]
    #[inline(never)]
    fn flush_and_trap(&mut self) {
        let was_watched = self.shared.memory.take_watched(self.index);
        if self.core.trap_stage1_registers() || was_watched {
            self.vm.clean_caches(self.shared);
        }
    }

    /// Traps the stage 1 registers again if the guest has its caches off. A guest whose registers do not trap can switch its caches off unseen,
    /// having cleaned what it needs by address. This is early enough: the write that switches them on again will trap.
    #[inline(never)]
    pub(super) fn rearm_cache_traps(&mut self) {
        if !caches_are_on(self.core.sctlr()) {
            self.shared.memory.note_caches(self.index, true);
            self.flush_and_trap();
        }
    }
}
