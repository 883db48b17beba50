//! The virtual timer's interrupt on its way in, and the hardware's interrupt behind it.

use super::lr_map::{LRS_MASK, LRS_MAX};
use super::state::{VTIMER, VTIMER_LINKED};
use super::{Gic, Gich, Review, VCPUS_MAX, VTIMER_PPI};

impl Gic {
    /// The hardware's interrupt [`VTIMER_PPI`] was acknowledged while `vcpu` is loaded: it is the guest's, and stays active until the guest
    /// deactivates it. Returns the other vCPUs that need a [`flush`](Self::flush), a bit each.
    #[inline]
    pub fn vtimer_fired(&mut self, vcpu: usize, gich: &mut impl Gich) -> u8 {
        let vcpu = vcpu % VCPUS_MAX;
        let private = &mut self.private[vcpu];
        let lrs = &mut self.lrs[vcpu];
        let empty = gich.empty_lrs() & LRS_MASK;
        if lrs.can_load_fast(empty)
            && private.enabled & !private.latched & VTIMER != 0
            && private.active >> VTIMER_PPI & 1 == 0
            && self.shared.passing(private.groups) >> VTIMER_PPI & 1 != 0
        {
            lrs.forget(empty as u8);
            if lrs.intids() >> VTIMER_PPI & 1 == 0 {
                let n = empty.trailing_zeros() as usize;
                lrs.assign(n, VTIMER_PPI);
                lrs.request_review(Review::Timer);
                gich.set_list_register(
                    n,
                    self.lr_without_state(vcpu, VTIMER_PPI)
                        .pending()
                        .linked_to(VTIMER_PPI),
                );
                return 0;
            }
        }
        self.private[vcpu].lines |= VTIMER;
        self.flush(vcpu, gich)
    }

    /// Whether the virtual timer of `vcpu`, which is loaded, asserts its interrupt, and no core has acknowledged the hardware's interrupt yet.
    #[inline]
    pub fn is_vtimer_unnoticed(&self, vcpu: usize, gich: &mut impl Gich) -> bool {
        gich.vtimer_line() && !self.vtimer_needs_hw_active(vcpu) && !self.lists_vtimer(vcpu, gich)
    }

    /// Whether a list register of `vcpu`, which is loaded, has the interrupt, and the guest is not done with it.
    fn lists_vtimer(&self, vcpu: usize, gich: &mut impl Gich) -> bool {
        let lrs = &self.lrs[vcpu % VCPUS_MAX];
        let mut used = u32::from(lrs.used) & !gich.empty_lrs();
        while used != 0 {
            let n = used.trailing_zeros() as usize % LRS_MAX;
            used &= used - 1;
            if u32::from(lrs.intids[n]) == VTIMER_PPI && !gich.list_register(n).is_done() {
                return true;
            }
        }
        false
    }

    /// Notes the virtual timer's line of `vcpu`, which is loaded, for a read of pending state that does not follow [`Self::prepare_access`].
    #[cold]
    pub fn note_vtimer_line(&mut self, vcpu: usize, gich: &mut impl Gich) {
        self.lrs[vcpu % VCPUS_MAX].vtimer_line = gich.vtimer_line();
    }

    /// Brings the model up to the virtual timer's line and what the guest wrote to the distributor, for a timer interrupt in no list register.
    /// Deactivates the hardware's interrupt where it has no reason any more.
    #[inline]
    pub(super) fn update_vtimer(&mut self, vcpu: usize, gich: &mut impl Gich) {
        if self.private[vcpu].lines & (VTIMER | VTIMER_LINKED) != 0 {
            self.update_vtimer_slow(vcpu, gich);
        }
    }

    fn update_vtimer_slow(&mut self, vcpu: usize, gich: &mut impl Gich) {
        let private = &mut self.private[vcpu];
        // The interrupt waited, and the guest turned the timer off meanwhile.
        if private.lines & VTIMER != 0 && !gich.vtimer_line() {
            private.lines &= !VTIMER;
            gich.deactivate_vtimer();
        }
        // The guest deactivated the interrupt through the distributor; or made it pending while it is active, which a linked list register
        // cannot be.
        let active = private.active >> VTIMER_PPI & 1 != 0;
        let latched = private.latched & VTIMER != 0;
        if private.lines & VTIMER_LINKED != 0 && (!active || latched) {
            private.lines &= !VTIMER_LINKED;
            gich.deactivate_vtimer();
        }
        // The interrupt waits for a list register, or to be enabled.
        if private.lines & VTIMER != 0 {
            self.lrs[vcpu].request_review(Review::Timer);
        }
    }
}
