//! When a vCPU is looked at for what changes without a trap.

use super::Core;
use super::loaded::Next;
use super::vcpu::{NEVER, Vcpu};
use crate::device::gic::Review;

/// When a vCPU must be looked at again, though nothing traps ([`Gic::review`](crate::device::gic::Gic::review)).
///
/// The first such look is soon, and each one that was needed and found nothing makes the next one as late again as all of them took so far,
/// up to a limit: a guest that leaves an interrupt waiting, or a machine on which a look takes long, gets on.
#[derive(Clone, Copy, Debug)]
pub struct Reviews {
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

impl Reviews {
    /// None.
    pub const NONE: Self = Self {
        what: Review::Nothing,
        due: NEVER,
        since: NEVER,
    };

    /// Whether there is one.
    #[inline]
    pub fn is_some(&self) -> bool {
        self.due != NEVER
    }

    /// How the vCPU goes on.
    #[inline]
    pub fn next(&self) -> Next {
        match self.is_some() {
            true => Next::Review,
            false => Next::Resume,
        }
    }

    /// Whether the vCPU, which is loaded on `core`, may have changed.
    #[inline]
    pub fn is_worthwhile(&self, core: &mut impl Core) -> bool {
        self.what.is_worthwhile(core)
    }

    /// Whether it is due, at the physical count `now`. The next one is later then.
    pub fn is_overdue(&mut self, now: u64) -> bool {
        let overdue = self.due <= now;
        if overdue {
            self.due = now + (now - self.since).clamp(SOON, LATE);
        }
        overdue
    }
}

impl<S> Vcpu<S> {
    /// Remembers what of the vCPU, which is loaded on `core`, must be looked at again before long.
    #[inline]
    pub fn note_review<C: Core>(&mut self, what: Review, core: &mut C) {
        if what == Review::Nothing {
            self.reviews = Reviews::NONE;
        } else {
            self.await_review(what, core);
        }
    }

    #[inline(never)]
    fn await_review<C: Core>(&mut self, what: Review, core: &mut C) {
        if !self.reviews.is_some() {
            let since = C::count();
            self.reviews = Reviews {
                what,
                due: since + SOON,
                since,
            };
        }
        self.reviews.what = what;
        // While it waits, nothing changes without a trap.
        if !self.waiting {
            core.alarm_by(self.reviews.due);
        }
    }
}
