//! A vCPU's interrupts: what is pending gets into its list registers, and a wait ends.

use super::exit::{ExitAction, ExitContext};
use super::loaded::LoadedVcpu;
use super::reviews::ReviewSchedule;
use super::slot::Request;
use super::vcpu::{RunState, Vcpu};
use super::{Core, Interrupt, System, Vm, VmBackend};
use crate::arch::sync::Ordering;
use crate::device::Device;
use crate::device::gic::{PTIMER_PPI, Review};

impl<B: VmBackend> LoadedVcpu<'_, B> {
    /// Handles an interrupt of the board that came while this vCPU was on the core, or waited there.
    #[inline]
    pub(super) fn handle_interrupt(&mut self, core: &mut B::Core) -> ExitAction {
        match core.acknowledge() {
            Interrupt::VirtualTimer => self.timer_fired(core),
            Interrupt::Kick => self.kicked(core),
            Interrupt::Maintenance => self.handle_maintenance_interrupt(core),
            Interrupt::Alarm => self.alarm(core),
            Interrupt::None => ExitAction::Resume,
            other => ExitAction::Interrupt(other),
        }
    }

    #[inline]
    fn timer_fired(&mut self, core: &mut B::Core) -> ExitAction {
        let Some(mut shared) = self.lock_shared_or_return() else {
            // It comes again when the vCPU is loaded again: its line is up.
            core.set_vtimer_irq_active(false);
            return ExitAction::Put;
        };
        let mut context = self.context(&mut shared, core);
        let requested = context.shared.gic.vtimer_fired(context.index, context.core);
        context.vm.kick_vcpus(context.core, requested);
        context.note_review();
        context.wake_if_pending();
        context.resume()
    }

    /// Looks for what changes without a trap.
    #[inline(never)]
    pub(super) fn review(&mut self, core: &mut B::Core) -> ExitAction {
        // Without the shared part: this is after each trap.
        if !self.vcpu.reviews.is_worthwhile(core) {
            return ExitAction::resume(&self.vcpu.reviews);
        }
        let Some(mut shared) = self.lock_shared_or_return() else {
            return ExitAction::Put;
        };
        let mut context = self.context(&mut shared, core);
        context.review();
        context.resume()
    }

    fn kicked(&mut self, core: &mut B::Core) -> ExitAction {
        let may_have_limit = self.vm.config.controlled_by.is_some();
        match self.check_requests(core) {
            // The kick may have been for another vCPU of this core, for what the boot core does besides, or for a new limit.
            ExitAction::Resume if core.number() == 0 || core.is_multiplexed() || may_have_limit => {
                ExitAction::Interrupt(Interrupt::Kick)
            }
            ExitAction::Resume if self.vcpu.reviews.is_some() => ExitAction::Review,
            other => other,
        }
    }

    /// Processes a request for this vCPU, if there is one, and looks at the gate.
    pub(super) fn check_requests(&mut self, core: &mut B::Core) -> ExitAction {
        if self.vm.gate.is_closed_to(self.index) {
            return ExitAction::Put;
        }
        let slot = self.slot();
        let request = slot.take_request();
        if request == Request::Nothing {
            return ExitAction::Resume;
        }
        let Some(mut shared) = self.lock_shared_or_return() else {
            slot.request();
            return ExitAction::Put;
        };
        let mut context = self.context(&mut shared, core);
        match request {
            Request::Flush => {
                context.flush_and_wake();
                context.rearm_cache_traps();
            }
            _ => context.process_requests(),
        }
        ExitAction::Resume
    }

    fn handle_maintenance_interrupt(&mut self, core: &mut B::Core) -> ExitAction {
        let Some(mut shared) = self.lock_shared_or_return() else {
            return ExitAction::Put;
        };
        let mut context = self.context(&mut shared, core);
        context.flush_lrs();
        context.wake_if_pending();
        context.resume()
    }

    fn alarm(&mut self, core: &mut B::Core) -> ExitAction {
        // It may be how this core was notified of a request (`Vm::notify_core`). One that stayed would keep others from notifying it again.
        if self.check_requests(core) == ExitAction::Put {
            return ExitAction::Put;
        }
        let Some(mut shared) = self.lock_shared_or_return() else {
            return ExitAction::Put;
        };
        let mut context = self.context(&mut shared, core);
        context.update_timer();
        context.review();
        context.wake_if_pending();
        context.rearm_cache_traps();
        ExitAction::Interrupt(Interrupt::Alarm)
    }

    /// Ends the wait of this vCPU if it has a reason to end.
    pub(super) fn wake(&mut self, core: &mut B::Core) -> ExitAction {
        // An SError that came after the look in `ExitContext::wait` ends the wait too: the core cannot sleep until it is consumed.
        if core.consume_serror() {
            core.pend_serror();
            self.slot().end_wait();
            // One in RUN is to take it, and not to wait again.
            if self.vcpu.in_run && self.slot().take_awaits() {
                self.vcpu.interrupt_run();
            }
            return ExitAction::Resume;
        }
        let Some(mut shared) = self.lock_shared_or_return() else {
            return ExitAction::Put;
        };
        let mut context = self.context(&mut shared, core);
        context.note_timers();
        context.wake_if_pending();
        match self.slot().is_waiting() {
            true => ExitAction::Wait,
            false => ExitAction::Resume,
        }
    }
}

impl<B: VmBackend> ExitContext<'_, B> {
    /// WFI: the vCPU waits, unless something is pending already.
    pub(super) fn wait(&mut self) -> ExitAction {
        // An SError ends a WFI (D1.7.2, "Wait for Interrupt"); and one that only EL2 knows of would not let the core sleep.
        if self.core.consume_serror() {
            self.core.pend_serror();
            return ExitAction::Resume;
        }
        self.note_timers();
        if self.poll_pending() {
            return ExitAction::Resume;
        }
        self.slot().set_run_state(RunState::Waiting);
        ExitAction::Wait
    }

    /// Has the GIC model know of those timers of the vCPU, which waits or is about to, that have fired by now. The virtual timer's may be known to the
    /// hardware alone, whose interrupt nobody acknowledged yet: it is taken over as if it had been.
    pub(super) fn note_timers(&mut self) {
        // Before the look: a timer whose deadline is over by then is seen to have fired.
        let now = B::Core::physical_count();
        if self.vcpu.timer.deadline().is_some() {
            self.update_timer();
        }
        if self.shared.gic.is_vtimer_unnoticed(self.index, self.core) {
            self.core.set_vtimer_irq_active(true);
            let requested = self.shared.gic.vtimer_fired(self.index, self.core);
            self.vm.kick_vcpus(self.core, requested);
            self.note_review();
        }
        self.vcpu.timers_known = now;
    }

    /// Ends the vCPU's wait, if it waits and something is pending. The caller does so before it unlocks the shared part in which the reason
    /// came up: afterwards the vCPU may be put, and nothing would request a look again.
    #[inline]
    pub(super) fn wake_if_pending(&mut self) {
        if self.slot().is_waiting() {
            self.wake_waiting();
        }
    }

    #[inline(never)]
    fn wake_waiting(&mut self) {
        if self.poll_pending() {
            self.slot().set_run_state(RunState::Ready);
            // While it waited, there was no need.
            if self.vcpu.reviews.is_some() {
                self.core.set_review_alarm_no_later(self.vcpu.reviews.due());
            }
            // If somebody else ended its wait for a VM just now, it has RUN return why.
            if self.vcpu.in_run && self.slot().take_awaits() {
                self.vcpu.interrupt_run();
            }
        }
    }

    /// Looks for an interrupt that its CPU interface signals to this vCPU, and returns whether there is one.
    #[inline(never)]
    pub(super) fn poll_pending(&mut self) -> bool {
        // An interrupt whose line fell is not pending any more.
        self.review();
        self.shared.gic.poll_signalled(self.index, self.core)
    }

    /// Looks for what changes without a trap, if there is such a thing.
    #[inline]
    fn review(&mut self) {
        if self.vcpu.reviews.is_some() {
            self.review_now();
        }
    }

    #[inline(never)]
    fn review_now(&mut self) {
        let overdue = self.vcpu.reviews.take_overdue(B::Core::physical_count());
        if self.vcpu.reviews.is_worthwhile(self.core) {
            let requested = self.shared.gic.review(self.index, overdue, self.core);
            self.vm.kick_vcpus(self.core, requested);
        }
        self.note_review();
        if !self.vcpu.reviews.is_some() {
            self.core.drop_review_alarm();
        }
    }

    /// Remembers what of this vCPU must be looked at again before long.
    #[inline]
    pub(super) fn note_review(&mut self) {
        let needed = self.shared.gic.review_needed(self.index);
        self.vm
            .note_review(self.index, self.vcpu, needed, self.core);
    }

    /// Does all that a request may be for: the VM's input, the timer, what other cores made pending, and whether the caches are off.
    pub(super) fn process_requests(&mut self) {
        if self.vm.take_input_flag() {
            let shared = &mut *self.shared;
            shared.devices.pull_input(&mut shared.memory.backend);
            for &device in Device::ALL {
                self.update_line(device);
            }
        }
        self.update_timer();
        self.flush_and_wake();
        self.rearm_cache_traps();
    }

    /// The same for a vCPU that is just being loaded, and whose GIC model says whether there is something to do.
    #[inline]
    pub(super) fn process_requests_if(&mut self, gic_has_some: bool) {
        let vcpu = &*self.vcpu;
        // The flag is read behind the request, as in `take_input_flag`.
        let has_some = gic_has_some
            || self.vm.input.load(Ordering::Relaxed)
            || vcpu.timer.deadline().is_some()
            || vcpu.reviews.may_give_back()
            || self.slot().is_waiting();
        match has_some {
            true => self.process_requests(),
            // With nothing pending and its timer off, all lines are down.
            false => self.rearm_cache_traps(),
        }
    }

    /// Flushes what other cores made pending, and ends the vCPU's wait if that is a reason.
    #[inline]
    fn flush_and_wake(&mut self) {
        self.shared.gic.note_interface(self.index, self.core);
        self.flush_lrs();
        self.wake_if_pending();
    }

    /// Syncs the vCPU's list registers into the GIC model.
    pub(super) fn sync_lrs(&mut self) {
        let requested = self.shared.gic.sync(self.index, self.core);
        self.vm.kick_vcpus(self.core, requested);
    }

    /// Flushes what is pending for the vCPU into its list registers.
    pub(super) fn flush_lrs(&mut self) {
        let requested = self.shared.gic.flush(self.index, self.core);
        self.vm.kick_vcpus(self.core, requested);
        self.note_review();
    }

    /// Updates the interrupt line of `device`, which may have changed.
    #[inline]
    pub(super) fn update_line(&mut self, device: Device) {
        let up = self.shared.devices.irq_line(device);
        let mask = self.shared.gic.set_line(device.row().intid, self.index, up);
        self.deliver(mask);
    }

    /// The last that is done for an exit that changed the interrupt line of `device`.
    #[cold]
    #[inline(never)]
    pub(super) fn change_line(mut self, device: Device) -> ExitAction {
        self.update_line(device);
        ExitAction::Resume
    }

    /// Updates the interrupt line of the emulated timer, and the alarm for when that is going to change.
    pub(super) fn update_timer(&mut self) {
        let mut up = false;
        if let Some(at) = self.vcpu.timer.deadline() {
            up = self.vcpu.timer.line(self.vm.virtual_count());
            if !up {
                let offset = self.vm.counter_offset();
                self.core.set_alarm_no_later(at.saturating_add(offset));
            }
        }
        let mask = self.shared.gic.set_line(PTIMER_PPI, self.index, up);
        self.deliver(mask);
    }

    /// Has the vCPUs in `mask`, a bit for each, take what became pending for them.
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
            self.flush_lrs();
        }
        self.vm.kick_vcpus(self.core, mask & !own);
    }
}

impl<B: VmBackend> Vm<B> {
    /// Remembers what of vCPU number `index`, which is loaded on `core`, must be looked at again before long.
    #[inline]
    pub(super) fn note_review(
        &self,
        index: usize,
        vcpu: &mut Vcpu<System<B>>,
        what: Review,
        core: &mut B::Core,
    ) {
        match what {
            Review::Nothing => vcpu.reviews = ReviewSchedule::NONE,
            Review::Held => vcpu.reviews = ReviewSchedule::HELD,
            Review::Timer | Review::Targets => self.await_review(index, vcpu, what, core),
        }
    }

    #[inline(never)]
    fn await_review(
        &self,
        index: usize,
        vcpu: &mut Vcpu<System<B>>,
        what: Review,
        core: &mut B::Core,
    ) {
        vcpu.reviews.set(what, B::Core::physical_count);
        // While it waits, nothing changes without a trap.
        if !self.vcpus[index].is_waiting() {
            core.set_review_alarm_no_later(vcpu.reviews.due());
        }
    }
}
