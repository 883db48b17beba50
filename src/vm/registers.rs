//! A guest's access to a system register that traps.

use super::exit::{ExitAction, ExitContext};
use super::memory::CLEANED_AT_A_TIME;
use super::{Core, Vm, VmBackend, VmShared};
use crate::addr::{PAGE_SIZE, Pa};
use crate::arch::vcpu::Stage1Register;
use crate::snapshot::Page;
use crate::trap::aarch32::{condition_holds, flags_read};
use crate::trap::answer::answer;
use crate::trap::esr::Esr;
use crate::trap::inject::GuestException;
use crate::trap::sysreg::{
    Answer, DebugRegister, SysRegAccess, TimerRegister, caches_are_on, goes_through_caches,
};

impl<B: VmBackend> Vm<B> {
    /// Cleans all of the VM's memory out of the caches, its windows too: a piece of it, from page `next` on, which counts on from RAM into the
    /// windows, one behind the other. Returns whether that is done; `next` is 0 again then. Caches and memory are not taken to agree until a vCPU
    /// switches its caches on.
    pub(super) fn clean_piece(&self, shared: &mut VmShared<B>, next: &mut Page) -> bool {
        shared.caches_agree = false;
        let ram = shared.snapshots.pages();
        if *next < ram {
            if !shared.memory.clean_piece(next) {
                return false;
            }
            *next = ram;
        }
        let mut in_windows = *next - ram;
        let is_clean = shared.clean_windows(&mut in_windows);
        *next = if is_clean { 0 } else { ram + in_windows };
        is_clean
    }
}

impl<B: VmBackend> VmShared<B> {
    /// A vCPU goes on around the caches, at a restore or a reset: it is to find in the windows what was stored there through them. They are cleaned in
    /// pieces, before it goes on ([`load_piece`](Self::load_piece)).
    pub(super) fn note_around(&mut self) {
        self.unclean_windows = (!self.windows.is_empty()).then_some(0);
    }

    /// Cleans the VM's windows out of the caches: a piece of them, from page `next` on, which counts on from one window into the next. Returns whether
    /// that is done.
    pub(super) fn clean_windows(&mut self, next: &mut Page) -> bool {
        let mut begin = 0;
        for window in self.windows {
            let end = begin + (window.bytes / PAGE_SIZE) as Page;
            if *next < end {
                let backend = &mut self.memory.backend;
                let first = u64::from(*next - begin) * PAGE_SIZE;
                let bytes = (window.bytes - first).min(u64::from(CLEANED_AT_A_TIME) * PAGE_SIZE);
                let at = backend.window_base(window.number).0 + first;
                backend.clean_and_invalidate(Pa(at), bytes);
                *next += (bytes / PAGE_SIZE) as Page;
                return false;
            }
            begin = end;
        }
        true
    }
}

impl<B: VmBackend> ExitContext<'_, B> {
    /// A trapped access to a system register.
    #[inline(never)]
    pub(super) fn system_register(mut self, access: SysRegAccess, esr: Esr) -> ExitAction {
        match self.access_register(access, esr) {
            true => ExitAction::Resume,
            false => self.unfinished_access(access, esr),
        }
    }

    /// Returns whether the access is done; if not, nothing has happened yet.
    #[inline]
    fn access_register(&mut self, access: SysRegAccess, esr: Esr) -> bool {
        if !condition_holds(esr, self.vcpu.registers.pstate) {
            self.step_over(esr);
            return true;
        }
        let core = &mut *self.core;
        let mut is_done = true;
        match answer(access, |reg| core.id_register(reg)) {
            Answer::Value(value) => self.complete_read(access, value),
            Answer::Ignored => {}
            Answer::Write(register) => {
                let value = access.write_value(&self.vcpu.registers.x);
                is_done = self.write_stage1_register(register, value);
            }
            Answer::Timer(register) => self.timer_register(register, access),
            Answer::SetWay => is_done = self.flush_and_trap(),
            Answer::Debug(register) => self.debug_register(register, access),
            Answer::Undefined => {
                self.inject(GuestException::Undefined);
                return true;
            }
        }
        if is_done {
            self.step_over(esr);
        }
        is_done
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
    /// memory are made to agree before it. Returns whether it is done.
    ///
    /// The guest's caches are on until its memory is clean, where they are switched off. A line that comes back meanwhile is clean, and so it does
    /// no harm: the vCPU stores nothing, and what EL2 reads around the caches later on, it cleans first. Other vCPUs that store through the caches
    /// keep their memory in order by themselves, as on any machine.
    #[cold]
    #[inline(never)]
    fn write_stage1_register(&mut self, register: Stage1Register, value: u64) -> bool {
        let (sctlr, tcr) = match register {
            Stage1Register::Sctlr => (value, self.core.tcr()),
            Stage1Register::Tcr => (self.core.sctlr(), value),
            _ => {
                self.core.write_stage1_register(register, value);
                return true;
            }
        };
        let (were_on, are_on) = (caches_are_on(self.core.sctlr()), caches_are_on(sctlr));
        let around = !goes_through_caches(sctlr, tcr);
        if around {
            self.shared.memory.caches.note(self.index, true);
        }
        let is_clean = match (were_on, are_on) {
            // Once: for the vCPUs that follow it is the guest that keeps its memory in order, as it must on any machine. By then, the lines must
            // be gone that EL2's map of the guest's memory brought into the caches while the guest wrote around them: the guest would read the
            // old contents.
            (false, true) => self.shared.caches_agree || self.clean_caches(),
            (true, false) => self.clean_caches(),
            _ if around => {
                let next = &mut self.vcpu.unfinished.cleaned;
                self.shared.memory.clean_if_ahead(next)
            }
            _ => true,
        };
        if !is_clean {
            return false;
        }
        // Not before, if the caches are switched on: the guest's regime could bring old lines in at once, if only by speculation.
        self.core.write_stage1_register(register, value);
        self.shared.caches_agree |= !were_on && are_on;
        self.shared.memory.caches.note(self.index, around);
        // As long as memory is behind, it must be seen who begins to read it.
        if register == Stage1Register::Sctlr
            && are_on
            && !self.shared.memory.caches.is_mapped_ahead()
        {
            self.core.untrap_stage1_registers();
            self.shared.memory.caches.forget_watched(self.index);
        }
        true
    }

    /// A piece of [`Vm::clean_piece`]; returns whether that is done.
    fn clean_caches(&mut self) -> bool {
        self.vm
            .clean_piece(self.shared, &mut self.vcpu.unfinished.cleaned)
    }

    /// DC ISW, CSW or CISW. By set and way a cache is maintained, and not the memory of a VM: other vCPUs' lines in other cores' caches stay,
    /// and other VMs' go (D7.5.9.16, "Cache maintenance by set/way"). What a guest means by its loop is all of its memory: that is cleaned by
    /// address at the first of them. The guest is then about to switch its caches off, or has done so. From here on that is watched, and what
    /// follows of the loop finds the registers trapped and does nothing.
    ///
    /// Returns whether that is done. Nothing says so before all is clean: a snapshot that is taken in the midst begins with all of it again.
    #[cold]
    #[inline(never)]
    fn flush_and_trap(&mut self) -> bool {
        let is_watched = self.shared.memory.caches.is_watched(self.index);
        if self.core.traps_stage1_registers() && !is_watched {
            return true;
        }
        let is_done = self.clean_caches();
        if is_done {
            self.core.trap_stage1_registers();
            self.shared.memory.caches.forget_watched(self.index);
        }
        is_done
    }

    /// Traps the stage 1 registers again if the guest has its caches off. A guest whose registers do not trap can switch its caches off unseen,
    /// having cleaned what it needs by address. This is early enough: the write that switches them on again will trap. What there is to clean
    /// before the vCPU goes on, it is in the midst of then ([`rearm_piece`](Self::rearm_piece)).
    #[inline(never)]
    pub(super) fn rearm_cache_traps(&mut self) {
        if !caches_are_on(self.core.sctlr()) {
            self.shared.memory.caches.note(self.index, true);
            let is_watched = self.shared.memory.caches.is_watched(self.index);
            if is_watched || !self.core.traps_stage1_registers() {
                self.vcpu.unfinished.set_rearming(true);
            }
        }
    }

    /// A piece of that.
    pub(super) fn rearm_piece(&mut self) {
        let is_rearming = !self.flush_and_trap();
        self.vcpu.unfinished.set_rearming(is_rearming);
    }
}
