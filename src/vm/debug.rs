//! Debug exceptions that a VM's controller catches: what it catches, one instruction of a vCPU, and what stops the VM.
//!
//! The instruction that a vCPU executes by itself is over when the next debug exception comes from it. PSTATE.SS says how far that is (Arm ARM DDI 0487,
//! D2.12.3, "The software step state machine"):
//!
//! | what became of the instruction | PSTATE.SS | the CPU, back in the guest |
//! | --- | --- | --- |
//! | nothing yet, or EL2 has it tried again (a fault, an interrupt of the board) | 1 | executes it |
//! | it was executed; or EL2 did that in its place and stepped over it | 0 | takes the step exception |
//! | it took an exception to EL1, or EL2 injected one | 0 | takes the step exception, at the vector |
//!
//! A vCPU that has none to take any more, as it waits or is off, is found by [`Vm::limit`].

use super::clock::NEVER;
use super::exit::{ExitAction, ExitContext};
use super::quiesce::{OFF, PAUSED, STOPPED};
use super::target::Reason;
use super::vcpu::RunState;
use super::{Core, Vm, VmBackend, VmShared};
use crate::arch::sync::Ordering;
use crate::device::caught::{Catch, Comparator, VcpuDebug};
use crate::hvc::{Results, error};
use crate::trap::Esr;
use crate::trap::debug::DebugFeatures;
use crate::trap::inject::GuestException;
use crate::trap::sysreg::SysReg;

/// PSTATE.SS, in SPSR_EL1.
const SS: u64 = 1 << 21;
/// Bytes of the vectors of an exception level, and of one of them.
const VECTORS: u64 = 0x800;
const VECTOR: u64 = 0x80;

/// ESR_EL2 of a software step without ISV: IL is 1, and DFSC says "debug exception".
const STEP: u64 = (Esr::EC_STEP_LOWER as u64) << 26 | 1 << 25 | 0b10_0010;

impl<B: VmBackend> ExitContext<'_, B> {
    /// A debug exception that came to EL2.
    #[cold]
    #[inline(never)]
    pub(super) fn debug_exception(mut self, esr: Esr, far: u64) -> ExitAction {
        let class = esr.class();
        if !self.vcpu.debug.is_caught() {
            // None of those that a guest could have: what is not caught goes to its EL1.
            return self.refuse(GuestException::Undefined);
        }
        if matches!(class, Esr::EC_BRK64 | Esr::EC_BKPT32) && !self.vcpu.debug.catches_brk(esr) {
            self.vcpu.debug.hide_step(&mut self.vcpu.registers.pstate);
            self.inject(GuestException::BreakpointInstruction { esr: esr.0 });
            return ExitAction::Resume;
        }
        let step = self.vcpu.debug.end_step(&mut self.vcpu.registers.pstate);
        if class == Esr::EC_STEP_LOWER {
            if let Some(from) = step {
                self.hide_saved_step(from);
            }
            if self.vm.gate.stepping() != Some(self.index) {
                // The VM was stopped before that, and runs on now.
                self.core.load_debug(&self.vcpu.debug);
                return ExitAction::Resume;
            }
        }
        let far = match class {
            Esr::EC_WATCHPOINT_LOWER => far,
            _ => 0,
        };
        let reason = Reason::Debug([self.index as u64, esr.0, far]);
        let (vm, shared, initiator) = self.initiator();
        vm.stop(shared, initiator.core, initiator.index(), Some(reason));
        // Who puts it tells the controller.
        ExitAction::Put
    }

    /// If the instruction at `from` took an exception to EL1 in place of being executed, SPSR_EL1 has PSTATE.SS of the controller's step
    /// (`AArch64.TakeException`), which is no business of the guest's.
    fn hide_saved_step(&mut self, from: u64) {
        let vectors = self.core.exception_state().vbar & !(VECTORS - 1);
        let offset = self.vcpu.registers.pc.wrapping_sub(vectors);
        let [elr, spsr] = self.core.exception_return();
        if offset < VECTORS && offset.is_multiple_of(VECTOR) && elr == from {
            self.core.set_saved_pstate(spsr & !SS);
        }
    }
}

impl<B: VmBackend> Vm<B> {
    /// CATCH of this VM.
    #[inline(never)]
    pub(super) fn catch(&self, core: &mut B::Core, what: u64) -> Result<Results, i64> {
        let what = Catch::decode(what).ok_or(error::INVALID_PARAMETER)?;
        let [breakpoints, watchpoints] = comparators(core);
        self.change_debug(core, |debug| debug.catch(what));
        Ok(Results::of([0, breakpoints as u64, watchpoints as u64]))
    }

    /// BREAKPOINT of this VM.
    #[inline(never)]
    pub(super) fn set_comparator(
        &self,
        core: &mut B::Core,
        arguments: [u64; 4],
    ) -> Result<Results, i64> {
        let comparator = Comparator::decode(arguments, comparators(core));
        let comparator = comparator.ok_or(error::INVALID_PARAMETER)?;
        self.change_debug(core, |debug| debug.set_comparator(comparator));
        Ok(Results::SUCCESS)
    }

    /// Changes what all vCPUs have. A vCPU that was loaded is loaded again, and its core has the change.
    fn change_debug(&self, core: &mut B::Core, change: impl Fn(&mut VcpuDebug)) {
        let mut shared = self.lock_from_outside();
        if let Some(target) = &mut shared.target {
            target.is_debugged = true;
        }
        let mut stopped = self.quiesce(core, None);
        for (_, vcpu) in stopped.iter_mut() {
            change(&mut vcpu.debug);
        }
        self.release(core, stopped);
        if !self.gate.is_closed_for(STOPPED) {
            // It may want this core, which it did not want before.
            core.set_alarm_no_later(B::Core::physical_count());
        }
    }

    /// Its controller, which had it stopped, is gone: nothing is caught any more. The caller holds the shared part, and its core has no vCPU of this VM
    /// loaded.
    pub(super) fn end_debugging(&self, shared: &mut VmShared<B>, core: &mut B::Core) {
        if let Some(target) = &mut shared.target
            && core::mem::take(&mut target.is_debugged)
        {
            let mut stopped = self.quiesce(core, None);
            for (_, vcpu) in stopped.iter_mut() {
                vcpu.debug.release();
            }
            self.end_stop(stopped);
        }
    }

    /// Whether RUN can have the vCPU before number `step` execute one instruction.
    #[cold]
    pub(super) fn can_step(&self, step: u64) -> bool {
        let vcpu = usize::try_from(step).ok().and_then(|n| n.checked_sub(1));
        let slot = vcpu.and_then(|vcpu| self.vcpus.get(vcpu));
        slot.is_some_and(|slot| slot.run_state() != RunState::Off)
    }

    /// Once the VM goes on, vCPU number `vcpu` executes one instruction, and all others stand. If it waits for an interrupt, it does not any more: a WFI may
    /// end at any time. The caller holds the shared part of this VM, which is stopped.
    #[cold]
    #[inline(never)]
    pub(super) fn begin_step(&self, core: &mut B::Core, vcpu: usize) {
        let mut stopped = self.quiesce(core, None);
        if let Some(stepping) = stopped.get(vcpu) {
            stepping.debug.begin_step(&mut stepping.registers);
            if !stepping.in_run {
                self.vcpus[vcpu].end_wait();
            }
        }
        self.gate.let_step(vcpu);
        self.end_stop(stopped);
    }

    /// What is left of an instruction that was to be executed by itself, and perhaps was not, is nothing any more: breakpoints hold for it. The caller holds
    /// the shared part of this VM, which is stopped.
    #[cold]
    #[inline(never)]
    pub(super) fn end_step(&self, core: &mut B::Core) {
        let mut stopped = self.quiesce(core, None);
        if let Some(vcpu) = self.gate.stepping().and_then(|n| stopped.get(n)) {
            vcpu.debug.end_step(&mut vcpu.registers.pstate);
        }
        self.end_stop(stopped);
    }

    /// [`limit`](Self::limit) of a VM that stands still, or of which one vCPU executes one instruction. That is over at once if the vCPU waits for an interrupt
    /// or is off by now: no exception would come from it.
    pub(super) fn limit_of_step(&self) -> u64 {
        if self.gate.is_closed_for(PAUSED | STOPPED | OFF) {
            return NEVER;
        }
        match self.overdue_step() {
            Some(_) => 0,
            None => self.limit.load(Ordering::Relaxed),
        }
    }

    /// What RUN returns for that.
    #[cold]
    pub(super) fn overdue_step(&self) -> Option<Reason> {
        let vcpu = self.gate.stepping()?;
        let executes = self.vcpus[vcpu].run_state() == RunState::Ready;
        (!executes).then_some(Reason::Debug([vcpu as u64, STEP, 0]))
    }
}

/// How many breakpoints the CPU has, and how many watchpoints.
fn comparators<C: Core>(core: &mut C) -> [usize; 2] {
    let dfr0 = core.id_register(SysReg::id(5, 0));
    DebugFeatures::from_id_register(dfr0).comparators()
}
