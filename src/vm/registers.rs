//! A guest's access to a system register that traps.

use super::running::Turn;
use super::{Core, Hardware};
use crate::trap::access::{read_register, write_register};
use crate::trap::inject::GuestException;
use crate::trap::syndrome::{Esr, SysRegAccess};
use crate::trap::sysreg::{self, Answer, TimerRegister, VmRegister, caches_are_on};

impl<H: Hardware> Turn<'_, H> {
    pub(super) fn system_register(&mut self, access: SysRegAccess, esr: Esr) {
        let core = &mut *self.core;
        match sysreg::answer(access, |reg| core.id_register(reg)) {
            Answer::Value(value) => {
                write_register(&mut self.vcpu.registers.x, access.rt, value);
            }
            Answer::Ignored => {}
            Answer::Write(register) => {
                let value = read_register(&self.vcpu.registers.x, access.rt);
                self.write_vm_register(register, value);
            }
            Answer::Timer(register) => self.timer_register(register, access),
            Answer::Undefined => return self.inject(GuestException::Undefined),
        }
        self.step_over(esr);
    }

    /// The physical counter and timer, in virtual time: a restore takes them back.
    fn timer_register(&mut self, register: TimerRegister, access: SysRegAccess) {
        let now = self.vm.virtual_count();
        let vcpu = &mut *self.vcpu;
        if access.write {
            let value = read_register(&vcpu.registers.x, access.rt);
            vcpu.timer.write(register, value, now);
            self.update_timer();
        } else {
            let value = vcpu.timer.read(register, now);
            write_register(&mut vcpu.registers.x, access.rt, value);
        }
    }

    /// Writes a register for the guest. When that switches its caches on, nothing that EL2's map of the guest's memory brought into them
    /// while it wrote around them may be there any more: the guest would read what was there before.
    fn write_vm_register(&mut self, register: VmRegister, value: u64) {
        self.core.write_vm_register(register, value);
        if register == VmRegister::Sctlr && caches_are_on(value) {
            let machine = &mut self.shared.machine;
            let hardware = &mut machine.hardware;
            machine
                .stage2
                .each_present(|at, bytes| hardware.clean_and_invalidate(at, bytes));
            self.core.release_vm_registers();
        }
    }
}
