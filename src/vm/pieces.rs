//! What takes EL2 long is done in pieces, so that no other VM waits for it.
//!
//! A trap that is done in pieces has not happened yet: until its last piece the pc is at its instruction, and no register of the vCPU has
//! changed. So a snapshot that is taken in the midst has that instruction run again, and a restore, or a reset, ends it by overwriting the
//! vCPU. Between two pieces the VM's shared part is unlocked, and its other vCPUs run; but the vCPU itself does not: whenever a core runs it, EL2
//! goes on first. The core takes its interrupts between two pieces, and gives the vCPU's place to another if its slice is over. Each time that
//! the vCPU is loaded, one piece at the least is done.
//!
//! A piece takes about 30,000 instructions at the most.

use super::exit::{ExitAction, ExitContext};
use super::loaded::LoadedVcpu;
use super::unfinished::Begun;
use super::{Core, VmBackend, VmShared};
use crate::trap::Esr;
use crate::trap::access::{step_back, step_over};
use crate::trap::sysreg::SysRegAccess;

/// Bytes of HVC and of SMC.
const CALL_BYTES: u64 = 4;

impl<B: VmBackend> LoadedVcpu<'_, B> {
    /// Goes on with what the vCPU is in the midst of: one piece of it.
    #[cold]
    #[inline(never)]
    pub(super) fn go_on(&mut self, core: &mut B::Core) -> ExitAction {
        let Some(mut shared) = self.vm.lock_shared_or_leave() else {
            return match self.vm.gate.is_closed_to(self.index) {
                true => ExitAction::Put,
                // All of the VM's vCPUs may be at it. Who has the lock goes on with it: this core sees to its interrupts, and comes back.
                false => ExitAction::Unfinished,
            };
        };
        if self.vcpu.unfinished.is_loading() {
            // Somebody else may have done it, who was to see it. No walk of the vCPU's finds tables as they were and as they are.
            core.save_system(&mut self.vcpu.system);
            core.begin_replacement();
            let is_loading = !shared.load_piece();
            self.vcpu.unfinished.set_loading(is_loading);
            core.load_system(&self.vcpu.system);
        } else if self.vcpu.unfinished.is_rearming() {
            self.context(&mut shared, core).rearm_piece();
        } else if let Some(begun) = self.vcpu.unfinished.take_begun() {
            let action = self.try_again(begun, &mut shared, core);
            if action != ExitAction::Resume {
                return action;
            }
        }
        match self.vcpu.unfinished.is_some() {
            true => ExitAction::Unfinished,
            false => ExitAction::Resume,
        }
    }

    fn try_again(
        &mut self,
        begun: Begun,
        shared: &mut VmShared<B>,
        core: &mut B::Core,
    ) -> ExitAction {
        match begun {
            Begun::Hypercall(immediate) => {
                let registers = &mut self.vcpu.registers;
                step_over(&mut registers.pc, &mut registers.pstate, CALL_BYTES);
                self.hypercall(shared, core, immediate)
            }
            Begun::Register(access, esr) => self.context(shared, core).system_register(access, esr),
        }
    }
}

impl<B: VmBackend> ExitContext<'_, B> {
    /// The hypercall with this immediate, whose return address is in the pc, is not done yet.
    #[cold]
    pub(super) fn unfinished_call(&mut self, immediate: u16) -> ExitAction {
        let registers = &mut self.vcpu.registers;
        step_back(&mut registers.pc, &mut registers.pstate);
        self.vcpu.unfinished.begin(Begun::Hypercall(immediate));
        ExitAction::Unfinished
    }

    /// The access to a system register, whose instruction the pc is at, is not done yet.
    #[cold]
    pub(super) fn unfinished_access(&mut self, access: SysRegAccess, esr: Esr) -> ExitAction {
        self.vcpu.unfinished.begin(Begun::Register(access, esr));
        ExitAction::Unfinished
    }
}
