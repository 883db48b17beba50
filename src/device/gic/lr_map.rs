//! Which interrupt is in which list register of a vCPU.

use super::list_register::{ListRegister, hcr};
use super::review::Review;

/// List registers that are used at the most, whatever the hardware has.
pub const LRS_MAX: usize = 4;
/// The bits of these list registers in GICH_ELRSR0.
pub const LRS_MASK: u32 = (1 << LRS_MAX) - 1;

/// What a flush put into the list registers of a vCPU; after a sync, nothing. Masks have a bit for each list register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LrMap {
    /// List registers that an interrupt was put into. The guest may be done with it.
    pub used: u8,
    /// Of `used`: those that need [`Gic::sync_lr`](super::Gic) when the guest is done with the interrupt. The others are just cleared then.
    pub needs_sync: u8,
    /// Of `used`: those whose interrupt was pending when it was put in.
    pub was_pending: u8,
    /// Of `used`: those whose interrupt was active when it was put in.
    pub was_active: u8,
    /// Bits of [`hcr::OWNED`] that are set in GICH_HCR.
    pub hcr: u8,
    /// The INTID in each list register of `used`.
    pub intids: [u8; LRS_MAX],
    /// The line of an interrupt in a list register changed: the next flush fills all list registers anew.
    pub stale: bool,
    /// What of the vCPU must be reviewed.
    pub review: Review,
    /// The virtual timer's line, as the vCPU's last access to pending state found it.
    pub vtimer_line: bool,
    /// SPIs that this vCPU left waiting for long, so that another target may take them first: bit n is INTID 32 + n.
    pub declined: u32,
}

impl LrMap {
    /// Nothing is in list registers.
    pub const EMPTY: Self = Self {
        used: 0,
        needs_sync: 0,
        was_pending: 0,
        was_active: 0,
        hcr: 0,
        intids: [0; LRS_MAX],
        stale: false,
        review: Review::Nothing,
        vtimer_line: false,
        declined: 0,
    };

    /// The interrupts in list registers, a bit for each INTID. The guest may be done with some of them.
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

    /// Whether the fast path applies: there is an `empty` list register, and none of those that the guest is done with needs a fold, nor do the
    /// others need a look.
    #[inline]
    pub fn can_load_fast(&self, empty: u32) -> bool {
        let needs_sync = u32::from(self.needs_sync) & empty;
        empty != 0 && needs_sync == 0 && self.hcr == 0 && !self.stale
    }

    /// Whether the guest acknowledged what list register `n` holds, which is now `register` and active, since it was put there.
    pub fn is_acknowledged(&self, n: usize, register: ListRegister) -> bool {
        let was = |mask: u8| mask >> n & 1 != 0;
        !was(self.was_active) || was(self.was_pending) && !register.is_pending()
    }

    /// Asks for a review of `what`, besides what it was asked for already.
    #[inline]
    pub fn request_review(&mut self, what: Review) {
        self.review = self.review.max(what);
    }

    /// Whether pending interrupts wait because all list registers are in use.
    pub fn has_more(&self) -> bool {
        u32::from(self.hcr) & hcr::NPIE != 0
    }

    /// Whether no list register is used.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Notes that `intid` is put into list register `n`.
    #[inline]
    pub fn assign(&mut self, n: usize, intid: u32) {
        self.used |= 1 << n;
        self.intids[n % LRS_MAX] = intid as u8;
    }

    /// Notes that the list registers of `mask` are not used any more.
    #[inline]
    pub fn forget(&mut self, mask: u8) {
        self.used &= !mask;
        self.needs_sync &= !mask;
        self.was_pending &= !mask;
        self.was_active &= !mask;
    }
}
