//! What the operator does with a VM, and what it does by itself from time to time: from a core that has none of its vCPUs loaded.

use super::saved::Asker;
use super::stop::{OFF, PAUSED};
use super::vcpu::NEVER;
use super::{Core, Hardware, Shared, Vm};
use crate::config::Time;
use crate::snapshot::{Info, NotFound, Stats, Which};
use core::sync::atomic::Ordering;

impl<H: Hardware> Vm<H> {
    /// Does something with the VM as one. The core has no vCPU loaded, so nobody waits for it while it waits.
    fn with_all<R>(
        &self,
        core: &mut H::Core,
        action: impl FnOnce(&mut Shared<H>, Asker<'_, H>) -> R,
    ) -> R {
        let mut shared = self.shared.lock();
        action(&mut shared, Asker { core, vcpu: None })
    }

    /// Whether it is off.
    pub fn is_off(&self) -> bool {
        self.gate.is(OFF)
    }

    /// Whether the operator paused it.
    pub fn is_paused(&self) -> bool {
        self.gate.is(PAUSED)
    }

    /// Takes a snapshot of it.
    pub fn take_snapshot(&self, core: &mut H::Core) -> Option<u64> {
        self.with_all(core, |shared, asker| self.checkpoint(shared, asker, false))
    }

    /// Takes it back to a snapshot.
    pub fn go_back(&self, core: &mut H::Core, which: Which) -> Result<u64, NotFound> {
        self.with_all(core, |shared, asker| self.restore(shared, asker, which, 1))
    }

    /// Starts it again from its image.
    pub fn start_again(&self, core: &mut H::Core) {
        self.with_all(core, |shared, asker| self.reset(shared, asker));
    }

    /// Deletes a snapshot.
    pub fn delete(&self, id: u64) -> Result<(), NotFound> {
        let shared = &mut *self.shared.lock();
        shared.snapshots.delete(&mut shared.machine, id)
    }

    /// What is known of a snapshot.
    pub fn info(&self, id: u64) -> Result<Info, NotFound> {
        let shared = &mut *self.shared.lock();
        shared.snapshots.info(&mut shared.machine, id)
    }

    /// The smallest id that exists and is not below `from`.
    pub fn next_snapshot(&self, from: u64) -> Option<u64> {
        let shared = &mut *self.shared.lock();
        shared.snapshots.next(&shared.machine, from).ok()
    }

    /// The snapshot that it stands on.
    pub fn current_snapshot(&self) -> Option<u64> {
        self.shared.lock().snapshots.current()
    }

    /// What its snapshots amount to, and how often it was restored.
    pub fn stats(&self) -> (Stats, u64) {
        let shared = self.shared.lock();
        (shared.snapshots.stats(), shared.snapshots.generation())
    }

    /// Stops it until [`resume`](Self::resume); its clock, too, unless its plan lets time pass.
    pub fn pause(&self, core: &mut H::Core) {
        self.with_all(core, |_, Asker { core, .. }| {
            if self.is_paused() {
                return;
            }
            let others = self.stop(core, None);
            if self.plan.time == Time::Stops {
                self.frozen.store(self.virtual_count(), Ordering::Relaxed);
            }
            self.gate.close(PAUSED);
            self.release(core, others);
        });
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self, core: &mut H::Core) {
        self.with_all(core, |_, Asker { core, .. }| {
            let frozen = self.frozen.swap(NEVER, Ordering::Relaxed);
            if frozen != NEVER {
                self.set_virtual_count(frozen);
            }
            self.gate.open(PAUSED);
            self.wake_cores(core);
        });
    }

    /// The physical count at which a snapshot is to be taken without being asked for.
    pub(super) fn next_checkpoint(&self) -> u64 {
        self.next_checkpoint.load(Ordering::Relaxed)
    }

    /// Takes a snapshot if it is time to.
    pub(super) fn checkpoint_when_due(&self, core: &mut H::Core) {
        let now = H::Core::count();
        if self.next_checkpoint() > now {
            return;
        }
        self.plan_checkpoint(now);
        if !self.gate.is_closed() {
            self.take_snapshot(core);
        }
    }

    /// The next snapshot that nobody asks for is taken a period after `now`, if the plan has them.
    pub(super) fn plan_checkpoint(&self, now: u64) {
        let counts = |ms: u64| (u128::from(ms) * u128::from(H::Core::frequency()) / 1000) as u64;
        let period = self.plan.checkpoint_every.map(counts);
        let at = period.map_or(NEVER, |period| now.saturating_add(period));
        self.next_checkpoint.store(at, Ordering::Relaxed);
    }
}
