//! A VM that another one controls, seen from its own side: it stops, and whoever waits for that is told.
//!
//! The gate says [`STOPPED`] exactly as long as [`Target`](super::target::Target) says that it does not run.

use super::clock::NEVER;
use super::exit::{ExitAction, ExitContext};
use super::quiesce::{OFF, PAUSED, STEPPING, STOPPED};
use super::target::{Reason, Run};
use super::{Core, Vm, VmBackend, VmShared};
use crate::arch::sync::Ordering;

impl<B: VmBackend> ExitContext<'_, B> {
    /// The vCPU tells its VM's controller something: the VM stops, until it is run again. `None`, and nothing happens, if it has no controller.
    /// The instruction that this is for has been stepped over, and has its results.
    pub(super) fn event(&mut self, values: [u64; 3]) -> Option<ExitAction> {
        self.shared.target.as_ref()?;
        let (vm, shared, initiator) = self.initiator();
        let reason = Reason::Event(values);
        vm.stop(shared, initiator.core, initiator.index(), Some(reason));
        // Who puts it tells the controller.
        Some(ExitAction::Put)
    }
}

impl<B: VmBackend> Vm<B> {
    /// Stops the VM until its controller runs it, if it has one. The caller holds the shared part and, if its core has a vCPU of this VM loaded, that
    /// one, number `own`; and tells the controller afterwards, with nothing of this VM locked ([`end_awaiting`](Self::end_awaiting)).
    pub(super) fn stop(
        &self,
        shared: &mut VmShared<B>,
        core: &mut B::Core,
        own: Option<usize>,
        reason: Option<Reason>,
    ) {
        if let Some(target) = &mut shared.target
            && target.stop(reason)
        {
            let stopped = self.quiesce(core, own);
            self.stand_still(STOPPED);
            self.limit.store(NEVER, Ordering::Relaxed);
            self.end_stop(stopped);
        }
    }

    /// RUN: runs the VM for `limit` ticks, from now on, if there is nothing to be told before; all of it, or one instruction of the vCPU with the number
    /// `step`. If it runs already, a limit that comes earlier stays: RUN that was interrupted is called again with the same one. The caller holds the
    /// shared part.
    #[inline]
    pub(super) fn run(
        &self,
        shared: &mut VmShared<B>,
        core: &mut B::Core,
        limit: Option<u64>,
        step: Option<usize>,
    ) -> Option<Reason> {
        let is_off = self.is_off();
        let run = shared.target.as_mut()?.run(is_off);
        if let Run::Returns(reason) = run {
            return Some(reason);
        }
        // As long as it stands still: how much is left.
        if run == Run::Starts {
            self.limit.store(limit.unwrap_or(NEVER), Ordering::Relaxed);
            shared.cleaned = 0;
            match step {
                None => {
                    if self.gate.is_closed_for(STEPPING) {
                        self.end_step(core);
                    }
                    self.go_on(STOPPED | STEPPING);
                }
                Some(vcpu) => {
                    self.begin_step(core, vcpu);
                    self.go_on(STOPPED);
                }
            }
            self.wake_cores(core);
        } else {
            let start = match self.is_paused() {
                true => 0,
                false => B::Core::physical_count(),
            };
            let at = limit.map_or(NEVER, |limit| start.saturating_add(limit));
            let before = self.limit.load(Ordering::Relaxed);
            self.limit.store(at.min(before), Ordering::Relaxed);
            // Their alarms are set for the limit before.
            self.wake_cores(core);
        }
        None
    }

    /// The physical count at which the time is over that its controller gave the VM; or [`NEVER`].
    pub(super) fn limit(&self) -> u64 {
        match self.gate.is_closed_for(PAUSED | STOPPED | OFF | STEPPING) {
            true => self.limit_of_step(),
            false => self.limit.load(Ordering::Relaxed),
        }
    }

    /// Stops the VM if the time is over that its controller gave it. The core has no vCPU of it loaded.
    pub(super) fn stop_at_limit(&self, core: &mut B::Core) {
        let mut shared = self.lock_from_outside();
        if self.limit() <= B::Core::physical_count() {
            let reason = self.overdue_step().unwrap_or(Reason::Limit);
            self.stop(&mut shared, core, None, Some(reason));
        }
    }

    /// Whether there is something to be told to the VM's controller.
    pub(super) fn has_news(&self) -> bool {
        self.config.controlled_by.is_some() && self.gate.is_closed_for(STOPPED | OFF)
    }

    /// Ends the wait of this VM's vCPUs that wait for VM number `target`. Returns one that is pinned to this core, if there is one; the cores of the
    /// others are notified.
    pub(super) fn end_awaiting(&self, target: usize, core: &mut B::Core) -> Option<usize> {
        let mut here = None;
        for (index, slot) in self.vcpus.iter().enumerate() {
            if slot.end_awaiting(target) {
                if slot.core() == core.number() {
                    here = Some(index);
                } else {
                    core.kick(slot.core());
                }
            }
        }
        here
    }
}

/// Tells the controller of `vm`, one of `vms`, that it stopped, if it did. Returns the controller's vCPU that waited for that on this core.
pub(super) fn tell_controller<B: VmBackend>(
    vms: &[Vm<B>],
    vm: &Vm<B>,
    core: &mut B::Core,
) -> Option<usize> {
    match vm.config.controlled_by {
        Some(controller) if vm.has_news() => vms[controller].end_awaiting(vm.number, core),
        _ => None,
    }
}

/// Whether nothing is going to happen any more in `vm`, one of `vms`: it is off, or stopped by one of which that is true.
pub(super) fn has_ended<B: VmBackend>(vms: &[Vm<B>], vm: &Vm<B>) -> bool {
    let controller_has_ended = || {
        let controller = vm.config.controlled_by;
        controller.is_some_and(|controller| has_ended(vms, &vms[controller]))
    };
    vm.is_off() || vm.gate.is_closed_for(STOPPED) && controller_has_ended()
}
