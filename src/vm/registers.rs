//! A guest's access to a system register that traps.

use super::running::Turn;
use super::{Core, Hardware};
use crate::trap::aarch32::{condition_holds, flags_read};
use crate::trap::debug::DebugRegister;
use crate::trap::inject::GuestException;
use crate::trap::syndrome::{Esr, SysRegAccess};
use crate::trap::sysreg::{self, Answer, TimerRegister, VmRegister, caches_are_on};

impl<H: Hardware> Turn<'_, H> {
    pub(super) fn system_register(&mut self, access: SysRegAccess, esr: Esr) {
        if !condition_holds(esr, self.vcpu.registers.pstate) {
            return self.step_over(esr);
        }
        let core = &mut *self.core;
        match sysreg::answer(access, |reg| core.id_register(reg)) {
            Answer::Value(value) => self.give(access, value),
            Answer::Ignored => {}
            Answer::Write(register) => {
                let value = access.written(&self.vcpu.registers.x);
                self.write_vm_register(register, value);
            }
            Answer::Timer(register) => self.timer_register(register, access),
            Answer::Debug(register) => self.debug_register(register, access),
            Answer::Undefined => return self.inject(GuestException::Undefined),
        }
        self.step_over(esr);
    }

    fn give(&mut self, access: SysRegAccess, value: u64) {
        let registers = &mut self.vcpu.registers;
        match flags_read(access, registers.pstate, value) {
            Some(pstate) => registers.pstate = pstate,
            None => access.give(&mut registers.x, value),
        }
    }

    fn debug_register(&mut self, register: DebugRegister, access: SysRegAccess) {
        if access.write {
            let value = access.written(&self.vcpu.registers.x);
            self.vcpu.debug.write(register, value);
            self.core.load_debug(&self.vcpu.debug);
        } else {
            self.give(access, self.vcpu.debug.read(register));
        }
    }

    /// The physical counter and timer, in virtual time: a restore takes them back.
    fn timer_register(&mut self, register: TimerRegister, access: SysRegAccess) {
        let now = self.vm.virtual_count();
        let vcpu = &mut *self.vcpu;
        if access.write {
            let value = access.written(&vcpu.registers.x);
            vcpu.timer.write(register, value, now);
            self.update_timer();
        } else {
            let value = vcpu.timer.read(register, now);
            access.give(&mut vcpu.registers.x, value);
        }
    }

    /// Writes a register for the guest. When that switches its caches on, nothing that EL2's map of the guest's memory brought into them
    /// while it wrote around them may be there any more: the guest would read what was there before.
    fn write_vm_register(&mut self, register: VmRegister, value: u64) {
        self.core.write_vm_register(register, value);
        if register == VmRegister::Sctlr && caches_are_on(value) {
            // Once: for the vCPUs that follow it is the guest that keeps its memory in order, as it must on any machine.
            if !core::mem::replace(&mut self.shared.caches_agree, true) {
                let machine = &mut self.shared.machine;
                let hardware = &mut machine.hardware;
                machine
                    .stage2
                    .each_present(|at, bytes| hardware.clean_and_invalidate(at, bytes));
            }
            self.core.release_vm_registers();
        }
    }
}
