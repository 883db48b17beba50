//! A vCPU on a core: loaded, run from trap to trap, and put back.

use super::backend::Interrupt;
use super::saved::Asker;
use super::vcpu::{Lists, NEVER, Phase, Vcpu};
use super::{Core, Hardware, Identity, Shared, System, Vm};
use crate::arch::MutexGuard;
use crate::arch::sync::Ordering;
use crate::arch::vcpu::ExceptionState;
use crate::arch::vcpu::{Trap, TrapKind};
use crate::device::gic::Interface;
use crate::trap::aarch32::condition_holds;
use crate::trap::access::{step_back, step_over};
use crate::trap::inject::GuestException;
use crate::trap::{Esr, Exit, Wfx};

/// What comes after a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The vCPU goes on.
    Resume,
    /// It goes on, but is looked at after each trap for a while.
    Review,
    /// It would rather let another one run.
    Yield,
    /// It waits for an interrupt.
    Wait,
    /// It must leave the core: it is off, or the gate is closed.
    Leave,
    /// An interrupt of the board that is not only this vCPU's business.
    Interrupt(Interrupt),
}

/// A vCPU that is loaded on a core.
pub struct Running<'a, H: Hardware> {
    /// Its VM.
    pub vm: &'a Vm<H>,
    pub(super) index: usize,
    pub(super) vcpu: MutexGuard<'a, Vcpu<System<H>>>,
}

/// A vCPU's turn with what it shares with the others: what a handler works on.
pub(super) struct Turn<'a, H: Hardware> {
    pub vm: &'a Vm<H>,
    pub shared: &'a mut Shared<H>,
    pub core: &'a mut H::Core,
    pub vcpu: &'a mut Vcpu<System<H>>,
    pub index: usize,
}

impl<H: Hardware> Vm<H> {
    /// Loads a vCPU on the core that it is pinned to, if it may run.
    pub fn load_vcpu<'a>(&'a self, core: &mut H::Core, index: usize) -> Option<Running<'a, H>> {
        let slot = &self.vcpus[index];
        let mut vcpu = slot.try_lock()?;
        if self.gate.is_closed() || slot.phase() == Phase::Off {
            return None;
        }
        let mut shared = self.share()?;
        core.adopt(&Identity {
            name: self.plan.name,
            vm: self.number,
            vcpu: index,
            root: shared.machine.stage2.root(),
        });
        // The count first: a timer that is loaded before would be compared with the count of another time.
        core.set_virtual_offset(self.offset());
        core.load_system(&vcpu.system);
        core.load_debug(&vcpu.debug);
        core.set_interface(vcpu.interface);
        let called = shared.gic.settle(index, &mut vcpu.lists);
        self.call(core, called);
        slot.is_called();
        let mut running = Running {
            vm: self,
            index,
            vcpu,
        };
        let mut turn = running.turn(&mut shared, core);
        turn.core
            .set_timer_active(turn.shared.gic.timer_is_active(index));
        turn.look();
        Some(running)
    }
}

impl<'a, H: Hardware> Running<'a, H> {
    pub(super) fn turn<'b>(
        &'b mut self,
        shared: &'b mut Shared<H>,
        core: &'b mut H::Core,
    ) -> Turn<'b, H> {
        Turn {
            vm: self.vm,
            shared,
            core,
            vcpu: &mut self.vcpu,
            index: self.index,
        }
    }

    /// Runs it until it cannot go on by itself.
    // A function of its own: with the scheduler's registers in use too, each trap would go through the stack.
    #[inline(never)]
    pub fn run(&mut self, core: &mut H::Core) -> Next {
        if self.vcpu.waiting {
            match self.wake(core) {
                Next::Resume => {}
                other => return other,
            }
        }
        let mut reviewed = self.vcpu.reviews.is_some();
        if reviewed {
            match self.review(core) {
                Next::Resume => reviewed = false,
                Next::Review => {}
                other => return other,
            }
        }
        let mut exits = 0;
        loop {
            exits += 1;
            match self.step(core) {
                Next::Resume if !reviewed => {}
                next => match self.after_step(core, next, reviewed) {
                    Next::Resume => reviewed = false,
                    Next::Review => reviewed = true,
                    other => {
                        self.vm.vcpus[self.index].add_exits(exits);
                        return other;
                    }
                },
            }
        }
    }

    /// What comes after a trap that `next` comes after, with a look at what changes without a trap if the vCPU is `reviewed`.
    #[inline(never)]
    fn after_step(&mut self, core: &mut H::Core, next: Next, reviewed: bool) -> Next {
        match next {
            Next::Resume | Next::Review if reviewed => self.review(core),
            next => next,
        }
    }

    /// Runs it until its next trap, and handles that.
    #[inline]
    pub(super) fn step(&mut self, core: &mut H::Core) -> Next {
        let trap = core.run(&mut self.vcpu.registers);
        self.handle(core, trap)
    }

    #[inline]
    fn handle(&mut self, core: &mut H::Core, trap: Trap) -> Next {
        match trap.kind {
            TrapKind::Sync => {
                let Some(mut shared) = self.vm.share() else {
                    return self.undo(Esr(trap.esr));
                };
                self.turn(&mut shared, core).handle(trap)
            }
            TrapKind::Irq | TrapKind::Fiq => self.interrupt(core),
            TrapKind::SError => {
                core.pend_serror();
                Next::Resume
            }
        }
    }

    /// A trap that did not get its turn has not happened. An HVC is the one whose return address is behind it.
    #[cold]
    fn undo(&mut self, esr: Esr) -> Next {
        if esr.class() == Esr::EC_HVC64 {
            let registers = &mut self.vcpu.registers;
            step_back(&mut registers.pc, &mut registers.pstate);
        }
        Next::Leave
    }

    /// Takes it out of the core, into memory.
    pub fn save(mut self, core: &mut H::Core) {
        self.give_back(core);
        let vcpu = &mut *self.vcpu;
        // Its own, before another vCPU is loaded, which would take it.
        if core.synchronize_errors() {
            core.pend_serror();
            vcpu.waiting = false;
        }
        core.save_system(&mut vcpu.system);
        vcpu.interface = core.interface();
        vcpu.lists = Lists::take(core);
        core.abandon();
        let slot = &self.vm.vcpus[self.index];
        if slot.phase() != Phase::Off {
            slot.set_phase(match vcpu.waiting {
                true => Phase::Waiting,
                false => Phase::Ready,
            });
        }
        slot.set_deadline(self.vm.deadline(vcpu));
        // What came while it waited, if the core was taken from it before it saw that.
        let interface = Interface::from(vcpu.interface);
        if vcpu.waiting && vcpu.lists.any_signalled(interface) {
            slot.call();
        }
    }

    /// What another vCPU could take in its place does not wait for this one to be loaded again.
    ///
    /// One that is off has nothing: all that turns a vCPU off has settled it, or the VM is off. And CPU_ON waits with the shared part for
    /// this vCPU to be let go, so that this must not wait for the shared part.
    fn give_back(&mut self, core: &mut H::Core) {
        if self.vcpu.reviews.is_some()
            && self.vm.vcpus[self.index].phase() != Phase::Off
            && let Some(mut shared) = self.vm.share()
        {
            self.turn(&mut shared, core).settle();
            // What was in its list registers is in the model now, where `save` does not see it: it looks when it is loaded again.
            if self.vcpu.waiting && shared.gic.has_waiting(self.index) {
                self.vm.vcpus[self.index].call();
            }
        }
    }
}

impl<H: Hardware> Vm<H> {
    /// The physical count at which a timer of a vCPU that is in memory fires.
    pub(super) fn deadline(&self, vcpu: &Vcpu<System<H>>) -> u64 {
        let offset = self.offset();
        let timers = [
            H::Core::virtual_deadline(&vcpu.system),
            vcpu.timer.deadline(),
        ];
        // A deadline at the end of the count's range is none.
        let physical = |at: u64| at.saturating_add(offset);
        timers
            .into_iter()
            .flatten()
            .map(physical)
            .min()
            .unwrap_or(NEVER)
    }
}

impl<H: Hardware> Turn<'_, H> {
    /// What it takes to do something that the whole VM must stop for.
    pub(super) fn ask(&mut self) -> (&Vm<H>, &mut Shared<H>, Asker<'_, H>) {
        let asker = Asker {
            core: self.core,
            vcpu: Some((self.index, self.vcpu)),
        };
        (self.vm, self.shared, asker)
    }

    /// What this vCPU does now that it is another than before.
    pub(super) fn next(&mut self) -> Next {
        // The alarm was set for the timer as it was, and the UART may have room again that nobody looks for.
        let input = self.shared.devices.uart.is_interrupted_by_input();
        if self.vm.vcpus[self.index].phase() != Phase::Off
            && (input || self.vcpu.timer.deadline().is_some())
        {
            // What the console has given meanwhile stays.
            self.vm.input.fetch_or(input, Ordering::Relaxed);
            self.look();
        }
        match self.vm.vcpus[self.index].phase() {
            Phase::Off => Next::Leave,
            Phase::Waiting => self.wait_on(),
            Phase::Ready if self.vm.gate.is_closed() => Next::Leave,
            Phase::Ready => self.go_on(),
        }
    }

    /// It waits, if no interrupt came with what it is now.
    #[cold]
    fn wait_on(&mut self) -> Next {
        self.end_wait();
        match self.vcpu.waiting {
            true => Next::Wait,
            false => self.go_on(),
        }
    }

    /// Everything that a guest can make happen at EL2 by what it executes.
    #[inline]
    pub(super) fn handle(&mut self, trap: Trap) -> Next {
        let esr = Esr(trap.esr);
        match Exit::decode(esr, trap.far, trap.hpfar) {
            Exit::Hvc { imm } => return self.call(imm),
            Exit::MemoryFault(fault) => return self.memory_fault(&fault, esr),
            Exit::Smc { imm } => {
                self.step_over(esr);
                return self.secure_call(imm);
            }
            Exit::Wfx(wait) => {
                // In A32 and T32 it may be one of those that are not executed.
                let waits = wait == Wfx::Wfi && condition_holds(esr, self.vcpu.registers.pstate);
                self.step_over(esr);
                return if waits { self.wait() } else { Next::Yield };
            }
            Exit::SysReg(access) => self.system_register(access, esr),
            Exit::IllegalState => self.inject(GuestException::IllegalState),
            Exit::Unsupported { .. } => self.inject(GuestException::Undefined),
            Exit::SError { .. } => self.core.pend_serror(),
        }
        Next::Resume
    }

    pub(super) fn step_over(&mut self, esr: Esr) {
        let registers = &mut self.vcpu.registers;
        step_over(
            &mut registers.pc,
            &mut registers.pstate,
            esr.instruction_length(),
        );
    }

    /// The vCPU takes an exception to its EL1.
    pub(super) fn inject(&mut self, exception: GuestException) {
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
}

#[cfg(test)]
impl<H: Hardware> Vm<H> {
    /// A vCPU that is loaded already, with nobody holding it meanwhile.
    pub(super) fn loaded(&self, index: usize) -> Running<'_, H> {
        Running {
            vm: self,
            index,
            vcpu: self.vcpus[index].lock(),
        }
    }
}
