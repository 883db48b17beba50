//! Which interrupts are in the list registers of a vCPU: settling and refilling them.

use super::list_register::{ListRegister, hcr};
use super::review::Review;

/// List registers that are used, at most.
pub const LRS_MAX: usize = 4;
/// Their bits in ELRSR0.
pub const LRS: u32 = (1 << LRS_MAX) - 1;

/// What was put into the list registers of a vCPU. Empty from the time when it is settled until it is refilled. Masks have a bit for each list register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LrMap {
    /// That an interrupt was put into; the guest may be done with it.
    pub used: u8,
    /// Of `used`: those that need [`Gic::fold_lr`] when the guest is done. The others are then forgotten.
    pub needs_fold: u8,
    /// Of `used`: those that were pending.
    pub was_pending: u8,
    /// Of `used`: those that were active.
    pub was_active: u8,
    /// Bits of [`hcr::OWNED`] that are set in GICH_HCR.
    pub hcr: u8,
    pub intids: [u8; LRS_MAX],
    /// A line changed under an interrupt in a list register.
    pub stale: bool,
    /// What of it must be looked at again.
    pub review: Review,
    /// The timer's line, as the vCPU's last access to what is pending found it.
    pub vtimer_line: bool,
    /// SPIs that this vCPU left waiting, and another target may have first: bit n is INTID 32 + n.
    pub declined: u32,
}

impl LrMap {
    pub const EMPTY: Self = Self {
        used: 0,
        needs_fold: 0,
        was_pending: 0,
        was_active: 0,
        hcr: 0,
        intids: [0; LRS_MAX],
        stale: false,
        review: Review::Nothing,
        vtimer_line: false,
        declined: 0,
    };

    /// Interrupts in list registers, by INTID. The guest may be done with some of them.
    #[inline]
    pub fn intids(&self) -> u64 {
        let mut intids = 0;
        let mut used = u32::from(self.used);
        while used != 0 {
            let n = used.trailing_zeros();
            used &= used - 1;
            intids |= 1 << (self.intids[n as usize % LRS_MAX] & 63);
        }
        intids
    }

    /// Whether an interrupt can go into one of the `empty` list registers, and what the guest is done with be forgotten,
    /// without a look at the others.
    #[inline]
    pub fn can_load_fast(&self, empty: u32) -> bool {
        let needs_fold = u32::from(self.needs_fold) & empty;
        empty != 0 && needs_fold == 0 && self.hcr == 0 && !self.stale
    }

    /// Whether the guest acknowledged what list register `n` holds, which is now `register` and active, since it was put there.
    pub fn is_acknowledged(&self, n: usize, register: ListRegister) -> bool {
        let was = |mask: u8| mask >> n & 1 != 0;
        !was(self.was_active) || was(self.was_pending) && !register.is_pending()
    }

    /// Remembers that this must be looked at again.
    #[inline]
    pub fn review(&mut self, what: Review) {
        self.review = self.review.max(what);
    }

    /// Whether pending interrupts wait for a list register.
    pub fn has_more(&self) -> bool {
        u32::from(self.hcr) & hcr::NPIE != 0
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    #[inline]
    pub fn assign(&mut self, n: usize, intid: u32) {
        self.used |= 1 << n;
        self.intids[n % LRS_MAX] = intid as u8;
    }

    #[inline]
    pub fn forget(&mut self, mask: u8) {
        self.used &= !mask;
        self.needs_fold &= !mask;
        self.was_pending &= !mask;
        self.was_active &= !mask;
    }
}
