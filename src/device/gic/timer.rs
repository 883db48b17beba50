//! The virtual timer's interrupt on its way in, and the hardware's interrupt behind it.

use super::lists::LISTS;
use super::state::{TIMER, TIMER_LINKED};
use super::{Gic, Review, TIMER_PPI, VCPUS_MAX, VirtualInterface};

impl Gic {
    /// [`TIMER_PPI`], the hardware's interrupt, was acknowledged while `vcpu` is loaded: it is the guest's, and active until the guest
    /// deactivates it.
    #[inline]
    pub fn timer_fired(&mut self, vcpu: usize, i: &mut impl VirtualInterface) -> u8 {
        let vcpu = vcpu % VCPUS_MAX;
        let private = &mut self.private[vcpu];
        let lists = &mut self.lists[vcpu];
        let empty = i.empty() & LISTS;
        if lists.can_take(empty)
            && private.enabled & !private.latched & TIMER != 0
            && private.active >> TIMER_PPI & 1 == 0
            && self.shared.passing(private.groups) >> TIMER_PPI & 1 != 0
        {
            lists.forget(empty as u8);
            if lists.intids() >> TIMER_PPI & 1 == 0 {
                let n = empty.trailing_zeros() as usize;
                lists.take(n, TIMER_PPI);
                lists.review(Review::Timer);
                i.set_list_register(
                    n,
                    self.empty_register(vcpu, TIMER_PPI)
                        .pending()
                        .linked_to(TIMER_PPI),
                );
                return 0;
            }
        }
        self.private[vcpu].lines |= TIMER;
        self.refill(vcpu, i)
    }

    /// Remembers the timer's line of `vcpu`, which is loaded, for a read of what is pending that does not come after [`Self::settle_before`].
    #[cold]
    pub fn note_timer_line(&mut self, vcpu: usize, i: &mut impl VirtualInterface) {
        self.lists[vcpu % VCPUS_MAX].timer_line = i.timer_line();
    }

    /// Brings the physical timer interrupt and the model together, for what is in no list register.
    #[inline]
    pub(super) fn look_at_timer(&mut self, vcpu: usize, i: &mut impl VirtualInterface) {
        if self.private[vcpu].lines & (TIMER | TIMER_LINKED) != 0 {
            self.compare_timer(vcpu, i);
        }
    }

    fn compare_timer(&mut self, vcpu: usize, i: &mut impl VirtualInterface) {
        let private = &mut self.private[vcpu];
        // It waited, and the guest turned it off meanwhile.
        if private.lines & TIMER != 0 && !i.timer_line() {
            private.lines &= !TIMER;
            i.deactivate_timer();
        }
        // The guest deactivated it through the distributor; or made it pending while it is active, which a linked one
        // cannot be.
        let active = private.active >> TIMER_PPI & 1 != 0;
        let latched = private.latched & TIMER != 0;
        if private.lines & TIMER_LINKED != 0 && (!active || latched) {
            private.lines &= !TIMER_LINKED;
            i.deactivate_timer();
        }
        // It waits for a list register, or to be enabled.
        if private.lines & TIMER != 0 {
            self.lists[vcpu].review(Review::Timer);
        }
    }
}
