//! A VM's counter: its offset from the physical count, and what it shows when the VM goes on.
//!
//! What each value of `time` in the configuration makes of the counter:
//!
//! | the VM | `time = "stops"` | `time = "passes"` |
//! | --- | --- | --- |
//! | starts, or is reset | 0 | 0 |
//! | goes back to a snapshot | as at the checkpoint | as at the checkpoint, plus the time since the checkpoint |
//! | goes on after a pause | as at the pause | as at the pause, plus the time since the pause |
//!
//! So the counter of a VM that goes on from some moment is never below what it was at that moment, whatever the VM did in between.
//!
//! All counts are ticks of the generic timer's counter (Arm ARM DDI 0487, "The Generic Timer in AArch64 state").

use super::{Core, Vm, VmBackend};
use crate::arch::sync::Ordering;
use crate::config::Time;
use crate::snapshot::Moment;

/// The physical count of what is not going to happen.
pub const NEVER: u64 = u64::MAX;

/// The guest's counter at the physical count `now`, at which a VM goes on from the moment `from`; `None`: from the start of its image.
#[inline]
pub const fn counter_on_resume(from: Option<Moment>, time: Time, now: u64) -> u64 {
    match (from, time) {
        (None, _) => 0,
        (Some(from), Time::Stops) => from.counter,
        (Some(from), Time::Passes) => from.counter.wrapping_add(now.wrapping_sub(from.physical)),
    }
}

impl<B: VmBackend> Vm<B> {
    /// How far the guest's counter is behind the physical count, in ticks (CNTVOFF_EL2).
    pub(super) fn counter_offset(&self) -> u64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// The guest's counter.
    pub(super) fn virtual_count(&self) -> u64 {
        self.virtual_count_at(B::Core::physical_count())
    }

    /// The guest's counter at the physical count `now`, which is not in the past. While the VM is paused: what it would go on with.
    #[inline]
    pub(super) fn virtual_count_at(&self, now: u64) -> u64 {
        match self.paused_at.load(Ordering::Relaxed) {
            NEVER => now.wrapping_sub(self.counter_offset()),
            at => counter_on_resume(Some(self.moment(at)), self.config.time, now),
        }
    }

    /// The moment at which the physical count was `physical`, the offset being what it is now.
    pub(super) fn moment(&self, physical: u64) -> Moment {
        Moment {
            physical,
            counter: physical.wrapping_sub(self.counter_offset()),
        }
    }

    /// Sets the VM's time: it goes on from the moment `from`, or with `None` from the start of its image. If the VM is paused, that is
    /// where it will go on from. Its vCPUs are stopped; each takes the new offset when it is loaded.
    pub(super) fn set_time(&self, from: Option<Moment>) {
        let now = B::Core::physical_count();
        if self.paused_at.load(Ordering::Relaxed) != NEVER {
            self.paused_at.store(now, Ordering::Relaxed);
        }
        let counter = counter_on_resume(from, self.config.time, now);
        let offset = now.wrapping_sub(counter);
        self.offset.store(offset, Ordering::Relaxed);
    }

    /// The guest's counter is at `count`, whatever it was.
    #[cfg(test)]
    pub(super) fn set_virtual_count(&self, count: u64) {
        let offset = B::Core::physical_count().wrapping_sub(count);
        self.offset.store(offset, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Option<Moment> = Some(Moment {
        physical: 1000,
        counter: 300,
    });

    #[test]
    fn a_start_is_at_0() {
        for time in [Time::Stops, Time::Passes] {
            assert_eq!(counter_on_resume(None, time, 5000), 0);
        }
    }

    #[test]
    fn time_stops_or_passes() {
        for now in [1000, 1001, 9000] {
            assert_eq!(counter_on_resume(FROM, Time::Stops, now), 300);
            assert_eq!(counter_on_resume(FROM, Time::Passes, now), now - 700);
        }
    }

    /// A counter ahead of the physical count has a "negative" offset.
    #[test]
    fn counts_wrap() {
        let from = Some(Moment {
            physical: 10,
            counter: u64::MAX - 4,
        });
        assert_eq!(counter_on_resume(from, Time::Passes, 20), 5);
    }
}
