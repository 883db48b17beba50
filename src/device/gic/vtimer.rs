//! The virtual timer's interrupt on its way in, and the hardware's interrupt behind it.

use super::lr_map::LRS;
use super::state::{VTIMER, VTIMER_LINKED};
use super::{Gic, Gich, Review, VCPUS_MAX, VTIMER_PPI};

impl Gic {
    /// [`VTIMER_PPI`], the hardware's interrupt, was acknowledged while `vcpu` is loaded: it is the guest's, and active until the guest
    /// deactivates it.
    #[inline]
    pub fn vtimer_fired(&mut self, vcpu: usize, i: &mut impl Gich) -> u8 {
        let vcpu = vcpu % VCPUS_MAX;
        let private = &mut self.private[vcpu];
        let lrs = &mut self.lrs[vcpu];
        let empty = i.empty() & LRS;
        if lrs.can_load_fast(empty)
            && private.enabled & !private.latched & VTIMER != 0
            && private.active >> VTIMER_PPI & 1 == 0
            && self.shared.passing(private.groups) >> VTIMER_PPI & 1 != 0
        {
            lrs.forget(empty as u8);
            if lrs.intids() >> VTIMER_PPI & 1 == 0 {
                let n = empty.trailing_zeros() as usize;
                lrs.assign(n, VTIMER_PPI);
                lrs.review(Review::Timer);
                i.set_list_register(
                    n,
                    self.lr_without_state(vcpu, VTIMER_PPI)
                        .pending()
                        .linked_to(VTIMER_PPI),
                );
                return 0;
            }
        }
        self.private[vcpu].lines |= VTIMER;
        self.flush(vcpu, i)
    }

    /// Remembers the timer's line of `vcpu`, which is loaded, for a read of what is pending that does not come after [`Self::prepare_access`].
    #[cold]
    pub fn note_vtimer_line(&mut self, vcpu: usize, i: &mut impl Gich) {
        self.lrs[vcpu % VCPUS_MAX].vtimer_line = i.vtimer_line();
    }

    /// Brings the physical timer interrupt and the model together, for what is in no list register.
    #[inline]
    pub(super) fn update_vtimer(&mut self, vcpu: usize, i: &mut impl Gich) {
        if self.private[vcpu].lines & (VTIMER | VTIMER_LINKED) != 0 {
            self.update_vtimer_slow(vcpu, i);
        }
    }

    fn update_vtimer_slow(&mut self, vcpu: usize, i: &mut impl Gich) {
        let private = &mut self.private[vcpu];
        // It waited, and the guest turned it off meanwhile.
        if private.lines & VTIMER != 0 && !i.vtimer_line() {
            private.lines &= !VTIMER;
            i.deactivate_vtimer();
        }
        // The guest deactivated it through the distributor; or made it pending while it is active, which a linked one
        // cannot be.
        let active = private.active >> VTIMER_PPI & 1 != 0;
        let latched = private.latched & VTIMER != 0;
        if private.lines & VTIMER_LINKED != 0 && (!active || latched) {
            private.lines &= !VTIMER_LINKED;
            i.deactivate_vtimer();
        }
        // It waits for a list register, or to be enabled.
        if private.lines & VTIMER != 0 {
            self.lrs[vcpu].review(Review::Timer);
        }
    }
}
