//! RUN: a controller's vCPU has a target run, and waits until it stops.
//!
//! RUN keeps its vCPU's pc on the call while it waits. So there is no state "in the midst of RUN" that a snapshot of the controller would have to
//! have: what it has is a vCPU that is about to call RUN.

use super::controller::AfterCall;
use super::loaded::LoadedVcpu;
use super::target::{Reason, Target, ticks};
use super::vcpu::{INTERRUPTED, RunState};
use super::{Core, Vm, VmBackend};
use crate::hvc::{Results, error};

/// RUN's results.
fn results_of(reason: Reason) -> Results {
    match reason {
        Reason::Event([code, a, b]) => Results::of([0, code, a, b]),
        Reason::Reset => Results::of([1]),
        Reason::Off => Results::of([2]),
        Reason::Limit => Results::of([3]),
        Reason::Stopped => Results::of([4]),
        Reason::Debug([vcpu, esr, far]) => Results::of([6, vcpu, esr, far]),
    }
}

impl<B: VmBackend> LoadedVcpu<'_, B> {
    /// Has RUN return what there is to be told, if the vCPU was woken for that. All else is left to [`control_call`](Self::control_call).
    #[inline]
    pub(super) fn return_from_run(&mut self, vms: &[Vm<B>]) {
        if !self.vcpu.in_run || self.slot().is_waiting() {
            return;
        }
        // The call that it is in.
        let place = self.vcpu.registers.x[1] as usize;
        let Some(&number) = self.vm.config.controls.get(place) else {
            return;
        };
        let news = vms[number]
            .shared
            .lock()
            .target
            .as_mut()
            .and_then(Target::take_news);
        if let Some(reason) = news {
            self.vcpu.in_run = false;
            self.vcpu.step_over_call();
            self.give(results_of(reason));
        }
    }

    /// RUN.
    pub(super) fn run_target(
        &mut self,
        core: &mut B::Core,
        target: &Vm<B>,
        limit: u64,
        step: u64,
    ) -> AfterCall {
        let was_woken = core::mem::take(&mut self.vcpu.in_run);
        if was_woken {
            // Most likely by what there is to be told. If it is told here, the wait need not begin.
            self.slot().take_awaits();
            let mut shared = target.lock_from_outside();
            if let Some(reason) = shared.target.as_mut().and_then(Target::take_news) {
                return self.give(results_of(reason));
            }
        }
        let Some(is_interrupted) = self.begin_await(core, target.number) else {
            self.step_back_to_call();
            return AfterCall::Put;
        };
        let mut shared = target.lock_from_outside();
        let limit = ticks(limit, B::Core::frequency());
        // What there is to be told comes first, and what runs already is waited for.
        let would_start = |it: &Target| it.would_start(target.is_off());
        let is_refused =
            step != 0 && !target.can_step(step) && shared.target.as_ref().is_some_and(would_start);
        let results = match is_refused {
            true => Some(Results::error(error::INVALID_PARAMETER)),
            false => {
                let step = usize::try_from(step).ok().and_then(|n| n.checked_sub(1));
                let reason = target.run(&mut shared, core, limit, step);
                reason.map(results_of)
            }
        };
        drop(shared);
        match results {
            None if !is_interrupted => AfterCall::Await,
            None => {
                // There may be another one now that wants this core.
                core.set_alarm_no_later(B::Core::physical_count());
                self.give(INTERRUPTED)
            }
            Some(results) => {
                if core::mem::take(&mut self.vcpu.in_run) {
                    self.slot().take_awaits();
                    self.slot().set_run_state(RunState::Ready);
                    self.vcpu.step_over_call();
                }
                self.give(results)
            }
        }
    }

    /// The vCPU waits for VM number `target`, its pc on the call, unless there is an interrupt for it; returns whether there is. `None`: its VM is being
    /// stopped.
    #[inline]
    fn begin_await(&mut self, core: &mut B::Core, target: usize) -> Option<bool> {
        // An SError ends a wait, as it ends a WFI: that is seen when the vCPU is put, or when it is about to sleep.
        let mut shared = self.vm.lock_shared()?;
        // Not looked for here, where it is on a short path: a timer that is held back has its core load the vCPU once more, which looks then.
        self.vcpu.timers_known = 0;
        let is_interrupted = self.context(&mut shared, core).poll_pending();
        if !is_interrupted {
            self.slot().set_run_state(RunState::Waiting);
            self.slot().set_awaits(target);
            self.vcpu.in_run = true;
            self.step_back_to_call();
        }
        Some(is_interrupted)
    }
}
