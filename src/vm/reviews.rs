//! When a vCPU is looked at for what changes without a trap.

use super::Core;
use super::clock::NEVER;
use crate::device::gic::Review;

/// When a vCPU must be looked at again, though nothing traps ([`Gic::review`](crate::device::gic::Gic::review)).
///
/// The first review is due after `SOON`. Each one that was due puts off the next by as long again as has passed since the first, by `LATE` at
/// the most. So a guest that leaves an interrupt waiting gets on, and so does one on a machine on which a look takes long.
#[derive(Clone, Copy, Debug)]
pub struct ReviewSchedule {
    /// What must be looked at.
    what: Review,
    /// The physical count by which it must be, or [`NEVER`].
    due: u64,
    /// The physical count since when it must be.
    since: u64,
}

/// How long what changes without a trap goes unnoticed at first: ticks of the counter, about 0.5 ms on both boards.
const SOON: u64 = 1 << 15;
/// And at the most: about 17 ms.
const LATE: u64 = SOON << 5;

impl ReviewSchedule {
    /// Nothing must be looked at.
    pub const NONE: Self = Self {
        what: Review::Nothing,
        due: NEVER,
        since: NEVER,
    };

    /// What [`Gic::give_back`](crate::device::gic::Gic::give_back) looks for when the vCPU is put, and no look before.
    pub const HELD: Self = Self {
        what: Review::Held,
        ..Self::NONE
    };

    /// Whether something must be looked at.
    #[inline]
    pub fn is_some(&self) -> bool {
        self.due != NEVER
    }

    /// Whether the vCPU may have what it must give back when it is put.
    #[inline]
    pub fn may_give_back(&self) -> bool {
        self.what != Review::Nothing
    }

    /// The physical count by which the vCPU must be looked at, or [`NEVER`].
    pub fn due(&self) -> u64 {
        self.due
    }

    /// Whether a look may find something changed. The vCPU is loaded on `core`.
    #[inline]
    pub fn is_worthwhile(&self, core: &mut impl Core) -> bool {
        self.what.is_worthwhile(core)
    }

    /// Sets what must be looked at, which is the timer or the targets, from the physical count `now` on.
    pub fn set(&mut self, what: Review, now: impl FnOnce() -> u64) {
        if !self.is_some() {
            let since = now();
            self.due = since + SOON;
            self.since = since;
        }
        self.what = what;
    }

    /// Whether a look is overdue at the physical count `now`. If so, the next one is due later.
    pub fn take_overdue(&mut self, now: u64) -> bool {
        let overdue = self.due <= now;
        if overdue {
            self.due = now + (now - self.since).clamp(SOON, LATE);
        }
        overdue
    }
}
