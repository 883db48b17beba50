//! A VM that stands still until somebody lets it go on: the operator, who paused it, or the VM that controls it. It runs when both would have it.

use super::clock::NEVER;
use super::quiesce::{PAUSED, STOPPED};
use super::{Core, Vm, VmBackend};
use crate::arch::sync::Ordering;

impl<B: VmBackend> Vm<B> {
    /// Whether the operator paused the VM.
    pub(super) fn is_paused(&self) -> bool {
        self.gate.is_closed_for(PAUSED)
    }

    /// Stops the VM until [`resume`](Self::resume). The caller holds the shared part.
    pub(super) fn pause(&self, core: &mut B::Core) {
        let stopped = self.quiesce(core, None);
        self.stand_still(PAUSED);
        self.end_stop(stopped);
    }

    /// Lets the VM go on after [`pause`](Self::pause), for all that the operator cares. The caller holds the shared part.
    pub(super) fn resume(&self, core: &mut B::Core) {
        self.go_on(PAUSED);
        self.wake_cores(core);
    }

    /// The VM, whose vCPUs are stopped, stands still for this reason, [`PAUSED`] or [`STOPPED`], and its time with it.
    pub(super) fn stand_still(&self, reason: u16) {
        if !self.gate.is_closed_for(PAUSED | STOPPED) {
            let now = B::Core::physical_count();
            self.paused_at.store(now, Ordering::Relaxed);
            self.change_limit(|at| at.saturating_sub(now));
        }
        self.gate.close(reason);
    }

    /// This reason is no more. If there is no other one, the VM's time goes on; the caller wakes the cores. It holds the shared part.
    pub(super) fn go_on(&self, reason: u16) {
        if !self.gate.is_closed_for((PAUSED | STOPPED) & !reason) {
            let at = self.paused_at.swap(NEVER, Ordering::Relaxed);
            self.set_time(Some(self.moment(at)));
            let now = B::Core::physical_count();
            self.change_limit(|left| left.saturating_add(now));
        }
        self.gate.open(reason);
    }

    fn change_limit(&self, change: impl FnOnce(u64) -> u64) {
        match self.limit.load(Ordering::Relaxed) {
            NEVER => {}
            limit => self.limit.store(change(limit), Ordering::Relaxed),
        }
    }
}
