//! What the handlers of a vCPU's exits work on, and what they have the core do next.

use super::backend::Interrupt;
use super::quiesce::Initiator;
use super::reviews::ReviewSchedule;
use super::slot::VcpuSlot;
use super::vcpu::{RunState, Vcpu};
use super::{Core, System, Vm, VmBackend, VmShared};
use crate::arch::sync::Ordering;
use crate::arch::vcpu::ExceptionState;
use crate::trap::aarch32::condition_holds;
use crate::trap::inject::GuestException;
use crate::trap::{Esr, Wfx};

/// What the core does after an exit of the vCPU that it has loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitAction {
    /// Runs the vCPU again.
    Resume,
    /// Runs it again, and looks after each trap for what changes without one.
    Review,
    /// Runs another vCPU, if one is runnable.
    Yield,
    /// Lets the vCPU wait for an interrupt.
    Wait,
    /// Puts the vCPU: it is off, or the gate is closed.
    Put,
    /// Carries out the call of a controller that is in the vCPU's registers: [`LoadedVcpu::run`](super::loaded::LoadedVcpu::run) does.
    Control,
    /// Lets the vCPU wait in RUN for the VM that its slot names.
    Await,
    /// Does what an interrupt of the board asks for that is not only this vCPU's business.
    Interrupt(Interrupt),
    /// EL2 is in the midst of something for the vCPU ([`Unfinished`](super::unfinished::Unfinished)): looks who else wants the core, then goes on with that.
    Unfinished,
}

impl ExitAction {
    /// The vCPU goes on, with a look after each trap if `reviews` says so.
    #[inline]
    pub fn resume(reviews: &ReviewSchedule) -> Self {
        match reviews.is_some() {
            true => Self::Review,
            false => Self::Resume,
        }
    }
}

/// What a handler of an exit works on: the vCPU, loaded on its core, and the locked shared part of its VM.
pub(super) struct ExitContext<'a, B: VmBackend> {
    pub vm: &'a Vm<B>,
    pub shared: &'a mut VmShared<B>,
    pub core: &'a mut B::Core,
    pub vcpu: &'a mut Vcpu<System<B>>,
    /// The vCPU's number.
    pub index: usize,
}

impl<'a, B: VmBackend> ExitContext<'a, B> {
    /// What it takes to do something that the whole VM must stop for.
    pub fn initiator(&mut self) -> (&Vm<B>, &mut VmShared<B>, Initiator<'_, B>) {
        let initiator = Initiator {
            core: self.core,
            vcpu: Some((self.index, self.vcpu)),
        };
        (self.vm, self.shared, initiator)
    }

    /// The vCPU's place in its VM.
    #[inline]
    pub fn slot(&self) -> &'a VcpuSlot<System<B>> {
        &self.vm.vcpus[self.index]
    }

    /// A wait instruction that trapped.
    #[inline(never)]
    pub fn wait_instruction(mut self, wait: Wfx, esr: Esr) -> ExitAction {
        // A WFI of A32 or T32 whose condition fails is not executed.
        let waits = wait == Wfx::Wfi && condition_holds(esr, self.vcpu.registers.pstate);
        self.step_over(esr);
        match waits {
            true => self.wait(),
            false => ExitAction::Yield,
        }
    }

    /// What the machine does not have.
    #[cold]
    #[inline(never)]
    pub fn refuse(mut self, exception: GuestException) -> ExitAction {
        self.inject(exception);
        ExitAction::Resume
    }

    /// Moves the pc behind the instruction that trapped.
    pub fn step_over(&mut self, esr: Esr) {
        self.vcpu.step_over(esr);
    }

    /// Has the vCPU take an exception to its EL1.
    pub fn inject(&mut self, exception: GuestException) {
        let registers = &mut self.vcpu.registers;
        let before = ExceptionState {
            pc: registers.pc,
            pstate: registers.pstate,
            ..self.core.exception_state()
        };
        let after = before.take(exception, self.core.pstate_features());
        [registers.pc, registers.pstate] = [after.pc, after.pstate];
        self.core.set_exception_state(&after);
    }

    /// The vCPU goes on.
    #[inline]
    pub fn resume(&self) -> ExitAction {
        ExitAction::resume(&self.vcpu.reviews)
    }

    /// What the vCPU does after a restore or a reset, which it asked for and which may have overwritten it.
    pub fn resume_restored(&mut self) -> ExitAction {
        let run_state = self.slot().run_state();
        // The alarm was set for the emulated timer as it was before, and the UART may have room again, or its console none.
        let polls_uart = self.shared.devices.are_interrupted_by_console();
        if run_state != RunState::Off && (polls_uart || self.vcpu.timer.deadline().is_some()) {
            // No store: the console may have set the flag meanwhile.
            self.vm.input.fetch_or(polls_uart, Ordering::Relaxed);
            self.process_requests();
        } else if polls_uart {
            // Another one is on.
            self.vm.request_input(self.core);
        }
        match self.slot().run_state() {
            RunState::Off => ExitAction::Put,
            // A wait, too: whoever controls the VM is told when it is put.
            _ if self.vm.gate.is_closed_to(self.index) => ExitAction::Put,
            RunState::Waiting => self.resume_wait(),
            RunState::Ready => self.resume_unless_unfinished(),
        }
    }

    fn resume_unless_unfinished(&self) -> ExitAction {
        match self.vcpu.unfinished.is_some() {
            true => ExitAction::Unfinished,
            false => self.resume(),
        }
    }

    /// The restored vCPU waits, if nothing is pending for it.
    #[cold]
    fn resume_wait(&mut self) -> ExitAction {
        self.note_timers();
        self.wake_if_pending();
        match self.slot().is_waiting() {
            true => ExitAction::Wait,
            false => self.resume_unless_unfinished(),
        }
    }
}
