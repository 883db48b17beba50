//! A VM that the operator pauses and resumes.

use super::clock::NEVER;
use super::quiesce::PAUSED;
use super::{Core, Vm, VmBackend};
use crate::arch::sync::Ordering;

impl<B: VmBackend> Vm<B> {
    /// Whether the VM is paused.
    pub(super) fn is_paused(&self) -> bool {
        self.gate.is_closed_for(PAUSED)
    }

    /// Stops the VM until [`resume`](Self::resume). The caller holds the shared part.
    pub(super) fn pause(&self, core: &mut B::Core) {
        let stopped = self.quiesce(core, None);
        self.paused_at
            .store(B::Core::physical_count(), Ordering::Relaxed);
        self.gate.close(PAUSED);
        self.release(core, stopped);
    }

    /// Lets the VM go on after [`pause`](Self::pause). The caller holds the shared part.
    pub(super) fn resume(&self, core: &mut B::Core) {
        let at = self.paused_at.swap(NEVER, Ordering::Relaxed);
        self.set_time(Some(self.moment(at)));
        self.gate.open(PAUSED);
        self.wake_cores(core);
    }
}
