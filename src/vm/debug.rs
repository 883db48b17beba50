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
use super::quiesce::{OFF, PAUSED, STOPPED, StoppedVcpus};
use super::target::Reason;
use super::vcpu::{RunState, Vcpu};
use super::{Core, System, Vm, VmBackend, VmShared};
use crate::arch::sync::Ordering;
use crate::arch::vcpu::Registers;
use crate::device::caught::{Catch, Comparator, VcpuDebug};
use crate::hvc::{Results, error};
use crate::trap::Esr;
use crate::trap::debug::DebugFeatures;
use crate::trap::inject::GuestException;
use crate::trap::sysreg::SysReg;

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
            // It is not executed, and the exception saves PSTATE as the guest has it.
            let now = self.core.exception_return();
            self.vcpu.debug.hide_step(&mut self.vcpu.registers, now);
            self.inject(GuestException::BreakpointInstruction { esr: esr.0 });
            return ExitAction::Resume;
        }
        let takes_own_step = self.vcpu.debug.takes_own_step(self.vcpu.registers.pstate);
        let now = self.core.exception_return();
        if let Some(spsr) = self.vcpu.debug.end_step(&mut self.vcpu.registers, now) {
            self.core.set_saved_pstate(spsr);
        }
        if class == Esr::EC_STEP_LOWER {
            if takes_own_step {
                self.inject(GuestException::SoftwareStep);
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
}

impl<B: VmBackend> Vm<B> {
    /// CATCH of this VM.
    #[inline(never)]
    pub(super) fn catch(&self, core: &mut B::Core, what: u64) -> Result<Results, i64> {
        let what = Catch::decode(what).ok_or(error::INVALID_PARAMETER)?;
        let [breakpoints, watchpoints] = comparators(core);
        self.change_debug(core, |vcpu| {
            vcpu.debug.catch(what, &mut vcpu.registers.pstate);
        });
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
        self.change_debug(core, |vcpu| vcpu.debug.set_comparator(comparator));
        Ok(Results::SUCCESS)
    }

    /// Changes what all vCPUs have. A vCPU that was loaded is loaded again, and its core has the change.
    fn change_debug(&self, core: &mut B::Core, change: impl Fn(&mut Vcpu<System<B>>)) {
        let mut shared = self.lock_from_outside();
        if let Some(target) = &mut shared.target {
            target.is_debugged = true;
        }
        let mut stopped = self.quiesce(core, None);
        for (_, vcpu) in stopped.iter_mut() {
            change(vcpu);
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
                end_step_of::<B::Core>(vcpu);
                vcpu.debug.release(&mut vcpu.registers.pstate);
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
    /// end at any time. Nor does it wait in RUN: that is the instruction, and returns that it was interrupted. The caller holds the shared part of this VM,
    /// which is stopped.
    #[cold]
    #[inline(never)]
    pub(super) fn begin_step(&self, core: &mut B::Core, vcpu: usize) {
        let mut stopped = self.quiesce(core, None);
        self.end_last_step(&mut stopped);
        if let Some(stepping) = stopped.get(vcpu) {
            let slot = &self.vcpus[vcpu];
            let back = B::Core::saved_exception_return(&stepping.system);
            stepping.debug.begin_step(&mut stepping.registers, back);
            // Unless another core has just woken it: then its RUN returns what there is to be told.
            if stepping.in_run && slot.take_awaits() {
                stepping.interrupt_run();
            }
            if !stepping.in_run {
                slot.end_wait();
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
        self.end_last_step(&mut stopped);
        self.end_stop(stopped);
    }

    fn end_last_step(&self, stopped: &mut StoppedVcpus<'_, System<B>>) {
        if let Some(vcpu) = self.gate.stepping().and_then(|n| stopped.get(n)) {
            end_step_of::<B::Core>(vcpu);
        }
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

/// What is left of an instruction that a vCPU, which is not loaded, was to execute by itself is nothing any more.
fn end_step_of<C: Core>(vcpu: &mut Vcpu<C::System>) {
    let now = C::saved_exception_return(&vcpu.system);
    if let Some(spsr) = vcpu.debug.end_step(&mut vcpu.registers, now) {
        C::set_saved_pstate_of(&mut vcpu.system, spsr);
    }
}

/// Takes out of a copy of a vCPU's registers, which is not loaded, what is there for the instruction that it is to execute by itself.
#[cold]
#[inline(never)]
pub(super) fn hide_step<C: Core>(
    debug: &VcpuDebug,
    registers: &mut Registers,
    system: &mut C::System,
) {
    let now = C::saved_exception_return(system);
    if let Some(spsr) = debug.hide_step(registers, now) {
        C::set_saved_pstate_of(system, spsr);
    }
}

/// How many breakpoints the CPU has, and how many watchpoints.
fn comparators<C: Core>(core: &mut C) -> [usize; 2] {
    let dfr0 = core.id_register(SysReg::id(5, 0));
    DebugFeatures::from_id_register(dfr0).comparators()
}
