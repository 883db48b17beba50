//! When a core is to be interrupted: its slices end, and what is due has to be done.

use super::budget::SLICE;
use super::clock::NEVER;
use super::console_host::ConsoleHost;
use super::schedule::{Handed, OPERATORS_CORE, Scheduler, Slice};
use super::{Core, Vm, VmBackend};

/// How long a vCPU has the core if another one has a request, most likely from this one, which may be waiting for the answer.
pub(super) const WAKEUP_SLICE: u64 = SLICE / 16;

impl<B: VmBackend, C: ConsoleHost<B>> Scheduler<'_, B, C> {
    /// The physical count up to which the loaded vCPU may keep the core. One that had it to itself so long gives it to who comes at once, and has
    /// its budget afterwards.
    pub(super) fn end_of_slice(&self, slice: &Slice) -> u64 {
        let queue = 0..self.run_queue.len();
        let others = queue.filter(|&other| other != slice.vcpu && self.is_runnable(other));
        let left = self.budgets.left(slice.vcpu);
        let length = others.map(|other| {
            let (vm, vcpu) = self.run_queue[other];
            match vm.has_request(vcpu) && self.budgets.left(other) > 0 {
                true => left.min(WAKEUP_SLICE),
                false => left,
            }
        });
        length.min().map_or(NEVER, |length| slice.start + length)
    }

    /// Sets the alarm to when something is to be done here besides running the loaded vCPU, which `slice` names.
    pub(super) fn set_alarm(&mut self, slice: Option<&Slice>) {
        let mut at = slice.map_or(NEVER, |slice| self.end_of_slice(slice));
        // The deadlines of vCPUs that wait. The timers of the loaded vCPU interrupt on their own.
        let is_loaded = |i: usize| slice.is_some_and(|slice| slice.vcpu == i);
        for other in (0..self.run_queue.len()).filter(|&i| !is_loaded(i)) {
            if !self.is_runnable(other) {
                let (vm, vcpu) = self.run_queue[other];
                at = at.min(vm.deadline_of(vcpu));
            }
        }
        if self.limits {
            let limits = self.run_queue.iter().map(|(vm, _)| vm.limit());
            at = at.min(limits.min().unwrap_or(NEVER));
        }
        if self.core.number() == OPERATORS_CORE {
            let next = self.vms.iter().map(Vm::next_checkpoint).min();
            at = at.min(next.unwrap_or(NEVER)).min(self.console.poll_due());
            at = at.min(self.command_due).min(self.command_at());
        }
        if at != NEVER {
            self.core.set_alarm_no_later(at);
        }
    }

    /// Sets the alarm for a vCPU that was handed the core. It is set already for all that the one before had to be interrupted for; what is new is the one
    /// before, if it waits now, and the limit that it gave.
    #[inline]
    pub(super) fn set_alarm_when_handed(&mut self, from: Handed, slice: &Slice) {
        let [(vm, _), (by, vcpu)] = [slice.vcpu, from.by].map(|i| self.run_queue[i]);
        let mut at = vm.limit().min(by.deadline_of(vcpu));
        if slice.contended {
            at = at.min(self.end_of_slice(slice));
        }
        if at != NEVER {
            self.core.set_alarm_no_later(at);
        }
    }
}
