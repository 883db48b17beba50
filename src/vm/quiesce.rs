//! Stopping a VM: one point in time at which none of its vCPUs runs.
//!
//! Who stops it holds the shared part. It closes the gate, and kicks the cores that have vCPUs loaded. These see the closed gate when they
//! take the kick, or while they wait for the shared part; they put their vCPU's state into memory and unlock it. So to stop a
//! VM is to lock all of its vCPUs. A trap that has not got the shared part by then has not happened: its instruction runs again.

use super::vcpu::{Phase, Slot, Vcpu};
use super::{Core, Hardware, System, Vm};
use crate::arch::MutexGuard;
use crate::arch::sync::{AtomicU8, Ordering};
use crate::device::gic::VCPUS_MAX;

/// Why a VM's vCPUs may not run: one bit for each reason. All of it is relaxed: a core that sees an older one tries a lock in vain, or looks
/// again when it is kicked; what the gate guards is behind the vCPUs' locks.
#[derive(Default)]
pub struct Gate(AtomicU8);

/// Somebody stopped it for a moment.
pub const STOPPED: u8 = 1;
/// The operator paused it.
pub const PAUSED: u8 = 2;
/// It is off.
pub const OFF: u8 = 4;

impl Gate {
    /// Whether there is any reason.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Whether this one is among the reasons.
    pub fn is(&self, reason: u8) -> bool {
        self.0.load(Ordering::Relaxed) & reason != 0
    }

    /// One more reason. It is each vCPU's lock that makes this seen. A core locks its vCPU, then looks here; who closes the gate locks the
    /// vCPUs afterwards. All that changes a lock is in one order:
    /// - the stopper had the lock before the core: the core's locking acquires what the stopper's unlocking released, and that is behind this
    ///   store, so the core sees the gate as it was left;
    /// - the core has it: the stopper's `try_lock` fails, and it kicks the core. What it stored before a kick is seen by who takes the kick
    ///   ([`Core::kick`]), and the core looks here again then.
    pub fn close(&self, reason: u8) {
        self.0.fetch_or(reason, Ordering::Relaxed);
    }

    /// One reason less. The cores are kicked afterwards, so that nobody sleeps on who saw it as it was.
    pub fn open(&self, reason: u8) {
        self.0.fetch_and(!reason, Ordering::Relaxed);
    }
}

/// The vCPUs of a stopped VM, all but the stopper's own; nothing if there are no others.
pub struct Others<'a, S>(Option<[Option<MutexGuard<'a, Vcpu<S>>>; VCPUS_MAX]>);

impl<S> Others<'_, S> {
    /// A vCPU that is not the stopper's own.
    pub fn get(&mut self, index: usize) -> Option<&mut Vcpu<S>> {
        self.0.as_mut()?.get_mut(index)?.as_deref_mut()
    }
}

impl<H: Hardware> Vm<H> {
    /// Stops it. The caller holds the shared part and, if it runs a vCPU of this VM, that one.
    #[inline]
    pub(super) fn stop(&self, core: &mut H::Core, own: Option<usize>) -> Others<'_, System<H>> {
        match own.is_some() && self.vcpus.len() == 1 {
            true => Others(None),
            false => self.stop_others(core, own),
        }
    }

    fn stop_others(&self, core: &mut H::Core, own: Option<usize>) -> Others<'_, System<H>> {
        self.gate.close(STOPPED);
        let mut others = [const { None }; VCPUS_MAX];
        for (i, slot) in self.vcpus.iter().enumerate() {
            if Some(i) != own {
                others[i] = Some(self.take(core, slot));
            }
        }
        Others(Some(others))
    }

    fn take<'a>(
        &self,
        core: &mut H::Core,
        slot: &'a Slot<System<H>>,
    ) -> MutexGuard<'a, Vcpu<System<H>>> {
        slot.try_lock().unwrap_or_else(|| {
            if slot.core() != core.number() {
                core.kick(slot.core());
            }
            slot.lock()
        })
    }

    /// Lets it go on.
    #[inline]
    pub(super) fn release(&self, core: &mut H::Core, others: Others<'_, System<H>>) {
        // Nobody was stopped, if the one vCPU asked itself.
        if self.gate.is(STOPPED) {
            self.release_others(core, others);
        }
    }

    fn release_others(&self, core: &mut H::Core, others: Others<'_, System<H>>) {
        drop(others);
        self.gate.open(STOPPED);
        self.wake_cores(core);
    }

    /// Cores that found the gate closed may be asleep.
    pub(super) fn wake_cores(&self, core: &mut H::Core) {
        if self.pinned_to(core.number()).nth(1).is_some() {
            // The others on this core may have something to do now.
            core.alarm_by(H::Core::count());
        }
        let mut told = 1u64 << core.number();
        for slot in &self.vcpus {
            if slot.phase() != Phase::Off && told & 1 << slot.core() == 0 {
                told |= 1 << slot.core();
                core.kick(slot.core());
            }
        }
    }
}
