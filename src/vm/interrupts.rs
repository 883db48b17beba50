//! A vCPU's interrupts: what is pending gets into its list registers, and a wait ends.

use super::loaded::{Next, Running, Turn};
use super::vcpu::Phase;
use super::{Core, Hardware, Interrupt};
use crate::device::gic::{PHYSICAL_TIMER_PPI, UART_INTID};

impl<H: Hardware> Running<'_, H> {
    /// An interrupt of the board came while this vCPU was on, or waited.
    #[inline]
    pub(super) fn interrupt(&mut self, core: &mut H::Core) -> Next {
        match core.acknowledge() {
            Interrupt::VirtualTimer => self.timer_fired(core),
            Interrupt::Kick => self.kicked(core),
            Interrupt::Maintenance => self.maintain(core),
            Interrupt::Alarm => self.alarm(core),
            Interrupt::None => Next::Resume,
            other => Next::Interrupt(other),
        }
    }

    #[inline]
    fn timer_fired(&mut self, core: &mut H::Core) -> Next {
        let Some(mut shared) = self.vm.share() else {
            // It comes again when the vCPU is loaded again: its line is up.
            core.set_timer_active(false);
            return Next::Leave;
        };
        let mut turn = self.turn(&mut shared, core);
        let called = turn.shared.gic.timer_fired(turn.index, turn.core);
        turn.vm.call(turn.core, called);
        turn.note_review();
        turn.end_wait();
        turn.go_on()
    }

    /// Looks at what changes without a trap.
    pub(super) fn review(&mut self, core: &mut H::Core) -> Next {
        // Without the shared part: this is after each trap.
        if !self.vcpu.reviews.is_worthwhile(core) {
            return self.vcpu.reviews.next();
        }
        let Some(mut shared) = self.vm.share() else {
            return Next::Leave;
        };
        let mut turn = self.turn(&mut shared, core);
        turn.review();
        turn.go_on()
    }

    fn kicked(&mut self, core: &mut H::Core) -> Next {
        match self.answer_calls(core) {
            // It may have been for another vCPU of this core, or for what the boot core does besides.
            Next::Resume if core.number() == 0 || core.is_shared() => {
                Next::Interrupt(Interrupt::Kick)
            }
            Next::Resume if self.vcpu.reviews.is_some() => Next::Review,
            other => other,
        }
    }

    /// Looks around, if somebody called.
    pub(super) fn answer_calls(&mut self, core: &mut H::Core) -> Next {
        if self.vm.gate.is_closed() {
            return Next::Leave;
        }
        let slot = &self.vm.vcpus[self.index];
        if slot.is_called() {
            let Some(mut shared) = self.vm.share() else {
                slot.call();
                return Next::Leave;
            };
            self.turn(&mut shared, core).look();
        }
        Next::Resume
    }

    fn maintain(&mut self, core: &mut H::Core) -> Next {
        let Some(mut shared) = self.vm.share() else {
            return Next::Leave;
        };
        let mut turn = self.turn(&mut shared, core);
        turn.refill();
        turn.end_wait();
        turn.go_on()
    }

    fn alarm(&mut self, core: &mut H::Core) -> Next {
        let Some(mut shared) = self.vm.share() else {
            return Next::Leave;
        };
        let mut turn = self.turn(&mut shared, core);
        turn.update_timer();
        turn.review();
        turn.end_wait();
        turn.look_at_caches();
        Next::Interrupt(Interrupt::Alarm)
    }

    /// Whether the wait of this vCPU is over.
    pub(super) fn wake(&mut self, core: &mut H::Core) -> Next {
        // One that came after the look in `Turn::wait` ends the wait too: the core cannot sleep until it is consumed.
        if core.synchronize_errors() {
            core.pend_serror();
            self.vcpu.waiting = false;
            self.vm.vcpus[self.index].set_phase(Phase::Ready);
            return Next::Resume;
        }
        let Some(mut shared) = self.vm.share() else {
            return Next::Leave;
        };
        let mut turn = self.turn(&mut shared, core);
        turn.end_wait();
        match turn.vcpu.waiting {
            true => Next::Wait,
            false => Next::Resume,
        }
    }
}

impl<H: Hardware> Turn<'_, H> {
    /// WFI: the vCPU waits, unless there is something already.
    pub(super) fn wait(&mut self) -> Next {
        // An SError ends a WFI (D1.7.2, "Wait for Interrupt"); and one that only EL2 knows of would not let the core sleep.
        if self.core.synchronize_errors() {
            self.core.pend_serror();
            return Next::Resume;
        }
        if self.something_is_pending() {
            return Next::Resume;
        }
        self.vcpu.waiting = true;
        self.vm.vcpus[self.index].set_phase(Phase::Waiting);
        Next::Wait
    }

    /// Ends a wait that has a reason to. In the same turn in which the reason came up: the core may be taken from the vCPU after it, and
    /// nobody would call it again.
    pub(super) fn end_wait(&mut self) {
        if self.vcpu.waiting && self.something_is_pending() {
            self.vcpu.waiting = false;
            self.vm.vcpus[self.index].set_phase(Phase::Ready);
        }
    }

    /// An interrupt that its CPU interface signals to this vCPU.
    #[inline(never)]
    fn something_is_pending(&mut self) -> bool {
        // One whose line fell is not pending any more.
        self.review();
        self.shared.gic.is_signalled(self.index, self.core)
    }

    /// The vCPU goes on.
    #[inline]
    pub(super) fn go_on(&self) -> Next {
        self.vcpu.reviews.next()
    }

    /// Looks at what changes without a trap, if there is such a thing.
    #[inline]
    fn review(&mut self) {
        if self.vcpu.reviews.is_some() {
            self.look_again();
        }
    }

    #[inline(never)]
    fn look_again(&mut self) {
        let overdue = self.vcpu.reviews.is_overdue(H::Core::count());
        if self.vcpu.reviews.is_worthwhile(self.core) {
            let called = self.shared.gic.review(self.index, overdue, self.core);
            self.vm.call(self.core, called);
        }
        self.note_review();
    }

    /// Remembers whether a review is needed.
    #[inline]
    pub(super) fn note_review(&mut self) {
        let needed = self.shared.gic.needs_review(self.index);
        self.vcpu.note_review(needed, self.core);
    }

    /// Looks around: at the VM's input, the timer, what others made pending, and whether the caches are off.
    pub(super) fn look(&mut self) {
        if self.vm.take_input() {
            let shared = &mut *self.shared;
            shared.devices.uart.poll(&mut shared.machine.hardware);
            self.update_uart();
        }
        self.update_timer();
        self.shared.gic.note_interface(self.index, self.core);
        self.refill();
        self.end_wait();
        self.look_at_caches();
    }

    /// Takes back what is in list registers.
    pub(super) fn settle(&mut self) {
        let called = self.shared.gic.settle(self.index, self.core);
        self.vm.call(self.core, called);
    }

    /// Fills list registers with what is pending.
    pub(super) fn refill(&mut self) {
        let called = self.shared.gic.refill(self.index, self.core);
        self.vm.call(self.core, called);
        self.note_review();
    }

    /// The UART may have changed its interrupt line.
    #[inline]
    pub(super) fn update_uart(&mut self) {
        let up = self.shared.devices.uart.irq_line();
        let mask = self.shared.gic.set_line(UART_INTID, self.index, up);
        self.deliver(mask);
    }

    /// The emulated timer may have changed its interrupt line, or when it is going to.
    pub(super) fn update_timer(&mut self) {
        let now = self.vm.virtual_count();
        let timer = &self.vcpu.timer;
        let up = timer.line(now);
        if let (false, Some(at)) = (up, timer.deadline()) {
            let offset = self.vm.offset();
            self.core.alarm_by(at.saturating_add(offset));
        }
        let mask = self.shared.gic.set_line(PHYSICAL_TIMER_PPI, self.index, up);
        self.deliver(mask);
    }

    /// Something became pending for the vCPUs in `mask`.
    #[inline]
    pub(super) fn deliver(&mut self, mask: u8) {
        if mask != 0 {
            self.deliver_some(mask);
        }
    }

    #[inline(never)]
    fn deliver_some(&mut self, mask: u8) {
        let own = 1 << self.index;
        if mask & own != 0 {
            self.refill();
        }
        self.vm.call(self.core, mask & !own);
    }
}
