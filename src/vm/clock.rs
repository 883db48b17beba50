//! A VM's counter when the VM goes on: what each value of `time` in the configuration makes of it.
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

use crate::config::Time;
use crate::snapshot::Moment;

/// The guest's counter at the physical count `now`, at which a VM goes on from the moment `from`; `None`: from the start of its image.
#[inline]
pub const fn counter_on_entry(from: Option<Moment>, time: Time, now: u64) -> u64 {
    match (from, time) {
        (None, _) => 0,
        (Some(from), Time::Stops) => from.counter,
        (Some(from), Time::Passes) => from.counter.wrapping_add(now.wrapping_sub(from.physical)),
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
            assert_eq!(counter_on_entry(None, time, 5000), 0);
        }
    }

    #[test]
    fn time_stops_or_passes() {
        for now in [1000, 1001, 9000] {
            assert_eq!(counter_on_entry(FROM, Time::Stops, now), 300);
            assert_eq!(counter_on_entry(FROM, Time::Passes, now), now - 700);
        }
    }

    /// A counter ahead of the physical count has a "negative" offset.
    #[test]
    fn counts_wrap() {
        let from = Some(Moment {
            physical: 10,
            counter: u64::MAX - 4,
        });
        assert_eq!(counter_on_entry(from, Time::Passes, 20), 5);
    }
}
