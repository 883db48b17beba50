//! Checkpoints that a VM takes by itself from time to time, as `checkpoint_every` in the configuration says.

use super::clock::NEVER;
use super::errand::{Asked, Errand};
use super::quiesce::{OFF, PAUSED, STOPPED};
use super::{Core, Vm, VmBackend};
use crate::arch::sync::Ordering;

impl<B: VmBackend> Vm<B> {
    /// The physical count at which the next periodic checkpoint is due, or [`NEVER`].
    pub(super) fn next_checkpoint(&self) -> u64 {
        self.next_checkpoint.load(Ordering::Relaxed)
    }

    /// Takes a periodic checkpoint if one is due, or has it taken as an [errand](super::errand); not while there is another errand. The core has no vCPU
    /// loaded.
    pub(super) fn checkpoint_when_due(&self, core: &mut B::Core) {
        let now = B::Core::physical_count();
        if self.next_checkpoint() > now {
            return;
        }
        self.schedule_checkpoint(now);
        if !self.gate.is_closed_for(PAUSED | STOPPED | OFF) {
            self.with_locked(core, |shared, initiator| {
                // A VM that has not begun yet has nothing that is worth it.
                if shared.loading.is_none() && !self.has_errand() {
                    self.begin_errand(shared, initiator, Errand::Checkpoint, Asked::ByNobody);
                }
            });
        }
    }

    /// Sets the next periodic checkpoint to a period after the physical count `now`, if the configuration has a period.
    pub(super) fn schedule_checkpoint(&self, now: u64) {
        let counts = |ms: u64| (u128::from(ms) * u128::from(B::Core::frequency()) / 1000) as u64;
        let period = self.config.checkpoint_every.map(counts);
        let at = period.map_or(NEVER, |period| now.saturating_add(period));
        self.next_checkpoint.store(at, Ordering::Relaxed);
    }
}
